"""InceptionV3 without its top, as ``keras.applications`` defines it (Szegedy et al. 2016, 10.1109/CVPR.2016.308).

Batch norms have no scale. Keras numbers most layers by the order in which they are made, so the order of the calls
below is part of the definition.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from torch import nn

from fringewatch.networks.graph import INPUT, LayerGraph
from fringewatch.networks.layers import BatchNorm2d, Concat, Conv2d

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["InceptionV3"]

Step = tuple[int, int, int]
"""Channels, height and width of a convolution."""


class InceptionV3(LayerGraph):
    """Features of InceptionV3: 2048 channels at stride 32; the input has 75 x 75 pixels or more."""

    title = "InceptionV3"
    channels = 2048

    def __init__(self) -> None:
        super().__init__()
        self._numbers: Counter[str] = Counter()
        self._width = {INPUT: 3}
        x = self._convolution(INPUT, (32, 3, 3), stride=2, padded=False)
        x = self._convolution(x, (32, 3, 3), padded=False)
        x = self._convolution(x, (64, 3, 3))
        x = self._max_pool(x)
        x = self._convolution(x, (80, 1, 1), padded=False)
        x = self._convolution(x, (192, 3, 3), padded=False)
        x = self._max_pool(x)
        for number, pooled in enumerate([32, 64, 64]):
            x = self._fine(x, pooled, f"mixed{number}")
        x = self._fine_to_middle(x, "mixed3")
        for number, width in enumerate([128, 160, 160, 192], 4):
            x = self._middle(x, width, f"mixed{number}")
        x = self._middle_to_coarse(x, "mixed8")
        for number in range(2):
            x = self._coarse(x, number)

    def _fine(self, x: str, pooled: int, name: str) -> str:
        """Add a block at stride 8."""
        branches = [
            self._chain(x, [(64, 1, 1)]),
            self._chain(x, [(48, 1, 1), (64, 5, 5)]),
            self._chain(x, [(64, 1, 1), (96, 3, 3), (96, 3, 3)]),
            self._pooled(x, pooled),
        ]
        return self._concat(name, *branches)

    def _fine_to_middle(self, x: str, name: str) -> str:
        first = self._convolution(x, (384, 3, 3), stride=2, padded=False)
        second = self._chain(x, [(64, 1, 1), (96, 3, 3)])
        second = self._convolution(second, (96, 3, 3), stride=2, padded=False)
        return self._concat(name, first, second, self._max_pool(x))

    def _middle(self, x: str, width: int, name: str) -> str:
        """Add a block at stride 16."""
        branches = [
            self._chain(x, [(192, 1, 1)]),
            self._chain(x, [(width, 1, 1), (width, 1, 7), (192, 7, 1)]),
            self._chain(x, [(width, 1, 1), (width, 7, 1), (width, 1, 7), (width, 7, 1), (192, 1, 7)]),
            self._pooled(x, 192),
        ]
        return self._concat(name, *branches)

    def _middle_to_coarse(self, x: str, name: str) -> str:
        first = self._chain(x, [(192, 1, 1)])
        first = self._convolution(first, (320, 3, 3), stride=2, padded=False)
        second = self._chain(x, [(192, 1, 1), (192, 1, 7), (192, 7, 1)])
        second = self._convolution(second, (192, 3, 3), stride=2, padded=False)
        return self._concat(name, first, second, self._max_pool(x))

    def _coarse(self, x: str, number: int) -> str:
        """Add a block at stride 32."""
        first = self._chain(x, [(320, 1, 1)])
        second = self._split(self._chain(x, [(384, 1, 1)]), f"mixed9_{number}")
        third = self._split(self._chain(x, [(448, 1, 1), (384, 3, 3)]), self._automatic("concatenate"))
        return self._concat(f"mixed{9 + number}", first, second, third, self._pooled(x, 192))

    def _split(self, x: str, name: str) -> str:
        return self._concat(name, self._chain(x, [(384, 1, 3)]), self._chain(x, [(384, 3, 1)]))

    def _pooled(self, x: str, width: int) -> str:
        # Keras' average at the border is over the pixels inside.
        name = self._automatic("average_pooling2d")
        pool = self.add(name, nn.AvgPool2d(3, 1, padding=1, count_include_pad=False), x)
        self._width[pool] = self._width[x]
        return self._chain(pool, [(width, 1, 1)])

    def _chain(self, x: str, steps: Sequence[Step]) -> str:
        for step in steps:
            x = self._convolution(x, step)
        return x

    def _convolution(self, x: str, step: Step, *, stride: int = 1, padded: bool = True) -> str:
        channels, height, width = step
        padding = (height // 2, width // 2) if padded else 0
        convolution = Conv2d(self._width[x], channels, (height, width), stride, padding, bias=False)
        x = self.add(self._automatic("conv2d"), convolution, x)
        x = self.add(self._automatic("batch_normalization"), BatchNorm2d(channels, scale=False), x)
        x = self.add(self._automatic("activation"), nn.ReLU(inplace=True), x)
        self._width[x] = channels
        return x

    def _max_pool(self, x: str) -> str:
        pool = self.add(self._automatic("max_pooling2d"), nn.MaxPool2d(3, 2), x)
        self._width[pool] = self._width[x]
        return pool

    def _concat(self, name: str, *branches: str) -> str:
        x = self.add(name, Concat(), *branches)
        self._width[x] = sum(self._width[branch] for branch in branches)
        return x

    def _automatic(self, kind: str) -> str:
        """Return the name that Keras makes up for the next layer of a kind."""
        number = self._numbers[kind]
        self._numbers[kind] += 1
        return f"{kind}_{number}" if number else kind
