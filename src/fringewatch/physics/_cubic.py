"""Fast evaluation of a smooth function of one variable at very many points, from a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["evaluate_cubic"]


def evaluate_cubic(coefficients: Array, position: Array) -> tuple[Array, Array]:
    """Evaluate a piecewise cubic on unit intervals, and its derivative.

    On equal intervals the piece is known without a search, which makes this several times as fast as
    ``scipy.interpolate.PPoly`` with the same coefficients.

    Parameters
    ----------
    coefficients
        (4, n), highest power first, as in the ``c`` of SciPy's splines over the nodes 0, 1, ..., n.
    position
        Any shape, in [0, n]; what lies outside is moved to the nearest end.

    Returns
    -------
    value, derivative
        Shape of ``position``.
    """
    pieces = coefficients.shape[1]
    inside = np.minimum(np.maximum(position, 0.0), pieces)
    index = np.minimum(inside.astype(np.intp), pieces - 1)
    t = inside - index
    cubic, square, slope, constant = (np.take(row, index) for row in coefficients)
    value = ((cubic * t + square) * t + slope) * t + constant
    derivative = (3.0 * cubic * t + 2.0 * square) * t + slope
    return value, derivative
