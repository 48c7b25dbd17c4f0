"""Rectangular dislocation: faults, dykes and sills (Okada 1985), in a form without singular dips.

Okada's functions divide by the cosine of the dip up to twice, so he gives separate formulas for vertical faults, and
steep dips lose digits; and they divide by ``R + eta`` and ``R + xi``, which vanish along the lines that extend the
edges. Here they are rewritten with one principle: the displacement is the sum over the four corners with alternating
signs, so a term that depends on one end of an edge only cancels and may be dropped or added.

* ``1 / (R (R + eta)) = (1 - eta / R) / (xi^2 + q^2)``, whose 1 cancels; likewise for xi. No ``R + xi`` is left.
* ``log(R + eta) = log(xi^2 + q^2) - log(R - eta)``, whose first term cancels: the sum without cancellation is used.
* The arctangent of I5 becomes ``arctan(xi cos / ((1 + sin) R + eta + d))``, whose argument never blows up, and whose
  ratio to the cosine has Okada's eq. 29 as its limit.
* For steep dips, what still vanishes with the cosine is summed as a series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.compiled import kernels
from fringewatch.errors import PhysicsError
from fringewatch.physics._check import require_between, require_finite, require_positive
from fringewatch.physics._chunks import chunks
from fringewatch.physics.displacement import Displacement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

__all__ = ["okada"]

# Below this cosine the differences of nearly equal numbers are replaced by their series.
_STEEP_COSINE = 0.02
# Keeps 0 / 0 finite on the trace of a fault that breaks the surface; far below any length in metres.
_TINY = 1e-100


class _Dip(NamedTuple):
    sin: float
    cos: float


class _Corner(NamedTuple):
    """One corner of the rectangle as Okada's functions see it from the observation points.

    Parameters
    ----------
    sign
        In the alternating sum.
    xi, eta
        Distance along strike, and in the plane of the fault up dip.
    y, d
        Horizontal distance across strike, and depth, of the corner's edge.
    r
        Distance.
    """

    sign: float
    xi: Array
    eta: Array
    y: Array
    d: Array | float
    r: Array


class _Integrals(NamedTuple):
    """Okada's I1 to I5 (eqs. 28 and 29), summed over the corners."""

    i1: Array
    i2: Array
    i3: Array
    i4: Array
    i5: Array


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

    dip_rad = np.deg2rad(dip_deg)
    # The cosine of pi / 2 is 6e-17 in floating point; symmetric faults should give exact zeros.
    dip = _Dip(float(np.sin(dip_rad)), 0.0 if dip_deg == 90 else float(np.cos(dip_rad)))
    depth = np.asarray(depth_m, dtype=np.float64)
    half_height_m = 0.5 * width_m * dip.sin
    # A top edge that the caller's own arithmetic places at the surface may come out above it by a rounding error.
    slack_m = 1e-9 * width_m
    if float(depth.min()) < half_height_m - slack_m:
        message = (
            f"depth_m={float(depth.min()):g} lets the rectangle reach above the surface; allowed: depth_m >= "
            f"{half_height_m:g} (half the width times the sine of the dip)"
        )
        raise PhysicsError(message)

    strike_rad = np.deg2rad(strike_deg)
    sin_strike, cos_strike = float(np.sin(strike_rad)), float(np.cos(strike_rad))
    east, north = np.asarray(east_m, dtype=np.float64), np.asarray(north_m, dtype=np.float64)
    size, slip, medium = (length_m, width_m), (strike_slip_m, dip_slip_m, opening_m), 1.0 - 2.0 * poisson
    # Okada's frame: x along strike, y to the left of it, which is up dip.
    if dip.cos > _STEEP_COSINE and (compiled := kernels("sources")):
        shape = np.broadcast_shapes(east.shape, north.shape, depth.shape)
        points = (east * sin_strike + north * cos_strike, north * sin_strike - east * cos_strike, depth)
        x, y, depth_there = (np.ascontiguousarray(np.broadcast_to(part, shape)).reshape(-1) for part in points)
        result = np.empty((3, x.size))
        numbers = (tuple(map(float, part)) for part in (size, slip))
        compiled.okada(x, y, depth_there, (dip.sin, dip.cos), *numbers, medium, result)
        along, across, up = result.reshape(3, *shape)
        return Displacement(along * sin_strike - across * cos_strike, along * cos_strike + across * sin_strike, up)
    east, north, depth_there = np.broadcast_arrays(east, north, depth)
    shape = east.shape
    east, north, depth_there = east.ravel(), north.ravel(), depth_there.ravel()
    result = np.empty((3, east.size))
    for chunk in chunks(east.size):
        x = east[chunk] * sin_strike + north[chunk] * cos_strike
        y = north[chunk] * sin_strike - east[chunk] * cos_strike
        along, across, up = _surface_displacement(
            x,
            y,
            float(depth) if depth.ndim == 0 else depth_there[chunk],
            dip=dip,
            size=size,
            slip=slip,
            medium=medium,
        )
        result[0, chunk] = along * sin_strike - across * cos_strike
        result[1, chunk] = along * cos_strike + across * sin_strike
        result[2, chunk] = up
    return Displacement(*result.reshape(3, *shape))


