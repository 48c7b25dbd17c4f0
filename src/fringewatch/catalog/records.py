"""What goes into a catalogue for each scene, and the key under which it is known."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fringewatch.errors import CatalogError
from fringewatch.products.reference import is_remote

if TYPE_CHECKING:
    from collections.abc import Callable

    import geopandas as gpd
    import shapely

    from fringewatch.report import SceneRow

__all__ = ["SceneRecord", "as_multipolygon", "detection_values", "scene_key", "scene_values"]

_STATUSES = ("ok", "failed")
_DATES = ("reference_date", "secondary_date")
_NEEDED = ("scene", "region", *_DATES, "geom")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SceneRecord:
    """One scene for :meth:`fringewatch.catalog.Catalog.add`.

    Attributes
    ----------
    row
        What became of it, as in ``summary.csv``.
    state
        Any text that changes when the scene's files do; a digest keeps the catalogue small. ``Catalog.done`` gives it
        back.
    footprint
        Outline in longitude and latitude, from :func:`fringewatch.interferogram.footprint`; None without a CRS.
    frame
        Frame or track of the provider, ``""`` if it has none.
    content_hash
        Hash of the phase's file. Scenes of the same content are tied to one. ``""``: never a duplicate.
    model_version
        Version of the model bundle.
    detections
        What was found in it: rows from :meth:`fringewatch.regions.Detections.located`.
    """

    row: SceneRow
    state: str
    footprint: shapely.Polygon | None = None
    frame: str = ""
    content_hash: str = ""
    model_version: str = ""
    detections: Sequence[Mapping[str, Any]] = ()


def scene_key(file: str, resolve: Callable[[str], str] = os.path.realpath) -> str:
    """Return how a catalogue knows a file: by its absolute path with all links resolved, or by its address.

    Where it is asked for many files, `resolve` may be a :class:`fringewatch.files.LinkResolver`.
    """
    return file if is_remote(file) else resolve(file)


def scene_values(key: str, record: SceneRecord, run_id: int, settings: str) -> dict[str, Any]:
    """Return a scene as the columns of its table.

    Raises
    ------
    CatalogError
        If a date or the status is none.
    """
    if record.row.status not in _STATUSES:
        message = f"{key}: status = {record.row.status!r}; expected one of: {', '.join(_STATUSES)}"
        raise CatalogError(message)
    return vars(record.row) | {
        "file": key,
        "run_id": run_id,
        "settings": settings,
        "reference_date": _date(record.row.reference_date, f"{key}: reference_date"),
        "secondary_date": _date(record.row.secondary_date, f"{key}: secondary_date"),
        "score": _number(record.row.score),
        "max_probability": _number(record.row.max_probability),
        "area_km2": _number(record.row.area_km2),
        "level_score": _number(record.row.level_score),
        "geom": record.footprint,
        "state": record.state,
        "frame": record.frame,
        "content_hash": record.content_hash,
        "model_version": record.model_version,
    }


def detection_values(detections: gpd.GeoDataFrame | Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return detections as rows of their table; outlines in pixels become None.

    Parameters
    ----------
    detections
        From :func:`fringewatch.regions.find_regions`, or from :meth:`fringewatch.regions.Detections.located`.

    Raises
    ------
    CatalogError
        If a row lacks what every row has, or a date is none.
    """
    if isinstance(detections, Sequence):
        rows = [dict(row) for row in detections]
    else:
        # Column by column: pandas takes a millisecond for each row that it hands out.
        names = [name for name in detections.columns if name != detections.geometry.name]
        columns = [detections[name].tolist() for name in names]
        rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
        outlines: list[Any] = [None] * len(rows)
        if detections.crs is not None and rows:
            from fringewatch.regions import unbroken

            outlines = [unbroken(shape) for shape in detections.geometry.to_crs("EPSG:4326")]
        for row, outline in zip(rows, outlines, strict=True):
            row["geom"] = outline
    for row in rows:
        if lacking := [name for name in _NEEDED if name not in row]:
            message = (
                f"a detection of {row.get('scene', 'a scene')!r}: has no {', '.join(lacking)}; expected rows with all "
                "of Detections.located(), of which geom may be None"
            )
            raise CatalogError(message)
        outline = row.pop("geom")
        row |= {name: _known(value) for name, value in row.items()}
        row |= {name: _date(row[name], f"a detection of {row['scene']!r}: {name}") for name in _DATES}
        row["geom"] = None if outline is None else as_multipolygon(outline)
    return rows


def _date(text: str | None, what: str) -> dt.date | None:
    """Return an ISO date; None for the empty text that stands for unknown."""
    try:
        return dt.date.fromisoformat(text) if text else None
    except (TypeError, ValueError) as error:
        message = f"{what} = {text!r}; expected a date such as '2018-12-28', or '' if it is not known"
        raise CatalogError(message) from error


def _known(value: Any) -> Any:
    """Return a value, or None for any kind of NaN."""
    return None if value is None or value != value else value  # noqa: PLR0124


def _number(value: float | None) -> float | None:
    """Return a finite Python float, or None: databases have no NaN worth the name."""
    return None if value is None or not math.isfinite(value) else float(value)


def as_multipolygon(shape: shapely.Geometry) -> shapely.MultiPolygon:
    """Return the areas of a geometry; lines and points that cutting left over are dropped."""
    import shapely

    parts = [part for part in shapely.get_parts(shape) if part.geom_type in {"Polygon", "MultiPolygon"}]
    return shapely.MultiPolygon([piece for part in parts for piece in shapely.get_parts(part)])
