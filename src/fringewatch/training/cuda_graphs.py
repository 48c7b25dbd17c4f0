"""Whole networks recorded once as CUDA graphs, forward and backward, and replayed at each step.

At the batch sizes of the study a modern GPU is done with each layer before Python has launched the next one: recorded,
the launches cost nothing. Only batches of the recorded size are replayed; others, and evaluation, run as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from fringewatch.progress import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

__all__ = ["recorded"]


def recorded(network: nn.Module, example: Tensor, *, dtype: torch.dtype | None) -> Callable[[Tensor], Any]:
    """Record a network in training, and return what to call instead of it.

    Parameters
    ----------
    network
        On a GPU, in training mode, its parameters as they will stay: they are changed in place from now on. Left as it
        is, but for what it is called by.
    example
        A batch of the size that is replayed.
    dtype
        Type of the autocast that it will be called under, or None.

    Returns
    -------
    callable
        Takes a batch of any size and gives what the network gives. Where the recording fails it runs the network step
        by step, and a line says so.
    """
    # Warming up counts batches into the statistics of batch norms; they are put back.
    before = {name: buffer.detach().clone() for name, buffer in network.named_buffers()}
    plain = network.forward
    try:
        with torch.autocast("cuda", dtype or torch.float32, enabled=dtype is not None, cache_enabled=False):
            torch.cuda.make_graphed_callables(network, (example.detach().clone(memory_format=torch.preserve_format),))
    except RuntimeError as error:
        say(f"the network could not be recorded as a CUDA graph, it runs step by step ({str(error).splitlines()[0]})")
        network.__dict__.pop("forward", None)
        return plain
    finally:
        with torch.no_grad():
            for name, buffer in network.named_buffers():
                buffer.copy_(before[name])
    replay = network.forward
    # torch puts the replay in the network's place; evaluation and odd batches need the network.
    network.__dict__.pop("forward", None)
    shape = example.shape

    def call(batch: Tensor) -> Any:
        if network.training and torch.is_grad_enabled() and batch.shape == shape:
            return replay(batch)
        return plain(batch)

    return call
