"""The `train` command: simulate, fit, export, calibrate, write the bundle. One seed, one command."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any, NamedTuple

import lightning
import numpy as np
import torch

from fringewatch._version import __version__
from fringewatch.encoding import Encoding
from fringewatch.errors import ConfigError
from fringewatch.files import ensure_folder, sole_use, write_text
from fringewatch.models import Card, load_bundle, save_bundle
from fringewatch.networks.fringenet import FringeNet, receptive_radius_px
from fringewatch.networks.weights import load_map_weights, save_weights
from fringewatch.progress import track
from fringewatch.simulate import RealNoise, SceneSpec
from fringewatch.training.cache import CHUNK, Samples, at_stride, build_cache
from fringewatch.training.calibrate import calibrate, score_samples
from fringewatch.training.codes import decode_codes
from fringewatch.training.export import export_onnx, quantise
from fringewatch.training.fit import fit
from fringewatch.training.folder import SETTINGS, WEIGHTS, check_folder, clear, remove_partial, settings_to_keep
from fringewatch.training.settings import HARMLESS, TrainConfig
from fringewatch.training.teachers import identify
from fringewatch.training.trainer import check_accelerator

__all__ = ["TrainConfig", "TrainResult", "run"]


_FOR_RANGES = 256
"""Training samples from which int8 learns the ranges of activations."""
_POPULATION = "samples.json"


class TrainResult(NamedTuple):
    """What a training run leaves behind."""

    bundle: Path | None
    """None where the network was not exported."""
    history: Path
    scores: dict[str, float]
    """Of the int8 network on held-out samples, by background."""

    def describe(self) -> str:
        """Return the outcome in a few lines for a terminal."""
        if self.bundle is None:
            return f"history: {self.history}\nno bundle yet: the same command with --resume --export writes it"
        lines = [f"  {name.replace('_', ' '):40} {value:.3f}" for name, value in self.scores.items()]
        return "\n".join([f"bundle: {self.bundle}", f"history: {self.history}", "held-out samples (int8):", *lines])


def run(config: TrainConfig) -> TrainResult:
    """Train a network and write its bundle.

    Raises
    ------
    ConfigError
        If the population cannot be trained on, there is nothing to resume, or another run in the folder.
    TrainingError
        If the loss becomes NaN, or a checkpoint to resume from was made with other settings.
    OutputError
        If results cannot be written, or another run writes its own there.
    KeyboardInterrupt
        If the user stopped it.
    """
    spec = config.spec()
    check_folder(config, config.out, harmless=HARMLESS)
    check_accelerator(config.accelerator)
    network = _build(config)
    _check_sizes(spec, network)
    if config.weights:
        # Before hours of simulation: a bundle that does not fit is an error at once.
        load_map_weights(network, config.weights)
    with sole_use(ensure_folder(config.out)) as out:
        return _run(config, out, spec, network)


def _run(config: TrainConfig, out: Path, spec: SceneSpec, network: FringeNet) -> TrainResult:
    remove_partial(out)
    if not config.resume:
        clear(out)
    write_text(out / SETTINGS, settings_to_keep(config))
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    finished = config.resume and (out / WEIGHTS).is_file() and (out / _POPULATION).is_file()
    # The bundle of a finished training needs a few of its samples only.
    samples = _samples(config, spec, min(config.samples, CHUNK) if finished else config.samples, network.stride)
    if not finished:
        _check_classes(samples)
        write_text(out / _POPULATION, json.dumps(_count(samples[0]), indent=1) + "\n")
    encoding = Encoding(pixel_size_m=spec.pixel_sizes_m())
    if not config.weights:
        # By the seed, whatever was drawn before.
        network = _build(config)
    train_samples, holdout_samples = samples
    fit(config, out, network, encoding, (train_samples, at_stride(holdout_samples, network.stride)))
    if not config.export:
        return TrainResult(None, out / "history.csv", {})
    return _write_bundle(config, out, network, encoding, samples)


def _build(config: TrainConfig) -> FringeNet:
    try:
        return FringeNet(**config.network)
    except (TypeError, ValueError, KeyError) as error:
        message = (
            f"network = {config.network}: not arguments of fringenet ({error}); see fringewatch.networks.fringenet"
        )
        raise ConfigError(message) from error


def _check_sizes(spec: SceneSpec, network: FringeNet) -> None:
    """Refuse samples that the network cannot take, before hours of simulation."""
    if spec.height_px != spec.width_px or spec.height_px % network.multiple:
        message = (
            f"simulation: height_px = {spec.height_px}, width_px = {spec.width_px}; expected samples as wide as high, "
            f"since they are turned in training, and a multiple of {network.multiple} pixels"
        )
        raise ConfigError(message)


def _check_classes(parts: tuple[Samples, Samples]) -> None:
    """Refuse samples of one class, before hours of training."""
    for name, samples in zip(("samples", "holdout"), parts, strict=True):
        deforming = int(samples.label.astype(bool).sum())
        if deforming in {0, len(samples.label)}:
            message = (
                f"{name} = {len(samples.label)}: {deforming} of them deform, and training needs both; ask for more, or "
                "weigh `kinds` of the simulation otherwise"
            )
            raise ConfigError(message)


def _samples(config: TrainConfig, spec: SceneSpec, train_count: int, stride: int) -> tuple[Samples, Samples]:
    parts = []
    # Outlines are compared with every pixel of the held-out samples.
    for fold, count, seed, step in (
        ("train", train_count, config.seed, stride),
        ("holdout", config.holdout, config.seed + 1, 1),
    ):
        with track(f"simulating ({fold})", total=count) as advance:
            parts.append(
                build_cache(
                    config.cache,
                    spec,
                    count=count,
                    seed=seed,
                    stride=step,
                    noise_folder=config.noise_from,
                    fold=fold,
                    workers=config.workers,
                    progress=advance,
                )
            )
    return parts[0], parts[1]


def _write_bundle(
    config: TrainConfig, out: Path, network: FringeNet, encoding: Encoding, samples: tuple[Samples, Samples]
) -> TrainResult:
    train_samples, holdout_samples = samples
    folder = ensure_folder(out / config.name)
    export_onnx(network, folder / "model.onnx", multiple=network.multiple)
    save_weights(network, folder / WEIGHTS)
    table = decode_codes()
    # Of the first samples alone, which a later export simulates again.
    phases = table[train_samples.phase[:_FOR_RANGES]]
    quantise(
        folder / "model.onnx",
        folder / "model.int8.onnx",
        (encoding(phases[start : start + 8]) for start in range(0, len(phases), 8)),
    )
    card = Card(
        name=config.name,
        version=__version__,
        description=config.describe(),
        citation=f"fringewatch {__version__}, model {config.name}",
        architecture="fringenet",
        architecture_settings=network.settings,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        encoding=encoding,
        stride=network.stride,
        multiple=network.multiple,
        halo_px=receptive_radius_px(network),
        files={"float32": "model.onnx", "int8": "model.int8.onnx"},
        weights=WEIGHTS,
        sha256={},
        training=_describe_training(config, json.loads((out / _POPULATION).read_text(encoding="utf-8"))),
    )
    save_bundle(folder, card)
    real_quiet = ""
    if config.noise_from is not None:
        held_out = RealNoise(config.noise_from, fold="holdout")
        real_quiet = f"turned crops of {len(held_out)} patches from {len(set(held_out.sites))} sites not trained on"
    scores: dict[str, dict[str, float]] = {}
    for precision in ("float32", "int8"):
        bundle = load_bundle(folder, precision=precision)
        with track(f"calibrating ({precision})", total=len(holdout_samples.label)) as advance:
            scored = score_samples(holdout_samples, bundle, seed=config.seed, progress=advance)
        calibration, scene_calibration, thresholds, scores[precision] = calibrate(
            holdout_samples, scored, false_alarm_rate=config.false_alarm_rate, real_quiet=real_quiet
        )
    # The card holds one calibration: that of int8, the default precision; the two differ by less than their error.
    card = card.model_copy(
        update={
            "calibration": calibration,
            "scene_calibration": scene_calibration,
            "thresholds": thresholds,
            "scores": {"holdout": scores},
        }
    )
    save_bundle(folder, card)
    write_text(out / "scores.json", json.dumps(scores, indent=2) + "\n")
    return TrainResult(folder, out / "history.csv", scores["int8"])


def _count(samples: Samples) -> dict[str, Any]:
    return {
        "samples": len(samples.label),
        "samples_by_kind": {str(k): int(n) for k, n in zip(*np.unique(samples.kind, return_counts=True), strict=True)},
        "samples_on_real_noise": int(samples.real.sum()),
    }


def _describe_training(config: TrainConfig, counts: dict[str, Any]) -> dict[str, Any]:
    elsewhere = {
        "out",
        "cache",
        "noise_from",
        "weights",
        "teachers",
        "workers",
        "resume",
        "overwrite",
        "description",
        "export",
    }
    return {
        "settings": config.model_dump(mode="json", exclude=elsewhere),
        "started_from": Path(config.weights).name or "nothing",
        "teachers": identify(config.teachers),
        "population": config.spec().model_dump(mode="json"),
        **counts,
        "real_noise": "quiet patches without labels of deformation; sites disjoint from the held-out ones"
        if config.noise_from
        else "none",
        "versions": {"fringewatch": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }
