"""What a transaction does to the tables of a catalogue: rows replaced, tied to sites and to their originals."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from fringewatch.catalog.tables import DETECTIONS, SCENE_SITES, SCENES
from fringewatch.sites import NEAR_KM, Sites
from fringewatch.sites.nearest import tie

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np

__all__ = ["KnownSites", "clear", "mark_duplicates", "select_by", "tie_again", "tie_rows", "upsert"]

# SQLite takes a limited number of values in one statement.
_CHUNK = 500
_RETIE_CHUNK = 20_000
_OTHER = SCENES.alias()
_FIRST_OF_CONTENT = (
    sa.select(sa.func.min(_OTHER.c.scene_id))
    .where(_OTHER.c.content_hash == SCENES.c.content_hash, _OTHER.c.status == "ok", _OTHER.c.content_hash != "")
    .scalar_subquery()
)


class KnownSites(NamedTuple):
    """The sites of the catalogue and, row by row, their ids."""

    sites: Sites
    ids: np.ndarray[Any, np.dtype[np.int64]]


def clear(connection: sa.Connection, scene_ids: Sequence[int]) -> None:
    """Remove what belongs to the last result of scenes."""
    for chunk in _chunks(scene_ids):
        for table in (DETECTIONS, SCENE_SITES):
            connection.execute(sa.delete(table).where(table.c.scene_id.in_(chunk)))


def tie_again(connection: sa.Connection, known: KnownSites) -> None:
    """Tie all scenes and detections to their sites anew."""
    for table in (SCENES, DETECTIONS):
        key = next(iter(table.primary_key))
        last = 0
        query = sa.select(key.label("tied_id"), table.c.geom).order_by(key).limit(_RETIE_CHUNK)
        while rows := [dict(row) for row in connection.execute(query.where(key > last)).mappings()]:
            last = rows[-1]["tied_id"]
            nearby = tie_rows(rows, known)
            columns = [name for name in rows[0] if name not in {"tied_id", "geom"}]
            change = sa.update(table).where(key == sa.bindparam("tied_id"))
            connection.execute(
                change.values({name: sa.bindparam(name) for name in columns}),
                [{name: value for name, value in row.items() if name != "geom"} for row in rows],
            )
            if table is SCENES:
                for chunk in _chunks([row["tied_id"] for row in rows]):
                    connection.execute(sa.delete(SCENE_SITES).where(SCENE_SITES.c.scene_id.in_(chunk)))
                links = [{"scene_id": rows[index]["tied_id"], **link} for index, link in nearby]
                if links:
                    connection.execute(sa.insert(SCENE_SITES), links)


@functools.cache
def upsert(table: sa.Table, *key: str, sqlite_file: bool) -> Any:
    """Return the statement that inserts rows and replaces those whose key is there."""
    insert = (sqlite if sqlite_file else postgresql).insert(table)
    kept = {column.name for column in table.primary_key} | set(key)
    changed = {column.name: insert.excluded[column.name] for column in table.c if column.name not in kept}
    return insert.on_conflict_do_update(index_elements=list(key), set_=changed)


def tie_rows(rows: Sequence[dict[str, Any]], known: KnownSites) -> list[tuple[int, dict[str, Any]]]:
    """Give rows the columns of their nearest site; return (row, link) for all sites that are near."""
    for row in rows:
        row |= {"site_id": None, "site": "", "site_number": "", "site_kind": "", "site_distance_km": None}
    ties = tie([row["geom"] for row in rows], known.sites)
    table = known.sites.table
    names, numbers, kinds = (table[name].to_numpy() for name in ("name", "number", "kind"))
    links = []
    for index, site, distance_km, first in zip(*(part.tolist() for part in ties), strict=True):
        if first:
            row = rows[index]
            row |= {
                "site_id": int(known.ids[site]),
                "site": names[site],
                "site_number": numbers[site],
                "site_kind": kinds[site],
                "site_distance_km": distance_km,
            }
        if distance_km <= NEAR_KM:
            links.append((index, {"site_id": int(known.ids[site]), "distance_km": distance_km}))
    return links


def mark_duplicates(connection: sa.Connection, hashes: Iterable[str]) -> None:
    """Tie every scene of some contents to the first that was scanned."""
    for chunk in _chunks(sorted(hashes)):
        connection.execute(
            sa.update(SCENES)
            .where(SCENES.c.content_hash.in_(chunk), SCENES.c.content_hash != "")
            .values(duplicate_of=sa.func.nullif(_FIRST_OF_CONTENT, SCENES.c.scene_id))
        )


def select_by(connection: sa.Connection, columns: Sequence[sa.Column[Any]], files: Sequence[str]) -> list[Any]:
    """Return columns of the scenes of some files, by key."""
    queries = (sa.select(*columns).where(SCENES.c.file.in_(chunk)) for chunk in _chunks(files))
    return [row for query in queries for row in connection.execute(query)]


def _chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
