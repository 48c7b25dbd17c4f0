"""Turn a trained network's logits into probabilities and thresholds: maps by samples, classifiers by patches."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import xarray as xr

from fringewatch.errors import TrainingError
from fringewatch.metrics import auroc, fit_platt, threshold_for_false_alarm_rate
from fringewatch.models import Calibration, Thresholds
from fringewatch.progress import say
from fringewatch.scan import scan, scene_logit
from fringewatch.training.cache import at_stride
from fringewatch.training.codes import decode_codes
from fringewatch.training.outlines import ENOUGH, LEVELS, Outlines, choose_edge, compare_outlines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from fringewatch.encoding import Encoding
    from fringewatch.models import Bundle
    from fringewatch.networks.sliding import Sliding
    from fringewatch.training.cache import Samples

__all__ = ["PatchCalibrations", "PatchScores", "Scored", "calibrate", "calibrate_patches", "score_patches"]
__all__ += ["score_samples"]


_FLAT = 1e-3
"""Slope of a calibration that says next to nothing."""
_NONE = np.zeros((0, len(LEVELS)))
_SURROUNDINGS_PX = 64
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
    flagged = _cross_flagged(samples, score, groups, false_alarm_rate)
    scores = {}
    for name, group in groups.items():
        if (group & label).any() and name in quiet:
            scores[f"auroc_{name}_background"] = auroc(label[group], score[group])
            scores[f"recall_{name}_background"] = float(np.mean(flagged[group & label]))
            scores[f"false_alarm_rate_{name}_background"] = float(np.mean(flagged[group & ~label]))
    for percent in _OTHER_RATES_PERCENT:
        scores[f"threshold_for_{percent}_percent_false_alarms"] = _threshold(quiet, percent / 100)
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
            flagged[judged] = score[judged] >= _threshold(quiet, rate)
    return flagged


class PatchScores(NamedTuple):
    """What a sliding classifier says of patches: of each as a scene of its own, of some within a larger one."""

    patch_logit: NDArray[np.float64]
    """(N,) logit of the window that is the patch."""
    scene_logit: NDArray[np.float64]
    """(N,) the scene's, by :func:`fringewatch.scan.scene_logit`, as detection computes it."""
    map_logit: NDArray[np.float64]
    """(M,) logit of the window that is the patch, where the scene goes on around it as the patch's mirror image."""
    mapped: NDArray[np.intp]
    """(M,) which patches those are."""


def score_patches(
    network: Sliding,
    phases: Sequence[NDArray[np.float32]],
    labels: ArrayLike,
    encoding: Encoding,
    *,
    batch_size: int = 32,
    most_mapped: int = 1000,
) -> PatchScores:
    """Run a sliding classifier over patches, on the device where it lies.

    Inside the network zeros surround a patch that is a scene of its own, and shift its logit against that of the same
    window of a larger scene. So some are scored again with their mirror image around them, 64 pixels wide: the zeros
    beyond that hardly reach the patch.

    Parameters
    ----------
    network
        The classifier as detection runs it.
    phases
        Patches (P, P) float32, wrapped radians, NaN = no data; indexed one at a time, so that they may be read then. A
        network of whole crops takes any (H, W), and says of a crop what it says of it anywhere.
    labels
        (N,) 1 = deformation, 0 = background.
    encoding
        What the classifier was trained with.
    batch_size
        Patches at once.
    most_mapped
        How many are scored within a larger scene, of each class in proportion.
    """
    device = next(network.parameters()).device
    if network.top is not None:
        with torch.inference_mode():
            said = [
                network(torch.from_numpy(encoding(phases[index])[None]).to(device))[1] for index in range(len(phases))
            ]
        logit = np.array([(scene[0, 1] - scene[0, 0]).item() for scene in said])
        return PatchScores(logit, logit, logit, np.arange(len(phases)))
    patch_logit, scene = [], []
    centre = network.geometry.left
    for maps, valid in _maps(network, phases, np.arange(len(phases)), encoding, device, batch_size):
        patch_logit.append(maps[:, centre, centre])
        # A patch without data counts as its network's answer to nothing: detection refuses such scenes.
        scene += [
            scene_logit(map_, inside if inside.any() else np.ones_like(inside))
            for map_, inside in zip(maps, valid, strict=True)
        ]
    mapped = _some_of_each(np.asarray(labels, bool), most_mapped)
    centre += _SURROUNDINGS_PX // network.stride
    around = [
        maps[:, centre, centre]
        for maps, _ in _maps(network, phases, mapped, encoding, device, batch_size, margin_px=_SURROUNDINGS_PX)
    ]
    patch, within = (np.concatenate(parts).astype(np.float64) for parts in (patch_logit, around))
    return PatchScores(patch, np.array(scene, np.float64), within, mapped)


