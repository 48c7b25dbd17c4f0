"""Coarse cubes of geometry, at several heights, that products carry instead of a layer of their own grid."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fringewatch.errors import ProductError
from fringewatch.products import hdf5

if TYPE_CHECKING:
    from collections.abc import Mapping

    from affine import Affine
    from rasterio.windows import Window

    from fringewatch.products.raster import RasterInfo

__all__ = ["Axes", "cubes_at_height_zero"]


class Axes(NamedTuple):
    """Names of the datasets that hold a cube's axes."""

    height: str
    y: str
    x: str


def cubes_at_height_zero(file: Any, names: Mapping[str, str], axes: Axes, onto: RasterInfo) -> dict[str, RasterInfo]:
    """Describe cubes at height 0 on the grid of a layer, for the raster path to interpolate where they are read.

    Parameters
    ----------
    file
        From :func:`fringewatch.products.hdf5.opened`.
    names
        Dataset of each variable.
    axes
        Of all of them, in the units of the layer's grid.
    onto
        The layer.

    Returns
    -------
    dict
        By variable, float32, bilinear, NaN outside; empty where a cube or an axis is not there.

    Raises
    ------
    ProductError
        If the shape of a cube is not that of its axes.
    """
    if any(hdf5.find(file, name) is None for name in (*names.values(), *axes)):
        return {}
    z, y, x = (hdf5.values(file, axis, ndim=1).astype(np.float64) for axis in axes)
    assert onto.transform is not None
    found = {}
    for variable, name in names.items():
        cube = hdf5.values(file, name, ndim=3)
        if cube.shape != (z.size, y.size, x.size) or min(cube.shape) < 2:
            message = f"{file.filename}: {name} has the shape {cube.shape}, expected that of its axes; fetch it again"
            raise ProductError(message)
        at_zero = _between(cube.astype(np.float64), *_neighbours(z, np.zeros(1)))[0]
        source = functools.partial(_interpolate, at_zero, y, x, onto.transform, onto.shape)
        found[variable] = dataclasses.replace(onto, dtypes=("float32",), nodata=(None,), source=source)
    return found


def _interpolate(
    coarse: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
    transform: Affine,
    shape: tuple[int, int],
    window: Window | None,
) -> np.ndarray:
    """Return a coarse grid at the pixel centres of a window, (1, h, w) float32, bilinear; NaN outside."""
    top, left, height, width = hdf5.bounds(window, shape)
    northing = transform.f + transform.e * (top + 0.5 + np.arange(height))
    easting = transform.c + transform.a * (left + 0.5 + np.arange(width))
    rows = _between(coarse, *_neighbours(y, northing))
    values = _between(rows.T, *_neighbours(x, easting)).T
    with np.errstate(over="ignore"):
        return values.astype(np.float32)[None]


def _neighbours(axis: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return of each point the index of its neighbour before it, and its distance in steps from there; NaN outside."""
    order = slice(None, None, 1 if axis[-1] > axis[0] else -1)
    position = np.interp(points, axis[order], np.arange(axis.size, dtype=float)[order], left=np.nan, right=np.nan)
    before = np.clip(np.nan_to_num(position), 0, axis.size - 2).astype(int)
    return before, position - before


def _between(values: np.ndarray, before: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Interpolate along the first axis."""
    weight = distance.reshape(-1, *(1,) * (values.ndim - 1))
    with np.errstate(over="ignore", invalid="ignore"):
        between: np.ndarray = values[before] * (1 - weight) + values[before + 1] * weight
    return between
