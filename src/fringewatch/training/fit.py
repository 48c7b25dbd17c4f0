"""Fit a network to cached samples with Lightning: checkpoints, history, resume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging

from fringewatch.errors import TrainingError
from fringewatch.figures import plot_history
from fringewatch.files import atomic_path
from fringewatch.progress import say, track
from fringewatch.training.data import SampleData, loader
from fringewatch.training.folder import WEIGHTS, extend_history
from fringewatch.training.module import MapModule
from fringewatch.training.trainer import train

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import lightning
    from torch.utils.data import DataLoader

    from fringewatch.encoding import Encoding
    from fringewatch.networks.fringenet import FringeNet
    from fringewatch.training.cache import Samples
    from fringewatch.training.data import Batch
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
    if config.resume and finished.is_file():
        network.load_state_dict(torch.load(finished, weights_only=True))
        say(f"{finished}: training had finished; exporting and calibrating again")
        return
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
    with track("training (steps)", total=steps) as advance:
        train(
            module,
            train_loader,
            held_out_loader,
            out=out,
            callbacks=[EMAWeightAveraging(decay=_EMA_DECAY), _Epochs(out, data, train_loader, advance)],
            resume=config.resume,
            accelerator=config.accelerator,
            precision=config.precision,
            max_epochs=config.epochs,
            gradient_clip_val=1.0,
            deterministic="warn",
            log_every_n_steps=50,
        )
    with atomic_path(finished) as temporary:
        torch.save(network.state_dict(), temporary)


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
        row = {"epoch": float(trainer.current_epoch), **values}
        rows = extend_history(self.out / "history.csv", row)
        plot_history(self.out / "history.png", {name: [line[name] for line in rows] for name in row})
        say(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: train loss {values['train_loss']:.3f}, "
            f"held-out AUROC {values['val_auroc']:.4f}, accuracy {values['val_accuracy']:.4f}"
        )
