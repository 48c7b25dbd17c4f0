"""ASF HyP3 on-demand InSAR: INSAR_GAMMA and INSAR_ISCE_BURST, as folders, loose files or the zip as downloaded.

Files of one product share a base name ``S1AA_20190610T135156_20190622T135157_VVP012_INT80_G_ueF_F8BF`` and end in
``_wrapped_phase.tif`` (optional), ``_unw_phase.tif``, ``_corr.tif``, ``_dem.tif``, ``_lv_theta.tif``, ``_lv_phi.tif``
and ``.txt`` (the parameters); all are on one UTM grid and 0 is no data in phase and coherence. The wrapped phase is
preferred. Files cut to a common overlap, ``..._clipped.tif`` or ``..._clip.tif``, are taken together in the same way.

Sign: HyP3 documents that positive unwrapped phase is movement away from the sensor, the opposite of its displacement
maps. So the phase grows with range, as ours does, and is not turned round; the displacement maps are never read.

Look vectors: ``lv_theta`` is the elevation of the sensor above the horizontal and ``lv_phi`` its direction, counter-
clockwise from east, both seen from the ground in radians: east = cos(theta) cos(phi), north = cos(theta) sin(phi),
up = sin(theta).

The wavelength is Sentinel-1's where the parameter file names Sentinel-1 granules. See the HyP3 InSAR product guide.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fringewatch.conventions import SENTINEL1_WAVELENGTH_M
from fringewatch.errors import ProductError
from fringewatch.interferogram import make_interferogram, with_companions
from fringewatch.products import look, raster
from fringewatch.products.companions import Companions, decode_coherence, decode_values
from fringewatch.products.describe import date_assumptions, grid_assumptions
from fringewatch.products.grid import grid_of_phase
from fringewatch.products.names import dates
from fringewatch.products.radians import read_radians
from fringewatch.products.reference import Reader, Reference, file_name, first_file, is_remote, join, parent, stem
from fringewatch.products.zips import member_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from fringewatch.products.reference import Kind, ReadOptions

__all__ = ["READER"]

_BASE = r"(?P<base>S1[A-Z0-9_\-]*?_.*?INT\d+(?:_\w+?)??_[0-9A-F]{4})"
_CUT = r"(?P<cut>(?:_clip|_clipped)?)"
_PHASE = re.compile(rf"^{_BASE}_(?P<kind>wrapped_phase|unw_phase){_CUT}\.tiff?$")
_OTHER = re.compile(rf"^{_BASE}_[a-z]\w*\.(?:tiff?|png|kmz)$")
_ZIP = re.compile(rf"^{_BASE}\.zip$")
_VSIZIP = "/vsizip/"
_MOST_TEXT = 1_000_000


def _claims(path: str) -> bool:
    name = file_name(path)
    return any(pattern.search(name) for pattern in (_PHASE, _OTHER, _ZIP))


def _collect(paths: Sequence[str]) -> list[Reference]:
    products: dict[tuple[str, str], dict[str, str]] = {}
    for path in paths:
        match = _PHASE.search(file_name(path))
        if match:
            products.setdefault((match["base"], match["cut"]), {})[match["kind"]] = path
        zipped = _ZIP.search(file_name(path))
        if zipped:
            products.setdefault((zipped["base"], ""), {})["zip"] = path
    # A zip beside its own unpacked content is the same product once more.
    order = ("wrapped_phase", "unw_phase", "zip")
    chosen = (next(kinds[kind] for kind in order if kind in kinds) for kinds in products.values())
    return [Reference(path, READER.name, _name(path)) for path in chosen]


def _name(path: str) -> str:
    return file_name(path).removesuffix(".zip") if path.endswith(".zip") else stem(path)


def _read(reference: Reference, options: ReadOptions) -> xr.Dataset:
    path = _unzip(reference.path)
    match = _PHASE.search(file_name(path))
    info = raster.inspect(path)
    if match is None:
        message = (
            f"{path}: is by its name a HyP3 file that goes with an interferogram, expected *_wrapped_phase.tif or "
            "*_unw_phase.tif; name that one"
        )
        raise ProductError(message)
    kind: Kind = "wrapped" if match["kind"] == "wrapped_phase" else "unwrapped"
    radians = read_radians(info, options, kind=kind, provider="HyP3")
    assumptions = list(radians.assumptions)
    base, cut = join(parent(path), match["base"]), match["cut"]
    parameters = _parameters(f"{base}.txt")
    reference_date, secondary_date = dates(match["base"])
    wavelength_m = options.wavelength_m or SENTINEL1_WAVELENGTH_M
    if not parameters:
        assumptions.append("the parameter file (.txt) was not found; the wavelength of Sentinel-1 was assumed")
    elif not parameters.get("reference granule", "").startswith("S1") and options.wavelength_m is None:
        assumptions.append("the parameter file names no Sentinel-1 granule; the wavelength of Sentinel-1 was assumed")
    companions = Companions(info, options.chunks, reference.companions)
    found = _read_companions(base, cut, companions) if options.companions else {}
    return make_interferogram(
        radians.phase,
        wavelength_m=wavelength_m,
        source=path,
        product=READER.name,
        name=reference.name or _name(reference.path),
        reference_date=reference_date,
        secondary_date=secondary_date,
        unwrapped_range_rad=radians.unwrapped_range_rad,
        transform=info.transform,
        crs=info.crs,
        assumptions=[
            *assumptions,
            *date_assumptions(reference_date, secondary_date),
            *grid_assumptions(info),
            *companions.sentences(),
        ],
        companions=found,
        decoded=True,
    )


def _complete(reference: Reference, options: ReadOptions, interferogram: xr.Dataset, rows: slice | None) -> xr.Dataset:
    path = reference.path
    match = _PHASE.search(file_name(path))
    if match is None:
        # A zip, which has its companions inside.
        return _read(reference, options)
    companions = Companions(grid_of_phase(interferogram, path), options.chunks, reference.companions, rows)
    found = _read_companions(join(parent(path), match["base"]), match["cut"], companions)
    return with_companions(interferogram, found, companions.sentences())


def _read_companions(base: str, cut: str, companions: Companions) -> dict[str, Any]:
    found: dict[str, Any] = {
        "coherence": companions.read("coherence", [f"{base}_corr{cut}.tif"], decode_coherence),
        "height": companions.read("height", [f"{base}_dem{cut}.tif"], decode_values),
    }
    theta = companions.read("lv_theta", [f"{base}_lv_theta{cut}.tif"], decode_values)
    phi = companions.read("lv_phi", [f"{base}_lv_phi{cut}.tif"], decode_values)
    if theta is not None and phi is not None:
        found |= look.from_elevation(theta, phi)
    return {variable: values for variable, values in found.items() if values is not None}


def _beside(reference: Reference) -> list[str]:
    match = _PHASE.search(file_name(reference.path))
    if match is None or is_remote(reference.path):
        # A zip brings its companions itself.
        return []
    base, cut = join(parent(reference.path), match["base"]), match["cut"]
    names = [f"{base}_{ending}{cut}.tif" for ending in ("corr", "dem", "lv_theta", "lv_phi")]
    return [name for path in (f"{base}.txt", *names) for name in first_file([path])]


def _unzip(path: str) -> str:
    """Return the phase inside a zip as a GDAL path; any other path as it is."""
    zipped = _ZIP.search(file_name(path))
    if zipped is None:
        return path
    if is_remote(path):
        return _unzip_remote(path, zipped["base"])
    names = member_names(path)
    for kind in ("wrapped_phase", "unw_phase"):
        for name in names:
            match = _PHASE.search(file_name(name))
            if match and match["kind"] == kind:
                return f"{_VSIZIP}{Path(path).resolve()}/{name}"
    message = f"{path}: holds no *_wrapped_phase.tif or *_unw_phase.tif, expected a HyP3 InSAR product; name another"
    raise ProductError(message)


def _unzip_remote(path: str, base: str) -> str:
    # HyP3 names the folder and the files in a zip after it; its listing need not be fetched.
    folder = f"{_VSIZIP}{raster.gdal_path(path)}/{base}/{base}"
    try:
        return raster.inspect(f"{folder}_wrapped_phase.tif").path
    except ProductError:
        return f"{folder}_unw_phase.tif"


def _parameters(path: str) -> dict[str, str]:
    """Read a parameter file (``Key: value`` lines), keys in lower case; empty where it cannot be had."""
    try:
        if path.startswith(_VSIZIP):
            outer, _, inner = path.removeprefix(_VSIZIP).partition(".zip/")
            with zipfile.ZipFile(f"{outer}.zip") as archive, archive.open(inner) as stream:
                text = stream.read(_MOST_TEXT).decode("utf-8", errors="replace")
        else:
            text = Path(path).read_text(encoding="utf-8", errors="replace")
    except (OSError, KeyError, EOFError, NotImplementedError, zlib.error, zipfile.BadZipFile):
        return {}
    lines = (line.partition(":") for line in text.splitlines())
    return {key.strip().lower(): value.strip() for key, colon, value in lines if colon}


READER = Reader("hyp3", _claims, _collect, _read, _beside, _complete)
