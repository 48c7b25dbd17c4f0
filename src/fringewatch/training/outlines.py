"""At which probability detections are outlined: where the outlines of held-out objects fit best."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

from fringewatch.metrics import match, overlap
from fringewatch.scan import find_areas

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fringewatch.models import Calibration
    from fringewatch.scan import Scan

__all__ = ["ENOUGH", "LEVELS", "Edge", "Outlines", "choose_edge", "compare_outlines"]

LEVELS = np.arange(-4.0, 3.25, 0.25)
"""Logits of the map at which outlines are tried."""
ENOUGH = 1000
"""Scenes with objects that are compared; more would tell one number no better."""
_LEAST_PX = 20
_AS_GOOD = 0.98
_EDGES = (0.02, 0.9)
"""Lowest and highest probability that is chosen: beyond them a calibration says nothing."""


class Outlines(NamedTuple):
    """How well the outlines of objects fit at each of the levels."""

    iou: NDArray[np.float64]
    """(N, L), 0 where an object is not found at a level."""
    best: NDArray[np.float64]
    """(N, L) highest smoothed logit of the areas that an object is matched with; -inf where there is none."""


class Edge(NamedTuple):
    """Where detections end."""

    probability: float
    iou: float
    """Mean of the objects that are found there."""
    objects: int
    """These are so many."""


def compare_outlines(scan: Scan, mask: NDArray[np.bool_]) -> Outlines:
    """Compare what a map outlines with the objects of a scene.

    Parameters
    ----------
    scan
        The map.
    mask
        (H, W) of the scene's pixels, visible deformation. Its connected parts (corners connect) from 20 pixels on are
        the objects; see :func:`fringewatch.metrics.match` for those that merge.
    """
    parts, count = ndimage.label(mask, np.ones((3, 3)), output=np.int32)
    large = np.bincount(parts.ravel(), minlength=count + 1) >= _LEAST_PX
    large[0] = False
    truth = np.where(large, np.cumsum(large), 0)[parts].astype(np.int32)
    number = int(large.sum())
    result = Outlines(np.zeros((number, len(LEVELS))), np.full((number, len(LEVELS)), -np.inf))
    if not number:
        return result
    for place, level in enumerate(LEVELS):
        areas = find_areas(scan, float(level))
        counted = overlap(truth, areas.labels)
        matched = match(counted)
        result.iou[:, place] = np.nan_to_num(matched.iou)
        touching = (counted.shared > 0) & matched.right
        highest = np.where(touching, areas.best, -np.inf).max(axis=1, initial=-np.inf)
        result.best[:, place] = np.where(matched.found, highest, -np.inf)
    return result


def choose_edge(outlines: Outlines, calibration: Calibration, *, threshold_logit: float) -> Edge | None:
    """Return the level at which the outlines fit best, as a probability.

    The sum over all objects counts, so that a level at which objects are lost does not win by the few that are left. Of
    levels that are as good within two hundredths the lowest is taken: networks are less sure of real scenes than of
    those that they are calibrated on.

    Parameters
    ----------
    outlines
        Of all held-out scenes.
    calibration
        Of the map.
    threshold_logit
        Smoothed logit from which a detection is kept.

    Returns
    -------
    Edge or None
        None where no object is found at any level.
    """
    kept = np.where(outlines.best >= threshold_logit, outlines.iou, 0.0)
    chances = calibration(LEVELS.astype(np.float32)).astype(float)
    allowed = (chances >= _EDGES[0]) & (chances <= _EDGES[1])
    total = np.where(allowed, kept.sum(axis=0), 0.0)
    if not total.any():
        return None
    place = int(np.flatnonzero(total >= _AS_GOOD * total.max())[0])
    found = kept[:, place] > 0
    return Edge(float(chances[place]), float(kept[found, place].mean()), int(found.sum()))
