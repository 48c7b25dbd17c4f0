"""Weights to start from: the official ImageNet releases, files of Keras, bundles of our own pretraining.

:func:`load_weights` takes any of them by one argument. The ImageNet files are those of ``keras.applications``, which
pooch fetches once and keeps; nothing else is ever fetched.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from fringewatch.errors import BundleError, ConfigError, require
from fringewatch.files import atomic_path
from fringewatch.models import checked_file, find_bundle, read_card
from fringewatch.networks.keras_weights import LoadedWeights, load_keras_weights
from fringewatch.networks.registry import network_name
from fringewatch.progress import say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fringewatch.encoding import EncodingKind
    from fringewatch.networks.classifier import Classifier
    from fringewatch.networks.fringenet import FringeNet

__all__ = [
    "IMAGENET",
    "ImageNetRelease",
    "LoadedWeights",
    "fetch_imagenet",
    "is_weight_file",
    "load_map_weights",
    "load_weights",
    "preprocessing_for",
    "read_state",
    "save_state",
    "save_weights",
]

_BASE_URL = "https://storage.googleapis.com/tensorflow/keras-applications"
_FILE = "{}_weights_tf_dim_ordering_tf_kernels_notop.h5"
_KERAS_ENDINGS = (".h5", ".hdf5")
_TORCH_ENDINGS = (".pt", ".pth")


class ImageNetRelease(NamedTuple):
    """A file of weights trained on ImageNet, without the dense top, and what its input has to be."""

    url: str
    md5: str
    encoding: EncodingKind

    @property
    def file_name(self) -> str:
        """Name of the file, at its address and in the cache."""
        return self.url.rpartition("/")[2]


IMAGENET = {
    "vgg16": ImageNetRelease(
        f"{_BASE_URL}/vgg16/{_FILE.format('vgg16')}", "6d6bbae143d832006294945121d1f1fc", "imagenet-caffe"
    ),
    "inception_v3": ImageNetRelease(
        f"{_BASE_URL}/inception_v3/{_FILE.format('inception_v3')}", "bcbd6486424b2319ff4ef7d526e38f63", "imagenet-tf"
    ),
    "resnet50": ImageNetRelease(
        f"{_BASE_URL}/resnet/{_FILE.format('resnet50')}", "4d473c1dd8becc155b73f8504c6f6626", "imagenet-caffe"
    ),
    "densenet121": ImageNetRelease(
        f"{_BASE_URL}/densenet/{_FILE.format('densenet121')}", "30ee3e1110167f948a6b9946edeeb738", "imagenet-torch"
    ),
}
"""The releases by name of the network; addresses, MD5 sums and modes as in ``keras.applications`` (Keras 3)."""


def preprocessing_for(name: str) -> EncodingKind:
    """Return the kind of :class:`~fringewatch.encoding.Encoding` that a network's ImageNet weights expect.

    Raises
    ------
    ConfigError
        If there is no release for the network.
    """
    return _release(name).encoding


def is_weight_file(source: str | Path) -> bool:
    """Tell whether weights are named by a file, not by a bundle or a release; by its ending alone."""
    return str(source).endswith((*_KERAS_ENDINGS, *_TORCH_ENDINGS))


def load_weights(classifier: Classifier, source: str | Path, *, strict_top: bool = False) -> LoadedWeights:
    """Copy weights into a network, all of them or, on an error, none.

    The backbone must fit in every layer. The dense top is taken over too where the source has one of exactly the same
    shapes; else it keeps its start values and is named in ``left_out``.

    Parameters
    ----------
    classifier
        Changed in place; frozen weights are replaced too.
    source
        ``"imagenet"``; a file of Keras (``.h5`` or ``.weights.h5``); a file of :func:`save_weights` (``.pt``); or the
        name or folder of a model bundle that holds its weights.
    strict_top
        Whether a top that does not fit, or is missing, is an error.

    Returns
    -------
    LoadedWeights
        Number of layers that got weights, and the layers of the source that were left out.

    Raises
    ------
    BundleError
        If the source cannot be found or read, or belongs to another network; the message names the layer and both
        shapes.
    ConfigError
        If there are no ImageNet weights for the network, or they are asked to bring a top.
    """
    text = str(source)
    if text == "imagenet":
        if strict_top:
            message = "weights = 'imagenet': the releases hold backbones only; load them without strict_top"
            raise ConfigError(message)
        return load_keras_weights(classifier.backbone, fetch_imagenet(network_name(classifier.backbone)))
    if text.endswith(_KERAS_ENDINGS):
        return _load_keras(classifier, Path(source), strict_top=strict_top)
    if text.endswith(_TORCH_ENDINGS):
        return _load_torch(classifier, _existing(Path(source)), strict_top=strict_top)
    bundled = _weights_of_bundle(network_name(classifier.backbone), source)
    return _load_torch(classifier, bundled, strict_top=strict_top)


def load_map_weights(network: FringeNet, source: str | Path) -> None:
    """Copy all weights into a map network or, on an error, none.

    Where the network's map is finer than that of the source, each of its pixels starts as the coarse one it lies in.

    Parameters
    ----------
    network
        Changed in place.
    source
        A file of :func:`save_weights` (``.pt``), or the name or folder of a model bundle that holds its weights.

    Raises
    ------
    BundleError
        If the source cannot be found or read, or belongs to another network; the message says where they differ.
    """
    path = Path(source) if str(source).endswith(_TORCH_ENDINGS) else _weights_of_bundle("fringenet", source)
    stored = read_state(_existing(path))
    own = network.state_dict()
    stored = _finer_head(stored, len(own["map_head.bias"]))
    if problem := _difference(own, stored):
        message = f"{path}: {problem}; the file was saved from another network or another size of it"
        raise BundleError(message)
    network.load_state_dict(stored)


def _finer_head(stored: dict[str, Tensor], pixels: int) -> dict[str, Tensor]:
    """Return weights whose last layer says `pixels` logits for each cell, where it said one for all of them."""
    head = {key: stored[key] for key in ("map_head.weight", "map_head.bias") if key in stored}
    if pixels == 1 or len(head) < 2 or any(value.shape[:1] != (1,) for value in head.values()):
        return stored
    return stored | {key: value.repeat_interleave(pixels, dim=0) for key, value in head.items()}


def save_weights(network: Classifier | FringeNet, path: str | Path) -> None:
    """Write a network's weights and statistics, float32 on the CPU, to start another training from.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    save_state({key: _portable(tensor) for key, tensor in network.state_dict().items()}, path)


