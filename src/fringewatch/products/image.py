"""Pictures of wrapped phase: grey or grey + alpha, 8 or 16 bit, PNG, JPEG or TIFF; palettes; colour quicklooks.

Grey: ``phase = grey / white * 2 pi - pi`` with white 255 or 65535; alpha 0 is no data. A colour picture is read by
its hue, if its colours run once round the colour circle, as cyclic colour maps do; where they start and which way
they run is unknown, and so are the phase's offset and sign. Pixels without colour (saturation below 0.2) are no data.
"""

from __future__ import annotations

import dataclasses
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fringewatch.errors import ProductError
from fringewatch.files import is_drawn_here
from fringewatch.interferogram import make_interferogram
from fringewatch.products import raster
from fringewatch.products.decode import grey_to_phase
from fringewatch.products.describe import describe
from fringewatch.products.names import COMPANION
from fringewatch.products.reference import Reader, Reference, file_name, is_remote, stem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import xarray as xr

    from fringewatch.products.raster import Array, RasterInfo
    from fringewatch.products.reference import ReadOptions

__all__ = ["READER", "is_picture", "read_picture"]

_SUFFIX = re.compile(r"\.(?:png|jpe?g)$", re.IGNORECASE)
_MAX_PIXELS = 100_000_000
_MIN_SATURATION = 0.2
_HUE_BINS = 24
_MAX_EMPTY_BINS = 4
"""60 degrees of hue without a pixel: the colours do not run round the circle (jet lacks its magentas)."""


def _claims(path: str) -> bool:
    return _SUFFIX.search(file_name(path)) is not None


def _collect(paths: Sequence[str]) -> list[Reference]:
    return [Reference(path, READER.name, stem(path)) for path in paths if not COMPANION.search(stem(path))]


def is_picture(info: RasterInfo, options: ReadOptions) -> bool:
    """Tell whether a raster is to be read as grey values or colours rather than as radians."""
    if options.kind != "auto" or options.band is not None:
        return options.kind == "picture"
    if set(info.dtypes) == {"uint8"}:
        return True
    # A georeferenced 16-bit raster may as well hold heights or scaled phase: that needs the user's word.
    return set(info.dtypes) == {"uint16"} and info.crs is None


def _read(reference: Reference, options: ReadOptions) -> xr.Dataset:
    info = raster.inspect(reference.path)
    if np.dtype(info.dtypes[0]).kind == "f":
        message = (
            f"{info.path}: is a {info.driver} of {info.dtypes[0]} numbers, expected a picture; rename it to "
            ".tif, so that it is read as phase"
        )
        raise ProductError(message)
    if options.kind not in {"auto", "picture"}:
        message = (
            f"{info.path}: kind={options.kind!r} was asked for, but {info.driver} files hold grey values or colours, "
            "expected kind='picture'; leave kind out, or give the phase as a GeoTIFF of radians"
        )
        raise ProductError(message)
    return read_picture(reference, info, options)


