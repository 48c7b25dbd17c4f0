"""Crops of any size about the patterns of fringes in a scene, without a network.

Activity over thresholds of the scene's own (:mod:`~fringewatch.fringes.activity`) gives candidates at several levels
(:mod:`~fringewatch.fringes.candidates`); measures of their outline, surroundings, residues and coherence
(:mod:`~fringewatch.fringes.shape`) give each a score. The best of those that overlap is kept, if it is good enough:
so every pattern has the threshold that suits it, and noise that looks like fringes has a low score at all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.fringes.activity import Activity, measure_activity
from fringewatch.fringes.candidates import Candidate, find_candidates
from fringewatch.fringes.rates import residues
from fringewatch.fringes.shape import Shape, measure_shape
from fringewatch.fringes.windows import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["MIN_SCORE", "Crop", "Crops", "find_crops", "score_shape"]

MIN_SCORE = 0.5
"""Default least score of a crop; see the documentation for what it finds and lets through."""

_INTERCEPT = -6.885
_WEIGHTS = Shape(
    inflow=0.7532,
    closed=1.813,
    contrast=0.2973,
    peak=2.555,
    spot=1.757,
    coherence_around=1.534,
    residues_inside=-3.279,
    size=0.7021,
    roundness=2.024,
)
"""Of a logistic regression on simulated scenes, fitted by ``benchmarks/crops.py fit``."""

_MOST_OVERLAP = 0.3
_SURROUNDED = 0.8
_LEAST_MARGIN_PX = 4


class Crop(NamedTuple):
    """A pattern of fringes."""

    candidate: Candidate
    shape: Shape
    score: float
    """From 0 to 1; it ranks, and is no probability."""

    def window(self, valid: NDArray[np.bool_], *, margin: float = 0.5) -> Window:
        """Return the part of the scene to cut.

        Parameters
        ----------
        valid
            (H, W) bool, where the scene has data.
        margin
            Surroundings on each side, over the square root of the pattern's area; at least 4 pixels, and no further
            than the scene.

        Returns
        -------
        Window
            Its ``edge_px`` and ``strong_px`` are the pixels of the pattern.
        """
        area = int(self.candidate.region.sum())
        extra = max(round(margin * area**0.5), _LEAST_MARGIN_PX)
        (row0, row1), (col0, col1) = (
            (max(side.start - extra, 0), min(side.stop + extra, length))
            for side, length in zip(self.candidate.box, valid.shape, strict=True)
        )
        return Window(row0, row1, col0, col1, area, area, int(valid[row0:row1, col0:col1].sum()))


class Crops(NamedTuple):
    """The crops of a scene, and the stages on the way to them."""

    crops: list[Crop]
    """Best first."""
    activity: Activity
    candidates: list[Candidate]
    valid: NDArray[np.bool_]
    """(H, W), where the scene has data."""


def find_crops(phase_rad: NDArray[np.float32], *, min_score: float = MIN_SCORE) -> Crops:
    """Find the patterns of fringes in a scene.

    Parameters
    ----------
    phase_rad
        (H, W) wrapped phase in (-pi, pi], radians; NaN = no data.
    min_score
        Least score of a crop, 0 to 1: lower finds more, and more that is none.

    Returns
    -------
    Crops
        Without crops where the scene is too small or too empty to know its own background: below about 12 pixels a
        side, or 50 coherent pixels.
    """
    valid = np.isfinite(phase_rad)
    activity = measure_activity(phase_rad)
    candidates = find_candidates(np.maximum(activity.slope, activity.spot), valid)
    residue = residues(phase_rad) != 0
    found = []
    for candidate in candidates:
        shape = measure_shape(candidate, activity, valid, residue)
        score = score_shape(shape)
        if score >= min_score:
            found.append(Crop(candidate, shape, score))
    found.sort(key=lambda crop: -crop.score)
    return Crops(_without_overlap(found, valid.shape), activity, candidates, valid)


def score_shape(shape: Shape) -> float:
    """Return the score of a candidate, 0 to 1."""
    return float(1 / (1 + np.exp(-_INTERCEPT - np.dot(_WEIGHTS, shape))))


def _without_overlap(crops: Sequence[Crop], scene: tuple[int, ...]) -> list[Crop]:
    """Keep each crop that neither shares more than a part of its region with a better one nor surrounds one."""
    owner = np.zeros(scene, np.int32)
    kept: list[Crop] = []
    sizes = [0]
    for crop in crops:
        region = crop.candidate.region
        place = owner[crop.candidate.box]
        shared = np.bincount(place[region], minlength=len(sizes))
        area = int(region.sum())
        if np.any(shared[1:] > _MOST_OVERLAP * np.minimum(sizes[1:], area)):
            continue
        if any(_share_inside(better.candidate.box, crop.candidate.box) > _SURROUNDED for better in kept):
            continue
        kept.append(crop)
        sizes.append(area)
        place[region & (place == 0)] = len(kept)
    return kept


def _share_inside(box: tuple[slice, slice], other: tuple[slice, slice]) -> float:
    """Return how much of a box lies in another, 0 to 1."""
    share = 1.0
    for side, along in zip(box, other, strict=True):
        share *= max(min(side.stop, along.stop) - max(side.start, along.start), 0) / (side.stop - side.start)
    return share
