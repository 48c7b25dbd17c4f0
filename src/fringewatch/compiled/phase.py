"""Kernels on phase: phasors, local coherence, and what a pixel keeps; see ``physics.coherence`` for the formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fringewatch.compiled import elementary
from fringewatch.compiled.elementary import cos_sin
from fringewatch.compiled.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Real = NDArray[np.float32]

__all__ = ["angles", "blend", "block_steps", "gradient_coherence", "local_coherence", "phasor", "window_sum"]

_F = np.float32
_TURNS = _F(0.5 / np.pi)
_PI = _F(np.pi)
_angle = elementary.angle


@kernel
def phasor(phase: Real, parts: Real) -> None:
    """Write real and imaginary parts, side by side, of ``exp(i phase)``, 0 where the phase is NaN."""
    for i in range(phase.size):
        known = phase[i] == phase[i]
        cosine, sine = cos_sin((phase[i] if known else _F(0)) * _TURNS)
        parts[2 * i] = cosine if known else _F(0)
        parts[2 * i + 1] = sine if known else _F(0)


@kernel
def angles(parts: Real, result: Real) -> None:
    """Write the angles of complex numbers whose parts lie side by side."""
    for i in range(result.size):
        result[i] = _angle(parts[2 * i + 1], parts[2 * i])


@kernel
def blend(parts: Real, row: np.float32, column: np.float32, result: Real) -> None:
    """Write complex numbers, (rows, columns, 2), interpolated towards the next row and column; the last ones stay."""
    rows, columns, _ = parts.shape
    line = np.empty(2 * columns, np.float32)
    for i in range(rows):
        here, below, put = parts[i].ravel(), parts[min(i + 1, rows - 1)].ravel(), result[i].ravel()
        for k in range(line.size):
            line[k] = (_F(1) - row) * here[k] + row * below[k]
        for k in range(line.size - 2):
            put[k] = (_F(1) - column) * line[k] + column * line[k + 2]
        put[-2:] = line[-2:]


@kernel
def block_steps(phase: Real, size: int, result: Real) -> None:
    """Write the squared steps of a phase, averaged in square blocks, from the block before along rows and columns."""
    rows, columns = result.shape
    real, imaginary = np.zeros(result.shape, np.float32), np.zeros(result.shape, np.float32)
    cosines, sines = np.empty(columns * size, np.float32), np.empty(columns * size, np.float32)
    for row in range(rows):
        re, im = real[row], imaginary[row]
        for inner in range(size):
            taken = phase[row * size + inner]
            for i in range(cosines.size):
                known = taken[i] == taken[i]
                cosine, sine = cos_sin((taken[i] if known else _F(0)) * _TURNS)
                cosines[i] = cosine if known else _F(0)
                sines[i] = sine if known else _F(0)
            for shift in range(size):
                for column in range(columns):
                    re[column] += cosines[column * size + shift]
                    im[column] += sines[column * size + shift]
    result[:] = 0
    for axis in range(2):
        down, right = 1 - axis, axis
        for row in range(rows):
            for column in range(columns):
                # The first step is that to the next block.
                i, k = max(row, down), max(column, right)
                if i >= rows or k >= columns:
                    continue
                before_re, before_im = real[i - down, k - right], imaginary[i - down, k - right]
                step = _angle(
                    imaginary[i, k] * before_re - real[i, k] * before_im,
                    real[i, k] * before_re + imaginary[i, k] * before_im,
                )
                result[row, column] += step * step


@kernel
def window_sum(values: Real, size: int, result: Real) -> None:
    """Write sums over square windows of an odd size about each element; beyond the edges there is nothing."""
    rows, columns = values.shape
    half = size // 2
    line = np.zeros(columns + 2 * half, np.float32)
    middle = line[half : half + columns]
    for row in range(rows):
        middle[:] = 0
        for other in range(max(row - half, 0), min(row + half + 1, rows)):
            taken = values[other]
            for column in range(columns):
                middle[column] += taken[column]
        put = result[row]
        put[:] = 0
        for shift in range(size):
            moved = line[shift : shift + columns]
            for column in range(columns):
                put[column] += moved[column]


@kernel
def _in_window(position: int, size: int, half: int, first: int) -> int:
    """Return how many elements from ``first`` on lie in the window about a position."""
    return min(position + half, size - 1) - max(position - half, first) + 1


@kernel
def local_coherence(phase: Real, size: int, result: Real) -> None:
    """Write the local coherence in square windows of an odd size."""
    rows, columns = phase.shape
    half = size // 2
    real, imaginary = np.zeros(phase.shape, np.float32), np.zeros(phase.shape, np.float32)
    valid = np.zeros(phase.shape, np.float32)
    unknown = 0
    for row in range(rows):
        taken, re, im, known = phase[row], real[row], imaginary[row], valid[row]
        for column in range(columns):
            here = taken[column] == taken[column]
            cosine, sine = cos_sin((taken[column] if here else _F(0)) * _TURNS)
            re[column] = cosine if here else _F(0)
            im[column] = sine if here else _F(0)
            known[column] = _F(1) if here else _F(0)
            unknown += 0 if here else 1
    if unknown == phase.size:
        result[:] = 0
        return
    steps_re, steps_im = np.zeros(phase.shape, np.float32), np.zeros(phase.shape, np.float32)
    sum_re, sum_im = np.zeros(phase.shape, np.float32), np.zeros(phase.shape, np.float32)
    counts, sums = np.zeros(phase.shape, np.float32), np.zeros(phase.shape, np.float32)
    for axis in range(2):
        # Along columns, then along rows.
        if axis == 1:
            steps_re[0] = 0
            steps_im[0] = 0
            counts[0] = 0
        for row in range(axis, rows):
            if axis == 0:
                re, im, before_re, before_im = real[row, 1:], imaginary[row, 1:], real[row], imaginary[row]
                put_re, put_im, both = steps_re[row, 1:], steps_im[row, 1:], counts[row, 1:]
                known, known_before = valid[row, 1:], valid[row]
            else:
                re, im, before_re, before_im = real[row], imaginary[row], real[row - 1], imaginary[row - 1]
                put_re, put_im, both = steps_re[row], steps_im[row], counts[row]
                known, known_before = valid[row], valid[row - 1]
            for i in range(re.size):
                put_re[i] = re[i] * before_re[i] + im[i] * before_im[i]
                put_im[i] = im[i] * before_re[i] - re[i] * before_im[i]
                both[i] = known[i] * known_before[i]
        window_sum(steps_re, size, sum_re)
        window_sum(steps_im, size, sum_im)
        if unknown:
            window_sum(counts, size, sums)
        for row in range(rows):
            re, im, number, put = sum_re[row], sum_im[row], sums[row], result[row]
            if not unknown:
                high = _in_window(row, rows, half, axis)
                for column in range(columns):
                    number[column] = high * _in_window(column, columns, half, 1 - axis)
            for column in range(columns):
                mean = np.sqrt(re[column] * re[column] + im[column] * im[column]) / max(number[column], _F(1))
                put[column] = mean if axis == 0 else np.sqrt(mean * put[column])
    if unknown:
        window_sum(valid, size, sums)
        for row in range(rows):
            high = _in_window(row, rows, half, 0)
            for column in range(columns):
                least = _F(0.5) * high * _in_window(column, columns, half, 0)
                if valid[row, column] == 0 or sums[row, column] < least:
                    result[row, column] = 0


@kernel
def _kept(gradient: np.float32) -> np.float32:
    """Return the sinc of half a gradient, 0 from a full fringe per pixel on."""
    x = max(abs(gradient) * _F(0.5), _F(1e-4))
    return _F(0) if x > _PI else cos_sin(x * _TURNS)[1] / x


@kernel
def gradient_coherence(phase: Real, result: Real) -> None:
    """Write what is left of the coherence by the slope of a phase, of at least 2 x 2 pixels."""
    rows, columns = phase.shape
    line = np.empty(columns, np.float32)
    for row in range(rows):
        above, below = phase[max(row - 1, 0)], phase[min(row + 1, rows - 1)]
        here, put = phase[row], result[row]
        scale = _F(0.5) if 0 < row < rows - 1 else _F(1)
        line[0] = here[1] - here[0]
        line[columns - 1] = here[columns - 1] - here[columns - 2]
        inner = line[1:]
        right = here[2:]
        for column in range(columns - 2):
            inner[column] = (right[column] - here[column]) * _F(0.5)
        for column in range(columns):
            put[column] = abs(_kept(line[column]) * _kept((below[column] - above[column]) * scale))
