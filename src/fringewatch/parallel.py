"""Pools of processes for array work: started clean, one thread each, so that N processes load N cores."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["process_pool"]

_THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def process_pool(
    processes: int, *, initializer: Callable[..., None] | None = None, initargs: tuple[Any, ...] = ()
) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of spawned processes in which numerical libraries use one thread.

    Small matrix products on as many threads as there are cores, in each of several processes, wait for each other
    most of the time. A limit that the user has set in the environment is kept.

    Parameters
    ----------
    processes
        Number of processes, at least 1.
    initializer, initargs
        Called in each process when it starts.
    """
    # The libraries read these when they are loaded: too late here, in time for the processes started below.
    unset = [name for name in _THREAD_LIMITS if name not in os.environ]
    os.environ.update(dict.fromkeys(unset, "1"))
    try:
        # Fork would copy the threads of other libraries half-alive; spawn starts clean.
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, mp_context=spawn, initializer=initializer, initargs=initargs) as pool:
            yield pool
    finally:
        for name in unset:
            os.environ.pop(name, None)
