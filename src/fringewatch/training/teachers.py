"""Teachers: finished models whose mean answer a network learns beside the labels (distillation).

What a network mistakes for deformation depends on its start values and on its population; the mean of several errs
less, at the price of running them all. A network that learns that mean keeps most of what it gains, at its own price.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fringewatch.errors import ConfigError
from fringewatch.models import find_bundle, load_bundle, read_card

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fringewatch.encoding import Encoding

__all__ = ["Answer", "Teachers", "identify"]

_AT_ONCE = 8
"""Samples that the teachers see at once: layers of more do not fit the processor's caches."""


def identify(models: Sequence[str]) -> list[str]:
    """Return name, version and the start of the network's SHA-256 of bundles, wherever they lie."""
    cards = [read_card(find_bundle(model)) for model in models]
    return [f"{card.name} {card.version} ({card.sha256[card.files[card.default_precision]][:12]})" for card in cards]


class Answer(NamedTuple):
    """What the teachers say of a batch."""

    coverage: Tensor
    """(N, h, w) in [0, 1], from the mean of their map logits."""
    label: Tensor
    """(N,) in [0, 1], from the mean of their scene logits."""


class Teachers:
    """Bundles that answer together, each through ONNX Runtime on the CPU.

    Parameters
    ----------
    models
        Names or folders of bundles with maps.
    encoding
        Of the network that learns; theirs must be of the same kind.
    stride
        Of its map, and of theirs.
    peak
        Map logits and validity (N, h, w) to scene logits (N,).

    Raises
    ------
    ConfigError
        If a bundle has another stride or another encoding, or sees patches of one size only.
    BundleError
        If a bundle cannot be found or loaded.

    Notes
    -----
    Hinton, Vinyals and Dean (2015), Distilling the knowledge in a neural network, arXiv:1503.02531, at temperature 1.
    """

    def __init__(
        self, models: Sequence[str], encoding: Encoding, *, stride: int, peak: Callable[[Tensor, Tensor], Tensor]
    ) -> None:
        self._bundles = [load_bundle(model, threads=1) for model in models]
        self._peak = peak
        for bundle in self._bundles:
            card = bundle.card
            mine, theirs = (encoding.kind, stride, None), (card.encoding.kind, card.stride, card.patch_px)
            if mine != theirs:
                message = (
                    f"teachers: {bundle.folder} has encoding, stride and patch size {theirs}, the network to train "
                    f"{mine}; take teachers with the same"
                )
                raise ConfigError(message)

    def __deepcopy__(self, _memo: object) -> Teachers:
        """Averaging of weights copies the module that trains; teachers do not change."""
        return self

    def __call__(self, phase: Tensor, valid: Tensor) -> Answer:
        """Answer for encoded phase (N, C, H, W), valid where (N, h, w) is 1."""
        batch = np.ascontiguousarray(phase.cpu().float().numpy())
        maps: Tensor | None = None
        peaks: Tensor | None = None
        for bundle in self._bundles:
            parts = [bundle.logits(batch[start : start + _AT_ONCE])[0] for start in range(0, len(batch), _AT_ONCE)]
            logits = torch.from_numpy(np.concatenate(parts)[:, 0]).to(phase.device)
            peak = self._peak(logits, valid)
            maps = logits if maps is None else maps + logits
            peaks = peak if peaks is None else peaks + peak
        assert maps is not None
        assert peaks is not None
        count = len(self._bundles)
        return Answer(torch.sigmoid(maps / count), torch.sigmoid(peaks / count))
