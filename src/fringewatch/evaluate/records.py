"""What an evaluation consists of, as typed records that are also the schema of ``evaluation.json``."""

from __future__ import annotations

import io
import shutil
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fringewatch.patches import Box

__all__ = ["CoherenceBaseline", "Estimate", "Evaluation", "FileScore", "Located", "ReliabilityRow", "Row", "Scores"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileScore(_Record):
    """One file: what is known of it and what the detector said."""

    file: str
    label: Literal[0, 1]
    kind: str = ""
    site: str = ""
    group: str = ""
    quality: str = ""
    score: float | None = None
    coherence: float | None = None
    box: Box | None = None
    located: bool | None = None
    best_iou: float | None = None
    seconds: float = 0.0
    message: str = ""

    @property
    def readable(self) -> bool:
        """Whether the file could be scored."""
        return self.score is not None


class Estimate(_Record):
    """A number with its 95 % interval; None where the data do not define it."""

    value: float | None
    low: float | None = None
    high: float | None = None
    files: int = Field(description="Files that the number rests on.")
    groups: int = Field(description="Groups of dependent files among them.")
    method: Literal["bootstrap", "wilson", "none"] = Field(description="How the interval was made.")


class Scores(_Record):
    """Scores over all files."""

    auroc: Estimate
    average_precision: Estimate
    accuracy: Estimate
    precision: Estimate
    recall: Estimate
    f1: Estimate
    false_alarm_rate: Estimate
    brier_score: Estimate
    calibration_error: Estimate
    macro_auroc: Estimate = Field(
        description="Mean over sites of the AUROC of the site's positives against all others."
    )
    macro_recall: Estimate = Field(description="Mean over sites of the recall.")


class Row(_Record):
    """Scores of one kind or site."""

    name: str
    positives: int
    negatives: int
    auroc: Estimate = Field(description="Its positives against the negatives of all kinds and sites.")
    recall: Estimate
    false_alarm_rate: Estimate


class Located(_Record):
    """Agreement of detections with the boxes that the data set gives."""

    hit: Estimate = Field(description="Share of boxes that at least one detection overlaps.")
    mean_iou: Estimate = Field(description="Mean over boxes of the best intersection over union of boxes.")


class CoherenceBaseline(_Record):
    """What mean local phase coherence alone would score, to unmask a detector that merely measures it."""

    auroc: Estimate
    direction: Literal["less coherent = deformation", "more coherent = deformation"]
    correlation_in_quiet: float | None = Field(
        description="Spearman correlation of score and coherence over the negatives; None where it is undefined."
    )


class ReliabilityRow(_Record):
    """Files whose score lies in [low, high): mean score, and the share of them that show deformation."""

    low: float
    high: float
    files: int
    mean_probability: float
    observed_share: float
    observed_low: float
    observed_high: float


class Evaluation(_Record):
    """The result of an evaluation."""

    model: str
    model_version: str
    precision: str
    threshold: float
    threshold_from: Literal["card", "argument"]
    positives: int
    negatives: int
    groups: int
    sites: int
    scores: Scores
    kinds: tuple[Row, ...]
    by_site: tuple[Row, ...]
    located: Located | None
    coherence_baseline: CoherenceBaseline
    reliability: tuple[ReliabilityRow, ...]
    unreadable: tuple[FileScore, ...]
    notes: tuple[str, ...]
    seconds: float
    version: str
    settings: dict[str, Any]

    @property
    def exit_code(self) -> int:
        """0: every file was scored; 3: some could not be."""
        return 3 if self.unreadable else 0

    def describe(self, *, width: int | None = None) -> str:
        """Return tables and notes as text, as wide as the terminal or `width`, and at least 80 columns."""
        from rich.console import Console

        from fringewatch.evaluate.table import render

        columns = shutil.get_terminal_size().columns if width is None else width
        text = io.StringIO()
        Console(file=text, width=max(80, columns), highlight=False).print(render(self))
        return "\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines())
