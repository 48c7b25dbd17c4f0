"""``index.html`` and one page for each site: self-contained, in any browser, without a network."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np

from fringewatch._version import __version__
from fringewatch.pages import count_box, note, number_cell, page_template, score_cell
from fringewatch.timeline.svg import chart_pairs, sparkline

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence
    from typing import Any

    from fringewatch.timeline.site import SiteTimeline

__all__ = ["describe_site", "render_index", "render_site"]

_MOST_ROWS = 2000
_RECENT_DAYS = 365
_LEVEL_KEY = '<span class="ring"></span>its score without the height trend, where it follows the terrain'


def describe_site(timeline: SiteTimeline) -> str:
    """Return what there is of a site in one line."""
    pairs, flagged = len(timeline.pairs), int(timeline.pairs["flagged"].sum())
    parts = [
        " ".join(part for part in (timeline.site.kind, timeline.site.number) if part),
        f"{pairs:,} pair{'' if pairs == 1 else 's'} from {timeline.first} to {timeline.last}",
        f"{flagged:,} flagged",
        f"last alert until {_last(timeline)}" if timeline.alerts else "no alert",
    ]
    return " · ".join(part for part in parts if part)


def _last(timeline: SiteTimeline) -> dt.date:
    """Return the day up to which the alert reaches that reaches farthest."""
    return max(alert.end for alert in timeline.alerts)


def render_site(timeline: SiteTimeline, *, picture: bool) -> str:
    """Return the page of a site.

    Parameters
    ----------
    timeline
        The site.
    picture
        Whether there is a PNG beside the page.

    Returns
    -------
    str
        HTML without any outside resource. At most 2,000 flagged pairs are listed, the latest first; the page says so.
    """
    flagged = timeline.flagged
    last = timeline.bars.end.max()
    recent = last - np.timedelta64(_RECENT_DAYS, "D")
    charts = _figure("Last twelve months of data", chart_pairs(timeline, since=recent)) if _is_long(timeline) else ""
    charts += _figure("All pairs", chart_pairs(timeline))
    unknown = int(timeline.pairs["score"].isna().sum())
    hidden = (
        note(f"{unknown:,} of the pairs are not drawn: what moves in them lies at another site, or they were rejected.")
        if unknown
        else ""
    )
    shown = flagged.head(_MOST_ROWS)
    return page_template("fringewatch.timeline", "site.html").substitute(
        title=html.escape(timeline.site.name),
        subtitle=html.escape(describe_site(timeline)),
        picture=f'<a href="{quote(timeline.file_name)}.png">PNG</a>' if picture else "",
        cards=count_box(len(timeline.pairs), "pairs")
        + count_box(len(flagged), "flagged", "alert" if len(flagged) else "")
        + count_box(len(timeline.alerts), "alerts", "alert" if timeline.alerts else "")
        + count_box(str(_last(timeline)) if timeline.alerts else "none", "last alert until"),
        charts=charts + hidden,
        level=_LEVEL_KEY if flagged["level_score"].notna().any() else "",
        alerts="".join(_alert_row(alert) for alert in reversed(timeline.alerts))
        or '<tr><td colspan="5">No alert has been recorded.</td></tr>',
        rows="".join(_pair_row(row) for row in shown.to_dict("records")),
        truncated=note(f"The latest {_MOST_ROWS:,} of {len(flagged):,}.") if len(flagged) > _MOST_ROWS else "",
        version=html.escape(__version__),
    )


def render_index(timelines: Sequence[SiteTimeline]) -> str:
    """Return the page that lists the sites: those with the latest alerts first, then by flagged pairs."""
    last = max(timeline.bars.end.max() for timeline in timelines)
    ordered = sorted(
        timelines,
        key=lambda timeline: (
            -_last(timeline).toordinal() if timeline.alerts else 0,
            -int(timeline.pairs["flagged"].sum()),
            timeline.site.name,
        ),
    )
    # One pair may show several sites.
    pairs = len(set().union(*(timeline.pairs["file"] for timeline in timelines)))
    flagged = len(set().union(*(timeline.pairs["file"][timeline.pairs["flagged"]] for timeline in timelines)))
    alerted = sum(bool(timeline.alerts) for timeline in timelines)
    first = min(timeline.first for timeline in timelines)
    sites = f"{len(timelines):,} site{'' if len(timelines) == 1 else 's'}"
    return page_template("fringewatch.timeline", "index.html").substitute(
        title=sites,
        subtitle=html.escape(f"{pairs:,} pairs from {first} to {last}"),
        cards=count_box(len(timelines), "sites")
        + count_box(alerted, "with alerts", "alert" if alerted else "")
        + count_box(pairs, "pairs")
        + count_box(flagged, "flagged"),
        rows="".join(_site_row(timeline, last) for timeline in ordered),
        version=html.escape(__version__),
    )


def _is_long(timeline: SiteTimeline) -> bool:
    """Tell whether the last year is worth a chart of its own."""
    return (timeline.last - timeline.first).days > 1.5 * _RECENT_DAYS


def _figure(title: str, chart: str) -> str:
    return f'<figure class="timeline"><figcaption>{title}</figcaption>{chart}</figure>'


def _alert_row(alert: Any) -> str:
    state = "pending" if alert.pending else "sent"
    return (
        f"<tr><td>{alert.start}</td><td>{alert.end}</td><td>{html.escape(alert.rule)}</td>{score_cell(alert.score)}"
        f'<td class="name">{html.escape(alert.text)}<span class="note"> ({state})</span></td></tr>'
    )


def _pair_row(row: dict[Any, Any]) -> str:
    file = html.escape(row["file"], quote=True)
    area = None if np.isnan(row["area_km2"]) else row["area_km2"]
    return (
        f'<tr class="flagged"><td>{row["reference_date"].date()}</td><td>{row["secondary_date"].date()}</td>'
        f"{score_cell(row['score'])}{number_cell(area, ',.1f')}"
        f'<td class="name" title="{file}">{html.escape(row["name"])}{_doubt(row["level_score"])}</td></tr>'
    )


def _doubt(level_score: float) -> str:
    return "" if np.isnan(level_score) else f'<span class="note"> ({level_score:.2f} without its height trend)</span>'


def _site_row(timeline: SiteTimeline, last: np.datetime64) -> str:
    bars = timeline.bars
    recent = bars.end > last - np.timedelta64(_RECENT_DAYS, "D")
    scores = bars.score[recent & np.isfinite(bars.score)]
    alert = max(timeline.alerts, key=lambda alert: alert.end, default=None)
    state = "flagged" if alert is not None else "quiet"
    link = f'<a href="{html.escape(quote(timeline.file_name), quote=True)}.html">{html.escape(timeline.site.name)}</a>'
    told = f' title="{html.escape(alert.text, quote=True)}"' if alert else ""
    return (
        f'<tr class="{state}"><td class="name">{link}</td><td>{html.escape(timeline.site.kind)}</td>'
        f"<td{told}>{alert.end if alert else ''}</td>{number_cell(len(timeline.alerts), 'd')}"
        f"{score_cell(float(scores.max()) if len(scores) else None)}"
        f"{number_cell(int(timeline.pairs['flagged'].sum()), ',d')}{number_cell(len(timeline.pairs), ',d')}"
        f"<td>{timeline.last}</td><td>{sparkline(timeline.months, last)}</td></tr>"
    )
