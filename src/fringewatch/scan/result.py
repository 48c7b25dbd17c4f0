"""What a network says of a scene: logits on a coarse grid, and the functions that read them.

Map pixel ``(i, j)`` stands for the scene's pixels ``i * stride .. (i + 1) * stride - 1`` by
``j * stride .. (j + 1) * stride - 1``; its centre is the centre of that block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["Scan", "scene_logit", "smooth_logits", "upsample_logits"]

_STRIP_PIXELS = 2**20


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
    # The maximum that passes over NaN; NaN itself where a strip has nothing else.
    best = np.fmax.reduce([np.fmax.reduce(strip, axis=None) for strip in _smooth(map_logits, valid)])
    return float("-inf") if np.isnan(best) else float(best)


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
    return np.concatenate(list(_smooth(map_logits, valid)))


def _smooth(map_logits: NDArray[np.float32], valid: NDArray[np.bool_]) -> Iterator[NDArray[np.float32]]:
    """Yield the smoothed map in strips of rows: what is in between takes eight times the memory of the map."""
    height, width = map_logits.shape
    rows = max(1, _STRIP_PIXELS // width)
    for start in range(0, height, rows):
        around = slice(max(start - 1, 0), start + rows + 1)
        kept = slice(start - around.start, start - around.start + rows)
        where = valid[around]
        # A box is two passes of three; float64, so that the order of the sums does not show.
        total = _sums_of_nine(np.where(where, map_logits[around], 0).astype(np.float64))[kept]
        count = _sums_of_nine(where.astype(np.uint8))[kept]
        smooth = np.full(total.shape, np.nan, np.float32)
        np.divide(total, count, out=smooth, where=where[kept], casting="same_kind")
        yield smooth


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


def _sums_of_nine(values: NDArray[Any]) -> NDArray[Any]:
    """Return the sum of each value and its eight neighbours; nothing lies beyond the ends."""
    columns = values.copy()
    columns[1:] += values[:-1]
    columns[:-1] += values[1:]
    total = columns.copy()
    total[:, 1:] += columns[:, :-1]
    total[:, :-1] += columns[:, 1:]
    return total
