"""Which alerts there are and which of them have been delivered: two tables of the catalogue.

An alert and its deliveries, all pending, are written in one transaction, before anything is sent. Each delivery is
marked once its message has gone out. What a killed run leaves behind is therefore pending and sent by the next; a
message whose mark was lost goes out a second time, under the same key.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import sqlalchemy as sa

from fringewatch.alerts.message import alert_content
from fringewatch.alerts.pairs import read_pairs, read_sites
from fringewatch.catalog import geopackage
from fringewatch.catalog.engine import Database
from fringewatch.catalog.tables import ALERT_DELIVERIES, ALERTS, RUNS, SCENE_SITES, SCENES, SITES, now
from fringewatch.errors import CatalogError
from fringewatch.sites import NEAR_KM

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Iterator, Sequence

    import pandas as pd

    from fringewatch.alerts.judge import Event, Site
    from fringewatch.alerts.rules import Rules

__all__ = ["Delivery", "Ledger", "RecordedAlert"]

# Any fixed number: it names the lock that one program at a time holds in PostgreSQL.
_LOCK = 0x46524E48
# In the settings of a run, as it was written; those of earlier versions lack it.
_ASKS = re.compile(r"^height_trend: (check|remove)\b", re.MULTILINE)
# A batch of `detect` takes seconds to write.
_WAIT_S = 60.0


class Delivery(NamedTuple):
    """An alert that is still to be sent to a channel."""

    delivery_id: int
    channel: str
    content: dict[str, Any]


class RecordedAlert(NamedTuple):
    """An alert of the catalogue."""

    rule: str
    site_id: int
    start: dt.date
    end: dt.date
    score: float
    text: str
    pending: int
    """Number of channels that it has not reached yet."""


class _Sifted(NamedTuple):
    """Events that are new, and those that recorded alerts have told of."""

    fresh: list[Event]
    known: list[tuple[int, Event]]
    """Number of the alert, and the event as it is now."""


class Ledger:
    """The alerts of one catalogue.

    Parameters
    ----------
    place
        As for :meth:`fringewatch.catalog.Catalog.open`; it must exist.
    writable
        False to look only.

    Raises
    ------
    CatalogError
        If it cannot be opened.
    """

    def __init__(self, place: str, *, writable: bool = True) -> None:
        self._database = Database(place, create=False, writable=writable, wait_s=_WAIT_S)

    def __enter__(self) -> Self:
        """Return the ledger itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._database.close()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other runs of ``fringewatch alerts`` off this catalogue while the block lasts, or until we are killed.

        Raises
        ------
        CatalogError
            If another one is at work.
        """
        message = f"{self._database.name}: another `fringewatch alerts` is at work on it; stop that one or wait"
        if self._database.is_file:
            # However the path is spelt, and through whatever links, it is one catalogue and one lock.
            path = f"{os.path.realpath(self._database.name)}-alerts.lock"
            with contextlib.closing(_lock_file(path, message)):
                yield
            return
        with self._database.engine.connect() as connection:
            if not connection.scalar(sa.select(sa.func.pg_try_advisory_lock(_LOCK))):
                raise CatalogError(message)
            # The lock belongs to the connection, not to a transaction that would stay open.
            connection.commit()
            try:
                yield
            finally:
                connection.invalidate()

    def sites(self) -> list[Site]:
        """Return all sites, by name."""
        return self._database.read(read_sites)

    def pairs(self, site_ids: Collection[int] | None = None) -> pd.DataFrame:
        """Return the pairs of sites; see :func:`fringewatch.alerts.pairs.read_pairs`."""
        lacking = self._database.lacking
        return self._database.read(lambda connection: read_pairs(connection, site_ids, lacking=lacking))

    def threshold(self) -> float | None:
        """Return the lowest score that was flagged; None if nothing was, or if higher ones were not."""
        scanned = sa.and_(SCENES.c.status == "ok", SCENES.c.score.is_not(None))
        query = sa.select(
            sa.func.min(SCENES.c.score).filter(SCENES.c.flagged), sa.func.max(SCENES.c.score).filter(~SCENES.c.flagged)
        ).where(scanned)
        lowest, highest = self._database.read(lambda connection: connection.execute(query).one())
        return lowest if lowest is not None and lowest >= (highest or 0) else None

    def count_unplaced(self) -> int:
        """Return the number of scanned scenes without an outline or without dates: no rule sees them."""
        missing = SCENES.c.geom.is_(None) | SCENES.c.reference_date.is_(None) | SCENES.c.secondary_date.is_(None)
        query = sa.select(sa.func.count()).select_from(SCENES).where(SCENES.c.status == "ok", missing)
        return self._database.read(lambda connection: connection.scalar(query)) or 0

    def count_remote(self) -> int:
        """Return the number of scanned scenes with outline and dates that have no site near: no rule sees them."""
        near = sa.exists().where(SCENE_SITES.c.scene_id == SCENES.c.scene_id, SCENE_SITES.c.distance_km <= NEAR_KM)
        placed = [SCENES.c[name].is_not(None) for name in ("geom", "reference_date", "secondary_date")]
        query = sa.select(sa.func.count()).select_from(SCENES).where(SCENES.c.status == "ok", *placed, ~near)
        return self._database.read(lambda connection: connection.scalar(query)) or 0

    def count_unasked(self) -> int:
        """Return the number of flagged scenes whose run did not ask whether they follow the terrain."""
        query = (
            sa.select(RUNS.c.config, sa.func.count())
            .join(SCENES, SCENES.c.run_id == RUNS.c.run_id)
            .where(SCENES.c.status == "ok", SCENES.c.flagged)
            .group_by(RUNS.c.run_id, RUNS.c.config)
        )
        rows = self._database.read(lambda connection: connection.execute(query).all())
        return sum(count for config, count in rows if not _ASKS.search(config))

    def alerts(self) -> list[RecordedAlert]:
        """Return all recorded alerts, by start."""
        waiting = sa.func.count().filter(ALERT_DELIVERIES.c.status == "pending")
        query = (
            sa.select(
                *(ALERTS.c[name] for name in ("rule", "site_id", "start_date", "end_date", "score", "text")), waiting
            )
            .outerjoin(ALERT_DELIVERIES)
            .group_by(ALERTS.c.alert_id)
            .order_by(ALERTS.c.start_date, ALERTS.c.alert_id)
        )
        return self._database.read(lambda connection: list(map(RecordedAlert._make, connection.execute(query))))

    def fresh(self, events: Sequence[Event], rules: Rules) -> list[Event]:
        """Return the events that no recorded alert has told of."""
        return self._database.read(lambda connection: _sift(connection, events, rules).fresh)

    def record(self, events: Sequence[Event], rules: Rules) -> list[Event]:
        """Write alerts for the events that are new, each with its pending deliveries, in one transaction.

        An event is one that an alert has told of if the rule and site are the same and the dates of both, which may
        have grown on either side since, lie no farther apart than `quiet_days`. The alert's dates then grow with it.

        Returns
        -------
        list of Event
            The new ones.
        """
        by_name = {rule.name: rule for rule in rules.rules}

        def work(connection: sa.Connection) -> list[Event]:
            sifted = _sift(connection, events, rules)
            for alert_id, event in sifted.known:
                connection.execute(
                    sa.update(ALERTS)
                    .where(ALERTS.c.alert_id == alert_id)
                    .values(
                        start_date=sa.case((ALERTS.c.start_date > event.start, event.start), else_=ALERTS.c.start_date),
                        end_date=sa.case((ALERTS.c.end_date < event.end, event.end), else_=ALERTS.c.end_date),
                    )
                )
            for event in sifted.fresh:
                rule = by_name[event.rule]
                self._insert(connection, event, alert_content(event, rule), rules.channels_of(rule))
            return sifted.fresh

        return self._database.write(work)

    def pending(self) -> list[Delivery]:
        """Return what is still to be sent: never tried before often tried, then in the order of recording."""
        query = (
            sa.select(ALERT_DELIVERIES.c.delivery_id, ALERT_DELIVERIES.c.channel, ALERTS.c.content)
            .join(ALERTS, ALERTS.c.alert_id == ALERT_DELIVERIES.c.alert_id)
            .where(ALERT_DELIVERIES.c.status == "pending")
            .order_by(ALERT_DELIVERIES.c.attempts, ALERT_DELIVERIES.c.delivery_id)
        )
        rows = self._database.read(lambda connection: connection.execute(query).all())
        return [Delivery(row.delivery_id, row.channel, json.loads(row.content)) for row in rows]

    def mark(self, delivery: Delivery, problem: str = "") -> None:
        """Note that a message has gone out, or why it has not."""
        change: dict[str, Any] = {"message": problem, "attempts": ALERT_DELIVERIES.c.attempts + 1}
        if not problem:
            change |= {"status": "sent", "sent": now()}
        query = sa.update(ALERT_DELIVERIES).where(ALERT_DELIVERIES.c.delivery_id == delivery.delivery_id)
        self._database.write(lambda connection: connection.execute(query.values(change)))

    def _insert(
        self, connection: sa.Connection, event: Event, content: dict[str, Any], channels: Sequence[str]
    ) -> None:
        outline = connection.scalar(sa.select(SITES.c.geom).where(SITES.c.site_id == event.site.site_id))
        row = {
            "geom": outline,
            "rule": event.rule,
            "site_id": event.site.site_id,
            "start_date": event.start,
            "end_date": event.end,
            "content": json.dumps(content, ensure_ascii=False),
            "recorded": now(),
            **{name: content[name] for name in ("key", "site", "score", "text")},
        }
        alert_id = connection.execute(sa.insert(ALERTS).returning(ALERTS.c.alert_id), row).scalar_one()
        waiting = {"alert_id": alert_id, "status": "pending", "attempts": 0}
        connection.execute(sa.insert(ALERT_DELIVERIES), [waiting | {"channel": name} for name in channels])
        extent = geopackage.extent_of([outline]) if self._database.is_file else None
        if extent is not None:
            connection.exec_driver_sql(geopackage.GROW_EXTENT, (*extent, ALERTS.name))


def _lock_file(path: str, taken: str) -> sqlite3.Connection:
    """Return a connection that holds SQLite's lock on an empty file: the system drops it with the process."""
    try:
        lock = sqlite3.connect(path, timeout=0, isolation_level=None)
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except BaseException:
            lock.close()
            raise
    except sqlite3.OperationalError as error:
        message = (
            taken if "locked" in str(error) else f"{path}: cannot be made ({error}); check the folder's permissions"
        )
        raise CatalogError(message) from error
    return lock


def _sift(connection: sa.Connection, events: Sequence[Event], rules: Rules) -> _Sifted:
    quiet_days = {rule.name: rule.quiet_days for rule in rules.rules}
    query = sa.select(ALERTS.c.rule, ALERTS.c.site_id, ALERTS.c.alert_id, ALERTS.c.start_date, ALERTS.c.end_date)
    spans: dict[tuple[str, int], list[tuple[int, dt.date, dt.date]]] = {}
    for rule, site_id, alert_id, start, end in connection.execute(query):
        spans.setdefault((rule, site_id), []).append((alert_id, start, end))
    sifted = _Sifted([], [])
    for event in events:
        told = [
            alert_id
            for alert_id, start, end in spans.get((event.rule, event.site.site_id), ())
            if event.touches(start, end, quiet_days[event.rule])
        ]
        sifted.known.extend((alert_id, event) for alert_id in told)
        if not told:
            sifted.fresh.append(event)
    return sifted
