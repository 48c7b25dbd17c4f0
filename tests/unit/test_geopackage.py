"""The file of a catalogue is a GeoPackage by the standard, for readers and editors other than ours."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely

from fringewatch.catalog import Catalog, SceneRecord
from fringewatch.catalog.geopackage import from_blob, to_blob
from fringewatch.catalog.tables import METADATA
from fringewatch.regions import COLUMNS
from fringewatch.report import SceneRow
from fringewatch.sites import Sites

LAYERS = {"scenes": "Polygon", "detections": "MultiPolygon", "sites": "Unknown", "reviews": "MultiPolygon"}
TABLES = ("runs", "scene_sites")
BOXES = (shapely.box(14.5, 37.5, 15.5, 38.5), shapely.box(-10, 60, -9, 61))


@pytest.fixture
def place(tmp_path):
    """A small catalogue: two scenes with a detection each, one without a place; one scanned twice."""
    path = tmp_path / "found.gpkg"
    sites = gpd.GeoDataFrame({"name": ["Etna"], "number": "1", "kind": "volcano"}, geometry=[shapely.Point(15, 37.7)])
    records = [
        SceneRecord(
            row=SceneRow(
                file=f"/archive/{name}.tif",
                name=name,
                status="ok",
                score=0.5,
                flagged=True,
                reference_date="2018-01-01",
                secondary_date="2018-01-13",
            ),
            state="1",
            footprint=box,
        )
        for name, box in zip("abc", (*BOXES, None), strict=True)
    ]
    plain = {"str": "", "int64": 1, "float64": 0.5}
    table = {name: np.array([plain[kind]] * 2, dtype=kind) for name, kind in COLUMNS.items()} | {"scene": ["a", "b"]}
    found = gpd.GeoDataFrame(table, geometry=[box.centroid.buffer(0.1) for box in BOXES], crs="EPSG:4326")
    with Catalog.open(path, sites=Sites(sites.set_crs("EPSG:4326"))) as catalog:
        run = catalog.start_run("model: tiny", settings="s")
        catalog.add(run, records, found)
        catalog.add(run, records[:1], found[:1])
        catalog.add_review("/archive/a.tif", "confirmed", outline=BOXES[0])
        catalog.finish_run(run)
    return path


def ask(place, query):
    with contextlib.closing(sqlite3.connect(place)) as connection:
        return connection.execute(query).fetchall()


def test_gdals_validator_finds_nothing(place):
    validator = pytest.importorskip("osgeo_utils.samples.validate_gpkg", reason="gdal-utils is not installed")
    assert validator.check(str(place)) == []


def test_gdal_sees_all_layers_with_their_places(place):
    layers = dict(pyogrio.list_layers(place))
    assert {name: layers[name] for name in LAYERS} == LAYERS
    assert all(layers[name] is None for name in TABLES)
    assert set(layers) == set(METADATA.tables)
    for layer, bounds in (("scenes", (-10, 37.5, 15.5, 61)), ("sites", (15, 37.7, 15, 37.7))):
        info = pyogrio.read_info(place, layer=layer)
        assert info["crs"] == "EPSG:4326"
        assert tuple(info["total_bounds"]) == bounds


def test_gdal_reads_what_was_written(place):
    scenes = pyogrio.read_dataframe(place, layer="scenes", fid_as_index=True)
    assert list(scenes["name"]) == ["a", "b", "c"]
    assert [geometry is not None for geometry in scenes.geometry] == [True, True, False]
    assert scenes.geometry.iloc[1].equals(BOXES[1])
    assert scenes["flagged"].dtype == bool
    assert str(scenes["secondary_date"].iloc[0])[:10] == "2018-01-13"
    detections = pyogrio.read_dataframe(place, layer="detections")
    assert sorted(detections["scene_id"]) == list(scenes.index[:2])
    runs = pyogrio.read_dataframe(place, layer="runs")
    assert str(runs["started"].dtype).startswith("datetime64")


def test_the_file_is_one_ordinary_geopackage_when_it_is_closed(place):
    assert [path.name for path in place.parent.iterdir()] == [place.name]
    assert ask(place, "PRAGMA application_id") == [(0x47504B47,)]
    assert ask(place, "PRAGMA journal_mode") == [("delete",)]
    assert ask(place, "PRAGMA integrity_check") == [("ok",)]
    assert ask(place, "PRAGMA foreign_key_check") == []


@pytest.mark.parametrize("layer", ["scenes", "detections"])
def test_the_spatial_index_holds_what_is_there(place, layer):
    found = ask(place, f"SELECT id, minx, maxx, miny, maxy FROM rtree_{layer}_geom ORDER BY id")
    table = pyogrio.read_dataframe(place, layer=layer, fid_as_index=True).dropna(subset="geometry").sort_index()
    assert [row[0] for row in found] == list(table.index)
    # An R-tree stores 32-bit floats, rounded outwards.
    np.testing.assert_allclose([row[1:] for row in found], table.bounds[["minx", "maxx", "miny", "maxy"]], atol=1e-5)
    assert len(pyogrio.read_dataframe(place, layer=layer, bbox=(14, 37, 16, 39))) == 1


def test_what_another_program_writes_is_read_back(place):
    """As in QGIS: a review is drawn, and an outline moved, by GDAL."""
    drawn = gpd.GeoDataFrame(
        {
            "scene_id": [2],
            "verdict": ["rejected"],
            "comment": ["atmosphere"],
            "reviewed": np.array(["2020-01-01"], "M8[ms]"),
        },
        geometry=[shapely.MultiPolygon([BOXES[1]])],
        crs="EPSG:4326",
    )
    pyogrio.write_dataframe(drawn, place, layer="reviews", append=True)
    with Catalog.open(place) as catalog:
        review = catalog.reviews.iloc[-1]
        assert (review["name"], review["verdict"], review["reviewed"].year) == ("b", "rejected", 2020)
        assert review["geometry"].equals(BOXES[1])
        catalog.add(
            catalog.start_run(settings="s"), [SceneRecord(row=SceneRow(file="d", name="d", status="ok"), state="")]
        )
        assert len(catalog.query()) == 4


def test_ogrinfo_opens_it(place):
    if shutil.which("ogrinfo") is None:
        pytest.skip("GDAL's programs are not installed")
    said = subprocess.run(["ogrinfo", "-so", place, "detections"], capture_output=True, text=True, check=True).stdout
    assert "Geometry: Multi Polygon" in said
    assert "Feature Count: 2" in said


@pytest.mark.parametrize(
    "shape",
    [shapely.Point(1, 2), BOXES[0], shapely.MultiPolygon(BOXES), shapely.Polygon()],
    ids=lambda shape: shape.geom_type,
)
def test_blobs_come_back(shape):
    assert from_blob(to_blob(shape)).equals_exact(shape)


def test_blobs_of_other_writers_are_read():
    wkb = shapely.to_wkb(BOXES[0])
    plain = b"GP\x00\x01" + (4326).to_bytes(4, "little")
    four_doubles_more = b"GP\x00\x05" + (4326).to_bytes(4, "little") + bytes(48)
    assert from_blob(plain + wkb).equals(BOXES[0])
    assert from_blob(four_doubles_more + wkb).equals(BOXES[0])
