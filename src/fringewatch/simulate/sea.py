"""Coasts and islands: where there is sea, no phase."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fringewatch.physics import terrain

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LAND_PX", "draw_sea"]

_COVERED = (0.15, 0.8)
_ISLAND_SHARE = 0.5
LAND_PX = 400
"""Pixels of visible deformation that must lie on land for a scene by the sea to show it."""


def draw_sea(
    rng: np.random.Generator, shape: tuple[int, int], pixel_m: float, height_m: NDArray[np.float32] | None
) -> NDArray[np.bool_]:
    """Draw where the sea is: everything below some height.

    Parameters
    ----------
    rng
        Source of randomness.
    shape
        Rows and columns.
    pixel_m
        Pixel size, metres.
    height_m
        (H, W) terrain; None draws one, half of the time with an island's cone in it.

    Returns
    -------
    numpy.ndarray
        (H, W) bool, 15 to 80 % True.
    """
    if height_m is None:
        height_m = terrain.fractal_terrain(shape, pixel_m, rng, relief_m=500.0)
        if rng.random() < _ISLAND_SHARE:
            radius_m = float(rng.uniform(0.3, 0.7)) * min(shape) * pixel_m
            place = rng.uniform(0.1, 0.9, 2) * shape
            height_m = terrain.add_cone(
                height_m,
                pixel_m,
                row=float(place[0]),
                col=float(place[1]),
                radius_m=radius_m,
                summit_m=min(1000.0, 0.7 * radius_m),
                erosion=terrain.Erosion.draw(rng),
            )
    level = np.float32(np.quantile(height_m[::4, ::4], rng.uniform(*_COVERED)))
    return np.asarray(height_m < level)
