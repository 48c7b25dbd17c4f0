"""Fit a network to cached samples with Lightning: checkpoints, history, resume."""

from __future__ import annotations

import csv
import logging
import shutil
import warnings
from typing import TYPE_CHECKING, Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger

from fringewatch.errors import ConfigError, TrainingError
from fringewatch.figures import plot_history
from fringewatch.files import atomic_path
from fringewatch.progress import say, track
from fringewatch.training.data import SampleData, loader
from fringewatch.training.module import MapModule
from fringewatch.training.settings import HARMLESS, TrainConfig

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch.utils.data import DataLoader

    from fringewatch.encoding import Encoding
    from fringewatch.networks.fringenet import FringeNet
    from fringewatch.training.cache import Samples
    from fringewatch.training.data import Batch

__all__ = ["check_resume", "clear", "fit"]

_EMA_DECAY = 0.998
_LEFTOVERS = ("history.csv", "history.png", "weights.pt")


def check_resume(config: TrainConfig, out: Path) -> None:
    """Check that a run in `out` can be gone on with.

    Raises
    ------
    ConfigError
        If there is none.
    TrainingError
        If it has other settings; all that differ are listed.
    """
    if not (_checkpoint(out).is_file() or (out / "weights.pt").is_file()):
        message = f"{_checkpoint(out)}: no checkpoint to resume from; run without --resume first"
        raise ConfigError(message)
    before = TrainConfig.from_yaml(out / "train.yaml")
    changed = [
        f"{name}: {getattr(before, name)} -> {getattr(config, name)}"
        for name in TrainConfig.model_fields
        if name not in HARMLESS and getattr(before, name) != getattr(config, name)
    ]
    if changed:
        message = f"{out}: the checkpoint was made with other settings ({'; '.join(changed)}); use another --out"
        raise TrainingError(message)


def clear(out: Path) -> None:
    """Remove what an earlier run left in `out`: its checkpoint must never pass for one of this run."""
    for name in _LEFTOVERS:
        (out / name).unlink(missing_ok=True)
    for name in ("checkpoints", "tensorboard"):
        shutil.rmtree(out / name, ignore_errors=True)


def fit(
    config: TrainConfig, out: Path, network: FringeNet, encoding: Encoding, samples: tuple[Samples, Samples]
) -> None:
    """Train `network` in place, or load the weights of a run that finished.

    Parameters
    ----------
    config
        Settings; with ``resume`` the run goes on after the last finished epoch, as if it had not stopped.
    out
        Folder for ``checkpoints/``, ``tensorboard/``, ``history.csv``, ``history.png`` and, at the end, ``weights.pt``.
    network
        Left with the averaged weights.
    encoding
        Phase to input.
    samples
        For training and held out.

    Raises
    ------
    TrainingError
        If the loss becomes NaN.
    KeyboardInterrupt
        If the user stopped it.
    """
    finished = out / "weights.pt"
    if config.resume and finished.is_file():
        network.load_state_dict(torch.load(finished, weights_only=True))
        say(f"{finished}: training had finished; exporting and calibrating again")
        return
    # Lightning announces hardware and services line by line; a user of this command wants the result.
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.WARNING)
    module = MapModule(
        network.to(memory_format=torch.channels_last),  # type: ignore[call-overload]  # torch's stub lacks the keyword alone
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        positive_weight=config.positive_weight,
    )
    data = SampleData(samples[0], encoding, augment=True, seed=config.seed)
    train_loader = loader(data, batch_size=config.batch_size, shuffle=True, seed=config.seed)
    held_out = SampleData(samples[1], encoding, augment=False)
    held_out_loader = loader(held_out, batch_size=2 * config.batch_size, shuffle=False)
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
            logger=TensorBoardLogger(out, name="", version="tensorboard"),
            callbacks=[
                # Without a monitored score the newest epoch replaces the one before.
                ModelCheckpoint(out / "checkpoints", filename="last", enable_version_counter=False),
                EMAWeightAveraging(decay=_EMA_DECAY),
                _Epochs(out, data, train_loader, advance),
            ],
            gradient_clip_val=1.0,
            enable_progress_bar=False,
            enable_model_summary=False,
            deterministic="warn",
            log_every_n_steps=50,
        )
        try:
            # The checkpoint is this run's own, made by Lightning with more in it than tensors.
            checkpoint = _checkpoint(out) if config.resume else None
            trainer.fit(module, train_loader, held_out_loader, ckpt_path=checkpoint, weights_only=False)
        except SystemExit as stop:
            # Lightning turns Ctrl-C into this.
            say(f"stopped; the same command with --resume goes on after the last finished epoch ({out})")
            raise KeyboardInterrupt from stop
    with atomic_path(finished) as temporary:
        torch.save(network.state_dict(), temporary)


def _checkpoint(out: Path) -> Path:
    return out / "checkpoints" / "last.ckpt"


class _Epochs(Callback):
    """What happens between epochs: new augmentation, a line and a row of history; and a stop where the loss is NaN.

    The state of the generator that shuffles goes into the checkpoint, so that a resumed run sees the order that the
    uninterrupted one would have seen.
    """

    def __init__(
        self, out: Path, data: SampleData, train_loader: DataLoader[Batch], advance: Callable[[int], None]
    ) -> None:
        self.out = out
        self.data = data
        self.generator = train_loader.generator
        self.advance = advance

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.generator.set_state(state_dict["generator"])

    def on_train_epoch_start(self, trainer: lightning.Trainer, _module: lightning.LightningModule) -> None:
        self.data.epoch = trainer.current_epoch

    def on_train_batch_end(self, _trainer: Any, _module: Any, outputs: Any, *_rest: Any) -> None:
        if not torch.isfinite(outputs["loss"]):
            message = "the loss became NaN; lower --learning-rate, or train with --precision 32-true"
            raise TrainingError(message)
        self.advance(1)

    def on_train_epoch_end(self, trainer: lightning.Trainer, _module: lightning.LightningModule) -> None:
        values = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
        _extend_history(self.out, {"epoch": float(trainer.current_epoch), **values})
        say(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: train loss {values['train_loss']:.3f}, "
            f"held-out AUROC {values['val_auroc']:.4f}, accuracy {values['val_accuracy']:.4f}"
        )


def _extend_history(out: Path, row: dict[str, float]) -> None:
    """Add an epoch to ``history.csv`` in place of any later ones, and draw it anew."""
    path = out / "history.csv"
    rows: list[dict[str, float]] = []
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as handle:
            rows = [{name: float(value) for name, value in line.items()} for line in csv.DictReader(handle)]
    rows = [*(line for line in rows if line["epoch"] < row["epoch"]), row]
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerows({**line, "epoch": int(line["epoch"])} for line in rows)
    plot_history(out / "history.png", {name: [line[name] for line in rows] for name in row})
