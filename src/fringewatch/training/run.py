"""The `train` command: simulate, fit, export, calibrate, write the bundle. One seed, one command."""

from __future__ import annotations

import csv
import json
import logging
import platform
import warnings
from pathlib import Path
from typing import Any, Literal, NamedTuple

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from pydantic import Field

from fringewatch._version import __version__
from fringewatch.config import Config
from fringewatch.encoding import Encoding
from fringewatch.errors import ConfigError, TrainingError
from fringewatch.figures import plot_history
from fringewatch.files import atomic_path, ensure_folder, write_text
from fringewatch.models import Bundle, Card, load_bundle, save_bundle
from fringewatch.networks.fringenet import FringeNet, receptive_radius_px
from fringewatch.progress import say, track
from fringewatch.simulate import RealNoise, preset
from fringewatch.training.cache import Samples, build_cache, decode_phase
from fringewatch.training.calibrate import calibrate, score_samples
from fringewatch.training.data import SampleData, loader
from fringewatch.training.export import export_onnx, quantise
from fringewatch.training.module import MapModule

__all__ = ["TrainConfig", "TrainResult", "run"]


class TrainConfig(Config):
    """Train a network on simulated samples and export it as a model bundle with calibrated thresholds."""

    out: Path = Field(Path("runs/train"), description="Folder for checkpoints, history and the bundle.")
    name: str = Field("fringenet", description="Name of the bundle.")
    description: str = Field(
        "Finds ground deformation in wrapped interferograms of any provider by the look of its fringes. Its examples "
        "of deformation are all simulated: volcanoes, earthquakes, mines. It sees one interferogram and no terrain, so "
        "stratified delay over a steep cone can look to it like inflation (compare phase_height_correlation). "
        "Deformation under half a fringe, or in phase that is decorrelated throughout, stays unseen.",
        description="What the model is, for its card.",
    )
    preset: Literal["mixed", "volcano", "mining", "earthquake"] = Field("mixed", description="Simulated population.")
    simulation: dict[str, Any] = Field(
        default_factory=dict, description="Fields of SceneSpec that differ from the preset (in a --config file)."
    )
    samples: int = Field(40_000, ge=64, description="Simulated training samples.")
    holdout: int = Field(4_000, ge=64, description="Samples held out: other seed, other real-noise sites.")
    noise_from: Path | None = Field(
        None, description="Folder of real quiet patches (PNG, grey + alpha) to put simulated deformation on."
    )
    cache: Path = Field(Path("cache"), description="Where simulated samples are kept between runs.")
    epochs: int = Field(6, ge=1, description="Passes over the samples.")
    batch_size: int = Field(32, ge=2, description="Samples per step.")
    learning_rate: float = Field(3e-3, gt=0, description="Highest learning rate of the one-cycle schedule (AdamW).")
    weight_decay: float = Field(1e-2, ge=0, description="Decoupled weight decay.")
    positive_weight: float = Field(3.0, gt=0, description="Weight of deforming pixels in the map loss.")
    precision: Literal["bf16-mixed", "32-true"] = Field("bf16-mixed", description="Arithmetic of training.")
    accelerator: Literal["auto", "cpu", "gpu"] = Field("auto", description="Where to train.")
    workers: int = Field(2, ge=0, description="Processes that simulate samples.")
    false_alarm_rate: float = Field(0.02, gt=0, lt=1, description="Share of quiet scenes that may be flagged.")
    seed: int = Field(0, ge=0, description="Seed of samples, initial weights, order and augmentation.")
    resume: bool = Field(False, description="Go on from the last checkpoint in --out.")


class TrainResult(NamedTuple):
    """What a training run leaves behind."""

    bundle: Path
    history: Path
    scores: dict[str, float]
    """Of the int8 network on held-out samples, by background."""

    def describe(self) -> str:
        """Return the outcome in a few lines for a terminal."""
        lines = [f"  {name.replace('_', ' '):40} {value:.3f}" for name, value in self.scores.items()]
        return "\n".join([f"bundle: {self.bundle}", f"history: {self.history}", "held-out samples (int8):", *lines])


