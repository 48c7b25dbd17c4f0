"""HDF5 and netCDF-4 files as untrusted input: layers for the raster path, scalars, dates and attributes.

A file of these formats may name other files (external links, external storage, virtual datasets), and may declare sizes
that fit no memory in a few bytes. Both are refused before anything is allocated, with a ProductError that names the
object. Every failure of the library becomes one, too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine

from fringewatch.errors import MissingExtraError, ProductError, require
from fringewatch.products.names import dates
from fringewatch.products.raster import RasterInfo, explain, turn_round, turn_window, upright, within_half_turn
from fringewatch.products.reference import is_remote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rasterio.crs import CRS
    from rasterio.windows import Window

__all__ = [
    "as_number",
    "attributes",
    "axes_transform",
    "bounds",
    "check_root",
    "difference",
    "find",
    "holds",
    "is_hdf5",
    "iso_dates",
    "layer",
    "masked",
    "number",
    "opened",
    "text",
    "texts",
    "values",
]

_MAX_PIXELS = 4_000_000_000
"""Of one layer: sixteen times NISAR's finest; a file can declare any number without holding it."""
_MAX_BLOCK_BYTES = 512 * 1024**2
_MAX_ENTRIES = 20_000_000
_MAX_ATTRIBUTE_BYTES = 64 * 1024**2
_MAX_DEPTH = 32
_EXPECTED = "expected an HDF5 or netCDF-4 file"


@contextlib.contextmanager
def opened(path: str) -> Iterator[Any]:
    """Open a local file for reading as an ``h5py.File``.

    Raises
    ------
    ProductError
        If it is missing, remote, no HDF5, damaged, or anything inside the block fails in the library.
    MissingExtraError
        If h5py is not installed.
    """
    if is_remote(path):
        message = (
            f"{path}: HDF5 and netCDF files are read from disk only, expected a local path; fetch or unpack it first"
        )
        raise ProductError(message)
    h5py = require("h5py", extra="formats")
    try:
        # Archives on network disks often forbid locks.
        with h5py.File(path, "r", locking="best-effort") as file:
            yield file
    except ProductError:
        raise
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, MemoryError, OverflowError) as error:
        raise ProductError(explain(path, error, expected=_EXPECTED)) from error


def holds(path: str, suffix: str, test: Callable[[Any], bool]) -> bool:
    """Tell whether a file of some ending can be opened and passes a test; readers claim by it what has any name."""
    if not path.lower().endswith(suffix):
        return False
    try:
        with opened(path) as file:
            return test(file)
    except (ProductError, MissingExtraError):
        return False


