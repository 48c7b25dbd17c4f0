"""Rules applied to pairs: which events at a site deserve an alert.

Only dates of the data decide; the clock of the machine and the order in which scenes were scanned do not. The same
pairs therefore give the same events, whenever and in however many runs they came.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from fringewatch.alerts.rules import Rule

__all__ = ["PAIR_COLUMNS", "Event", "Pair", "find_events", "matching_sites"]

PAIR_COLUMNS = ("site", "kind", "reference_date", "secondary_date", "score", "flagged", "area_km2", "name", "file")
"""Columns of a table of pairs; dates are ISO 8601 text, which sorts like dates."""


class Pair(NamedTuple):
    """One interferogram of a site."""

    reference_date: dt.date
    secondary_date: dt.date
    score: float
    area_km2: float
    name: str
    file: str


class Event(NamedTuple):
    """Hits at one site that belong together."""

    rule: str
    site: str
    hits: tuple[Pair, ...]
    """All of them, by secondary date, also those after the alert was due."""
    due: Pair
    """The pair with which the rule was first met."""
    newest: dt.date
    """Date of the last acquisition of the site in any pair."""

    @property
    def start(self) -> dt.date:
        """First acquisition of any of its pairs."""
        return min(pair.reference_date for pair in self.hits)

    @property
    def end(self) -> dt.date:
        """Last acquisition of any of its pairs."""
        return max(pair.secondary_date for pair in self.hits)

    @property
    def best(self) -> Pair:
        """The pair with the highest score."""
        return max(self.hits, key=lambda pair: pair.score)


def matching_sites(sites: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """Return the sites whose name fits one of the patterns (``*``, ``?``), whatever the case."""
    wanted = [pattern.casefold() for pattern in patterns]
    return [site for site in sites if any(fnmatch.fnmatchcase(site.casefold(), pattern) for pattern in wanted)]


def find_events(rule: Rule, pairs: pd.DataFrame) -> list[Event]:
    """Return the events of all sites at which a rule is met.

    A pair is a hit if its score (or the run's own flag) and its area reach the rule's. The rule is met with a hit
    that makes `hits` among the last `of_last` pairs of the site, ordered by secondary date; pairs with the same two
    dates are one pair, with the values of the best. From there on every hit belongs to the event as long as its first
    acquisition is at most `quiet_days` after the event's last.

    Parameters
    ----------
    rule
        The rule.
    pairs
        One row per pair and site, with :data:`PAIR_COLUMNS`, in any order. Rows without a site, a score or one of
        the dates are left out.

    Returns
    -------
    list of Event
        By due date, then site.
    """
    chosen = pairs[pairs["site"].isin(matching_sites(pairs["site"].dropna().unique().tolist(), rule.sites))]
    if rule.kinds:
        chosen = chosen[chosen["kind"].isin(rule.kinds)]
    chosen = chosen[chosen["score"].notna() & _dated(chosen["reference_date"]) & _dated(chosen["secondary_date"])]
    reached = chosen["flagged"].eq(True) if rule.min_score is None else chosen["score"] >= rule.min_score
    # The area of a scene without a CRS is not known: only a rule that asks for one leaves it out.
    hit = (reached & (chosen["area_km2"].fillna(0.0) >= rule.min_area_km2)).to_numpy(bool)
    # Most sites are quiet: only those with enough hits are looked at one by one.
    counts = chosen["site"][hit].value_counts()
    busy = chosen["site"].isin(counts.index[counts >= rule.hits])
    table = chosen.assign(hit=hit)[busy].sort_values(
        ["site", "secondary_date", "reference_date", "hit", "score", "name"],
        ascending=[True, True, True, False, False, True],
    )
    table = table.drop_duplicates(["site", "secondary_date", "reference_date"])
    events: list[Event] = []
    for site, group in table.groupby("site", sort=False):
        events += _events_of_site(rule, str(site), group)
    ended = rule.since or dt.date.min
    return sorted(
        (event for event in events if event.end >= ended), key=lambda event: (event.due.secondary_date, event.site)
    )


def _dated(column: pd.Series[str]) -> pd.Series[bool]:
    return column.fillna("").ne("")


def _events_of_site(rule: Rule, site: str, group: pd.DataFrame) -> list[Event]:
    rows = group.to_dict("records")
    hits = [_pair(row) if row["hit"] else None for row in rows]
    newest = dt.date.fromisoformat(rows[-1]["secondary_date"])
    quiet = dt.timedelta(days=rule.quiet_days)
    events: list[Event] = []
    current: list[Pair] = []
    due: Pair | None = None
    first = 0
    """Position of the first pair that may count for the next event."""
    for position, pair in enumerate(hits):
        if pair is None:
            continue
        if due is not None and pair.reference_date - max(hit.secondary_date for hit in current) > quiet:
            events.append(Event(rule.name, site, tuple(current), due, newest))
            due = None
        if due is not None:
            current.append(pair)
            first = position + 1
            continue
        recent = hits[max(first, position + 1 - rule.window) : position + 1]
        found = [hit for hit in recent if hit is not None]
        if len(found) >= rule.hits and (not rule.independent or _independent(found, rule.hits)):
            current, due, first = found, pair, position + 1
    if due is not None:
        events.append(Event(rule.name, site, tuple(current), due, newest))
    return events


def _pair(row: Mapping[Any, Any]) -> Pair:
    reference, secondary = (dt.date.fromisoformat(row[key]) for key in ("reference_date", "secondary_date"))
    return Pair(reference, secondary, float(row["score"]), float(row["area_km2"]), row["name"], row["file"])


def _independent(pairs: Sequence[Pair], count: int) -> bool:
    """Tell whether so many of the pairs can be chosen that no two share an acquisition.

    Acquisitions are the nodes of a graph and pairs its edges: this asks for the size of the largest matching.
    """
    import networkx as nx

    network = nx.Graph((pair.reference_date, pair.secondary_date) for pair in pairs)
    return len(nx.max_weight_matching(network, maxcardinality=True)) >= count
