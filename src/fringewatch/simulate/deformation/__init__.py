"""Draw deformation sources: geometry at random, strength so that the scene shows the wanted number of fringes.

Surface displacement is linear in the strength of a source (volume change, opening, pressure, slip, thickness), so each
is computed once with unit strength to see how strong it is, then scaled. Strengths stay inside the ranges of
:mod:`fringewatch.simulate.ranges`; geometry that cannot show the wanted fringes within them is drawn again.

``draw`` is the entry; ``magmatic``, ``earthquake`` and ``mining`` draw sources; ``source`` and ``grid`` evaluate them.
"""

from __future__ import annotations

from fringewatch.simulate.deformation.draw import draw_deformation, draw_unless_hidden
from fringewatch.simulate.deformation.source import Deformation

__all__ = ["Deformation", "draw_deformation", "draw_unless_hidden"]
