"""``fringewatch detect``: many files, each read, scanned and written.

Some scenes are worked on by a few threads, which leave all files of each; many are an archive, see
:mod:`fringewatch.detect.archive`.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from fringewatch.detect.crew import drive, thread_crew
from fringewatch.detect.journal import Journal, place_of
from fringewatch.detect.names import free_name
from fringewatch.detect.outputs import has_users_picture, output_paths, quiet_about_grids
from fringewatch.detect.run_files import check_owner, write_run
from fringewatch.detect.settings import ARCHIVE_SCENES, DetectConfig, DetectResult, Kept
from fringewatch.detect.worker import SceneWorker, cores, load_detector, scene_state, settings_digest
from fringewatch.errors import ConfigError, OutputError, ProductError
from fringewatch.files import ensure_folder, sole_use
from fringewatch.products import discover
from fringewatch.products.raster import explain
from fringewatch.products.reference import is_remote
from fringewatch.progress import say, track

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from fringewatch.detect.detector import Detector
    from fringewatch.detect.worker import Outcome
    from fringewatch.products import Reference
    from fringewatch.report import SceneRow

__all__ = ["run"]

_MOST_WORKERS = 8
_MOST_REASONS = 5
_GDAL_ADDRESS = re.compile(r"[A-Z][A-Z0-9_]*:")
"""Such as NETCDF:file.nc:phase."""


def run(config: DetectConfig) -> DetectResult:
    """Detect in every input and write the results.

    Per scene ``<name>.probability.tif``, ``<name>.detections.geojson`` and ``<name>.png``; per run ``summary.csv``,
    ``detections.gpkg``, ``report.html`` and ``run.yaml``. A file that cannot be read becomes a row with the reason. Of
    an archive, see :func:`fringewatch.detect.archive.run_archive`.

    Raises
    ------
    ConfigError
        If there is no input.
    BundleError
        If the model cannot be loaded.
    OutputError
        If the output folder or the files of the run cannot be written.
    CatalogError, ClusterError
        Of an archive: if the catalogue or the cluster cannot be used.
    """
    if not config.inputs:
        message = (
            "no input: name files, folders, patterns or addresses, for example: fringewatch detect data/ --out results"
        )
        raise ConfigError(message)
    if config.cluster:
        config = _absolute(config)
    found = discover(config.inputs)
    # What a watch waits for need not be there yet.
    few = [] if config.watch else list(itertools.islice(found, ARCHIVE_SCENES + 1))
    if few and not any(map(_is_there, few)):
        # A slip of the pen must not put an empty run in the place of an earlier one.
        raise ProductError(
            " | ".join(explain(reference.path, FileNotFoundError()) for reference in few[:_MOST_REASONS])
        )
    if config.is_archive or len(few) > ARCHIVE_SCENES:
        from fringewatch.detect.archive import run_archive

        if not config.is_archive:
            say(f"more than {ARCHIVE_SCENES:,} scenes: an archive, whose results go into a catalogue")
        with sole_use(ensure_folder(config.out)) as folder:
            return run_archive(config, folder, itertools.chain(few, found))
    with sole_use(ensure_folder(config.out)) as folder:
        return _run_few(config, folder, few)


def _is_there(reference: Reference) -> bool:
    try:
        known = is_remote(reference.path) or _GDAL_ADDRESS.match(reference.path) is not None
        return known or Path(reference.path).is_file()
    except (OSError, ValueError):
        return False


def _apart(references: Sequence[Reference], journal: Journal, folder: Path, keep: Collection[Kept]) -> list[Reference]:
    """Return references under the names of their results here; none has that of another input, or of a user's picture.

    A name stays with its file as long as there are results of it; that of a file that is gone is free.
    """
    taken = {hash(name) for name in (*(reference.name for reference in references), *journal.entries)}
    inputs = {os.path.realpath(reference.path) for reference in references if not is_remote(reference.path)}
    names = journal.names()
    renamed = []
    for reference in references:
        place = place_of(reference.path)
        own = names.get((place, reference.member))
        name = own or reference.name
        owner = journal.owner(name)
        theirs = owner not in {"", place} and (is_remote(owner) or Path(owner).exists())
        if theirs or _is_theirs(folder, name, keep, inputs):
            what = f"those of {owner} have the other" if theirs else f"{folder / name}.png is your own"
            there = dataclasses.replace(reference, name=name)
            name = free_name(there, taken, folder, keep)
            while _is_theirs(folder, name, keep, inputs):
                name = free_name(there, taken, folder, keep)
            say(f"{reference.address}: its results are called {name}; {what}")
        renamed.append(reference if name == reference.name else dataclasses.replace(reference, name=name))
    return renamed


def _is_theirs(folder: Path, name: str, keep: Collection[Kept], inputs: Collection[str]) -> bool:
    """Tell whether a picture of the user's has the place of a scene's: one that is an input may even be damaged."""
    picture = folder / f"{name}.png"
    return has_users_picture(folder, name, keep=keep) or ("pictures" in keep and os.path.realpath(picture) in inputs)


def _absolute(config: DetectConfig) -> DetectConfig:
    """Return settings whose paths mean the same in whatever folder the workers of a cluster start."""
    inputs = tuple(path if is_remote(path) else str(Path(path).expanduser().absolute()) for path in config.inputs)
    # A model may also be a name, which every worker looks up for itself.
    model = str(Path(config.model).absolute()) if Path(config.model).is_dir() else config.model
    return config.model_copy(update={"inputs": inputs, "model": model, "out": config.out.absolute()})


def _run_few(config: DetectConfig, folder: Path, references: Sequence[Reference]) -> DetectResult:
    started = time.perf_counter()
    named = Journal(folder).names()
    if any((place_of(reference.path), reference.member) not in named for reference in references):
        # Those that have results there keep their names, whatever an archive has put beside them.
        check_owner(folder, None)
    workers = min(config.workers or min(cores(), _MOST_WORKERS), max(len(references), 1))
    # Many scenes at once keep the cores busy by themselves; threads inside each inference would only get in the way.
    detector = load_detector(config, threads=max(1, cores() // workers))
    batch = _Batch(config, folder, detector, references)
    rows = batch.work(workers)
    result = DetectResult(folder, tuple(rows), batch.kept, batch.interrupted, time.perf_counter() - started)
    for name, problem in write_run(config, result, detector, workers=min(cores(), _MOST_WORKERS)).items():
        batch.journal.forget(name)
        say(f"{problem}; it was left out, and the next run does the scene again")
    batch.journal.compact()
    return dataclasses.replace(result, seconds=time.perf_counter() - started)


class _Batch:
    """A run over some scenes: what is kept of an earlier one, and what is done."""

    def __init__(self, config: DetectConfig, folder: Path, detector: Detector, references: Sequence[Reference]) -> None:
        self.config = config
        self.folder = folder
        self.detector = detector
        self.journal = Journal(folder)
        self.keep = tuple(kind for kind in get_args(Kept) if config.keeps(kind))
        self.references = _apart(references, self.journal, folder, self.keep)
        self._by_name = {reference.name: reference for reference in self.references}
        self.settings = settings_digest(config, detector)
        self.kept = 0
        self.interrupted = False

    def work(self, workers: int) -> list[SceneRow]:
        """Return one row per reference that was dealt with, in their order."""
        rows: dict[str, SceneRow] = {}
        todo = []
        for reference in self.references:
            kept = None if self.config.overwrite else self._kept(reference)
            if kept is None:
                todo.append(reference)
            else:
                rows[reference.name] = kept
        self.kept = len(rows)
        flagged = sum(bool(row.flagged) for row in rows.values())
        if todo:
            # Before there are threads: a network that cannot be loaded is one error, and it is loaded once.
            _ = self.detector.bundle.session
        worker = SceneWorker(
            self.config, self.folder, self.detector, keep=self.keep, catalogued=False, spare=self._is_input
        )
        with (
            quiet_about_grids(),
            track("scanning", total=len(self.references), done=self.kept, text=f"{flagged} flagged") as advance,
            thread_crew(worker, workers) as crew,
        ):
            self._announce(todo)
            try:
                for outcomes in drive(crew, todo):
                    for outcome in outcomes:
                        row = self._record(outcome, worker)
                        rows[row.name] = row
                        flagged += bool(row.flagged)
                        if row.status == "failed":
                            say(f"failed: {row.message}")
                    advance(len(outcomes), text=f"{flagged} flagged")
            except KeyboardInterrupt:
                self.interrupted = True
        return [rows[reference.name] for reference in self.references if reference.name in rows]

    def _record(self, outcome: Outcome, worker: SceneWorker) -> SceneRow:
        """Enter a scene in the journal; one that cannot be entered has failed."""
        row = outcome.row
        if row.status == "ok":
            reference = self._by_name[row.name]
            try:
                self.journal.add(
                    row, outcome.state, self.settings, place=place_of(reference.path), member=reference.member
                )
            except OutputError as error:
                row = worker.reject(reference, str(error)).row
        if row.status == "failed":
            self.journal.forget(row.name)
        return row

    def _kept(self, reference: Reference) -> SceneRow | None:
        if reference.name not in self.journal.entries:
            return None
        outputs = output_paths(self.folder, reference.name, keep=self.keep)
        return self.journal.find(reference.name, reference.address, scene_state(reference), self.settings, outputs)

    def _announce(self, todo: Sequence[Reference]) -> None:
        changed = [
            reference
            for reference in todo
            if (entry := self.journal.entries.get(reference.name)) and entry.settings != self.settings
        ]
        if changed and not self.config.overwrite:
            count = f"{len(changed)} scene{'' if len(changed) == 1 else 's'}"
            say(f"model or settings changed since the last run: {count} will be done again")

    def _is_input(self, path: Path) -> bool:
        return path in self._inputs

    @functools.cached_property
    def _inputs(self) -> frozenset[Path]:
        paths = (reference.path for reference in self.references)
        return frozenset(Path(path).resolve() for path in paths if not is_remote(path) and "\0" not in path)