def _surface_displacement(
    x: Array,
    y: Array,
    depth: Array | float,
    *,
    dip: _Dip,
    size: tuple[float, float],
    slip: tuple[float, float, float],
    medium: float,
) -> tuple[Array, Array, Array]:
    """Compute the displacement along strike, across (to the left) and up, by Okada's eqs. 25 to 27."""
    s, c = dip
    strike_slip, dip_slip, opening = slip
    q = y * s - depth * c
    q_squared = q * q
    ends = [x + 0.5 * size[0], x - 0.5 * size[0]]
    # Distance and depth of the lower and of the upper edge.
    edges = [(y + reach * c, np.maximum(depth + reach * s, 0.0)) for reach in (0.5 * size[1], -0.5 * size[1])]

    corners = []
    theta = np.zeros(x.shape)
    # Sums over the corners of 1 / R, and of 1, xi, y and d over R (R + eta) or R (R + xi); see the module.
    one_r, one_eta, xi_eta = np.zeros(x.shape), np.zeros(x.shape), np.zeros(x.shape)
    y_xi, d_xi = np.zeros(x.shape), np.zeros(x.shape)
    # On the fault's plane the arctangent jumps between +-pi/2; its mean, zero, is taken (Okada 1985, p. 1148).
    q_or_infinite = q if q.all() else np.where(q == 0.0, np.inf, q)
    for xi, end_sign in zip(ends, (1.0, -1.0), strict=True):
        xi_squared = xi * xi
        over_xi_q = 1.0 / np.maximum(xi_squared + q_squared, _TINY)
        xi_over_q = xi / q_or_infinite
        for (y_edge, d_edge), edge_sign in zip(edges, (1.0, -1.0), strict=True):
            sign = end_sign * edge_sign
            eta = y_edge * c + d_edge * s
            eta_q = eta * eta + q_squared
            r = np.maximum(np.sqrt(xi_squared + eta_q), _TINY)
            corners.append(_Corner(sign, xi, eta, y_edge, d_edge, r))
            over_r = sign / r
            eta_over_r = eta * over_r
            theta += np.arctan(xi_over_q * eta_over_r)
            one_r += over_r
            term = eta_over_r * over_xi_q
            one_eta -= term
            xi_eta -= term * xi
            if dip_slip or opening:
                term = xi * over_r / np.maximum(eta_q, _TINY)
                y_xi -= term * y_edge
                d_xi -= term * d_edge
    i = _integrals(corners, q, dip, medium)

    along, across, up = np.zeros(x.shape), np.zeros(x.shape), np.zeros(x.shape)
    if strike_slip:
        # With y = eta c + q s, Okada's y / (R (R + eta)) + c / (R + eta) is c / R + s q / (R (R + eta)); and likewise
        # with d = eta s - q c.
        along -= strike_slip * (q * xi_eta + theta + i.i1 * s)
        across -= strike_slip * (q * (c * one_r + s * q * one_eta) + i.i2 * s)
        up -= strike_slip * (q * (s * one_r - c * q * one_eta) + i.i4 * s)
    if dip_slip:
        along -= dip_slip * (q * one_r - i.i3 * s * c)
        across -= dip_slip * (q * y_xi + c * theta - i.i1 * s * c)
        up -= dip_slip * (q * d_xi + s * theta - i.i5 * s * c)
    if opening:
        bracket = q * xi_eta - theta
        along += opening * (q_squared * one_eta - i.i3 * s * s)
        across -= opening * (q * d_xi + s * bracket + i.i1 * s * s)
        up += opening * (q * y_xi + c * bracket - i.i5 * s * s)
    scale = 0.5 / np.pi
    return scale * along, scale * across, scale * up


