"""Probability map to detections: one polygon per place that deforms, with what can be said of it."""

from __future__ import annotations

from fringewatch.regions.detections import COLUMNS, Detections
from fringewatch.regions.find import Region, describe_regions, find_regions, pick_regions, rows_of
from fringewatch.regions.measure import FringeEstimate, fringes_inside
from fringewatch.regions.outline import cut_at_date_line, unbroken

__all__ = [
    "COLUMNS",
    "Detections",
    "FringeEstimate",
    "Region",
    "cut_at_date_line",
    "describe_regions",
    "find_regions",
    "fringes_inside",
    "pick_regions",
    "rows_of",
    "unbroken",
]
