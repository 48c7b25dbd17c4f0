"""ResNet50 without its top, as ``keras.applications`` defines it (He et al. 2016, 10.1109/CVPR.2016.90).

It differs from other packages' ResNet50: convolutions have biases, the stride lies on the first 1 x 1 convolution of a
block, and batch norms add 1.001e-5 to the variance.
"""

from __future__ import annotations

from torch import nn

from fringewatch.networks.graph import INPUT, LayerGraph
from fringewatch.networks.layers import Add, BatchNorm2d, Conv2d

__all__ = ["ResNet50"]

_EPS = 1.001e-5


class ResNet50(LayerGraph):
    """Features of ResNet50: 2048 channels at stride 32."""

    title = "ResNet50"
    channels = 2048

    def __init__(self) -> None:
        super().__init__()
        # Keras pads in layers of their own. Here the next layer pads, in one pass over memory; for the pooling that is
        # the same because what it pools is rectified, so that zeros and minus infinity lose alike.
        x = self.add("conv1_pad", nn.Identity(), INPUT)
        x = self.add("conv1_conv", Conv2d(3, 64, 7, stride=2, padding=3), x)
        x = self.add("conv1_bn", BatchNorm2d(64, _EPS), x)
        x = self.add("conv1_relu", nn.ReLU(inplace=True), x)
        x = self.add("pool1_pad", nn.Identity(), x)
        x = self.add("pool1_pool", nn.MaxPool2d(3, 2, padding=1), x)
        channels = 64
        for stage, (blocks, width) in enumerate([(3, 64), (4, 128), (6, 256), (3, 512)], 2):
            for number in range(1, blocks + 1):
                stride = 2 if number == 1 and stage > 2 else 1
                x = self._block(x, channels, width, stride, f"conv{stage}_block{number}")
                channels = 4 * width

    def _block(self, x: str, channels: int, width: int, stride: int, name: str) -> str:
        """Add a bottleneck; where the number of channels changes, its shortcut is a convolution."""
        shortcut = x
        if channels != 4 * width:
            shortcut = self.add(f"{name}_0_conv", Conv2d(channels, 4 * width, 1, stride), x)
            shortcut = self.add(f"{name}_0_bn", BatchNorm2d(4 * width, _EPS), shortcut)
        x = self.add(f"{name}_1_conv", Conv2d(channels, width, 1, stride), x)
        x = self.add(f"{name}_1_bn", BatchNorm2d(width, _EPS), x)
        x = self.add(f"{name}_1_relu", nn.ReLU(inplace=True), x)
        x = self.add(f"{name}_2_conv", Conv2d(width, width, 3, padding=1), x)
        x = self.add(f"{name}_2_bn", BatchNorm2d(width, _EPS), x)
        x = self.add(f"{name}_2_relu", nn.ReLU(inplace=True), x)
        x = self.add(f"{name}_3_conv", Conv2d(width, 4 * width, 1), x)
        x = self.add(f"{name}_3_bn", BatchNorm2d(4 * width, _EPS), x)
        x = self.add(f"{name}_add", Add(), shortcut, x)
        return self.add(f"{name}_out", nn.ReLU(inplace=True), x)
