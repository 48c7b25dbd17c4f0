"""What a run of ``fringewatch detect`` is told, and what it returns."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pydantic import Field

from fringewatch.config import Config
from fringewatch.models.bundle import DEFAULT_BUNDLE
from fringewatch.models.card import Precision
from fringewatch.products.reference import Kind, Sign
from fringewatch.report import SceneRow, report_order

__all__ = ["DetectConfig", "DetectResult"]


class DetectConfig(Config):
    """Find deformation in interferograms and write maps, outlines, pictures, a table and a report."""

    inputs: tuple[str, ...] = Field(
        (),
        description="Files, folders (searched with all below), patterns in quotes, or http(s):// and s3:// addresses.",
        json_schema_extra={"positional": True},
    )
    out: Path = Field(Path("results"), description="Folder for the results; made if missing.")
    model: str = Field(DEFAULT_BUNDLE, description="Name or folder of a model bundle; see `fringewatch models`.")
    precision: Precision | None = Field(
        None, description="Arithmetic of the network; int8 is faster. The model's own choice if not given."
    )
    threshold: float | None = Field(
        None, ge=0, le=1, description="Flag scenes whose score reaches this; the model's own threshold if not given."
    )
    kind: Kind = Field("auto", description="What the files hold; judged from name and content if not given.")
    wavelength_m: float | None = Field(
        None, gt=0.005, lt=2, description="Radar wavelength in metres, for files that do not say (else Sentinel-1's)."
    )
    phase_sign: Sign | None = Field(None, description="What phase grows with, for files that do not say.")
    band: int | None = Field(None, ge=1, description="Band that holds the phase, for files with several.")
    nodata: float | None = Field(None, description="Value that means no data, for files that do not say.")
    interval_days: float | None = Field(
        None, gt=0, description="Days over which a velocity becomes displacement and phase; needed for velocities only."
    )
    png: bool = Field(True, description="Draw a picture of every scene.")
    report_pictures: int = Field(60, ge=0, description="Most pictures in report.html, highest scores first.")
    overwrite: bool = Field(False, description="Do every scene again, also those that an earlier run finished.")
    workers: int | None = Field(
        None, ge=1, description="Scenes worked on at once; each may take 1 GB. One per core, at most 8, if not given."
    )
    windows: bool = Field(
        False,
        description="Cut out every window and run a classifier on each, as the published detector did, instead of "
        "sharing features between windows: the reference, dozens of times slower.",
    )
    tile_px: int | None = Field(
        None,
        ge=64,
        description="Largest side of the network's input in pixels; less takes less memory. 2048 if not given.",
    )


@dataclasses.dataclass(frozen=True)
class DetectResult:
    """What a run of ``fringewatch detect`` did.

    Attributes
    ----------
    out
        Folder of the results.
    rows
        One per input file, in the order of the inputs.
    kept
        Number of scenes taken over from an earlier run.
    interrupted
        Whether the user stopped it; `rows` then lacks what was not done.
    seconds
        Wall time.
    """

    out: Path
    rows: tuple[SceneRow, ...]
    kept: int
    interrupted: bool
    seconds: float

    @property
    def summary(self) -> Path:
        """The table."""
        return self.out / "summary.csv"

    @property
    def report(self) -> Path:
        """The page."""
        return self.out / "report.html"

    @property
    def flagged(self) -> list[SceneRow]:
        """Rows of flagged scenes, highest score first."""
        return [row for row in report_order(self.rows) if row.flagged]

    @property
    def failed(self) -> list[SceneRow]:
        """Rows of files that could not be scanned."""
        return [row for row in self.rows if row.status == "failed"]

    @property
    def exit_code(self) -> int:
        """0: every file was scanned; 1: none could be; 3: some failed; 130: stopped by the user."""
        if self.interrupted:
            return 130
        if len(self.failed) == len(self.rows):
            return 1
        return 3 if self.failed else 0

    def describe(self) -> str:
        """Return the outcome in a few lines for a terminal."""
        done = len(self.rows) - len(self.failed)
        kept = f" ({self.kept} unchanged since an earlier run)" if self.kept else ""
        lines = [f"{done} of {len(self.rows)} scanned{kept}, {len(self.flagged)} flagged, {self.seconds:.1f} s"]
        lines += [
            f"  {row.score:.3f}  {row.name}  ({row.detections} detection{'' if row.detections == 1 else 's'})"
            for row in self.flagged[:10]
        ]
        if len(self.flagged) > 10:
            lines.append(f"  ... and {len(self.flagged) - 10} more")
        if self.failed:
            lines.append(f"{len(self.failed)} failed; the reasons are in {self.summary}")
        if self.interrupted:
            lines.append("stopped early: the same command goes on from here")
        return "\n".join([*lines, f"report: {self.report}"])
