"""Training steps on a GPU, layer by layer against replayed as a CUDA graph: images per second, and the same gradients.

python benchmarks/cuda_graphs.py                # needs a GPU
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, Any

import torch

from fringewatch.networks.fringenet import FringeNet
from fringewatch.networks.registry import NetworkConfig, build
from fringewatch.training.cuda_graphs import recorded

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

_NETWORKS = {"resnet50": 64, "densenet121": 64, "inception_v3": 64, "vgg16": 64, "fringenet": 512}
"""Batch sizes: the study's, and that of the default model's training."""


def main(arguments: list[str]) -> int:
    """Print a line for each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        sys.stderr.write("no GPU here: nothing to measure\n")
        return 1
    torch.backends.cudnn.benchmark = True
    sys.stdout.write(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, bf16, 224 x 224, images/s\n")
    for name, batch in _NETWORKS.items():
        torch.manual_seed(0)
        network: nn.Module = FringeNet() if name == "fringenet" else build(NetworkConfig(name=name)).backbone
        network = network.cuda().to(memory_format=torch.channels_last).train()
        phase = torch.rand(batch, 3, 224, 224, device="cuda").contiguous(memory_format=torch.channels_last)
        plain = _speed(network, network, phase, options.steps)
        replayed = recorded(network, phase, dtype=torch.bfloat16)
        difference = _difference(network, replayed, phase)
        fast = _speed(replayed, network, phase, options.steps)
        sys.stdout.write(
            f"{name:13} batch {batch:3}: layer by layer {plain:6.0f}, replayed {fast:6.0f} ({fast / plain:.1f} times), "
            f"gradients differ by {difference:.1e}\n"
        )
    return 0


def _loss(call: Callable[[Tensor], Any], phase: Tensor) -> Tensor:
    with torch.autocast("cuda", torch.bfloat16):
        output = call(phase)
    parts = output if isinstance(output, tuple) else (output,)
    return torch.stack([part.float().square().mean() for part in parts]).sum()


def _gradients(call: Callable[[Tensor], Any], network: nn.Module, phase: Tensor) -> list[Tensor]:
    network.zero_grad(set_to_none=True)
    _loss(call, phase).backward()  # type: ignore[no-untyped-call]
    return [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]


def _difference(network: nn.Module, replayed: Callable[[Tensor], Any], phase: Tensor) -> float:
    """Return how far the gradients of both are apart, over their size."""
    buffers = [buffer.clone() for buffer in network.buffers()]
    gradients = []
    for call in (network, replayed):
        for buffer, before in zip(network.buffers(), buffers, strict=True):
            buffer.data.copy_(before)
        gradients.append(torch.cat([gradient.flatten() for gradient in _gradients(call, network, phase)]))
    return float((gradients[0] - gradients[1]).norm() / gradients[0].norm())


def _speed(call: Callable[[Tensor], Any], network: nn.Module, phase: Tensor, steps: int) -> float:
    for _ in range(3):
        _gradients(call, network, phase)
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(steps):
        _gradients(call, network, phase)
    torch.cuda.synchronize()
    return steps * len(phase) / (time.perf_counter() - started)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
