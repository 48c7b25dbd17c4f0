"""What a run of ``fringewatch prepare`` is told, and what it returns."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from fringewatch.config import Config
from fringewatch.fringes import HIGH, LOW, MIN_SCORE, SIGMA_PX
from fringewatch.products.reference import Kind, Sign

if TYPE_CHECKING:
    from fringewatch.prepare.journal import SceneRow

__all__ = ["PrepareConfig", "PrepareResult"]

NETWORK_SIZE_PX = {"alexnet": 227, "vgg16": 224, "inception_v3": 224, "resnet50": 224, "densenet121": 224}
"""Side of the patches of the study's networks."""


class PrepareConfig(Config):
    """Cut interferograms into labelled patches for training: windows with fringe edges, as the study did."""

    inputs: tuple[str, ...] = Field(
        (),
        description="Files, folders (searched with all below), patterns in quotes, or http(s):// and s3:// addresses; "
        "with --class-folders, folders of class folders.",
        json_schema_extra={"positional": True},
    )
    out: Path = Field(Path("patches"), description="Folder for the data set; made if missing.")
    labels: tuple[Path, ...] = Field(
        (),
        description="Where it deforms: polygons (GeoJSON, GeoPackage, Shapefile), tables (CSV), masks (PNG, GeoTIFF, "
        "npy, npz) or folders of masks. Without any, the truth beside simulated scenes is used.",
    )
    class_folders: bool = Field(
        False, description="Inputs are folders of class folders: every picture in them is a patch, or is cut to one."
    )
    unlabelled: Literal["skip", "none"] = Field(
        "skip", description="Scenes of which no label says anything: leave them out, or take all of it as background."
    )
    crops: bool = Field(
        False,
        description="Cut patches of any size about patterns of fringes, with thresholds of the scene's own, instead of "
        "windows of one size: for small patterns and networks that take any size.",
    )
    min_score: float = Field(
        MIN_SCORE, ge=0, le=1, description="Least score of a pattern, with --crops; lower finds more, and more noise."
    )
    margin: float = Field(
        0.5,
        ge=0,
        le=10,
        description="Surroundings on each side of a pattern, with --crops, over the square root of its area.",
    )
    network: Literal["alexnet", "vgg16", "inception_v3", "resnet50", "densenet121"] | None = Field(
        None, description="Network whose input size the patches have: 227 px for AlexNet, 224 px for the others."
    )
    size_px: int | None = Field(
        None,
        ge=16,
        le=4096,
        description="Side of the patches, instead of a network's; 224 if neither is given. With --class-folders "
        "pictures keep their own size if neither is given.",
    )
    step_px: int | None = Field(
        None, ge=1, description="Distance of neighbouring windows; half of their side if not given."
    )
    sigma_px: float = Field(SIGMA_PX, ge=0.5, le=20, description="Gaussian filter before the edges, pixels.")
    low: float = Field(LOW, gt=0, description="Low threshold of the edges, grey levels (0 to 255) per pixel.")
    high: float = Field(HIGH, gt=0, description="High threshold, above which an edge is strong.")
    min_strong_px: int = Field(24, ge=1, description="Pixels of strong edges that a window needs to become a patch.")
    min_valid: float = Field(0.5, ge=0, le=1, description="Share of a window, within the scene, that must hold data.")
    min_overlap: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of a labelled area that a window must hold (of the window, where the area is larger) to get "
        "its label; windows with less of it are left out.",
    )
    keep_background: bool = Field(
        False, description="Also write windows without strong edges, as background; else they are only counted."
    )
    validation: float = Field(0.2, ge=0, lt=1, description="Share of the patches that validation gets, by whole sites.")
    split_by: Literal["site", "scene"] = Field(
        "site", description="What training and validation must not share; scenes of one place are not independent."
    )
    balance: bool = Field(
        True,
        description="Make the classes of the training split equal by augmented copies: turns, mirrors, offset, sign.",
    )
    kind: Kind = Field("auto", description="What the files hold; judged from name and content if not given.")
    phase_sign: Sign | None = Field(None, description="What phase grows with, for files that do not say.")
    band: int | None = Field(None, ge=1, description="Band that holds the phase, for files with several.")
    nodata: float | None = Field(None, description="Value that means no data, for files that do not say.")
    pictures: int = Field(24, ge=0, description="Most scenes of which edges and windows are drawn, the first ones.")
    overwrite: bool = Field(False, description="Do every scene again, also those that an earlier run finished.")
    workers: int | None = Field(
        None, ge=1, description="Scenes worked on at once; one per core, at most 8, by default."
    )
    seed: int = Field(0, ge=0, description="Seed of the split and of the augmentation.")

    @property
    def patch_px(self) -> int | None:
        """Side of the patches; None where pictures or crops have their own."""
        if self.size_px is not None:
            return self.size_px
        if self.network is not None:
            return NETWORK_SIZE_PX[self.network]
        return None if self.class_folders or self.crops else 224


@dataclasses.dataclass(frozen=True)
class PrepareResult:
    """What a run of ``fringewatch prepare`` made.

    Attributes
    ----------
    out
        Folder of the data set.
    rows
        One per input file, in the order of the inputs.
    classes
        Name of each label.
    counts
        Number of patches by class, and in it by ``train``, ``copies`` (augmented, for training) and ``validation``.
    kept
        Number of scenes taken over from an earlier run.
    warnings
        Sentences about what may be wrong with the data set.
    interrupted
        Whether the user stopped it; `rows` then lacks what was not done.
    seconds
        Wall time.
    """

    out: Path
    rows: tuple[SceneRow, ...]
    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    kept: int
    warnings: tuple[str, ...]
    interrupted: bool
    seconds: float

    @property
    def manifest(self) -> Path:
        """The table of the patches."""
        return self.out / "manifest.csv"

    @property
    def table(self) -> Path:
        """The table of the scenes."""
        return self.out / "prepare.csv"

    @property
    def failed(self) -> list[SceneRow]:
        """Rows of files that could not be used."""
        return [row for row in self.rows if row.status == "failed"]

    @property
    def exit_code(self) -> int:
        """0: every file was used; 1: no patch came out; 3: some files failed; 130: stopped by the user."""
        if self.interrupted:
            return 130
        if len(self.failed) == len(self.rows) or not any(sum(parts.values()) for parts in self.counts.values()):
            return 1
        return 3 if self.failed else 0

    def describe(self) -> str:
        """Return the outcome as a short table for a terminal."""
        from fringewatch.prepare.summary import describe

        return describe(self)
