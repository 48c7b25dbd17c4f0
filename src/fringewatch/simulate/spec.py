"""What a simulated scene is drawn from: every range, with its unit, in one strict model and five presets."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, ValidationInfo, field_validator, model_validator

from fringewatch.config import Config
from fringewatch.conventions import SENTINEL1_WAVELENGTH_M
from fringewatch.errors import ConfigError
from fringewatch.simulate.ranges import (
    ClutterRanges,
    Counts,
    DykeRanges,
    EarthquakeRanges,
    LongwallRanges,
    MogiRanges,
    PennyCrackRanges,
    PositiveCounts,
    PositiveRange,
    Range,
    SheetRanges,
    SillRanges,
    WholeRange,
    within,
)

__all__ = ["PRESETS", "Kind", "MagmaticSource", "PresetName", "Range", "SceneSpec", "StyleName", "preset"]

Kind = Literal["volcano", "earthquake", "mining", "quiet"]
MagmaticSource = Literal["mogi", "penny-crack", "dyke", "sill", "sheet"]
StyleName = Literal["licsar", "hyp3", "raw"]
PresetName = Literal["volcano", "mining", "earthquake", "quiet", "mixed"]

_Weight = Annotated[float, Field(ge=0, le=1e9)]
_PixelSize = Annotated[PositiveRange, within(0.5, 1000.0, "metres")]
_Ramp = Annotated[Range, within(0.0, 1000.0, "fringes across the scene, in any direction")]
# Fields of clutter along a side; their table takes 2 GiB.
_MOST_FIELDS = 16_000


class SceneSpec(Config):
    """The population that simulated scenes are drawn from.

    A range is drawn uniformly unless its description says log-uniform or otherwise. Sources of the ranges: the
    module's documentation page names the literature for each; defaults suit 12-day Sentinel-1 pairs.
    """

    height_px: int = Field(224, ge=32, le=4096, description="Rows.")
    width_px: int = Field(224, ge=32, le=4096, description="Columns.")
    kinds: dict[Kind, _Weight] = Field(
        {"volcano": 0.3, "earthquake": 0.12, "mining": 0.13, "quiet": 0.45},
        description="Weight of each kind of scene; quiet scenes have no deformation.",
    )
    wavelength_m: float = Field(SENTINEL1_WAVELENGTH_M, gt=0.005, lt=2, description="Radar wavelength (m).")
    pixel_size_m: _PixelSize = Field(
        (60.0, 120.0), description="Pixel size of volcano, earthquake and quiet scenes, log-uniform (m)."
    )
    mining_pixel_size_m: _PixelSize = Field(
        (5.0, 100.0),
        description="Pixel size of mining scenes, log-uniform (m); beyond 20 m they are simulated on a grid of 10 to "
        "20 m and averaged as complex numbers.",
    )
    quiet_mining_share: float = Field(
        0.25, ge=0, le=1, description="Share of quiet scenes at mining pixel sizes, so that size tells no class."
    )
    incidence_deg: Annotated[Range, within(0.0, 89.0, "degrees from the vertical, above the horizon")] = Field(
        (29.0, 46.0), description="Incidence angle at the scene."
    )
    fringes: PositiveRange = Field(
        (0.6, 20.0),
        description="Peak-to-peak deformation in fringes, log-uniform: of each volcanic source (several in a scene add "
        "up or cancel), of an earthquake, or of all panels of a mine together.",
    )
    weak_share: float = Field(
        0.0, ge=0, le=1, description="Share of mining scenes whose peak-to-peak deformation is drawn from weak_fringes."
    )
    weak_fringes: PositiveRange = Field((0.5, 2.5), description="Fringes of such weak scenes, log-uniform.")
    low_snr_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of mining scenes that are drawn again, ground and all, until their signal-to-noise ratio is "
        "within low_snr; those for which none is found stay as they come.",
    )
    low_snr: PositiveRange = Field((1.0, 8.0), description="Signal-to-noise ratio of such scenes.")
    sources: PositiveCounts = Field((1, 2), description="Fewest and most volcanic sources in a scene.")
    magmatic: dict[MagmaticSource, _Weight] = Field(
        {"mogi": 0.32, "penny-crack": 0.12, "dyke": 0.18, "sill": 0.13, "sheet": 0.25},
        description="Weight of each volcanic source.",
    )
    topography_share: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Share of volcano and earthquake scenes in which the depth of the source is corrected for the "
        "height of each pixel.",
    )
    panels: PositiveCounts = Field((1, 6), description="Fewest and most mining panels in a scene.")
    # Pairs of 15 times as many days end in this century, which names of files need.
    interval_days: Annotated[WholeRange, within(1, 1900, "days, five years")] = Field(
        (6, 48), description="Days between the two acquisitions."
    )
    mogi: MogiRanges = Field(MogiRanges(), description="Ranges of point sources.")
    penny_crack: PennyCrackRanges = Field(PennyCrackRanges(), description="Ranges of penny-shaped cracks.")
    dyke: DykeRanges = Field(DykeRanges(), description="Ranges of dykes.")
    sill: SillRanges = Field(SillRanges(), description="Ranges of sills.")
    sheet: SheetRanges = Field(SheetRanges(), description="Ranges of sheets of any outline.")
    earthquake: EarthquakeRanges = Field(EarthquakeRanges(), description="Ranges of earthquakes.")
    longwall: LongwallRanges = Field(LongwallRanges(), description="Ranges of mining panels.")

    relief_m: Annotated[Range, within(0.001, 1e4, "metres; log-uniform, so above 0: 0.001 is flat")] = Field(
        (50.0, 3500.0), description="Highest minus lowest terrain, log-uniform (m); 0.001 is flat."
    )
    cones: Counts = Field((0, 3), description="Fewest and most volcanic cones on the terrain.")
    eroded_share: float = Field(
        0.95, ge=0, le=1, description="Share of cones with lobes and gullies; the others are round."
    )
    caldera_share: float = Field(0.1, ge=0, le=1, description="Share of scenes with a caldera.")
    valley_share: float = Field(0.08, ge=0, le=1, description="Share of scenes with a straight valley.")
    turbulence_m: Annotated[Range, within(1e-9, 1.0, "metres; log-uniform, so above 0: 1e-9 is calm")] = Field(
        (0.001, 0.018), description="Standard deviation of turbulent delay over 20 km, log-uniform (m LOS)."
    )
    smooth_turbulence_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of scenes with smooth turbulence (2-D slope -11/3 at long wavelengths); the others have "
        "Hanssen's three regimes.",
    )
    exponential_turbulence_share: float = Field(
        0.15,
        ge=0,
        le=1,
        description="Share of scenes whose turbulence has an exponential covariance instead, of length 2 to 30 km.",
    )
    stratified_std_m_per_km: float = Field(
        0.014,
        ge=0,
        le=1,
        description="Standard deviation of the stratified delay coefficient (m LOS per km of height).",
    )
    stratified_tail: float = Field(
        0.15, ge=0, le=1, description="Share of scenes whose stratified coefficient is three times as wide."
    )
    strong_stratified_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of scenes with a stratified delay of so many fringes that terrain is mistaken for "
        "deformation; rare in archives, and what detectors raise false alarms for.",
    )
    strong_stratified_fringes: PositiveRange = Field(
        (0.7, 4.0),
        description="Fringes of such a delay between the highest and the lowest point, log-uniform; less where that "
        "would take more than 0.08 m of delay per km of height.",
    )
    ramp_fringes: _Ramp = Field((0.0, 3.0), description="Orbital or ionospheric ramp across the scene (fringes).")
    ramp_share: float = Field(0.3, ge=0, le=1, description="Share of scenes with such a ramp.")
    steep_ramp_fringes: _Ramp = Field(
        (3.0, 25.0), description="Ramp of scenes whose orbits or grids are wrong (fringes)."
    )
    steep_ramp_share: float = Field(0.02, ge=0, le=1, description="Share of scenes with such a steep ramp.")
    ionosphere_share: float = Field(
        0.05, ge=0, le=1, description="Share of scenes with ionosphere-like waves of 10 to 60 km."
    )
    topographic_residual_share: float = Field(
        0.25,
        ge=0,
        le=1,
        description="Share of coherent scenes with fringes along the terrain that processing left; a third of it in "
        "the others.",
    )
    ambiguity_m: Annotated[PositiveRange, within(1.0, 1e6, "metres")] = Field(
        (20.0, 1000.0), description="Height per fringe of such a residual, log-uniform (m)."
    )

    clutter: ClutterRanges = Field(
        ClutterRanges(),
        description="What is mistaken for small troughs, in deforming and quiet scenes, on simulated and real phase "
        "alike; not in time series.",
    )

    styles: dict[StyleName, _Weight] = Field(
        {"licsar": 0.5, "hyp3": 0.2, "raw": 0.3},
        description="Weight of each product style. licsar draws ground, atmosphere and processing as they occur "
        "together in LiCSAR's quiet scenes, atmosphere inside the ranges above; hyp3 draws ground and atmosphere so; "
        "raw draws everything independently, coherence and processing from the ranges below. Scenes at mining pixel "
        "sizes are not in style licsar, unless it is the only one.",
    )
    coherence: Annotated[Range, within(0.001, 0.999, "as the model of coherence takes it")] = Field(
        (0.15, 0.98),
        description="Coherence of the median pixel on flat, dry ground, before slopes, water, clutter and steep "
        "deformation take from it; style raw.",
    )
    looks: Annotated[Range, within(1.0, 1e6, "as the model of phase noise takes them")] = Field(
        (4.0, 60.0), description="Effective number of looks, log-uniform; style raw."
    )
    water_share: float = Field(0.2, ge=0, le=1, description="Share of scenes with water.")
    sea_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of scenes on a coast or an island, also of those on real quiet phase: the sea covers 15 to "
        "80 % of them and is decorrelated. Not where a user's elevation model is given.",
    )
    seam_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Share of scenes with a seam of bursts or frames: a straight line where the phase jumps.",
    )
    goldstein_share: float = Field(0.6, ge=0, le=1, description="Share of scenes with a Goldstein filter; style raw.")
    goldstein_alpha: Annotated[Range, within(0.0, 1.0, "as the filter takes it")] = Field(
        (0.3, 0.65), description="Exponent of the Goldstein filter; style raw."
    )
    nodata_share: float = Field(
        0.3, ge=0, le=1, description="Share of scenes with missing data; a quarter of it in style licsar."
    )
    real_noise_share: float = Field(
        0.5, ge=0, le=1, description="Share of scenes on real quiet phase, where a folder of it is given."
    )
    superposed_noise_share: float = Field(
        0.25, ge=0, le=1, description="Share of those whose background is the sum of two such patches, or twice one."
    )
    min_visibility: float = Field(
        1.0,
        ge=0,
        le=100,
        description="Deformation scenes are drawn again until the deformation's phase gradient is at least this many "
        "times the background's, both as RMS where it is large and resolved by the pixels; 0 keeps everything.",
    )
    min_visible_px: int = Field(
        40, ge=1, description="Deformation scenes are drawn again until so many pixels of it are visible."
    )

    @field_validator("kinds", "magmatic", "styles")
    @classmethod
    def _check_weights(cls, weights: dict[str, float], info: ValidationInfo) -> dict[str, float]:
        if not sum(weights.values()) > 0:
            known = get_args(get_args(cls.model_fields[str(info.field_name)].annotation)[0])
            message = f"every weight is 0 or left out; give at least one of {', '.join(known)} a weight above 0"
            raise ValueError(message)
        return weights

    @model_validator(mode="after")
    def _refuse_more_pixels_than_there_are(self) -> Self:
        if self.min_visible_px > self.height_px * self.width_px:
            message = (
                f"min_visible_px is {self.min_visible_px}, more than a scene has; allowed: at most "
                f"{self.height_px * self.width_px} (height_px times width_px)"
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _refuse_fields_beyond_number(self) -> Self:
        largest_m = math.hypot(self.height_px, self.width_px) * self.pixel_sizes_m()[1]
        narrowest = self.clutter.field_m[0]
        if self.clutter.fields_share > 0 and narrowest < largest_m / _MOST_FIELDS:
            message = (
                f"clutter.field_m starts at {narrowest:g}, too narrow for scenes of {largest_m / 1000:.3g} km; "
                f"allowed: at least {math.ceil(largest_m / _MOST_FIELDS)}"
            )
            raise ValueError(message)
        return self

    def pixel_sizes_m(self) -> tuple[float, float]:
        """Return the smallest and the largest pixel size that scenes of this population have."""
        mining, quiet = (self.kinds.get(kind, 0.0) > 0 for kind in ("mining", "quiet"))
        others = any(weight > 0 for kind, weight in self.kinds.items() if kind not in {"mining", "quiet"})
        sizes: list[float] = []
        if mining or (quiet and self.quiet_mining_share > 0):
            sizes += self.mining_pixel_size_m
        if others or (quiet and self.quiet_mining_share < 1):
            sizes += self.pixel_size_m
        return min(sizes), max(sizes)


PRESETS: dict[PresetName, SceneSpec] = {
    "mixed": SceneSpec(
        strong_stratified_share=0.12,
        weak_share=0.2,
        longwall=LongwallRanges(partial_share=0.1, after_share=0.1, small_share=0.2),
        clutter=ClutterRanges(cells_share=0.08, fields_share=0.08, spots_share=0.12),
    ),
    "volcano": SceneSpec(kinds={"volcano": 0.5, "quiet": 0.5}, quiet_mining_share=0.0, strong_stratified_share=0.12),
    "earthquake": SceneSpec(
        kinds={"earthquake": 0.5, "quiet": 0.5}, quiet_mining_share=0.0, strong_stratified_share=0.12
    ),
    # The hard end of the study's six difficulties: few and weak fringes, small troughs, strong nuisance at their size.
    "mining": SceneSpec(
        kinds={"mining": 0.5, "quiet": 0.5},
        quiet_mining_share=1.0,
        weak_share=0.4,
        low_snr_share=0.3,
        longwall=LongwallRanges(partial_share=0.2, after_share=0.15, small_share=0.35),
        cones=(0, 2),
        turbulence_m=(0.001, 0.03),
        strong_stratified_share=0.15,
        ambiguity_m=(60.0, 1000.0),
        sea_share=0.02,
        goldstein_alpha=(0.3, 1.0),
        clutter=ClutterRanges(cells_share=0.4, fields_share=0.35, spots_share=0.4),
        min_visibility=0.7,
        min_visible_px=16,
    ),
    "quiet": SceneSpec(kinds={"quiet": 1.0}),
}


def preset(name: str, **changes: Any) -> SceneSpec:
    """Return a preset by name.

    Parameters
    ----------
    name
        ``"volcano"``, ``"mining"``, ``"earthquake"``, ``"quiet"`` or ``"mixed"``.
    **changes
        Fields of :class:`SceneSpec` that are to differ, such as ``height_px=96``.

    Raises
    ------
    ConfigError
        If there is no such preset or field, or a value is not allowed.
    """
    for known, spec in PRESETS.items():
        if known == name:
            return SceneSpec.build(spec.model_dump() | changes, where=f"preset {name!r}") if changes else spec
    message = f"preset {name!r}: unknown; choose one of {', '.join(PRESETS)}"
    raise ConfigError(message)
