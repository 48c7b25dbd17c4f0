"""A place to simulate: its heights and its look vectors, from any raster to one grid of square pixels in metres.

The grid is north up in EPSG:4326, as LiCSAR's, but its steps in longitude and latitude differ, so that a pixel at the
middle of the place is a square in metres. Over 1 degree of latitude the pixel width changes by less than 2 % up to
50 degrees north or south.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from affine import Affine
from scipy import ndimage

from fringewatch.errors import ProductError
from fringewatch.products import raster
from fringewatch.products.decode import is_nodata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fringewatch.products.raster import RasterInfo

    Real = NDArray[np.float32]

__all__ = ["Dem", "find_look_files", "read_dem", "read_look"]

_CRS = "EPSG:4326"
_MAX_VOIDS = 0.5
_LOWEST_LAND_M, _HIGHEST_LAND_M, _DEEPEST_SEA_M = -450.0, 9_000.0, -11_100.0
_USUAL_VOIDS = (-9_999.0, -32_768.0, 32_767.0)
_FLAT_PX = 7
_TRIO = re.compile(r"(?P<before>.*[._])[ENU](?P<after>(?:[._]\w+)?\.tiff?)$")
_ANGLES = re.compile(r"(?P<before>.*_lv_)(?:theta|phi)(?P<after>\w*\.tiff?)$")


class Dem(NamedTuple):
    """Heights on a grid of square pixels."""

    height_m: Real
    """(H, W), without gaps."""
    water: NDArray[np.bool_]
    """(H, W), True on the sea and on lakes, where heights are exactly flat."""
    transform: Affine
    """Of the upper left pixel corner, in degrees of EPSG:4326, north up."""
    pixel_m: float
    """Side of a pixel at the middle of the grid, metres."""
    filled: float
    """Share of the pixels without a height, which were filled from around them."""


def read_dem(path: str | Path, *, pixel_m: float | None = None) -> Dem:
    """Read a digital elevation model of any projection.

    Parameters
    ----------
    path
        A raster of heights in metres with a coordinate system, up to 64 million pixels. No-data values, the usual
        undeclared ones (-9999, -32768, 32767) and NaN are voids, which are filled from their surroundings. Where
        something lies deeper than any land, all heights below 0 are sea floor and become 0.
    pixel_m
        Side of the wanted pixels, metres: finer heights are averaged, coarser ones interpolated. Default: the
        raster's own.

    Returns
    -------
    Dem

    Raises
    ------
    ProductError
        If the file cannot be read, is no elevation model, has no coordinate system, is too large, or is void over
        more than half of its area.
    """
    info = _inspect(path, "heights in metres")
    if info.pixels > raster.EAGER_PIXELS:
        message = (
            f"{path}: has {info.shape[0]} x {info.shape[1]} pixels, expected at most {raster.EAGER_PIXELS:,}; cut out "
            "the place: gdalwarp -te WEST SOUTH EAST NORTH -te_srs EPSG:4326 in.tif out.tif"
        )
        raise ProductError(message)
    height = _read_values(info)
    for value in _USUAL_VOIDS:
        height[height == value] = np.nan
    height[(height < _DEEPEST_SEA_M) | (height > _HIGHEST_LAND_M)] = np.nan
    if not np.isfinite(height).any():
        message = f"{path}: holds no height between {_DEEPEST_SEA_M:g} and {_HIGHEST_LAND_M:g} m; is it in metres?"
        raise ProductError(message)
    if np.nanmin(height) < _LOWEST_LAND_M:
        # It goes on under water, where nothing is below 0 but the sea floor.
        np.maximum(height, 0, out=height)
    transform, shape, pixel_m, own_m = _square_grid(info, pixel_m)
    height = _warp(height, info, transform, shape, average=pixel_m > 1.5 * own_m)
    void = ~np.isfinite(height)
    filled = float(void.mean())
    if filled > _MAX_VOIDS:
        message = (
            f"{path}: has no height over {filled:.0%} of its area, expected at most {_MAX_VOIDS:.0%}; fill its voids "
            "(gdal_fillnodata.py) or cut out a better part"
        )
        raise ProductError(message)
    height = _fill(height, void)
    return Dem(height, _flat(height), transform, pixel_m, filled)


def find_look_files(paths: Sequence[str | Path]) -> list[Path]:
    """Complete the names of look-vector files.

    Parameters
    ----------
    paths
        LiCSAR's ``*.geo.E.tif``, ``N`` and ``U``, any one of them, or the folder that holds them; HyP3's
        ``*_lv_theta.tif`` and ``*_lv_phi.tif``, or one of them; a file of incidence angles and one of headings, in
        degrees.

    Returns
    -------
    list of Path
        Three files E, N, U; or two.

    Raises
    ------
    ProductError
        If a file is missing, or the names are none of these.
    """
    given = [Path(path) for path in paths]
    if len(given) == 1 and given[0].is_dir():
        found = sorted(path for path in given[0].rglob("*.E*.tif") if _TRIO.match(str(path)))
        if len(found) != 1:
            message = (
                f"{given[0]}: holds {len(found) or 'no'} files of the look vector's east component, expected one such "
                "as 128D_09016_110500.geo.E.tif; name the file"
            )
            raise ProductError(message)
        given = found
    if len(given) == 1 and (match := _TRIO.match(str(given[0]))):
        given = [Path(match["before"] + letter + match["after"]) for letter in "ENU"]
    elif match := next(filter(None, (_ANGLES.match(str(path)) for path in given)), None):
        given = [Path(match["before"] + angle + match["after"]) for angle in ("theta", "phi")]
    elif len(given) not in {2, 3}:
        message = (
            f"{', '.join(map(str, given))}: cannot be taken for a line of sight; expected the files of its east, north "
            "and up components (or one named ...E.tif beside ...N.tif and ...U.tif), or an incidence and a heading in "
            "degrees"
        )
        raise ProductError(message)
    for path in given:
        if not path.is_file():
            message = f"{path}: there is no such file, expected it for the line of sight; name all of its files"
            raise ProductError(message)
    return given


def read_look(paths: Sequence[str | Path], dem: Dem) -> Real:
    """Read look vectors onto the grid of a DEM.

    Parameters
    ----------
    paths
        As for :func:`find_look_files`.
    dem
        Whose grid is wanted.

    Returns
    -------
    numpy.ndarray
        (3, H, W) float32: east, north and up of the unit vector from the ground to the satellite; NaN where the
        files say nothing.

    Raises
    ------
    ProductError
        If the files cannot be read, do not cover the DEM, or hold no look vectors.
    """
    files = find_look_files(paths)
    parts = [_on_grid(path, dem) for path in files]
    if len(parts) == 2:
        look = _from_elevation(*parts) if _ANGLES.match(str(files[0])) else _from_incidence(files, *parts)
    else:
        # 0, which fills what is outside the frame, is no component: all three are then 0.
        look = np.stack(parts)
        look[:, (look == 0).all(axis=0)] = np.nan
    norm = np.sqrt(np.square(look).sum(axis=0))
    known = np.isfinite(norm)
    names = ", ".join(path.name for path in files)
    if known.mean() < 0.5:
        message = (
            f"{names}: say something about {known.mean():.0%} of the DEM's area, expected at least half; use files of "
            "the same place"
        )
        raise ProductError(message)
    length, up = float(np.median(norm[known])), float(np.median(look[2][known]))
    if abs(length - 1) > 0.02 or up <= 0:
        message = (
            f"{names}: hold vectors of length {length:.3g} with an upward component of {up:.3g}, expected unit vectors "
            "from the ground to the satellite, east, north, up in this order"
        )
        raise ProductError(message)
    return np.asarray(look / norm, np.float32)


def _inspect(path: str | Path, what: str) -> RasterInfo:
    info = raster.inspect(str(path))
    if info.crs is None or info.transform is None:
        message = (
            f"{path}: has no coordinate system, expected one, to know where it lies and how large its pixels are; add "
            "it: gdal_translate -a_srs EPSG:XXXX -a_ullr WEST NORTH EAST SOUTH in.tif out.tif"
        )
        raise ProductError(message)
    bands = [color for color in info.colors if color != "alpha"]
    if len(bands) != 1 or np.dtype(info.dtypes[0]).kind not in "iuf":
        message = f"{path}: has {len(bands)} bands of {info.dtypes[0]}, expected one band of {what}"
        raise ProductError(message)
    return info


def _read_values(info: RasterInfo) -> Real:
    raw = np.asarray(raster.read(info, mask=info.has_mask))
    missing = is_nodata(raw[0], info.nodata[0])
    if info.has_mask:
        missing |= raw[1] == 0
    values: Real = (raw[0] * np.float32(info.scales[0]) + np.float32(info.offsets[0])).astype(np.float32)
    values[missing] = np.nan
    return values


def _square_grid(info: RasterInfo, pixel_m: float | None) -> tuple[Affine, tuple[int, int], float, float]:
    """Return transform, shape and pixel size of the grid, and the raster's own pixel size, metres."""
    from rasterio.errors import RasterioError
    from rasterio.warp import transform as transform_points
    from rasterio.warp import transform_bounds

    assert info.transform is not None
    (height, width), own = info.shape, info.transform
    try:
        west, south, east, north = transform_bounds(
            info.crs, _CRS, own.c, own.f + own.e * height, own.c + own.a * width, own.f, densify_pts=21
        )
        columns = [own.c + own.a * (width // 2 + shift) for shift in (0, 1, 0)]
        rows = [own.f + own.e * (height // 2 + shift) for shift in (0, 0, 1)]
        longitudes, latitudes = transform_points(info.crs, _CRS, columns, rows)
    except RasterioError as error:
        message = f"{info.path}: its coordinate system cannot be turned into degrees ({error}); reproject it (gdalwarp)"
        raise ProductError(message) from error
    if not (-180 <= west < east <= 180 and -85 <= south < north <= 85):
        message = (
            f"{info.path}: lies between {west:.5g} and {east:.5g} degrees east, {south:.5g} and {north:.5g} degrees "
            "north, expected a place on Earth that is not at a pole or across 180 degrees; check its coordinate system"
        )
        raise ProductError(message)
    east_m, north_m = _metres_per_degree(0.5 * (south + north))
    sides = [
        math.hypot((longitudes[i] - longitudes[0]) * east_m, (latitudes[i] - latitudes[0]) * north_m) for i in (1, 2)
    ]
    own_m = math.sqrt(sides[0] * sides[1])
    pixel_m = own_m if pixel_m is None else pixel_m
    shape = max(1, round((north - south) * north_m / pixel_m)), max(1, round((east - west) * east_m / pixel_m))
    if shape[0] * shape[1] > raster.EAGER_PIXELS:
        message = (
            f"{info.path}: with pixels of {pixel_m:g} m it has {shape[0]} x {shape[1]} of them, expected at most "
            f"{raster.EAGER_PIXELS:,}; choose larger pixels or cut out the place"
        )
        raise ProductError(message)
    return Affine(pixel_m / east_m, 0, west, 0, -pixel_m / north_m, north), shape, pixel_m, own_m


def _metres_per_degree(latitude: float) -> tuple[float, float]:
    """Return the metres of a degree of longitude and of latitude on the WGS 84 ellipsoid."""
    radius_m, eccentricity_squared = 6_378_137.0, 6.694_379_990_14e-3
    phi = math.radians(latitude)
    bulge = 1 - eccentricity_squared * math.sin(phi) ** 2
    east = radius_m * math.cos(phi) / math.sqrt(bulge)
    north = radius_m * (1 - eccentricity_squared) / bulge**1.5
    return math.radians(east), math.radians(north)


def _warp(values: Real, info: RasterInfo, transform: Any, shape: tuple[int, int], *, average: bool) -> Real:
    from rasterio.enums import Resampling
    from rasterio.errors import RasterioError
    from rasterio.warp import reproject

    result = np.full(shape, np.nan, np.float32)
    try:
        reproject(
            values,
            result,
            src_transform=info.transform,
            src_crs=info.crs,
            src_nodata=np.nan,
            dst_transform=transform,
            dst_crs=_CRS,
            dst_nodata=np.nan,
            resampling=Resampling.average if average else Resampling.bilinear,
        )
    except RasterioError as error:
        message = f"{info.path}: cannot be brought to longitude and latitude ({error}); reproject it with gdalwarp"
        raise ProductError(message) from error
    return result


def _on_grid(path: Path, dem: Dem) -> Real:
    info = _inspect(path, "a component or an angle of the line of sight")
    assert info.transform is not None
    # Look vectors vary slowly: interpolation is exact enough whatever the two pixel sizes.
    return _warp(_read_values(info), info, dem.transform, (dem.height_m.shape[0], dem.height_m.shape[1]), average=False)


def _fill(height: Real, void: NDArray[np.bool_]) -> Real:
    if not void.any():
        return height
    from rasterio.fill import fillnodata

    filled = fillnodata(np.where(void, 0, height), ~void, max_search_distance=max(height.shape), smoothing_iterations=2)
    return np.asarray(filled, np.float32)


def _flat(height: Real) -> NDArray[np.bool_]:
    """Return where 7 x 7 pixels around a pixel, or around one of its neighbours, all have the same height."""
    flat = ndimage.maximum_filter(height, _FLAT_PX) == ndimage.minimum_filter(height, _FLAT_PX)
    return np.asarray(ndimage.binary_dilation(flat, iterations=_FLAT_PX // 2))


def _from_elevation(theta: Real, phi: Real) -> Real:
    """Look vector of HyP3's angles in radians: elevation of the sensor, and its direction from east, anticlockwise."""
    outside = (theta == 0) & (phi == 0)
    look = np.stack([np.cos(theta) * np.cos(phi), np.cos(theta) * np.sin(phi), np.sin(theta)])
    look[:, outside] = np.nan
    return look


def _from_incidence(files: Sequence[Path], incidence: Real, heading: Real) -> Real:
    typical = float(np.nanmedian(incidence)) if np.isfinite(incidence).any() else math.nan
    if not 5 < typical < 80:
        message = (
            f"{files[0]}: holds incidence angles about {typical:.3g}, expected degrees between 5 and 80, and the "
            f"headings in the second file ({files[1].name}); turn radians into degrees"
        )
        raise ProductError(message)
    # A right-looking satellite, as in physics.geometry, which stands below the products.
    t, h = np.radians(incidence), np.radians(heading)
    look = np.stack([-np.sin(t) * np.cos(h), np.sin(t) * np.sin(h), np.cos(t)])
    look[:, incidence <= 0] = np.nan
    return look
