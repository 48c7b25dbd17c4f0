"""Run a network over a whole interferogram: one logit per `stride` pixels, scenes of any size, no seams.

Small scenes (up to :data:`DEFAULT_TILE_PX` on a side) pass through the network at once. Larger ones are cut into tiles
that overlap by the network's receptive field, and only the part of each tile that its border cannot reach is kept, so
that the result is the one that a single pass would give (the overlap-tile strategy of Ronneberger et al. 2015, with
no data instead of mirrored data outside the scene). Phase is read one band of tiles at a time, never as a whole: at
30,000 pixels width a band takes 250 MB.

Map pixel ``(i, j)`` stands for the scene's pixels ``i * stride .. (i + 1) * stride - 1`` by
``j * stride .. (j + 1) * stride - 1``; its centre is the centre of that block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xarray as xr

from fringewatch.errors import BundleError, ProductError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fringewatch.models import Bundle, Card

__all__ = ["DEFAULT_TILE_PX", "Scan", "scan", "scene_logit", "smooth_logits", "upsample_logits"]

DEFAULT_TILE_PX = 2048
"""Largest side of the network's input, overlap included; at 2048 the default network needs about 1 GB."""

_SMALLEST_INPUT_PX = 32
_NOTHING_LOGIT = np.float32(-20)
"""Filled in where a whole tile has no data and the network is not run; such places are masked in every result."""


@dataclass(frozen=True, eq=False)
class Scan:
    """What a network says of one scene, before calibration.

    Attributes
    ----------
    logits
        (h, w) float32, one logit per map pixel; finite everywhere, meaningless where `valid` is False.
    valid
        (h, w) bool; True where at least one of the scene's pixels under the map pixel has data.
    shape
        (H, W) of the scene in pixels; ``h = ceil(H / stride)``.
    stride
        Scene pixels per map pixel.
    """

    logits: NDArray[np.float32]
    valid: NDArray[np.bool_]
    shape: tuple[int, int]
    stride: int

    @property
    def scene_logit(self) -> float:
        """Scene logit; see :func:`scene_logit`."""
        return scene_logit(self.logits, self.valid)

    def logits_window(self, rows: slice, columns: slice) -> NDArray[np.float32]:
        """Return logits on the scene's own grid, bilinear between map pixels; see :func:`upsample_logits`."""
        return upsample_logits(self.logits, self.stride, rows, columns)


