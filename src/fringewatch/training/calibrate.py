"""Turn a trained network's logits into probabilities and thresholds, on quiet and simulated scenes only."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xarray as xr

from fringewatch.metrics import auroc, fit_platt, threshold_for_false_alarm_rate
from fringewatch.models import Calibration, Thresholds
from fringewatch.progress import say
from fringewatch.scan import scan
from fringewatch.training.cache import Samples, decode_phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fringewatch.models import Bundle

__all__ = ["Scored", "calibrate", "score_samples"]


_OTHER_RATES_PERCENT = (1, 2, 5, 10)
"""Rates for which the card also gives the threshold, for those who want fewer false alarms or miss less."""


class Scored(NamedTuple):
    """What a bundle says of held-out samples."""

    scene_logit: NDArray[np.float64]
    """(N,)."""
    map_logit: NDArray[np.float64]
    """(M,) logits of a random subset of valid map pixels."""
    map_truth: NDArray[np.bool_]
    """(M,) whether those pixels deform visibly."""


def score_samples(
    samples: Samples, bundle: Bundle, *, seed: int = 0, progress: Callable[[int], None] | None = None
) -> Scored:
    """Run a bundle over samples through the same `scan` as detection."""
    rng = np.random.default_rng(seed)
    table = decode_phase()
    scene, logits, truth = [], [], []
    for codes, coverage in zip(samples.phase, samples.coverage, strict=True):
        result = scan(xr.DataArray(table[codes], dims=("y", "x")), bundle)
        scene.append(result.scene_logit)
        chosen = rng.random(result.logits.shape) < 0.02
        # Pixels that are half deforming have no right answer.
        chosen &= result.valid & ((coverage > 200) | (coverage < 50))
        logits.append(result.logits[chosen])
        truth.append(coverage[chosen] > 127)
        if progress:
            progress(1)
    return Scored(np.array(scene), np.concatenate(logits).astype(float), np.concatenate(truth))


def calibrate(
    samples: Samples, scored: Scored, *, false_alarm_rate: float, real_quiet: str = ""
) -> tuple[Calibration, Calibration, Thresholds, dict[str, float]]:
    """Fit map and scene calibration and choose thresholds.

    Parameters
    ----------
    samples
        Held-out samples; their quiet scenes, simulated and real, set the threshold.
    scored
        From :func:`score_samples`.
    false_alarm_rate
        Share of quiet scenes that may be flagged. It is reached separately on simulated and on real quiet scenes: the
        higher of the two thresholds is taken.
    real_quiet
        What the real quiet scenes are, for the card.

    Returns
    -------
    map_calibration, scene_calibration, thresholds, scores
        Scores are of the same held-out samples, per background.
    """
    label = samples.label.astype(bool)
    map_calibration = _fit(scored.map_logit, scored.map_truth, f"pixels of {len(label)} held-out samples")
    fitted_on = f"{len(label)} held-out samples, of which {label.mean():.0%} deform: the score assumes that share"
    scene_calibration = _fit(scored.scene_logit, label, fitted_on)
    score = scene_calibration(scored.scene_logit.astype(np.float32)).astype(float)

    groups = {"simulated": ~samples.real, "real": samples.real}
    quiet = {name: score[group & ~label] for name, group in groups.items() if (group & ~label).any()}
    counts = [f"{len(scores_of)} {name}" for name, scores_of in quiet.items()]
    if real_quiet and "real" in quiet:
        counts[-1] += f" ({real_quiet})"
    scene = _threshold(quiet, false_alarm_rate)
    scores = {}
    for name, group in groups.items():
        if (group & label).any() and name in quiet:
            scores[f"auroc_{name}_background"] = auroc(label[group], score[group])
            scores[f"recall_{name}_background"] = float(np.mean(score[group & label] >= scene))
            scores[f"false_alarm_rate_{name}_background"] = float(np.mean(quiet[name] >= scene))
    for percent in _OTHER_RATES_PERCENT:
        scores[f"threshold_for_{percent}_percent_false_alarms"] = _threshold(quiet, percent / 100)
    thresholds = Thresholds(
        scene=scene,
        false_alarm_rate=false_alarm_rate,
        false_alarm_set=(
            f"held-out quiet scenes of {samples.phase.shape[1]} x {samples.phase.shape[2]} px, on neither more than "
            f"the rate: {' and '.join(counts)}"
        ),
    )
    return map_calibration, scene_calibration, thresholds, scores


def _threshold(quiet: dict[str, NDArray[np.float64]], rate: float) -> float:
    """Return the score that no set of quiet scenes reaches more often than at `rate`."""
    return float(np.clip(max(threshold_for_false_alarm_rate(scores, rate) for scores in quiet.values()), 0.0, 1.0))


def _fit(logits: NDArray[np.float64], truth: NDArray[np.bool_], fitted_on: str) -> Calibration:
    slope, offset = fit_platt(logits, truth)
    if slope <= 0:
        say("the network does no better than chance on held-out samples: train longer, or on more samples")
    # A probability must not fall where the logit rises, whatever the fit to noise says.
    return Calibration(slope=max(slope, 1e-3), offset=offset, fitted_on=fitted_on)
