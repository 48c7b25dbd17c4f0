"""Who does the work: threads of this process, processes of this machine, or a cluster through Dask.

Each is an executor of :mod:`concurrent.futures`. What is added to it: a worker that dies costs only what it was doing,
and a scene that kills every worker it is given to becomes a failure instead of an endless loop.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import importlib
import itertools
import multiprocessing
import os
import signal
import threading
from typing import TYPE_CHECKING, Any, Protocol

from fringewatch.detect.worker import cores, failure, work_here
from fringewatch.errors import ClusterError, MissingExtraError, require
from fringewatch.parallel import process_pool
from fringewatch.progress import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from fringewatch.detect.settings import DetectConfig, Kept
    from fringewatch.detect.worker import Outcome, SceneWorker
    from fringewatch.products import Reference

    Task = concurrent.futures.Future[list[Outcome]]

__all__ = ["Crew", "cluster_crew", "drive", "local_crew", "thread_crew"]

_LOCAL_CHUNK = 16
_CLUSTER_CHUNK = 32
_RETRIES = 2
_LOOK_SECONDS = 1.0
_CONNECT = "30s"
_DIED = (
    "the process that worked on it died, twice; perhaps the machine ran out of memory, or the file is damaged in a way "
    "that crashes a library: try it by itself, with a smaller --tile-px"
)


class Crew(Protocol):
    """Workers that scenes can be handed to.

    Attributes
    ----------
    chunk
        Scenes handed out at once.
    """

    chunk: int

    @property
    def size(self) -> int:
        """How many workers there are, as far as that can be told."""

    def submit(self, references: Sequence[Reference]) -> Task:
        """Hand out scenes; the future fails only where the worker does."""

    def mend(self) -> None:
        """Replace workers that died."""

    def died(self, error: BaseException) -> bool:
        """Tell whether an error means that a worker died."""


def drive(crew: Crew, references: Iterable[Reference]) -> Iterator[list[Outcome]]:
    """Hand out scenes as they come, and yield their outcomes as they are finished.

    Parameters
    ----------
    crew
        The workers.
    references
        The scenes; no more are taken from it than the workers need to be busy.

    Yields
    ------
    list of Outcome
        Of whatever was finished since the last time, every scene exactly once; empty where a second passes without any,
        so that nobody sits on what came before. After Ctrl-C, what was being worked on is waited for and yielded before
        :class:`KeyboardInterrupt` goes on its way.
    """
    queue = iter(references)
    pending: dict[Task, list[Reference]] = {}
    suspects: list[Reference] = []
    try:
        while True:
            if not suspects:
                suspects += _hand_out(crew, queue, pending)
            if pending:
                done, _ = concurrent.futures.wait(
                    pending, timeout=_LOOK_SECONDS, return_when=concurrent.futures.FIRST_COMPLETED
                )
                outcomes: list[Outcome] = []
                for task in done:
                    chunk = pending.pop(task)
                    if (finished := _result(crew, task)) is None:
                        suspects += chunk
                    else:
                        outcomes += finished
                if outcomes or not done:
                    yield outcomes
            elif suspects:
                # One of them may have killed its worker: by itself it shows, and takes no other along.
                yield _alone(crew, suspects.pop())
            else:
                return
    except KeyboardInterrupt:
        started = [task for task in pending if not task.cancel()]
        concurrent.futures.wait(started)
        yield [outcome for task in started if not task.exception() for outcome in task.result()]
        raise
    finally:
        for task in pending:
            task.cancel()


def _hand_out(crew: Crew, queue: Iterator[Reference], pending: dict[Task, list[Reference]]) -> list[Reference]:
    """Keep the workers busy; return scenes that could not be handed out because one has just died."""
    # Twice as many chunks as workers: none waits for the next, and nothing piles up.
    while len(pending) < 2 * crew.size:
        chunk = list(itertools.islice(queue, crew.chunk))
        if not chunk:
            break
        try:
            pending[crew.submit(chunk)] = chunk
        except concurrent.futures.BrokenExecutor as error:
            crew.died(error)
            return chunk
    return []


def _result(crew: Crew, task: Task) -> list[Outcome] | None:
    """Return what a task gave, or None if its worker died."""
    try:
        return task.result()
    except BaseException as error:
        if crew.died(error):
            return None
        raise


def _alone(crew: Crew, reference: Reference) -> list[Outcome]:
    for _ in range(_RETRIES):
        crew.mend()
        outcomes = _result(crew, crew.submit([reference]))
        if outcomes is not None:
            return outcomes
    return [failure(reference, f"{reference.address}: {_DIED}")]


class _Threads:
    """Threads of this process, each with one scene at a time."""

    chunk = 1

    def __init__(self, pool: concurrent.futures.ThreadPoolExecutor, worker: SceneWorker, size: int) -> None:
        self._size = size
        self._pool = pool
        self._worker = worker

    @property
    def size(self) -> int:
        """See :class:`Crew`."""
        return self._size

    def submit(self, references: Sequence[Reference]) -> Task:
        """See :class:`Crew`."""
        return self._pool.submit(self._worker.work, references)

    def died(self, _error: BaseException) -> bool:
        """Return False: threads live and die together."""
        return False

    def mend(self) -> None:
        """Do nothing."""


@contextlib.contextmanager
def thread_crew(worker: SceneWorker, size: int) -> Iterator[Crew]:
    """Yield threads that share one model."""
    with concurrent.futures.ThreadPoolExecutor(size) as pool:
        yield _Threads(pool, worker, size)


class _Processes:
    """Processes of this machine."""

    chunk = _LOCAL_CHUNK

    def __init__(self, work: functools.partial[list[Outcome]], size: int, stack: contextlib.ExitStack) -> None:
        self._size = size
        self._work = work
        self._stack = stack
        self._pool = self._new_pool()
        self._broken = False

    @property
    def size(self) -> int:
        """See :class:`Crew`."""
        return self._size

    def _new_pool(self) -> concurrent.futures.ProcessPoolExecutor:
        return self._stack.enter_context(process_pool(self._size, initializer=_begin))

    def submit(self, references: Sequence[Reference]) -> Task:
        """See :class:`Crew`."""
        return self._pool.submit(self._work, references)

    def died(self, error: BaseException) -> bool:
        """See :class:`Crew`."""
        gone = isinstance(error, concurrent.futures.BrokenExecutor)
        self._broken = self._broken or gone
        return gone

    def mend(self) -> None:
        """See :class:`Crew`."""
        if self._broken:
            # An executor that has lost a process takes no more work; the others have ended with it.
            self._stack.close()
            self._pool = self._new_pool()
            self._broken = False


def _begin() -> None:
    """Prepare a process: Ctrl-C is the parent's to handle, and where the parent is gone there is nothing to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@contextlib.contextmanager