class _Span(NamedTuple):
    """One axis of a tile, in pixels of the padded scene: what the network reads and the part that is kept."""

    read: slice
    keep: slice

    def kept(self, step: int) -> slice:
        """Return the kept part counted from the start of what is read, in units of `step` pixels."""
        return slice((self.keep.start - self.read.start) // step, (self.keep.stop - self.read.start) // step)

    def target(self, step: int) -> slice:
        """Return the kept part in the padded scene, in units of `step` pixels."""
        return slice(self.keep.start // step, self.keep.stop // step)


def scan(interferogram: xr.Dataset | xr.DataArray, bundle: Bundle, *, tile_px: int | None = None) -> Scan:
    """Run a bundle's network over a scene.

    Parameters
    ----------
    interferogram
        An interferogram, or its phase alone: (H, W) float32, wrapped radians in (-pi, pi], NaN = no data. A dask-backed
        one is read band by band. Sides of 1 to 30,000 pixels; below 32 it is padded with no data.
    bundle
        The network and its card.
    tile_px
        Largest side of the network's input, overlap included; None takes :data:`DEFAULT_TILE_PX`. It grows by itself
        where the network's overlap leaves nothing to keep. Memory grows with its square; the result does not depend
        on it.

    Returns
    -------
    Scan
        Logits at the bundle's stride, and where they rest on data.

    Raises
    ------
    ProductError
        If the phase is not two-dimensional.
    BundleError
        If the network's output is not at the stride that its card promises.
    """
    phase = interferogram["phase"] if isinstance(interferogram, xr.Dataset) else interferogram
    if phase.ndim != 2 or 0 in phase.shape:
        message = f"phase has shape {phase.shape}, expected (rows, columns), each at least 1"
        raise ProductError(message)
    card = bundle.card
    if card.multiple % card.stride:
        message = f"{bundle.folder}: stride {card.stride} does not divide multiple {card.multiple}; export it again"
        raise BundleError(message)
    stride = card.stride
    height, width = (int(size) for size in phase.shape)
    padded = _padded(height, card.multiple), _padded(width, card.multiple)
    logits = np.full((padded[0] // stride, padded[1] // stride), _NOTHING_LOGIT, np.float32)
    valid = np.zeros(logits.shape, bool)
    limit = DEFAULT_TILE_PX if tile_px is None else tile_px
    columns = _spans(padded[1], card, limit)
    for row in _spans(padded[0], card, limit):
        # One band of tiles is read at once: neighbouring tiles overlap, and files are often stored in rows.
        band = _read(phase, row.read, slice(0, padded[1]))
        for column in columns:
            window = band[:, column.read]
            has_data = np.isfinite(window)
            if not has_data.any():
                continue
            tile = _run(window, bundle)
            target = row.target(stride), column.target(stride)
            logits[target] = tile[row.kept(stride), column.kept(stride)]
            valid[target] = _any_in_blocks(has_data[row.kept(1), column.kept(1)], stride)
    map_height, map_width = -(-height // stride), -(-width // stride)
    return Scan(logits[:map_height, :map_width], valid[:map_height, :map_width], (height, width), stride)


def scene_logit(map_logits: NDArray[np.float32], valid: NDArray[np.bool_]) -> float:
    """Return one logit for a whole scene: the largest value of its smoothed map.

    ``card.scene_calibration`` turns it into the scene's score.

    Parameters
    ----------
    map_logits, valid
        As for :func:`smooth_logits`.

    Returns
    -------
    float
        The largest mean at a place with data; ``-inf`` where there is none, which calibrates to a score of 0.
    """
    smooth = smooth_logits(map_logits, valid)[valid]
    return float(smooth.max()) if smooth.size else float("-inf")


def smooth_logits(map_logits: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Average each map pixel with its eight neighbours, so that a single outlier counts for a ninth.

    The mean is over those of the nine that lie in the scene and have data: the scene's border and its gaps neither add
    nor take anything.

    Parameters
    ----------
    map_logits
        (h, w) logits at the network's stride; finite wherever `valid` is True.
    valid
        (h, w) bool; True where a map pixel covers at least one pixel with data.

    Returns
    -------
    numpy.ndarray
        (h, w) float32; NaN where `valid` is False.
    """
    # A box is two passes of three; float64, so that the order of the sums does not show.
    total = _sum_of_three(_sum_of_three(np.where(valid, map_logits, 0).astype(np.float64), 0), 1)
    count = _sum_of_three(_sum_of_three(valid.astype(np.float64), 0), 1)
    smooth = np.full(map_logits.shape, np.nan, np.float32)
    np.divide(total, count, out=smooth, where=valid, casting="same_kind")
    return smooth


def upsample_logits(map_logits: NDArray[np.float32], stride: float, rows: slice, columns: slice) -> NDArray[np.float32]:
    """Interpolate logits to a window of the scene's own grid.

    Bilinear between the centres of the map pixels (a map pixel's centre is the centre of the scene pixels it covers),
    and constant beyond the outermost centres. Interpolating logits, not probabilities, keeps steep flanks steep.

    Parameters
    ----------
    map_logits
        (h, w) logits.
    stride
        Pixels of the result per map pixel: the network's stride, or a fraction of it for a coarser grid.
    rows, columns
        The window in pixels of the result, with explicit start and stop and no step.

    Returns
    -------
    numpy.ndarray
        (rows, columns) float32. A window's values do not depend on where the window starts.
    """
    top, bottom, weight_y = _neighbours(map_logits.shape[0], stride, rows)
    left, right, weight_x = _neighbours(map_logits.shape[1], stride, columns)
    # Columns first: the narrow band of map rows is small, and the second pass then runs along contiguous rows.
    first, last = int(top[0]), int(bottom[-1]) + 1
    band = map_logits[first:last]
    one = np.float32(1)
    wide = band[:, left] * (one - weight_x) + band[:, right] * weight_x
    weight_y = weight_y[:, None]
    result: NDArray[np.float32] = wide[top - first] * (one - weight_y) + wide[bottom - first] * weight_y
    return result


def _neighbours(
    size: int, stride: float, window: slice
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    position = (np.arange(window.start, window.stop) + 0.5) / stride - 0.5
    position = np.clip(position, 0, size - 1)
    low = np.floor(position).astype(np.intp)
    return low, np.minimum(low + 1, size - 1), (position - low).astype(np.float32)


def _padded(size: int, multiple: int) -> int:
    return -(-max(size, _SMALLEST_INPUT_PX) // multiple) * multiple


def _spans(size: int, card: Card, tile_px: int) -> list[_Span]:
    """Cut one axis of a padded scene into tiles of even size that overlap by the halo on both sides."""
    if size <= tile_px:
        return [_Span(slice(0, size), slice(0, size))]
    halo = -(-card.halo_px // card.multiple) * card.multiple
    # At least as much is kept as is overlapped, or the work would grow without bound.
    core = max(tile_px - 2 * halo, halo, card.multiple)
    number = -(-size // core)
    core = -(-size // (number * card.multiple)) * card.multiple
    return [
        _Span(slice(max(start - halo, 0), min(start + core + halo, size)), slice(start, min(start + core, size)))
        for start in range(0, size, core)
    ]


def _read(phase: xr.DataArray, rows: slice, columns: slice) -> NDArray[np.float32]:
    """Read a window of the padded scene; beyond the scene there is no data."""
    inside = np.asarray(phase[rows, columns].values, np.float32)
    shape = rows.stop - rows.start, columns.stop - columns.start
    if inside.shape == shape:
        return inside
    window = np.full(shape, np.nan, np.float32)
    window[: inside.shape[0], : inside.shape[1]] = inside
    return window


def _run(window: NDArray[np.float32], bundle: Bundle) -> NDArray[np.float32]:
    map_logits, _ = bundle.logits(bundle.card.encoding(window)[None])
    stride = bundle.card.stride
    expected = (1, 1, window.shape[0] // stride, window.shape[1] // stride)
    if map_logits.shape != expected:
        message = (
            f"{bundle.folder}: the network's map has shape {map_logits.shape}, its card promises {expected} "
            f"(stride {stride}); export the bundle again"
        )
        raise BundleError(message)
    result: NDArray[np.float32] = map_logits[0, 0]
    return result


def _any_in_blocks(mask: NDArray[np.bool_], stride: int) -> NDArray[np.bool_]:
    height, width = mask.shape
    blocks = mask.reshape(height // stride, stride, width // stride, stride)
    result: NDArray[np.bool_] = np.any(blocks, axis=(1, 3))
    return result


def _sum_of_three(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Return the sum of each value and its two neighbours along an axis; nothing lies beyond the ends."""
    values = np.moveaxis(values, axis, 0)
    total = values.copy()
    total[1:] += values[:-1]
    total[:-1] += values[1:]
    return np.moveaxis(total, 0, axis)
