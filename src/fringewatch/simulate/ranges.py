"""What deformation sources are drawn from: the ranges of each kind of source, with their units.

Unless a description says otherwise they are those of the literature named on the documentation page ``physics``.
"""

from __future__ import annotations

import math
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from fringewatch.config import Config
from fringewatch.physics.sources.penny import LOWEST_DEPTH_TO_RADIUS

__all__ = [
    "LEAST_DEPTH_FACTOR",
    "MOST_DEPTH_FACTOR",
    "ClutterRanges",
    "Counts",
    "DykeRanges",
    "EarthquakeRanges",
    "LongwallRanges",
    "MogiRanges",
    "PennyCrackRanges",
    "PositiveCounts",
    "PositiveRange",
    "Range",
    "SheetRanges",
    "SillRanges",
    "WholeRange",
    "within",
]


def _ordered(value: tuple[float, float]) -> tuple[float, float]:
    if not value[0] <= value[1]:
        message = f"range {value} runs backwards; write (smallest, largest), finite numbers"
        raise ValueError(message)
    if math.inf in map(abs, value):
        message = f"range {value} is not finite; write (smallest, largest), finite numbers"
        raise ValueError(message)
    return value


def within(low: float, high: float, why: str) -> AfterValidator:
    """Refuse ranges that leave ``[low, high]``, so that nothing impossible is ever drawn."""

    def check(value: tuple[float, float]) -> tuple[float, float]:
        if value[0] < low or value[1] > high:
            message = f"range {value} leaves what is possible; allowed: {low:g} to {high:g} ({why})"
            raise ValueError(message)
        return value

    return AfterValidator(check)


def _positive(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] <= 0:
        message = f"range {value} starts at or below 0; allowed: values above 0"
        raise ValueError(message)
    return value


LEAST_DEPTH_FACTOR, MOST_DEPTH_FACTOR = 0.9, 1.1
"""By how much the depth of a panel differs from that of its mine."""

Range = Annotated[tuple[float, float], AfterValidator(_ordered)]
PositiveRange = Annotated[Range, AfterValidator(_positive)]
WholeRange = Annotated[tuple[int, int], AfterValidator(_ordered)]
Counts = Annotated[WholeRange, within(0, 10_000, "whole numbers")]
PositiveCounts = Annotated[WholeRange, within(1, 10_000, "whole numbers, one at least")]
_FromZero = Annotated[Range, within(0.0, math.inf, "no negative values")]
_Share = Annotated[PositiveRange, within(0.0, 1.0, "a share of the whole")]
_ShareFromZero = Annotated[Range, within(0.0, 1.0, "a share of the whole")]
_Dip = Annotated[Range, within(0.0, 90.0, "degrees, horizontal to vertical")]
_SeamDip = Annotated[Range, within(0.0, 60.0, "degrees, as the mining model takes them")]
_Magnitude = Annotated[Range, within(4.0, 8.0, "as the scaling laws take them")]
_Size = Annotated[PositiveRange, within(1.0, 1e5, "metres, inside the crust")]
_Opening = Annotated[PositiveRange, within(0.0, 100.0, "metres")]
_MineSize = Annotated[PositiveRange, within(1.0, 1e4, "metres, as mines reach")]
_ClutterSize = Annotated[PositiveRange, within(1.0, 1e5, "metres")]


class MogiRanges(Config):
    """Point source (Mogi 1958)."""

    depth_m: _Size = Field(
        (800.0, 10_000.0), description="Depth, log-uniform; at most 0.35 of the scene's shorter side."
    )
    volume_change_m3: Annotated[PositiveRange, within(1.0, 1e12, "m3, up to the largest eruptions")] = Field(
        (10**5.3, 10**7.7), description="Volume change, log-uniform, either sign."
    )


