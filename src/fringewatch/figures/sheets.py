"""Sheets of scenes: many to a page with their truth, or one with its edges and windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fringewatch.figures.canvas import INK, PAPER, save_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Panel", "contact_sheet", "crop_sheet", "edge_sheet"]

_CYCLIC = "twilight"
_LABELLED = "#12b886"
_PANEL = 5.2
_MISSING = "#d9dcdf"
_KIND_COLOURS = {"volcano": "#d1495b", "earthquake": "#e0a030", "mining": "#3b7dd8", "quiet": "#9aa3ab"}


class Panel(NamedTuple):
    """One scene on a contact sheet."""

    phase: NDArray[np.float32]
    """(H, W) in (-pi, pi], NaN = no data."""
    mask: NDArray[np.bool_]
    """(H, W), what is outlined."""
    kind: str
    """Key of its colour; see the source for those that have one."""
    title: str


def contact_sheet(path: str | Path, panels: Sequence[Panel], *, title: str = "", columns: int = 8) -> None:
    """Draw wrapped phase with the outline of the truth, many scenes to a page.

    Parameters
    ----------
    path
        The picture, PNG.
    panels
        The scenes; at least one.
    title
        Of the page.
    columns
        Panels in a row, at most.
    """
    from matplotlib.figure import Figure

    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    side, gap, caption, margin, head, foot = 1.55, 0.12, 0.22, 0.25, 0.5, 0.55
    width = max(2 * margin + columns * side + (columns - 1) * gap, 5.6)
    left = (width - columns * side - (columns - 1) * gap) / 2
    height = head + rows * (side + caption + gap) + foot
    figure = Figure(figsize=(width, height), dpi=120, facecolor=PAPER)
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        x, y = left + column * (side + gap), height - head - (row + 1) * (side + caption) - row * gap
        axis = figure.add_axes((x / width, y / height, side / width, side / height))
        # Light grey shows missing data, which white would hide.
        axis.set_facecolor(_MISSING)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        axis.imshow(panel.phase, cmap=_CYCLIC, vmin=-np.pi, vmax=np.pi, interpolation="nearest")
        if panel.mask.any() and not panel.mask.all():
            # A dark line under a light one is seen on every phase.
            for colour, line in (("#101418", 2.2), ("#ffffff", 1.0)):
                axis.contour(panel.mask, levels=[0.5], colors=colour, linewidths=line)
        colour = _KIND_COLOURS.get(panel.kind, INK)
        axis.add_patch(_rectangle((0, 1.028), 0.035, 0.075, colour, axis))
        axis.text(0.065, 1.03, panel.title, transform=axis.transAxes, fontsize=7, color=INK, va="bottom")
    figure.text(margin / width, 1 - 0.3 / height, title, fontsize=11, weight="bold", color=INK, va="center")
    # The legend is as wide as three panels, however few there are.
    _phase_legend(figure, margin, width, height)
    _kind_legend(figure, [panel.kind for panel in panels], margin, width, height)
    save_figure(figure, path)


def _phase_legend(figure: Any, left: float, width: float, height: float) -> None:
    bar = figure.add_axes((left / width, 0.3 / height, 1.3 / width, 0.11 / height))
    bar.imshow(np.linspace(-np.pi, np.pi, 256)[None], cmap=_CYCLIC, aspect="auto", extent=(-1, 1, 0, 1))
    bar.set(yticks=[], xticks=[-1, 0, 1])
    bar.set_xticklabels(["-π", "0", "π"], fontsize=7, color=INK)
    bar.tick_params(length=0, pad=2)
    bar.spines[:].set_visible(False)
    said = "wrapped phase (rad); outline: deformation that can be seen; grey: no data"
    figure.text((left + 1.42) / width, 0.355 / height, said, fontsize=7, color=INK, va="center")


def _kind_legend(figure: Any, kinds: Sequence[str], left: float, width: float, height: float) -> None:
    x = left + 1.42
    for kind in (known for known in _KIND_COLOURS if known in kinds):
        place = (x / width, 0.13 / height)
        figure.add_artist(_rectangle(place, 0.055 / width, 0.1 / height, _KIND_COLOURS[kind], figure))
        said = f"{kind} ({kinds.count(kind)})"
        figure.text((x + 0.1) / width, 0.175 / height, said, fontsize=7, color=INK, va="center")
        x += 0.32 + 0.058 * len(said)


def _rectangle(corner: tuple[float, float], width: float, height: float, colour: str, on: Any) -> Any:
    from matplotlib.patches import Rectangle

    transform = getattr(on, "transAxes", None) or on.transFigure
    return Rectangle(corner, width, height, color=colour, linewidth=0, transform=transform, clip_on=False)


def edge_sheet(
    path: str | Path,
    phase: NDArray[np.float32],
    edges: NDArray[np.bool_],
    strong: NDArray[np.bool_],
    areas: NDArray[np.bool_],
    boxes: Mapping[str, Sequence[tuple[int, int, int, int]]],
    title: str,
) -> None:
    """Draw a scene with its windows beside its fringe edges.

    Parameters
    ----------
    path
        The picture, PNG.
    phase
        (H, W) in (-pi, pi] with NaN = no data (grey).
    edges, strong
        (H, W), the strong ones among the edges.
    areas
        (H, W), labelled areas to outline.
    boxes
        Pixel bounds ``row0, row1, col0, col1``, half-open, by what the window is; the first kind is drawn in red.
    title
        Of the figure.
    """
    from matplotlib.figure import Figure
    from scipy.ndimage import binary_dilation

    height, width = phase.shape
    figure = Figure(figsize=(2 * _PANEL, _PANEL * height / width + 1.0), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    _draw_phase(left, phase)
    paper = np.where(np.isfinite(phase)[..., None], 1.0, 0.85) * np.ones(3)
    # Edges are one pixel wide, and lost where the figure has fewer pixels than the scene: they are drawn wider there.
    wide = np.ones((2 * (max(height, width) // 700) + 1,) * 2, bool)
    paper[binary_dilation(edges, wide)] = (0.35, 0.6, 0.95)
    paper[binary_dilation(strong, wide)] = (0.0, 0.0, 0.0)
    right.imshow(paper, interpolation="antialiased")
    _outline(areas, left, right)
    # Neighbouring windows share sides: each is drawn a little further in, so that all are seen.
    _draw_boxes(figure, left, boxes, phase.shape, labelled=bool(areas.any()), apart_px=max(phase.shape) / 160)
    left.set_title("wrapped phase and windows", fontsize=9)
    right.set_title("edges (blue) and strong edges (black)", fontsize=9)
    figure.suptitle(title, fontsize=9)
    save_figure(figure, path)


def crop_sheet(
    path: str | Path,
    phase: NDArray[np.float32],
    maps: Mapping[str, tuple[NDArray[np.float32], float]],
    patterns: NDArray[np.bool_],
    areas: NDArray[np.bool_],
    boxes: Mapping[str, Sequence[tuple[int, int, int, int]]],
    title: str,
) -> None:
    """Draw a scene with its crops beside the maps that they come from.

    Parameters
    ----------
    path
        The picture, PNG.
    phase
        (H, W) in (-pi, pi] with NaN = no data (grey).
    maps
        Maps (H, W) by their title, from 0 to the value that is drawn brightest.
    patterns
        (H, W), what the crops are cut about, outlined on the maps.
    areas, boxes, title
        As for :func:`edge_sheet`.
    """
    from matplotlib.figure import Figure

    height, width = phase.shape
    count = 1 + len(maps)
    figure = Figure(figsize=(count * _PANEL, _PANEL * height / width + 1.0), dpi=110, layout="constrained")
    left, *others = figure.subplots(1, count, sharex=True, sharey=True)
    _draw_phase(left, phase)
    for axis, (name, (values, brightest)) in zip(others, maps.items(), strict=True):
        axis.imshow(values, cmap="gray", vmin=0, vmax=brightest, interpolation="nearest")
        if patterns.any() and not patterns.all():
            axis.contour(patterns, levels=[0.5], colors="#ffd43b", linewidths=1.0)
        axis.set_title(f"{name}, 0 to {brightest:g}; yellow: patterns", fontsize=9)
    _outline(areas, left, *others)
    _draw_boxes(figure, left, boxes, phase.shape, labelled=bool(areas.any()))
    left.set_title("wrapped phase and crops", fontsize=9)
    figure.suptitle(title, fontsize=9)
    save_figure(figure, path)


def _draw_phase(axis: Any, phase: NDArray[np.float32]) -> None:
    axis.imshow(np.full((*phase.shape, 3), 0.85))
    axis.imshow(phase, cmap=_CYCLIC, vmin=-np.pi, vmax=np.pi, interpolation="nearest")


def _outline(areas: NDArray[np.bool_], *axes: Any) -> None:
    for axis in axes:
        axis.set_axis_off()
        if areas.any() and not areas.all():
            axis.contour(areas, levels=[0.5], colors=_LABELLED, linewidths=1.4)


def _draw_boxes(
    figure: Any,
    axis: Any,
    boxes: Mapping[str, Sequence[tuple[int, int, int, int]]],
    shape: tuple[int, ...],
    *,
    labelled: bool,
    apart_px: float = 0.0,
) -> None:
    """Draw boxes by kind, and a legend of them below the figure."""
    from matplotlib.patches import Rectangle

    height, width = shape
    colours = dict(zip(boxes, ("#e8102a", "#1668c7", "#8a8a8a", "#e89a10", "#b04fc4", "#c9c9c9"), strict=False))
    drawn = [(kind, box) for kind, found in boxes.items() for box in found]
    for number, (kind, (row0, row1, col0, col1)) in reversed(list(enumerate(drawn))):
        inset = (number % 6) * apart_px
        axis.add_patch(
            Rectangle(
                (col0 - 0.5 + inset, row0 - 0.5 + inset),
                col1 - col0 - 2 * inset,
                row1 - row0 - 2 * inset,
                fill=False,
                edgecolor=colours[kind],
                linewidth=1.4,
            )
        )
    axis.set_xlim(-0.5, max(width, *(box[3] for _, box in drawn), 0) - 0.5)
    axis.set_ylim(max(height, *(box[1] for _, box in drawn), 0) - 0.5, -0.5)
    handles = [
        Rectangle((0, 0), 1, 1, fill=False, edgecolor=colours[kind], label=f"{kind} ({len(found)})")
        for kind, found in boxes.items()
        if found
    ]
    if labelled:
        handles.append(Rectangle((0, 0), 1, 1, fill=False, edgecolor=_LABELLED, label="labelled area"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
