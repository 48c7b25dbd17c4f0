"""ARIA S1-GUNW: geocoded unwrapped interferograms of Sentinel-1 in degrees, one netCDF-4 file for each pair.

``S1-GUNW-A-R-064-tops-20210723_20210711-015001-00119W_00033N-PP-6267-v3_0_1.nc`` holds below ``/science``::

    grids/data/unwrappedPhase, coherence, connectedComponents, latitude, longitude     90 m; 0 = no data
    grids/imagingGeometry/incidenceAngle, azimuthAngle                                 on a coarse grid, at some heights
    grids/imagingGeometry/heightsMeta, latitudeMeta, longitudeMeta                     the axes of those
    radarMetaData/wavelength                                                           metres

Pixels without a connected component are kept: the phase is wrapped again on reading, so that errors of unwrapping by
whole cycles do not matter.

Sign: the first date of the name, ARIA's reference, is the later one, and the phase is that of the later less the
earlier acquisition turned round: positive towards the sensor. It is negated and the dates are swapped, as MintPy does
(``prep_aria.py``: "date2_date1 -> date1_date2"); then it grows with range from the first date to the second.

Look vector: ``incidenceAngle`` from the vertical, ``azimuthAngle`` of the direction from the ground to the sensor,
counter-clockwise from east, both in degrees, taken at height 0.

References
----------
Buzzanga et al. (2020), doi:10.1029/2020GL090013; github.com/ACCESS-Cloud-Based-InSAR/DockerizedTopsApp,
``nc_packaging_template_gunw.json``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fringewatch.errors import ProductError
from fringewatch.products import hdf5, look
from fringewatch.products.assemble import assemble
from fringewatch.products.companions import Companions, decode_coherence, decode_values
from fringewatch.products.cubes import Axes, cubes_at_height_zero
from fringewatch.products.grid import parse_crs
from fringewatch.products.names import dates
from fringewatch.products.radians import read_radians
from fringewatch.products.reference import Reader, Reference, file_name, stem

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from fringewatch.products.reference import ReadOptions

__all__ = ["READER"]

_NAME = re.compile(r"^S1-GUNW(?:_CUSTOM)?-[AD]-[RL]-\d+-.*\.nc$")
_OTHER = re.compile(r"^S1-GUNW(?:_CUSTOM)?-[AD]-[RL]-\d+-.*\.(?:png|json|xml|kml|kmz|md5|tif)$")
_PAIR = re.compile(r"(?<!\d)(\d{8})_(\d{8})(?!\d)")
_DATA = "science/grids/data"
_GEOMETRY = "science/grids/imagingGeometry"


def _claims(path: str) -> bool:
    name = file_name(path)
    if _NAME.search(name) or _OTHER.search(name):
        return True
    return hdf5.holds(path, ".nc", lambda file: hdf5.find(file, f"{_DATA}/unwrappedPhase") is not None)


def _collect(paths: Sequence[str]) -> list[Reference]:
    return [Reference(path, READER.name, stem(path)) for path in paths if not _OTHER.search(file_name(path))]


def _read(reference: Reference, options: ReadOptions) -> xr.Dataset:
    path = reference.path
    if _OTHER.search(file_name(path)):
        message = f"{path}: is by its name an ARIA file that goes with an interferogram, expected a .nc; name that one"
        raise ProductError(message)
    crs = parse_crs("EPSG:4326", path)
    with hdf5.opened(path) as file:
        plain = hdf5.layer(file, f"{_DATA}/unwrappedPhase", path=reference.address)
        transform = hdf5.axes_transform(file, f"{_DATA}/longitude", f"{_DATA}/latitude", plain.shape)
        info, coherence = (
            hdf5.layer(file, name, path=reference.address, transform=transform, crs=crs, nodata=0.0)
            if hdf5.find(file, name) is not None
            else None
            for name in (f"{_DATA}/unwrappedPhase", f"{_DATA}/coherence")
        )
        assert info is not None
        angles = cubes_at_height_zero(
            file,
            {"incidence": f"{_GEOMETRY}/incidenceAngle", "azimuth": f"{_GEOMETRY}/azimuthAngle"},
            Axes(*(f"{_GEOMETRY}/{axis}" for axis in ("heightsMeta", "latitudeMeta", "longitudeMeta"))),
            info,
        )
        wavelength_m = hdf5.number(file, "science/radarMetaData/wavelength")
    radians = read_radians(info, options, kind="unwrapped", provider="ARIA", scale=-1.0)
    companions = Companions(info, options.chunks, reference.companions)
    found: dict[str, Any] = {"coherence": companions.take("coherence", coherence, decode_coherence)}
    if "height" in reference.companions:
        found["height"] = companions.read("height", (), decode_values)
    incidence, azimuth = (
        companions.take(variable, angles.get(variable), decode_values) for variable in ("incidence", "azimuth")
    )
    if incidence is not None and azimuth is not None:
        # From north clockwise, as `look` wants it.
        found |= look.from_incidence(incidence, 90 - azimuth)
    later, earlier = match.groups() if (match := _PAIR.search(file_name(path))) else ("", "")
    notes = ["the reference of ARIA is the later date: phase and dates were turned round"] if later else []
    return assemble(
        info,
        options,
        radians,
        companions,
        product=READER.name,
        name=reference.name or stem(path),
        found=found,
        dates=dates(f"{earlier}_{later}"),
        wavelength_m=wavelength_m,
        notes=notes,
    )


READER = Reader("aria", _claims, _collect, _read)
