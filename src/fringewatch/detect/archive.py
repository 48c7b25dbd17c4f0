"""A run over an archive: any number of scenes, of which the catalogue keeps scores and detections.

The catalogue is also the memory of the run. What it has is done, and is written together with its detections in one
transaction within a second or two of its coming back from a worker; whatever else was going on when the run was killed
is done again.
"""

from __future__ import annotations

import datetime as dt
import glob
import hashlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, get_args

from fringewatch.catalog import Catalog, SceneRecord, scene_key
from fringewatch.catalog.engine import without_password
from fringewatch.detect.crew import cluster_crew, drive, local_crew
from fringewatch.detect.failures import MOST_LISTED, Failures
from fringewatch.detect.journal import Journal
from fringewatch.detect.names import CatalogNames
from fringewatch.detect.outputs import output_paths, remove_outputs
from fringewatch.detect.run_files import check_owner, write_settings
from fringewatch.detect.settings import FAILURES_NAME, DetectConfig, DetectResult, Kept, Totals
from fringewatch.detect.worker import cores, load_detector, scene_state, settings_digest
from fringewatch.errors import CatalogError, OutputError
from fringewatch.files import LinkResolver
from fringewatch.parallel import ctrl_c_held
from fringewatch.products import discover
from fringewatch.products.reference import is_remote
from fringewatch.progress import say, track
from fringewatch.sites import Sites

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from fringewatch.detect.crew import Crew
    from fringewatch.detect.detector import Detector
    from fringewatch.detect.worker import Outcome
    from fringewatch.products import Reference
    from fringewatch.report import SceneRow

__all__ = ["run_archive"]

_DIGEST_BYTES = 8
_ENTER_SECONDS = 1.0
"""How long results may wait for others to be entered with: a transaction costs as much as a dozen scenes in it."""


def run_archive(config: DetectConfig, folder: Path, references: Iterable[Reference]) -> DetectResult:
    """Detect in an archive, or in a folder that grows.

    Scenes and detections go into the catalogue, and files that could not be scanned are listed in ``failed.csv``;
    ``run.yaml`` says what made the results. Files of scenes are written only where the settings ask for them.

    Parameters
    ----------
    config
        Settings of the run.
    folder
        For the results; it exists.
    references
        The scenes, taken one after the other; with ``watch``, only those of the first look.

    Returns
    -------
    DetectResult
        With totals; its rows are the flagged scenes with the highest scores, and the first that failed.

    Raises
    ------
    BundleError
        If the model cannot be loaded.
    CatalogError
        If the catalogue cannot be opened or written; what is in it is safe, and the same command goes on from there.
    ClusterError
        If the cluster cannot be used.
    OutputError
        If the files of the run cannot be written.
    """
    started = time.perf_counter()
    detector = load_detector(config, threads=cores())
    place = config.catalog or str(folder / "catalog.gpkg")
    # What is written down must not tell the password.
    config = config.model_copy(update={"catalog": without_password(place)})
    sites = Sites.load(config.sites) if config.sites else None
    keep = tuple(kind for kind in config.kept_files or () if config.png or kind != "pictures")
    if keep:
        check_owner(folder, config.catalog)
    crew_of = cluster_crew if config.cluster else local_crew
    with Catalog.open(place, sites=sites) as catalog, Failures(folder / FAILURES_NAME) as failures:
        archive = _Archive(config, folder, detector, catalog, failures, keep)
        # A network that cannot be loaded is one error, not one per worker.
        _ = detector.bundle.session
        with archive, crew_of(config, folder, keep) as crew, track("scanning", total=None, text="") as advance:
            try:
                for outcomes in archive.outcomes(crew, references):
                    archive.take(outcomes)
                    advance(len(outcomes), text=f"{archive.totals.flagged:,} flagged")
            except KeyboardInterrupt:
                archive.interrupted = True
    seconds = time.perf_counter() - started
    write_settings(config, detector, folder, dt.datetime.now(dt.UTC).replace(microsecond=0), seconds)
    rows = (*archive.best, *failures.first)
    # To stop watching is how watching ends.
    interrupted = archive.interrupted and not config.watch
    return DetectResult(
        folder, rows, archive.totals.kept, interrupted, seconds, archive.totals, without_password(place)
    )


