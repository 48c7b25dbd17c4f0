"""The benchmark of mines: objects, bottoms, thresholds and intervals are what they are called."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from PIL import Image

from fringewatch.metrics import Overlap
from fringewatch.models import Calibration, Card, Thresholds
from fringewatch.patches import write_patch

FOLDER = Path(__file__).parents[2] / "benchmarks"
if not FOLDER.is_dir():
    pytest.skip("the benchmarks are not part of this distribution", allow_module_level=True)


@pytest.fixture(scope="module")
def parts():
    sys.path.insert(0, str(FOLDER))
    try:
        yield importlib.import_module("objects"), importlib.import_module("mining")
    finally:
        sys.path.remove(str(FOLDER))


def looked(parts, scores, shared, *, moving=0.0, fringes=3.0, snr=9.0, number=0, rate=0.1):
    """Return a scene with one object of 100 pixels and detections of 100 that share so much with it."""
    objects, _ = parts
    scores = np.asarray(scores, float)
    counted = Overlap(np.array([100]), np.full(len(scores), 100), np.array([shared]))
    thing = objects.Thing(number, 1, snr, fringes, 100, 0.5, rate)
    moves = np.full(len(scores), moving)
    ones = np.ones(len(scores), int)
    return objects.Looked([thing], counted, scores, moves, {}, {}, float(scores.max()), [], ones, ones)


def test_objects_are_connected_parts_that_are_large_enough(parts):
    mask = np.zeros((30, 30), bool)
    mask[2:7, 2:7] = mask[7:10, 7:10] = True  # touch at a corner: one
    mask[20:23, 20:23] = True  # 9 pixels: none
    mask[15:20, 2:6] = True  # 20 pixels: one
    labels = parts[0].objects(mask)
    assert np.bincount(labels.ravel()).tolist() == [900 - 34 - 20, 34, 20]


def test_polygons_are_filled_where_pixel_centres_lie_in_them(parts):
    fill = parts[0].fill
    filled = fill([shapely.box(1.5, 0.5, 4.5, 2.5), shapely.box(6.6, 6.6, 6.9, 6.9)], (8, 8))
    assert (filled == 1).sum() == 6
    assert filled[1:3, 2:5].all()
    assert not (filled == 2).any()
    assert not fill([], (8, 8)).any()


@pytest.mark.parametrize(("apart", "count"), [(0, 1), (8, 1), (40, 2)])
def test_bottoms_are_told_apart_by_the_rule_of_detections(parts, apart, count):
    row, col = np.mgrid[:60, :100]
    moved = sum(
        np.exp(-((row - 30) ** 2 + (col - 50 - side * apart / 2) ** 2) / (2 * 9**2)) * (2 + side) for side in (-1, 1)
    ).astype(np.float32)
    assert parts[0].bottoms(moved, moved > 0.1) == count
    # A quarter of that falls by less than what noise does.
    assert parts[0].bottoms(0.02 * moved, moved > 0.1) == 0


def test_a_perfect_map_loses_what_is_smaller_than_its_pixels(parts):
    mask = np.zeros((32, 32), bool)
    mask[4:20, 4:20] = True
    mask[26:28, 26:28] = True
    by_share = parts[0].by_share
    assert (by_share(mask, 2) > 0).sum() == pytest.approx(256 + 4, abs=12)
    coarse = by_share(mask, 4) > 0
    assert not coarse[24:, 24:].any()
    assert coarse[6:18, 6:18].all()


def test_the_lowest_score_is_that_of_the_edge(parts):
    card = Card(
        name="x",
        version="1",
        architecture="x",
        parameters=1,
        halo_px=1,
        files={},
        sha256={},
        calibration=Calibration(slope=0.8, offset=-1.0),
        scene_calibration=Calibration(slope=1.1, offset=0.4),
        thresholds=Thresholds(region_edge=0.3),
    )
    lowest = parts[0].lowest_score(card)
    assert card.scene_calibration.inverse(lowest) == pytest.approx(card.calibration.inverse(0.3), abs=1e-4)
    assert card.scene_calibration.inverse(lowest) >= card.calibration.inverse(0.3) - 1e-6


def test_right_false_and_neither(parts):
    objects, _ = parts
    found, iou, right, false = objects.judge(looked(parts, [0.9, 0.8], [80, 0]), 0.5)
    assert (found.tolist(), iou.tolist(), right, false) == ([True], [80 / 120], 1, 1)
    # Weak deformation beside what is called visible is no false alarm.
    assert objects.judge(looked(parts, [0.9, 0.8], [80, 0], moving=0.5), 0.5)[2:] == (1, 0)
    # Below the threshold there is neither.
    found, iou, right, false = objects.judge(looked(parts, [0.4, 0.3], [80, 0]), 0.5)
    assert (found.tolist(), right, false) == ([False], 0, 0)


def test_the_threshold_leaves_few_false_detections(parts):
    _, mining = parts
    # 40 right ones from 0.5 to 0.99, and false ones below 0.6 only.
    scenes = [looked(parts, [0.5 + 0.0125 * n, 0.6 - 0.01 * n], [80, 0], number=n) for n in range(40)]
    chosen = mining.choose_threshold(scenes, 0.1)
    assert 0.55 < chosen <= 0.6 + 1e-9
    kept = [parts[0].judge(one, chosen) for one in scenes]
    right, false = sum(one[2] for one in kept), sum(one[3] for one in kept)
    assert false <= 0.05 * (right + false)
    assert mining.choose_threshold(scenes[:3], 0.1) == pytest.approx(0.1)


def test_intervals_are_of_scenes_and_honest_at_the_ends(parts):
    _, mining = parts
    # 100 objects in 4 scenes: as unsure as 4.
    groups = np.repeat([0, 1, 2, 3], 25)
    value, low, high = mining.estimate(groups < 2, groups)
    assert value == 0.5
    assert (low, high) == (0, 1)
    value, low, high = mining.estimate(np.ones(100), groups)
    assert value == high == 1
    assert low == pytest.approx(0.51, abs=0.01)
    assert mining.estimate(np.zeros(0), np.zeros(0)) is None
    assert mining.text(None) == "-"
    assert mining.text((0.5, None, None)) == "0.500"


def test_strata_and_what_the_aim_speaks_of(parts, capsys):
    objects, mining = parts
    weak = looked(parts, [0.9], [80], fringes=0.7, number=1)
    strong = looked(parts, [0.9], [80], number=2)
    # Wanted by what the aim says, and more fringes than its pixels show.
    missed = looked(parts, [0.2], [80], snr=3.0, number=3, rate=0.7)
    for one in (weak, strong, missed):
        one.levels[0.3] = (one.counted, one.scores)
        one.ceilings.update(dict.fromkeys(objects.STRIDES, one.counted))
    rows = mining.tell([weak, strong, missed], "card", 0.5)
    assert (rows["objects"], rows["wanted"]) == (3, 2)
    assert rows["recall"][0] == 0.5
    assert (rows["resolved"], rows["recall_resolved"][0]) == (1, 1.0)
    assert rows["iou_resolved"][0] == pytest.approx(80 / 120)
    assert rows["recall_all"][0] == pytest.approx(2 / 3)
    assert rows["false_share"][0] == 0
    assert rows["iou"][0] == pytest.approx(80 / 120)
    assert rows["ceilings"][4] == pytest.approx(80 / 120)
    by = {(row["by"], row["group"]): row["objects"] for row in rows["strata"]}
    assert by["SNR", "SNR 2-4"] == 1
    assert by["fringes", "f 0-1"] == 1
    assert ("size (px)", "px 100-300") in by
    assert by["fringes per pixel", "rate >= 0.5"] == 1
    assert "recall, SNR >= 2" in capsys.readouterr().out


def test_larger_scenes_hold_more_panels(parts):
    small, large = (parts[0].population(size, (20, 40)) for size in (224, 448))
    assert small.panels == (1, 6)
    assert large.panels == (4, 24)
    assert large.height_px == large.width_px == 448
    assert large.mining_pixel_size_m == (20, 40)


@pytest.mark.slow
def test_the_whole_of_it(parts, tmp_path, capsys, monkeypatch):
    _, mining = parts
    rng = np.random.default_rng(0)
    (tmp_path / "masks").mkdir()
    row, col = np.mgrid[:64, :64]
    bowl = 20 * np.exp(-((row - 32) ** 2 + (col - 32) ** 2) / 100)
    phase = np.angle(np.exp(1j * (bowl + rng.normal(0, 0.2, bowl.shape)))).astype(np.float32)
    # Anywhere: rasterio warns of files without coordinates.
    place = {"crs": "EPSG:32650", "transform": Affine(20, 0, 5e5, 0, -20, 4e6)}
    profile = {"driver": "GTiff", "count": 1, "dtype": "float32", "height": 64, "width": 64} | place
    with rasterio.open(tmp_path / "a.tif", "w", **profile) as target:
        target.write(phase, 1)
    Image.fromarray((bowl > 2).astype(np.uint8) * 255).save(tmp_path / "masks" / "a.png")
    for site in range(12):
        write_patch(tmp_path / f"site{site}__1.png", rng.normal(0, 0.3, (64, 64)).astype(np.float32))
    words = ["mining.py", "--scenes", "6", "--sets", "224:20-40", "--real", tmp_path, "--quiet", tmp_path]
    monkeypatch.setattr(sys, "argv", [*map(str, words), "--out", str(tmp_path / "out")])
    mining.main()
    found = json.loads((tmp_path / "out" / "mining.json").read_text(encoding="utf-8"))
    assert found["model"] == "fringenet"
    assert found["real"]["card"]["patches"] == 1
    assert found["real"]["card"]["flagged"][0] == 1
    assert sum(fold["patches"] for fold in found["quiet"].values()) == 12
    assert (tmp_path / "out" / "real.png").stat().st_size > 1000
    assert "NaN" not in json.dumps(found)
