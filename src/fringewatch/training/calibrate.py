"""Turn the logits of a network that maps scenes into probabilities and thresholds, on held-out samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xarray as xr

from fringewatch.errors import TrainingError
from fringewatch.metrics import auroc, fit_platt, threshold_for_false_alarm_rate
from fringewatch.models import Calibration, Thresholds
from fringewatch.progress import say
from fringewatch.scan import scan
from fringewatch.training.cache import at_stride
from fringewatch.training.codes import decode_codes
from fringewatch.training.outlines import ENOUGH, LEVELS, Outlines, choose_edge, compare_outlines

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fringewatch.models import Bundle
    from fringewatch.training.cache import Samples

__all__ = ["FLAT", "Scored", "calibrate", "fit_calibration", "score_samples", "tell_saturation", "threshold_of"]


FLAT = 1e-3
"""Slope of a calibration that says next to nothing."""
_NONE = np.zeros((0, len(LEVELS)))
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
    outlines: Outlines
    """Of all objects."""


def score_samples(
    samples: Samples, bundle: Bundle, *, seed: int = 0, progress: Callable[[int], None] | None = None
) -> Scored:
    """Run a bundle over samples through the same `scan` as detection.

    Parameters
    ----------
    samples
        Their coverage is that of every pixel, or of the map's at the least: outlines are compared with it.
    bundle
        The network and its card.
    seed
        Of the choice of map pixels.
    progress
        Called for every sample.
    """
    rng = np.random.default_rng(seed)
    table = decode_codes()
    scene, logits, truth = [], [], []
    outlines: list[Outlines] = []
    fine = samples.phase.shape[1] // samples.coverage.shape[1]
    coarse = at_stride(samples, bundle.card.stride).coverage
    for codes, mask, coverage in zip(samples.phase, samples.coverage, coarse, strict=True):
        result = scan(xr.DataArray(table[codes], dims=("y", "x")), bundle)
        scene.append(result.scene_logit)
        chosen = rng.random(result.logits.shape) < 0.02
        # Pixels that are half deforming have no right answer.
        chosen &= result.valid & ((coverage > 200) | (coverage < 50))
        logits.append(result.logits[chosen])
        truth.append(coverage[chosen] > 127)
        if mask.any() and len(outlines) < ENOUGH:
            outlines.append(compare_outlines(result, (mask > 127).repeat(fine, axis=0).repeat(fine, axis=1)))
        if progress:
            progress(1)
    together = [np.concatenate([getattr(part, name) for part in outlines] or [_NONE]) for name in Outlines._fields]
    return Scored(np.array(scene), np.concatenate(logits).astype(float), np.concatenate(truth), Outlines(*together))


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
        Per background. Recall and false-alarm rate are cross-fitted: each half of the held-out samples, split by
        site where the background is real, is judged by the threshold of the other half. Outlines are those of the
        objects that are found at the threshold, at the edge that suits them best; one number for all of them, so it is
        not cross-fitted.
    """
    label = samples.label.astype(bool)
    map_calibration = fit_calibration(scored.map_logit, scored.map_truth, f"pixels of {len(label)} held-out samples")
    fitted_on = f"{len(label)} held-out samples, of which {label.mean():.0%} deform: the score assumes that share"
    scene_calibration = fit_calibration(scored.scene_logit, label, fitted_on)
    score = scene_calibration(scored.scene_logit.astype(np.float32)).astype(float)

    groups = {"simulated": ~samples.real, "real": samples.real}
    quiet = {name: score[group & ~label] for name, group in groups.items() if (group & ~label).any()}
    counts = [f"{len(scores_of)} {name}" for name, scores_of in quiet.items()]
    if real_quiet and "real" in quiet:
        counts[-1] += f" ({real_quiet})"
    scene = threshold_of(quiet, false_alarm_rate)
    tell_saturation(scene)
    flagged = _cross_flagged(samples, score, groups, false_alarm_rate)
    scores = {}
    for name, group in groups.items():
        if (group & label).any() and name in quiet:
            scores[f"auroc_{name}_background"] = auroc(label[group], score[group])
            scores[f"recall_{name}_background"] = float(np.mean(flagged[group & label]))
            scores[f"false_alarm_rate_{name}_background"] = float(np.mean(flagged[group & ~label]))
    fewest = min(len(scores_of) for scores_of in quiet.values())
    # One in a hundred says nothing of sixty.
    for percent in (each for each in _OTHER_RATES_PERCENT if fewest * each >= 100):
        scores[f"threshold_for_{percent}_percent_false_alarms"] = threshold_of(quiet, percent / 100)
    edge = choose_edge(scored.outlines, map_calibration, threshold_logit=float(scene_calibration.inverse(scene)))
    if edge is not None:
        scores |= {"outline_iou": edge.iou, "outlined_objects": float(edge.objects)}
    thresholds = Thresholds(
        scene=scene,
        **({} if edge is None else {"region_edge": edge.probability}),
        false_alarm_rate=false_alarm_rate,
        false_alarm_set=(
            f"held-out quiet scenes of {samples.phase.shape[1]} x {samples.phase.shape[2]} px, on neither more than "
            f"the rate: {' and '.join(counts)}"
        ),
    )
    return map_calibration, scene_calibration, thresholds, scores


