"""Everything in an interferogram that is not deformation: terrain, atmosphere, ramps, coherence."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.compiled import kernels
from fringewatch.conventions import los_to_phase
from fringewatch.physics import atmosphere, coherence, terrain
from fringewatch.simulate.cover import draw_cover
from fringewatch.simulate.distributions import log_uniform
from fringewatch.simulate.nuisance import above, between, half_normal, independent, log_between

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fringewatch.physics.geometry import LookVector
    from fringewatch.simulate.site import Plot
    from fringewatch.simulate.spec import SceneSpec
    from fringewatch.simulate.styles import Processing

__all__ = ["Background", "draw_background"]

_REFERENCE_EXTENT_M = 20_000.0
# Metres of delay per metre of height; stronger stratification is not seen between two dates.
_STRONGEST_COEFFICIENT = 8e-5


class Background(NamedTuple):
    """Phase without deformation and noise, and what it was made from."""

    phase_rad: NDArray[np.float32]
    """(H, W) unwrapped, rad."""
    coherence: NDArray[np.float32]
    """(H, W) in [0, 1], before the loss by steep phase gradients."""
    height_m: NDArray[np.float32]
    """(H, W)."""
    parameters: dict[str, float | int | str]


def draw_background(
    rng: np.random.Generator,
    spec: SceneSpec,
    pixel_m: float,
    *,
    site: Plot | None = None,
    processing: Processing | None = None,
    look: LookVector | None = None,
) -> Background:
    """Draw terrain, atmosphere, ramp and coherence of one scene.

    A `site` brings its own terrain and water, and the spectra of its turbulence where they were measured. The
    `processing` brings a position in the ranges of `spec` if its style knows what occurs together, and chooses the
    model of coherence: the range of `spec` for style ``raw`` (default), :func:`draw_cover` for the providers'. `look`
    is the unit vector from the ground to the satellite, which decides on layover.
    """
    given = None if processing is None else processing.position
    position = independent(rng) if given is None else given
    shape = (spec.height_px, spec.width_px)
    extent_m = max(shape) * pixel_m
    scale = extent_m / _REFERENCE_EXTENT_M

    if site is None:
        relief_m = log_between(position.relief, *spec.relief_m) * min(1.0, scale**0.7)
        height = _draw_terrain(rng, spec, shape, pixel_m, relief_m)
    else:
        height = site.height_m
        relief_m = float(np.ptp(height))

    exponential = above(position.spectrum, spec.exponential_turbulence_share)
    smooth = position.spectrum / (1 - spec.exponential_turbulence_share + 1e-9) > 1 - spec.smooth_turbulence_share
    power_law = atmosphere.SMOOTH if smooth else atmosphere.THREE_REGIMES
    correlation_m = log_between(exponential, 2e3, 30e3) if exponential > 0 else None
    turbulence_m = log_between(position.turbulence, *spec.turbulence_m) * atmosphere.std_ratio(
        extent_m, _REFERENCE_EXTENT_M, correlation_m or power_law
    )
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
            spectrum="exponential" if correlation_m else "three-regime",
            correlation_m=correlation_m or 8e3,
            power_law=power_law,
            anisotropy=float(rng.uniform(1.0, 2.0)),
            azimuth_deg=float(rng.uniform(0, 180)),
        )
    # The size of most scenes, or that of the few with a wide distribution.
    wide = above(position.stratified, spec.stratified_tail)
    usual = position.stratified / (1 - spec.stratified_tail) if wide < 0 else wide
    coefficient = half_normal(usual, spec.stratified_std_m_per_km) / 1000 * (-1, 1)[int(rng.integers(2))]
    if wide >= 0:
        coefficient *= 3
    if rng.random() < spec.strong_stratified_share:
        # As many fringes as a large volcano shows on a bad day, which is what deformation is mistaken for.
        fringes = log_uniform(rng, *spec.strong_stratified_fringes)
        strongest = min(fringes * spec.wavelength_m / 2 / max(relief_m, 1.0), _STRONGEST_COEFFICIENT)
        coefficient = float(np.copysign(strongest, coefficient))
    scale_height_m = float(rng.uniform(1500, 3000)) if rng.random() < 0.5 else None
    ionosphere = rng.random() < spec.ionosphere_share
    if ionosphere:
        wave_m = log_uniform(rng, 10e3, 60e3)
        los_m += atmosphere.ionosphere(shape, pixel_m, rng, std_m=log_uniform(rng, 3e-3, 2e-2), wavelength_m=wave_m)

    if processing is None or processing.style == "raw":
        mean = float(rng.uniform(*spec.coherence))
        # Steep ground decorrelates where it is rough or wooded, not where it is bare.
        slope_deg = terrain.slope_deg(height, pixel_m) if rng.random() < 0.5 else None
        field = coherence.coherence_field(shape, pixel_m, rng, mean=mean, slope_deg=slope_deg)
        parameters: dict[str, float | int | str] = {}
        topographic_share = spec.topographic_residual_share * (1.0 if mean > 0.5 else 1 / 3)
    else:
        field, parameters = draw_cover(rng, height, pixel_m, look, position)
        topographic_share = spec.topographic_residual_share

    steep = above(position.ramp, spec.steep_ramp_share)
    # Scenes with a steep ramp are taken from the top, those with a usual one from what is left.
    some = above(min(position.ramp / (1 - spec.steep_ramp_share + 1e-9), 1.0), spec.ramp_share)
    ramp_fringes = 0.0
    if steep > 0:
        ramp_fringes = between(steep, *spec.steep_ramp_fringes)
    elif some > 0:
        ramp_fringes = between(some, *spec.ramp_fringes)
    direction = float(rng.uniform(0, 2 * np.pi))
    down, across = (2 * np.pi * ramp_fringes * float(part) for part in (np.cos(direction), np.sin(direction)))
    # Fringes that follow the terrain are seen where old pairs are still coherent: rarely elsewhere.
    topographic = above(position.topographic, topographic_share)
    ambiguity_m = np.inf
    if topographic > 0:
        ambiguity_m = log_between(1 - topographic, *spec.ambiguity_m)

    wet = above(position.water, spec.water_share)
    water = wet > 0
    if site is not None:
        # Its water is known; where there is none, none is invented.
        water = bool(site.water.any())
        field = np.where(site.water, np.float32(0.02), field)
    elif water:
        # Water lies low: everything under some quantile of the terrain.
        level = np.float32(np.quantile(height[::4, ::4], between(wet, 0.02, 0.4)))
        field = np.where(height < level, np.float32(0.02), field)
    parameters["mean_coherence"] = float(field.mean())
    terms = _Terms(spec.wavelength_m, coefficient, scale_height_m, down, across, 2 * np.pi / float(ambiguity_m))
    return Background(
        _add_up(los_m, height, terms),
        field,
        height,
        {
            "relief_m": relief_m,
            "turbulence_std_m": turbulence_m,
            "turbulence": "exponential" if exponential > 0 else "smooth" if smooth else "three-regime",
            "stratified_m_per_km": coefficient * 1000,
            "ramp_fringes": ramp_fringes,
            "topographic_fringes": relief_m / ambiguity_m,
            "ionosphere": int(ionosphere),
            "water": int(water),
        }
        | parameters,
    )


class _Terms(NamedTuple):
    """What a background's phase is made of, besides turbulent delay."""

    wavelength_m: float
    stratified_m_per_m: float
    scale_height_m: float | None
    ramp_down_rad: float
    ramp_across_rad: float
    """From edge to edge."""
    topographic_rad_per_m: float


