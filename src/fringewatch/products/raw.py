"""Headerless raw files, read through the same path as every raster.

GDAL reads them by a description, a VRT that is written here and never touches the disk, so that windows, dask and the
errors are those of any other raster. What no header says is checked against the size of the file, since GDAL fills
what is missing with zeros.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import numpy as np

from fringewatch.errors import ProductError
from fringewatch.products import raster
from fringewatch.products.reference import file_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from affine import Affine
    from rasterio.crs import CRS

    from fringewatch.products.raster import RasterInfo

__all__ = ["RawGrid", "byte_order", "check_size", "file_size", "inspect_companion", "inspect_raw"]

_GDAL_TYPES = {"uint8": "Byte", "int16": "Int16", "int32": "Int32", "float32": "Float32", "float64": "Float64"}
_GDAL_TYPES["complex64"] = "CFloat32"
_RUNS, _RUN = 64, 1024
_SENSIBLE = (1e-12, 1e15)
"""Magnitudes that phase, coherence, heights and complex numbers stay within; read in the wrong byte order, two values
in three leave them."""


@dataclasses.dataclass(frozen=True, slots=True)
class RawGrid:
    """Size and place of a raw file, from the header that goes with it.

    Parameters
    ----------
    shape
        (rows, columns).
    transform, crs
        None in radar geometry.
    """

    shape: tuple[int, int]
    transform: Affine | None = None
    crs: CRS | None = None


def inspect_raw(
    path: str, grid: RawGrid, dtype: str, *, big_endian: bool = False, parts: Sequence[str] = ()
) -> RasterInfo:
    """Describe a raw file as a raster, for :func:`fringewatch.products.raster.read`.

    Parameters
    ----------
    path
        The file, one band, rows from the top.
    grid
        Its size and place.
    dtype
        NumPy's name of its type.
    big_endian
        Its byte order.
    parts
        Further files of the same size and type: bands 2 and up.

    Raises
    ------
    ProductError
        If a file is missing or its size is not what `grid` and `dtype` make.
    """
    height, width = grid.shape
    itemsize = np.dtype(dtype).itemsize
    bands = []
    for number, part in enumerate((path, *parts), start=1):
        check_size(part, grid.shape, itemsize)
        bands.append(
            f'<VRTRasterBand dataType="{_GDAL_TYPES[dtype]}" band="{number}" subClass="VRTRawRasterBand">'
            f'<SourceFilename relativeToVRT="0">{escape(str(Path(part).absolute()))}</SourceFilename>'
            f"<PixelOffset>{itemsize}</PixelOffset><LineOffset>{itemsize * width}</LineOffset>"
            f"<ByteOrder>{'MSB' if big_endian else 'LSB'}</ByteOrder></VRTRasterBand>"
        )
    place = ""
    if grid.transform is not None:
        place = f"<GeoTransform>{', '.join(f'{number:.17g}' for number in grid.transform.to_gdal())}</GeoTransform>"
    if grid.crs is not None:
        place += f"<SRS>{escape(grid.crs.to_wkt())}</SRS>"
    text = f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">{place}{"".join(bands)}</VRTDataset>'
    return raster.inspect(path, opens_as=text, driver="VRT")


def inspect_companion(path: str, grid: RawGrid, *, big_endian: bool) -> RasterInfo:
    """Describe a raw companion on the grid of the phase: float32, or uint8 where it has a byte for each pixel.

    Raises
    ------
    ProductError
        If its size is neither.
    """
    if file_size(path) == grid.shape[0] * grid.shape[1]:
        return inspect_raw(path, grid, "uint8")
    check_size(path, grid.shape, np.dtype("float32").itemsize)
    big_endian, _ = byte_order(path, "float32", big_endian=big_endian)
    return inspect_raw(path, grid, "float32", big_endian=big_endian)


def file_size(path: str) -> int:
    """Return the size of a local file in bytes.

    Raises
    ------
    ProductError
        If there is no such file, or it cannot be looked at.
    """
    try:
        return Path(path).stat().st_size
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = f"{path}: cannot be read ({reason}), expected a local file; check the spelling and the folder"
        raise ProductError(message) from error


def check_size(path: str, shape: tuple[int, int], itemsize: int) -> None:
    """Refuse a file that does not hold what its header says.

    Raises
    ------
    ProductError
        Naming both sizes.
    """
    size, wanted = file_size(path), shape[0] * shape[1] * itemsize
    if size != wanted:
        message = (
            f"{path}: holds {size} bytes, expected {wanted} for {shape[0]} x {shape[1]} pixels of {itemsize} bytes as "
            "its header says; fetch the file again, or the header that belongs to it"
        )
        raise ProductError(message)


def byte_order(path: str, dtype: str, *, big_endian: bool) -> tuple[bool, list[str]]:
    """Judge the byte order of a raw file by its values, in case it is not the usual one.

    Parameters
    ----------
    path, dtype
        The file and NumPy's name of its type.
    big_endian
        The order that is usual for the provider.

    Returns
    -------
    (bool, list of str)
        Whether it is big-endian, and the sentence that says so where that is unusual.

    Raises
    ------
    ProductError
        If the values make no sense in either order.
    """
    size = file_size(path)
    if size < np.dtype(dtype).itemsize:
        message = f"{path}: is empty ({size} bytes), expected a raster of {dtype}; fetch it again"
        raise ProductError(message)
    values = _sample(path, np.dtype(dtype), size)
    little, big = (_sensible(values.view(order)) for order in _orders(dtype))
    usual, other = (big, little) if big_endian else (little, big)
    if usual >= 0.9:
        return big_endian, []
    if other < 0.9:
        message = (
            f"{path}: holds values that make no sense as {dtype} ({usual:.0%} of them between {_SENSIBLE[0]:g} and "
            f"{_SENSIBLE[1]:g} in size), expected phase; is {file_name(path)} of another type?"
        )
        raise ProductError(message)
    name = "little-endian" if big_endian else "big-endian"
    return not big_endian, [f"the values make sense as {name} numbers only, and were read so; that is unusual"]


def _sample(path: str, dtype: np.dtype[Any], size: int) -> np.ndarray:
    """Return values from runs spread over a file; a run, since a disk reads no less than a page."""
    count = size // dtype.itemsize
    starts = np.linspace(0, max(count - _RUN, 0), _RUNS, dtype=int)
    runs = [np.fromfile(path, dtype, _RUN, offset=int(start) * dtype.itemsize) for start in sorted(set(starts))]
    return np.concatenate(runs)


def _orders(dtype: str) -> tuple[np.dtype[Any], np.dtype[Any]]:
    return np.dtype(dtype).newbyteorder("<"), np.dtype(dtype).newbyteorder(">")


def _sensible(values: np.ndarray) -> float:
    """Return the share of a sensible size among the values that are neither 0 nor no number; 1 without any."""
    with np.errstate(invalid="ignore", over="ignore"):
        size = np.abs(values)
    size = size[(size != 0) & ~np.isnan(size)]
    return float(np.mean((size > _SENSIBLE[0]) & (size < _SENSIBLE[1]))) if size.size else 1.0
