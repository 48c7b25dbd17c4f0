"""A catalogue when things go wrong: killed writers, two writers, a full disk, a server that goes away."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading

import geopandas as gpd
import pyogrio
import pytest
import shapely

from fringewatch.catalog import Catalog, SceneRecord, engine, writing
from fringewatch.errors import CatalogError
from fringewatch.report import SceneRow
from fringewatch.sites import Sites

BATCH = 20

# What a writer in another process runs: batches without end, and their number once each is safe.
WRITER = """
import sys
sys.path.insert(0, {folder!r})
from test_catalog_faults import batch, one_site
from fringewatch.catalog import Catalog, writing
with Catalog.open({place!r}, sites=one_site()) as catalog:
    run = catalog.start_run(settings="s")
    {before}
    for number in range(10_000):
        catalog.add(run, batch(number))
        print(number, flush=True)
"""


def one_site():
    table = gpd.GeoDataFrame({"name": ["Etna"], "number": "1", "kind": "volcano"}, geometry=[shapely.Point(15, 37.7)])
    return Sites(table.set_crs("EPSG:4326"))


def batch(number, *, score=0.5):
    names = [f"{number:04}-{index:02}" for index in range(BATCH)]
    rows = (SceneRow(file=f"/archive/{name}.tif", name=name, status="ok", score=score) for name in names)
    return [SceneRecord(row=row, state="1", footprint=shapely.box(14.9, 37.6, 15.1, 37.8)) for row in rows]


def names_of(*numbers):
    return {record.row.name for number in numbers for record in batch(number)}


@contextlib.contextmanager
def writer(place, before=""):
    code = WRITER.format(folder=os.path.dirname(__file__), place=str(place), before=before)  # noqa: PTH120
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def integrity(place):
    with contextlib.closing(sqlite3.connect(place)) as connection:
        foreign = connection.execute("PRAGMA foreign_key_check").fetchall()
        return connection.execute("PRAGMA integrity_check").fetchone(), foreign


posix = pytest.mark.skipif(os.name != "posix", reason="kills with SIGKILL")


@posix
def test_a_killed_writer_loses_at_most_the_open_batch(tmp_path):
    place = tmp_path / "found.gpkg"
    with writer(place) as process:
        for _ in range(3):
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        process.wait()
        last = max([last, *map(int, process.stdout.read().split())])
    with Catalog.open(place, create=False, writable=False) as reader:
        found = set(reader.query()["name"])
    # The batch after the last that was reported may have been complete.
    assert names_of(*range(last + 1)) <= found <= names_of(*range(last + 2))
    assert len(found) % BATCH == 0
    # Nothing that the dead process held is in the way of the next, which ends with one ordinary file.
    with Catalog.open(place, wait_s=1) as catalog:
        run = catalog.start_run(settings="s")
        assert catalog.runs["status"].to_list() == ["killed", "running"]
        assert len(catalog.done("s")) == len(found)
        catalog.add(run, batch(9_999))
    assert [path.name for path in tmp_path.iterdir()] == ["found.gpkg"]
    assert integrity(place) == (("ok",), [])
    assert len(pyogrio.read_dataframe(place, layer="scenes")) == len(found) + BATCH


@posix
def test_a_writer_that_is_killed_inside_a_batch_leaves_none_of_it(tmp_path):
    place = tmp_path / "found.gpkg"
    suicide = "import os; catalog.add(run, batch(0)); writing.mark_duplicates = lambda *_: os.kill(os.getpid(), 9)"
    with writer(place, suicide) as process:
        assert process.stdout.read() == ""
        assert process.wait() == -signal.SIGKILL
    with Catalog.open(place, create=False, writable=False) as reader:
        assert set(reader.query()["name"]) == names_of(0)
    assert integrity(place) == (("ok",), [])


def test_two_writers_lose_nothing_and_write_nothing_twice(tmp_path):
    place = tmp_path / "found.gpkg"
    with writer(place) as process:
        process.stdout.readline()
        with Catalog.open(place) as catalog:
            run = catalog.start_run(settings="s")
            for number in (0, 1, 5_000, 5_001):
                catalog.add(run, batch(number))
            last = int(process.stdout.readline())
            names = catalog.query()["name"]
    assert names.is_unique
    assert names_of(*range(last + 1), 5_000, 5_001) <= set(names)


def test_two_that_make_a_catalogue_at_once_make_one(tmp_path):
    place, problems = tmp_path / "found.gpkg", []
    barrier = threading.Barrier(4)

    def make(number):
        try:
            barrier.wait()
            with Catalog.open(place, sites=one_site()) as catalog:
                catalog.add(catalog.start_run(settings="s"), batch(number))
        except Exception as error:  # noqa: BLE001  (a thread's error would be lost)
            problems.append(error)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    with Catalog.open(place, create=False, writable=False) as catalog:
        assert set(catalog.query()["name"]) == names_of(0, 1, 2, 3)
        assert len(catalog.sites) == 1


def test_a_writer_that_never_ends_is_named(tmp_path):
    place = tmp_path / "found.gpkg"
    with Catalog.open(place, sites=one_site(), wait_s=0.2) as catalog:
        run = catalog.start_run(settings="s")
        with contextlib.closing(sqlite3.connect(place, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(CatalogError, match=r"found\.gpkg: another program has been writing to it for 0\.2 s"):
                catalog.add(run, batch(0))
            assert len(catalog.query()) == 0
            other.execute("ROLLBACK")
        catalog.add(run, batch(0))
        assert len(catalog.query()) == BATCH


FULL_DISK = """
import resource, sys
sys.path.insert(0, {folder!r})
from test_catalog_faults import batch, one_site
from fringewatch.catalog import Catalog
from fringewatch.errors import CatalogError
with Catalog.open({place!r}, sites=one_site()) as catalog:
    run = catalog.start_run(settings="s")
    catalog.add(run, batch(0))
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, most))
    number, message = 1, ""
    while not message:
        try:
            catalog.add(run, batch(number))
            number += 1
        except CatalogError as error:
            message = str(error)
    kept = len(catalog.query())
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    catalog.add(run, batch(number))
    print(number, kept, len(catalog.query()), message, sep="|")
