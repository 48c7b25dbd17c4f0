"""What a transaction does to the tables of a catalogue: rows replaced, tied to sites and to their originals."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from fringewatch.catalog.tables import DETECTIONS, SCENE_SITES, SCENES
from fringewatch.products.reference import is_remote
from fringewatch.sites import NEAR_KM, Sites
from fringewatch.sites.nearest import tie

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np

__all__ = ["KnownSites", "clear", "mark_duplicates", "select_by", "tie_again", "tie_rows", "upsert"]

# SQLite takes a limited number of values in one statement.
_CHUNK = 500
_RETIE_CHUNK = 20_000


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
    """Tie every scene of some contents to one of them.

    Which one: the first of those with the settings of the newest run, since another model's answer of last year must
    not stand for today's; and of these the first whose file is there still, since archives move.
    """
    scored = SCENES.c.content_hash != "", SCENES.c.status == "ok"
    found = (
        sa.select(
            SCENES.c.content_hash,
            SCENES.c.settings,
            sa.func.min(SCENES.c.scene_id).label("first"),
            sa.func.count().label("copies"),
        )
        .where(*scored)
        .group_by(SCENES.c.content_hash, SCENES.c.settings)
        .order_by(sa.func.max(SCENES.c.run_id), SCENES.c.settings)
    )
    for chunk in _chunks(sorted(set(hashes) - {""})):
        # The last of each content is that of the newest run.
        newest = {row.content_hash: row for row in connection.execute(found.where(SCENES.c.content_hash.in_(chunk)))}
        originals = {
            content: row.first if row.copies == 1 else _first_there(connection, row) for content, row in newest.items()
        }
        tie = sa.func.nullif(sa.bindparam("original"), SCENES.c.scene_id)
        change = (
            sa.update(SCENES)
            .where(SCENES.c.content_hash == sa.bindparam("content"), SCENES.c.duplicate_of.is_distinct_from(tie))
            .values(duplicate_of=tie)
        )
        values = [{"content": content, "original": originals.get(content)} for content in chunk]
        connection.execute(change, values)


def _first_there(connection: sa.Connection, group: sa.Row[Any]) -> int:
    """Return the first scene of one content and setting whose file can be seen, else the first of all."""
    query = (
        sa.select(SCENES.c.scene_id, SCENES.c.file)
        .where(
            SCENES.c.content_hash == group.content_hash, SCENES.c.settings == group.settings, SCENES.c.status == "ok"
        )
        .order_by(SCENES.c.scene_id)
    )
    with connection.execute(query) as rows:
        return next((row.scene_id for row in rows if _is_there(row.file)), int(group.first))


def _is_there(file: str) -> bool:
    """Tell whether a file, or the one that it is a member of, is there; of an address it is taken for granted."""
    return is_remote(file) or Path(file).exists() or any(parent.is_file() for parent in Path(file).parents)


def select_by(connection: sa.Connection, columns: Sequence[sa.Column[Any]], files: Sequence[str]) -> list[Any]:
    """Return columns of the scenes of some files, by key."""
    queries = (sa.select(*columns).where(SCENES.c.file.in_(chunk)) for chunk in _chunks(files))
    return [row for query in queries for row in connection.execute(query)]


def _chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
