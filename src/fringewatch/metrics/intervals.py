"""Confidence intervals: bootstrap over groups of files that are not independent, and Wilson's for proportions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = ["bootstrap_interval", "wilson_interval"]

_CHUNK_ELEMENTS = 4_000_000
"""Weights held at a time while bootstrapping: 32 MB."""


def bootstrap_interval(
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    groups: Sequence[object] | NDArray[np.generic],
    *,
    rng: np.random.Generator,
    strata: ArrayLike | None = None,
    resamples: int = 1000,
    level: float = 0.95,
) -> NDArray[np.float64]:
    """Return the percentile interval of a statistic under resampling of whole groups with replacement.

    Parameters
    ----------
    statistic
        Takes weights (R, n), how often each file is drawn in each of R resamples, and returns (R,) or (R, K);
        for example ``Ranking(labels, scores).auroc``. Resamples where it is NaN are left out.
    groups
        (n,) the group of each file: all files of a group are drawn together.
    rng
        Source of randomness.
    strata
        (n,) usually the labels. Groups are resampled within the set of strata that they hold (only background, only
        deformation, both), so each resample keeps both classes.
    resamples, level
        Number of resamples, and the interval's confidence.

    Returns
    -------
    numpy.ndarray
        (2,) or (2, K): lower and upper end. NaN with fewer than two groups, which say nothing of the spread.

    Notes
    -----
    Percentile intervals are too narrow for few groups (under about ten); say how many there are (Efron and Tibshirani
    1993, chapter 13; Field and Welsh 2007 on resampling clusters).
    """
    _, group_of_file = np.unique(np.asarray([str(group) for group in groups]), return_inverse=True)
    values = np.concatenate([statistic(w) for w in _resamples(group_of_file, strata, rng, resamples)])
    ends = np.full((2, *values.shape[1:]), np.nan)
    if group_of_file.size and group_of_file.max() > 0:
        defined = np.isfinite(values).any(axis=0)
        quantiles = [(1 - level) / 2, (1 + level) / 2]
        ends[:, defined] = np.nanquantile(values[:, defined], quantiles, axis=0)
    return ends


def wilson_interval(hits: float, trials: float, *, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of a proportion (Wilson 1927); honest at 0 and 1, where a bootstrap has no width.

    Parameters
    ----------
    hits, trials
        Successes and independent trials; need not be whole, for trials that were scaled to an effective number.
    level
        Confidence.

    Returns
    -------
    low, high
        In [0, 1]; both NaN with no trials.
    """
    if trials <= 0:
        return float("nan"), float("nan")
    z = float(ndtri((1 + level) / 2))
    share = hits / trials
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * float(np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2)))
    return max(0.0, centre - half), min(1.0, centre + half)


def _resamples(
    group_of_file: NDArray[np.intp], strata: ArrayLike | None, rng: np.random.Generator, resamples: int
) -> Iterator[NDArray[np.float64]]:
    count = int(group_of_file.max(initial=-1)) + 1
    stratum_of_group = np.zeros(count, np.intp)
    if strata is not None:
        values, stratum_of_file = np.unique(np.asarray(strata), return_inverse=True)
        holds = np.zeros((count, values.size), bool)
        holds[group_of_file, stratum_of_file] = True
        _, stratum_of_group = np.unique(holds, axis=0, return_inverse=True)
        stratum_of_group = stratum_of_group.ravel()  # NumPy 2.0 alone returns a column
    members = [np.flatnonzero(stratum_of_group == s) for s in np.unique(stratum_of_group)]
    chunk = max(1, _CHUNK_ELEMENTS // max(1, group_of_file.size))
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        draws = np.zeros((rows, count))
        for groups in members:
            draws[:, groups] = rng.multinomial(groups.size, np.full(groups.size, 1 / groups.size), size=rows)
        yield draws[:, group_of_file]
