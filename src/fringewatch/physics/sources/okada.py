"""Rectangular dislocation: faults, dykes and sills (Okada 1985), in a form without singular dips.

Okada's integrals I1 to I5 divide by the cosine of the dip up to twice, so he gives separate formulas for vertical
faults, and steep dips lose digits. Here the same integrals are rewritten so that one formula holds for every dip:

* terms that do not depend on both ends of an edge cancel in the sum over the four corners, so they may be dropped;
  this turns the arctangent of I5 into ``arctan(xi cos / ((1 + sin) R + eta + d))``, whose argument never blows up;
* ``1 - sin`` is written as ``cos^2 / (1 + sin)``, and what then still vanishes with the cosine is summed as a series
  for steep dips.

The limits for ``cos = 0`` are Okada's own eqs. 29 and 30.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.errors import PhysicsError
from fringewatch.physics._check import require_between, require_finite, require_positive
from fringewatch.physics.displacement import Displacement

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

__all__ = ["okada"]

# Below this cosine the differences of nearly equal numbers are replaced by their series.
_STEEP_COSINE = 0.01
# Keeps 0 / 0 finite on the trace of a fault that breaks the surface; far below any length in metres.
_TINY = 1e-100


class _Dip(NamedTuple):
    sin: float
    cos: float


def okada(
    east_m: ArrayLike,
    north_m: ArrayLike,
    *,
    depth_m: ArrayLike,
    strike_deg: float,
    dip_deg: float,
    length_m: float,
    width_m: float,
    strike_slip_m: float = 0.0,
    dip_slip_m: float = 0.0,
    opening_m: float = 0.0,
    poisson: float = 0.25,
) -> Displacement:
    """Compute the surface displacement of a rectangular dislocation in an elastic half space.

    Parameters
    ----------
    east_m, north_m
        Position of the observation points relative to the rectangle's centroid, metres; any shapes that broadcast.
    depth_m
        Depth of the centroid below the ground, metres. The upper edge may touch the surface but not pass it. An
        array (centroid depth plus local height) gives the usual varying-depth correction for topography.
    strike_deg
        Direction of the strike, degrees clockwise from north; the rectangle dips to its right.
    dip_deg
        Dip, degrees in [0, 90], 0 being horizontal.
    length_m, width_m
        Size along strike and down dip, metres, > 0.
    strike_slip_m, dip_slip_m, opening_m
        Motion of the hanging wall relative to the foot wall, metres: left-lateral, reverse (thrust) and opening are
        positive, as in Okada's paper. With rake ``k``: ``slip * cos k`` and ``slip * sin k``.
    poisson
        Poisson's ratio of the half space, in [0, 0.5].

    Returns
    -------
    Displacement
        East, north and up in metres, float64, of the broadcast shape. On the trace of a fault that breaks the
        surface, where the displacement jumps, it is the mean of both sides.

    Raises
    ------
    PhysicsError
        If a size is not positive, the rectangle reaches above the surface, or an argument is out of range.

    Notes
    -----
    Okada (1985), Surface deformation due to shear and tensile faults in a half-space, BSSA 75, 1135-1154,
    eqs. 25 to 30; see the module for the form of the integrals used here.
    """
    require_positive("length_m", length_m)
    require_positive("width_m", width_m)
    require_between("dip_deg", dip_deg, 0.0, 90.0)
    require_between("poisson", poisson, 0.0, 0.5)
    require_positive("depth_m", depth_m, "(metres below the ground, at the centroid)")
    for name, value in (
        ("strike_deg", strike_deg),
        ("strike_slip_m", strike_slip_m),
        ("dip_slip_m", dip_slip_m),
        ("opening_m", opening_m),
    ):
        require_finite(name, value)

    # cos(pi / 2) is 6e-17 in floating point; the formulas would cope, but an exact zero is tidier.
    dip = _Dip(1.0, 0.0) if dip_deg == 90 else _Dip(float(np.sin(np.deg2rad(dip_deg))), float(np.cos(np.deg2rad(dip_deg))))  # fmt: skip
    depth = np.asarray(depth_m, dtype=np.float64)
    half_height_m = 0.5 * width_m * dip.sin
    # A top edge placed at the surface by the caller's own arithmetic may come out above it by a rounding error.
    slack_m = 1e-9 * width_m
    if float(depth.min()) < half_height_m - slack_m:
        message = (
            f"depth_m={float(depth.min()):g} lets the rectangle reach above the surface; allowed: depth_m >= "
            f"{half_height_m:g} (half the width times the sine of the dip)"
        )
        raise PhysicsError(message)

    strike_rad = np.deg2rad(strike_deg)
    sin_strike, cos_strike = float(np.sin(strike_rad)), float(np.cos(strike_rad))
    east = np.asarray(east_m, dtype=np.float64)
    north = np.asarray(north_m, dtype=np.float64)
    # Okada's frame: x along strike, y up dip (left of strike), origin above one end of the lower edge.
    x = east * sin_strike + north * cos_strike
    y = north * sin_strike - east * cos_strike
    x, y, depth = np.broadcast_arrays(x, y, depth)
    along, across, up = _surface_displacement(
        x, y, depth, dip, 0.5 * length_m, 0.5 * width_m, (strike_slip_m, dip_slip_m, opening_m), 1.0 - 2.0 * poisson
    )
    return Displacement(
        along * sin_strike - across * cos_strike,
        along * cos_strike + across * sin_strike,
        up,
    )


def _surface_displacement(
    x: Array,
    y: Array,
    depth: Array,
    dip: _Dip,
    half_length: float,
    half_width: float,
    slip: tuple[float, float, float],
    medium: float,
) -> tuple[Array, Array, Array]:
    """Sum the corners in Chinnery's notation: f(x, p) - f(x, p - W) - f(x - L, p) + f(x - L, p - W)."""
    along, across, up = np.zeros(x.shape), np.zeros(x.shape), np.zeros(x.shape)
    q = y * dip.sin - depth * dip.cos
    for edge in (1.0, -1.0):
        # Depth of, and horizontal distance from, the lower (+1) or upper (-1) edge.
        edge_depth = np.maximum(depth + edge * half_width * dip.sin, 0.0)
        edge_y = y + edge * half_width * dip.cos
        eta = edge_y * dip.cos + edge_depth * dip.sin
        for end in (1.0, -1.0):
            xi = x + end * half_length
            terms = _corner(xi, eta, q, edge_y, edge_depth, dip, slip, medium)
            sign = edge * end / (2.0 * np.pi)
            along += sign * terms[0]
            across += sign * terms[1]
            up += sign * terms[2]
    return along, across, up


