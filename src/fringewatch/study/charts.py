"""The charts of a study's page, as SVG text that follows the page's colours."""

from __future__ import annotations

import html
import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fringewatch.study.table import Figure

__all__ = ["chart_accuracies", "chart_curves", "chart_history"]

_ROW_PX = 22
_LABEL_PX = 370
_MOST_LETTERS = 50
_PLOT_PX = 520
_CURVES_LEFT_PX, _CURVES_RIGHT_PX, _CURVES_BOTTOM_PX = 70, 790, 300
_COLOURS = 6
"""Of curves; the page's style has them."""


class _Axis(NamedTuple):
    """A linear scale from values to pixels."""

    low: float
    high: float
    start_px: float
    end_px: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start_px + share * (self.end_px - self.start_px)


def chart_accuracies(rows: Sequence[tuple[str, Figure, float | None]]) -> str:
    """Return accuracies (shares) with their intervals, one line each, and beside them the published ones (percent)."""
    values = [100 * value for _, figure, _ in rows for value in figure if not math.isnan(value)]
    values += [value for *_, value in rows if value is not None]
    if not values:
        return ""
    low = max(0, 10 * math.floor(min([50, *values]) / 10))
    x = _Axis(low, 100, _LABEL_PX, _LABEL_PX + _PLOT_PX)
    height = _ROW_PX * len(rows)
    parts = [
        f'<line class="grid" x1="{x(tick):.0f}" y1="0" x2="{x(tick):.0f}" y2="{height}"/>'
        f'<text class="tick" x="{x(tick):.0f}" y="{height + 15}" text-anchor="middle">{tick} %</text>'
        for tick in range(low, 101, 10)
    ]
    for index, (name, figure, study) in enumerate(rows):
        y = _ROW_PX * (index + 0.5)
        # Rows of a study often differ at their ends.
        text = name if len(name) <= _MOST_LETTERS else f"{name[: _MOST_LETTERS - 21]}…{name[-20:]}"
        parts.append(f'<text x="{_LABEL_PX - 12}" y="{y + 4:.0f}" text-anchor="end">{html.escape(text)}</text>')
        if study is not None:
            parts.append(
                f'<rect class="study" x="{x(study) - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" '
                f'transform="rotate(45 {x(study):.1f} {y:.1f})"><title>the 2019 study: {study:g} %</title></rect>'
            )
        if math.isnan(figure.value):
            parts.append(f'<text class="failed" x="{_LABEL_PX + 8}" y="{y + 4:.0f}">failed</text>')
            continue
        if not math.isnan(figure.low):
            ends = f'x1="{x(100 * figure.low):.1f}" x2="{x(100 * figure.high):.1f}"'
            parts.append(f'<line class="interval" y1="{y:.1f}" y2="{y:.1f}" {ends}/>')
        parts.append(
            f'<circle class="ours" cx="{x(100 * figure.value):.1f}" cy="{y:.1f}" r="4.5">'
            f"<title>{100 * figure.value:.1f} %</title></circle>"
        )
    legend = '<span class="key ours"></span>here, with 95 % interval'
    if any(study is not None for *_, study in rows):
        legend += ' <span class="key study"></span>published in 2019, on other data'
    return (
        f'<figure class="accuracies"><figcaption>Validation accuracy <span>{legend}</span></figcaption>'
        f'<svg viewBox="0 -4 {_LABEL_PX + _PLOT_PX + 24} {height + 26}" role="img" '
        f'aria-label="Validation accuracy of each row">{"".join(parts)}</svg></figure>'
    )


