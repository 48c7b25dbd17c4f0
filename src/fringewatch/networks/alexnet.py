"""AlexNet up to its last pooling, as published: ungrouped, with response normalisation (Krizhevsky et al. 2012).

ImageNet classification with deep convolutional neural networks, 10.1145/3065386. The original's two groups were a way
to spread it over two GPUs; the study's count, 62,378,344 with its dense layers, is that of whole convolutions.
"""

from __future__ import annotations

from torch import nn

from fringewatch.networks.graph import INPUT, LayerGraph
from fringewatch.networks.layers import Conv2dReLU

__all__ = ["AlexNet"]


class AlexNet(LayerGraph):
    """Features of AlexNet: 256 channels at stride 32, 6 x 6 of them for 227 x 227 pixels."""

    title = "AlexNet"
    channels = 256

    def __init__(self) -> None:
        super().__init__()
        x = self.add("conv1", Conv2dReLU(3, 96, 11, stride=4), INPUT)
        x = self.add("norm1", _response_norm(), x)
        x = self.add("pool1", nn.MaxPool2d(3, 2), x)
        x = self.add("conv2", Conv2dReLU(96, 256, 5, padding=2), x)
        x = self.add("norm2", _response_norm(), x)
        x = self.add("pool2", nn.MaxPool2d(3, 2), x)
        x = self.add("conv3", Conv2dReLU(256, 384, 3, padding=1), x)
        x = self.add("conv4", Conv2dReLU(384, 384, 3, padding=1), x)
        x = self.add("conv5", Conv2dReLU(384, 256, 3, padding=1), x)
        self.add("pool5", nn.MaxPool2d(3, 2), x)


def _response_norm() -> nn.LocalResponseNorm:
    # Section 3.3: b = a / (2 + 1e-4 * sum of a^2 over 5 channels)^0.75; torch divides its alpha by the 5.
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)
