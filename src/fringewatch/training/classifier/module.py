"""The Lightning module of classifiers: loss, scores of each epoch, optimiser."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fringewatch.errors import TrainingError
from fringewatch.metrics import auroc, confusion
from fringewatch.training.classifier.batches import epoch_batches, exact_batches, make_buckets
from fringewatch.training.classifier.optimizers import make_optimizer, time_decay
from fringewatch.training.cuda_graphs import recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fringewatch.networks.classifier import Classifier
    from fringewatch.patches import Patch
    from fringewatch.training.classifier.batches import Batch
    from fringewatch.training.classifier.data import Batcher
    from fringewatch.training.classifier.settings import ClassifierConfig

__all__ = ["ClassifierModule", "Scores", "class_weights", "deformation_logit"]

_LOOK_AT_LOSS = 25
"""Steps between looks at the loss, each of which makes a GPU wait."""


class Scores(NamedTuple):
    """What a network says of the validation patches, in their order."""

    logit: NDArray[np.float64]
    """(N,) logit of deformation against background; of any class but the first where there are more than two."""
    predicted: NDArray[np.int64]
    """(N,) most probable class."""
    label: NDArray[np.int64]
    """(N,) true class."""

    def summary(self) -> dict[str, float]:
        """Return accuracy, AUROC, precision and recall; NaN where the scores cannot define one."""
        truth = self.label > 0
        table = confusion(truth, self.predicted > 0, 0.5)
        return {
            "val_accuracy": float(np.mean(self.predicted == self.label)),
            "val_auroc": auroc(truth, self.logit),
            "val_precision": float(table.precision),
            "val_recall": float(table.recall),
        }


def deformation_logit(logits: Tensor, classes: int) -> Tensor:
    """Return the log odds (N,) of any class but the first from (N, outputs) logits; not those past `classes`."""
    return torch.logsumexp(logits[:, 1:classes], dim=1) - logits[:, 0]


def class_weights(choice: str | Sequence[float], label: NDArray[np.int64], classes: int) -> NDArray[np.float32] | None:
    """Return the weight of each class in the loss, or None for equal ones.

    Parameters
    ----------
    choice
        ``"none"``; ``"balanced"``: number of patches over (classes x patches of the class); or the weights.
    label
        (N,) classes of the training patches.
    classes
        Number of classes.

    Raises
    ------
    TrainingError
        If there are not as many weights as classes.
    """
    if choice == "none":
        return None
    if choice == "balanced":
        return (len(label) / (classes * np.bincount(label, minlength=classes))).astype(np.float32)
    if len(choice) != classes:
        message = f"class_weights = {tuple(choice)}: the data set has {classes} classes; give one weight for each"
        raise TrainingError(message)
    return np.array(choice, np.float32)


class ClassifierModule(lightning.LightningModule):
    """Train a classifier on batches that it makes itself; Lightning counts them.

    The loss is the cross-entropy of the logits plus the network's weight penalty, as in Keras in training and in
    validation; class weights count in training only. A step's loss is the mean over its patches of weight times
    cross-entropy.

    Parameters
    ----------
    network
        To train, in place.
    config
        Settings of optimiser and order.
    train, validation
        Patches.
    weights
        Of the classes in the loss, or None.
    classes
        Number of classes; the network may have more outputs.
    validation_patches
        What the data set says of the validation patches.
    """

    weights: Tensor | None
    train_sums: Tensor
    validation_sums: Tensor

    def __init__(
        self,
        network: Classifier,
        config: ClassifierConfig,
        train: Batcher,
        validation: Batcher,
        *,
        weights: NDArray[np.float32] | None,
        classes: int,
        validation_patches: Sequence[Patch],
    ) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.classes = classes
        self.validation_patches = validation_patches
        self.scores: Scores | None = None
        self.summary: dict[str, float] = {}
        """Losses and scores; like the scores of the newest epoch."""
        self._train, self._validation = train, validation
        self._recorded: Callable[[Tensor], Tensor] | None = None
        turn = train.augment
        self.buckets = make_buckets(train.sizes_px, least=config.batch_size // 2, turn=turn)
        first = epoch_batches(self.buckets, config.batch_size, seed=config.seed, epoch=0, turn=turn)
        self.passes = -(-config.least_steps // len(first))
        """Over the training patches, in an epoch."""
        self._order = functools.lru_cache(maxsize=1)(functools.partial(self._order_of, turn=turn))
        self._held_out = exact_batches(validation.sizes_px, 2 * config.batch_size)
        self.register_buffer("weights", None if weights is None else torch.from_numpy(weights), persistent=False)
        # Sums over patches of loss, right answers and patches, in training and in validation.
        self.register_buffer("train_sums", torch.zeros(3), persistent=False)
        self.register_buffer("validation_sums", torch.zeros(3), persistent=False)
        self._said: list[tuple[Tensor, Tensor, Tensor]] = []

    def _order_of(self, epoch: int, *, turn: bool) -> list[tuple[Batch, int]]:
        """Return the batches of an epoch, each with the number of its pass over the patches since the start."""
        passes = range(epoch * self.passes, (epoch + 1) * self.passes)
        size, seed = self.config.batch_size, self.config.seed
        return [
            (batch, number)
            for number in passes
            for batch in epoch_batches(self.buckets, size, seed=seed, epoch=number, turn=turn)
        ]

    @property
    def train_batches(self) -> range:
        """Numbers of the batches of an epoch."""
        return range(len(self._order(0)))

    @property
    def patches_per_epoch(self) -> int:
        """Number of patches that an epoch trains on, one passed over twice counted twice."""
        return sum(len(batch.indices) for batch, _ in self._order(0))

    @property
    def validation_batches(self) -> range:
        """Numbers of the batches of the validation patches."""
        return range(len(self._held_out))

    def on_fit_start(self) -> None:
        """Move the patches to where the network is."""
        for batcher in (self._train, self._validation):
            batcher.to(self.device)
        # Checkpointing runs layers again in the backward pass, which a recording has no place for.
        config = self.config
        replay = config.cuda_graphs and not config.gradient_checkpointing and len(self.buckets) == 1
        if self.device.type == "cuda" and replay:
            batch, passed = self._order(0)[0]
            patches, _ = self._train.batch(batch, epoch=passed)
            dtype = torch.bfloat16 if config.precision == "bf16-mixed" else None
            self._recorded = recorded(self.network.train().backbone, patches, dtype=dtype)

    def on_train_epoch_start(self) -> None:
        """Forget the last epoch, and seed dropout by the epoch: a resumed run then draws what the whole one would."""
        self.train_sums.zero_()
        # Negative numbers are no seeds, and 2^32 of them are enough.
        torch.manual_seed(int(np.random.SeedSequence([self.config.seed, self.current_epoch]).generate_state(1)[0]))

    def forward(self, patches: Tensor) -> Tensor:
        """Return logits (N, outputs) of encoded patches (N, 3, H, W)."""
        features = (self._recorded or self.network.backbone)(patches)
        # The study's tops pass a softmax of 200 classes on: in 8 bits of mantissa its differences would be lost.
        with torch.autocast(self.device.type, enabled=False):
            logits: Tensor = self.network.top(features.float())
        return logits

    def _loss(self, logits: Tensor, label: Tensor, weights: Tensor | None) -> Tensor:
        entropy = functional.cross_entropy(logits, label, reduction="none")
        loss = entropy.mean() if weights is None else (entropy * weights[label]).mean()
        penalty = self.network.penalty()
        return loss if penalty is None else loss + penalty

    def training_step(self, number: int) -> Tensor:
        """One step."""
        batch, passed = self._order(self.current_epoch)[number]
        patches, label = self._train.batch(batch, epoch=passed)
        logits = self(patches)
        loss = self._loss(logits, label, self.weights)
        _add(self.train_sums, loss.detach(), logits, label)
        if number % _LOOK_AT_LOSS == 0 or loss.device.type == "cpu":
            # One that was not a number stays in the sum.
            self._refuse_nan()
        return loss

    def _refuse_nan(self) -> None:
        if not torch.isfinite(self.train_sums[0]):
            rate = self.config.rate
            message = (
                f"the loss became NaN in epoch {self.current_epoch + 1}: lower --learning-rate (it is {rate:g}; try "
                f"{rate / 10:g}), choose a smaller range of input with --encoding (zero-centred, cos-sin-valid), or "
                "train with --precision 32-true"
            )
            raise TrainingError(message)

    def on_validation_epoch_start(self) -> None:
        """Forget the last epoch."""
        self.validation_sums.zero_()
        self._said.clear()

    def validation_step(self, number: int) -> None:
        """Score a batch of validation patches."""
        patches, label = self._validation.batch(self._held_out[number])
        logits = self(patches)
        _add(self.validation_sums, self._loss(logits, label, None), logits, label)
        self._said.append((deformation_logit(logits, self.classes), logits.argmax(dim=1), label))

    def on_validation_epoch_end(self) -> None:
        """Log the epoch: training as it went along, as in Keras, and validation after it."""
        self._refuse_nan()
        # Back from batches of one size to the order of the data set.
        order = np.argsort(np.concatenate([batch.indices for batch in self._held_out]))
        logit, predicted, label = (torch.cat(column).cpu().numpy()[order] for column in zip(*self._said, strict=True))
        self._said.clear()
        self.scores = Scores(np.nan_to_num(logit.astype(np.float64)), predicted, label)
        train, validation = self.train_sums.tolist(), self.validation_sums.tolist()
        self.summary = {
            "train_loss": train[0] / train[2],
            "train_accuracy": train[1] / train[2],
            # Statistics that are not ready yet can overflow; the training goes on.
            "val_loss": float(np.nan_to_num(validation[0] / validation[2], nan=np.inf, posinf=np.inf)),
            **self.scores.summary(),
        }
        self.log_dict(self.summary)

    def configure_optimizers(self) -> Any:
        """Keras' optimiser, its learning rate decaying with each step."""
        trained = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        config = self.config
        optimizer = make_optimizer(
            config.optimizer,
            trained,
            learning_rate=config.rate,
            momentum=config.momentum,
            nesterov=config.nesterov,
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": time_decay(optimizer, config.decay), "interval": "step"},
        }


def _add(sums: Tensor, loss: Tensor, logits: Tensor, label: Tensor) -> None:
    count = len(label)
    right = (logits.argmax(dim=1) == label).sum()
    sums += torch.stack([loss * count, right.to(loss.dtype), torch.full_like(loss, count)])
