"""The table of a study: rows summarised over seeds, as Markdown, CSV and terminal text."""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text
from scipy.special import stdtrit

from fringewatch.metrics import wilson_interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import RenderableType

    from fringewatch.networks.registry import StudyRow
    from fringewatch.study.plan import Plan
    from fringewatch.study.records import Record

__all__ = [
    "Cells",
    "Figure",
    "Summary",
    "further_columns",
    "interval_note",
    "percent",
    "render_csv",
    "render_markdown",
    "render_terminal",
    "setting",
    "study_columns",
    "summarise",
    "unfinished_note",
]

_LEVEL = 0.95
_HIDDEN = {"data", "weights", "network", "epochs", "learning_rate"}
"""Settings with a column of their own."""


class Figure(NamedTuple):
    """A score: its mean over seeds and a 95 % interval; NaN where undefined."""

    value: float
    low: float = math.nan
    high: float = math.nan


class Summary(NamedTuple):
    """A row of the table: the mean over its seeds that finished."""

    name: str
    data: str
    settings: dict[str, Any]
    varied: dict[str, Any]
    """Those settings that differ between the rows of the study, beside the ones that have a column of their own."""
    weights: str
    published: StudyRow | None
    seeds: tuple[int, ...]
    """Those that finished."""
    errors: tuple[str, ...]
    """Of those that failed."""
    epochs: float
    seconds_per_epoch: float
    images_per_second: float
    peak_memory_gib: float
    n_train: int
    n_validation: int
    total: int
    trainable: int
    frozen_and_statistics: int
    accuracy: Figure
    auroc: Figure
    precision: Figure
    recall: Figure
    histories: tuple[Path, ...]


class Cells(NamedTuple):
    """A table as text."""

    header: list[str]
    body: list[list[str]]
    texts: int
    """So many columns from the left are text; the others are numbers."""


def summarise(
    plan: Plan, records: Mapping[tuple[str, int], Record], folders: Mapping[tuple[str, int], Path]
) -> tuple[Summary, ...]:
    """Return one summary for each row that has a record, in the order of the plan.

    Intervals hold 95 %: with two seeds or more Student's over seeds, which tells how much a repetition would differ;
    with one seed, and for the accuracy alone, Wilson's over the validation patches.
    """
    varied = _varied(plan, records)
    return tuple(
        _summary(plan, row.name, varied, records, folders)
        for row in plan.rows
        if any((row.name, seed) in records for seed in plan.seeds)
    )


def _varied(plan: Plan, records: Mapping[tuple[str, int], Record]) -> list[str]:
    names = {row.name for row in plan.rows}
    settings = [record.settings for record in records.values() if record.row in names]
    keys = dict.fromkeys(key for values in settings for key in values if key not in _HIDDEN)
    return [key for key in keys if len({str(values.get(key)) for values in settings}) > 1]


def _summary(
    plan: Plan,
    name: str,
    varied: Sequence[str],
    records: Mapping[tuple[str, int], Record],
    folders: Mapping[tuple[str, int], Path],
) -> Summary:
    row = next(row for row in plan.rows if row.name == name)
    found = [records[name, seed] for seed in plan.seeds if (name, seed) in records]
    done = [(record, record.outcome) for record in found if record.outcome is not None]
    outcomes = [outcome for _, outcome in done]
    settings = found[0].settings

    def mean(field: str) -> float:
        values = [getattr(outcome, field) for outcome in outcomes if getattr(outcome, field) is not None]
        return float(np.mean(values)) if values else math.nan

    def figure(field: str) -> Figure:
        return _over_seeds([_number(getattr(outcome, field)) for outcome in outcomes])

    accuracy = figure("val_accuracy")
    if len(outcomes) == 1:
        n = outcomes[0].n_validation
        accuracy = Figure(accuracy.value, *wilson_interval(accuracy.value * n, n, level=_LEVEL))
    first = outcomes[0] if outcomes else None
    return Summary(
        name=name,
        data=row.data,
        settings=settings,
        varied={key: settings.get(key) for key in varied},
        weights=str(settings.get("weights") or "random").removeprefix("row:"),
        published=row.published,
        seeds=tuple(record.seed for record, _ in done),
        errors=tuple(record.message for record in found if record.outcome is None),
        epochs=mean("epochs_run"),
        seconds_per_epoch=mean("seconds_per_epoch"),
        images_per_second=mean("images_per_second"),
        peak_memory_gib=mean("peak_memory_bytes") / 2**30,
        n_train=first.n_train if first else 0,
        n_validation=first.n_validation if first else 0,
        total=first.total_parameters if first else 0,
        trainable=first.trainable_parameters if first else 0,
        frozen_and_statistics=first.frozen_and_statistics if first else 0,
        accuracy=accuracy,
        auroc=figure("val_auroc"),
        precision=figure("val_precision"),
        recall=figure("val_recall"),
        histories=tuple(folders[name, record.seed] / outcome.history for record, outcome in done),
    )


