"""Fringes of wrapped phase: edges, windows that hold some, and crops about the patterns that they make."""

from fringewatch.fringes.crops import MIN_SCORE, Crop, Crops, find_crops
from fringewatch.fringes.edges import HIGH, LOW, SIGMA_PX, FringeEdges, fringe_edges
from fringewatch.fringes.surface import KNOWN_WEIGHT, Surface, map_surface
from fringewatch.fringes.troughs import LEAST_DIP, Trough, Troughs, measure_troughs, surroundings_px, troughs_of
from fringewatch.fringes.windows import Window, windows

__all__ = [
    "HIGH",
    "KNOWN_WEIGHT",
    "LEAST_DIP",
    "LOW",
    "MIN_SCORE",
    "SIGMA_PX",
    "Crop",
    "Crops",
    "FringeEdges",
    "Surface",
    "Trough",
    "Troughs",
    "Window",
    "find_crops",
    "fringe_edges",
    "map_surface",
    "measure_troughs",
    "surroundings_px",
    "troughs_of",
    "windows",
]
