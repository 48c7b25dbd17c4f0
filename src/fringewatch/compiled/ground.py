"""Kernels of terrain and of the coherence that follows it; see ``physics.terrain`` and ``simulate.cover``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fringewatch.compiled.elementary import angle, exp2, log2
from fringewatch.compiled.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Real = NDArray[np.float32]

__all__ = ["cone", "cover", "fill_range", "mean_and_deviation", "waves"]

_F = np.float32
_LOG2_E = _F(1.4426950408889634)
_DEGREES_OVER_20 = _F(180 / np.pi / 20)


@kernel
def mean_and_deviation(values: Real) -> tuple[float, float]:
    """Return mean and standard deviation of a 2-D array."""
    total = 0.0
    for row in range(values.shape[0]):
        part, taken = _F(0), values[row]
        for column in range(values.shape[1]):
            part += taken[column]
        total += float(part)
    mean = total / values.size
    squares, middle = 0.0, _F(mean)
    for row in range(values.shape[0]):
        part, taken = _F(0), values[row]
        for column in range(values.shape[1]):
            part += (taken[column] - middle) * (taken[column] - middle)
        squares += float(part)
    return mean, np.sqrt(squares / values.size)


@kernel
def waves(orders: NDArray[np.intp], cosine_weights: Real, sine_weights: Real, tables: tuple[Real, Real]) -> Real:
    """Return the sum of waves whose cosines and sines are tabulated, (orders, directions), less that of the sines."""
    cosines, sines = tables
    total = np.zeros(cosines.shape[1], np.float32)
    for wave in range(orders.size):
        cosine, sine = cosines[orders[wave]], sines[orders[wave]]
        a, b = cosine_weights[wave], sine_weights[wave]
        for direction in range(total.size):
            total[direction] += a * cosine[direction] - b * sine[direction]
    return total


@kernel
def cone(
    ground: Real,
    corner: tuple[int, int],
    shape: tuple[int, int],
    middle: tuple[float, float],
    over_radius: np.float32,
    highest: np.float32,
    curvature: np.float32,
    summit: np.float32,
    outline: Real,
    gullies: Real,
    aside: np.float32,
    mean: np.float32,
) -> None:
    """Raise a part of the ground, given by its corner and shape, by a cone.

    ``outline`` and ``gullies`` are tables by direction, 2^n of each, or empty.
    ``over_radius`` turns pixels into radii, ``highest`` is the value of ``1 - distance`` at the crater's edge, and
    ``aside`` the steps of the table by which a metre of ground above its mean turns gullies.
    """
    rows, columns = shape
    directions = outline.size
    # Their number is a power of two: its lower bits are the place in the circle, of negative ones too.
    last = np.int32(directions - 1)
    steps = _F(directions / (2 * np.pi))
    middle_row, middle_column = _F(middle[0]), _F(middle[1])
    distance, missing = np.empty(columns, np.float32), np.zeros(columns, np.float32)
    direction, turned = np.empty(columns, np.int32), np.empty(columns, np.int32)
    # A loop for each kind of work: one that looks up in tables does not run on the processor's vectors.
    for row in range(rows):
        y = _F(row) - middle_row
        put = ground[corner[0] + row][corner[1] : corner[1] + columns]
        for column in range(columns):
            x = _F(np.int32(column)) - middle_column
            distance[column] = np.sqrt(x * x + y * y) * over_radius
        if directions:
            for column in range(columns):
                turn = angle(y, _F(np.int32(column)) - middle_column) * steps
                direction[column] = np.int32(turn) & last
                turned[column] = np.int32(turn + (put[column] - mean) * aside) & last
            for column in range(columns):
                distance[column] /= outline[direction[column]]
            for column in range(columns):
                missing[column] = gullies[turned[column]]
        for column in range(columns):
            flank = min(max(_F(1) - distance[column], _F(0)), highest)
            share = missing[column] * flank * _F(4) * (_F(1) - flank)
            raised = exp2(curvature * log2(max(flank, _F(1e-30)))) if flank > 0 else _F(0)
            put[column] += summit * (raised - raised * share)


@kernel
def fill_range(values: Real, low: np.float32, size: np.float32) -> None:
    """Shift and stretch 2-D values so that they range from ``low`` over ``size``."""
    least, most = values[0, 0], values[0, 0]
    for row in range(values.shape[0]):
        taken = values[row]
        for column in range(values.shape[1]):
            least = min(least, taken[column])
            most = max(most, taken[column])
    scale = size / max(most - least, _F(1e-12))
    for row in range(values.shape[0]):
        taken = values[row]
        for column in range(values.shape[1]):
            taken[column] = (taken[column] - least) * scale + low


@kernel
def cover(
    odds: Real,
    height: Real,
    pixel: np.float32,
    log_odds: np.float32,
    by_slope: np.float32,
    by_height: np.float32,
    mean_and_scale: tuple[np.float32, np.float32],
    belt: tuple[np.float32, np.float32, np.float32],
    floor: np.float32,
    look: tuple[np.float32, np.float32, np.float32],
    hidden: np.float32,
    result: Real,
) -> None:
    """Write the coherence of a ground from its field of log-odds.

    ``belt`` is the loss in a belt of heights, its middle and the inverse of its width, in standard deviations of the
    height. Where the radar does not see the ground, along ``look`` (0, 0, 0 for none), coherence is multiplied with
    ``hidden``.
    """
    rows, columns = height.shape
    mean, scale = mean_and_scale
    loss, level, sharpness = belt
    east, north, up = look
    sin_squared = _F(1) - up * up
    right = np.empty(columns, np.float32)
    over, half = _F(1) / pixel, _F(0.5) / pixel
    for row in range(rows):
        above, here, below = height[max(row - 1, 0)], height[row], height[min(row + 1, rows - 1)]
        down_scale = half if 0 < row < rows - 1 else over
        right[0] = (here[1] - here[0]) * over
        right[columns - 1] = (here[columns - 1] - here[columns - 2]) * over
        inner, beyond = right[1:], here[2:]
        for column in range(columns - 2):
            inner[column] = (beyond[column] - here[column]) * half
        taken, put = odds[row], result[row]
        for column in range(columns):
            down = (below[column] - above[column]) * down_scale
            slope = np.sqrt(down * down + right[column] * right[column])
            slope = angle(slope, _F(1)) * _DEGREES_OVER_20
            relative = (here[column] - mean) * scale
            away = (relative - level) * sharpness
            value = taken[column] + log_odds - by_slope * slope * slope + by_height * relative
            value -= loss * exp2(-_LOG2_E * away * away)
            # The logistic function, whose exponent is kept where float32 holds it.
            odd = exp2(-_LOG2_E * min(max(value, _F(-80)), _F(80)))
            coherence = floor + (_F(1) - floor) / (_F(1) + odd)
            climb = down * north - right[column] * east
            unseen = up > 0 and (climb * up >= sin_squared or -climb >= up)
            put[column] = coherence * hidden if unseen else coherence
