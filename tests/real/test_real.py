"""The default bundle on real interferograms, which are not published.

Looked for in ``$FRINGEWATCH_REAL_DATA``, or in ``../shared/data/real`` beside the repository; skipped where there are
none.
"""

import os
from pathlib import Path

import numpy as np
import pytest

import fringewatch as fw
from fringewatch.evaluate import EvaluateConfig, run

ROOT = Path(os.environ.get("FRINGEWATCH_REAL_DATA", Path(__file__).parents[2] / ".." / "shared" / "data" / "real"))

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not (ROOT / "manifest.csv").is_file(), reason="real interferograms are not here"),
]


@pytest.fixture(scope="module")
def detector():
    return fw.Detector()


def overlaps(found, rows, cols):
    """Whether a detection touches a box of pixels."""
    return bool(
        ((found.row0 < rows[1]) & (found.row1 > rows[0]) & (found.col0 < cols[1]) & (found.col1 > cols[0])).any()
    )


def test_argentina_2020_earthquake_is_found_where_it_is(detector):
    scene = fw.open_interferogram(ROOT / "scenes" / "argentina2020_20201107_20201201.tif")
    far = fw.open_interferogram(ROOT / "scenes" / "argentina2020_20201107_20201201_farfield_top.tif")
    assert overlaps(detector.detect(scene), (195, 310), (195, 310))
    assert detector.score(scene) > detector.threshold > detector.score(far)


def test_calbuco_2015_eruption_is_found_where_it_is(detector):
    scene = fw.open_interferogram(ROOT / "scenes" / "calbuco2015_eruption.tif")
    far = fw.open_interferogram(ROOT / "scenes" / "calbuco2015_farfield_west.tif")
    assert overlaps(detector.detect(scene), (193, 233), (532, 572))
    assert detector.score(scene) > detector.threshold > detector.score(far)


@pytest.mark.slow
def test_volcano_patches_are_ranked_and_mining_patches_flagged(tmp_path):
    volcano = run(EvaluateConfig(inputs=(str(ROOT / "manifest.csv"),), only=("set=volcano",), out=tmp_path / "volcano"))
    assert volcano.scores.auroc.value >= 0.94
    mining = run(EvaluateConfig(inputs=(str(ROOT / "manifest.csv"),), only=("set=mining",), out=tmp_path / "mining"))
    assert mining.scores.recall.value >= 0.85


def test_no_two_sites_share_a_fold():
    from fringewatch.simulate import RealNoise

    folds = [set(RealNoise(ROOT / "quiet", fold=fold).sites) for fold in ("train", "holdout")]
    assert not folds[0] & folds[1]
    assert np.all([len(fold) > 10 for fold in folds])
