"""A backbone and a top: the networks of the study."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from fringewatch.networks.graph import LayerGraph
    from fringewatch.networks.layers import FrozenNorm
    from fringewatch.networks.tops import Top

__all__ = ["Classifier"]


class Classifier(nn.Module):
    """Class logits of patches.

    Parameters
    ----------
    backbone
        Fully convolutional part; takes any size that leaves something of the input.
    top
        Features to logits.
    input_size_px
        Height and width of the patches it is meant for; a flattening top takes no other.
    """

    def __init__(self, backbone: LayerGraph, top: Top, *, input_size_px: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.top = top
        self.input_size_px = input_size_px

    def forward(self, patches: Tensor) -> Tensor:
        """Return logits.

        Parameters
        ----------
        patches
            (N, 3, H, W) encoded phase.

        Returns
        -------
        torch.Tensor
            (N, classes), before the softmax.
        """
        logits: Tensor = self.top(self.backbone(patches))
        return logits

    def penalty(self) -> Tensor | None:
        """Return the weight penalty to add to the loss, a scalar; None if there is none."""
        return self.top.penalty()

    def freeze(self, cut: int | str, *, norms: FrozenNorm = "stored") -> tuple[str, ...]:
        """Freeze the backbone's layers before a cut: :meth:`fringewatch.networks.graph.LayerGraph.freeze`."""
        return self.backbone.freeze(cut, norms=norms)
