"""Pressurised horizontal penny-shaped crack near a free surface (Fialko, Khazan and Simons 2001).

The crack's opening and the radial slip of its faces are sought as Hankel transforms of two functions phi and psi on
the radius, chosen so that both vanish outside the crack:

    k * opening(k) = integral of phi(t) sin(k t),   k * slip(k) = integral of psi(t) (sin(k t) / (k t) - cos(k t)).

Abel inversion of the tractions on the crack turns the condition "pressure, no shear" into a pair of Fredholm
equations of the second kind, whose kernels are what the free surface adds. Gauss-Legendre nodes turn those into a
small linear system. The displacement of the surface is then a sum of elementary functions over the nodes. Lengths
are in units of the radius here.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline

from fringewatch.errors import PhysicsError
from fringewatch.physics._check import require_between, require_finite, require_positive
from fringewatch.physics._chunks import chunks
from fringewatch.physics._cubic import evaluate_cubic
from fringewatch.physics.displacement import Displacement
from fringewatch.physics.sources.scaling import SHEAR_MODULUS_PA

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

__all__ = ["LOWEST_DEPTH_TO_RADIUS", "penny_crack"]

LOWEST_DEPTH_TO_RADIUS = 0.8
"""Shallower cracks lift their roof as a plate that would break; the elastic model says little about them."""

# The kernels decay like exp(-2 k h) and are smooth: at the lowest depth this gives twelve digits.
_NODES = 24
_WAVENUMBERS = 96
_DECAY = 45.0
# Nodes of the radial profile, in asinh(r / depth); cubic interpolation leaves an error of about 1e-9.
_PROFILE_STEP = 0.02


class _Crack(NamedTuple):
    """Solution for unit pressure: nodes on the radius, and phi and psi times the quadrature weights."""

    t: Array
    phi: Array
    psi: Array


def penny_crack(
    east_m: ArrayLike,
    north_m: ArrayLike,
    *,
    depth_m: float,
    radius_m: float,
    pressure_pa: float | None = None,
    volume_change_m3: float | None = None,
    shear_modulus_pa: float = SHEAR_MODULUS_PA,
    poisson: float = 0.25,
) -> Displacement:
    """Compute the surface displacement of a uniformly pressurised horizontal circular crack.

    Parameters
    ----------
    east_m, north_m
        Position of the observation points relative to the crack's centre, metres; any shapes that broadcast.
    depth_m
        Depth of the crack below the ground, metres, at least 0.8 ``radius_m``.
    radius_m
        Radius, metres, > 0.
    pressure_pa
        Pressure in excess of the lithostatic one, Pa; positive inflates. About 1e6. Give this or the volume change.
    volume_change_m3
        Volume that opens, m3; positive inflates. Equals the volume by which the surface rises.
    shear_modulus_pa
        Shear modulus of the half space, Pa, > 0. Without influence when the volume change is given.
    poisson
        Poisson's ratio of the half space, in [0, 0.5].

    Returns
    -------
    Displacement
        East, north and up in metres, float64, of the broadcast shape.

    Raises
    ------
    PhysicsError
        If the crack is too shallow for its radius, not exactly one strength is given, or an argument is out of
        range.

    Notes
    -----
    Fialko, Khazan and Simons (2001), Deformation due to a pressurized horizontal circular crack in an elastic
    half-space, GJI 146, 181-190. The functions here are theirs up to normalisation, the kernels are integrated
    numerically. Deep cracks approach ``3 dV / (2 pi) d^2 (x, y, d) / R^5`` (Sun 1969).
    """
    require_positive("radius_m", radius_m)
    require_positive("depth_m", depth_m, "(metres below the ground)")
    require_positive("shear_modulus_pa", shear_modulus_pa)
    require_between("poisson", poisson, 0.0, 0.5)
    if depth_m < LOWEST_DEPTH_TO_RADIUS * radius_m:
        message = (
            f"depth_m={depth_m:g} is too shallow for radius_m={radius_m:g}; allowed: depth_m >= "
            f"{LOWEST_DEPTH_TO_RADIUS * radius_m:g} ({LOWEST_DEPTH_TO_RADIUS} times the radius)"
        )
        raise PhysicsError(message)
    depth = depth_m / radius_m
    crack = _solve(depth)
    if pressure_pa is not None and volume_change_m3 is None:
        require_finite("pressure_pa", pressure_pa)
        scale_m = 2.0 * (1.0 - poisson) * pressure_pa * radius_m / shear_modulus_pa
    elif volume_change_m3 is not None and pressure_pa is None:
        require_finite("volume_change_m3", volume_change_m3)
        scale_m = volume_change_m3 / (2.0 * math.pi * radius_m**2 * float(crack.phi @ crack.t))
    else:
        message = f"{pressure_pa=} and {volume_change_m3=} do not fit together; give exactly one of them"
        raise PhysicsError(message)

    east, north = np.broadcast_arrays(np.asarray(east_m, dtype=np.float64), np.asarray(north_m, dtype=np.float64))
    shape = east.shape
    east, north = east.ravel() / radius_m, north.ravel() / radius_m
    farthest = float(np.sqrt(np.max(east * east + north * north, initial=0.0)))
    radial_table, up_table = _tabulate(crack, depth, farthest)
    result = np.empty((3, east.size))
    for chunk in chunks(east.size):
        e, n = east[chunk], north[chunk]
        distance_squared = e * e + n * n
        position = np.arcsinh(np.sqrt(distance_squared) / depth) / _PROFILE_STEP
        reach_squared = distance_squared + depth * depth
        decay = scale_m / (reach_squared * np.sqrt(reach_squared))
        radial = decay / reach_squared * evaluate_cubic(radial_table, position)[0]
        result[0, chunk] = radial * e
        result[1, chunk] = radial * n
        result[2, chunk] = decay * evaluate_cubic(up_table, position)[0]
    return Displacement(*result.reshape(3, *shape))


@lru_cache(maxsize=64)
def _solve(depth: float) -> _Crack:
    """Solve the Fredholm equations for unit pressure over ``shear modulus / (2 (1 - poisson))``."""
    t, t_weight = _unit_legendre(_NODES)
    k, k_weight = (_DECAY / (2.0 * depth) * part for part in _unit_legendre(_WAVENUMBERS))
    kt = np.outer(k, t)
    opening_modes = np.sin(kt)
    slip_modes = np.sin(kt) / kt - np.cos(kt)

    # Traction on a horizontal layer from its own opening and slip, as reflected by the free surface.
    kh = k * depth
    fade = k_weight * np.exp(-2.0 * kh)
    from_opening = (1.0 + 2.0 * kh + 2.0 * kh * kh) * fade
    from_slip = (1.0 - 2.0 * kh + 2.0 * kh * kh) * fade
    coupling = -2.0 * kh * kh * fade
    kernel = np.block(
        [
            [
                opening_modes.T @ (from_opening[:, np.newaxis] * opening_modes),
                opening_modes.T @ (coupling[:, np.newaxis] * slip_modes),
            ],
            [
                slip_modes.T @ (coupling[:, np.newaxis] * opening_modes),
                slip_modes.T @ (from_slip[:, np.newaxis] * slip_modes),
            ],
        ]
    )
    matrix = 0.5 * math.pi * np.eye(2 * _NODES) - kernel * np.tile(t_weight, 2)
    phi, psi = np.split(np.linalg.solve(matrix, np.concatenate([t, np.zeros(_NODES)])), 2)
    return _Crack(t, phi * t_weight, psi * t_weight)


@lru_cache(maxsize=2)
def _unit_legendre(count: int) -> tuple[Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return 0.5 * (nodes + 1.0), 0.5 * weights


def _tabulate(crack: _Crack, depth: float, farthest: float) -> tuple[Array, Array]:
    """Tabulate the radial profile as cubics in asinh(r / depth), up to a distance.

    Multiplied with the decay of a deep source, radial displacement over distance and uplift are very smooth.
    """
    nodes = np.arange(int(np.arcsinh(farthest / depth) / _PROFILE_STEP) + 4)
    at = depth * np.sinh(_PROFILE_STEP * nodes)
    reach_squared = at * at + depth * depth
    radial_over_distance, up = _profile(crack, depth, at)
    both = CubicSpline(nodes, np.stack([radial_over_distance * reach_squared**2.5, up * reach_squared**1.5], axis=1)).c
    return np.ascontiguousarray(both[..., 0]), np.ascontiguousarray(both[..., 1])


def _profile(crack: _Crack, depth: float, distance: Array) -> tuple[Array, Array]:
    """Sum radial displacement over distance, and uplift, of the surface over the nodes of the crack.

    The integrals over wavenumber are Weber's, ``integral of exp(-k a) J0(k r) = 1 / sqrt(a^2 + r^2)`` and its like,
    at the complex depth ``a = depth - i t``.
    """
    t, phi, psi = crack
    r = distance[:, np.newaxis]
    a = depth - 1j * t
    rho = np.sqrt(a * a + r * r)
    j0, k_j0 = 1.0 / rho, a / rho**3
    # Those with J1, divided by r: of exp(-k a) J1 / k, of exp(-k a) J1, and of k exp(-k a) J1.
    j1_by_k, j1, k_j1 = 1.0 / (rho + a), 1.0 / (rho * (rho + a)), 1.0 / rho**3
    up = (j0 + depth * k_j0).imag @ phi - depth * (j0.imag / t - k_j0.real) @ psi
    slip_part = j1_by_k.imag / t - j1.real - depth * (j1.imag / t - k_j1.real)
    return depth * (k_j1.imag @ phi) + slip_part @ psi, up