def _corner(
    xi: Array,
    eta: Array,
    q: Array,
    y: Array,
    d: Array,
    dip: _Dip,
    slip: tuple[float, float, float],
    medium: float,
) -> tuple[Array, Array, Array]:
    """Evaluate the functions of Okada's eqs. 25 to 27 at one corner, for all three slips together."""
    s, c = dip
    strike_slip, dip_slip, opening = slip
    r = np.maximum(np.sqrt(xi * xi + eta * eta + q * q), _TINY)
    # For negative eta, R + eta cancels; (R + eta)(R - eta) = xi^2 + q^2 does not. The same for xi.
    r_plus_eta = _r_plus(r, eta, xi * xi + q * q)
    r_plus_xi = _r_plus(r, xi, eta * eta + q * q)
    q_over_r_eta = q / (r * r_plus_eta)
    q_over_r_xi = q / (r * r_plus_xi)
    on_plane = q == 0
    # On the fault's plane the arctangent jumps between +-pi/2 and counts as its mean, zero (Okada 1985, p. 1148).
    theta = np.where(on_plane, 0.0, np.arctan(xi * eta / np.where(on_plane, 1.0, q * r)))
    i1, i2, i3, i4, i5 = _integrals(xi, eta, q, y, d, r, r_plus_eta, dip, medium)

    along, across, up = np.zeros(xi.shape), np.zeros(xi.shape), np.zeros(xi.shape)
    if strike_slip:
        along -= strike_slip * (xi * q_over_r_eta + theta + i1 * s)
        across -= strike_slip * (y * q_over_r_eta + q * c / r_plus_eta + i2 * s)
        up -= strike_slip * (d * q_over_r_eta + q * s / r_plus_eta + i4 * s)
    if dip_slip:
        along -= dip_slip * (q / r - i3 * s * c)
        across -= dip_slip * (y * q_over_r_xi + c * theta - i1 * s * c)
        up -= dip_slip * (d * q_over_r_xi + s * theta - i5 * s * c)
    if opening:
        bracket = xi * q_over_r_eta - theta
        along += opening * (q * q_over_r_eta - i3 * s * s)
        across += opening * (-d * q_over_r_xi - s * bracket - i1 * s * s)
        up += opening * (y * q_over_r_xi + c * bracket - i5 * s * s)
    return along, across, up


def _r_plus(r: Array, component: Array, others_squared: Array) -> Array:
    total = r + np.abs(component)
    return np.maximum(np.where(component >= 0, total, others_squared / total), _TINY)


def _integrals(
    xi: Array,
    eta: Array,
    q: Array,
    y: Array,
    d: Array,
    r: Array,
    r_plus_eta: Array,
    dip: _Dip,
    medium: float,
) -> tuple[Array, Array, Array, Array, Array]:
    """Evaluate Okada's I1 to I5 (eqs. 28 and 29) for any dip, up to terms that cancel between the corners."""
    s, c = dip
    # (1 - sin) / cos, without the cancellation.
    k = c / (1.0 + s)
    log_eta = np.log(r_plus_eta)
    inverse_r_d = 1.0 / np.maximum(r + d, _TINY)

    # log(R + d) = log(R + eta) + log1p(c t)
    t = -(eta * k + q) / r_plus_eta
    # xi c / D is the tangent of the angle in I5
    tangent = xi / np.maximum((1.0 + s) * r + eta + d, _TINY)
    if c > _STEEP_COSINE:
        log_term = np.log1p(c * t) / c
        log_rest = (log_term - t) / c
        angle = np.arctan(c * tangent) / c
        angle_rest = (tangent - angle) / c
    else:
        z = c * t
        log_rest = -t * t * (1 / 2 - z * (1 / 3 - z * (1 / 4 - z * (1 / 5 - z * (1 / 6 - z / 7)))))
        log_term = t + c * log_rest
        z2 = (c * tangent) ** 2
        angle_rest = c * tangent**3 * (1 / 3 - z2 * (1 / 5 - z2 * (1 / 7 - z2 / 9)))
        angle = tangent - c * angle_rest

    i5 = -2.0 * angle
    i4 = log_term + k * log_eta
    i3 = (
        eta * inverse_r_d
        - log_eta
        + s * (q * (eta * k + q) * inverse_r_d / r_plus_eta - eta / ((1.0 + s) * r_plus_eta) + log_rest + log_eta / (1.0 + s))
    )  # fmt: skip
    i1 = -tangent * (k * (r + eta * (1.0 + 2.0 * s)) + q * (2.0 * s - 1.0)) * inverse_r_d - 2.0 * s * angle_rest
    i2 = -log_eta - i3
    return medium * i1, medium * i2, medium * i3, medium * i4, medium * i5
