"""Horizontal sheet of any outline and opening, as the sum of many small horizontal cracks (Okada 1985)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fringewatch.compiled import kernels
from fringewatch.errors import PhysicsError
from fringewatch.physics._check import require_finite, require_positive
from fringewatch.physics.displacement import Displacement

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

__all__ = ["sheet"]

# Points times cracks that are computed at once: half a megabyte stays in the cache.
_BLOCK = 2**16


def sheet(
    east_m: ArrayLike,
    north_m: ArrayLike,
    *,
    depth_m: ArrayLike,
    at_east_m: ArrayLike,
    at_north_m: ArrayLike,
    volume_change_m3: ArrayLike,
    single: bool = False,
) -> Displacement:
    """Compute the surface displacement of horizontal cracks at one depth in an elastic half space.

    Parameters
    ----------
    east_m, north_m
        Position of the observation points, metres; any shapes that broadcast.
    depth_m
        Depth of the sheet below the ground, metres, > 0. An array (depth plus local height) gives the usual
        varying-depth correction for topography (Williams and Wadge 1998).
    at_east_m, at_north_m
        (N,) position of each crack, metres. Cracks on a square lattice no wider apart than 0.7 of the depth differ from
        an endless continuous sheet by half a percent of its displacement: the transform of the field falls as
        ``(1 + k d) exp(-k d)``. Where a rim cuts between cracks it is some percent.
    volume_change_m3
        (N,) opening times area of each, m3; positive inflates.
    single
        Whether float32 will do for each crack, whose error is a millionth of the largest displacement, where compiled
        loops are at hand.

    Returns
    -------
    Displacement
        East, north and up in metres, float64, of the broadcast shape.

    Raises
    ------
    PhysicsError
        If the depth is not positive, or the cracks' arrays are not of one length or not finite.

    Notes
    -----
    A horizontal tensile point source: Okada (1985), BSSA 75, eq. 10 with dip 0,
    ``u = 3 V d^2 / (2 pi R^5) (x, y, d)``. It does not depend on Poisson's ratio, and the surface rises by as much
    volume as the cracks open.
    """
    require_positive("depth_m", depth_m, "(metres below the ground)")
    places = [np.asarray(part, np.float64) for part in (at_east_m, at_north_m, volume_change_m3)]
    if len({part.shape for part in places}) > 1 or places[0].ndim != 1 or not places[0].size:
        shapes = ", ".join(str(part.shape) for part in places)
        message = f"at_east_m, at_north_m and volume_change_m3 have shapes {shapes}; expected one length, at least 1"
        raise PhysicsError(message)
    for name, part in zip(("at_east_m", "at_north_m", "volume_change_m3"), places, strict=True):
        require_finite(name, part)
    east, north, depth = (np.asarray(part, np.float64) for part in (east_m, north_m, depth_m))
    shape = np.broadcast_shapes(east.shape, north.shape, depth.shape)
    x, y, d = (np.broadcast_to(part, shape).reshape(-1) for part in (east, north, depth))
    sums = np.empty((x.size, 3))
    if compiled := kernels("sources"):
        points = (np.ascontiguousarray(part) for part in (x, y, d))
        if single:
            compiled.sheet_in_single(*points, *(np.ascontiguousarray(part, np.float32) for part in places), sums)
        else:
            compiled.sheet(*points, *(np.ascontiguousarray(part) for part in places), sums)
    else:
        _add_up(x, y, d, places, sums)
    total, total_east, total_north = (column.reshape(shape) for column in sums.T)
    factor = 1.5 / np.pi * depth * depth
    return Displacement(
        (east * total - total_east) * factor, (north * total - total_north) * factor, total * factor * depth
    )


def _add_up(x: Array, y: Array, d: Array, places: list[Array], sums: Array) -> None:
    crack_east, crack_north, volume = places
    # Sums over cracks of V / R^5, and of it times their position: three columns of one product of matrices.
    columns = np.stack([volume, volume * crack_east, volume * crack_north], axis=1)
    rows = max(1, _BLOCK // volume.size)
    for start in range(0, x.size, rows):
        block = slice(start, start + rows)
        squared = np.square(x[block, None] - crack_east)
        squared += np.square(y[block, None] - crack_north)
        squared += np.square(d[block, None])
        weight = np.sqrt(squared)
        weight *= squared
        weight *= squared
        np.reciprocal(weight, out=weight)
        np.matmul(weight, columns, out=sums[block])
