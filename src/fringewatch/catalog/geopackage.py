"""What makes an SQLite file a GeoPackage: blobs of geometry, tables that describe the others, spatial indices.

OGC GeoPackage 1.4, https://www.geopackage.org/spec140/; numbers of requirements and names of annexes are its own.
"""

from __future__ import annotations

import sqlite3
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pyproj
import shapely

if TYPE_CHECKING:
    from collections.abc import Iterable

    import sqlalchemy as sa

__all__ = [
    "GROW_EXTENT",
    "SRS_ID",
    "describe",
    "extent_of",
    "from_blob",
    "is_geopackage",
    "prepare",
    "register_functions",
    "to_blob",
]

SRS_ID = 4326
APPLICATION_ID = 0x47504B47
"""``GPKG`` in ASCII (requirement 2)."""
USER_VERSION = 10400

# Magic, version 0, flags: little endian, an envelope of x and y.
_HEADER = struct.Struct("<2sBBi4d")
_PLAIN = struct.Struct("<2sBBi")
_ENVELOPE_BYTES = (0, 32, 48, 48, 64)
_EMPTY = 0b10000

_TABLES = f"""
CREATE TABLE gpkg_spatial_ref_sys (
  srs_name TEXT NOT NULL, srs_id INTEGER PRIMARY KEY, organization TEXT NOT NULL,
  organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT);
CREATE TABLE gpkg_contents (
  table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE, description TEXT DEFAULT '',
  last_change DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')),
  min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE, srs_id INTEGER,
  CONSTRAINT fk_gc_r_srs_id FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys(srs_id));
CREATE TABLE gpkg_geometry_columns (
  table_name TEXT NOT NULL, column_name TEXT NOT NULL, geometry_type_name TEXT NOT NULL, srs_id INTEGER NOT NULL,
  z TINYINT NOT NULL, m TINYINT NOT NULL,
  CONSTRAINT pk_geom_cols PRIMARY KEY (table_name, column_name),
  CONSTRAINT uk_gc_table_name UNIQUE (table_name),
  CONSTRAINT fk_gc_tn FOREIGN KEY (table_name) REFERENCES gpkg_contents(table_name),
  CONSTRAINT fk_gc_srs FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys (srs_id));
CREATE TABLE gpkg_extensions (
  table_name TEXT, column_name TEXT, extension_name TEXT NOT NULL, definition TEXT NOT NULL, scope TEXT NOT NULL,
  CONSTRAINT ge_tce UNIQUE (table_name, column_name, extension_name));
INSERT INTO gpkg_spatial_ref_sys VALUES
  ('Undefined Cartesian SRS', -1, 'NONE', -1, 'undefined', 'undefined Cartesian coordinate reference system'),
  ('Undefined geographic SRS', 0, 'NONE', 0, 'undefined', 'undefined geographic coordinate reference system');
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {USER_VERSION};
"""

# Annex F.3. Updates are split by what was and is there, so that `INSERT ... ON CONFLICT DO UPDATE` works.
_INDEX = """
CREATE VIRTUAL TABLE "rtree_{t}_{c}" USING rtree(id, minx, maxx, miny, maxy);
CREATE TRIGGER "rtree_{t}_{c}_insert" AFTER INSERT ON "{t}" WHEN (NEW."{c}" NOTNULL AND NOT ST_IsEmpty(NEW."{c}"))
  BEGIN INSERT OR REPLACE INTO "rtree_{t}_{c}" VALUES (NEW."{i}", {box}); END;
CREATE TRIGGER "rtree_{t}_{c}_update2" AFTER UPDATE OF "{c}" ON "{t}"
  WHEN OLD."{i}" = NEW."{i}" AND (NEW."{c}" ISNULL OR ST_IsEmpty(NEW."{c}"))
  BEGIN DELETE FROM "rtree_{t}_{c}" WHERE id = OLD."{i}"; END;
CREATE TRIGGER "rtree_{t}_{c}_update4" AFTER UPDATE ON "{t}"
  WHEN OLD."{i}" != NEW."{i}" AND (NEW."{c}" ISNULL OR ST_IsEmpty(NEW."{c}"))
  BEGIN DELETE FROM "rtree_{t}_{c}" WHERE id IN (OLD."{i}", NEW."{i}"); END;
CREATE TRIGGER "rtree_{t}_{c}_update5" AFTER UPDATE ON "{t}"
  WHEN OLD."{i}" != NEW."{i}" AND (NEW."{c}" NOTNULL AND NOT ST_IsEmpty(NEW."{c}"))
  BEGIN DELETE FROM "rtree_{t}_{c}" WHERE id = OLD."{i}";
  INSERT OR REPLACE INTO "rtree_{t}_{c}" VALUES (NEW."{i}", {box}); END;
CREATE TRIGGER "rtree_{t}_{c}_update6" AFTER UPDATE OF "{c}" ON "{t}"
  WHEN OLD."{i}" = NEW."{i}" AND (NEW."{c}" NOTNULL AND NOT ST_IsEmpty(NEW."{c}"))
  AND (OLD."{c}" NOTNULL AND NOT ST_IsEmpty(OLD."{c}"))
  BEGIN UPDATE "rtree_{t}_{c}" SET minx = ST_MinX(NEW."{c}"), maxx = ST_MaxX(NEW."{c}"),
  miny = ST_MinY(NEW."{c}"), maxy = ST_MaxY(NEW."{c}") WHERE id = NEW."{i}"; END;
CREATE TRIGGER "rtree_{t}_{c}_update7" AFTER UPDATE OF "{c}" ON "{t}"
  WHEN OLD."{i}" = NEW."{i}" AND (NEW."{c}" NOTNULL AND NOT ST_IsEmpty(NEW."{c}"))
  AND (OLD."{c}" ISNULL OR ST_IsEmpty(OLD."{c}"))
  BEGIN INSERT INTO "rtree_{t}_{c}" VALUES (NEW."{i}", {box}); END;
CREATE TRIGGER "rtree_{t}_{c}_delete" AFTER DELETE ON "{t}" WHEN OLD."{c}" NOT NULL
  BEGIN DELETE FROM "rtree_{t}_{c}" WHERE id = OLD."{i}"; END;
"""
GROW_EXTENT = """
UPDATE gpkg_contents SET min_x = min(coalesce(min_x, ?1), ?1), min_y = min(coalesce(min_y, ?2), ?2),
  max_x = max(coalesce(max_x, ?3), ?3), max_y = max(coalesce(max_y, ?4), ?4),
  last_change = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE table_name = ?5
"""
"""Widens the bounds of a layer: min x, min y, max x, max y, name of the table."""

