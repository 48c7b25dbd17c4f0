"""Metrics against their definitions, independent implementations and known distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binomtest, mannwhitneyu

from fringewatch.metrics import (
    Ranking,
    auroc,
    average_precision,
    bootstrap_interval,
    brier_score,
    confusion,
    expected_calibration_error,
    fit_platt,
    mask_iou,
    mean_local_coherence,
    reliability_table,
    threshold_for_false_alarm_rate,
    wilson_interval,
)


def tied_set(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    labels[:2] = 0, 1
    # Few distinct scores: most pairs with some neighbour are tied.
    return labels, rng.integers(0, 7, n) / 6


@pytest.mark.parametrize("seed", range(5))
def test_auroc_is_the_mann_whitney_statistic(seed: int) -> None:
    labels, scores = tied_set(seed)
    u = mannwhitneyu(scores[labels == 1], scores[labels == 0]).statistic
    pairs = (labels == 1).sum() * (labels == 0).sum()
    assert auroc(labels, scores) == pytest.approx(u / pairs, abs=1e-12)


def test_auroc_extremes_and_symmetry() -> None:
    assert auroc([0, 0, 1, 1], [1, 2, 3, 4]) == 1
    assert auroc([1, 1, 0, 0], [1, 2, 3, 4]) == 0
    assert auroc([0, 1, 0, 1], [5, 5, 5, 5]) == 0.5
    labels, scores = tied_set(9)
    assert auroc(labels, -scores) == pytest.approx(1 - auroc(labels, scores))
    assert auroc(labels, np.exp(3 * scores)) == auroc(labels, scores)


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_its_definition(seed: int) -> None:
    labels, scores = tied_set(seed)
    expected, last_recall = 0.0, 0.0
    for level in np.unique(scores)[::-1]:
        flagged = scores >= level
        recall = (flagged & (labels == 1)).sum() / labels.sum()
        expected += (recall - last_recall) * (flagged & (labels == 1)).sum() / flagged.sum()
        last_recall = recall
    assert average_precision(labels, scores) == pytest.approx(expected, abs=1e-12)


def test_statistics_of_a_missing_class_are_nan() -> None:
    assert np.isnan(auroc([1, 1], [0.2, 0.3]))
    assert np.isnan(auroc([0, 0], [0.2, 0.3]))
    assert np.isnan(average_precision([0, 0], [0.2, 0.3]))
    counts = confusion([0, 0], [0.2, 0.3], 0.9)
    assert np.isnan(counts.recall)
    assert np.isnan(counts.precision)
    assert counts.false_alarm_rate == 0


def test_confusion_flags_at_the_threshold_itself() -> None:
    counts = confusion([1, 1, 1, 0, 0, 0, 0, 0], [0.9, 0.5, 0.1, 0.5, 0.4, 0.3, 0.2, 0.1], 0.5)
    assert [float(c) for c in counts] == [2, 1, 4, 1]
    assert counts.accuracy == 6 / 8
    assert counts.precision == pytest.approx(2 / 3)
    assert counts.recall == pytest.approx(2 / 3)
    assert counts.f1 == pytest.approx(2 / 3)
    assert counts.false_alarm_rate == 1 / 5


@pytest.mark.parametrize("statistic", ["auroc", "average_precision", "brier_score", "expected_calibration_error"])
def test_weights_equal_repeated_files(statistic: str) -> None:
    labels, scores = tied_set(3)
    weights = np.random.default_rng(1).integers(0, 4, (6, labels.size)).astype(float)
    computed = getattr(Ranking(labels, scores), statistic)(weights)
    repeated = [
        getattr(Ranking(np.repeat(labels, row), np.repeat(scores, row)), statistic)() for row in weights.astype(int)
    ]
    np.testing.assert_allclose(computed, repeated, atol=1e-12)


def test_weighted_confusion_equals_repeated_files() -> None:
    labels, scores = tied_set(4)
    weights = np.random.default_rng(2).integers(0, 4, (3, labels.size))
    computed = Ranking(labels, scores).confusion(0.5, weights.astype(float))
    for row, counts in zip(weights, np.transpose(computed), strict=True):
        np.testing.assert_array_equal(counts, confusion(np.repeat(labels, row), np.repeat(scores, row), 0.5))


def test_mean_placement_of_a_site_is_its_auroc_against_all_background() -> None:
    labels, scores = tied_set(5)
    site = (labels == 1) & (np.arange(labels.size) % 3 == 0)
    keep = site | (labels == 0)
    placement = Ranking(labels, scores).placement()
    assert placement[site].mean() == pytest.approx(auroc(labels[keep], scores[keep]), abs=1e-12)


def test_brier_score_of_known_forecasts() -> None:
    assert brier_score([0, 1, 1], [0, 1, 1]) == 0
    assert brier_score([0, 1], [0.5, 0.5]) == 0.25
    assert brier_score([1], [0.2]) == pytest.approx(0.64)


def test_calibration_error_is_the_shift_of_shifted_probabilities() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(0.2, 0.7, 200_000)
    labels = rng.uniform(size=p.size) < p
    assert expected_calibration_error(labels, p) < 0.01
    assert expected_calibration_error(labels, p + 0.2) == pytest.approx(0.2, abs=0.01)


def test_reliability_table_counts_every_file_once() -> None:
    rows = reliability_table([0, 1, 1, 1], [0.05, 0.31, 0.35, 1.0])
    assert [(r.low, r.high, r.files, r.observed_share) for r in rows] == [
        (0, 0.1, 1, 0),
        (0.3, 0.4, 2, 1),
        (0.9, 1, 1, 1),
    ]
    assert rows[1].mean_probability == pytest.approx(0.33)
    assert (rows[1].observed_low, rows[1].observed_high) == wilson_interval(2, 2)


def test_probabilities_outside_zero_and_one_are_refused() -> None:
    with pytest.raises(ValueError, match=r"run from -1 to 2; expected \[0, 1\]"):
        reliability_table([0, 1], [-1, 2])


@pytest.mark.parametrize(
    ("labels", "scores", "words"),
    [
        ([0, 1], [0.5], "two lists of one length"),
        ([], [], "not empty"),
        ([0, 2], [0.1, 0.2], "expected only 0"),
        ([0, 1], [0.1, np.nan], "1 of 2 scores are not finite"),
    ],
)
def test_malformed_input_is_named(labels: list[int], scores: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        auroc(labels, scores)


def test_threshold_keeps_the_rate_on_the_scores_it_came_from() -> None:
    scores = np.arange(100.0)
    threshold = threshold_for_false_alarm_rate(scores, 0.05)
    assert threshold == 95
    assert (scores >= threshold).sum() == 5
    # The next lower score would flag one file too many.
    assert (scores >= 94).mean() > 0.05


def test_threshold_drops_a_tie_as_a_whole() -> None:
    scores = np.array([0.1] * 90 + [0.8] * 8 + [0.9, 0.95])
    threshold = threshold_for_false_alarm_rate(scores, 0.05)
    assert threshold == 0.9
    assert (scores >= threshold).mean() <= 0.05


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threshold_above_all_scores_survives_rounding(dtype: type) -> None:
    scores = np.full(10, 0.7, dtype)
    threshold = threshold_for_false_alarm_rate(scores, 0.05)
    assert not (scores >= threshold).any()
    assert threshold == pytest.approx(0.7, abs=1e-6)


def test_threshold_reads_decimal_rates_as_decimals() -> None:
    # floor(0.29 * 100) is 28 in binary floating point.
    assert (np.arange(100.0) >= threshold_for_false_alarm_rate(np.arange(100.0), 0.29)).sum() == 29


def test_threshold_holds_for_new_scenes() -> None:
    rng = np.random.default_rng(7)
    rates = [
        (rng.normal(size=500) >= threshold_for_false_alarm_rate(rng.normal(size=60), 0.1)).mean() for _ in range(800)
    ]
    # Exactly 6 / 61 in expectation; the standard error of this mean is 0.0014.
    assert np.mean(rates) == pytest.approx(6 / 61, abs=0.006)


@pytest.mark.parametrize(("scores", "rate", "words"), [([], 0.1, "at least one"), ([0.1], 1.0, r"\[0, 1\)")])
def test_threshold_refuses(scores: list[float], rate: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        threshold_for_false_alarm_rate(scores, rate)


def test_platt_recovers_the_logistic_that_made_the_labels() -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(2, 3, 40_000)
    labels = rng.uniform(size=logits.size) < expit(0.7 * logits - 1.5)
    slope, offset = fit_platt(logits, labels)
    assert slope == pytest.approx(0.7, abs=0.02)
    assert offset == pytest.approx(-1.5, abs=0.05)


def test_platt_solves_the_equations_of_smoothed_maximum_likelihood() -> None:
    labels, logits = np.array([0, 0, 0, 1, 1]), np.array([-2.0, 0.5, 1.0, 0.0, 3.0])
    slope, offset = fit_platt(logits, labels)
    targets = np.where(labels == 1, 3 / 4, 1 / 5)
    residual = expit(slope * logits + offset) - targets
    np.testing.assert_allclose([residual.sum(), residual @ logits], 0, atol=1e-6)


def test_platt_does_not_depend_on_the_unit_of_the_logits() -> None:
    rng = np.random.default_rng(5)
    logits, labels = rng.normal(size=200), np.arange(200) % 2
    logits += labels
    slope, offset = fit_platt(logits, labels)
    big_slope, big_offset = fit_platt(1e6 * logits + 3e6, labels)
    assert big_slope * 1e6 == pytest.approx(slope, rel=1e-6)
    assert big_offset + big_slope * 3e6 == pytest.approx(offset, rel=1e-6, abs=1e-6)


def test_platt_of_separable_scores_is_finite_and_confident() -> None:
    logits, labels = np.array([-300.0] * 50 + [300.0] * 50), np.repeat([0, 1], 50)
    slope, offset = fit_platt(logits, labels)
    np.testing.assert_allclose(expit(slope * logits + offset), np.where(labels == 1, 51 / 52, 1 / 52), rtol=1e-6)


def test_platt_of_equal_logits_is_the_smoothed_share() -> None:
    slope, offset = fit_platt(np.full(10, 4.0), [1, 1, 1, 0, 0, 0, 0, 0, 0, 0])
    assert slope == pytest.approx(0, abs=1e-9)
    assert expit(offset) == pytest.approx((3 * 4 / 5 + 7 / 9) / 10)


def test_platt_needs_both_classes() -> None:
    with pytest.raises(ValueError, match="expected both classes"):
        fit_platt([1.0, 2.0], [1, 1])


def test_mask_iou() -> None:
    truth = np.zeros((10, 10), bool)
    truth[2:6, 2:6] = True
    shifted = np.roll(truth, 2, axis=1)
    assert mask_iou(truth, truth) == 1
    assert mask_iou(truth, ~truth) == 0
    assert mask_iou(truth, shifted) == pytest.approx(8 / 24)
    assert np.isnan(mask_iou(truth & False, truth & False))
    with pytest.raises(ValueError, match="masks on one grid"):
        mask_iou(truth, truth[:5])


def test_local_coherence_of_constant_and_of_random_phase() -> None:
    rng = np.random.default_rng(0)
    assert mean_local_coherence(np.full((40, 40), 3.0, np.float32)) == pytest.approx(1)
    noise = rng.uniform(-np.pi, np.pi, (400, 400)).astype(np.float32)
    # See the test of local_coherence; a little more at the clipped edges.
    assert mean_local_coherence(noise) == pytest.approx(math.gamma(1.25) ** 2 / 5, abs=0.005)


def test_local_coherence_does_not_take_fringes_for_noise() -> None:
    ramp = np.angle(np.exp(1.5j * np.arange(300)))[None, :].repeat(60, axis=0).astype(np.float32)
    assert mean_local_coherence(ramp) == pytest.approx(1, abs=1e-4)


def test_local_coherence_leaves_no_data_out() -> None:
    phase = np.full((40, 40), 1.0, np.float32)
    phase[:, 20:] = np.nan
    assert mean_local_coherence(phase) == pytest.approx(1)
    lonely = np.full((40, 40), np.nan, np.float32)
    assert np.isnan(mean_local_coherence(lonely))
    lonely[5, 5] = 1.0
    assert np.isnan(mean_local_coherence(lonely))


def test_wilson_interval_matches_scipy() -> None:
    for hits, trials in ((0, 12), (3, 10), (10, 10)):
        expected = binomtest(hits, trials).proportion_ci(0.95, method="wilson")
        assert wilson_interval(hits, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert np.isnan(wilson_interval(0, 0)).all()


def mean_of(values: np.ndarray):
    return lambda weights: weights @ values / weights.sum(axis=-1)


def test_bootstrap_of_independent_files_is_the_normal_interval() -> None:
    values = np.random.default_rng(0).normal(size=400)
    low, high = bootstrap_interval(mean_of(values), range(400), rng=np.random.default_rng(1), resamples=4000)
    error = values.std() / np.sqrt(400)
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_bootstrap_draws_groups_as_a_whole() -> None:
    # 40 groups of 10 copies of one value: as uncertain as 40 files, not as 400.
    values = np.random.default_rng(0).normal(size=40)
    rng = np.random.default_rng(1)
    single = np.diff(bootstrap_interval(mean_of(values), range(40), rng=rng, resamples=3000))
    copied = np.diff(
        bootstrap_interval(mean_of(np.repeat(values, 10)), np.repeat(np.arange(40), 10), rng=rng, resamples=3000)
    )
    assert copied == pytest.approx(single, rel=0.1)


def test_bootstrap_keeps_both_classes_in_every_resample() -> None:
    labels = np.array([1, 1, 0, 0, 0, 0, 1, 0])
    groups = ["a", "a", "b", "c", "d", "e", "mixed", "mixed"]
    seen = []

    def statistic(weights: np.ndarray) -> np.ndarray:
        seen.append(weights)
        return weights.sum(axis=-1)

    bootstrap_interval(statistic, groups, rng=np.random.default_rng(0), strata=labels, resamples=200)
    weights = np.concatenate(seen)
    # One group per stratum of deformation and of mixture: always drawn once; four of background: four draws.
    np.testing.assert_array_equal(weights[:, [0, 1, 6, 7]], 1)
    np.testing.assert_array_equal(weights[:, 2:6].sum(axis=1), 4)


def test_bootstrap_of_several_statistics_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fringewatch.metrics.intervals._CHUNK_ELEMENTS", 100)
    values = np.random.default_rng(0).normal(size=30)

    def both(weights: np.ndarray) -> np.ndarray:
        mean = mean_of(values)(weights)
        return np.stack([mean, mean + 1, np.full_like(mean, np.nan)], axis=-1)

    ends = bootstrap_interval(both, range(30), rng=np.random.default_rng(0), resamples=500)
    assert ends.shape == (2, 3)
    np.testing.assert_allclose(ends[:, 1], ends[:, 0] + 1)
    assert np.isnan(ends[:, 2]).all()


def test_bootstrap_says_nothing_from_one_group_and_repeats_with_its_seed() -> None:
    values = np.arange(6.0)
    assert np.isnan(bootstrap_interval(mean_of(values), ["a"] * 6, rng=np.random.default_rng(0))).all()
    twice = [bootstrap_interval(mean_of(values), range(6), rng=np.random.default_rng(4)) for _ in range(2)]
    np.testing.assert_array_equal(*twice)
