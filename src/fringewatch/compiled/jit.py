"""How kernels are compiled. Imported by modules of kernels only, since it loads numba."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["exact_kernel", "kernel"]

# Sums in any order and products for quotients, which the processor's vectors need; NaN and infinity stay what they are.
_FAST = {"nsz", "arcp", "contract", "afn", "reassoc"}


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function at its first call, and keep the result on disk.

    Numba notices a change of the file that a kernel stands in, not of what it calls in others: after a change of
    ``elementary``, remove the folders ``__pycache__`` in this package.
    """
    return _compile(function, _FAST)


def exact_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function whose sums are in the order in which they are written: digits that cancel stay exact."""
    return _compile(function, set())


def _compile(function: Callable[..., Any], fast: set[str]) -> Callable[..., Any]:
    options: dict[str, Any] = {"fastmath": fast or False, "error_model": "numpy", "nogil": True}
    try:
        compiled: Callable[..., Any] = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        # No folder can be written to, not even the user's: each process compiles for itself.
        compiled = numba.njit(**options)(function)
    return compiled
