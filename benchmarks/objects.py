"""Scenes of mines with their objects, and what detection makes of them; see mining.py for what counts as what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from affine import Affine
from rasterio.features import rasterize
from scipy import ndimage
from skimage.morphology import local_maxima, reconstruction

from fringewatch.conventions import SENTINEL1_WAVELENGTH_M
from fringewatch.interferogram import make_interferogram
from fringewatch.metrics import Overlap, match, overlap
from fringewatch.scan import Scan, find_areas
from fringewatch.simulate import SceneSpec, preset, simulate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from fringewatch.detect import Detector
    from fringewatch.detect.detector import Examination
    from fringewatch.models import Card

__all__ = ["STRIDES", "Looked", "Thing", "Truth", "examine", "fill", "judge", "look", "lowest_score", "objects"]
__all__ += ["population", "simulated"]

FRINGE_M = SENTINEL1_WAVELENGTH_M / 2
LEAST_PX = 20
# What can be told from noise at all: ten by ten pixels, less than half a fringe per pixel in nine tenths of them, since
# beyond that wrapped phase does not say which way it turns, and a coherence at which fringes of the usual looks show.
RESOLVED_PX, RESOLVED_RATE, RESOLVED_COHERENCE, RATE_QUANTILE = 100, 0.5, 0.2, 0.9
LEVELS = tuple(round(0.05 * step, 2) for step in range(1, 20))
STRIDES = (4, 2)
# What makes two troughs two, as in fringewatch.fringes.troughs: so much of the shallower, and so many radians.
DIP, DIP_RAD = 0.25, 0.8


class Truth(NamedTuple):
    """A scene and its objects."""

    phase: NDArray[np.float32]
    labels: NDArray[np.int32]
    moved: NDArray[np.float32]
    """(H, W), fringes of deformation; infinite in a mask that does not say how much."""
    snr: float
    coherence: NDArray[np.float32] | None


class Thing(NamedTuple):
    """An object."""

    scene: int
    number: int
    snr: float
    fringes: float
    size_px: int
    coherence: float
    rate: float
    """Fringes per pixel that nine tenths of its pixels stay below, along rows or columns."""

    @property
    def wanted(self) -> bool:
        """Whether it is what the aim speaks of; on real scenes everything is."""
        return not (self.snr < 2 or self.fringes < 1)

    @property
    def resolved(self) -> bool:
        """Whether pixels and coherence show it, of those wanted."""
        lost = self.size_px < RESOLVED_PX or self.rate >= RESOLVED_RATE or self.coherence < RESOLVED_COHERENCE
        return self.wanted and not lost


class Looked(NamedTuple):
    """A scene after detection."""

    things: list[Thing]
    counted: Overlap
    """Of detections as they are delivered: polygons."""
    scores: NDArray[np.float64]
    moving: NDArray[np.float64]
    """Share of each detection that deforms by a quarter of a fringe."""
    levels: dict[float, tuple[Overlap, NDArray[np.float32]]]
    """Areas at other levels of the edge, and their scores."""
    ceilings: dict[int, Overlap]
    """Areas by the true share of each map pixel, at other strides."""
    score: float
    polygons: list[Any]
    told: NDArray[np.intp]
    """Troughs that each detection says it holds."""
    true: NDArray[np.intp]
    """Bottoms of the deformation in each detection."""


def examine(detector: Detector, phase: NDArray[np.float32]) -> Examination:
    return detector.examine(make_interferogram(phase, wavelength_m=SENTINEL1_WAVELENGTH_M))


def population(size_px: int, pixels_m: tuple[float, float]) -> SceneSpec:
    """Return the population `mining` at a size of scenes and pixels; panels grow with the scene."""
    base = preset("mining")
    several = max(1, round((size_px / base.height_px) ** 2))
    changed = {
        "height_px": size_px,
        "width_px": size_px,
        "mining_pixel_size_m": pixels_m,
        "panels": (base.panels[0] * several, base.panels[1] * several),
    }
    return SceneSpec.build(base.model_dump() | changed)


def simulated(spec: SceneSpec, seed: int, count: int) -> Iterator[Truth]:
    """Yield scenes, half of them quiet."""
    for index in range(count):
        sample = simulate(spec, seed=seed, index=index)
        moved = np.abs(sample.los_m) / FRINGE_M
        snr = float(sample.parameters["snr"])
        yield Truth(sample.phase, objects(sample.mask), moved, snr, sample.coherence)


def objects(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return a number for the pixels of each part of a mask from LEAST_PX pixels on; corners connect."""
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    large = np.bincount(labels.ravel(), minlength=count + 1) >= LEAST_PX
    large[0] = False
    return np.where(large, np.cumsum(large), 0)[labels].astype(np.int32)