def save_state(state: Mapping[str, Any], path: str | Path) -> None:
    """Write tensors, and what else torch can save, atomically; the same state gives the same bytes.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    # Of a path torch notes the name inside the file, and a full disk is a RuntimeError.
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        torch.save(state, handle)


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a network's weights and statistics.

    Raises
    ------
    BundleError
        If the file is missing, damaged or something else, or holds NaN.
    """
    try:
        stored: Any = torch.load(path, map_location="cpu", weights_only=True)
    # A damaged or foreign file makes torch raise whatever its reader trips over.
    except Exception as error:
        message = (
            f"{path}: is no file of weights or is damaged ({' '.join(str(error).split())[:120]}); expected one that "
            "fringewatch saved (weights.pt)"
        )
        raise BundleError(message) from error
    if not isinstance(stored, dict) or not stored or not all(isinstance(each, Tensor) for each in stored.values()):
        message = f"{path}: holds a {type(stored).__name__} that is no state of a network; expected tensors by name"
        raise BundleError(message)
    for key, values in stored.items():
        if values.is_floating_point() and not torch.isfinite(values).all():
            message = f"{path}: {key} holds NaN or infinity; train the weights again"
            raise BundleError(message)
    return stored


def fetch_imagenet(name: str) -> Path:
    """Return the path of a network's official ImageNet weights, fetched on the first call.

    They are kept in ``$FRINGEWATCH_CACHE/imagenet``; without that variable in the user's cache folder.

    Raises
    ------
    BundleError
        If the file is not there and cannot be fetched, or is not the official one; the message says from where to
        fetch it by hand and where to put it.
    ConfigError
        If there is no release for the network.
    """
    release = _release(name)
    pooch = require("pooch", extra="train")
    cached = os.environ.get("FRINGEWATCH_CACHE")
    folder = Path(cached) if cached else Path(pooch.os_cache("fringewatch"))
    path = folder / "imagenet" / release.file_name
    if not path.is_file():
        say(f"fetching {release.url}")
    # Its own words go through a logger of its own; failures are told below.
    pooch.get_logger().setLevel("ERROR")
    try:
        return Path(pooch.retrieve(release.url, known_hash=f"md5:{release.md5}", fname=path.name, path=path.parent))
    except ValueError as error:
        message = (
            f"{release.url}: what came is not the official file (its MD5 is not {release.md5}); try again, or fetch it "
            f"by hand and put it at {path}"
        )
        raise BundleError(message) from error
    except OSError as error:  # requests' errors are OSErrors too
        message = (
            f"weights = 'imagenet': {release.url} cannot be fetched ({_reason(error)}); fetch it on a machine with a "
            f"network and put it at {path}, or give your copy with --weights {path.name}"
        )
        raise BundleError(message) from error


