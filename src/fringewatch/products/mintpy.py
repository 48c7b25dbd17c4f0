"""MintPy: stacks, time series and velocities in HDF5, in radar geometry or geocoded.

Three kinds of files, told apart by their attribute ``FILE_TYPE``, whatever their name::

    inputs/ifgramStack.h5       wrapPhase or unwrapPhase (radians), coherence; date (pairs), dropIfgram (false: dropped)
    timeseries*.h5              timeseries (metres since the first date), date
    velocity*.h5                velocity (metres a year)
    inputs/geometryGeo.h5, geometryRadar.h5     height, incidenceAngle, azimuthAngle, latitude, longitude

Members: of a stack ``ifgramStack.h5#20180601_20180613``, all listed but for dropped ones; of a time series the same for
any two dates, the consecutive ones listed. A velocity is one interferogram, over an interval that the user has to give.
Of a stack the wrapped phase comes before the unwrapped, unless ``kind`` says otherwise. Exactly 0 and NaN are no data.

Sign: MintPy turns the phase of every processor into displacement by ``-wavelength / (4 pi)``, positive towards the
satellite (``ifgram_inversion.py``, ``enu2los`` in ``utils0.py``). So the phase of a stack grows with range and is not
turned round, and displacement is multiplied by ``-4 pi / wavelength``. A year has 365.25 days.

``incidenceAngle`` is that at the ground, and ``azimuthAngle`` the horizontal direction from the ground to the satellite
in degrees counter-clockwise from north (the comment before ``orbit2los_azimuth_angle`` in ``utils0.py``); where there
is none, it follows from the attributes ``HEADING`` and ``ANTENNA_SIDE`` (-1: right-looking).

``X_FIRST``, ``Y_FIRST`` are the upper left corner of the first pixel, ``EPSG`` or ``UTM_ZONE`` the coordinate system,
else degrees of WGS 84; a file without them is in radar geometry.

References
----------
Yunjun, Fattahi and Amelung (2019), Small baseline InSAR time series analysis: unwrapping error correction and noise
reduction, Computers & Geosciences 133, 104331.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import itertools
import re
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine

from fringewatch.conventions import SENTINEL1_WAVELENGTH_M
from fringewatch.errors import MissingExtraError, ProductError
from fringewatch.products import hdf5, look
from fringewatch.products.assemble import assemble
from fringewatch.products.companions import Companions, decode_coherence, decode_nonzero, decode_values
from fringewatch.products.grid import parse_crs
from fringewatch.products.names import dates
from fringewatch.products.radians import read_radians
from fringewatch.products.reference import (
    Reader,
    Reference,
    file_name,
    first_file,
    is_remote,
    join,
    named_members,
    parent,
    stem,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr
    from rasterio.crs import CRS

    from fringewatch.products.raster import RasterInfo
    from fringewatch.products.reference import Kind, ReadOptions

__all__ = ["READER"]

_SUFFIX = re.compile(r"\.h5$", re.IGNORECASE)
_NAME = re.compile(r"^(?:geo_)?(?:ifgramStack|timeseries|velocity|geometry(?:Geo|Radar))(?![a-z])\w*\.h5$")
_CORRECTION = re.compile(
    r"^(?:geo_)?(?:(?:timeseries|velocity)[A-Z]\w*|ERA5?|ERAI|MERRA2?|NARR|GACOS|ECMWF|SET|ion|ionStack|tropo\w*|setStack)"
    r"\.h5$"
)
"""Names of delays, tides, offsets and residuals, which have the kinds of observations: ``velocityERA5``, not what was
corrected by it, ``timeseries_ERA5``."""
_KINDS = ("ifgramStack", "timeseries", "velocity")
_PHASES: dict[Kind, str] = {"wrapped": "wrapPhase", "unwrapped": "unwrapPhase"}
_METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}
_DAYS_A_YEAR = 365.25
_MAX_LISTED = 100_000


@dataclasses.dataclass(frozen=True, slots=True)
class _File:
    """What a file is: its ``FILE_TYPE``, attributes, and the members it lists."""

    kind: str
    attributes: Mapping[str, str]
    dates: tuple[str, ...] = ()
    """Of a time series, ``YYYYMMDD``."""
    pairs: tuple[str, ...] = ()
    """Of a stack, ``YYYYMMDD_YYYYMMDD``, dropped ones too, in the order of the file."""
    listed: tuple[str, ...] = ("",)


def _look_into(path: str) -> _File:
    with hdf5.opened(path) as file:
        attributes = hdf5.attributes(file)
        kind = attributes.get("FILE_TYPE", "")
        if kind == "ifgramStack":
            rows = hdf5.texts(file, "date")
            if rows.ndim != 2 or rows.shape[1] != 2:
                message = f"{path}: date has the shape {rows.shape}, expected one pair of dates a row; load it again"
                raise ProductError(message)
            pairs = tuple("_".join(_day(text, path) for text in row) for row in rows)
            kept = np.ones(len(pairs), bool)
            if hdf5.find(file, "dropIfgram") is not None:
                kept = hdf5.values(file, "dropIfgram", shape=(len(pairs),)) != 0
            listed = tuple(dict.fromkeys(pair for pair, keep in zip(pairs, kept, strict=True) if keep))
            return _File(kind, attributes, pairs=pairs, listed=listed[:_MAX_LISTED])
        if kind == "timeseries":
            days = tuple(_day(text, path) for text in hdf5.texts(file, "date").reshape(-1))
            listed = tuple(f"{first}_{second}" for first, second in itertools.pairwise(dict.fromkeys(days)))
            return _File(kind, attributes, dates=days, listed=listed[:_MAX_LISTED])
        return _File(kind, attributes)


def _day(text: str, path: str) -> str:
    """Return a date, with or without a time, as ``YYYYMMDD``."""
    digits = re.sub(r"\D", "", text)[:8]
    try:
        dt.datetime.strptime(digits, "%Y%m%d")
    except ValueError as error:
        message = f"{path}: has the date {text!r}, expected YYYYMMDD; load it again with MintPy"
        raise ProductError(message) from error
    return digits


def _claims(path: str) -> bool:
    name = file_name(path)
    if _SUFFIX.search(name) is None:
        return False
    if _NAME.search(name):
        return True
    # Every file of MintPy says what it is; its name may be anything.
    return hdf5.holds(path, ".h5", lambda file: "FILE_TYPE" in file.attrs)


def _collect(paths: Sequence[str]) -> list[Reference]:
    # One that is named alone is read, and told of.
    return [reference for path in paths if not _CORRECTION.search(file_name(path)) for reference in _members(path)]


def _members(path: str) -> list[Reference]:
    try:
        file = _look_into(path)
    except (ProductError, MissingExtraError):
        # Opening it gives the reason.
        return [] if file_name(path).removeprefix("geo_").startswith("geometry") else [_reference(path, "")]
    return [_reference(path, member) for member in file.listed] if file.kind in _KINDS else []


def _reference(path: str, member: str) -> Reference:
    return Reference(path, READER.name, f"{stem(path)}_{member}" if member else stem(path), member=member)


def _read(reference: Reference, options: ReadOptions) -> xr.Dataset:
    file = _look_into(reference.path)
    if file.kind not in _KINDS:
        message = (
            f"{reference.path}: is a file of MintPy with FILE_TYPE {file.kind or 'unknown'}, expected one of "
            f"{', '.join(_KINDS)}; name that one"
        )
        raise ProductError(message)
    reference = _with_member(reference, file)
    wavelength_m = hdf5.as_number(file.attributes.get("WAVELENGTH"))
    scale_wavelength_m = options.wavelength_m or wavelength_m or SENTINEL1_WAVELENGTH_M
    notes: list[str] = []
    if _CORRECTION.search(file_name(reference.path)):
        notes.append("by its name this is a correction, or what one has left over, and no observation")
    scale, coherence = None, None
    kind: Kind = "unwrapped"
    transform, crs, crs_notes = _grid(file.attributes, reference.path)
    with hdf5.opened(reference.path) as opened:
        make = functools.partial(
            hdf5.layer,
            opened,
            path=reference.address,
            transform=transform,
            crs=crs,
            nodata=hdf5.as_number(file.attributes.get("NO_DATA_VALUE")),
        )
        if file.kind == "ifgramStack":
            index = file.pairs.index(reference.member)
            kind = _choose_phase(opened, options)
            info = make(_PHASES[kind], index=index)
            if hdf5.find(opened, "coherence") is not None:
                coherence = make("coherence", index=index)
        elif file.kind == "timeseries":
            first, second = (file.dates.index(day) for day in reference.member.split("_"))
            info = hdf5.difference(make("timeseries", index=second), make("timeseries", index=first))
            scale = _metres(file.attributes, reference.path, "m") * -4 * np.pi / scale_wavelength_m
        else:
            years = _years(reference, options)
            info = make("velocity")
            scale = years * _metres(file.attributes, reference.path, "m/year") * -4 * np.pi / scale_wavelength_m
            notes.append(f"a velocity over {options.interval_days:g} days: the motion was taken as steady")
    radians = read_radians(info, options, kind=kind, provider="MintPy", scale=scale)
    companions = Companions(info, options.chunks, reference.companions)
    found: dict[str, Any] = {"coherence": companions.take("coherence", coherence, decode_coherence)}
    found |= _geometry(companions, reference.path, file.attributes)
    return assemble(
        info,
        options,
        radians,
        companions,
        product=READER.name,
        name=reference.name or _reference(reference.path, reference.member).name,
        found=found,
        dates=dates(reference.member),
        wavelength_m=wavelength_m,
        notes=[*crs_notes, *notes],
    )


def _with_member(reference: Reference, file: _File) -> Reference:
    """Return the reference with a member that the file has."""
    member = reference.member.replace("-", "_")
    if not member:
        if len(file.listed) == 1:
            return dataclasses.replace(reference, member=file.listed[0])
        if not file.listed:
            message = f"{reference.path}: holds no interferogram, expected at least one; load it again with MintPy"
            raise ProductError(message)
        message = f"{reference.path}: holds {named_members(reference.path, file.listed)}"
        raise ProductError(message)
    first, _, second = member.partition("_")
    known = member in file.pairs or (first in file.dates and second in file.dates and first != second)
    if not known:
        what = "any two of its dates" if file.dates else "one of its pairs"
        message = f"{reference.address}: there is no such member, expected {what}: {reference.path} holds "
        if file.listed == ("",):
            message += "one interferogram; leave it out"
        else:
            message += named_members(reference.path, file.listed) if file.listed else "none"
        raise ProductError(message)
    return dataclasses.replace(reference, member=member)


def _choose_phase(opened: Any, options: ReadOptions) -> Kind:
    """Return which of the two phases of a stack to read."""
    there = [kind for kind, name in _PHASES.items() if hdf5.find(opened, name) is not None]
    if options.kind in there:
        return options.kind
    return there[0] if there else "unwrapped"


def _metres(attributes: Mapping[str, str], path: str, usual: str) -> float:
    unit = attributes.get("UNIT", usual)
    length, _, time = unit.partition("/")
    if length not in _METRES or time not in {"", "yr", "year"} or bool(time) != ("/" in usual):
        message = f"{path}: has the unit {unit!r}, expected {usual}; convert it with MintPy"
        raise ProductError(message)
    return _METRES[length]


def _years(reference: Reference, options: ReadOptions) -> float:
    if options.interval_days is None:
        message = (
            f"{reference.path}: is a velocity, which is phase only over some time; say how many days: "
            "--interval-days 365 (in Python interval_days=365)"
        )
        raise ProductError(message)
    return options.interval_days / _DAYS_A_YEAR


def _grid(attributes: Mapping[str, str], path: str) -> tuple[Affine | None, CRS | None, list[str]]:
    """Return transform and coordinate system, and what had to be assumed; None in radar geometry."""
    keys = ("X_FIRST", "Y_FIRST", "X_STEP", "Y_STEP")
    if not all(key in attributes for key in keys):
        return None, None, []
    numbers = [hdf5.as_number(attributes[key]) for key in keys]
    if any(value is None or not np.isfinite(value) for value in numbers) or 0 in numbers[2:]:
        given = ", ".join(f"{key} = {attributes[key]}" for key in keys)
        message = f"{path}: has {given}, expected the corner of the grid and its steps; load it again with MintPy"
        raise ProductError(message)
    west, north, step_x, step_y = (float(value or 0) for value in numbers)
    transform = Affine(step_x, 0, west, 0, step_y, north)
    zone = re.fullmatch(r"(\d{1,2})([NS])", attributes.get("UTM_ZONE", ""))
    if "EPSG" in attributes:
        return transform, parse_crs(f"EPSG:{attributes['EPSG']}", path), []
    if zone is not None:
        code = (32600 if zone[2] == "N" else 32700) + int(zone[1])
        return transform, parse_crs(f"EPSG:{code}", path), []
    if attributes.get("X_UNIT", "degrees").startswith("m"):
        return transform, None, []
    return transform, parse_crs("EPSG:4326", path), ["the file names no coordinate system; EPSG:4326 was assumed"]


def _geometry(companions: Companions, path: str, attributes: Mapping[str, str]) -> dict[str, Any]:
    """Read height and look vector, and in radar geometry latitude and longitude, of the geometry file beside."""
    places = _geometry_paths(path, geocoded=companions.onto.transform is not None)
    found: dict[str, Any] = {}

    def read(variable: str, dataset: str, decode: Any) -> Any:
        return companions.read(variable, places, decode, inspect=functools.partial(_geometry_layer, name=dataset))

    found["height"] = read("height", "height", decode_values)
    incidence = read("incidence", "incidenceAngle", decode_nonzero)
    azimuth = read("azimuth", "azimuthAngle", decode_values)
    heading = hdf5.as_number(attributes.get("HEADING"))
    if azimuth is None and heading is not None:
        looks_left = hdf5.as_number(attributes.get("ANTENNA_SIDE")) == 1
        azimuth = -look.sensor_azimuth_deg(heading, "left" if looks_left else "right")
    if incidence is not None and azimuth is not None:
        found |= look.from_incidence(incidence, -azimuth)
    if companions.onto.transform is None:
        found["lat"] = read("lat", "latitude", decode_nonzero)
        found["lon"] = read("lon", "longitude", decode_nonzero)
    return found


def _geometry_paths(path: str, *, geocoded: bool) -> list[str]:
    """Return where the geometry may be: beside the file, or where MintPy keeps its inputs."""
    folder = parent(path)
    names = ("geometryGeo.h5", "geo_geometryRadar.h5") if geocoded else ("geometryRadar.h5",)
    places = (folder, join(folder, "inputs"), join(parent(folder), "inputs"), join(folder, "geo"))
    return [join(place, name) for place in places for name in names]


def _geometry_layer(path: str, *, name: str) -> RasterInfo:
    with hdf5.opened(path) as file:
        transform, crs, _ = _grid(hdf5.attributes(file), path)
        return hdf5.layer(file, name, path=path, transform=transform, crs=crs)


def _beside(reference: Reference) -> list[str]:
    if is_remote(reference.path):
        return []
    # Which of the two is read depends on the content of the file; either may be new.
    return [
        found for geocoded in (True, False) for found in first_file(_geometry_paths(reference.path, geocoded=geocoded))
    ]


READER = Reader("mintpy", _claims, _collect, _read, _beside, members=True)