def lowest_score(card: Card) -> float:
    """Return the lowest threshold that leaves outlines at the card's level; below it they would grow."""
    logit = card.calibration.inverse(card.thresholds.region_edge)
    return float(np.nextafter(card.scene_calibration(np.float32(logit)), np.float32(1)))


def look(detector: Detector, truth: Truth, scene: int, *, levels: Sequence[float] = LEVELS) -> Looked:
    """Detect as the command does, and compare with the truth."""
    card = detector.card
    examination = examine(detector, truth.phase)
    found = examination.regions
    polygons = list(found.geometry)
    detected = fill(polygons, truth.phase.shape)
    size, moving = (
        np.bincount(detected.ravel(), weight, minlength=len(polygons) + 1)[1:]
        for weight in (None, (truth.moved >= 0.25).ravel())
    )
    other = {}
    for level in levels:
        areas = find_areas(examination.scan, float(card.calibration.inverse(level)))
        other[level] = overlap(truth.labels, areas.labels), card.scene_calibration(areas.best)
    counted = overlap(truth.labels, detected)
    # The last polygons may be so thin that no pixel's centre lies in them.
    missing = len(polygons) - len(counted.regions)
    counted = Overlap(
        counted.objects, np.pad(counted.regions, (0, missing)), np.pad(counted.shared, ((0, 0), (0, missing)))
    )
    return Looked(
        describe(truth, scene),
        counted,
        found["score"].to_numpy(float),
        moving / np.maximum(size, 1),
        other,
        {stride: overlap(truth.labels, by_share(truth.labels > 0, stride)) for stride in STRIDES},
        examination.score,
        polygons,
        found["troughs"].to_numpy(np.intp),
        np.array([bottoms(truth.moved, detected == number) for number in range(1, len(polygons) + 1)], np.intp),
    )


def bottoms(moved: NDArray[np.float32], inside: NDArray[np.bool_]) -> int:
    """Count the bottoms of a deformation that the rule for detections tells apart; 0 where none is deep enough."""
    if not inside.any() or not np.isfinite(moved[inside]).all():
        return 0
    depth = np.where(inside, 2 * np.pi * moved, 0).astype(float)
    # A share of the shallower one is a difference of logarithms.
    height = np.log(np.maximum(depth, 1e-3))
    tops = local_maxima(reconstruction(height + np.log(1 - DIP), height)) & inside
    parts, count = ndimage.label(tops, np.ones((3, 3)))
    return sum(depth[parts == number].max() >= DIP_RAD / DIP for number in range(1, count + 1))


def by_share(mask: NDArray[np.bool_], stride: int) -> NDArray[np.int32]:
    """Outline where at least half of a map pixel lies in a mask, as the map of a perfect network would."""
    height, width = (side // stride for side in mask.shape)
    blocks = mask[: height * stride, : width * stride].reshape(height, stride, width, stride)
    share = blocks.mean(axis=(1, 3), dtype=np.float32)
    return find_areas(Scan(share, np.ones(share.shape, bool), mask.shape, stride), 0.5).labels


def fill(polygons: Sequence[Any], shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Return the number of the polygon that holds the centre of each pixel; whole numbers are centres."""
    if not polygons:
        return np.zeros(shape, np.int32)
    numbered = [(polygon, number) for number, polygon in enumerate(polygons, start=1) if not polygon.is_empty]
    filled = rasterize(numbered, shape, transform=Affine.translation(-0.5, -0.5), dtype="int32")
    return np.asarray(filled, np.int32)


def describe(truth: Truth, scene: int) -> list[Thing]:
    things = []
    known = np.isfinite(truth.moved).all()
    rates = (
        np.maximum(*(np.abs(step) for step in np.gradient(truth.moved)))
        if known
        else np.full(truth.moved.shape, np.nan)
    )
    for number in range(1, int(truth.labels.max(initial=0)) + 1):
        where = truth.labels == number
        peak = float(truth.moved[where].max())
        snr = truth.snr * peak / float(truth.moved.max()) if np.isfinite(truth.snr) else np.nan
        coherence = np.nan if truth.coherence is None else float(truth.coherence[where].mean())
        rate = float(np.quantile(rates[where], RATE_QUANTILE))
        things.append(Thing(scene, number, snr, peak, int(where.sum()), coherence, rate))
    return things


def judge(looked: Looked, threshold: float) -> tuple[NDArray[np.bool_], NDArray[np.float64], int, int]:
    """Return which objects are found and their IoU, and how many detections are right and false."""
    kept = looked.scores >= threshold
    result = match(looked.counted, kept=kept)
    false = kept & ~result.right & (looked.moving < 0.1)
    return result.found, result.iou, int(result.right.sum()), int(false.sum())
