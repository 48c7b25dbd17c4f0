"""Scores of a detector against labels, and how sure they are: pure arrays in, numbers out.

Labels are 1 (deformation) and 0 (background); a file is flagged where ``score >= threshold``. A statistic that its data
cannot define (AUROC of one class, precision where nothing is flagged) is NaN, never 0 and never an error.

Files of one scene or event are not independent. Intervals therefore resample whole groups (:func:`bootstrap_interval`);
a plain binomial interval over files would be too narrow.
"""

from __future__ import annotations

from fringewatch.metrics.calibration import (
    Platt,
    ReliabilityBin,
    brier_score,
    expected_calibration_error,
    fit_platt,
    reliability_table,
    threshold_for_false_alarm_rate,
)
from fringewatch.metrics.intervals import bootstrap_interval, wilson_interval
from fringewatch.metrics.maps import mask_iou, mean_local_coherence
from fringewatch.metrics.objects import Match, Overlap, match, overlap
from fringewatch.metrics.ranking import Confusion, Ranking, auroc, average_precision, confusion

__all__ = [
    "Confusion",
    "Match",
    "Overlap",
    "Platt",
    "Ranking",
    "ReliabilityBin",
    "auroc",
    "average_precision",
    "bootstrap_interval",
    "brier_score",
    "confusion",
    "expected_calibration_error",
    "fit_platt",
    "mask_iou",
    "match",
    "mean_local_coherence",
    "overlap",
    "reliability_table",
    "threshold_for_false_alarm_rate",
    "wilson_interval",
]