"""


@posix
def test_a_full_disk_is_said_and_costs_only_the_open_batch(tmp_path):
    place = tmp_path / "found.gpkg"
    code = FULL_DISK.format(folder=os.path.dirname(__file__), place=str(place))  # noqa: PTH120
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    number, kept, after, message = said.strip().split("|")
    assert int(number) > 1
    assert (int(kept), int(after)) == (int(number) * BATCH, (int(number) + 1) * BATCH)
    assert message.startswith(f"{place}: cannot be written (")
    assert "free some space. What was finished before is kept" in message
    assert integrity(place) == (("ok",), [])


def terminate_all(server, url):
    database = url.split("/")[3].split("?")[0]
    server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")


def test_a_terminated_connection_is_made_again(postgres_server, postgis_url, monkeypatch):
    with Catalog.open(postgis_url, sites=one_site()) as catalog:
        run = catalog.start_run(settings="s")
        catalog.add(run, batch(0))
        terminate_all(postgres_server, postgis_url)
        catalog.add(run, batch(1))
        # Now in the middle of a batch, once.
        calls, inside = [], writing.mark_duplicates

        def cut(*given):
            calls.append(given)
            if len(calls) == 1:
                terminate_all(postgres_server, postgis_url)
            inside(*given)

        monkeypatch.setattr(writing, "mark_duplicates", cut)
        # Something to do after the cut, in which it is noticed.
        catalog.add(run, [SceneRecord(row=each.row, state="1", content_hash=each.row.name) for each in batch(2)])
        assert len(calls) == 2
        assert sorted(catalog.query()["name"]) == sorted(names_of(0, 1, 2))


def test_a_server_that_stays_away_is_said_and_the_catalogue_goes_on_when_it_is_back(
    postgres_server, postgis_url, monkeypatch
):
    monkeypatch.setattr(engine, "_PAUSES_S", (0.01, 0.01))
    with Catalog.open(postgis_url, sites=one_site()) as catalog:
        run = catalog.start_run(settings="s")
        catalog.add(run, batch(0))
        postgres_server.stop()
        try:
            with pytest.raises(CatalogError, match=r"^postgresql://tester@/test_\w+"):
                catalog.add(run, batch(1))
        finally:
            postgres_server.start()
        # It was stopped without a word to anybody, as by a power cut: what was added is there.
        assert set(catalog.query()["name"]) == names_of(0)
        catalog.add(run, batch(1))
        assert set(catalog.query()["name"]) == names_of(0, 1)


def test_many_write_to_postgis_at_once(postgis_url):
    with Catalog.open(postgis_url, sites=one_site()) as catalog:
        run = catalog.start_run(settings="s")
        problems = []

        def add(thread):
            try:
                with Catalog.open(postgis_url) as mine:
                    # All write the same files, in different orders of batches: the case that can deadlock.
                    for number in range(4) if thread % 2 else reversed(range(4)):
                        mine.add(run, batch(number, score=0.1 * thread)[:: 1 if thread % 2 else -1])
            except Exception as error:  # noqa: BLE001  (a thread's error would be lost)
                problems.append(error)

        threads = [threading.Thread(target=add, args=(thread,)) for thread in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert problems == []
        assert sorted(catalog.query()["name"]) == sorted(names_of(*range(4)))
