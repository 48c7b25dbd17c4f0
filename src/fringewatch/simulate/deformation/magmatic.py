"""Draw point sources, dykes, sills, penny-shaped cracks and sheets of any outline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fringewatch.physics.sources import mogi, penny_crack
from fringewatch.physics.sources.penny import LOWEST_DEPTH_TO_RADIUS
from fringewatch.simulate.deformation.rectangle import rectangle
from fringewatch.simulate.deformation.sheet import draw_sheet
from fringewatch.simulate.deformation.source import Source
from fringewatch.simulate.distributions import fitting, log_uniform, weighted_choice

if TYPE_CHECKING:
    import numpy as np

    from fringewatch.physics.displacement import Displacement
    from fringewatch.simulate.deformation.source import Array, Parameters
    from fringewatch.simulate.spec import SceneSpec

__all__ = ["draw_magmatic"]


def draw_magmatic(rng: np.random.Generator, spec: SceneSpec, extent_m: float) -> Source:
    """Draw one source; sizes shrink with the scene (shorter side in metres) so that it can hold the deformation."""
    kind = weighted_choice(rng, spec.magmatic)
    if kind == "mogi":
        return _draw_mogi(rng, spec, extent_m)
    if kind == "penny-crack":
        return _draw_penny_crack(rng, spec, extent_m)
    if kind == "sheet":
        return draw_sheet(rng, spec, extent_m)
    return _draw_dyke(rng, spec, extent_m) if kind == "dyke" else _draw_sill(rng, spec, extent_m)


def _draw_mogi(rng: np.random.Generator, spec: SceneSpec, extent_m: float) -> Source:
    ranges = spec.mogi
    depth = log_uniform(rng, *fitting(ranges.depth_m, 0.35 * extent_m))

    def field(east: Array, north: Array, height: Array | float) -> Displacement:
        return mogi(east, north, depth_m=depth + height, volume_change_m3=1.0)

    return Source(field, ranges.volume_change_m3, "volume_change_m3", depth, None, {"source": "mogi", "depth_m": depth})


def _draw_penny_crack(rng: np.random.Generator, spec: SceneSpec, extent_m: float) -> Source:
    ranges = spec.penny_crack
    shallowest, deepest = fitting(ranges.depth_m, 0.35 * extent_m)
    # Small scenes want shallow sources, but no crack may be shallower than its model.
    deepest = max(deepest, LOWEST_DEPTH_TO_RADIUS * ranges.radius_m[0])
    smallest, largest = fitting(ranges.radius_m, 0.3 * extent_m)
    radius = log_uniform(rng, smallest, min(largest, deepest / LOWEST_DEPTH_TO_RADIUS))
    # A hair more, for rounding.
    shallowest = max(shallowest, LOWEST_DEPTH_TO_RADIUS * radius * (1 + 1e-9))
    depth = log_uniform(rng, shallowest, max(shallowest, deepest))
    shear_modulus = log_uniform(rng, *ranges.shear_modulus_pa)

    def field(east: Array, north: Array, height: Array | float) -> Displacement:
        return penny_crack(
            east,
            north,
            depth_m=depth + float(height),
            radius_m=radius,
            pressure_pa=1.0,
            shear_modulus_pa=shear_modulus,
        )

    parameters: Parameters = {
        "source": "penny-crack",
        "depth_m": depth,
        "radius_m": radius,
        "shear_modulus_pa": shear_modulus,
    }
    return Source(field, ranges.pressure_pa, "pressure_pa", depth, None, parameters)


def _draw_dyke(rng: np.random.Generator, spec: SceneSpec, extent_m: float) -> Source:
    ranges = spec.dyke
    # A share reaches as high as the range allows: the surface, unless the caller keeps dykes below it.
    top = float(rng.uniform(*ranges.top_m)) if rng.random() < 0.85 else ranges.top_m[0]
    return _opening(
        rng,
        "dyke",
        top,
        width_m=float(rng.uniform(*ranges.width_m)),
        length_m=float(rng.uniform(*fitting(ranges.length_m, 0.7 * extent_m))),
        dip_deg=float(rng.uniform(*ranges.dip_deg)),
        opening_m=ranges.opening_m,
    )


def _draw_sill(rng: np.random.Generator, spec: SceneSpec, extent_m: float) -> Source:
    ranges = spec.sill
    return _opening(
        rng,
        "sill",
        log_uniform(rng, *fitting(ranges.top_m, 0.3 * extent_m)),
        width_m=float(rng.uniform(*ranges.width_m)),
        length_m=float(rng.uniform(*ranges.length_m)),
        dip_deg=float(rng.uniform(*ranges.dip_deg)),
        opening_m=ranges.opening_m,
    )


def _opening(
    rng: np.random.Generator,
    name: str,
    top_m: float,
    *,
    width_m: float,
    length_m: float,
    dip_deg: float,
    opening_m: tuple[float, float],
) -> Source:
    strike = float(rng.uniform(0, 360))
    shape = {"top_m": top_m, "strike_deg": strike, "dip_deg": dip_deg, "length_m": length_m, "width_m": width_m}
    return rectangle(
        **shape, slip=(0.0, 0.0, 1.0), strength=opening_m, strength_name="opening_m", named={"source": name, **shape}
    )
