"""Kernel of the Goldstein filter in windows of 32 x 32; see ``physics.filtering`` for the formulas."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fringewatch.compiled.elementary import exp2, log2
from fringewatch.compiled.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Real = NDArray[np.float32]

__all__ = ["WINDOW", "goldstein"]

WINDOW = 32
_STEP = WINDOW // 2
# Windows beside each other that are transformed at once, and columns under them.
_WINDOWS = 15
_COLUMNS = (_WINDOWS + 1) * _STEP
_LANES = _WINDOWS * WINDOW
# From row to row of the work arrays: more than the lanes, and no multiple of a page, which caches like less.
_PITCH = _LANES + 16
_SIZE = WINDOW * _PITCH

# Indices are unsigned: signed ones may count from the end, and looking after that keeps loops from the processor's
# vectors. Offsets between the rows that a loop reads and writes are constants for the same reason.
_U = np.uint64
_ROW = _U(_PITCH)
_1, _2, _3, _4, _8, _31, _32 = (_U(n) for n in (1, 2, 3, 4, 8, 31, 32))
_R4 = tuple(_U(8 * n * _PITCH) for n in range(4))
_W4 = tuple(_U(n * _PITCH) for n in range(4))
_R8 = tuple(_U(4 * n * _PITCH) for n in range(8))
_F = np.float32
_ROOT_HALF = _F(math.sqrt(0.5))
_COS = np.cos(2 * np.pi / WINDOW * np.arange(WINDOW)).astype(np.float32)
_SIN = np.sin(2 * np.pi / WINDOW * np.arange(WINDOW)).astype(np.float32)
_HANN = np.square(np.sin(np.pi / WINDOW * (np.arange(WINDOW) + 0.5))).astype(np.float32)


@kernel
def _fours(xr: Real, xi: Real, yr: Real, yi: Real, lanes: np.uint64) -> None:
    """First pass of a transform of 32 rows (Stockham, radix 4), with the factors for the second."""
    for p in range(8):
        c1, s1 = _COS[p], _SIN[p]
        c2, s2 = _COS[2 * p], _SIN[2 * p]
        c3, s3 = _COS[3 * p], _SIN[3 * p]
        start = _U(p) * _ROW
        put = start * _4
        for lane in range(lanes):
            i, o = start + lane, put + lane
            ar, ai = xr[i], xi[i]
            br, bi = xr[i + _R4[1]], xi[i + _R4[1]]
            cr, ci = xr[i + _R4[2]], xi[i + _R4[2]]
            dr, di = xr[i + _R4[3]], xi[i + _R4[3]]
            acr, aci, sacr, saci = ar + cr, ai + ci, ar - cr, ai - ci
            bdr, bdi, sbdr, sbdi = br + dr, bi + di, br - dr, bi - di
            yr[o], yi[o] = acr + bdr, aci + bdi
            tr, ti = sacr + sbdi, saci - sbdr
            yr[o + _W4[1]], yi[o + _W4[1]] = tr * c1 + ti * s1, ti * c1 - tr * s1
            tr, ti = acr - bdr, aci - bdi
            yr[o + _W4[2]], yi[o + _W4[2]] = tr * c2 + ti * s2, ti * c2 - tr * s2
            tr, ti = sacr - sbdi, saci + sbdr
            yr[o + _W4[3]], yi[o + _W4[3]] = tr * c3 + ti * s3, ti * c3 - tr * s3


@kernel
def _eights(xr: Real, xi: Real, yr: Real, yi: Real, lanes: np.uint64) -> None:
    """Second pass (radix 8)."""
    for q in range(4):
        start = _U(q) * _ROW
        for lane in range(lanes):
            i = start + lane
            x0r, x0i, x4r, x4i = xr[i], xi[i], xr[i + _R8[4]], xi[i + _R8[4]]
            x2r, x2i, x6r, x6i = xr[i + _R8[2]], xi[i + _R8[2]], xr[i + _R8[6]], xi[i + _R8[6]]
            x1r, x1i, x5r, x5i = xr[i + _R8[1]], xi[i + _R8[1]], xr[i + _R8[5]], xi[i + _R8[5]]
            x3r, x3i, x7r, x7i = xr[i + _R8[3]], xi[i + _R8[3]], xr[i + _R8[7]], xi[i + _R8[7]]
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
            yr[i], yi[i] = e0r + o0r, e0i + o0i
            yr[i + _R8[1]], yi[i + _R8[1]] = e1r + o1r, e1i + o1i
            yr[i + _R8[2]], yi[i + _R8[2]] = e2r + o2r, e2i + o2i
            yr[i + _R8[3]], yi[i + _R8[3]] = e3r + o3r, e3i + o3i
            yr[i + _R8[4]], yi[i + _R8[4]] = e0r - o0r, e0i - o0i
            yr[i + _R8[5]], yi[i + _R8[5]] = e1r - o1r, e1i - o1i
            yr[i + _R8[6]], yi[i + _R8[6]] = e2r - o2r, e2i - o2i
            yr[i + _R8[7]], yi[i + _R8[7]] = e3r - o3r, e3i - o3i


@kernel
def _strengthen(sr: Real, si: Real, modulus: Real, total: Real, windows: int, alpha: np.float32) -> None:
    """Multiply spectra with ``(S / peak)^alpha``, S being the modulus smoothed over 3 x 3 periodic neighbours."""
    lanes = _U(windows) * _32
    for row in range(32):
        start = _U(row) * _ROW
        for lane in range(lanes):
            i = start + lane
            modulus[i] = np.sqrt(sr[i] * sr[i] + si[i] * si[i])
    highest = np.zeros(_LANES, np.float32)
    column = np.empty(_LANES, np.float32)
    for row in range(32):
        above, here, below = _U((row + 31) % 32) * _ROW, _U(row) * _ROW, _U((row + 1) % 32) * _ROW
        for lane in range(lanes):
            column[lane] = modulus[above + lane] + modulus[here + lane] + modulus[below + lane]
        put = total[row * _PITCH : row * _PITCH + windows * 32]
        left, middle, right, inner = column[0:], column[1:], column[2:], put[1:]
        for lane in range(windows * 32 - 2):
            inner[lane] = left[lane] + middle[lane] + right[lane]
        for window in range(windows):
            first = window * 32
            last = first + 31
            put[first] = column[last] + column[first] + column[first + 1]
            put[last] = column[last - 1] + column[last] + column[first]
        for lane in range(windows * 32):
            highest[lane] = max(highest[lane], put[lane])
    for window in range(windows):
        of_window = highest[window * 32 : window * 32 + 32]
        peak = _F(1e-30)
        for k in range(32):
            peak = max(peak, of_window[k])
        of_window[:] = log2(peak)
    for row in range(32):
        start = _U(row) * _ROW
        for lane in range(lanes):
            column[lane] = alpha * (log2(max(total[start + lane], _F(1e-30))) - highest[lane])
        for lane in range(lanes):
            strength = exp2(column[lane])
            sr[start + lane] *= strength
            si[start + lane] *= strength


@kernel
def _turn(xr: Real, xi: Real, turned: Real, columns: int) -> None:
    """Write (2, columns, 32) from rows of columns."""
    for column in range(columns):
        for k in range(32):
            turned[0, column, k] = xr[k * _PITCH + column]
            turned[1, column, k] = xi[k * _PITCH + column]


@kernel
def _turn_back(turned: Real, xr: Real, xi: Real, columns: int) -> None:
    for column in range(columns):
        for k in range(32):
            xr[k * _PITCH + column] = turned[0, column, k]
            xi[k * _PITCH + column] = turned[1, column, k]


@kernel
def _cut(turned: Real, xr: Real, xi: Real, windows: int) -> None:
    """Lay the windows of a strip beside each other: row c holds column c of each."""
    for part in range(2):
        x = xr if part == 0 else xi
        for c in range(32):
            for window in range(windows):
                taken = turned[part, _STEP * window + c]
                put = x[c * _PITCH + window * 32 : c * _PITCH + window * 32 + 32]
                for k in range(32):
                    put[k] = taken[k]


@kernel
def _merge(xr: Real, xi: Real, turned: Real, windows: int) -> None:
    """Add up the overlapping windows of a strip, weighted by Hann."""
    turned[:, : (windows + 1) * _STEP] = 0
    for part in range(2):
        x = xr if part == 0 else xi
        for c in range(32):
            weight = _HANN[c]
            for window in range(windows):
                taken = x[c * _PITCH + window * 32 : c * _PITCH + window * 32 + 32]
                put = turned[part, _STEP * window + c]
                for k in range(32):
                    put[k] += weight * taken[k]


@kernel
def goldstein(data: NDArray[np.complex64], alpha: np.float32, result: NDArray[np.complex64]) -> None:
    """Filter an array (rows, columns); windows begin at every multiple of 16, from half a window before it on."""
    rows, columns = data.shape
    down, across = (rows + 2 * _STEP - 1) // _STEP, (columns + 2 * _STEP - 1) // _STEP
    padded = np.zeros((2, (down + 1) * _STEP, (across + 1) * _STEP), np.float32)
    for row in range(rows):
        taken, real, imaginary = data[row], padded[0, row + _STEP, _STEP:], padded[1, row + _STEP, _STEP:]
        for column in range(columns):
            real[column] = taken[column].real
            imaginary[column] = taken[column].imag
    merged = np.zeros(padded.shape, np.float32)
    ar, ai = np.zeros(_SIZE, np.float32), np.zeros(_SIZE, np.float32)
    br, bi = np.zeros(_SIZE, np.float32), np.zeros(_SIZE, np.float32)
    turned = np.zeros((2, _COLUMNS, 32), np.float32)
    for left in range(0, across, _WINDOWS):
        windows = min(_WINDOWS, across - left)
        wide = (windows + 1) * _STEP
        lanes, along = _U(windows) * _32, _U(wide)
        for top in range(down):
            for k in range(32):
                for part in range(2):
                    x = ar if part == 0 else ai
                    put = x[k * _PITCH : k * _PITCH + wide]
                    put[:] = padded[part, top * _STEP + k, left * _STEP : left * _STEP + wide]
            # Windows beside each other share the transform along their columns, and its inverse.
            _fours(ar, ai, br, bi, along)
            _eights(br, bi, ar, ai, along)
            _turn(ar, ai, turned, wide)
            _cut(turned, br, bi, windows)
            _fours(br, bi, ar, ai, lanes)
            _eights(ar, ai, br, bi, lanes)
            _strengthen(br, bi, ar, ai, windows, alpha)
            # With real and imaginary parts exchanged the transform is its inverse.
            _fours(bi, br, ai, ar, lanes)
            _eights(ai, ar, bi, br, lanes)
            _merge(br, bi, turned, windows)
            _turn_back(turned, ar, ai, wide)
            _fours(ai, ar, bi, br, along)
            _eights(bi, br, ai, ar, along)
            for k in range(32):
                weight = _HANN[k] * _F(1 / 1024)
                for part in range(2):
                    x = ar if part == 0 else ai
                    taken = x[k * _PITCH : k * _PITCH + wide]
                    row_put = merged[part, top * _STEP + k, left * _STEP : left * _STEP + wide]
                    for column in range(wide):
                        row_put[column] += weight * taken[column]
    for row in range(rows):
        real, imaginary, into = merged[0, row + _STEP, _STEP:], merged[1, row + _STEP, _STEP:], result[row]
        for column in range(columns):
            into[column] = np.complex64(complex(real[column], imaginary[column]))
