"""A backbone as a graph of named layers, in the order and under the names that Keras gives them.

Cuts such as "freeze ``layers[:249]``" and weight files of Keras both count layers in the order of ``model.layers``,
which follows from the wiring. Keeping the wiring as data makes names, order, cuts and conversion exact by construction.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from fringewatch.errors import ConfigError
from fringewatch.networks.checkpointing import cut_segments, run_segments
from fringewatch.networks.layers import BatchNorm2d

if TYPE_CHECKING:
    from fringewatch.networks.layers import FrozenNorm

__all__ = ["INPUT", "LayerGraph"]

INPUT = "input_layer"
"""Name of the input, which Keras counts as a layer."""


class LayerGraph(nn.Module):
    """A fully convolutional network of named layers.

    A subclass adds its layers in its constructor; each is a submodule under Keras' name, so keys of the state
    dictionary read ``conv2_block1_1_conv.weight``.
    """

    title: str
    """Name for people."""
    channels: int
    """Channels of the features."""

    def __init__(self) -> None:
        super().__init__()
        self._wiring: dict[str, tuple[str, ...]] = {INPUT: ()}
        self._last_use: dict[str, str] = {}
        self._segments: tuple[tuple[str, ...], ...] = ()

    def add(self, name: str, module: nn.Module, *inputs: str) -> str:
        """Add a layer fed by earlier ones and return its name.

        An in-place module must be the only layer that its input feeds.
        """
        self.add_module(name, module)
        self._wiring[name] = inputs
        self._last_use.update(dict.fromkeys(inputs, name))
        return name

    def forward(self, x: Tensor) -> Tensor:
        """Return features (N, channels, h, w) of (N, 3, H, W); h and w as in :meth:`feature_size`."""
        if self._segments and torch.is_grad_enabled():
            return run_segments(self, self._segments, x)
        return self.run(INPUT, tuple(self._wiring)[1:], x)

    def run(self, before: str, names: tuple[str, ...], x: Tensor) -> Tensor:
        """Return the output of the last of a chain of layers that nothing but the output `x` of `before` feeds."""
        values = {before: x}
        for name in names:
            inputs = self._wiring[name]
            x = getattr(self, name)(*[values[each] for each in inputs])
            for each in inputs:
                # Without gradients this frees each map once its last reader has run.
                if self._last_use[each] == name:
                    del values[each]
            values[name] = x
        return x

    def checkpoint_gradients(self, segments: int) -> None:
        """In training, keep only the maps between segments and compute the others again on the way back.

        Gradients and statistics stay as they are; memory falls, and a step takes about a third longer (Chen et al.
        2016, arXiv:1604.06174).

        Parameters
        ----------
        segments
            Number of segments, as even as the wiring allows; 0 keeps all maps. The square root of the number of blocks
            needs least memory.
        """
        self._segments = cut_segments(self, segments)

    def last_reader(self, name: str) -> str | None:
        """Return the last layer that a layer feeds; None for the output."""
        return self._last_use.get(name)

    def layer_names(self) -> tuple[str, ...]:
        """Return the names in the order of Keras' ``model.layers``, the input first.

        Keras sorts by the longest distance to the output, largest first, and breaks ties by the order in which a
        depth-first walk back from the output meets the layers.
        """
        output = next(reversed(self._wiring))
        depth = dict.fromkeys(self._wiring, 0)
        for name in reversed(self._wiring):
            for each in self._wiring[name]:
                depth[each] = max(depth[each], depth[name] + 1)
        met: dict[str, int] = {}
        waiting = [output]
        while waiting:
            name = waiting.pop()
            if name not in met:
                met[name] = len(met)
                waiting.extend(reversed(self._wiring[name]))
        return tuple(sorted(met, key=lambda name: (-depth[name], met[name])))

    def wired(self) -> tuple[str, ...]:
        """Return the input and all layers in the order of computing."""
        return tuple(self._wiring)

    def inputs_of(self, name: str) -> tuple[str, ...]:
        """Return the layers that feed a layer."""
        return self._wiring[name]

    def layers_before(self, cut: int | str) -> tuple[str, ...]:
        """Return the layers that a cut separates from the rest.

        Parameters
        ----------
        cut
            Number of layers, as in Keras' ``model.layers[:cut]`` (the input counts), or the name of the last layer.

        Raises
        ------
        ConfigError
            If there is no such layer, or not as many.
        """
        names = self.layer_names()
        if isinstance(cut, int):
            if not 0 <= cut <= len(names):
                message = f"freeze = {cut}: {self.title} has {len(names)} layers; expected 0 to {len(names)}"
                raise ConfigError(message)
            return names[:cut]
        if cut not in names:
            near = difflib.get_close_matches(cut, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"expected a name from {names[1]!r} to {names[-1]!r}"
            message = f"freeze = {cut!r}: {self.title} has no such layer; {hint}"
            raise ConfigError(message)
        return names[: names.index(cut) + 1]

    def freeze(self, cut: int | str, *, norms: FrozenNorm = "stored") -> tuple[str, ...]:
        """Freeze the weights of the layers before a cut, and of no others.

        Parameters
        ----------
        cut
            As in :meth:`layers_before`.
        norms
            Which statistics frozen batch norms use, see :class:`~fringewatch.networks.layers.BatchNorm2d`.

        Returns
        -------
        tuple of str
            Names of the frozen layers, those without weights too.
        """
        frozen = self.layers_before(cut)
        for name, module in self.named_children():
            module.requires_grad_(name not in frozen)
            if isinstance(module, BatchNorm2d):
                module.freeze(norms if name in frozen else None)
        return frozen

    def sizes(self, height: int, width: int) -> dict[str, tuple[int, int]]:
        """Return height and width of every layer's output, for an input of height x width pixels.

        Raises
        ------
        ConfigError
            If the input is so small that nothing is left of it at some layer.
        """
        found = {INPUT: (height, width)}
        for name, inputs in self._wiring.items():
            if inputs:
                found[name] = _output_size(getattr(self, name), found[inputs[0]])
                if min(found[name]) < 1:
                    message = f"input of {height} x {width} pixels: too small for {self.title}, gone at layer {name!r}"
                    raise ConfigError(message)
        return found

    def feature_size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of the features, for an input of height x width pixels."""
        return next(reversed(self.sizes(height, width).values()))


def _output_size(module: nn.Module, size: tuple[int, int]) -> tuple[int, int]:
    if not isinstance(module, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
        return size

    def along(axis: int) -> int:
        kernel, stride, padding = (
            value if isinstance(value, int) else int(value[axis])
            for value in (module.kernel_size, module.stride, module.padding)
        )
        return (size[axis] + 2 * padding - kernel) // stride + 1

    return along(0), along(1)
