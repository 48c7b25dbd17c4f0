"""The files of a scene, read back the way GIS software does."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from PIL import Image
from rasterio.windows import Window

from fringewatch import Detector, open_interferogram
from fringewatch.detect import outputs
from fringewatch.detect.outputs import (
    output_paths,
    read_detections,
    write_all_detections,
    write_detections,
    write_outputs,
)
from fringewatch.errors import OutputError

UTM = {"crs": "EPSG:32633", "transform": rasterio.Affine(80, 0, 400_000, 0, -80, 4_500_000)}


@pytest.fixture
def examine(write_scene, tiny_bundle_folder):
    detector = Detector(tiny_bundle_folder, threads=1)
    return lambda **options: detector.examine(open_interferogram(write_scene(**options)))


@pytest.fixture(params=["memory", "strips"])
def way(request, monkeypatch):
    """Small scenes are written through memory, huge ones strip by strip; both must give the same file."""
    if request.param == "strips":
        monkeypatch.setattr(outputs, "_IN_MEMORY_PIXELS", 0)
        monkeypatch.setattr(outputs, "_STRIP_ROWS", 48)
    return request.param


def test_scenes_of_long_names_share_no_strips(examine, tmp_path, monkeypatch):
    """Names of OPERA begin alike: two that are written at once must not write into one file."""
    monkeypatch.setattr(outputs, "_IN_MEMORY_PIXELS", 0)
    examination, used, fill = examine(shape=(120, 130)), [], outputs._fill
    monkeypatch.setattr(outputs, "_fill", lambda name, *rest: (used.append(name), fill(name, *rest)))
    for name in (
        "OPERA_L3_DISP-S1_IW_F11116_VV_20160705T140755Z_a.tif",
        "OPERA_L3_DISP-S1_IW_F11116_VV_20160705T140755Z_b.tif",
    ):
        outputs.write_probability(tmp_path / name, examination)
    assert len(set(used)) == 2
    assert not list(tmp_path.glob(".*partial*"))


def test_probability_is_a_cloud_optimised_geotiff(examine, tmp_path, way):
    examination = examine(shape=(700, 1100))
    path = tmp_path / "p.tif"
    outputs.write_probability(path, examination)
    with rasterio.open(path) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.compression.name == "deflate"
        assert file.block_shapes == [(512, 512)]
        assert file.overviews(1) == [2, 4]
        assert file.dtypes == ("float32",)
        assert np.isnan(file.nodata)
        assert file.crs == "EPSG:4326"
        assert file.transform == rasterio.Affine(0.001, 0, 14.0, 0, -0.001, 41.0)
        assert file.descriptions == ("probability of deformation",)
        assert file.tags()["FRINGEWATCH_MODEL"] == "tiny 1"
        assert file.tags()["REFERENCE_DATE"] == "2020-01-01"
        values = file.read(1)
        # The peak lies where the fringes are, by coordinates.
        row, column = file.index(14.0 + 0.001 * 120.5, 41.0 - 0.001 * 70.5)
        assert (row, column) == (70, 120)
    np.testing.assert_allclose(values, examination.probability.values, atol=0.5 / 1024 + 1e-6)
    assert np.unique(values).size <= 1025
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "p.tif"]


def test_no_data_stays_no_data(examine, tmp_path, way):
    phase = np.random.default_rng(0).normal(0, 0.3, (90, 100)).astype(np.float32)
    phase[:30] = np.nan
    phase[50, 60] = np.nan
    outputs.write_probability(tmp_path / "p.tif", examine(phase=phase))
    with rasterio.open(tmp_path / "p.tif") as file:
        np.testing.assert_array_equal(np.isnan(file.read(1)), np.isnan(phase))
        np.testing.assert_array_equal(file.dataset_mask() == 0, np.isnan(phase))


def test_a_scene_without_crs_has_none(examine, tmp_path, way):
    phase = np.random.default_rng(0).normal(0, 0.3, (90, 100)).astype(np.float32)
    outputs.write_probability(tmp_path / "p.tif", examine(phase=phase, crs=None))
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(tmp_path / "p.tif") as file:
        assert file.crs is None


@pytest.mark.parametrize("georeference", [{}, UTM])
def test_detections_are_geojson_in_degrees(examine, tmp_path, georeference):
    examination = examine(**georeference)
    write_detections(tmp_path / "d.geojson", examination.regions)
    table = gpd.read_file(tmp_path / "d.geojson")
    assert table.crs == "EPSG:4326"
    assert len(table) == 1
    assert table["score"].iloc[0] == pytest.approx(examination.score, abs=1e-6)
    scene = examination.interferogram
    transform = scene.rio.transform()
    x, y = transform.c + transform.a * 120.5, transform.f + transform.e * 70.5
    truth = gpd.GeoSeries([shapely.Point(x, y)], crs=scene.rio.crs).to_crs("EPSG:4326").iloc[0]
    pixel_deg = 0.001
    assert table.geometry.iloc[0].centroid.distance(truth) < 2 * pixel_deg
    assert table.geometry.iloc[0].contains(truth)


@pytest.mark.parametrize(("west", "first"), [(180.01, -179.99), (-180.03, 179.97), (14.0, 14.0), (179.99, 179.99)])
def test_outlines_beyond_the_date_line_are_on_the_map(examine, tmp_path, west, first):
    regions = examine().regions.iloc[:1].set_geometry([shapely.box(west, 1, west + 0.01, 2)], crs="EPSG:4326")
    write_detections(tmp_path / "d.geojson", regions)
    (feature,) = json.loads((tmp_path / "d.geojson").read_text())["features"]
    longitudes = [point[0] for point in feature["geometry"]["coordinates"][0]]
    assert (min(longitudes), max(longitudes)) == pytest.approx((first, first + 0.01))


@pytest.mark.parametrize("west", [179.996, -180.004])
def test_outlines_across_the_date_line_are_cut_there(examine, tmp_path, west):
    """As RFC 7946 asks, so that a map does not draw them once around the world."""
    ring = shapely.box(west, 1, west + 0.01, 2).difference(shapely.box(west + 0.002, 1.5, west + 0.006, 1.7))
    regions = examine().regions.iloc[:1].set_geometry([ring], crs="EPSG:4326")
    write_detections(tmp_path / "d.geojson", regions)
    (outline,) = gpd.read_file(tmp_path / "d.geojson").geometry
    west_of, east_of = sorted(outline.geoms, key=lambda part: -part.centroid.x)
    east = (west + 0.01 + 180) % 360 - 180
    wanted = {west_of: (west % 360, 180), east_of: (-180, east)}
    for part, ends in wanted.items():
        assert part.bounds[::2] == pytest.approx(ends, abs=1e-7)
        assert part.is_valid
    assert outline.area == pytest.approx(ring.area)
    write_all_detections(tmp_path / "all.gpkg", [read_detections(tmp_path / "d.geojson")])
    assert gpd.read_file(tmp_path / "all.gpkg").geometry[0].equals_exact(outline, 1e-9)


def test_geojson_follows_rfc_7946(tmp_path):
    """Outer rings counter-clockwise, holes clockwise, no crs member, no NaN; several parts make a MultiPolygon."""
    ring = shapely.Polygon([(0, 0), (0, 4), (4, 4), (4, 0)], [[(1, 1), (2, 1), (2, 2), (1, 2)]])
    pair = shapely.MultiPolygon([ring, shapely.box(6, 0, 7, 1)])
    table = gpd.GeoDataFrame({"score": [0.5, float("nan")]}, geometry=[ring, pair], crs="EPSG:4326")
    write_detections(tmp_path / "d.geojson", table)
    text = (tmp_path / "d.geojson").read_text()
    assert "NaN" not in text
    collection = json.loads(text)
    assert set(collection) == {"type", "features"}
    first, second = (feature["geometry"] for feature in collection["features"])
    assert first["type"] == "Polygon"
    assert shapely.LinearRing(first["coordinates"][0]).is_ccw
    assert not shapely.LinearRing(first["coordinates"][1]).is_ccw
    assert second["type"] == "MultiPolygon"
    assert collection["features"][1]["properties"] == {"score": None}


def test_detections_in_pixels_say_so(examine, tmp_path):
    phase = examine().interferogram["phase"].values
    regions = examine(name="pixels.tif", phase=phase, crs=None).regions
    write_detections(tmp_path / "d.geojson", regions)
    collection = json.loads((tmp_path / "d.geojson").read_text())
    assert collection["pixel_grid"].startswith("pixels: x = column")
    centre = shapely.geometry.shape(collection["features"][0]["geometry"]).centroid
    assert (centre.x, centre.y) == pytest.approx((120, 70), abs=2)
    assert collection["features"][0]["properties"]["area_km2"] is None


def test_nothing_found_is_an_empty_collection(examine, tmp_path):
    write_detections(tmp_path / "d.geojson", examine(deforming=False).regions)
    assert json.loads((tmp_path / "d.geojson").read_text()) == {"type": "FeatureCollection", "features": []}
    assert len(gpd.read_file(tmp_path / "d.geojson")) == 0


def test_picture_is_a_small_png(examine, tmp_path):
    outputs.write_picture(tmp_path / "p.png", examine())
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.format == "PNG"
        assert 700 < picture.width < 1500
        assert 400 < picture.height < 1500
    assert (tmp_path / "p.png").stat().st_size < 400_000


def test_geopackage_gathers_what_has_coordinates(examine, tmp_path):
    write_detections(tmp_path / "a.geojson", examine().regions)
    write_detections(tmp_path / "b.geojson", examine(name="b.tif", **UTM).regions)
    phase = examine().interferogram["phase"].values
    flat = examine(name="c.tif", phase=phase, crs=None)
    write_detections(tmp_path / "c.geojson", flat.regions)
    target = tmp_path / "all.gpkg"
    write_all_detections(target, [read_detections(tmp_path / f"{name}.geojson") for name in "abc"])
    table = gpd.read_file(target, layer="detections")
    assert table.crs == "EPSG:4326"
    assert table["scene"].tolist() == ["20200101_20200113", "b"]
    assert table["mean_coherence"].isna().all()
    write_all_detections(target, [])
    assert not target.exists()


def test_a_full_disk_is_one_clear_error_and_leaves_nothing_half_written(examine, tiny_bundle_folder, tmp_path, way):
    """RLIMIT_FSIZE makes every write beyond 20 kB fail as a full disk does, also inside GDAL."""
    pytest.importorskip("resource", reason="POSIX only")
    phase = np.random.default_rng(0).uniform(-3, 3, (700, 900)).astype(np.float32)
    scene = examine(phase=phase).interferogram.attrs["source"]
    code = f"""
        import resource, sys
        from pathlib import Path
        from fringewatch import Detector, open_interferogram
        from fringewatch.detect import outputs
        from fringewatch.errors import OutputError
        if {way!r} == "strips":
            outputs._IN_MEMORY_PIXELS = 0
        examination = Detector(sys.argv[1], threads=1).examine(open_interferogram({scene!r}))
        examination.regions
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        for write in (outputs.write_probability, outputs.write_picture):
            try:
                write(Path({str(tmp_path)!r}, "result.tif"), examination)
            except OutputError as error:
                print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tiny_bundle_folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.startswith(f"{tmp_path / 'result.tif'}: cannot be written (")
        assert "free some space" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_an_older_result_survives_a_failed_write(examine, tmp_path, monkeypatch):
    path = output_paths(tmp_path, "s", keep=("maps", "outlines"))[0]
    write_outputs(tmp_path, "s", examine(), keep=("maps", "outlines"))
    before = path.read_bytes()

    def fail(*arguments, **options):
        message = "simulated"
        raise rasterio.errors.RasterioIOError(message)

    monkeypatch.setattr(rasterio.shutil, "copy", fail)
    with pytest.raises(OutputError, match=r"s\.probability\.tif: cannot be written \(simulated\)"):
        write_outputs(tmp_path, "s", examine(deforming=False), keep=("maps", "outlines"))
    assert path.read_bytes() == before


def test_damage_behind_a_written_header_is_noticed(examine, tmp_path):
    """The check after a strip-wise write reads the last block, which a full disk would have cut off."""
    path = tmp_path / "p.tif"
    outputs.write_probability(path, examine(phase=np.random.default_rng(0).uniform(-3, 3, (700, 900)).astype("f4")))
    outputs._check_written(path, 700, 900)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(rasterio.errors.RasterioError):
        outputs._check_written(path, 700, 900)
    with rasterio.open(path) as file:
        file.read(1, window=Window(0, 0, 1, 1))  # the header and the first block are still there
