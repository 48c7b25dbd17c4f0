"""The encoder of fringenet as a backbone of classifiers: a hundredth of VGG16's work, for small data and CPUs."""

from __future__ import annotations

from torch import nn

from fringewatch.networks.graph import INPUT, LayerGraph
from fringewatch.networks.layers import Add, BatchNorm2d, Conv2d

__all__ = ["FringeEncoder"]

_EPS = 1e-5


class FringeEncoder(LayerGraph):
    """Features of :class:`~fringewatch.networks.fringenet.FringeNet` before its decoder: 128 channels at stride 32."""

    title = "fringenet's encoder"
    channels = 128

    def __init__(self) -> None:
        super().__init__()
        x = self._convolution("stem", INPUT, 3, 48, kernel=7, stride=4)
        channels = 48
        for stage, (width, blocks) in enumerate([(64, 1), (96, 1), (128, 1)], 1):
            x = self._convolution(f"stage{stage}_down", x, channels, width, stride=2)
            for number in range(1, blocks + 1):
                x = self._residual(f"stage{stage}_block{number}", x, width)
            channels = width

    def _convolution(self, name: str, x: str, inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> str:
        x = self.add(f"{name}_conv", Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False), x)
        x = self.add(f"{name}_bn", BatchNorm2d(outputs, _EPS), x)
        return self.add(f"{name}_relu", nn.ReLU(inplace=True), x)

    def _residual(self, name: str, x: str, width: int) -> str:
        new = self._convolution(f"{name}_1", x, width, width)
        new = self.add(f"{name}_2_conv", Conv2d(width, width, 3, padding=1, bias=False), new)
        norm = BatchNorm2d(width, _EPS)
        # Each block starts as the identity, as in fringenet.
        nn.init.zeros_(norm.weight)
        new = self.add(f"{name}_2_bn", norm, new)
        new = self.add(f"{name}_add", Add(), x, new)
        return self.add(f"{name}_out", nn.ReLU(inplace=True), new)
