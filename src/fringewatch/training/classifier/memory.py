"""Where a training runs, how much memory it takes there, and what to say when it does not suffice."""

from __future__ import annotations

import contextlib
import gc
import re
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from fringewatch.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fringewatch.training.classifier.settings import ClassifierConfig

__all__ = ["advise_on_memory", "peak_memory_bytes", "release_memory", "reset_peak_memory"]

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


def reset_peak_memory(device: torch.device) -> None:
    """Start to measure anew."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _RESET.exists():
        with contextlib.suppress(OSError):
            _RESET.write_text("5", encoding="ascii")


def peak_memory_bytes(device: torch.device) -> int:
    """Return the most memory in use since :func:`reset_peak_memory`.

    On a GPU what tensors took there. On a CPU what the whole process had in memory (Linux; elsewhere 0: not known).
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if _STATUS.exists() and (found := re.search(r"VmHWM:\s*(\d+) kB", _STATUS.read_text(encoding="ascii"))):
        return 1024 * int(found[1])
    return 0


def release_memory() -> None:
    """Give back what a finished training held, before the next one needs it."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextlib.contextmanager
def advise_on_memory(config: ClassifierConfig) -> Iterator[None]:
    """Turn a lack of memory inside the block into advice.

    Raises
    ------
    TrainingError
        If the batch does not fit; it names the settings that take less.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_lack(error):
            raise
        ways = []
        if config.batch_size > 2:
            ways.append(f"--batch-size {max(2, config.batch_size // 2)}")
        if not config.gradient_checkpointing:
            ways.append("--gradient-checkpointing")
        if config.precision != "bf16-mixed":
            ways.append("--precision bf16-mixed")
        ways.append("a smaller --input-size-px")
        message = (
            f"batch_size = {config.batch_size}: {config.network} runs out of memory in {config.precision}; try "
            f"{', '.join(ways[:-1])} or {ways[-1]}"
        )
        raise TrainingError(message) from error


def _is_lack(error: Exception) -> bool:
    # On a CPU torch raises a plain RuntimeError.
    return isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or bool(
        re.search(r"can't allocate memory|not enough memory|out of memory", str(error))
    )
