"""The outline of a region, from the grid of the map to coordinates."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import ndimage

from fringewatch.interferogram import grid_of, half_turn

if TYPE_CHECKING:
    import shapely
    import xarray as xr
    from numpy.typing import NDArray

    from fringewatch.regions.measure import Piece
    from fringewatch.scan import Scan

__all__ = ["Located", "cut_at_date_line", "georeference", "outline", "unbroken"]


def outline(piece: Piece, scan: Scan, edge: np.float32) -> shapely.Polygon:
    """Return the line where the probability falls to the edge, in scene pixels (x, y), centres at whole numbers."""
    import shapely
    from skimage.measure import find_contours

    # "low": areas that touch at a corner only are two regions, as in the labelling. scikit-image ships no types.
    contours = find_contours(piece.logits, edge, fully_connected="low")  # type: ignore[no-untyped-call]
    rings = [
        ((ring + (piece.top, piece.left) + 0.5) * scan.stride - 0.5)[:, ::-1] for ring in contours if len(ring) > 3
    ]
    parts = sorted((shapely.Polygon(ring) for ring in rings), key=lambda part: part.area, reverse=True)
    polygon = shapely.Polygon(parts[0].exterior, [part.exterior for part in parts[1:]])
    # Drops points that lie on a line; more would take a visible share of a small region's area.
    simple = polygon.simplify(scan.stride / 16)
    valid = simple if simple.is_valid else shapely.make_valid(simple)
    height, width = scan.shape
    left, top, right, bottom = valid.bounds
    if min(left, top) >= -0.5 and right <= width - 0.5 and bottom <= height - 0.5:
        return valid
    return valid.intersection(shapely.box(-0.5, -0.5, width - 0.5, height - 0.5))


class Located(NamedTuple):
    """Polygons of regions in the CRS of their scene, with their areas and centroids; NaN where there is no CRS."""

    polygons: list[Any]
    crs: Any
    degrees: list[Any]
    """The same in longitude and latitude, see :func:`unbroken`; empty where nobody knows where the scene lies, None in
    a gap of its lookup table."""
    area_km2: list[float]
    lon: list[float]
    lat: list[float]


def georeference(polygons: list[Any], interferogram: xr.Dataset) -> Located:
    """Bring polygons from scene pixels to the CRS of the interferogram; without one they stay as they are."""
    import shapely

    crs, transform = grid_of(interferogram)
    if crs is None and "lat" in interferogram.coords:
        places = [_look_up(polygon, interferogram, _ellipsoid()) for polygon in polygons]
        shapes, *columns = ([place[column] for place in places] for column in range(4))
        return Located(polygons, None, shapes, *columns)
    nan = [float("nan")] * len(polygons)
    if crs is None:
        side = interferogram.attrs.get("pixel_size_m")
        area = nan if side is None else [polygon.area * float(side) ** 2 / 1e6 for polygon in polygons]
        return Located(polygons, None, [], area, nan, nan)

    def to_map(points: NDArray[np.float64]) -> NDArray[np.float64]:
        columns, rows = points[:, 0] + 0.5, points[:, 1] + 0.5
        return np.column_stack(
            [
                transform.a * columns + transform.b * rows + transform.c,
                transform.d * columns + transform.e * rows + transform.f,
            ]
        )

    mapped = degrees = [shapely.transform(polygon, to_map) for polygon in polygons]
    transformer = _into_degrees(crs.to_wkt())
    if transformer is not None:
        degrees = [
            shapely.transform(shape, lambda points: np.column_stack(transformer.transform(*points.T)))
            for shape in mapped
        ]
    degrees = [unbroken(shape) for shape in degrees]
    # The ellipsoid for every CRS: planar areas are wrong in Web Mercator and in degrees.
    area = [_area_m2(shape, _ellipsoid()) / 1e6 for shape in degrees]
    centres = [shape.centroid for shape in degrees]
    return Located(
        mapped, crs, degrees, area, [half_turn(point.x) for point in centres], [point.y for point in centres]
    )


def unbroken(shape: Any) -> Any:
    """Return a shape in longitude and latitude that does not jump at the date line.

    One across it goes on beyond 180 or -180; its middle, and all of any other, lies within [-180, 180].
    """
    import shapely

    west, _, east, _ = shape.bounds
    if not (west < -180 or east > 180 or east - west > 180):
        return shape
    first = shapely.get_coordinates(shape)[0, 0]

    def joined(longitude: NDArray[np.float64]) -> NDArray[np.float64]:
        moved: NDArray[np.float64] = longitude - 360 * np.rint((longitude - first) / 360)
        return moved

    ends = joined(shapely.get_coordinates(shape)[:, 0])
    middle = (ends.min() + ends.max()) / 2
    beyond = middle - half_turn(middle)
    return shapely.transform(shape, lambda points: np.column_stack([joined(points[:, 0]) - beyond, points[:, 1]]))


def cut_at_date_line(shape: Any) -> Any:
    """Return a shape that does not jump, see :func:`unbroken`, in parts within [-180, 180] as RFC 7946 (3.1.9) asks."""
    import shapely
    from shapely.affinity import translate

    west, south, east, north = shape.bounds
    if west >= -180 and east <= 180:
        return shape
    # One around a pole crosses itself in degrees.
    shape = shapely.make_valid(shape)
    worlds = ((turn, shapely.box(turn - 180, south, turn + 180, north)) for turn in (-360, 0, 360))
    parts = [translate(shape.intersection(world), xoff=-turn) for turn, world in worlds]
    # Lines and points are where a shape only touches the date line.
    kept = [part for whole in parts for part in shapely.get_parts(whole) if part.geom_type == "Polygon"]
    # Parts of one that goes round more than once lie on each other.
    return kept[0] if len(kept) == 1 else shapely.unary_union(kept)


@functools.cache
def _ellipsoid() -> Any:
    from pyproj import Geod

    return Geod(ellps="WGS84")


@functools.lru_cache(maxsize=256)
def _into_degrees(wkt: str) -> Any:
    """Return what brings coordinates of a CRS to longitude and latitude; None where they are that already."""
    from pyproj import CRS, Transformer

    source = CRS.from_wkt(wkt)
    if source.equals("EPSG:4326", ignore_axis_order=True):
        return None
    return Transformer.from_crs(source, "EPSG:4326", always_xy=True)


def _look_up(polygon: Any, interferogram: xr.Dataset, ellipsoid: Any) -> tuple[Any, float, float, float]:
    """Return a polygon of pixels in degrees, its area (km2), longitude and latitude.

    Where the lookup table has a gap they are None and NaN.
    """
    import shapely

    left, top, right, bottom = polygon.bounds
    rows, columns = slice(max(int(top) - 1, 0), int(bottom) + 3), slice(max(int(left) - 1, 0), int(right) + 3)
    # Only this window: the tables of a large scene are read lazily.
    latitude, longitude = (np.asarray(interferogram[name][rows, columns].values, np.float64) for name in ("lat", "lon"))
    known = longitude[np.isfinite(longitude)]
    origin = float(known[0]) if known.size else 0.0
    # Relative to one pixel: interpolation must not run from 180 to -180 degrees.
    east = (longitude - origin + 180) % 360 - 180

    def to_degrees(points: NDArray[np.float64]) -> NDArray[np.float64]:
        at = [points[:, 1] - rows.start, points[:, 0] - columns.start]
        x, y = (ndimage.map_coordinates(table, at, order=1, mode="nearest") for table in (east, latitude))
        return np.column_stack([x, y])

    # GEOS takes no ring with gaps.
    whole = np.isfinite(to_degrees(shapely.get_coordinates(polygon))).all()
    shape, area_m2 = None, float("nan")
    if whole:
        near = shapely.transform(polygon, to_degrees)
        area_m2 = _area_m2(near, ellipsoid)
        shape = unbroken(shapely.transform(near, lambda points: points + np.array([origin, 0])))
    x, y = to_degrees(shapely.get_coordinates(polygon.centroid))[0]
    return shape, area_m2 / 1e6, half_turn(origin + x), float(y)


def _area_m2(shape: Any, ellipsoid: Any) -> float:
    """Return the area of a polygon or several; holes count as such only where they wind the other way."""
    from shapely.geometry.polygon import orient

    parts = [part for part in getattr(shape, "geoms", [shape]) if part.geom_type == "Polygon"]
    return float(sum(ellipsoid.geometry_area_perimeter(orient(part))[0] for part in parts))