def chart_curves(curves: Mapping[str, Mapping[int, Figure]]) -> str:
    """Return accuracies (shares) with their intervals against the number of training examples, one line per name.

    Nothing where no line has two points.
    """
    curves = {
        name: {count: figure for count, figure in sorted(points.items()) if not math.isnan(figure.value)}
        for name, points in curves.items()
    }
    counts = sorted({count for points in curves.values() for count in points})
    if not any(len(points) > 1 for points in curves.values()):
        return ""
    ends = [100 * end for points in curves.values() for figure in points.values() for end in figure]
    low = max(0, 10 * math.floor(min([50, *(end for end in ends if not math.isnan(end))]) / 10))
    # Ten times as many examples are as much again, whatever their number.
    x = _Axis(math.log(counts[0]), math.log(counts[-1]), _CURVES_LEFT_PX, _CURVES_RIGHT_PX)
    y = _Axis(low, 100, _CURVES_BOTTOM_PX, 8)
    parts = [
        f'<line class="grid" x1="{x.start_px}" x2="{x.end_px}" y1="{y(tick):.0f}" y2="{y(tick):.0f}"/>'
        f'<text class="tick" x="{x.start_px - 14}" y="{y(tick) + 4:.0f}" text-anchor="end">{tick} %</text>'
        for tick in range(low, 101, 10)
    ]
    below = f'y="{_CURVES_BOTTOM_PX + 20}" text-anchor="middle"'
    parts += [f'<text class="tick" x="{x(math.log(count)):.0f}" {below}>{count:,}</text>' for count in counts]
    middle = (x.start_px + x.end_px) / 2
    parts.append(
        f'<text class="tick" x="{middle}" y="{_CURVES_BOTTOM_PX + 38}" text-anchor="middle">training examples</text>'
    )
    for number, (name, points) in enumerate(curves.items()):
        # Lines side by side, so that their intervals do not cover each other.
        shift = 4 * (number - (len(curves) - 1) / 2)
        known = [(x(math.log(count)) + shift, figure) for count, figure in points.items()]
        line = " ".join(f"{across:.1f},{y(100 * figure.value):.1f}" for across, figure in known)
        parts.append(f'<g class="curve c{number % _COLOURS}"><polyline points="{line}"/>')
        for across, figure in known:
            if not math.isnan(figure.low):
                heights = f'y1="{y(100 * figure.low):.1f}" y2="{y(100 * figure.high):.1f}"'
                parts.append(f'<line x1="{across:.1f}" x2="{across:.1f}" {heights}/>')
            text = f"{html.escape(name)}: {100 * figure.value:.1f} %"
            parts.append(
                f'<circle cx="{across:.1f}" cy="{y(100 * figure.value):.1f}" r="4"><title>{text}</title></circle>'
            )
        parts.append("</g>")
    legend = "".join(
        f'<span class="key curve c{number % _COLOURS}"></span>{html.escape(name)}' for number, name in enumerate(curves)
    )
    return (
        f'<figure class="accuracies"><figcaption>Accuracy by training examples <span>{legend}</span></figcaption>'
        f'<svg viewBox="0 0 {_CURVES_RIGHT_PX + 24} {_CURVES_BOTTOM_PX + 44}" role="img" '
        f'aria-label="Validation accuracy against the number of training examples">{"".join(parts)}</svg></figure>'
    )


def chart_history(histories: Sequence[Mapping[str, Sequence[float]]]) -> str:
    """Return accuracy and loss against the epoch, training and validation; one pair of curves for each seed."""
    left = _panel("accuracy", histories, offset_px=0, span=(0.4, 1.0))
    right = _panel("loss", histories, offset_px=250, span=None)
    return f'<svg viewBox="0 0 496 168" role="img" aria-label="History of accuracy and loss">{left}{right}</svg>'


def _panel(
    kind: str, histories: Sequence[Mapping[str, Sequence[float]]], *, offset_px: float, span: tuple[float, float] | None
) -> str:
    curves = [
        (part, list(history[f"{part}_{kind}"]))
        for history in histories
        for part in ("train", "val")
        if f"{part}_{kind}" in history
    ]
    values = [value for _, curve in curves for value in curve if math.isfinite(value)]
    if not values:
        return ""
    low, high = (0.0, _round_up(max(values))) if span is None else (min(span[0], *values), span[1])
    epochs = max(len(curve) for _, curve in curves)
    x = _Axis(1, max(2, epochs), offset_px + 38, offset_px + 236)
    y = _Axis(low, high, 136, 22)
    parts = [f'<text class="title" x="{offset_px + 38}" y="12">{kind}</text>']
    for tick in (low, (low + high) / 2, high):
        text = f"{100 * tick:.0f} %" if kind == "accuracy" else f"{tick:.2g}"
        parts.append(
            f'<line class="grid" x1="{x.start_px}" x2="{x.end_px}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
            f'<text class="tick" x="{x.start_px - 5}" y="{y(tick) + 4:.1f}" text-anchor="end">{text}</text>'
        )
    for tick in sorted({1, epochs}):
        label = f"epoch {tick}" if tick == epochs else str(tick)
        anchor = "end" if tick == epochs > 1 else "start"
        parts.append(f'<text class="tick" x="{x(tick):.1f}" y="152" text-anchor="{anchor}">{label}</text>')
    for part, curve in curves:
        known = [(x(epoch), y(value)) for epoch, value in enumerate(curve, 1) if math.isfinite(value)]
        if len(known) == 1:
            parts.append(f'<circle class="{part}" cx="{known[0][0]:.1f}" cy="{known[0][1]:.1f}" r="3"/>')
        elif known:
            points = " ".join(f"{across:.1f},{down:.1f}" for across, down in known)
            parts.append(f'<polyline class="{part}" points="{points}"/>')
    return "".join(parts)


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 5 times a power of ten: an axis that ends in a round number."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1.0, 2.0, 5.0, 10.0) if step * power >= value)