def _integrals(corners: Sequence[_Corner], q: Array, dip: _Dip, medium: float) -> _Integrals:
    """Sum Okada's integrals over the corners, for any dip."""
    s, c = dip
    # Of the two equal sums of logarithms, take the one whose R +- eta does not cancel, by the mean eta of both edges,
    # on which the first and the last corner lie.
    side = np.where(corners[0].eta + corners[-1].eta < 0.0, -1.0, 1.0)
    log_eta = side * _log_sum(corners, [corner.r + side * corner.eta for corner in corners])
    r_plus_d = [np.maximum(corner.r + corner.d, _TINY) for corner in corners]
    # The angle of I5 has the tangent c times this.
    tangents = [corner.xi / np.maximum((1.0 + s) * corner.r + (corner.eta + corner.d), _TINY) for corner in corners]
    if c > _STEEP_COSINE:
        log_d = _log_sum(corners, r_plus_d)
        i5 = (-2.0 / c) * _angle_sum([c * tangent for tangent in tangents])
        i4 = (log_d - s * log_eta) / c
        y_sum, xi_sum = np.zeros(q.shape), np.zeros(q.shape)
        for corner, denominator in zip(corners, r_plus_d, strict=True):
            over_d = corner.sign / denominator
            y_sum += corner.y * over_d
            xi_sum += corner.xi * over_d
        i3 = (y_sum + s * i4) / c - log_eta
        i1 = -(xi_sum + s * i5) / c
    else:
        i1, i3, i4, i5 = _steep_integrals(corners, q, dip, log_eta=log_eta, r_plus_d=r_plus_d, tangents=tangents)
    i2 = -log_eta - i3
    return _Integrals(*(medium * integral for integral in (i1, i2, i3, i4, i5)))


def _steep_integrals(
    corners: Sequence[_Corner],
    q: Array,
    dip: _Dip,
    *,
    log_eta: Array,
    r_plus_d: Sequence[Array],
    tangents: Sequence[Array],
) -> tuple[Array, Array, Array, Array]:
    """Sum I1, I3, I4 and I5 with the division by the cosine carried out in series."""
    s, c = dip
    # (1 - sin) / cos, without the cancellation.
    k = c / (1.0 + s)
    i1, i3, i4, i5 = (np.zeros(q.shape) for _ in range(4))
    for corner, r_d, tangent in zip(corners, r_plus_d, tangents, strict=True):
        sign, _, eta, _, _, r = corner
        r_eta = np.maximum(r + eta, _TINY)
        # log(R + d) = log(R + eta) + log1p(c t); log1p(c t) = c (t + c log_rest)
        lift = eta * k + q
        t = -lift / r_eta
        z = c * t
        log_rest = -t * t * (1 / 2 - z * (1 / 3 - z * (1 / 4 - z * (1 / 5 - z * (1 / 6 - z / 7)))))
        # arctan(c tangent) = c (tangent - c angle_rest)
        z = c * tangent
        z *= z
        angle_rest = c * tangent * tangent * tangent * (1 / 3 - z * (1 / 5 - z * (1 / 7 - z / 9)))

        i5 -= 2.0 * sign * (tangent - c * angle_rest)
        i4 += sign * (t + c * log_rest)
        i3 += sign * ((eta - s * q * t) / r_d + s * (log_rest - eta / ((1.0 + s) * r_eta)))
        i1 -= sign * (tangent * (k * (r + eta * (1.0 + 2.0 * s)) + q * (2.0 * s - 1.0)) / r_d + 2.0 * s * angle_rest)
    return i1, i3 - log_eta / (1.0 + s), i4 + k * log_eta, i5


def _log_sum(corners: Sequence[_Corner], values: Sequence[Array]) -> Array:
    """Sum logarithms with the signs of the corners, which alternate, through a single logarithm."""
    plus, minus = (
        [value for corner, value in zip(corners, values, strict=True) if corner.sign == sign] for sign in (1.0, -1.0)
    )
    return np.asarray(np.log((plus[0] / minus[0]) * (plus[1] / minus[1])))


def _angle_sum(tangents: Sequence[Array]) -> Array:
    """Sum arctangents with the signs + - - +; the pairs at one end have tangents of equal sign, so a pair is one."""
    first = (tangents[0] - tangents[1]) / (1.0 + tangents[0] * tangents[1])
    second = (tangents[3] - tangents[2]) / (1.0 + tangents[2] * tangents[3])
    return np.asarray(np.arctan(first) + np.arctan(second))