def read_picture(reference: Reference, info: RasterInfo, options: ReadOptions) -> xr.Dataset:
    """Read a picture whose header has been looked at."""
    if info.driver == "PNG" and not is_remote(info.path):
        _check_png(info.path)
        if is_drawn_here(info.path):
            message = (
                f"{info.path}: is a picture that fringewatch drew for people to look at, expected phase; name the "
                "interferogram that it shows"
            )
            raise ProductError(message)
    count = len(info.dtypes)
    if options.band is not None:
        message = (
            f"{info.path}: band={options.band} was asked for, but all bands of a picture are read together, as grey or "
            "colour with alpha; leave band out"
        )
        raise ProductError(message)
    if info.pixels > _MAX_PIXELS and info.driver in {"PNG", "JPEG"}:
        message = (
            f"{info.path}: is a picture of {info.shape[0]} x {info.shape[1]} pixels, expected at most "
            f"{_MAX_PIXELS // 10**6} million; a picture cannot be read in parts, use a tiled GeoTIFF"
        )
        raise ProductError(message)
    if len(set(info.dtypes)) != 1 or np.dtype(info.dtypes[0]).kind not in "uf" or count > 4:
        message = (
            f"{info.path}: has {count} band(s) of {', '.join(sorted(set(info.dtypes)))}, expected a picture: grey or "
            "colour of 8 or 16 bit, with or without alpha; export it as one, or as a GeoTIFF of radians"
        )
        raise ProductError(message)
    bands = tuple(range(1, count + 1))
    raw = raster.read(info, bands=bands, mask=info.has_mask and "alpha" not in info.colors, chunks=options.chunks)
    decode, assumptions = _choose_decoder(info, options, raw)
    if options.phase_sign == "range decrease":
        decode = _Negated(decode)
    about = describe(reference, info, options)
    about["assumptions"] = [*assumptions, *about["assumptions"]]
    return make_interferogram(raster.convert(raw, decode), product=READER.name, **about)


def _check_png(path: str) -> None:
    """Refuse a PNG that is cut short or damaged: GDAL fills what is missing with whatever lies in memory.

    See the PNG specification, section 5.3: chunks of length, type, data and CRC-32, the last one IEND.
    """
    with Path(path).open("rb") as stream:
        stream.seek(8)
        kind = b""
        while kind != b"IEND":
            head = stream.read(8)
            kind = head[4:]
            data = stream.read(int.from_bytes(head[:4], "big"))
            if stream.read(4) != zlib.crc32(kind + data).to_bytes(4, "big"):
                message = f"{path}: is damaged or cut short, expected a whole PNG; fetch it again"
                raise ProductError(message)


def _choose_decoder(
    info: RasterInfo, options: ReadOptions, raw: Array
) -> tuple[Callable[[np.ndarray], np.ndarray], list[str]]:
    if info.colormap is not None:
        table = np.zeros((256, 4), np.uint8)
        for value, color in info.colormap.items():
            table[value] = color
        if len(info.dtypes) == 1 and (table[:, 0] == table[:, 1]).all() and (table[:, 1] == table[:, 2]).all():
            return _Palette(table, _Grey(255.0, nodata=options.nodata), masked=info.has_mask), [
                "grey was taken as phase: black -pi, white pi"
            ]
        _refuse_nodata(info, options)
        notes = _judge_colors(info, _expand(table, _first_block(info, raw)))
        return _Palette(table, _Hue(), masked=info.has_mask), notes
    nodata = options.nodata if options.nodata is not None else info.nodata[0]
    white = 65535.0 if info.dtypes[0] == "uint16" else 255.0
    colored = len([color for color in info.colors if color != "alpha"]) >= 3
    if colored:
        block = _first_block(info, raw)
        if not (np.array_equal(block[0], block[1]) and np.array_equal(block[1], block[2])):
            _refuse_nodata(info, options)
            return _Hue(white), _judge_colors(info, block)
    grey = _Grey(white, nodata=nodata, alpha=len(info.dtypes) in {2, 4} or raw.shape[0] > len(info.dtypes))
    notes = ["grey was taken as phase: black -pi, white pi"]
    if not grey.alpha and nodata is None:
        notes.append("the picture has no alpha: every pixel was taken as valid")
    return grey, notes


def _refuse_nodata(info: RasterInfo, options: ReadOptions) -> None:
    if options.nodata is not None:
        message = (
            f"{info.path}: nodata={options.nodata:g} was asked for, but a colour has no single value, and pixels "
            "without colour are no data as it is; leave nodata out, or make the others transparent"
        )
        raise ProductError(message)


def _first_block(info: RasterInfo, raw: Array) -> np.ndarray:
    """Return all bands of an array in memory, or of the middle of a lazy one."""
    if isinstance(raw, np.ndarray):
        return raw
    row, column = info.shape[0] // 2, info.shape[1] // 2
    middle: np.ndarray = raw[:, max(row - 512, 0) : row + 512, max(column - 512, 0) : column + 512].compute()
    return middle


