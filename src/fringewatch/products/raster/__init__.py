"""Raster reading that all providers share: bounded memory, quiet GDAL, and errors that name the file.

Arrays come back as NumPy where the raster is small and as dask where it is large; a reader describes its conversions
(no data, angle, sign, wrapping) once, block by block, and they run in either case.
"""

from __future__ import annotations

from fringewatch.products.raster.header import RasterInfo, inspect
from fringewatch.products.raster.opening import explain, gdal_path, opened_once
from fringewatch.products.raster.upright import full_turn, turn_round, turn_window, upright, within_half_turn
from fringewatch.products.raster.values import EAGER_PIXELS, Array, Block, chunk_shape, convert, read, sample
from fringewatch.products.raster.writing import write

__all__ = [
    "EAGER_PIXELS",
    "Array",
    "Block",
    "RasterInfo",
    "chunk_shape",
    "convert",
    "explain",
    "full_turn",
    "gdal_path",
    "inspect",
    "opened_once",
    "read",
    "sample",
    "turn_round",
    "turn_window",
    "upright",
    "within_half_turn",
    "write",
]
