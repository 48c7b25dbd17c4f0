"""Gradient checkpointing of a layer graph: maps inside a segment are not kept but computed again on the way back."""

from __future__ import annotations

import contextlib
import functools
import itertools
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fringewatch.networks.graph import LayerGraph

__all__ = ["cut_segments", "run_segments"]


def cut_segments(graph: LayerGraph, segments: int) -> tuple[tuple[str, ...], ...]:
    """Cut a graph where a single map is passed on, into at most so many segments of about equal numbers of layers.

    Returns
    -------
    tuple of tuple of str
        Layers of each segment in the order of computing, without the input; empty for 0 segments.
    """
    names = [name for name in graph.wired() if graph.inputs_of(name)]
    if segments < 1:
        return ()
    position = {name: index for index, name in enumerate(names)}
    allowed, reach = [], 0
    for index, name in enumerate(names[:-1]):
        reader = graph.last_reader(name)
        # After this layer no earlier map is wanted any more if every one has met its last reader.
        passed_on = reach <= index
        reach = max(reach, position[reader] if reader is not None else index)
        following = getattr(graph, names[index + 1])
        # An in-place layer would overwrite the map that its segment starts from.
        if passed_on and not getattr(following, "inplace", False):
            allowed.append(index + 1)
    wanted = [round(number * len(names) / segments) for number in range(1, segments)]
    cuts = sorted({min(allowed, key=lambda cut: abs(cut - want)) for want in wanted}) if allowed else []
    bounds = [0, *cuts, len(names)]
    return tuple(tuple(names[start:end]) for start, end in itertools.pairwise(bounds))


def run_segments(graph: LayerGraph, segments: tuple[tuple[str, ...], ...], x: Tensor) -> Tensor:
    """Return the features of an input, keeping for the gradients no more than the maps between segments."""
    before = next(iter(graph.wired()))
    for names in segments:
        norms = [module for name in names if isinstance(module := getattr(graph, name), nn.BatchNorm2d)]
        contexts = functools.partial(_contexts, norms)
        x = checkpoint(graph.run, before, names, x, use_reentrant=False, context_fn=contexts)
        before = names[-1]
    return x


def _contexts(
    norms: list[nn.BatchNorm2d],
) -> tuple[contextlib.AbstractContextManager[None], contextlib.AbstractContextManager[None]]:
    return contextlib.nullcontext(), _without_statistics(norms)


@contextlib.contextmanager
def _without_statistics(norms: list[nn.BatchNorm2d]) -> Iterator[None]:
    """Let batch norms in training see a batch a second time without adding it to their statistics again."""
    kept = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        # Without statistics at all a norm would save other tensors than the first time, which torch refuses.
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, momentum, count in kept:
            norm.momentum, norm.num_batches_tracked = momentum, count
