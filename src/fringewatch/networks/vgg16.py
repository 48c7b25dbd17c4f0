"""VGG16 without its top, as ``keras.applications`` defines it (Simonyan and Zisserman 2015, arXiv:1409.1556)."""

from __future__ import annotations

from torch import nn

from fringewatch.networks.graph import INPUT, LayerGraph
from fringewatch.networks.layers import Conv2dReLU

__all__ = ["VGG16"]


class VGG16(LayerGraph):
    """Features of VGG16: 512 channels at stride 32."""

    title = "VGG16"
    channels = 512

    def __init__(self) -> None:
        super().__init__()
        x, channels = INPUT, 3
        for block, (convolutions, width) in enumerate([(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)], 1):
            for number in range(1, convolutions + 1):
                x = self.add(f"block{block}_conv{number}", Conv2dReLU(channels, width, 3, padding=1), x)
                channels = width
            x = self.add(f"block{block}_pool", nn.MaxPool2d(2), x)
