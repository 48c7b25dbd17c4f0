"""Kernels of masks: connected parts, and where deformation shows; see ``simulate.visible`` for what they decide."""

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
def _runs(mask: Mask, diagonal: int) -> tuple[Labels, Labels]:
    """Return runs of True, each (row, first column, column after the last), and for each one it hangs together with.

    A run that names itself is the root of a connected part, and comes first in it.
    """
    rows, columns = mask.shape
    most = rows * ((columns + 1) // 2)
    runs, parents = np.empty((most, 3), np.int32), np.empty(most, np.int32)
    count, above = 0, 0
    for row in range(rows):
        line = mask[row]
        start, column = count, 0
        while column < columns:
            if not line[column]:
                column += 1
                continue
            first = column
            while column < columns and line[column]:
                column += 1
            runs[count, 0], runs[count, 1], runs[count, 2] = row, first, column
            parents[count] = count
            # Those of the row above lie in order, so that each is looked at once, or once more.
            while above < start and runs[above, 2] + diagonal <= first:
                above += 1
            other = above
            while other < start and runs[other, 1] < column + diagonal:
                one, two = _root(parents, count), _root(parents, other)
                parents[max(one, two)] = min(one, two)
                other += 1
            count += 1
        above = start
    return runs[:count], parents[:count]


@kernel
def label(mask: Mask, diagonal: int, labels: Labels) -> int:
    """Write the numbers of connected parts, from 1, in the order of their first pixels; return how many there are.

    With ``diagonal`` 1 pixels that touch at corners are connected too.
    """
    runs, parents = _runs(mask, diagonal)
    labels[:] = 0
    kept = 0
    for run in range(parents.size):
        # Roots come before what hangs on them.
        if parents[run] == run:
            kept += 1
            parents[run] = -kept
        else:
            parents[run] = parents[parents[run]]
        labels[runs[run, 0], runs[run, 1] : runs[run, 2]] = -parents[run]
    return kept


@kernel
def large(deformation: Real, least: np.float32, share: np.float32, mask: Mask) -> None:
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
    runs, parents = _runs(mask, 0)
    peaks = np.zeros(parents.size, np.float32)
    for run in range(parents.size):
        part = deformation[runs[run, 0], runs[run, 1] : runs[run, 2]]
        peak = _F(0)
        for i in range(part.size):
            peak = max(peak, abs(part[i]))
        root = _root(parents, run)
        peaks[root] = max(peaks[root], peak)
    for run in range(parents.size):
        enough = share * peaks[_root(parents, run)]
        row, first, last = runs[run]
        part, put = deformation[row, first:last], mask[row, first:last]
        for i in range(part.size):
            put[i] = abs(part[i]) > enough


@kernel
def fill_holes(mask: Mask, result: Mask) -> None:
    """Write a mask with what is not connected to the edge filled."""
    rows, columns = mask.shape
    for row in range(rows):
        for column in range(columns):
            result[row, column] = not mask[row, column]
    runs, parents = _runs(result, 0)
    outside = np.zeros(parents.size, np.bool_)
    for run in range(parents.size):
        row, first, last = runs[run]
        if row in (0, rows - 1) or first == 0 or last == columns:
            outside[_root(parents, run)] = True
    result[:] = True
    for run in range(parents.size):
        if outside[_root(parents, run)]:
            result[runs[run, 0], runs[run, 1] : runs[run, 2]] = False


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