class DykeRanges(Config):
    """Steep opening rectangle (Okada 1985)."""

    top_m: Annotated[_FromZero, within(0.0, 1e5, "metres, inside the crust")] = Field(
        (0.0, 2500.0), description="Depth of the upper edge; a share reaches the surface."
    )
    width_m: _Size = Field((1000.0, 6000.0), description="Size down dip.")
    length_m: _Size = Field(
        (2000.0, 12_000.0), description="Size along strike; at most 0.7 of the scene's shorter side."
    )
    dip_deg: _Dip = Field((65.0, 90.0), description="Dip.")
    opening_m: _Opening = Field((0.1, 1.5), description="Opening, log-uniform; a share closes.")

    @model_validator(mode="after")
    def _refuse_sheets_on_the_surface(self) -> Self:
        if self.top_m[0] == 0 and self.dip_deg[1] == 0:
            message = "dip_deg ends at 0 and top_m starts at 0, on the surface; allowed: a dip or a depth above 0"
            raise ValueError(message)
        return self


class SillRanges(Config):
    """Flat opening rectangle (Okada 1985)."""

    top_m: _Size = Field(
        (1000.0, 6000.0), description="Depth of the upper edge, log-uniform; at most 0.3 of the scene's shorter side."
    )
    width_m: _Size = Field((1500.0, 7000.0), description="Size down dip.")
    length_m: _Size = Field((1500.0, 7000.0), description="Size along strike.")
    dip_deg: _Dip = Field((0.0, 12.0), description="Dip.")
    opening_m: _Opening = Field((0.1, 1.5), description="Opening, log-uniform; a share closes.")


class SheetRanges(Config):
    """Flat body of magma or gas of any outline: many small horizontal cracks at one depth (Okada 1985)."""

    half_width_m: _Size = Field(
        (800.0, 5000.0), description="Shorter half axis, log-uniform; at most 0.25 of the scene's shorter side."
    )
    aspect: Annotated[PositiveRange, within(1.0, 5.0, "longer over shorter axis")] = Field(
        (1.0, 3.0), description="Longer over shorter axis."
    )
    depth_over_half_width: Annotated[PositiveRange, within(0.25, 4.0, "as the lattice of cracks allows")] = Field(
        (0.35, 1.5), description="Depth over the shorter half axis, log-uniform: shallow ones lift a plateau."
    )
    lobes: _Share = Field((0.02, 0.3), description="By how much the outline differs from an ellipse.")
    opening_m: _Opening = Field((0.02, 2.0), description="Largest opening, log-uniform; a share closes.")


class PennyCrackRanges(Config):
    """Pressurised horizontal circular crack (Fialko, Khazan and Simons 2001)."""

    radius_m: _Size = Field(
        (1000.0, 6000.0), description="Radius, log-uniform; at most 0.3 of the scene's shorter side."
    )
    depth_m: _Size = Field(
        (800.0, 10_000.0),
        description="Depth, log-uniform; at least 0.8 of the radius, at most 0.35 of the scene's shorter side.",
    )
    pressure_pa: Annotated[PositiveRange, within(1.0, 1e9, "Pa, more than any rock holds")] = Field(
        (1e5, 1e7), description="Excess pressure, log-uniform, either sign; the strength of rock limits it."
    )
    shear_modulus_pa: Annotated[PositiveRange, within(1e6, 1e12, "Pa, mud to mantle")] = Field(
        (4e9, 30e9), description="Shear modulus, log-uniform: fractured edifice to solid crust."
    )

    @model_validator(mode="after")
    def _refuse_shallow_cracks(self) -> Self:
        shallowest = LOWEST_DEPTH_TO_RADIUS * self.radius_m[0]
        if self.depth_m[1] < shallowest:
            message = (
                f"depth_m ends at {self.depth_m[1]:g}, too shallow for any radius from {self.radius_m[0]:g}; allowed: "
                f"an end of at least {shallowest:g} ({LOWEST_DEPTH_TO_RADIUS} times the radius)"
            )
            raise ValueError(message)
        return self