def run(config: TrainConfig) -> TrainResult:
    """Train a network and write its bundle.

    Raises
    ------
    TrainingError
        If the loss becomes NaN, or a checkpoint to resume from was made with other settings.
    """
    out = ensure_folder(config.out)
    checkpoint = _checkpoint_to_resume(config, out)
    write_text(out / "train.yaml", config.to_yaml())
    # Lightning announces hardware and services line by line; a user of this command wants the result.
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.WARNING)
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    train_samples, holdout_samples = _samples(config)
    encoding = Encoding(pixel_size_m=_pixel_sizes(config))
    network = FringeNet()
    module = _fit(config, out, network, encoding, train_samples, holdout_samples, checkpoint)
    return _write_bundle(config, out, module, encoding, train_samples, holdout_samples)


def _spec(config: TrainConfig) -> Any:
    base = preset(config.preset).model_dump()
    return type(preset(config.preset)).build(base | config.simulation, where="simulation")


def _pixel_sizes(config: TrainConfig) -> tuple[float, float]:
    spec = _spec(config)
    sizes = (*spec.pixel_size_m, *spec.mining_pixel_size_m)
    return min(sizes), max(sizes)


def _samples(config: TrainConfig) -> tuple[Samples, Samples]:
    spec = _spec(config)
    parts = []
    for fold, count, seed in (("train", config.samples, config.seed), ("holdout", config.holdout, config.seed + 1)):
        with track(f"simulating ({fold})", total=count) as advance:
            parts.append(
                build_cache(
                    config.cache,
                    spec,
                    count=count,
                    seed=seed,
                    stride=FringeNet.stride,
                    noise_folder=config.noise_from,
                    fold=fold,
                    workers=config.workers,
                    progress=advance,
                )
            )
    return parts[0], parts[1]


class _Epochs(Callback):
    """Tell the data set its epoch (augmentation depends on it), stop on NaN, show progress, one line per epoch."""

    def __init__(self, data: SampleData, advance: Any) -> None:
        self.data = data
        self.advance = advance

    def on_train_epoch_start(self, trainer: lightning.Trainer, _module: lightning.LightningModule) -> None:
        self.data.epoch = trainer.current_epoch

    def on_train_batch_end(self, _trainer: Any, _module: Any, outputs: Any, *_rest: Any) -> None:
        if not torch.isfinite(outputs["loss"]):
            message = "the loss became NaN; lower --learning-rate, or train with --precision 32-true"
            raise TrainingError(message)
        self.advance(1)

    def on_train_epoch_end(self, trainer: lightning.Trainer, _module: lightning.LightningModule) -> None:
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        say(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: train loss {values['train_loss']:.3f}, "
            f"held-out AUROC {values['val_auroc']:.4f}, accuracy {values['val_accuracy']:.4f}"
        )


def _fit(
    config: TrainConfig,
    out: Path,
    network: FringeNet,
    encoding: Encoding,
    train_samples: Samples,
    holdout_samples: Samples,
    checkpoint: Path | None,
) -> MapModule:
    module = MapModule(
        network.to(memory_format=torch.channels_last),  # type: ignore[call-overload]  # torch's stub lacks the keyword alone
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        positive_weight=config.positive_weight,
    )
    data = SampleData(train_samples, encoding, augment=True, seed=config.seed)
    held_out = SampleData(holdout_samples, encoding, augment=False)
    train_loader = loader(data, batch_size=config.batch_size, shuffle=True, seed=config.seed)
    holdout_loader = loader(held_out, batch_size=2 * config.batch_size, shuffle=False)
    steps = config.epochs * len(train_loader)
    with warnings.catch_warnings(), track("training (steps)", total=steps) as advance:
        # Lightning advises on worker counts and log folders; neither concerns a user of this command.
        warnings.filterwarnings("ignore", module="lightning")
        trainer = lightning.Trainer(
            accelerator=config.accelerator,
            devices=1,
            precision=config.precision,
            max_epochs=config.epochs,
            default_root_dir=out,
            logger=[
                CSVLogger(out, name="", version="history"),
                TensorBoardLogger(out, name="", version="tensorboard"),
            ],
            callbacks=[
                # Without a monitored score the newest epoch replaces the one before.
                ModelCheckpoint(out / "checkpoints", filename="last", enable_version_counter=False),
                EMAWeightAveraging(decay=0.998),
                _Epochs(data, advance),
            ],
            gradient_clip_val=1.0,
            enable_progress_bar=False,
            enable_model_summary=False,
            deterministic="warn",
            log_every_n_steps=50,
        )
        trainer.fit(module, train_loader, holdout_loader, ckpt_path=checkpoint)
    return module


