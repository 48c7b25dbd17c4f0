"""What a run of ``fringewatch detect`` is told, and what it returns."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal, Self, get_args

from pydantic import Field, model_validator

from fringewatch.config import Config, Place
from fringewatch.models.bundle import DEFAULT_BUNDLE
from fringewatch.models.card import Precision
from fringewatch.products.reference import Kind, Sign
from fringewatch.report import SceneRow, report_order

__all__ = ["ARCHIVE_SCENES", "FAILURES_NAME", "DetectConfig", "DetectResult", "Kept", "Totals"]

Kept = Literal["maps", "outlines", "pictures"]
"""Kinds of files of a scene."""

ARCHIVE_SCENES = 1_000
"""More scenes than these are an archive."""
FAILURES_NAME = "failed.csv"


class DetectConfig(Config):
    """Find deformation in interferograms and write maps, outlines, pictures, a table and a report."""

    inputs: tuple[Place, ...] = Field(
        (),
        description="Files, folders (searched with all below), patterns in quotes, or http(s):// and s3:// addresses.",
        json_schema_extra={"positional": True},
    )
    out: Path = Field(Path("results"), description="Folder for the results; made if missing.")
    model: Place = Field(DEFAULT_BUNDLE, description="Name or folder of a model bundle; see `fringewatch models`.")
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
    pixel_size_m: float | None = Field(
        None, gt=0.1, le=10_000, description="Side of a pixel on the ground (m), for files without coordinates."
    )
    band: int | None = Field(None, ge=1, description="Band that holds the phase, for files with several.")
    nodata: float | None = Field(None, description="Value that means no data, for files that do not say.")
    interval_days: float | None = Field(
        None, gt=0, description="Days over which a velocity becomes displacement and phase; needed for velocities only."
    )
    height_trend: Literal["check", "remove", "keep"] = Field(
        "check",
        description="Where terrain heights are known, what to do about phase that is proportional to them, as "
        "stratified delay is: of flagged scenes that follow the terrain, say what the score is without it; remove it "
        "from every scene before the scan; or neither.",
    )
    png: bool = Field(True, description="Draw a picture of every scene.")
    keep: str | None = Field(
        None,
        pattern=r"^(none|(maps|outlines|pictures)(,(maps|outlines|pictures))*)$",
        description="Files kept of every scene: none, or maps, outlines and pictures joined by commas. All of them if "
        "not given, and none in an archive (more than 1,000 scenes, or any option that names one below).",
    )
    catalog: Place | None = Field(
        None,
        description="Catalogue that scenes and detections go to: a GeoPackage, or postgresql://user@host/database. "
        "Makes the run that of an archive; without it an archive's is catalog.gpkg in the output folder.",
    )
    sites: tuple[Path, ...] = Field(
        (), description="Your own sites for the catalogue, CSV or any vector file, besides the world's volcanoes."
    )
    watch: bool = Field(
        False, description="Go on when all is done and scan what arrives, until Ctrl-C; runs as an archive."
    )
    watch_seconds: float = Field(
        30.0, gt=0, description="Pause between two looks; a file is scanned once it is the same in two of them."
    )
    cluster: str | None = Field(
        None,
        pattern=r"^(local|slurm|kubernetes|(tcp|tls|ucx|ws|wss)://.+)$",
        description="Where the work is done, through Dask: local, the address of a scheduler (tcp://host:8786), slurm "
        "or kubernetes. On the processors of this machine, without Dask, if not given; runs as an archive.",
    )
    report_pictures: int = Field(60, ge=0, description="Most pictures in report.html, highest scores first.")
    overwrite: bool = Field(False, description="Do every scene again, also those that an earlier run finished.")
    workers: int | None = Field(
        None,
        ge=1,
        description="Scenes worked on at once, by threads; in an archive processes, or workers of the cluster. One per "
        "core, at most 8 threads, if not given; each may take 1 GB.",
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

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.png and self.kept_files is not None and "pictures" in self.kept_files:
            message = f"keep = {self.keep} asks for pictures and png = false for none; leave out one of the two"
            raise ValueError(message)
        return self

    @property
    def kept_files(self) -> tuple[Kept, ...] | None:
        """Kinds of files that the user wants of every scene; None where nothing was said."""
        if self.keep is None:
            return None
        return tuple(kind for kind in get_args(Kept) if kind in self.keep.split(","))

    def keeps(self, kind: Kept) -> bool:
        """Tell whether a run over few scenes writes a kind of file of every scene."""
        return kind in (self.kept_files or get_args(Kept)) and (self.png or kind != "pictures")

    @property
    def is_archive(self) -> bool:
        """Whether the run is that of an archive, however few the scenes."""
        said = bool(self.catalog or self.cluster or self.watch or self.sites)
        # The detections of a run without a catalogue are gathered from the outlines.
        return said or (self.kept_files is not None and "outlines" not in self.kept_files)


@dataclasses.dataclass(frozen=True)
class Totals:
    """Numbers of a run over an archive: scenes of this run, and scenes taken over from earlier ones (`kept`)."""

    scanned: int = 0
    failed: int = 0
    flagged: int = 0
    detections: int = 0
    kept: int = 0


@dataclasses.dataclass(frozen=True)
class DetectResult:
    """What a run of ``fringewatch detect`` did.

    Attributes
    ----------
    out
        Folder of the results.
    rows
        One per input file, in the order of the inputs; of an archive the flagged ones with the highest scores and the
        first that failed, some hundreds of each.
    kept
        Number of scenes taken over from an earlier run.
    interrupted
        Whether the user stopped it; `rows` then lacks what was not done.
    seconds
        Wall time.
    totals
        Of an archive; None where `rows` has everything.
    catalog
        Of an archive: where all scenes and detections are.
    """

    out: Path
    rows: tuple[SceneRow, ...]
    kept: int
    interrupted: bool
    seconds: float
    totals: Totals | None = None
    catalog: str = ""

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
        if self.totals is not None:
            if not self.totals.failed:
                return 0
            return 3 if self.totals.scanned + self.totals.kept else 1
        if len(self.failed) == len(self.rows):
            return 1
        return 3 if self.failed else 0

    def describe(self) -> str:
        """Return the outcome in a few lines for a terminal."""
        if self.totals is not None:
            return self._describe_archive(self.totals)
        done = len(self.rows) - len(self.failed)
        kept = f" ({self.kept} unchanged since an earlier run)" if self.kept else ""
        lines = [f"{done} of {len(self.rows)} scanned{kept}, {len(self.flagged)} flagged, {self.seconds:.1f} s"]
        lines += _best(self.flagged, len(self.flagged))
        if self.failed:
            lines.append(f"{len(self.failed)} failed; the reasons are in {self.summary}")
        if self.interrupted:
            lines.append("stopped early: the same command goes on from here")
        return "\n".join([*lines, f"report: {self.report}"])

    def _describe_archive(self, totals: Totals) -> str:
        done = totals.scanned + totals.kept
        kept = f" ({totals.kept:,} unchanged since an earlier run)" if totals.kept else ""
        speed = f", {totals.scanned / self.seconds:.1f} scenes/s" if totals.scanned and self.seconds else ""
        lines = [f"{done:,} of {done + totals.failed:,} scanned{kept}, {self.seconds:.1f} s{speed}"]
        lines.append(f"{totals.flagged:,} of {totals.scanned:,} new ones flagged, {totals.detections:,} detections")
        lines += _best(self.flagged, totals.flagged)
        if totals.failed:
            lines.append(f"{totals.failed:,} failed; the reasons are in {self.out / FAILURES_NAME}")
        if self.interrupted:
            lines.append("stopped early: the same command goes on from here")
        return "\n".join([*lines, f"catalogue: {self.catalog}"])


def _best(flagged: list[SceneRow], number: int) -> list[str]:
    lines = []
    for row in flagged[:10]:
        found = f"{row.detections} detection{'' if row.detections == 1 else 's'}"
        lines.append(f"  {row.score:.3f}  {row.name}  ({'; '.join(part for part in (found, row.doubt) if part)})")
    return [*lines, f"  ... and {number - 10:,} more"] if number > 10 else lines
