"""Figures drawn with Matplotlib: sheets of scenes, histories of training, timelines of sites."""

from __future__ import annotations

from fringewatch.figures.history import plot_history
from fringewatch.figures.sheets import Panel, contact_sheet, crop_sheet, edge_sheet
from fringewatch.figures.timeline import MonthCounts, PairBars, plot_timeline

__all__ = [
    "MonthCounts",
    "PairBars",
    "Panel",
    "contact_sheet",
    "crop_sheet",
    "edge_sheet",
    "plot_history",
    "plot_timeline",
]
