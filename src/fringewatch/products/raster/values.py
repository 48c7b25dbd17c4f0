"""Values of rasters, at once or lazily, and conversions of them that run in either case."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
from rasterio.windows import Window

from fringewatch.errors import ProductError
from fringewatch.products.raster.opening import opened
from fringewatch.products.raster.upright import turn_round, turn_window

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fringewatch.products.grid import Grid
    from fringewatch.products.raster.header import RasterInfo
    from fringewatch.products.reference import Chunks

    Convert = Callable[[np.ndarray], np.ndarray]

__all__ = ["EAGER_PIXELS", "Array", "Block", "chunk_shape", "convert", "read", "sample"]

EAGER_PIXELS = 64_000_000
"""Rasters up to this size are read at once; larger ones become dask arrays."""

Array = Any
"""numpy.ndarray or dask.array.Array."""

Block = tuple[np.ndarray, tuple[bool, bool, bool, bool]]
"""Raw values (h, w), and whether their top, bottom, left and right edge is the scene's."""

_CHUNK_PIXELS = 4_194_304
_MAX_BLOCK_BYTES = 512 * 1024**2
_SAMPLE_SIDE = 256


def read(
    info: RasterInfo,
    *,
    bands: Sequence[int] = (1,),
    mask: bool = False,
    chunks: Chunks = None,
    rows: slice | None = None,
) -> Array:
    """Read bands of a raster, at once or lazily.

    Parameters
    ----------
    info
        From :func:`inspect`.
    bands
        Band numbers from 1.
    mask
        Append the validity mask (0 where invalid, in the bands' type) as a last band.
    chunks
        None reads rasters of up to :data:`EAGER_PIXELS` at once and larger ones lazily. A side length, a pair
        (rows, columns) or ``"auto"`` reads lazily always.
    rows
        Only these rows (explicit bounds), at once.

    Returns
    -------
    numpy.ndarray or dask.array.Array
        (bands, H, W) in the raster's own type, without scaling.
    """
    count = len(bands) + mask
    if rows is not None:
        window = Window(0, rows.start, info.shape[1], rows.stop - rows.start)
        return _read_window(info, bands, mask=mask, window=window)
    if chunks is None and info.pixels <= EAGER_PIXELS:
        return _read_window(info, bands, mask=mask, window=None)
    import dask.array as da

    dtype = np.dtype(info.dtypes[bands[0] - 1])
    if info.block[0] * info.block[1] * dtype.itemsize > _MAX_BLOCK_BYTES:
        message = (
            f"{info.path}: is stored in blocks of {info.block[0]} x {info.block[1]} pixels, too large to read in part; "
            "rewrite it in tiles: gdal_translate -co TILED=YES -co COMPRESS=DEFLATE in.tif out.tif"
        )
        raise ProductError(message)
    high, wide = chunk_shape(info, chunks)
    layout = (
        (count,),
        tuple(min(high, info.shape[0] - start) for start in range(0, info.shape[0], high)),
        tuple(min(wide, info.shape[1] - start) for start in range(0, info.shape[1], wide)),
    )

    def block(block_info: Any = None) -> np.ndarray:
        (top, bottom), (left, right) = block_info[None]["array-location"][1:]
        return _read_window(info, bands, mask=mask, window=Window(left, top, right - left, bottom - top))

    # A name of its own: dask would hash the closure to find one.
    name = f"raster-{uuid.uuid4().hex}"
    meta = np.empty((0, 0, 0), dtype)
    # dask is typed only in part.
    return da.map_blocks(block, chunks=layout, dtype=dtype, meta=meta, name=name)  # type: ignore[no-untyped-call]


def chunk_shape(info: RasterInfo | Grid, chunks: Chunks) -> tuple[int, int]:
    """Return the (rows, columns) in which a raster is read lazily: whole blocks of the file, about 4 million pixels."""
    height, width = info.shape
    if isinstance(chunks, int):
        chunks = (chunks, chunks)
    if isinstance(chunks, tuple):
        return min(chunks[0], height), min(chunks[1], width)
    block_rows, block_columns = info.block
    if block_columns == width:
        # Strips: part of a strip costs as much as all of it.
        rows = max(block_rows, _CHUNK_PIXELS // width // block_rows * block_rows)
        return min(rows, height), width
    side = int(_CHUNK_PIXELS**0.5)
    return (
        min(height, max(1, side // block_rows) * block_rows),
        min(width, max(1, side // block_columns) * block_columns),
    )


def _read_window(info: RasterInfo, bands: Sequence[int], *, mask: bool, window: Window | None) -> np.ndarray:
    if info.source is not None:
        return info.source(window)
    with opened(info.path, info.warp, opens_as=info.opens_as, driver=info.driver) as source:
        window = turn_window(window, info.shape, info.turned)
        values: np.ndarray = source.read(list(bands), window=window)
        if mask:
            # GDAL takes alpha for a mask only in unsigned integers; the band that was added on warping is one in all.
            added = source.count > len(info.dtypes)
            valid = source.read(source.count, window=window) if added else source.dataset_mask(window=window)
            values = np.concatenate([values, valid.astype(values.dtype)[None]])
        return turn_round(values, info.turned)


def sample(info: RasterInfo, array: Array, *, band: int = 1) -> list[Block]:
    """Return raw values to judge a band by, each block with which of its edges lie on the scene's edge.

    The first band of an array in memory is returned whole. Of a lazy one, blocks at the corners, the edges and the
    middle are read, at most 256 x 256 pixels each, so that opening stays cheap whatever the size of the raster.

    Returns
    -------
    list of Block
    """
    if isinstance(array, np.ndarray):
        return [(array[0], (True, True, True, True))]
    height, width = info.shape
    high, wide = min(_SAMPLE_SIDE, height), min(_SAMPLE_SIDE, width)
    tops = sorted({0, (height - high) // 2, height - high})
    lefts = sorted({0, (width - wide) // 2, width - wide})
    blocks = []
    for top in tops:
        for left in lefts:
            values = _read_window(info, [band], mask=False, window=Window(left, top, wide, high))[0]
            blocks.append((values, (top == 0, top + high == height, left == 0, left + wide == width)))
    return blocks


def convert(array: Array, function: Convert, *, in_place: Convert | None = None) -> Array:
    """Apply a pixelwise conversion (bands, h, w) -> (h, w) float32, now or when the blocks are computed.

    Parameters
    ----------
    array
        From :func:`read`.
    function
        The conversion.
    in_place
        The same, taken for an array in memory that nobody needs any more: it may write to its argument.
    """
    chosen = function if in_place is None or not isinstance(array, np.ndarray) else in_place

    def quiet(bands: np.ndarray) -> np.ndarray:
        # Damaged files hold any number; what overflows is no phase, and nobody can do anything about a warning.
        with np.errstate(all="ignore"):
            return chosen(bands)

    if isinstance(array, np.ndarray):
        _, height, width = array.shape
        rows = max(1, _CHUNK_PIXELS // max(width, 1))
        if height <= rows:
            return quiet(array)
        # In strips: conversions need several times the memory of what they convert.
        converted = np.empty((height, width), np.float32)
        for top in range(0, height, rows):
            converted[top : top + rows] = quiet(array[:, top : top + rows])
        return converted
    return array.map_blocks(quiet, dtype=np.float32, drop_axis=0, meta=np.empty((0, 0), np.float32))