class EarthquakeRanges(Config):
    """Rupture of uniform slip (Okada 1985), its size by scaling laws from its magnitude."""

    magnitude: _Magnitude = Field((4.5, 6.8), description="Moment magnitude; lowered until the rupture fits the scene.")
    top_m: _Size = Field((300.0, 8000.0), description="Depth of the upper edge, log-uniform.")
    strike_slip_dip_deg: _Dip = Field((60.0, 90.0), description="Dip of strike-slip ruptures.")
    reverse_dip_deg: _Dip = Field((15.0, 60.0), description="Dip of reverse ruptures.")
    normal_dip_deg: _Dip = Field((35.0, 75.0), description="Dip of normal ruptures.")
    rake_scatter_deg: float = Field(25.0, ge=0, le=90, description="Standard deviation of the rake about its style.")
    slip_over_median: Annotated[PositiveRange, within(0.01, 100.0, "times the scaling law")] = Field(
        (0.5, 2.0), description="Slip over that of the scaling law, which scatters as much, log-uniform."
    )


class LongwallRanges(Config):
    """Longwall panels of one mine, caught between two days of their advance (Knothe 1957)."""

    depth_m: _MineSize = Field(
        (200.0, 1100.0), description="Depth of the seam, log-uniform; panels of a mine differ by up to a tenth."
    )
    width_m: _MineSize = Field((150.0, 300.0), description="Length of the face, across the advance.")
    length_m: _MineSize = Field((500.0, 2000.0), description="Size along the advance.")
    tan_beta: Annotated[PositiveRange, within(0.1, 10.0, "of angles of 6 to 84 degrees")] = Field(
        (1.5, 2.6), description="Tangent of the angle of main influence."
    )
    seam_thickness_m: Annotated[PositiveRange, within(0.01, 50.0, "metres, as the thickest seams are mined")] = Field(
        (1.0, 4.0), description="Extracted thickness."
    )
    caving_factor: _Share = Field((0.5, 0.9), description="Subsidence factor where the roof caves in.")
    backfill_factor: _Share = Field((0.1, 0.3), description="Subsidence factor where the goaf is filled.")
    backfill_share: float = Field(0.25, ge=0, le=1, description="Share of mines with backfill.")
    advance_m_per_day: Annotated[PositiveRange, within(0.01, 1000.0, "metres per day")] = Field(
        (2.0, 10.0), description="Advance of the face."
    )
    time_factor_per_day: Annotated[PositiveRange, within(1e-4, 100.0, "per day")] = Field(
        (0.02, 0.2), description="Knothe's time factor, log-uniform."
    )
    at_once_share: float = Field(0.3, ge=0, le=1, description="Share of panels over which the ground follows at once.")
    horizontal_factor: _ShareFromZero = Field(
        (0.25, 0.4), description="Horizontal motion over slope and influence radius."
    )
    pim_share: float = Field(
        0.3, ge=0, le=1, description="Share of mines by the probability integral method: dipping seam, inset edges."
    )
    seam_dip_deg: _SeamDip = Field((0.0, 25.0), description="Dip of the seam; PIM only.")
    inflection_over_depth: _ShareFromZero = Field(
        (0.05, 0.15), description="Inset of the inflection point over depth, at most 0.35 of the face; PIM only."
    )
    dip_propagation: _Share = Field((0.5, 0.8), description="Share of the dip by which influence tilts; PIM only.")
    long_share: float = Field(
        0.25, ge=0, le=1, description="Share of pairs or stacks of 3 to 15 times the interval: whole troughs."
    )
    beside_share: float = Field(0.6, ge=0, le=1, description="Share of further panels that lie beside the one before.")
    pillar_m: Annotated[Range, within(0.0, 1e4, "metres, as mines reach")] = Field(
        (10.0, 60.0), description="Coal left standing between neighbouring panels."
    )
    partial_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of mines that leave strips or pillars standing to carry the roof.",
    )
    partial_factor: _Share = Field((0.03, 0.15), description="Subsidence factor over such mines.")
    after_share: float = Field(
        0.0, ge=0, le=1, description="Share of panels caught after their face stopped, where the ground still follows."
    )
    small_share: float = Field(
        0.0, ge=0, le=1, description="Share of mines that are small and shallow: short faces, caverns, private pits."
    )
    small_depth_m: _MineSize = Field((60.0, 200.0), description="Depth of such mines, log-uniform.")
    small_width_m: _MineSize = Field((40.0, 120.0), description="Width of their panels.")
    small_length_m: _MineSize = Field((60.0, 400.0), description="Length of their panels.")

    def small(self) -> LongwallRanges:
        """Return the ranges of a mine that is small."""
        return self.model_copy(
            update={
                "depth_m": self.small_depth_m,
                "width_m": self.small_width_m,
                "length_m": self.small_length_m,
                "small_share": 0.0,
            }
        )

    @model_validator(mode="after")
    def _refuse_more_roofs_than_mines(self) -> Self:
        total = self.backfill_share + self.partial_share
        if total > 1:
            message = f"backfill_share and partial_share add up to {total:g}; allowed: 1 at most, the rest caves in"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _refuse_seams_that_reach_the_surface(self) -> Self:
        steepest = math.sin(math.radians(self.seam_dip_deg[1]))
        for prefix in ("", "small_"):
            rises = {
                "the widest panel of the steepest seam": 0.5 * float(getattr(self, f"{prefix}width_m")[1]) * steepest,
                "the thickest seam": self.seam_thickness_m[1],
            }
            shallowest = float(getattr(self, f"{prefix}depth_m")[0])
            for what, rise in rises.items():
                if LEAST_DEPTH_FACTOR * shallowest <= rise:
                    message = (
                        f"{prefix}depth_m starts at {shallowest:g}, where {what} reaches the surface; allowed: more "
                        f"than {rise / LEAST_DEPTH_FACTOR:g}"
                    )
                    raise ValueError(message)
        return self


