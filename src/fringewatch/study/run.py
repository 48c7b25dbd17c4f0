"""The `study` command: train every row with every seed, one after the other, and write the table."""

from __future__ import annotations

import functools
import hashlib
import io
import platform
import shutil
import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console

from fringewatch._version import __version__
from fringewatch.errors import ConfigError, FringewatchError, TrainingError
from fringewatch.files import ensure_folder, write_text
from fringewatch.progress import say
from fringewatch.study.contents import digest_of
from fringewatch.study.page import render_page
from fringewatch.study.plan import make_plan
from fringewatch.study.records import Outcome, Record, read_record, setting_changes
from fringewatch.study.settings import StudyConfig
from fringewatch.study.table import Summary, render_csv, render_markdown, render_terminal, summarise
from fringewatch.training.classifier import run as train
from fringewatch.training.classifier.memory import release_memory
from fringewatch.training.classifier.settings import HARMLESS
from fringewatch.training.folder import WEIGHTS, OtherRunError, checkpoint_path

if TYPE_CHECKING:
    from fringewatch.simulate.settings import SimulateConfig
    from fringewatch.study.plan import Plan, RowPlan

__all__ = ["StudyConfig", "StudyResult", "run"]

_NOT_OF_THE_SCENES = {"out", "workers", "preview"}

_KEPT_OTHERWISE = {"seed", "weights", "accelerator"}
"""Settings of a training that a record holds elsewhere or in another form, or that belong to the machine."""

# What a training may end with for reasons of its own; anything else is a defect of this program and stops the study.
_ROW_ERRORS = (FringewatchError, RuntimeError, ValueError, OSError, MemoryError)


class StudyResult(NamedTuple):
    """What a study leaves behind."""

    out: Path
    title: str
    rows: tuple[Summary, ...]

    @property
    def failed(self) -> int:
        """Number of trainings that failed."""
        return sum(len(row.errors) for row in self.rows)

    @property
    def exit_code(self) -> int:
        """0: every row was trained; 3: some failed; 1: all did."""
        if not self.failed:
            return 0
        return 3 if any(row.seeds for row in self.rows) else 1

    def describe(self, *, width: int | None = None) -> str:
        """Return the table as text, as wide as the terminal or `width`, and at least 100 columns."""
        columns = shutil.get_terminal_size().columns if width is None else width
        text = io.StringIO()
        Console(file=text, width=max(100, columns), highlight=False).print(render_terminal(self.title, self.rows))
        lines = [line.rstrip() for line in text.getvalue().rstrip().splitlines()]
        return "\n".join([*lines, f"page: {self.out / 'index.html'}", f"tables: {self.out / 'table.md'}, table.csv"])


def run(config: StudyConfig) -> StudyResult:
    """Run a study; trainings that an earlier run finished are kept, half-done ones go on from their checkpoint.

    A training that fails stops nothing: its row says why, and the next run tries it again.

    Raises
    ------
    ConfigError
        If the study cannot be understood, or a finished row has other settings now; nothing has been trained then.
    OutputError
        If results cannot be written.
    KeyboardInterrupt
        If the user stopped it; the table of what is finished has been written.
    """
    plan = make_plan(config)
    out = ensure_folder(config.out)
    done = _finished(plan, out)
    # For this run alone: the same file without it stands for the whole study.
    write_text(out / "study.yaml", config.model_copy(update={"only": ()}).to_yaml())
    jobs = [(row, seed) for row in plan.rows for seed in plan.seeds]
    if done:
        say(f"{len(done)} of {len(jobs)} trainings were finished before and are kept")
    records = dict(done)
    folders: dict[str, Path] = {}
    try:
        for number, (row, seed) in enumerate(jobs, 1):
            if (row.name, seed) in done:
                continue
            if row.data not in folders:
                folders[row.data] = _data_folder(plan.sets[row.data], row.data, out)
            say(f"[{number}/{len(jobs)}] {row.name}{f', seed {seed}' if len(plan.seeds) > 1 else ''}")
            records[row.name, seed] = _train(row, seed, plan, folders[row.data], out, records)
            _write_tables(plan, out, records, unfinished=len(jobs) - len(records))
    except KeyboardInterrupt:
        say(f"stopped with {len(records)} of {len(jobs)} trainings done; the same command goes on ({out})")
        _write_tables(plan, out, records, unfinished=len(jobs) - len(records))
        raise
    return StudyResult(out, plan.title, _write_tables(plan, out, records, unfinished=0))


def row_folder(out: Path, row: RowPlan, seed: int) -> Path:
    """Return the folder of one training."""
    return out / "rows" / row.folder / f"seed-{seed}"


def _finished(plan: Plan, out: Path) -> dict[tuple[str, int], Record]:
    """Return the records that still hold; failed ones do not.

    Raises
    ------
    ConfigError
        If finished rows had other settings: mixed into one table they would compare what is not alike.
    """
    done: dict[tuple[str, int], Record] = {}
    contents = _contents(plan)
    changed: dict[str, list[str]] = {}
    for row in plan.rows:
        for seed in plan.seeds:
            folder = row_folder(out, row, seed)
            record = read_record(folder)
            if record is None or record.status != "ok":
                continue
            if differences := _changes(record, row, plan, contents):
                changed.setdefault("; ".join(differences), []).append(f"{row.name!r} with seed {seed}")
            done[row.name, seed] = record
    if changed:
        listed = " | ".join(f"{differences} (rows {', '.join(rows)})" for differences, rows in changed.items())
        message = (
            f"{out}: finished rows were trained with other settings: {listed}; use another --out, or delete the "
            f"folders of these rows under {out / 'rows'}"
        )
        raise ConfigError(message)
    return done


