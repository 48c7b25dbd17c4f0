"""ISCE2: topsApp, topsStack, stripmapApp, stripmapStack and alos2App, in radar geometry or geocoded.

Raw files, each with a header ``<file>.xml`` and a ``<file>.vrt`` for other programs::

    merged/filt_topophase.flat(.geo)        complex       topsApp; stripmapApp in interferogram/
    merged/filt_topophase.unw(.geo)         2 bands       amplitude, unwrapped phase (radians)
    merged/phsig.cor(.geo), topophase.cor   coherence     the last band
    merged/interferograms/<pair>/filt_fine.int, .unw, .cor            topsStack
    Igrams/<pair>/filt_<pair>.int, .unw, .cor                         stripmapStack
    merged/los.rdr(.geo)                    2 bands       incidence, and direction to the satellite (degrees)
    merged/lat.rdr, lon.rdr, z.rdr or hgt.rdr(.geo)

The geometry may also lie in ``geom_reference`` above the pair. GDAL's ISCE driver reads them; a ``.vrt`` alone will do
if it describes raw files in its own folder. Of what is in one folder, geocoded comes before radar geometry and wrapped
before unwrapped. Exactly 0 is no data.

Sign: the interferogram is the reference times the conjugate of the secondary, and an echo's phase is
``-4 pi range / wavelength``: so the phase grows with range, and is not turned round. MintPy reads it so too.

``los.rdr`` holds the incidence at the ground, and the horizontal direction from the ground to the satellite counted
counter-clockwise from north. Wavelength and, where no name tells them, dates come from the annotations
``reference/IW*.xml`` and ``secondary/IW*.xml`` of the run; the pickled ones of stripmap runs are never opened.

References
----------
Rosen et al. (2012), The InSAR Scientific Computing Environment, EUSAR 2012, 730-733.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fringewatch.errors import ProductError
from fringewatch.products import look, raster
from fringewatch.products.assemble import assemble
from fringewatch.products.companions import Companions, decode_coherence, decode_nonzero, decode_values
from fringewatch.products.names import dates
from fringewatch.products.radians import read_radians
from fringewatch.products.raw import check_size, file_size
from fringewatch.products.reference import Reader, Reference, file_name, first_file, is_remote, join, parent
from fringewatch.products.xml_files import inside, parse_xml

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from xml.etree.ElementTree import Element

    import xarray as xr

    from fringewatch.products.raster import RasterInfo
    from fringewatch.products.reference import Kind, ReadOptions

__all__ = ["READER"]

_HEADER = re.compile(r"\.(?:xml|vrt|hdr|aux\.xml)$", re.IGNORECASE)
_PHASE = re.compile(r"(?:^|[._])(?P<kind>int|flat|unw)(?P<geo>\.geo)?$", re.IGNORECASE)
_OTHER = re.compile(r"\.(?:cor|amp|conncomp|rdr|msk|off|bil|slc|mli|dem|wgs84)(?:\.(?:full|geo|crop))*$", re.IGNORECASE)
_GEOMETRY_FOLDERS = ("", "geom_reference", "geom_master", "geometry")
_ANNOTATIONS = {
    "reference": ("reference/IW*.xml", "master/IW*.xml", "*.track.xml"),
    "secondary": ("secondary/IW*.xml", "slave/IW*.xml"),
}
_LEVELS = 4
"""How far above an interferogram its run's folders may lie: those of the pair, of all pairs, ``merged``, the run."""


def _base(path: str) -> str:
    """Return the raw file that a path belongs to."""
    return _HEADER.sub("", path)


def _claims(path: str) -> bool:
    base = _base(path)
    if is_remote(path) or file_name(base) == "":
        return False
    name = file_name(base)
    if _PHASE.search(name) or _OTHER.search(name):
        return os.path.isfile(f"{base}.xml") or os.path.isfile(f"{base}.vrt")  # noqa: PTH113  (asked for every file)
    # Any other image of ISCE; a .vrt without the rest is somebody else's mosaic.
    return path != base and os.path.isfile(f"{base}.xml") and os.path.isfile(base)  # noqa: PTH113


def _collect(paths: Sequence[str]) -> list[Reference]:
    scenes: dict[tuple[str, str], list[str]] = {}
    for path in paths:
        base = _base(path)
        if _PHASE.search(file_name(base)):
            pair = "_".join(dates(file_name(base), short=True))
            scenes.setdefault((parent(base), pair), []).append(path)
    return [Reference(path, READER.name, _name(path)) for path in (min(scene, key=_rank) for scene in scenes.values())]


