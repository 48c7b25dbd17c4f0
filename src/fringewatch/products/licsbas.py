"""LiCSBAS: what it makes of LiCSAR products before its time series, ``GEOCml*``.

Raw files without headers, little-endian unlike GAMMA's::

    GEOCml1/EQA.dem_par, slc.mli.par                    grid, radar frequency
    GEOCml1/E.geo, N.geo, U.geo, hgt                    float32; unit vector from ground to satellite, metres
    GEOCml1/20180601_20180613/20180601_20180613.unw     float32, radians
    GEOCml1/20180601_20180613/20180601_20180613.cc      uint8, 255ths; float32 in old versions

The time series it makes of them, ``TS_GEOCml1/cum.h5`` and ``cum_filt.h5``, are read by
:mod:`fringewatch.products.licsbas_series`.

EPSG:4326; the corner in ``EQA.dem_par`` is the centre of a pixel. NaN and exactly 0 are no data.

Sign: LiCSBAS turns unwrapped phase into displacement towards the satellite by the factor ``-wavelength / (4 pi)``; so
the phase grows with range, and is not turned round.

References
----------
Morishita et al. (2020), LiCSBAS: an open-source InSAR time series analysis package integrated with the LiCSAR automated
Sentinel-1 InSAR processor, Remote Sensing 12(3), 424.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import numpy as np

from fringewatch.errors import ProductError
from fringewatch.products import licsbas_series, look
from fringewatch.products.assemble import assemble
from fringewatch.products.companions import Companions, decode_coherence, decode_nonzero
from fringewatch.products.names import dates
from fringewatch.products.par_files import grid_of, read_par, wavelength_m
from fringewatch.products.radians import read_radians
from fringewatch.products.raw import byte_order, check_size, inspect_companion, inspect_raw
from fringewatch.products.reference import Reader, Reference, file_name, first_file, is_remote, join, parent

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from fringewatch.products.raster import RasterInfo
    from fringewatch.products.reference import ReadOptions

__all__ = ["READER"]

_FILE = re.compile(r"^(?P<pair>\d{8}_\d{8})\.(?P<kind>unw|cc)$")
_GRID, _IMAGE = "EQA.dem_par", "slc.mli.par"
_GEOMETRY = {"los_east": "E", "los_north": "N", "los_up": "U", "height": "hgt"}


def _claims(path: str) -> bool:
    if licsbas_series.is_series(path):
        return True
    match = _FILE.search(file_name(path))
    if match is None or is_remote(path) or file_name(parent(path)) != match["pair"]:
        return False
    # GAMMA's files have such names too, but not both headers above their folder.
    above = parent(parent(path))
    return all(os.path.isfile(join(above, name)) for name in (_GRID, _IMAGE))  # noqa: PTH113  (asked for every file)


def _collect(paths: Sequence[str]) -> list[Reference]:
    pairs = [Reference(path, READER.name, file_name(path)) for path in paths if path.endswith(".unw")]
    return pairs + licsbas_series.collect([path for path in paths if licsbas_series.is_series(path)], READER.name)


def _read(reference: Reference, options: ReadOptions) -> xr.Dataset:
    path = reference.path
    if licsbas_series.is_series(path):
        return licsbas_series.read(reference, options, READER.name)
    match = _FILE.search(file_name(path))
    if match is None or match["kind"] != "unw":
        message = f"{path}: is by its name no interferogram of LiCSBAS, expected <pair>/<pair>.unw; name that one"
        raise ProductError(message)
    above = parent(parent(path))
    header = join(above, _GRID)
    described = grid_of(read_par(header), header)
    if described is None:
        message = f"{header}: has no width and nlines, expected the grid of the frame; run step 02 of LiCSBAS again"
        raise ProductError(message)
    grid, notes = described
    check_size(path, grid.shape, np.dtype("float32").itemsize)
    big_endian, judged = byte_order(path, "float32", big_endian=False)
    info = inspect_raw(path, grid, "float32", big_endian=big_endian)
    radians = read_radians(info, options, kind="unwrapped", provider="LiCSBAS")
    companions = Companions(info, options.chunks, reference.companions)

    def inspect(companion: str) -> RasterInfo:
        return inspect_companion(companion, grid, big_endian=False)

    found = {"coherence": companions.read("coherence", _coherence_paths(path), decode_coherence, inspect=inspect)}
    for variable in _GEOMETRY:
        found[variable] = companions.read(variable, _geometry_paths(path, variable), decode_nonzero, inspect=inspect)
    found |= look.unit_vectors(found)
    return assemble(
        info,
        options,
        radians,
        companions,
        product=READER.name,
        name=reference.name or file_name(path),
        found=found,
        dates=dates(match["pair"]),
        wavelength_m=wavelength_m(read_par(join(above, _IMAGE))),
        notes=[*notes, *judged],
    )


def _coherence_paths(path: str) -> list[str]:
    return [path.removesuffix(".unw") + ".cc"]


def _geometry_paths(path: str, variable: str) -> list[str]:
    above, name = parent(parent(path)), _GEOMETRY[variable]
    return [join(above, f"{name}.geo"), join(above, name)]


def _beside(reference: Reference) -> list[str]:
    if licsbas_series.is_series(reference.path):
        return []
    above = parent(parent(reference.path))
    headers = [path for name in (_GRID, _IMAGE) for path in first_file([join(above, name)])]
    geometry = [path for variable in _GEOMETRY for path in first_file(_geometry_paths(reference.path, variable))]
    return [*headers, *first_file(_coherence_paths(reference.path)), *geometry]


READER = Reader("licsbas", _claims, _collect, _read, _beside, members=True)
