"""Grids with north at the top, west at the left, and longitudes within half a turn."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from affine import Affine
from rasterio.windows import Window

if TYPE_CHECKING:
    from rasterio.crs import CRS

__all__ = ["full_turn", "turn_round", "turn_window", "upright", "within_half_turn"]

_SMALLEST_UNIT = 1e-9
"""Radians; a milliarcsecond is five of them."""


def upright(transform: Affine, shape: tuple[int, int]) -> tuple[Affine, tuple[bool, bool]]:
    """Return a grid that is not rotated with row 0 in the north and column 0 in the west.

    Parameters
    ----------
    transform
        Of the first pixel's outer corner, in a coordinate system that runs east and north.
    shape
        (rows, columns).

    Returns
    -------
    (Affine, (bool, bool))
        Transform of the upper left pixel corner, and whether rows and columns have to be turned round for it.
    """
    (height, width), (a, _, c, _, e, f) = shape, transform[:6]
    turned = e > 0, a < 0
    if not any(turned):
        return transform, turned
    return Affine(abs(a), 0, c + a * width if turned[1] else c, 0, -abs(e), f + e * height if turned[0] else f), turned


def turn_window(window: Window | None, shape: tuple[int, int], turned: tuple[bool, bool]) -> Window | None:
    """Return where in the file a window of the upright grid lies; None is all of it."""
    if window is None or not any(turned):
        return window
    row, column = window.row_off, window.col_off
    if turned[0]:
        row = shape[0] - row - window.height
    if turned[1]:
        column = shape[1] - column - window.width
    return Window(column, row, window.width, window.height)


def turn_round(values: np.ndarray, turned: tuple[bool, bool]) -> np.ndarray:
    """Return what was read from the file, (..., rows, columns), in the order of the upright grid."""
    if not any(turned):
        return values
    rows, columns = (slice(None, None, -1 if backwards else 1) for backwards in turned)
    # In the order of memory: views that run backwards slow down all that comes after.
    return np.ascontiguousarray(values[..., rows, columns])


def full_turn(crs: CRS) -> float:
    """Return 360 degrees in the unit of a geographic coordinate system; infinity where a damaged file has none."""
    radians = float(crs.units_factor[1])
    return 2 * math.pi / radians if radians > _SMALLEST_UNIT else math.inf


def within_half_turn(transform: Affine, crs: CRS | None, width: int) -> Affine:
    """Return an upright grid by a whole turn further west or east, where all its longitudes are beyond 180.

    One across the date line stays as it is, since its longitudes must not jump.
    """
    west, east = transform.c, transform.c + transform.a * width
    if crs is None or -180 < east <= 180 or -180 <= west < 180 or not crs.is_geographic:
        return transform
    turn = full_turn(crs)
    shift = -turn if west >= turn / 2 else turn if east <= -turn / 2 else 0.0
    return Affine(transform.a, 0, west + shift, 0, transform.e, transform.f) if shift else transform
