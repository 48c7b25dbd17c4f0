"""Measures on grids: overlap of masks, smoothness of phase."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import uniform_filter

from fringewatch.metrics._arrays import ratio

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["mask_iou", "mean_local_coherence"]


def mask_iou(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Return intersection over union of two boolean masks of one shape; NaN where both are empty."""
    a, b = np.asarray(truth, bool), np.asarray(predicted, bool)
    if a.shape != b.shape:
        message = f"truth has shape {a.shape}, predicted {b.shape}; expected masks on one grid"
        raise ValueError(message)
    return float(ratio(np.asarray((a & b).sum(), float), np.asarray((a | b).sum(), float)))


def mean_local_coherence(phase_rad: NDArray[np.float32], *, window_px: int = 5) -> float:
    """Return how smooth phase is: the mean over pixels of ``|mean of exp(i phase)|`` in small square windows.

    1 for constant phase; for independent uniform phase about ``sqrt(pi) / (2 * window_px)``, 0.18 in 5 x 5 pixels.
    Steep fringes lower it as well as noise does.

    Parameters
    ----------
    phase_rad
        (H, W) wrapped radians; NaN = no data.
    window_px
        Side of the window, odd.

    Returns
    -------
    float
        In [0, 1]; NaN where no window is at least half valid.
    """
    valid = np.isfinite(phase_rad)
    angle = np.where(valid, phase_rad, 0.0).astype(np.float64)
    share, real, imaginary = (
        uniform_filter(field, window_px, mode="constant")
        for field in (valid.astype(np.float64), np.cos(angle) * valid, np.sin(angle) * valid)
    )
    # A window with few pixels is coherent by lack of contradiction.
    usable = valid & (share >= 0.5)
    if not usable.any():
        return float("nan")
    return float(np.mean(np.hypot(real[usable], imaginary[usable]) / share[usable]))