def _maps(
    network: Sliding,
    phases: Sequence[NDArray[np.float32]],
    chosen: NDArray[np.intp],
    encoding: Encoding,
    device: torch.device,
    batch_size: int,
    *,
    margin_px: int = 0,
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Yield map logits and which of them hold data, both (batch, h, w), of patches with their mirror image around."""
    for start in range(0, len(chosen), batch_size):
        batch = np.stack([phases[index] for index in chosen[start : start + batch_size]])
        if margin_px:
            batch = np.pad(batch, [(0, 0), (margin_px, margin_px), (margin_px, margin_px)], mode="symmetric")
        missing = [(0, -size % network.multiple) for size in batch.shape[1:]]
        batch = np.pad(batch, [(0, 0), *missing], constant_values=np.nan)
        with torch.inference_mode():
            logits, _ = network(torch.from_numpy(encoding(batch)).to(device))
        blocks = len(batch), logits.shape[2], network.stride, logits.shape[3], network.stride
        yield logits[:, 0].float().cpu().numpy(), np.any(np.isfinite(batch).reshape(blocks), axis=(2, 4))


def _some_of_each(label: NDArray[np.bool_], most: int) -> NDArray[np.intp]:
    """Return about so many indices, at random but always the same, with each class's share of all."""
    rng = np.random.default_rng(0)
    groups = [rng.permutation(np.flatnonzero(label == kind)) for kind in (False, True)]
    return np.sort(np.concatenate([group[: -(-most * group.size // label.size)] for group in groups]))


class PatchCalibrations(NamedTuple):
    """Calibrations of a classifier, as :class:`fringewatch.models.Card` names them."""

    calibration: Calibration
    patch_calibration: Calibration
    scene_calibration: Calibration


def calibrate_patches(
    scores: PatchScores, labels: ArrayLike, *, false_alarm_rate: float = 0.1
) -> tuple[PatchCalibrations, Thresholds, dict[str, float]]:
    """Fit a classifier's calibrations and choose its threshold, on validation patches.

    Parameters
    ----------
    scores
        From :func:`score_patches`.
    labels
        (N,) 1 = deformation, 0 = background.
    false_alarm_rate
        Share of background patches that may be flagged.

    Returns
    -------
    calibrations, thresholds, scores
        Scores are of the same patches, each by itself.

    Raises
    ------
    TrainingError
        If one of the classes is missing.
    """
    label: NDArray[np.bool_] = np.asarray(labels, bool)
    if label.all() or not label.any():
        message = (
            f"validation: {label.sum()} of {len(label)} patches deform; calibration needs patches of both classes: "
            "split the data so that each part has both"
        )
        raise TrainingError(message)
    fitted_on = f"{len(label)} validation patches, of which {label.mean():.0%} deform: the score assumes that share"
    of_patches = _fit(scores.patch_logit, label, fitted_on)
    told = of_patches.slope <= _FLAT
    mirrored = f"{len(scores.mapped)} of {fitted_on}; with their mirror image around them"
    of_map = _fit(scores.map_logit, label[scores.mapped], mirrored, told=told)
    of_scenes = _fit(scores.scene_logit, label, fitted_on, told=told)
    score = of_scenes(scores.scene_logit.astype(np.float32)).astype(float)
    threshold = _threshold({"validation": score[~label]}, false_alarm_rate)
    figures = {
        "auroc": auroc(label, scores.patch_logit),
        "accuracy": float(np.mean((of_patches(scores.patch_logit.astype(np.float32)) >= 0.5) == label)),
        "scene_auroc": auroc(label, score),
        "scene_recall": float(np.mean(score[label] >= threshold)),
        "scene_false_alarm_rate": float(np.mean(score[~label] >= threshold)),
    }
    thresholds = Thresholds(
        scene=threshold,
        false_alarm_rate=false_alarm_rate,
        false_alarm_set=f"{int((~label).sum())} background patches of the validation set, each as a scene",
    )
    return PatchCalibrations(of_map, of_patches, of_scenes), thresholds, figures


def _threshold(quiet: dict[str, NDArray[np.float64]], rate: float) -> float:
    """Return the score that no set of quiet scenes reaches more often than at `rate`."""
    return float(np.clip(max(threshold_for_false_alarm_rate(scores, rate) for scores in quiet.values()), 0.0, 1.0))


def _fit(logits: NDArray[np.float64], truth: NDArray[np.bool_], fitted_on: str, *, told: bool = False) -> Calibration:
    slope, offset = fit_platt(logits, truth)
    if slope <= 0:
        if not told:
            say("the network does no better than chance on held-out samples: train longer, or on more samples")
        # A probability must not fall where the logit rises, whatever the fit to noise says: flat, at the base rate.
        share = float(np.mean(truth))
        slope, offset = _FLAT, float(np.log(share / (1 - share)) - _FLAT * np.mean(logits))
    return Calibration(slope=slope, offset=offset, fitted_on=fitted_on)
