"""Fringes of wrapped phase: edges, windows that hold some, and crops about the patterns that they make."""

from fringewatch.fringes.edges import HIGH, LOW, SIGMA_PX, FringeEdges, fringe_edges
from fringewatch.fringes.windows import Window, windows

__all__ = ["HIGH", "LOW", "SIGMA_PX", "FringeEdges", "Window", "fringe_edges", "windows"]
