"""Checks and divisions that the metrics share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def checked_scores(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return labels as (n,) bool and scores as (n,) float64, or say what is wrong with them."""
    truth, values = np.asarray(labels), np.asarray(scores, np.float64)
    if truth.ndim != 1 or truth.shape != values.shape or truth.size == 0:
        message = f"labels have shape {truth.shape}, scores {values.shape}; expected two lists of one length, not empty"
        raise ValueError(message)
    if not np.isin(truth, (0, 1)).all():
        message = f"labels hold {np.unique(truth)[:5]}; expected only 0 (background) and 1 (deformation)"
        raise ValueError(message)
    if not np.isfinite(values).all():
        message = f"{int((~np.isfinite(values)).sum())} of {values.size} scores are not finite; leave those files out"
        raise ValueError(message)
    return truth.astype(bool), values


def bin_index(probabilities: NDArray[np.float64], bins: int) -> NDArray[np.intp]:
    """Return which of `bins` equal bins of [0, 1] each probability falls in; 1 belongs to the last."""
    if probabilities.min() < 0 or probabilities.max() > 1:
        message = f"probabilities run from {probabilities.min():g} to {probabilities.max():g}; expected [0, 1]"
        raise ValueError(message)
    return np.minimum((probabilities * bins).astype(np.intp), bins - 1)


def ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide with broadcasting; NaN where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    quotient = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient
