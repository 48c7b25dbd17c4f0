"""What is mistaken for small troughs: cells of local delay, fields, patches of noise in coherent phase.

Terrain, turbulence and coherence of :mod:`~fringewatch.simulate.background` vary over kilometres. Over mines, with
pixels of 5 to 100 m, what looks like a trough is as small as a trough.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.conventions import los_to_phase
from fringewatch.simulate.distributions import log_uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fringewatch.simulate.ranges import ClutterRanges

    Real = NDArray[np.float32]

__all__ = ["Clutter", "draw_clutter"]

_REFERENCE_CELL_M = 2000.0
_MOST_STRETCHED = 2.5
_WOBBLE = 0.25
_LOBES = (2, 3, 5)
# Widths from the middle of a cell at which less than a millionth of its peak is left.
_CELL_REACH = 2.3


class Clutter(NamedTuple):
    """What clutter does to a scene."""

    phase_rad: Real
    """(H, W), to be added."""
    kept: Real
    """(H, W) share of the coherence that is left, 0 to 1."""
    parameters: dict[str, float | int | str]


def draw_clutter(
    rng: np.random.Generator, ranges: ClutterRanges, shape: tuple[int, int], pixel_m: float, wavelength_m: float
) -> Clutter | None:
    """Draw the clutter of a scene.

    Parameters
    ----------
    rng
        Source of randomness.
    ranges
        Shares of scenes and ranges of each kind of clutter, which come independently.
    shape
        Rows and columns.
    pixel_m
        Pixel size, metres.
    wavelength_m
        Of the radar.

    Returns
    -------
    Clutter or None
        None where the scene has none.

    Notes
    -----
    Cells are humps and hollows of delay, as convection and sheltered air leave them: their peak is normally distributed
    and grows with the 5/6 power of their width, as the standard deviation of turbulence does (Hanssen 2001); it stays
    below the fringe that a trough shows, or no one could tell the two apart. Fields
    differ in soil moisture, which changes phase by up to a radian or so and takes coherence (De Zan et al. 2014, IEEE
    TGRS 52, 418-425). Patches of noise have ragged outlines and a phase of their own, as the mean height of scatterers
    in woods leaves it.
    """
    shares = ranges.cells_share, ranges.fields_share, ranges.spots_share
    cells, fields, spots = (share > 0 and rng.random() < share for share in shares)
    if not (cells or fields or spots):
        return None
    phase, kept = np.zeros(shape, np.float32), np.ones(shape, np.float32)
    parameters: dict[str, float | int | str] = {}
    if cells:
        delay, parameters["cells"] = _draw_cells(rng, ranges, shape, pixel_m)
        phase += los_to_phase(delay, wavelength_m)
    if fields:
        _add_fields(rng, ranges, pixel_m, phase, kept)
        parameters["fields"] = 1
    if spots:
        parameters["spots"] = _add_spots(rng, ranges, pixel_m, phase, kept)
    return Clutter(phase, kept, parameters)


def _draw_cells(
    rng: np.random.Generator, ranges: ClutterRanges, shape: tuple[int, int], pixel_m: float
) -> tuple[Real, int]:
    """Return the delay (H, W) of a number of Gaussian cells, metres, and how many these are."""
    count = int(rng.integers(ranges.cells[0], ranges.cells[1] + 1))
    delay = np.zeros(shape, np.float32)
    for _ in range(count):
        width_m = log_uniform(rng, *ranges.cell_m)
        peak_m = float(np.clip(rng.normal(), -2, 2)) * ranges.cell_std_m * (width_m / _REFERENCE_CELL_M) ** (5 / 6)
        part, u, v = _axes(rng, shape, width_m / pixel_m, _CELL_REACH)
        delay[part] += np.float32(peak_m) * np.exp2(-4 * (u * u + v * v))
    return delay, count


def _add_fields(rng: np.random.Generator, ranges: ClutterRanges, pixel_m: float, phase: Real, kept: Real) -> None:
    """Cut the scene into parcels, and give a share of them a phase and a loss of coherence."""
    width_px = log_uniform(rng, *ranges.field_m) / pixel_m
    u, v = _turned(phase.shape, np.zeros(2), float(rng.uniform(0, 2 * math.pi)), 1.0)
    strips = np.floor(u / np.float32(width_px)).astype(np.intp)
    strips -= strips.min()
    # Each strip is cut across at its own places.
    number = int(strips.max()) + 1
    lengths = (width_px * rng.uniform(1.0, 4.0, number)).astype(np.float32)
    begins = (rng.uniform(0, 1, number) * lengths).astype(np.float32)
    # np.take is twice as fast as an array in brackets.
    parcels = np.floor((v + np.take(begins, strips)) / np.take(lengths, strips)).astype(np.intp)
    parcels -= parcels.min()
    table = (number, int(parcels.max()) + 1)
    tilled = rng.random(table) < rng.uniform(0.2, 0.9)
    offsets = rng.normal(0.0, rng.uniform(*ranges.field_std_rad), table) * tilled
    losses = rng.uniform(0.0, rng.uniform(*ranges.field_loss), table) * tilled
    number_of = strips * table[1] + parcels
    phase += np.take(offsets.astype(np.float32), number_of)
    kept *= np.take((1 - losses).astype(np.float32), number_of)


def _add_spots(rng: np.random.Generator, ranges: ClutterRanges, pixel_m: float, phase: Real, kept: Real) -> int:
    """Lower the coherence in ragged patches and shift their phase; return how many these are."""
    count = int(rng.integers(ranges.spots[0], ranges.spots[1] + 1))
    for _ in range(count):
        part, u, v = _axes(rng, phase.shape, log_uniform(rng, *ranges.spot_m) / pixel_m, 0.5 + _WOBBLE)
        angle = np.arctan2(v, u)
        outline = np.float32(0.5) + sum(
            np.float32(rng.uniform(0, _WOBBLE / len(_LOBES)))
            * np.cos(np.float32(lobes) * angle + np.float32(rng.uniform(0, 2 * math.pi)))
            for lobes in _LOBES
        )
        inside = u * u + v * v < outline * outline
        kept[part][inside] *= np.float32(rng.uniform(*ranges.spot_kept))
        phase[part][inside] += np.float32(rng.normal(0.0, ranges.spot_std_rad))
    return count


def _axes(
    rng: np.random.Generator, shape: tuple[int, ...], width_px: float, reach: float
) -> tuple[tuple[slice, slice], Real, Real]:
    """Return a part of the scene, and its coordinates about a random place along the axes of an ellipse.

    Coordinates are 1 at the mean diameter of the ellipse. The part holds all pixels whose distance in them is at most
    `reach`.
    """
    middle, angle = _draw_place(rng, shape)
    stretched = math.sqrt(rng.uniform(1.0, _MOST_STRETCHED))
    reach_px = reach * stretched * width_px
    first, last = (np.clip((middle - reach_px, middle + reach_px + 1), 0, shape)).astype(int)
    part = slice(first[0], last[0]), slice(first[1], last[1])
    u, v = _turned(tuple(last - first), middle - first, angle, width_px)
    return part, u * np.float32(stretched), v / np.float32(stretched)


def _draw_place(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[NDArray[np.float64], float]:
    """Draw a row and column, and an angle."""
    middle = rng.uniform(0, 1, 2) * shape
    return middle, float(rng.uniform(0, 2 * math.pi))


def _turned(shape: tuple[int, ...], middle: NDArray[np.float64], angle: float, unit_px: float) -> tuple[Real, Real]:
    """Return coordinates (H, W) in a unit of so many pixels, turned by an angle."""
    sin, cos = np.float32(math.sin(angle) / unit_px), np.float32(math.cos(angle) / unit_px)
    rows = np.arange(shape[0], dtype=np.float32)[:, np.newaxis] - np.float32(middle[0])
    cols = np.arange(shape[1], dtype=np.float32) - np.float32(middle[1])
    return cols * cos - rows * sin, rows * cos + cols * sin
