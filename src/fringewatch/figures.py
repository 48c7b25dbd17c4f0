"""Figures drawn with Matplotlib, whose only importer this module is: contact sheets and training histories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fringewatch.files import atomic_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["contact_sheet", "plot_history"]


def contact_sheet(
    path: str | Path, panels: Sequence[tuple[NDArray[np.float32], NDArray[np.bool_], str]], *, columns: int = 8
) -> None:
    """Draw wrapped phase with the outline of the truth, many scenes to a page.

    Parameters
    ----------
    path
        The picture, PNG.
    panels
        Phase (H, W) in (-pi, pi] with NaN = no data (grey), mask (H, W) to outline, title; at least one.
    columns
        Panels in a row.
    """
    from matplotlib.figure import Figure

    rows = -(-len(panels) // columns)
    columns = min(columns, len(panels))
    figure = Figure(figsize=(2.0 * columns, 2.25 * rows), dpi=110, layout="constrained")
    axes = np.atleast_1d(np.asarray(figure.subplots(rows, columns))).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, (phase, mask, title) in zip(axes, panels, strict=False):
        # A light grey ground shows missing data, which a white one would hide.
        axis.imshow(np.full((*phase.shape, 3), 0.85))
        image = axis.imshow(phase, cmap="twilight", vmin=-np.pi, vmax=np.pi, interpolation="nearest")
        if mask.any() and not mask.all():
            axis.contour(mask, levels=[0.5], colors="#e8102a", linewidths=1.2)
        axis.set_title(title, fontsize=7)
    bar = figure.colorbar(image, ax=list(axes), location="bottom", shrink=0.3, aspect=40, ticks=[-np.pi, 0, np.pi])
    bar.ax.set_xticklabels(["-π", "0", "π"], fontsize=7)
    bar.set_label("wrapped phase (rad); red: visible deformation", fontsize=7)
    _save(figure, path)


def plot_history(path: str | Path, history: Mapping[str, Sequence[float]]) -> None:
    """Draw training and held-out loss and accuracy against the epoch.

    Parameters
    ----------
    path
        The picture, PNG.
    history
        Columns of equal length: ``epoch`` and any of ``train_loss``, ``val_..._loss``, ``val_auroc``, ``val_accuracy``.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    epochs = np.asarray(history["epoch"], float) + 1
    figure = Figure(figsize=(9, 3.6), dpi=110, layout="constrained")
    losses, scores = figure.subplots(1, 2)
    for name in sorted(history):
        if name == "epoch":
            continue
        axis = losses if name.endswith("_loss") else scores
        style = "-" if name.startswith("train") else "--"
        label = name.replace("val_", "held-out ").replace("train_", "training ").replace("_", " ")
        axis.plot(epochs, history[name], style, marker="o", markersize=3, label=label)
    for axis, title in ((losses, "loss"), (scores, "held-out AUROC and accuracy")):
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    _save(figure, path)


def _save(figure: object, path: str | Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    assert isinstance(figure, Figure)
    FigureCanvasAgg(figure)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
