"""Alerts: rules on the pairs of a catalogue, each event told once, by file, e-mail or webhook."""

from __future__ import annotations

from fringewatch.alerts.judge import Event, Pair, Site, find_events
from fringewatch.alerts.rules import Rule, Rules
from fringewatch.alerts.run import AlertsConfig, AlertsResult, run

__all__ = ["AlertsConfig", "AlertsResult", "Event", "Pair", "Rule", "Rules", "Site", "find_events", "run"]
