"""Connected areas of a map on the scene's own grid, at any level, as detections outline them but not measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

from fringewatch.scan.result import smooth_logits, upsample_logits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fringewatch.scan.result import Scan

__all__ = ["Areas", "enclosed", "find_areas"]


class Areas(NamedTuple):
    """Where a map is at or above a level."""

    labels: NDArray[np.int32]
    """(H, W) of the scene's pixels: number of the area from 1, 0 = none."""
    best: NDArray[np.float32]
    """(N,) highest smoothed logit in and right beside each area, which makes a detection's score."""


def enclosed(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return what a mask encloses: what is not in it and not connected to the edge of the array."""
    # By labels: the time of scipy.ndimage.binary_fill_holes grows with the length of the way out.
    labels, count = ndimage.label(~mask)
    inner = np.ones(count + 1, bool)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        inner[edge] = False
    # Label 0 is the mask itself.
    inner[0] = False
    return np.asarray(inner[labels])


def find_areas(scan: Scan, edge: float) -> Areas:
    """Return the connected areas whose interpolated logit is at least `edge`.

    They are what :func:`fringewatch.regions.find_regions` outlines at that level, with what they enclose, before any is
    dropped for its score, and take a fraction of the time: for choosing the level.

    Parameters
    ----------
    scan
        The map of a scene small enough to be held at its own resolution.
    edge
        Logit, not a probability.
    """
    height, width = scan.shape
    # What has no data belongs to no area.
    logits = np.where(scan.valid, scan.logits, np.float32(edge) - 1)
    inside = upsample_logits(logits, scan.stride, slice(0, height), slice(0, width)) >= edge
    labels, count = ndimage.label(inside, output=np.int32)
    if not count:
        return Areas(labels, np.zeros(0, np.float32))
    gaps = ~scan.valid.repeat(scan.stride, axis=0).repeat(scan.stride, axis=1)[:height, :width]
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        own = labels[box] == label
        core = enclosed(own) & (labels[box] == 0) & ~gaps[box]
        if core.sum() <= own.sum():
            labels[box][core] = label
    smooth = smooth_logits(scan.logits, scan.valid)
    highest = ndimage.maximum_filter(np.where(np.isnan(smooth), -np.inf, smooth), 3)
    # Of the map pixels that the area touches.
    per_pixel = highest.repeat(scan.stride, axis=0).repeat(scan.stride, axis=1)[:height, :width]
    best = np.asarray(ndimage.maximum(per_pixel, labels, np.arange(1, count + 1)), np.float32)
    return Areas(labels, best)
