"""Many files at once, with a bar, a manifest and an end that says what is there."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from fringewatch.config import Config
from fringewatch.fetch.client import Client
from fringewatch.fetch.manifest import NAME, read_manifest, write_manifest
from fringewatch.files import ensure_folder
from fringewatch.progress import say, track

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fringewatch.fetch.client import Item, Outcome, Status
    from fringewatch.fetch.manifest import Entry
    from fringewatch.progress import Advance

__all__ = ["FetchResult", "TransferConfig", "fetch_all"]

_MOST_TOLD = 10


class TransferConfig(Config):
    """How files are fetched, from whatever archive."""

    out: Path = Field(Path(), description="Folder for the files; made if missing.")
    workers: int = Field(4, ge=1, le=16, description="Files fetched at once.")
    retries: int = Field(5, ge=0, description="How often a request is repeated that does not get any further.")
    update: bool = Field(False, description="Ask the server for newer versions of files that are here.")
    dry_run: bool = Field(False, description="Tell what would be fetched, and fetch nothing.")


@dataclasses.dataclass(frozen=True)
class FetchResult:
    """What a fetch did.

    Attributes
    ----------
    folder
        Where the files are.
    outcomes
        One per file that was asked for; with ``dry_run`` none.
    planned
        Number of files that were asked for.
    notes
        What the archive cannot give, in sentences.
    interrupted
        Whether the user stopped it.
    seconds
        Wall time.
    """

    folder: Path
    outcomes: tuple[Outcome, ...]
    planned: int
    notes: tuple[str, ...] = ()
    interrupted: bool = False
    seconds: float = 0.0

    @property
    def manifest(self) -> Path:
        """The table of what was fetched."""
        return self.folder / NAME

    @property
    def lacking(self) -> list[str]:
        """Groups, such as pairs, of which the server has no file that holds the phase."""
        phases: dict[str, set[Status]] = defaultdict(set)
        for outcome in self.outcomes:
            if outcome.item.required:
                phases[outcome.item.group].add(outcome.status)
        return sorted(group for group, statuses in phases.items() if statuses == {"absent"})

    def of(self, status: Status) -> list[Outcome]:
        """Return the outcomes of one kind."""
        return [outcome for outcome in self.outcomes if outcome.status == status]

    @property
    def exit_code(self) -> int:
        """0: all that the archive offers is here; 1: nothing is; 3: something failed or lacks; 130: stopped."""
        if self.interrupted:
            return 130
        if self.planned and not self.outcomes:
            return 0
        if not any(outcome.item.required for outcome in (*self.of("fetched"), *self.of("kept"))):
            return 1
        return 3 if self.of("failed") or self.lacking or self.notes else 0

    def describe(self) -> str:
        """Return the outcome in a few lines for a terminal."""
        lines = list(self.notes)
        if not self.planned:
            return "\n".join([*lines, "nothing to fetch"])
        if not self.outcomes:
            return "\n".join([*lines, f"{self.planned} files would be fetched to {self.folder}"])
        received = sum(outcome.received for outcome in self.outcomes)
        parts = [f"{len(self.of('fetched'))} of {len(self.outcomes)} files fetched ({_megabytes(received)})"]
        parts += [f"{len(found)} {text}" for text, found in (
            ("here before", self.of("kept")), ("not on the server", self.of("absent")), ("failed", self.of("failed")),
        ) if found]  # fmt: skip
        lines.append(f"{', '.join(parts)}; {self.seconds:.1f} s")
        lines += [f"  failed: {outcome.message}" for outcome in self.of("failed")[:_MOST_TOLD]]
        if len(self.of("failed")) > _MOST_TOLD:
            lines.append(f"  ... and {len(self.of('failed')) - _MOST_TOLD} more")
        if self.lacking:
            more = ", ..." if len(self.lacking) > _MOST_TOLD else ""
            lines.append(f"no phase on the server: {', '.join(self.lacking[:_MOST_TOLD])}{more}")
        if self.interrupted or self.of("failed"):
            lines.append("the same command goes on from here")
        return "\n".join([*lines, f"manifest: {self.manifest}"])


def fetch_all(items: Sequence[Item], folder: Path, config: TransferConfig, *, notes: Sequence[str] = ()) -> FetchResult:
    """Fetch files that are not here yet, and write the manifest.

    Parameters
    ----------
    items
        Files, whose targets lie below `folder`.
    folder
        Where the manifest is; made if missing.
    config
        How to do it.
    notes
        What the archive cannot give, for the result.

    Raises
    ------
    FetchError
        If the manifest of an earlier run cannot be read.
    OutputError
        If a file or folder cannot be written.
    MissingExtraError
        If the extra ``[fetch]`` is not installed.
    """
    started = time.perf_counter()
    if config.dry_run or not items:
        return FetchResult(folder, (), len(items), tuple(notes))
    for place in {item.target.parent for item in items} | {folder}:
        ensure_folder(place)
    known = read_manifest(folder)
    with track("fetching", total=len(items), text="") as advance:
        outcomes, interrupted = _fetch_in_threads(items, folder, config, known, advance)
    write_manifest(folder, known, outcomes)
    return FetchResult(folder, tuple(outcomes), len(items), tuple(notes), interrupted, time.perf_counter() - started)


def _fetch_in_threads(
    items: Sequence[Item], folder: Path, config: TransferConfig, known: dict[str, Entry], advance: Advance
) -> tuple[list[Outcome], bool]:
    stop = threading.Event()
    meter = _Meter(advance)
    client = Client(retries=config.retries, connections=config.workers, stop=stop, received=meter)

    def fetch(item: Item) -> Outcome:
        entry = known.get(item.target.relative_to(folder).as_posix())
        # A file that was changed since is not the one that was written down.
        same = entry is not None and item.target.is_file() and item.target.stat().st_size == entry.bytes
        return client.fetch(item, entry.version if entry is not None and same else None)

    outcomes: list[Outcome] = []
    with concurrent.futures.ThreadPoolExecutor(config.workers) as pool:
        futures = [pool.submit(fetch, item) for item in items]
        try:
            for future in concurrent.futures.as_completed(futures):
                outcome = future.result()
                outcomes.append(outcome)
                advance(1, text=meter.text)
                if outcome.status == "failed":
                    say(f"failed: {outcome.message}")
        except BaseException as error:
            # Stopped by the user, or the disk is full: what is under way ends at its next piece.
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            if not isinstance(error, KeyboardInterrupt):
                raise
            done = [future.result() for future in futures if future.done() and not future.cancelled()]
            return [outcome for outcome in done if outcome.message != "stopped"], True
    order = {item.target: number for number, item in enumerate(items)}
    return sorted(outcomes, key=lambda outcome: order[outcome.item.target]), False


class _Meter:
    """Counts bytes from several threads and says how fast they come."""

    def __init__(self, advance: Advance) -> None:
        self._advance = advance
        self._lock = threading.Lock()
        self._started = self._shown = time.perf_counter()
        self._total = 0

    def __call__(self, count: int) -> None:
        with self._lock:
            self._total += count
            now = time.perf_counter()
            if now - self._shown < 0.2:
                return
            self._shown = now
        self._advance(0, text=self.text)

    @property
    def text(self) -> str:
        """Bytes so far and their rate."""
        seconds = max(time.perf_counter() - self._started, 1e-3)
        return f"{_megabytes(self._total)}, {_megabytes(self._total / seconds)}/s"


def _megabytes(count: float) -> str:
    return f"{count / 1e6:,.1f} MB"
