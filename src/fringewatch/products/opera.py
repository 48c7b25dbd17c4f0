"""OPERA DISP-S1: line-of-sight displacement between two dates on a UTM grid, one netCDF-4 file each.

``OPERA_L3_DISP-S1_IW_F11116_VV_20160705T014858Z_20160729T014859Z_v1.0_....nc`` holds ``displacement`` and
``short_wavelength_displacement`` (metres), ``temporal_coherence``, ``recommended_mask`` (0 = leave out; in old versions
only ``connected_component_labels``, 0 = none), ``x``, ``y``, ``spatial_ref``, and in ``identification`` the wavelength
and the times of both acquisitions. The member ``#short_wavelength_displacement`` is that layer, from which OPERA has
removed what is wider than some 25 km; without a member ``displacement`` is read.

Pixels outside the mask, NaN and exactly 0 are no data. Look vector and height are not in the file but in the static
layers of its frame, ``OPERA_L3_DISP-S1-STATIC_F11116_..._line_of_sight_enu.tif`` (east, north, up) and ``..._dem.tif``,
which are looked for beside it.

Sign: "positive values indicate apparent motion towards the platform" (description of the layers in ``product_info.py``
of disp-s1), and ``product.py`` computes them as phase times ``-wavelength / (4 pi)``. So displacement times
``-4 pi / wavelength`` grows with range.

References
----------
OPERA (2024), Algorithm Theoretical Basis Document and Product Specification of DISP-S1, JPL D-108772;
github.com/opera-adt/disp-s1.
"""

from __future__ import annotations

import glob
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from fringewatch.conventions import SENTINEL1_WAVELENGTH_M, SPEED_OF_LIGHT_M_S
from fringewatch.errors import ProductError
from fringewatch.products import hdf5, look
from fringewatch.products.assemble import assemble
from fringewatch.products.companions import Companions, decode_coherence, decode_nonzero, decode_values
from fringewatch.products.grid import parse_crs
from fringewatch.products.names import dates
from fringewatch.products.radians import read_radians
from fringewatch.products.reference import Reader, Reference, file_name, is_remote, join, parent, stem

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from fringewatch.products.reference import ReadOptions

__all__ = ["READER"]

_NAME = re.compile(r"^OPERA_L3_DISP-S1_\w+?_(?P<frame>F\d+)_.*\.nc$")
_OTHER = re.compile(r"^OPERA_L3_DISP-S1(?:-STATIC)?_.*\.(?:tiff?|png|h5|xml|md5)$")
_LAYERS = ("displacement", "short_wavelength_displacement")
_BANDS = {"los_east": 1, "los_north": 2, "los_up": 3}


def _claims(path: str) -> bool:
    name = file_name(path)
    if _NAME.search(name) or _OTHER.search(name):
        return True
    return hdf5.holds(path, ".nc", lambda file: hdf5.attributes(file).get("title", "").startswith("OPERA_L3_DISP"))


def _collect(paths: Sequence[str]) -> list[Reference]:
    return [Reference(path, READER.name, stem(path)) for path in paths if not _OTHER.search(file_name(path))]


def _read(reference: Reference, options: ReadOptions) -> xr.Dataset:
    path, name = reference.path, reference.member or _LAYERS[0]
    if _OTHER.search(file_name(path)):
        message = f"{path}: is by its name an OPERA file that goes with an interferogram, expected a .nc; name that one"
        raise ProductError(message)
    if name not in _LAYERS:
        message = f"{reference.address}: there is no such member, expected #{' or #'.join(_LAYERS)}"
        raise ProductError(message)
    notes: list[str] = []
    with hdf5.opened(path) as file:
        crs = parse_crs(_wkt(file, path), path)
        info = hdf5.layer(file, name, path=reference.address)
        transform = hdf5.axes_transform(file, "x", "y", info.shape)
        layers = {
            layer: hdf5.layer(file, layer, path=reference.address, transform=transform, crs=crs)
            for layer in (name, "temporal_coherence", "recommended_mask", "connected_component_labels")
            if hdf5.find(file, layer) is not None
        }
        pair = hdf5.iso_dates(file, "identification/reference_datetime", "identification/secondary_datetime")
        wavelength_m = hdf5.number(file, "identification/radar_wavelength")
        frequency_hz = hdf5.number(file, "identification/radar_center_frequency")
    if wavelength_m is None and frequency_hz:
        wavelength_m = SPEED_OF_LIGHT_M_S / frequency_hz
    info = layers[name]
    for mask in ("recommended_mask", "connected_component_labels"):
        if mask in layers:
            info = hdf5.masked(info, layers[mask], lambda values: values != 0)
            notes.append(f"pixels where {mask} is 0 were taken as no data")
            break
    scale = -4 * np.pi / (options.wavelength_m or wavelength_m or SENTINEL1_WAVELENGTH_M)
    radians = read_radians(info, options, kind="unwrapped", provider="OPERA", scale=scale)
    companions = Companions(info, options.chunks, reference.companions)
    found: dict[str, Any] = {
        "coherence": companions.take("coherence", layers.get("temporal_coherence"), decode_coherence),
        "height": companions.read("height", _static(path, "dem"), decode_values),
    }
    for variable, band in _BANDS.items():
        paths = _static(path, "line_of_sight_enu")
        found[variable] = companions.read(variable, paths, decode_nonzero, band=band)
    found |= look.unit_vectors(found)
    return assemble(
        info,
        options,
        radians,
        companions,
        product=READER.name,
        name=reference.name or stem(path),
        found=found,
        dates=pair if any(pair) else dates(file_name(path)),
        wavelength_m=wavelength_m,
        notes=notes,
    )


def _wkt(file: Any, path: str) -> str:
    grid = hdf5.find(file, "spatial_ref")
    known = {} if grid is None else hdf5.attributes(grid)
    for key in ("crs_wkt", "spatial_ref"):
        if key in known:
            return known[key]
    message = (
        f"{path}: names no coordinate system, expected spatial_ref with crs_wkt as OPERA writes it; fetch it again"
    )
    raise ProductError(message)


def _static(path: str, layer: str) -> list[str]:
    """Return the static layers of the frame that lie beside a file, the newest version first."""
    name = _NAME.search(file_name(path))
    if name is None or is_remote(path):
        return []
    pattern = f"OPERA_L3_DISP-S1-STATIC_{name['frame']}_*_{layer}.tif"
    return sorted(glob.glob(join(glob.escape(parent(path)), pattern)), reverse=True)  # noqa: PTH207  (paths are text)


def _beside(reference: Reference) -> list[str]:
    return [found for layer in ("dem", "line_of_sight_enu") for found in _static(reference.path, layer)[:1]]


READER = Reader("opera", _claims, _collect, _read, _beside, members=True)
