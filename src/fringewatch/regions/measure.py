"""What can be said of one region: its size, its fringes, its coherence, whether it follows the terrain.

A region may be as large as the largest scene, of which no more than a tile is held at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.fringes import KNOWN_WEIGHT, Troughs, map_surface, surroundings_px, troughs_of
from fringewatch.interferogram import pixel_size_m
from fringewatch.regions.subsidence import ASSUMED_LOS_UP, subsidence, upward_part
from fringewatch.scan import upsample_logits

if TYPE_CHECKING:
    from collections.abc import Iterator

    import xarray as xr
    from numpy.typing import NDArray

    from fringewatch.fringes import Surface
    from fringewatch.scan import Scan

    Box = tuple[slice, slice]

__all__ = ["FringeEstimate", "Piece", "fringes_inside", "measure"]

_LEAST_PIXELS = 16
_TILE_PX = 2048
_LARGEST_TROUGH_PX = 4_000_000
"""Regions with larger bounds are no trough."""


class FringeEstimate(NamedTuple):
    """The phase signal inside a region; NaN where it cannot be told."""

    fringe_count: float
    peak_to_peak_los_cm: float
    phase_height_correlation: float


class Piece(NamedTuple):
    """One region on the map grid: a crop with a border of one map pixel, and where the crop starts."""

    logits: NDArray[np.float32]
    top: int
    left: int


def fringes_inside(
    phase_rad: NDArray[np.float32],
    inside: NDArray[np.bool_],
    wavelength_m: float,
    height_m: NDArray[np.float32] | None = None,
) -> FringeEstimate:
    """Estimate how many fringes a region holds, the LOS motion they stand for, and whether they follow the terrain.

    Local fringe rates are integrated by least squares, weighted by their coherence (Ghiglia and Romero 1994), and the
    range between the 1st and 99th percentile is taken where the phase is coherent.

    Parameters
    ----------
    phase_rad
        (H, W) wrapped phase; NaN = no data.
    inside
        (H, W) bool, the region.
    wavelength_m
        Radar wavelength in metres.
    height_m
        (H, W) terrain height, NaN = unknown.

    Returns
    -------
    FringeEstimate
        Fringes (range / 2 pi) and peak-to-peak LOS motion in cm (both >= 0); NaN where fewer than 16 pixels are
        coherent. Pearson's correlation of unwrapped phase and height over the same pixels; NaN without height or
        relief.

    Notes
    -----
    This is an order of magnitude, not a measurement. It includes the atmosphere inside the region; it misses what lies
    outside the polygon and what decorrelated; fringes denser than about one in three pixels are lost, so that the
    fast core of a mining trough or an earthquake is underestimated. It says nothing of the sign.
    """
    surface = map_surface(lambda rows, cols: (phase_rad[rows, cols], inside[rows, cols]), phase_rad.shape)
    known = None if height_m is None else height_m[:: surface.step, :: surface.step]
    return _fringes(surface, wavelength_m, known)


def measure(piece: Piece, scan: Scan, interferogram: xr.Dataset, edge: np.float32) -> dict[str, float | int | str]:
    """Return bounds, area, fringes, coherence and subsidence of a region, on the scene's own grid.

    Parameters
    ----------
    piece
        The region, cut out of the map of `scan`.
    scan, interferogram
        The scene.
    edge
        Logit at which the region ends.
    """
    region = _Region(piece, scan, edge)
    box = region.box
    coherence = interferogram.variables.get("coherence")
    area = known = 0
    total = 0.0
    for window in _tiles(box):
        inside = region.inside(*window)
        area += int(np.count_nonzero(inside))
        if coherence is not None:
            values = _values(coherence, window)[inside]
            known += int(np.isfinite(values).sum())
            total += float(np.nansum(values, dtype=np.float64))
    is_trough = _size(box) <= _LARGEST_TROUGH_PX
    surface, corner = _surface_of(region, surroundings_px(area) if is_trough else 0, interferogram)
    troughs, upward, size_m = Troughs.unknown(), ASSUMED_LOS_UP, pixel_size_m(interferogram)
    if is_trough:
        troughs = troughs_of(surface, area, pixel_ratio=1.0 if size_m is None else size_m[0] / size_m[1])
        look_up = interferogram.variables.get("los_up")
        upward = upward_part(None if look_up is None else _values(look_up, box)[region.inside(*box)])
    return {
        "area_px": area,
        "row0": box[0].start,
        "row1": box[0].stop,
        "col0": box[1].start,
        "col1": box[1].stop,
        **_fringes(surface, interferogram.attrs["wavelength_m"], _heights(surface, corner, interferogram))._asdict(),
        "mean_coherence": total / known if known else float("nan"),
        **subsidence(troughs, interferogram, upward=upward, size_m=size_m),
    }


class _Region:
    """Where a region lies on the scene's own grid."""

    def __init__(self, piece: Piece, scan: Scan, edge: np.float32) -> None:
        self._piece, self._scan, self._edge = piece, scan, edge
        # What the border of the piece adds beyond the scene is left out.
        top, left = piece.top * scan.stride, piece.left * scan.stride
        height, width = (size * scan.stride for size in piece.logits.shape)
        self._whole = (
            slice(max(top, 0), min(top + height, scan.shape[0])),
            slice(max(left, 0), min(left + width, scan.shape[1])),
        )
        self._single = False
        self._kept: tuple[Box, NDArray[np.bool_]] | None = None
        self.box = self._bounds()

    def inside(self, rows: slice, columns: slice) -> NDArray[np.bool_]:
        """Return which pixels of a window of the scene, within the piece, belong to the region."""
        if self._kept is not None:
            (top, left), values = ((axis.start for axis in self._kept[0]), self._kept[1])
            return values[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        stride = self._scan.stride
        top, left = self._piece.top * stride, self._piece.left * stride
        window = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
        if self._single:
            ranges = [np.arange(axis.start, axis.stop) for axis in window]
            one: NDArray[np.bool_] = np.logical_and.outer(*((axis >= stride) & (axis < 2 * stride) for axis in ranges))
            return one
        reached: NDArray[np.bool_] = upsample_logits(self._piece.logits, stride, *window) >= self._edge
        return reached

    def inside_around(self, rows: slice, columns: slice) -> NDArray[np.bool_]:
        """Return the same of any window of the scene."""
        result = np.zeros((rows.stop - rows.start, columns.stop - columns.start), bool)
        own = _overlap(rows, self.box[0]), _overlap(columns, self.box[1])
        if all(axis.start < axis.stop for axis in own):
            place = tuple(
                slice(axis.start - asked.start, axis.stop - asked.start)
                for axis, asked in zip(own, (rows, columns), strict=True)
            )
            result[place] = self.inside(*own)
        return result

    def _bounds(self) -> Box:
        rows, columns = self._whole
        some_rows = np.zeros(rows.stop - rows.start, bool)
        some_columns = np.zeros(columns.stop - columns.start, bool)
        tiles = list(_tiles(self._whole))
        for window in tiles:
            inside = self.inside(*window)
            some_rows[_moved(window[0], -rows.start)] |= inside.any(axis=1)
            some_columns[_moved(window[1], -columns.start)] |= inside.any(axis=0)
        if not some_rows.any():
            # A single map pixel that just reaches the edge: no scene pixel's centre falls on its centre.
            self._single = True
            return self._bounds()
        if len(tiles) == 1:
            # Asked for again and again.
            self._kept = self._whole, inside
        return _between(some_rows, rows.start), _between(some_columns, columns.start)


def _surface_of(region: _Region, reach: int, interferogram: xr.Dataset) -> tuple[Surface, tuple[int, int]]:
    """Return the surface of a region and so many pixels around it, and the pixel of the scene at its corner."""
    phase, box = interferogram.variables["phase"], region.box
    rows, columns = (
        slice(max(axis.start - reach, 0), min(axis.stop + reach, size))
        for axis, size in zip(box, phase.shape, strict=True)
    )

    def read(down: slice, across: slice) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        window = _moved(down, rows.start), _moved(across, columns.start)
        return _values(phase, window), region.inside_around(*window)

    shape = rows.stop - rows.start, columns.stop - columns.start
    return map_surface(read, shape), (rows.start, columns.start)


def _heights(surface: Surface, corner: tuple[int, int], interferogram: xr.Dataset) -> NDArray[np.float32] | None:
    """Return the terrain at the places of a surface; None where it is not known at all."""
    height = interferogram.variables.get("height")
    if height is None:
        return None
    rows, columns = (
        slice(start, start + (size - 1) * surface.step + 1, surface.step)
        for start, size in zip(corner, surface.inside.shape, strict=True)
    )
    return _values(height, (rows, columns))


def _fringes(surface: Surface, wavelength_m: float, height_m: NDArray[np.float32] | None) -> FringeEstimate:
    """Estimate fringes; see :func:`fringes_inside`."""
    coherent = surface.inside & (surface.weight > KNOWN_WEIGHT)
    if np.count_nonzero(coherent) * surface.step**2 < _LEAST_PIXELS:
        return FringeEstimate(float("nan"), float("nan"), float("nan"))
    phase = surface.height_rad[coherent]
    low, high = np.percentile(phase, [1, 99])
    span = float(high - low)
    correlation = float("nan") if height_m is None else _correlation(phase, height_m[coherent])
    return FringeEstimate(span / (2 * np.pi), 100 * span * wavelength_m / (4 * np.pi), correlation)


def _correlation(phase: NDArray[np.float64], height: NDArray[np.float32]) -> float:
    known = np.isfinite(height)
    if known.sum() < _LEAST_PIXELS or np.ptp(height[known]) == 0 or np.ptp(phase[known]) == 0:
        return float("nan")
    return float(np.corrcoef(phase[known], height[known])[0, 1])


def _tiles(box: Box) -> Iterator[Box]:
    """Cut an area of the scene into tiles."""
    rows, columns = box
    for top in range(rows.start, rows.stop, _TILE_PX):
        for left in range(columns.start, columns.stop, _TILE_PX):
            yield slice(top, min(top + _TILE_PX, rows.stop)), slice(left, min(left + _TILE_PX, columns.stop))


def _between(flags: NDArray[np.bool_], start: int) -> slice:
    places = np.flatnonzero(flags)
    return slice(start + int(places[0]), start + int(places[-1]) + 1)


def _overlap(one: slice, other: slice) -> slice:
    return slice(max(one.start, other.start), min(one.stop, other.stop))


def _moved(axis: slice, by: int) -> slice:
    return slice(axis.start + by, axis.stop + by)


def _size(box: Box) -> int:
    return int((box[0].stop - box[0].start) * (box[1].stop - box[1].start))


def _values(variable: xr.Variable, window: Box) -> NDArray[np.float32]:
    return np.asarray(variable[window].values, np.float32)
