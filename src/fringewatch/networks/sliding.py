"""A classifier of patches as a network that maps scenes, with features computed once and shared by all windows.

Cutting a window out at every 32 pixels and running the whole network on each repeats nearly all convolutions some fifty
times. Here the backbone runs once over the scene and only the dense top slides over its features, as in SPP-net (He et
al. 2015, 10.1109/TPAMI.2015.2389824) and OverFeat (Sermanet et al. 2014, arXiv:1312.6229): a global average becomes a
moving one, a dense layer a 1 x 1 convolution, a dense layer on flattened features a convolution as large as they, and a
pyramid one of each window (:class:`~fringewatch.networks.spp.PyramidWindows`).

The scores are those of windows cut from the scene's features, not from its pixels: a window cut from the pixels is
padded with zeros inside the backbone where here the scene goes on. For a scene that is exactly one patch there is no
difference.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from fringewatch.errors import ConfigError
from fringewatch.networks.spp import PyramidWindows, SpatialPyramidPooling
from fringewatch.networks.tops import ChannelsLastFlatten, GlobalAveragePooling

if TYPE_CHECKING:
    from fringewatch.networks.classifier import Classifier
    from fringewatch.networks.graph import LayerGraph

__all__ = ["MULTIPLE", "STRIDE", "Sliding", "WindowGeometry", "receptive_radius_px", "window_geometry"]

STRIDE = 32
"""Input pixels per feature cell of every backbone of the study."""
MULTIPLE = 32
"""Height and width of a scene are multiples of this; a single patch may have any size that the classifier takes."""


class WindowGeometry(NamedTuple):
    """How the windows of a patch's size lie on the features of a scene, along either axis.

    Cell `i` of the map is the score of the window whose centre lies in pixels ``32 i`` to ``32 (i + 1)``: the one that
    starts at feature cell ``i - left``. A scene of ``32 m`` pixels has ``m - lost`` feature cells.
    """

    patch_px: int
    cells: int
    """Feature cells along one side of a patch."""
    lost: int
    """Cells that convolutions without padding take from a scene."""
    left: int
    """Windows that start before the first feature cell."""
    right: int
    """Windows that end after the last one."""

    @property
    def margins(self) -> tuple[int, int]:
        """How many of both hold a cell of the scene; the others repeat their neighbour's score."""
        return min(self.left, self.cells - 1), min(self.right, self.cells - 1)


