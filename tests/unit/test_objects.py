"""Detections against objects, and areas of a map against what detection outlines."""

import numpy as np
import pytest
from affine import Affine
from rasterio.features import rasterize
from scipy import ndimage

from fringewatch.conventions import SENTINEL1_WAVELENGTH_M
from fringewatch.encoding import Encoding
from fringewatch.interferogram import make_interferogram
from fringewatch.metrics import match, overlap
from fringewatch.models import Calibration, Card, Thresholds
from fringewatch.regions import find_regions
from fringewatch.scan import Scan, enclosed, find_areas


def boxes(*places):
    """Label rectangles (top, bottom, left, right) on a grid of 40 x 60."""
    labels = np.zeros((40, 60), np.int32)
    for number, (top, bottom, left, right) in enumerate(places, start=1):
        labels[top:bottom, left:right] = number
    return labels


def test_overlap_counts_pixels():
    counted = overlap(boxes((0, 10, 0, 10), (20, 30, 0, 5)), boxes((5, 15, 0, 10), (0, 4, 30, 34), (20, 22, 0, 5)))
    assert counted.objects.tolist() == [100, 50]
    assert counted.regions.tolist() == [100, 16, 10]
    assert counted.shared.tolist() == [[50, 0, 0], [0, 0, 10]]


def test_one_object_one_detection():
    result = match(overlap(boxes((0, 10, 0, 10)), boxes((0, 10, 2, 12), (20, 30, 20, 30))))
    assert result.found.tolist() == [True]
    assert result.iou == pytest.approx([80 / 120])
    assert result.right.tolist() == [True, False]


def test_troughs_that_one_detection_holds_are_compared_together():
    result = match(overlap(boxes((0, 10, 0, 10), (0, 10, 12, 22)), boxes((0, 10, 0, 22))))
    assert result.found.tolist() == [True, True]
    assert result.iou == pytest.approx([200 / 220] * 2)
    assert result.right.tolist() == [True]


def test_pieces_of_one_object_are_compared_together():
    result = match(overlap(boxes((0, 10, 0, 20)), boxes((0, 10, 0, 8), (0, 10, 12, 20))))
    assert result.iou == pytest.approx([160 / 200])
    assert result.right.tolist() == [True, True]


def test_a_touch_is_no_match_and_neither_is_a_flood():
    touch = match(overlap(boxes((0, 10, 0, 10)), boxes((9, 19, 0, 10))))
    assert not touch.found.any()
    assert np.isnan(touch.iou).all()
    flood = match(overlap(boxes((0, 10, 0, 10)), boxes((0, 40, 0, 60))))
    assert not flood.found.any()
    assert not flood.right.any()


def test_detections_that_are_not_kept_find_nothing():
    counted = overlap(boxes((0, 10, 0, 10)), boxes((0, 10, 0, 5), (0, 10, 5, 10)))
    result = match(counted, kept=[True, False])
    assert result.iou == pytest.approx([0.5])
    assert result.right.tolist() == [True, False]
    assert not match(counted, kept=[False, False]).found.any()


def test_nothing_against_something():
    nothing = np.zeros((40, 60), np.int32)
    assert match(overlap(nothing, boxes((0, 5, 0, 5)))).right.tolist() == [False]
    assert match(overlap(boxes((0, 5, 0, 5)), nothing)).found.tolist() == [False]
    assert match(overlap(nothing, nothing)).iou.size == 0


@pytest.mark.parametrize("stride", [2, 4])
def test_areas_are_what_detection_outlines(stride):
    rng = np.random.default_rng(3)
    height, width = 100, 130
    shape = -(-height // stride), -(-width // stride)
    row, col = np.mgrid[: shape[0], : shape[1]] * stride
    logits = np.full(shape, -6.0)
    for middle, wide, peak in (((30, 40), 12, 9), ((70, 100), 16, 12), ((20, 110), 6, 8)):
        logits += peak * np.exp(-((row - middle[0]) ** 2 + (col - middle[1]) ** 2) / (2 * wide**2))
    logits += rng.normal(0, 0.2, shape)
    # A core that shows nothing.
    logits[np.hypot(row - 70, col - 100) < 9] = -7
    valid = np.ones(shape, bool)
    valid[: 36 // stride, 100 // stride :] = False
    scan = Scan(logits.astype(np.float32), valid, (height, width), stride)
    card = Card(
        name="test",
        version="1",
        architecture="none",
        parameters=1,
        encoding=Encoding(),
        stride=stride,
        multiple=32,
        halo_px=8,
        files={},
        sha256={},
        calibration=Calibration(slope=0.8, offset=-0.1),
        scene_calibration=Calibration(slope=1.2, offset=0.2),
        thresholds=Thresholds(scene=0.3, region_edge=0.2),
    )
    phase = rng.uniform(-3, 3, (height, width)).astype(np.float32)
    phase[:36, 100:] = np.nan
    table = find_regions(scan, make_interferogram(phase, wavelength_m=SENTINEL1_WAVELENGTH_M), card)
    areas = find_areas(scan, float(card.calibration.inverse(0.2)))
    scores = card.scene_calibration(areas.best)
    kept = np.flatnonzero(scores >= 0.3) + 1
    assert len(table) == len(kept) == 2
    order = kept[np.argsort(-scores[kept - 1])]
    assert table["score"].to_numpy() == pytest.approx(scores[order - 1], abs=1e-6)
    for polygon, label in zip(table.geometry, order, strict=True):
        filled = rasterize([(polygon, 1)], (height, width), transform=Affine.translation(-0.5, -0.5))
        inside = areas.labels == label
        assert np.count_nonzero((filled > 0) != inside) < 0.03 * inside.sum()


def test_areas_of_nothing():
    scan = Scan(np.full((5, 5), -3, np.float32), np.ones((5, 5), bool), (20, 20), 4)
    areas = find_areas(scan, 0.0)
    assert not areas.labels.any()
    assert areas.best.shape == (0,)


def test_enclosed_is_what_cannot_get_out():
    rng = np.random.default_rng(0)
    for share in (0.3, 0.6, 0.8):
        mask = rng.random((50, 70)) < share
        np.testing.assert_array_equal(enclosed(mask), ndimage.binary_fill_holes(mask) & ~mask)
