"""The default bundle on real interferograms, which are not published.

``$FRINGEWATCH_REAL_DATA`` names a folder with ``manifest.csv`` (file, set, label, kind, scene_group and the box row0,
row1, col0, col1) and ``quiet/``; skipped where it is not set.
"""

import os
from pathlib import Path

import pytest

import fringewatch as fw
from fringewatch.evaluate import EvaluateConfig, run
from fringewatch.patches import open_patches, select
from fringewatch.simulate import RealNoise

ROOT = Path(os.environ.get("FRINGEWATCH_REAL_DATA", "none"))
MANIFEST = ROOT / "manifest.csv"

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not MANIFEST.is_file(), reason="FRINGEWATCH_REAL_DATA does not name real interferograms"),
]


@pytest.fixture(scope="module")
def detector():
    return fw.Detector()


@pytest.fixture(scope="module")
def scenes():
    return select(open_patches(MANIFEST), only=("set=scenes",))


def test_deforming_scenes_are_found_where_they_deform(detector, scenes):
    for patch in (patch for patch in scenes if patch.label):
        found = detector.detect(fw.open_interferogram(patch.path))
        row0, row1, col0, col1 = patch.box
        meets = (found.row0 < row1) & (found.row1 > row0) & (found.col0 < col1) & (found.col1 > col0)
        assert meets.any(), patch.path.name


def test_far_fields_score_below_the_threshold_and_below_their_scene(detector, scenes):
    scores = {patch.path: detector.score(fw.open_interferogram(patch.path)) for patch in scenes}
    for quiet in (patch for patch in scenes if not patch.label):
        assert scores[quiet.path] < detector.threshold, quiet.path.name
        loud = [scores[patch.path] for patch in scenes if patch.label and patch.group == quiet.group]
        assert max(loud) > scores[quiet.path]


@pytest.mark.slow
def test_volcano_patches_are_ranked(tmp_path):
    result = run(EvaluateConfig(inputs=(MANIFEST,), only=("set=volcano",), out=tmp_path))
    assert result.scores.auroc.value >= 0.94


def test_mining_patches_are_flagged(tmp_path):
    result = run(EvaluateConfig(inputs=(MANIFEST,), only=("set=mining",), out=tmp_path))
    assert result.scores.recall.value >= 0.85


def test_no_two_sites_share_a_fold():
    folds = [set(RealNoise(ROOT / "quiet", fold=fold).sites) for fold in ("train", "holdout")]
    assert not folds[0] & folds[1]
    assert min(map(len, folds)) > 10