def window_geometry(backbone: LayerGraph, patch_px: int) -> WindowGeometry:
    """Return how windows of `patch_px` pixels lie on a backbone's features.

    Raises
    ------
    ConfigError
        If the backbone leaves nothing of such a patch, or its stride is not 32.
    """
    cells = backbone.feature_size(patch_px, patch_px)[0]
    blocks = -(-patch_px // STRIDE) + 1
    counts = {blocks + more: backbone.feature_size(*2 * (STRIDE * (blocks + more),))[0] for more in range(4)}
    lost = {number - count for number, count in counts.items()}
    if len(lost) != 1:
        message = f"{backbone.title}: scenes of 32 m pixels give {counts} features by m; expected a stride of {STRIDE}"
        raise ConfigError(message)
    (gone,) = lost
    left = patch_px // (2 * STRIDE)
    return WindowGeometry(patch_px, cells, gone, left, gone - left + cells - 1)


class Sliding(nn.Module):
    """Map and scene logits by a classifier that looks at every window of its patch size, 32 pixels apart.

    A window that reaches over the border of the scene is scored by what it holds of the scene: averages and pyramids
    run over the feature cells that exist, and flattening tops see zeros beyond them. Where no cell of a window exists,
    the nearest window is taken.

    Parameters
    ----------
    classifier
        Copied, in evaluation mode; later changes to it do not matter.
    whole
        Let ``scene`` be what the classifier says of the whole input as one crop, of any height and width, instead of
        the largest score of a window.

    Raises
    ------
    ConfigError
        If the top is not a chain that can slide; with `whole`, if it takes inputs of one size only.

    Notes
    -----
    With more than two classes (AlexNet's 1000), the logit is still that of class 1 against class 0, the two classes
    that it was trained on.
    """

    stride = STRIDE
    multiple = MULTIPLE

    def __init__(self, classifier: Classifier, *, whole: bool = False) -> None:
        super().__init__()
        self.geometry = window_geometry(classifier.backbone, classifier.input_size_px)
        self.backbone = copy.deepcopy(classifier.backbone).eval()
        self.pools = _holds(classifier.top, GlobalAveragePooling)
        # The windows of a pyramid look after the border themselves.
        self.pads = not _holds(classifier.top, SpatialPyramidPooling)
        self.head = _sliding_head(classifier.top, self.geometry)
        self.top = copy.deepcopy(classifier.top) if whole else None
        if whole and _holds(classifier.top, ChannelsLastFlatten):
            message = "top: flattens features of one size; inputs of any size take the top 'pooling' or 'spp'"
            raise ConfigError(message)
        self.eval()

    def forward(self, phase: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits.

        Parameters
        ----------
        phase
            (N, 3, H, W) encoded phase; H and W multiples of 32, at least the patch's size; or exactly one patch. A
            network of whole crops takes any size that its backbone leaves something of.

        Returns
        -------
        map, scene
            (N, 1, H / 32, W / 32), the logit of deformation against background per window; and (N, 2), whose difference
            is the largest of them, or that of the whole input.
        """
        features = self.backbone(phase)
        left, right, before, after = *self.geometry[3:], *self.geometry.margins
        cells, padding = self.geometry.cells, (before, after, before, after)
        if self.pools:
            ones = functional.pad(torch.ones_like(features[:1, :1]), padding)
            total = functional.avg_pool2d(functional.pad(features, padding), cells, stride=1)
            pooled = total / functional.avg_pool2d(ones, cells, stride=1)
        else:
            pooled = functional.pad(features, padding) if self.pads else features
        logits = self.head(pooled)
        beyond = (left - before, right - after, left - before, right - after)
        if any(beyond):
            logits = functional.pad(logits, beyond, mode="replicate")
        if self.top is None:
            scene = logits.amax(dim=(2, 3))
        else:
            scene = self.top(features)
            scene = scene[:, 1:2] - scene[:, :1]
        return logits, torch.cat([torch.zeros_like(scene), scene], dim=1)

    @property
    def halo_px(self) -> int:
        """How far a pixel can influence the map: half a window plus the receptive field of a feature cell."""
        half = -(-self.geometry.patch_px // 2)
        return half + receptive_radius_px(self.backbone)


def receptive_radius_px(backbone: LayerGraph) -> int:
    """Return half the width, in input pixels, of what a feature cell depends on; the larger of both axes."""
    width = dict.fromkeys(backbone.layer_names(), (1, 1))
    step = dict(width)
    for name in backbone.layer_names():
        inputs = backbone.inputs_of(name)
        if not inputs:
            continue
        module = backbone.get_submodule(name)
        kernel, stride = _kernel(module)
        known = [(width[each], step[each]) for each in inputs]
        step[name] = (known[0][1][0] * stride[0], known[0][1][1] * stride[1])
        width[name] = (
            max(size[0] + (kernel[0] - 1) * jump[0] for size, jump in known),
            max(size[1] + (kernel[1] - 1) * jump[1] for size, jump in known),
        )
    return max(width[backbone.layer_names()[-1]]) // 2 + 1


def _kernel(module: nn.Module) -> tuple[tuple[int, int], tuple[int, int]]:
    if not isinstance(module, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
        return (1, 1), (1, 1)

    def pair(value: int | tuple[int, ...]) -> tuple[int, int]:
        return (value, value) if isinstance(value, int) else (value[0], value[1])

    return pair(module.kernel_size), pair(module.stride)


def _holds(top: nn.Sequential, kind: type[nn.Module]) -> bool:
    return any(isinstance(layer, kind) for layer in top)


def _sliding_head(top: nn.Sequential, geometry: WindowGeometry) -> nn.Sequential:
    """Return a top's dense part as convolutions, batch norms folded in, with one output: class 1 minus class 0."""
    layers: list[nn.Module] = []
    pyramid: SpatialPyramidPooling | None = None
    before, after = geometry.margins
    size = 1
    for layer in top:
        if isinstance(layer, ChannelsLastFlatten):
            size = geometry.cells
        elif isinstance(layer, SpatialPyramidPooling):
            pyramid = layer
        elif isinstance(layer, nn.Linear):
            dense = _convolution(layer, size)
            windows = pyramid and PyramidWindows(pyramid, dense, cells=geometry.cells, before=before, after=after)
            layers.append(windows or dense)
            size, pyramid = 1, None
        elif isinstance(layer, nn.BatchNorm1d) and layers and isinstance(layers[-1], (nn.Conv2d, PyramidWindows)):
            _fold(_dense(layers[-1]), layer)
        elif isinstance(layer, (nn.ReLU, nn.Tanh, nn.Sigmoid, nn.Softmax)):
            layers.append(copy.deepcopy(layer))
        elif not isinstance(layer, (GlobalAveragePooling, nn.Dropout)):
            message = f"top: {type(layer).__name__} cannot slide; expected the tops of fringewatch.networks.tops"
            raise ConfigError(message)
    last = layers[-1]
    if not isinstance(last, (nn.Conv2d, PyramidWindows)):
        message = f"top: ends in {type(last).__name__}; expected a dense layer or its batch norm"
        raise ConfigError(message)
    if isinstance(last, PyramidWindows):
        last.dense = _difference(last.dense)
    else:
        layers[-1] = _difference(last)
    return nn.Sequential(*layers)


def _dense(layer: nn.Conv2d | PyramidWindows) -> nn.Conv2d:
    return layer.dense if isinstance(layer, PyramidWindows) else layer


def _convolution(dense: nn.Linear, size: int) -> nn.Conv2d:
    channels = dense.in_features // size**2
    convolution = nn.Conv2d(channels, dense.out_features, size, device=dense.weight.device)
    with torch.no_grad():
        # Flattening runs over rows, columns and channels, channels fastest.
        kernel = dense.weight.reshape(-1, size, size, channels).permute(0, 3, 1, 2)
        convolution.weight.copy_(kernel)
        assert convolution.bias is not None
        convolution.bias.copy_(dense.bias)
    return convolution


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm1d) -> None:
    """Fold a norm with its stored statistics into the convolution before it, in double."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert convolution.bias is not None
    with torch.no_grad():
        scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
        offset = norm.bias.double() - norm.running_mean.double() * scale
        convolution.weight.copy_(convolution.weight.double() * scale[:, None, None, None])
        convolution.bias.copy_(convolution.bias.double() * scale + offset)


def _difference(last: nn.Conv2d) -> nn.Conv2d:
    result = nn.Conv2d(last.in_channels, 1, last.weight.shape[-1], device=last.weight.device)
    with torch.no_grad():
        assert last.bias is not None
        assert result.bias is not None
        result.weight.copy_(last.weight[1:2] - last.weight[0:1])
        result.bias.copy_(last.bias[1:2] - last.bias[0:1])
    return result
