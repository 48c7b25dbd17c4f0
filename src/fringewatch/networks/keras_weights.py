"""Weights between these networks and files of Keras, both ways, layer by layer with the shapes checked.

Keras keeps kernels as (height, width, in, out) and dense kernels as (in, out); torch keeps (out, in, height, width) and
(out, in). Nothing else differs: names, order and every number are the same.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from fringewatch.errors import BundleError
from fringewatch.networks.classifier import Classifier
from fringewatch.networks.graph import INPUT, LayerGraph
from fringewatch.networks.keras_files import StoredLayer, open_keras_file, read_array, write_keras_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fringewatch.networks.keras_files import KerasFile, KerasLayout

__all__ = ["LoadedWeights", "load_keras_weights", "save_keras_weights"]

# Axes that turn Keras' array into torch's, by number of dimensions.
_TO_TORCH = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}
_TO_KERAS = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}


class LoadedWeights(NamedTuple):
    """What was read."""

    layers: int
    """Layers that got weights."""
    left_out: tuple[str, ...]
    """Layers of the file that the network has not: its dense top."""


class _Layer(NamedTuple):
    """A layer with weights of a network, as Keras sees it."""

    name: str
    container: str
    tensors: dict[str, Tensor]

    def shape(self, weight: str) -> tuple[int, ...]:
        tensor = self.tensors[weight]
        return tuple(tensor.shape[axis] for axis in _TO_KERAS[tensor.ndim])


def load_keras_weights(network: LayerGraph | Classifier, path: str | Path) -> LoadedWeights:
    """Copy the weights of a Keras file into a network.

    A backbone takes the file of a backbone or of a whole model, whose dense top is then left out; a
    :class:`~fringewatch.networks.classifier.Classifier` takes the file of the whole model only. As in Keras, layers
    are found by name, or by their order where a legacy file has names of its own. Either all weights are copied or, on
    an error, none.

    Parameters
    ----------
    network
        Changed in place; frozen weights are replaced too.
    path
        Legacy ``.h5`` (all ImageNet releases) or Keras 3 ``.weights.h5``.

    Raises
    ------
    BundleError
        If the file cannot be read or belongs to another network; the message names the layer and both shapes.
    """
    path = Path(path)
    layers = _layers(network)
    title = (network.backbone if isinstance(network, Classifier) else network).title
    whole = isinstance(network, Classifier)
    with open_keras_file(path) as file:
        pairs, left_out = _match(path, title, layers, file, whole=whole)
        found = [(layer, _read(path, title, layer, stored)) for layer, stored in pairs]
    with torch.no_grad():
        for layer, arrays in found:
            for tensor, values in zip(layer.tensors.values(), arrays, strict=True):
                tensor.copy_(values)
    return LoadedWeights(len(found), left_out)


def save_keras_weights(network: LayerGraph | Classifier, path: str | Path) -> None:
    """Write a network's weights for ``keras.Model.load_weights``.

    Parameters
    ----------
    network
        A backbone, for ``keras.applications`` with ``include_top=False``; or a whole network.
    path
        Ends in ``.weights.h5`` for the layout of Keras 3, in ``.h5`` for the legacy one.

    Raises
    ------
    BundleError
        If the name has neither ending.
    OutputError
        If the file cannot be written.
    """
    stored = []
    for layer in _layers(network):
        weights = {
            name: tensor.detach().float().cpu().permute(_TO_KERAS[tensor.ndim]).contiguous().numpy()
            for name, tensor in layer.tensors.items()
        }
        stored.append(StoredLayer(layer.name, layer.container, weights))
    write_keras_file(path, stored)


def _layers(network: LayerGraph | Classifier) -> list[_Layer]:
    """Return the layers with weights in the order of Keras' ``model.layers``."""
    if isinstance(network, Classifier):
        backbone = network.backbone
        modules = [*_ordered(backbone), *network.top.named_children()]
    else:
        modules = _ordered(network)
    numbers: Counter[str] = Counter()
    layers = []
    for name, module in modules:
        described = _describe(module)
        if described is not None:
            kind, tensors = described
            layers.append(_Layer(name, f"{kind}_{numbers[kind]}" if numbers[kind] else kind, tensors))
            numbers[kind] += 1
    return layers


def _ordered(backbone: LayerGraph) -> list[tuple[str, nn.Module]]:
    return [(name, backbone.get_submodule(name)) for name in backbone.layer_names() if name != INPUT]


