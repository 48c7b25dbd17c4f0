"""Kernels of deformation sources, in float64; see ``physics.sources`` and ``physics.mining`` for the formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fringewatch.compiled.elementary import arctangent, cos_sin, logarithm
from fringewatch.compiled.jit import exact_kernel, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Real = NDArray[np.float32]

__all__ = ["coefficients", "mean_phasor", "okada", "sheet", "sheet_in_single", "spline", "trough"]

_TINY = 1e-100
_F = np.float32


@kernel
def sheet(x: Array, y: Array, d: Array, crack_x: Array, crack_y: Array, volume: Array, sums: Array) -> None:
    """Write, (points, 3), the sums over cracks of V / R^5, and of that times their position."""
    for i in range(x.size):
        at_x, at_y, depth_squared = x[i], y[i], d[i] * d[i]
        total, total_x, total_y = 0.0, 0.0, 0.0
        for crack in range(volume.size):
            dx, dy = at_x - crack_x[crack], at_y - crack_y[crack]
            squared = dx * dx + dy * dy + depth_squared
            weight = volume[crack] / (squared * squared * np.sqrt(squared))
            total += weight
            total_x += weight * crack_x[crack]
            total_y += weight * crack_y[crack]
        sums[i, 0] = total
        sums[i, 1] = total_x
        sums[i, 2] = total_y


@kernel
def sheet_in_single(x: Array, y: Array, d: Array, crack_x: Real, crack_y: Real, volume: Real, sums: Array) -> None:
    """Write the same sums, each term in float32: to a millionth or so, in a third of the time."""
    for i in range(x.size):
        at_x, at_y, depth = _F(x[i]), _F(y[i]), _F(d[i])
        over_depth = _F(1) / depth
        total, total_x, total_y = _F(0), _F(0), _F(0)
        for crack in range(volume.size):
            # In depths, whose fifth power float32 could not hold in metres.
            dx, dy = (at_x - crack_x[crack]) * over_depth, (at_y - crack_y[crack]) * over_depth
            squared = dx * dx + dy * dy + _F(1)
            weight = volume[crack] / (squared * squared * np.sqrt(squared))
            total += weight
            total_x += weight * crack_x[crack]
            total_y += weight * crack_y[crack]
        scale = 1.0 / d[i] ** 5
        sums[i, 0] = scale * total
        sums[i, 1] = scale * total_x
        sums[i, 2] = scale * total_y


@exact_kernel
def _corner(
    xi: float, xi_q: float, xi_over_q: float, y: float, d: float, q_squared: float, s: float, c: float
) -> tuple[float, ...]:
    eta = y * c + d * s
    eta_q = eta * eta + q_squared
    r = max(np.sqrt(xi * xi + eta_q), _TINY)
    over_r = 1.0 / r
    eta_over_r = eta * over_r
    theta = arctangent(xi_over_q * eta_over_r)
    one_eta = eta_over_r * xi_q
    by_xi = xi * over_r / max(eta_q, _TINY)
    r_d = max(r + d, _TINY)
    tangent = xi / max((1.0 + s) * r + (eta + d), _TINY)
    return eta, r, over_r, theta, one_eta, by_xi, r_d, tangent


@exact_kernel
def okada(
    x: Array,
    y: Array,
    depth: Array,
    dip: tuple[float, float],
    size: tuple[float, float],
    slip: tuple[float, float, float],
    medium: float,
    result: Array,
) -> None:
    """Write displacement along strike, across and up, (3, points), of a rectangle that is not nearly vertical."""
    s, c = dip
    half_length, half_width = 0.5 * size[0], 0.5 * size[1]
    strike_slip, dip_slip, opening = slip
    for i in range(x.size):
        q = y[i] * s - depth[i] * c
        qq = q * q
        xa, xb = x[i] + half_length, x[i] - half_length
        y1, d1 = y[i] + half_width * c, max(depth[i] + half_width * s, 0.0)
        y2, d2 = y[i] - half_width * c, max(depth[i] - half_width * s, 0.0)
        xa_q, xb_q = 1.0 / max(xa * xa + qq, _TINY), 1.0 / max(xb * xb + qq, _TINY)
        # On the fault's plane the arctangent jumps between +-pi/2; its mean, zero, is taken.
        safe_q = np.inf if q == 0.0 else q
        xa_over, xb_over = xa / safe_q, xb / safe_q
        # Corners in the order of the formulas: signs + - - +.
        eta0, r0, o0, th0, on0, bx0, rd0, t0 = _corner(xa, xa_q, xa_over, y1, d1, qq, s, c)
        eta1, r1, o1, th1, on1, bx1, rd1, t1 = _corner(xa, xa_q, xa_over, y2, d2, qq, s, c)
        eta2, r2, o2, th2, on2, bx2, rd2, t2 = _corner(xb, xb_q, xb_over, y1, d1, qq, s, c)
        eta3, r3, o3, th3, on3, bx3, rd3, t3 = _corner(xb, xb_q, xb_over, y2, d2, qq, s, c)
        theta = th0 - th1 - th2 + th3
        one_r = o0 - o1 - o2 + o3
        one_eta = -(on0 - on1 - on2 + on3)
        xi_eta = -(on0 * xa - on1 * xa - on2 * xb + on3 * xb)
        y_xi = -(bx0 * y1 - bx1 * y2 - bx2 * y1 + bx3 * y2)
        d_xi = -(bx0 * d1 - bx1 * d2 - bx2 * d1 + bx3 * d2)

        side = -1.0 if eta0 + eta3 < 0.0 else 1.0
        log_eta = side * logarithm(
            ((r0 + side * eta0) / (r1 + side * eta1)) * ((r3 + side * eta3) / (r2 + side * eta2))
        )
        log_d = logarithm((rd0 / rd1) * (rd3 / rd2))
        a0, a1, a2, a3 = c * t0, c * t1, c * t2, c * t3
        i5 = (-2.0 / c) * (arctangent((a0 - a1) / (1.0 + a0 * a1)) + arctangent((a3 - a2) / (1.0 + a2 * a3)))
        i4 = (log_d - s * log_eta) / c
        y_sum = y1 / rd0 - y2 / rd1 - y1 / rd2 + y2 / rd3
        xi_sum = xa / rd0 - xa / rd1 - xb / rd2 + xb / rd3
        i3 = (y_sum + s * i4) / c - log_eta
        i1 = -(xi_sum + s * i5) / c
        i2 = -log_eta - i3
        i1, i2, i3, i4, i5 = medium * i1, medium * i2, medium * i3, medium * i4, medium * i5

        bracket = q * xi_eta - theta
        along = -strike_slip * (q * xi_eta + theta + i1 * s)
        along -= dip_slip * (q * one_r - i3 * s * c)
        along += opening * (qq * one_eta - i3 * s * s)
        across = -strike_slip * (q * (c * one_r + s * q * one_eta) + i2 * s)
        across -= dip_slip * (q * y_xi + c * theta - i1 * s * c)
        across -= opening * (q * d_xi + s * bracket + i1 * s * s)
        up = -strike_slip * (q * (s * one_r - c * q * one_eta) + i4 * s)
        up -= dip_slip * (q * d_xi + s * theta - i5 * s * c)
        up += opening * (q * y_xi + c * bracket - i5 * s * s)
        result[0, i] = along * (0.5 / np.pi)
        result[1, i] = across * (0.5 / np.pi)
        result[2, i] = up * (0.5 / np.pi)


@exact_kernel
def _cubic(pieces: Array, position: float) -> tuple[float, float]:
    """Return a piecewise cubic, (pieces, 4) with the highest power first, and its derivative."""
    inside = min(max(position, 0.0), float(pieces.shape[0]))
    index = min(int(inside), pieces.shape[0] - 1)
    t = inside - index
    cubic, square, slope, constant = pieces[index, 0], pieces[index, 1], pieces[index, 2], pieces[index, 3]
    value = ((cubic * t + square) * t + slope) * t + constant
    return value, (3.0 * cubic * t + 2.0 * square) * t + slope


@exact_kernel
def trough(
    east: Array,
    north: Array,
    turn: tuple[float, float],
    down_dip: float,
    along: tuple[Array, float, float],
    across: tuple[Array, float, float],
    largest: float,
    spread: float,
    result: Array,
) -> None:
    """Write displacement, (3, points), by profiles along and across a panel, each (pieces, reach, step)."""
    sin, cos = turn
    along_pieces, along_reach, along_step = along
    across_pieces, across_reach, across_step = across
    for i in range(east.size):
        e, n = east[i], north[i]
        a, a_slope = _cubic(along_pieces, (e * sin + n * cos + along_reach) / along_step)
        b, b_slope = _cubic(across_pieces, (e * cos - n * sin - down_dip + across_reach) / across_step)
        towards_along = spread * (a_slope / along_step) * b
        towards_across = spread * a * (b_slope / across_step)
        result[0, i] = towards_along * sin + towards_across * cos
        result[1, i] = towards_along * cos - towards_across * sin
        result[2, i] = -largest * a * b


@kernel
def coefficients(values: Real, down: Real, across: Real, result: Real) -> None:
    """Write the coefficients of a spline from its values at nodes.

    ``down`` and ``across`` are the inverses for rows and columns as bands, (n, band) each: row i of an inverse from
    element i - band // 2 on, with 0 beyond its ends.
    """
    rows, columns = values.shape
    half = down.shape[1] // 2
    wide = across.shape[1] // 2
    line = np.zeros(columns + 2 * wide, np.float32)
    middle = line[wide : wide + columns]
    for row in range(rows):
        middle[:] = 0
        for other in range(max(row - half, 0), min(row + half + 1, rows)):
            weight, taken = down[row, other - row + half], values[other]
            for column in range(columns):
                middle[column] += weight * taken[column]
        put = result[row]
        for column in range(columns):
            weights, beside = across[column], line[column : column + 2 * wide + 1]
            total = _F(0)
            for k in range(weights.size):
                total += weights[k] * beside[k]
            put[column] = total


@kernel
def spline(
    coefficients: Real,
    rows: NDArray[np.int64],
    row_weights: Real,
    columns: NDArray[np.int64],
    weights: Real,
    result: Real,
) -> None:
    """Write a spline on a grid from its coefficients: of each row and column the first of four, and their weights."""
    wide = np.empty((coefficients.shape[0], columns.size), np.float32)
    for node in range(coefficients.shape[0]):
        taken, put = coefficients[node], wide[node]
        for column in range(columns.size):
            first = columns[column]
            put[column] = (
                weights[0, column] * taken[first]
                + weights[1, column] * taken[first + 1]
                + weights[2, column] * taken[first + 2]
                + weights[3, column] * taken[first + 3]
            )
    for row in range(rows.size):
        first = rows[row]
        a, b, c, d = wide[first], wide[first + 1], wide[first + 2], wide[first + 3]
        wa, wb, wc, wd = row_weights[0, row], row_weights[1, row], row_weights[2, row], row_weights[3, row]
        put = result[row]
        for column in range(columns.size):
            put[column] = wa * a[column] + wb * b[column] + wc * c[column] + wd * d[column]


@kernel
def mean_phasor(los: Real, turns_per_m: np.float32, fine: int, mean: Real, parts: Real) -> None:
    """Write the mean of square blocks of a motion, and that of its phasors, (rows, columns, 2)."""
    rows, columns = mean.shape
    scale = _F(1.0 / fine**2)
    total, cosines, sines = (
        np.empty(columns * fine, np.float32),
        np.empty(columns * fine, np.float32),
        np.empty(columns * fine, np.float32),
    )
    for row in range(rows):
        total[:] = 0
        cosines[:] = 0
        sines[:] = 0
        for inner in range(fine):
            taken = los[row * fine + inner]
            for i in range(total.size):
                cosine, sine = cos_sin(taken[i] * turns_per_m)
                total[i] += taken[i]
                cosines[i] += cosine
                sines[i] += sine
        for column in range(columns):
            sum_los, re, im = _F(0), _F(0), _F(0)
            for i in range(column * fine, (column + 1) * fine):
                sum_los += total[i]
                re += cosines[i]
                im += sines[i]
            mean[row, column] = sum_los * scale
            parts[row, column, 0] = re * scale
            parts[row, column, 1] = im * scale
