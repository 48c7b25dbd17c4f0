"""``fringewatch detect``: many files, each read, scanned and written by one of a few threads."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import hashlib
import itertools
import json
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fringewatch._version import __version__
from fringewatch.detect.detector import Detector
from fringewatch.detect.journal import Journal, file_state
from fringewatch.detect.outputs import (
    output_paths,
    quiet_about_grids,
    remove_outputs,
    write_outputs,
)
from fringewatch.detect.run_files import write_run
from fringewatch.detect.settings import DetectConfig, DetectResult
from fringewatch.errors import ConfigError, FringewatchError, OutputError
from fringewatch.files import ensure_folder
from fringewatch.products import companions_of, discover, open_interferogram
from fringewatch.products.reference import is_remote
from fringewatch.progress import say, track
from fringewatch.report import SceneRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fringewatch.detect.detector import Examination
    from fringewatch.products import Reference

__all__ = ["run"]

_LARGE_PIXELS = 1_000_000
_LARGE_AT_ONCE = 2
_MOST_WORKERS = 8


def run(config: DetectConfig) -> DetectResult:
    """Detect in every input and write the results.

    Per scene ``<name>.probability.tif``, ``<name>.detections.geojson`` and ``<name>.png``; per run ``summary.csv``,
    ``detections.gpkg``, ``report.html`` and ``run.yaml``. A file that cannot be read becomes a row with the reason.

    Raises
    ------
    ConfigError
        If there is no input.
    BundleError
        If the model cannot be loaded.
    OutputError
        If the output folder or the files of the run cannot be written.
    """
    started = time.perf_counter()
    if not config.inputs:
        message = (
            "no input: name files, folders, patterns or addresses, for example: fringewatch detect data/ --out results"
        )
        raise ConfigError(message)
    folder = ensure_folder(config.out)
    references = list(discover(config.inputs))
    workers = min(config.workers or min(_cores(), _MOST_WORKERS), max(len(references), 1))
    # Many scenes at once keep the cores busy by themselves; threads inside each inference would only get in the way.
    detector = Detector(
        config.model,
        precision=config.precision,
        threads=max(1, _cores() // workers),
        threshold=config.threshold,
        windows=config.windows,
    )
    batch = _Batch(config, folder, detector)
    rows = batch.work(references, workers)
    result = DetectResult(folder, tuple(rows), batch.kept, batch.interrupted, time.perf_counter() - started)
    for name, problem in write_run(config, result, detector, workers=min(_cores(), _MOST_WORKERS)).items():
        batch.journal.forget(name)
        say(f"{problem}; it was left out, and the next run does the scene again")
    batch.journal.compact()
    return dataclasses.replace(result, seconds=time.perf_counter() - started)


class _Batch:
    """The state that the threads of one run share."""

    def __init__(self, config: DetectConfig, folder: Path, detector: Detector) -> None:
        self.config = config
        self.folder = folder
        self.detector = detector
        self.journal = Journal(folder)
        self.settings = _settings_digest(config, detector)
        self.kept = 0
        self.interrupted = False
        self._paths: Sequence[str] = ()
        self._large = threading.BoundedSemaphore(_LARGE_AT_ONCE)

    def work(self, references: Sequence[Reference], workers: int) -> list[SceneRow]:
        """Return one row per reference that was dealt with, in their order."""
        self._paths = [reference.path for reference in references]
        rows: dict[str, SceneRow] = {}
        todo = []
        for reference in references:
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
        with (
            quiet_about_grids(),
            track("scanning", total=len(references), done=self.kept, text=f"{flagged} flagged") as advance,
            concurrent.futures.ThreadPoolExecutor(workers) as pool,
        ):
            self._announce(todo)
            pending: dict[concurrent.futures.Future[SceneRow], Reference] = {}
            queue = iter(todo)
            try:
                while True:
                    # Twice as many as can run: no thread waits for the next, and nothing piles up.
                    for reference in itertools.islice(queue, 2 * workers - len(pending)):
                        pending[pool.submit(self._one, reference)] = reference
                    if not pending:
                        break
                    done, _ = concurrent.futures.wait(pending, return_when=concurrent.futures.FIRST_COMPLETED)
                    for future in done:
                        rows[pending.pop(future).name] = row = future.result()
                        flagged += bool(row.flagged)
                        advance(1, text=f"{flagged} flagged")
                        if row.status == "failed":
                            say(f"failed: {row.message}")
            except KeyboardInterrupt:
                self.interrupted = True
                pool.shutdown(wait=True, cancel_futures=True)
                for future, reference in pending.items():
                    if not future.cancelled():
                        rows[reference.name] = future.result()
        return [rows[reference.name] for reference in references if reference.name in rows]

    def _kept(self, reference: Reference) -> SceneRow | None:
        if reference.name not in self.journal.entries:
            return None
        outputs = output_paths(self.folder, reference.name, picture=self.config.png)
        return self.journal.find(reference.name, reference.address, _state(reference), self.settings, outputs)

    def _announce(self, todo: Sequence[Reference]) -> None:
        changed = [
            reference
            for reference in todo
            if (entry := self.journal.entries.get(reference.name)) and entry.settings != self.settings
        ]
        if changed and not self.config.overwrite:
            count = f"{len(changed)} scene{'' if len(changed) == 1 else 's'}"
            say(f"model or settings changed since the last run: {count} will be done again")

    def _one(self, reference: Reference) -> SceneRow:
        """Read, scan and write one scene; whatever goes wrong with it becomes its row."""
        started = time.perf_counter()
        try:
            state = _state(reference)
            examination = self._examine(reference)
            write_outputs(self.folder, reference.name, examination, picture=self.config.png)
            row = _row_of(reference, examination, time.perf_counter() - started)
            self.journal.add(row, state, self.settings)
        except FringewatchError as error:
            message = _one_line(str(error))
        except Exception as error:  # noqa: BLE001  (one bad file never stops a batch, whatever a library raises)
            message = _one_line(f"{reference.address}: unexpected {type(error).__name__}: {error}; please report it")
        else:
            return row
        message += self._discard(reference)
        return SceneRow(
            file=reference.address,
            name=reference.name,
            status="failed",
            product=reference.product,
            model=self.detector.card.name,
            seconds=time.perf_counter() - started,
            message=message,
        )

    def _discard(self, reference: Reference) -> str:
        """Remove what this run or an earlier one wrote for a scene that failed; say so where that is impossible."""
        known = self.journal.forget(reference.name)
        paths = output_paths(self.folder, reference.name, picture=False)
        if not known and not any(path.exists() for path in paths):
            # Nothing of ours: a picture of that name is the user's own.
            return ""
        try:
            remove_outputs(self.folder, reference.name, picture=self.config.png, spare=self._inputs)
        except OutputError as error:
            return f"; {_one_line(str(error))}"
        return ""

    @functools.cached_property
    def _inputs(self) -> frozenset[Path]:
        return frozenset(Path(path).resolve() for path in self._paths if not is_remote(path) and "\0" not in path)

    def _examine(self, reference: Reference) -> Examination:
        config = self.config
        interferogram = open_interferogram(
            reference,
            wavelength_m=config.wavelength_m,
            phase_sign=config.phase_sign,
            kind=config.kind,
            band=config.band,
            nodata=config.nodata,
            interval_days=config.interval_days,
        )
        large = interferogram["phase"].size > _LARGE_PIXELS
        # The network's memory grows with the tile, not with the scene: a few large ones at once are enough.
        with self._large if large else contextlib.nullcontext():
            return self.detector.examine(interferogram, tile_px=config.tile_px)


def _state(reference: Reference) -> str:
    return file_state(reference.path, companions_of(reference), member=reference.member)


def _row_of(reference: Reference, examination: Examination, seconds: float) -> SceneRow:
    attrs, regions = examination.interferogram.attrs, examination.regions
    return SceneRow(
        file=reference.address,
        name=reference.name,
        status="ok",
        score=examination.score,
        flagged=examination.flagged,
        detections=len(regions),
        max_probability=examination.max_probability,
        area_km2=float(regions["area_km2"].sum()) if regions.crs is not None else None,
        reference_date=attrs.get("reference_date", ""),
        secondary_date=attrs.get("secondary_date", ""),
        product=attrs.get("product", ""),
        model=examination.card.name,
        seconds=seconds,
        message="; ".join(examination.notes),
    )


def _settings_digest(config: DetectConfig, detector: Detector) -> str:
    """Return a digest of all that decides about a scene's outputs, but for the scene itself."""
    said = {"kind", "wavelength_m", "phase_sign", "band", "nodata", "interval_days"}
    used = config.model_dump(mode="json", include={*said, "windows"})
    used["precision"] = detector.bundle.precision
    used |= {"threshold": detector.threshold, "card": detector.card.model_dump(mode="json"), "version": __version__}
    return hashlib.sha256(json.dumps(used, sort_keys=True).encode()).hexdigest()


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
