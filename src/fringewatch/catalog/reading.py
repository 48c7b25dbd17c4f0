"""Questions to a catalogue, answered as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import sqlalchemy as sa

from fringewatch.catalog.schema import columns_of
from fringewatch.catalog.tables import DETECTIONS, REVIEWS, RUNS, SCENE_SITES, SCENES, SITES
from fringewatch.sites import NEAR_KM, Sites

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection

    import geopandas as gpd
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["Conditions", "fetch", "fetch_reviews", "fetch_runs", "fetch_sites"]


class Conditions(NamedTuple):
    """What a scene has to meet; None for anything. See :meth:`fringewatch.catalog.Catalog.query`."""

    start: dt.date | None = None
    end: dt.date | None = None
    min_score: float | None = None
    flagged: bool | None = None
    run_id: int | None = None
    duplicates: bool = False


def fetch(
    connection: sa.Connection,
    table: Literal["scenes", "detections"],
    conditions: Conditions,
    *,
    site_id: int | None,
    kind: str | None,
    lacking: Collection[sa.Column[Any]] = (),
) -> gpd.GeoDataFrame:
    """Return the rows of a table that meet conditions and have a site near, as a frame with every column.

    That an older catalogue is `lacking` some makes no difference to the frame.
    """
    if table == "scenes":
        scored, query = SCENES, sa.select(*columns_of(*SCENES.c, lacking=lacking)).order_by(SCENES.c.scene_id)
        near = sa.select(SCENE_SITES.c.scene_id).where(SCENE_SITES.c.distance_km <= NEAR_KM)
        if kind is not None:
            of_kind = near.join(SITES, SITES.c.site_id == SCENE_SITES.c.site_id).where(SITES.c.kind == kind)
            query = query.where(SCENES.c.scene_id.in_(of_kind))
        if site_id is not None:
            query = query.where(SCENES.c.scene_id.in_(near.where(SCENE_SITES.c.site_id == site_id)))
    else:
        scored = DETECTIONS
        query = sa.select(*columns_of(*DETECTIONS.c, lacking=lacking), SCENES.c.file)
        query = query.join(SCENES, SCENES.c.scene_id == DETECTIONS.c.scene_id)
        query = query.order_by(DETECTIONS.c.detection_id)
        if kind is not None:
            query = query.where(DETECTIONS.c.site_kind == kind, DETECTIONS.c.site_distance_km <= NEAR_KM)
        if site_id is not None:
            query = query.where(DETECTIONS.c.site_id == site_id, DETECTIONS.c.site_distance_km <= NEAR_KM)
    if conditions.start is not None:
        query = query.where(SCENES.c.secondary_date >= conditions.start)
    if conditions.end is not None:
        query = query.where(SCENES.c.secondary_date <= conditions.end)
    if conditions.min_score is not None:
        query = query.where(scored.c.score >= conditions.min_score)
    if conditions.flagged is not None:
        query = query.where(SCENES.c.flagged == conditions.flagged)
    if conditions.run_id is not None:
        query = query.where(SCENES.c.run_id == conditions.run_id)
    if not conditions.duplicates:
        query = query.where(SCENES.c.duplicate_of.is_(None))
    return _located(_frame(connection, query))


def fetch_sites(connection: sa.Connection) -> tuple[Sites, NDArray[np.int64]]:
    """Return the sites and, row by row, their ids."""
    table = _frame(connection, sa.select(SITES).order_by(SITES.c.site_id))
    ids = table.pop("site_id").to_numpy(np.int64)
    return Sites(_located(table)), ids


def fetch_runs(connection: sa.Connection) -> pd.DataFrame:
    """Return all runs."""
    return _frame(connection, sa.select(RUNS).order_by(RUNS.c.run_id))


def fetch_reviews(connection: sa.Connection) -> gpd.GeoDataFrame:
    """Return all reviews with file and name of their scenes."""
    query = sa.select(REVIEWS, SCENES.c.file, SCENES.c.name).join(SCENES, SCENES.c.scene_id == REVIEWS.c.scene_id)
    return _located(_frame(connection, query.order_by(REVIEWS.c.review_id)))


def _frame(connection: sa.Connection, query: sa.Select[Any]) -> pd.DataFrame:
    """Return the answer with one type per column, also where it is empty or all of a column is unknown."""
    import pandas as pd

    columns = list(query.selected_columns)
    rows = connection.execute(query).all()
    parts = zip(*rows, strict=True) if rows else [()] * len(columns)
    made = {column.name: _typed(values, column.type) for column, values in zip(columns, parts, strict=True)}
    return pd.DataFrame(made)


def _typed(values: Any, kind: sa.types.TypeEngine[Any]) -> Any:
    import pandas as pd

    if isinstance(kind, sa.Text):
        return pd.array(list(values), dtype="str")
    if isinstance(kind, sa.Date | sa.DateTime):
        return pd.DatetimeIndex(values).astype("datetime64[s]")
    if isinstance(kind, sa.Boolean):
        return pd.array(list(values), dtype="boolean")
    if isinstance(kind, sa.Integer):
        return pd.array(list(values), dtype="Int64")
    if isinstance(kind, sa.Double):
        return np.array(values, dtype=float)
    return np.fromiter(values, dtype=object, count=len(values))


def _located(table: pd.DataFrame) -> gpd.GeoDataFrame:
    import geopandas as gpd

    return gpd.GeoDataFrame(table.rename(columns={"geom": "geometry"}), geometry="geometry", crs="EPSG:4326")
