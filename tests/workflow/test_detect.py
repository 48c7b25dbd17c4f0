"""``fringewatch detect`` from the command line to the files, with good input and every kind of bad one."""

from __future__ import annotations

import contextlib
import csv
import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import yaml
from PIL import Image

from fringewatch import cli
from fringewatch import files as result_files
from fringewatch.corrections import without_height_trend
from fringewatch.detect import DetectConfig, Detector, batch, outputs, run, worker
from fringewatch.detect.journal import JOURNAL_NAME, Journal, file_state, place_of
from fringewatch.errors import ConfigError, OutputError
from fringewatch.models import load_bundle, save_bundle
from fringewatch.products import Reference, open_interferogram
from fringewatch.report import SceneRow

EXAMPLES = Path(__file__).parents[2] / "examples" / "scenes"


@pytest.fixture
def detect(tiny_bundle_folder, tmp_path):
    """Run the command as a user does; gives the exit code and the rows of summary.csv by name."""

    def command(*arguments, out="results"):
        out = tmp_path / out
        code = cli.main(
            ["detect", *map(str, arguments), "--out", str(out), "--model", str(tiny_bundle_folder), "--workers", "2"]
        )
        return code, summary(out)

    return command


def summary(out):
    path = out / "summary.csv"
    if not path.is_file():
        return None
    with path.open(newline="", encoding="utf-8") as handle:
        return {row["name"]: row for row in csv.DictReader(handle)}


