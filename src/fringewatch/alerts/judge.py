"""Rules applied to pairs: which events at a site deserve an alert.

Only dates of the data decide; the clock of the machine and the order in which scenes were scanned do not. The same
pairs therefore give the same events, whenever and in however many runs they came.
"""

from __future__ import annotations

import datetime as dt
import difflib
import fnmatch
import math
import unicodedata
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

    from fringewatch.alerts.rules import Rule

__all__ = ["Event", "Pair", "Site", "find_events", "matching_sites", "suggest_sites"]


class Site(NamedTuple):
    """A site of the catalogue."""

    site_id: int
    name: str
    number: str
    kind: str


class Pair(NamedTuple):
    """One interferogram of a site."""

    reference_date: dt.date
    secondary_date: dt.date
    score: float
    area_km2: float
    name: str
    file: str
    level_score: float | None = None
    """Of a scene that follows the terrain, without its height trend."""

    @property
    def first(self) -> dt.date:
        """First acquisition; the secondary one where a processor names the newer date first."""
        return min(self.reference_date, self.secondary_date)

    @property
    def last(self) -> dt.date:
        """Last acquisition."""
        return max(self.reference_date, self.secondary_date)


class Event(NamedTuple):
    """Hits at one site that belong together."""

    rule: str
    site: Site
    evidence: tuple[Pair, ...]
    """The hits with which the rule was first met, by last acquisition; the last made the alert due."""
    later: tuple[Pair, ...]
    """Further hits."""
    newest: dt.date
    """Date of the last acquisition of the site in any pair."""

    @property
    def hits(self) -> tuple[Pair, ...]:
        """All hits, by last acquisition."""
        return self.evidence + self.later

    @property
    def due(self) -> Pair:
        """The pair with which the rule was first met."""
        return self.evidence[-1]

    @property
    def start(self) -> dt.date:
        """First acquisition of the evidence; a later pair may reach back much farther and prove nothing of that."""
        return min(pair.first for pair in self.evidence)

    @property
    def end(self) -> dt.date:
        """Last acquisition of any hit."""
        return self.hits[-1].last

    def touches(self, start: dt.date, end: dt.date, quiet_days: int) -> bool:
        """Tell whether another event of the same rule and site, from `start` to `end`, is this one."""
        quiet = dt.timedelta(days=quiet_days)
        return self.start - end <= quiet and start - self.end <= quiet


def matching_sites(sites: Iterable[Site], patterns: Sequence[str]) -> list[Site]:
    """Return the sites whose name or number fits one of the patterns (``*``, ``?``); case and accents do not count.

    A pattern that is the very name or number of a site stands for this one only.
    """
    texts = {site: (_plain(site.name), _plain(site.number)) for site in sites}
    chosen = {site for pattern in patterns for site in _fitting(texts, _plain(pattern))}
    return [site for site in texts if site in chosen]


def _fitting(texts: Mapping[Site, Sequence[str]], pattern: str) -> list[Site]:
    exact = [site for site, known in texts.items() if pattern in known]
    # "*" is what rules ask for by default: a site of that name must not hide all others.
    if exact and pattern != "*":
        return exact
    # Brackets are part of names, such as "Pit [north]", and no pattern.
    literal = pattern.replace("[", "[[]")
    return [site for site, known in texts.items() if any(fnmatch.fnmatchcase(text, literal) for text in known)]


def suggest_sites(sites: Iterable[Site], pattern: str) -> str:
    """Return what may have been meant by a pattern that fits no site, for a message."""
    names = {_plain(site.name): site.name for site in sites}
    near = difflib.get_close_matches(_plain(pattern), names, n=3)
    return (
        f"did you mean {' or '.join(repr(names[name]) for name in near)}?" if near else "'*etna*' finds parts of names"
    )


