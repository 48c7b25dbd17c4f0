"""What becomes of scenes once they are handed out: read, scanned, written, told.

One :class:`SceneWorker` serves the threads of a small run, a process of a large one, or a worker of a cluster.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from fringewatch._version import __version__
from fringewatch.corrections import without_height_trend
from fringewatch.detect.detector import Detector
from fringewatch.detect.journal import file_state
from fringewatch.detect.outputs import quiet_about_grids, remove_outputs, write_outputs
from fringewatch.detect.settings import DetectConfig, Kept
from fringewatch.errors import FringewatchError, OutputError
from fringewatch.interferogram import footprint
from fringewatch.parallel import keep_freed_memory
from fringewatch.products import companions_of, open_interferogram, with_what_lies_beside
from fringewatch.products.licsar import frame_id
from fringewatch.products.raster import opened_once
from fringewatch.products.reference import ReadOptions
from fringewatch.report import SceneRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import shapely
    import xarray as xr

    from fringewatch.detect.detector import Examination
    from fringewatch.products import Reference

__all__ = [
    "Outcome",
    "SceneWorker",
    "content_hash",
    "cores",
    "failure",
    "load_detector",
    "scene_state",
    "settings_digest",
    "work_here",
]

_LARGE_PIXELS = 1_000_000
_LARGE_AT_ONCE = 2
_GROUP_PIXELS = 2**19
"""Read ahead while the network works; more at once would leave the processor's caches before it is worked on."""
_FOLLOWS_TERRAIN = 0.9
"""Magnitude of a detection's phase-height correlation from which the scene is scanned again without its trend."""
_HASHED_PIXELS = 64_000_000
_HASH_WORDS = 256
_HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one scene.

    Attributes
    ----------
    row
        For tables; its status says whether the scene was scanned.
    state
        Of its files before they were read; see :func:`scene_state`.
    detections
        From :meth:`fringewatch.regions.Detections.located`; none where nothing is catalogued.
    outline, frame, content_hash
        As in :class:`fringewatch.catalog.SceneRecord`; left out where nothing is catalogued.
    """

    row: SceneRow
    state: str
    detections: Sequence[dict[str, Any]] = ()
    outline: shapely.Polygon | None = None
    frame: str = ""
    content_hash: str = ""


@dataclasses.dataclass(frozen=True)
class _Scene:
    """A scene that was read, or the reason why it could not be."""

    reference: Reference
    state: str
    seconds: float
    interferogram: xr.Dataset | None = None
    content_hash: str = ""
    problem: str = ""


class SceneWorker:
    """Reads, scans and writes scenes; thread-safe.

    Parameters
    ----------
    config
        Of the run.
    folder
        Where files of scenes go.
    detector
        The model.
    keep
        Kinds of files that are written for each scene; see :func:`fringewatch.detect.outputs.output_paths`.
    catalogued
        Whether outcomes go into a catalogue: they then carry what it wants to know, and companions are read only for
        scenes with detections, the only ones of which they say anything.
    spare
        Files that are never removed, whatever their name: the inputs.
    """

    def __init__(
        self,
        config: DetectConfig,
        folder: Path,
        detector: Detector,
        *,
        keep: Sequence[Kept],
        catalogued: bool,
        spare: Callable[[Path], bool] = lambda _: False,
    ) -> None:
        self.config = config
        self.folder = folder
        self.detector = detector
        self.keep = tuple(keep)
        self.catalogued = catalogued
        self._spare = spare
        self._large = threading.BoundedSemaphore(_LARGE_AT_ONCE)

    def work(self, references: Sequence[Reference]) -> list[Outcome]:
        """Do scenes, in their order; whatever goes wrong with one becomes its outcome."""
        if len(references) == 1:
            return self._finish_group([self._read(references[0])])
        return [outcome for group in self._groups(references) for outcome in self._finish_group(group)]

    def reject(self, reference: Reference, problem: str, *, state: str = "", seconds: float = 0.0) -> Outcome:
        """Return the outcome of a scene that has failed, and remove what an earlier run wrote for it."""
        problem += self._discard(reference)
        return failure(reference, problem, state=state, model=self.detector.card.name, seconds=seconds)

    def _groups(self, references: Sequence[Reference]) -> Iterator[list[_Scene]]:
        """Yield scenes in groups for the network; while it works on one the next is read."""
        queue = iter(references)

        def read_group() -> list[_Scene]:
            group: list[_Scene] = []
            pixels = 0
            with opened_once():
                while pixels < _GROUP_PIXELS:
                    reference = next(queue, None)
                    if reference is None:
                        break
                    group.append(scene := self._read(reference))
                    pixels += scene.interferogram.variables["phase"].size if scene.interferogram is not None else 0
            return group

        with ThreadPoolExecutor(1) as reader:
            ahead = reader.submit(read_group)
            while group := ahead.result():
                ahead = reader.submit(read_group)
                yield group

    def _read(self, reference: Reference) -> _Scene:
        started = time.perf_counter()
        state = content = problem = ""
        interferogram = None
        try:
            state = scene_state(reference)
            interferogram = self._open(reference)
            if self.catalogued:
                content = content_hash(interferogram.variables["phase"])
        except Exception as error:  # noqa: BLE001  (one bad file never stops a batch, whatever a library raises)
            problem = _explain(reference, error)
        return _Scene(reference, state, time.perf_counter() - started, interferogram, content, problem)

    def _open(self, reference: Reference) -> xr.Dataset:
        removing = self.config.height_trend == "remove"
        interferogram = open_interferogram(
            reference,
            **self._reading(),
            pixel_size_m=self.config.pixel_size_m,
            companions=removing or not self.catalogued,
        )
        return without_height_trend(interferogram) if removing else interferogram

    def _reading(self) -> dict[str, Any]:
        """Return how the run's files are to be understood."""
        config = self.config
        return {
            "wavelength_m": config.wavelength_m,
            "phase_sign": config.phase_sign,
            "kind": config.kind,
            "band": config.band,
            "nodata": config.nodata,
            "interval_days": config.interval_days,
        }

    def _complete(self, reference: Reference, examination: Examination) -> Examination:
        """Read what lies beside the phase: it says something of detections only, and most scenes have none."""
        if self.config.height_trend == "remove":
            return examination
        options = ReadOptions(**self._reading())
        complete = with_what_lies_beside(examination.interferogram, reference, options, rows=examination.rows)
        return examination.with_interferogram(complete)

    def _check_terrain(self, reference: Reference, examination: Examination) -> Examination:
        """Say of a flagged scene whose phase follows the terrain what its score is without that."""
        correlations = [abs(row["phase_height_correlation"]) for row in examination.detections.rows]
        if not any(correlation >= _FOLLOWS_TERRAIN for correlation in correlations):
            return examination
        whole = examination.interferogram
        if self.catalogued:
            # Only the rows of detections have heights by now.
            whole = with_what_lies_beside(whole, reference, ReadOptions(**self._reading()))
        level = without_height_trend(whole)
        if "height_trend_rad_per_m" not in level.attrs:
            return examination
        with self._room_for([level]):
            without = self.detector.examine(level, tile_px=self.config.tile_px)
        verdict = "it stays flagged" if without.flagged else "below the threshold: it may be stratified delay"
        trend = f"{level.attrs['height_trend_rad_per_m'] * 1e3:+.2f} rad per km of terrain height"
        examination = examination.with_note(f"without its trend of {trend} the score is {without.score:.2f}, {verdict}")
        examination.level_score = without.score
        return examination

    def _finish_group(self, group: Sequence[_Scene]) -> list[Outcome]:
        started = time.perf_counter()
        read = [scene for scene in group if scene.interferogram is not None]
        examinations = dict(zip((scene.reference for scene in read), self._examine(read), strict=True))
        share = (time.perf_counter() - started) / max(len(read), 1)
        return [self._finish(scene, examinations.get(scene.reference), share) for scene in group]

    def _room_for(self, interferograms: Sequence[xr.Dataset]) -> AbstractContextManager[object]:
        """Let few large scenes into the network at once; its memory grows with the tile, so more gain nothing."""
        large = any(interferogram.variables["phase"].size > _LARGE_PIXELS for interferogram in interferograms)
        return self._large if large else contextlib.nullcontext()

    def _examine(self, scenes: Sequence[_Scene]) -> list[Examination | str]:
        """Return examinations, or what is wrong with a scene."""
        interferograms = [scene.interferogram for scene in scenes if scene.interferogram is not None]
        try:
            with self._room_for(interferograms):
                return list(self.detector.examine_many(interferograms, tile_px=self.config.tile_px, checked=True))
        except Exception as error:  # noqa: BLE001  (as above: values of a lazy scene are read only now)
            if len(scenes) == 1:
                return [_explain(scenes[0].reference, error)]
            # One of them; by itself each tells.
            return [result for scene in scenes for result in self._examine([scene])]

    def _finish(self, scene: _Scene, examination: Examination | str | None, share: float) -> Outcome:
        started = time.perf_counter()
        problem = scene.problem
        if isinstance(examination, str):
            problem = examination
        elif examination is not None:
            try:
                outcome = self._write(scene, examination.checked())
            except Exception as error:  # noqa: BLE001  (as above)
                problem = _explain(scene.reference, error)
            else:
                seconds = scene.seconds + share + time.perf_counter() - started
                return dataclasses.replace(outcome, row=dataclasses.replace(outcome.row, seconds=seconds))
        seconds = scene.seconds + time.perf_counter() - started
        return self.reject(scene.reference, problem, state=scene.state, seconds=seconds)

    def _write(self, scene: _Scene, examination: Examination) -> Outcome:
        if self.catalogued and examination.flagged:
            examination = self._complete(scene.reference, examination)
        if self.config.height_trend == "check" and examination.flagged:
            examination = self._check_terrain(scene.reference, examination)
        write_outputs(self.folder, scene.reference.name, examination, keep=self.keep)
        if not self.catalogued:
            # Kinds that this run does not keep, of a run with other settings: the next would take them for the scene's.
            dropped = [kind for kind in get_args(Kept) if kind not in self.keep]
            remove_outputs(self.folder, scene.reference.name, keep=dropped, spare=self._spare)
        row = _row_of(scene.reference, examination)
        if not self.catalogued:
            return Outcome(row, scene.state)
        interferogram = examination.interferogram
        return Outcome(
            row,
            scene.state,
            detections=examination.detections.located() if examination.flagged else (),
            outline=footprint(interferogram),
            frame=frame_id(scene.reference.path),
            content_hash=scene.content_hash,
        )

    def _discard(self, reference: Reference) -> str:
        """Remove what an earlier run wrote for a scene that has failed; say so where that is impossible."""
        try:
            # Whose the others are in an archive, the catalogue knows.
            kinds = self.keep if self.catalogued else get_args(Kept)
            remove_outputs(self.folder, reference.name, keep=kinds, spare=self._spare)
        except OutputError as error:
            return f"; {_one_line(str(error))}"
        return ""


