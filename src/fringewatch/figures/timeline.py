"""The timeline of a site: scores of its pairs against time, counts per month, alerts."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fringewatch.figures.canvas import INK, PAPER, save_figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["MonthCounts", "PairBars", "plot_timeline"]

_ALERT, _QUIET, _SOFT, _GRID = "#b01830", "#8fa3b7", "#5f6770", "#e7eaee"
_LONGEST_TITLE = 60
"""Characters: the legend begins behind them."""


class PairBars(NamedTuple):
    """Pairs of a site; all (N,)."""

    start: NDArray[np.datetime64]
    """First acquisition."""
    end: NDArray[np.datetime64]
    """Second acquisition."""
    score: NDArray[np.float64]
    """0 to 1."""
    flagged: NDArray[np.bool_]
    level_score: NDArray[np.float64]
    """Of pairs that follow the terrain, without their height trend; NaN of others."""


class MonthCounts(NamedTuple):
    """Pairs by the month of their second acquisition; all (M,), without gaps."""

    month: NDArray[np.datetime64]
    """First day of the month."""
    pairs: NDArray[np.int64]
    flagged: NDArray[np.int64]


def plot_timeline(
    path: str | Path,
    bars: PairBars,
    months: MonthCounts,
    *,
    title: str,
    subtitle: str,
    threshold: float | None = None,
    alerts: Sequence[tuple[np.datetime64, np.datetime64]] = (),
) -> None:
    """Draw every pair as a bar from its first to its second acquisition at the height of its score.

    A ring below the end of a bar is what is left of its score without the height trend.

    Parameters
    ----------
    path
        The picture, PNG.
    bars
        The pairs; those without a score are left out.
    months
        What the lower panel counts.
    title, subtitle
        Of the figure.
    threshold
        Score from which scenes are flagged; None draws no line.
    alerts
        First and last date of each alert; they may overlap.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5.4), dpi=120, facecolor=PAPER)
    upper = figure.add_axes((0.055, 0.285, 0.925, 0.545))
    lower = figure.add_axes((0.055, 0.065, 0.925, 0.16), sharex=upper)
    for start, end in alerts:
        upper.axvspan(_day(start), _day(end), color=_ALERT, alpha=0.1, linewidth=0, zorder=0)
        upper.plot([_day(start)], [1.045], marker="v", color=_ALERT, markersize=7, clip_on=False, zorder=5)
    known = np.isfinite(bars.score)
    _draw_bars(upper, bars, known & ~bars.flagged, _QUIET, width=1.2, alpha=0.7)
    _draw_bars(upper, bars, known & bars.flagged, _ALERT, width=1.8, alpha=0.9)
    hot = known & bars.flagged
    upper.plot(bars.end[hot].astype("datetime64[D]"), bars.score[hot], ".", color=_ALERT, markersize=5, zorder=4)
    level = hot & np.isfinite(bars.level_score)
    ends = bars.end[level].astype("datetime64[D]")
    upper.vlines(ends, bars.level_score[level], bars.score[level], colors=_ALERT, linewidth=0.8, alpha=0.5, zorder=3)
    upper.plot(ends, bars.level_score[level], "o", color=_ALERT, markerfacecolor=PAPER, markersize=4.5, zorder=4)
    if threshold is not None:
        upper.axhline(threshold, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=3)
    upper.set_ylim(-0.005, 1.015)
    upper.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    upper.set_ylabel("score", color=_SOFT, fontsize=9)
    lower.bar(months.month, months.pairs, width=26, align="edge", color=_QUIET, linewidth=0)
    lower.bar(months.month, months.flagged, width=26, align="edge", color=_ALERT, linewidth=0)
    lower.set_ylabel("pairs per\nmonth", color=_SOFT, fontsize=9)
    _style(upper, lower, bars)
    # Names are shown as they are: a dollar in one begins no formula.
    figure.text(
        0.055,
        0.94,
        textwrap.shorten(title, _LONGEST_TITLE, placeholder=" …"),
        fontsize=15,
        weight="bold",
        color=INK,
        parse_math=False,
    )
    figure.text(0.055, 0.895, subtitle, fontsize=9.5, color=_SOFT, parse_math=False)
    _legend(figure, threshold, with_alerts=bool(alerts), with_level=bool(level.any()))
    save_figure(figure, path)


def _draw_bars(
    axis: Any, bars: PairBars, chosen: NDArray[np.bool_], colour: str, *, width: float, alpha: float
) -> None:
    axis.hlines(
        bars.score[chosen],
        bars.start[chosen].astype("datetime64[D]"),
        bars.end[chosen].astype("datetime64[D]"),
        colors=colour,
        linewidth=width,
        alpha=alpha,
        zorder=2,
    )


def _style(upper: Any, lower: Any, bars: PairBars) -> None:
    import matplotlib.dates
    from matplotlib.ticker import MaxNLocator

    first, last = bars.start.min().astype("datetime64[D]"), bars.end.max().astype("datetime64[D]")
    margin = np.timedelta64(max(int((last - first).astype(int)) // 80, 5), "D")
    upper.set_xlim(_day(first - margin), _day(last + margin))
    dates: Any = matplotlib.dates  # not typed upstream
    locator = dates.AutoDateLocator(minticks=5, maxticks=12)
    lower.xaxis.set_major_locator(locator)
    lower.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, show_offset=False))
    lower.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    for axis in (upper, lower):
        axis.grid(color=_GRID, linewidth=0.8)
        axis.set_axisbelow(True)
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.spines["bottom"].set_color(_QUIET)
        axis.tick_params(colors=_SOFT, labelsize=9, length=0)
    upper.tick_params(labelbottom=False)


def _legend(figure: Any, threshold: float | None, *, with_alerts: bool, with_level: bool) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=_QUIET, linewidth=1.6, label="pair"),
        Line2D([], [], color=_ALERT, linewidth=2, marker=".", label="flagged pair"),
    ]
    if with_level:
        handles.append(
            Line2D(
                [],
                [],
                color=_ALERT,
                linewidth=0,
                marker="o",
                markerfacecolor=PAPER,
                markersize=4.5,
                label="without height trend",
            )
        )
    if threshold is not None:
        dashes = (0, (4, 3))
        handles.append(
            Line2D([], [], color=INK, linewidth=0.9, linestyle=dashes, label=f"lowest flagged {threshold:.2f}")
        )
    if with_alerts:
        handles.append(Line2D([], [], color=_ALERT, linewidth=0, marker="v", label="alert"))
    figure.legend(
        handles=handles,
        loc="upper right",
        bbox_to_anchor=(0.985, 0.99),
        ncols=len(handles),
        fontsize=9,
        frameon=False,
        labelcolor=_SOFT,
        handlelength=1.6,
    )


def _day(moment: np.datetime64) -> Any:
    """Return what Matplotlib takes for one date."""
    return moment.astype("datetime64[D]").astype(object)