def _over_seeds(values: Sequence[float]) -> Figure:
    known = np.asarray([value for value in values if not math.isnan(value)])
    if not known.size:
        return Figure(math.nan)
    centre = float(known.mean())
    # Of a few patches two seeds may have the same share: that says nothing of its error.
    if known.size < 2 or np.ptp(known) == 0:
        return Figure(centre)
    half = float(stdtrit(known.size - 1, (1 + _LEVEL) / 2) * known.std(ddof=1) / math.sqrt(known.size))
    # Scores lie in [0, 1]; with few seeds Student's interval may not.
    return Figure(centre, max(0.0, centre - half), min(1.0, centre + half))


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def render_markdown(plan: Plan, rows: Sequence[Summary], *, unfinished: int) -> str:
    """Return the table as a Markdown page: the study's columns, then what it did not have, then failures."""
    parts = [f"# {plan.title}"]
    parts += [text for text in (plan.caption, interval_note(plan), unfinished_note(unfinished)) if text]
    parts.append(_markdown(study_columns(rows)))
    parts.append(_markdown(further_columns(rows)))
    if failed := [(row.name, message) for row in rows for message in row.errors]:
        parts += ["## Failed", "\n".join(f"- {name}: {message}" for name, message in failed)]
    return "\n\n".join(parts) + "\n"


