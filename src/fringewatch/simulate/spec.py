"""What a simulated scene is drawn from: every range, with its unit, in one strict model and five presets."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, field_validator

from fringewatch.config import Config
from fringewatch.conventions import SENTINEL1_WAVELENGTH_M
from fringewatch.errors import ConfigError
from fringewatch.simulate.ranges import (
    ClutterRanges,
    DykeRanges,
    EarthquakeRanges,
    LongwallRanges,
    MogiRanges,
    PennyCrackRanges,
    PositiveRange,
    Range,
    SheetRanges,
    SillRanges,
)

__all__ = ["PRESETS", "Kind", "MagmaticSource", "PresetName", "Range", "SceneSpec", "StyleName", "preset"]

Kind = Literal["volcano", "earthquake", "mining", "quiet"]
MagmaticSource = Literal["mogi", "penny-crack", "dyke", "sill", "sheet"]
StyleName = Literal["licsar", "hyp3", "raw"]
PresetName = Literal["volcano", "mining", "earthquake", "quiet", "mixed"]


class SceneSpec(Config):
    """The population that simulated scenes are drawn from.

    A range is drawn uniformly unless its description says log-uniform or otherwise. Sources of the ranges: the
    module's documentation page names the literature for each; defaults suit 12-day Sentinel-1 pairs.
    """

    height_px: int = Field(224, ge=32, le=4096, description="Rows.")
    width_px: int = Field(224, ge=32, le=4096, description="Columns.")
    kinds: dict[Kind, NonNegativeFloat] = Field(
        {"volcano": 0.3, "earthquake": 0.12, "mining": 0.13, "quiet": 0.45},
        description="Weight of each kind of scene; quiet scenes have no deformation.",
    )
    wavelength_m: float = Field(SENTINEL1_WAVELENGTH_M, gt=0.005, lt=2, description="Radar wavelength (m).")
    pixel_size_m: PositiveRange = Field(
        (60.0, 120.0), description="Pixel size of volcano, earthquake and quiet scenes, log-uniform (m)."
    )
    mining_pixel_size_m: PositiveRange = Field(
        (5.0, 100.0),
        description="Pixel size of mining scenes, log-uniform (m); beyond 20 m they are simulated on a grid of 10 to "
        "20 m and averaged as complex numbers.",
    )
    quiet_mining_share: float = Field(
        0.25, ge=0, le=1, description="Share of quiet scenes at mining pixel sizes, so that size tells no class."
    )
    incidence_deg: Range = Field((29.0, 46.0), description="Incidence angle at the scene.")
    fringes: PositiveRange = Field((0.6, 20.0), description="Peak-to-peak deformation in fringes, drawn log-uniformly.")
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
    sources: tuple[int, int] = Field((1, 2), description="Fewest and most volcanic sources in a scene.")
    magmatic: dict[MagmaticSource, float] = Field(
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
    panels: tuple[int, int] = Field((1, 6), description="Fewest and most mining panels in a scene.")
    interval_days: tuple[int, int] = Field((6, 48), description="Days between the two acquisitions.")
    mogi: MogiRanges = Field(MogiRanges(), description="Ranges of point sources.")
    penny_crack: PennyCrackRanges = Field(PennyCrackRanges(), description="Ranges of penny-shaped cracks.")
    dyke: DykeRanges = Field(DykeRanges(), description="Ranges of dykes.")
    sill: SillRanges = Field(SillRanges(), description="Ranges of sills.")
    sheet: SheetRanges = Field(SheetRanges(), description="Ranges of sheets of any outline.")
    earthquake: EarthquakeRanges = Field(EarthquakeRanges(), description="Ranges of earthquakes.")
    longwall: LongwallRanges = Field(LongwallRanges(), description="Ranges of mining panels.")

    relief_m: Range = Field((50.0, 3500.0), description="Highest minus lowest terrain, log-uniform (m).")
    cones: tuple[int, int] = Field((0, 3), description="Fewest and most volcanic cones on the terrain.")
    eroded_share: float = Field(
        0.95, ge=0, le=1, description="Share of cones with lobes and gullies; the others are round."
    )
    caldera_share: float = Field(0.1, ge=0, le=1, description="Share of scenes with a caldera.")
    valley_share: float = Field(0.08, ge=0, le=1, description="Share of scenes with a straight valley.")
    turbulence_m: Range = Field(
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
        0.014, ge=0, description="Standard deviation of the stratified delay coefficient (m LOS per km of height)."
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
    ramp_fringes: Range = Field((0.0, 3.0), description="Orbital or ionospheric ramp across the scene (fringes).")
    ramp_share: float = Field(0.3, ge=0, le=1, description="Share of scenes with such a ramp.")
    steep_ramp_fringes: Range = Field(
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
    ambiguity_m: PositiveRange = Field(
        (20.0, 1000.0), description="Height per fringe of such a residual, log-uniform (m)."
    )

    clutter: ClutterRanges = Field(
        ClutterRanges(),
        description="What is mistaken for small troughs, in deforming and quiet scenes, on simulated and real phase "
        "alike; not in time series.",
    )

    styles: dict[StyleName, float] = Field(
        {"licsar": 0.5, "hyp3": 0.2, "raw": 0.3},
        description="Weight of each product style. licsar draws ground, atmosphere and processing as they occur "
        "together in LiCSAR's quiet scenes, atmosphere inside the ranges above; hyp3 draws ground and atmosphere so; "
        "raw draws everything independently, coherence and processing from the ranges below. Scenes at mining pixel "
        "sizes are not in style licsar, unless it is the only one.",
    )
    coherence: Range = Field((0.15, 0.98), description="Mean coherence of the scene; style raw.")
    looks: Range = Field((4.0, 60.0), description="Effective number of looks, log-uniform; style raw.")
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
    goldstein_alpha: Range = Field((0.3, 0.65), description="Exponent of the Goldstein filter; style raw.")
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
        description="Deformation scenes are drawn again until the deformation's phase gradient is at least this many "
        "times the background's, both as RMS where it is large and resolved by the pixels; 0 keeps everything.",
    )
    min_visible_px: int = Field(
        40, ge=1, description="Deformation scenes are drawn again until so many pixels of it are visible."
    )

    @field_validator("kinds")
    @classmethod
    def _check_kinds(cls, kinds: dict[Kind, float]) -> dict[Kind, float]:
        if not sum(kinds.values()) > 0:
            message = "every weight is 0; give at least one kind of scene a weight above 0"
            raise ValueError(message)
        return kinds

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
