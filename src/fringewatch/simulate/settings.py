"""The settings of `fringewatch simulate`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from fringewatch.config import Config
from fringewatch.errors import ConfigError
from fringewatch.simulate.spec import PresetName, SceneSpec, preset

__all__ = ["HARMLESS", "SimulateConfig"]

HARMLESS = {"out", "count", "workers", "preview"}
"""Settings that do not change a scene: a run can be gone on with under others."""

_MAX_WORKERS = 8
# LiCSAR's names of frames have five digits for the scene and six for the seed.
_MAX_FRAMES, _MAX_FRAME_SEED = 100_000, 1_000_000


class SimulateConfig(Config):
    """Simulate interferograms with known deformation: labelled patches, LiCSAR scenes, or time series of one place."""

    out: Path = Field(Path("simulated"), description="Folder to write into; a run that was stopped goes on there.")
    preset: PresetName = Field("mixed", description="Population of scenes.")
    spec: dict[str, Any] = Field(
        default_factory=dict, description="Fields of SceneSpec that differ from the preset (in a --config file)."
    )
    count: int = Field(16, ge=1, description="Number of scenes, or of series with --dates.")
    balanced: bool = Field(False, description="Exactly half of the scenes with visible deformation, every other one.")
    validation_share: float = Field(
        0.2, ge=0, le=0.9, description="Share of the scenes whose split in the manifest is validation, else train."
    )
    form: Literal["patches", "licsar"] = Field(
        "patches", description="Patches (PNG by label) or scenes in LiCSAR form with truth; both with manifest.csv."
    )
    size_px: int | None = Field(None, ge=32, le=4096, description="Height and width; default: the preset's.")
    crop_px: tuple[int, int] | None = Field(
        None,
        description="Cut each patch of a --balanced set to its deformation, with sides between these; quiet patches "
        "are cut like their neighbours in the set, so that size tells no class. Give --size-px for the scenes.",
    )
    dem: Path | None = Field(
        None, description="Elevation model of the place to simulate, any raster with coordinates; else made up."
    )
    los: tuple[str, ...] = Field(
        (),
        description="Line of sight over --dem: asc or desc (Sentinel-1); the E, N and U files of a LiCSAR frame, or "
        "one of them, or their folder; HyP3's lv_theta; or a file of incidences and one of headings (degrees).",
    )
    pixel_m: float | None = Field(None, gt=0.5, le=1000, description="Pixel size over --dem (m); default: the DEM's.")
    noise_from: Path | None = Field(
        None, description="Folder of real quiet patches for backgrounds; with --dem their spectrum is measured as well."
    )
    noise_pixel_m: float = Field(100.0, gt=0.5, le=1000, description="Pixel size of those patches (m).")
    dates: int | None = Field(
        None, ge=2, le=500, description="Simulate time series with this many acquisitions each, form licsar."
    )
    interval_days: int = Field(12, ge=1, le=366, description="Days between the acquisitions of a series.")
    max_days: int = Field(36, ge=1, description="All pairs of a series up to this many days are formed.")
    workers: int | None = Field(
        None, ge=1, le=256, description=f"Processes; one per core, at most {_MAX_WORKERS}, if not given."
    )
    preview: bool = Field(False, description="Also draw preview.png, a contact sheet of the first scenes.")
    seed: int = Field(0, ge=0, description="Seed; the same seed gives the same scenes.")

    @model_validator(mode="after")
    def _check(self) -> SimulateConfig:
        if self.dem is None and (self.los or self.pixel_m is not None):
            given = "los" if self.los else "pixel_m"
            message = f"{given}: belongs to a place, which --dem names; add --dem file.tif"
            raise ValueError(message)
        if self.crop_px is not None and not 16 <= self.crop_px[0] <= self.crop_px[1]:
            message = f"crop_px = {self.crop_px}: expected the shortest side, at least 16 pixels, and the longest"
            raise ValueError(message)
        if self.crop_px is not None and (self.form != "patches" or not self.balanced):
            message = (
                "crop_px: patches are cut, in pairs of one that deforms and a quiet one; add --balanced, --form patches"
            )
            raise ValueError(message)
        if self.dates is not None and self.form != "licsar":
            message = "dates: a series is written as the pairs of a LiCSAR frame; add --form licsar"
            raise ValueError(message)
        if self.dates is not None and self.max_days < self.interval_days:
            message = (
                f"max_days = {self.max_days} is less than interval_days = {self.interval_days}: there would be no pair"
            )
            raise ValueError(message)
        if self.dates is not None and self.noise_from is not None and self.dem is None:
            message = "noise_from: real pairs cannot be dates; a series takes their spectrum, for a place: add --dem"
            raise ValueError(message)
        if self.form == "licsar" and (self.count > _MAX_FRAMES or self.seed >= _MAX_FRAME_SEED):
            message = (
                f"count = {self.count}, seed = {self.seed}: frame names of LiCSAR have room for {_MAX_FRAMES:,} scenes "
                f"and seeds below {_MAX_FRAME_SEED:,}; use another --out and --seed for the rest, or --form patches"
            )
            raise ValueError(message)
        return self

    def population(self) -> SceneSpec:
        """Return the preset with `spec` and `size_px` on top.

        Raises
        ------
        ConfigError
            If `spec` holds what no SceneSpec has, or a balanced set is wanted of a population with one label.
        """
        base = preset(self.preset).model_dump() | self.spec
        if self.size_px is not None:
            base |= {"height_px": self.size_px, "width_px": self.size_px}
        population = SceneSpec.build(base, where="spec")
        side = min(population.height_px, population.width_px)
        if self.crop_px is not None and self.crop_px[1] > side:
            longest = self.crop_px[1]
            message = f"crop_px = {self.crop_px}: scenes have sides of {side} pixels; give --size-px {longest} or more"
            raise ConfigError(message)
        quiet = population.kinds.get("quiet", 0.0)
        if self.balanced and quiet >= sum(population.kinds.values()):
            message = f"kinds = {population.kinds}: a balanced set needs a kind that deforms; give one a weight above 0"
            raise ConfigError(message)
        return population

    def processes(self) -> int:
        """Return how many processes to use."""
        return self.workers or min(_MAX_WORKERS, len(os.sched_getaffinity(0)))
