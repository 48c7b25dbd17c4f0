"""Fit a network to cached samples with Lightning: checkpoints, history, resume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging

from fringewatch.figures import plot_history
from fringewatch.networks.weights import read_state, save_state
from fringewatch.progress import say, track
from fringewatch.training.data import SampleBatches
from fringewatch.training.folder import WEIGHTS, extend_history
from fringewatch.training.module import MapModule
from fringewatch.training.teachers import ask, mix
from fringewatch.training.trainer import device_of, train

if TYPE_CHECKING:
    from pathlib import Path

    import lightning

    from fringewatch.encoding import Encoding
    from fringewatch.networks.fringenet import FringeNet
    from fringewatch.progress import Advance
    from fringewatch.training.cache import Samples
    from fringewatch.training.settings import TrainConfig

__all__ = ["fit"]

_EMA_DECAY = 0.998


def fit(
    config: TrainConfig, out: Path, network: FringeNet, encoding: Encoding, samples: tuple[Samples, Samples]
) -> None:
    """Train `network` in place, or load the weights of a run that finished.

    Parameters
    ----------
    config
        Settings; with ``resume`` the run goes on from the newest checkpoint, as if it had not stopped.
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
    finished = out / WEIGHTS
    on_gpu = device_of(config.accelerator).type == "cuda"
    if config.resume and finished.is_file():
        network.load_state_dict(read_state(finished))
        say(f"{finished}: training had finished; exporting and calibrating again")
        return
    train_samples, held_out_samples = samples
    target = None
    if config.teachers:
        with track("asking the teachers", total=len(train_samples.label)) as advance:
            answers = ask(config.teachers, train_samples, folder=config.cache, workers=config.workers, progress=advance)
        train_samples, target = mix(train_samples, answers, config.teachers_share)
    module = MapModule(
        network.to(memory_format=torch.channels_last),  # type: ignore[call-overload]  # torch's stub lacks the keyword alone
        SampleBatches(
            train_samples, encoding, batch_size=config.batch_size, augment=True, seed=config.seed, target=target
        ),
        SampleBatches(held_out_samples, encoding, batch_size=2 * config.batch_size, augment=False),
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        positive_weight=config.positive_weight,
        cuda_graphs=config.cuda_graphs,
    )
    with track("training (steps)", total=config.epochs * len(module.train_batches)) as advance:
        train(
            module,
            module.train_batches,
            module.held_out_batches,
            out=out,
            callbacks=[EMAWeightAveraging(decay=_EMA_DECAY), _Epochs(out, advance)],
            resume=config.resume,
            accelerator=config.accelerator,
            precision=config.precision,
            max_epochs=config.epochs,
            gradient_clip_val=1.0,
            # On a GPU the fastest convolutions add in any order; on a CPU runs are repeatable to the bit.
            deterministic=None if on_gpu else "warn",
            benchmark=on_gpu,
            log_every_n_steps=50,
        )
    save_state(network.state_dict(), finished)


class _Epochs(Callback):
    """What happens between epochs: a line and a row of history."""

    def __init__(self, out: Path, advance: Advance) -> None:
        self.out = out
        self.advance = advance

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        assert isinstance(module, MapModule)
        self.advance(trainer.current_epoch * len(module.train_batches))

    def on_train_batch_end(self, *_: Any) -> None:
        self.advance(1)

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        assert isinstance(module, MapModule)
        row = {"epoch": float(trainer.current_epoch), **dict(sorted(module.summary.items()))}
        rows = extend_history(self.out / "history.csv", row)
        plot_history(self.out / "history.png", {name: [line[name] for line in rows] for name in row})
        say(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: train loss {row['train_loss']:.3f}, "
            f"held-out AUROC {row['val_auroc']:.4f}, accuracy {row['val_accuracy']:.4f}"
        )