def local_crew(config: DetectConfig, folder: Path, keep: Sequence[Kept]) -> Iterator[Crew]:
    """Yield one process per core of this machine, each with one thread for the network."""
    size = config.workers or cores()
    threads = max(1, cores() // size)
    work = functools.partial(work_here, config.model_dump_json(), folder, tuple(keep), threads)
    with contextlib.ExitStack() as stack:
        yield _Processes(work, size, stack)


class _Cluster:
    """Workers of a Dask cluster."""

    chunk = _CLUSTER_CHUNK

    def __init__(self, client: Any, work: functools.partial[list[Outcome]]) -> None:
        from distributed.scheduler import KilledWorker

        self._client = client
        self._work = work
        self._killed = KilledWorker
        # Tasks of a worker that dies go to others by themselves; `retries` is for what went wrong on the way there.
        self._executor = client.get_executor(pure=False, retries=_RETRIES)

    @property
    def size(self) -> int:
        """See :class:`Crew`; workers of a queue come when they come."""
        threads: dict[str, int] = self._client.nthreads()
        return max(1, sum(threads.values()))

    def submit(self, references: Sequence[Reference]) -> Task:
        """See :class:`Crew`."""
        task: Task = self._executor.submit(self._work, references)
        return task

    def died(self, error: BaseException) -> bool:
        """See :class:`Crew`."""
        if isinstance(error, concurrent.futures.CancelledError):
            message = "the scheduler of the cluster is gone; start it again, and the same command goes on from here"
            raise ClusterError(message) from error
        return isinstance(error, self._killed)

    def mend(self) -> None:
        """Do nothing: Dask starts workers again."""


@contextlib.contextmanager
def cluster_crew(config: DetectConfig, folder: Path, keep: Sequence[Kept]) -> Iterator[Crew]:
    """Yield the workers of the cluster that a run names.

    Raises
    ------
    ClusterError
        If it cannot be reached or started.
    MissingExtraError
        If Dask is not installed.
    """
    distributed = require("distributed", extra="cluster")
    # Paths are those of this machine's working folder; workers share the file system, not the folder they start in.
    settings = config.model_dump_json()
    work = functools.partial(work_here, settings, folder.absolute(), tuple(keep), 1)
    with contextlib.ExitStack() as stack:
        try:
            place = stack.enter_context(_cluster(config))
            client = stack.enter_context(distributed.Client(place, timeout=_CONNECT))
        except (OSError, ValueError, RuntimeError, TypeError) as error:
            message = (
                f"cluster = {config.cluster}: cannot be used ({error}); check the address, or Dask's configuration"
            )
            raise ClusterError(message) from error
        say(f"Dask dashboard: {client.dashboard_link}")
        yield _Cluster(client, work)


@contextlib.contextmanager
def _cluster(config: DetectConfig) -> Iterator[Any]:
    """Yield what a client connects to: an address, or a cluster that ends with the run."""
    kind, size = config.cluster or "", config.workers
    if kind == "local":
        distributed = require("distributed", extra="cluster")
        number = size or cores()
        with distributed.LocalCluster(n_workers=number, threads_per_worker=1, processes=True) as cluster:
            yield cluster
    elif kind == "slurm":
        # Queue, memory and wall time are the site's: Dask reads them from ~/.config/dask/jobqueue.yaml.
        with require("dask_jobqueue", extra="cluster").SLURMCluster() as cluster:
            cluster.scale(size or 1)
            yield cluster
    elif kind == "kubernetes":
        try:
            operator = importlib.import_module("dask_kubernetes.operator")
        except ImportError as error:
            # No extra brings it: few need it, and it brings much.
            message = f"--cluster kubernetes needs a package that is missing ({error}): pip install dask-kubernetes"
            raise MissingExtraError(message) from error
        with operator.KubeCluster(name="fringewatch") as cluster:
            cluster.scale(size or 1)
            yield cluster
    else:
        yield kind
