"""From scored files to scores with intervals: by whole set, kind and site.

All intervals are 95 %. A proportion takes the bootstrap over groups where it rests on at least ten groups and is
neither 0 nor 1; otherwise Wilson's interval with the number of groups as the number of trials, which assumes the
worst: that the files of a group all behave alike. A bootstrap of few groups is too narrow, and that of a perfect score
has no width. Any other estimate gets no interval where it rests on fewer than five groups or its resamples all agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

from fringewatch.evaluate.records import CoherenceBaseline, Estimate, Located, ReliabilityRow, Row, Scores
from fringewatch.metrics import Ranking, bootstrap_interval, reliability_table, wilson_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from fringewatch.evaluate.records import FileScore

    Weights = NDArray[np.float64]
    Statistic = Callable[[Weights], NDArray[np.float64]]

__all__ = ["Summary"]

_FEW_GROUPS = 10
"""Below this a bootstrap is too narrow to be trusted alone."""

_TOO_FEW_GROUPS = 5
"""Below this it says nothing."""

_LARGE_SHARE = 0.25


class Summary:
    """Scores of a list of files at one threshold.

    Parameters
    ----------
    files
        At least one with a score; those that could not be read are left out.
    threshold
        Files with ``score >= threshold`` are flagged.
    resamples, seed
        Of the bootstrap. Every estimate uses the same resamples, so that estimates can be compared.
    """

    def __init__(self, files: Sequence[FileScore], *, threshold: float, resamples: int = 1000, seed: int = 0) -> None:
        self.files = [file for file in files if file.readable]
        self.threshold = threshold
        self._resamples = resamples
        self._seed = seed
        self.labels = np.array([file.label for file in self.files], bool)
        self.ranking = Ranking(self.labels, [float(file.score or 0.0) for file in self.files])
        self.flagged = self.ranking.scores >= threshold
        # A file without a group stands for itself; the prefix keeps it apart from groups of the same name.
        self.groups = np.array([f"group {f.group}" if f.group else f"file {f.file}" for f in self.files])

    def scores(self) -> Scores:
        """Return the scores over all files."""
        everything = np.ones(self.labels.size, bool)
        ranking, positive, negative = self.ranking, self.labels, ~self.labels
        sites = _names(file.site for file in self.files)
        members = self._members("site", sites)
        return Scores(
            auroc=self._estimate(ranking.auroc, everything),
            average_precision=self._estimate(ranking.average_precision, everything),
            accuracy=self._proportion(self.flagged == self.labels, everything),
            precision=self._proportion(positive, self.flagged),
            recall=self._proportion(self.flagged, positive),
            f1=self._estimate(lambda w: ranking.confusion(self.threshold, w).f1, everything),
            false_alarm_rate=self._proportion(self.flagged, negative),
            brier_score=self._estimate(ranking.brier_score, everything),
            calibration_error=self._estimate(ranking.expected_calibration_error, everything),
            macro_auroc=self._estimate(lambda w: _mean_defined(self._placement_means(w, members)), everything),
            macro_recall=self._macro_recall(members),
        )

    def rows(self, column: str) -> tuple[Row, ...]:
        """Return the scores of each value of ``"kind"`` or ``"site"``, those with most positives first."""
        names = _names(getattr(file, column) for file in self.files)
        if not names:
            return ()
        members = self._members(column, names)
        placements = self._placement_means(np.ones(self.labels.size), members)
        ends = self._bootstrap(lambda w: self._placement_means(w, members))
        rows = []
        for index, name in enumerate(names):
            inside = np.array([getattr(file, column) == name for file in self.files])
            positive, negative = inside & self.labels, inside & ~self.labels
            groups = self._count_groups(positive)
            rows.append(
                Row(
                    name=name,
                    positives=int(positive.sum()),
                    negatives=int(negative.sum()),
                    auroc=_estimate(placements[index], ends[:, index], int(positive.sum()), groups, "bootstrap"),
                    recall=self._proportion(self.flagged, positive),
                    false_alarm_rate=self._proportion(self.flagged, negative),
                )
            )
        return tuple(sorted(rows, key=lambda row: (-row.positives, -row.negatives, row.name)))

    def located(self) -> Located | None:
        """Return how well detections meet the boxes of the data set; None where it gives none."""
        boxed = np.array([file.located is not None for file in self.files])
        if not boxed.any():
            return None
        hit = np.array([bool(file.located) for file in self.files])
        overlap = np.array([file.best_iou or 0.0 for file in self.files])
        return Located(
            hit=self._proportion(hit, boxed),
            mean_iou=self._estimate(lambda w: _shares(w, overlap, boxed[:, None])[..., 0], boxed),
        )

    def coherence_baseline(self) -> CoherenceBaseline:
        """Return the AUROC of mean local phase coherence alone, in whichever direction it is above one half."""
        known = np.array([file.coherence is not None for file in self.files])
        coherence = np.array([np.nan if file.coherence is None else file.coherence for file in self.files])
        # A file too empty for a window says nothing: it gets the middle.
        filled = np.where(known, coherence, np.median(coherence[known]) if known.any() else 0.0)
        falling = Ranking(self.labels, -filled)
        more = bool(falling.auroc() < 0.5)
        ranking = Ranking(self.labels, filled) if more else falling
        quiet = ~self.labels & known
        return CoherenceBaseline(
            auroc=self._estimate(ranking.auroc, np.ones(self.labels.size, bool)),
            direction="more coherent = deformation" if more else "less coherent = deformation",
            correlation_in_quiet=_rank_correlation(self.ranking.scores[quiet], coherence[quiet]),
        )

    def reliability(self) -> tuple[ReliabilityRow, ...]:
        """Return the reliability table of the scores."""
        table = reliability_table(self.labels, self.ranking.scores)
        return tuple(ReliabilityRow.model_validate(row, from_attributes=True) for row in table)

    def notes(self) -> tuple[str, ...]:
        """Return sentences on what the numbers cannot carry."""
        notes = []
        for word, members in (("deformation", self.labels), ("background", ~self.labels)):
            groups = self._count_groups(members)
            if not members.any():
                notes.append(f"There are no {word} files: AUROC and what needs both classes are undefined.")
            elif groups < _FEW_GROUPS:
                notes.append(
                    f"The {word} files form only {groups} independent groups: bootstrap intervals are too narrow."
                )
        sites = [file.site for file in self.files if file.label and file.site]
        if sites:
            largest = max(sorted(set(sites)), key=sites.count)
            share = sites.count(largest) / int(self.labels.sum())
            if share > _LARGE_SHARE and len(set(sites)) > 1:
                notes.append(
                    f"{largest} holds {sites.count(largest)} of {int(self.labels.sum())} deformation files "
                    f"({share:.0%}): read the means over sites too."
                )
        return tuple(notes)

    def _macro_recall(self, members: NDArray[np.bool_]) -> Estimate:
        inside: NDArray[np.bool_] = np.any(members, axis=1)
        estimate = self._estimate(lambda w: _mean_defined(_shares(w, self.flagged, members)), inside)
        if estimate.value not in {0.0, 1.0}:
            return estimate
        sites = int(np.any(members, axis=0).sum())
        interval = wilson_interval(estimate.value * sites, sites)
        return _estimate(estimate.value, interval, estimate.files, estimate.groups, "wilson")

    def _members(self, column: str, names: Sequence[str]) -> NDArray[np.bool_]:
        """Return (n, names): the positives of each name."""
        values = np.array([getattr(file, column) for file in self.files])
        members: NDArray[np.bool_] = (values[:, None] == np.array(names, dtype=values.dtype)) & self.labels[:, None]
        return members

    def _placement_means(self, weights: Weights, members: NDArray[np.bool_]) -> NDArray[np.float64]:
        placement = self.ranking.placement(weights)
        # Without negatives every placement is NaN, and so is the mean.
        return _shares(weights, placement, members)

    def _estimate(self, statistic: Statistic, members: NDArray[np.bool_]) -> Estimate:
        value = float(statistic(np.ones(self.labels.size)))
        interval = self._bootstrap(statistic)
        return _estimate(value, interval, int(members.sum()), self._count_groups(members), "bootstrap")

    def _proportion(self, hits: NDArray[np.bool_], members: NDArray[np.bool_]) -> Estimate:
        files, groups = int(members.sum()), self._count_groups(members)
        if not files:
            return _estimate(float("nan"), (float("nan"), float("nan")), 0, 0, "none")
        value = float(hits[members].mean())
        if groups < _FEW_GROUPS or value in {0.0, 1.0}:
            return _estimate(value, wilson_interval(value * groups, groups), files, groups, "wilson")
        interval = self._bootstrap(lambda w: _shares(w, hits, members[:, None])[..., 0])
        return _estimate(value, interval, files, groups, "bootstrap")

    def _bootstrap(self, statistic: Statistic) -> NDArray[np.float64]:
        rng = np.random.default_rng(self._seed)
        return bootstrap_interval(
            statistic, self.groups, rng=rng, strata=self.labels.astype(int), resamples=self._resamples
        )

    def _count_groups(self, members: NDArray[np.bool_]) -> int:
        return len(np.unique(self.groups[members]))


def _shares(weights: Weights, values: ArrayLike, members: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return weighted means of values over each column of members, (..., columns); NaN where a column has no weight."""
    inside = members.astype(float)
    total = weights @ inside
    # A NaN outside a column must not reach it through 0 * NaN; where the values of a column are NaN, it is NaN.
    product = weights * np.nan_to_num(np.asarray(values, float))
    undefined = (weights * np.isnan(np.asarray(values, float))) @ inside > 0
    result = np.full(total.shape, np.nan)
    np.divide(product @ inside, total, out=result, where=(total > 0) & ~undefined)
    return result


def _mean_defined(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return means over the last axis of what is not NaN; NaN where nothing is."""
    defined = np.isfinite(values)
    count = defined.sum(axis=-1)
    result = np.full(count.shape, np.nan)
    np.divide(np.where(defined, values, 0).sum(axis=-1), count, out=result, where=count > 0)
    return result


def _names(values: Iterable[str]) -> list[str]:
    return sorted({value for value in values if value})


def _estimate(value: float, interval: ArrayLike, files: int, groups: int, method: str) -> Estimate:
    low, high = (_defined(float(end)) for end in np.asarray(interval, float))
    if low == high or (method == "bootstrap" and groups < _TOO_FEW_GROUPS):
        # Resamples that all agree (a perfect score), or differ in the negatives alone, show ignorance, not certainty.
        low = high = None
    kept = "none" if low is None else method
    return Estimate.model_validate(
        {"value": _defined(value), "low": low, "high": high, "files": files, "groups": groups, "method": kept}
    )


def _defined(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _rank_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float | None:
    """Return Spearman's correlation, ties at their mean rank; None for fewer than three or constant values."""
    if a.size < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])
