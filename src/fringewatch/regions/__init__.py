"""Probability map to detections: one polygon per place that deforms, with what can be said of it."""

from __future__ import annotations

from fringewatch.regions.find import COLUMNS, find_regions
from fringewatch.regions.measure import FringeEstimate, fringes_inside

__all__ = ["COLUMNS", "FringeEstimate", "find_regions", "fringes_inside"]
