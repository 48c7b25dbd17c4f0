"""The `prepare` command: many scenes, each cut into patches, then split, balanced and listed."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import hashlib
import itertools
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fringewatch._version import __version__
from fringewatch.errors import ConfigError, FringewatchError
from fringewatch.files import ensure_folder, write_text
from fringewatch.patches import MANIFEST, write_manifest
from fringewatch.prepare.finish import finish
from fringewatch.prepare.folders import Picture, list_pictures, patch_file, prepare_picture
from fringewatch.prepare.journal import Journal, Record, SceneRow
from fringewatch.prepare.labels import Labels
from fringewatch.prepare.labels.masks import truth_beside
from fringewatch.prepare.scenes import prepare_scene, site_of
from fringewatch.prepare.settings import PrepareConfig, PrepareResult
from fringewatch.prepare.summary import write_table
from fringewatch.products import companions_of, discover
from fringewatch.products.reference import is_remote
from fringewatch.progress import say, track

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fringewatch.products import Reference

__all__ = ["run"]

_MOST_WORKERS = 8
# Settings that the other way of cutting does not look at.
_OF_WINDOWS, _OF_CROPS = ("sigma_px", "low", "high", "min_strong_px"), ("min_score", "margin")
# Settings that do not change what is cut from a scene.
_LATER = {"inputs", "out", "labels", "validation", "split_by", "balance", "pictures", "overwrite", "workers", "seed"}

Outcome = tuple[SceneRow, tuple[dict[str, str], ...]]


@dataclasses.dataclass(frozen=True)
class Task:
    """A scene or picture to do."""

    name: str
    path: str
    files: tuple[str, ...]
    """What it is made from; if one changes, it is done again."""
    site: str
    work: Callable[[], Outcome]


def run(config: PrepareConfig) -> PrepareResult:
    """Prepare every input and write the data set.

    ``<label>/*.png`` and ``manifest.csv`` are the data set; ``prepare.csv`` has a row per scene, ``prepare.yaml`` the
    settings, ``pictures/`` the edges and windows of the first scenes. A file that cannot be read becomes a row with
    the reason; scenes that an earlier run finished with the same files and settings are kept.

    Raises
    ------
    ConfigError
        If there is no input, a setting contradicts another, or a site cannot be split.
    ProductError
        If a file of labels cannot be read.
    OutputError
        If the data set cannot be written.
    """
    started = time.perf_counter()
    _check(config)
    out = ensure_folder(config.out)
    tasks, classes, labels = _tasks(config)
    journal = Journal(out)
    if (out / MANIFEST).is_file() and not journal.records and not (out / "prepare.yaml").is_file():
        message = f"{out}: holds a {MANIFEST} that prepare did not make and would replace; choose another --out"
        raise ConfigError(message)
    digest = _digest(config)
    kept = (
        {}
        if config.overwrite
        else {task.name: record for task in tasks if (record := _kept(journal, task, digest, out))}
    )
    todo = [task for task in tasks if task.name not in kept]
    for name in {task.name for task in todo} & journal.records.keys():
        _remove(out, journal.records[name])
    records, interrupted = _work(todo, config, journal, digest, total=len(tasks))
    # In the order of the inputs, so that a run that was resumed gives the same data set as one that was not.
    order = {task.name: task for task in tasks}
    everything = [records.get(name) or kept.get(name) for name in order]
    done = [record for record in everything if record is not None]
    journal.compact()
    finished = finish(config, done, classes)
    rows = tuple(dataclasses.replace(record.row, file=order[record.row.name].path) for record in done)
    write_manifest(out / MANIFEST, finished.patches, classes=classes)
    write_table(out / "prepare.csv", rows)
    write_text(out / "prepare.yaml", f"{config.to_yaml()}\n# fringewatch {__version__}\n")
    notes = [*finished.warnings]
    if labels is not None and not kept:
        notes += labels.unused()
    if left := journal.records.keys() - order.keys():
        notes.append(f"{len(left)} scenes of an earlier run are no inputs of this one: they are not in the manifest")
    return PrepareResult(
        out=out,
        rows=rows,
        classes=classes,
        counts=finished.counts,
        kept=len(kept),
        warnings=tuple(notes),
        interrupted=interrupted,
        seconds=time.perf_counter() - started,
    )


_SIDECARS = (".dbf", ".shx", ".prj", ".cpg", "-wal")


def _check(config: PrepareConfig) -> None:
    if not config.inputs:
        message = (
            "no input: name files, folders, patterns or addresses, for example: "
            "fringewatch prepare data/ --labels deformation.geojson --out patches"
        )
        raise ConfigError(message)
    if config.class_folders and config.labels:
        message = "--class-folders and --labels: pictures are labelled by their folder; give one of the two"
        raise ConfigError(message)
    if config.crops and config.class_folders:
        message = "--crops and --class-folders: crops are cut from scenes, and pictures of classes are cut already"
        raise ConfigError(message)
    if config.crops and not (config.size_px is None and config.network is None and config.step_px is None):
        message = (
            "--crops with --size-px, --network or --step-px: crops have the size of what they show; leave those out, "
            "or --crops for windows of one size"
        )
        raise ConfigError(message)
    fields = PrepareConfig.model_fields
    for name in _OF_WINDOWS if config.crops else _OF_CROPS:
        if getattr(config, name) != fields[name].default:
            flag = f"--{name.replace('_', '-')}"
            message = f"{flag} says nothing of windows of one size; leave it out, or add --crops"
            if config.crops:
                message = (
                    f"{flag} with --crops: crops have edges by thresholds of the scene's own; leave out one of them"
                )
            raise ConfigError(message)
    if config.low > config.high:
        message = f"low = {config.low:g}, high = {config.high:g}: expected low <= high"
        raise ConfigError(message)
    if config.step_px is not None and config.patch_px is not None and config.step_px > config.patch_px:
        message = (
            f"step_px = {config.step_px}: is larger than the windows ({config.patch_px} px); pixels would be left out"
        )
        raise ConfigError(message)


def _tasks(config: PrepareConfig) -> tuple[list[Task], tuple[str, ...], Labels | None]:
    if config.class_folders:
        pictures, classes = list_pictures(config.inputs, spare=config.out)
        inputs = {os.path.realpath(picture.path) for picture in pictures}
        for picture in pictures:
            target = config.out / patch_file(picture)
            if os.path.realpath(target) in inputs:
                message = f"{target}: is an input, and its patch would replace it; choose another --out"
                raise ConfigError(message)
        return [_of_picture(picture, config) for picture in pictures], classes, None
    labels = Labels(config.labels)
    # Patches of this data set and masks are pictures too; below a folder of scenes they would be taken for more.
    ours = [path.resolve() for path in (config.out, *config.labels)]
    references = [found for found in discover(config.inputs) if not _is_below(found.path, ours)]
    labels.expect([(reference.name, reference.path) for reference in references])
    return (
        [_of_scene(reference, number, labels, config) for number, reference in enumerate(references)],
        labels.classes,
        labels,
    )


def _is_below(path: str, folders: Sequence[Path]) -> bool:
    if is_remote(path) or "\0" in path:
        return False
    place = Path(path).resolve()
    return any(place.is_relative_to(folder) for folder in folders)


def _of_picture(picture: Picture, config: PrepareConfig) -> Task:
    work = functools.partial(prepare_picture, picture, config)
    return Task(f"{picture.word}/{picture.name}", picture.path, (picture.path,), picture.site, work)


def _of_scene(reference: Reference, number: int, labels: Labels, config: PrepareConfig) -> Task:
    picture = config.out / "pictures" / f"{reference.name}.png" if number < config.pictures else None
    work = functools.partial(prepare_scene, reference, labels, config, picture=picture)
    # The address of a member is no file: its state is its name.
    files = (*dict.fromkeys((reference.path, reference.address)), *companions_of(reference))
    if not config.labels and (truth := truth_beside(Path(reference.path))) is not None:
        files = (*files, str(truth))
    return Task(reference.name, reference.address, files, site_of(reference), work)


def _work(
    todo: Sequence[Task], config: PrepareConfig, journal: Journal, digest: str, *, total: int
) -> tuple[dict[str, Record], bool]:
    """Do the tasks, a few at once; return their records by name, and whether the user stopped it."""
    workers = min(config.workers or min(os.cpu_count() or 1, _MOST_WORKERS), max(len(todo), 1))
    if config.pictures and not config.class_folders:
        ensure_folder(config.out / "pictures")
    records: dict[str, Record] = {}
    queue = iter(todo)
    pending: dict[concurrent.futures.Future[Record], Task] = {}
    interrupted = False
    with (
        track("preparing", total=total, done=total - len(todo)) as advance,
        concurrent.futures.ThreadPoolExecutor(workers) as pool,
    ):
        try:
            while True:
                # Twice as many as can run: no thread waits for the next, and nothing piles up.
                for task in itertools.islice(queue, 2 * workers - len(pending)):
                    pending[pool.submit(_one, task, journal, digest)] = task
                if not pending:
                    break
                done, _ = concurrent.futures.wait(pending, return_when=concurrent.futures.FIRST_COMPLETED)
                for future in done:
                    records[pending.pop(future).name] = record = future.result()
                    advance(1)
                    if record.row.status == "failed":
                        say(f"failed: {record.row.message}")
        except KeyboardInterrupt:
            interrupted = True
            pool.shutdown(wait=True, cancel_futures=True)
            whole = (future for future in pending if not future.cancelled() and future.exception() is None)
            records |= {pending[future].name: future.result() for future in whole}
    return records, interrupted


def _one(task: Task, journal: Journal, digest: str) -> Record:
    """Do one task; whatever goes wrong with it becomes its row."""
    started = time.perf_counter()
    state = _state(task, digest)
    try:
        row, patches = task.work()
        record = Record(dataclasses.replace(row, seconds=time.perf_counter() - started), patches, state)
        journal.add(record)
    except FringewatchError as error:
        message = str(error)
    except Exception as error:  # noqa: BLE001  (one bad file never stops a batch, whatever a library raises)
        message = f"{task.path}: unexpected {type(error).__name__}: {error}; please report it"
    else:
        return record
    failed = SceneRow(
        file=task.path,
        name=task.name,
        status="failed",
        site=task.site,
        seconds=time.perf_counter() - started,
        message=" ".join(message.split()),
    )
    return Record(failed, (), state)


def _kept(journal: Journal, task: Task, digest: str, out: Path) -> Record | None:
    """Return the record of a task that an earlier run finished, if nothing has changed since."""
    record = journal.records.get(task.name)
    if record is None or record.state != _state(task, digest):
        return None
    return record if all((out / patch["file"]).is_file() for patch in record.patches) else None


def _remove(out: Path, record: Record) -> None:
    """Remove the patches of a scene that is done again: with other settings there may be fewer."""
    for patch in record.patches:
        (out / patch["file"]).unlink(missing_ok=True)


def _digest(config: PrepareConfig) -> str:
    """Return what a change of settings or labels changes."""
    settings = config.model_dump(mode="json", exclude=_LATER)
    marks = [_stamp(file) for path in config.labels for file in (*_files(path), *_sidecars(path))]
    return hashlib.sha256(json.dumps([__version__, settings, marks]).encode()).hexdigest()[:16]


def _files(path: Path) -> Iterator[Path]:
    yield path
    if path.is_dir():
        yield from sorted(path.rglob("*"))


def _sidecars(path: Path) -> list[Path]:
    """Return what lies beside a file of polygons and belongs to it: attributes, CRS, edits that are not yet merged."""
    return sorted(Path(f"{path}{end}") if end.startswith("-") else path.with_suffix(end) for end in _SIDECARS)


def _state(task: Task, digest: str) -> str:
    return "|".join([digest, *(_stamp(Path(file)) for file in task.files)])


def _stamp(path: Path) -> str:
    """Return where a local file lies, its size and time of change; of anything else the name alone."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return str(path)
    return f"{path.resolve()}:{status.st_size}:{status.st_mtime_ns}"
