"""Kernels of masks: connected parts, and where deformation shows; see ``simulate.visibility`` for what they decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fringewatch.compiled.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Real = NDArray[np.float32]
    Mask = NDArray[np.bool_]
    Labels = NDArray[np.int32]

__all__ = ["area_sums", "deviation_where", "fill_holes", "followed", "label", "large", "largest_nearby"]

_F = np.float32
_TURN, _TURNS = _F(2 * np.pi), _F(0.5 / np.pi)


@kernel
def _root(parents: Labels, label: int) -> int:
    while parents[label] != label:
        parents[label] = parents[parents[label]]
        label = parents[label]
    return label


@kernel
def label(mask: Mask, diagonal: int, labels: Labels) -> int:
    """Write the numbers of connected parts, from 1, in the order of their first pixels; return how many there are.

    With ``diagonal`` 1 pixels that touch at corners are connected too.
    """
    rows, columns = mask.shape
    parents = np.zeros(rows * columns // 2 + 2, np.int32)
    count = 0
    for row in range(rows):
        for column in range(columns):
            if not mask[row, column]:
                labels[row, column] = 0
                continue
            found = 0
            if column > 0 and mask[row, column - 1]:
                found = labels[row, column - 1]
            if row > 0:
                first, last = max(column - diagonal, 0), min(column + diagonal, columns - 1)
                for other in range(first, last + 1):
                    if mask[row - 1, other]:
                        number = labels[row - 1, other]
                        if found == 0:
                            found = number
                        elif number != found:
                            one, two = _root(parents, found), _root(parents, number)
                            parents[max(one, two)] = min(one, two)
            if found == 0:
                count += 1
                parents[count] = count
                found = count
            labels[row, column] = found
    # Roots come before what hangs on them.
    kept = 0
    for number in range(1, count + 1):
        if parents[number] == number:
            kept += 1
            parents[number] = -kept
        else:
            above = parents[number]
            parents[number] = parents[above] if parents[above] < 0 else above
    for row in range(rows):
        for column in range(columns):
            if labels[row, column]:
                labels[row, column] = -parents[labels[row, column]]
    return kept


@kernel
def large(deformation: Real, least: np.float32, share: np.float32, labels: Labels, mask: Mask) -> None:
    """Write where deformation is above ``least`` and above a share of the peak of its connected part."""
    rows, columns = deformation.shape
    peak = _F(0)
    for row in range(rows):
        values, put = deformation[row], mask[row]
        for column in range(columns):
            size = abs(values[column])
            peak = max(peak, size)
            put[column] = size > least
    if share * peak <= least:
        return
    count = label(mask, 0, labels)
    peaks = np.zeros(count + 1, np.float32)
    for row in range(rows):
        for column in range(columns):
            number = labels[row, column]
            if number:
                peaks[number] = max(peaks[number], abs(deformation[row, column]))
    for row in range(rows):
        for column in range(columns):
            number = labels[row, column]
            if number:
                mask[row, column] = abs(deformation[row, column]) > share * peaks[number]


@kernel
def fill_holes(mask: Mask, labels: Labels, result: Mask) -> None:
    """Write a mask with what is not connected to the edge filled."""
    rows, columns = mask.shape
    for row in range(rows):
        for column in range(columns):
            result[row, column] = not mask[row, column]
    count = label(result, 0, labels)
    outside = np.zeros(count + 1, np.bool_)
    for row in range(rows):
        outside[labels[row, 0]] = True
        outside[labels[row, columns - 1]] = True
    for column in range(columns):
        outside[labels[0, column]] = True
        outside[labels[rows - 1, column]] = True
    outside[0] = False
    for row in range(rows):
        for column in range(columns):
            result[row, column] = not outside[labels[row, column]]


@kernel
def largest_nearby(labels: Labels, reach: int, result: Labels) -> None:
    """Write the largest number in the square window that reaches so far about each pixel."""
    rows, columns = labels.shape
    line = np.zeros(columns + 2 * reach, np.int32)
    middle = line[reach : reach + columns]
    for row in range(rows):
        middle[:] = 0
        for other in range(max(row - reach, 0), min(row + reach + 1, rows)):
            taken = labels[other]
            for column in range(columns):
                middle[column] = max(middle[column], taken[column])
        put = result[row]
        put[:] = 0
        for shift in range(2 * reach + 1):
            moved = line[shift : shift + columns]
            for column in range(columns):
                put[column] = max(put[column], moved[column])


@kernel
def followed(
    phase: Real, background: Real, deformation: Real, around: Labels, steepest: np.float32, sums: NDArray[np.float64]
) -> None:
    """Add up by how much the steps of a phase follow those of the deformation, and the squares of these.

    The sums are (2, parts + 1), by the numbers in ``around``.
    Steps beside no data, and steeper ones than ``steepest``, do not count.
    """
    rows, columns = phase.shape
    for axis in range(2):
        down, right = 1 - axis, axis
        for row in range(down, rows):
            for column in range(right, columns):
                number = max(around[row, column], around[row - down, column - right])
                if number == 0:
                    continue
                wanted = deformation[row, column] - deformation[row - down, column - right]
                seen = (phase[row, column] - background[row, column]) - (
                    phase[row - down, column - right] - background[row - down, column - right]
                )
                if abs(wanted) < steepest and not np.isnan(seen):
                    seen -= _TURN * np.floor(seen * _TURNS + _F(0.5))
                    sums[0, number] += seen * wanted
                    sums[1, number] += wanted * wanted


@kernel
def area_sums(
    deformation: Real, moved: Mask, coherence: Real, least: np.float32, squared: Real, block: int
) -> tuple[int, int, float, float]:
    """Count every other pixel that moved, and those of them that are coherent, and add up over the latter.

    Returns both counts, and the sums of squared steps of the deformation and of the background, ``squared`` being the
    latter's in blocks.
    """
    blocks_down, blocks_across = squared.shape
    count, all_moved, signal, clutter = 0, 0, 0.0, 0.0
    for row in range(1, blocks_down * block, 2):
        for column in range(1, blocks_across * block, 2):
            if not moved[row, column]:
                continue
            all_moved += 1
            if coherence[row, column] > least:
                count += 1
                right = deformation[row, column] - deformation[row, column - 1]
                down = deformation[row, column] - deformation[row - 1, column]
                signal += right * right + down * down
                clutter += squared[row // block, column // block]
    return count, all_moved, signal, clutter


@kernel
def deviation_where(values: Real, motion: Real, share: float) -> tuple[float, float]:
    """Return the peak of a motion, and the standard deviation of values where it is a share of that; -1 for none."""
    peak = _F(0)
    for i in range(motion.size):
        peak = max(peak, abs(motion[i]))
    least = max(_F(share * peak), _F(1.2e-38))
    count, total, squares = 0, 0.0, 0.0
    for i in range(motion.size):
        counts = abs(motion[i]) >= least and np.isfinite(values[i])
        value = float(values[i]) if counts else 0.0
        count += 1 if counts else 0
        total += value
        squares += value * value
    if count == 0:
        return float(peak), -1.0
    mean = total / count
    return float(peak), np.sqrt(max(squares / count - mean * mean, 0.0))