def _describe(module: nn.Module) -> tuple[str, dict[str, Tensor]] | None:
    """Return Keras' name of a layer's class, and its weights under Keras' names in Keras' order."""
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        tensors = {"kernel": module.weight}
        if module.bias is not None:
            tensors["bias"] = module.bias
        return ("conv2d" if isinstance(module, nn.Conv2d) else "dense"), tensors
    if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
        parameters = dict(module.named_parameters(recurse=False))
        assert module.running_mean is not None
        assert module.running_var is not None
        # A norm without a scale keeps a constant 1 that is no parameter.
        scale = {"gamma": module.weight} if "weight" in parameters else {}
        statistics = {"moving_mean": module.running_mean, "moving_variance": module.running_var}
        return "batch_normalization", {**scale, "beta": module.bias, **statistics}
    return None


def _match(
    path: Path, title: str, layers: Sequence[_Layer], file: KerasFile, *, whole: bool
) -> tuple[list[tuple[_Layer, StoredLayer]], tuple[str, ...]]:
    """Pair the network's layers with those of the file; return the pairs and the names of what is left out."""
    stored, top = (file.layers, ()) if whole else _without_top(layers, file)
    found = _found(layers, stored, file.layout)
    # Shapes first: a wrong one says more than a wrong number of layers.
    for layer in layers:
        if layer.name in found:
            _check(path, title, layer, found[layer.name])
    missing = [layer for layer in layers if layer.name not in found]
    used = {each.name for each in found.values()}
    extra = [each.name for each in stored if each.name not in used]
    if missing or extra:
        part = "whole network" if whole else "backbone"
        message = f"{path}: holds {len(stored)} layers with weights where this {part} ({title}) has {len(layers)}"
        if missing:
            shapes = ", ".join(f"{weight} {missing[0].shape(weight)}" for weight in missing[0].tensors)
            message += f"; the first it lacks is {missing[0].name!r} ({shapes})"
        if extra:
            message += f"; the first too many is {extra[0]!r}"
        message += f"; expected a file saved from the same {part}"
        raise BundleError(message)
    return [(layer, found[layer.name]) for layer in layers], tuple(each.name for each in top)


def _found(layers: Sequence[_Layer], stored: Sequence[StoredLayer], layout: KerasLayout) -> dict[str, StoredLayer]:
    """Return the file's layer of each of the network's layers that it has, by the rules of Keras."""
    if layout == "keras3":
        by_container = {each.container: each for each in stored}
        return {layer.name: by_container[layer.container] for layer in layers if layer.container in by_container}
    by_name = {each.name: each for each in stored}
    if by_name.keys() == {layer.name for layer in layers}:
        return by_name
    # Releases of ImageNet weights have names of their own; then the order counts.
    return {layer.name: each for layer, each in zip(layers, stored, strict=False)}


def _without_top(layers: Sequence[_Layer], file: KerasFile) -> tuple[tuple[StoredLayer, ...], tuple[StoredLayer, ...]]:
    """Split the layers of a file into those of its backbone and those of its dense top."""
    dense = [len(next(iter(each.weights.values())).shape) == 2 for each in file.layers]
    if file.layout == "legacy":
        cut = dense.index(True) if any(dense) else len(dense)
        return file.layers[:cut], file.layers[cut:]
    # Keras 3 numbers each class through, so that a top's batch norms come after the backbone's.
    ours = {layer.container for layer in layers}
    is_top = [
        flat or (any(dense) and each.container not in ours and each.container.startswith("batch_normalization"))
        for flat, each in zip(dense, file.layers, strict=True)
    ]
    kept = tuple(each for each, out in zip(file.layers, is_top, strict=True) if not out)
    return kept, tuple(each for each, out in zip(file.layers, is_top, strict=True) if out)


def _check(path: Path, title: str, layer: _Layer, stored: StoredLayer) -> None:
    where = f"{path}: layer {layer.name!r} of {title}"
    if stored.name != layer.name:
        where += f" (in the file {stored.name!r})"
    if len(stored.weights) != len(layer.tensors):
        message = (
            f"{where}: has {len(stored.weights)} arrays; expected {len(layer.tensors)} ({', '.join(layer.tensors)}); "
            "the file was saved from another network"
        )
        raise BundleError(message)
    for weight, values in zip(layer.tensors, stored.weights.values(), strict=True):
        if tuple(values.shape) != layer.shape(weight):
            message = (
                f"{where}: {weight} has shape {tuple(values.shape)}; expected {layer.shape(weight)}; "
                "the file was saved from another network"
            )
            raise BundleError(message)


def _read(path: Path, title: str, layer: _Layer, stored: StoredLayer) -> list[Tensor]:
    _check(path, title, layer, stored)
    arrays = []
    for weight, values in zip(layer.tensors, stored.weights.values(), strict=True):
        array = torch.from_numpy(read_array(path, layer.name, weight, values))
        arrays.append(array.permute(_TO_TORCH[array.ndim]))
    return arrays
