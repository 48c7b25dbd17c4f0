"""Parameter files of GAMMA (``.par``, ``.off``, ``.diff_par``, ``.dem_par``), as LiCSBAS writes them too.

Lines of ``key: value unit``. What they say of a map grid is for the centre of the upper left pixel, in degrees
(``DEM_projection: EQA``) or in metres of a UTM zone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from affine import Affine
from rasterio.crs import CRS

from fringewatch.conventions import SPEED_OF_LIGHT_M_S
from fringewatch.errors import ProductError
from fringewatch.products.raw import RawGrid

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["grid_of", "number", "read_par", "wavelength_m"]

_MAX_BYTES = 4 * 1024**2
_MAX_SIDE = 10_000_000
_SHAPES = (
    ("nlines", "width"),
    ("interferogram_azimuth_lines", "interferogram_width"),
    ("azimuth_lines", "range_samples"),
    ("az_samp_1", "range_samp_1"),
)
"""Rows and columns, by kind of file: map, interferogram, image, and pair of image and simulated image."""


def read_par(path: str, *, separator: str = ":") -> dict[str, str]:
    """Return the values of a parameter file by key, as text; empty where there is no such file.

    Raises
    ------
    ProductError
        If it cannot be read or is far too large for such a file.
    """
    try:
        file = Path(path)
        if not file.is_file():
            return {}
        if file.stat().st_size > _MAX_BYTES:
            message = f"{path}: is larger than {_MAX_BYTES >> 20} MB, expected a parameter file; name the right one"
            raise ProductError(message)
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror}), expected a parameter file; change its permissions"
        raise ProductError(message) from error
    lines = (line.partition(separator) for line in text.splitlines())
    return {key.strip(): value.strip() for key, found, value in lines if found and value.strip()}


def number(par: Mapping[str, str], key: str) -> float | None:
    """Return the first number of a value, or None where the key is missing or holds none."""
    try:
        return float(par.get(key, "").split()[0])
    except (IndexError, ValueError):
        return None


def wavelength_m(par: Mapping[str, str]) -> float | None:
    """Return the wavelength in metres that ``radar_frequency`` (Hz) stands for, or None."""
    frequency_hz = number(par, "radar_frequency")
    return SPEED_OF_LIGHT_M_S / frequency_hz if frequency_hz is not None and frequency_hz > 0 else None


def grid_of(par: Mapping[str, str], path: str) -> tuple[RawGrid, list[str]] | None:
    """Return the grid that a parameter file describes, and what was assumed of it; None where it describes none.

    Parameters
    ----------
    par
        From :func:`read_par`.
    path
        Named in errors.

    Raises
    ------
    ProductError
        If rows or columns are no sensible numbers, or a map has no coordinates.
    """
    for rows_key, columns_key in _SHAPES:
        rows, columns = number(par, rows_key), number(par, columns_key)
        if rows is None or columns is None:
            continue
        if not (0 < rows <= _MAX_SIDE and 0 < columns <= _MAX_SIDE and rows % 1 == 0 and columns % 1 == 0):
            message = f"{path}: says {rows:g} x {columns:g} pixels, expected positive whole numbers; mend the file"
            raise ProductError(message)
        shape = int(rows), int(columns)
        return _map_grid(par, path, shape) if rows_key == "nlines" else (RawGrid(shape), [])
    return None


def _map_grid(par: Mapping[str, str], path: str, shape: tuple[int, int]) -> tuple[RawGrid, list[str]]:
    projection = par.get("DEM_projection", "EQA").upper()
    keys = {"EQA": ("lat", "lon"), "UTM": ("north", "east")}.get(projection)
    if keys is None:
        return RawGrid(shape), [
            f"the map projection {projection} of {path} is not known here; pixel indices were taken"
        ]
    north, east, step_north, step_east = (number(par, f"{part}_{key}") for part in ("corner", "post") for key in keys)
    if north is None or east is None or not step_north or not step_east:
        message = f"{path}: lacks corner_{keys[0]}, corner_{keys[1]} or post_..., expected a map grid; mend the file"
        raise ProductError(message)
    assumptions = []
    if projection == "EQA":
        code = 4326
    else:
        zone = number(par, "projection_zone")
        if zone is None or not 1 <= zone <= 60:
            message = f"{path}: has no projection_zone from 1 to 60, expected one of UTM; mend the file"
            raise ProductError(message)
        code = (32700 if number(par, "false_northing") else 32600) + int(zone)
    if "WGS" not in par.get("datum_name", par.get("ellipsoid_name", "WGS")).upper():
        assumptions.append(f"the datum {par.get('datum_name') or par['ellipsoid_name']!r} was taken for WGS 84")
    # The corner is the centre of a pixel; ours is the corner of that pixel.
    transform = Affine(step_east, 0, east - step_east / 2, 0, step_north, north - step_north / 2)
    return RawGrid(shape, transform, CRS.from_epsg(code)), assumptions
