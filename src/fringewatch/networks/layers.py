"""Layers with the defaults of Keras, so that the same weights give the same numbers and training starts alike.

Kernels start Glorot-uniform and biases at zero (Glorot and Bengio 2010); batch norms have Keras' epsilon and momentum.
Start values are drawn from torch's global generator: seed it with :func:`torch.manual_seed`.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Add", "BatchNorm1d", "BatchNorm2d", "Concat", "Conv2d", "Conv2dReLU", "FrozenNorm", "Linear"]

# Keras keeps 0.99 of the old statistics at each step; torch states the share of the new ones.
_MOMENTUM = 0.01

FrozenNorm = Literal["stored", "batch", "adapt"]
"""What a batch norm whose weights are frozen does in training; see :class:`BatchNorm2d`."""


class Conv2d(nn.Conv2d):
    """A convolution that starts as a Keras one: Glorot-uniform kernel, zero bias."""

    def reset_parameters(self) -> None:
        """Draw new start values."""
        nn.init.xavier_uniform_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class Conv2dReLU(Conv2d):
    """Keras' ``Conv2D(..., activation="relu")``: one layer to Keras, hence one layer here."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the rectified convolution of (N, C, H, W)."""
        return functional.relu(super().forward(x), inplace=True)


class Linear(nn.Linear):
    """A dense layer that starts as a Keras one: Glorot-uniform kernel, zero bias."""

    def reset_parameters(self) -> None:
        """Draw new start values."""
        nn.init.xavier_uniform_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class BatchNorm1d(nn.BatchNorm1d):
    """Batch norm of (N, C) with Keras' momentum 0.99 and epsilon 1e-3."""

    def __init__(self, channels: int, eps: float = 1e-3) -> None:
        super().__init__(channels, eps=eps, momentum=_MOMENTUM)


class BatchNorm2d(nn.BatchNorm2d):
    """Batch norm of (N, C, H, W) with Keras' momentum 0.99, optionally without a scale (gamma).

    When its weights are frozen, `frozen` says which statistics it uses in training:

    - ``"stored"``: the stored mean and variance, which stay as they are (Keras 2.x on TensorFlow 2 and Keras 3);
    - ``"batch"``: those of the batch, while evaluation uses the stored ones, which stay as they are (Keras on
      TensorFlow 1: training and evaluation then see different networks);
    - ``"adapt"``: those of the batch, and the stored ones follow, as in a norm that is not frozen.

    Parameters
    ----------
    channels
        Number of channels.
    eps
        Added to the variance; Keras' default is 1e-3.
    scale
        Whether there is a trained scale (gamma). Without one it is a constant 1 that counts as no parameter and is not
        saved.
    """

    def __init__(self, channels: int, eps: float = 1e-3, *, scale: bool = True) -> None:
        super().__init__(channels, eps=eps, momentum=_MOMENTUM)
        self.frozen: FrozenNorm | None = None
        if not scale:
            # A constant, not None: the fast kernels of cuDNN need a scale.
            del self.weight
            self.register_buffer("weight", torch.ones(channels), persistent=False)

    def freeze(self, frozen: FrozenNorm | None) -> None:
        """Choose the statistics of a frozen norm; None: it is not frozen."""
        self.frozen = frozen
        self.train(self.training)

    def train(self, mode: bool = True) -> BatchNorm2d:
        """Set training mode, in which a norm frozen with its stored statistics has no part."""
        return super().train(mode and self.frozen != "stored")

    def forward(self, x: Tensor) -> Tensor:
        """Return normalised (N, C, H, W)."""
        if self.training and self.frozen == "batch":
            return functional.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)
        return super().forward(x)


class Add(nn.Module):
    """Sum of inputs of equal shape."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the sum."""
        return first + second


class Concat(nn.Module):
    """Inputs one after the other along the channels."""

    def forward(self, *parts: Tensor) -> Tensor:
        """Return (N, sum of C, H, W)."""
        return torch.cat(parts, dim=1)
