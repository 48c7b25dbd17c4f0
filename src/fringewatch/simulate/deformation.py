"""Draw deformation sources: geometry at random, strength so that the scene shows the wanted number of fringes.

Surface displacement of every source here is linear in its strength (volume change, opening, slip), so each is computed
once with unit strength on a coarse grid to see how strong it is, then scaled. Strengths stay inside the physical ranges
of the literature; geometry that cannot show the wanted fringes within them is drawn again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.interpolate import RectBivariateSpline

from fringewatch.physics import mining
from fringewatch.physics.geometry import project_to_los
from fringewatch.physics.sources import earthquake_dimensions, mogi, okada
from fringewatch.simulate.background import log_uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fringewatch.physics.displacement import Displacement
    from fringewatch.physics.geometry import LookVector
    from fringewatch.simulate.spec import Kind, SceneSpec

__all__ = ["Deformation", "draw_deformation"]

Parameters = dict[str, float | int | str]
Field = Callable[["NDArray[np.float64]", "NDArray[np.float64]"], "Displacement"]

_MAX_DRAWS = 40
_PROBE_PX = 40


class _Source(NamedTuple):
    """A source of unit strength: its displacement, the strengths nature allows, and how fine its field can be."""

    field: Field
    strength: tuple[float, float]
    smooth_m: float
    parameters: Parameters
    strength_name: str


class Deformation(NamedTuple):
    """The deformation of one scene and what it was drawn from."""

    los_m: NDArray[np.float32]
    """(H, W), metres, positive towards the satellite; the mean inside each pixel."""
    phasor: NDArray[np.complex64] | None
    """(H, W), mean of ``exp(i phase)`` inside each pixel; None where the phase is smooth enough for its centre."""
    parameters: Parameters
    """What was drawn; keys of the n-th source end in ``_n``."""


def draw_deformation(
    rng: np.random.Generator,
    spec: SceneSpec,
    kind: Kind,
    pixel_m: float,
    look: LookVector,
    *,
    height_m: NDArray[np.float32] | None = None,
) -> Deformation:
    """Draw the LOS deformation of one scene.

    Parameters
    ----------
    rng, spec
        Source of randomness, and the population.
    kind
        Kind of scene, not "quiet".
    pixel_m
        Pixel size, metres.
    look
        Unit vector from ground to satellite.
    height_m
        (H, W) terrain, metres. Default: flat.
    """
    if kind == "mining":
        return Deformation(*_draw_mine(rng, spec, pixel_m, look))
    count = 1 if kind == "earthquake" else _draw_count(rng, spec.sources)
    total = np.zeros((spec.height_px, spec.width_px), np.float32)
    parameters: Parameters = {}
    for number in range(count):
        los_m, drawn = _draw_source(rng, spec, kind, pixel_m, look)
        total += los_m
        parameters |= {f"{key}_{number + 1}": value for key, value in drawn.items()}
    parameters["sources"] = count
    return Deformation(total, None, _summarise(parameters, total, spec))


def _draw_count(rng: np.random.Generator, bounds: tuple[int, int]) -> int:
    """Draw a count; each further one is a third as likely."""
    count = bounds[0]
    while count < bounds[1] and rng.random() < 0.25:
        count += 1
    return count


def _summarise(parameters: Parameters, los_m: NDArray[np.float32], spec: SceneSpec) -> Parameters:
    parameters["peak_to_peak_los_m"] = float(np.ptp(los_m))
    parameters["peak_to_peak_fringes"] = float(np.ptp(los_m)) / (spec.wavelength_m / 2)
    return parameters


def _draw_source(
    rng: np.random.Generator, spec: SceneSpec, kind: Kind, pixel_m: float, look: LookVector
) -> tuple[NDArray[np.float32], Parameters]:
    shape = (spec.height_px, spec.width_px)
    extent_m = min(shape) * pixel_m
    fringe_m = spec.wavelength_m / 2
    for _ in range(_MAX_DRAWS):
        source = _draw_rupture(rng, extent_m) if kind == "earthquake" else _draw_magmatic(rng, extent_m)
        # Ruptures are longer than scenes: many a patch holds one flank of the fringes and not their centre.
        margin = 0.25 if kind == "earthquake" else 0.08
        row, col = (float(rng.uniform(-margin, 1 + margin) * size) for size in shape)
        unit = _probe(source.field, shape, row, col, pixel_m, look)
        low = max(source.strength[0], spec.fringes[0] * fringe_m / unit)
        high = min(source.strength[1], spec.fringes[1] * fringe_m / unit)
        if low <= high:
            break
    else:
        # The scene is too small or the range of fringes too narrow for these geometries: take the nearest strength.
        low = high = float(np.clip(spec.fringes[0] * fringe_m / unit, *source.strength))
    strength = log_uniform(rng, low, high)
    los_m = _evaluate(source, shape, row, col, pixel_m, look) * np.float32(strength)
    if kind == "volcano" and rng.random() < 0.35:
        # Deflation, closing and withdrawal are as real as their opposites, if less often watched.
        strength, los_m = -strength, -los_m
    return los_m, source.parameters | {source.strength_name: strength, "row": row, "col": col}


def _probe(field: Field, shape: tuple[int, int], row: float, col: float, pixel_m: float, look: LookVector) -> float:
    """Peak-to-peak LOS (m) of a field inside the scene, on a coarse grid."""
    rows = np.linspace(0, shape[0] - 1, _PROBE_PX)
    cols = np.linspace(0, shape[1] - 1, _PROBE_PX)
    los = project_to_los(field((cols[None, :] - col) * pixel_m, (row - rows[:, None]) * pixel_m), look)
    return max(float(np.ptp(los)), 1e-12)


def _evaluate(
    source: _Source, shape: tuple[int, int], row: float, col: float, pixel_m: float, look: LookVector
) -> NDArray[np.float32]:
    """LOS (m) of a field on the whole grid; smooth fields are computed on every n-th pixel and splined."""
    step = int(np.clip(source.smooth_m / (3 * pixel_m), 1, 8))
    if step == 1:
        rows, cols = np.arange(shape[0], dtype=float), np.arange(shape[1], dtype=float)
    else:
        # One coarse cell beyond each border keeps the spline's ends out of the scene.
        rows = np.arange(-step, shape[0] + 2 * step, step, dtype=float)
        cols = np.arange(-step, shape[1] + 2 * step, step, dtype=float)
    los = project_to_los(source.field((cols[None, :] - col) * pixel_m, (row - rows[:, None]) * pixel_m), look)
    if step > 1:
        los = RectBivariateSpline(rows, cols, los, s=0)(np.arange(shape[0]), np.arange(shape[1]))
    return np.asarray(los, np.float32)


def _draw_magmatic(rng: np.random.Generator, extent_m: float) -> _Source:
    """Draw a point source, a dyke or a sill; sizes shrink with the scene so that it can hold the deformation."""
    kind = rng.choice(["mogi", "dyke", "sill"], p=[0.5, 0.25, 0.25])
    strike = float(rng.uniform(0, 360))
    if kind == "mogi":
        depth = log_uniform(rng, 800, max(1000.0, min(10_000.0, 0.35 * extent_m)))
        return _Source(
            lambda east, north: mogi(east, north, depth_m=depth, volume_change_m3=1.0),
            (10**5.0, 10**7.9),
            depth,
            {"source": "mogi", "depth_m": depth},
            "volume_change_m3",
        )
    if kind == "dyke":
        top = float(rng.uniform(0, 2500)) * float(rng.random() < 0.85)
        width = float(rng.uniform(1000, 6000))
        length = float(rng.uniform(2000, min(12_000.0, max(3000.0, 0.7 * extent_m))))
        dip = float(rng.uniform(65, 90))
        opening = (0.1, 2.0)
    else:
        width = float(rng.uniform(1500, 7000))
        length = float(rng.uniform(1500, 7000))
        dip = float(rng.uniform(0, 12))
        top = log_uniform(rng, 800, min(6000.0, max(1200.0, 0.3 * extent_m)))
        opening = (0.05, 2.0)
    depth = top + 0.5 * width * np.sin(np.radians(dip)) + 1.0
    return _Source(
        lambda east, north: okada(
            east,
            north,
            depth_m=depth,
            strike_deg=strike,
            dip_deg=dip,
            length_m=length,
            width_m=width,
            opening_m=1.0,
        ),
        opening,
        top,
        {
            "source": str(kind),
            "top_m": top,
            "strike_deg": strike,
            "dip_deg": dip,
            "length_m": length,
            "width_m": width,
        },
        "opening_m",
    )


def _draw_rupture(rng: np.random.Generator, extent_m: float) -> _Source:
    """Draw an earthquake of a magnitude whose rupture fits the scene."""
    style = str(rng.choice(["strike-slip", "reverse", "normal"]))
    magnitude = float(rng.uniform(4.5, 7.0))
    size = earthquake_dimensions(magnitude, style=style)  # type: ignore[arg-type]  # drawn from the allowed names
    while size.length_m > 2.0 * extent_m and magnitude > 4.5:
        magnitude -= 0.2
        size = earthquake_dimensions(magnitude, style=style)  # type: ignore[arg-type]
    dip = float(rng.uniform(*{"strike-slip": (60, 90), "reverse": (15, 60), "normal": (35, 75)}[style]))
    centre = {"strike-slip": float(rng.choice([0.0, 180.0])), "reverse": 90.0, "normal": -90.0}[style]
    rake = centre + float(rng.normal(0, 25))
    top = log_uniform(rng, 300, 8000)
    depth = top + 0.5 * size.width_m * np.sin(np.radians(dip))
    strike = float(rng.uniform(0, 360))
    along, up_dip = float(np.cos(np.radians(rake))), float(np.sin(np.radians(rake)))
    return _Source(
        lambda east, north: okada(
            east,
            north,
            depth_m=depth,
            strike_deg=strike,
            dip_deg=dip,
            length_m=size.length_m,
            width_m=size.width_m,
            strike_slip_m=along,
            dip_slip_m=up_dip,
        ),
        # Scaling laws scatter by a factor of two in slip at one magnitude.
        (0.5 * size.slip_m, 2.0 * size.slip_m),
        top,
        {
            "source": "earthquake",
            "style": style,
            "magnitude": magnitude,
            "top_m": top,
            "strike_deg": strike,
            "dip_deg": dip,
            "rake_deg": rake,
            "length_m": size.length_m,
            "width_m": size.width_m,
        },
        "slip_m",
    )


def _draw_mine(
    rng: np.random.Generator, spec: SceneSpec, pixel_m: float, look: LookVector
) -> tuple[NDArray[np.float32], None, Parameters]:
    """Draw longwall panels, each caught in some stage of its advance; neighbours in one mine may merge."""
    shape = (spec.height_px, spec.width_px)
    fringe_m = spec.wavelength_m / 2
    days = int(rng.integers(spec.interval_days[0], spec.interval_days[1] + 1))
    for _ in range(_MAX_DRAWS):
        panels = _draw_panels(rng, spec, shape, pixel_m)
        total = np.zeros(shape, np.float32)
        for row, col, source in panels:
            total += _evaluate(source, shape, row, col, pixel_m, look)
        unit = max(float(np.ptp(total)), 1e-12)
        # Extracted thickness times the subsidence factor: 0.1 (thin seam, backfill) to 3.6 m (thick seam, caving).
        low = max(0.1, spec.fringes[0] * fringe_m / unit)
        high = min(3.6, spec.fringes[1] * fringe_m / unit)
        if low <= high:
            break
    else:
        low = high = float(np.clip(spec.fringes[0] * fringe_m / unit, 0.1, 3.6))
    strength = log_uniform(rng, low, high)
    total *= np.float32(strength)
    parameters: Parameters = {"interval_days": days, "panels": len(panels), "subsidence_factor_times_seam_m": strength}
    for number, (row, col, source) in enumerate(panels, start=1):
        drawn = source.parameters | {"row": row, "col": col}
        parameters |= {f"{key}_{number}": value for key, value in drawn.items()}
    return total, None, _summarise(parameters, total, spec)


def _draw_panels(
    rng: np.random.Generator, spec: SceneSpec, shape: tuple[int, int], pixel_m: float
) -> list[tuple[float, float, _Source]]:
    azimuth = float(rng.uniform(0, 360))
    depth = log_uniform(rng, 200, 1100)
    tan_beta = float(rng.uniform(1.5, 2.6))
    panels: list[tuple[float, float, _Source]] = []
    anchor = [float(rng.uniform(0.05, 0.95)) * size for size in shape]
    for _ in range(_draw_panel_count(rng, spec.panels)):
        width = float(rng.uniform(150, 350))
        length = float(rng.uniform(400, 2000))
        speed = float(rng.uniform(2, 10))
        days = float(rng.uniform(*spec.interval_days))
        if rng.random() < 0.25:
            # Long pairs and stacks show the whole trough of a panel, not the bowl at its face.
            days *= float(rng.uniform(3, 15))
        start = float(rng.uniform(0, max(1.0, length / speed - 0.5 * days)))
        factor = float(rng.uniform(0.02, 0.2)) if rng.random() < 0.7 else None
        panel = mining.Panel(
            length_m=length,
            width_m=width,
            azimuth_deg=azimuth + float(rng.choice([0.0, 90.0, 180.0])),
            depth_m=depth * float(rng.uniform(0.9, 1.1)),
            seam_thickness_m=1.0,
            subsidence_factor=1.0,
            tan_beta=tan_beta,
        )
        source = _Source(
            _increment(panel, speed, start, start + days, factor),
            (0.1, 3.6),
            0.5 * panel.influence_radius_m,
            {
                "source": "longwall",
                "depth_m": panel.depth_m,
                "length_m": length,
                "width_m": width,
                "azimuth_deg": panel.azimuth_deg,
                "advance_m_per_day": speed,
                "start_day": start,
                "days": days,
                "tan_beta": tan_beta,
                "time_factor_per_day": factor or 0.0,
            },
            "subsidence_factor_times_seam_m",
        )
        # Half of the panels lie beside the last one, where troughs merge; the others anywhere.
        if panels and rng.random() < 0.5:
            anchor = [value + float(rng.normal(0, 2.0 * width / pixel_m)) for value in anchor]
        else:
            anchor = [float(rng.uniform(0.02, 0.98)) * size for size in shape]
        panels.append((anchor[0], anchor[1], source))
    return panels


def _draw_panel_count(rng: np.random.Generator, bounds: tuple[int, int]) -> int:
    count = bounds[0]
    while count < bounds[1] and rng.random() < 0.55:
        count += 1
    return count


def _increment(panel: mining.Panel, speed: float, start: float, end: float, factor: float | None) -> Field:
    return lambda east, north: mining.advance_increment(
        east,
        north,
        panel,
        advance_m_per_day=speed,
        start_day=start,
        end_day=end,
        time_factor_per_day=factor,
    )
