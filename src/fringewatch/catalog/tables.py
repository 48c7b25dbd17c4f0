"""The tables of a catalogue, once for both databases: GeoPackage (SQLite) and PostGIS.

Types are those that the GeoPackage standard knows. Geometry is longitude and latitude, EPSG:4326. What was not there
from the beginning says since which version of the schema it is; :mod:`fringewatch.catalog.schema` adds it to older
catalogues.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import shapely
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import UserDefinedType

from fringewatch.catalog.geopackage import from_blob, to_blob

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "ALERTS",
    "ALERT_DELIVERIES",
    "DETECTIONS",
    "METADATA",
    "REVIEWS",
    "RUNS",
    "SCENES",
    "SCENE_SITES",
    "SCHEMA_VERSION",
    "SCHEMA_VERSIONS",
    "SITES",
    "Geometry",
    "now",
]


class Geometry(UserDefinedType[shapely.Geometry]):
    """A shapely geometry in EPSG:4326: a GeoPackage blob in SQLite, a ``geometry`` in PostGIS.

    Parameters
    ----------
    kind
        ``"POINT"``, ``"POLYGON"``, ``"MULTIPOLYGON"`` or ``"GEOMETRY"`` for any.
    """

    cache_ok = True

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __str__(self) -> str:
        """Return the name of the type that both standards share."""
        return self.kind

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[Any], Any]:
        """Return what turns a geometry into what the driver stores."""
        if dialect.name == "sqlite":
            return lambda shape: None if shape is None else to_blob(shape)
        return lambda shape: None if shape is None else shapely.to_wkb(shape, hex=True, include_srid=True)

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Callable[[Any], Any]:
        """Return what turns the stored value back into a geometry."""
        del coltype
        decode = from_blob if dialect.name == "sqlite" else shapely.from_wkb
        return lambda stored: None if stored is None else decode(stored)


@compiles(Geometry)
def _compile_geometry(kind: Geometry, compiler: Any, **_: Any) -> str:
    return kind.kind if compiler.dialect.name == "sqlite" else f"geometry({kind.kind}, 4326)"


# As the GeoPackage standard wants them: ISO 8601, UTC, milliseconds.
_GPKG_TIME = sqlite.DATETIME(  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it so
    storage_format="%(year)04d-%(month)02d-%(day)02dT%(hour)02d:%(minute)02d:%(second)02d.000Z",
    # Other programs leave out the zone or the fraction.
    regexp=r"(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)",
)
_TIME = sa.DateTime().with_variant(_GPKG_TIME, "sqlite")

METADATA = sa.MetaData()

SCHEMA_VERSION = 2
"""Of the tables below: one more whenever a table or column is added."""


def _table(name: str, *columns: sa.Column[Any] | sa.Index | sa.UniqueConstraint) -> sa.Table:
    # AUTOINCREMENT: the number of a row that was deleted is never given again.
    return sa.Table(name, METADATA, *columns, sqlite_autoincrement=True)


def _text(name: str, *, since: int = 1) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, server_default="", info={"since": since})


def _site_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("site_id", sa.Integer, sa.ForeignKey("sites.site_id"), index=True),
        _text("site"),
        _text("site_number"),
        _text("site_kind"),
        sa.Column("site_distance_km", sa.Double),
    ]


SCHEMA_VERSIONS = _table(
    "schema_versions",
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("since", _TIME, nullable=False),
)
SCHEMA_VERSIONS.info["since"] = 2

RUNS = _table(
    "runs",
    sa.Column("run_id", sa.Integer, primary_key=True),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("started", _TIME, nullable=False),
    sa.Column("finished", _TIME),
    _text("settings"),
    _text("model"),
    _text("model_version"),
    _text("version"),
    _text("host"),
    _text("config"),
)

SITES = _table(
    "sites",
    sa.Column("site_id", sa.Integer, primary_key=True),
    sa.Column("geom", Geometry("GEOMETRY")),
    _text("name"),
    _text("number"),
    _text("kind"),
    sa.UniqueConstraint("kind", "name", "number"),
)

SCENES = _table(
    "scenes",
    sa.Column("scene_id", sa.Integer, primary_key=True),
    sa.Column("geom", Geometry("POLYGON")),
    sa.Column("file", sa.Text, nullable=False, unique=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("run_id", sa.Integer, sa.ForeignKey("runs.run_id"), nullable=False, index=True),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("score", sa.Double),
    sa.Column("flagged", sa.Boolean),
    sa.Column("detections", sa.Integer),
    sa.Column("max_probability", sa.Double),
    sa.Column("area_km2", sa.Double),
    sa.Column("reference_date", sa.Date),
    sa.Column("secondary_date", sa.Date, index=True),
    *_site_columns(),
    _text("product"),
    _text("frame"),
    _text("model"),
    _text("model_version"),
    sa.Column("seconds", sa.Double),
    _text("message"),
    _text("state"),
    _text("settings"),
    _text("content_hash"),
    sa.Column("duplicate_of", sa.Integer, sa.ForeignKey("scenes.scene_id")),
    sa.Column("level_score", sa.Double, info={"since": 2}),
)
sa.Index(
    "ix_scenes_content_hash",
    SCENES.c.content_hash,
    sqlite_where=SCENES.c.content_hash != "",
    postgresql_where=SCENES.c.content_hash != "",
)

SCENE_SITES = _table(
    "scene_sites",
    sa.Column("scene_site_id", sa.Integer, primary_key=True),
    sa.Column("scene_id", sa.Integer, sa.ForeignKey("scenes.scene_id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("site_id", sa.Integer, sa.ForeignKey("sites.site_id"), nullable=False, index=True),
    sa.Column("distance_km", sa.Double, nullable=False),
)

DETECTIONS = _table(
    "detections",
    sa.Column("detection_id", sa.Integer, primary_key=True),
    sa.Column("geom", Geometry("MULTIPOLYGON")),
    sa.Column("scene_id", sa.Integer, sa.ForeignKey("scenes.scene_id", ondelete="CASCADE"), nullable=False, index=True),
    _text("scene"),
    sa.Column("region", sa.Integer, nullable=False),
    sa.Column("score", sa.Double),
    sa.Column("max_probability", sa.Double),
    sa.Column("mean_probability", sa.Double),
    sa.Column("area_km2", sa.Double),
    sa.Column("area_px", sa.Integer),
    *(sa.Column(name, sa.Integer) for name in ("row", "col", "row0", "row1", "col0", "col1")),
    sa.Column("lon", sa.Double),
    sa.Column("lat", sa.Double),
    sa.Column("fringe_count", sa.Double),
    sa.Column("peak_to_peak_los_cm", sa.Double),
    sa.Column("mean_coherence", sa.Double),
    sa.Column("phase_height_correlation", sa.Double),
    sa.Column("subsidence_cm", sa.Double),
    sa.Column("trough_diameter_m", sa.Double),
    sa.Column("troughs", sa.Integer),
    sa.Column("trough_separation", sa.Double),
    sa.Column("phase_resolved", sa.Double),
    sa.Column("reference_date", sa.Date),
    sa.Column("secondary_date", sa.Date),
    *_site_columns(),
    _text("product"),
    _text("model"),
    _text("model_version"),
    _text("depth_profile_cm", since=2),
    sa.Column("profile_length_m", sa.Double, info={"since": 2}),
)

REVIEWS = _table(
    "reviews",
    sa.Column("review_id", sa.Integer, primary_key=True),
    sa.Column("geom", Geometry("MULTIPOLYGON")),
    sa.Column("scene_id", sa.Integer, sa.ForeignKey("scenes.scene_id"), nullable=False, index=True),
    sa.Column("verdict", sa.Text, nullable=False),
    _text("label"),
    _text("reviewer"),
    _text("comment"),
    # Null where somebody drew it in a GIS.
    sa.Column("reviewed", _TIME),
)

ALERTS = _table(
    "alerts",
    sa.Column("alert_id", sa.Integer, primary_key=True),
    sa.Column("geom", Geometry("GEOMETRY")),
    sa.Column("key", sa.Text, nullable=False, unique=True),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("site_id", sa.Integer, sa.ForeignKey("sites.site_id"), nullable=False, index=True),
    _text("site"),
    sa.Column("start_date", sa.Date, nullable=False),
    sa.Column("end_date", sa.Date, nullable=False),
    sa.Column("score", sa.Double),
    _text("text"),
    _text("content"),
    sa.Column("recorded", _TIME, nullable=False),
)

ALERT_DELIVERIES = _table(
    "alert_deliveries",
    sa.Column("delivery_id", sa.Integer, primary_key=True),
    sa.Column("alert_id", sa.Integer, sa.ForeignKey("alerts.alert_id", ondelete="CASCADE"), nullable=False),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    _text("message"),
    sa.Column("sent", _TIME),
    sa.UniqueConstraint("alert_id", "channel"),
)


def now() -> dt.datetime:
    """Return the time, UTC, whole seconds; for people to read, never to order by: clocks jump."""
    return dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0)
