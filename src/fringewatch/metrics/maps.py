"""Measures on grids: overlap of masks, smoothness of phase."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fringewatch.metrics._arrays import ratio
from fringewatch.physics.coherence import local_coherence

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
    """Return how smooth phase is: the mean over pixels of :func:`fringewatch.physics.coherence.local_coherence`.

    1 for constant phase and for fringes, however dense; for independent uniform phase about ``0.82 / window_px``.

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
    agreement = local_coherence(np.asarray(phase_rad, np.float32), window_px=window_px)
    known = agreement > 0
    return float(agreement[known].mean(dtype=np.float64)) if known.any() else float("nan")
