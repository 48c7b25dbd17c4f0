"""Opening rasters by GDAL: its options, its silence, each small file once, and errors that name the file."""

from __future__ import annotations

import contextlib
import glob
import logging
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio

# Some errors of GDAL come through as they are, such as those of a grid of control points.
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.vrt import WarpedVRT

from fringewatch.errors import ProductError
from fringewatch.products.reference import is_remote

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LOCAL_OPTIONS", "explain", "gdal_path", "north_up", "opened", "opened_once"]

# rasterio repeats every GDAL message on this logger; with no handler set up Python would print them to stderr, beside
# the one line that fringewatch itself gives. A user who configures logging still gets them.
logging.getLogger("rasterio").addHandler(logging.NullHandler())

LOCAL_OPTIONS = {
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
    with rasterio.Env(**LOCAL_OPTIONS):
        _last.inside = True
        try:
            yield
        finally:
            _last.inside = False
            _last.close()


@contextlib.contextmanager
def opened(path: str, warp: str = "", *, opens_as: str = "", driver: str = "") -> Iterator[Any]:
    """Open a raster for reading; every failure of GDAL inside the block becomes a ProductError."""
    try:
        # A declared no-data value may be beyond the type of the values, of which rasterio would warn.
        with np.errstate(over="ignore"), contextlib.ExitStack() as stack:
            if _last.inside and not (warp or opens_as or is_remote(path)):
                yield _opened_last(path, driver)
                return
            options = _REMOTE_OPTIONS if is_remote(path) else LOCAL_OPTIONS
            if opens_as:
                # Descriptions that we write ourselves; GDAL 3.12 and later would have the raw file beside a .vrt file.
                options = {**options, "GDAL_VRT_RAWRASTERBAND_ALLOWED_SOURCE": "ALL"}
            stack.enter_context(rasterio.Env(**options))
            with _quiet:
                source = stack.enter_context(rasterio.open(opens_as or gdal_path(path), driver=driver or None))
                if warp:
                    source = stack.enter_context(north_up(source, warp))
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


def north_up(source: Any, warp: str) -> WarpedVRT:
    """Return a raster brought to a north-up grid; `warp` as in :class:`fringewatch.products.raster.RasterInfo`.

    Outside its frame are no-data values; integers that declare none get a further band, 0 there, and so do the pixels
    that a mask leaves out.
    """
    # Nearest neighbour: wrapped phase must never be interpolated.
    crs = source.gcps[1] if warp == "gcps" else source.crs
    extra: dict[str, Any] = {}
    # Of complex numbers 0 is no data anyway.
    if source.nodata is None and not source.dtypes[0].startswith("complex"):
        if np.issubdtype(np.dtype(source.dtypes[0]), np.floating):
            extra = {"nodata": np.nan}
        elif ColorInterp.alpha not in source.colorinterp:
            extra = {"add_alpha": True}
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
            # What it holds is not known where it may not be listed.
            next(local.iterdir(), None)
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