def _place_of(folder: Path, catalog: str | None) -> str:
    """Return where files of scenes lie as seen from the catalogue, "" beside it: both may move together."""
    if not catalog or is_remote(catalog) or "://" in catalog:
        return str(folder.resolve())
    place = os.path.relpath(folder.resolve(), Path(catalog).resolve().parent)
    return "" if place == "." else place


class _Archive:
    """A run and its place in the catalogue; as a context it begins and ends the run there."""

    def __init__(
        self,
        config: DetectConfig,
        folder: Path,
        detector: Detector,
        catalog: Catalog,
        failures: Failures,
        keep: tuple[Kept, ...],
    ) -> None:
        self._tally = _Tally(remember=config.watch)
        self.interrupted = False
        self._config = config
        self._folder = folder
        self._catalog = catalog
        self._failures = failures
        self._keep = keep
        self._version = detector.card.version
        # Files that are kept must be of these settings, wherever the last run with this catalogue put its own.
        self._settings = settings_digest(config, detector, place=_place_of(folder, config.catalog) if keep else "")
        self._run = catalog.start_run(
            config.to_yaml(), settings=self._settings, model=detector.card.name, model_version=self._version
        )
        # Of hundreds of thousands of files, what is known is kept as hashes of 64 bits: that any two of a million are
        # the same has a chance of 1 in 40 million.
        done = {} if config.overwrite else catalog.done(self._settings)
        self._done = {hash(key): hash(state) for key, state in done.items()}
        self._names = CatalogNames(catalog, Journal(folder), folder, keep)
        self._best: dict[str, SceneRow] = {}
        self._waiting: list[Outcome] = []
        self._entered_s = 0.0
        self._resolve = LinkResolver()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        stopped: Literal["interrupted", "done"] = "interrupted" if self.interrupted else "done"
        # An error of the catalogue itself cannot be entered in it.
        if not isinstance(error, CatalogError):
            self.enter()
            self._catalog.finish_run(self._run, stopped if error is None else "failed")

    @property
    def totals(self) -> Totals:
        """Numbers of this run."""
        return self._tally.totals

    @property
    def best(self) -> list[SceneRow]:
        """Flagged scenes of this run with the highest scores, best first."""
        return sorted(self._best.values(), key=_rank)

    def outcomes(self, crew: Crew, references: Iterable[Reference]) -> Iterator[list[Outcome]]:
        """Yield what becomes of the scenes; with ``watch`` for ever."""
        if not self._config.watch:
            yield from drive(crew, self._new(references))
            return
        say(f"watching every {self._config.watch_seconds:g} s; Ctrl-C ends it")
        for text in self._config.inputs:
            if not (is_remote(text) or glob.has_magic(text) or Path(text).expanduser().exists()):
                say(f"{text}: there is no such file or folder yet")
        seen: dict[int, int] = {}
        while True:
            self._resolve = LinkResolver()
            yield from drive(crew, self._settled(references, seen))
            self.enter()
            _pause(self._config.watch_seconds)
            references = discover(self._config.inputs)

    def _new(self, references: Iterable[Reference]) -> Iterator[Reference]:
        """Yield scenes that the catalogue does not have as they are, under the names of their results."""
        for found in references:
            key = scene_key(found.address, self._resolve)
            known = self._names.knows(key)
            reference = self._names.settle(found, key)
            if not self._is_done(reference, hash(key)):
                if known:
                    self._drop(reference)
                yield reference

    def _settled(self, references: Iterable[Reference], seen: dict[int, int]) -> Iterator[Reference]:
        """Yield scenes whose files are the same as at the last look, once for each state that they settle in."""
        for found in references:
            if not is_remote(found.path) and not Path(found.path).is_file():
                # A folder that is still empty, or a file that has gone again.
                continue
            key = scene_key(found.address, self._resolve)
            known, state = hash(key), hash(_state_digest(found))
            last = seen.get(known)
            seen[known] = state
            if last is not None and (last != state or self._done.get(known) == state):
                continue
            has_results = self._names.knows(key)
            reference = self._names.settle(found, key)
            if last is None:
                if not self._is_done(reference, known):
                    self._done.pop(known, None)
                    if has_results:
                        self._drop(reference)
                continue
            # Not by the age of the file: clocks of machines that share a disk differ, and jump. Whatever becomes of
            # it: a file that failed is tried again when it changes, or by the next run.
            self._done[known] = state
            yield reference

    def _drop(self, reference: Reference) -> None:
        """Remove what an earlier run kept of a scene that is done again, and this one does not keep."""
        dropped = [kind for kind in get_args(Kept) if kind not in self._keep]
        try:
            remove_outputs(self._folder, reference.name, keep=dropped)
        except OutputError as error:
            # No reason to leave the other scenes alone.
            say(str(error))

    def _is_done(self, reference: Reference, key: int) -> bool:
        """Tell whether the catalogue has a scene, and count it."""
        state = self._done.get(key)
        if state is None or state != hash(_state_digest(reference)):
            return False
        outputs = output_paths(self._folder, reference.name, keep=self._keep)
        if not all(path.is_file() and path.stat().st_size for path in outputs):
            return False
        self._tally.enter(key, Totals(kept=1))
        return True

    def take(self, outcomes: list[Outcome]) -> None:
        """Take what became of scenes, and enter it in the catalogue now or with others that come soon."""
        self._waiting += outcomes
        if self._waiting and time.monotonic() - self._entered_s >= _ENTER_SECONDS:
            self.enter()

    def enter(self) -> None:
        """Enter scenes that wait and their detections in the catalogue, all of them or none."""
        # What is entered is also counted.
        with ctrl_c_held():
            outcomes, self._waiting = self._waiting, []
            self._entered_s = time.monotonic()
            self._catalog.add(self._run, [self._record_of(outcome) for outcome in outcomes])
            for outcome in outcomes:
                self._count(outcome.row)

    def _count(self, row: SceneRow) -> None:
        key = hash(scene_key(row.file, self._resolve))
        # One that is watched may come again, with another score, quiet, or failed.
        self._best.pop(row.file, None)
        if row.status == "failed":
            self._tally.enter(key, Totals(failed=1))
            self._failures.add(row)
            return
        self._failures.withdraw(row)
        self._tally.enter(key, Totals(scanned=1, flagged=int(bool(row.flagged)), detections=row.detections or 0))
        if row.flagged:
            self._best[row.file] = row
            if len(self._best) > MOST_LISTED:
                del self._best[max(self._best.values(), key=_rank).file]

    def _record_of(self, outcome: Outcome) -> SceneRecord:
        return SceneRecord(
            row=outcome.row,
            state=_digest(outcome.state),
            footprint=outcome.outline,
            frame=outcome.frame,
            content_hash=outcome.content_hash,
            model_version=self._version,
            detections=outcome.detections,
        )


class _Tally:
    """The numbers of a run, in which a scene that comes again counts once, as it came last.

    Parameters
    ----------
    remember
        Whether scenes may come again.
    """

    def __init__(self, *, remember: bool) -> None:
        self.totals = Totals()
        self._remember = remember
        self._entries: dict[int, Totals] = {}

    def enter(self, key: int, entry: Totals) -> None:
        """Count a scene."""
        now, new, before = vars(self.totals), vars(entry), vars(self._entries.get(key, Totals()))
        self.totals = Totals(**{name: number + new[name] - before[name] for name, number in now.items()})
        if self._remember:
            self._entries[key] = entry


def _rank(row: SceneRow) -> tuple[float, str, str]:
    return -(row.score or 0.0), row.name, row.file


def _pause(seconds: float) -> None:
    time.sleep(seconds)


def _state_digest(reference: Reference) -> str:
    return _digest(scene_state(reference))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=_DIGEST_BYTES).hexdigest()
