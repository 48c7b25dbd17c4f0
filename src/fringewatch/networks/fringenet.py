"""fringenet: a compact fully convolutional network that maps deformation in wrapped phase.

A residual encoder (He et al. 2016, 10.1109/CVPR.2016.90) down to stride 32 and a light top-down decoder (feature
pyramid, Lin et al. 2017, 10.1109/CVPR.2017.106) that returns to stride 4. Only convolutions, batch norms and
nearest-neighbour upsampling are used: each output depends on a bounded neighbourhood, so a scene cut into
overlapping tiles gives the same map as the scene at once, and batch norms fold into the convolutions on export.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["FringeNet", "receptive_radius_px"]


class _ConvNorm(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, *, relu: bool = True) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        if relu:
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _ConvNorm(channels, channels)
        self.second = _ConvNorm(channels, channels, relu=False)
        norm = self.second[1]
        assert isinstance(norm, nn.BatchNorm2d)
        # Each block starts as the identity, which lets a small network train at a high learning rate.
        nn.init.zeros_(norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.second(self.first(x)))


class FringeNet(nn.Module):
    """Map and scene logits of ground deformation.

    Parameters
    ----------
    widths
        Channels of the stem and at strides 4, 8, 16 and 32.
    blocks
        Residual blocks at strides 4, 8, 16 and 32.
    decoder_width
        Channels of the top-down decoder.
    classes
        Number of scene classes K.
    """

    stride = 4
    multiple = 32

    def __init__(
        self,
        widths: tuple[int, int, int, int, int] = (16, 24, 48, 80, 112),
        blocks: tuple[int, int, int, int] = (1, 2, 2, 2),
        decoder_width: int = 32,
        classes: int = 2,
    ) -> None:
        super().__init__()
        self.settings = {"widths": widths, "blocks": blocks, "decoder_width": decoder_width, "classes": classes}
        self.stem = _ConvNorm(3, widths[0], kernel=5, stride=2)
        stages = []
        for level, count in enumerate(blocks):
            down = _ConvNorm(widths[level], widths[level + 1], stride=2)
            stages.append(nn.Sequential(down, *[_Residual(widths[level + 1]) for _ in range(count)]))
        self.stages = nn.ModuleList(stages)
        self.laterals = nn.ModuleList(nn.Conv2d(width, decoder_width, 1) for width in widths[1:])
        self.smooth = nn.ModuleList(_ConvNorm(decoder_width, decoder_width) for _ in widths[1:-1])
        self.map_head = nn.Conv2d(decoder_width, 1, 1)
        self.scene_head = nn.Linear(2 * widths[-1], classes)
        # Start from the prior that deformation is rare, so that the first steps do not unlearn a map of one half.
        assert self.map_head.bias is not None
        nn.init.constant_(self.map_head.bias, -2.0)

    def forward(self, phase: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits.

        Parameters
        ----------
        phase
            (N, 3, H, W) encoded phase, H and W multiples of 32.

        Returns
        -------
        map, scene
            (N, 1, H / 4, W / 4) and (N, K).
        """
        x = self.stem(phase)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        top = self.laterals[-1](features[-1])
        for level in range(len(features) - 2, -1, -1):
            up = functional.interpolate(top, scale_factor=2.0, mode="nearest")
            top = self.smooth[level](up + self.laterals[level](features[level]))
        pooled = torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1)
        return self.map_head(top), self.scene_head(pooled)


def receptive_radius_px(network: FringeNet) -> int:
    """Return a bound on how far, in input pixels, an input can influence the map.

    Sums half the kernel times the stride over the longest path down to stride 32 and back up, plus half a cell of each
    upsampling.
    """
    blocks = network.settings["blocks"]
    assert isinstance(blocks, tuple)
    radius = 2  # the 5 x 5 stem
    for level, count in enumerate(blocks):
        stride_in, stride_out = 2 ** (level + 1), 2 ** (level + 2)
        radius += stride_in + 2 * count * stride_out
    for level in range(len(blocks) - 1):
        stride = 2 ** (level + 2)
        radius += stride + stride  # the 3 x 3 smoothing, and nearest upsampling of cells twice as wide
    return radius
