"""Grids of rasters: their coordinate system, and joining those that agree without resampling."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError

from fringewatch.errors import ProductError
from fringewatch.interferogram import grid_of
from fringewatch.products import raster

if TYPE_CHECKING:
    import xarray as xr

    from fringewatch.products.raster import Array, RasterInfo

__all__ = ["Grid", "align", "grid_of_phase", "offset", "parse_crs"]


class Grid(NamedTuple):
    """Where the pixels of a raster lie: what :class:`~fringewatch.products.raster.RasterInfo` says of it, and no more.

    Attributes
    ----------
    shape
        (rows, columns).
    transform, crs
        None where the raster is not georeferenced.
    block
        (rows, columns) of the blocks in the file; irrelevant once it has been read.
    """

    shape: tuple[int, int]
    transform: Affine | None
    crs: CRS | None
    block: tuple[int, int] = (1, 1)


def grid_of_phase(interferogram: xr.Dataset, path: str) -> Grid:
    """Return the grid of an interferogram that was read from `path`; only where it has none is the file opened."""
    crs, transform = grid_of(interferogram)
    if crs is not None:
        rows, columns = interferogram.variables["phase"].shape
        return Grid((rows, columns), transform, crs)
    info = raster.inspect(path)
    return Grid(info.shape, info.transform, info.crs)


def align(array: Array, info: RasterInfo, onto: RasterInfo | Grid) -> Array | None:
    """Bring a companion onto the grid of the phase by whole-pixel shifts.

    Returns
    -------
    array or None
        (H, W) of `onto`, NaN outside; None where :func:`offset` says so.
    """
    place = offset(info, onto)
    if place is None:
        return None
    top, left = place
    bottom, right = top + onto.shape[0], left + onto.shape[1]
    cut = array[max(top, 0) : min(bottom, info.shape[0]), max(left, 0) : min(right, info.shape[1])]
    missing = (
        (max(-top, 0), max(bottom - info.shape[0], 0)),
        (max(-left, 0), max(right - info.shape[1], 0)),
    )
    if missing == ((0, 0), (0, 0)):
        return cut
    # np.pad dispatches to dask where the array is lazy.
    return np.pad(cut, missing, constant_values=np.float32(np.nan))


def offset(info: RasterInfo, onto: RasterInfo | Grid) -> tuple[int, int] | None:
    """Return the row and column of a companion at the corner of the phase.

    Returns
    -------
    tuple or None
        None where the grids differ by more than a tenth of a pixel, in pixel size or CRS, or do not overlap, so that
        only resampling could join them.
    """
    if (info.transform is None) != (onto.transform is None):
        return None
    if info.transform is None or onto.transform is None:
        return (0, 0) if info.shape == onto.shape else None
    if info.crs is not None and onto.crs is not None and not _same(info.crs, onto.crs):
        return None
    # Pixel (0, 0) of the phase, in pixels of the companion, and the drift over the whole scene.
    transform = _on_the_same_turn(onto, info)
    column, row = _apply(~info.transform, *_apply(transform, 0, 0))
    last_column, last_row = _apply(~info.transform, *_apply(transform, onto.shape[1], onto.shape[0]))
    if not np.isfinite([row, column, last_row, last_column]).all():
        return None
    top, left = round(row), round(column)
    drift = max(
        abs(row - top),
        abs(column - left),
        abs(last_row - top - onto.shape[0]),
        abs(last_column - left - onto.shape[1]),
    )
    if drift > 0.1 or top >= info.shape[0] or left >= info.shape[1]:
        return None
    return None if top + onto.shape[0] <= 0 or left + onto.shape[1] <= 0 else (top, left)


def parse_crs(text: str, path: str) -> CRS:
    """Return the coordinate system that ``EPSG:4326`` or a WKT names.

    Raises
    ------
    ProductError
        If it names none; `path` is the file that has it.
    """
    try:
        code = text.upper().removeprefix("EPSG:")
        # Without it GDAL prints its own word on wrong ones to stderr.
        with rasterio.Env():
            return CRS.from_epsg(int(code)) if code != text.upper() else CRS.from_wkt(text)
    except (CRSError, ValueError, OverflowError) as error:
        message = (
            f"{path}: names the coordinate system {text[:60]!r}, expected an EPSG code or WKT; assign it with GDAL"
        )
        raise ProductError(message) from error


def _same(one: CRS, other: CRS) -> bool:
    # Files of one frame spell WGS 84 with and without its authority and axes; those are not equal as text.
    if one == other:
        return True
    code: int | None = one.to_epsg()
    return code is not None and code == other.to_epsg()


def _on_the_same_turn(grid: RasterInfo | Grid, other: RasterInfo) -> Affine:
    """Return the transform of a grid, by whole turns further west or east if `other` counts longitudes so."""
    assert grid.transform is not None
    assert other.transform is not None
    apart = _apply(other.transform, other.shape[1] / 2, 0)[0] - _apply(grid.transform, grid.shape[1] / 2, 0)[0]
    crs = grid.crs or other.crs
    if not 180 < abs(apart) < np.inf or crs is None or not crs.is_geographic:
        return grid.transform
    turn, (a, b, c, d, e, f) = raster.full_turn(crs), grid.transform[:6]
    turns = round(apart / turn)
    return Affine(a, b, c + turns * turn, d, e, f) if turns else grid.transform


def _apply(transform: Affine, column: float, row: float) -> tuple[float, float]:
    # Written out: the operator for this changed between affine 2 and 3.
    return (
        transform.a * column + transform.b * row + transform.c,
        transform.d * column + transform.e * row + transform.f,
    )
