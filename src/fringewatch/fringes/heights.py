"""Height map: the phase surface that fits local fringe rates best, across noise and gaps.

Path-following unwrapping stops where phase is incoherent, which the core of a mining trough often is. Weighted least
squares (Ghiglia and Romero 1994, 10.1364/JOSAA.11.000107) bridges it with the smoothest surface between what is known.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Real = NDArray[np.float64]
    Plane = NDArray[np.float32]

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
    # Sides with a large prime factor take the transform four times as long, and a few more rows take nothing.
    shape = weight.shape
    rows, cols = (fft.next_fast_len(size, real=True) for size in shape)
    known = np.maximum(weight, np.float32(_LEAST_WEIGHT)).astype(np.float32, copy=False)
    down, right = np.zeros((rows - 1, cols), np.float32), np.zeros((rows, cols - 1), np.float32)
    down[: shape[0] - 1, : shape[1]] = np.minimum(known[1:], known[:-1])
    right[: shape[0], : shape[1] - 1] = np.minimum(known[:, 1:], known[:, :-1])
    flow_down, flow_right = np.zeros_like(down), np.zeros_like(right)
    for flow, weights, steps in ((flow_down, down, row_steps), (flow_right, right, col_steps)):
        part = tuple(slice(size) for size in steps.shape)
        # The smoothest surface, whatever steps noise made up.
        np.multiply(weights[part], steps, out=flow[part], where=weights[part] > _LEAST_WEIGHT)
    # What was added hangs on its neighbour alone and follows it.
    down[shape[0] - 1 :] = 1
    right[: shape[0], shape[1] - 1 :] = 1
    surface = _solve(_divergence(flow_down, flow_right), down, right, iterations, tolerance)
    height = surface[: shape[0], : shape[1]].astype(np.float64)
    return np.asarray(height - height.mean())


def _solve(source: Plane, down: Plane, right: Plane, iterations: int, tolerance: float) -> Plane:
    """Return the surface whose weighted steps diverge as `source` does, by preconditioned conjugate gradients."""
    inverse = _inverse_spectrum(*source.shape)
    surface, direction, residual = np.zeros_like(source), np.zeros_like(source), source
    enough, before = tolerance**2 * float(np.vdot(source, source)), 1.0
    for number in range(iterations):
        if float(np.vdot(residual, residual)) <= enough:
            break
        solved: Plane = fft.idctn(fft.dctn(residual, norm="ortho") * inverse, norm="ortho", overwrite_x=True)
        now = float(np.vdot(residual, solved))
        direction *= np.float32(now / before if number else 0)
        direction += solved
        applied = _divergence(down * (direction[1:] - direction[:-1]), right * (direction[:, 1:] - direction[:, :-1]))
        length = np.float32(now / float(np.vdot(direction, applied)))
        surface += length * direction
        residual -= length * applied
        before = now
    return surface


def _divergence(down: Plane, right: Plane) -> Plane:
    total = np.empty((right.shape[0], down.shape[1]), np.float32)
    total[:-1] = down
    total[-1] = 0
    total[1:] -= down
    total[:, :-1] += right
    total[:, 1:] -= right
    return total


@functools.lru_cache(maxsize=256)
def _inverse_spectrum(rows: int, cols: int) -> Plane:
    """Return one over the eigenvalues of the unweighted operator; 0 for the mean, which no step tells."""
    eigenvalues = (2 * np.cos(np.pi * np.arange(rows) / rows))[:, None] + 2 * np.cos(np.pi * np.arange(cols) / cols) - 4
    eigenvalues[0, 0] = -np.inf
    inverse: Plane = (1 / eigenvalues).astype(np.float32)
    return inverse
