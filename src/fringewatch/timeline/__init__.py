"""The history of sites in a catalogue: scores against time, counts per month, alerts."""

from __future__ import annotations

from fringewatch.timeline.run import TimelineConfig, TimelineResult, run
from fringewatch.timeline.site import SiteTimeline

__all__ = ["SiteTimeline", "TimelineConfig", "TimelineResult", "run"]
