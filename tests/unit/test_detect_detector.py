"""The Detector: what a scientist calls, on datasets in memory."""

from __future__ import annotations

import shutil

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import xarray as xr
from shapely.geometry import Point

from fringewatch import Detector, make_interferogram, open_interferogram
from fringewatch.detect import Examination
from fringewatch.errors import BundleError, ConfigError, ProductError
from fringewatch.models import load_bundle, save_bundle
from fringewatch.scan import scan_windows

GRID = {"crs": "EPSG:32633", "transform": rasterio.Affine(80, 0, 400_000, 0, -80, 4_500_000)}


@pytest.fixture(scope="module")
def detector(tiny_bundle_folder):
    return Detector(tiny_bundle_folder, threads=1)


def rings(shape=(160, 200), row=70, column=120, fringes=4.0, **options):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    cone = np.clip(1 - np.hypot(rows - row, columns - column) / 30, 0, None)
    noise = 0.2 * np.random.default_rng(0).standard_normal(shape)
    phase = np.angle(np.exp(1j * (2 * np.pi * fringes * cone + noise))).astype(np.float32)
    return make_interferogram(phase, wavelength_m=0.0555, source="memory", **options)


def test_annotate_gives_probability_on_the_same_grid(detector):
    scene = rings(**GRID)
    scene["phase"][:20, :30] = np.nan
    probability = detector.annotate(scene)
    assert isinstance(probability, xr.DataArray)
    assert probability.dims == ("y", "x")
    assert probability.dtype == np.float32
    xr.testing.assert_equal(probability["x"], scene["x"])
    assert probability.rio.crs == GRID["crs"]
    assert probability.rio.transform() == GRID["transform"]
    np.testing.assert_array_equal(np.isnan(probability), np.isnan(scene["phase"]))
    assert float(probability.min()) >= 0
    assert float(probability.max()) <= 1
    assert probability[70, 105] > 0.9 > 0.1 > probability[150, 20]


def test_annotating_a_lazy_scene_is_lazy_and_the_same(detector):
    scene = rings()
    lazy = scene.chunk({"y": 64, "x": 48})
    probability = detector.annotate(lazy)
    assert probability.chunks == lazy["phase"].chunks
    np.testing.assert_allclose(probability.values, detector.annotate(scene).values, atol=1e-6)


def test_detect_finds_the_rings_and_only_them(detector):
    found = detector.detect(rings(**GRID))
    assert isinstance(found, gpd.GeoDataFrame)
    assert len(found) == 1
    centre = found.geometry.iloc[0].centroid
    assert centre.x == pytest.approx(400_000 + 80 * 120.5, abs=160)
    assert centre.y == pytest.approx(4_500_000 - 80 * 70.5, abs=160)
    assert found["fringe_count"].iloc[0] == pytest.approx(4, rel=0.25)


def test_quiet_scene(detector):
    scene = rings(fringes=0.0)
    assert len(detector.detect(scene)) == 0
    assert detector.score(scene) < 0.1


def test_score_is_between_0_and_1_and_the_best_regions(detector):
    scene = rings()
    score = detector.score(scene)
    assert 0.9 < score < 1
    assert detector.detect(scene)["score"].max() == pytest.approx(score)


def test_examine_runs_the_network_once(detector, monkeypatch):
    calls = []
    original = type(detector.bundle).logits
    monkeypatch.setattr(type(detector.bundle), "logits", lambda self, inputs: calls.append(1) or original(self, inputs))
    examination = detector.examine(rings(name="s"))
    assert isinstance(examination, Examination)
    assert examination.flagged
    assert len(examination.regions) == 1
    assert examination.probability.shape == (160, 200)
    assert examination.max_probability == examination.regions["max_probability"].max()
    assert len(calls) == 1
    assert "of s: score 1.000" in repr(examination)
    assert "flagged" in repr(examination)


@pytest.mark.parametrize("shape", [(32, 32), (8, 9), (33, 500)])
def test_small_and_odd_sizes(detector, shape):
    probability = detector.annotate(rings(shape=shape, row=4, column=4))
    assert probability.shape == shape
    assert np.isfinite(probability).all()


def test_threshold_decides_about_flags_and_detections(tiny_bundle_folder):
    scene = rings()
    score = Detector(tiny_bundle_folder).score(scene)
    assert Detector(tiny_bundle_folder, threshold=score - 0.001).examine(scene).flagged
    strict = Detector(tiny_bundle_folder, threshold=min(score + 0.0001, 1.0)).examine(scene)
    assert not strict.flagged
    assert len(strict.regions) == 0


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_wrong_threshold(tiny_bundle_folder, threshold):
    with pytest.raises(ConfigError, match="expected a score between 0 and 1"):
        Detector(tiny_bundle_folder, threshold=threshold)


