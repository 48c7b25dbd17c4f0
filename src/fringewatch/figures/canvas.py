"""What all figures have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fringewatch.files import DRAWN_BY, atomic_path

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

__all__ = ["INK", "PAPER", "save_figure"]

PAPER, INK = "#ffffff", "#22282e"


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, atomically."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": DRAWN_BY})
