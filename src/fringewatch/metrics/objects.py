"""Detections against objects: which of the true areas are found, by which detections, how well they overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.sparse.csgraph import connected_components

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["LEAST_IOU", "Match", "Overlap", "match", "overlap"]

LEAST_IOU = 0.1
"""Objects and detections that overlap less than this, all of a group together, are not matched."""


class Overlap(NamedTuple):
    """Areas of true objects and of detections, and what they share, in pixels."""

    objects: NDArray[np.intp]
    """(N,)."""
    regions: NDArray[np.intp]
    """(M,)."""
    shared: NDArray[np.intp]
    """(N, M)."""


class Match(NamedTuple):
    """What became of objects and detections."""

    found: NDArray[np.bool_]
    """(N,) whether an object is found."""
    iou: NDArray[np.float64]
    """(N,) intersection over union of its group of objects with its group of detections; NaN where it is not found."""
    right: NDArray[np.bool_]
    """(M,) whether a detection has found something."""


def overlap(truth: NDArray[np.int32], detected: NDArray[np.int32]) -> Overlap:
    """Count what labelled areas share.

    Parameters
    ----------
    truth, detected
        (H, W) labels, 0 = none, 1 ... number.
    """
    objects, regions = int(truth.max(initial=0)), int(detected.max(initial=0))
    pairs = np.bincount(
        (truth.astype(np.intp) * (regions + 1) + detected).ravel(), minlength=(objects + 1) * (regions + 1)
    )
    table = pairs.reshape(objects + 1, regions + 1)
    return Overlap(table[1:].sum(axis=1), table[:, 1:].sum(axis=0), table[1:, 1:])


def match(counted: Overlap, *, kept: ArrayLike | None = None) -> Match:
    """Match detections to objects.

    A detection belongs to an object if they share at least half of the smaller one. Objects that one detection holds
    together, and detections that lie in one object, are one group, as troughs merge: their areas are joined, and they
    count as found and as right if the joined areas overlap by :data:`LEAST_IOU`.

    Parameters
    ----------
    counted
        From :func:`overlap`.
    kept
        (M,) which detections count, such as those that reach a threshold. Default: all.

    Returns
    -------
    Match
    """
    objects, regions, shared = counted
    number, count = shared.shape
    used = np.ones(count, bool) if kept is None else np.asarray(kept, bool)
    smaller = np.minimum(objects[:, np.newaxis], regions[np.newaxis])
    belongs = (2 * shared >= smaller) & (shared > 0) & used
    graph = np.zeros((number + count, number + count), bool)
    graph[:number, number:] = belongs
    groups, group = connected_components(graph, directed=False)
    of_object, of_region = group[:number], group[number:]
    area = np.bincount(of_object, objects, groups) + np.bincount(of_region, regions, groups)
    same = of_object[:, np.newaxis] == of_region[np.newaxis]
    together = np.bincount(of_object, (shared * same).sum(axis=1), groups)
    iou = np.divide(together, area - together, out=np.zeros(groups), where=area > together)
    found = belongs.any(axis=1) & (iou[of_object] >= LEAST_IOU)
    right = belongs.any(axis=0) & (iou[of_region] >= LEAST_IOU)
    return Match(found, np.where(found, iou[of_object], np.nan), right)
