"""Detections of one scene as plain rows, and the table that people get.

An archive goes from rows to a database; a table in between would take longer to make than a detection to measure.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from fringewatch.regions.subsidence import SUBSIDENCE_COLUMNS

if TYPE_CHECKING:
    import geopandas as gpd
    import shapely

__all__ = ["COLUMNS", "Detections", "plain_row"]

COLUMNS: dict[str, str] = {
    "scene": "str",
    "region": "int64",
    "score": "float64",
    "max_probability": "float64",
    "mean_probability": "float64",
    "area_km2": "float64",
    "area_px": "int64",
    "row": "int64",
    "col": "int64",
    "row0": "int64",
    "row1": "int64",
    "col0": "int64",
    "col1": "int64",
    "lon": "float64",
    "lat": "float64",
    "fringe_count": "float64",
    "peak_to_peak_los_cm": "float64",
    "mean_coherence": "float64",
    "phase_height_correlation": "float64",
    **SUBSIDENCE_COLUMNS,
    "reference_date": "str",
    "secondary_date": "str",
    "product": "str",
    "model": "str",
    "model_version": "str",
}
"""Columns of a detection table besides ``geometry``, and their types."""
_TYPES: dict[str, Any] = {"str": str, "int64": int, "float64": float}


def plain_row(values: dict[str, Any]) -> dict[str, Any]:
    """Return values in the order of :data:`COLUMNS`, in types of Python."""
    return {name: _TYPES[kind](values[name]) for name, kind in COLUMNS.items()}


@dataclasses.dataclass(frozen=True)
class Detections:
    """What was found in a scene, best first.

    Attributes
    ----------
    rows
        By column of :data:`COLUMNS`, in types of Python, which databases know.
    polygons
        Of each row, in `crs`; in pixels where that is None.
    degrees
        The same in longitude and latitude; empty where nobody knows where the scene lies, None in a gap of the lookup
        table of a scene in radar geometry.
    crs
        Of the scene.
    """

    rows: list[dict[str, Any]]
    polygons: list[shapely.Geometry]
    degrees: list[shapely.Geometry]
    crs: Any

    def __len__(self) -> int:
        """Return the number of detections."""
        return len(self.rows)

    def located(self) -> list[dict[str, Any]]:
        """Return the rows with outlines in longitude and latitude as ``geom``: None where those are not known."""
        shapes = self.degrees or [None] * len(self.rows)
        return [{**row, "geom": shape} for row, shape in zip(self.rows, shapes, strict=True)]

    def table(self) -> gpd.GeoDataFrame:
        """Return them as :func:`fringewatch.regions.find_regions` does."""
        import geopandas as gpd
        import pandas as pd

        columns: dict[str, Any] = {name: [row[name] for row in self.rows] for name in COLUMNS}
        table = {
            name: pd.array(columns[name], dtype=kind) if kind == "str" else np.array(columns[name], dtype=kind)
            for name, kind in COLUMNS.items()
        }
        return gpd.GeoDataFrame(table, geometry=self.polygons, crs=self.crs)
