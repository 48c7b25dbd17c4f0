"""The tables in a database: made where there are none, brought up to date where an earlier version made them."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from fringewatch.catalog import geopackage
from fringewatch.catalog.tables import METADATA, SCENES, SCHEMA_VERSION, SCHEMA_VERSIONS, now
from fringewatch.errors import CatalogError

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

__all__ = ["Missing", "add_missing", "columns_of", "find_missing"]

# Any fixed number: it names the lock under which tables are made in PostgreSQL.
_CREATION_LOCK = 0x46524E47


class Missing(NamedTuple):
    """What a database lacks of the tables of this version; false where it has all."""

    tables: tuple[sa.Table, ...]
    columns: tuple[sa.Column[Any], ...]
    """Of tables that it has."""
    version: int
    """Of its schema; 0: it is no catalogue yet."""

    def __bool__(self) -> bool:
        """Tell whether anything is missing."""
        return bool(self.tables or self.columns)


def find_missing(connection: sa.Connection, name: str) -> Missing:
    """Return what a database lacks.

    Parameters
    ----------
    connection
        To the database.
    name
        Of the database, for messages.

    Raises
    ------
    CatalogError
        If it has a table of the name of one of ours that is not ours.
    """
    inspector = sa.inspect(connection)
    there = {*inspector.get_table_names(), *inspector.get_view_names()}
    if connection.dialect.name == "sqlite":
        # Which takes `Sites` and `sites` for one.
        there = {name.lower() for name in there}
    tables = tuple(table for table in METADATA.sorted_tables if table.name not in there)
    if len(tables) == len(METADATA.sorted_tables):
        return Missing(tables, (), 0)
    columns: list[sa.Column[Any]] = []
    for table in METADATA.sorted_tables:
        if table not in tables:
            # Not by inspection, which warns of the type of a geometry.
            found = connection.exec_driver_sql(f"SELECT * FROM {table.name} LIMIT 0").keys()
            columns += [column for column in table.c if column.name not in found]
    strange = sorted(f"{column.table.name}.{column.name}" for column in columns if column.info.get("since", 1) == 1)
    strange += [table.name for table in tables if table.info.get("since", 1) == 1]
    if strange:
        ours = SCENES.name if SCENES not in tables else min(there & METADATA.tables.keys())
        message = (
            f"{name}: is no catalogue of fringewatch, although it has a table {ours} (it lacks "
            f"{', '.join(strange[:5])}); name another, which `fringewatch detect` makes"
        )
        raise CatalogError(message)
    version = 1
    if SCHEMA_VERSIONS not in tables:
        version = connection.scalar(sa.select(sa.func.max(SCHEMA_VERSIONS.c.version))) or 1
    return Missing(tables, tuple(columns), version)


def add_missing(connection: sa.Connection, name: str, *, is_file: bool) -> None:
    """Make the tables and columns that a database lacks; nothing that is there is touched.

    Parameters
    ----------
    connection
        In a transaction that may write.
    name
        Of the database, for messages.
    is_file
        Whether it is a GeoPackage.

    Raises
    ------
    CatalogError
        As :func:`find_missing`.
    """
    if not is_file:
        # Two that begin at once would both find nothing.
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CREATION_LOCK)))
        if not connection.scalar(sa.text("SELECT count(*) FROM pg_extension WHERE extname = 'postgis'")):
            connection.execute(sa.text("CREATE EXTENSION postgis"))
    # Again, now that nobody else can be at it.
    missing = find_missing(connection, name)
    METADATA.create_all(connection, tables=missing.tables)
    for column in missing.columns:
        added = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE {column.table.name} ADD COLUMN {added}")
    if is_file:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        if not geopackage.is_geopackage(driver):
            geopackage.prepare(driver)
        geopackage.describe(driver, missing.tables)
    else:
        for table in missing.tables:
            if "geom" in table.c:
                connection.exec_driver_sql(f"CREATE INDEX ix_{table.name}_geom ON {table.name} USING gist (geom)")
    if missing and missing.version < SCHEMA_VERSION:
        connection.execute(sa.insert(SCHEMA_VERSIONS), {"version": SCHEMA_VERSION, "since": now()})


def columns_of(*columns: sa.Column[Any], lacking: Collection[sa.Column[Any]]) -> list[sa.ColumnElement[Any]]:
    """Return columns to select, with what a new row would hold for those that a catalogue is lacking."""
    return [_stand_in(column) if column in set(lacking) else column for column in columns]


def _stand_in(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    empty = sa.null() if column.nullable else sa.literal("")
    return sa.cast(empty, column.type).label(column.name)
