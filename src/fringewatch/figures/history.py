"""How a training went."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fringewatch.figures.canvas import save_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["plot_history"]


def plot_history(
    path: str | Path,
    history: Mapping[str, Sequence[float]],
    *,
    held_out: str = "held-out",
    scores_title: str = "held-out AUROC and accuracy",
) -> None:
    """Draw training and held-out loss and accuracy against the epoch.

    Parameters
    ----------
    path
        The picture, PNG.
    history
        Columns of equal length: ``epoch`` and any of ``train_loss``, ``val_..._loss``, ``train_accuracy``,
        ``val_auroc``, ``val_accuracy``.
    held_out
        Word for what columns named ``val_...`` were computed on.
    scores_title
        Title of the panel of all that is no loss.
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
        label = name.replace("val_", f"{held_out} ").replace("train_", "training ").replace("_", " ")
        axis.plot(epochs, history[name], style, marker="o", markersize=3, label=label)
    for axis, title in ((losses, "loss"), (scores, scores_title)):
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    save_figure(figure, path)
