"""Which sites lie inside or next to an outline: geodesic distances, many outlines at once.

Outlines are shifted to their own first corner, so that neither the date line nor the scale of a degree matters: the
nearest points are found in that local frame, and the distance between them is measured on the WGS 84 ellipsoid.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pyproj import Geod

if TYPE_CHECKING:
    from typing import Any

    import geopandas as gpd
    from numpy.typing import NDArray
    from scipy.spatial import cKDTree

    from fringewatch.sites.listing import Sites

__all__ = ["NEAR_KM", "SITE_COLUMNS", "Ties", "tie", "tie_to_sites"]

NEAR_KM = 25.0
"""Up to this distance a scene belongs to a site that is not the nearest: deformation shows that far from a vent."""

SITE_COLUMNS = ("site", "site_number", "site_kind", "site_distance_km")
"""What :func:`tie_to_sites` adds to a table."""

# The local frame is exact at its middle only; candidates are taken from a little farther than bounds ask for.
_SLACK = 1.01
_SLACK_KM = 1.0


_ELLIPSOID = Geod(ellps="WGS84")


class Ties(NamedTuple):
    """Pairs of outline and site, sorted by outline and then by distance, so that the nearest comes first.

    Attributes
    ----------
    outline, site
        Indices, (N,) int.
    distance_km
        From the site to the nearest point of the outline, 0 inside; (N,) float.
    first
        (N,) bool: the nearest site of its outline. Among sites inside, the one next to the outline's middle.
    """

    outline: NDArray[np.intp]
    site: NDArray[np.intp]
    distance_km: NDArray[np.float64]
    first: NDArray[np.bool_]


def tie(outlines: Any, sites: Sites, *, near_km: float = NEAR_KM) -> Ties:
    """Return the nearest site of every outline and all others within a distance.

    Parameters
    ----------
    outlines
        (N,) shapely geometries in longitude and latitude; longitudes beyond 180 are as good as others. None and empty
        ones are tied to nothing.
    sites
        Where to look.
    near_km
        Sites up to here are paired too, in km.

    Returns
    -------
    Ties
    """
    import pandas as pd
    import shapely

    outlines = np.asarray(outlines, dtype=object)
    usable = np.flatnonzero(~(shapely.is_missing(outlines) | shapely.is_empty(outlines)))
    if not len(usable) or not len(sites):
        nothing = np.zeros(0, np.intp)
        return Ties(nothing, nothing, np.zeros(0), np.zeros(0, bool))
    # An archive has few footprints and many scenes of each.
    inverse, _ = pd.factorize(shapely.to_wkb(outlines[usable]))
    _, kept = np.unique(inverse, return_index=True)
    pairs = _tie_unique(outlines[usable][kept], _index(sites), near_km)
    # Give every outline the pairs of the one that it equals.
    counts = np.bincount(pairs.outline, minlength=len(kept))[inverse]
    starts = np.searchsorted(pairs.outline, inverse)
    picked = np.repeat(starts - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    return Ties(np.repeat(usable, counts), pairs.site[picked], pairs.distance_km[picked], pairs.first[picked])


def tie_to_sites(table: gpd.GeoDataFrame, sites: Sites) -> gpd.GeoDataFrame:
    """Return a table with the nearest site of every row.

    Parameters
    ----------
    table
        Rows with a geometry: detections, scenes. Any CRS; without one (pixels) rows are tied to nothing.
    sites
        Where to look.

    Returns
    -------
    geopandas.GeoDataFrame
        A copy with :data:`SITE_COLUMNS`: name, number and kind (text, ``""`` where there is no site) and the distance
        in km from the site to the outline, 0 inside, NaN where there is none.
    """
    import pandas as pd

    made: dict[str, Any] = {column: np.full(len(table), "", object) for column in SITE_COLUMNS[:3]}
    made["site_distance_km"] = np.full(len(table), np.nan)
    if table.crs is not None and len(table):
        ties = tie(table.geometry.to_crs("EPSG:4326").to_numpy(), sites, near_km=0)
        rows, nearest = ties.outline[ties.first], ties.site[ties.first]
        for column, source in zip(SITE_COLUMNS, ("name", "number", "kind"), strict=False):
            made[column][rows] = sites.table[source].to_numpy()[nearest]
        made["site_distance_km"][rows] = ties.distance_km[ties.first]
    texts = {column: pd.array(made[column], dtype="str") for column in SITE_COLUMNS[:3]}
    return table.assign(**texts, site_distance_km=made["site_distance_km"])


class _Index(NamedTuple):
    """Sites as the search wants them: outlines, middles as lon, lat (N, 2), extents in km, a tree of the middles."""

    shapes: NDArray[Any]
    centre: NDArray[np.float64]
    radius_km: NDArray[np.float64]
    tree: cKDTree


@functools.lru_cache(maxsize=4)
def _index(sites: Sites) -> _Index:
    from scipy.spatial import cKDTree

    shapes = np.asarray(sites.table.geometry)
    _, centre, radius_km = _localise(shapes)
    return _Index(shapes, centre, radius_km, cKDTree(_cartesian_km(centre)))


def _tie_unique(outlines: NDArray[Any], sites: _Index, near_km: float) -> Ties:
    import shapely

    local, centre, radius_km = _localise(outlines)
    middle = _cartesian_km(centre)
    # The nearest site cannot be farther from the middle than the nearest by middles is, plus both extents. Chords
    # through the Earth are shorter than distances on it, so a ball of that radius misses none.
    _, nearest = sites.tree.query(middle)
    bound = _distance_km(centre, sites.centre[nearest]) + sites.radius_km[nearest]
    reach = np.maximum(bound, near_km) + radius_km + sites.radius_km.max()
    found = sites.tree.query_ball_point(middle, reach * _SLACK + _SLACK_KM)
    outline = np.repeat(np.arange(len(outlines)), [len(each) for each in found])
    site = np.concatenate([np.asarray(each, np.intp) for each in found])
    # Both in the frame of the outline, shrunk along the parallels so that nearest there is nearest on the ground.
    shrink = np.column_stack([np.cos(np.radians(centre[:, 1])), np.ones(len(centre))])
    lines = shapely.shortest_line(
        _scale(local, shrink)[outline], _scale(_shift(sites.shapes[site], centre[outline]), shrink[outline])
    )
    ends = shapely.get_coordinates(lines).reshape(-1, 2, 2) / shrink[outline, None] + centre[outline, None]
    distance = _distance_km(ends[:, 0], ends[:, 1])
    from_middle = _distance_km(centre[outline], sites.centre[site])
    order = np.lexsort((site, from_middle, distance, outline))
    outline, site, distance = outline[order], site[order], distance[order]
    first = np.diff(outline, prepend=-1) > 0
    keep = first | (distance <= near_km)
    return Ties(outline[keep], site[keep], distance[keep], first[keep])


def _localise(shapes: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.float64]]:
    """Return shapes in degrees from their own middles, the middles (N, 2) as lon, lat, and their extents in km."""
    import shapely

    points, owner = shapely.get_coordinates(shapes, return_index=True)
    anchor = points[np.searchsorted(owner, np.arange(len(shapes)))]
    shifted = _shift(shapes, anchor)
    offset = shapely.get_coordinates(shapely.centroid(shifted))
    centre = anchor + offset
    centre[:, 0] = _wrap_degrees(centre[:, 0])
    from_centre = _distance_km(centre[owner], points)
    radius = np.zeros(len(shapes))
    np.maximum.at(radius, owner, from_centre)
    return _shift(shapes, centre), centre, radius


def _shift(shapes: NDArray[Any], origin: NDArray[np.float64]) -> NDArray[Any]:
    """Return copies in degrees from an origin each, longitudes to the nearer side of it."""
    import shapely

    points, owner = shapely.get_coordinates(shapes, return_index=True)
    moved = points - origin[owner]
    moved[:, 0] = _wrap_degrees(moved[:, 0])
    return np.asarray(shapely.set_coordinates(shapes.copy(), moved))


def _scale(shapes: NDArray[Any], factor: NDArray[np.float64]) -> NDArray[Any]:
    import shapely

    points, owner = shapely.get_coordinates(shapes, return_index=True)
    return np.asarray(shapely.set_coordinates(shapes.copy(), points * factor[owner]))


def _wrap_degrees(longitude: NDArray[np.float64]) -> NDArray[np.float64]:
    return (longitude + 180) % 360 - 180


def _distance_km(start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    _, _, metres = _ELLIPSOID.inv(start[:, 0], start[:, 1], end[:, 0], end[:, 1])
    return np.asarray(metres, float) / 1000


def _cartesian_km(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points (N, 2) on the WGS 84 ellipsoid as geocentric x, y, z in km."""
    longitude, latitude = np.radians(places).T
    # Radius of curvature in the prime vertical.
    radius = _ELLIPSOID.a / 1000 / np.sqrt(1 - _ELLIPSOID.es * np.sin(latitude) ** 2)
    across = radius * np.cos(latitude)
    up = radius * (1 - _ELLIPSOID.es) * np.sin(latitude)
    return np.column_stack([across * np.cos(longitude), across * np.sin(longitude), up])
