"""Processes for array work, one thread each, so that N of them load N cores; memory that is kept; Ctrl-C held back."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ctrl_c_held", "keep_freed_memory", "process_pool"]

_KEPT_BYTES = 31 * 2**20

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


@contextmanager
def ctrl_c_held() -> Iterator[None]:
    """Let a block end before Ctrl-C is heeded, so that what belongs together is done together; a second one ends it.

    Only the main thread hears Ctrl-C; in others nothing is held back.
    """
    old = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(old):
        yield
        return
    heard: list[tuple[int, Any]] = []

    def hold(number: int, frame: Any) -> None:
        heard.append((number, frame))
        signal.signal(signal.SIGINT, old)

    signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, old)
    if heard:
        old(*heard[0])


@functools.cache
def keep_freed_memory() -> None:
    """Free one large block, once: nothing is written to it, but the C library learns from it.

    glibc gives freed arrays of more than 128 KiB back to the system, and every page of the next one has to be mapped
    and cleared anew, a tenth of the time of array work in small pieces. Blocks up to the size of the largest one ever
    freed it keeps (its dynamic threshold, at most 32 MiB); elsewhere this costs nothing.
    """
    np.empty(_KEPT_BYTES, np.uint8)
