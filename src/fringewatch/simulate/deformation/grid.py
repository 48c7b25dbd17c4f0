"""Smooth fields computed at a few nodes and interpolated to every pixel."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.interpolate import BSpline, CubicSpline

from fringewatch.compiled import kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["nodes", "upsample"]


# How far an inverse of a spline is kept: 0.27 to this power is below the rounding of float32.
_REACH = 13


def nodes(count: int, step: int) -> NDArray[np.float64]:
    """Return the nodes ``-2 step, -step, 0, ...`` that reach at least two steps beyond both ends of ``count`` points.

    Ends of a spline are its weak spots; these keep them off the points. With a step of 1 the nodes are the points.
    """
    if step == 1:
        return np.arange(count, dtype=np.float64)
    return step * np.arange(-2.0, np.ceil((count - 1) / step) + 3)


def upsample(values: NDArray[np.floating], shape: tuple[int, int], step: int) -> NDArray[np.float32]:
    """Interpolate values at the nodes of rows and columns to all points, by cubic splines.

    Parameters
    ----------
    values
        (len(nodes(rows, step)), len(nodes(columns, step))).
    shape, step
        Rows and columns of points, and the step of the nodes.

    Returns
    -------
    numpy.ndarray
        float32 of ``shape``.
    """
    if step == 1:
        return np.asarray(values, np.float32)
    if compiled := kernels("sources"):
        down, across = _four_weights(shape[0], step), _four_weights(shape[1], step)
        coefficients = np.empty(values.shape, np.float32)
        compiled.coefficients(np.ascontiguousarray(values, np.float32), down.inverse, across.inverse, coefficients)
        result = np.empty(shape, np.float32)
        compiled.spline(coefficients, down.first, down.weights, across.first, across.weights, result)
        return result
    # Splines are linear in the values, so two products with small matrices do it: several times as fast as evaluating
    # piecewise polynomials.
    tall = _spline_matrix(shape[0], step) @ np.asarray(values, np.float32)
    return np.asarray(tall @ _spline_matrix(shape[1], step).T)


@lru_cache(maxsize=128)
def _spline_matrix(count: int, step: int) -> NDArray[np.float32]:
    at = nodes(count, step)
    matrix: NDArray[np.float32] = CubicSpline(at, np.eye(at.size))(np.arange(count)).astype(np.float32)
    matrix.flags.writeable = False
    return matrix


class _FourWeights(NamedTuple):
    """The same spline by basis functions, of which four are not zero at a point."""

    inverse: NDArray[np.float32]
    """(n, 2 reach + 1), from values at the nodes to coefficients: a band about the diagonal."""
    first: NDArray[np.int64]
    """(count,) first of the four at each point."""
    weights: NDArray[np.float32]
    """(4, count)."""


@lru_cache(maxsize=128)
def _four_weights(count: int, step: int) -> _FourWeights:
    at = nodes(count, step)
    knots = at[0] + step * _knots(at.size)
    design = BSpline.design_matrix(np.arange(count, dtype=np.float64), knots, 3)
    first = design.indices.reshape(count, 4)[:, 0].astype(np.int64)
    weights = np.ascontiguousarray(design.data.reshape(count, 4).T, np.float32)
    return _FourWeights(_band_of_inverse(at.size), first, weights)


@lru_cache(maxsize=512)
def _band_of_inverse(count: int) -> NDArray[np.float32]:
    """Invert the basis functions at so many nodes; it does not depend on their step."""
    inverse = np.linalg.inv(BSpline.design_matrix(np.arange(count, dtype=np.float64), _knots(count), 3).toarray())
    # Its elements fall to a quarter from one to the next.
    padded = np.pad(inverse, ((0, 0), (_REACH, _REACH)))
    band: NDArray[np.float32] = np.stack([padded[row, row : row + 2 * _REACH + 1] for row in range(count)])
    return band.astype(np.float32)


def _knots(count: int) -> NDArray[np.float64]:
    """Return the knots, in steps from the first node, of a spline as CubicSpline makes it.

    Its third derivative goes on at the second and the last but one node.
    """
    at = np.arange(count, dtype=np.float64)
    return np.concatenate([np.repeat(at[0], 4), at[2:-2], np.repeat(at[-1], 4)])