def _rank(path: str) -> tuple[bool, ...]:
    """Order the files of one pair: geocoded, wrapped, filtered, and the data itself first."""
    name = file_name(_base(path))
    match = _PHASE.search(name)
    unwrapped = match is not None and match["kind"].lower() == "unw"
    return not (match and match["geo"]), unwrapped, not name.startswith("filt_"), path != _base(path)


def _name(path: str) -> str:
    # Files of all pairs have one name, and their folders the dates.
    name, folder = file_name(_base(path)), file_name(parent(path))
    return f"{folder}_{name}" if any(dates(folder, short=True)) and not any(dates(name, short=True)) else name


def _read(reference: Reference, options: ReadOptions) -> xr.Dataset:
    base = _base(reference.path)
    match = _PHASE.search(file_name(base))
    if match is None:
        message = (
            f"{reference.path}: is by its name an ISCE file that goes with an interferogram, expected one ending in "
            ".int, .flat or .unw (with .geo where geocoded); name that one"
        )
        raise ProductError(message)
    info = _inspect(base)
    unwrapped = match["kind"].lower() == "unw"
    kind: Kind = "unwrapped" if unwrapped else "complex"
    # Amplitude first, where there are two; some unwrappers write the phase alone.
    radians = read_radians(info, options, kind=kind, provider="ISCE", band=len(info.dtypes) if unwrapped else 1)
    pair = dates("/".join(Path(base).parts[-3:]), short=True)
    annotation = _annotation(base, "reference")
    if not any(pair):
        pair = annotation.date, _annotation(base, "secondary").date
    companions = Companions(info, options.chunks, reference.companions)
    found: dict[str, Any] = {
        "coherence": companions.read("coherence", _coherence_paths(base), decode_coherence, band=-1, inspect=_inspect),
        "height": companions.read("height", _geometry(base, info, "hgt", "z"), decode_values, inspect=_inspect),
    }
    los = _geometry(base, info, "los")
    incidence = companions.read("incidence", los, decode_values, band=1, inspect=_inspect)
    azimuth = companions.read("azimuth", los, decode_values, band=2, inspect=_inspect)
    if incidence is not None and azimuth is not None:
        found |= look.from_incidence(incidence, -azimuth)
    if info.transform is None:
        for name in ("lat", "lon"):
            found[name] = companions.read(name, _geometry(base, info, name), decode_nonzero, inspect=_inspect)
    return assemble(
        info,
        options,
        radians,
        companions,
        product=READER.name,
        name=reference.name or _name(reference.path),
        found=found,
        dates=pair,
        wavelength_m=annotation.wavelength_m,
    )


def _inspect(path: str) -> RasterInfo:
    """Open an image by its ISCE header, or where there is none by its .vrt, once that has been looked at."""
    base = _base(path)
    if Path(f"{base}.xml").is_file() and Path(base).is_file():
        # GDAL reads it too, but not as strictly.
        parse_xml(f"{base}.xml")
        info = raster.inspect(base, driver="ISCE")
        check_size(base, info.shape, sum(np.dtype(dtype).itemsize for dtype in info.dtypes))
    elif Path(f"{base}.vrt").is_file():
        _check_vrt(f"{base}.vrt")
        info = raster.inspect(f"{base}.vrt", driver="VRT")
    else:
        message = f"{base}: is not there with its header, expected {file_name(base)}.xml or .vrt beside it; fetch both"
        raise ProductError(message)
    transform = info.transform
    if transform is not None and info.crs is not None and info.crs.is_geographic:
        # Radar images carry line and sample numbers where geocoded ones have degrees.
        height, width = info.shape
        south, east = transform.f + transform.e * height, transform.c + transform.a * width
        degrees = max(abs(transform.f), abs(south)) <= 90.1 and max(abs(transform.c), abs(east)) <= 540
        if not degrees or abs(transform.a) >= 0.5:
            info = info.without_grid()
    return info


def _check_vrt(path: str) -> None:
    """Refuse a .vrt that describes anything but raw files in its own folder, or more than they hold."""
    root = parse_xml(path)
    height, width = (_number(root.get(key), path) for key in ("rasterYSize", "rasterXSize"))
    bands = root.findall("VRTRasterBand")
    if not bands or any(band.get("subClass") != "VRTRawRasterBand" for band in bands):
        message = (
            f"{path}: is not a description of raw files, expected the .vrt that ISCE writes; read what it stands for, "
            "or turn it into a GeoTIFF with gdal_translate"
        )
        raise ProductError(message)
    for band in bands:
        source = inside(parent(path), band.findtext("SourceFilename") or "", header=path)
        offsets = [_number(band.findtext(key, "0"), path) for key in ("ImageOffset", "LineOffset", "PixelOffset")]
        # The last pixel begins here; GDAL fills what a file lacks with zeros.
        if file_size(source) <= offsets[0] + (height - 1) * offsets[1] + (width - 1) * offsets[2]:
            message = f"{source}: is shorter than {path} says, expected {height} x {width} pixels; fetch it again"
            raise ProductError(message)


