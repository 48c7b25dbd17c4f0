"""Draw the longwall panels of a mine, how far each has advanced, and what fills the space behind the face."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fringewatch.physics.mining import Panel
from fringewatch.simulate.deformation.source import Deformation
from fringewatch.simulate.deformation.troughs import Advance, Mine, multilook_troughs, unit_troughs
from fringewatch.simulate.distributions import log_uniform
from fringewatch.simulate.ranges import LEAST_DEPTH_FACTOR, MOST_DEPTH_FACTOR

if TYPE_CHECKING:
    from fringewatch.physics.geometry import LookVector
    from fringewatch.simulate.deformation.source import Parameters
    from fringewatch.simulate.ranges import LongwallRanges
    from fringewatch.simulate.spec import SceneSpec

__all__ = ["draw_mine", "draw_roof", "draw_size"]

_MAX_DRAWS = 40


def draw_mine(rng: np.random.Generator, spec: SceneSpec, pixel_m: float, look: LookVector) -> Deformation:
    """Draw longwall panels, each caught in some stage of its advance; neighbours in one mine may merge.

    Geometry is drawn first, then the largest subsidence (thickness times subsidence factor) so that the scene shows the
    wanted fringes, then how it is made up: a thin seam under a roof that caves in, or a thick one with backfill.
    """
    shape = (spec.height_px, spec.width_px)
    fringe_m = spec.wavelength_m / 2
    weak = spec.weak_share > 0 and rng.random() < spec.weak_share
    fringes = spec.weak_fringes if weak else spec.fringes
    for _ in range(_MAX_DRAWS):
        ranges = draw_size(rng, spec.longwall)
        mine, parameters = _draw_panels(rng, spec, ranges, shape, pixel_m)
        roof, factor = draw_roof(rng, ranges)
        possible = (factor[0] * ranges.seam_thickness_m[0], factor[1] * ranges.seam_thickness_m[1])
        troughs = unit_troughs(mine, shape, pixel_m, look)
        highest = max([0.0, *(float(trough.nodes_m.max()) for trough in troughs)])
        lowest = min([0.0, *(float(trough.nodes_m.min()) for trough in troughs)])
        unit = max(highest - lowest, 1e-12)
        low = max(possible[0], fringes[0] * fringe_m / unit)
        high = min(possible[1], fringes[1] * fringe_m / unit)
        if low <= high:
            break
    else:
        # The scene is too small or the range of fringes too narrow: take the nearest that can be mined.
        low = high = float(np.clip(fringes[0] * fringe_m / unit, *possible))
    largest = log_uniform(rng, low, high)
    factor_low = max(factor[0], largest / ranges.seam_thickness_m[1])
    factor_high = min(factor[1], largest / ranges.seam_thickness_m[0])
    subsidence_factor = float(rng.uniform(factor_low, max(factor_low, factor_high)))
    los_m, phasor = multilook_troughs(troughs, shape, largest_m=largest, wavelength_m=spec.wavelength_m)
    parameters |= {
        "roof": roof,
        "subsidence_factor": subsidence_factor,
        "seam_thickness_m": largest / subsidence_factor,
        "peak_to_peak_los_m": float(np.ptp(los_m)),
        "peak_to_peak_fringes": float(np.ptp(los_m)) / fringe_m,
    }
    return Deformation(los_m, phasor, parameters)


def draw_size(rng: np.random.Generator, ranges: LongwallRanges) -> LongwallRanges:
    """Draw whether a mine is small, and return its ranges."""
    return ranges.small() if ranges.small_share > 0 and rng.random() < ranges.small_share else ranges


def draw_roof(rng: np.random.Generator, ranges: LongwallRanges) -> tuple[str, tuple[float, float]]:
    """Draw what becomes of the roof, and return its name and the range of the subsidence factor."""
    if rng.random() < ranges.backfill_share:
        return "backfill", ranges.backfill_factor
    if ranges.partial_share > 0 and rng.random() < ranges.partial_share / (1 - ranges.backfill_share):
        return "partial", ranges.partial_factor
    return "caving", ranges.caving_factor


def _draw_panels(
    rng: np.random.Generator, spec: SceneSpec, ranges: LongwallRanges, shape: tuple[int, int], pixel_m: float
) -> tuple[Mine, Parameters]:
    azimuth = float(rng.uniform(0, 360))
    depth = log_uniform(rng, *ranges.depth_m)
    tan_beta = float(rng.uniform(*ranges.tan_beta))
    horizontal = float(rng.uniform(*ranges.horizontal_factor))
    days = float(rng.integers(spec.interval_days[0], spec.interval_days[1] + 1))
    if rng.random() < ranges.long_share:
        # Long pairs and stacks show the whole trough of a panel, not the bowl at its face.
        days = float(round(days * rng.uniform(3, 15)))
    integral = rng.random() < ranges.pim_share
    seam = {"dip_deg": 0.0, "inflection_over_depth": 0.0, "dip_propagation": 0.7}
    if integral:
        seam = {
            "dip_deg": float(rng.uniform(*ranges.seam_dip_deg)),
            "inflection_over_depth": float(rng.uniform(*ranges.inflection_over_depth)),
            "dip_propagation": float(rng.uniform(*ranges.dip_propagation)),
        }
    parameters: Parameters = {
        "method": "pim" if integral else "knothe",
        "interval_days": days,
        "tan_beta": tan_beta,
        "horizontal_factor": horizontal,
        **({f"seam_{key}": value for key, value in seam.items()} if integral else {}),
    }
    advances: list[Advance] = []
    for number in range(1, _draw_panel_count(rng, spec.panels) + 1):
        # A dip has one direction in the whole mine, so its panels run one way.
        turn = 0.0 if integral else float(rng.choice([0.0, 90.0, 180.0]))
        advance = _draw_advance(
            rng,
            ranges,
            days=days,
            azimuth_deg=azimuth + turn,
            depth_m=depth * float(rng.uniform(LEAST_DEPTH_FACTOR, MOST_DEPTH_FACTOR)),
            tan_beta=tan_beta,
            seam=seam,
            anywhere=(
                float(rng.uniform(0.02, 0.98)) * shape[1] * pixel_m,
                -float(rng.uniform(0.02, 0.98)) * shape[0] * pixel_m,
            ),
            before=advances[-1].panel if advances else None,
        )
        advances.append(advance)
        panel = advance.panel
        drawn: Parameters = {
            "source": "longwall",
            "row": -panel.north_m / pixel_m,
            "col": panel.east_m / pixel_m,
            "depth_m": panel.depth_m,
            "length_m": panel.length_m,
            "width_m": panel.width_m,
            "azimuth_deg": panel.azimuth_deg,
            "advance_m_per_day": advance.advance_m_per_day,
            "start_day": advance.start_day,
            "time_factor_per_day": advance.time_factor_per_day or 0.0,
        }
        parameters |= {f"{key}_{number}": value for key, value in drawn.items()}
    parameters["panels"] = len(advances)
    return Mine(tuple(advances), days, horizontal), parameters


def _draw_advance(
    rng: np.random.Generator,
    ranges: LongwallRanges,
    *,
    days: float,
    azimuth_deg: float,
    depth_m: float,
    tan_beta: float,
    seam: dict[str, float],
    anywhere: tuple[float, float],
    before: Panel | None,
) -> Advance:
    width = float(rng.uniform(*ranges.width_m))
    length = float(rng.uniform(*ranges.length_m))
    speed = float(rng.uniform(*ranges.advance_m_per_day))
    east, north = anywhere
    if before is not None and rng.random() < ranges.beside_share:
        # Beyond a pillar, on either side of the last panel, and somewhat ahead or behind: there troughs merge.
        across = 0.5 * (width + before.width_m) + float(rng.uniform(*ranges.pillar_m))
        across *= float(rng.choice([-1.0, 1.0]))
        along = float(rng.uniform(-0.5, 0.5)) * length
        azimuth_deg = before.azimuth_deg + float(rng.choice([0.0, 180.0])) * float(seam["dip_deg"] == 0)
        azimuth = math.radians(before.azimuth_deg)
        east = before.east_m + along * math.sin(azimuth) + across * math.cos(azimuth)
        north = before.north_m + along * math.cos(azimuth) - across * math.sin(azimuth)
    panel = Panel(
        east_m=east,
        north_m=north,
        length_m=length,
        width_m=width,
        azimuth_deg=azimuth_deg % 360.0,
        depth_m=depth_m,
        seam_thickness_m=1.0,
        subsidence_factor=1.0,
        tan_beta=tan_beta,
        dip_deg=seam["dip_deg"],
        # No more than a part of the face, or narrow panels under a deep seam would vanish.
        inflection_offset_m=min(seam["inflection_over_depth"] * depth_m, 0.35 * min(width, length)),
        dip_propagation=seam["dip_propagation"],
    )
    start = float(rng.uniform(0, max(1.0, length / speed - 0.5 * days)))
    at_once = rng.random() < ranges.at_once_share
    time_factor = None if at_once else log_uniform(rng, *ranges.time_factor_per_day)
    if time_factor is not None and ranges.after_share > 0 and rng.random() < ranges.after_share:
        # Up to the time in which three quarters of what is left have come down.
        start = length / speed + float(rng.uniform(0, 1.4 / time_factor))
    return Advance(panel, speed, start, time_factor)


def _draw_panel_count(rng: np.random.Generator, bounds: tuple[int, int]) -> int:
    count = bounds[0]
    while count < bounds[1] and rng.random() < 0.55:
        count += 1
    return count
