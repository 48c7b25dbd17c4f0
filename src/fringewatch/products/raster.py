"""Raster reading that all providers share: bounded memory, quiet GDAL, and errors that name the file.

Arrays come back as NumPy where the raster is small and as dask where it is large; a reader describes its conversions
(no data, angle, sign, wrapping) once, block by block, and they run in either case.
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import logging
import threading
import uuid
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio

# Some errors of GDAL come through as they are, such as those of a grid of control points.
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from fringewatch.errors import OutputError, ProductError
from fringewatch.files import atomic_path
from fringewatch.products.reference import is_remote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from affine import Affine
    from rasterio.crs import CRS

    from fringewatch.products.grid import Grid
    from fringewatch.products.reference import Chunks

__all__ = [
    "EAGER_PIXELS",
    "Array",
    "Block",
    "RasterInfo",
    "chunk_shape",
    "convert",
    "explain",
    "gdal_path",
    "inspect",
    "opened_once",
    "read",
    "sample",
    "write",
]

EAGER_PIXELS = 64_000_000
"""Rasters up to this size are read at once; larger ones become dask arrays."""

Array = Any
"""numpy.ndarray or dask.array.Array."""

Block = tuple[np.ndarray, tuple[bool, bool, bool, bool]]
"""Raw values (h, w), and whether their top, bottom, left and right edge is the scene's."""

_CHUNK_PIXELS = 4_194_304
_MAX_BLOCK_BYTES = 512 * 1024**2
_SAMPLE_SIDE = 256
_FINEST = 1e-12
"""Smallest pixel, as a share of its coordinate, that double precision can place."""
_MOST_TURNED = 64
"""How many times its pixels a slanted strip may fill once it is brought north-up."""

# rasterio repeats every GDAL message on this logger; with no handler set up Python would print them to stderr, beside
# the one line that fringewatch itself gives. A user who configures logging still gets them.
logging.getLogger("rasterio").addHandler(logging.NullHandler())

_LOCAL_OPTIONS = {
    # Listing the folder on every open is quadratic in an archive folder; sidecars are still probed by name.
    "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",
    # A JPEG that is cut short is grey from there on, with a warning only.
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "TRUE",
    "GDAL_CACHEMAX": 256,
}
_REMOTE_OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_CACHEMAX": 256,
    "GDAL_HTTP_CONNECTTIMEOUT": 20,
    "GDAL_HTTP_TIMEOUT": 120,
    "GDAL_HTTP_MAX_RETRY": 3,
    "GDAL_HTTP_RETRY_DELAY": 1,
}


