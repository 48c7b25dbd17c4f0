"""Ground displacement in east, north and up components."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.errors import PhysicsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Displacement", "superpose"]


class Displacement(NamedTuple):
    """Displacement of the ground surface, three float64 arrays of one shape, in metres.

    Parameters
    ----------
    east_m, north_m, up_m
        Components, positive towards east, north and up.
    """

    east_m: NDArray[np.float64]
    north_m: NDArray[np.float64]
    up_m: NDArray[np.float64]


def superpose(*displacements: Displacement) -> Displacement:
    """Add the displacements of several sources; exact, since the half space is linearly elastic.

    Interaction between sources (one changing the stress on another) is not modelled.

    Parameters
    ----------
    *displacements
        One or more displacements on the same points.

    Raises
    ------
    PhysicsError
        If nothing is given, or the shapes differ.
    """
    if not displacements:
        message = "superpose got no displacement; give at least one"
        raise PhysicsError(message)
    shapes = {component.shape for displacement in displacements for component in displacement}
    if len(shapes) > 1:
        message = f"superpose got displacements of different shapes {sorted(shapes)}; compute them on the same points"
        raise PhysicsError(message)
    east, north, up = (np.sum(component, axis=0) for component in zip(*displacements, strict=True))
    return Displacement(east, north, up)
