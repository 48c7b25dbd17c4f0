"""Areas at any level, objects against detections, and the level at which outlines fit best."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fringewatch.models import Calibration
from fringewatch.scan import Scan
from fringewatch.training.cache import Samples, at_stride
from fringewatch.training.outlines import LEVELS, Outlines, choose_edge, compare_outlines

pytestmark = pytest.mark.train


def bowl(stride=2, radius=14.0, size=96):
    """A map whose logit is 0 on a circle, 1 more for each pixel inwards, and a scene that is one object there."""
    row, col = (np.mgrid[: size // stride, : size // stride] + 0.5) * stride - 0.5
    middle = size / 2
    logits = (radius - np.hypot(row - middle, col - middle)).astype(np.float32)
    valid = np.ones(logits.shape, bool)
    row, col = np.mgrid[:size, :size]
    return Scan(logits, valid, (size, size), stride), np.hypot(row - middle, col - middle)


def test_outlines_fit_best_at_the_level_of_the_truth():
    scan, distance = bowl()
    for level in (-2.0, 0.0, 1.5):
        found = compare_outlines(scan, distance < 14 - level)
        assert found.iou.shape == (1, len(LEVELS))
        assert LEVELS[found.iou[0].argmax()] == level
        assert found.iou.max() > 0.95
        # In a circle of radius 14 - level against 14 - other.
        other = level - 1 == LEVELS
        assert found.iou[0, other] == pytest.approx(((14 - level) / (15 - level)) ** 2, abs=0.02)
        # Means over nine map pixels lose the tip of the cone.
        assert found.best[0] == pytest.approx(14 - 1.9, abs=0.4)


def test_objects_that_are_missed_or_too_small_do_not_count():
    scan, distance = bowl()
    far = np.zeros(distance.shape, bool)
    far[:6, :6] = True
    found = compare_outlines(scan, far)
    assert not found.iou.any()
    assert np.isneginf(found.best).all()
    tiny = np.zeros(distance.shape, bool)
    tiny[48:52, 48:52] = True
    assert compare_outlines(scan, tiny).iou.shape == (0, len(LEVELS))
    assert compare_outlines(scan, np.zeros_like(tiny)).best.shape == (0, len(LEVELS))


def test_the_edge_is_where_the_sum_of_overlaps_is_largest_among_what_is_kept():
    iou, best = np.zeros((3, len(LEVELS))), np.full((3, len(LEVELS)), 5.0)
    low, high = np.flatnonzero(LEVELS == -1)[0], np.flatnonzero(LEVELS == 2)[0]
    # One object alone fits better at the high level, two fit at the low one.
    iou[0, high], iou[:2, low], iou[2, high] = 0.9, 0.6, 0.95
    # The third is not kept.
    best[2] = 0.5
    calibration = Calibration(slope=1.0, offset=0.3)
    edge = choose_edge(Outlines(iou, best), calibration, threshold_logit=1.0)
    assert edge.probability == pytest.approx(1 / (1 + np.exp(1 - 0.3)))
    assert edge.iou == pytest.approx(0.6)
    assert edge.objects == 2
    assert choose_edge(Outlines(iou, best), calibration, threshold_logit=6.0) is None
    # Of levels as good as each other it is the lowest.
    iou[:2, low - 3 : low] = 0.595
    assert choose_edge(Outlines(iou, best), calibration, threshold_logit=1.0).probability == pytest.approx(
        1 / (1 + np.exp(1.75 - 0.3))
    )
    # At the other slope the low level would be a probability of nearly nothing.
    steep = choose_edge(Outlines(iou, best), Calibration(slope=4.0, offset=-3), threshold_logit=1.0)
    assert steep is None


def test_coverage_is_averaged_to_larger_map_pixels():
    fine = np.zeros((1, 8, 8), np.uint8)
    fine[0, :2, :3] = 255
    samples = Samples(np.ones((1, 8, 8), np.uint8), fine, np.ones(1, np.uint8), np.array(["mining"]), np.array([""]))
    assert at_stride(samples, 1) is samples
    assert at_stride(samples, 2).coverage[0].tolist()[0] == [255, 128, 0, 0]
    quarter = at_stride(samples, 4)
    assert quarter.coverage[0].tolist() == [[96, 0], [0, 0]]
    assert at_stride(quarter, 4) is quarter
