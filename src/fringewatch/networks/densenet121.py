"""DenseNet121 without its top, as ``keras.applications`` defines it (Huang et al. 2017, 10.1109/CVPR.2017.243)."""

from __future__ import annotations

from torch import nn

from fringewatch.networks.graph import INPUT, LayerGraph
from fringewatch.networks.layers import BatchNorm2d, Concat, Conv2d

__all__ = ["DenseNet121"]

_EPS = 1.001e-5
_GROWTH = 32


class DenseNet121(LayerGraph):
    """Features of DenseNet121: 1024 channels at stride 32."""

    title = "DenseNet121"
    channels = 1024

    def __init__(self) -> None:
        super().__init__()
        # Keras' layers of padding are left to the layers after them, as in ResNet50.
        x = self.add("zero_padding2d", nn.Identity(), INPUT)
        x = self.add("conv1_conv", Conv2d(3, 64, 7, stride=2, padding=3, bias=False), x)
        x = self.add("conv1_bn", BatchNorm2d(64, _EPS), x)
        x = self.add("conv1_relu", nn.ReLU(inplace=True), x)
        x = self.add("zero_padding2d_1", nn.Identity(), x)
        x = self.add("pool1", nn.MaxPool2d(3, 2, padding=1), x)
        channels = 64
        for stage, blocks in enumerate([6, 12, 24, 16], 2):
            for number in range(1, blocks + 1):
                x = self._block(x, channels, f"conv{stage}_block{number}")
                channels += _GROWTH
            if stage < 5:
                x = self._transition(x, channels, f"pool{stage}")
                channels //= 2
        x = self.add("bn", BatchNorm2d(channels, _EPS), x)
        self.add("relu", nn.ReLU(inplace=True), x)

    def _block(self, x: str, channels: int, name: str) -> str:
        width = 4 * _GROWTH
        new = self.add(f"{name}_0_bn", BatchNorm2d(channels, _EPS), x)
        new = self.add(f"{name}_0_relu", nn.ReLU(inplace=True), new)
        new = self.add(f"{name}_1_conv", Conv2d(channels, width, 1, bias=False), new)
        new = self.add(f"{name}_1_bn", BatchNorm2d(width, _EPS), new)
        new = self.add(f"{name}_1_relu", nn.ReLU(inplace=True), new)
        new = self.add(f"{name}_2_conv", Conv2d(width, _GROWTH, 3, padding=1, bias=False), new)
        return self.add(f"{name}_concat", Concat(), x, new)

    def _transition(self, x: str, channels: int, name: str) -> str:
        x = self.add(f"{name}_bn", BatchNorm2d(channels, _EPS), x)
        x = self.add(f"{name}_relu", nn.ReLU(inplace=True), x)
        x = self.add(f"{name}_conv", Conv2d(channels, channels // 2, 1, bias=False), x)
        return self.add(f"{name}_pool", nn.AvgPool2d(2), x)
