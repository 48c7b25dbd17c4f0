"""GMTSAR: grids of GMT (netCDF), in radar geometry or, where the name ends in ``_ll``, geocoded.

The folder of a pair holds (also read: with a prefix such as the dates)::

    phasefilt(_mask)(_ll).grd    filtered wrapped phase (radians)
    phase(_mask)(_ll).grd        wrapped phase
    unwrap(_mask)(_ll).grd       unwrapped phase (radians)
    corr(_ll).grd                coherence, 0 to 1
    east_look.grd, north_look.grd, up_look.grd      look vector on the geocoded grid (calc_look_vector.csh)
    *.PRM                        parameters of both images: wavelength, time

Of the phases in one folder geocoded ones come first, then the filtered, the wrapped and the unwrapped, and those
without a mask. NaN is no data, and so is exactly 0. In pixel and in gridline registration alike the coordinates of the
grid are the centres of its pixels. GDAL reads classic netCDF, h5py netCDF-4.

Sign: GMTSAR turns unwrapped phase into displacement by ``-79.58 wavelength``, which is ``-1000 wavelength / (4 pi)``,
"negative to make LOS = -1 * range change" (``geocode.csh``). So the phase grows with range, and is not turned round.

Dates: folders are named ``2018151_2018163``, years and days of the year, which GMTSAR counts from 0 for Sentinel-1 and
other newer satellites, from 1 for older ones (gmtsar issue 13). The names of the parameter files, which have dates for
Sentinel-1 (``S1_20180601_ALL_F1.PRM``), come first, each found by its ``SC_clock_start``.

``_ll`` grids are in longitude and latitude of WGS 84. The look vector is the unit vector from the ground to the
satellite (``SAT_look``).

References
----------
Sandwell et al. (2011), Open radar interferometry software for mapping surface deformation, Eos 92(28), 234.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scipy.io import netcdf_file

from fringewatch.errors import ProductError
from fringewatch.products import hdf5, look, par_files, raster
from fringewatch.products.assemble import assemble
from fringewatch.products.companions import Companions, decode_coherence, decode_nonzero
from fringewatch.products.grid import parse_crs
from fringewatch.products.names import dates
from fringewatch.products.radians import read_radians
from fringewatch.products.reference import Reader, Reference, file_name, first_file, is_remote, join, parent, stem

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from fringewatch.products.raster import RasterInfo
    from fringewatch.products.reference import Kind, ReadOptions

__all__ = ["READER"]

_PHASES = ("phasefilt", "phase", "unwrap")
_PHASE = re.compile(
    rf"^(?P<before>(?:.*[._-])?)(?P<kind>{'|'.join(_PHASES)})(?P<tail>(?:_(?!ll\b|grad)[a-z]+)*?)(?P<geo>(?:_ll)?)\.grd$"
)
_OTHER = re.compile(
    r"^(?:.*[._-])?(?:corr|amp|display_amp|los|mask\d?|landmask|[xy]phase|ra(?:ln|lt)|topo|topo_ra|dem|tide|unwrap_grad|"
    r"(?:east|north|up)_look)(?:_\w+)?\.grd$"
)
_LOOK = {"los_east": "east_look", "los_north": "north_look", "los_up": "up_look"}
_DAYS = re.compile(r"(?<!\d)((?:19|20)\d{5})_((?:19|20)\d{5})(?!\d)")
_DATE = re.compile(r"(?<!\d)(?:19|20)\d{6}(?!\d)")


def _claims(path: str) -> bool:
    name = file_name(path)
    return _PHASE.search(name) is not None or _OTHER.search(name) is not None


def _collect(paths: Sequence[str]) -> list[Reference]:
    pairs: dict[tuple[str, str], list[str]] = {}
    for path in paths:
        match = _PHASE.search(file_name(path))
        if match:
            pairs.setdefault((parent(path), match["before"]), []).append(path)
    return [Reference(path, READER.name, _name(path)) for path in (min(pair, key=_rank) for pair in pairs.values())]


def _rank(path: str) -> tuple[bool, int, str]:
    match = _PHASE.search(file_name(path))
    assert match is not None
    return not match["geo"], _PHASES.index(match["kind"]), match["tail"]


def _name(path: str) -> str:
    # Files of all pairs have one name, and their folders the dates.
    name, folder = stem(path), file_name(parent(path))
    dated = any(dates(folder)) or _DAYS.search(folder) is not None
    return f"{folder}_{name}" if dated and not any(dates(name)) else name


def _read(reference: Reference, options: ReadOptions) -> xr.Dataset:
    path = reference.path
    match = _PHASE.search(file_name(path))
    if match is None:
        message = (
            f"{path}: is by its name a GMTSAR grid that goes with an interferogram, expected one of "
            f"{', '.join(f'{kind}.grd' for kind in _PHASES)}, with _ll where geocoded; name that one"
        )
        raise ProductError(message)
    info = _inspect(path)
    kind: Kind = "unwrapped" if match["kind"] == "unwrap" else "wrapped"
    radians = read_radians(info, options, kind=kind, provider="GMTSAR")
    parameters = _parameters(path)
    pair, notes = _dates(path, parameters)
    companions = Companions(info, options.chunks, reference.companions)
    found: dict[str, Any] = {
        "coherence": companions.read("coherence", _coherence_paths(path, match), decode_coherence, inspect=_inspect)
    }
    if match["geo"]:
        for variable, name in _LOOK.items():
            paths = [join(parent(path), f"{name}.grd")]
            found[variable] = companions.read(variable, paths, decode_nonzero, inspect=_inspect)
        found |= look.unit_vectors(found)
    wavelengths = (par_files.number(known, "radar_wavelength") for known in parameters.values())
    return assemble(
        info,
        options,
        radians,
        companions,
        product=READER.name,
        name=reference.name or _name(path),
        found=found,
        dates=pair,
        wavelength_m=next((found for found in wavelengths if found), None),
        notes=notes,
    )


def _inspect(path: str) -> RasterInfo:
    """Open a grid; one in radar geometry gets no coordinates, a geocoded one WGS 84."""
    if not is_remote(path) and hdf5.is_hdf5(path):
        info = _inspect_netcdf4(path)
    else:
        if not is_remote(path):
            _check_classic(path)
        info = raster.inspect(path, driver="netCDF")
    name = stem(path)
    if not (name.endswith("_ll") or name in _LOOK.values()) or info.transform is None:
        return info.without_grid()
    crs = info.crs or parse_crs("EPSG:4326", path)
    return dataclasses.replace(info, transform=raster.within_half_turn(info.transform, crs, info.shape[1]), crs=crs)


def _inspect_netcdf4(path: str) -> RasterInfo:
    """Describe the grid of a netCDF-4 file; through h5py, since the netCDF library crashes on damaged ones."""
    hdf5.check_root(path)
    with hdf5.opened(path) as file:
        across, down = ("lon", "lat") if hdf5.find(file, "lon") is not None else ("x", "y")
        transform = hdf5.axes_transform(file, across, down, hdf5.layer(file, "z", path=path).shape)
        info = hdf5.layer(file, "z", path=path, transform=transform)
        packing = hdf5.attributes(file["z"])
    scale, offset = (hdf5.as_number(packing.get(name)) for name in ("scale_factor", "add_offset"))
    return dataclasses.replace(info, scales=(1.0 if scale is None else scale,), offsets=(offset or 0.0,))


def _check_classic(path: str) -> None:
    """Refuse a classic netCDF file that is cut short: GDAL reads what lacks as zeros."""
    try:
        with Path(path).open("rb") as stream:
            classic = stream.read(4) in {b"CDF\x01", b"CDF\x02"}
        if classic:
            # Maps every variable, and reads none.
            with netcdf_file(path, mmap=True, maskandscale=False):
                pass
    except Exception as error:
        message = f"{path}: is damaged or cut short ({error}), expected a whole netCDF file; fetch it again"
        raise ProductError(message) from error


def _coherence_paths(path: str, match: re.Match[str]) -> list[str]:
    return [join(parent(path), f"{match['before']}corr{match['geo']}.grd")]


def _parameters(path: str) -> dict[str, dict[str, str]]:
    """Return the parameters of the images of a pair, by the name of their file."""
    if is_remote(path):
        return {}
    files = sorted(Path(parent(path)).glob("*.PRM"))[:16]
    return {file.name: par_files.read_par(str(file), separator="=") for file in files}


def _dates(path: str, parameters: dict[str, dict[str, str]]) -> tuple[tuple[str, str], list[str]]:
    """Return the ISO dates of a pair, and what was assumed of them."""
    place = f"{file_name(parent(path))}/{file_name(path)}"
    if any(known := dates(place)):
        return known, []
    match = _DAYS.search(place)
    if match is None:
        return ("", ""), []
    named = {}
    for name, values in parameters.items():
        start, date = par_files.number(values, "SC_clock_start"), _DATE.search(name)
        if start is not None and date is not None:
            named[f"{start:.9f}".partition(".")[0]] = date[0]
    if all(day in named for day in match.groups()):
        return dates("_".join(named[day] for day in match.groups())), []
    first, second = (dt.date(int(day[:4]), 1, 1) + dt.timedelta(days=int(day[4:])) for day in match.groups())
    note = "the days of the year were counted from 0, as for Sentinel-1; of older satellites they may be a day late"
    return (first.isoformat(), second.isoformat()), [note]


def _beside(reference: Reference) -> list[str]:
    match = _PHASE.search(file_name(reference.path))
    if match is None or is_remote(reference.path):
        return []
    folder = parent(reference.path)
    found = first_file(_coherence_paths(reference.path, match))
    if match["geo"]:
        found += [path for name in _LOOK.values() for path in first_file([join(folder, f"{name}.grd")])]
    return found + [join(folder, name) for name in _parameters(reference.path)]


READER = Reader("gmtsar", _claims, _collect, _read, _beside)
