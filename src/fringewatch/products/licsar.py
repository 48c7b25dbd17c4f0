"""COMET LiCSAR: geocoded Sentinel-1 pairs of a frame, the products of the LiCS portal.

Layout on the portal (also read: without ``interferograms``, flat, or as LiCSBAS keeps them in ``GEOC``)::

    128D_09016_110500/
        metadata/128D_09016_110500.geo.{E,N,U,hgt}.tif
        interferograms/20180601_20180613/20180601_20180613.geo.{diff_pha,diff_unfiltered_pha,unw,cc}.tif

EPSG:4326, 0.001 degrees; phase exactly 0 is no data; coherence is uint8 0..255, in some generations float 0..1; E, N
and U are the unit vector from the ground to the satellite. A pair folder gives one interferogram: the filtered wrapped
phase, else the unfiltered, else the unwrapped.

Sign: the files declare none. LiCSBAS, the time-series package written for these products, turns their unwrapped phase
into displacement towards the satellite by the factor ``-wavelength / (4 pi)``; so the phase grows with range, as ours
does, and is not turned round.

References
----------
Lazecky et al. (2020), LiCSAR: an automatic InSAR tool for measuring and monitoring tectonic and volcanic activity,
Remote Sensing 12(15), 2430. Morishita et al. (2020), LiCSBAS: an open-source InSAR time series analysis package
integrated with the LiCSAR automated Sentinel-1 InSAR processor, Remote Sensing 12(3), 424.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fringewatch.conventions import SENTINEL1_WAVELENGTH_M
from fringewatch.errors import ProductError
from fringewatch.files import ensure_folder
from fringewatch.interferogram import make_interferogram, with_companions
from fringewatch.products import look, raster
from fringewatch.products.companions import KEPT_PIXELS, Companions, decode_coherence, decode_nonzero, decode_values
from fringewatch.products.describe import date_assumptions, grid_assumptions
from fringewatch.products.grid import Grid, grid_of_phase
from fringewatch.products.listing import names_in
from fringewatch.products.names import dates
from fringewatch.products.radians import read_radians
from fringewatch.products.reference import Reader, Reference, file_name, first_file, is_remote, join, parent, stem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import xarray as xr

    from fringewatch.products.reference import Kind, ReadOptions

__all__ = ["FRAME", "READER", "frame_id", "write_licsar"]

FRAME = re.compile(r"(?<!\d)\d{3}[AD]_\d{5}_\d{6}(?!\d)")
"""Track, direction, and position of a LiCSAR frame: ``128D_09016_110500``."""

_PHASE_KINDS = ("diff_pha", "diff_unfiltered_pha", "unw")
# Users cut frames to their volcano and name the result so; its companions carry the same ending.
_CUT = r"(?P<cut>(?:[._](?:crop|cut|clip|mask)\w*)?)"
_PHASE = re.compile(rf"(?P<pair>\d{{8}}_\d{{8}})\.geo\.(?P<kind>{'|'.join(_PHASE_KINDS)}){_CUT}\.tiff?$")
_OTHER = re.compile(
    r"\.geo\.(?:cc|mag_cc|E|N|U|hgt|mli|landmask|rng|azi|inc|iono(?:\.code)?|tide|mask|"
    rf"s?bovldiff(?:\.adf)?(?:\.(?:mm|cc|coh))?){_CUT}\.tiff?$"
    r"|\.(?:sltd|tide|iono)\.geo\.tiff?$"
    r"|\.geo\.(?:diff|diff_unfiltered|unw|cc|mag_cc|disp|azi|rng|s?bovldiff(?:\.adf)?)(?:\.full|_blk|_small)?"
    r"\.(?:png|kmz)$"
)
_GEOMETRY = {"los_east": "E", "los_north": "N", "los_up": "U", "height": "hgt"}
_GEOMETRY_NAME = re.compile(rf"\.geo\.(?:{'|'.join(_GEOMETRY.values())}){_CUT}\.tif$")


def frame_id(path: str) -> str:
    """Return the frame that a path names, or ``""``."""
    found = FRAME.findall(path)
    return found[-1] if found else ""


def _claims(path: str) -> bool:
    name = file_name(path)
    return _PHASE.search(name) is not None or _OTHER.search(name) is not None


def _collect(paths: Sequence[str]) -> list[Reference]:
    pairs: dict[tuple[str, str], dict[str, str]] = {}
    for path in paths:
        match = _PHASE.search(file_name(path))
        if match:
            before = file_name(path)[: match.end("pair")]
            pairs.setdefault((before, match["cut"]), {})[match["kind"]] = path
    chosen = (next(kinds[kind] for kind in _PHASE_KINDS if kind in kinds) for kinds in pairs.values())
    return [Reference(path, READER.name, _name(path)) for path in chosen]


def _name(path: str) -> str:
    # Pairs of neighbouring frames share their dates.
    frame, name = frame_id(path), stem(path)
    return name if not frame or frame in name else f"{frame}_{name}"


def _read(reference: Reference, options: ReadOptions) -> xr.Dataset:
    path = reference.path
    info = raster.inspect(path)
    match = _PHASE.search(file_name(path))
    if match is None:
        message = (
            f"{path}: is by its name a LiCSAR file that goes with an interferogram, expected one of "
            f"{', '.join(f'.geo.{kind}.tif' for kind in _PHASE_KINDS)}; name that one"
        )
        raise ProductError(message)
    kind: Kind = "unwrapped" if match["kind"] == "unw" else "wrapped"
    radians = read_radians(info, options, kind=kind, provider="LiCSAR")
    assumptions = list(radians.assumptions)
    companions = Companions(info, options.chunks, reference.companions)
    found = _read_companions(path, match, companions) if options.companions else {}
    crs = info.crs
    if crs is None and info.transform is not None:
        crs = "EPSG:4326"
        assumptions.append("the file names no coordinate system; EPSG:4326 was assumed, which LiCSAR uses")
    else:
        assumptions += grid_assumptions(info)
    reference_date, secondary_date = dates(match["pair"])
    return make_interferogram(
        radians.phase,
        wavelength_m=options.wavelength_m or SENTINEL1_WAVELENGTH_M,
        source=path,
        product=READER.name,
        name=reference.name or _name(path),
        reference_date=reference_date,
        secondary_date=secondary_date,
        unwrapped_range_rad=radians.unwrapped_range_rad,
        transform=info.transform,
        crs=crs,
        assumptions=[*assumptions, *date_assumptions(reference_date, secondary_date), *companions.sentences()],
        companions=found,
        decoded=True,
    )


def _complete(reference: Reference, options: ReadOptions, interferogram: xr.Dataset, rows: slice | None) -> xr.Dataset:
    path = reference.path
    match = _PHASE.search(file_name(path))
    if match is None:
        return _read(reference, options)
    companions = Companions(grid_of_phase(interferogram, path), options.chunks, reference.companions, rows)
    found = _read_companions(path, match, companions)
    return with_companions(interferogram, found, companions.sentences())


def _read_companions(path: str, match: re.Match[str], companions: Companions) -> dict[str, raster.Array]:
    found: dict[str, raster.Array | None] = {
        "coherence": companions.read("coherence", _coherence_paths(path, match), decode_coherence)
    }
    paths = _geometry_paths(path, match["cut"])
    if companions.rows is not None and isinstance(companions.onto, Grid) and not is_remote(path):
        found |= _shared_geometry(paths, companions, companions.onto)
    else:
        found |= _read_geometry(paths, companions)
    return {variable: values for variable, values in found.items() if values is not None}


def _read_geometry(paths: Mapping[str, Iterable[str]], companions: Companions) -> dict[str, raster.Array | None]:
    found = {
        variable: companions.read(variable, candidates, decode_values if variable == "height" else decode_nonzero)
        for variable, candidates in paths.items()
    }
    return found | look.unit_vectors(found)


def _shared_geometry(
    paths: Mapping[str, Iterable[str]], companions: Companions, onto: Grid
) -> dict[str, raster.Array | None]:
    """Return the geometry of a frame without a copy for each of its pairs, of which there may be hundreds."""
    if onto.shape[0] * onto.shape[1] > KEPT_PIXELS:
        return _read_geometry(paths, companions)
    given = companions.given
    chosen = {
        variable: given.get(variable) or next(iter(first_file(candidates)), "")
        for variable, candidates in paths.items()
    }
    files = tuple((variable, *_stamped(path)) for variable, path in chosen.items())
    found, kept = _kept_geometry(_Geometry(files, onto))
    companions.missing += kept.missing
    companions.notes += kept.notes
    return found


@dataclasses.dataclass(frozen=True)
class _Geometry:
    """Variable, path ("" = none), size and time of each file, and the grid that they are wanted on."""

    files: tuple[tuple[str, str, int, int], ...]
    onto: Grid


def _stamped(path: str) -> tuple[str, int, int]:
    try:
        status = os.stat(path)  # noqa: PTH116  (as in the journal of a run: a Path costs much more)
    except (OSError, ValueError):
        return path, 0, 0
    return path, status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=2)
def _kept_geometry(geometry: _Geometry) -> tuple[dict[str, raster.Array | None], Companions]:
    companions = Companions(geometry.onto, None, {})
    paths = {variable: [path] if path else [] for variable, path, *_ in geometry.files}
    found = _read_geometry(paths, companions)
    for values in found.values():
        if values is not None:
            values.flags.writeable = False
    return found, companions


def _coherence_paths(path: str, match: re.Match[str]) -> list[str]:
    before = file_name(path)[: match.end("pair")]
    return [join(parent(path), f"{before}.geo.cc{match['cut']}.tif")]


def _beside(reference: Reference) -> list[str]:
    path = reference.path
    match = _PHASE.search(file_name(path))
    if match is None or is_remote(path):
        return []
    candidates = [_coherence_paths(path, match), *_geometry_paths(path, match["cut"]).values()]
    return [file for paths in candidates for file in first_file(paths)]


def _geometry_paths(path: str, cut: str) -> Mapping[str, Sequence[str]]:
    """Return where a frame's geometry may be: beside the pair, in the frame's folder, in its metadata folder."""
    frame = frame_id(path)
    folder = parent(path)
    above = parent(parent(folder))
    if is_remote(path):
        # A listing is not to be had: the portal's own place is the only one worth a request; a look into a zip is none.
        bases = (above, parent(folder)) if path.startswith("/vsizip/") else (above,)
        return {
            variable: [join(base, "metadata", frame + ending) for base in bases if frame]
            for variable, ending in _endings(cut).items()
        }
    places = _places(folder, above)
    return _sorted_geometry(tuple(names_in(place, _GEOMETRY_NAME) for place in places), frame, cut)


@functools.lru_cache(maxsize=1024)
def _places(folder: str, above: str) -> tuple[str, ...]:
    return tuple(place for base in (folder, parent(folder), above) for place in (base, join(base, "metadata")))


@functools.lru_cache(maxsize=256)
def _sorted_geometry(listings: tuple[tuple[str, ...], ...], frame: str, cut: str) -> Mapping[str, Sequence[str]]:
    """Return the files of each variable, those of the frame first; the pairs of a frame have them in common."""
    found = [name for names in listings for name in names]
    if frame:
        # A file of another frame would be on another grid, and is then left out with a note.
        found.sort(key=lambda name: not file_name(name).startswith(f"{frame}.geo."))
    return {
        variable: tuple(name for name in found if name.endswith(ending)) for variable, ending in _endings(cut).items()
    }


def _endings(cut: str) -> dict[str, str]:
    return {variable: f".geo.{letter}{cut}.tif" for variable, letter in _GEOMETRY.items()}


def write_licsar(
    folder: str | Path,
    dataset: xr.Dataset,
    *,
    frame: str,
    reference_date: str,
    secondary_date: str,
) -> Path:
    """Write an interferogram as LiCSAR would, for examples, tests and exchange.

    Below `folder`: ``<frame>/<pair>/<pair>.geo.diff_pha.tif``, ``.geo.cc.tif`` where there is a coherence, and
    ``<frame>/metadata/<frame>.geo.{E,N,U,hgt}.tif`` where there are a line of sight and a height. Float32 (coherence
    uint8), DEFLATE, 0 = no data. Valid phase of exactly 0 is written as 1e-6 rad and valid coherence as at least
    1/255, so that nothing valid becomes no data; reading gives back phase exactly but for that, and coherence to half
    a 255th. Heights have no such value: NaN is written as 0.

    Parameters
    ----------
    folder
        Where the frame's folder is made.
    dataset
        An interferogram on a north-up grid in EPSG:4326.
    frame
        ``128D_09016_110500``: track, A or D, position, burst counts.
    reference_date, secondary_date
        ISO ``YYYY-MM-DD`` or ``YYYYMMDD``.

    Returns
    -------
    pathlib.Path
        The phase.

    Raises
    ------
    ProductError
        If the frame, a date or the grid is not of that form.
    OutputError
        If a file cannot be written.
    """
    import rioxarray  # noqa: F401  (registers the .rio accessor)

    pair = f"{reference_date}_{secondary_date}".replace("-", "")
    if FRAME.fullmatch(frame) is None or dates(pair) == ("", ""):
        message = (
            f"frame = {frame!r}, pair = {pair!r}: expected a frame like '128D_09016_110500' and dates like '2018-06-01'"
        )
        raise ProductError(message)
    crs = dataset.rio.crs
    if crs is None or crs.to_epsg() != 4326:
        message = f"dataset: its coordinate system is {crs or 'unknown'}, expected EPSG:4326; reproject it first"
        raise ProductError(message)
    pair_folder = ensure_folder(Path(folder) / frame / pair)
    metadata = Path(folder) / frame / "metadata"
    transform = dataset.rio.transform()
    phase = _filled(dataset["phase"].values)
    phase[(dataset["phase"].values == 0)] = 1e-6
    target = pair_folder / f"{pair}.geo.diff_pha.tif"
    raster.write(target, phase, crs=crs, transform=transform, nodata=0)
    if "coherence" in dataset:
        coherence = dataset["coherence"].values
        levels = np.where(np.isfinite(coherence), np.clip(np.rint(_filled(coherence) * 255), 1, 255), 0)
        raster.write(
            pair_folder / f"{pair}.geo.cc.tif", levels.astype(np.uint8), crs=crs, transform=transform, nodata=0
        )
    for variable, letter in _GEOMETRY.items():
        if variable in dataset:
            ensure_folder(metadata)
            raster.write(
                metadata / f"{frame}.geo.{letter}.tif",
                _filled(dataset[variable].values),
                crs=crs,
                transform=transform,
                nodata=None if variable == "height" else 0,
            )
    return target


def _filled(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, 0).astype(np.float32)


READER = Reader("licsar", _claims, _collect, _read, _beside, _complete)