_BOX = 'ST_MinX(NEW."{c}"), ST_MaxX(NEW."{c}"), ST_MinY(NEW."{c}"), ST_MaxY(NEW."{c}")'


def to_blob(shape: shapely.Geometry) -> bytes:
    """Return a geometry as a GeoPackage stores it: a header with the bounds, then WKB."""
    if shape.is_empty:
        header = _PLAIN.pack(b"GP", 0, 1 | _EMPTY, SRS_ID)
    else:
        left, bottom, right, top = shape.bounds
        header = _HEADER.pack(b"GP", 0, 0b11, SRS_ID, left, right, bottom, top)
    body: bytes = shapely.to_wkb(shape, byte_order=1)
    return header + body


def from_blob(blob: bytes) -> shapely.Geometry:
    """Return the geometry of a GeoPackage blob, whoever wrote it."""
    return shapely.from_wkb(blob[_PLAIN.size + _ENVELOPE_BYTES[(blob[3] >> 1) & 0b111] :])


def register_functions(connection: sqlite3.Connection) -> None:
    """Give a connection the functions that the triggers of the spatial indices call (annex F.3)."""

    def edge(which: int) -> Any:
        def read(blob: bytes | None) -> float | None:
            if blob is None or blob[3] & _EMPTY:
                return None
            if blob[3] & 0b1111 == 0b11:
                return float(_HEADER.unpack_from(blob)[4 + which])
            # Written by another program, without bounds or with the other byte order.
            left, bottom, right, top = from_blob(blob).bounds
            return float((left, right, bottom, top)[which])

        return read

    for which, name in enumerate(("ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY")):
        connection.create_function(name, 1, edge(which), deterministic=True)
    connection.create_function(
        "ST_IsEmpty", 1, lambda blob: None if blob is None else int(bool(blob[3] & _EMPTY)), deterministic=True
    )


def is_geopackage(connection: sqlite3.Connection) -> bool:
    """Tell whether an SQLite file has the tables of a GeoPackage."""
    query = "SELECT count(*) FROM sqlite_master WHERE name IN ('gpkg_contents', 'gpkg_spatial_ref_sys')"
    (found,) = connection.execute(query).fetchone()
    return int(found) == 2


def prepare(connection: sqlite3.Connection) -> None:
    """Write the tables that describe the others into an empty file."""
    _execute(connection, _TABLES)
    definition = pyproj.CRS.from_epsg(SRS_ID).to_wkt("WKT1_GDAL")
    row = ("WGS 84 geodetic", SRS_ID, "EPSG", SRS_ID, definition, "longitude/latitude in degrees on WGS 84")
    connection.execute("INSERT INTO gpkg_spatial_ref_sys VALUES (?, ?, ?, ?, ?, ?)", row)


def describe(connection: sqlite3.Connection, tables: Iterable[sa.Table]) -> None:
    """Register tables as layers, with a spatial index where they have a geometry."""
    for table in tables:
        geometry = table.c.get("geom")
        kind, srs = ("attributes", None) if geometry is None else ("features", SRS_ID)
        connection.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id) VALUES (?, ?, ?, ?)",
            (table.name, kind, table.name, srs),
        )
        if geometry is None:
            continue
        connection.execute(
            "INSERT INTO gpkg_geometry_columns VALUES (?, 'geom', ?, ?, 0, 0)", (table.name, str(geometry.type), SRS_ID)
        )
        names = {"t": table.name, "c": "geom", "i": next(iter(table.primary_key)).name}
        _execute(connection, _INDEX.format(box=_BOX.format(**names), **names))
        connection.execute(
            "INSERT INTO gpkg_extensions VALUES (?, 'geom', 'gpkg_rtree_index', "
            "'http://www.geopackage.org/spec140/#extension_rtree', 'write-only')",
            (table.name,),
        )


def _execute(connection: sqlite3.Connection, script: str) -> None:
    """Run statements in the transaction that is open; `executescript` would end it."""
    statement = ""
    for line in script.splitlines():
        statement += f"{line}\n"
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""


def extent_of(shapes: Iterable[shapely.Geometry | None]) -> tuple[float, float, float, float] | None:
    """Return the bounds of geometries as :data:`GROW_EXTENT` takes them; None where there is nothing to bound."""
    found = [shape for shape in shapes if shape is not None]
    # Of nothing, shapely's answer is an error.
    bounds = shapely.total_bounds(found) if found else np.full(4, np.nan)
    left, bottom, right, top = map(float, bounds)
    return (left, bottom, right, top) if np.isfinite(bounds).all() else None
