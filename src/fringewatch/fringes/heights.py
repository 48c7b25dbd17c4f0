"""Height map: the phase surface that fits local fringe rates best, across noise and gaps.

Path-following unwrapping stops where phase is incoherent, which the core of a mining trough often is. Weighted least
squares (Ghiglia and Romero 1994, 10.1364/JOSAA.11.000107) bridges it with the smoothest surface between what is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Real = NDArray[np.float64]

__all__ = ["integrate_steps"]

_LEAST_WEIGHT = 1e-3


def integrate_steps(
    row_steps: NDArray[np.float32],
    col_steps: NDArray[np.float32],
    weight: NDArray[np.float32],
    *,
    iterations: int = 60,
    tolerance: float = 1e-3,
) -> Real:
    """Integrate a field of steps to the surface whose own steps differ least from it, weighted.

    Parameters
    ----------
    row_steps
        (H - 1, W) steps from each row to the next, radians.
    col_steps
        (H, W - 1) steps from each column to the next, radians.
    weight
        (H, W) from 0 (not known) to 1; a step has the smaller weight of its two pixels. What is not known is bridged as
        a soap film is.
    iterations, tolerance
        Conjugate gradients, preconditioned by the unweighted solution, stop at either: the number, or this share of
        the first residual.

    Returns
    -------
    numpy.ndarray
        (H, W) float64, radians, mean 0.
    """
    steps = [row_steps.astype(np.float64), col_steps.astype(np.float64).T]
    known = np.maximum(weight.astype(np.float64), _LEAST_WEIGHT)
    weights = [np.minimum(known[1:], known[:-1]), np.minimum(known[:, 1:], known[:, :-1]).T]
    for step, certainty in zip(steps, weights, strict=True):
        # The smoothest surface, whatever steps noise made up.
        step[certainty <= _LEAST_WEIGHT] = 0

    def divergence(rows: Real, columns: Real) -> Real:
        total = np.zeros(known.shape)
        total[:-1] += rows
        total[1:] -= rows
        total.T[:-1] += columns
        total.T[1:] -= columns
        return total

    def operate(surface: Real) -> Real:
        return divergence(weights[0] * np.diff(surface, axis=0), weights[1] * np.diff(surface, axis=1).T)

    height, width = known.shape
    spectrum = (2 * np.cos(np.pi * np.arange(height) / height))[:, None] + 2 * np.cos(np.pi * np.arange(width) / width)
    spectrum -= 4
    spectrum[0, 0] = 1

    def precondition(residual: Real) -> Real:
        transformed = fft.dctn(residual, norm="ortho") / spectrum
        transformed[0, 0] = 0
        solved: Real = fft.idctn(transformed, norm="ortho")
        return solved

    surface = np.zeros(known.shape)
    residual = divergence(weights[0] * steps[0], weights[1] * steps[1])
    first = float(np.linalg.norm(residual))
    direction, before = np.zeros_like(surface), 1.0
    for number in range(iterations):
        if float(np.linalg.norm(residual)) <= tolerance * first:
            break
        solved = precondition(residual)
        now = float((residual * solved).sum())
        direction = solved + (now / before if number else 0.0) * direction
        applied = operate(direction)
        length = now / float((direction * applied).sum())
        surface += length * direction
        residual -= length * applied
        before = now
    return np.asarray(surface - surface.mean())
