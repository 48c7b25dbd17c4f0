"""Time series of LiCSBAS, ``cum.h5`` and ``cum_filt.h5``: displacement between any two of their dates.

``cum`` holds millimetres towards the satellite since the first date, ``imdates`` the dates, ``corner_lat``,
``corner_lon``, ``post_lat`` and ``post_lon`` the grid, whose corner is the centre of a pixel; ``hgt``, ``E.geo``,
``N.geo`` and ``U.geo`` may be there too. LiCSBAS made them of phase by the factor ``-wavelength / (4 pi)``, which is
undone here with the wavelength of ``slc.mli.par``, or Sentinel-1's.
"""

from __future__ import annotations

import datetime as dt
import functools
import itertools
import re
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from fringewatch.conventions import SENTINEL1_WAVELENGTH_M
from fringewatch.errors import MissingExtraError, ProductError
from fringewatch.products import hdf5
from fringewatch.products.assemble import assemble
from fringewatch.products.companions import Companions, decode_nonzero
from fringewatch.products.names import dates
from fringewatch.products.par_files import read_par, wavelength_m
from fringewatch.products.radians import read_radians
from fringewatch.products.reference import Reference, file_name, is_remote, join, named_members, parent, stem

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from fringewatch.products.reference import ReadOptions

__all__ = ["collect", "is_series", "read"]

_NAME = re.compile(r"^cum(?:_filt)?\w*\.h5$")
_GEOMETRY = {"height": "hgt", "los_east": "E.geo", "los_north": "N.geo", "los_up": "U.geo"}
_MM = 1e-3


def is_series(path: str) -> bool:
    """Tell whether a path is by its name a time series of LiCSBAS."""
    return _NAME.search(file_name(path)) is not None and not is_remote(path)


def collect(paths: Sequence[str], product: str) -> list[Reference]:
    """Return one reference for each two consecutive dates of each series."""
    references = []
    for path in paths:
        try:
            pairs = _pairs(_days(path))
        except (ProductError, MissingExtraError):
            # Opening it gives the reason.
            pairs = [""]
        references += [Reference(path, product, f"{stem(path)}_{pair}".rstrip("_"), member=pair) for pair in pairs]
    return references


def read(reference: Reference, options: ReadOptions, product: str) -> xr.Dataset:
    """Read the displacement between two dates as phase; see :func:`fringewatch.products.open_interferogram`."""
    path = reference.path
    days = _days(path)
    first, _, second = reference.member.partition("_")
    if first not in days or second not in days or first == second:
        pairs = _pairs(days)
        asked = f"there is no pair {reference.member!r} of its dates; it " if reference.member else ""
        message = f"{path}: {asked}holds {named_members(path, pairs) if pairs else 'one date, and so no interferogram'}"
        raise ProductError(message)
    # Its folder is named after that of the interferograms it was made of.
    folder = parent(path)
    image = read_par(join(parent(folder), file_name(folder).removeprefix("TS_"), "slc.mli.par"))
    declared_m = wavelength_m(image)
    scale = _MM * -4 * np.pi / (options.wavelength_m or declared_m or SENTINEL1_WAVELENGTH_M)
    with hdf5.opened(path) as file:
        corner = [hdf5.number(file, f"{part}_{axis}") for part in ("corner", "post") for axis in ("lon", "lat")]
        if any(value is None or not np.isfinite(value) for value in corner) or 0 in corner[2:]:
            message = f"{path}: has no corner_lon, corner_lat, post_lon and post_lat, expected its grid; make it again"
            raise ProductError(message)
        west, north, step_x, step_y = (float(value or 0) for value in corner)
        transform = Affine(step_x, 0, west - step_x / 2, 0, step_y, north - step_y / 2)
        make = functools.partial(hdf5.layer, file, path=reference.address, transform=transform, crs=CRS.from_epsg(4326))
        info = hdf5.difference(make("cum", index=days.index(second)), make("cum", index=days.index(first)))
        geometry = {
            variable: make(name) if hdf5.find(file, name) is not None else None for variable, name in _GEOMETRY.items()
        }
    radians = read_radians(info, options, kind="unwrapped", provider="LiCSBAS", scale=scale)
    companions = Companions(info, options.chunks, reference.companions)
    found: dict[str, Any] = {
        variable: companions.take(variable, layer, decode_nonzero) for variable, layer in geometry.items()
    }
    return assemble(
        info,
        options,
        radians,
        companions,
        product=product,
        name=reference.name or f"{stem(path)}_{reference.member}",
        found=found,
        dates=dates(reference.member),
        wavelength_m=declared_m,
    )


def _days(path: str) -> tuple[str, ...]:
    """Return the dates of a series, ``YYYYMMDD``."""
    with hdf5.opened(path) as file:
        numbers = hdf5.values(file, "imdates")
    days = tuple(f"{number:08.0f}" for number in numbers)
    for day in days:
        try:
            dt.datetime.strptime(day, "%Y%m%d")
        except ValueError as error:
            message = f"{path}: has the date {day!r}, expected YYYYMMDD; make it again with LiCSBAS"
            raise ProductError(message) from error
    return days


def _pairs(days: Sequence[str]) -> list[str]:
    return [f"{first}_{second}" for first, second in itertools.pairwise(dict.fromkeys(days))]