def find(file: Any, name: str) -> Any:
    """Return the group or dataset of a path inside the file; None where there is none.

    Links within the file are followed.

    Raises
    ------
    ProductError
        If a link leads into another file, or in circles.
    """
    h5py = require("h5py", extra="formats")
    node, parts, steps = file["/"], [part for part in name.split("/") if part], 0
    while parts:
        part = parts.pop(0)
        if not isinstance(node, h5py.Group) or part not in node.keys():  # noqa: SIM118  (`in node` follows links)
            return None
        link = node.get(part, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            message = (
                f"{file.filename}: {name} is a link into another file ({link.filename}), expected data in this one; "
                "copy it together with h5repack or name the other file"
            )
            raise ProductError(message)
        if isinstance(link, h5py.SoftLink):
            steps += 1
            if steps > _MAX_DEPTH:
                message = f"{file.filename}: the links of {name} lead in circles, expected data; fetch the file again"
                raise ProductError(message)
            parts = [piece for piece in link.path.split("/") if piece not in {"", "."}] + parts
            node = file["/"] if link.path.startswith("/") else node
        else:
            node = node[part]
    return node


def _dataset(file: Any, name: str) -> Any:
    """Return a dataset that lies in this file.

    Raises
    ------
    ProductError
        If there is none, or its values lie in other files.
    """
    h5py = require("h5py", extra="formats")
    found = find(file, name)
    if not isinstance(found, h5py.Dataset):
        some = ", ".join(list(file)[:8]) or "nothing"
        message = f"{file.filename}: holds no dataset {name!r} (but {some}); fetch it again or name another file"
        raise ProductError(message)
    if found.is_virtual or found.external:
        message = (
            f"{file.filename}: the values of {name} lie in other files, expected them in this one; copy them together "
            "with h5repack"
        )
        raise ProductError(message)
    return found


def _check_scales(data: Any, name: str, path: str) -> None:
    """Refuse links to the axes that are none: libnetcdf takes them for addresses, and ends the process."""
    h5py = require("h5py", extra="formats")
    wrong = any(key in data.attrs and data.attrs.get_id(key).dtype.kind not in "SO" for key in ("CLASS", "NAME"))
    if "DIMENSION_LIST" in data.attrs:
        listed = data.attrs.get_id("DIMENSION_LIST")
        kind = h5py.check_vlen_dtype(listed.dtype)
        wrong |= kind is None or h5py.check_ref_dtype(kind) is None or listed.shape != (data.ndim,)
        try:
            axes = [] if wrong else [data.file[reference] for (reference,) in data.attrs["DIMENSION_LIST"]]
            wrong |= any(
                axis.name is None or axis.shape != (size,) or "CLASS" not in axis.attrs
                for axis, size in zip(axes, data.shape, strict=False)
            )
        except (ValueError, TypeError, AttributeError, RuntimeError, OSError, KeyError):
            # References that lead nowhere.
            wrong = True
    if wrong:
        message = f"{path}: {name} names its axes in no way of netCDF, expected references to them; fetch it again"
        raise ProductError(message)


def check_root(path: str) -> None:
    """Check the datasets at the root of a file, where another library is to read them: see :func:`layer`.

    Raises
    ------
    ProductError
        If one is of absurd size, or lies in another file.
    """
    with opened(path) as file:
        names = list(file)
        if len(names) > _MAX_ENTRIES:
            message = f"{path}: holds {len(names)} objects at its root, expected at most {_MAX_ENTRIES}"
            raise ProductError(message)
        for name in names:
            if hasattr(find(file, name), "shape"):
                data = _dataset(file, name)
                if data.ndim >= 2:
                    _block(data, name, path)
                _check_scales(data, name, path)


def layer(
    file: Any,
    name: str,
    *,
    path: str,
    index: int | None = None,
    transform: Affine | None = None,
    crs: CRS | None = None,
    nodata: float | None = None,
) -> RasterInfo:
    """Describe one layer of an open file, for :func:`fringewatch.products.raster.read` to read once it is closed.

    Parameters
    ----------
    file
        From :func:`opened`.
    name
        Of the dataset.
    path
        What errors and ``attrs["source"]`` call it.
    index
        Position along the first axis of three; None for a dataset of two.
    transform, crs
        Of the first pixel's outer corner in the file. Rows that run north and columns that run west are turned round:
        the header's transform is upright.
    nodata
        Value that means no data; None takes the dataset's own ``_FillValue``.

    Raises
    ------
    ProductError
        If there is no such dataset, or it is no raster, or one of absurd size.
    """
    data = _dataset(file, name)
    wanted = 2 if index is None else 3
    if data.ndim != wanted or (index is not None and not 0 <= index < data.shape[0]):
        position = "" if index is None else f" with a layer {index}"
        message = f"{path}: {name} has the shape {data.shape}, expected {wanted} dimensions{position}; fetch it again"
        raise ProductError(message)
    dtype = np.dtype(np.uint8) if data.dtype.kind == "b" else data.dtype
    if dtype.kind not in "iufc" or dtype.itemsize > 16:
        message = f"{path}: {name} holds {data.dtype}, expected real or complex numbers; name another layer"
        raise ProductError(message)
    height, width = data.shape[-2:]
    block = _block(data, name, path)
    if nodata is None:
        nodata = as_number(attributes(data).get("_FillValue"))
    turned = False, False
    if transform is not None:
        transform, turned = upright(transform, (height, width))
        transform = within_half_turn(transform, crs, width)
    return RasterInfo(
        path=path,
        shape=(height, width),
        dtypes=(dtype.name,),
        descriptions=(name,),
        nodata=(nodata,),
        scales=(1.0,),
        offsets=(0.0,),
        colors=("gray",),
        block=block,
        transform=transform,
        crs=crs,
        warp="",
        has_mask=False,
        tags={},
        driver="HDF5",
        source=functools.partial(_read_window, file.filename, name, index, turned, (height, width)),
    )


def masked(info: RasterInfo, mask: RasterInfo, is_valid: Callable[[np.ndarray], np.ndarray]) -> RasterInfo:
    """Return a layer that is NaN wherever a mask on the same grid says so.

    Parameters
    ----------
    info
        Real or complex floating-point layer.
    mask
        From the same file.
    is_valid
        Raw values of the mask to whether a pixel is valid, elementwise.

    Raises
    ------
    ProductError
        If the mask has another shape.
    """
    if info.shape != mask.shape:
        message = (
            f"{info.path}: {mask.descriptions[0]} has the shape {mask.shape}, expected that of {info.descriptions[0]}, "
            f"{info.shape}; fetch it again"
        )
        raise ProductError(message)
    values_of, mask_of = info.source, mask.source
    assert values_of is not None
    assert mask_of is not None

    def source(window: Window | None) -> np.ndarray:
        return np.where(is_valid(mask_of(window)), values_of(window), np.dtype(info.dtypes[0]).type(np.nan))

    return dataclasses.replace(info, source=source)


def difference(later: RasterInfo, earlier: RasterInfo) -> RasterInfo:
    """Return one layer less another of the same file, as float64: displacement between two dates of a time series."""
    assert later.source is not None
    assert earlier.source is not None
    sources = later.source, earlier.source

    def source(window: Window | None) -> np.ndarray:
        # In double: the decimals of a few millimetres between metres of motion.
        with np.errstate(invalid="ignore"):
            second, first = (read(window).astype(np.float64) for read in sources)
        nodata = later.nodata[0]
        if nodata is not None:
            second[(second == nodata) | (first == nodata)] = np.nan
        with np.errstate(over="ignore", invalid="ignore"):
            return second - first

    return dataclasses.replace(later, dtypes=("float64",), nodata=(None,), source=source)


def _block(data: Any, name: str, path: str) -> tuple[int, int]:
    """Return rows and columns of a raster's blocks, once their size and its own are known to be sane."""
    height, width = data.shape[-2:]
    chunks = data.chunks or (1, width)
    if height * width > _MAX_PIXELS or math.prod(chunks) * data.dtype.itemsize > _MAX_BLOCK_BYTES:
        message = (
            f"{path}: {name} declares {height} x {width} pixels in blocks of {chunks[-2]} x {chunks[-1]}, expected at "
            f"most {_MAX_PIXELS:,} pixels and {_MAX_BLOCK_BYTES // 1024**2} MB a block; is the file damaged?"
        )
        raise ProductError(message)
    return int(chunks[-2]), int(chunks[-1])


def _read_window(
    path: str,
    name: str,
    index: int | None,
    turned: tuple[bool, bool],
    shape: tuple[int, int],
    window: Window | None,
) -> np.ndarray:
    top, left, height, width = bounds(turn_window(window, shape, turned), shape)
    with opened(path) as file:
        data = _dataset(file, name)
        if data.shape[-2:] != shape:
            message = f"{path}: {name} has changed while it was read; open it again"
            raise ProductError(message)
        place = (slice(top, top + height), slice(left, left + width))
        raw: np.ndarray = data[place if index is None else (index, *place)]
    # In the machine's order of bytes, as GDAL's are; flags as 0 and 1.
    raw = raw.astype(np.uint8 if raw.dtype.kind == "b" else raw.dtype.newbyteorder("="), copy=False)
    return turn_round(raw, turned)[None]


def bounds(window: Window | None, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return top, left, height and width of a window; None is all of the shape."""
    if window is None:
        return 0, 0, *shape
    return int(window.row_off), int(window.col_off), int(window.height), int(window.width)


def attributes(node: Any) -> dict[str, str]:
    """Return the attributes of a file, group or dataset that are one text or number each, as text.

    Raises
    ------
    ProductError
        If one is of absurd size.
    """
    found: dict[str, str] = {}
    for name in node.attrs:
        attribute = node.attrs.get_id(name)
        try:
            kind = attribute.dtype.kind
        except TypeError:
            # Of a type that NumPy has none for.
            continue
        if attribute.get_storage_size() > _MAX_ATTRIBUTE_BYTES:
            message = f"{node.file.filename}: the attribute {name} takes {attribute.get_storage_size():,} bytes"
            raise ProductError(message)
        if attribute.shape not in {(), (1,)} or kind not in "SOUiuf":
            continue
        text = _text(np.asarray(node.attrs[name]).reshape(-1)[0])
        if text is not None:
            found[str(name)] = text
    return found


def text(file: Any, name: str) -> str:
    """Return a dataset of one text; ``""`` where there is none."""
    if find(file, name) is None:
        return ""
    return next((str(found) for found in texts(file, name).reshape(-1)), "")


def iso_dates(file: Any, reference: str, secondary: str) -> tuple[str, str]:
    """Return the days of two datasets that begin with ISO dates; ``("", "")`` where one does not."""
    found = [text(file, name)[:10].replace("-", "") for name in (reference, secondary)]
    return dates("_".join(found))


def number(file: Any, name: str) -> float | None:
    """Return a dataset of one number; None where there is none, or it is no number."""
    if find(file, name) is None:
        return None
    data = _dataset(file, name)
    if data.size != 1 or data.dtype.kind not in "iuf":
        return None
    return float(np.asarray(data[()]).reshape(-1)[0])


def texts(file: Any, name: str) -> np.ndarray:
    """Return a dataset of texts, of any shape, as an array of str.

    Raises
    ------
    ProductError
        If there is none, or it holds no text, or too much of it.
    """
    data = _dataset(file, name)
    if data.dtype.kind not in "SOU" or max(data.size, data.size * data.dtype.itemsize // 64) > _MAX_ENTRIES:
        message = f"{file.filename}: {name} holds {data.dtype} of shape {data.shape}, expected texts; fetch it again"
        raise ProductError(message)
    raw = np.asarray(data[()])
    return np.array([_text(value) or "" for value in raw.reshape(-1)], dtype=object).reshape(raw.shape)


def values(file: Any, name: str, *, ndim: int = 1, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Return a small dataset of real numbers or flags.

    Raises
    ------
    ProductError
        If there is none, or not of that number of dimensions or that shape.
    """
    data = _dataset(file, name)
    fits = data.ndim == ndim if shape is None else data.shape == shape
    if not fits or data.size > _MAX_ENTRIES or data.dtype.kind not in "biuf":
        wanted = f"numbers of {ndim} dimension{'s' * (ndim > 1)}" if shape is None else f"{shape} numbers"
        message = f"{file.filename}: {name} holds {data.dtype} of shape {data.shape}, expected {wanted}; fetch it again"
        raise ProductError(message)
    return np.asarray(data[()])


def axes_transform(file: Any, x_name: str, y_name: str, shape: tuple[int, int]) -> Affine:
    """Return the transform of a grid whose pixel centres two datasets give.

    Raises
    ------
    ProductError
        If they do not fit the grid, or are not evenly spaced.
    """
    (x_first, x_step), (y_first, y_step) = (
        _axis(file, name, size) for name, size in ((x_name, shape[1]), (y_name, shape[0]))
    )
    return Affine(x_step, 0, x_first - x_step / 2, 0, y_step, y_first - y_step / 2)


def _axis(file: Any, name: str, size: int) -> tuple[float, float]:
    centres = values(file, name, shape=(size,)).astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        step = (centres[-1] - centres[0]) / max(size - 1, 1)
        even = np.abs(np.diff(centres) - step).max(initial=0) <= 0.01 * abs(step)
    if not np.isfinite(centres).all() or step == 0 or not even:
        message = f"{file.filename}: the coordinates {name} are not evenly spaced, expected a regular grid; resample it"
        raise ProductError(message)
    return float(centres[0]), float(step)


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace").strip("\0 ")
    if isinstance(value, str | int | float | np.number):
        return str(value).strip()
    return None


def as_number(text: str | None) -> float | None:
    """Return the number that a text spells; None where it spells none."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def is_hdf5(path: str) -> bool:
    """Tell whether a local file begins as HDF5 does; netCDF-4 is HDF5, netCDF-3 is not."""
    try:
        with Path(path).open("rb") as stream:
            return stream.read(8) == b"\x89HDF\r\n\x1a\n"
    except (OSError, ValueError):
        return False