def render_csv(rows: Sequence[Summary]) -> str:
    """Return the table with plain numbers, one row per row of the study; scores are shares, fields empty where none."""
    text = io.StringIO()
    table = [_csv_row(row) for row in rows]
    header = list(dict.fromkeys(key for line in table for key in line)) or ["row"]
    writer = csv.DictWriter(text, header, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def render_terminal(title: str, rows: Sequence[Summary]) -> RenderableType:
    """Return the table for a Rich console, 100 columns wide or more."""
    headings = ["epochs", "lr", "s/epoch", "images/s", "val. %", "95 %", "AUROC"]
    compared = any(row.published is not None for row in rows)
    table = Table(box=box.SIMPLE_HEAD)
    # The one column that may wrap; its names tell what differs between the rows.
    table.add_column("row", min_width=24, max_width=48)
    for heading in [*headings, "study %"] if compared else headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        scores = (percent(row.accuracy.value), _interval(row.accuracy), number(row.auroc.value, 3))
        table.add_row(
            row.name,
            number(row.epochs, 0),
            setting(row.settings.get("learning_rate")),
            number(row.seconds_per_epoch, 1),
            number(row.images_per_second, 0),
            *(scores if row.seeds else ("failed", "", "")),
            *([published(row)] if compared else []),
        )
    parts: list[RenderableType] = [Text(title, style="bold"), table]
    parts += [Text(f"{row.name}: {message}", style="red") for row in rows for message in row.errors]
    return Group(*parts)


def unfinished_note(unfinished: int) -> str:
    """Return a sentence where trainings are still to be done, else nothing."""
    noun = "training is" if unfinished == 1 else "trainings are"
    return f"{unfinished} {noun} not finished yet: the same command goes on." if unfinished else ""


def setting(value: Any) -> str:
    """Return a setting as the table shows it."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {setting(part)}" for key, part in value.items() if part is not None)
    return " ".join(map(setting, value)) if isinstance(value, list) else str(value)


def number(value: float, digits: int) -> str:
    """Return a number with thousands separators; nothing for NaN."""
    return "" if math.isnan(value) else f"{value:,.{digits}f}"


def percent(share: float) -> str:
    """Return a share as a percentage with one digit; nothing for NaN."""
    return number(100 * share, 1)


def published(row: Summary) -> str:
    """Return the accuracy that the study published for a row, in percent."""
    return f"{row.published.validation_accuracy_percent:g}" if row.published is not None else ""


def _interval(figure: Figure) -> str:
    return "" if math.isnan(figure.low) else f"{100 * figure.low:.0f}-{100 * figure.high:.0f}"


def _with_interval(figure: Figure, *, scale: float = 1, digits: int = 3) -> str:
    text = number(scale * figure.value, digits)
    known = text and not math.isnan(figure.low)
    return f"{text} ({scale * figure.low:.{digits}f}-{scale * figure.high:.{digits}f})" if known else text


def interval_note(plan: Plan) -> str:
    """Return what the intervals are."""
    if len(plan.seeds) > 1:
        return f"Means over {len(plan.seeds)} seeds; in brackets 95 % intervals over seeds (Student's t)."
    return "One seed; in brackets 95 % intervals over the validation patches (Wilson): another seed may lie outside."


def study_columns(rows: Sequence[Summary]) -> Cells:
    """Return the columns of the study's table, and the accuracy that it published where a row has one."""
    header = ["CNN", "weights", "epochs", "lr", "s/epoch", "split", "total", "trainable", "non-trainable"]
    compared = any(row.published is not None for row in rows)
    header += ["val. accuracy %", "study %"] if compared else ["val. accuracy %"]
    body = []
    for row in rows:
        counts = [f"{count:,}" for count in (row.total, row.trainable, row.frozen_and_statistics)]
        split = f"{row.n_train:,} + {row.n_validation:,}"
        body.append(
            [
                row.name,
                row.weights,
                number(row.epochs, 0),
                setting(row.settings.get("learning_rate")),
                number(row.seconds_per_epoch, 1),
                *([split, *counts] if row.seeds else [""] * 4),
                _with_interval(row.accuracy, scale=100, digits=1) if row.seeds else "failed",
                *([published(row)] if compared else []),
            ]
        )
    return Cells(header, body, 2)


def further_columns(rows: Sequence[Summary]) -> Cells:
    """Return what differs between the rows, and the scores and costs that the study did not publish."""
    varied = list(rows[0].varied) if rows else []
    header = ["CNN", *(key.replace("_", " ") for key in varied)]
    header += ["AUROC", "precision", "recall", "images/s", "memory GiB", "seeds"]
    body = [
        [
            row.name,
            *(setting(row.varied.get(key)) for key in varied),
            *(_with_interval(figure) for figure in (row.auroc, row.precision, row.recall)),
            number(row.images_per_second, 0),
            number(row.peak_memory_gib, 2),
            str(len(row.seeds)),
        ]
        for row in rows
    ]
    return Cells(header, body, 1 + len(varied))


def _markdown(cells: Cells) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    marks = ["---" if index < cells.texts else "---:" for index in range(len(cells.header))]
    return "\n".join([line(cells.header), line(marks), *map(line, cells.body)])


def _csv_row(row: Summary) -> dict[str, Any]:
    found: dict[str, Any] = {
        "row": row.name,
        "status": "ok" if not row.errors else "failed" if not row.seeds else "partly failed",
        "network": row.settings.get("network"),
        "weights": row.weights,
        "data": row.data,
        "learning_rate": row.settings.get("learning_rate"),
        **{key: setting(value) for key, value in row.varied.items()},
        "seeds": " ".join(map(str, row.seeds)),
    }
    plain = ("epochs", "seconds_per_epoch", "images_per_second", "peak_memory_gib")
    found |= {name: "" if math.isnan(getattr(row, name)) else getattr(row, name) for name in plain}
    if row.seeds:
        names = ("n_train", "n_validation", "total", "trainable", "frozen_and_statistics")
        found |= {name: getattr(row, name) for name in names}
    for name in ("accuracy", "auroc", "precision", "recall"):
        figure: Figure = getattr(row, name)
        for part, value in zip(("", "_low", "_high"), figure, strict=True):
            found[f"{name}{part}"] = "" if math.isnan(value) else round(value, 6)
    if row.published is not None:
        found["published_accuracy"] = row.published.validation_accuracy_percent / 100
        found["published_seconds_per_epoch_t4"] = row.published.seconds_per_epoch
    found["message"] = " | ".join(row.errors)
    return found
