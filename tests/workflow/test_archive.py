"""``fringewatch detect`` over archives: what is kept, done again and waited for, and who does it."""

from __future__ import annotations

import concurrent.futures
import csv
import itertools
import os
import shutil
import sys
import threading
import types
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml
from PIL import Image

from fringewatch import Detector, cli, open_interferogram
from fringewatch.catalog import Catalog
from fringewatch.detect import DetectConfig, archive, batch, crew, failures, run, worker
from fringewatch.detect.settings import FAILURES_NAME, Totals
from fringewatch.detect.worker import SceneWorker, failure, load_detector
from fringewatch.errors import ClusterError, MissingExtraError, OutputError, ProductError
from fringewatch.products import Reference
from fringewatch.products import raster as rasters


@pytest.fixture
def in_threads(monkeypatch):
    """Do the work of archives in threads of this process, which start at once and can be looked into."""

    def threads(config, folder, keep):
        detector = load_detector(config, threads=1)
        return crew.thread_crew(SceneWorker(config, folder, detector, keep=keep, catalogued=True), 2)

    monkeypatch.setattr(archive, "local_crew", threads)


@pytest.fixture
def detect(in_threads, tiny_bundle_folder, tmp_path):
    """Run over an archive; gives the result. The catalogue is tmp_path/c.gpkg."""

    def command(*inputs, **settings):
        settings = {"out": tmp_path / "results", "catalog": str(tmp_path / "c.gpkg"), **settings}
        inputs = tuple(map(str, inputs or (tmp_path / "data",)))
        return run(DetectConfig(inputs=inputs, model=str(tiny_bundle_folder), **settings))

    return command


def scenes(place, **conditions):
    with Catalog.open(place, writable=False) as catalog:
        return catalog.query(**conditions).set_index("name")


def detections(place):
    with Catalog.open(place, writable=False) as catalog:
        return catalog.query("detections")