@functools.lru_cache(maxsize=1)
def _worker_of(config: str, folder: Path, keep: tuple[Kept, ...], threads: int) -> SceneWorker:
    settings = DetectConfig.model_validate_json(config)
    return SceneWorker(settings, folder, load_detector(settings, threads=threads), keep=keep, catalogued=True)


def work_here(
    config: str, folder: Path, keep: tuple[Kept, ...], threads: int, references: Sequence[Reference]
) -> list[Outcome]:
    """Do scenes in a process of their own; the model is loaded for the first ones and kept.

    Parameters
    ----------
    config
        Settings of the run as JSON.
    folder, keep
        As for :class:`SceneWorker`.
    threads
        Of one inference.
    references
        The scenes.
    """
    keep_freed_memory()
    with quiet_about_grids():
        return _worker_of(config, folder, keep, threads).work(references)


def failure(reference: Reference, problem: str, *, state: str = "", model: str = "", seconds: float = 0.0) -> Outcome:
    """Return the outcome of a scene that could not be scanned."""
    row = SceneRow(
        file=reference.address,
        name=reference.name,
        status="failed",
        product=reference.product,
        model=model,
        seconds=seconds,
        message=problem,
    )
    return Outcome(row, state)


def load_detector(config: DetectConfig, *, threads: int) -> Detector:
    """Return the model that a run asks for.

    Raises
    ------
    BundleError, ConfigError
        As :class:`Detector`.
    """
    return Detector(
        config.model,
        precision=config.precision,
        threads=threads,
        threshold=config.threshold,
        windows=config.windows,
    )


