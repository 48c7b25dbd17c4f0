"""Networks by name, the nine rows of the study's table, and how parameters are counted."""

from __future__ import annotations

import contextlib
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, get_args

import torch
from pydantic import Field
from torch import nn

from fringewatch.config import Config
from fringewatch.errors import ConfigError
from fringewatch.networks.alexnet import AlexNet
from fringewatch.networks.classifier import Classifier
from fringewatch.networks.densenet121 import DenseNet121
from fringewatch.networks.encoder import FringeEncoder
from fringewatch.networks.inception_v3 import InceptionV3
from fringewatch.networks.layers import FrozenNorm
from fringewatch.networks.resnet50 import ResNet50
from fringewatch.networks.spp import Bins
from fringewatch.networks.tops import Activation, AlexNetTop, FlattenTop, PoolingTop, PyramidTop
from fringewatch.networks.vgg16 import VGG16

if TYPE_CHECKING:
    from fringewatch.networks.graph import LayerGraph
    from fringewatch.networks.tops import Top

__all__ = [
    "STUDY",
    "Counts",
    "NetworkConfig",
    "NetworkName",
    "NetworkOptions",
    "StudyRow",
    "build",
    "count_parameters",
    "create",
    "list_networks",
    "network_name",
    "smallest_input_px",
]

NetworkName = Literal["alexnet", "vgg16", "inception_v3", "resnet50", "densenet121", "fringenet"]
Units = Annotated[int, Field(ge=1, le=65_536)]
"""Of a dense layer."""
TopName = Literal["pooling", "spp", "flatten", "original"]

_BACKBONES: dict[NetworkName, type[LayerGraph]] = {
    "alexnet": AlexNet,
    "vgg16": VGG16,
    "inception_v3": InceptionV3,
    "resnet50": ResNet50,
    "densenet121": DenseNet121,
    "fringenet": FringeEncoder,
}


class NetworkOptions(Config):
    """What can be chosen of any of the networks; what is left out is as in the study."""

    top: TopName | None = Field(
        None,
        description="Top: `pooling` (global average; any input size), `spp` (spatial pyramid; any input size), "
        "`flatten` (one input size) or `original` (three dense layers, AlexNet only); if not given `original` for "
        "AlexNet and `pooling` for the others.",
    )
    pyramid: tuple[Annotated[int, Field(ge=1, le=32)], ...] = Field(
        (2, 4, 6), min_length=1, description="Bins along each side, per level; top `spp`. 2, 4, 6 are 56 per channel."
    )
    bins: Bins = Field("max", description="What a bin of the pyramid says of its cells: the largest, or their mean.")
    classes: int | None = Field(None, ge=2, description="Outputs; if not given 1000 for AlexNet, 2 for the others.")
    input_size_px: int | None = Field(
        None, ge=32, description="Side of the patches; if not given 227 for AlexNet, 224 for the others."
    )
    dense: tuple[Units, Units] = Field(
        (1024, 200), description="Two dense layers before the classifier; top `pooling`."
    )
    dense_activation: Activation | Literal["softmax"] = Field(
        "softmax", description="Activation of the second of them; softmax in the study."
    )
    hidden: tuple[Units, ...] = Field((200, 200), description="Dense layers of the classifier, each with a batch norm.")
    activation: Activation = Field("relu", description="Activation after those batch norms.")
    dropout: float = Field(0.5, ge=0, lt=1, description="Share of activations dropped in training; 0.5, 0.3, 0.2.")
    l2: float = Field(
        0.01, ge=0, description="Factor of the squared weights of the classifier's first dense layer in the loss."
    )
    freeze: int | str | None = Field(
        None,
        union_mode="left_to_right",  # "12" from a command line is a number
        description="Cut in the backbone before which weights stay as they are: a number of Keras layers, or the name "
        "of the last frozen one.",
    )
    frozen_norm: FrozenNorm = Field(
        "stored", description="Statistics that frozen batch norms use in training: stored, batch or adapt."
    )


class NetworkConfig(NetworkOptions):
    """One of the networks with its top."""

    name: NetworkName = Field(description="Network.")

    @property
    def side_px(self) -> int:
        """Side of the patches, in pixels, also where it is not given."""
        return self.input_size_px or (227 if self.name == "alexnet" else 224)


class Counts(NamedTuple):
    """Numbers of parameters as Keras counts them: running means and variances are parameters that do not train."""

    total: int
    trainable: int
    frozen_and_statistics: int


class StudyRow(NamedTuple):
    """A row of the study's table: the network, and what was published of it."""

    title: str
    network: NetworkConfig
    pretrained: bool
    parameters: Counts
    last_frozen: str | None
    epochs: int
    learning_rate: float
    seconds_per_epoch: float
    """On a Tesla T4."""
    validation_accuracy_percent: float


def list_networks() -> tuple[NetworkName, ...]:
    """Return the names that :func:`create` knows."""
    return get_args(NetworkName)


def network_name(backbone: LayerGraph) -> str:
    """Return the name that :func:`create` knows a backbone by; the title of one that it does not know."""
    return next((name for name, kind in _BACKBONES.items() if type(backbone) is kind), backbone.title)