def files(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_a_folder_of_scenes(detect, write_scene, tmp_path, capsys):
    write_scene("20200101_20200113.tif")
    write_scene("20200113_20200125.tif", deforming=False, seed=1)
    code, rows = detect(tmp_path / "data")
    assert code == 0
    assert files(tmp_path / "results") == [
        *(f"20200101_20200113{suffix}" for suffix in (".detections.geojson", ".png", ".probability.tif")),
        *(f"20200113_20200125{suffix}" for suffix in (".detections.geojson", ".png", ".probability.tif")),
        "detections.gpkg",
        "report.html",
        "run.yaml",
        "summary.csv",
    ]
    first, second = rows.values()
    assert first["status"] == second["status"] == "ok"
    assert (first["flagged"], first["detections"]) == ("true", "1")
    assert (second["flagged"], second["detections"]) == ("false", "0")
    assert float(first["score"]) > 0.9 > 0.1 > float(second["score"])
    assert (first["reference_date"], first["secondary_date"]) == ("2020-01-01", "2020-01-13")
    assert (first["product"], first["model"]) == ("geotiff", "tiny")
    assert float(first["seconds"]) > 0
    assert first["file"].endswith("data/20200101_20200113.tif")
    printed = capsys.readouterr()
    assert "2 of 2 scanned, 1 flagged" in printed.out
    assert printed.err == ""  # no bar where nobody looks


def test_results_lie_where_the_fringes_are(detect, write_scene, tmp_path):
    """To the pixel, by coordinates, in all three geographic outputs."""
    detect(write_scene())
    out = tmp_path / "results"
    lon, lat = 14.0 + 0.001 * 120.5, 41.0 - 0.001 * 70.5
    with rasterio.open(out / "20200101_20200113.probability.tif") as file:
        assert file.shape == (160, 200)
        assert file.index(lon, lat) == (70, 120)
        inside = next(file.sample([(lon - 0.015, lat)]))[0]
        outside = next(file.sample([(lon + 0.06, lat - 0.06)]))[0]
        assert inside > 0.9 > 0.1 > outside
        probability, transform = file.read(1), file.transform
    for name in ("20200101_20200113.detections.geojson", "detections.gpkg"):
        table = gpd.read_file(out / name)
        assert table.crs == "EPSG:4326"
        (polygon,) = table.geometry
        assert (polygon.centroid.x, polygon.centroid.y) == pytest.approx((lon, lat), abs=0.001)
        inside = rasterio.features.geometry_mask([polygon], probability.shape, transform, invert=True)
        expected = probability >= 0.3
        assert (inside & expected).sum() / (inside | expected).sum() > 0.97


def test_bad_files_do_not_touch_the_others(detect, write_scene, tmp_path, capsys):
    good = write_scene("good.tif")
    data = tmp_path / "data"
    (data / "cut.tif").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    (data / "text.tif").write_text("not a raster\n")
    (data / "empty.tif").write_bytes(b"")
    write_scene("nothing.tif", phase=np.full((50, 60), np.nan, np.float32))
    write_scene("tiny.tif", phase=np.zeros((3, 3), np.float32))
    write_scene("constant.tif", phase=np.full((50, 60), 0.5, np.float32))
    unwrapped = np.linspace(-9, 9, 3000, dtype=np.float32).reshape(50, 60)
    write_scene("20200101_20200113.geo.diff_pha.tif", phase=unwrapped)
    code, rows = detect(data, data / "missing.tif")
    assert code == 3
    assert {name for name, row in rows.items() if row["status"] == "ok"} == {"good"}
    assert float(rows["good"]["score"]) > 0.9
    assert (tmp_path / "results" / "good.png").is_file()
    expected = {
        "cut": r"cut\.tif: is damaged or cut short",
        "text": r"text\.tif: is plain text, expected a raster",
        "empty": r"empty\.tif: is empty \(0 bytes\)",
        "nothing": r"every pixel is no data",
        "tiny": r"is 3 x 3 pixels, expected at least 8 x 8",
        "constant": r"phase is 0\.5 everywhere",
        "20200101_20200113.geo.diff_pha": r"claims to hold wrapped phase, but its values run from -9 to 9",
        "missing": r"there is no such file",
    }
    errors = capsys.readouterr().err
    for name, pattern in expected.items():
        assert re.search(pattern, rows[name]["message"]), rows[name]["message"]
        assert rows[name]["score"] == rows[name]["flagged"] == ""
        assert rows[name]["message"] in errors
        assert "\n" not in rows[name]["message"]
        assert not list((tmp_path / "results").glob(f"{name}.*"))
    assert "Traceback" not in errors
    assert "8 files could not be scanned" in (tmp_path / "results" / "report.html").read_text()


def test_complex_where_phase_is_expected(detect, write_scene, tmp_path):
    good = write_scene("phase.tif")
    with rasterio.open(good) as file:
        phase = file.read(1)
    write_scene("complex.tif", phase=np.exp(1j * phase).astype(np.complex64))
    code, rows = detect(tmp_path / "data")
    assert code == 0
    assert float(rows["complex"]["score"]) == pytest.approx(float(rows["phase"]["score"]), abs=1e-3)
    code, rows = detect(tmp_path / "data" / "phase.tif", "--kind", "complex")
    assert code == 1
    assert "expected complex numbers" in rows["phase"]["message"]


def test_exit_code_1_when_nothing_could_be_done(detect, tmp_path, capsys):
    (tmp_path / "void").mkdir()
    assert detect(tmp_path / "nowhere.tif", tmp_path / "void") == (1, None)
    said = capsys.readouterr().err
    assert "nowhere.tif: there is no such file" in said
    assert "void: is a folder that holds no interferogram" in said
    (tmp_path / "void" / "broken.tif").write_bytes(b"no raster")
    code, rows = detect(tmp_path / "void")
    assert code == 1
    assert rows["broken"]["status"] == "failed"


def test_a_slip_of_the_pen_leaves_an_earlier_run_alone(detect, write_scene, tmp_path):
    write_scene("a.tif")
    _, rows = detect(tmp_path / "data")
    before = files(tmp_path / "results")
    assert detect(tmp_path / "date") == (1, rows)
    assert files(tmp_path / "results") == before


def test_results_of_another_input_of_that_name_are_kept(detect, write_scene, tmp_path, capsys):
    first = write_scene("20200101_20200113.tif")
    other = tmp_path / "elsewhere"
    other.mkdir()
    second = other / first.name
    shutil.copy(write_scene("quiet.tif", deforming=False, seed=1), second)
    _, rows = detect(first)
    kept = (tmp_path / "results" / f"{first.stem}.detections.geojson").read_bytes()
    for said in (True, False):
        _, others = detect(second)
        assert set(others) == {f"elsewhere_{first.stem}"}
        assert (f"its results are called elsewhere_{first.stem}" in capsys.readouterr().err) == said
    assert (tmp_path / "results" / f"{first.stem}.detections.geojson").read_bytes() == kept
    assert detect(first)[1][first.stem]["score"] == rows[first.stem]["score"]
    # Once an input is gone, its name is free for others; what has one keeps it.
    first.unlink()
    assert set(detect(second)[1]) == {f"elsewhere_{first.stem}"}
    third = tmp_path / "more" / first.name
    third.parent.mkdir()
    shutil.copy(second, third)
    assert set(detect(third)[1]) == {first.stem}


def test_no_input_at_all(detect, capsys):
    code, rows = detect()
    assert code == 2
    assert rows is None
    assert capsys.readouterr().err.startswith("fringewatch: no input: name files, folders")
    with pytest.raises(ConfigError, match="no input"):
        run(DetectConfig())


def test_an_output_folder_that_cannot_be_written(detect, write_scene, tmp_path, capsys):
    (tmp_path / "taken").write_text("a file")
    code, rows = detect(write_scene(), out="taken")
    assert code == 1
    assert rows is None
    (line,) = capsys.readouterr().err.splitlines()
    assert "taken: cannot be written (" in line
    assert "choose another --out" in line


def test_a_bundle_with_the_wrong_hash(write_scene, tiny_bundle_folder, tmp_path, capsys):
    bundle = shutil.copytree(tiny_bundle_folder, tmp_path / "bundle")
    with (bundle / "model.onnx").open("ab") as handle:
        handle.write(b"\0")
    code = cli.main(["detect", str(write_scene()), "--out", str(tmp_path / "results"), "--model", str(bundle)])
    assert code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "the network was changed or damaged" in line
    assert not (tmp_path / "results" / "summary.csv").exists()


def test_a_network_that_cannot_be_loaded_is_one_error(write_scene, tiny_bundle_folder, tmp_path, capsys):
    """Its hash is right, its content is not."""
    bundle = shutil.copytree(tiny_bundle_folder, tmp_path / "bundle")
    (bundle / "model.onnx").write_bytes(b"not a network")
    save_bundle(bundle, load_bundle(tiny_bundle_folder).card)
    for name in ("a.tif", "b.tif", "c.tif"):
        write_scene(name)
    out = tmp_path / "results"
    code = cli.main(["detect", str(tmp_path / "data"), "--out", str(out), "--model", str(bundle), "--workers", "2"])
    assert code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "model.onnx: ONNX Runtime cannot load it" in line
    assert not files(out)


def test_a_disk_that_fills_up_in_the_middle(detect, write_scene, tmp_path, monkeypatch):
    """The scene that does not fit fails with the reason; those before and after it are complete."""
    for name in ("a.tif", "b.tif", "c.tif"):
        write_scene(name)
    original = outputs.write_picture

    def full(path, examination):
        if path.name == "b.png":
            message = f"{path}: cannot be written (No space left on device); choose another --out"
            raise OutputError(message)
        original(path, examination)

    monkeypatch.setattr(outputs, "write_picture", full)
    code, rows = detect(tmp_path / "data")
    assert code == 3
    assert [row["status"] for row in rows.values()] == ["ok", "failed", "ok"]
    assert "No space left on device" in rows["b"]["message"]
    monkeypatch.undo()
    code, rows = detect(tmp_path / "data")
    assert code == 0
    assert rows["b"]["status"] == "ok"


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
from fringewatch import cli
sys.exit(cli.main(sys.argv[2:]))
"""


@pytest.fixture
def detect_with_little_space(tiny_bundle_folder, tmp_path):
    """Run the command in a process that may write files of at most `limit` bytes."""
    pytest.importorskip("resource", reason="limits of a process are a thing of POSIX")

    def command(limit, *arguments):
        given = ["detect", tmp_path / "data", "--out", tmp_path / "results", "--model", tiny_bundle_folder, *arguments]
        return subprocess.run(
            [sys.executable, "-c", LIMITED, str(limit), *map(str, given)], capture_output=True, text=True, check=False
        )

    return command


def test_a_map_that_the_disk_does_not_take(detect_with_little_space, write_scene, tmp_path):
    """For real, all the way down; the small scenes before and after are complete, and nothing partial stays."""
    write_scene("a.tif", shape=(60, 60), deforming=False)
    write_scene("b.tif", shape=(600, 600))
    write_scene("c.tif", shape=(120, 160))
    done = detect_with_little_space(120_000)
    assert done.returncode == 3
    out = tmp_path / "results"
    rows = summary(out)
    message = rows["b"]["message"]
    expected = f"{out / 'b.probability.tif'}: cannot be written (File too large); choose another --out, free some space"
    assert message.startswith(expected)
    assert done.stderr.splitlines() == [f"failed: {message}"]
    assert "2 of 3 scanned, 1 flagged" in done.stdout
    assert [rows[name]["status"] for name in "abc"] == ["ok", "failed", "ok"]
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [JOURNAL_NAME, "detections.gpkg", "report.html", "run.yaml", "summary.csv"]
        + [f"{name}{suffix}" for name in "ac" for suffix in (".detections.geojson", ".png", ".probability.tif")]
    )
    with rasterio.open(out / "c.probability.tif") as file:
        assert file.read(1).max() > 0.9
    assert len(gpd.read_file(out / "detections.gpkg")) == 1
    # With space again, only what failed is done.
    done = detect_with_little_space(10**9)
    assert done.returncode == 0
    assert "3 of 3 scanned (2 unchanged since an earlier run), 2 flagged" in done.stdout


@pytest.mark.parametrize(
    ("limit", "deforming", "file"),
    [(8_000, False, "report.html"), (40_000, True, "detections.gpkg"), (100, False, "summary.csv")],
)
def test_a_file_of_the_run_that_the_disk_does_not_take(
    detect_with_little_space, write_scene, tmp_path, limit, deforming, file
):
    write_scene("a.tif", shape=(120, 160) if deforming else (60, 60), deforming=deforming)
    done = detect_with_little_space(limit, "--no-png")
    assert done.returncode == 1
    assert done.stdout == ""
    *failures, line = done.stderr.splitlines()
    path = re.escape(str(tmp_path / "results" / file))
    assert re.fullmatch(rf"fringewatch: {path}: cannot be written \(File too large\); choose another --out, .*", line)
    assert all(other.startswith("failed: ") for other in failures)
    assert bool(failures) == (file == "summary.csv")
    assert not list((tmp_path / "results").glob("*.partial*"))
    assert not list((tmp_path / "results").glob(".*.partial*"))
    assert not (tmp_path / "results" / file).exists()


def test_what_is_missing_beside_a_scene_is_said_and_no_error(detect, write_scene, tmp_path, capsys):
    """No coherence, no line of sight; the next pair has a coherence that is damaged, the last one a good one."""
    for pair in ("20200101_20200113", "20200113_20200125", "20200125_20200206"):
        write_scene(f"{pair}.geo.diff_pha.tif")
    (tmp_path / "data" / "20200113_20200125.geo.cc.tif").write_bytes(b"II*\0" + bytes(100))
    write_scene("20200125_20200206.geo.cc.tif", phase=np.full((160, 200), 0.8, np.float32))
    code, rows = detect(tmp_path / "data")
    assert code == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "3 of 3 scanned, 3 flagged" in printed.out
    assert {row["status"] for row in rows.values()} == {"ok"}
    geometry = "los_east, los_north, los_up, height"
    missing, damaged, good = (row["message"] for row in rows.values())
    assert missing == f"not found beside the interferogram: coherence, {geometry}"
    assert re.match(
        r"coherence was left out: .*20200113_20200125\.geo\.cc\.tif: is in no known raster format or damaged", damaged
    )
    assert damaged.endswith(f"; not found beside the interferogram: {geometry}")
    assert good == f"not found beside the interferogram: {geometry}"


def test_an_error_nobody_foresaw_is_a_row_too(detect, write_scene, tmp_path, monkeypatch):
    write_scene("a.tif")
    write_scene("b.tif")
    original = worker.open_interferogram

    def surprising(reference, **options):
        if reference.name == "a":
            message = "first line\nsecond line"
            raise ZeroDivisionError(message)
        return original(reference, **options)

    monkeypatch.setattr(worker, "open_interferogram", surprising)
    code, rows = detect(tmp_path / "data")
    assert code == 3
    assert "unexpected ZeroDivisionError: first line second line; please report it" in rows["a"]["message"]
    assert rows["b"]["status"] == "ok"


def test_a_second_run_does_only_what_is_new(detect, write_scene, tmp_path, capsys):
    write_scene("a.tif")
    write_scene("b.tif", seed=2)
    _, before = detect(tmp_path / "data")
    picture = tmp_path / "results" / "a.png"
    stamp = picture.stat().st_mtime_ns
    write_scene("c.tif", deforming=False)
    capsys.readouterr()
    code, rows = detect(tmp_path / "data")
    assert code == 0
    assert "3 of 3 scanned (2 unchanged since an earlier run)" in capsys.readouterr().out
    assert picture.stat().st_mtime_ns == stamp
    assert rows["a"] == before["a"]
    assert set(rows) == {"a", "b", "c"}
    assert "2 kept from an earlier run" in (tmp_path / "results" / "report.html").read_text()


@pytest.mark.parametrize("change", ["input", "output", "overwrite", "setting", "picture"])
def test_what_makes_a_scene_be_done_again(detect, write_scene, tmp_path, capsys, change):
    scene = write_scene("a.tif")
    detect(scene, "--no-png") if change == "picture" else detect(scene)
    capsys.readouterr()
    extra = []
    if change == "input":
        write_scene("a.tif", deforming=False)
    elif change == "output":
        (tmp_path / "results" / "a.detections.geojson").unlink()
    elif change == "overwrite":
        extra = ["--overwrite"]
    elif change == "setting":
        extra = ["--threshold", "1"]
    code, rows = detect(scene, *extra)
    printed = capsys.readouterr()
    assert code == 0
    assert "unchanged" not in printed.out
    assert ("settings changed since the last run: 1 scene will be done again" in printed.err) == (change == "setting")
    assert rows["a"]["flagged"] == ("false" if change in {"input", "setting"} else "true")
    assert (tmp_path / "results" / "a.detections.geojson").is_file()
    assert (tmp_path / "results" / "a.png").is_file()


def test_a_scene_that_fails_now_leaves_no_old_results(detect, write_scene, tmp_path):
    scene = write_scene("a.tif")
    write_scene("b.tif")
    detect(tmp_path / "data")
    scene.write_bytes(scene.read_bytes()[:5000])
    code, rows = detect(tmp_path / "data")
    assert code == 3
    assert rows["a"]["status"] == "failed"
    assert not list((tmp_path / "results").glob("a.*"))
    assert len(list((tmp_path / "results").glob("b.*"))) == 3
    assert len(gpd.read_file(tmp_path / "results" / "detections.gpkg")) == 1


def test_a_scene_that_fails_takes_no_file_of_the_user_along(detect, write_scene, tmp_path):
    """A quicklook of the same name, results beside the data; then a picture that is itself an input."""
    data = tmp_path / "data"
    write_scene("a.tif").write_text("damaged")
    (data / "a.png").write_bytes(b"a quicklook")
    assert detect(data / "a.tif", out="data")[0] == 1
    assert (data / "a.png").read_bytes() == b"a quicklook"
    (data / "a.probability.tif").write_bytes(b"of an earlier run")
    assert detect(data / "a.tif", out="data")[0] == 1
    assert not (data / "a.probability.tif").exists()
    code, rows = detect(data / "a.tif", data / "a.png", out="data")
    assert code == 1
    assert len(rows) == 2
    assert (data / "a.png").read_bytes() == b"a quicklook"


def test_a_picture_of_the_user_is_never_drawn_over(detect, write_scene, tmp_path, capsys):
    """An input that is a picture lies where the picture of another scene would go."""
    results = tmp_path / "results"
    results.mkdir()
    scene = write_scene("a.tif")
    grey = np.random.default_rng(0).integers(60, 200, (64, 64)).astype(np.uint8)
    Image.fromarray(grey).save(results / "a.png")
    before = (results / "a.png").read_bytes()
    for said in (True, False):
        code, rows = detect(scene, results / "a.png")
        assert (code, set(rows)) == (0, {"data_a", "results_a"})
        assert (results / "a.png").read_bytes() == before
        assert ("its results are called data_a; " in capsys.readouterr().err) == said
    assert {path.name for path in results.glob("*.png")} == {"a.png", "data_a.png", "results_a.png"}


def test_names_of_files_may_be_in_any_encoding(detect, write_scene, tmp_path):
    """Old disks have them: each is a row with the reason, and the others are scanned."""
    strange = os.fsencode(write_scene("a.tif").parent) + b"/caf\xe9.tif"
    try:
        shutil.copy(tmp_path / "data" / "a.tif", strange)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    code, rows = detect(tmp_path / "data")
    assert code == 3
    assert {name: row["status"] for name, row in rows.items()} == {"a": "ok", "caf_": "failed"}
    assert rows["caf_"]["file"].endswith(r"/data/caf\xe9.tif")
    assert r"data/caf\xe9.tif: its name, or that of a folder on the way, is not in UTF-8" in rows["caf_"]["message"]


def test_folders_of_links_are_done_once(detect, write_scene, tmp_path):
    """As git-annex and DVC keep files: links to names that say nothing."""
    store = write_scene("store/abc1.tif")
    links = tmp_path / "links"
    links.mkdir()
    (links / "20200101_20200113.tif").symlink_to(store)
    for _ in range(3):
        assert set(detect(links)[1]) == {"20200101_20200113"}
    assert len(list((tmp_path / "results").glob("*.probability.tif"))) == 1


def test_a_bar_in_a_name_is_a_letter_like_any_other(detect, write_scene, tmp_path):
    first, second = write_scene("d|1/z.tif"), write_scene("d|2/z.tif", deforming=False)
    detect(first)
    kept = (tmp_path / "results" / "z.probability.tif").read_bytes()
    assert set(detect(second)[1]) == {"d_2_z"}
    assert (tmp_path / "results" / "z.probability.tif").read_bytes() == kept


def test_no_picture_of_the_users_is_drawn_over_whatever_it_is_called(detect, write_scene, tmp_path):
    scene = write_scene("a.tif")
    results = tmp_path / "results"
    results.mkdir()
    theirs = [results / "a.png", results / "data_a.png"]
    for path in theirs:
        Image.new("L", (8, 8)).save(path)
    before = [path.read_bytes() for path in theirs]
    detect(scene)
    assert [path.read_bytes() for path in theirs] == before
    assert (results / "data_a-2.png").is_file()
    # One that came later, where results without pictures lie.
    other = write_scene("b.tif")
    detect(other, "--no-png")
    Image.new("L", (8, 8)).save(results / "b.png")
    before = (results / "b.png").read_bytes()
    detect(other, "--threshold", "0.2")
    assert (results / "b.png").read_bytes() == before


def test_pictures_of_earlier_settings_do_not_pass_for_those_of_later_ones(detect, write_scene, tmp_path):
    scene = write_scene("a.tif")
    detect(scene)
    picture = tmp_path / "results" / "a.png"
    first = picture.read_bytes()
    detect(scene, "--threshold", "1", "--no-png")
    assert not picture.exists()
    detect(scene, "--threshold", "1")
    assert picture.read_bytes() != first


def test_a_colon_in_a_name_makes_no_file(detect, write_scene, tmp_path, capsys):
    detect(write_scene("a.tif"))
    report = (tmp_path / "results" / "report.html").read_bytes()
    assert detect(tmp_path / "scan 12:30" / "foo.tif")[0] == 1
    assert "there is no such file" in capsys.readouterr().err
    assert (tmp_path / "results" / "report.html").read_bytes() == report


def test_two_runs_into_one_folder_are_refused(detect, write_scene, tmp_path, capsys):
    write_scene("a.tif")
    with result_files.sole_use(result_files.ensure_folder(tmp_path / "results")):
        code, _ = detect(tmp_path / "data")
    assert code == 1
    assert "results: another run is writing its results there; choose another --out" in capsys.readouterr().err


def test_old_results_that_cannot_be_removed_are_named(detect, write_scene, tmp_path):
    write_scene("a.tif").write_text("damaged")
    (tmp_path / "results" / "a.probability.tif").mkdir(parents=True)
    _, rows = detect(tmp_path / "data" / "a.tif")
    assert re.search(
        r"a\.probability\.tif: is of an earlier run and cannot be removed \(.*\); remove it by hand",
        rows["a"]["message"],
    )


@pytest.mark.parametrize(
    ("suffix", "damage"),
    [
        (".png", lambda content: content[: len(content) // 2]),
        (".png", lambda content: b"no picture"),
        (".png", lambda content: content[:100] + bytes(len(content) - 100)),
        (".detections.geojson", lambda content: content[: len(content) // 2]),
        (".detections.geojson", lambda content: b"[]"),
        (".detections.geojson", lambda content: b'{"features": [{"geometry": null, "properties": {}}]}'),
        (".detections.geojson", lambda content: b"\xff"),
    ],
)
def test_a_kept_file_that_was_damaged_costs_only_itself(detect, write_scene, tmp_path, capsys, suffix, damage):
    write_scene("a.tif")
    write_scene("b.tif", seed=2)
    detect(tmp_path / "data")
    out = tmp_path / "results"
    kept = out / f"a{suffix}"
    kept.write_bytes(damage(kept.read_bytes()))
    for name in ("report.html", "run.yaml", "detections.gpkg"):
        (out / name).unlink()
    capsys.readouterr()
    code, rows = detect(tmp_path / "data")
    assert code == 0
    assert set(rows) == {"a", "b"}
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(rf"{re.escape(str(kept))}: is damaged \(.+\); it was left out, and the next run .* again", line)
    assert (out / "run.yaml").is_file()
    assert len(gpd.read_file(out / "detections.gpkg")) == (2 if suffix == ".png" else 1)
    assert (out / "report.html").read_text().count("data:image/webp") == (1 if suffix == ".png" else 2)
    # As announced.
    detect(tmp_path / "data")
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "1 unchanged" in printed.out
    assert len(gpd.read_file(out / "detections.gpkg")) == 2


def test_a_companion_that_changes_makes_its_scene_be_done_again(detect, write_scene, tmp_path, capsys):
    pair = write_scene("20200101_20200113.geo.diff_pha.tif")
    write_scene("20200113_20200125.geo.diff_pha.tif")
    flat = np.full((160, 200), 0.8, np.float32)

    def kept():
        capsys.readouterr()
        assert detect(tmp_path / "data")[0] == 0
        found = re.search(r"\((\d) unchanged", capsys.readouterr().out)
        return int(found[1]) if found else 0

    assert kept() == 0
    assert kept() == 2
    write_coherence = functools.partial(write_scene, "20200101_20200113.geo.cc.tif")
    write_coherence(phase=flat)  # one that comes
    assert kept() == 1
    assert kept() == 2
    write_coherence(phase=flat / 2)  # one that changes
    assert kept() == 1
    pair.with_name("20200101_20200113.geo.cc.tif").unlink()  # one that goes
    assert kept() == 1
    write_scene("128D_09016_110500.geo.hgt.tif", phase=np.ones((160, 200), np.float32))  # one for all
    assert kept() == 0


def test_same_names_in_different_folders_do_not_collide(detect, write_scene, tmp_path):
    write_scene("east/ifg.tif")
    write_scene("west/ifg.tif", deforming=False)
    code, rows = detect(tmp_path / "data")
    assert code == 0
    assert len(rows) == 2
    for row in rows.values():
        assert row["flagged"] == ("true" if "east" in row["file"] else "false")
        assert (tmp_path / "results" / f"{row['name']}.png").is_file()


def test_ctrl_c_keeps_what_was_done(detect, write_scene, tmp_path, monkeypatch, capsys):
    for index in range(12):
        write_scene(f"s{index:02}.tif", shape=(40, 40), deforming=False, seed=index)

    @contextlib.contextmanager
    def stopped(*arguments, **settings):
        def advance(steps, *, text):
            raise KeyboardInterrupt

        yield advance

    monkeypatch.setattr(batch, "track", stopped)
    code, rows = detect(tmp_path / "data")
    assert code == 130
    assert 1 <= len(rows) < 12
    assert all(row["status"] == "ok" for row in rows.values())
    assert "stopped early: the same command goes on from here" in capsys.readouterr().out
    assert "interrupted" in (tmp_path / "results" / "report.html").read_text()
    monkeypatch.undo()
    code, rows = detect(tmp_path / "data")
    assert code == 0
    assert len(rows) == 12
    assert "unchanged since an earlier run" in capsys.readouterr().out


def test_a_torn_journal_is_no_obstacle(detect, write_scene, tmp_path):
    scene = write_scene("a.tif")
    detect(scene)
    journal = tmp_path / "results" / JOURNAL_NAME
    journal.write_text(journal.read_text() + '{"state": "torn', encoding="utf-8")
    code, rows = detect(scene)
    assert (code, rows["a"]["status"]) == (0, "ok")
    assert [json.loads(line)["row"]["name"] for line in journal.read_text().splitlines()] == ["a"]


def test_run_yaml_repeats_the_run(detect, write_scene, tmp_path, tiny_bundle_folder):
    detect(write_scene("a.tif"), "--threshold", "0.25", "--no-png")
    path = tmp_path / "results" / "run.yaml"
    text = path.read_text()
    settings = yaml.safe_load(text)
    assert settings["threshold"] == 0.25
    assert settings["png"] is False
    assert DetectConfig.from_yaml(path).inputs == (str(tmp_path / "data" / "a.tif"),)
    comments = yaml.safe_load("\n".join(line[2:] for line in text.split("# What made these results:\n")[1].split("\n")))
    assert comments["model"]["name"] == "tiny"
    assert len(comments["model"]["sha256"]) == 64
    assert comments["versions"]["fringewatch"]
    code = cli.main(["detect", "--config", str(path), "--out", str(tmp_path / "again")])
    assert code == 0
    assert summary(tmp_path / "again")["a"]["flagged"] == "true"


def test_options_reach_the_reader(detect, write_scene, tmp_path):
    scene = write_scene("a.tif")
    _, rows = detect(scene)
    assert "wavelength is not declared" in rows["a"]["message"]
    detect(scene, "--wavelength-m", "0.236", "--phase-sign", "range decrease", out="l-band")
    row = summary(tmp_path / "l-band")["a"]
    assert "wavelength" not in row["message"]
    c_band = gpd.read_file(tmp_path / "results" / "a.detections.geojson").iloc[0]
    l_band = gpd.read_file(tmp_path / "l-band" / "a.detections.geojson").iloc[0]
    assert l_band["fringe_count"] == pytest.approx(c_band["fringe_count"], rel=0.05)
    assert l_band["peak_to_peak_los_cm"] / c_band["peak_to_peak_los_cm"] == pytest.approx(0.236 / 0.05547, rel=0.05)


def test_pictures_wanted_and_not_wanted(write_scene, tmp_path, capsys):
    flags = ["--out", str(tmp_path / "r"), "--keep", "pictures", "--no-png"]
    assert cli.main(["detect", str(write_scene("a.tif")), *flags]) == 2
    assert "keep = pictures asks for pictures and png = false for none" in capsys.readouterr().err


def test_paths_will_do_where_the_command_line_takes_text(tmp_path):
    config = DetectConfig(inputs=(tmp_path / "a.tif",), model=tmp_path / "bundle", catalog=tmp_path / "c.gpkg")
    assert config.inputs == (str(tmp_path / "a.tif"),)
    assert (config.model, config.catalog) == (str(tmp_path / "bundle"), str(tmp_path / "c.gpkg"))


@pytest.mark.parametrize("threshold", ["0.5", -0.1, 1.5, float("nan")])
def test_thresholds_that_are_none(tiny_bundle_folder, threshold):
    with pytest.raises(ConfigError, match=r"threshold = .*expected a score between 0 and 1"):
        Detector(tiny_bundle_folder, threshold=threshold)


def test_no_png(detect, write_scene, tmp_path):
    detect(write_scene("a.tif"), "--no-png")
    assert not (tmp_path / "results" / "a.png").exists()
    page = (tmp_path / "results" / "report.html").read_text()
    assert "Pictures were switched off" in page
    assert 'href="a.png"' not in page


def test_the_report_embeds_only_the_best(detect, write_scene, tmp_path):
    for index in range(4):
        write_scene(f"s{index}.tif", shape=(60, 60), deforming=False, seed=index)
    detect(tmp_path / "data", "--report-pictures", "2")
    page = (tmp_path / "results" / "report.html").read_text()
    assert page.count("data:image/webp;base64,") == 2
    assert "Shown are the 2 scenes with the highest scores" in page


def test_results_in_the_input_folder_are_not_taken_for_input(detect, write_scene, tmp_path):
    write_scene("a.tif")
    detect(tmp_path / "data", out="data")
    _, rows = detect(tmp_path / "data", out="data")
    assert set(rows) == {"a"}


def test_pictures_are_never_taken_for_phase(detect, write_scene, tmp_path):
    write_scene("a.tif")
    folder = tmp_path / "data"
    for out in ("data/out", "data/out", "data/other"):
        assert detect(folder, "--keep", "maps,pictures", out=out)[0] == 0
    (folder / "other" / "a.png").rename(folder / "copy.png")
    code, rows = detect(folder, "--overwrite")
    assert (code, set(rows)) == (0, {"a"})
    code, rows = detect(folder / "copy.png")
    assert code == 1
    assert "is a picture that fringewatch drew" in rows["copy"]["message"]


def test_floats_are_no_picture_whatever_their_name(detect, write_scene, tmp_path):
    write_scene("a.tif").rename(tmp_path / "a.png")
    code, rows = detect(tmp_path / "a.png")
    assert code == 1
    assert "rename it to .tif" in rows["a"]["message"]


def test_a_result_never_replaces_its_input(detect, tmp_path):
    """A picture of phase, results beside it: <name>.png is both."""
    rng = np.random.default_rng(0)
    grey = Image.fromarray(rng.integers(60, 200, (64, 64)).astype(np.uint8))
    (tmp_path / "data").mkdir()
    grey.save(tmp_path / "data" / "ifg.png")
    before = (tmp_path / "data" / "ifg.png").read_bytes()
    code, rows = detect(tmp_path / "data" / "ifg.png", out="data")
    assert code == 0
    assert set(rows) == {"data_ifg"}
    assert (tmp_path / "data" / "ifg.png").read_bytes() == before
    assert set(detect(tmp_path / "data" / "ifg.png")[1]) == {"ifg"}


def test_a_url_is_an_input_like_any_other(detect, write_scene, tmp_path):
    write_scene("a.tif")
    handler = functools.partial(QuietHandler, directory=tmp_path / "data")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        code, rows = detect(f"{url}/a.tif", f"{url}/missing.tif")
        server.shutdown()
    assert code == 3
    assert rows["a"]["file"] == f"{url}/a.tif"
    assert rows["a"]["flagged"] == "true"
    assert (tmp_path / "results" / "a.detections.geojson").is_file()
    assert "check the address" in rows["missing"]["message"]


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def cone():
    """A quiet scene whose phase follows the terrain, and a threshold between its score and that without its trend."""
    path = next((EXAMPLES / "steep_cone").rglob("*.geo.diff_pha.tif"))
    interferogram = open_interferogram(path)
    detector = Detector()
    scores = [detector.score(each) for each in (interferogram, without_height_trend(interferogram))]
    assert scores[0] > scores[1] + 0.1
    return path, (scores[0] + scores[1]) / 2, scores


@pytest.mark.parametrize("archive", [False, True])
def test_scenes_that_follow_the_terrain_are_scanned_again_without_that(cone, archive, tmp_path):
    path, threshold, scores = cone
    settings = {"inputs": (str(path),), "threshold": threshold}
    if archive:
        settings["catalog"] = str(tmp_path / "catalog.gpkg")
    (checked,) = run(DetectConfig(**settings, out=tmp_path / "checked")).rows
    assert checked.flagged
    assert checked.score == pytest.approx(scores[0])
    found = re.search(r"without its trend of \+\d\.\d\d rad per km .* score is (0\.\d\d), below", checked.message)
    assert float(found[1]) == pytest.approx(scores[1], abs=0.006)
    assert checked.level_score == pytest.approx(scores[1])

    # Another catalogue: in the same one it would be the same scene, done again.
    if archive:
        settings["catalog"] = str(tmp_path / "removed.gpkg")
    removed = run(DetectConfig(**settings, out=tmp_path / "removed", height_trend="remove"))
    assert not removed.flagged
    if not archive:
        assert removed.rows[0].score == pytest.approx(scores[1])
        assert "rad per km of height" in removed.rows[0].message


def test_terrain_is_left_alone_where_that_is_asked_for(cone, tmp_path):
    path, threshold, scores = cone
    settings = {"inputs": (str(path),), "height_trend": "keep"}
    (row,) = run(DetectConfig(**settings, threshold=threshold, out=tmp_path / "kept")).rows
    assert row.score == pytest.approx(scores[0])
    assert "without its trend" not in row.message


def test_what_stays_flagged_without_its_trend_says_so(cone, tmp_path):
    path, _, scores = cone
    (row,) = run(DetectConfig(inputs=(str(path),), threshold=scores[1] / 2, out=tmp_path / "low")).rows
    assert "it stays flagged" in row.message
    assert row.doubt == f"{scores[1]:.2f} without its height trend"


def test_several_interferograms_of_one_file_keep_names_of_their_own(tmp_path):
    journal = Journal(tmp_path)
    places = {}
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        places[place] = tmp_path / place / "stack.h5"
        places[place].write_bytes(b"")

    def found(place):
        return [Reference(str(places[place]), "", f"stack_{member}", member=member) for member in ("a", "b")]

    def enter(references):
        for each in references:
            row = SceneRow(file=each.address, name=each.name, status="ok")
            state = file_state(each.path, member=each.member)
            journal.add(row, state, "settings", place=place_of(each.path), member=each.member)

    def apart(references):
        return batch._apart(references, journal, tmp_path, keep=("maps", "outlines", "pictures"))

    enter(apart(found("here")))
    for _ in range(2):
        second = apart(found("there"))
        assert [each.name for each in second] == ["there_stack_a", "there_stack_b"]
        enter(second)
    assert [each.name for each in apart(found("here"))] == ["stack_a", "stack_b"]
