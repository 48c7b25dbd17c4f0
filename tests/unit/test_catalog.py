"""Catalogues: what goes in comes out, in a GeoPackage and in PostGIS alike; nothing twice, nothing lost."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import os
import sqlite3
import subprocess
import sys

import geopandas as gpd
import numpy as np
import pytest
import shapely
import sqlalchemy as sa

from fringewatch.alerts.ledger import Ledger
from fringewatch.catalog import Catalog, SceneRecord, scene_key, store, writing
from fringewatch.catalog.engine import Database, without_password
from fringewatch.catalog.tables import DETECTIONS, METADATA, SCENES, SCHEMA_VERSION, SCHEMA_VERSIONS
from fringewatch.errors import CatalogError, ConfigError
from fringewatch.regions import COLUMNS
from fringewatch.report import SceneRow
from fringewatch.sites import Sites

ETNA = (14.999, 37.748)


@pytest.fixture(params=["geopackage", "postgis"])
def place(request, tmp_path):
    """Where an empty catalogue can be made."""
    return request.getfixturevalue("postgis_url") if request.param == "postgis" else str(tmp_path / "found.gpkg")


@pytest.fixture
def catalog(place):
    with Catalog.open(place, sites=few_sites()) as catalog:
        yield catalog


def few_sites(**others):
    places = {"Etna": ETNA, "Vesuvius": (14.426, 40.821), "Hekla": (-19.666, 63.983), **others}
    kinds = ["mine" if name in others else "volcano" for name in places]
    numbers = ["" if name in others else f"{index}" for index, name in enumerate(places, 100)]
    table = gpd.GeoDataFrame(
        {"name": list(places), "number": numbers, "kind": kinds},
        geometry=[shapely.Point(each) for each in places.values()],
        crs="EPSG:4326",
    )
    return Sites(table)


def record(name="a", *, at=ETNA, score=0.9, day=13, state="1", status="ok", content_hash="", half=0.25, **row):
    row = {
        "file": f"/archive/{name}.tif",
        "name": name,
        "status": status,
        "score": score,
        "flagged": None if score is None else score >= 0.5,
        "detections": 1,
        "reference_date": "2018-01-01",
        "secondary_date": f"2018-01-{day:02}" if day else "",
        "product": "licsar",
        "model": "tiny",
        **row,
    }
    box = None if at is None else shapely.box(at[0] - half, at[1] - half, at[0] + half, at[1] + half)
    return SceneRecord(row=SceneRow(**row), state=state, footprint=box, content_hash=content_hash, model_version="2")


def detections(*records, crs="EPSG:4326"):
    """Return one detection of 0.02 degrees in the middle of each scene."""
    plain = {"str": "", "int64": 7, "float64": 0.25}
    rows = {name: [plain[kind]] * len(records) for name, kind in COLUMNS.items()}
    rows["scene"] = [each.row.name for each in records]
    rows["score"] = [each.row.score for each in records]
    rows["reference_date"] = [each.row.reference_date for each in records]
    rows["secondary_date"] = [each.row.secondary_date for each in records]
    rows["mean_coherence"] = [np.nan] * len(records)
    table = gpd.GeoDataFrame({name: np.array(rows[name], dtype=kind) for name, kind in COLUMNS.items()})
    outlines = [each.footprint.centroid.buffer(0.01, cap_style="square") for each in records]
    return table.set_geometry(gpd.GeoSeries(outlines, crs="EPSG:4326").to_crs(crs) if crs else outlines)


def fill(catalog, *records, found=None, settings="s"):
    run = catalog.start_run(settings=settings)
    catalog.add(run, records, found)
    catalog.finish_run(run)
    return run


def test_what_goes_in_comes_out(catalog):
    given = record(message="said", max_probability=0.97, area_km2=float("nan"), seconds=1.5)
    fill(catalog, given, found=detections(given, crs="EPSG:32633"))
    (scene,) = catalog.query().itertuples()
    for name in ("name", "status", "score", "flagged", "max_probability", "product", "model", "seconds", "message"):
        assert getattr(scene, name) == getattr(given.row, name)
    assert scene.file == scene_key("/archive/a.tif")
    assert np.isnan(scene.area_km2)
    assert (scene.reference_date.date(), scene.secondary_date.date()) == (dt.date(2018, 1, 1), dt.date(2018, 1, 13))
    assert scene.geometry.equals(given.footprint)
    assert (scene.site, scene.site_number, scene.site_kind, scene.site_distance_km) == ("Etna", "100", "volcano", 0)
    (found,) = catalog.query("detections").itertuples()
    assert (found.scene, found.file, found.score, found.row, found.site) == ("a", scene.file, 0.9, 7, "Etna")
    assert np.isnan(found.mean_coherence)
    assert found.geometry.geom_type == "MultiPolygon"
    assert found.geometry.centroid.distance(shapely.Point(ETNA)) < 1e-6


def test_an_empty_catalogue_has_every_column_and_its_type(catalog):
    given = record()
    empty = {table: catalog.query(table) for table in ("scenes", "detections")}
    fill(catalog, given, found=detections(given))
    for table, frame in empty.items():
        assert len(frame) == 0
        assert frame.crs == "EPSG:4326"
        assert dict(frame.dtypes) == dict(catalog.query(table).dtypes)


def test_adding_again_replaces_and_keeps_the_number(catalog):
    first, other = record(), record("b")
    fill(catalog, first, other, found=detections(first, other))
    before = catalog.query().set_index("name")["scene_id"]
    fill(catalog, first, other, found=detections(first, other))
    better = record(score=0.2, state="2")
    fill(catalog, better)
    after = catalog.query().set_index("name")
    assert dict(after["scene_id"]) == dict(before)
    assert (after["score"]["a"], after["state"]["a"], after["score"]["b"]) == (0.2, "2", 0.9)
    assert list(catalog.query("detections")["scene"]) == ["b"]


def test_the_same_file_twice_in_a_batch_counts_once(catalog):
    fill(catalog, record(score=0.1), record(score=0.8))
    assert list(catalog.query()["score"]) == [0.8]


def test_done_knows_what_need_not_be_done_again(catalog):
    fill(catalog, record("a", state="x"), record("b", status="failed", score=None), settings="one")
    fill(catalog, record("c"), settings="two")
    assert catalog.done("one") == {scene_key("/archive/a.tif"): "x"}
    fill(catalog, record("a", status="failed", score=None), settings="one")
    assert catalog.done("one") == {}
    assert catalog.done("two").keys() == {scene_key("/archive/c.tif")}


def test_a_batch_is_all_or_nothing(catalog, monkeypatch):
    given = record()
    run = catalog.start_run(settings="s")
    monkeypatch.setattr(writing, "mark_duplicates", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        catalog.add(run, [given], detections(given))
    monkeypatch.undo()
    assert (len(catalog.query()), len(catalog.query("detections"))) == (0, 0)
    catalog.add(run, [given], detections(given))
    assert (len(catalog.query()), len(catalog.query("detections"))) == (1, 1)


def test_detections_without_their_scene_are_refused(catalog):
    run = catalog.start_run(settings="s")
    with pytest.raises(CatalogError, match="detections of 'b' were given without the scene"):
        catalog.add(run, [record("a")], detections(record("b")))
    with pytest.raises(CatalogError, match="has no run 99"):
        catalog.add(99, [record("a")])
    assert len(catalog.query()) == 0


def test_files_of_the_same_content_are_tied_to_the_first(catalog):
    copies = [record(name, content_hash="same") for name in "abc"]
    fill(catalog, *copies, record("d", content_hash="other"), record("e"), record("f"), found=detections(*copies))
    assert list(catalog.query()["name"]) == ["a", "d", "e", "f"]
    assert list(catalog.query("detections")["scene"]) == ["a"]
    everything = catalog.query(duplicates=True).set_index("name")
    assert everything["duplicate_of"].dropna().to_dict() == dict.fromkeys("bc", everything["scene_id"]["a"])
    assert len(catalog.query("detections", duplicates=True)) == 3


def test_a_copy_takes_the_place_of_a_first_that_changed_or_fails(catalog):
    fill(catalog, *(record(name, content_hash="same") for name in "abc"))
    fill(catalog, record("a", content_hash="new"))
    assert list(catalog.query()["name"]) == ["a", "b"]
    fill(catalog, record("b", content_hash="same", status="failed", score=None))
    assert list(catalog.query()["name"]) == ["a", "c"]


def test_of_an_archive_that_moved_the_files_that_are_there_stand_for_it(catalog, tmp_path):
    before, after = (
        [record(name, file=str(tmp_path / folder / f"{name}.tif"), content_hash=name) for name in "ab"]
        for folder in ("before", "after")
    )
    fill(catalog, *before, record("c", content_hash="c"))
    (tmp_path / "after").mkdir()
    for each in after:
        (tmp_path / "after" / f"{each.row.name}.tif").touch()
    fill(catalog, *after)
    assert list(catalog.query()["file"]) == ["/archive/c.tif", *(each.row.file for each in after)]
    assert len(catalog.query(duplicates=True)) == 5


def test_what_a_newer_model_says_stands_for_a_content(catalog):
    fill(catalog, *(record(name, content_hash="same", score=0.9) for name in "ab"))
    fill(catalog, record("c", content_hash="same", score=0.2), settings="newer")
    assert list(catalog.query()["score"]) == [0.2]
    # When all have been scanned anew it is the first again.
    fill(catalog, *(record(name, content_hash="same", score=0.3) for name in "ba"), settings="newer")
    assert list(catalog.query()["name"]) == ["a"]


def test_scenes_are_chosen_by_site_kind_score_and_dates(catalog):
    far = (30.0, 0.0)
    fill(
        catalog,
        record("etna", day=5, score=0.3),
        record("beside", at=(ETNA[0] + 0.45, ETNA[1]), day=10),
        record("away", at=(ETNA[0] + 0.9, ETNA[1]), day=15, score=0.5),
        record("alone", at=far, day=20, score=0.95),
        record("undated", day=None, score=0.6),
        record("nowhere", at=None),
    )

    def names(**conditions):
        return set(catalog.query(**conditions)["name"])

    assert names(site="etna") == {"etna", "beside", "undated"}
    assert names(site="100", min_score=0.6) == {"beside", "undated"}
    assert names(kind="volcano") == {"etna", "beside", "undated"}
    assert names(start=dt.date(2018, 1, 10), end=dt.date(2018, 1, 15)) == {"beside", "away", "nowhere"}
    assert names(flagged=False) == {"etna"}
    assert names(min_score=0.95) == {"alone"}
    table = catalog.query().set_index("name")
    assert table["site"]["away"] == "Etna"
    assert table["site_distance_km"]["away"] == pytest.approx(0.65 * 88.1, rel=0.01)
    assert (table["site"]["nowhere"], table["geometry"]["nowhere"]) == ("", None)
    with pytest.raises(ConfigError, match="did you mean 'Etna'"):
        catalog.query(site="etnna")


def test_a_frame_belongs_to_every_volcano_in_it_and_a_detection_to_its_own(catalog):
    frame = record(at=(14.7, 39.3), half=2)
    found = detections(frame)
    found.geometry = [shapely.Point(14.43, 40.83).buffer(0.02)]
    fill(catalog, frame, found=found)
    assert [len(catalog.query(site=name)) for name in ("Etna", "Vesuvius", "Hekla")] == [1, 1, 0]
    assert [len(catalog.query("detections", site=name)) for name in ("Etna", "Vesuvius")] == [0, 1]
    assert [len(catalog.query("detections", kind=kind)) for kind in ("volcano", "mine")] == [1, 0]


def test_new_sites_are_tied_to_what_is_there(catalog):
    given = record(at=(20.05, 49.98))
    fill(catalog, given, found=detections(given))
    assert catalog.query()["site_distance_km"].item() > 900
    catalog.add_sites(few_sites(Wieliczka=(20.055, 49.983)))
    for table in ("scenes", "detections"):
        (row,) = catalog.query(table, site="wieliczka", kind="mine").itertuples()
        assert (row.site, row.site_kind, row.site_distance_km) == ("Wieliczka", "mine", 0)
    assert len(catalog.sites) == 4


def test_sites_that_another_program_added_count_at_once(place, catalog):
    fill(catalog, record("a"))
    with Catalog.open(place, sites=few_sites(Wieliczka=(20.055, 49.983))):
        pass
    fill(catalog, record("b", at=(20.055, 49.983)))
    assert list(catalog.query(site="Wieliczka")["name"]) == ["b"]


def test_detections_in_pixels_have_no_outline(catalog):
    given = record(at=None)
    found = detections(record(), crs=None)
    fill(catalog, given, found=found.set_crs(None, allow_override=True))
    (row,) = catalog.query("detections").itertuples()
    assert (row.geometry, row.site, row.row) == (None, "", 7)


def test_reviews_outlive_a_new_scan(catalog):
    given = record()
    fill(catalog, given, found=detections(given))
    catalog.add_review("/archive/a.tif", "confirmed", outline=given.footprint, reviewer="B", comment="dyke")
    fill(catalog, record(state="2"), found=None)
    (review,) = catalog.reviews.itertuples()
    assert (review.file, review.verdict, review.reviewer, review.comment) == (
        scene_key("/archive/a.tif"),
        "confirmed",
        "B",
        "dyke",
    )
    assert review.geometry.equals(given.footprint)
    with pytest.raises(CatalogError, match=r"has no scene /archive/z\.tif"):
        catalog.add_review("/archive/z.tif", "rejected")


def test_runs_tell_how_they_ended(catalog, monkeypatch):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    first = catalog.start_run("model: tiny", settings="s", model="tiny", model_version="2")
    catalog.finish_run(first, "interrupted")
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: dead.pid)
        second = catalog.start_run(settings="s")
    third = catalog.start_run(settings="s")
    fourth = catalog.start_run(settings="s")
    runs = catalog.runs.set_index("run_id")
    assert dict(runs["status"]) == {first: "interrupted", second: "killed", third: "running", fourth: "running"}
    assert (runs["config"][first], runs["model"][first], runs["settings"][first]) == ("model: tiny", "tiny", "s")
    assert runs["finished"].notna().to_list() == [True, False, False, False]


def test_a_clock_that_goes_back_changes_nothing(catalog, monkeypatch):
    fill(catalog, record(score=0.1))
    monkeypatch.setattr(store, "now", lambda: dt.datetime(1999, 1, 1))
    last = fill(catalog, record(score=0.8))
    assert list(catalog.runs["run_id"]) == sorted(catalog.runs["run_id"])
    assert catalog.runs["run_id"].iloc[-1] == last
    assert (catalog.query()["score"].item(), catalog.query(run_id=last)["score"].item()) == (0.8, 0.8)


def test_a_reader_sees_whole_batches_while_one_is_written(place, catalog, monkeypatch):
    fill(catalog, record("a"))
    seen = []

    def look(*_):
        with Catalog.open(place, create=False, writable=False) as reader:
            seen.extend(reader.query()["name"])

    monkeypatch.setattr(writing, "mark_duplicates", look)
    fill(catalog, record("b"))
    assert seen == ["a"]
    assert len(catalog.query()) == 2


def test_large_batches_are_written_whole(catalog):
    batch = [dataclasses.replace(record(f"{index:04}"), footprint=None) for index in range(1203)]
    fill(catalog, *batch)
    fill(catalog, *batch)
    assert len(catalog.query()) == 1203
    assert len(catalog.done("s")) == 1203


@pytest.mark.parametrize("table", [SCENES, DETECTIONS])
def test_nothing_that_a_run_says_of_scenes_and_detections_is_left_out(table):
    said = {field.name for field in dataclasses.fields(SceneRow)} if table is SCENES else set(COLUMNS)
    assert said - set(table.c.keys()) == set()


def make_old(place):
    """Turn a catalogue into one of the first version, which knew less."""
    database = Database(place, create=False, writable=True, wait_s=10)

    def work(connection):
        for table in METADATA.sorted_tables:
            for column in table.c:
                if column.info.get("since", 1) > 1 and table.info.get("since", 1) == 1:
                    connection.exec_driver_sql(f"ALTER TABLE {table.name} DROP COLUMN {column.name}")
        connection.exec_driver_sql("DROP TABLE schema_versions")
        if database.is_file:
            connection.exec_driver_sql("DELETE FROM gpkg_contents WHERE table_name = 'schema_versions'")

    database.write(work)
    database.close()


def schema_of(place):
    """Return the columns of every table, and what a GeoPackage says of its layers."""
    database = Database(place, create=False, writable=False, wait_s=10)

    def work(connection):
        columns = {
            name: set(connection.exec_driver_sql(f"SELECT * FROM {name} LIMIT 0").keys()) for name in METADATA.tables
        }
        layers = connection.exec_driver_sql("SELECT table_name FROM gpkg_contents") if database.is_file else ()
        return columns, sorted(name for (name,) in layers), connection.scalar(sa.select(SCHEMA_VERSIONS.c.version))

    try:
        return database.read(work)
    finally:
        database.close()


def test_a_catalogue_of_an_earlier_version_is_read_as_it_is_and_brought_up_to_date_when_written(place):
    given = record(level_score=0.3)
    with Catalog.open(place, sites=few_sites()) as catalog:
        fill(catalog, given, found=detections(given))
        new = {table: catalog.query(table) for table in ("scenes", "detections")}
    wanted = schema_of(place)
    make_old(place)
    with Catalog.open(place, writable=False) as catalog:
        for table, frame in new.items():
            old = catalog.query(table)
            assert dict(old.dtypes) == dict(frame.dtypes)
            assert old["score"].tolist() == [0.9]
        assert catalog.query()["level_score"].isna().all()
        assert catalog.query("detections")["depth_profile_cm"].tolist() == [""]
    with Ledger(place, writable=False) as book:
        assert book.pairs()["level_score"].isna().all()
    with Catalog.open(place) as catalog:
        assert catalog.query()["level_score"].isna().all()
        fill(catalog, given, record("b"), found=detections(given))
        table = catalog.query().set_index("name")
        assert table["level_score"]["a"] == 0.3
        assert np.isnan(table["level_score"]["b"])
        assert catalog.query("detections")["profile_length_m"].tolist() == [0.25]
    assert schema_of(place) == wanted
    assert wanted[2] == SCHEMA_VERSION


def test_a_catalogue_of_a_newer_version_is_read_but_not_written(place):
    with Catalog.open(place, sites=few_sites()) as catalog:
        fill(catalog, record())
        later = sa.insert(SCHEMA_VERSIONS).values(version=SCHEMA_VERSION + 1, since=dt.datetime(2030, 1, 1))
        catalog._database.write(lambda connection: connection.execute(later))
    with pytest.raises(CatalogError, match=rf"newer version .*schema {SCHEMA_VERSION + 1}, .*; update fringewatch"):
        Catalog.open(place)
    with Catalog.open(place, writable=False) as catalog:
        assert catalog.query()["name"].tolist() == ["a"]


def test_a_table_of_scenes_that_is_somebody_elses_is_left_alone(tmp_path):
    theirs = gpd.GeoDataFrame({"title": ["x"]}, geometry=[shapely.Point(0, 0)], crs="EPSG:4326")
    theirs.to_file(tmp_path / "map.gpkg", layer="scenes")
    before = (tmp_path / "map.gpkg").read_bytes()
    with pytest.raises(CatalogError, match=r"map\.gpkg: is no catalogue .*lacks .*scenes\.\w+.*; name another"):
        Catalog.open(tmp_path / "map.gpkg", writable=False)
    assert (tmp_path / "map.gpkg").read_bytes() == before
    with pytest.raises(CatalogError, match="is no catalogue"):
        Catalog.open(tmp_path / "map.gpkg")
    assert gpd.read_file(tmp_path / "map.gpkg", layer="scenes").columns.tolist() == ["title", "geometry"]


def contents_of(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


@pytest.mark.parametrize("layer", ["detections", "Detections", "sites", "runs", "alerts", "reviews", "schema_versions"])
def test_tables_that_are_somebody_elses_are_left_alone(tmp_path, layer):
    path = tmp_path / "map.gpkg"
    theirs = gpd.GeoDataFrame({"score": [0.5]}, geometry=[shapely.Point(0, 0)], crs="EPSG:4326")
    theirs.to_file(path, layer=layer)
    before = contents_of(path)
    problem = (
        rf"map\.gpkg: is no catalogue .* has a table {layer.lower()} \(it lacks {layer.lower()}\.\w+.*; name another"
    )
    for options in ({}, {"writable": False}, {"create": False}):
        with pytest.raises(CatalogError, match=problem):
            Catalog.open(path, **options)
    assert contents_of(path) == before


def test_a_catalogue_starts_beside_other_layers(tmp_path):
    path = tmp_path / "map.gpkg"
    gpd.GeoDataFrame({"title": ["x"]}, geometry=[shapely.Point(0, 0)], crs="EPSG:4326").to_file(path, layer="roads")
    with Catalog.open(path, sites=few_sites()) as catalog:
        fill(catalog, record())
    assert gpd.read_file(path, layer="roads")["title"].tolist() == ["x"]


def test_the_catalogue_knows_what_results_are_called(catalog):
    fill(catalog, record(), record("b", status="failed"))
    keys = {name: scene_key(f"/archive/{name}.tif") for name in "ab"}
    assert catalog.names() == {key: name for name, key in keys.items()}
    assert [catalog.name_of(keys[name]) for name in "ab"] == ["a", "b"]
    assert catalog.name_of("/archive/c.tif") == ""


def test_detections_of_one_of_two_scenes_of_a_name_are_refused(catalog):
    one, two, other = record(file="/here/a.tif"), record(file="/there/a.tif"), record("b")
    with pytest.raises(CatalogError, match=r"two scenes of one name were given, /here/a\.tif and /there/a\.tif, "):
        fill(catalog, one, two, found=detections(one))
    # Which scene the others belong to is no question.
    fill(catalog, one, two, other, found=detections(other))
    assert catalog.query("detections")["file"].tolist() == [scene_key("/archive/b.tif")]


def located(*records):
    table = detections(*records)
    columns = [name for name in table.columns if name != "geometry"]
    return [{name: row[name] for name in columns} | {"geom": row.geometry} for _, row in table.iterrows()]


def test_detections_belong_to_their_file_whatever_it_is_called(catalog):
    one, two, quiet = (record(file=f"/{folder}/a.tif") for folder in ("here", "there", "elsewhere"))
    one = dataclasses.replace(one, detections=located(one))
    two = dataclasses.replace(two, detections=located(two, two))
    for _ in range(2):
        fill(catalog, one, two, quiet)
        assert catalog.query("detections")["file"].tolist() == ["/here/a.tif", *["/there/a.tif"] * 2]
    assert set(catalog.query("detections")["scene"]) == {"a"}
    fill(catalog, dataclasses.replace(two, detections=()))
    assert catalog.query("detections")["file"].tolist() == ["/here/a.tif"]


def test_what_is_not_allowed_is_said(place, catalog):
    given = record()
    fill(catalog, given)
    (row,) = located(given)
    with pytest.raises(CatalogError, match="verdict = 'maybe'; expected one of: confirmed, rejected, unsure"):
        catalog.add_review("/archive/a.tif", "maybe")
    with pytest.raises(CatalogError, match="table = 'scene'; expected one of: scenes, detections"):
        catalog.query("scene")
    with pytest.raises(CatalogError, match="status = 'over'; expected one of: running, done, "):
        catalog.finish_run(1, "over")
    with pytest.raises(
        CatalogError, match=r"a\.tif: secondary_date = '28\.12\.2018'; expected a date such as '2018-12-28'"
    ):
        fill(catalog, record(day=None, secondary_date="28.12.2018"))
    with pytest.raises(CatalogError, match=r"a\.tif: status = 'maybe'; expected one of: ok, failed"):
        fill(catalog, record(status="maybe"))
    for missing in ("geom", "reference_date", "region"):
        part = {name: value for name, value in row.items() if name != missing}
        with pytest.raises(CatalogError, match=f"a detection of 'a': has no {missing}; expected rows with all of"):
            fill(catalog, given, found=[part])
        with pytest.raises(CatalogError, match=f"a detection of 'a': has no {missing};"):
            fill(catalog, dataclasses.replace(given, detections=[part]))
    with pytest.raises(CatalogError, match="a detection of 'a': reference_date = 'x'; expected a date"):
        fill(catalog, given, found=[row | {"reference_date": "x"}])
    assert (len(catalog.reviews), len(catalog.query("detections"))) == (0, 0)


def test_a_catalogue_that_is_only_read_says_so(place, catalog):
    fill(catalog, record())
    with Catalog.open(place, writable=False) as reader:
        for change in (
            lambda: reader.add_review("/archive/a.tif", "confirmed", outline=shapely.box(14, 37, 15, 38)),
            lambda: reader.start_run(settings="s"),
            lambda: reader.finish_run(1),
            lambda: reader.add(1, [record("b")]),
            lambda: reader.add_sites(few_sites(Wieliczka=(20.055, 49.983))),
        ):
            with pytest.raises(CatalogError, match="was opened to read only; open it with writable=True"):
                change()
    assert len(catalog.reviews) == 0


def test_sites_that_have_moved_are_named(catalog, capsys):
    catalog.add_sites(few_sites(Pit=(20.0, 50.0)))
    catalog.add_sites(few_sites(Pit=(20.0, 50.0)))
    assert capsys.readouterr().err == ""
    catalog.add_sites(few_sites(Pit=(21.0, 50.0)))
    assert "sites that had another place before: Pit; what is another site needs" in capsys.readouterr().err


def test_what_is_no_catalogue_is_named(tmp_path, postgis_url):
    with pytest.raises(CatalogError, match=r"none\.gpkg: no such catalogue"):
        Catalog.open(tmp_path / "none.gpkg", create=False)
    with pytest.raises(CatalogError, match="the folder does not exist"):
        Catalog.open(tmp_path / "none" / "a.gpkg")
    (tmp_path / "text.gpkg").write_text("not a database at all, but long enough to be looked at " * 20)
    with pytest.raises(CatalogError, match=r"text\.gpkg: is no GeoPackage, or damaged"):
        Catalog.open(tmp_path / "text.gpkg")
    sqlite3.connect(tmp_path / "other.gpkg").execute("CREATE TABLE a (b)").connection.close()
    before = (tmp_path / "other.gpkg").read_bytes()
    with pytest.raises(CatalogError, match="no GeoPackage; name another"):
        Catalog.open(tmp_path / "other.gpkg")
    # Somebody's file: also its journal mode, which the file holds, is as it was.
    assert (tmp_path / "other.gpkg").read_bytes() == before
    gpd.GeoDataFrame(geometry=[shapely.Point(0, 0)], crs="EPSG:4326").to_file(tmp_path / "map.gpkg")
    for empty in (tmp_path / "map.gpkg", postgis_url):
        with pytest.raises(CatalogError, match=r"is no catalogue of fringewatch \(it has no table scenes"):
            Catalog.open(empty, create=False)
    with pytest.raises(CatalogError, match="expected the path"):
        Catalog.open("mysql://somewhere/x")


def test_passwords_are_not_shown():
    pytest.importorskip("psycopg")
    with pytest.raises(CatalogError) as caught:
        Catalog.open("postgresql://me:secret@127.0.0.1:1/none")
    assert "secret" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("found.gpkg", "found.gpkg"),
        ("/a:b@c.gpkg", "/a:b@c.gpkg"),
        ("postgresql://me@host/insar", "postgresql://me@host/insar"),
        ("postgresql://me:pa/ss@host:5432/insar", "postgresql://me:***@host:5432/insar"),
        ("postgresql://host/insar?user=me&password=p@ss", "postgresql://host/insar?user=me"),
        (
            "postgresql://me:pass@host/insar?sslmode=require&password=a&sslpassword=b&password=c",
            "postgresql://me:***@host/insar?sslmode=require",
        ),
        # Addresses whose parts cannot be told apart.
        ("postgresql://me:pa/ss@host:port/insar?password=pass", "postgresql://host:port/insar"),
        ("postgresql://me:pa@ss@host/insar", "postgresql://host/insar"),
        ("postgresql://me:p@a/ss@host/insar", "postgresql://host/insar"),
        ("postgresql://host:port/insar?password=p@ss", "postgresql://***"),
    ],
)
def test_addresses_lose_their_passwords(place, shown):
    assert without_password(place) == shown


@pytest.mark.parametrize(
    "place",
    [
        "postgresql://me:sec/ret@127.0.0.1:1/none",
        "postgresql://me@127.0.0.1:1/none?password=ret",
        "postgresql://me:sec@x/ret@127.0.0.1:1/none",
        "postgresql://me:sec@ret@127.0.0.1:1/none",
        "mysql://me:ret@127.0.0.1/none",
    ],
)
def test_passwords_are_in_no_error(place, monkeypatch):
    pytest.importorskip("psycopg")
    monkeypatch.setattr("fringewatch.catalog.engine._PAUSES_S", ())
    with pytest.raises(CatalogError) as caught:
        Catalog.open(place)
    assert "ret" not in str(caught.value)
