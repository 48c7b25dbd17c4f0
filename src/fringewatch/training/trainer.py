"""Lightning's trainer as every training here uses it: quiet, checkpoint and TensorBoard in the run's folder."""

from __future__ import annotations

import logging
import time
import warnings
from typing import TYPE_CHECKING, Any

import lightning
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import TensorBoardLogger

from fringewatch.errors import ConfigError
from fringewatch.progress import say
from fringewatch.training.checkpoints import AtomicCheckpoints
from fringewatch.training.folder import checkpoint_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from lightning.pytorch.callbacks import Callback

__all__ = ["Sparingly", "check_accelerator", "device_of", "train"]


def device_of(accelerator: str) -> torch.device:
    """Return where Lightning will train, as far as it makes a difference here: on a CUDA GPU or elsewhere."""
    return torch.device("cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu")


def check_accelerator(accelerator: str) -> None:
    """Refuse a GPU that is not there.

    Raises
    ------
    ConfigError
        If a GPU is asked for and torch finds none.
    """
    if accelerator == "gpu" and not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        message = "accelerator = 'gpu': torch finds no GPU here; leave it out, or install a build of torch for yours"
        raise ConfigError(message)


def train(
    module: lightning.LightningModule,
    train_batches: Any,
    validation_batches: Any,
    *,
    out: Path,
    callbacks: Sequence[Callback],
    resume: bool,
    **options: Any,
) -> None:
    """Fit a module; the newest checkpoint is kept.

    Parameters
    ----------
    module
        Left with the last weights.
    train_batches, validation_batches
        Whatever Lightning takes as a loader.
    out
        Folder for ``checkpoints/`` and ``tensorboard/``.
    callbacks
        Beyond that for the checkpoint.
    resume
        Go on from the checkpoint in `out`.
    **options
        Of :class:`lightning.Trainer`.

    Raises
    ------
    OutputError
        If a checkpoint cannot be written.
    TrainingError
        If the one to go on from is damaged.
    KeyboardInterrupt
        If the user stopped it.
    """
    # Lightning announces hardware and services line by line; a user of a command wants the result.
    check_accelerator(str(options.get("accelerator", "auto")))
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # Lightning advises on worker counts and log folders; neither concerns a user of a command.
        warnings.filterwarnings("ignore", module="lightning")
        trainer = lightning.Trainer(
            devices=1,
            default_root_dir=out,
            logger=TensorBoardLogger(out, name="", version="tensorboard"),
            callbacks=[*callbacks, _Newest(out)],
            plugins=[AtomicCheckpoints()],
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            **options,
        )
        try:
            # The checkpoint is this run's own, made by Lightning with more in it than tensors.
            checkpoint = checkpoint_path(out) if resume else None
            trainer.fit(module, train_batches, validation_batches, ckpt_path=checkpoint, weights_only=False)
        except SystemExit as stop:
            # Lightning turns Ctrl-C into this.
            say(f"stopped; the same command with --resume goes on from the newest checkpoint ({out})")
            raise KeyboardInterrupt from stop


class Sparingly:
    """Says when to do what costs time: at first, and then as often as takes a twentieth of the time at most."""

    def __init__(self) -> None:
        self._next = 0.0

    def do(self, job: Callable[[], object]) -> bool:
        """Do `job` if it is due; return whether it was done."""
        started = time.perf_counter()
        if started < self._next:
            return False
        job()
        ended = time.perf_counter()
        self._next = ended + _SHARE * (ended - started)
        return True


_SHARE = 20


class _Newest(Checkpoint):
    """Keep a checkpoint of the newest epoch, or of one shortly before where epochs are fast and networks large."""

    def __init__(self, out: Path) -> None:
        self._path = checkpoint_path(out)
        self._due = Sparingly()

    def on_train_epoch_end(self, trainer: lightning.Trainer, _module: lightning.LightningModule) -> None:
        self._due.do(lambda: trainer.save_checkpoint(self._path))
