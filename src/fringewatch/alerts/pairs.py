"""Pairs of a catalogue seen from their sites: one row per interferogram and site that it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import sqlalchemy as sa

from fringewatch.alerts.judge import Site
from fringewatch.catalog.schema import columns_of
from fringewatch.catalog.tables import DETECTIONS, REVIEWS, SCENE_SITES, SCENES, SITES
from fringewatch.sites import NEAR_KM

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["read_pairs", "read_sites"]


def read_sites(connection: sa.Connection) -> list[Site]:
    """Return the sites of a catalogue, by name."""
    query = sa.select(SITES.c.site_id, SITES.c.name, SITES.c.number, SITES.c.kind)
    return [Site(*row) for row in connection.execute(query.order_by(SITES.c.name, SITES.c.number))]


def read_pairs(
    connection: sa.Connection,
    site_ids: Collection[int] | None = None,
    *,
    lacking: Collection[sa.Column[Any]] = (),
) -> pd.DataFrame:
    """Return the dated pairs of sites, each once for every site within 25 km of its outline.

    A scene may show several sites, and what moves at one of them says nothing of the others. The score and the area
    of a pair at a site are therefore those of the detections that lie nearest to this site and within 25 km of it.
    Where there are none, they are the scene's own if it has no detection at all, and unknown if it has some elsewhere.
    They are unknown, too, where a person has rejected the scene in its last review.

    Some processors name the newer acquisition first. What a pair shows then runs backwards, but the time it covers does
    not: ``first_date`` and ``last_date`` are in the order of time, and reference and secondary as the file names them.

    Parameters
    ----------
    connection
        To the catalogue, inside a transaction.
    site_ids
        The sites; None for all.
    lacking
        Columns that the catalogue of an earlier version does not have.

    Returns
    -------
    pandas.DataFrame
        ``site_id``, ``reference_date``, ``secondary_date``, ``first_date``, ``last_date`` (datetime64), ``score`` (NaN:
        unknown), ``flagged``, ``area_km2`` (NaN: unknown), ``level_score`` of the whole scene (NaN: it does not follow
        the terrain, or nothing was asked), ``name``, ``file``; sorted by site and by the dates, last before first.
        Failed scenes, duplicates of others, and those without two dates are left out.
    """
    chosen = [] if site_ids is None else [SCENE_SITES.c.site_id.in_(site_ids)]
    here = (
        sa.select(
            DETECTIONS.c.scene_id,
            DETECTIONS.c.site_id,
            sa.func.max(DETECTIONS.c.score).label("score"),
            sa.func.sum(DETECTIONS.c.area_km2).label("area_km2"),
        )
        .where(DETECTIONS.c.site_distance_km <= NEAR_KM)
        .group_by(DETECTIONS.c.scene_id, DETECTIONS.c.site_id)
        .subquery()
    )
    anywhere = sa.exists().where(DETECTIONS.c.scene_id == SCENES.c.scene_id)
    quiet = ~anywhere & here.c.score.is_(None)
    # What was said of a file holds for its copies: an archive that moved keeps its reviews.
    reviewed = SCENES.alias()
    content, of_review = (
        sa.case((scenes.c.content_hash != "", scenes.c.content_hash), else_=sa.cast(scenes.c.scene_id, sa.Text))
        for scenes in (SCENES, reviewed)
    )
    reviews = REVIEWS.join(reviewed, reviewed.c.scene_id == REVIEWS.c.scene_id)
    latest = sa.select(sa.func.max(REVIEWS.c.review_id)).select_from(reviews).group_by(of_review)
    rejected = content.in_(
        sa.select(of_review)
        .select_from(reviews)
        .where(REVIEWS.c.review_id.in_(latest), REVIEWS.c.verdict == "rejected")
    )
    dates = SCENES.c.reference_date, SCENES.c.secondary_date
    in_order = dates[0] <= dates[1]
    first, last = (sa.case((in_order, one), else_=other) for one, other in (dates, dates[::-1]))
    query = (
        sa.select(
            SCENE_SITES.c.site_id,
            *dates,
            first.label("first_date"),
            last.label("last_date"),
            sa.case((rejected, None), (quiet, SCENES.c.score), else_=here.c.score).label("score"),
            sa.case((rejected, sa.false()), (quiet, SCENES.c.flagged), else_=here.c.score.is_not(None)).label(
                "flagged"
            ),
            sa.case((rejected, None), (quiet, SCENES.c.area_km2), else_=here.c.area_km2).label("area_km2"),
            *columns_of(SCENES.c.level_score, lacking=lacking),
            SCENES.c.name,
            SCENES.c.file,
        )
        .select_from(SCENE_SITES)
        .join(SCENES, SCENES.c.scene_id == SCENE_SITES.c.scene_id)
        .outerjoin(here, (here.c.scene_id == SCENES.c.scene_id) & (here.c.site_id == SCENE_SITES.c.site_id))
        .where(
            SCENES.c.status == "ok",
            SCENES.c.duplicate_of.is_(None),
            SCENES.c.reference_date.is_not(None),
            SCENES.c.secondary_date.is_not(None),
            SCENE_SITES.c.distance_km <= NEAR_KM,
            *chosen,
        )
        .order_by(SCENE_SITES.c.site_id, last, first, SCENES.c.name)
    )
    rows = connection.execute(query).all()
    names = [column.name for column in query.selected_columns]
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    table = pd.DataFrame(dict(zip(names, map(list, columns), strict=True)))
    table["flagged"] = table["flagged"].eq(True)
    numbers = ["score", "area_km2", "level_score"]
    table[numbers] = table[numbers].astype("float64")
    days = dict.fromkeys(("reference_date", "secondary_date", "first_date", "last_date"), "datetime64[s]")
    return table.astype({"site_id": "int64", "name": "str", "file": "str"} | days)
