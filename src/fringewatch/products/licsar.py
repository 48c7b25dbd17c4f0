"""COMET LiCSAR: geocoded Sentinel-1 pairs of a frame, the products of the LiCS portal.

Layout on the portal (or flat, or as the time-series tool LiCSBAS keeps it in ``GEOC``)::

    128D_09016_110500/
        metadata/128D_09016_110500.geo.{E,N,U,hgt}.tif
        interferograms/20180601_20180613/20180601_20180613.geo.{diff_pha,diff_unfiltered_pha,unw,cc}.tif

EPSG:4326, 0.001 degrees; phase exactly 0 is no data; coherence is uint8 0..255, in some generations float 0..1; E, N
and U are the unit vector from the ground to the satellite.

Sign: LiCSAR declares none in its files. LiCSBAS, which its authors publish for these products, turns the unwrapped
phase into displacement towards the satellite by ``-wavelength / (4 pi)``, so the phase grows with range, as ours does.

References
----------
Lazecky et al. (2020), LiCSAR: an automatic InSAR tool for measuring and monitoring tectonic and volcanic activity,
Remote Sensing 12(15), 2430. Morishita et al. (2020), LiCSBAS, Remote Sensing 12(3), 424, equation 7.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fringewatch.conventions import SENTINEL1_WAVELENGTH_M
from fringewatch.errors import ProductError
from fringewatch.interferogram import make_interferogram
from fringewatch.products import common
from fringewatch.products.decode import PhaseDecoder, unwrapped_range
from fringewatch.products.names import dates
from fringewatch.products.reference import Reader, Reference, file_name, is_remote, join, parent, stem

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from fringewatch.products.reference import ReadOptions

__all__ = ["READER", "frame_id"]

_FRAME = re.compile(r"(?<!\d)\d{3}[AD]_\d{5}_\d{6}(?!\d)")
_PHASE_KINDS = ("diff_pha", "diff_unfiltered_pha", "unw")
_PHASE = re.compile(rf"(?P<pair>\d{{8}}_\d{{8}})\.geo\.(?P<kind>{'|'.join(_PHASE_KINDS)})\.tiff?$")
_ANY = re.compile(r"\.geo\.[\w.]+\.(?:tiff?|png)$|\.(?:sltd|tide|iono)\.geo\.tiff?$")
_GEOMETRY = {"los_east": "E", "los_north": "N", "los_up": "U", "height": "hgt"}


def frame_id(path: str) -> str:
    """Return the frame (``128D_09016_110500``: track, direction, position) that a path names, or ``""``."""
    found = _FRAME.findall(path)
    return found[-1] if found else ""


def _claims(path: str) -> bool:
    return _ANY.search(file_name(path)) is not None


def _collect(paths: Sequence[str]) -> list[Reference]:
    pairs: dict[str, dict[str, str]] = {}
    for path in paths:
        match = _PHASE.search(file_name(path))
        if match:
            before = file_name(path)[: match.end("pair")]
            pairs.setdefault(before, {})[match["kind"]] = path
    chosen = (next(kinds[kind] for kind in _PHASE_KINDS if kind in kinds) for kinds in pairs.values())
    return [Reference(path, READER.name, _name(path)) for path in chosen]


def _name(path: str) -> str:
    frame = frame_id(path)
    name = stem(path)
    return name if not frame or frame in name else f"{frame}_{name}"


def _read(reference: Reference, options: ReadOptions) -> xr.Dataset:
    path = reference.path
    match = _PHASE.search(file_name(path))
    if match is None:
        message = (
            f"{path}: is by its name a LiCSAR file that goes with an interferogram, expected one of "
            f"{', '.join(f'.geo.{kind}.tif' for kind in _PHASE_KINDS)}; name that one"
        )
        raise ProductError(message)
    info = common.inspect(path)
    band = options.band or 1
    dtype = np.dtype(info.dtypes[band - 1])
    assumptions: list[str] = []
    kind = "unwrapped" if match["kind"] == "unw" else "wrapped"
    if dtype.kind == "c":
        kind = "complex"
        assumptions.append("the file holds complex numbers where LiCSAR writes phase; their angle is the phase")
    elif dtype.kind != "f":
        message = f"{path}: holds {dtype}, expected float32 radians as LiCSAR writes them; fetch it again"
        raise ProductError(message)
    if options.kind in {"wrapped", "unwrapped"}:
        kind = options.kind
    raw = common.read(info, bands=(band,), chunks=options.chunks)
    nodata = options.nodata if options.nodata is not None else info.nodata[band - 1]
    total_range = None
    if kind == "unwrapped":
        blocks = [block for block, _ in common.sample(info, raw[0], band=band)]
        total_range = unwrapped_range(blocks, nodata, zero_is_nodata=True)
        if not isinstance(raw, np.ndarray):
            assumptions.append("unwrapped_range_rad is that of a sample of the scene: a lower bound")
    decoder = PhaseDecoder(
        source=path, kind=kind, nodata=nodata, zero_is_nodata=True, negate=options.phase_sign == "range decrease"
    )
    companions, notes = _companions(reference, info, options)
    reference_date, secondary_date = dates(match["pair"])
    crs = info.crs
    if crs is None and info.transform is not None:
        crs = "EPSG:4326"
        assumptions.append("the file names no coordinate system; EPSG:4326 was assumed, as LiCSAR uses")
    return make_interferogram(
        common.convert(raw, decoder),
        wavelength_m=options.wavelength_m or SENTINEL1_WAVELENGTH_M,
        source=path,
        product=READER.name,
        name=reference.name or _name(path),
        reference_date=reference_date,
        secondary_date=secondary_date,
        unwrapped_range_rad=total_range,
        transform=info.transform,
        crs=crs,
        assumptions=[*assumptions, *notes],
        companions=companions,
    )


def _companions(
    reference: Reference, onto: common.RasterInfo, options: ReadOptions
) -> tuple[dict[str, Any], list[str]]:
    """Read what goes with a pair, where it is found and fits; say what is missing."""
    found: dict[str, Any] = {}
    missing: list[str] = []
    notes: list[str] = []
    for variable in ("coherence", *_GEOMETRY):
        paths = (
            [reference.companions[variable]] if variable in reference.companions else _candidates(reference, variable)
        )
        info = None
        for path in paths:
            if not is_remote(path) and not Path(path).is_file():
                continue
            try:
                info = common.inspect(path)
                break
            except ProductError as error:
                if not is_remote(path):
                    notes.append(f"{variable} was left out: {error}")
        if info is None:
            missing.append(variable)
            continue
        decoder = _Coherence() if variable == "coherence" else _Geometry(info.nodata[0], zero=variable != "height")
        array = common.convert(common.read(info, chunks=options.chunks), decoder)
        aligned = common.align(array, info, onto)
        if aligned is None:
            notes.append(
                f"{variable} was left out: {info.path} ({info.shape[0]} x {info.shape[1]}) is not on the grid of the "
                f"phase ({onto.shape[0]} x {onto.shape[1]})"
            )
        else:
            found[variable] = aligned
    if missing:
        notes.append(f"not found beside the interferogram: {', '.join(missing)}")
    return found, notes


def _candidates(reference: Reference, variable: str) -> list[str]:
    path = reference.path
    folder = parent(path)
    match = _PHASE.search(file_name(path))
    if variable == "coherence":
        before = file_name(path)[: match.end("pair")] if match else stem(path)
        return [join(folder, f"{before}.geo.cc.tif")]
    ending = f".geo.{_GEOMETRY[variable]}.tif"
    frame = frame_id(path)
    folders = [folder, parent(folder), parent(parent(folder))]
    places = [place for base in folders for place in (base, join(base, "metadata"))]
    if is_remote(path):
        # A listing is not to be had: the portal's own place is the only one worth a request.
        return [join(folders[2], "metadata", frame + ending)] if frame else []
    named = [join(place, frame + ending) for place in places if frame]
    return named + [str(other) for place in places for other in sorted(Path(place).glob(f"*{ending}"))]


class _Coherence:
    """Coherence of either generation: integers are 255ths, 0 is no data."""

    def __call__(self, bands: np.ndarray) -> np.ndarray:
        raw = bands[0]
        values = raw.astype(np.float32) / np.float32(255 if raw.dtype.kind in "iu" else 1)
        values[~(values > 0)] = np.nan
        return np.clip(values, 0, 1)


class _Geometry:
    """A height or a component of the unit vector; its no-data value becomes NaN."""

    def __init__(self, nodata: float | None, *, zero: bool) -> None:
        self.nodata = nodata
        self.zero = zero

    def __call__(self, bands: np.ndarray) -> np.ndarray:
        values = bands[0].astype(np.float32)
        if self.nodata is not None:
            values[bands[0] == self.nodata] = np.nan
        if self.zero:
            values[values == 0] = np.nan
        return values


READER = Reader("licsar", _claims, _collect, _read)
