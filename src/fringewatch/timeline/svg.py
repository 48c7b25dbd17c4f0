"""The charts of the pages, as SVG text that follows the page's colours and answers to the pointer."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from fringewatch.figures import MonthCounts
    from fringewatch.timeline.site import SiteTimeline

__all__ = ["chart_pairs", "sparkline"]

_WIDTH, _LEFT, _RIGHT = 1280, 44, 10
_TOP, _SCORE_HEIGHT, _GAP, _MONTH_HEIGHT, _FOOT = 22, 270, 24, 64, 22
_HEIGHT = _TOP + _SCORE_HEIGHT + _GAP + _MONTH_HEIGHT + _FOOT
_SPARK_MONTHS = 60
_SPARK_BAR, _SPARK_HEIGHT = 3, 26


class _Scale(NamedTuple):
    """Places of dates and scores in the chart."""

    first: np.datetime64
    last: np.datetime64

    def x(self, date: np.datetime64) -> float:
        share = (date - self.first) / (self.last - self.first)
        return float(_LEFT + np.clip(share, 0, 1) * (_WIDTH - _LEFT - _RIGHT))

    def y(self, score: float) -> float:
        return _TOP + (1 - score) * _SCORE_HEIGHT


def chart_pairs(timeline: SiteTimeline, *, since: np.datetime64 | None = None) -> str:
    """Return pairs as bars between their dates at the height of their score, and counts per month below.

    Parameters
    ----------
    timeline
        The site.
    since
        Where the axis begins; the first pair's date if not given. What ended before is left out.
    """
    bars = timeline.bars
    last = bars.end.max()
    scale = _Scale(bars.start.min() if since is None else since, last + np.timedelta64(1, "D"))
    shown = (bars.end > scale.first) & np.isfinite(bars.score)
    parts = [_alerts(timeline, scale), _grid(scale), _months(timeline.months, scale)]
    names = timeline.pairs["name"].to_numpy()
    # Flagged pairs last, so that they lie on top.
    for index in np.flatnonzero(shown)[np.argsort(bars.flagged[shown], kind="stable")]:
        kind = "hot" if bars.flagged[index] else "cold"
        x1, x2, y = scale.x(bars.start[index]), scale.x(bars.end[index]), scale.y(bars.score[index])
        said = f"{bars.start[index]} to {bars.end[index]}: {bars.score[index]:.3f}, {html.escape(names[index])}"
        dot = f'<circle cx="{x2:.1f}" cy="{y:.1f}" r="2.6"/>' if kind == "hot" else ""
        if kind == "hot" and np.isfinite(level := bars.level_score[index]):
            said += f"; {level:.3f} without its height trend"
            low = scale.y(level)
            dot += f'<path class="fall" d="M{x2:.1f} {y:.1f}V{low:.1f}"/>'
            dot += f'<circle class="level" cx="{x2:.1f}" cy="{low:.1f}" r="3"/>'
        parts.append(f'<g class="{kind}"><title>{said}</title><path d="M{x1:.1f} {y:.1f}H{x2:.1f}"/>{dot}</g>')
    if timeline.threshold is not None:
        y = scale.y(timeline.threshold)
        parts.append(f'<path class="threshold" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="Scores of {html.escape(timeline.site.name)} against time">{"".join(parts)}</svg>'
    )


def sparkline(months: MonthCounts, last: np.datetime64) -> str:
    """Return the pairs per month of five years as a small chart, flagged ones in red.

    Parameters
    ----------
    months
        Of the site.
    last
        Month in which the chart ends, the same for all sites of a page.
    """
    age = (last.astype("datetime64[M]") - months.month.astype("datetime64[M]")).astype(int)
    width, highest = _SPARK_MONTHS * _SPARK_BAR, max(int(months.pairs.max()), 1)
    parts = []
    for index in np.flatnonzero((age >= 0) & (age < _SPARK_MONTHS) & (months.pairs > 0)):
        x = width - (age[index] + 1) * _SPARK_BAR
        for kind, count in (("cold", months.pairs[index]), ("hot", months.flagged[index])):
            tall = _SPARK_HEIGHT * count / highest
            if count:
                parts.append(
                    f'<rect class="{kind}" x="{x}" y="{_SPARK_HEIGHT - tall:.1f}" width="{_SPARK_BAR - 0.6}" '
                    f'height="{tall:.1f}"/>'
                )
    return (
        f'<svg class="spark" viewBox="0 0 {width} {_SPARK_HEIGHT}" width="{width}" height="{_SPARK_HEIGHT}" '
        f'aria-hidden="true">{"".join(parts)}</svg>'
    )


def _alerts(timeline: SiteTimeline, scale: _Scale) -> str:
    parts = []
    for alert in timeline.alerts:
        start, end = np.datetime64(alert.start), np.datetime64(alert.end)
        if end <= scale.first:
            continue
        x, width = scale.x(start), scale.x(end) - scale.x(start)
        parts.append(
            f'<g class="alert"><title>{html.escape(alert.text)}</title>'
            f'<rect x="{x:.1f}" y="{_TOP}" width="{max(width, 1):.1f}" height="{_SCORE_HEIGHT}"/>'
            f'<path d="M{x - 5:.1f} {_TOP - 13}h10l-5 9z"/></g>'
        )
    return "".join(parts)


def _grid(scale: _Scale) -> str:
    right = _WIDTH - _RIGHT
    parts = [
        f'<path class="grid" d="M{_LEFT} {scale.y(score):.1f}H{right}"/>'
        f'<text x="{_LEFT - 8}" y="{scale.y(score) + 4:.1f}" text-anchor="end">{score:g}</text>'
        for score in (0, 0.25, 0.5, 0.75, 1)
    ]
    bottom = _HEIGHT - _FOOT
    for date, text in _ticks(scale):
        x = scale.x(date)
        parts.append(
            f'<path class="grid" d="M{x:.1f} {_TOP}V{_TOP + _SCORE_HEIGHT}M{x:.1f} {bottom - _MONTH_HEIGHT}V{bottom}"/>'
            f'<text x="{x:.1f}" y="{_HEIGHT - 5}" text-anchor="middle">{text}</text>'
        )
    return "".join(parts)


def _ticks(scale: _Scale) -> list[tuple[np.datetime64, str]]:
    """Return first days of months or years, at most some twenty, and what to write at them."""
    months = np.arange(scale.first.astype("datetime64[M]") + 1, scale.last.astype("datetime64[M]") + 1)
    number = months.astype(int)  # since January 1970
    step = next((step for step in (1, 2, 3, 6) if len(months) <= 15 * step), 12)
    while step >= 12 and len(months) > 22 * step:
        step += 12
    chosen = months[number % step == 0]
    texts = [f"{month}" if step < 12 else f"{month}"[:4] for month in chosen]
    return list(zip(chosen.astype("datetime64[D]"), texts, strict=True))


def _months(months: MonthCounts, scale: _Scale) -> str:
    bottom, highest = _HEIGHT - _FOOT, int(months.pairs.max())
    following = (months.month.astype("datetime64[M]") + 1).astype("datetime64[D]")
    parts = [f'<text x="{_LEFT - 8}" y="{bottom - _MONTH_HEIGHT + 8}" text-anchor="end">{highest}</text>']
    for month, end, pairs, flagged in zip(months.month, following, months.pairs, months.flagged, strict=True):
        x, width = scale.x(month), scale.x(end) - scale.x(month)
        if not pairs or width <= 0:
            continue
        said = f"{str(month)[:7]}: {pairs} pair{'' if pairs == 1 else 's'}, {flagged} flagged"
        boxes = "".join(
            f'<rect class="{kind}" x="{x + 0.5:.1f}" y="{bottom - _MONTH_HEIGHT * count / highest:.1f}" '
            f'width="{max(width - 1, 0.5):.1f}" height="{_MONTH_HEIGHT * count / highest:.1f}"/>'
            for kind, count in (("cold", pairs), ("hot", flagged))
            if count
        )
        parts.append(f"<g><title>{said}</title>{boxes}</g>")
    return "".join(parts)
