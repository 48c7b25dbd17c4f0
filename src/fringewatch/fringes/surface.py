"""The height map of a pattern and of what surrounds it, on a grid as coarse as the time for it demands.

Local fringe rates, weighted by their coherence, are integrated. Rates change slowly: of a large pattern every n-th
pixel will do, which the steps then reach across.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.fringes.activity import rate_weight
from fringewatch.fringes.heights import integrate_steps
from fringewatch.fringes.rates import sampled_rates, sampled_reach_px

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Real = NDArray[np.float64]
    Read = Callable[[slice, slice], tuple[NDArray[np.float32], NDArray[np.bool_]]]
    """A window (explicit bounds) to its wrapped phase and where the pattern is."""

__all__ = ["KNOWN_WEIGHT", "Surface", "map_surface"]

KNOWN_WEIGHT = 0.05
"""Weight from which a rate is more than noise."""

_SIGMA_PX = 1.0
_MOST_PX = 5_000
_TILE_PX = 2048


class Surface(NamedTuple):
    """Unwrapped phase on every `step`-th pixel of an area; arrays are (h, w)."""

    height_rad: Real
    """Up to a constant; where nothing is known, bridged as a soap film is."""
    weight: NDArray[np.float32]
    """How much the rate of a pixel counts, 0 (noise or no data) to 1."""
    steepest_rad: NDArray[np.float32]
    """The larger of the two rates, radians per pixel of the scene."""
    inside: NDArray[np.bool_]
    """The pattern."""
    has_data: NDArray[np.bool_]
    """Whether the pixel holds a phase, be it noise."""
    step: int


def map_surface(read: Read, shape: tuple[int, int]) -> Surface:
    """Integrate the fringe rates of an area.

    Parameters
    ----------
    read
        Gives wrapped phase, radians, NaN = no data, and the pattern in a window of the area. No more than a tile is
        asked for at a time.
    shape
        (H, W) of the area.

    Returns
    -------
    Surface
        Of at most about 5,000 pixels; the same whatever the tiles.
    """
    step = int(np.ceil(np.sqrt(shape[0] * shape[1] / _MOST_PX)))
    thinned = -(-shape[0] // step), -(-shape[1] // step)
    row_rad, col_rad, weight = (np.empty(thinned, np.float32) for _ in range(3))
    inside, has_data = np.empty((2, *thinned), bool)
    for target, tile in _tiles(shape, step):
        reach = sampled_reach_px(_SIGMA_PX)
        around = [
            slice(max(axis.start - reach, 0), min(axis.stop + reach, size))
            for axis, size in zip(tile, shape, strict=True)
        ]
        phase_rad, pattern = read(*around)
        rows, cols = (
            slice(axis.start - grown.start, axis.stop - grown.start, step)
            for axis, grown in zip(tile, around, strict=True)
        )
        row_rad[target], col_rad[target], coherence = sampled_rates(phase_rad, rows, cols, sigma_px=_SIGMA_PX)
        weight[target], inside[target] = rate_weight(coherence), pattern[rows, cols]
        has_data[target] = np.isfinite(phase_rad[rows, cols])
    # What noise makes up is bridged like gaps; little by itself, it adds up to centimetres across an incoherent core.
    weight[weight < KNOWN_WEIGHT] = 0
    half_step = np.float32(0.5 * step)
    height = integrate_steps(
        half_step * (row_rad[1:] + row_rad[:-1]),
        half_step * (col_rad[:, 1:] + col_rad[:, :-1]),
        weight,
        iterations=30,
        tolerance=0.02,
    )
    return Surface(height, weight, np.maximum(np.abs(row_rad), np.abs(col_rad)), inside, has_data, step)


def _tiles(shape: tuple[int, int], step: int) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """Cut an area into tiles that start at multiples of `step`; yield each on the thinned grid and on its own."""
    side = -(-_TILE_PX // step)
    sizes = [-(-size // step) for size in shape]
    for top in range(0, sizes[0], side):
        for left in range(0, sizes[1], side):
            target = slice(top, min(top + side, sizes[0])), slice(left, min(left + side, sizes[1]))
            rows, cols = (
                slice(axis.start * step, min(axis.stop * step, size)) for axis, size in zip(target, shape, strict=True)
            )
            yield target, (rows, cols)
