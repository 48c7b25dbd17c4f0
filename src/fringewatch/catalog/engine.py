"""Connections to a catalogue: one writer at a time, readers that do not wait, errors that say what to do.

A GeoPackage is written in WAL mode, in which readers see the last complete batch while the next is written, and is
turned back into a single ordinary file when it is closed. SQLite's own locks keep a second writer waiting; the
operating system drops them with the process that held them, so that a killed one blocks nobody.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from fringewatch.catalog import geopackage
from fringewatch.catalog.schema import Missing, add_missing, find_missing
from fringewatch.catalog.tables import SCHEMA_VERSION
from fringewatch.errors import CatalogError, require

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Database", "without_password"]

_T = TypeVar("_T")

_SCHEMES = ("postgresql", "postgres")
_PAUSES_S = (0.2, 1.0, 3.0, 10.0)


class Database:
    """The engine of one catalogue.

    Parameters
    ----------
    place
        Path of a GeoPackage, or ``postgresql://user:password@host/database``.
    create
        Whether a missing one is made.
    writable
        Whether anything will be written; a GeoPackage is otherwise opened read-only.
    wait_s
        How long to wait for another writer.

    Attributes
    ----------
    lacking
        Columns that the catalogue of an earlier version does not have; none where it may be written, which adds them.

    Raises
    ------
    CatalogError
        If it is missing, something else, or cannot be opened.
    """

    def __init__(self, place: str | Path, *, create: bool, writable: bool, wait_s: float) -> None:
        text = str(place)
        self.lacking: tuple[sa.Column[Any], ...] = ()
        self.is_file = text.partition("://")[0].partition("+")[0] not in _SCHEMES or "://" not in text
        self._writable = writable
        self._wait_s = wait_s
        if self.is_file:
            if "://" in text:
                message = (
                    f"{without_password(text)}: is no catalogue; expected the path of a .gpkg file or "
                    "postgresql://host/database"
                )
                raise CatalogError(message)
            self._path = Path(text)
            self.name = text
            self.engine = self._open_file(create=create and writable)
        else:
            self.engine = self._open_server(text)
        try:
            self._check(create=create and writable)
        except BaseException:
            self.engine.dispose()
            raise

    def read(self, work: Callable[[sa.Connection], _T]) -> _T:
        """Ask something in one transaction, which sees one state of the catalogue; errors as :meth:`write`."""
        return self._run(work, writes=False)

    def write(self, work: Callable[[sa.Connection], _T]) -> _T:
        """Do some work in one transaction: all of it or nothing, also where the process or the server dies.

        A connection that the server closed is made again and the work repeated, as it is after a deadlock between
        writers; it must therefore not matter whether it is done once or twice.

        Raises
        ------
        CatalogError
            If the database cannot be reached, or refuses.
        """
        return self._run(work, writes=True)

    def _run(self, work: Callable[[sa.Connection], _T], *, writes: bool) -> _T:
        for pause in (*_PAUSES_S, None):
            try:
                with self._options(writes=writes).begin() as connection:
                    return work(connection)
            except SQLAlchemyError as error:
                if pause is None or self.is_file or not _worth_repeating(error):
                    raise CatalogError(self._explain(error)) from error
                time.sleep(pause)
        raise AssertionError  # the last round returns or raises

    def close(self) -> None:
        """Close all connections; a GeoPackage becomes one ordinary file again, unless another program has it open."""
        self.engine.dispose()
        if self.is_file and self._writable:
            with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(self._path, timeout=0)) as last:
                last.execute("PRAGMA journal_mode = DELETE")

    def _options(self, *, writes: bool) -> sa.Engine:
        return self.engine.execution_options(fringewatch_writes=writes)

    def _open_file(self, *, create: bool) -> sa.Engine:
        if not create and not self._path.is_file():
            message = f"{self._path}: no such catalogue; expected a GeoPackage that `fringewatch detect` wrote"
            raise CatalogError(message)
        if create and not self._path.absolute().parent.is_dir():
            message = f"{self._path}: the folder does not exist; make it first"
            raise CatalogError(message)
        mode = "rwc" if create else "rw" if self._writable else "ro"
        address = f"{self._path.absolute().as_uri()}?mode={mode}"

        def connect() -> sqlite3.Connection:
            # SQLAlchemy begins transactions, by the event below; its pool lends a connection to one thread at once.
            connection = sqlite3.connect(
                address, uri=True, timeout=self._wait_s, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA foreign_keys = ON")
            if self._writable:
                # A batch that was written survives a power cut too; batches are large, so it costs little.
                connection.execute("PRAGMA synchronous = FULL")
                geopackage.register_functions(connection)
            return connection

        engine = sa.create_engine("sqlite://", creator=connect, poolclass=sa.QueuePool)

        @event.listens_for(engine, "begin")
        def _begin(connection: sa.Connection) -> None:
            writes = connection.get_execution_options().get("fringewatch_writes")
            # A lock that is asked for halfway through a transaction cannot be waited for.
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

        return engine

    def _open_server(self, text: str) -> sa.Engine:
        require("psycopg", extra="postgis")
        url = _parse(text)
        if url is None:
            message = (
                "the address of the catalogue is wrong; expected postgresql://user:password@host:port/database, "
                "with %40 for an @ in the password"
            )
            raise CatalogError(message)
        url = url.set(drivername="postgresql+psycopg")
        self.name = without_password(text)
        return sa.create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 10})

    def _check(self, *, create: bool) -> None:
        """See that the tables are ours and none is missing; make what is, if this may be written."""
        try:
            if self.is_file:
                with contextlib.closing(self.engine.raw_connection()) as raw:
                    self._check_file(raw.driver_connection, create=create)
            with self._options(writes=False).begin() as connection:
                missing = find_missing(connection, self.name)
            if missing.version > SCHEMA_VERSION and self._writable:
                message = (
                    f"{self.name}: is of a newer version of fringewatch (schema {missing.version}, this one knows "
                    f"{SCHEMA_VERSION}); update fringewatch, or name another catalogue"
                )
                raise CatalogError(message)
            if self.is_file and self._writable:
                # Not before it is known to be ours: the mode is written into the file.
                with contextlib.closing(self.engine.raw_connection()) as raw:
                    raw.cursor().execute("PRAGMA journal_mode = WAL")
            if missing and (create or (self._writable and missing.version)):
                with self._options(writes=True).begin() as connection:
                    add_missing(connection, self.name, is_file=self.is_file)
                missing = Missing((), (), SCHEMA_VERSION)
        except (sqlite3.Error, SQLAlchemyError) as error:
            raise CatalogError(self._explain(error)) from error
        if not missing.version:
            message = (
                f"{self.name}: is no catalogue of fringewatch (it has no table scenes); name another, which "
                "`fringewatch detect` makes"
            )
            raise CatalogError(message)
        self.lacking = missing.columns

    def _check_file(self, connection: Any, *, create: bool) -> None:
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if (tables or not create) and not geopackage.is_geopackage(connection):
            message = f"{self.name}: is an SQLite database but no GeoPackage; name another file"
            raise CatalogError(message)

    def _explain(self, error: Exception) -> str:
        origin = getattr(error, "orig", None) or error
        reason = " ".join(str(origin).split()) or type(origin).__name__
        text = reason.lower()
        if "database is locked" in text or "database table is locked" in text:
            return f"{self.name}: another program has been writing to it for {self._wait_s:g} s; wait for it to end"
        if "disk is full" in text or "disk i/o error" in text:
            return f"{self.name}: cannot be written ({reason}); free some space. What was finished before is kept"
        if "readonly" in text or "unable to open" in text:
            return f"{self.name}: cannot be opened ({reason}); check the permissions of the file and of its folder"
        if "not a database" in text or "malformed" in text:
            return f"{self.name}: is no GeoPackage, or damaged ({reason}); name another file"
        return f"{self.name}: {reason}"


def without_password(place: str) -> str:
    """Return the address of a catalogue as it may be printed and stored.

    Parameters
    ----------
    place
        Path of a GeoPackage, which is returned as it is, or an address.

    Returns
    -------
    str
        The address with ``***`` for the password, and without parameters that hold one.
    """
    scheme, mark, rest = place.partition("://")
    if not mark:
        return place
    url = _parse(place)
    if url is not None:
        secret = [key for key in url.query if "password" in key.lower()]
        return url.difference_update_query(secret).render_as_string(hide_password=True)
    login, _, shown = rest.rpartition("@")
    # A question mark before the last @ belongs to the password, or the @ to a parameter: nobody can tell.
    return f"{scheme}://***" if "?" in login else f"{scheme}://{shown.partition('?')[0]}"


def _parse(address: str) -> sa.URL | None:
    """Return the parts of an address; None where they cannot be told apart."""
    try:
        url = sa.make_url(address)
    except (SQLAlchemyError, ValueError):
        return None
    # What follows an @ in a password, also in a parameter, counts as host and database, which error messages name.
    mixed = "@" in f"{url.host}{url.database}" or "password=" in str(url.password)
    return None if mixed else url


def _worth_repeating(error: SQLAlchemyError) -> bool:
    """Tell whether the server went away, or gave another writer precedence, rather than refused."""
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        # No code: the server could not be reached.
        return error.connection_invalidated or isinstance(error, sa.exc.OperationalError)
    # Class 08: connection exceptions; 57P: shut down, crashed, starting up; 40: deadlocks, serialisation failures.
    return str(state).startswith(("08", "57P", "40"))
