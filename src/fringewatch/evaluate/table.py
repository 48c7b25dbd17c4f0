"""An evaluation on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from fringewatch.evaluate.records import Estimate, Evaluation, Row

__all__ = ["render"]

_MOST_ROWS = 15
_NOTHING = "-"

_SCORES = {
    "auroc": "AUROC",
    "macro_auroc": "  mean over sites",
    "average_precision": "average precision",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "macro_recall": "  mean over sites",
    "f1": "F1",
    "false_alarm_rate": "false-alarm rate",
    "brier_score": "Brier score",
    "calibration_error": "calibration error",
}


def render(evaluation: Evaluation) -> RenderableType:
    """Return the tables and notes of an evaluation for a Rich console, 80 columns wide or more."""
    source = "the model card's threshold" if evaluation.threshold_from == "card" else "as given"
    parts: list[RenderableType] = [
        Text(f"{evaluation.model} {evaluation.model_version}, {evaluation.precision}", style="bold"),
        Text(
            f"{evaluation.positives} deformation and {evaluation.negatives} background files in {evaluation.groups} "
            f"groups; flagged at score >= {evaluation.threshold:.3g} ({source})"
        ),
        _scores(evaluation),
    ]
    for title, rows in (("kind", evaluation.kinds), ("site", evaluation.by_site)):
        if len(rows) > 1:
            parts += _positives(title, [row for row in rows if row.positives])
            parts += _negatives(title, [row for row in rows if row.negatives])
    parts += [Text(f"- {note}") for note in (*_coherence(evaluation), *evaluation.notes, *_unreadable(evaluation))]
    parts.append(Text(f"results: {evaluation.settings['out']}"))
    return Group(*parts)


def _scores(evaluation: Evaluation) -> Table:
    table = _table("score", "value", "95 % interval", "files", "groups")
    for name, title in _SCORES.items():
        estimate: Estimate = getattr(evaluation.scores, name)
        if not name.startswith("macro") or (evaluation.sites > 1 and estimate.value is not None):
            _add(table, title, estimate)
    if evaluation.located is not None:
        _add(table, "boxes met by a detection", evaluation.located.hit)
        _add(table, "overlap (IoU) of boxes", evaluation.located.mean_iou)
    table.add_section()
    _add(table, "AUROC of coherence alone", evaluation.coherence_baseline.auroc)
    return table


def _add(table: Table, title: str, estimate: Estimate) -> None:
    table.add_row(title, _number(estimate.value), _interval(estimate), str(estimate.files), str(estimate.groups))


def _positives(title: str, rows: list[Row]) -> list[RenderableType]:
    if not rows:
        return []
    table = _table(f"deformation by {title}", "files", "AUROC", "95 %", "recall", "95 %")
    for row in rows[:_MOST_ROWS]:
        scores = _number(row.auroc.value), _interval(row.auroc), _number(row.recall.value), _interval(row.recall)
        table.add_row(row.name, str(row.positives), *scores)
    return [table, *_more(rows)]


def _negatives(title: str, rows: list[Row]) -> list[RenderableType]:
    alarming = sorted(rows, key=lambda row: -(row.false_alarm_rate.value or 0.0) * row.negatives)
    if not alarming:
        return []
    table = _table(f"background by {title}", "files", "false alarms", "95 %")
    for row in alarming[:_MOST_ROWS]:
        table.add_row(
            row.name, str(row.negatives), _number(row.false_alarm_rate.value), _interval(row.false_alarm_rate)
        )
    return [table, *_more(rows)]


def _more(rows: list[Row]) -> list[RenderableType]:
    return [Text(f"  {len(rows) - _MOST_ROWS} more in evaluation.json", style="dim")] if len(rows) > _MOST_ROWS else []


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    # The one column that may shrink and wrap: numbers stay whole.
    table.add_column(first, max_width=32)
    for heading in others:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _coherence(evaluation: Evaluation) -> list[str]:
    baseline = evaluation.coherence_baseline
    notes = []
    if baseline.auroc.value is not None:
        notes.append(
            f"Coherence alone ({baseline.direction}) reaches AUROC {baseline.auroc.value:.3f}: the score to beat."
        )
    if baseline.correlation_in_quiet is not None:
        notes.append(
            f"Over background files, score and coherence correlate by {baseline.correlation_in_quiet:+.2f} (rank)."
        )
    return notes


def _unreadable(evaluation: Evaluation) -> list[str]:
    if not evaluation.unreadable:
        return []
    count, first = len(evaluation.unreadable), evaluation.unreadable[0]
    noun = "file" if count == 1 else "files"
    return [f"{count} {noun} could not be scored, listed in scores.csv; the first: {first.message}"]


def _number(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.3f}"


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{estimate.low:.2f}-{estimate.high:.2f}"
