"""Deformation sources in an elastic half space with a free surface.

Every source sits at the origin of the local east and north axes; the caller shifts the coordinates.
"""

from __future__ import annotations

from fringewatch.physics.displacement import Displacement, superpose
from fringewatch.physics.sources.mogi import mogi
from fringewatch.physics.sources.okada import okada
from fringewatch.physics.sources.penny import penny_crack
from fringewatch.physics.sources.scaling import RuptureSize, earthquake_dimensions
from fringewatch.physics.sources.sheet import sheet

__all__ = [
    "Displacement",
    "RuptureSize",
    "earthquake_dimensions",
    "mogi",
    "okada",
    "penny_crack",
    "sheet",
    "superpose",
]
