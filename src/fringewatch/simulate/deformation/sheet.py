"""Draw flat bodies of any outline: an ellipse with lobes, opening most where it is thickest."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fringewatch.physics.sources import sheet
from fringewatch.simulate.deformation.source import Source
from fringewatch.simulate.distributions import fitting, log_uniform

if TYPE_CHECKING:
    from fringewatch.physics.displacement import Displacement
    from fringewatch.simulate.deformation.source import Array, Parameters
    from fringewatch.simulate.spec import SceneSpec

__all__ = ["draw_sheet"]

_LOBES = (2, 3, 4, 5)
# Exponents of the opening towards the edge: flat with a sharp edge, elliptic, pointed.
_TAPER = (0.1, 1.2)
_MOST_TILT = 0.7


def draw_sheet(rng: np.random.Generator, spec: SceneSpec, extent_m: float) -> Source:
    """Draw a sheet of unit largest opening in a scene whose shorter side is `extent_m`, metres."""
    ranges = spec.sheet
    half_width = log_uniform(rng, *fitting(ranges.half_width_m, 0.25 * extent_m))
    aspect = float(rng.uniform(*ranges.aspect))
    depth_over_half_width = log_uniform(rng, *ranges.depth_over_half_width)
    depth = half_width * depth_over_half_width
    azimuth = float(rng.uniform(0, 180))
    lobes = float(rng.uniform(*ranges.lobes))
    east, north, opening = _cracks(rng, half_width, aspect * half_width, depth, azimuth, lobes)

    def field(east_m: Array, north_m: Array, height: Array | float) -> Displacement:
        return sheet(
            east_m,
            north_m,
            depth_m=depth + height,
            at_east_m=east,
            at_north_m=north,
            volume_change_m3=opening,
            single=True,
        )

    parameters: Parameters = {
        "source": "sheet",
        "depth_m": depth,
        "half_width_m": half_width,
        "aspect": aspect,
        "depth_over_half_width": depth_over_half_width,
        "azimuth_deg": azimuth,
        "lobes": lobes,
        "unit_volume_m3": float(opening.sum()),
    }
    return Source(field, ranges.opening_m, "opening_m", depth, None, parameters)


def _cracks(
    rng: np.random.Generator, half_width: float, half_length: float, depth: float, azimuth_deg: float, lobes: float
) -> tuple[Array, Array, Array]:
    """Return places (N,), metres, and volumes (N,), m3, of the small cracks of a sheet of unit largest opening."""
    # Near enough inside the rim, see `sheet`, and never so few that an outline is lost.
    spacing = min(0.7 * depth, half_width / 2)
    reach = 1.6 * half_length
    steps = np.arange(-math.ceil(reach / spacing), math.ceil(reach / spacing) + 1) + rng.uniform(0, 1)
    along, across = (part.ravel() for part in np.meshgrid(steps * spacing, steps * spacing))
    angle = np.arctan2(across / half_width, along / half_length)
    outline = np.ones_like(angle)
    for order in _LOBES:
        outline += lobes * rng.normal() / order * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    squared = ((along / half_length) ** 2 + (across / half_width) ** 2) / np.maximum(outline, 0.3) ** 2
    tilt, towards = rng.uniform(0, _MOST_TILT), rng.uniform(0, 2 * np.pi)
    slope = 1 + tilt * (np.cos(towards) * along / half_length + np.sin(towards) * across / half_width)
    opening = np.maximum(1 - squared, 0.0) ** rng.uniform(*_TAPER) * (squared < 1) * np.maximum(slope, 0.0)
    kept = opening > 0
    sin, cos = math.sin(math.radians(azimuth_deg)), math.cos(math.radians(azimuth_deg))
    # Clockwise from north is where the longer axis points.
    east, north = along * sin + across * cos, along * cos - across * sin
    return east[kept], north[kept], opening[kept] / opening.max() * spacing**2
