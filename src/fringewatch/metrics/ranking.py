"""How well scores separate deformation from background: ROC, precision and recall, counts at a threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.metrics._arrays import bin_index, checked_scores, ratio

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Confusion", "Ranking", "auroc", "average_precision", "confusion"]


class Confusion(NamedTuple):
    """Weighted counts at one threshold, and the shares that follow; numbers, or arrays of one value per resample."""

    true_positive: NDArray[np.float64]
    false_positive: NDArray[np.float64]
    true_negative: NDArray[np.float64]
    false_negative: NDArray[np.float64]

    @property
    def files(self) -> NDArray[np.float64]:
        """Number of files."""
        return self.true_positive + self.false_positive + self.true_negative + self.false_negative

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """Share of all files judged rightly."""
        return ratio(self.true_positive + self.true_negative, self.files)

    @property
    def precision(self) -> NDArray[np.float64]:
        """Share of the flagged files that show deformation; NaN where none is flagged."""
        return ratio(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> NDArray[np.float64]:
        """Share of the deformation files that are flagged; NaN where there are none."""
        return ratio(self.true_positive, self.true_positive + self.false_negative)

    @property
    def f1(self) -> NDArray[np.float64]:
        """Harmonic mean of precision and recall."""
        return ratio(2 * self.true_positive, 2 * self.true_positive + self.false_positive + self.false_negative)

    @property
    def false_alarm_rate(self) -> NDArray[np.float64]:
        """Share of the background files that are flagged; NaN where there are none."""
        return ratio(self.false_positive, self.false_positive + self.true_negative)


class Ranking:
    """Labels and scores of a test set, sorted once, so that its statistics and those of resamples come cheap.

    Every method takes ``weights``, (..., n) counts of how often each file is drawn (None: once each), and returns one
    value per leading index.

    Parameters
    ----------
    labels
        (n,) of 0 and 1.
    scores
        (n,) finite; higher means deformation.

    Raises
    ------
    ValueError
        If lengths differ, a label is neither 0 nor 1, or a score is not finite.
    """

    def __init__(self, labels: ArrayLike, scores: ArrayLike) -> None:
        self.labels, self.scores = checked_scores(labels, scores)
        self._order = np.argsort(self.scores, kind="stable")
        self._sorted_labels = self.labels[self._order]
        # Tied scores form one level: a threshold cannot come between them.
        levels, self._starts = np.unique(self.scores[self._order], return_index=True)
        self._level_of_file = np.searchsorted(levels, self.scores)

    def placement(self, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Return for each file the share of the background files that score below it, ties counting half, (..., n).

        The mean over any set of deformation files is the AUROC of that set against all background files.
        """
        _, negative = self._per_level(weights)
        below = np.cumsum(negative, axis=-1) - negative
        total = negative.sum(axis=-1, keepdims=True)
        return ratio(below + negative / 2, total)[..., self._level_of_file]

    def auroc(self, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Area under the ROC curve: the Mann-Whitney statistic over the number of pairs, ties counting half."""
        positive, negative = self._per_level(weights)
        below = np.cumsum(negative, axis=-1) - negative
        wins = (positive * (below + negative / 2)).sum(axis=-1)
        return ratio(wins, positive.sum(axis=-1) * negative.sum(axis=-1))

    def average_precision(self, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Mean precision over the recalls reached, one step per distinct score, without interpolation."""
        positive, negative = self._per_level(weights)
        found = np.cumsum(positive[..., ::-1], axis=-1)
        flagged = found + np.cumsum(negative[..., ::-1], axis=-1)
        precision = np.divide(found, flagged, out=np.zeros_like(found), where=flagged > 0)
        return ratio((precision * positive[..., ::-1]).sum(axis=-1), found[..., -1])

    def confusion(self, threshold: float, weights: NDArray[np.float64] | None = None) -> Confusion:
        """Count hits and misses where ``score >= threshold`` is flagged."""
        flagged = self.scores >= threshold
        truth = self.labels
        weights = self._weights(weights)
        return Confusion(
            weights @ (truth & flagged).astype(float),
            weights @ (~truth & flagged).astype(float),
            weights @ (~truth & ~flagged).astype(float),
            weights @ (truth & ~flagged).astype(float),
        )

    def brier_score(self, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Mean squared difference of probability and label: 0 is perfect, 0.25 a constant one half."""
        weights = self._weights(weights)
        return ratio(weights @ (self.scores - self.labels) ** 2, weights.sum(axis=-1))

    def expected_calibration_error(
        self, weights: NDArray[np.float64] | None = None, *, bins: int = 10
    ) -> NDArray[np.float64]:
        """Mean distance of probability and observed share over `bins` equal bins of [0, 1], weighted by their size."""
        weights = self._weights(weights)
        gap = self.scores - self.labels
        index = bin_index(self.scores, bins)
        members = index[:, None] == np.arange(bins)
        return ratio(np.abs(weights @ (gap[:, None] * members)).sum(axis=-1), weights.sum(axis=-1))

    def _weights(self, weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
        return np.ones(self.labels.size) if weights is None else weights

    def _per_level(self, weights: NDArray[np.float64] | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        ordered = self._weights(weights)[..., self._order]
        positive = np.add.reduceat(ordered * self._sorted_labels, self._starts, axis=-1)
        negative = np.add.reduceat(ordered * ~self._sorted_labels, self._starts, axis=-1)
        return positive, negative


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the area under the ROC curve, ties counting half; NaN where a class is missing.

    Equals the probability that a deformation file scores above a background file (Mann and Whitney 1947).
    """
    return float(Ranking(labels, scores).auroc())


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the average precision, one step per distinct score; NaN where no file shows deformation."""
    return float(Ranking(labels, scores).average_precision())


def confusion(labels: ArrayLike, scores: ArrayLike, threshold: float) -> Confusion:
    """Return the counts where ``score >= threshold`` is flagged; shares are properties of the result."""
    return Ranking(labels, scores).confusion(threshold)