def _add_up(los_m: NDArray[np.float32], height_m: NDArray[np.float32], terms: _Terms) -> NDArray[np.float32]:
    """Compute the phase (H, W), rad, from turbulent delay and terrain, both (H, W), metres."""
    if (compiled := kernels("fields")) and los_m.dtype == height_m.dtype == np.float32:
        phase = np.empty(los_m.shape, np.float32)
        scale_height_m = terms.scale_height_m
        stratified, ramp = (
            tuple(np.float32(value) for value in pair)
            for pair in (
                (terms.stratified_m_per_m, 0.0 if scale_height_m is None else 1 / scale_height_m),
                (terms.ramp_down_rad, terms.ramp_across_rad),
            )
        )
        compiled.background(
            los_m,
            np.ascontiguousarray(height_m),
            np.float32(los_to_phase(np.ones(1), terms.wavelength_m)[0]),
            stratified,
            height_m.min(),
            ramp,
            np.float32(terms.topographic_rad_per_m),
            phase,
        )
        return phase
    los_m = los_m + atmosphere.stratified_delay(
        height_m, coefficient_m_per_m=terms.stratified_m_per_m, scale_height_m=terms.scale_height_m
    )
    phase = los_to_phase(los_m.astype(np.float32, copy=False), terms.wavelength_m)
    rows, cols = (np.linspace(-0.5, 0.5, size, dtype=np.float32) for size in los_m.shape)
    phase += np.float32(terms.ramp_down_rad) * rows[:, np.newaxis] + np.float32(terms.ramp_across_rad) * cols
    if terms.topographic_rad_per_m:
        phase += np.float32(terms.topographic_rad_per_m) * height_m
    return phase


def _draw_terrain(
    rng: np.random.Generator, spec: SceneSpec, shape: tuple[int, int], pixel_m: float, relief_m: float
) -> NDArray[np.float32]:
    cones = int(rng.integers(spec.cones[0], spec.cones[1] + 1))
    # A cone that rises out of a plain and one among mountains are equally needed: the fractal part varies freely.
    rough_m = relief_m * (float(rng.uniform(0.1, 1.0)) if cones else 1.0)
    height = terrain.fractal_terrain(shape, pixel_m, rng, relief_m=rough_m)
    extent_m = min(shape) * pixel_m

    def anywhere() -> dict[str, float]:
        return {"row": float(rng.uniform(0, shape[0])), "col": float(rng.uniform(0, shape[1]))}

    if rng.random() < spec.valley_share:
        height = terrain.add_valley(
            height,
            pixel_m,
            **anywhere(),
            azimuth_deg=float(rng.uniform(0, 180)),
            width_m=float(rng.uniform(0.05, 0.3)) * extent_m,
            depth_m=relief_m * float(rng.uniform(0.1, 0.5)),
        )
    for _ in range(cones):
        radius_m = float(rng.uniform(0.08, 0.5)) * extent_m
        height = terrain.add_cone(
            height,
            pixel_m,
            **anywhere(),
            radius_m=radius_m,
            summit_m=min(relief_m * float(rng.uniform(0.3, 1.0)), 0.7 * radius_m),
            crater_radius_m=radius_m * float(rng.uniform(0.0, 0.25)),
            erosion=terrain.Erosion.draw(rng) if rng.random() < spec.eroded_share else None,
        )
    if rng.random() < spec.caldera_share:
        radius_m = float(rng.uniform(0.05, 0.25)) * extent_m
        height = terrain.add_caldera(
            height,
            pixel_m,
            **anywhere(),
            radius_m=radius_m,
            depth_m=min(relief_m * float(rng.uniform(0.1, 0.5)), 0.4 * radius_m),
            rim_m=relief_m * float(rng.uniform(0.0, 0.1)),
        )
    return height
