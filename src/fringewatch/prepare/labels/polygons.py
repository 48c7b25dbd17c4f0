"""Polygons of deformation, in any coordinate system."""

from __future__ import annotations

import datetime as dt
import functools
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fringewatch.errors import ProductError
from fringewatch.prepare.labels.scene import Mark, Marks, Scene

if TYPE_CHECKING:
    import geopandas
    from numpy.typing import NDArray

__all__ = ["POLYGON_SUFFIXES", "Polygons"]

POLYGON_SUFFIXES = (".fgb", ".geojson", ".gpkg", ".json", ".shp")
_DEFAULT_WORD = "deformation"


class Polygons:
    """Polygons of one file, each with an optional label, scene and period.

    Columns, by name in any case: ``label`` (``deformation`` if there is none), ``scene`` (name of a scene or of its
    file, with the wildcards ``*`` and ``?``; every scene there if empty), ``start`` and ``end`` (ISO dates of the
    motion; a pair of dates that ends before the start or begins after the end shows none of it).

    Parameters
    ----------
    path
        GeoJSON, GeoPackage, FlatGeobuf or Shapefile.

    Raises
    ------
    ProductError
        If it cannot be read, has no coordinate system, or holds something else than polygons.
    """

    def __init__(self, path: Path) -> None:
        import geopandas
        from pyogrio.errors import DataSourceError

        self._path = path
        try:
            frame = geopandas.read_file(path)
        except (DataSourceError, OSError, ValueError) as error:
            message = f"{path}: cannot be read as polygons ({error}); expected GeoJSON, GeoPackage or Shapefile"
            raise ProductError(message) from error
        if not isinstance(frame, geopandas.GeoDataFrame) or frame.geometry.isna().all():
            message = f"{path}: holds no geometries, expected polygons of deformation"
            raise ProductError(message)
        frame = frame[~frame.geometry.isna()]
        if frame.crs is None:
            message = f"{path}: names no coordinate system; set it, for example with `ogr2ogr -a_srs EPSG:4326`"
            raise ProductError(message)
        if wrong := sorted(set(frame.geom_type) - {"Polygon", "MultiPolygon"}):
            message = f"{path}: holds {', '.join(wrong)}, expected polygons; draw a buffer about points and lines"
            raise ProductError(message)
        frame = frame.rename(columns={name: str(name).lower() for name in frame.columns if name != frame.geometry.name})
        self._columns = {
            "label": _texts(frame, "label", _DEFAULT_WORD),
            "scene": _texts(frame, "scene", ""),
            "start": _dates(frame, "start", path),
            "end": _dates(frame, "end", path),
        }
        self._geometry = frame.geometry.make_valid().reset_index(drop=True)
        self._used = np.zeros(len(frame), bool)
        self._transformed: dict[str, geopandas.GeoSeries] = {}

    @property
    def words(self) -> frozenset[str]:
        """Every label in the file."""
        return frozenset(self._columns["label"])

    def key_of(self, _name: str, _path: str) -> str | None:
        """Return None: a polygon may lie on many scenes."""
        return None

    def lay_over(self, scene: Scene) -> Marks | None:
        """Return the polygons that reach into a scene at its time, or None if none does."""
        chosen = [index for index in range(len(self._geometry)) if self._concerns(index, scene)]
        if not chosen:
            return None
        if not scene.crs_wkt:
            if not any(self._columns["scene"][index] for index in chosen):
                return None
            message = (
                f"{scene.path}: has no coordinates, so that the polygons of {self._path} cannot be laid over it; "
                "georeference the scene, or give a mask or a table of pixel bounds"
            )
            raise ProductError(message)
        geometry = self._in_crs(scene.crs_wkt)
        marks = []
        for index in chosen:
            inside = _rasterise(geometry.iloc[index], scene)
            if inside.any():
                self._used[index] = True
                marks.append(Mark(inside, self._columns["label"][index]))
        return Marks(marks) if marks else None

    def unused(self) -> list[str]:
        """Say how many polygons lie in no scene."""
        count = int((~self._used).sum())
        return [f"{self._path}: {count} of {len(self._used)} polygons lie in no scene"] if count else []

    def _concerns(self, index: int, scene: Scene) -> bool:
        pattern, start, end = (self._columns[name][index] for name in ("scene", "start", "end"))
        named = not pattern or any(
            fnmatchcase(name, pattern) for name in (scene.name, Path(scene.path).name, Path(scene.path).stem)
        )
        # ISO dates are in order as text, and a pair may run backwards. Where one is not known, nothing speaks against
        # the polygon.
        first, last = sorted((scene.reference_date, scene.secondary_date))
        before = bool(start and first) and last <= start
        after = bool(end and first) and first >= end
        return named and not before and not after

    def _in_crs(self, crs_wkt: str) -> geopandas.GeoSeries:
        if crs_wkt not in self._transformed:
            self._transformed[crs_wkt] = self._geometry.to_crs(crs_wkt)
        return self._transformed[crs_wkt]


def _rasterise(geometry: Any, scene: Scene) -> NDArray[np.bool_]:
    """Return the pixels (H, W) whose centres lie in a geometry."""
    import shapely

    inside = np.zeros(scene.shape, bool)
    if geometry.is_empty or not np.isfinite(geometry.bounds).all():
        return inside
    west, south, east, north = geometry.bounds
    rows = np.flatnonzero((scene.y >= south) & (scene.y <= north))
    # A scene across the date line goes on beyond 180 degrees, where polygons begin again at -180.
    for turn in (-360.0, 0.0, 360.0) if _is_in_degrees(scene.crs_wkt) else (0.0,):
        x = scene.x + turn
        cols = np.flatnonzero((x >= west) & (x <= east))
        if len(rows) and len(cols):
            shapely.prepare(geometry)
            part = np.ix_(rows, cols)
            inside[part] |= shapely.contains_xy(geometry, *np.meshgrid(x[cols], scene.y[rows]))
    return inside


@functools.lru_cache(maxsize=256)
def _is_in_degrees(crs_wkt: str) -> bool:
    from pyproj import CRS

    return bool(CRS.from_wkt(crs_wkt).is_geographic)


def _texts(frame: geopandas.GeoDataFrame, name: str, default: str) -> list[str]:
    if name not in frame.columns:
        return [default] * len(frame)
    values = frame[name].astype(object)
    return [default if value is None or value != value else _plain_number(value) for value in values]  # noqa: PLR0124 (NaN)


def _plain_number(value: object) -> str:
    """Return a value as text; a number that a driver made a float is a whole one all the same."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _dates(frame: geopandas.GeoDataFrame, name: str, path: Path) -> list[str]:
    if name not in frame.columns:
        return [""] * len(frame)
    return [_date(value, name, path) for value in frame[name].astype(object)]


def _date(value: Any, name: str, path: Path) -> str:
    """Return an ISO date; of numbers and texts YYYYMMDD and YYYY-MM-DD alone, since 01/06/2020 has two meanings."""
    if value is None or value != value or str(value).strip() in {"", "NaT"}:  # noqa: PLR0124 (NaN)
        return ""
    if isinstance(value, dt.date):
        return value.isoformat()[:10]
    text = _plain_number(value)
    try:
        # ISO texts may go on with a time.
        return dt.date.fromisoformat(text if len(text) == 8 and text.isdigit() else text[:10]).isoformat()
    except ValueError as error:
        message = f"{path}: the column {name!r} holds {text!r}, expected dates as YYYY-MM-DD or YYYYMMDD; correct them"
        raise ProductError(message) from error