_HARMLESS = {"resume", "workers", "cache", "out", "description", "false_alarm_rate"}
"""Settings that do not change the weights; a finished run can be resumed with another false-alarm rate."""


def _checkpoint_to_resume(config: TrainConfig, out: Path) -> Path | None:
    checkpoint = out / "checkpoints" / "last.ckpt"
    if not config.resume:
        return None
    if not checkpoint.is_file():
        message = f"{checkpoint}: no checkpoint to resume from; run without --resume first"
        raise ConfigError(message)
    before = TrainConfig.from_yaml(out / "train.yaml")
    changed = [
        f"{name}: {getattr(before, name)} -> {getattr(config, name)}"
        for name in TrainConfig.model_fields
        if name not in _HARMLESS and getattr(before, name) != getattr(config, name)
    ]
    if changed:
        message = f"{out}: the checkpoint was made with other settings ({'; '.join(changed)}); use another --out"
        raise TrainingError(message)
    return checkpoint


def _write_bundle(
    config: TrainConfig,
    out: Path,
    module: MapModule,
    encoding: Encoding,
    train_samples: Samples,
    holdout_samples: Samples,
) -> TrainResult:
    network = module.network
    assert isinstance(network, FringeNet)
    folder = ensure_folder(out / config.name)
    export_onnx(network, folder / "model.onnx", multiple=network.multiple)
    table = decode_phase()
    rng = np.random.default_rng(config.seed)
    chosen = rng.choice(len(train_samples.label), size=min(256, len(train_samples.label)), replace=False)
    phases = table[train_samples.phase[np.sort(chosen)]]
    quantise(
        folder / "model.onnx",
        folder / "model.int8.onnx",
        (encoding(phases[start : start + 8]) for start in range(0, len(phases), 8)),
    )
    card = Card(
        name=config.name,
        version=__version__,
        description=config.description,
        citation=f"fringewatch {__version__}, model {config.name}",
        architecture="fringenet",
        architecture_settings=network.settings,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        encoding=encoding,
        stride=network.stride,
        multiple=network.multiple,
        halo_px=receptive_radius_px(network),
        files={"float32": "model.onnx", "int8": "model.int8.onnx"},
        sha256={},
        training=_describe_training(config, train_samples),
    )
    save_bundle(folder, card)
    real_quiet = ""
    if config.noise_from is not None:
        held_out = RealNoise(config.noise_from, fold="holdout")
        real_quiet = f"turned crops of {len(held_out)} patches from {len(set(held_out.sites))} sites not trained on"
    scores: dict[str, dict[str, float]] = {}
    for precision in ("float32", "int8"):
        bundle: Bundle = load_bundle(folder, precision=precision)
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
    history = _history(out)
    write_text(out / "scores.json", json.dumps(scores, indent=2) + "\n")
    return TrainResult(folder, history, scores["int8"])


def _describe_training(config: TrainConfig, samples: Samples) -> dict[str, Any]:
    return {
        "settings": config.model_dump(
            mode="json", exclude={"out", "cache", "noise_from", "workers", "resume", "description"}
        ),
        "samples": len(samples.label),
        "samples_by_kind": {str(k): int(n) for k, n in zip(*np.unique(samples.kind, return_counts=True), strict=True)},
        "samples_on_real_noise": int(samples.real.sum()),
        "real_noise": "quiet patches without labels of deformation; sites disjoint from the held-out ones"
        if config.noise_from
        else "none",
        "versions": {"fringewatch": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def _history(out: Path) -> Path:
    """Gather Lightning's metrics into one row per epoch, and draw them."""
    source = out / "history" / "metrics.csv"
    rows: dict[int, dict[str, str]] = {}
    with source.open(newline="", encoding="utf-8") as handle:
        for row in csv.DictReader(handle):
            kept = {key: value for key, value in row.items() if value and key not in {"step", "epoch"}}
            rows.setdefault(int(row["epoch"]), {}).update(kept)
    names = ["epoch", *sorted({key for row in rows.values() for key in row})]
    target = out / "history.csv"
    with atomic_path(target) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({"epoch": epoch, **rows[epoch]} for epoch in sorted(rows))
    columns = {name: [float(rows[epoch].get(name, "nan")) for epoch in sorted(rows)] for name in names[1:]}
    plot_history(out / "history.png", columns | {"epoch": [float(epoch) for epoch in sorted(rows)]})
    return target