def scene_state(reference: Reference) -> str:
    """Return what changes when a scene's files do; see :func:`fringewatch.detect.journal.file_state`."""
    return file_state(reference.path, companions_of(reference), member=reference.member)


def settings_digest(config: DetectConfig, detector: Detector, *, place: str = "") -> str:
    """Return a digest of all that decides about a scene's outputs, but for the scene itself; `place` says where."""
    said = {"kind", "wavelength_m", "phase_sign", "band", "nodata", "interval_days", "pixel_size_m"}
    used = config.model_dump(mode="json", include={*said, "windows", "height_trend"})
    used["precision"] = detector.bundle.precision
    used |= {"threshold": detector.threshold, "card": detector.card.model_dump(mode="json"), "version": __version__}
    if place:
        used["place"] = place
    return hashlib.sha256(json.dumps(used, sort_keys=True).encode()).hexdigest()


def cores() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _row_of(reference: Reference, examination: Examination) -> SceneRow:
    attrs = examination.interferogram.attrs
    # A scene has a region exactly where it is flagged.
    found = examination.detections.rows if examination.flagged else []
    areas = [row["area_km2"] for row in found if not np.isnan(row["area_km2"])]
    coords = examination.interferogram.coords
    known = areas if found else "spatial_ref" in coords or "lat" in coords or "pixel_size_m" in attrs
    return SceneRow(
        file=reference.address,
        name=reference.name,
        status="ok",
        score=examination.score,
        flagged=examination.flagged,
        detections=len(found),
        max_probability=examination.max_probability,
        area_km2=float(sum(areas)) if known else None,
        reference_date=attrs.get("reference_date", ""),
        secondary_date=attrs.get("secondary_date", ""),
        product=attrs.get("product", ""),
        model=examination.card.name,
        message="; ".join(examination.notes),
        level_score=examination.level_score,
    )