def files(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def some(write_scene):
    """Write four scenes, two of which deform."""
    names = ("a.tif", "b.tif", "c.tif", "d.tif")
    return [write_scene(name, deforming=index % 2 == 0, seed=index) for index, name in enumerate(names)]


def test_scenes_and_detections_go_into_the_catalogue_and_nothing_else_is_kept(
    detect, some, tmp_path, tiny_bundle_folder
):
    result = detect()
    assert (result.exit_code, result.totals.scanned, result.totals.flagged, result.totals.detections) == (0, 4, 2, 2)
    assert files(tmp_path / "results") == ["run.yaml"]
    table = scenes(tmp_path / "c.gpkg")
    assert sorted(table.index) == ["a", "b", "c", "d"]
    detector = Detector(tiny_bundle_folder, threads=1)
    for path in some:
        scene = table.loc[path.stem]
        alone = detector.examine(open_interferogram(path))
        # To the last bit.
        assert scene["score"] == alone.score
        assert scene["max_probability"] == alone.max_probability
        assert scene["area_km2"] == pytest.approx(alone.regions["area_km2"].sum())
        assert scene.geometry.bounds == pytest.approx((14.0, 40.84, 14.2, 41.0))
    found = detections(tmp_path / "c.gpkg")
    assert sorted(found["scene"]) == ["a", "c"]
    assert found.crs == "EPSG:4326"
    assert [row.name for row in result.flagged] == list(table.sort_values("score", ascending=False).index[:2])
    assert yaml.safe_load((tmp_path / "results" / "run.yaml").read_text())["catalog"] == str(tmp_path / "c.gpkg")


def test_copies_of_a_scene_have_one_hash_and_nothing_else_has_it():
    rng = np.random.default_rng(0)
    phase = rng.uniform(-3, 3, (61, 67)).astype(np.float32)  # no whole number of words, rows or blocks
    phase[:5] = np.nan

    def content(values):
        return worker.content_hash(xr.DataArray(values, dims=("y", "x")))

    changed = [phase.copy() for _ in range(4)]
    changed[0][30, 30] = np.nextafter(phase[30, 30], np.float32(9))
    changed[1][-1, -1] += np.float32(1e-6)
    changed[2][[20, 30]] = phase[[30, 20]]
    changed[3][:, [3, 5]] = phase[:, [5, 3]]
    hashes = [content(values) for values in (phase, *changed, phase[:, :-1], phase.T.copy())]
    assert len(set(hashes)) == len(hashes)
    assert content(phase.copy(order="F")) == hashes[0]


def test_many_scenes_are_an_archive_by_themselves(detect, some, tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "ARCHIVE_SCENES", 4)
    assert detect(catalog=None).totals is None
    monkeypatch.setattr(batch, "ARCHIVE_SCENES", 3)
    result = detect(catalog=None, out=tmp_path / "large")
    assert result.totals.scanned == 4
    assert files(tmp_path / "large") == ["catalog.gpkg", "run.yaml"]


@pytest.mark.parametrize(
    ("keep", "suffixes"),
    [
        ("maps", [".probability.tif"]),
        ("pictures,outlines", [".detections.geojson", ".png"]),
        ("none", []),
    ],
)
def test_what_is_kept_beside_the_catalogue(detect, some, tmp_path, keep, suffixes):
    detect(some[0], keep=keep)
    assert files(tmp_path / "results") == [*(f"a{suffix}" for suffix in suffixes), "run.yaml"]
    # What is wanted now and was not kept then is made up for.
    result = detect(some[0], keep="maps")
    assert result.kept == (keep == "maps")
    assert (tmp_path / "results" / "a.probability.tif").is_file()


def test_few_scenes_can_do_without_some_files(detect, some, tmp_path):
    result = detect(some[0], keep="outlines", catalog=None)
    assert result.totals is None
    assert {"a.detections.geojson", "detections.gpkg", "report.html"} < set(files(tmp_path / "results"))
    assert not {"a.png", "a.probability.tif"} & set(files(tmp_path / "results"))
    page = (tmp_path / "results" / "report.html").read_text()
    assert 'href="a.detections.geojson"' in page
    assert "a.png" not in page
    assert "a.probability.tif" not in page


def test_a_second_run_does_what_is_new_or_changed(detect, some, write_scene, tmp_path):
    detect()
    before = scenes(tmp_path / "c.gpkg")
    write_scene("a.tif", deforming=False, seed=9)
    write_scene("e.tif", seed=8)
    result = detect()
    assert (result.kept, result.totals.scanned) == (3, 2)
    after = scenes(tmp_path / "c.gpkg")
    assert sorted(after.index) == ["a", "b", "c", "d", "e"]
    assert before["flagged"]["a"]
    assert not after["flagged"]["a"]
    assert after["score"]["b"] == before["score"]["b"]
    assert sorted(detections(tmp_path / "c.gpkg")["scene"]) == ["c", "e"]
    # Another threshold is another result; --overwrite asks for all of them.
    assert detect(threshold=0.9).kept == 0
    assert detect(threshold=0.9).kept == 5
    assert detect(threshold=0.9, overwrite=True).kept == 0


def test_the_catalogue_may_lie_anywhere_and_be_shared(detect, some, tmp_path):
    detect(*some[:2], out=tmp_path / "one")
    result = detect(out=tmp_path / "two")
    assert (result.kept, result.totals.scanned) == (2, 2)
    assert len(scenes(tmp_path / "c.gpkg")) == 4


def test_own_sites(detect, some, tmp_path):
    (tmp_path / "mines.csv").write_text("name,latitude,longitude,kind\nDeep Shaft,40.93,14.12,mine\n")
    detect(sites=(tmp_path / "mines.csv",))
    found = scenes(tmp_path / "c.gpkg", site="Deep Shaft")
    assert len(found) == 4
    assert set(found["site_kind"]) == {"mine"}


def test_what_lies_beside_the_phase_is_read_for_detections_only(detect, write_scene, tmp_path, monkeypatch):
    coherence = np.full((160, 200), 0.8, np.float32)
    for pair, deforming in (("20200101_20200113", True), ("20200113_20200125", False)):
        write_scene(f"{pair}.geo.diff_pha.tif", deforming=deforming)
        write_scene(f"{pair}.geo.cc.tif", phase=coherence)
    opened = []
    original = rasters.read

    def read(info, **options):
        opened.append(Path(info.path).name)
        return original(info, **options)

    monkeypatch.setattr(rasters, "read", read)
    detect()
    (detection,) = detections(tmp_path / "c.gpkg").to_dict("records")
    assert detection["mean_coherence"] == pytest.approx(0.8, abs=1e-3)
    assert "20200101_20200113.geo.cc.tif" in opened
    assert "20200113_20200125.geo.cc.tif" not in opened
    # But one that comes or goes makes its scene be done again all the same.
    (tmp_path / "data" / "20200113_20200125.geo.cc.tif").unlink()
    assert detect().kept == 1


def test_scenes_in_pixels_have_no_outline_on_the_map(detect, write_scene, tmp_path):
    write_scene("radar.tif", crs=None)
    write_scene("map.tif", seed=1)
    result = detect()
    assert result.totals.detections == 2
    table = scenes(tmp_path / "c.gpkg")
    assert table.geometry["radar"] is None
    assert table["detections"]["radar"] == 1


def test_files_that_cannot_be_read_are_listed(detect, some, tmp_path, capsys):
    (tmp_path / "data" / "text.tif").write_text("not a raster")
    result = detect()
    assert (result.exit_code, result.totals.scanned, result.totals.failed) == (3, 4, 1)
    with (tmp_path / "results" / FAILURES_NAME).open(newline="") as handle:
        (row,) = csv.DictReader(handle)
    assert (row["name"], row["status"]) == ("text", "failed")
    assert "text.tif: is plain text" in row["message"]
    assert f"failed: {row['message']}" in capsys.readouterr().err
    assert scenes(tmp_path / "c.gpkg")["status"]["text"] == "failed"
    # It is tried again, in case the reason has gone; the table is that of the last run.
    (tmp_path / "data" / "text.tif").unlink()
    assert detect().exit_code == 0
    assert not (tmp_path / "results" / FAILURES_NAME).exists()
    # A slip of the pen leaves nothing behind.
    before = len(scenes(tmp_path / "c.gpkg"))
    with pytest.raises(ProductError, match=r"nowhere\.tif: there is no such file"):
        detect(tmp_path / "nowhere.tif")
    assert len(scenes(tmp_path / "c.gpkg")) == before


def test_the_end_is_told_in_a_few_lines(in_threads, some, tmp_path, tiny_bundle_folder, capsys):
    arguments = [str(tmp_path / "data"), "--model", str(tiny_bundle_folder), "--out", str(tmp_path / "results")]
    assert cli.main(["detect", *arguments, "--keep", "none"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("4 of 4 scanned, ")
    assert lines[0].endswith(" scenes/s")
    assert lines[1] == "2 of 4 new ones flagged, 2 detections"
    assert lines[-1] == f"catalogue: {tmp_path / 'results' / 'catalog.gpkg'}"
    assert cli.main(["detect", *arguments, "--keep", "nothing"]) == 2
    assert "keep" in capsys.readouterr().err


class Pool:
    """A crew whose tasks are done when they are asked for; `deadly` scenes kill the worker that gets them."""

    chunk = 4
    size = 2

    def __init__(self, *deadly):
        self.deadly = set(deadly)
        self.handed_out = []
        self.most_pending = 0

    def submit(self, references):
        names = [reference.name for reference in references]
        self.handed_out.append(names)
        task = concurrent.futures.Future()
        if self.deadly & set(names):
            task.set_exception(concurrent.futures.process.BrokenProcessPool("gone"))
        else:
            task.set_result([failure(reference, "none") for reference in references])
        return task

    def died(self, error):
        return isinstance(error, concurrent.futures.BrokenExecutor)

    def mend(self):
        pass


def test_no_more_scenes_are_looked_for_than_are_needed():
    taken = 0

    def endless():
        nonlocal taken
        for index in itertools.count():
            taken += 1
            yield Reference(f"{index}.tif", "geotiff", str(index))

    pool = Pool()
    done = 0
    for outcomes in crew.drive(pool, endless()):
        done += len(outcomes)
        assert taken - done <= 2 * pool.size * pool.chunk
        if done > 100:
            break


def test_results_are_entered_together_but_never_wait_for_those_that_take_long(monkeypatch):
    """A second without results is told, so that what came before is entered."""
    monkeypatch.setattr(crew, "_LOOK_SECONDS", 0.02)

    class Slow(Pool):
        size = 1
        chunk = 1

        def submit(self, references):
            if references[0].name != "slow":
                return super().submit(references)
            task = concurrent.futures.Future()
            threading.Timer(0.3, task.set_result, [[failure(references[0], "slow")]]).start()
            return task

    references = [Reference("fast.tif", "geotiff", "fast"), Reference("slow.tif", "geotiff", "slow")]
    parts = [[outcome.row.name for outcome in part] for part in crew.drive(Slow(), references)]
    assert (parts[0], parts[-1]) == (["fast"], ["slow"])
    assert len(parts) > 2
    assert not any(parts[1:-1])


def test_a_scene_that_kills_its_workers_is_a_failure_and_takes_no_other_along():
    pool = Pool("5")
    references = [Reference(f"{index}.tif", "geotiff", str(index)) for index in range(20)]
    outcomes = [outcome for part in crew.drive(pool, references) for outcome in part]
    assert sorted(outcome.row.name for outcome in outcomes) == sorted(map(str, range(20)))
    (dead,) = (outcome.row for outcome in outcomes if outcome.row.name == "5")
    assert dead.message.startswith("5.tif: the process that worked on it died, twice")
    # With three others once, then twice by itself.
    assert [names for names in pool.handed_out if "5" in names] == [["4", "5", "6", "7"], ["5"], ["5"]]


def test_an_error_of_the_work_itself_ends_the_run():
    class Wrong(Pool):
        def submit(self, references):
            task = concurrent.futures.Future()
            task.set_exception(ClusterError("no model there"))
            return task

    with pytest.raises(ClusterError, match="no model there"):
        list(crew.drive(Wrong(), [Reference("a.tif")]))


def test_ctrl_c_keeps_what_is_being_worked_on():
    class Stopped(Pool):
        def submit(self, references):
            task = super().submit(references)
            if len(self.handed_out) == 3:
                raise KeyboardInterrupt
            return task

    work = crew.drive(Stopped(), [Reference(f"{index}.tif", name=str(index)) for index in range(40)])
    assert sorted(outcome.row.name for outcome in next(work)) == sorted(map(str, range(8)))
    with pytest.raises(KeyboardInterrupt):
        next(work)


def test_watching_a_folder(detect, write_scene, tmp_path, monkeypatch, capsys):
    """A file that is being written is left alone until it is whole; Ctrl-C ends the watch as it should be."""
    whole = write_scene("b.tif").read_bytes()
    (tmp_path / "data" / "b.tif").unlink()
    looks = []
    names_after = {}

    def between(seconds):
        looks.append(seconds)
        place = tmp_path / "data" / "b.tif"
        if len(looks) == 1:
            write_scene("a.tif", seed=1)
        elif len(looks) <= 4:
            # A third more at every look.
            place.write_bytes(whole[: len(whole) * (len(looks) - 1) // 3])
        elif len(looks) == 7:
            raise KeyboardInterrupt
        names_after[len(looks)] = sorted(scenes(tmp_path / "c.gpkg").index)

    monkeypatch.setattr(archive, "_pause", between)
    result = detect(watch=True, watch_seconds=5)
    assert names_after == {1: [], 2: [], 3: ["a"], 4: ["a"], 5: ["a"], 6: ["a", "b"]}
    assert set(looks) == {5}
    assert set(scenes(tmp_path / "c.gpkg")["status"]) == {"ok"}
    assert (result.exit_code, result.interrupted, result.totals.scanned, result.totals.failed) == (0, False, 2, 0)
    assert "watching every 5 s; Ctrl-C ends it" in capsys.readouterr().err


def test_a_flagged_file_may_come_again_under_watch(detect, write_scene, tmp_path, monkeypatch):
    """Touched, with the score it had: listed once, and the watch goes on."""
    place = write_scene("a.tif")
    looks = []

    def between(_):
        looks.append(len(looks))
        if len(looks) == 3:
            os.utime(place, (1, 1))
        if len(looks) == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr(archive, "_pause", between)
    result = detect(watch=True, threshold=0.0)
    assert [row.name for row in result.rows] == ["a"]
    assert (result.totals.scanned, result.totals.flagged) == (1, 1)
    assert result.totals.detections == len(detections(tmp_path / "c.gpkg"))


def test_a_scene_of_an_earlier_run_that_changes_under_watch_counts_once(detect, write_scene, tmp_path, monkeypatch):
    place = write_scene("a.tif")
    detect()
    looks = []

    def between(_):
        looks.append(len(looks))
        if len(looks) == 2:
            place.write_bytes(b"damaged")
        if len(looks) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(archive, "_pause", between)
    assert detect(watch=True).totals == Totals(failed=1)


def test_files_of_one_name_keep_their_results_apart_from_run_to_run(detect, write_scene, tmp_path, capsys):
    """The catalogue knows each by a name of its own, in whatever order and company it comes again."""
    for folder in ("x", "y"):
        write_scene(f"{folder}/a.tif", deforming=folder == "x")
    data, results = tmp_path / "data", tmp_path / "results"
    keep = {"keep": "maps,pictures"}
    detect(data / "y", **keep)
    quiet = (results / "a.probability.tif").read_bytes()
    detect(data / "x", **keep)
    assert f"{data / 'x' / 'a.tif'}: its results are called x_a; a is taken" in capsys.readouterr().err
    assert (results / "a.probability.tif").read_bytes() == quiet != (results / "x_a.probability.tif").read_bytes()
    # Discovery now calls x/a.tif plain "a".
    for inputs, kept in (((data,), 2), ((data / "x",), 1), ((data / "y",), 1)):
        again = detect(*inputs, **keep)
        assert (again.kept, again.totals.scanned) == (kept, 0)
    assert dict(scenes(tmp_path / "c.gpkg")["file"]) == {
        name: os.path.realpath(data / folder / "a.tif") for name, folder in (("a", "y"), ("x_a", "x"))
    }
    assert {row["scene"] for _, row in detections(tmp_path / "c.gpkg").iterrows()} == {"x_a"}
    assert files(results) == ["a.png", "a.probability.tif", "run.yaml", "x_a.png", "x_a.probability.tif"]


def test_a_file_that_comes_later_under_watch_takes_no_name_of_another(detect, write_scene, tmp_path, monkeypatch):
    write_scene("y/a.tif", deforming=False)
    looks, maps = [], {}

    def between(_):
        looks.append(len(looks))
        place = tmp_path / "results" / "a.probability.tif"
        maps[len(looks)] = place.read_bytes() if place.exists() else b""
        if len(looks) == 2:
            # It is found first from now on.
            write_scene("x/a.tif")
        if len(looks) == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr(archive, "_pause", between)
    result = detect(watch=True, keep="maps")
    assert maps[2] == maps[6] != b""
    assert result.totals.scanned == 2
    assert sorted(scenes(tmp_path / "c.gpkg").index) == ["a", "x_a"]


def test_pictures_of_the_user_are_left_alone_and_ours_go_with_a_scene_that_fails(detect, write_scene, tmp_path):
    results = tmp_path / "results"
    results.mkdir()
    Image.new("L", (8, 8)).save(results / "b.png")
    quicklook = (results / "b.png").read_bytes()
    places = {name: write_scene(f"{name}.tif") for name in "ab"}
    detect(keep="pictures")
    assert files(results) == ["a.png", "b.png", "data_b.png", "run.yaml"]
    for place in places.values():
        place.write_bytes(b"damaged")
    assert detect(keep="pictures").exit_code == 1
    assert files(results) == ["b.png", "failed.csv", "run.yaml"]
    assert (results / "b.png").read_bytes() == quicklook


def test_inputs_that_are_pictures_are_never_drawn_over(detect, write_scene, tmp_path):
    """Also where the catalogue has known their names, or those of others, for long."""
    write_scene("x/a.tif")
    (tmp_path / "data" / "y").mkdir()
    grey = np.random.default_rng(0).integers(60, 200, (64, 64)).astype(np.uint8)
    picture = tmp_path / "data" / "y" / "a.png"
    Image.fromarray(grey).save(picture)
    before = picture.read_bytes()
    inputs = {"out": picture.parent}
    assert detect(tmp_path / "data" / "x", **inputs).totals.scanned == 1
    for _ in range(2):
        result = detect(**inputs, keep="pictures,outlines")
        assert result.exit_code == 0
        assert picture.read_bytes() == before
    assert (result.kept, result.totals.scanned) == (2, 0)
    assert detect(**inputs, keep="pictures,outlines", threshold=0.2).totals.scanned == 2
    assert picture.read_bytes() == before


def test_what_is_not_kept_any_more_is_removed_when_a_scene_is_done_again(detect, write_scene, tmp_path):
    write_scene("a.tif")
    detect(keep="outlines,maps")
    detect(keep="maps", threshold=0.99)
    assert files(tmp_path / "results") == ["a.probability.tif", "run.yaml"]


def test_what_another_catalogue_keeps_in_the_folder_is_no_business_of_a_run_that_keeps_nothing(
    detect, write_scene, tmp_path
):
    for folder in ("x", "y"):
        write_scene(f"{folder}/a.tif", deforming=folder == "x")
    detect(tmp_path / "data" / "x", keep="maps")
    kept = (tmp_path / "results" / "a.probability.tif").read_bytes()
    detect(tmp_path / "data" / "y", catalog=str(tmp_path / "other.gpkg"))
    assert (tmp_path / "results" / "a.probability.tif").read_bytes() == kept


def test_results_of_a_plain_run_in_the_folder_keep_their_names(detect, write_scene, tmp_path, tiny_bundle_folder):
    for folder in ("x", "y"):
        write_scene(f"{folder}/a.tif", deforming=folder == "x")
    results = tmp_path / "results"
    plain = DetectConfig(inputs=(str(tmp_path / "data" / "x"),), model=str(tiny_bundle_folder), out=results)
    run(plain)
    kept = (results / "a.probability.tif").read_bytes()
    detect(tmp_path / "data" / "y", keep="maps")
    assert (results / "a.probability.tif").read_bytes() == kept
    assert (results / "y_a.probability.tif").is_file()
    assert run(plain).kept == 1


def test_a_disk_that_is_full_for_the_list_of_failures_is_said(detect, write_scene, tmp_path, monkeypatch):
    write_scene("a.tif").write_bytes(b"damaged")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(
        failures.csv.DictWriter, "writerow", lambda self, row: full(row) if row["file"] != "file" else 0
    )
    with pytest.raises(
        OutputError, match=r"failed\.csv: cannot be written \(No space left on device\); free some space"
    ):
        detect()


def test_names_of_files_may_be_in_any_encoding(detect, write_scene, tmp_path):
    strange = os.fsencode(write_scene("a.tif").parent) + b"/\xe9\xff"
    try:
        os.mkdir(strange)  # noqa: PTH102  (a Path cannot hold it)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    shutil.copy(tmp_path / "data" / "a.tif", strange + b"/b.tif")
    for _ in range(2):
        result = detect()
        assert (result.exit_code, result.totals.failed, result.totals.scanned + result.kept) == (3, 1, 1)
        table = scenes(tmp_path / "c.gpkg")
        assert dict(table["status"]) == {"a": "ok", "b": "failed"}
        assert r"/data/\xe9\xff/b.tif: its name, or that of a folder" in table["message"]["b"]


def test_a_file_that_fails_under_watch_is_tried_again_when_it_changes(detect, write_scene, tmp_path, monkeypatch):
    good = write_scene("a.tif").read_bytes()
    place = tmp_path / "data" / "a.tif"
    place.write_bytes(good[:1000])
    statuses = []

    def between(_):
        statuses.append(dict(scenes(tmp_path / "c.gpkg")["status"]))
        if len(statuses) == 4:
            place.write_bytes(good)
        if len(statuses) == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(archive, "_pause", between)
    result = detect(watch=True)
    assert statuses[0] == {}
    assert statuses[2] == statuses[4] == {"a": "failed"}
    assert statuses[-1] == {"a": "ok"}
    # Mended, so that nothing has failed in the end.
    assert (result.totals.failed, result.totals.scanned) == (0, 1)
    assert not (result.out / "failed.csv").exists()


@pytest.mark.slow
def test_processes_give_the_same_bits(write_scene, tiny_bundle_folder, tmp_path):
    for index in range(40):
        write_scene(f"s{index:02}.tif", shape=(60 + 8 * (index % 3), 80), deforming=index % 4 == 0, seed=index)
    settings = {"inputs": (str(tmp_path / "data"),), "model": str(tiny_bundle_folder)}
    few = run(DetectConfig(**settings, out=tmp_path / "few", png=False))
    many = run(DetectConfig(**settings, out=tmp_path / "many", catalog=str(tmp_path / "c.gpkg"), workers=2))
    assert many.totals.scanned == 40
    table = scenes(tmp_path / "c.gpkg")
    assert dict(table["score"]) == {row.name: row.score for row in few.rows}
    assert dict(table["max_probability"]) == {row.name: row.max_probability for row in few.rows}
    assert dict(table["detections"]) == {row.name: row.detections for row in few.rows}


@pytest.mark.slow
def test_a_cluster_gives_the_same_bits_and_survives_a_worker(
    write_scene, tiny_bundle_folder, tmp_path, monkeypatch, capsys
):
    distributed = pytest.importorskip("distributed")
    monkeypatch.chdir(tmp_path)
    for index in range(70):
        write_scene(f"s{index:02}.tif", shape=(60, 80), deforming=index % 4 == 0, seed=index)
    settings = {"inputs": ("data",), "model": str(tiny_bundle_folder)}
    few = run(DetectConfig(**settings, out=tmp_path / "few", png=False))
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        killed = []
        original = crew.drive

        def deadly(workers, references):
            for outcomes in original(workers, references):
                if not killed:
                    killed.append(next(iter(cluster.workers.values())).process.pid)
                    os.kill(killed[0], 9)
                yield outcomes

        monkeypatch.setattr(archive, "drive", deadly)
        many = run(
            DetectConfig(
                **settings, out=tmp_path / "many", catalog=str(tmp_path / "c.gpkg"), cluster=cluster.scheduler_address
            )
        )
    assert killed
    assert (many.exit_code, many.totals.scanned) == (0, 70)
    assert dict(scenes(tmp_path / "c.gpkg")["score"]) == {row.name: row.score for row in few.rows}
    assert "Dask dashboard: http://" in capsys.readouterr().err


def test_a_cluster_that_is_not_there_is_one_error(some, tiny_bundle_folder, tmp_path, capsys, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(crew, "_CONNECT", "1s")
    arguments = [
        "--model",
        str(tiny_bundle_folder),
        "--out",
        str(tmp_path / "results"),
        "--cluster",
        "tcp://127.0.0.1:9",
    ]
    assert cli.main(["detect", str(tmp_path / "data"), *arguments]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("fringewatch: cluster = tcp://127.0.0.1:9: cannot be used (")
    assert cli.main(["detect", "x", *arguments[:-1], "my-cluster"]) == 2


@pytest.mark.parametrize(
    ("kind", "module", "name"),
    [("slurm", "dask_jobqueue", "SLURMCluster"), ("kubernetes", "dask_kubernetes.operator", "KubeCluster")],
)
def test_queues_are_asked_for_as_many_workers_as_are_wanted(kind, module, name, monkeypatch):
    asked = []

    class Cluster:
        def __init__(self, **settings):
            asked.append(settings)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            asked.append("closed")

        def scale(self, number):
            asked.append(number)

    # The packages of both bring much that no test needs.
    for parent in ("dask_jobqueue", "dask_kubernetes"):
        monkeypatch.setitem(sys.modules, parent, types.ModuleType(parent))
    monkeypatch.setitem(sys.modules, module, types.SimpleNamespace(**{name: Cluster}))
    with crew._cluster(DetectConfig(cluster=kind, workers=7)) as place:
        assert isinstance(place, Cluster)
    assert asked[1:] == [7, "closed"]


def test_paths_mean_the_same_for_workers_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bundle").mkdir()
    config = batch._absolute(
        DetectConfig(inputs=("data/*.tif", "s3://bucket/a.tif"), out="results", model="bundle", cluster="local")
    )
    assert config.inputs == (str(tmp_path / "data" / "*.tif"), "s3://bucket/a.tif")
    assert (config.out, config.model) == (tmp_path / "results", str(tmp_path / "bundle"))
    assert batch._absolute(DetectConfig(model="fringenet")).model == "fringenet"


def test_a_team_works_on_one_database_and_no_password_is_written_down(detect, some, tmp_path, postgis_url):
    result = detect(catalog=f"{postgis_url}&password=sesame")
    assert (result.exit_code, result.totals.scanned) == (0, 4)
    assert detect(catalog=postgis_url).kept == 4
    with Catalog.open(postgis_url, writable=False) as catalog:
        assert len(catalog.query()) == 4
        assert not catalog.runs["config"].str.contains("sesame").any()
    assert "sesame" not in result.describe() + (tmp_path / "results" / "run.yaml").read_text()


def test_watching_what_is_not_there_yet_is_said(detect, tmp_path, monkeypatch, capsys):
    def stop(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(archive, "_pause", stop)
    detect(watch=True)
    assert f"{tmp_path / 'data'}: there is no such file or folder yet" in capsys.readouterr().err


def test_a_cluster_whose_package_is_missing_says_which(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask_kubernetes.operator", None)
    with (
        pytest.raises(MissingExtraError, match="pip install dask-kubernetes"),
        crew._cluster(DetectConfig(cluster="kubernetes")),
    ):
        pass