def _release(name: str) -> ImageNetRelease:
    if name not in IMAGENET:
        message = (
            f"weights = 'imagenet': there is no official release for {name}; known: {', '.join(IMAGENET)}; start from "
            "a bundle or a file instead"
        )
        raise ConfigError(message)
    return IMAGENET[name]


def _reason(error: BaseException) -> str:
    """Return the innermost cause in one line: requests wraps the one that says something three times."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return " ".join(str(error).split())[:200] or type(error).__name__


def _load_keras(classifier: Classifier, path: Path, *, strict_top: bool) -> LoadedWeights:
    try:
        return load_keras_weights(classifier, path)
    except BundleError:
        if strict_top:
            raise
        # A backbone's file, or a top of other classes; a file of another network fails here again.
        return load_keras_weights(classifier.backbone, path)


def _existing(path: Path) -> Path:
    if not path.is_file():
        message = f"{path}: no such file; expected weights that fringewatch saved (weights.pt)"
        raise BundleError(message)
    return path


def _weights_of_bundle(name: str, source: str | Path) -> Path:
    folder = find_bundle(source)
    card = read_card(folder)
    if card.architecture != name:
        message = f"{folder}: holds weights of {card.architecture}; expected a bundle of {name}"
        raise BundleError(message)
    if card.weights is None:
        message = (
            f"{folder}: holds no weights to train from, only the network to run; expected a bundle whose card names "
            "`weights`, as training writes it"
        )
        raise BundleError(message)
    return checked_file(folder, card, card.weights)


def _load_torch(classifier: Classifier, path: Path, *, strict_top: bool) -> LoadedWeights:
    stored = read_state(path)
    parts = {part: {key: each for key, each in stored.items() if key.startswith(f"{part}.")} for part in _PARTS}
    strange = next((key for key in stored if not key.startswith(tuple(f"{part}." for part in _PARTS))), None)
    if strange is not None:
        message = (
            f"{path}: holds {strange!r}; expected only weights of a backbone and a top, as `fringewatch "
            "train-cnn` saves them (networks of `fringewatch train` have other layers)"
        )
        raise BundleError(message)
    own = classifier.state_dict()
    wanted = {part: {key: each for key, each in own.items() if key.startswith(f"{part}.")} for part in _PARTS}
    title = classifier.backbone.title
    if problem := _difference(wanted["backbone"], parts["backbone"]):
        message = f"{path}: {problem} in the backbone ({title}); the file was saved from another network"
        raise BundleError(message)
    copied = parts["backbone"]
    left_out: tuple[str, ...] = ()
    if problem := _difference(wanted["top"], parts["top"]):
        if strict_top:
            message = f"{path}: {problem} in the top of {title}; expected a file of the same top and classes"
            raise BundleError(message)
        left_out = tuple(dict.fromkeys(_layer(key) for key in parts["top"]))
    else:
        copied = copied | parts["top"]
    with torch.no_grad():
        for key, values in copied.items():
            own[key].copy_(values)
    return LoadedWeights(len({_layer(key) for key in copied}), left_out)


_PARTS = ("backbone", "top")


def _difference(wanted: Mapping[str, Tensor], stored: Mapping[str, Tensor]) -> str | None:
    """Say where two states differ in names or shapes; shapes first, which say more."""
    for key, values in wanted.items():
        if key in stored and stored[key].shape != values.shape:
            layer, weight = _layer(key), key.rpartition(".")[2]
            given, expected = tuple(stored[key].shape), tuple(values.shape)
            return f"layer {layer!r}: {weight} has shape {given}; expected {expected}"
    if missing := next((key for key in wanted if key not in stored), None):
        return f"layer {_layer(missing)!r} is missing"
    if extra := next((key for key in stored if key not in wanted), None):
        return f"layer {_layer(extra)!r} is one too many"
    return None


def _layer(key: str) -> str:
    """Return the layer of a key such as ``backbone.conv1_conv.weight``."""
    return key.split(".", 1)[1].rpartition(".")[0]


def _portable(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().cpu()
    return tensor.float() if tensor.is_floating_point() else tensor
