"""Pictures of wrapped phase: grey or grey + alpha, 8 or 16 bit, PNG, JPEG or TIFF; palettes; colour quicklooks.

Grey: ``phase = grey / white * 2 pi - pi`` with white 255 or 65535; alpha 0 is no data. A colour picture is read by
its hue, on the understanding that its colour map runs once round the colour circle; where the colours start and which
way they run is unknown, and so are the phase's offset and sign.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

import numpy as np

from fringewatch.conventions import PHASE_SIGN
from fringewatch.errors import ProductError
from fringewatch.interferogram import make_interferogram
from fringewatch.products import common
from fringewatch.products.decode import grey_to_phase
from fringewatch.products.names import COMPANION, dates
from fringewatch.products.reference import Reader, Reference, file_name, stem

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from fringewatch.products.common import RasterInfo
    from fringewatch.products.reference import ReadOptions

__all__ = ["READER", "is_picture", "read_picture"]

_SUFFIX = re.compile(r"\.(?:png|jpe?g)$", re.IGNORECASE)
_MAX_PIXELS = 100_000_000


def _claims(path: str) -> bool:
    return _SUFFIX.search(file_name(path)) is not None


def _collect(paths: Sequence[str]) -> list[Reference]:
    return [Reference(path, READER.name, stem(path)) for path in paths if not COMPANION.search(stem(path))]


def is_picture(info: RasterInfo, options: ReadOptions) -> bool:
    """Tell whether a raster is to be read as grey values rather than as radians."""
    if options.kind != "auto":
        return options.kind == "picture"
    if set(info.dtypes) == {"uint8"}:
        return True
    # A georeferenced 16-bit raster may as well hold heights or scaled phase: that needs the user's word.
    return set(info.dtypes) == {"uint16"} and info.crs is None


def _read(reference: Reference, options: ReadOptions) -> xr.Dataset:
    info = common.inspect(reference.path)
    return read_picture(reference, info, options)


def read_picture(reference: Reference, info: RasterInfo, options: ReadOptions) -> xr.Dataset:
    """Read a picture whose header has been looked at."""
    from fringewatch.products.geotiff import grid_assumptions, wavelength

    if info.pixels > _MAX_PIXELS and info.driver in {"PNG", "JPEG"}:
        message = (
            f"{info.path}: is a picture of {info.shape[0]} x {info.shape[1]} pixels, expected at most "
            f"{_MAX_PIXELS / 1e6:.0f} million; a picture cannot be read in parts, use a tiled GeoTIFF"
        )
        raise ProductError(message)
    kinds = set(info.dtypes)
    if not kinds <= {"uint8", "uint16"} or len(kinds) != 1 or len(info.dtypes) > 4:
        message = (
            f"{info.path}: has {len(info.dtypes)} bands of {', '.join(sorted(kinds))}, expected a grey picture of "
            "8 or 16 bit with or without alpha"
        )
        raise ProductError(message)
    if len(info.dtypes) > 2 or "palette" in info.colors:
        message = (
            f"{info.path}: is a colour picture, expected grey phase (0 = -pi, white = pi); export the phase itself, as "
            "grey or as a GeoTIFF of radians"
        )
        raise ProductError(message)
    nodata = options.nodata if options.nodata is not None else info.nodata[0]
    decoder = _Grey(white=float(np.iinfo(info.dtypes[0]).max), nodata=nodata)
    raw = common.read(info, bands=tuple(range(1, len(info.dtypes) + 1)), chunks=options.chunks)
    phase = common.convert(raw, dataclasses.replace(decoder, negate=options.phase_sign == "range decrease"))
    wavelength_m, assumptions = wavelength(info, options)
    assumptions = ["grey was taken as phase: black -pi, white pi", *assumptions]
    if options.phase_sign is None:
        assumptions.append("the sign of the phase is unknown: uplift and subsidence cannot be told apart")
    reference_date, secondary_date = dates(info.path)
    return make_interferogram(
        phase,
        wavelength_m=wavelength_m,
        source=info.path,
        product=READER.name,
        name=reference.name or stem(info.path),
        reference_date=reference_date,
        secondary_date=secondary_date,
        phase_sign=PHASE_SIGN if options.phase_sign else "unknown",
        transform=info.transform,
        crs=info.crs,
        assumptions=[*assumptions, *grid_assumptions(info)],
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Grey:
    """Grey (and alpha) bands to phase."""

    white: float
    nodata: float | None = None
    negate: bool = False

    def __call__(self, bands: np.ndarray) -> np.ndarray:
        phase = grey_to_phase(bands[0], self.white)
        if self.negate:
            phase = -phase
        if self.nodata is not None:
            phase[bands[0] == self.nodata] = np.nan
        if len(bands) > 1:
            phase[bands[1] == 0] = np.nan
        return phase


READER = Reader("image", _claims, _collect, _read)
