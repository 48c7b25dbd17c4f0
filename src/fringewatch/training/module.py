"""The Lightning module of map networks: losses, optimiser, what is logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightning
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.classification import BinaryAUROC

from fringewatch.errors import TrainingError
from fringewatch.training.cuda_graphs import recorded

if TYPE_CHECKING:
    from collections.abc import Callable

    from fringewatch.training.data import Batch, SampleBatches

__all__ = ["MapModule", "peak_logit"]

_WEIGHTS = (2.0, 1.0, 0.25)
"""Of the losses of map, peak and scene head."""
_LOOK_AT_LOSS = 50
"""Steps between looks at whether the loss is a number, on a GPU."""


def peak_logit(map_logits: Tensor, valid: Tensor) -> Tensor:
    """Return the scene logit of each map: :func:`fringewatch.scan.scene_logit`, differentiable and in batches.

    Parameters
    ----------
    map_logits, valid
        (N, h, w) logits and 0/1 validity; a map pixel is valid where any of its input pixels has data.

    Returns
    -------
    torch.Tensor
        (N,) largest 3 x 3 mean over valid map pixels.
    """
    total = functional.avg_pool2d((map_logits * valid)[:, None], 3, 1, padding=1)
    count = functional.avg_pool2d(valid[:, None], 3, 1, padding=1)
    mean = (total / count.clamp_min(1e-6))[:, 0]
    return mean.masked_fill(valid == 0, -30.0).amax(dim=(1, 2))


class MapModule(lightning.LightningModule):
    """Train a network with map and scene outputs on batches that it makes itself; Lightning counts them.

    The loss is the sum of three parts: binary cross-entropy of the map, deforming pixels weighted by `positive_weight`;
    binary cross-entropy of the scene logit that detection will use (the map's smoothed peak); cross-entropy of the
    scene head. The first two may learn from a mixture of the labels and what teachers say.

    Parameters
    ----------
    network
        Returns (map, scene) logits; has `stride`.
    train, held_out
        Samples.
    learning_rate, weight_decay
        Of AdamW, under a one-cycle schedule.
    positive_weight
        Weight of deforming map pixels.
    cuda_graphs
        On a GPU, record the network and replay it.
    """

    def __init__(
        self,
        network: nn.Module,
        train: SampleBatches,
        held_out: SampleBatches,
        *,
        learning_rate: float,
        weight_decay: float,
        positive_weight: float = 3.0,
        cuda_graphs: bool = True,
    ) -> None:
        super().__init__()
        self.network = network
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.positive_weight = positive_weight
        self.auroc = BinaryAUROC()
        self._cuda_graphs = cuda_graphs
        self._recorded: Callable[[Tensor], Any] | None = None
        self.summary: dict[str, float] = {}
        """Losses of the newest epoch, and AUROC and accuracy on held-out samples."""
        self._train, self._held_out = train, held_out
        # Sums over samples of the three losses, of right answers and of samples: read once an epoch, since each look at
        # a number on a GPU waits for it. No buffers: those are exchanged for averaged ones during validation.
        self.train_sums, self.held_out_sums = torch.zeros(5), torch.zeros(5)

    @property
    def train_batches(self) -> range:
        """Numbers of the batches of an epoch."""
        return range(len(self._train))

    @property
    def held_out_batches(self) -> range:
        """Numbers of the batches of held-out samples."""
        return range(len(self._held_out))

    def on_fit_start(self) -> None:
        """Move the samples to where the network is."""
        for batches in (self._train, self._held_out):
            batches.to(self.device)
        self.train_sums, self.held_out_sums = self.train_sums.to(self.device), self.held_out_sums.to(self.device)
        if self.device.type == "cuda" and self._cuda_graphs:
            dtype = torch.bfloat16 if self.trainer.precision == "bf16-mixed" else None
            self._recorded = recorded(self.network.train(), self._train.batch(0).phase, dtype=dtype)

    def forward(self, phase: Tensor) -> tuple[Tensor, Tensor]:
        """Return (N, 1, h, w) and (N, K) logits of encoded phase."""
        return (self._recorded or self.network)(phase)  # type: ignore[no-any-return]

    def _losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the losses of map, peak and scene head (3,), and the peak logits (N,)."""
        map_logits, scene_logits = self(batch.phase)
        map_logits, scene_logits = map_logits[:, 0].float(), scene_logits.float()
        weight = batch.valid * (1 + (self.positive_weight - 1) * batch.coverage)
        cross_entropy = functional.binary_cross_entropy_with_logits(map_logits, batch.coverage, reduction="none")
        peak = peak_logit(map_logits, batch.valid)
        losses = (
            (cross_entropy * weight).sum() / weight.sum(),
            functional.binary_cross_entropy_with_logits(peak, batch.target),
            functional.cross_entropy(scene_logits, batch.label),
        )
        return torch.stack(losses), peak

    def on_train_epoch_start(self) -> None:
        """Forget the last epoch."""
        self.train_sums.zero_()

    def training_step(self, number: int) -> Tensor:
        """One step."""
        batch = self._train.batch(number, epoch=self.current_epoch)
        losses, peak = self._losses(batch)
        _add(self.train_sums, losses.detach(), peak, batch.label)
        if number % _LOOK_AT_LOSS == 0 or self.device.type == "cpu":
            # One that was not a number stays in the sum.
            self._refuse_nan()
        return (losses * losses.new_tensor(_WEIGHTS)).sum()

    def _refuse_nan(self) -> None:
        if not torch.isfinite(self.train_sums[0]):
            message = "the loss became NaN; lower --learning-rate, or train with --precision 32-true"
            raise TrainingError(message)

    def on_validation_epoch_start(self) -> None:
        """Forget the last epoch."""
        self.held_out_sums.zero_()

    def validation_step(self, number: int) -> None:
        """Losses and peak logits of held-out samples."""
        batch = self._held_out.batch(number)
        losses, peak = self._losses(batch)
        _add(self.held_out_sums, losses, peak, batch.label)
        self.auroc.update(peak, batch.label)

    def on_validation_epoch_end(self) -> None:
        """Log the epoch."""
        self._refuse_nan()
        train, held_out = (sums / sums[-1] for sums in (self.train_sums.cpu(), self.held_out_sums.cpu()))
        parts = {
            f"{split}_{name}_loss": float(value)
            for split, sums in (("train", train), ("val", held_out))
            for name, value in zip(("map", "peak", "scene"), sums[:3], strict=True)
        }
        total = float((train[:3] * torch.tensor(_WEIGHTS)).sum())
        scores = {"train_loss": total, "val_accuracy": float(held_out[3]), "val_auroc": float(self.auroc.compute())}
        self.auroc.reset()
        self.summary = parts | scores
        self.log_dict(self.summary)

    def configure_optimizers(self) -> Any:
        """AdamW without decay on norms and biases; one cycle (Smith and Topin 2019) over the whole run."""
        decayed = [p for p in self.parameters() if p.requires_grad and p.ndim > 1]
        plain = [p for p in self.parameters() if p.requires_grad and p.ndim <= 1]
        optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": self.weight_decay}, {"params": plain, "weight_decay": 0.0}],
            lr=self.learning_rate,
        )
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=self.learning_rate, total_steps=steps, pct_start=0.15
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _add(sums: Tensor, losses: Tensor, peak: Tensor, label: Tensor) -> None:
    count = len(label)
    right = ((peak > 0) == (label > 0)).sum()[None]
    sums += torch.cat([losses * count, right, torch.full_like(losses[:1], count)])
