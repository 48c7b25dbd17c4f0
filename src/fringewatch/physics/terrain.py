"""Synthetic terrain: a fractal surface with cones, calderas and valleys on it."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.compiled import kernels
from fringewatch.physics._check import require_at_least, require_between, require_positive
from fringewatch.physics._fields import padded_shape, squared_wavenumbers, synthesise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fringewatch.physics.geometry import LookVector

    Height = NDArray[np.float32]

__all__ = ["Erosion", "add_caldera", "add_cone", "add_valley", "fractal_terrain", "layover_or_shadow", "slope_deg"]

# Directions about a summit in which an outline and gullies are tabulated.
_DIRECTIONS = 1024


def fractal_terrain(
    shape: tuple[int, int],
    pixel_m: float,
    rng: np.random.Generator,
    *,
    relief_m: float,
    slope_exponent: float = 3.6,
    base_m: float = 0.0,
) -> Height:
    """Draw a self-affine surface.

    Parameters
    ----------
    shape
        Rows and columns.
    pixel_m
        Pixel size, metres.
    rng
        Source of randomness.
    relief_m
        Height of the highest point above the lowest one, metres, >= 0.
    slope_exponent
        The power spectrum falls with this power of the wavenumber, in [2, 5]; 3.2 (rough) to 4.2 (smooth) is usual.
    base_m
        Height of the lowest point.

    Returns
    -------
    numpy.ndarray
        Heights in metres, float32.

    Notes
    -----
    Turcotte (1997), *Fractals and Chaos in Geology and Geophysics*, chapter 7: two-dimensional power spectra of
    topography fall with about the power 3.6 (fractal dimension 2.2).
    """
    require_positive("pixel_m", pixel_m)
    require_at_least("relief_m", relief_m, 0.0)
    require_between("slope_exponent", slope_exponent, 2.0, 5.0)
    grid = padded_shape(shape)
    height = synthesise(shape, grid, _self_affine_amplitude(grid, slope_exponent), rng)
    if compiled := kernels("ground"):
        compiled.fill_range(height, np.float32(base_m), np.float32(relief_m))
        return height
    height -= height.min()
    height *= np.float32(relief_m) / max(height.max(), np.float32(1e-12))
    height += np.float32(base_m)
    return height


@lru_cache(maxsize=8)
def _self_affine_amplitude(grid: tuple[int, int], slope_exponent: float) -> Height:
    k_squared = squared_wavenumbers(grid)
    amplitude = np.zeros_like(k_squared)
    np.power(k_squared, np.float32(-slope_exponent / 4), out=amplitude, where=k_squared > 0)
    amplitude.flags.writeable = False
    return amplitude


class Erosion(NamedTuple):
    """What makes a cone other than round: lobes of its outline, and gullies down its flanks.

    Both are periodic functions of the direction from the summit, tabulated clockwise from east.
    """

    outline: Height
    """Distance at which the same height is reached, over that of a round cone; about 1."""
    gullies: Height
    """Share of the cone's height that is missing half way down, 0 on the ridges; less towards summit and foot."""
    meander: float
    """Radians by which the terrain below the cone, at one standard deviation, turns the gullies aside."""

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Erosion:
        """Draw an outline with up to 25 % of lobes, and 8 to 48 gullies up to a third of the height deep."""
        size = float(rng.uniform(0.0, 0.25))
        lobes = [(order, size * rng.normal() / order, rng.uniform(0, 6.3)) for order in range(2, 7)]
        outline = 1 + _add_waves(lobes)
        np.clip(outline, 0.6, 1.6, out=outline)
        count = int(rng.integers(8, 49))
        orders = rng.integers(max(count // 3, 2), count + 1, size=4)
        wave = _add_waves([(int(order), rng.uniform(0.3, 1.0), rng.uniform(0, 6.3)) for order in orders])
        # Ridges between valleys cut by water are sharp: the modulus of a wave has them where it is zero.
        wave = np.abs(wave)
        return cls(outline, wave * np.float32(rng.uniform(0.03, 0.33)) / wave.max(), float(rng.uniform(0.0, 0.4)))


def _add_waves(waves: list[tuple[int, float, float]]) -> Height:
    """Add up waves about a summit, given by order, size, and phase in radians."""
    orders, sizes, phases = np.array(waves).T
    cosines, sines = _waves()
    chosen = orders.astype(np.intp)
    weights = (sizes * np.cos(phases)).astype(np.float32), (sizes * np.sin(phases)).astype(np.float32)
    if compiled := kernels("ground"):
        return np.asarray(compiled.waves(chosen, *weights, (cosines, sines)))
    return np.asarray(weights[0] @ cosines[chosen] - weights[1] @ sines[chosen])


@lru_cache(maxsize=1)
def _waves() -> tuple[Height, Height]:
    """Tabulate cosine and sine of each order, (49, directions)."""
    angle = np.outer(np.arange(49), np.arange(_DIRECTIONS)) * (2 * math.pi / _DIRECTIONS)
    return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


def add_cone(
    height_m: Height,
    pixel_m: float,
    *,
    row: float,
    col: float,
    summit_m: float,
    radius_m: float,
    curvature: float = 1.5,
    crater_radius_m: float = 0.0,
    erosion: Erosion | None = None,
) -> Height:
    """Add a stratovolcano: flanks that steepen towards the summit, optionally with a crater.

    Parameters
    ----------
    height_m
        Heights in metres, float32, 2-D; not changed.
    pixel_m
        Pixel size, metres.
    row, col
        Position of the summit in pixels; may lie outside.
    summit_m
        Height of the cone above the terrain, metres.
    radius_m
        Distance from the summit to the foot, metres.
    curvature
        Exponent of ``(1 - distance / radius)``: 1 is a straight cone, 1.5 to 2 Fuji-like.
    crater_radius_m
        Radius of a flat crater floor, metres; 0 for none.
    erosion
        Lobes and gullies; default: a round cone. A delay that follows the height of a round cone looks like a source
        at depth, and that of an eroded one does not.

    Returns
    -------
    numpy.ndarray
        Heights with the cone, float32.
    """
    require_positive("pixel_m", pixel_m)
    require_positive("radius_m", radius_m)
    require_between("curvature", curvature, 1.0, 4.0)
    require_between("crater_radius_m", crater_radius_m, 0.0, radius_m)
    result = height_m.copy()
    # Nothing changes outside the square around the foot.
    reach = radius_m / pixel_m * (1.0 if erosion is None else float(erosion.outline.max()))
    rows, cols = _span(row, reach, height_m.shape[0]), _span(col, reach, height_m.shape[1])
    part = result[rows, cols]
    if not part.size:
        return result
    # 1 - distance / radius, between 0 at the foot and its value at the crater's edge.
    middle = row - rows.start, col - cols.start
    if (compiled := kernels("ground")) and result.dtype == np.float32:
        outline = gullies = np.empty(0, np.float32)
        aside = mean = 0.0
        if erosion is not None:
            outline, gullies = erosion.outline, erosion.gullies
            mean, deviation = compiled.mean_and_deviation(np.ascontiguousarray(part))
            aside = erosion.meander * _DIRECTIONS / (2 * math.pi) / max(deviation, 1e-6)
        numbers = (np.float32(x) for x in (pixel_m / radius_m, 1 - crater_radius_m / radius_m, curvature, summit_m))
        corner = rows.start, cols.start
        compiled.cone(
            result, corner, part.shape, middle, *numbers, outline, gullies, np.float32(aside), np.float32(mean)
        )
        return result
    flank = _distance(part.shape, pixel_m, *middle)
    missing: Height | None = None
    if erosion is not None:
        flank, missing = _eroded(flank, part, middle, erosion)
    flank *= np.float32(-1 / radius_m)
    flank += np.float32(1)
    np.clip(flank, np.float32(0), np.float32(1 - crater_radius_m / radius_m), out=flank)
    if missing is not None:
        # Most half way down, where water has gathered and the slope is still steep.
        missing *= flank
        missing *= np.float32(4) * (np.float32(1) - flank)
    if curvature != 1:
        flank **= np.float32(curvature)
    if missing is not None:
        flank -= flank * missing
    flank *= np.float32(summit_m)
    part += flank
    return result


def _eroded(distance: Height, ground: Height, middle: tuple[float, float], erosion: Erosion) -> tuple[Height, Height]:
    """Return the distance from the summit less the lobes, and the share that gullies take, by direction."""
    rows = np.arange(distance.shape[0], dtype=np.float32)[:, np.newaxis] - np.float32(middle[0])
    columns = np.arange(distance.shape[1], dtype=np.float32) - np.float32(middle[1])
    turn = np.arctan2(rows, columns)
    turn *= np.float32(_DIRECTIONS / (2 * math.pi))
    direction = turn.astype(np.int32)
    distance = distance / erosion.outline.take(direction, mode="wrap")
    if erosion.meander:
        aside = ground - ground.mean()
        aside *= np.float32(erosion.meander * _DIRECTIONS / (2 * math.pi)) / max(aside.std(), np.float32(1e-6))
        turn += aside
        direction = turn.astype(np.int32)
    return distance, erosion.gullies.take(direction, mode="wrap")


def _span(middle: float, reach: float, size: int) -> slice:
    """Return the indices from ``middle - reach`` to ``middle + reach``, as far as there are any."""
    start = min(max(math.ceil(middle - reach), 0), size)
    return slice(start, max(start, min(math.floor(middle + reach) + 1, size)))


def add_caldera(
    height_m: Height,
    pixel_m: float,
    *,
    row: float,
    col: float,
    radius_m: float,
    depth_m: float,
    rim_m: float = 0.0,
) -> Height:
    """Sink a round caldera with a flat floor and a smooth wall, optionally with a raised rim.

    Parameters
    ----------
    height_m, pixel_m, row, col
        As in :func:`add_cone`.
    radius_m
        Distance from the centre to the rim, metres.
    depth_m
        Depth of the floor below the former surface, metres.
    rim_m
        Height of the rim above the former surface, metres.

    Returns
    -------
    numpy.ndarray
        Heights with the caldera, float32.
    """
    require_positive("pixel_m", pixel_m)
    require_positive("radius_m", radius_m)
    require_at_least("depth_m", depth_m, 0.0)
    require_at_least("rim_m", rim_m, 0.0)
    relative = _distance(height_m.shape, pixel_m, row, col)
    relative /= np.float32(radius_m)
    # The wall is 0.3 radii wide; the logistic function of it is flat on the floor and outside.
    bowl = 1 / (1 + np.exp(np.clip((relative - np.float32(0.85)) / np.float32(0.05), -50, 50)))
    rim = np.exp(-np.square((relative - 1) / np.float32(0.2)))
    return np.asarray(height_m - np.float32(depth_m) * bowl + np.float32(rim_m) * rim)


def add_valley(
    height_m: Height,
    pixel_m: float,
    *,
    row: float,
    col: float,
    azimuth_deg: float,
    width_m: float,
    depth_m: float,
) -> Height:
    """Carve a straight valley with a Gaussian cross-section.

    Parameters
    ----------
    height_m, pixel_m
        As in :func:`add_cone`.
    row, col
        A point on the valley's axis, in pixels.
    azimuth_deg
        Direction of the axis, degrees clockwise from the direction of decreasing row.
    width_m
        Full width at half depth, metres.
    depth_m
        Depth of the axis below the former surface, metres.

    Returns
    -------
    numpy.ndarray
        Heights with the valley, float32.
    """
    require_positive("pixel_m", pixel_m)
    require_positive("width_m", width_m)
    require_at_least("depth_m", depth_m, 0.0)
    azimuth = math.radians(azimuth_deg)
    rows = (np.arange(height_m.shape[0], dtype=np.float32) - np.float32(row)) * np.float32(pixel_m)
    columns = (np.arange(height_m.shape[1], dtype=np.float32) - np.float32(col)) * np.float32(pixel_m)
    across = columns[np.newaxis, :] * np.float32(math.cos(azimuth)) + rows[:, np.newaxis] * np.float32(
        math.sin(azimuth)
    )
    gauss = np.exp(np.float32(-4 * math.log(2) / width_m**2) * across * across)
    return np.asarray(height_m - np.float32(depth_m) * gauss)


def slope_deg(height_m: Height, pixel_m: float) -> Height:
    """Compute the steepest slope of a terrain.

    Parameters
    ----------
    height_m
        Heights in metres, 2-D; NaN spreads to the neighbours.
    pixel_m
        Pixel size, metres.

    Returns
    -------
    numpy.ndarray
        Degrees in [0, 90), float32.
    """
    require_positive("pixel_m", pixel_m)
    d_row, d_column = np.gradient(height_m, np.float32(pixel_m))
    slope = np.sqrt(d_row * d_row + d_column * d_column)
    return np.asarray(np.arctan(slope) * np.float32(180 / math.pi), dtype=np.float32)


def layover_or_shadow(height_m: Height, pixel_m: float, look: LookVector) -> NDArray[np.bool_]:
    """Find where the radar sees no single point of the ground: slopes steeper than its rays, and their far sides.

    Parameters
    ----------
    height_m
        Heights in metres, 2-D, north up; NaN counts as seen.
    pixel_m
        Pixel size, metres.
    look
        Unit vector from the ground to the satellite, constant over the terrain.

    Returns
    -------
    numpy.ndarray
        bool, True in active layover (the ground rises away from the satellite by at least the incidence angle) and
        in active shadow (it falls away by at least 90 degrees minus that). What lies beneath either from elsewhere
        is not traced.

    Notes
    -----
    Kropatsch and Strobl (1990), The generation of SAR layover and shadow maps from digital elevation models, IEEE
    TGRS 28, 98-107.
    """
    require_positive("pixel_m", pixel_m)
    d_row, d_column = np.gradient(height_m, np.float32(pixel_m))
    # Climb per metre away from the satellite, times sin(incidence); rows grow to the south.
    climb = d_row * np.float32(look.north) - d_column * np.float32(look.east)
    sin_squared = np.float32(1.0 - look.up**2)
    # climb / sin >= tan(incidence), or -climb / sin >= cot(incidence)
    return np.asarray((climb * np.float32(look.up) >= sin_squared) | (-climb >= np.float32(look.up)))


def _distance(shape: tuple[int, ...], pixel_m: float, row: float, col: float) -> Height:
    rows = (np.arange(shape[0], dtype=np.float32) - np.float32(row)) * np.float32(pixel_m)
    columns = (np.arange(shape[1], dtype=np.float32) - np.float32(col)) * np.float32(pixel_m)
    squared = (rows * rows)[:, np.newaxis] + (columns * columns)[np.newaxis, :]
    return np.asarray(np.sqrt(squared, out=squared))