def _plain(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    return "".join(mark for mark in decomposed if not unicodedata.combining(mark))


def find_events(rule: Rule, sites: Iterable[Site], pairs: pd.DataFrame) -> list[Event]:
    """Return the events of all sites at which a rule is met.

    A pair is a hit if its score (or the run's own flag) and its area reach the rule's; where the rule says so, also its
    score without the height trend. Hits belong together if the first acquisition of each is at most `quiet_days` after
    the last of those before. The rule is met with a hit that makes `hits` of them among the last `of_last` pairs of the
    site, ordered by last acquisition; pairs with the same two dates are one pair, with the values of the best. From
    there on all hits that belong to it are one event.

    Parameters
    ----------
    rule
        The rule.
    sites
        Those of the catalogue.
    pairs
        As :func:`fringewatch.alerts.pairs.read_pairs` gives them.

    Returns
    -------
    list of Event
        By due date, then site.
    """
    chosen = {
        site.site_id: site for site in matching_sites(sites, rule.sites) if not rule.kinds or site.kind in rule.kinds
    }
    scores = pairs["score"]
    if rule.height_trend == "remove":
        # The lower of both: where a trend hides deformation, removing it raises a score that was flagged as it is.
        scores = scores.where(~(pairs["level_score"] < scores), pairs["level_score"])
    reached = pairs["flagged"] if rule.min_score is None else scores >= rule.min_score
    # The area of a scene without a CRS is not known: only a rule that asks for one leaves it out.
    hit = reached & (pairs["area_km2"].fillna(0.0) >= rule.min_area_km2)
    # Most sites are quiet: only those with enough hits are looked at one by one.
    counts = pairs["site_id"][hit].value_counts()
    busy = [site_id for site_id in counts.index[counts >= rule.hits] if site_id in chosen]
    table = pairs.assign(hit=hit)[pairs["site_id"].isin(busy)].sort_values(
        ["site_id", "last_date", "first_date", "hit", "score", "name"],
        ascending=[True, True, True, False, False, True],
    )
    table = table.drop_duplicates(["site_id", "last_date", "first_date"])
    events: list[Event] = []
    for site_id in busy:
        events += _events_of_site(rule, chosen[site_id], table[table["site_id"] == site_id])
    earliest = rule.since or dt.date.min
    recent = (event for event in events if event.end >= earliest)
    return sorted(recent, key=lambda event: (event.due.last, event.site))


def _events_of_site(rule: Rule, site: Site, group: pd.DataFrame) -> list[Event]:
    newest = group["last_date"].iloc[-1].date()
    quiet = dt.timedelta(days=rule.quiet_days)
    events: list[Event] = []
    recent: list[tuple[int, Pair]] = []  # hits that may be evidence of the next event, and their positions
    hit = group["hit"].to_numpy(bool)
    for position, row in zip(np.flatnonzero(hit).tolist(), group[hit].to_dict("records"), strict=True):
        pair = _pair(row)
        if events and pair.first - events[-1].end <= quiet:
            events[-1] = events[-1]._replace(later=(*events[-1].later, pair))
            recent = []
            continue
        if recent and pair.first - recent[-1][1].last > quiet:
            recent = []
        recent = [(place, hit) for place, hit in recent if place > position - rule.window] + [(position, pair)]
        found = tuple(hit for _, hit in recent)
        if len(found) >= rule.hits and (not rule.independent or _independent(found, rule.hits)):
            events.append(Event(rule.name, site, found, (), newest))
            recent = []
    return events


def _pair(row: Mapping[Any, Any]) -> Pair:
    reference, secondary = (row[key].date() for key in ("reference_date", "secondary_date"))
    score, area_km2, level = (float(row[key]) for key in ("score", "area_km2", "level_score"))
    return Pair(reference, secondary, score, area_km2, row["name"], row["file"], None if math.isnan(level) else level)


def _independent(pairs: Sequence[Pair], count: int) -> bool:
    """Tell whether so many of the pairs can be chosen that no two share an acquisition.

    Acquisitions are the nodes of a graph and pairs its edges: this asks for the size of the largest matching.
    """
    import networkx as nx

    network = nx.Graph((pair.reference_date, pair.secondary_date) for pair in pairs)
    return len(nx.max_weight_matching(network, maxcardinality=True)) >= count
