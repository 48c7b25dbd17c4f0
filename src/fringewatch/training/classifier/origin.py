"""What input the weights were trained on that a classifier starts from."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import get_args

from fringewatch.encoding import EncodingKind
from fringewatch.errors import ConfigError
from fringewatch.models import find_bundle, read_card
from fringewatch.networks.weights import IMAGENET, is_weight_file, preprocessing_for
from fringewatch.progress import say
from fringewatch.training.classifier.settings import ClassifierConfig
from fringewatch.training.folder import RESULT, SETTINGS

__all__ = ["encoding_kind"]


def encoding_kind(config: ClassifierConfig) -> EncodingKind:
    """Return the encoding that was asked for, else that of the weights to start from, else the study's.

    A file of weights does not say itself what it was trained on: the card or the settings beside it do, and the
    official ImageNet files are known. What remains unknown is taken for the study's, and told.

    Raises
    ------
    BundleError
        If the weights are of a bundle that cannot be read.
    ConfigError
        If there are no ImageNet weights for the network.
    """
    if config.encoding is not None or config.weights is None:
        return config.encoding or "grey"
    if config.weights == "imagenet":
        return preprocessing_for(config.network)
    if not is_weight_file(config.weights):
        return read_card(find_bundle(config.weights)).encoding.kind
    path = Path(config.weights)
    found = _of_release(path) or _of_bundle(path) or _of_training(path)
    if found is None and path.is_file():
        say(f"{path}: does not say what input it was trained on; grey is taken, --encoding names another")
    return found or "grey"


def _of_release(path: Path) -> EncodingKind | None:
    """Return the encoding of an official ImageNet file, whatever it is called."""
    if not path.is_file():
        return None
    with path.open("rb") as handle:
        # By which Keras names its releases; nothing is kept secret by it.
        digest = hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    return next((release.encoding for release in IMAGENET.values() if release.md5 == digest), None)


def _of_bundle(path: Path) -> EncodingKind | None:
    return read_card(path.parent).encoding.kind if (path.parent / "card.json").is_file() else None


def _of_training(path: Path) -> EncodingKind | None:
    """Return the encoding of a training in whose folder the file lies."""
    try:
        kind = json.loads((path.parent / RESULT).read_text(encoding="utf-8")).get("encoding")
    except (OSError, ValueError, AttributeError):
        kind = None
    if kind is None and (path.parent / SETTINGS).is_file():
        # Of an earlier version, or a training that was not finished; settings of `train` are none of these.
        with contextlib.suppress(ConfigError):
            kind = encoding_kind(ClassifierConfig.from_yaml(path.parent / SETTINGS))
    return kind if kind in get_args(EncodingKind) else None
