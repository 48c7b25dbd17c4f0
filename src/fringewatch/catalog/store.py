"""The catalogue: one row per file, with the latest result; written in batches, read at any time."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, get_args

import sqlalchemy as sa

from fringewatch._version import __version__
from fringewatch.catalog import geopackage, reading, writing
from fringewatch.catalog.engine import Database
from fringewatch.catalog.records import as_multipolygon, detection_values, scene_key, scene_values
from fringewatch.catalog.tables import DETECTIONS, REVIEWS, RUNS, SCENE_SITES, SCENES, SITES, now
from fringewatch.errors import CatalogError
from fringewatch.files import LinkResolver
from fringewatch.progress import say
from fringewatch.sites import Sites

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import geopandas as gpd
    import pandas as pd

    from fringewatch.catalog.records import SceneRecord
    from fringewatch.catalog.writing import KnownSites

__all__ = ["Catalog"]

_T = TypeVar("_T")

RunStatus = Literal["running", "done", "interrupted", "failed", "killed"]
Verdict = Literal["confirmed", "rejected", "unsure"]
Table = Literal["scenes", "detections"]
_MOST_NAMED = 5


class Catalog:
    """A catalogue of scenes, detections, sites, runs and reviews; use :meth:`open` and ``with``.

    A scene is known by its file (:func:`fringewatch.catalog.scene_key`), and the catalogue holds the latest result of
    each: adding a scene again replaces it and its detections, and keeps its reviews.
    """

    def __init__(self, database: Database, *, writable: bool = True) -> None:
        self._database = database
        self._writable = writable
        self._known: KnownSites | None = None

    @classmethod
    def open(
        cls,
        place: str | Path,
        *,
        create: bool = True,
        writable: bool = True,
        sites: Sites | None = None,
        wait_s: float = 60.0,
    ) -> Self:
        """Open a catalogue.

        Parameters
        ----------
        place
            Path of a GeoPackage, or ``postgresql://user:password@host/database`` (PostGIS; extra ``[postgis]``).
        create
            Make it if it is missing.
        writable
            False to read only; then nothing is made.
        sites
            What scenes and detections are tied to, beside the sites it already has; a new catalogue starts with the
            volcanoes if none are given.
        wait_s
            How long a write waits for another writer, in seconds.

        Raises
        ------
        CatalogError
            If it is missing, damaged, something else, or cannot be reached.
        """
        catalog = cls(Database(place, create=create, writable=writable, wait_s=wait_s), writable=writable)
        try:
            if writable:
                known = catalog._database.read(lambda c: c.scalar(sa.select(sa.func.count()).select_from(SITES)))
                if sites is not None or not known:
                    catalog.add_sites(Sites.volcanoes() if sites is None else sites)
        except BaseException:
            catalog.close()
            raise
        return catalog

    def __enter__(self) -> Self:
        """Return the catalogue itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the connections; what was added is already safe."""
        self._database.close()

    def start_run(self, config: str = "", *, settings: str, model: str = "", model_version: str = "") -> int:
        """Begin a run and return its number.

        Runs of this machine whose process is gone without a word are marked ``killed``.

        Parameters
        ----------
        config
            The whole configuration, as YAML, for people to read.
        settings
            Digest of all that decides about a scene's result but the scene itself; see :meth:`done`.
        model, model_version
            Of the bundle.
        """
        row = {
            "status": "running",
            "started": now(),
            "settings": settings,
            "model": model,
            "model_version": model_version,
            "version": __version__,
            "host": f"{socket.gethostname()}:{os.getpid()}",
            "config": config,
        }

        def work(connection: sa.Connection) -> int:
            running = connection.execute(sa.select(RUNS.c.run_id, RUNS.c.host).where(RUNS.c.status == "running"))
            gone = [run_id for run_id, host in running if _is_gone(host)]
            connection.execute(sa.update(RUNS).where(RUNS.c.run_id.in_(gone)).values(status="killed"))
            return int(connection.execute(sa.insert(RUNS).returning(RUNS.c.run_id), row).scalar_one())

        return self._write(work)

    def finish_run(self, run_id: int, status: RunStatus = "done") -> None:
        """Record how a run ended."""
        self._expect("status", status, RunStatus)
        end = sa.update(RUNS).where(RUNS.c.run_id == run_id).values(status=status, finished=now())
        self._write(lambda connection: connection.execute(end))

    def add(
        self,
        run_id: int,
        scenes: Sequence[SceneRecord],
        detections: gpd.GeoDataFrame | Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Add a batch of scenes with their detections: all of it or nothing.

        A scene that is there already is replaced together with its detections. Scenes of one content hash are tied to
        one: of those with the settings of the newest run the first whose file is there. Scenes and detections are tied
        to their nearest sites.

        Parameters
        ----------
        run_id
            From :meth:`start_run`.
        scenes
            Any number; some hundreds at once are fast.
        detections
            Further ones than the records have, as :func:`fringewatch.regions.find_regions` makes them, of any of the
            scenes: column ``scene`` is the name of one, and of no other. Or rows, from
            :meth:`fringewatch.regions.Detections.located`. None for none.

        Raises
        ------
        CatalogError
            If it cannot be written, or is not what a catalogue holds; then nothing of the batch was written.
        """
        resolve = LinkResolver()
        keyed = {scene_key(record.row.file, resolve): record for record in scenes}
        # Two that write the same files at once take their locks in one order.
        records = {key: keyed[key] for key in sorted(keyed)}
        rows, owners = self._rows_of(records, detections)

        def work(connection: sa.Connection) -> None:
            settings = connection.scalar(sa.select(RUNS.c.settings).where(RUNS.c.run_id == run_id))
            if settings is None:
                message = f"{self._database.name}: has no run {run_id}; start_run gives the number"
                raise CatalogError(message)
            known = self._sites_of(connection)
            values = [scene_values(key, record, run_id, settings) for key, record in records.items()]
            nearby = writing.tie_rows(values, known)
            writing.tie_rows(rows, known)
            old = writing.select_by(
                connection, [SCENES.c.file, SCENES.c.scene_id, SCENES.c.content_hash], list(records)
            )
            writing.clear(connection, [row.scene_id for row in old])
            connection.execute(writing.upsert(SCENES, "file", sqlite_file=self._database.is_file), values)
            ids = dict(writing.select_by(connection, [SCENES.c.file, SCENES.c.scene_id], list(records)))
            if rows:
                tied = [row | {"scene_id": ids[owner]} for row, owner in zip(rows, owners, strict=True)]
                connection.execute(sa.insert(DETECTIONS), tied)
            links = [{"scene_id": ids[values[index]["file"]], **link} for index, link in nearby]
            if links:
                connection.execute(sa.insert(SCENE_SITES), links)
            hashes = {row.content_hash for row in old} | {record.content_hash for record in records.values()}
            writing.mark_duplicates(connection, hashes - {""})
            self._grow(connection, SCENES, values)
            self._grow(connection, DETECTIONS, rows)

        if records:
            self._write(work)

    def _rows_of(
        self, records: Mapping[str, SceneRecord], detections: gpd.GeoDataFrame | Sequence[Mapping[str, Any]] | None
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """Return all detections of scenes and, row by row, the keys of their files."""
        own = [(key, {**row, "scene": record.row.name}) for key, record in records.items() for row in record.detections]
        rows, owners = detection_values([row for _, row in own]), [key for key, _ in own]
        if detections is None:
            return rows, owners
        keys: dict[str, list[str]] = {}
        for key, record in records.items():
            keys.setdefault(record.row.name, []).append(key)
        for row in detection_values(detections):
            found = keys.get(row["scene"], [])
            if not found:
                message = f"{self._database.name}: detections of {row['scene']!r} were given without the scene"
                raise CatalogError(message)
            if len(found) > 1:
                message = (
                    f"{self._database.name}: two scenes of one name were given, {' and '.join(found[:2])}, and "
                    "detections of that name; give each SceneRecord its own detections"
                )
                raise CatalogError(message)
            rows.append(row)
            owners += found
        return rows, owners

    def done(self, settings: str) -> dict[str, str]:
        """Return what need not be done again: the state of every file that was scanned with these settings.

        Parameters
        ----------
        settings
            As given to :meth:`start_run`.

        Returns
        -------
        dict
            State by key (:func:`fringewatch.catalog.scene_key`); failed scenes are not in it.
        """
        query = sa.select(SCENES.c.file, SCENES.c.state).where(SCENES.c.settings == settings, SCENES.c.status == "ok")
        return self._database.read(lambda connection: {row.file: row.state for row in connection.execute(query)})

    def names(self) -> dict[str, str]:
        """Return what the results of every file are called, by key (:func:`fringewatch.catalog.scene_key`)."""
        query = sa.select(SCENES.c.file, SCENES.c.name)
        return self._database.read(lambda connection: {row.file: row.name for row in connection.execute(query)})

    def name_of(self, key: str) -> str:
        """Return what the results of a file are called, by its key; "" of one that is not there."""
        query = sa.select(SCENES.c.name).where(SCENES.c.file == key)
        return self._database.read(lambda connection: connection.scalar(query)) or ""

    def query(
        self,
        table: Table = "scenes",
        *,
        site: str | None = None,
        start: dt.date | None = None,
        end: dt.date | None = None,
        min_score: float | None = None,
        kind: str | None = None,
        flagged: bool | None = None,
        run_id: int | None = None,
        duplicates: bool = False,
    ) -> gpd.GeoDataFrame:
        """Return scenes or detections that meet all conditions given.

        Parameters
        ----------
        table
            What is looked for.
        site
            Name or number of a site, as :meth:`fringewatch.sites.Sites.find` takes it. Scenes that show it or lie
            within :data:`fringewatch.sites.NEAR_KM` of it; detections that have it for their nearest within that.
        start, end
            Both included; the secondary date of a scene lies between them. Scenes without dates are then left out.
        min_score
            0 to 1.
        kind
            Kind of a site, such as ``"volcano"``: at least one of that kind is as near.
        flagged
            Whether the scene was flagged.
        run_id
            Of one run.
        duplicates
            Whether further files of the same content are included.

        Returns
        -------
        geopandas.GeoDataFrame
            In the order in which scenes first came; EPSG:4326. No rows, but every column, where nothing is found.

        Raises
        ------
        CatalogError
            If there is no such table.
        ConfigError
            If the site is unknown.
        """
        self._expect("table", table, Table)
        conditions = reading.Conditions(start, end, min_score, flagged, run_id, duplicates)

        def work(connection: sa.Connection) -> gpd.GeoDataFrame:
            site_id = None
            if site is not None:
                known = self._sites_of(connection)
                site_id = int(known.ids[known.sites.find(site)[0]])
            return reading.fetch(
                connection, table, conditions, site_id=site_id, kind=kind, lacking=self._database.lacking
            )

        return self._database.read(work)

    @property
    def sites(self) -> Sites:
        """The sites that scenes and detections are tied to."""
        return self._database.read(self._sites_of).sites

    def add_sites(self, sites: Sites) -> None:
        """Add sites; if any is new or has moved, all scenes and detections are tied again.

        A site is known by its kind, name and number. That one has moved is said.
        """
        table = sites.table
        wanted = [
            {"name": name, "number": number, "kind": kind, "geom": shape}
            for name, number, kind, shape in zip(
                table["name"], table["number"], table["kind"], table.geometry, strict=True
            )
        ]

        def work(connection: sa.Connection) -> list[str]:
            had = self._sites_of(connection).sites.table
            known = dict(zip(zip(had["kind"], had["name"], had["number"], strict=True), had.geometry, strict=True))
            new = [row for row in wanted if known.get((row["kind"], row["name"], row["number"])) != row["geom"]]
            if new:
                connection.execute(
                    writing.upsert(SITES, "kind", "name", "number", sqlite_file=self._database.is_file), new
                )
                self._grow(connection, SITES, new)
                self._known = None
                writing.tie_again(connection, self._sites_of(connection))
            return [row["name"] for row in new if (row["kind"], row["name"], row["number"]) in known]

        if moved := self._write(work):
            names = ", ".join(moved[:_MOST_NAMED]) + (" and others" if len(moved) > _MOST_NAMED else "")
            say(
                f"{self._database.name}: sites that had another place before: {names}; what is another site needs a "
                "name or number of its own"
            )

    @property
    def runs(self) -> pd.DataFrame:
        """All runs, in the order in which they began."""
        return self._database.read(reading.fetch_runs)

    @property
    def reviews(self) -> gpd.GeoDataFrame:
        """All reviews with file and name of their scenes, in the order in which they were made."""
        return self._database.read(reading.fetch_reviews)

    def add_review(
        self,
        file: str,
        verdict: Verdict,
        *,
        outline: Any = None,
        label: str = "",
        reviewer: str = "",
        comment: str = "",
    ) -> None:
        """Record what a person thinks of a scene; it stays when the scene is scanned again.

        Parameters
        ----------
        file
            Of the scene.
        verdict
            Whether it shows deformation.
        outline
            Polygon of what it is about, longitude and latitude; None for the whole scene.
        label, reviewer, comment
            Free text: what it shows, who said so, why.

        Raises
        ------
        CatalogError
            If the catalogue does not have the scene, the verdict is none of these, or it was opened to read only.
        """
        self._expect("verdict", verdict, Verdict)

        def work(connection: sa.Connection) -> None:
            scene_id = connection.scalar(sa.select(SCENES.c.scene_id).where(SCENES.c.file == scene_key(file)))
            if scene_id is None:
                message = f"{self._database.name}: has no scene {file}; only scenes that were scanned can be reviewed"
                raise CatalogError(message)
            row = {
                "scene_id": scene_id,
                "geom": None if outline is None else as_multipolygon(outline),
                "verdict": verdict,
                "label": label,
                "reviewer": reviewer,
                "comment": comment,
                "reviewed": now(),
            }
            connection.execute(sa.insert(REVIEWS), row)
            self._grow(connection, REVIEWS, [row])

        self._write(work)

    def _write(self, work: Callable[[sa.Connection], _T]) -> _T:
        if not self._writable:
            message = f"{self._database.name}: was opened to read only; open it with writable=True to change it"
            raise CatalogError(message)
        return self._database.write(work)

    def _expect(self, what: str, given: str, allowed: Any) -> None:
        words = get_args(allowed)
        if given not in words:
            message = f"{self._database.name}: {what} = {given!r}; expected one of: {', '.join(words)}"
            raise CatalogError(message)

    def _sites_of(self, connection: sa.Connection) -> KnownSites:
        """Return the sites, read again where another program has added some."""
        newest = connection.scalar(sa.select(sa.func.max(SITES.c.site_id))) or 0
        if self._known is None or (self._known.ids.max(initial=0) != newest):
            self._known = writing.KnownSites(*reading.fetch_sites(connection))
        return self._known

    def _grow(self, connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep the bounds of a layer, which a GeoPackage holds for QGIS to zoom to."""
        extent = geopackage.extent_of(row["geom"] for row in rows) if self._database.is_file else None
        if extent is not None:
            connection.exec_driver_sql(geopackage.GROW_EXTENT, (*extent, table.name))


def _is_gone(host: str) -> bool:
    """Tell whether the process of a run is no longer there; False where that cannot be known."""
    machine, _, process = host.rpartition(":")
    if os.name != "posix" or machine != socket.gethostname() or not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