def test_unknown_model_and_precision(tiny_bundle_folder, tmp_path):
    with pytest.raises(BundleError, match="no such model bundle"):
        Detector("no-such-model")
    (tmp_path / "model.onnx").write_bytes((tiny_bundle_folder / "model.onnx").read_bytes())
    card = load_bundle(tiny_bundle_folder).card.model_copy(update={"files": {"float32": "model.onnx"}})
    with pytest.raises(BundleError, match="has no int8 network, only float32"):
        Detector(save_bundle(tmp_path, card))


def test_windows_of_a_classifier(tiny_bundle_folder, tmp_path):
    folder = shutil.copytree(tiny_bundle_folder, tmp_path / "patches")
    save_bundle(folder, load_bundle(folder).card.model_copy(update={"patch_px": 32}))
    scene = rings()
    found = Detector(folder, windows=True).examine(scene)
    assert found.scan.stride == 8
    assert found.scan.logits.tolist() == scan_windows(scene, load_bundle(folder)).logits.tolist()
    assert Detector(folder).examine(scene).scan.stride == 4
    with pytest.raises(ConfigError, match=r"tiny .* has no patch size; scan without windows"):
        Detector(tiny_bundle_folder, windows=True)


def test_the_card_chooses_the_arithmetic(tiny_bundle_folder, tmp_path):
    folder = shutil.copytree(tiny_bundle_folder, tmp_path / "float")
    update = {"files": {"float32": "model.onnx"}, "default_precision": "float32"}
    save_bundle(folder, load_bundle(folder).card.model_copy(update=update))
    assert Detector(folder).bundle.precision == "float32"
    with pytest.raises(BundleError, match="has no int8 network, only float32"):
        Detector(folder, precision="int8")


def test_a_scene_that_breaks_the_schema_is_refused(detector):
    scene = rings()
    with pytest.raises(ProductError, match="got a str, expected an interferogram; open the file"):
        detector.detect("ifg.tif")
    with pytest.raises(ProductError, match="got a DataArray"):
        detector.annotate(scene["phase"])
    with pytest.raises(ProductError, match="has no variable 'phase'"):
        detector.detect(scene.rename(phase="angle"))
    with pytest.raises(ProductError, match="expected wrapped radians"):
        detector.detect(scene.assign(phase=scene["phase"] * 5))
    empty = scene.assign(phase=scene["phase"] * np.float32(np.nan))
    with pytest.raises(ProductError, match="every pixel is no data"):
        detector.score(empty)
    with pytest.raises(ProductError, match="every pixel is no data"):
        detector.score(empty.chunk({"y": 64}))


def test_pixels_outside_the_training_are_noted(tiny_bundle_folder, tmp_path):
    (tmp_path / "model.onnx").write_bytes((tiny_bundle_folder / "model.onnx").read_bytes())
    card = load_bundle(tiny_bundle_folder).card
    encoding = card.encoding.model_copy(update={"pixel_size_m": (20.0, 60.0)})
    detector = Detector(save_bundle(tmp_path, card.model_copy(update={"encoding": encoding})))
    (note,) = detector.examine(rings(**GRID)).notes
    assert note.startswith("pixels of 80 x 80 m lie outside the 20 to 60 m")
    unplaced = rings()
    (note,) = detector.examine(unplaced).notes
    assert note.startswith("the pixel size is not known: the model was trained on 20 to 60 m; give --pixel-size-m")
    unplaced.attrs["pixel_size_m"] = 30.0
    assert detector.examine(unplaced).notes == []


def test_the_first_lines_a_scientist_types(write_scene, tiny_bundle_folder):
    ifg = open_interferogram(write_scene())
    detector = Detector(tiny_bundle_folder)
    found = detector.detect(ifg)
    assert found.crs == "EPSG:4326"
    assert found["reference_date"].tolist() == ["2020-01-01"]
    assert (found["lon"].iloc[0], found["lat"].iloc[0]) == pytest.approx((14.1205, 40.9295), abs=0.002)


def test_the_mining_model_outlines_a_trough_and_leaves_quiet_phase():
    detector = Detector("mining", threads=1)
    rows, columns = np.mgrid[:224, :224]
    bowl = 3 * np.exp(-((rows - 90) ** 2 + (columns - 130) ** 2) / (2 * 14**2))
    noise = 0.4 * np.random.default_rng(0).standard_normal(bowl.shape)
    scenes = [
        make_interferogram(np.angle(np.exp(1j * (2 * np.pi * fringes + noise))).astype(np.float32), wavelength_m=0.0555)
        for fringes in (bowl, 0 * bowl)
    ]
    trough, quiet = (detector.examine(scene) for scene in scenes)
    assert len(trough.regions) == 1
    outline = trough.regions.geometry.iloc[0]
    moving = np.sum(bowl > 0.25)
    assert 0.5 * moving < outline.area < 1.5 * moving
    assert outline.contains(Point(130, 90))
    assert len(quiet.regions) == 0
