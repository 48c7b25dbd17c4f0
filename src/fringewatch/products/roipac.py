"""ROI_PAC, and what other programs write in its form: raw files with a text header ``<file>.rsc``.

``.int`` is complex; ``.unw`` and ``.cor`` have two bands: amplitude, then unwrapped phase (radians) or coherence.
GDAL's ROI_PAC driver reads them. Files whose name begins with ``geo_`` lie on a grid in degrees, the others in radar
geometry. Of a pair in one folder geocoded files come before radar geometry, ``.int`` before ``.unw``, filtered before
unfiltered. Exactly 0 is no data.

Sign: the interferogram is the first image of ``DATE12`` times the conjugate of the second, and an echo's phase is
``-4 pi range / wavelength``: so the phase grows with range from the first date to the second, and is not turned round.
Pairs are often named with the later date first.

The header has the wavelength; ROI_PAC writes no look vector for each pixel.

References
----------
Rosen et al. (2004), Updated Repeat Orbit Interferometry Package released, Eos 85(5), 47.
"""

from __future__ import annotations

import dataclasses
import os
import re
from typing import TYPE_CHECKING

import numpy as np
from rasterio.crs import CRS

from fringewatch.errors import ProductError
from fringewatch.products import raster
from fringewatch.products.assemble import assemble
from fringewatch.products.companions import Companions, decode_coherence
from fringewatch.products.listing import names_in
from fringewatch.products.names import dates
from fringewatch.products.par_files import number, read_par
from fringewatch.products.radians import read_radians
from fringewatch.products.raw import byte_order, check_size
from fringewatch.products.reference import Reader, Reference, file_name, is_remote, parent

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from fringewatch.products.raster import RasterInfo
    from fringewatch.products.reference import Kind, ReadOptions

__all__ = ["READER"]

_FILE = re.compile(r"\.(?P<kind>int|unw|cor|hgt|amp|dem|flg)$", re.IGNORECASE)
_PHASE: dict[str, Kind] = {"int": "complex", "unw": "unwrapped"}
_COHERENCE = re.compile(r"\.cor$", re.IGNORECASE)


def _claims(path: str) -> bool:
    if _FILE.search(file_name(path)) is None or is_remote(path) or not os.path.isfile(f"{path}.rsc"):  # noqa: PTH113
        return False
    try:
        # MintPy puts such headers beside files of GAMMA, which are big-endian.
        return read_par(f"{path}.rsc", separator=" ").get("PROCESSOR", "").lower() != "gamma"
    except ProductError:
        return True


def _collect(paths: Sequence[str]) -> list[Reference]:
    pairs: dict[tuple[str, str], list[str]] = {}
    for path in paths:
        if _kind(path) is not None:
            name = file_name(path)
            pairs.setdefault(dates(name, short=True) if any(dates(name, short=True)) else (name, ""), []).append(path)
    return [Reference(path, READER.name, file_name(path)) for path in (min(pair, key=_rank) for pair in pairs.values())]


def _rank(path: str) -> tuple[bool, bool, bool, str]:
    """Order the files of one pair: geocoded, complex, filtered."""
    name = file_name(path)
    return not name.startswith("geo_"), _kind(path) == "unwrapped", "filt" not in name, name


def _kind(path: str) -> Kind | None:
    match = _FILE.search(file_name(path))
    return _PHASE.get(match["kind"].lower()) if match else None


def _read(reference: Reference, options: ReadOptions) -> xr.Dataset:
    path = reference.path
    kind = _kind(path)
    if kind is None:
        message = (
            f"{path}: is by its name a ROI_PAC file that goes with an interferogram, expected one ending in .int or "
            ".unw; name that one"
        )
        raise ProductError(message)
    header = read_par(f"{path}.rsc", separator=" ")
    info = _inspect(path)
    notes: list[str] = []
    if info.transform is not None and info.crs is None:
        if header.get("X_UNIT", "degrees").lower().startswith("deg"):
            info = dataclasses.replace(info, crs=CRS.from_epsg(4326))
            notes.append("the header names no coordinate system; EPSG:4326 was assumed, which ROI_PAC uses")
        else:
            info = dataclasses.replace(info, transform=None)
    radians = read_radians(info, options, kind=kind, provider="ROI_PAC", band=2 if kind == "unwrapped" else 1)
    pair = dates(header.get("DATE12", ""), short=True)
    if not any(pair):
        pair = dates(f"{file_name(parent(path))}/{file_name(path)}", short=True)
    companions = Companions(info, options.chunks, reference.companions)
    coherence = companions.read("coherence", _coherence_paths(path), decode_coherence, band=-1, inspect=_inspect)
    return assemble(
        info,
        options,
        radians,
        companions,
        product=READER.name,
        name=reference.name or file_name(path),
        found={"coherence": coherence},
        dates=pair,
        wavelength_m=number(header, "WAVELENGTH"),
        notes=notes,
    )


def _inspect(path: str) -> RasterInfo:
    info = raster.inspect(path, driver="ROI_PAC")
    check_size(path, info.shape, sum(np.dtype(dtype).itemsize for dtype in info.dtypes))
    if info.dtypes[0] in {"float32", "complex64"} and byte_order(path, info.dtypes[0], big_endian=False)[0]:
        message = (
            f"{path}: is big-endian, of an old machine, expected little-endian numbers as ROI_PAC writes them today; "
            "swap its bytes, for instance with numpy.fromfile(path, '>f4').astype('<f4')"
        )
        raise ProductError(message)
    return info


def _coherence_paths(path: str) -> list[str]:
    """Return the coherence files of the pair in the folder, geocoded ones for a geocoded phase."""
    name = file_name(path)
    pair = dates(name, short=True)
    return [
        other
        for other in names_in(parent(path), _COHERENCE)
        if dates(file_name(other), short=True) == pair
        and file_name(other).startswith("geo_") == name.startswith("geo_")
    ]


def _beside(reference: Reference) -> list[str]:
    return [f"{reference.path}.rsc", *_coherence_paths(reference.path)[:1]]


READER = Reader("roipac", _claims, _collect, _read, _beside)
