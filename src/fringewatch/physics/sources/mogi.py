"""Point source of volume change (Mogi 1958)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fringewatch.errors import PhysicsError
from fringewatch.physics._check import require_between, require_finite, require_positive
from fringewatch.physics.displacement import Displacement

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["mogi"]


def mogi(
    east_m: ArrayLike,
    north_m: ArrayLike,
    *,
    depth_m: ArrayLike,
    volume_change_m3: float,
    radius_m: float | None = None,
    poisson: float = 0.25,
) -> Displacement:
    """Compute the surface displacement of a point source of volume change in an elastic half space.

    Parameters
    ----------
    east_m, north_m
        Position of the observation points relative to the source, metres; any shapes that broadcast.
    depth_m
        Depth of the source below the ground, metres, > 0. An array (source depth plus local height) gives the
        usual varying-depth correction for topography (Williams and Wadge 1998).
    volume_change_m3
        Volume change of the cavity, m3; positive inflates.
    radius_m
        Radius of the cavity, metres. Without influence on a point source, but where it is known, one that would
        reach the surface is refused. Default: not known.
    poisson
        Poisson's ratio of the half space, in [0, 0.5].

    Returns
    -------
    Displacement
        East, north and up in metres, float64, of the broadcast shape.

    Raises
    ------
    PhysicsError
        If the depth is not positive, the radius not smaller than the depth, or another argument is out of range.

    Notes
    -----
    ``u = (1 - poisson) / pi * dV * (x, y, d) / (x^2 + y^2 + d^2)^(3/2)``: Mogi (1958) in the volume form of
    Segall (2010), *Earthquake and Volcano Deformation*, eq. 7.14. The uplifted volume of the surface is
    ``2 (1 - poisson) dV``. Valid for cavities much smaller than their depth.
    """
    require_positive("depth_m", depth_m, "(metres below the ground)")
    require_finite("volume_change_m3", volume_change_m3)
    require_between("poisson", poisson, 0.0, 0.5)
    if radius_m is not None:
        require_positive("radius_m", radius_m)
        shallowest = float(np.min(depth_m))
        if radius_m >= shallowest:
            message = (
                f"radius_m={radius_m:g} lets the cavity reach the surface from depth_m={shallowest:g}; allowed: "
                f"radius_m < {shallowest:g} (a point source wants much less)"
            )
            raise PhysicsError(message)

    east = np.asarray(east_m, dtype=np.float64)
    north = np.asarray(north_m, dtype=np.float64)
    depth = np.asarray(depth_m, dtype=np.float64)
    distance_squared = east * east + north * north + depth * depth
    scale = ((1.0 - poisson) / np.pi * volume_change_m3) / (distance_squared * np.sqrt(distance_squared))
    return Displacement(scale * east, scale * north, scale * depth)
