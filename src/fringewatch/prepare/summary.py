"""The outcome of a run on the terminal and as a table of scenes."""

from __future__ import annotations

import csv
import dataclasses
import io
from typing import TYPE_CHECKING

from fringewatch.files import write_text
from fringewatch.prepare.journal import SceneRow

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from fringewatch.prepare.settings import PrepareResult

__all__ = ["describe", "write_table"]

_STAGES = {
    "without_edges": "without strong edges: background without classification",
    "partial": "with deformation at the border only: left out",
    "missed": "with deformation but without strong edges: left out",
    "no_data": "with too few valid pixels: left out",
}


def describe(result: PrepareResult) -> str:
    """Return what became of the scenes and windows, and a table of the patches."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    rows = result.rows
    done = sum(row.status == "ok" for row in rows)
    kept = f" ({result.kept} unchanged since an earlier run)" if result.kept else ""
    lines = [f"{done} of {len(rows)} prepared{kept}, {result.seconds:.1f} s"]
    total = sum(row.windows for row in rows)
    lines.append(f"{total} windows, of them")
    lines += [
        f"  {count:>7}  {text}"
        for count, text in (
            (sum(row.deformation for row in rows), "deformation"),
            (sum(row.background for row in rows), "background with strong edges"),
            *((sum(getattr(row, stage) for row in rows), text) for stage, text in _STAGES.items()),
        )
        if count
    ]
    table = Table("class", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("training", "+ copies", "validation"):
        table.add_column(name, justify="right")
    for name, counts in result.counts.items():
        table.add_row(name, *(str(counts[part]) for part in ("train", "copies", "validation")))
    console = Console(file=io.StringIO(), width=100, color_system=None)
    with console.capture() as captured:
        console.print(table)
    lines += [line.rstrip() for line in captured.get().splitlines() if line.strip()]
    if unlabelled := sum(row.status == "unlabelled" for row in rows):
        lines.append(f"{unlabelled} unlabelled, left out; --unlabelled none takes such scenes as background")
    if result.failed:
        lines.append(f"{len(result.failed)} failed; the reasons are in {result.table}")
    lines += [f"note: {text}" for text in result.warnings]
    if result.interrupted:
        lines.append("stopped early: the same command goes on from here")
    return "\n".join([*lines, f"data set: {result.manifest}"])


def write_table(path: Path, rows: Iterable[SceneRow]) -> None:
    """Write ``prepare.csv``, atomically.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in dataclasses.fields(SceneRow)], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**dataclasses.asdict(row), "seconds": round(row.seconds, 2)} for row in rows)
    write_text(path, text.getvalue())
