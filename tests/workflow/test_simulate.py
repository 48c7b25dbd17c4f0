"""`fringewatch simulate`, through the command: data sets, resume, stops, failures, sites, series, bad input."""

from __future__ import annotations

import csv
import errno
import json
from collections import Counter
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image

from fringewatch import cli
from fringewatch.conventions import los_to_phase, wrap
from fringewatch.patches import open_patches, read_patch_set, read_phase, write_patch
from fringewatch.physics.atmosphere import turbulence
from fringewatch.products import open_interferogram
from fringewatch.simulate import simulate, work, write
from fringewatch.simulate.settings import SimulateConfig
from fringewatch.simulate.work import _split

SMALL = ["--size-px", "64", "--workers", "1"]


@pytest.fixture
def command(tmp_path, capsys, monkeypatch):
    """Run `fringewatch simulate` in a temporary folder; return exit code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = cli.main(["simulate", *SMALL, *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def manifest(folder):
    with (folder / "manifest.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*.png"))}


def test_crops_have_many_sizes_that_tell_no_class_and_do_not_depend_on_the_run(command, tmp_path):
    wanted = ["--preset", "mining", "--balanced", "--crop-px", 16, 56, "--seed", 4]
    assert command(*wanted, "--count", 6, "--out", "whole")[0] == 0
    found = manifest(tmp_path / "whole")
    sizes = [read_phase(tmp_path / "whole" / row["file"]).shape for row in found]
    assert len(set(sizes)) > 1
    assert all(16 <= side <= 56 for size in sizes for side in size)
    for deforming, quiet in zip(found[::2], found[1::2], strict=True):
        assert (deforming["label"], quiet["label"]) == ("deformation", "none")
        assert int(deforming["row1"]) > int(deforming["row0"])
    assert sizes[::2] == sizes[1::2]
    # A quiet patch whose neighbour was made by an earlier run is cut like it all the same.
    assert command(*wanted, "--count", 3, "--out", "parts")[0] == 0
    assert command(*wanted, "--count", 6, "--out", "parts")[0] == 0
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def write_dem(path, shape=(120, 140), **profile):
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    height = (1500 * np.exp(-((rows - 60) ** 2 + (cols - 70) ** 2) / 600) + 80 + rows % 5).astype(np.float32)
    grid = {"crs": "EPSG:4326", "transform": Affine(0.001, 0, 14.0, 0, -0.001, 41.0)} | profile
    with rasterio.open(
        path, "w", driver="GTiff", count=1, dtype="float32", height=shape[0], width=shape[1], **grid
    ) as target:
        target.write(height, 1)
    return path


def test_patches_are_the_samples_and_their_manifest_is_a_data_set(command, tmp_path):
    code, out, _ = command("--count", 12, "--preset", "volcano", "--seed", 5, "--out", "set")
    assert code == 0
    folder = tmp_path / "set"
    rows = manifest(folder)
    patches = open_patches(folder)
    assert [int(row["index"]) for row in rows] == list(range(12))
    assert out == f"12 scenes in set, {sum(patch.label for patch in patches)} with visible deformation\n"
    spec = SimulateConfig(preset="volcano", size_px=64).population()
    for index, patch in enumerate(patches):
        sample = simulate(spec, seed=5, index=index)
        assert patch.label == sample.is_deformation
        assert json.loads(patch.columns["parameters"]) == sample.parameters
        phase = read_phase(patch.path)
        np.testing.assert_array_equal(np.isnan(phase), np.isnan(sample.phase))
        assert np.nanmax(np.abs(wrap(phase - sample.phase))) < 0.013
        if patch.box is not None:
            assert (
                sample.mask[patch.box.row0 : patch.box.row1, patch.box.col0 : patch.box.col1].sum() == sample.mask.sum()
            )
    assert read_patch_set(folder).counts() == Counter(row["label"] for row in rows)


def test_a_balanced_set_is_half_and_half(command, tmp_path):
    assert command("--count", 20, "--balanced", "--out", "set")[0] == 0
    assert Counter(row["label"] for row in manifest(tmp_path / "set")) == {"deformation": 10, "none": 10}
    # Longer, it holds the same scenes first.
    before = contents(tmp_path / "set")
    assert command("--count", 22, "--balanced", "--out", "set")[0] == 0
    after = contents(tmp_path / "set")
    assert len(after) == 22
    assert before.items() <= after.items()


def test_the_split_has_the_sizes_of_the_study_and_the_share_of_each_label():
    splits = Counter((index % 2, _split(index, 0.2)) for index in range(28_430))
    assert splits[0, "train"] + splits[1, "train"] == 22_745
    assert splits[0, "validation"] + splits[1, "validation"] == 5_685
    assert abs(splits[0, "validation"] - splits[1, "validation"]) <= 1
    assert {_split(index, 0.0) for index in range(50)} == {"train"}
    for share in (0.1, 0.3, 0.5):
        found = Counter((index % 2, _split(index, share)) for index in range(2_000))
        assert found[0, "validation"] == pytest.approx(1_000 * share, abs=1)
        assert found[1, "validation"] == pytest.approx(1_000 * share, abs=1)


def test_a_run_goes_on_where_it_was_torn(command, tmp_path):
    command("--count", 7, "--out", "whole")
    command("--count", 7, "--out", "torn")
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    expected = contents(whole)
    # As a power cut leaves it: a row in part, a file lost, half a file.
    text = (torn / "manifest.csv").read_text()
    (torn / "manifest.csv").write_text(text[:-40])
    next(iter(torn.glob("*/*_000002.png"))).unlink()
    (torn / "none").mkdir(exist_ok=True)
    (torn / "none" / ".mixed.x.partial.png").write_bytes(b"half")
    code, out, _ = command("--count", 7, "--out", "torn")
    assert code == 0
    assert "(4 of them were there already)" in out
    assert contents(torn) == expected
    assert (torn / "manifest.csv").read_text() == text


def test_what_is_complete_is_not_made_again(command, monkeypatch):
    command("--count", 3, "--out", "set")
    monkeypatch.setattr(work.Maker, "make", None)
    code, out, _ = command("--count", 3, "--out", "set")
    assert code == 0
    assert "(3 of them were there already)" in out


def test_ctrl_c_leaves_a_data_set_that_the_same_command_completes(command, tmp_path, monkeypatch):
    make = work.Maker.make

    def stop_at_three(maker, index):
        if index == 3:
            raise KeyboardInterrupt
        return make(maker, index)

    monkeypatch.setattr(work.Maker, "make", stop_at_three)
    code, _, err = command("--count", 6, "--out", "set")
    assert code == 130
    assert "holds 3 of 6 scenes; the same command goes on from there" in err
    assert len(open_patches(tmp_path / "set")) == 3
    monkeypatch.setattr(work.Maker, "make", make)
    assert command("--count", 6, "--out", "set")[0] == 0
    command("--count", 6, "--out", "fresh")
    assert contents(tmp_path / "set") == contents(tmp_path / "fresh")


def test_one_scene_that_fails_costs_only_itself(command, tmp_path, monkeypatch):
    real = work.simulate

    def fails_at_two(spec, *, seed, index, noise, site):
        if index == 2:
            message = "no such luck"
            raise ValueError(message)
        return real(spec, seed=seed, index=index, noise=noise, site=site)

    monkeypatch.setattr(work, "simulate", fails_at_two)
    code, out, err = command("--count", 4, "--preview", "--out", "set")
    assert code == 3
    assert (tmp_path / "set" / "preview.png").is_file()
    assert "scene 2 failed: ValueError: no such luck" in err
    assert out.endswith("; 1 failed\n")
    assert [row["index"] for row in manifest(tmp_path / "set")] == ["0", "1", "3"]
    monkeypatch.setattr(work, "simulate", real)
    assert command("--count", 4, "--out", "set")[0] == 0
    assert sorted(row["index"] for row in manifest(tmp_path / "set")) == ["0", "1", "2", "3"]


def test_a_full_disk_is_one_line_and_loses_nothing(command, tmp_path, monkeypatch):
    save, calls = Image.Image.save, []

    def full(image, *arguments, **options):
        calls.append(1)
        if len(calls) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(image, *arguments, **options)

    monkeypatch.setattr(Image.Image, "save", full)
    code, _, err = command("--count", 6, "--out", "set")
    assert code == 1
    assert "No space left on device" in err
    assert "Traceback" not in err
    assert len(open_patches(tmp_path / "set")) == 3
    assert not list((tmp_path / "set").rglob(".*partial*"))
    monkeypatch.setattr(Image.Image, "save", save)
    assert command("--count", 6, "--out", "set")[0] == 0
    assert len(open_patches(tmp_path / "set")) == 6


def test_a_manifest_that_cannot_grow_stays_whole(tmp_path):
    path = tmp_path / "manifest.csv"
    row = dict.fromkeys(write.COLUMNS, "") | {"label": "none", "index": "0", "file": "a.png"}
    (tmp_path / "a.png").touch()

    class Full:
        def __init__(self, handle):
            self.handle = handle

        def __getattr__(self, name):
            return getattr(self.handle, name)

        def write(self, data):
            self.handle.write(data[:10])
            self.handle.flush()
            raise OSError(errno.ENOSPC, "No space left on device")

    with write.ManifestWriter(path) as writer:
        writer.append([row])
        before = path.read_bytes()
        writer._handle = Full(writer._handle)
        with pytest.raises(OSError, match=r"No space left on device.*the same command goes on"):
            writer.append([row | {"index": "1"}])
    assert path.read_bytes() == before
    with write.ManifestWriter(path) as writer:
        assert writer.kept == {0: "none"}


@pytest.mark.parametrize("start", ["", "file,lab"])
def test_a_manifest_that_was_only_begun(command, tmp_path, start):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "manifest.csv").write_text(start)
    assert command("--count", 1, "--out", "set")[0] == 0
    assert len(open_patches(tmp_path / "set")) == 1


def test_a_manifest_of_something_else_is_left_alone(command, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "manifest.csv").write_text("file,label\na.png,none\n")
    code, _, err = command("--count", 1, "--out", "set")
    assert code == 1
    assert "has the columns file, label, which are not those of a simulated set; choose another --out" in err
    assert (tmp_path / "set" / "manifest.csv").read_text() == "file,label\na.png,none\n"


class InlinePool:
    """A pool whose processes are this one; remembers how many jobs were under way at once."""

    most = 0

    def __init__(self, workers, *, initializer, initargs):
        self.waiting = 0
        work._make = work.Maker(*initargs).make

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, function, batch):
        self.waiting += 1
        InlinePool.most = max(InlinePool.most, self.waiting)
        future = Future()
        result = future.result

        def collect():
            self.waiting -= 1
            return result()

        future.result = collect
        future.set_result(function(batch))
        return future

    def shutdown(self, **_):
        pass


def test_several_processes_make_the_same_set_with_few_jobs_under_way(command, tmp_path, monkeypatch):
    monkeypatch.setattr(work, "process_pool", InlinePool)
    monkeypatch.setattr(work, "_BATCH", 2)
    assert command("--count", 40, "--out", "many", "--workers", 2, "--size-px", 32)[0] == 0
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert command("--count", 40, "--out", "one", "--size-px", 32)[0] == 0
    assert (tmp_path / "many" / "manifest.csv").read_bytes() == (tmp_path / "one" / "manifest.csv").read_bytes()
    assert contents(tmp_path / "many") == contents(tmp_path / "one")
    assert InlinePool.most == 2 * work._IN_FLIGHT_PER_PROCESS


def test_a_process_that_is_killed_is_one_line(command, monkeypatch):
    class Broken(InlinePool):
        def submit(self, function, batch):
            future = Future()
            future.set_exception(BrokenProcessPool("died"))
            return future

    monkeypatch.setattr(work, "process_pool", Broken)
    code, _, err = command("--count", 40, "--workers", 2)
    assert code == 1
    assert "a process of the simulation was killed" in err
    assert "--workers" in err


def test_other_settings_in_the_same_folder_are_refused(command, tmp_path):
    command("--count", 3, "--out", "set")
    before = (tmp_path / "set" / "simulate.yaml").read_text()
    code, _, err = command("--count", 2, "--out", "set", "--seed", 9, "--preset", "mining")
    assert code == 2
    for text in ("preset: mixed -> mining", "seed: 0 -> 9", "count: 3 -> 2", "choose another --out"):
        assert text in err
    assert (tmp_path / "set" / "simulate.yaml").read_text() == before


def test_an_input_file_that_changed_is_refused(command, tmp_path):
    arguments = ("--dem", "dem.tif", "--count", 2, "--out", "here")
    write_dem(tmp_path / "dem.tif")
    assert command(*arguments)[0] == 0
    assert command(*arguments)[0] == 0
    write_dem(tmp_path / "dem.tif", shape=(130, 140))
    code, _, err = command(*arguments)
    assert code == 2
    assert "holds scenes of another version or of other input files" in err
    assert "dem.tif: sha256" in err


def test_the_settings_that_lie_there_make_the_same_again(command, tmp_path):
    command("--count", 3, "--out", "set", "--seed", 4, "--balanced")
    code, *_ = command("--config", tmp_path / "set" / "simulate.yaml", "--out", "again")
    assert code == 0
    assert contents(tmp_path / "again") == contents(tmp_path / "set")


def test_a_preview_of_what_was_just_made_and_of_what_was_there(command, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr("fringewatch.figures.contact_sheet", lambda path, panels, title: shown.append(panels))
    command("--count", 5, "--preview", "--out", "set")
    command("--count", 5, "--preview", "--out", "set")
    first, again = shown
    assert len(first) == 5
    for panel, other in zip(first, again, strict=True):
        assert panel.title == other.title
        np.testing.assert_array_equal(panel.phase, other.phase)


def test_a_contact_sheet_is_a_picture(command, tmp_path):
    assert command("--count", 3, "--preview", "--out", "set")[0] == 0
    with Image.open(tmp_path / "set" / "preview.png") as image:
        assert image.width > 500
        assert len(image.convert("RGB").getcolors(1 << 20)) > 50


def test_scenes_of_a_site_lie_where_it_is(command, tmp_path):
    write_dem(tmp_path / "dem.tif")
    code, _, err = command("--dem", "dem.tif", "--los", "desc", "--count", 3, "--form", "licsar", "--out", "here")
    assert code == 0
    assert "dem.tif: " in err
    rows = manifest(tmp_path / "here")
    assert len(rows) == 3
    for row in rows:
        scene = open_interferogram(tmp_path / "here" / row["file"])
        assert 14.0 <= float(scene.x.min()) < float(scene.x.max()) <= 14.14
        assert 40.88 <= float(scene.y.min()) < float(scene.y.max()) <= 41.0
        assert float(scene.los_east.mean()) > 0
        assert row["file"][3] == "D"
        # Its relief is the DEM's at that place.
        column, line = (scene.x.values - 14.0) / 0.001 - 0.5, (41.0 - scene.y.values) / 0.001 - 0.5
        cone = 1500 * np.exp(-((line[:, None] - 60) ** 2 + (column[None, :] - 70) ** 2) / 600) + 82
        assert np.abs(scene.height.values - cone).max() < 25


def test_a_site_with_measured_noise(command, tmp_path):

    write_dem(tmp_path / "dem.tif")
    (tmp_path / "quiet").mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        delay = turbulence((80, 80), 100.0, rng, std_m=0.006)
        write_patch(tmp_path / "quiet" / f"site{number}__a.png", wrap(los_to_phase(delay)))
    code, _, err = command("--dem", "dem.tif", "--noise-from", "quiet", "--count", 6, "--out", "here")
    assert code == 0
    assert "noise measured in" in err
    used = [json.loads(row["parameters"]) for row in manifest(tmp_path / "here")]
    assert {"noise" in parameters for parameters in used} == {True, False}


def test_a_series_is_a_frame_of_pairs_with_their_truth(command, tmp_path):
    arguments = ("--dates", 5, "--max-days", 24, "--preset", "volcano", "--count", 1, "--form", "licsar")
    assert command(*arguments, "--out", "series")[0] == 0
    folder = tmp_path / "series"
    rows = manifest(folder)
    assert len(rows) == 4 + 3
    assert len({row["scene_group"] for row in rows}) == 1
    frame = folder / rows[0]["scene_group"]
    with np.load(frame / "truth.npz") as stored:
        los_m, days = stored["los_m"].astype(float), stored["days"]
    assert days.tolist() == [0, 12, 24, 36, 48]
    for row in rows:
        scene = open_interferogram(folder / row["file"])
        assert {"coherence", "height", "los_up"} <= set(scene.data_vars)
        truth = json.loads((folder / row["file"]).with_name("truth.json").read_text())
        assert (scene.attrs["reference_date"], scene.attrs["secondary_date"]) == (
            truth["reference_date"],
            truth["secondary_date"],
        )
        first, second = (days.tolist().index(day) for day in _days(truth))
        with np.load((folder / row["file"]).with_name("truth.npz")) as stored:
            np.testing.assert_allclose(stored["los_m"], los_m[second] - los_m[first], atol=2e-3)
    assert len(json.loads((frame / "truth.json").read_text())["acquisitions"]) == 5
    # A pair that is lost is made again with its series.
    (folder / rows[3]["file"]).unlink()
    assert command(*arguments, "--out", "series")[0] == 0
    assert (folder / rows[3]["file"]).is_file()
    assert len(manifest(folder)) == 7


def test_every_other_series_of_a_balanced_set_deforms(command, tmp_path):
    arguments = ("--dates", 3, "--preset", "mining", "--count", 2, "--form", "licsar", "--balanced")
    code, out, _ = command(*arguments, "--out", "series")
    assert code == 0
    assert out == "2 series in series, 1 with visible deformation\n"
    moving = {row["index"] for row in manifest(tmp_path / "series") if row["label"] == "deformation"}
    assert moving == {"0"}
    kinds = {(row["index"], row["kind"]) for row in manifest(tmp_path / "series")}
    assert kinds == {("0", "mining"), ("1", "quiet")}


def _days(truth):
    import datetime as dt

    return [
        (dt.date.fromisoformat(truth[f"{which}_date"]) - write.FIRST_DATE).days for which in ("reference", "secondary")
    ]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--count", 0], 2, "count = 0: Input should be greater than or equal to 1"),
        (["--out", "file.txt"], 1, "file.txt"),
        (["--dem", "missing.tif"], 1, "missing.tif: there is no such file"),
        (["--dem", "file.txt"], 1, "file.txt: is plain text"),
        (["--dem", "bare.tif"], 1, "bare.tif: has no coordinate system"),
        (["--dem", "dem.tif", "--size-px", 256], 2, "expected at least 256 x 256 for a scene"),
        (["--dem", "dem.tif", "--los", "up"], 1, "up: cannot be taken for a line of sight"),
        (["--dem", "dem.tif", "--los", "a.geo.E.tif"], 1, "a.geo.E.tif: there is no such file"),
        (["--los", "asc"], 2, "add --dem file.tif"),
        (["--pixel-m", 30], 2, "add --dem file.tif"),
        (["--noise-from", "empty"], 1, "empty: holds no PNG patches"),
        (["--dates", 4], 2, "add --form licsar"),
        (["--dates", 4, "--form", "licsar", "--max-days", 6], 2, "there would be no pair"),
        (["--dates", 1, "--form", "licsar"], 2, "dates = 1: Input should be greater than or equal to 2"),
        (["--dates", 4, "--form", "licsar", "--noise-from", "empty"], 2, "a series takes their spectrum"),
        (["--preset", "quiet", "--balanced"], 2, "a balanced set needs a kind that deforms"),
        (["--count", 100_001, "--form", "licsar"], 2, "frame names of LiCSAR have room for 100,000 scenes"),
    ],
)
def test_bad_input_is_one_line(command, tmp_path, arguments, code, said):
    (tmp_path / "file.txt").write_text("text")
    (tmp_path / "empty").mkdir()
    write_dem(tmp_path / "dem.tif")
    write_dem(tmp_path / "bare.tif", crs=None, transform=Affine.identity())
    found, _, err = command("--count", 2, *arguments)
    assert found == code
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "simulated").exists()
