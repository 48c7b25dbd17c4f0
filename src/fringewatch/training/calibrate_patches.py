"""Turn a classifier's logits into probabilities and a threshold, on validation patches."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from fringewatch.errors import TrainingError
from fringewatch.metrics import auroc
from fringewatch.models import Calibration, Thresholds
from fringewatch.scan import scene_logit
from fringewatch.training.calibrate import FLAT, fit_calibration, tell_saturation, threshold_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from fringewatch.encoding import Encoding
    from fringewatch.networks.sliding import Sliding

__all__ = ["PatchCalibrations", "PatchScores", "calibrate_patches", "score_patches"]

_SURROUNDINGS_PX = 64


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
    of_patches = fit_calibration(scores.patch_logit, label, fitted_on)
    told = of_patches.slope <= FLAT
    mirrored = f"{len(scores.mapped)} of {fitted_on}; with their mirror image around them"
    of_map = fit_calibration(scores.map_logit, label[scores.mapped], mirrored, told=told)
    of_scenes = fit_calibration(scores.scene_logit, label, fitted_on, told=told)
    score = of_scenes(scores.scene_logit.astype(np.float32)).astype(float)
    threshold = threshold_of({"validation": score[~label]}, false_alarm_rate)
    tell_saturation(threshold)
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
