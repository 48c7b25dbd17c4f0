"""The dense tops of the study: from features to class logits.

Every top ends before the softmax: its output are logits, which the cross-entropy of training and the calibration of
detection expect; ``softmax(logits)`` is what the study's networks returned.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from fringewatch.networks.layers import BatchNorm1d, Linear
from fringewatch.networks.spp import SpatialPyramidPooling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fringewatch.networks.spp import Bins

__all__ = [
    "Activation",
    "AlexNetTop",
    "ChannelsLastFlatten",
    "FlattenTop",
    "GlobalAveragePooling",
    "PoolingTop",
    "PyramidTop",
    "Top",
]

Activation = Literal["relu", "tanh", "sigmoid"]

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


class GlobalAveragePooling(nn.Module):
    """Mean over height and width."""

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, C) of (N, C, h, w)."""
        return features.mean(dim=(2, 3))


class ChannelsLastFlatten(nn.Module):
    """All features in one row, channels fastest, as Keras flattens them: dense weights then mean the same."""

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, h * w * C) of (N, C, h, w)."""
        return features.permute(0, 2, 3, 1).flatten(1)


class Top(nn.Sequential):
    """A chain of named layers with an optional penalty on one of its kernels.

    Parameters
    ----------
    layers
        Names and layers, first to last.
    regularised
        Name of the dense layer whose kernel is penalised; None: none is.
    l2
        Factor of the penalty.
    """

    def __init__(
        self, layers: Sequence[tuple[str, nn.Module]], *, regularised: str | None = None, l2: float = 0.0
    ) -> None:
        super().__init__(OrderedDict(layers))
        self.regularised = regularised
        self.l2 = l2

    def penalty(self) -> Tensor | None:
        """Return what Keras' L2 kernel regulariser adds to the loss, ``l2 * sum(w**2)``; None if there is none."""
        if self.regularised is None or self.l2 == 0:
            return None
        kernel: Tensor = self.get_submodule(self.regularised).get_parameter("weight")
        return self.l2 * kernel.float().square().sum()


class PoolingTop(Top):
    """Global average -> Dense 1024 ReLU -> Dense 200 softmax -> the study's classifier.

    A softmax inside a network is unusual: the study's networks kept the example of Keras' documentation, with its
    200 classes, and put their classifier on top.

    Parameters
    ----------
    channels
        Channels of the features.
    classes
        Number of logits.
    dense
        Sizes of the two dense layers before the classifier.
    dense_activation
        Activation of the second of them.
    hidden, activation, dropout, l2
        Of the classifier: sizes of its dense layers, each followed by batch norm and activation; the rate of its
        dropout; the penalty on the kernel of the first.
    """

    def __init__(
        self,
        channels: int,
        classes: int = 2,
        *,
        dense: tuple[int, int] = (1024, 200),
        dense_activation: Activation | Literal["softmax"] = "softmax",
        hidden: tuple[int, ...] = (200, 200),
        activation: Activation = "relu",
        dropout: float = 0.5,
        l2: float = 0.01,
    ) -> None:
        first, second = dense
        last = nn.Softmax(dim=1) if dense_activation == "softmax" else _ACTIVATIONS[dense_activation]()
        super().__init__(
            [
                ("pool", GlobalAveragePooling()),
                ("dense_1", Linear(channels, first)),
                ("dense_1_activation", nn.ReLU()),
                ("dense_2", Linear(first, second)),
                ("dense_2_activation", last),
                *_classifier(second, classes, hidden, activation, dropout),
            ],
            regularised=_first_dense(hidden),
            l2=l2,
        )


class FlattenTop(Top):
    """Flatten -> the study's classifier, as ResNet50-pretrained had it.

    Parameters
    ----------
    features
        Number of all features, height x width x channels: this top fixes the size of the input.
    classes, hidden, activation, dropout, l2
        As for :class:`PoolingTop`.
    """

    def __init__(
        self,
        features: int,
        classes: int = 2,
        *,
        hidden: tuple[int, ...] = (200, 200),
        activation: Activation = "relu",
        dropout: float = 0.5,
        l2: float = 0.01,
    ) -> None:
        super().__init__(
            [("flatten", ChannelsLastFlatten()), *_classifier(features, classes, hidden, activation, dropout)],
            regularised=_first_dense(hidden),
            l2=l2,
        )


class PyramidTop(Top):
    """Spatial pyramid pooling -> the study's classifier: the flattening top for features of any height and width.

    Parameters
    ----------
    channels
        Channels of the features.
    classes
        Number of logits.
    levels, bins
        Of :class:`~fringewatch.networks.spp.SpatialPyramidPooling`.
    hidden, activation, dropout, l2
        As for :class:`PoolingTop`.
    """

    def __init__(
        self,
        channels: int,
        classes: int = 2,
        *,
        levels: tuple[int, ...] = (2, 4, 6),
        bins: Bins = "max",
        hidden: tuple[int, ...] = (200, 200),
        activation: Activation = "relu",
        dropout: float = 0.5,
        l2: float = 0.01,
    ) -> None:
        pyramid = SpatialPyramidPooling(levels, bins=bins)
        features = channels * pyramid.bins_per_channel
        super().__init__(
            [("pyramid", pyramid), *_classifier(features, classes, hidden, activation, dropout)],
            regularised=_first_dense(hidden),
            l2=l2,
        )


class AlexNetTop(Top):
    """AlexNet's own three dense layers, with dropout after the first two; 1000 outputs unless told otherwise.

    Parameters
    ----------
    features
        Number of all features, height x width x channels.
    classes
        Number of logits. With the original's 1000, two classes train the first two of them.
    dropout
        Rate of both dropouts.
    """

    def __init__(self, features: int, classes: int = 1000, *, dropout: float = 0.5) -> None:
        super().__init__(
            [
                ("flatten", ChannelsLastFlatten()),
                ("fc6", Linear(features, 4096)),
                ("fc6_activation", nn.ReLU()),
                ("fc6_dropout", nn.Dropout(dropout)),
                ("fc7", Linear(4096, 4096)),
                ("fc7_activation", nn.ReLU()),
                ("fc7_dropout", nn.Dropout(dropout)),
                ("fc8", Linear(4096, classes)),
            ]
        )


def _first_dense(hidden: tuple[int, ...]) -> str:
    return "hidden_1" if hidden else "output"


def _classifier(
    features: int, classes: int, hidden: tuple[int, ...], activation: Activation, dropout: float
) -> list[tuple[str, nn.Module]]:
    layers: list[tuple[str, nn.Module]] = []
    for number, size in enumerate(hidden, 1):
        layers += [
            (f"hidden_{number}", Linear(features, size)),
            (f"hidden_{number}_bn", BatchNorm1d(size)),
            (f"hidden_{number}_activation", _ACTIVATIONS[activation]()),
        ]
        features = size
    return [
        *layers,
        ("dropout", nn.Dropout(dropout)),
        ("output", Linear(features, classes)),
        ("output_bn", BatchNorm1d(classes)),
    ]