def create(name: str, **options: Any) -> Classifier:
    """Build a network with new start values.

    Start values come from torch's global generator; :func:`torch.manual_seed` makes them repeatable.

    Parameters
    ----------
    name
        One of :func:`list_networks`.
    **options
        Fields of :class:`NetworkConfig`.

    Returns
    -------
    Classifier
        (N, 3, H, W) to (N, classes) logits, in training mode.

    Raises
    ------
    ConfigError
        If the name or an option is unknown or not allowed, or the input too small for the network.
    """
    return build(NetworkConfig.build({"name": name, **options}, where="network"))


def build(config: NetworkConfig) -> Classifier:
    """Build a network from its settings; see :func:`create`."""
    backbone = _BACKBONES[config.name]()
    own = config.name == "alexnet"
    size = config.side_px
    top = _top(config, backbone, size, config.top or ("original" if own else "pooling"))
    network = Classifier(backbone, top, input_size_px=size)
    if config.freeze is not None:
        network.freeze(config.freeze, norms=config.frozen_norm)
    return network


@cache
def smallest_input_px(name: NetworkName) -> int:
    """Return the smallest side of patches that a network takes whatever their other side; no less than its stride."""
    with torch.device("meta"):
        backbone = _BACKBONES[name]()
    for side in range(32, 225):
        with contextlib.suppress(ConfigError):
            backbone.sizes(side, side)
            return side
    message = f"{backbone.title}: takes no patches of 224 pixels"
    raise ConfigError(message)


def _top(config: NetworkConfig, backbone: LayerGraph, size: int, kind: TopName) -> Top:
    height, width = backbone.feature_size(size, size)
    if kind == "original":
        if config.name != "alexnet":
            message = f"top = 'original': is AlexNet's; {backbone.title} takes 'pooling', 'spp' or 'flatten'"
            raise ConfigError(message)
        return AlexNetTop(backbone.channels * height * width, config.classes or 1000, dropout=config.dropout)
    classes = config.classes or 2
    if kind == "spp":
        return PyramidTop(
            backbone.channels,
            classes,
            levels=config.pyramid,
            bins=config.bins,
            hidden=config.hidden,
            activation=config.activation,
            dropout=config.dropout,
            l2=config.l2,
        )
    if kind == "flatten":
        return FlattenTop(
            backbone.channels * height * width,
            classes,
            hidden=config.hidden,
            activation=config.activation,
            dropout=config.dropout,
            l2=config.l2,
        )
    return PoolingTop(
        backbone.channels,
        classes,
        dense=config.dense,
        dense_activation=config.dense_activation,
        hidden=config.hidden,
        activation=config.activation,
        dropout=config.dropout,
        l2=config.l2,
    )


def count_parameters(network: nn.Module) -> Counts:
    """Count parameters as Keras does.

    Returns
    -------
    Counts
        All, those that train, and the rest: frozen weights and the running means and variances of batch norms.
    """
    weights = sum(parameter.numel() for parameter in network.parameters())
    trainable = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    statistics = 0
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            assert module.running_mean is not None
            # As many variances as means.
            statistics += 2 * module.running_mean.numel()
    return Counts(weights + statistics, trainable, weights - trainable + statistics)


def _row(
    title: str,
    options: dict[str, Any],
    counts: tuple[int, int],
    last_frozen: str | None,
    training: tuple[int, float, float, float],
) -> StudyRow:
    total, trainable = counts
    network = NetworkConfig.build(options)
    pretrained = last_frozen is not None
    return StudyRow(title, network, pretrained, Counts(total, trainable, total - trainable), last_frozen, *training)


STUDY = (
    _row("AlexNet", {"name": "alexnet"}, (62_378_344, 62_378_344), None, (50, 0.01, 220, 93)),
    _row("VGG16", {"name": "vgg16"}, (15_527_410, 15_526_606), None, (20, 0.001, 390, 95)),
    _row(
        "VGG16 pretrained",
        {"name": "vgg16", "freeze": 12},
        (15_527_410, 12_610_958),
        "block4_conv1",
        (20, 0.001, 312, 97),
    ),
    _row("InceptionV3", {"name": "inception_v3"}, (24_188_370, 24_153_134), None, (20, 0.001, 354, 93)),
    _row(
        "InceptionV3 pretrained",
        {"name": "inception_v3", "freeze": 249},
        (24_188_370, 13_499_662),
        "mixed8",
        (20, 0.001, 300, 85),
    ),
    _row("ResNet50", {"name": "resnet50"}, (25_973_298, 25_919_374), None, (20, 0.001, 384, 97)),
    _row(
        "ResNet50 pretrained",
        {"name": "resnet50", "top": "flatten", "freeze": 168},
        (43_700_522, 23_527_558),
        "conv5_block3_1_relu",
        (20, 0.001, 284, 53),
    ),
    _row("DenseNet121", {"name": "densenet121"}, (8_374_514, 8_290_062), None, (20, 0.001, 390, 94)),
    _row(
        "DenseNet121 pretrained",
        {"name": "densenet121", "freeze": 116},
        (8_374_514, 7_278_606),
        "conv3_block9_concat",
        (20, 0.0005, 335, 53),
    ),
)
"""The nine rows of the study's table."""
