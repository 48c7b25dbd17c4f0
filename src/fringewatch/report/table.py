"""One row per scene, and ``summary.csv``, the table of a run."""

from __future__ import annotations

import csv
import dataclasses
import io
from typing import TYPE_CHECKING, Any, Literal

from fringewatch.errors import ProductError
from fringewatch.files import write_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["SceneRow", "read_summary", "write_summary"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SceneRow:
    """What became of one input file. Fields that a failed file has no value for are None.

    Attributes
    ----------
    file, name
        The input as found, and what its outputs are called after.
    status
        ``"ok"`` or ``"failed"``; `message` says why.
    score
        Calibrated score of the scene, 0 to 1.
    flagged
        Whether the score reaches the threshold of the run.
    detections
        Number of regions.
    level_score
        Score of a flagged scene that follows the terrain, without its height trend; None where none was asked for.
    max_probability
        Highest calibrated probability of the map, 0 to 1.
    area_km2
        Area of all regions together; None without a CRS.
    reference_date, secondary_date, product, model
        As in the detections; `model` is the bundle's name.
    seconds
        Wall time of reading, inference and writing.
    message
        Why it failed; otherwise what the reader assumed and what lies outside the model's training.
    """

    file: str
    name: str
    status: Literal["ok", "failed"]
    score: float | None = None
    flagged: bool | None = None
    detections: int | None = None
    max_probability: float | None = None
    area_km2: float | None = None
    reference_date: str = ""
    secondary_date: str = ""
    product: str = ""
    model: str = ""
    seconds: float = 0.0
    message: str = ""
    level_score: float | None = None

    @property
    def doubt(self) -> str:
        """In a few words, why the score may mean no deformation; empty where nothing speaks against it."""
        return "" if self.level_score is None else f"{self.level_score:.2f} without its height trend"

    def as_text(self) -> dict[str, str]:
        """Return the row as ``summary.csv`` holds it; None is an empty cell."""
        return {key: _cell(value) for key, value in dataclasses.asdict(self).items()}


def write_summary(path: Path, rows: Iterable[SceneRow]) -> None:
    """Write ``summary.csv`` (UTF-8, comma separated, one header line) atomically."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [field.name for field in dataclasses.fields(SceneRow)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.as_text() for row in rows)
    write_text(path, buffer.getvalue())


def read_summary(path: Path) -> list[SceneRow]:
    """Read a ``summary.csv`` back.

    Raises
    ------
    ProductError
        If the file cannot be read or lacks a column.
    """
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            return [_row(cells) for cells in csv.DictReader(handle)]
    except (OSError, KeyError, ValueError) as error:
        message = f"{path}: is no summary of a run ({error}); expected the summary.csv that `fringewatch detect` writes"
        raise ProductError(message) from error


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    # Ten thousandths are beyond what a calibrated probability can mean.
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _row(cells: dict[str, str]) -> SceneRow:
    status = cells["status"]
    if status not in {"ok", "failed"}:
        message = f"unknown status {status!r}"
        raise ValueError(message)
    return SceneRow(
        file=cells["file"],
        name=cells["name"],
        status="ok" if status == "ok" else "failed",
        score=_number(cells["score"]),
        flagged=cells["flagged"] == "true" if cells["flagged"] else None,
        detections=int(cells["detections"]) if cells["detections"] else None,
        max_probability=_number(cells["max_probability"]),
        area_km2=_number(cells["area_km2"]),
        reference_date=cells["reference_date"],
        secondary_date=cells["secondary_date"],
        product=cells["product"],
        model=cells["model"],
        seconds=float(cells["seconds"]),
        message=cells["message"],
        # Earlier versions did not write it.
        level_score=_number(cells.get("level_score") or ""),
    )


def _number(text: str) -> float | None:
    return float(text) if text else None
