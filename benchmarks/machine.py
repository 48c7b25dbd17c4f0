"""What a benchmark ran on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

__all__ = ["load", "processor"]

_BUSY = 0.5


def processor() -> str:
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def load(consequence: str) -> float:
    """Return how many processes run already, and say what it does to the figures if there are some."""
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if busy > _BUSY:
        print(f"the machine is busy (load {busy:.1f}): {consequence}")
    return busy