@dataclasses.dataclass(frozen=True, slots=True)
class RasterInfo:
    """The header of a raster.

    Parameters
    ----------
    path
        As the user gave it.
    shape
        (rows, columns).
    dtypes, descriptions, nodata, scales, offsets, colors
        One entry per band; ``nodata`` is the declared value or None, ``colors`` the names of the colour roles.
    block
        (rows, columns) of the blocks in the file.
    transform, crs
        None where the raster is not georeferenced, or only by its pixels.
    warp
        How the raster must be brought to a north-up grid before reading: ``""``, ``"rotated"`` or ``"gcps"``.
    has_mask
        Whether a mask band or an alpha band says which pixels are valid.
    tags
        Metadata of the file and its first band.
    driver
        GDAL's name of the format.
    colormap
        Red, green, blue and alpha by value, where the first band is a palette.
    opens_as
        What GDAL opens in the place of `path`: a description of raw files, or one layer of a container.
    source
        What reads a window (None: all) of the one band in the place of GDAL, as (1, h, w).
    """

    path: str
    shape: tuple[int, int]
    dtypes: tuple[str, ...]
    descriptions: tuple[str, ...]
    nodata: tuple[float | None, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    colors: tuple[str, ...]
    block: tuple[int, int]
    transform: Affine | None
    crs: CRS | None
    warp: str
    has_mask: bool
    tags: dict[str, str]
    driver: str
    colormap: dict[int, tuple[int, int, int, int]] | None = None
    opens_as: str = ""
    source: Callable[[Window | None], np.ndarray] | None = None

    @property
    def pixels(self) -> int:
        """Number of pixels of one band."""
        return self.shape[0] * self.shape[1]


def gdal_path(path: str) -> str:
    """Return the name by which GDAL opens a path or URL: ``https`` through ``/vsicurl``, ``s3`` through ``/vsis3``."""
    for scheme, prefix in (("s3://", "/vsis3/"), ("gs://", "/vsigs/"), ("az://", "/vsiaz/")):
        if path.lower().startswith(scheme):
            return prefix + path[len(scheme) :]
    if path.lower().startswith(("http://", "https://", "ftp://")):
        return "/vsicurl/" + path
    return path


class _Quiet:
    """Silences rasterio's warning that a raster has no grid while any thread is inside.

    Filters of warnings are global: threads that set and restore them on their own would undo each other's work. The
    first to come sets them and the last to go restores them; nobody waits for another's file, least of all for a
    server that does not answer.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._saved = contextlib.ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._saved.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._saved.close()


_quiet = _Quiet()


class _Last(threading.local):
    """The plain local raster that a thread opened last, while it is inside :func:`opened_once`."""

    inside = False
    path = ""
    source: Any = None

    def close(self) -> None:
        source, self.source = self.source, None
        if source is not None:
            source.close()


_last = _Last()


@contextlib.contextmanager
def opened_once() -> Iterator[None]:
    """Open a local raster once for its header and its values, which are asked for one after the other.

    Inside the block, and in its thread, the last one stays open until the next is opened. Opening costs a tenth of
    reading a small scene.
    """
    if _last.inside:
        yield
        return
    with rasterio.Env(**_LOCAL_OPTIONS):
        _last.inside = True
        try:
            yield
        finally:
            _last.inside = False
            _last.close()


@contextlib.contextmanager
def _opened(path: str, warp: str = "", *, opens_as: str = "", driver: str = "") -> Iterator[Any]:
    """Open a raster for reading; every failure of GDAL inside the block becomes a ProductError."""
    try:
        # A declared no-data value may be beyond the type of the values, of which rasterio would warn.
        with np.errstate(over="ignore"), contextlib.ExitStack() as stack:
            if _last.inside and not (warp or opens_as or is_remote(path)):
                yield _opened_last(path, driver)
                return
            options = _REMOTE_OPTIONS if is_remote(path) else _LOCAL_OPTIONS
            if opens_as:
                # Descriptions that we write ourselves; GDAL 3.12 and later would have the raw file beside a .vrt file.
                options = {**options, "GDAL_VRT_RAWRASTERBAND_ALLOWED_SOURCE": "ALL"}
            stack.enter_context(rasterio.Env(**options))
            with _quiet:
                source = stack.enter_context(rasterio.open(opens_as or gdal_path(path), driver=driver or None))
                if warp:
                    source = stack.enter_context(_north_up(source, warp))
            yield source
    except (RasterioError, CPLE_BaseError, OSError, ValueError, MemoryError) as error:
        if isinstance(error, ProductError):
            raise
        raise ProductError(explain(path, error)) from error


def _opened_last(path: str, driver: str) -> Any:
    # Values are asked for with the driver that the header was found to have.
    if _last.source is None or _last.path != path or driver not in {"", _last.source.driver}:
        _last.close()
        with _quiet:
            _last.source = rasterio.open(path, driver=driver or None)
        _last.path = path
    return _last.source


def _north_up(source: Any, warp: str) -> WarpedVRT:
    # Nearest neighbour: wrapped phase must never be interpolated.
    crs = source.gcps[1] if warp == "gcps" else source.crs
    is_float = np.issubdtype(np.dtype(source.dtypes[0]), np.floating)
    extra = {"nodata": np.nan} if is_float and source.nodata is None else {}
    return WarpedVRT(source, src_crs=crs, crs=crs, resampling=Resampling.nearest, **extra)


def explain(path: str, error: Exception, *, expected: str = "expected a raster such as a GeoTIFF or a PNG") -> str:
    """Return one line: the file, what is wrong with it, what was expected, what to do."""
    if is_remote(path):
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return f"{path}: cannot be opened ({reason}); check the address, the network and your credentials"
    local = Path(path)
    try:
        if not local.exists():
            hint = "there is no such file"
            if glob.has_magic(path):
                some = next(glob.iglob(path, recursive=True), None)  # noqa: PTH207  (absolute and relative alike)
                hint = "no interferogram is among the files that match" if some else "no file matches this pattern"
            return f"{path}: {hint}, {expected}; check the spelling and the folder"
        if local.is_dir():
            return f"{path}: is a folder that holds no interferogram, {expected}; name a file or another folder"
        if local.stat().st_size == 0:
            return f"{path}: is empty (0 bytes), {expected}; fetch it again"
        with local.open("rb") as stream:
            head = stream.read(512)
    except OSError as problem:
        return f"{path}: cannot be read ({problem.strerror}), {expected}; change its permissions"
    text = str(error).lower()
    if "not recognized" in text or "no such file" in text or "unsupported" in text or "signature not found" in text:
        printable = sum(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head) > 0.95 * len(head)
        kind = "plain text" if printable else "in no known raster format or damaged at its start"
        return f"{path}: is {kind}, {expected}; fetch it again or name the right file"
    reason = (str(error.__cause__ or error) or type(error).__name__).splitlines()[0]
    return f"{path}: is damaged or cut short ({reason}), {expected}; fetch it again"


def inspect(path: str, *, opens_as: str = "", driver: str = "") -> RasterInfo:
    """Read the header of a raster.

    Parameters
    ----------
    path
        File, URL or GDAL path; named in errors.
    opens_as
        See :class:`RasterInfo`.
    driver
        The only format of GDAL's that is tried. Empty: whichever knows the content, which lets a file be something
        else than its name says.

    Raises
    ------
    ProductError
        If the file is missing, unreadable, no raster, or has no band.
    """
    with _opened(path, opens_as=opens_as, driver=driver) as source:
        if source.count == 0:
            names = ", ".join(name.rpartition(":")[2] for name in source.subdatasets[:6])
            inside = f"a container of {names}" if names else "a raster without bands"
            message = f"{path}: is {inside}, expected a raster with at least one band; name one of its layers"
            raise ProductError(message)
        transform, crs, warp = source.transform, source.crs, ""
        if (
            not np.isfinite(transform.to_gdal()).all()
            or transform.a * transform.e == transform.b * transform.d
            or (
                # Pixels too small to tell one from the next.
                abs(transform.a) + abs(transform.b) < _FINEST * abs(transform.c)
                or abs(transform.d) + abs(transform.e) < _FINEST * abs(transform.f)
            )
        ):
            message = f"{path}: has a grid of {transform.to_gdal()}, expected pixels of some size; mend its header"
            raise ProductError(message)
        gcps, gcp_crs = source.gcps
        if transform.is_identity and gcps and gcp_crs is not None:
            warp = "gcps"
        elif crs is not None and (abs(transform.b) + abs(transform.d)) > 1e-9 * (abs(transform.a) + abs(transform.e)):
            warp = "rotated"
        with _north_up(source, warp) if warp else contextlib.nullcontext(source) as grid:
            if not 0 < grid.height * grid.width <= _MOST_TURNED * source.height * source.width:
                message = (
                    f"{path}: has a rotated grid that would become {grid.height} x {grid.width} pixels from "
                    f"{source.height} x {source.width}, expected a plausible one; mend its header, or warp it yourself"
                )
                raise ProductError(message)
            georeferenced = not grid.transform.is_identity
            return RasterInfo(
                path=path,
                shape=(grid.height, grid.width),
                # rasterio reads integer complex numbers into complex64, but NumPy knows no type of that name.
                dtypes=tuple("complex64" if name == "complex_int16" else name for name in source.dtypes),
                descriptions=tuple((text or "") for text in source.descriptions),
                nodata=tuple(source.nodatavals),
                scales=tuple(source.scales),
                offsets=tuple(source.offsets),
                colors=tuple(color.name for color in source.colorinterp),
                block=tuple(grid.block_shapes[0]),
                transform=grid.transform if georeferenced else None,
                crs=grid.crs if georeferenced else None,
                warp=warp,
                has_mask=MaskFlags.per_dataset in source.mask_flag_enums[0],
                tags={**source.tags(), **source.tags(1)},
                driver=source.driver,
                colormap=_colormap(source),
                opens_as=opens_as,
            )


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
        Append the validity mask (0 or 255 in the bands' type) as a last band.
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
    with _opened(info.path, info.warp, opens_as=info.opens_as, driver=info.driver) as source:
        values: np.ndarray = source.read(list(bands), window=window)
        if mask:
            valid = source.dataset_mask(window=window).astype(values.dtype)
            values = np.concatenate([values, valid[None]])
        return values


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


def convert(array: Array, function: Callable[[np.ndarray], np.ndarray]) -> Array:
    """Apply a pixelwise conversion (bands, h, w) -> (h, w) float32, now or when the blocks are computed."""

    def quiet(bands: np.ndarray) -> np.ndarray:
        # Damaged files hold any number; what overflows is no phase, and nobody can do anything about a warning.
        with np.errstate(all="ignore"):
            return function(bands)

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


def write(
    target: Path,
    values: np.ndarray,
    *,
    crs: CRS,
    transform: Affine,
    nodata: float | None = None,
) -> None:
    """Write (H, W) values as a DEFLATE-compressed GeoTIFF, atomically.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    height, width = values.shape
    profile = {"driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": values.dtype, "nodata": nodata}
    predictor = 3 if values.dtype.kind == "f" else 2
    try:
        with (
            atomic_path(target) as temporary,
            rasterio.Env(**_LOCAL_OPTIONS),
            rasterio.open(
                temporary,
                "w",
                crs=crs,
                transform=transform,
                compress="deflate",
                predictor=predictor,
                zlevel=9,
                **profile,
            ) as sink,
        ):
            sink.write(values, 1)
    except RasterioError as error:
        message = f"{target}: cannot be written ({error}); free some space or choose another folder"
        raise OutputError(message) from error


def _colormap(source: Any) -> dict[int, tuple[int, int, int, int]] | None:
    if source.colorinterp[0] != ColorInterp.palette:
        return None
    colors: dict[int, tuple[int, int, int, int]] = source.colormap(1)
    return colors
