"""Calibration of map networks: recall and false alarms are measured on samples that did not set the threshold."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fringewatch.training.cache import Samples
from fringewatch.training.calibrate import Scored, calibrate
from fringewatch.training.outlines import LEVELS, Outlines

pytestmark = pytest.mark.train


def samples(label, site):
    count = len(label)
    return Samples(
        phase=np.ones((count, 8, 8), np.uint8),
        coverage=np.zeros((count, 2, 2), np.uint8),
        label=np.asarray(label, np.uint8),
        kind=np.full(count, "quiet"),
        site=np.asarray(site, np.str_),
    )


def scored(logit, rng):
    truth = rng.random(500) < 0.5
    nothing = np.zeros((0, len(LEVELS)))
    return Scored(np.asarray(logit, float), truth + rng.normal(0, 0.5, 500), truth, Outlines(nothing, nothing))


def test_a_site_is_never_judged_by_its_own_quiet_scenes():
    # Two sites of real quiet phase: at one everything looks like deformation, at the other nothing does.
    rng = np.random.default_rng(0)
    quiet = np.concatenate([rng.normal(5, 0.1, 200), rng.normal(-5, 0.1, 200)])
    label = np.repeat([0, 0, 1], 200)
    site = np.repeat(["a", "b", "b"], 200)
    logit = np.concatenate([quiet, rng.normal(6, 0.1, 200)])
    *_, scores = calibrate(samples(label, site), scored(logit, rng), false_alarm_rate=0.1)
    # Told by the other site alone, all of the first are flagged and none of the second.
    assert scores["false_alarm_rate_real_background"] == pytest.approx(0.5)


def test_samples_of_one_population_keep_the_rate():
    rng = np.random.default_rng(1)
    label = (np.arange(4000) % 4 == 0).astype(int)
    logit = rng.normal(0, 1, 4000) + 3 * label
    *_, scores = calibrate(samples(label, np.full(4000, "")), scored(logit, rng), false_alarm_rate=0.1)
    assert scores["false_alarm_rate_simulated_background"] == pytest.approx(0.1, abs=0.02)
    # 1.28 standard deviations above the quiet mean lies the threshold, 3 the mean of the others.
    assert scores["recall_simulated_background"] == pytest.approx(0.957, abs=0.02)