def content_hash(phase: xr.Variable) -> str:
    """Return a hash of the phase of a scene; ``""`` for one too large to be read once more.

    Words of 64 bits are added up, each times a power of an odd number that its place tells, and the sums go through
    SHA-256: a tenth of the time that all of it would take. Scenes that differ by chance, not by design, are told apart.
    """
    if not isinstance(phase.data, np.ndarray) or phase.size > _HASHED_PIXELS:
        return ""
    values = np.ascontiguousarray(phase.data).reshape(-1)
    rows = values.nbytes // (8 * _HASH_WORDS)
    words = values[: rows * 2 * _HASH_WORDS].view(np.uint64).reshape(rows, _HASH_WORDS)
    powers = np.cumprod(np.full(rows, _HASH_FACTOR))
    digest = hashlib.sha256(str(phase.shape).encode())
    # Half the time of `powers @ words`, which has no fast way for integers.
    digest.update(np.einsum("i,ij->j", powers, words).data)
    digest.update(values[words.size * 2 :].data)
    return digest.hexdigest()[:32]


def _explain(reference: Reference, error: Exception) -> str:
    if isinstance(error, FringewatchError):
        return _one_line(str(error))
    return _one_line(f"{reference.address}: unexpected {type(error).__name__}: {error}; please report it")


def _one_line(text: str) -> str:
    return " ".join(text.split())
