"""Kernel of the Goldstein filter in windows of 32 x 32; see ``physics.filtering`` for the formulas.

Pixels are sorted by their place in blocks of 16 x 16, half a window: what lies at the same place of 16 blocks beside
each other lies together. A processor's vectors then hold one place of several blocks, or of the windows that begin
there, and no step mixes their elements. A strip of windows is 32 rows; a row holds the real and then the imaginary
parts of 16 places, each with the numbers of 16 blocks.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fringewatch.compiled.elementary import exp2, log2
from fringewatch.compiled.jit import kernel

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Real = NDArray[np.float32]
    FirstPass = Callable[[Real, np.uint64, Real], None]
    SecondPass = Callable[[Real, Real, np.uint64], None]

__all__ = ["WINDOW", "goldstein"]

WINDOW = 32
_STEP = WINDOW // 2
_BLOCKS = 16
# A window takes two blocks.
_WINDOWS = _BLOCKS - 1

# Indices are unsigned: signed ones may count from the end, and looking after that keeps loops from the processor's
# vectors. Offsets between what a loop reads and writes are constants for the same reason.
_U = np.uint64
_PLACE, _HALF, _WHOLE, _TWICE = (_U(places * _BLOCKS) for places in (1, _STEP, WINDOW, 2 * WINDOW))
# From row to row of a strip: more than it holds, as powers of 2 would all be kept in the same few lines of the cache.
_ROW = _WHOLE + _PLACE
_STRIP = 32 * int(_ROW) + 1
_1, _PLACES_2, _PLACES_3 = _U(1), _U(2) * _PLACE, _U(3) * _PLACE
_F = np.float32
_LEAST = _F(1e-30)
_ROOT_HALF = _F(math.sqrt(0.5))
_COS = np.cos(2 * np.pi / WINDOW * np.arange(WINDOW)).astype(np.float32)
_SIN = np.sin(2 * np.pi / WINDOW * np.arange(WINDOW)).astype(np.float32)
_HANN = np.square(np.sin(np.pi / WINDOW * (np.arange(WINDOW) + 0.5))).astype(np.float32)
_HANN_LEFT, _HANN_RIGHT = np.repeat(_HANN, _BLOCKS).reshape(2, -1)


def _first_pass(offsets: tuple[np.uint64, np.uint64, np.uint64, np.uint64], im: np.uint64) -> FirstPass:
    """Make the first pass of a transform of 32 numbers (Stockham, radix 4), with the factors for the second.

    `offsets` tells where numbers 1, 8, 16 and 24 lie after number 0, `im` where an imaginary part lies after the real
    one.
    """
    following, b, c, d = offsets

    @kernel
    def fours(x: Real, first: np.uint64, y: Real) -> None:
        for p in range(8):
            c1, s1, c2, s2, c3, s3 = _COS[p], _SIN[p], _COS[2 * p], _SIN[2 * p], _COS[3 * p], _SIN[3 * p]
            start, put = first + _U(p) * following, _U(4 * p) * _PLACE
            for lane in range(_PLACE):
                i, o = start + lane, put + lane
                ar, ai, br, bi = x[i], x[i + im], x[i + b], x[i + b + im]
                cr, ci, dr, di = x[i + c], x[i + c + im], x[i + d], x[i + d + im]
                acr, aci, sacr, saci = ar + cr, ai + ci, ar - cr, ai - ci
                bdr, bdi, sbdr, sbdi = br + dr, bi + di, br - dr, bi - di
                y[o], y[o + _WHOLE] = acr + bdr, aci + bdi
                tr, ti = sacr + sbdi, saci - sbdr
                y[o + _PLACE], y[o + _PLACE + _WHOLE] = tr * c1 + ti * s1, ti * c1 - tr * s1
                tr, ti = acr - bdr, aci - bdi
                y[o + _PLACES_2], y[o + _PLACES_2 + _WHOLE] = tr * c2 + ti * s2, ti * c2 - tr * s2
                tr, ti = sacr - sbdi, saci + sbdr
                y[o + _PLACES_3], y[o + _PLACES_3 + _WHOLE] = tr * c3 + ti * s3, ti * c3 - tr * s3

    return fours


def _second_pass(following: np.uint64, im: np.uint64) -> SecondPass:
    """Make the second pass (radix 8); `following` is from number to number of the result."""
    r1, r2, r3, r4, r5, r6, r7 = (_U(4 * n) * following for n in range(1, 8))
    p1, p2, p3, p4, p5, p6, p7 = (_U(4 * n) * _PLACE for n in range(1, 8))

    @kernel
    def eights(y: Real, x: Real, first: np.uint64) -> None:
        for q in range(4):
            start, put = _U(q) * _PLACE, first + _U(q) * following
            for lane in range(_PLACE):
                i, o = start + lane, put + lane
                x0r, x0i, x4r, x4i = y[i], y[i + _WHOLE], y[i + p4], y[i + p4 + _WHOLE]
                x2r, x2i, x6r, x6i = y[i + p2], y[i + p2 + _WHOLE], y[i + p6], y[i + p6 + _WHOLE]
                x1r, x1i, x5r, x5i = y[i + p1], y[i + p1 + _WHOLE], y[i + p5], y[i + p5 + _WHOLE]
                x3r, x3i, x7r, x7i = y[i + p3], y[i + p3 + _WHOLE], y[i + p7], y[i + p7 + _WHOLE]
                # Transforms of 4 of the even and of the odd ones.
                ar, ai, br, bi = x0r + x4r, x0i + x4i, x0r - x4r, x0i - x4i
                cr, ci, dr, di = x2r + x6r, x2i + x6i, x2r - x6r, x2i - x6i
                e0r, e0i, e2r, e2i = ar + cr, ai + ci, ar - cr, ai - ci
                e1r, e1i, e3r, e3i = br + di, bi - dr, br - di, bi + dr
                ar, ai, br, bi = x1r + x5r, x1i + x5i, x1r - x5r, x1i - x5i
                cr, ci, dr, di = x3r + x7r, x3i + x7i, x3r - x7r, x3i - x7i
                o0r, o0i, o2r, o2i = ar + cr, ai + ci, ai - ci, cr - ar
                tr, ti = br + di, bi - dr
                o1r, o1i = (tr + ti) * _ROOT_HALF, (ti - tr) * _ROOT_HALF
                tr, ti = br - di, bi + dr
                o3r, o3i = (ti - tr) * _ROOT_HALF, -(tr + ti) * _ROOT_HALF
                x[o], x[o + im] = e0r + o0r, e0i + o0i
                x[o + r1], x[o + r1 + im] = e1r + o1r, e1i + o1i
                x[o + r2], x[o + r2 + im] = e2r + o2r, e2i + o2i
                x[o + r3], x[o + r3 + im] = e3r + o3r, e3i + o3i
                x[o + r4], x[o + r4 + im] = e0r - o0r, e0i - o0i
                x[o + r5], x[o + r5 + im] = e1r - o1r, e1i - o1i
                x[o + r6], x[o + r6 + im] = e2r - o2r, e2i - o2i
                x[o + r7], x[o + r7 + im] = e3r - o3r, e3i - o3i

    return eights


# The windows beside each other share the transform along their columns.
_fours_down = _first_pass((_ROW, _U(8) * _ROW, _U(16) * _ROW, _U(24) * _ROW), _HALF)
_eights_down = _second_pass(_ROW, _HALF)
# Along a row of a strip the right half of a window is the next block.
_fours_along = _first_pass((_PLACE, _U(8) * _PLACE, _1, _U(8) * _PLACE + _1), _HALF)
_fours_of_window = _first_pass((_PLACE, _U(8) * _PLACE, _U(16) * _PLACE, _U(24) * _PLACE), _WHOLE)
_eights_of_window = _second_pass(_PLACE, _WHOLE)


@kernel
def _transform(strip: Real, start: np.uint64, y: Real, halves: Real, spectrum: Real) -> None:
    """Transform the windows of a strip."""
    for place in range(_STEP):
        _fours_down(strip, start + _U(place) * _PLACE, y)
        _eights_down(y, halves, _U(place) * _PLACE)
    for row in range(32):
        _fours_along(halves, _U(row) * _ROW, y)
        _eights_of_window(y, spectrum, _U(row) * _TWICE)


@kernel
def _modulus(spectrum: Real, modulus: Real) -> None:
    for row in range(32):
        taken, put = _U(row) * _TWICE, _U(row) * _WHOLE
        for i in range(_WHOLE):
            real, imaginary = spectrum[taken + i], spectrum[taken + _WHOLE + i]
            modulus[put + i] = np.sqrt(real * real + imaginary * imaginary)


@kernel
def _sum_near(modulus: Real, total: Real, peak: Real) -> None:
    """Sum a modulus over its 3 x 3 periodic neighbours, and find the peak of each window."""
    # With the last column before the first, and the first behind the last.
    column = np.empty(_WHOLE + _PLACES_2, np.float32)
    highest = np.full(_WHOLE, _LEAST)
    for row in range(32):
        above, here, below = _U((row + 31) % 32) * _WHOLE, _U(row) * _WHOLE, _U((row + 1) % 32) * _WHOLE
        for i in range(_WHOLE):
            column[i + _PLACE] = modulus[above + i] + modulus[here + i] + modulus[below + i]
        for lane in range(_PLACE):
            column[lane] = column[_WHOLE + lane]
            column[_WHOLE + _PLACE + lane] = column[_PLACE + lane]
        for i in range(_WHOLE):
            value = column[i] + column[i + _PLACE] + column[i + _PLACES_2]
            total[here + i] = value
            highest[i] = max(highest[i], value)
    for block in range(_BLOCKS):
        peak[block] = highest[block::_BLOCKS].max()


@kernel
def _strengthen(spectrum: Real, total: Real, peak: Real, alpha: np.float32, windows: int) -> None:
    """Multiply spectra with ``(total / peak)^alpha``; beyond the windows there is nothing."""
    offset, strength = np.zeros(_WHOLE, np.float32), np.empty(_WHOLE, np.float32)
    inside = np.zeros(_WHOLE, np.float32)
    for lane in range(windows):
        offset[lane::_BLOCKS] = alpha * log2(peak[lane])
        inside[lane::_BLOCKS] = 1
    for row in range(32):
        start = _U(row) * _TWICE
        for i in range(_WHOLE):
            strength[i] = alpha * log2(max(total[_U(row) * _WHOLE + i], _LEAST)) - offset[i]
        for i in range(_WHOLE):
            strength[i] = exp2(strength[i]) * inside[i]
        for i in range(_WHOLE):
            spectrum[start + i] *= strength[i]
        for i in range(_WHOLE):
            spectrum[start + _WHOLE + i] *= strength[i]


@kernel
def _transform_back(spectrum: Real, y: Real, halves: Real, merged: Real, start: np.uint64) -> None:
    """Undo the transforms, and add up overlapping windows, weighted by Hann.

    With real and imaginary parts exchanged the transform is its inverse: `merged` has them exchanged.
    """
    x = np.empty(_TWICE, np.float32)
    for row in range(32):
        taken, put = _U(row) * _TWICE, _U(row) * _ROW
        for i in range(_WHOLE):
            x[i] = spectrum[taken + _WHOLE + i]
        for i in range(_WHOLE):
            x[_WHOLE + i] = spectrum[taken + i]
        _fours_of_window(x, _U(0), y)
        _eights_of_window(y, x, _U(0))
        for part in range(2):
            here, there = _U(part) * _WHOLE, put + _U(part) * _HALF
            for i in range(_HALF):
                halves[there + i] = _HANN_LEFT[i] * x[here + i]
        # The last block begins no window: its zeros may go where others stand.
        for part in range(2):
            here, there = _U(part) * _WHOLE + _HALF, put + _U(part) * _HALF + _1
            for i in range(_HALF):
                halves[there + i] += _HANN_RIGHT[i] * x[here + i]
    for place in range(_STEP):
        _fours_down(halves, _U(place) * _PLACE, y)
        _eights_down(y, halves, _U(place) * _PLACE)
    for row in range(32):
        taken, weight = _U(row) * _ROW, _HANN[row] * _F(1 / 1024)
        for i in range(_WHOLE):
            merged[start + taken + i] += weight * halves[taken + i]


@kernel
def goldstein(data: NDArray[np.complex64], alpha: np.float32, result: NDArray[np.complex64]) -> None:
    """Filter an array (rows, columns); windows begin at every multiple of 16, from half a window before it on."""
    rows, columns = data.shape
    down, across = (rows + 2 * _STEP - 1) // _STEP, (columns + 2 * _STEP - 1) // _STEP
    # Strips of fifteen windows; the last block of one is the first of the next.
    strips = (across + _WINDOWS - 1) // _WINDOWS
    height = (down + 1) * _STEP
    sorted_by_place = np.zeros((strips, height * int(_ROW) + 1), np.float32)
    merged = np.zeros(sorted_by_place.shape, np.float32)
    for strip in range(strips):
        for row in range(rows):
            taken, put = data[row], sorted_by_place[strip, (row + _STEP) * int(_ROW) :]
            for block in range(_BLOCKS):
                first = (strip * _WINDOWS + block - 1) * _STEP
                for place in range(max(0, -first), min(_STEP, columns - first)):
                    put[place * _BLOCKS + block] = taken[first + place].real
                    put[(_STEP + place) * _BLOCKS + block] = taken[first + place].imag
    y, peak = np.empty(_TWICE, np.float32), np.empty(_BLOCKS, np.float32)
    # One element more, which the last block reaches.
    halves = np.zeros(_STRIP, np.float32)
    spectrum = np.empty(32 * _TWICE, np.float32)
    modulus, total = np.empty(32 * _WHOLE, np.float32), np.empty(32 * _WHOLE, np.float32)
    for strip in range(strips):
        windows = min(_WINDOWS, across - strip * _WINDOWS)
        for top in range(down):
            start = _U(top * _STEP) * _ROW
            _transform(sorted_by_place[strip], start, y, halves, spectrum)
            _modulus(spectrum, modulus)
            _sum_near(modulus, total, peak)
            _strengthen(spectrum, total, peak, alpha, windows)
            _transform_back(spectrum, y, halves, merged[strip], start)
    result[:] = 0
    for strip in range(strips):
        for row in range(rows):
            from_row, into = merged[strip, (row + _STEP) * int(_ROW) :], result[row]
            for block in range(_BLOCKS):
                first = (strip * _WINDOWS + block - 1) * _STEP
                for place in range(max(0, -first), min(_STEP, columns - first)):
                    real, imaginary = from_row[(_STEP + place) * _BLOCKS + block], from_row[place * _BLOCKS + block]
                    into[first + place] += np.complex64(complex(real, imaginary))
