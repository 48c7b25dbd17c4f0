"""Draw the deformation of a scene of any kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fringewatch.simulate.deformation.earthquake import draw_rupture
from fringewatch.simulate.deformation.magmatic import draw_magmatic
from fringewatch.simulate.deformation.mining import draw_mine
from fringewatch.simulate.deformation.source import Deformation, Parameters, Placed, evaluate, probe
from fringewatch.simulate.distributions import log_uniform

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fringewatch.physics.geometry import LookVector
    from fringewatch.simulate.spec import Kind, SceneSpec

__all__ = ["draw_deformation", "draw_unless_hidden"]

_MAX_DRAWS = 40


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
        (H, W) terrain, metres, finite. In ``spec.topography_share`` of the scenes, depths are then counted from its
        lowest point and corrected pixel by pixel; mining follows the flat ground. Default: flat.

    Returns
    -------
    Deformation
    """
    drawn = draw_unless_hidden(rng, spec, kind, pixel_m, look, height_m=height_m)
    assert drawn is not None
    return drawn


def draw_unless_hidden(
    rng: np.random.Generator,
    spec: SceneSpec,
    kind: Kind,
    pixel_m: float,
    look: LookVector,
    *,
    height_m: NDArray[np.float32] | None = None,
    hidden: Callable[[NDArray[np.float64], int], bool] | None = None,
) -> Deformation | None:
    """Draw the same, but stop where it is hopeless.

    Parameters
    ----------
    rng, spec, kind, pixel_m, look, height_m
        As in :func:`draw_deformation`.
    hidden
        Says of the LOS (m) at coarse nodes, and the pixels between them, whether the scene hides it. It is asked only
        of single sources. Default: nothing is hidden.

    Returns
    -------
    Deformation
        None where it is hidden.
    """
    if kind == "mining":
        return draw_mine(rng, spec, pixel_m, look)
    above: NDArray[np.float32] | None = None
    if height_m is not None and rng.random() < spec.topography_share:
        above = height_m - height_m.min()
    count = 1 if kind == "earthquake" else _draw_count(rng, spec.sources)
    total = np.zeros((spec.height_px, spec.width_px), np.float32)
    parameters: Parameters = {"topography_correction": int(above is not None), "sources": count}
    for number in range(1, count + 1):
        los_m, drawn = _draw_source(rng, spec, kind, pixel_m, look, above, hidden if count == 1 else None)
        if los_m is None:
            return None
        total += los_m
        parameters |= {f"{key}_{number}": value for key, value in drawn.items()}
    span = float(np.ptp(total))
    parameters |= {"peak_to_peak_los_m": span, "peak_to_peak_fringes": span / (spec.wavelength_m / 2)}
    return Deformation(total, None, parameters)


def _draw_count(rng: np.random.Generator, bounds: tuple[int, int]) -> int:
    """Draw a count; each further one is a quarter as likely."""
    count = bounds[0]
    while count < bounds[1] and rng.random() < 0.25:
        count += 1
    return count


def _draw_source(
    rng: np.random.Generator,
    spec: SceneSpec,
    kind: Kind,
    pixel_m: float,
    look: LookVector,
    above_m: NDArray[np.float32] | None,
    hidden: Callable[[NDArray[np.float64], int], bool] | None,
) -> tuple[NDArray[np.float32] | None, Parameters]:
    shape = (spec.height_px, spec.width_px)
    extent_m = min(shape) * pixel_m
    fringe_m = spec.wavelength_m / 2
    for _ in range(_MAX_DRAWS):
        source = draw_rupture(rng, spec, extent_m) if kind == "earthquake" else draw_magmatic(rng, spec, extent_m)
        # Ruptures are longer than scenes: many a patch holds one flank of the fringes and not their centre.
        margin = 0.25 if kind == "earthquake" else 0.08
        row, col = (float(rng.uniform(-margin, 1 + margin) * size) for size in shape)
        place = Placed(shape, row, col, pixel_m)
        probed = probe(source, place, look, height_m=above_m)
        unit = probed.peak_to_peak_m
        low = max(source.strength[0], spec.fringes[0] * fringe_m / unit)
        high = min(source.strength[1], spec.fringes[1] * fringe_m / unit)
        if low <= high:
            break
    else:
        # The scene is too small or the range of fringes too narrow for these geometries: take the nearest strength.
        low = high = float(np.clip(spec.fringes[0] * fringe_m / unit, *source.strength))
    strength = log_uniform(rng, low, high)
    if kind == "volcano" and rng.random() < 0.35:
        # Deflation, closing and withdrawal are as real as their opposites, if less often watched.
        strength = -strength
    if hidden is not None and hidden(strength * probed.los_m, probed.step):
        return None, {}
    los_m = evaluate(source, place, look, height_m=above_m, probed=probed) * np.float32(strength)
    return los_m, source.parameters | {source.strength_name: strength, "row": row, "col": col}
