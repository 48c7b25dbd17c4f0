"""ISCE3 and dolphin: interferograms as complex GeoTIFF, and what dolphin unwraps.

Layout of a run (also read: flat)::

    interferograms/20180601_20180613.int.tif        complex, UTM
    interferograms/20180601_20180613.int.cor.tif    coherence, 0 to 1
    unwrapped/20180601_20180613.unw.tif             radians
    geometry/los_east.tif, los_north.tif, height.tif

Of a pair in one folder the complex file is taken, else the unwrapped one. Exactly 0 and NaN are no data.

Sign: dolphin multiplies the reference with the conjugate of the secondary, and turns unwrapped phase into displacement
towards the satellite by the factor ``-wavelength / (4 pi)``: so the phase grows with range, and is not turned round.

Look vectors are the east and north components of the unit vector from the ground to the satellite, as in OPERA's
static layers; the third follows from them. The files name no wavelength.

References
----------
Staniewicz et al. (2024), Dolphin: a Python package for large-scale InSAR PS/DS processing, Journal of Open Source
Software 9(103), 6997.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fringewatch.errors import ProductError
from fringewatch.products import look, raster
from fringewatch.products.assemble import assemble
from fringewatch.products.companions import Companions, decode_coherence, decode_values
from fringewatch.products.names import dates
from fringewatch.products.radians import read_radians
from fringewatch.products.reference import Reader, Reference, file_name, first_file, is_remote, join, parent, stem

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from fringewatch.products.reference import Kind, ReadOptions

__all__ = ["READER"]

_PHASE = re.compile(r"^(?P<pair>\d{8}_\d{8})\.(?P<kind>int|unw)\.tiff?$")
_OTHER = re.compile(
    r"^\d{8}_\d{8}\.(?:int\.cor|cor|unw\.conncomp|conncomp)\.tiff?$"
    r"|^(?:compressed_)?\d{8}(?:_\d{8}){0,2}\.slc\.tiff?$"
    r"|^(?:closure_phase|crlb|residuals|nonzero_conncomp_counts?|multilooked_coh)_?\w*\.tiff?$"
    r"|^(?:temporal_coherence|similarity|amp_dispersion|ps_pixels|ps_mask_looked|shp_counts)(?:_\w+)?\.tiff?$"
)
_SERIES = re.compile(r"^\d{8}_\d{8}\.tiff?$")
_GEOMETRY = ("los_east", "los_north", "height")


def _claims(path: str) -> bool:
    name = file_name(path)
    # Displacement in metres has the bare name of the pair, and a folder of its own.
    is_series = file_name(parent(path)) == "timeseries" and _SERIES.search(name) is not None
    return is_series or _PHASE.search(name) is not None or _OTHER.search(name) is not None


def _collect(paths: Sequence[str]) -> list[Reference]:
    pairs: dict[str, dict[str, str]] = {}
    for path in paths:
        match = _PHASE.search(file_name(path))
        if match:
            pairs.setdefault(match["pair"], {})[match["kind"]] = path
    chosen = (kinds.get("int") or kinds["unw"] for kinds in pairs.values())
    return [Reference(path, READER.name, stem(path)) for path in chosen]


def _read(reference: Reference, options: ReadOptions) -> xr.Dataset:
    path = reference.path
    match = _PHASE.search(file_name(path))
    if match is None:
        message = (
            f"{path}: is by its name a dolphin file that goes with an interferogram, expected <pair>.int.tif or "
            "<pair>.unw.tif; name that one"
        )
        raise ProductError(message)
    info = raster.inspect(path)
    kind: Kind = "complex" if match["kind"] == "int" else "unwrapped"
    radians = read_radians(info, options, kind=kind, provider="dolphin")
    companions = Companions(info, options.chunks, reference.companions)
    found: dict[str, Any] = {"coherence": companions.read("coherence", _coherence_paths(path), decode_coherence)}
    found["height"] = companions.read("height", _geometry_paths(path, "height"), decode_values)
    east, north = (
        companions.read(name, _geometry_paths(path, name), decode_values) for name in ("los_east", "los_north")
    )
    if east is not None and north is not None:
        found |= look.from_horizontal(east, north)
    return assemble(
        info,
        options,
        radians,
        companions,
        product=READER.name,
        name=reference.name or stem(path),
        found=found,
        dates=dates(match["pair"]),
    )


def _coherence_paths(path: str) -> list[str]:
    pair = file_name(path)[:17]
    return [
        join(folder, f"{pair}.int.cor.tif") for folder in (parent(path), join(parent(parent(path)), "interferograms"))
    ]


def _geometry_paths(path: str, variable: str) -> list[str]:
    folder = parent(path)
    above = (folder, join(folder, "geometry"), parent(folder), join(parent(folder), "geometry"))
    return [join(place, f"{variable}.tif") for place in above]


def _beside(reference: Reference) -> list[str]:
    if is_remote(reference.path):
        return []
    geometry = [path for variable in _GEOMETRY for path in first_file(_geometry_paths(reference.path, variable))]
    return first_file(_coherence_paths(reference.path)) + geometry


READER = Reader("dolphin", _claims, _collect, _read, _beside)
