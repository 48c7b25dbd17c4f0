"""Rectangular dislocations in the terms in which they are drawn: the depth of the upper edge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fringewatch.physics.sources import okada
from fringewatch.simulate.deformation.source import Source, Trace

if TYPE_CHECKING:
    from fringewatch.physics.displacement import Displacement
    from fringewatch.simulate.deformation.source import Array, Parameters

__all__ = ["rectangle"]

_FLAT_DEG = 30.0


def rectangle(
    *,
    top_m: float,
    strike_deg: float,
    dip_deg: float,
    length_m: float,
    width_m: float,
    slip: tuple[float, float, float],
    strength: tuple[float, float],
    strength_name: str,
    named: Parameters,
) -> Source:
    """Build a rectangular dislocation from the depth of its upper edge.

    Parameters
    ----------
    top_m, strike_deg, dip_deg, length_m, width_m
        Geometry; the source's position is that of the rectangle's middle.
    slip
        Strike slip, dip slip and opening of unit strength.
    strength, strength_name, named
        As in :class:`Source`.
    """
    strike, dip = np.radians(strike_deg), np.radians(dip_deg)
    depth = top_m + 0.5 * width_m * float(np.sin(dip))

    def field(east: Array, north: Array, height: Array | float) -> Displacement:
        return okada(
            east,
            north,
            depth_m=depth + height,
            strike_deg=strike_deg,
            dip_deg=dip_deg,
            length_m=length_m,
            width_m=width_m,
            strike_slip_m=slip[0],
            dip_slip_m=slip[1],
            opening_m=slip[2],
        )

    # The rectangle dips to the right of its strike, so its upper edge lies to the left of its middle.
    aside = -0.5 * width_m * float(np.cos(dip))
    edge: Trace | None = Trace(aside * float(np.cos(strike)), -aside * float(np.sin(strike)), strike_deg, length_m)
    if dip_deg < _FLAT_DEG:
        # All of it is near the surface where its edge is.
        edge = None
    return Source(field, strength, strength_name, top_m, edge, named)
