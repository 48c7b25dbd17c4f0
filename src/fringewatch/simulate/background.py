"""Everything in an interferogram that is not deformation: terrain, atmosphere, ramps, coherence, missing data."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.conventions import los_to_phase
from fringewatch.physics import atmosphere, coherence, terrain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fringewatch.simulate.site import Plot
    from fringewatch.simulate.spec import SceneSpec

__all__ = ["Background", "draw_background", "draw_missing", "log_uniform"]

_REFERENCE_EXTENT_M = 20_000.0


class Background(NamedTuple):
    """Phase without deformation and noise, and what it was made from."""

    phase_rad: NDArray[np.float32]
    """(H, W) unwrapped, rad."""
    coherence: NDArray[np.float32]
    """(H, W) in [0, 1], before the loss by steep phase gradients."""
    height_m: NDArray[np.float32]
    """(H, W)."""
    parameters: dict[str, float | int | str]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw from a log-uniform distribution."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def draw_background(
    rng: np.random.Generator, spec: SceneSpec, pixel_m: float, *, site: Plot | None = None
) -> Background:
    """Draw terrain, atmosphere, ramp and coherence of one scene.

    A `site` brings its own terrain and water, and the spectra of its turbulence where they were measured.
    """
    shape = (spec.height_px, spec.width_px)
    extent_m = max(shape) * pixel_m
    scale = extent_m / _REFERENCE_EXTENT_M

    if site is None:
        relief_m = log_uniform(rng, *spec.relief_m) * min(1.0, scale**0.7)
        height = _draw_terrain(rng, spec, shape, pixel_m, relief_m)
    else:
        height = site.height_m
        relief_m = float(np.ptp(height))

    # Turbulence grows with distance roughly as the 5/3 power of its structure function: half of that for the std.
    turbulence_m = log_uniform(rng, *spec.turbulence_m) * scale ** (5 / 6)
    smooth = rng.random() < spec.smooth_turbulence_share
    power_law = atmosphere.SMOOTH if smooth else atmosphere.THREE_REGIMES
    if site is not None and site.spectra:
        spectrum = site.spectra[int(rng.integers(len(site.spectra)))]
        los_m = atmosphere.turbulence_from_spectrum(shape, pixel_m, rng, spectrum)
        turbulence_m = float(los_m.std())
    else:
        los_m = atmosphere.turbulence(
            shape,
            pixel_m,
            rng,
            std_m=turbulence_m,
            power_law=power_law,
            anisotropy=float(rng.uniform(1.0, 2.0)),
            azimuth_deg=float(rng.uniform(0, 180)),
        )
    coefficient = rng.normal(0, spec.stratified_std_m_per_km) / 1000
    if rng.random() < spec.stratified_tail:
        coefficient *= 3
    scale_height_m = float(rng.uniform(1500, 3000)) if rng.random() < 0.5 else None
    los_m = los_m + atmosphere.stratified_delay(height, coefficient_m_per_m=coefficient, scale_height_m=scale_height_m)
    phase = los_to_phase(los_m.astype(np.float32), spec.wavelength_m)
    ramp_fringes = float(rng.uniform(*spec.ramp_fringes)) * float(rng.random() < 0.6)
    direction = float(rng.uniform(0, 2 * np.pi))
    rows = np.linspace(-0.5, 0.5, shape[0], dtype=np.float32)[:, None]
    cols = np.linspace(-0.5, 0.5, shape[1], dtype=np.float32)[None, :]
    slope = 2 * np.pi * ramp_fringes
    phase += np.float32(slope * np.cos(direction)) * rows + np.float32(slope * np.sin(direction)) * cols

    mean = float(rng.uniform(*spec.coherence))
    # Steep ground decorrelates where it is rough or wooded, not where it is bare.
    slope_deg = terrain.slope_deg(height, pixel_m) if rng.random() < 0.5 else None
    field = coherence.coherence_field(shape, pixel_m, rng, mean=mean, slope_deg=slope_deg)
    water = rng.random() < spec.water_share
    if site is not None:
        # Its water is known; where there is none, none is invented.
        water = bool(site.water.any())
        field = np.where(site.water, np.float32(0.02), field)
    elif water:
        # Water lies low: everything under a random quantile of the terrain.
        level = np.quantile(height[::4, ::4], rng.uniform(0.02, 0.4))
        field = np.where(height < level, np.float32(0.02), field)
    return Background(
        phase,
        field,
        height,
        {
            "relief_m": relief_m,
            "turbulence_std_m": turbulence_m,
            "smooth_turbulence": int(smooth),
            "stratified_m_per_km": coefficient * 1000,
            "ramp_fringes": ramp_fringes,
            "mean_coherence": mean,
            "water": int(water),
        },
    )


def _draw_terrain(
    rng: np.random.Generator, spec: SceneSpec, shape: tuple[int, int], pixel_m: float, relief_m: float
) -> NDArray[np.float32]:
    cones = int(rng.integers(spec.cones[0], spec.cones[1] + 1))
    # A cone that rises out of a plain and one among mountains are equally needed: the fractal part varies freely.
    rough_m = relief_m * (float(rng.uniform(0.1, 1.0)) if cones else 1.0)
    height = terrain.fractal_terrain(shape, pixel_m, rng, relief_m=rough_m)
    for _ in range(cones):
        radius_m = float(rng.uniform(0.08, 0.5)) * min(shape) * pixel_m
        height = terrain.add_cone(
            height,
            pixel_m,
            row=float(rng.uniform(0, shape[0])),
            col=float(rng.uniform(0, shape[1])),
            radius_m=radius_m,
            summit_m=min(relief_m * float(rng.uniform(0.3, 1.0)), 0.7 * radius_m),
            crater_radius_m=radius_m * float(rng.uniform(0.0, 0.25)),
        )
    return height


def draw_missing(rng: np.random.Generator, shape: tuple[int, int], share: float) -> NDArray[np.bool_]:
    """Draw a mask of missing data as providers leave it: slanted frame edges, burst gaps, holes of low coherence.

    Returns
    -------
    numpy.ndarray
        (H, W) bool, True = missing; never more than two thirds of the scene.
    """
    missing = np.zeros(shape, bool)
    if rng.random() >= share:
        return missing
    rows = np.arange(shape[0])[:, None]
    cols = np.arange(shape[1])[None, :]
    style = rng.random()
    if style < 0.6:
        # A frame's edge is nearly straight, tilted 8 to 15 degrees from the grid, on any side.
        angle = np.radians(rng.uniform(-20, 20) + 90 * rng.integers(4))
        offset = rng.uniform(-0.1, 0.5) * max(shape)
        side = (rows - shape[0] / 2) * np.cos(angle) + (cols - shape[1] / 2) * np.sin(angle)
        missing |= side > offset
    if style > 0.5:
        for _ in range(int(rng.integers(1, 4))):
            angle = np.radians(rng.uniform(-20, 20) + 90 * rng.integers(2))
            offset = rng.uniform(-0.5, 0.5) * max(shape)
            width = rng.uniform(1, 8)
            side = (rows - shape[0] / 2) * np.cos(angle) + (cols - shape[1] / 2) * np.sin(angle) - offset
            missing |= np.abs(side) < width
    return missing if missing.mean() < 0.66 else np.zeros(shape, bool)
