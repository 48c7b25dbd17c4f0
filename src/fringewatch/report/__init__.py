"""What people look at: the picture of a scene, the summary table, the report of a run."""

from __future__ import annotations

from fringewatch.report.page import RunFacts, embed_picture, render_report, report_order
from fringewatch.report.picture import draw_scene, drawn_here
from fringewatch.report.preview import draw_interferogram
from fringewatch.report.table import SceneRow, read_summary, write_summary

__all__ = [
    "RunFacts",
    "SceneRow",
    "draw_interferogram",
    "draw_scene",
    "drawn_here",
    "embed_picture",
    "read_summary",
    "render_report",
    "report_order",
    "write_summary",
]
