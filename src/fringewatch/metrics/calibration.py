"""Whether probabilities mean what they say, and how to make them: Platt scaling, reliability, thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import expit

from fringewatch.metrics._arrays import bin_index, checked_scores
from fringewatch.metrics.intervals import wilson_interval
from fringewatch.metrics.ranking import Ranking

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Platt",
    "ReliabilityBin",
    "brier_score",
    "expected_calibration_error",
    "fit_platt",
    "reliability_table",
    "threshold_for_false_alarm_rate",
]


def brier_score(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the mean squared difference of probabilities in [0, 1] and labels (Brier 1950)."""
    return float(Ranking(labels, probabilities).brier_score())


def expected_calibration_error(labels: ArrayLike, probabilities: ArrayLike, *, bins: int = 10) -> float:
    """Return the calibration error over `bins` equal bins of [0, 1] (Naeini et al. 2015)."""
    return float(Ranking(labels, probabilities).expected_calibration_error(bins=bins))


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """One row of a reliability table: files whose probability lies in [low, high), the last bin with its end."""

    low: float
    high: float
    files: int
    mean_probability: float
    observed_share: float
    observed_low: float
    observed_high: float


def reliability_table(labels: ArrayLike, probabilities: ArrayLike, *, bins: int = 10) -> list[ReliabilityBin]:
    """Compare stated probabilities in [0, 1] with the observed share of deformation.

    Returns
    -------
    list of ReliabilityBin
        Bins that hold files, in order; the interval of the share is Wilson's, 95 %, over files.
    """
    truth, scores = checked_scores(labels, probabilities)
    index = bin_index(scores, bins)
    rows = []
    for bin_ in np.unique(index):
        inside = index == bin_
        files, hits = int(inside.sum()), int(truth[inside].sum())
        low, high = wilson_interval(hits, files)
        rows.append(
            ReliabilityBin(bin_ / bins, (bin_ + 1) / bins, files, float(scores[inside].mean()), hits / files, low, high)
        )
    return rows


def threshold_for_false_alarm_rate(quiet_scores: ArrayLike, rate: float) -> float:
    """Return a threshold at which at most `rate` of quiet scenes are flagged, those of the future included.

    With ``n`` scores, ``k = floor(rate * n)`` of them may be flagged. The threshold is the lowest observed score above
    the one that comes after those ``k``: at most ``k`` are flagged, fewer where ties straddle that place (a tie is
    dropped as a whole), and for exchangeable scores a new quiet scene is flagged with a probability of at most
    ``k / (n + 1) <= rate`` (the argument of conformal prediction; Vovk et al. 2005). Interpolated quantiles promise
    neither.

    Where no observed score qualifies (``k = 0``, or the tie is at the top) it is the next number above the highest
    score in the precision of the input; with fewer than ``1 / rate`` scores the data cannot support the rate.

    Parameters
    ----------
    quiet_scores
        (n,) finite scores of scenes without deformation. Use logits where probabilities saturate at 1.
    rate
        Allowed share of false alarms, in [0, 1).

    Raises
    ------
    ValueError
        If there are no scores, one is not finite, or the rate is outside [0, 1).
    """
    scores = np.asarray(quiet_scores)
    if scores.ndim != 1 or scores.size == 0 or not np.isfinite(scores).all():
        message = f"quiet_scores of shape {scores.shape}: expected a list of at least one finite score"
        raise ValueError(message)
    if not 0 <= rate < 1:
        message = f"rate = {rate}: expected a share in [0, 1)"
        raise ValueError(message)
    ordered = np.sort(scores)[::-1]
    # 0.29 * 100 is 28.999999999999996: a rate written as a decimal means the decimal.
    allowed = int(np.floor(rate * scores.size + 1e-9))
    first_not_flagged = ordered[allowed]
    above = ordered[ordered > first_not_flagged]
    return float(above[-1] if above.size else np.nextafter(first_not_flagged, first_not_flagged.dtype.type(np.inf)))


class Platt(NamedTuple):
    """Calibration ``probability = 1 / (1 + exp(-(slope * logit + offset)))``."""

    slope: float
    offset: float


def fit_platt(logits: ArrayLike, labels: ArrayLike) -> Platt:
    """Fit a logistic calibration of scores by maximum likelihood with smoothed targets.

    Targets are ``(n1 + 1) / (n1 + 2)`` and ``1 / (n0 + 2)`` instead of 1 and 0, which keeps the fit finite for
    separable scores (Platt 1999). The optimiser is Newton's method with backtracking on the overflow-free loss (Lin,
    Lin and Weng 2007, doi:10.1007/s10994-007-5018-6, algorithm 1), on standardised scores, so that their unit is free.

    Parameters
    ----------
    logits
        (n,) finite scores of any unit.
    labels
        (n,) of 0 and 1, both present.

    Returns
    -------
    Platt
        The slope is positive where higher logits mean deformation, and 0 where all logits are equal.

    Raises
    ------
    ValueError
        If a class is missing or the input is malformed.
    """
    truth, raw = checked_scores(labels, logits)
    positives = int(truth.sum())
    if positives in {0, truth.size}:
        message = f"labels: {positives} of {truth.size} are 1; expected both classes, a calibration compares them"
        raise ValueError(message)
    centre, spread = float(raw.mean()), float(raw.std()) or 1.0
    x = (raw - centre) / spread
    targets = np.where(truth, (positives + 1) / (positives + 2), 1 / (truth.size - positives + 2))
    design = np.stack([x, np.ones_like(x)])

    def loss(parameters: NDArray[np.float64]) -> float:
        z = parameters @ design
        return float((np.logaddexp(0, z) - targets * z).sum())

    prior = (positives + 1) / (truth.size + 2)
    parameters = np.array([0.0, np.log(prior / (1 - prior))])
    value = loss(parameters)
    for _ in range(100):
        p = expit(parameters @ design)
        gradient = design @ (p - targets)
        if np.abs(gradient).max() < 1e-9 * truth.size:
            break
        # The tiny ridge keeps the matrix regular where all logits are equal.
        hessian = (design * (p * (1 - p))) @ design.T + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, -gradient)
        fraction = 1.0
        while fraction > 1e-10 and loss(parameters + fraction * step) > value + 1e-4 * fraction * float(
            gradient @ step
        ):
            fraction /= 2
        if fraction <= 1e-10:
            break
        parameters = parameters + fraction * step
        value = loss(parameters)
    slope = float(parameters[0]) / spread
    return Platt(slope, float(parameters[1]) - slope * centre)
