"""Inner loops of the simulator, compiled by numba where it is installed.

NumPy goes over a whole array for every term of a formula; a compiled loop goes over it once. Every kernel has a twin in
NumPy at the place that calls it, with which tests compare it: same random numbers, same formula, other rounding.
Without numba (extra ``fast``, part of ``train``) the twins run, more slowly.

Compiled code is kept on disk by numba: beside the sources, or in the user's cache folder where those cannot be written
to. Only the first simulation on a machine compiles.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["kernels", "without_kernels"]

_disabled = 0


def kernels(name: str) -> Any | None:
    """Return a module of kernels, ``fringewatch.compiled.<name>``, or None where numba is not installed."""
    return None if _disabled else _load(name)


@contextlib.contextmanager
def without_kernels() -> Iterator[None]:
    """Run the twins in NumPy instead, in this process: to compare."""
    global _disabled  # noqa: PLW0603  # a switch of the process
    _disabled += 1
    try:
        yield
    finally:
        _disabled -= 1


@functools.cache
def _load(name: str) -> Any | None:
    shared = "numba" in sys.modules
    try:
        numba = importlib.import_module("numba")
    except ImportError:
        # Not installed, or not for this NumPy, which it says when it is loaded.
        return None
    if not shared:
        _use_whole_vectors(numba)
    return importlib.import_module(f"fringewatch.compiled.{name}")


def _use_whole_vectors(numba: Any) -> None:
    """Use all 512 bits of AVX-512 vectors; LLVM uses half of them, since the first such processors ran slower with all.

    That holds for everything that numba compiles in this process, so it is left as it is where others use numba too.
    """
    features = importlib.import_module("llvmlite.binding").get_host_cpu_features()
    if features.get("avx512f") and not numba.config.CPU_FEATURES:
        numba.config.CPU_FEATURES = f"{features.flatten()},-prefer-256-bit"
