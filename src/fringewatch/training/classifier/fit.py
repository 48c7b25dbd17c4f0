"""Fit a classifier with Lightning: history, early stopping, speed and memory of each epoch."""

from __future__ import annotations

import csv
import math
import time
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.callbacks import Callback

from fringewatch.figures import plot_history
from fringewatch.files import atomic_path, ensure_folder
from fringewatch.networks.weights import read_state, save_weights
from fringewatch.progress import say, track
from fringewatch.training.classifier.memory import peak_memory_bytes, reset_peak_memory
from fringewatch.training.classifier.module import ClassifierModule
from fringewatch.training.folder import WEIGHTS, best_path, extend_history, read_history, remove_checkpoints
from fringewatch.training.trainer import Sparingly, device_of, train

if TYPE_CHECKING:
    from pathlib import Path

    import lightning

    from fringewatch.networks.classifier import Classifier
    from fringewatch.progress import Advance
    from fringewatch.training.classifier.module import Scores
    from fringewatch.training.classifier.settings import ClassifierConfig

__all__ = ["fit", "write_scores"]

_PLOTTED = ("epoch", "train_loss", "val_loss", "train_accuracy", "val_accuracy")


def fit(config: ClassifierConfig, out: Path, network: Classifier, module: ClassifierModule, *, resume: bool) -> None:
    """Train `network` in place and write ``weights.pt``, or load it where training had finished.

    Parameters
    ----------
    config
        Settings.
    out
        Folder for ``checkpoints/``, ``tensorboard/``, ``history.csv``, ``history.png``, ``validation.csv`` and, at the
        end, ``weights.pt``.
    network
        Left with the last weights, or with patience those of the best epoch.
    module
        Around the network.
    resume
        Go on from the newest checkpoint, as if the run had not stopped.

    Raises
    ------
    TrainingError
        If the loss becomes NaN.
    KeyboardInterrupt
        If the user stopped it.
    """
    finished = out / WEIGHTS
    if resume and finished.is_file():
        network.load_state_dict(read_state(finished))
        say(f"{finished}: training had finished")
        return
    steps = config.epochs * len(module.train_batches)
    on_gpu = device_of(config.accelerator).type == "cuda"
    with track(f"training {config.network}", total=steps) as advance:
        train(
            module,
            module.train_batches,
            module.validation_batches,
            out=out,
            callbacks=[_Epochs(config, out, advance)],
            resume=resume,
            accelerator=config.accelerator,
            precision=config.precision,
            max_epochs=config.epochs,
            # On a GPU the fastest convolutions add in any order; on a CPU runs are repeatable to the bit.
            deterministic=None if on_gpu else "warn",
            benchmark=on_gpu,
            log_every_n_steps=1,
        )
    if config.patience is not None and best_path(out).is_file():
        network.load_state_dict(read_state(best_path(out)))
    save_weights(network, finished)
    # The last state of the optimiser is of no use any more and takes twice the space of the network.
    remove_checkpoints(out)


def write_scores(path: Path, scores: Scores, module: ClassifierModule) -> None:
    """Write what the network says of each validation patch: file, site, label, predicted, logit."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(("file", "site", "label", "predicted", "logit"))
        for patch, label, predicted, logit in zip(
            module.validation_patches, scores.label, scores.predicted, scores.logit, strict=True
        ):
            writer.writerow((patch.columns.get("file", patch.path), patch.site, label, predicted, f"{logit:.6g}"))


class _Epochs(Callback):
    """What happens between epochs: a row of history, a line on the terminal, whether it was the best or the last."""

    def __init__(self, config: ClassifierConfig, out: Path, advance: Advance) -> None:
        self.config = config
        self.out = out
        self.advance = advance
        self.best_loss = math.inf
        self.waited = 0
        self.started = self.trained = 0.0
        self.draw = Sparingly()

    def state_dict(self) -> dict[str, Any]:
        return {"best_loss": self.best_loss, "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_loss, self.waited = state_dict["best_loss"], state_dict["waited"]

    def on_fit_start(self, _trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        reset_peak_memory(module.device)

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        assert isinstance(module, ClassifierModule)
        # A run may have been killed between the checkpoint of its last epoch and the end.
        self._stop_if_done(trainer)
        self.advance(trainer.current_epoch * len(module.train_batches))

    def on_train_epoch_start(self, *_: Any) -> None:
        self.started = time.perf_counter()

    def on_train_batch_end(self, *_: Any) -> None:
        self.advance(1)

    def on_validation_start(self, _trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if module.device.type == "cuda":
            torch.cuda.synchronize(module.device)
        self.trained = time.perf_counter()

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        assert isinstance(module, ClassifierModule)
        assert module.scores is not None
        row = {
            "epoch": float(trainer.current_epoch),
            **module.summary,
            "learning_rate": float(trainer.optimizers[0].param_groups[0]["lr"]),
            "seconds": time.perf_counter() - self.started,
            "images_per_second": module.patches_per_epoch / (self.trained - self.started),
            "peak_memory_bytes": float(peak_memory_bytes(module.device)),
        }
        extend_history(self.out / "history.csv", row)
        self.draw.do(self._plot)
        say(
            f"epoch {trainer.current_epoch + 1}/{self.config.epochs}: loss {row['train_loss']:.4f} (validation "
            f"{row['val_loss']:.4f}), accuracy {row['train_accuracy']:.4f} ({row['val_accuracy']:.4f}), "
            f"{row['images_per_second']:.0f} images/s"
        )
        if self.config.patience is None:
            write_scores(self.out / "validation.csv", module.scores, module)
        elif row["val_loss"] < self.best_loss:
            self.best_loss, self.waited = row["val_loss"], 0
            ensure_folder(best_path(self.out).parent)
            save_weights(module.network, best_path(self.out))
            write_scores(self.out / "validation.csv", module.scores, module)
        else:
            self.waited += 1
            self._stop_if_done(trainer)

    def on_train_end(self, *_: Any) -> None:
        self._plot()

    def _plot(self) -> None:
        rows = read_history(self.out / "history.csv")
        plot_history(
            self.out / "history.png",
            {name: [line[name] for line in rows] for name in _PLOTTED},
            held_out="validation",
            scores_title="accuracy",
        )

    def _stop_if_done(self, trainer: lightning.Trainer) -> None:
        if self.config.patience is not None and self.waited >= self.config.patience:
            say(f"no lower validation loss for {self.waited} epochs; the weights of the best epoch are kept")
            trainer.should_stop = True