def _contents(plan: Plan) -> dict[str, str]:
    """Return a digest of what each data set holds that is a folder or a manifest; none of those that are gone."""
    return {name: digest_of(data) for name, data in plan.sets.items() if isinstance(data, Path) and data.exists()}


def _changes(record: Record, row: RowPlan, plan: Plan, contents: dict[str, str]) -> list[str]:
    """Return what is not as it was when a row was trained."""
    now = contents.get(row.data, "")
    # Records of earlier versions know no digest.
    other = record.data_digest and now and record.data_digest != now
    return [
        *setting_changes(record.settings, _identity(row, plan)),
        *([f"data: the files of {plan.sets[row.data]} have changed"] if other else []),
    ]


def _others(plan: Plan, out: Path) -> dict[tuple[str, int], Record]:
    """Return the records of rows that this run leaves out, as far as they have the settings and data of the study."""
    chosen = {row.name for row in plan.rows}
    contents = _contents(plan)
    found = {}
    for row in plan.all_rows:
        for seed in plan.seeds:
            record = None if row.name in chosen else read_record(row_folder(out, row, seed))
            if record is not None and not _changes(record, row, plan, contents):
                found[row.name, seed] = record
    return found


def _identity(row: RowPlan, plan: Plan) -> dict[str, Any]:
    """Return what decides about a row's figures, in JSON's types."""
    weights = None if row.starts_from is None else "imagenet"
    config = row.train_config(data=Path("data"), out=Path("out"), seed=0, weights=weights, resume=False)
    settings = config.model_dump(mode="json", exclude=HARMLESS | _KEPT_OTHERWISE) | {"learning_rate": config.rate}
    start = f"row:{row.starts_from}" if row.starts_from else row.settings.get("weights")
    data = plan.sets[row.data]
    made = str(data) if isinstance(data, Path) else data.model_dump(mode="json", exclude=_NOT_OF_THE_SCENES)
    return settings | {"weights": start, "data": made}


def _data_folder(data: Path | SimulateConfig, name: str, out: Path) -> Path:
    """Return a data set's folder; a simulated one is made there, or completed."""
    if isinstance(data, Path):
        return data
    # Here, since it brings raster libraries, which training on patches that are there does without.
    from fringewatch.simulate.run import run as simulate

    digest = hashlib.sha256(data.model_dump_json(exclude=_NOT_OF_THE_SCENES).encode()).hexdigest()[:8]
    folder = out / "data" / f"{name}-{digest}"
    say(f"data set {name!r}: {data.count:,} simulated patches in {folder}")
    made = simulate(data.model_copy(update={"out": folder}))
    if made.failed:
        message = (
            f"{folder}: {made.failed} of {data.count:,} patches could not be simulated; run it again, or choose other "
            f"settings for the data set {name!r}"
        )
        raise TrainingError(message)
    return folder


def _train(
    row: RowPlan, seed: int, plan: Plan, data: Path, out: Path, records: dict[tuple[str, int], Record]
) -> Record:
    folder = ensure_folder(row_folder(out, row, seed))
    started = time.perf_counter()
    digest = digest_of(data) if isinstance(plan.sets[row.data], Path) and data.exists() else ""
    result, message = None, ""
    try:
        weights = None if row.starts_from is None else _weights_of(row, seed, out, records, plan)
        resume = checkpoint_path(folder).is_file() or (folder / WEIGHTS).is_file()
        make = functools.partial(row.train_config, data=data, out=folder, seed=seed, weights=weights)
        try:
            result = train(make(resume=resume))
        except OtherRunError as error:
            say(f"{row.name}: begins anew, since what an earlier run left is no part of it: {error}")
            result = train(make(resume=False))
    except _ROW_ERRORS as error:
        message = str(error) if isinstance(error, FringewatchError) else f"{type(error).__name__}: {error}"
        message = " ".join(message.split())
        say(f"{row.name}: failed: {message}")
    release_memory()
    record = Record(
        row=row.name,
        seed=seed,
        status="failed" if result is None else "ok",
        data=row.data,
        data_digest=digest,
        settings=_identity(row, plan),
        seconds=time.perf_counter() - started,
        message=message,
        outcome=None if result is None else Outcome.of(result, folder),
        versions={"fringewatch": __version__, "torch": metadata.version("torch"), "python": platform.python_version()},
    )
    record.write(folder)
    return record


def _weights_of(row: RowPlan, seed: int, out: Path, records: dict[tuple[str, int], Record], plan: Plan) -> str:
    """Return the bundle or the weights of the row that a row starts from, of the same seed."""
    source = next(other for other in plan.rows if other.name == row.starts_from)
    record = records[source.name, seed]
    if record.outcome is None:
        message = f"the row {source.name!r}, whose weights it starts from, failed; mend that one first"
        raise TrainingError(message)
    return str(row_folder(out, source, seed) / record.outcome.weights)


def _write_tables(
    plan: Plan, out: Path, records: dict[tuple[str, int], Record], *, unfinished: int
) -> tuple[Summary, ...]:
    """Write the three forms of the table; they show what there is so far, and say what is missing."""
    records = {**_others(plan, out), **records}
    plan = plan._replace(rows=plan.all_rows)
    folders = {(row.name, seed): row_folder(out, row, seed) for row in plan.rows for seed in plan.seeds}
    rows = summarise(plan, records, folders)
    write_text(out / "table.md", render_markdown(plan, rows, unfinished=unfinished))
    write_text(out / "table.csv", render_csv(rows))
    write_text(out / "index.html", render_page(plan, rows, unfinished=unfinished))
    return rows
