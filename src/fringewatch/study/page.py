"""``index.html``: a study on one page, in any browser, without a network."""

from __future__ import annotations

import csv
import html
import math
from typing import TYPE_CHECKING

from fringewatch._version import __version__
from fringewatch.pages import page_template
from fringewatch.study.charts import chart_accuracies, chart_curves, chart_history
from fringewatch.study.table import (
    further_columns,
    interval_note,
    percent,
    setting,
    study_columns,
    unfinished_note,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fringewatch.study.plan import Plan
    from fringewatch.study.table import Cells, Figure, Summary

__all__ = ["read_history", "render_page"]


def render_page(plan: Plan, rows: Sequence[Summary], *, unfinished: int) -> str:
    """Return the page of a study: accuracies beside the published ones, the table, failures, all histories.

    Parameters
    ----------
    plan
        The study.
    rows
        What there is of its rows; a row's histories are read from their files.
    unfinished
        Number of trainings that are still to be done; the page says so.

    Returns
    -------
    str
        HTML without any outside resource.
    """
    return page_template("fringewatch.study").substitute(
        title=html.escape(plan.title),
        subtitle=html.escape(_subtitle(plan, rows)),
        caption=_paragraph(plan.caption) + _paragraph(unfinished_note(unfinished), "warn"),
        accuracies=chart_accuracies(
            [(row.name, row.accuracy, row.published and row.published.validation_accuracy_percent) for row in rows]
        ),
        curves=chart_curves(_curves(rows)),
        failures=_failures(rows),
        study=_table(study_columns(rows)),
        further=_table(further_columns(rows)),
        note=html.escape(interval_note(plan)),
        histories="".join(_history(row) for row in rows if row.histories),
        data="".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>" for name, text in _sets(plan)),
        version=html.escape(__version__),
    )


def read_history(path: Path) -> dict[str, list[float]]:
    """Read the columns of a training's ``history.csv``; what is not a number becomes NaN."""
    with path.open(newline="", encoding="utf-8") as handle:
        lines = list(csv.DictReader(handle))
    return {name: [_float(line.get(name)) for line in lines] for name in (lines[0] if lines else {})}


def _float(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def _subtitle(plan: Plan, rows: Sequence[Summary]) -> str:
    trained = sum(len(row.seeds) for row in rows)
    failed = sum(len(row.errors) for row in rows)
    seeds = f"{len(plan.seeds)} seeds" if len(plan.seeds) > 1 else f"seed {plan.seeds[0]}"
    parts = [f"{len(plan.rows)} rows", seeds, f"{trained} trainings finished"]
    return " · ".join([*parts, f"{failed} failed"] if failed else parts)


def _paragraph(text: str, kind: str = "caption") -> str:
    return f'<p class="{kind}">{html.escape(text)}</p>' if text else ""


def _failures(rows: Sequence[Summary]) -> str:
    failed = [(row.name, message) for row in rows for message in row.errors]
    if not failed:
        return ""
    items = "".join(f"<li><b>{html.escape(name)}</b><br>{html.escape(message)}</li>" for name, message in failed)
    title = f"{len(failed)} training{'' if len(failed) == 1 else 's'} failed"
    return f'<section class="failures"><h2>{title}</h2><ul>{items}</ul></section>'


def _table(cells: Cells) -> str:
    kinds = ["" if index < cells.texts else ' class="n"' for index in range(len(cells.header))]
    head = "".join(f"<th{kind}>{html.escape(name)}</th>" for name, kind in zip(cells.header, kinds, strict=True))
    rows = "".join(
        "<tr>" + "".join(f"<td{kind}>{_cell(text)}</td>" for text, kind in zip(line, kinds, strict=True)) + "</tr>"
        for line in cells.body
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _cell(text: str) -> str:
    return '<span class="state">failed</span>' if text == "failed" else html.escape(text)


def _history(row: Summary) -> str:
    score = f"{percent(row.accuracy.value)} %"
    drawn = chart_history([read_history(path) for path in row.histories])
    return (
        f'<figure class="history"><figcaption><b>{html.escape(row.name)}</b><span>{score}</span></figcaption>'
        f"{drawn}</figure>"
    )


def _curves(rows: Sequence[Summary]) -> dict[str, dict[int, Figure]]:
    """Return the accuracies of rows that differ in the number of examples alone, by what their names share."""
    found: dict[str, dict[int, Figure]] = {}
    for row in rows:
        if (examples := row.settings.get("examples")) is not None:
            found.setdefault(row.name.replace(f", examples {examples}", ""), {})[examples] = row.accuracy
    return found


def _sets(plan: Plan) -> list[tuple[str, str]]:
    found = []
    for name, data in plan.sets.items():
        settings = getattr(data, "model_dump", None)
        if settings is None:
            found.append((name, str(data)))
        else:
            values = settings(mode="json", exclude={"out", "preview", "workers"}, exclude_defaults=True)
            found.append((name, f"simulated: {setting(values)}"))
    return found
