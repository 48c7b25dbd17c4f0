"""The Lightning module of map networks: losses, optimiser, what is logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightning
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.classification import BinaryAUROC

if TYPE_CHECKING:
    from fringewatch.training.data import Batch

__all__ = ["MapModule", "peak_logit"]


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
    """Train a network with map and scene outputs.

    The loss is the sum of three parts: binary cross-entropy of the map, deforming pixels weighted by `positive_weight`;
    binary cross-entropy of the scene logit that detection will use (the map's smoothed peak); cross-entropy of the
    scene head.

    Parameters
    ----------
    network
        Returns (map, scene) logits; has `stride`.
    learning_rate, weight_decay
        Of AdamW, under a one-cycle schedule.
    positive_weight
        Weight of deforming map pixels.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        learning_rate: float,
        weight_decay: float,
        positive_weight: float = 3.0,
    ) -> None:
        super().__init__()
        self.network = network
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.positive_weight = positive_weight
        self.auroc = BinaryAUROC()

    def forward(self, phase: Tensor) -> tuple[Tensor, Tensor]:
        """Return (N, 1, h, w) and (N, K) logits of encoded phase."""
        return self.network(phase)  # type: ignore[no-any-return]

    def _losses(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        phase, coverage, valid, label = batch
        phase = phase.contiguous(memory_format=torch.channels_last)
        map_logits, scene_logits = self(phase)
        map_logits, scene_logits = map_logits[:, 0].float(), scene_logits.float()
        weight = valid * (1 + (self.positive_weight - 1) * coverage)
        cross_entropy = functional.binary_cross_entropy_with_logits(map_logits, coverage, reduction="none")
        peak = peak_logit(map_logits, valid)
        losses = {
            "map": (cross_entropy * weight).sum() / weight.sum(),
            "peak": functional.binary_cross_entropy_with_logits(peak, label.float()),
            "scene": functional.cross_entropy(scene_logits, label),
        }
        return losses, peak

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        """One step; logs each part of the loss."""
        losses, _ = self._losses(batch)
        total = 2 * losses["map"] + losses["peak"] + 0.25 * losses["scene"]
        self.log_dict({f"train_{name}_loss": value for name, value in losses.items()}, on_epoch=True, on_step=False)
        self.log("train_loss", total, on_epoch=True, on_step=False, prog_bar=True)
        return total

    def validation_step(self, batch: Batch, _index: int) -> None:
        """Loss and AUROC of the peak logit on validation samples."""
        losses, peak = self._losses(batch)
        label = batch[3]
        size = len(label)
        self.log_dict({f"val_{name}_loss": value for name, value in losses.items()}, batch_size=size)
        self.auroc.update(peak, label)
        correct = ((peak > 0) == (label > 0)).float().mean()
        self.log("val_accuracy", correct, batch_size=size)

    def on_validation_epoch_end(self) -> None:
        """Log the AUROC over the whole validation set."""
        self.log("val_auroc", self.auroc.compute(), prog_bar=True)
        self.auroc.reset()

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
