"""fringenet: a compact fully convolutional network that maps deformation in wrapped phase.

One wide convolution down to stride 4, which is where most of the time of small networks is lost; a residual encoder (He
et al. 2016, 10.1109/CVPR.2016.90) from there to stride 32; and a light top-down decoder (feature pyramid, Lin et al.
2017, 10.1109/CVPR.2017.106) that returns to stride 8, whose last layer says four logits for each of its cells: the map
at stride 4 (sub-pixel convolution, Shi et al. 2016, 10.1109/CVPR.2016.207). Only convolutions, batch norms and
nearest-neighbour upsampling are used: each output depends on a bounded neighbourhood, so a scene cut into overlapping
tiles gives the same map as the scene at once, and batch norms fold into the convolutions on export.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["FringeNet", "receptive_radius_px"]

_STEM_STRIDE = 4
# Kernels of a stem of one and of two convolutions.
_STEMS = {1: (7,), 2: (5, 3)}


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
    stem
        Channels of the convolutions down to stride 4: one of 7 x 7 at stride 4, or 5 x 5 and 3 x 3 at stride 2 each.
    widths
        Channels at strides 8, 16 and 32.
    blocks
        Residual blocks at strides 4, 8, 16 and 32.
    decoder_width
        Channels of the top-down decoder.
    finest
        Stride at which the decoder ends: 8, or 4 where details of a few pixels matter more than time.
    stride
        Of the map: 4, or 2 for areas of a few dozen pixels, which hardly fill a cell of 4 x 4.
    classes
        Number of scene classes K.
    """

    multiple = 32

    def __init__(
        self,
        stem: Sequence[int] = (48,),
        widths: Sequence[int] = (64, 96, 128),
        blocks: Sequence[int] = (0, 1, 1, 1),
        decoder_width: int = 32,
        finest: int = 8,
        stride: int = 4,
        classes: int = 2,
    ) -> None:
        super().__init__()
        if finest not in {4, 8} or stride not in {2, 4}:
            message = f"finest = {finest}, stride = {stride}: expected finest 4 or 8, and stride 2 or 4"
            raise ValueError(message)
        self.settings = {
            "stem": list(stem),
            "widths": list(widths),
            "blocks": list(blocks),
            "decoder_width": decoder_width,
            "finest": finest,
            "stride": stride,
            "classes": classes,
        }
        kernels = _STEMS[len(stem)]
        inputs = (3, *stem[:-1])
        self.stem = nn.Sequential(
            *(
                _ConvNorm(before, width, kernel=kernel, stride=_STEM_STRIDE // len(stem))
                for before, width, kernel in zip(inputs, stem, kernels, strict=True)
            ),
            *(_Residual(stem[-1]) for _ in range(blocks[0])),
        )
        levels = (stem[-1], *widths)
        self.stages = nn.ModuleList(
            nn.Sequential(_ConvNorm(before, width, stride=2), *(_Residual(width) for _ in range(count)))
            for before, width, count in zip(levels[:-1], widths, blocks[1:], strict=True)
        )
        self.finest, self.stride = finest, stride
        decoded = levels if finest == _STEM_STRIDE else levels[1:]
        self.laterals = nn.ModuleList(nn.Conv2d(width, decoder_width, 1) for width in decoded)
        self.smooth = nn.ModuleList(_ConvNorm(decoder_width, decoder_width) for _ in decoded[:-1])
        self.map_head = nn.Conv2d(decoder_width, (finest // self.stride) ** 2, 1)
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
            (N, 1, H / stride, W / stride) and (N, K).
        """
        x = self.stem(phase)
        features = [x]
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        decoded = features[-len(self.laterals) :]
        top = self.laterals[-1](decoded[-1])
        for level in range(len(decoded) - 2, -1, -1):
            up = functional.interpolate(top, scale_factor=2.0, mode="nearest")
            top = self.smooth[level](up + self.laterals[level](decoded[level]))
        logits = self.map_head(top)
        if self.finest > self.stride:
            logits = functional.pixel_shuffle(logits, self.finest // self.stride)
        pooled = torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1)
        return logits, self.scene_head(pooled)


def receptive_radius_px(network: FringeNet) -> int:
    """Return a bound on how far, in input pixels, an input can influence the map.

    Sums half the kernel times the stride over the longest path down to stride 32 and back up, plus half a cell of each
    upsampling.
    """
    radius, stride = 0, 1
    for module in (*network.stem, *network.stages):
        layers = module if isinstance(module, nn.Sequential) and not isinstance(module, _ConvNorm) else (module,)
        for layer in layers:
            if isinstance(layer, _Residual):
                radius += 2 * stride
            else:
                convolution = layer.get_submodule("0")
                assert isinstance(convolution, nn.Conv2d)
                radius += convolution.kernel_size[0] // 2 * stride
                stride *= convolution.stride[0]
    while stride > network.finest:
        # Nearest upsampling of cells twice as wide, and the 3 x 3 smoothing after it.
        radius += stride // 2
        stride //= 2
        radius += stride
    # Of the map's pixels inside a cell of the decoder.
    return radius + network.finest