def _number(text: str | None, path: str) -> int:
    try:
        return int(text or "")
    except ValueError as error:
        message = f"{path}: has {text!r} where a whole number is needed; write it anew with isce2gis.py"
        raise ProductError(message) from error


def _coherence_paths(base: str) -> list[str]:
    """Return the coherence of an interferogram, likeliest first."""
    ending = ".cor.geo" if base.endswith(".geo") else ".cor"
    stem = _PHASE.sub("", file_name(base))
    # Unwrappers put their name behind that of the interferogram.
    stems = [stem, *(stem.removesuffix(f"_{how}") for how in ("snaphu", "msk", "snaphu_msk", "2stage", "icu"))]
    # alos2App names the coherence after the looks alone: filt_A-B_5rlks_28alks.int, A-B_5rlks_28alks.cor.
    stems += [each.removeprefix("filt_").removeprefix("diff_") for each in stems]
    names = [f"{name}{ending}" for name in (*dict.fromkeys(stems), "topophase", "phsig")]
    return [join(parent(base), name) for name in names]


def _geometry(base: str, info: RasterInfo, *names: str) -> list[str]:
    """Return where a geometry file may be; of those there, the ones with as many pixels as the phase first."""
    endings = (".rdr.geo",) if info.transform is not None else (".rdr", ".rdr.full")
    folders = [join(above, folder) for above in _above(base) for folder in _GEOMETRY_FOLDERS]
    paths = [join(folder, name + ending) for folder in folders for name in names for ending in endings]
    # alos2App: A-B_5rlks_28alks.los beside the interferogram.
    stem, geo = _PHASE.sub("", file_name(base)), ".geo" * base.endswith(".geo")
    looks = stem.removesuffix("_msk").removeprefix("filt_").removeprefix("diff_")
    paths += [join(parent(base), f"{looks}.{name}{geo}") for name in names]
    if geo and "hgt" in names:
        # What topsApp cut the DEM to for geocoding, on the grid of all it geocoded.
        paths += [join(folder, "dem.crop") for folder in _above(base)]
    there = [path for path in paths if Path(path).is_file()]
    return sorted(there, key=lambda path: not _fits(path, info)) if len(there) > 1 else there


def _fits(path: str, info: RasterInfo) -> bool:
    try:
        return _inspect(path).shape == info.shape
    except ProductError:
        return False


def _above(base: str) -> Iterator[str]:
    folder = parent(base)
    for _ in range(_LEVELS):
        yield folder
        folder = parent(folder)


@dataclasses.dataclass(frozen=True, slots=True)
class _Annotation:
    """What the annotation of an acquisition tells: the wavelength in metres or None, the ISO date or ``""``."""

    wavelength_m: float | None = None
    date: str = ""


def _annotation(base: str, role: str) -> _Annotation:
    """Return what the run that made a file says of its reference or secondary acquisition; nothing where it is gone."""
    for folder in _above(base):
        for pattern in _ANNOTATIONS[role]:
            found = min(Path(folder).glob(pattern), default=None)
            if found is not None:
                return _cached_annotation(str(found), found.stat().st_mtime_ns)
    return _Annotation()


@functools.lru_cache(maxsize=64)
def _cached_annotation(path: str, _changed_ns: int) -> _Annotation:
    # Some MB, and the same for every pair of a stack.
    root = parse_xml(path)
    try:
        wavelength_m = float(_property(root, "radarwavelength"))
    except ValueError:
        wavelength_m = None
    start = re.match(r"\d{4}-\d{2}-\d{2}", _property(root, "sensingstart"))
    return _Annotation(wavelength_m, start[0] if start else "")


def _property(root: Element, name: str) -> str:
    for element in root.iter("property"):
        if element.get("name", "").lower() == name:
            return (element.findtext("value") or element.text or "").strip()
    return ""


def _beside(reference: Reference) -> list[str]:
    base = _base(reference.path)
    headers = [path for path in (f"{base}.xml", f"{base}.vrt") if Path(path).is_file()]
    try:
        info = _inspect(base)
    except ProductError:
        return headers
    geometry = [_geometry(base, info, *names) for names in (("hgt", "z"), ("los",), ("lat",), ("lon",))]
    found = [*first_file(_coherence_paths(base)), *(path for paths in geometry for path in paths[:1])]
    return headers + found


READER = Reader("isce", _claims, _collect, _read, _beside)