def _judge_colors(info: RasterInfo, block: np.ndarray) -> list[str]:
    hue, saturation = _hue_saturation(block, 65535.0 if block.dtype == np.uint16 else 255.0)
    counts = np.histogram(hue[saturation >= _MIN_SATURATION], bins=_HUE_BINS, range=(0, 1))[0]
    empty = counts <= 1e-4 * max(counts.sum(), 1)
    # Twice round, so that a gap across red is seen whole.
    gaps = "".join("x" if flag else " " for flag in np.tile(empty, 2)).split()
    if max((len(gap) for gap in gaps), default=0) >= _MAX_EMPTY_BINS:
        message = (
            f"{info.path}: is a colour picture whose colours do not run round the colour circle, expected a cyclic "
            "colour map or grey; export the phase itself, as grey or as a GeoTIFF of radians"
        )
        raise ProductError(message)
    return [
        "phase was taken from the hue of a colour picture: its offset is arbitrary, its steps as uneven as the colours",
        "pixels without colour were taken as no data",
    ]


def _hue_saturation(bands: np.ndarray, white: float) -> tuple[np.ndarray, np.ndarray]:
    """Return hue in [0, 1) and HSV saturation in [0, 1] of (3 or more, h, w) colours."""
    red, green, blue = (bands[i].astype(np.float32) / np.float32(white) for i in range(3))
    top = np.maximum(np.maximum(red, green), blue)
    spread = top - np.minimum(np.minimum(red, green), blue)
    safe = np.where(spread > 0, spread, np.float32(1))
    hue = np.where(
        top == red,
        (green - blue) / safe,
        np.where(top == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    saturation = spread / np.where(top > 0, top, np.float32(1))
    return np.mod(hue / 6, 1).astype(np.float32), saturation


def _expand(table: np.ndarray, bands: np.ndarray) -> np.ndarray:
    colors: np.ndarray = np.moveaxis(table[bands[0]], -1, 0)
    return colors


@dataclasses.dataclass(frozen=True, slots=True)
class _Grey:
    """Grey bands to phase; the last band is alpha where `alpha` says so."""

    white: float
    nodata: float | None = None
    alpha: bool = True

    def __call__(self, bands: np.ndarray) -> np.ndarray:
        phase = grey_to_phase(bands[0], self.white)
        if self.nodata is not None:
            phase[bands[0] == self.nodata] = np.nan
        if self.alpha:
            phase[bands[-1] == 0] = np.nan
        return phase


@dataclasses.dataclass(frozen=True, slots=True)
class _Hue:
    """Red, green, blue (and alpha) to phase."""

    white: float = 255.0

    def __call__(self, bands: np.ndarray) -> np.ndarray:
        hue, saturation = _hue_saturation(bands, self.white)
        phase = grey_to_phase(hue, 1.0)
        phase[saturation < _MIN_SATURATION] = np.nan
        if len(bands) > 3:
            phase[bands[3] == 0] = np.nan
        return phase


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Palette:
    """Palette indices to colours, then on; the last band is a mask where `masked` says so."""

    table: np.ndarray
    then: Callable[[np.ndarray], np.ndarray]
    masked: bool = False

    def __call__(self, bands: np.ndarray) -> np.ndarray:
        colors = _expand(self.table, bands)
        if self.masked:
            colors[3, bands[-1] == 0] = 0
        return self.then(colors)


@dataclasses.dataclass(frozen=True, slots=True)
class _Negated:
    """Phase of the other sign."""

    decode: Callable[[np.ndarray], np.ndarray]

    def __call__(self, bands: np.ndarray) -> np.ndarray:
        phase = -self.decode(bands)
        phase[phase <= -np.float32(np.pi)] = np.float32(np.pi)
        return phase


READER = Reader("image", _claims, _collect, _read)