def _cross_flagged(
    samples: Samples, score: NDArray[np.float64], groups: dict[str, NDArray[np.bool_]], rate: float
) -> NDArray[np.bool_]:
    """Flag each half of the samples by the threshold that the quiet scenes of the other half give."""
    label = samples.label.astype(bool)
    _, place = np.unique(samples.site, return_inverse=True)
    # Sites alternate between the halves; so do simulated samples, each a site of its own.
    first = np.where(samples.real, place, np.arange(len(label))) % 2 == 0
    flagged = np.zeros(len(label), bool)
    for judged in (first, ~first):
        quiet = {name: score[group & ~label & ~judged] for name, group in groups.items()}
        quiet = {name: scores for name, scores in quiet.items() if scores.size}
        if quiet:
            flagged[judged] = score[judged] >= threshold_of(quiet, rate)
    return flagged


def threshold_of(quiet: dict[str, NDArray[np.float64]], rate: float) -> float:
    """Return the score, 0 to 1, that no set of quiet scenes, (N,) each, reaches more often than at `rate`."""
    return float(np.clip(max(threshold_for_false_alarm_rate(scores, rate) for scores in quiet.values()), 0.0, 1.0))


def tell_saturation(threshold: float) -> None:
    """Say that a threshold of 1 flags what it should not: more quiet scenes score 1 than may be flagged."""
    if threshold >= 1:
        say(
            "held-out quiet scenes score 1.0 to the last digit, more of them than may be flagged: the network has not "
            "learnt what is quiet; train it longer or on more quiet samples, and do not trust its threshold"
        )


def fit_calibration(
    logits: NDArray[np.float64], truth: NDArray[np.bool_], fitted_on: str, *, told: bool = False
) -> Calibration:
    """Fit Platt scaling to logits and truth, both (N,); a fit that falls is replaced by one that is all but flat.

    Parameters
    ----------
    logits, truth
        Of both classes.
    fitted_on
        What they are, for the card.
    told
        Whether the user knows already that the network does no better than chance.

    Raises
    ------
    TrainingError
        If one of the classes is missing.
    """
    if truth.all() or not truth.any():
        message = (
            f"{fitted_on}: {'all' if truth.all() else 'none'} show deformation, and a calibration compares both; hold "
            "out more samples"
        )
        raise TrainingError(message)
    slope, offset = fit_platt(logits, truth)
    if slope <= 0:
        if not told:
            say("the network does no better than chance on held-out samples: train longer, or on more samples")
        # A probability must not fall where the logit rises, whatever the fit to noise says: flat, at the base rate.
        share = float(np.mean(truth))
        slope, offset = FLAT, float(np.log(share / (1 - share)) - FLAT * np.mean(logits))
    return Calibration(slope=slope, offset=offset, fitted_on=fitted_on)