class ClutterRanges(Config):
    """What is mistaken for small troughs: local delay, fields, patches of noise in coherent phase."""

    cells_share: float = Field(0.0, ge=0, le=1, description="Share of scenes with cells of local delay.")
    cells: PositiveCounts = Field((1, 4), description="Fewest and most such cells.")
    cell_m: _ClutterSize = Field((300.0, 3000.0), description="Full width at half maximum of a cell, log-uniform (m).")
    cell_std_m: float = Field(
        0.006,
        ge=0,
        le=1,
        description="Standard deviation of the peak delay of a cell of 2 km (m LOS), drawn out to twice that; grows "
        "with the 5/6 power of the width, as turbulence does.",
    )
    fields_share: float = Field(
        0.0, ge=0, le=1, description="Share of scenes with fields: parcels whose soil moisture and growth differ."
    )
    field_m: _ClutterSize = Field((60.0, 800.0), description="Width of the fields of a scene, log-uniform (m).")
    field_std_rad: Annotated[Range, within(0.0, 10.0, "radians; more is noise")] = Field(
        (0.1, 0.9), description="Standard deviation of the phase between fields, of a scene (rad)."
    )
    field_loss: _ShareFromZero = Field(
        (0.0, 0.7), description="Largest share of coherence that a field loses, of a scene."
    )
    spots_share: float = Field(
        0.0, ge=0, le=1, description="Share of scenes with patches of noise: woods, ponds, heaps, open pits."
    )
    spots: PositiveCounts = Field((1, 8), description="Fewest and most such patches.")
    spot_m: _ClutterSize = Field((60.0, 1500.0), description="Diameter of a patch, log-uniform (m).")
    spot_kept: _ShareFromZero = Field((0.0, 0.5), description="Share of coherence that is left in a patch.")
    spot_std_rad: float = Field(0.5, ge=0, le=10, description="Standard deviation of the phase of a patch (rad).")
