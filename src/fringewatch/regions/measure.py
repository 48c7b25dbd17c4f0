"""What can be said of one region: its size, its fringes, its coherence, whether it follows the terrain.

A region may be as large as the largest scene, of which no more than a tile is held at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import ndimage

from fringewatch.regions.subsidence import subsidence
from fringewatch.scan import upsample_logits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import xarray as xr
    from numpy.typing import NDArray

    from fringewatch.scan import Scan

    Box = tuple[slice, slice]
    Read = Callable[[slice, slice], tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32] | None]]
    """A window of a region to its phase, where it is inside, and the height."""

__all__ = ["FringeEstimate", "Piece", "fringes_inside", "measure"]

_SMOOTHING_PX = 1.0
_REACH_PX = 4
"""Beyond four standard deviations the smoothing takes nothing into account."""
_LEAST_CONSISTENCY = 0.3
_LEAST_PIXELS = 16
_MOST_PIXELS = 250_000
_MOST_BOX_PIXELS = 16_000_000
_TILE_PX = 2048


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

    The wrapped phase is smoothed as a complex number (Gaussian, 1 pixel), unwrapped over the largest connected part
    where neighbouring pixels agree (Herraez et al. 2002), and the range between the 1st and 99th percentile is taken.

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
        Fringes (range / 2 pi) and peak-to-peak LOS motion in cm (both >= 0); NaN where fewer than 16 pixels agree.
        Pearson's correlation of unwrapped phase and height over the same pixels; NaN without height or relief.

    Notes
    -----
    This is an order of magnitude, not a measurement. It includes the atmosphere inside the region; it misses what lies
    outside the polygon and what decorrelated; fringes denser than about one in four pixels are lost, so that the
    fast core of a mining trough or an earthquake is underestimated. It says nothing of the sign.
    """

    def read(rows: slice, columns: slice) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32] | None]:
        height = None if height_m is None else height_m[rows, columns]
        return phase_rad[rows, columns], inside[rows, columns], height

    usable = int((inside & np.isfinite(phase_rad)).sum())
    return _fringes(read, inside.shape, usable, wavelength_m)


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
    rows, columns = region.box
    phase, wavelength_m = interferogram["phase"], interferogram.attrs["wavelength_m"]
    area = usable = known = 0
    total = 0.0
    for tile in _tiles((rows.stop - rows.start, columns.stop - columns.start), 1):
        window = _shifted(tile, rows.start, columns.start)
        inside = region.inside(*window)
        area += int(inside.sum())
        usable += int((inside & np.isfinite(_values(phase, window))).sum())
        if "coherence" in interferogram:
            coherence = _values(interferogram["coherence"], window)[inside]
            known += int(np.isfinite(coherence).sum())
            total += float(np.nansum(coherence, dtype=np.float64))

    def read(down: slice, across: slice) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32] | None]:
        window = _shifted((down, across), rows.start, columns.start)
        height = _values(interferogram["height"], window) if "height" in interferogram else None
        return _values(phase, window), region.inside(*window), height

    shape = rows.stop - rows.start, columns.stop - columns.start
    return {
        "area_px": area,
        "row0": rows.start,
        "row1": rows.stop,
        "col0": columns.start,
        "col1": columns.stop,
        **_fringes(read, shape, usable, wavelength_m)._asdict(),
        "mean_coherence": total / known if known else float("nan"),
        **subsidence(region.box, region.inside, interferogram),
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
        self.box = self._bounds()

    def inside(self, rows: slice, columns: slice) -> NDArray[np.bool_]:
        """Return which pixels of a window of the scene, within the piece, belong to the region."""
        stride = self._scan.stride
        top, left = self._piece.top * stride, self._piece.left * stride
        window = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
        if self._single:
            ranges = [np.arange(axis.start, axis.stop) for axis in window]
            one: NDArray[np.bool_] = np.logical_and.outer(*((axis >= stride) & (axis < 2 * stride) for axis in ranges))
            return one
        reached: NDArray[np.bool_] = upsample_logits(self._piece.logits, stride, *window) >= self._edge
        return reached

    def _bounds(self) -> Box:
        rows, columns = self._whole
        some_rows = np.zeros(rows.stop - rows.start, bool)
        some_columns = np.zeros(columns.stop - columns.start, bool)
        for down, across in _tiles((len(some_rows), len(some_columns)), 1):
            inside = self.inside(*_shifted((down, across), rows.start, columns.start))
            some_rows[down] |= inside.any(axis=1)
            some_columns[across] |= inside.any(axis=0)
        if not some_rows.any():
            # A single map pixel that just reaches the edge: no scene pixel's centre falls on its centre.
            self._single = True
            return self._bounds()
        return _between(some_rows, rows.start), _between(some_columns, columns.start)


def _between(flags: NDArray[np.bool_], start: int) -> slice:
    places = np.flatnonzero(flags)
    return slice(start + int(places[0]), start + int(places[-1]) + 1)


def _tiles(shape: tuple[int, int], step: int) -> Iterator[Box]:
    """Cut an area into tiles that start at multiples of `step`."""
    side = -(-_TILE_PX // step) * step
    for top in range(0, shape[0], side):
        for left in range(0, shape[1], side):
            yield slice(top, min(top + side, shape[0])), slice(left, min(left + side, shape[1]))


def _shifted(box: Box, down: int, across: int) -> Box:
    rows, columns = box
    return slice(rows.start + down, rows.stop + down), slice(columns.start + across, columns.stop + across)


def _values(variable: xr.DataArray, window: Box) -> NDArray[np.float32]:
    return np.asarray(variable[window].values, np.float32)


def _fringes(read: Read, shape: tuple[int, int], usable: int, wavelength_m: float) -> FringeEstimate:
    """Estimate fringes; see :func:`fringes_inside`. `usable` pixels of the region have a phase."""
    nothing = FringeEstimate(float("nan"), float("nan"), float("nan"))
    if usable < _LEAST_PIXELS:
        return nothing
    # Unwrapping is the only step whose time could run away on a large region.
    step = int(np.ceil(np.sqrt(max(usable / _MOST_PIXELS, shape[0] * shape[1] / _MOST_BOX_PIXELS))))
    thinned = -(-shape[0] // step), -(-shape[1] // step)
    angle, height_m = np.empty(thinned, np.float32), np.full(thinned, np.nan, np.float32)
    consistent = np.empty(thinned, bool)
    has_height = False
    for tile in _tiles(shape, step):
        target = tuple(slice(axis.start // step, -(-axis.stop // step)) for axis in tile)
        angle[target], consistent[target], height = _smooth(read, tile, shape, step)
        if height is not None:
            has_height = True
            height_m[target] = height
    labels, number = ndimage.label(consistent)
    if number == 0:
        return nothing
    sizes = np.bincount(labels.ravel())[1:]
    largest = labels == sizes.argmax() + 1
    if sizes.max() < _LEAST_PIXELS:
        return nothing
    unwrapped = _unwrap(np.ma.masked_array(angle, ~largest))
    low, high = np.percentile(unwrapped, [1, 99])
    span = float(high - low)
    correlation = _correlation(unwrapped, height_m[largest]) if has_height else float("nan")
    return FringeEstimate(span / (2 * np.pi), 100 * span * wavelength_m / (4 * np.pi), correlation)


def _smooth(
    read: Read, tile: Box, shape: tuple[int, int], step: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32] | None]:
    """Return smoothed phase, where it is consistent, and the height, at every `step`-th pixel of a tile."""
    around = tuple(
        slice(max(axis.start - _REACH_PX, 0), min(axis.stop + _REACH_PX, size))
        for axis, size in zip(tile, shape, strict=True)
    )
    phase_rad, inside, height_m = read(*around)
    usable = inside & np.isfinite(phase_rad)
    phasor = np.where(usable, np.exp(1j * np.where(usable, phase_rad, 0)), 0).astype(np.complex64)
    smooth = ndimage.gaussian_filter(phasor, _SMOOTHING_PX, mode="constant")
    weight = ndimage.gaussian_filter(usable.astype(np.float32), _SMOOTHING_PX, mode="constant")
    consistent = usable & (np.abs(smooth) >= _LEAST_CONSISTENCY * weight)
    kept = tuple(
        slice(axis.start - grown.start, axis.stop - grown.start, step) for axis, grown in zip(tile, around, strict=True)
    )
    return np.angle(smooth[kept]), consistent[kept], None if height_m is None else height_m[kept]


def _correlation(phase: NDArray[np.float64], height: NDArray[np.float32]) -> float:
    known = np.isfinite(height)
    if known.sum() < _LEAST_PIXELS or np.ptp(height[known]) == 0 or np.ptp(phase[known]) == 0:
        return float("nan")
    return float(np.corrcoef(phase[known], height[known])[0, 1])


def _unwrap(wrapped: np.ma.MaskedArray[Any, Any]) -> NDArray[np.float64]:
    """Unwrap a masked array and return what is not masked, flat."""
    from skimage.restoration import unwrap_phase

    # scikit-image ships no types; the fixed generator makes ties between equally good paths repeatable.
    unwrapped: np.ma.MaskedArray[Any, Any] = unwrap_phase(wrapped, rng=0)  # type: ignore[no-untyped-call]
    result: NDArray[np.float64] = unwrapped.compressed()
    return result
