"""GAMMA: raw big-endian files, whose size and place are in parameter files beside or above them.

Read are files of a pair (dates in their name or that of their folder) by the ending of their name, further endings such
as ``.sm``, ``.filt``, ``.adf``, ``.geo`` or ``.utm`` included::

    20180601_20180613.diff, .diff_filt, .filt.diff, .int, .flt      complex64
    20180601_20180613.unw                                           float32, radians
    20180601_20180613.cc, .filt.cc, .cor, .coh                      float32, 0 to 1
    *.off, *.diff_par, *.mli.par, *.slc.par                         size in radar geometry, radar frequency, heading
    EQA.dem_par, *.dem_par, *.dem.par                               map grid; its corner is the centre of a pixel
    *lv_theta, *lv_phi                                              float32; elevation and direction of the sensor
    *hgt                                                            float32, metres

The parameter file is the one whose size makes that of the data. Of a pair in one folder geocoded files come before
radar geometry, complex before unwrapped, and filtered before unfiltered. Exactly 0 is no data.

Sign: COMET LiCSAR and ASF HyP3, both made with GAMMA, document phase that grows with range; it is not turned round.

Without look vectors per pixel, those of the scene's centre follow from ``incidence_angle`` and ``heading``.

References
----------
Werner et al. (2000), GAMMA SAR and interferometric processing software, ERS-Envisat Symposium, Gothenburg.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from fringewatch.errors import ProductError
from fringewatch.products import look
from fringewatch.products.assemble import assemble
from fringewatch.products.companions import Companions, decode_coherence, decode_nonzero, decode_values
from fringewatch.products.listing import names_in
from fringewatch.products.names import dates
from fringewatch.products.par_files import grid_of, number, read_par, wavelength_m
from fringewatch.products.radians import read_radians
from fringewatch.products.raw import byte_order, file_size, inspect_companion, inspect_raw
from fringewatch.products.reference import Reader, Reference, file_name, is_remote, join, parent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import xarray as xr

    from fringewatch.products.raster import RasterInfo
    from fringewatch.products.raw import RawGrid
    from fringewatch.products.reference import Kind, ReadOptions

__all__ = ["READER"]

_EXTRA = r"(?:[._](?:sm|filt|filtered|adf|geo|utm|eqa|rdc|masked|\d+rlks))*"
_PHASE = re.compile(rf"(?:^|[._-])(?P<kind>diff|int|flt|unw){_EXTRA}$", re.IGNORECASE)
_COHERENCE = re.compile(rf"(?:^|[._-])(?:cc|cor|coh|smcc|cc_ad){_EXTRA}$", re.IGNORECASE)
_ON_MAP = re.compile(r"(?:^|[._-])(?:geo|utm|eqa)(?:[._-]|$)", re.IGNORECASE)
_HEADER = re.compile(r"(?:\.off|\.par|[._]par)$", re.IGNORECASE)
_GEOMETRY = {
    "lv_theta": re.compile(r"(?:^|[._-])lv_theta(?:\.geo)?$", re.IGNORECASE),
    "lv_phi": re.compile(r"(?:^|[._-])lv_phi(?:\.geo)?$", re.IGNORECASE),
    "height": re.compile(r"(?:^|[._-])(?:hgt|rdc\.dem|dem_seg)(?:\.geo)?$", re.IGNORECASE),
}
_MANY = 300
"""Headers looked at for one interferogram; a stack keeps one per image in a folder."""


def _claims(path: str) -> bool:
    name = file_name(path)
    if not (_PHASE.search(name) or _COHERENCE.search(name)) or is_remote(path):
        return False
    return any(_dates(path))


def _dates(path: str) -> tuple[str, str]:
    return dates(f"{file_name(parent(path))}/{file_name(path)}", short=True)


def _collect(paths: Sequence[str]) -> list[Reference]:
    pairs: dict[tuple[str, str], list[str]] = {}
    for path in paths:
        if _PHASE.search(file_name(path)):
            pairs.setdefault(_dates(path), []).append(path)
    return [Reference(path, READER.name, file_name(path)) for path in (min(pair, key=_rank) for pair in pairs.values())]


def _rank(path: str) -> tuple[bool, bool, bool, str]:
    """Order the files of one pair: geocoded, complex, filtered."""
    name = file_name(path).lower()
    filtered = any(word in name for word in ("filt", "adf", ".sm"))
    return _ON_MAP.search(name) is None, _kind(name) == "unwrapped", not filtered, name


def _kind(name: str) -> Kind | None:
    match = _PHASE.search(name)
    if match is None:
        return None
    return "unwrapped" if match["kind"].lower() == "unw" else "complex"


@dataclasses.dataclass(frozen=True, slots=True)
class _Header:
    """A parameter file, and the grid it describes."""

    path: str
    par: dict[str, str]
    grid: RawGrid | None
    notes: list[str]


def _read(reference: Reference, options: ReadOptions) -> xr.Dataset:
    path = reference.path
    kind = _kind(file_name(path))
    if kind is None:
        message = (
            f"{path}: is by its name a GAMMA file that goes with an interferogram, expected one ending in .diff, .int, "
            ".flt or .unw; name that one"
        )
        raise ProductError(message)
    headers = list(_headers(path))
    dtype = "complex64" if kind == "complex" else "float32"
    _, grid, notes = _fitting(path, headers, dtype)
    big_endian, judged = byte_order(path, dtype, big_endian=True)
    info = inspect_raw(path, grid, dtype, big_endian=big_endian)
    radians = read_radians(info, options, kind=kind, provider="GAMMA")
    companions = Companions(info, options.chunks, reference.companions)

    def inspect(companion: str) -> RasterInfo:
        return inspect_companion(companion, grid, big_endian=True)

    found: dict[str, Any] = {
        "coherence": companions.read("coherence", _coherence_paths(path), decode_coherence, inspect=inspect),
        "height": companions.read("height", _geometry_paths(path, "height", grid), decode_values, inspect=inspect),
    }
    theta, phi = (
        companions.read(name, _geometry_paths(path, name, grid), decode_nonzero, inspect=inspect)
        for name in ("lv_theta", "lv_phi")
    )
    # The acquisition's own header: one of the other images of a stack may come from another satellite.
    own = [one.par for one in headers if wavelength_m(one.par) is not None]
    image = own[0] if own else {}
    notes = [*notes, *judged]
    if theta is not None and phi is not None:
        found |= look.from_elevation(theta, phi)
    else:
        # azimuth_angle is where the antenna looks, clockwise from the flight direction.
        looking: Literal["left", "right"] = "left" if (number(image, "azimuth_angle") or 90) < 0 else "right"
        centre = look.of_centre(number(image, "incidence_angle"), number(image, "heading"), looking, grid.shape)
        found |= centre
        notes += ["the look vector is that of the scene's centre, from its parameter file"] if centre else []
    return assemble(
        info,
        options,
        radians,
        companions,
        product=READER.name,
        name=reference.name or file_name(path),
        found=found,
        dates=_dates(path),
        wavelength_m=wavelength_m(image),
        notes=notes,
    )


def _folders(path: str) -> list[str]:
    """Return where headers and geometry may be: with the pair, above it, and in the usual folders of a project."""
    folder = parent(path)
    above = [folder, parent(folder), parent(parent(folder))]
    days = [date.replace("-", "") for date in _dates(path) if date]
    beside = [join(place, name) for place in above for name in ("geo", "GEO", "DEM", "dem", "MLI", "mli")]
    images = [join(place, name, day) for place in above for name in ("SLC", "RSLC", "rslc") for day in days[:1]]
    return [*above, *beside, *images]


def _headers(path: str) -> Iterator[_Header]:
    """Yield the parameter files around a file: those that share its dates before those that do not, near before far."""
    days = [date.replace("-", "") for date in _dates(path) if date]
    names = [name for folder in _folders(path) for name in names_in(folder, _HEADER)][:_MANY]

    def strangeness(name: str) -> int:
        own = file_name(name)
        known = [day in own or day[2:] in own for day in days]
        other = re.search(r"(?<!\d)(?:\d{6}|\d{8})(?!\d)", own) is not None
        # A pair's own header, that of its reference image, one without a date, one of its secondary, the rest.
        return 0 if all(known) else 1 if known[0] else 2 if not other else 3 if any(known) else 4

    for name in sorted(dict.fromkeys(names), key=strangeness):
        par = read_par(name)
        described = grid_of(par, name)
        yield _Header(name, par, described[0] if described else None, described[1] if described else [])


class _Fit(NamedTuple):
    """A parameter file that describes the data, its grid, and what was assumed of it."""

    path: str
    grid: RawGrid
    notes: list[str]


def _fitting(path: str, headers: Sequence[_Header], dtype: str) -> _Fit:
    """Return the header whose rows and columns make the size of the file, by its name on a map or in radar geometry."""
    pixels = file_size(path) / np.dtype(dtype).itemsize
    described = [_Fit(one.path, one.grid, one.notes) for one in headers if one.grid is not None]
    fitting = [one for one in described if one.grid.shape[0] * one.grid.shape[1] == pixels]
    if not fitting:
        sizes = [f"{file_name(one.path)}: {one.grid.shape[0]} x {one.grid.shape[1]}" for one in described]
        looked = "; ".join(sizes[:4]) or "none was found beside or above it"
        message = (
            f"{path}: has no parameter file that fits its {pixels:g} pixels of {dtype} ({looked}), expected .off, "
            ".mli.par or .dem_par as GAMMA writes them; put that of this file beside it"
        )
        raise ProductError(message)
    on_map = _ON_MAP.search(file_name(path)) is not None
    best = min(fitting, key=lambda one: (one.grid.transform is not None) != on_map)
    rivals = [one for one in fitting if _differs(one.grid, best.grid)]
    said = [f"{file_name(one.path)} fits the file as well as {file_name(best.path)}, which was taken" for one in rivals]
    return best._replace(notes=[*best.notes, *said[:1]])


def _differs(one: RawGrid, other: RawGrid) -> bool:
    return one.shape != other.shape or (one.transform is None) != (other.transform is None)


def _coherence_paths(path: str) -> list[str]:
    """Return the coherence files of the pair in the folder, the one named most alike first."""
    name = file_name(path)
    pair = _dates(path)
    on_map = _ON_MAP.search(name) is not None
    found = [
        other
        for other in names_in(parent(path), _COHERENCE)
        if _dates(other) == pair and (_ON_MAP.search(file_name(other)) is not None) == on_map
    ]
    words = set(re.split(r"[._-]", name))
    return sorted(found, key=lambda other: -len(words.intersection(re.split(r"[._-]", file_name(other)))))


def _geometry_paths(path: str, name: str, grid: RawGrid) -> list[str]:
    """Return the files of a kind that have a float32 for each pixel of the phase; others belong to another grid."""
    size = grid.shape[0] * grid.shape[1] * np.dtype("float32").itemsize
    names = [found for folder in _folders(path) for found in names_in(folder, _GEOMETRY[name])]
    return [found for found in names if file_size(found) == size]


def _beside(reference: Reference) -> list[str]:
    path = reference.path
    kind = _kind(file_name(path))
    if kind is None or is_remote(path):
        return []
    headers = list(_headers(path))
    try:
        fit = _fitting(path, headers, "complex64" if kind == "complex" else "float32")
    except ProductError:
        return []
    geometry = [_geometry_paths(path, name, fit.grid)[:1] for name in _GEOMETRY]
    return [fit.path, *_coherence_paths(path)[:1], *(found for paths in geometry for found in paths)]


READER = Reader("gamma", _claims, _collect, _read, _beside)
