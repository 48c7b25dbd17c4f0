"""From scenes and labels to a data set that can be trained on."""

from __future__ import annotations

import csv
import shutil
import sys
from collections import Counter

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
import yaml
from affine import Affine
from PIL import Image

from fringewatch import cli
from fringewatch.conventions import wrap
from fringewatch.encoding import Encoding
from fringewatch.errors import ConfigError, ProductError
from fringewatch.interferogram import make_interferogram
from fringewatch.patches import open_patches, read_patch_set, read_phase, write_patch
from fringewatch.prepare import PrepareConfig, run
from fringewatch.prepare.balance import Augmentation
from fringewatch.prepare.folders import fit
from fringewatch.products import open_interferogram
from fringewatch.products.licsar import write_licsar
from fringewatch.simulate import preset, simulate
from fringewatch.simulate.run import SimulateConfig
from fringewatch.simulate.run import run as simulate_run

SIZE = 160
PIXEL_DEG = 0.001
WEST, NORTH = 14.0, 41.0


def bowl(row, col, radius_px=24.0, fringes=3.0, shape=(SIZE, SIZE)):
    """Unwrapped phase of a round signal, and where it is above half a radian."""
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    phase = 2 * np.pi * fringes * np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / (2 * (radius_px / 2) ** 2))
    return phase, phase > 0.5


def write(root, index, signals=(), *, trend=0.0, dates=("2020-01-01", "2020-01-13"), noise=0.2):
    """Write a LiCSAR frame of its own; return its phase file and the mask of what deforms."""
    rng = np.random.default_rng(index)
    phase = noise * rng.standard_normal((SIZE, SIZE)) + trend * np.arange(SIZE)
    mask = np.zeros((SIZE, SIZE), bool)
    for signal, where in signals:
        phase, mask = phase + signal, mask | where
    wrapped = wrap(phase.astype(np.float32))
    wrapped[:3] = np.nan
    scene = make_interferogram(
        wrapped,
        wavelength_m=0.0555,
        transform=Affine(PIXEL_DEG, 0, WEST, 0, -PIXEL_DEG, NORTH),
        crs="EPSG:4326",
    )
    frame = f"{index:03d}A_{index:05d}_131313"
    path = write_licsar(root, scene, frame=frame, reference_date=dates[0], secondary_date=dates[1])
    return path, mask


def beside(path, mask):
    np.savez(path.parent.parent / "truth.npz", mask=mask)


def prepare(*inputs, **settings):
    defaults = {"size_px": 64, "pictures": 0, "workers": 1}
    return run(PrepareConfig(inputs=tuple(map(str, inputs)), **{**defaults, **settings}))


def rows_of(path):
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def square(row0, row1, col0, col1):
    """The pixels' outline in degrees."""
    return shapely.box(
        WEST + PIXEL_DEG * col0, NORTH - PIXEL_DEG * row1, WEST + PIXEL_DEG * col1, NORTH - PIXEL_DEG * row0
    )


@pytest.fixture
def scenes(tmp_path):
    """Five frames with truth: three deform, two have fringes of a ramp alone."""
    root = tmp_path / "frames"
    for index in range(3):
        beside(*write(root, index, [bowl(50 + 30 * index, 60 + 20 * index)]))
    for index in (3, 4):
        beside(*write(root, index, trend=0.15 + 0.05 * index))
    return root


def test_windows_of_simulated_scenes_are_found_and_labelled_as_the_truth_says(tmp_path):
    # Strong, simulated deformation of all kinds, with terrain, atmosphere and some decorrelation.
    from fringewatch.simulate.write import write_scene

    spec = preset("volcano").model_copy(update={"height_px": 128, "width_px": 128, "fringes": (4.0, 8.0)})
    samples = [simulate(spec, seed=3, index=index) for index in range(16)]
    samples = [sample for sample in samples if sample.parameters["mean_coherence"] > 0.4]
    moving = [sample for sample in samples if sample.is_deformation]
    assert moving
    for index, sample in enumerate(samples):
        write_scene(tmp_path / "sim", sample, frame=f"000A_{index:05d}_000000")
    result = prepare(tmp_path / "sim", out=tmp_path / "out", size_px=64, step_px=32)
    found = sum(row.deformation for row in result.rows)
    missed = sum(row.missed for row in result.rows)
    assert found / (found + missed) >= 0.9
    for patch in open_patches(tmp_path / "out"):
        if patch.columns.get("augmented_from"):
            continue
        index = int(patch.columns["source"].split("000A_")[1][:5])
        row, col = int(patch.columns["window_row0"]), int(patch.columns["window_col0"])
        mask = samples[index].mask[row : row + 64, col : col + 64]
        assert mask.any() or not patch.label
        if patch.label:
            rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            assert patch.box == (rows[0], rows[-1] + 1, cols[0], cols[-1] + 1)


def test_every_window_is_accounted_for_and_pixels_are_those_of_the_scene(scenes, tmp_path):
    result = prepare(scenes, out=tmp_path / "out", balance=False)
    assert [row.status for row in result.rows] == ["ok"] * 5
    for row in result.rows:
        parts = (row.deformation, row.background, row.without_edges, row.partial, row.missed, row.no_data)
        assert row.windows == sum(parts) == 16
        assert row.site == row.name[:17]
    assert sum(row.deformation for row in result.rows[:3]) >= 3
    assert not any(row.deformation for row in result.rows[3:])
    patches = read_patch_set(tmp_path / "out")
    assert len(patches) == sum(row.deformation + row.background for row in result.rows)
    assert patches.sizes == {(64, 64): len(patches)}
    for patch in patches:
        scene = open_interferogram(patch.columns["source"])["phase"].values
        row, col = int(patch.columns["window_row0"]), int(patch.columns["window_col0"])
        difference = read_phase(patch.path) - scene[row : row + 64, col : col + 64]
        assert np.nanmax(np.abs(np.angle(np.exp(1j * difference)))) < 0.0125
        assert int(patch.columns["strong_px"]) >= 24
    assert rows_of(tmp_path / "out" / "prepare.csv")[0]["windows"] == "16"
    settings = yaml.safe_load((tmp_path / "out" / "prepare.yaml").read_text())
    assert PrepareConfig.build(settings).size_px == 64


def test_quiet_windows_are_counted_and_written_on_request_alone(tmp_path):
    beside(*write(tmp_path / "frames", 0, [bowl(80, 80)]))
    quiet, _ = write(tmp_path / "frames", 1)
    beside(quiet, np.zeros((SIZE, SIZE), bool))
    left = prepare(tmp_path / "frames", out=tmp_path / "left", balance=False)
    assert left.rows[1].without_edges == 16
    assert left.counts["none"] == {"train": 0, "copies": 0, "validation": 0}
    counted = sum(row.without_edges for row in left.rows)
    assert f" {counted}  without strong edges: background without classification" in left.describe()
    kept = prepare(tmp_path / "frames", out=tmp_path / "kept", balance=False, keep_background=True)
    stages = Counter(p.columns["stage"] for p in open_patches(tmp_path / "kept") if not p.label)
    assert stages["without_edges"] == sum(row.without_edges for row in kept.rows)


def test_classes_are_balanced_in_training_alone_and_exactly(scenes, tmp_path):
    result = prepare(scenes, out=tmp_path / "out")
    patches = read_patch_set(tmp_path / "out")
    train = patches.counts("train")
    assert train["none"] == train["deformation"] > 0
    assert {name: sum(parts[key] for key in ("train", "copies")) for name, parts in result.counts.items()} == train
    assert patches.counts("validation") == {name: parts["validation"] for name, parts in result.counts.items()}
    copies = [patch for patch in patches if patch.columns["augmented_from"]]
    assert copies
    assert {patch.split for patch in copies} == {"train"}
    for patch in copies:
        told = {name: int(patch.columns[name]) for name in Augmentation._fields}
        augmentation = Augmentation(told["quarter_turns"], bool(told["mirror"]), told["sign"], told["offset_levels"])
        original = read_phase(tmp_path / "out" / patch.columns["augmented_from"])
        difference = augmentation(original) - read_phase(patch.path)
        # Whole grey levels: nothing is lost to rounding.
        assert np.nanmax(np.abs(np.angle(np.exp(1j * difference)))) < 1e-4
        np.testing.assert_array_equal(np.isnan(augmentation(original)), np.isnan(read_phase(patch.path)))


def test_no_site_is_in_both_splits(scenes, tmp_path):
    prepare(scenes, out=tmp_path / "out", validation=0.4)
    sites = {
        name: {p.site for p in open_patches(tmp_path / "out") if p.split == name} for name in ("train", "validation")
    }
    assert sites["train"]
    assert sites["validation"]
    assert not sites["train"] & sites["validation"]


def test_one_site_leaves_nothing_for_validation_and_says_so(tmp_path):
    root = tmp_path / "frames"
    for secondary in ("2020-01-13", "2020-01-25"):
        path, mask = write(root, 1, [bowl(80, 80)], dates=("2020-01-01", secondary), trend=0.2)
        np.savez(path.parent / "truth.npz", mask=mask)
    result = prepare(root, out=tmp_path / "out")
    assert any("all patches are of one place (001A_00001_131313)" in text for text in result.warnings)
    by_scene = prepare(root, out=tmp_path / "out", split_by="scene", validation=0.5)
    assert not any("one place" in text for text in by_scene.warnings)
    splits = {p.columns["secondary_date"]: p.split for p in open_patches(tmp_path / "out")}
    assert sorted(splits.values()) == ["train", "validation"]


def test_polygons_in_another_coordinate_system(tmp_path):
    path, _ = write(tmp_path / "frames", 1, [bowl(48, 48), bowl(112, 112)])
    outline = geopandas.GeoDataFrame(
        {"label": ["mine", "volcano"]}, geometry=[square(30, 66, 30, 66), square(94, 130, 94, 130)], crs="EPSG:4326"
    )
    for name, crs in (("plain.geojson", "EPSG:4326"), ("utm.gpkg", "EPSG:32633")):
        outline.to_crs(crs).to_file(tmp_path / name)
        out = tmp_path / name.partition(".")[0]
        result = prepare(path, labels=(tmp_path / name,), out=out, step_px=32, balance=False)
        assert result.classes == ("none", "mine", "volcano")
        found = {(p.columns["label"], p.columns["window_row0"], p.columns["window_col0"]) for p in read_patch_set(out)}
        # The window about each, and those that hold at least half of it.
        assert {("mine", "32", "32"), ("mine", "0", "0"), ("volcano", "96", "96"), ("volcano", "64", "64")} <= found
        assert not {(word, row, col) for word, row, col in found if word == "mine" and row == "96"}
        assert result.warnings[-1].startswith("nothing is left for validation")
    boxes = [
        p.box for p in read_patch_set(tmp_path / "utm") if p.columns["window_row0"] == "0" == p.columns["window_col0"]
    ]
    assert boxes == [(30, 64, 30, 64)]


def test_polygons_may_tell_the_time_and_the_scene(tmp_path):
    early, _ = write(tmp_path / "frames", 1, [bowl(80, 80)], dates=("2020-01-01", "2020-01-13"))
    late, _ = write(tmp_path / "frames", 2, [bowl(80, 80)], dates=("2021-01-01", "2021-01-13"))
    marks = geopandas.GeoDataFrame(
        {"start": ["2020-12-01", None], "end": ["2021-06-01", None], "scene": [None, "9*"]},
        geometry=[square(60, 100, 60, 100)] * 2,
        crs="EPSG:4326",
    )
    marks.to_file(tmp_path / "marks.geojson")
    result = prepare(early, late, labels=(tmp_path / "marks.geojson",), out=tmp_path / "out")
    assert [row.status for row in result.rows] == ["unlabelled", "ok"]
    assert result.rows[1].deformation
    assert any("1 of 2 polygons lie in no scene" in text for text in result.warnings)
    assert "1 unlabelled, left out; --unlabelled none" in result.describe()
    none = prepare(early, labels=(tmp_path / "marks.geojson",), out=tmp_path / "none")
    assert none.exit_code == 1
    assert none.warnings[0] == (
        "no patches: no scene has a label; give --labels, or --unlabelled none if they show no deformation"
    )
    taken = prepare(early, late, labels=(tmp_path / "marks.geojson",), out=tmp_path / "all", unlabelled="none")
    assert [row.status for row in taken.rows] == ["ok", "ok"]
    assert taken.rows[0].background


def test_a_table_of_boxes_and_whole_scenes(tmp_path):
    first, _ = write(tmp_path / "frames", 1, [bowl(80, 80)])
    second, _ = write(tmp_path / "frames", 2, trend=0.3)
    write(tmp_path / "frames", 3, trend=0.3)
    (tmp_path / "labels.csv").write_text(
        "file,label,row0,row1,col0,col1,site\n"
        f"{first.relative_to(tmp_path)},1,56,104,56,104,etna\n"
        f"{second},background,,,,,fuji\n"
        "003A_00003_131313_20200101_20200113.geo.diff_pha,yes,,,,,taal\n"
        "other.tif,1,,,,,\n"
    )
    result = prepare(tmp_path / "frames", labels=(tmp_path / "labels.csv",), out=tmp_path / "out")
    assert [row.site for row in result.rows] == ["etna", "fuji", "taal"]
    etna, fuji, taal = result.rows
    assert etna.deformation
    assert etna.partial
    assert (fuji.deformation, fuji.background) == (0, 16)
    assert (taal.deformation, taal.background) == (16, 0)
    assert any("1 of 4 files are no scene of this run (other.tif)" in text for text in result.warnings)


@pytest.mark.parametrize("form", ["png", "tif", "npy", "npz"])
def test_masks_of_any_form(tmp_path, form):
    path, mask = write(tmp_path / "frames", 1, [bowl(80, 80)])
    folder = tmp_path / "labels"
    folder.mkdir()
    file = folder / f"20200101_20200113_mask.{form}"
    if form == "npy":
        np.save(file, mask)
    elif form == "npz":
        np.savez(file, mask=mask)
    else:
        Image.fromarray(mask.astype(np.uint8) * 255).save(file)
    reference = prepare(path, labels=(file,), out=tmp_path / "one")
    assert reference.rows[0].deformation
    beside(path, mask)
    truth = prepare(path, out=tmp_path / "two")
    assert truth.counts == prepare(path, labels=(folder,), out=tmp_path / "three").counts == reference.counts


def test_plain_class_folders_become_a_data_set(tmp_path):
    rng = np.random.default_rng(0)
    for index in range(10):
        for word, fringes in (("sinking", 3.0), ("still", 0.2)):
            folder = tmp_path / "pictures" / word / f"place{index}"
            folder.mkdir(parents=True)
            phase = wrap((bowl(40, 40, fringes=fringes, shape=(80, 70))[0]).astype(np.float32))
            if index % 2:
                write_patch(folder / "a.png", wrap(phase + np.float32(0.1 * index)))
            else:
                # A cyclic colour map: hue is phase.
                hue = (wrap(phase + np.float32(0.1 * index)) + np.pi) / (2 * np.pi) * 255
                colours = np.stack([hue, np.full_like(hue, 255), np.full_like(hue, 255)], axis=-1).astype(np.uint8)
                noise = rng.integers(0, 256, (4, 70, 3), dtype=np.uint8)  # all hues, so that it is known as cyclic
                colours[:4] = np.where([True, False, False], noise, 255)
                Image.fromarray(colours, mode="HSV").convert("RGB").save(folder / "a.png")
    shutil.copy(tmp_path / "pictures" / "still" / "place1" / "a.png", tmp_path / "pictures" / "still" / "spare.png")
    result = prepare(tmp_path / "pictures", class_folders=True, size_px=64, out=tmp_path / "out", validation=0.3)
    assert not result.failed
    found = read_patch_set(tmp_path / "out")
    assert found.classes == ("sinking", "still")
    assert found.sizes == {(64, 64): len(found)}
    train = found.counts("train")
    assert train["sinking"] == train["still"]
    sites = {name: {p.site for p in found if p.split == name and p.site} for name in ("train", "validation")}
    assert sites["validation"]
    assert not sites["train"] & sites["validation"]
    assert any("1 pictures name no place" in text for text in result.warnings)
    own = prepare(tmp_path / "pictures", class_folders=True, size_px=None, out=tmp_path / "own", balance=False)
    assert own.exit_code == 0
    assert read_patch_set(tmp_path / "own").sizes == {(80, 70): 21}


def test_black_may_mean_no_data_in_pictures(tmp_path):
    for word in ("none", "deformation"):
        (tmp_path / "pictures" / word).mkdir(parents=True)
        grey = np.random.default_rng(len(word)).integers(1, 256, (40, 40), np.uint8)
        grey[:10] = 0
        Image.fromarray(grey).save(tmp_path / "pictures" / word / "a.png")
    for nodata, missing in ((None, 0), (0.0, 400)):
        out = tmp_path / f"out{nodata}"
        prepare(tmp_path / "pictures", class_folders=True, size_px=None, nodata=nodata, out=out)
        assert {int(np.isnan(read_phase(patch.path)).sum()) for patch in read_patch_set(out)} == {missing}


def test_several_labels_on_the_command_line(tmp_path, capsys):
    first, mask = write(tmp_path / "frames", 1, [bowl(80, 80)])
    second, _ = write(tmp_path / "frames", 2, trend=0.3)
    np.save(tmp_path / "001A_00001_131313_20200101_20200113.geo.diff_pha_mask.npy", mask)
    (tmp_path / "labels.csv").write_text(f"file,label\n{second},none\n")
    masks = str(next(tmp_path.glob("*.npy")))
    settings = ["--out", str(tmp_path / "out"), "--size-px", "64", "--pictures", "0"]
    code = cli.main(["prepare", str(first), str(second), "--labels", str(tmp_path / "labels.csv"), masks, *settings])
    assert code == 0
    assert "2 of 2 prepared" in capsys.readouterr().out
    assert read_patch_set(tmp_path / "out").classes == ("none", "deformation")


def test_a_picture_is_cut_or_filled_about_its_middle():
    phase = np.arange(35, dtype=np.float32).reshape(5, 7)
    np.testing.assert_array_equal(fit(phase, 3), phase[1:4, 2:5])
    filled = fit(phase, 9)
    np.testing.assert_array_equal(filled[2:7, 1:8], phase)
    assert np.isnan(filled).sum() == 81 - 35
    assert fit(phase, 6).shape == (6, 6)


def test_what_is_on_disk_becomes_the_studys_encodings(tmp_path):
    write_patch(tmp_path / "a.png", np.array([[-3.1415, 0.0, 3.1415, np.nan]], np.float32))
    phase = read_phase(tmp_path / "a.png")
    level = 2 * np.pi / 255
    for kind, scale, zero in (("grey", 255 / (2 * np.pi), 127.5), ("zero-centred", 125 / np.pi, 0.0)):
        encoded = Encoding(kind=kind)(phase)[0, 0]
        # Both ends of the scale are one phase, pi.
        assert np.abs(encoded[[0, 2]] - zero) == pytest.approx(np.pi * scale, rel=1e-5)
        assert encoded[1] == pytest.approx(zero, abs=level * scale)
        assert encoded[3] == pytest.approx(zero)


def test_a_bad_file_costs_its_scene_alone(scenes, tmp_path):
    (scenes / "broken.tif").write_bytes(b"no raster")
    (scenes / "mask.csv").write_text("not read\n")
    result = prepare(scenes, tmp_path / "gone.tif", out=tmp_path / "out")
    assert [row.status for row in result.rows].count("ok") == 5
    assert {row.name for row in result.failed} == {"broken", "gone"}
    assert result.exit_code == 3
    assert "2 failed; the reasons are in" in result.describe()
    listed = {row["name"]: row["message"] for row in rows_of(result.table)}
    assert "gone.tif" in listed["gone"]
    only = prepare(tmp_path / "gone.tif", out=tmp_path / "none")
    assert only.exit_code == 1
    assert only.warnings[0].startswith("no patches")


def test_a_mask_of_another_shape_fails_its_scene(tmp_path):
    path, mask = write(tmp_path / "frames", 1, [bowl(80, 80)])
    beside(path, mask[:-5])
    row = prepare(path, out=tmp_path / "out").rows[0]
    assert row.status == "failed"
    assert "mask of shape (155, 160), expected that of" in row.message


def test_a_run_goes_on_where_it_was(scenes, tmp_path, monkeypatch):
    out = tmp_path / "out"
    whole = prepare(scenes, out=tmp_path / "whole")
    frames = sorted(scenes.iterdir())
    prepare(*frames[:2], out=out)
    module = sys.modules[run.__module__]

    done = []
    original = module.prepare_scene
    monkeypatch.setattr(
        module, "prepare_scene", lambda *args, **kwargs: done.append(args[0].name) or original(*args, **kwargs)
    )
    resumed = prepare(scenes, out=out)
    assert (resumed.kept, len(done)) == (2, 3)
    assert resumed.counts == whole.counts
    assert (out / "manifest.csv").read_text() == (tmp_path / "whole" / "manifest.csv").read_text()
    # A changed setting, truth or patch is done again; a changed split is not.
    assert prepare(scenes, out=out, seed=3).kept == 5
    assert prepare(scenes, out=out, min_strong_px=30).kept == 0
    next(out.glob("none/*.png")).unlink()
    assert prepare(scenes, out=out, min_strong_px=30).kept == 4
    assert prepare(scenes, out=out, min_strong_px=30, overwrite=True).kept == 0
    fewer = prepare(scenes, out=out, high=60, min_strong_px=10_000)
    assert not list(out.glob("*/*.png"))
    assert not list(out.rglob("*_copy*.png"))
    assert fewer.warnings[0].startswith("no patches")


def test_a_data_set_among_the_scenes_is_no_input(scenes, tmp_path):
    first = prepare(scenes, out=scenes / "patches")
    again = prepare(scenes, out=scenes / "patches")
    assert (len(again.rows), again.kept) == (len(first.rows), 5)
    # Nor are masks.
    (scenes / "outlines").mkdir()
    Image.fromarray(np.full((SIZE, SIZE), 255, np.uint8)).save(scenes / "outlines" / f"{first.rows[0].name}.png")
    masked = prepare(scenes, labels=(scenes / "outlines",), out=scenes / "patches")
    assert len(masked.rows) == 5


def test_patches_of_any_earlier_run_among_the_scenes_are_no_input(scenes, tmp_path, monkeypatch):
    monkeypatch.chdir(scenes)
    before = prepare(".", out=tmp_path / "before")
    prepare(".", out=scenes / "old" / "patches")
    patches = SimulateConfig(out=scenes / "simulated", count=2, size_px=64, workers=1)
    simulated = patches.model_copy(update={"form": "licsar", "out": scenes / "more"})
    for config in (patches, simulated):
        simulate_run(config)
    # Simulated scenes are scenes; simulated patches and those of another run are none.
    after = prepare(".", out=tmp_path / "after")
    assert len(after.rows) == len(before.rows) + 2
    assert not [row.file for row in after.rows if row.file.endswith(".png")]
    # Named by themselves they are.
    assert len(prepare(scenes / "simulated", out=tmp_path / "named", unlabelled="none").rows) == 2


def test_a_mask_and_a_scene_may_run_either_way(tmp_path):
    signal, mask = bowl(50, 110)
    phase = wrap((signal + 0.2 * np.random.default_rng(0).standard_normal(signal.shape)).astype(np.float32))
    turns = {"north": (1, 1), "south": (-1, 1), "mirror": (1, -1), "both": (-1, -1)}
    for folder, values, grids in (
        ("scenes", phase, turns),
        ("masks", mask.astype(np.uint8), dict.fromkeys(turns, (1, 1))),
    ):
        (tmp_path / folder).mkdir()
        for name, (rows_run, columns_run) in grids.items():
            corner = (
                WEST if columns_run > 0 else WEST + PIXEL_DEG * SIZE,
                NORTH if rows_run > 0 else NORTH - PIXEL_DEG * SIZE,
            )
            grid = Affine(PIXEL_DEG * columns_run, 0, corner[0], 0, -PIXEL_DEG * rows_run, corner[1])
            path = tmp_path / folder / f"{name}_20200101_20200113.tif"
            shape = {"height": SIZE, "width": SIZE, "count": 1, "dtype": values.dtype}
            with rasterio.open(path, "w", driver="GTiff", crs="EPSG:4326", transform=grid, **shape) as target:
                target.write(values[::rows_run, ::columns_run], 1)
    result = prepare(tmp_path / "scenes", labels=(tmp_path / "masks",), out=tmp_path / "out", balance=False)
    (found,) = {(row.deformation, row.background, row.partial, row.missed) for row in result.rows}
    assert found[0]


def test_pictures_of_edges_and_windows(scenes, tmp_path):
    prepare(scenes, out=tmp_path / "out", pictures=2, balance=False)
    pictures = sorted((tmp_path / "out" / "pictures").iterdir())
    assert len(pictures) == 2
    with Image.open(pictures[0]) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    # Outlines of deformation windows in red, the labelled area in green.
    for colour in ((232, 16, 42), (18, 184, 134)):
        assert (np.abs(pixels - colour).sum(axis=-1) < 30).sum() > 100


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"inputs": ()}, ConfigError, "no input: name files"),
        ({"low": 40.0}, ConfigError, "expected low <= high"),
        ({"step_px": 100}, ConfigError, r"step_px = 100: is larger than the windows \(64 px\)"),
        ({"labels": ("nowhere.geojson",)}, ConfigError, "nowhere.geojson: no such file or folder"),
        ({"labels": ("notes.txt",)}, ConfigError, r"notes\.txt: labels of an unknown kind"),
        ({"labels": ("points.geojson",)}, ProductError, "holds Point, expected polygons"),
        ({"labels": ("broken.geojson",)}, ProductError, "cannot be read as polygons"),
        ({"labels": ("table.csv",)}, ProductError, "has no column 'label'"),
        ({"labels": ("empty",)}, ProductError, "holds no masks"),
        ({"class_folders": True, "labels": ("table.csv",)}, ConfigError, "labelled by their folder"),
        ({"class_folders": True, "inputs": ("table.csv",)}, ConfigError, "is no folder"),
        ({"class_folders": True, "inputs": ("empty",)}, ProductError, "holds no folders, expected one per class"),
        ({"class_folders": True, "inputs": ("pictures",)}, ProductError, "empty: no images in the folder of a class"),
    ],
)
def test_wrong_settings_are_explained(tmp_path, monkeypatch, settings, error, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    (tmp_path / "pictures" / "empty").mkdir(parents=True)
    (tmp_path / "broken.geojson").write_text("{")
    (tmp_path / "table.csv").write_text("file,lable\na.tif,1\n")
    geopandas.GeoDataFrame(geometry=[shapely.Point(0, 0)], crs="EPSG:4326").to_file(tmp_path / "points.geojson")
    with pytest.raises(error, match=words):
        run(PrepareConfig(**{"inputs": ("a.tif",), "out": tmp_path / "out", "size_px": 64, **settings}))


def test_the_command(scenes, tmp_path, capsys):
    code = cli.main(["prepare", str(scenes), "--out", str(tmp_path / "out"), "--network", "alexnet", "--pictures", "0"])
    assert code == 0
    said = capsys.readouterr().out
    assert "5 of 5 prepared" in said
    assert "data set:" in said
    assert "5 scenes are smaller than the windows and were filled up with no data" in said
    assert read_patch_set(tmp_path / "out").sizes.keys() <= {(227, 227)}


def test_a_stopped_run_keeps_what_is_done(scenes, tmp_path, monkeypatch, capsys):
    module = sys.modules[run.__module__]
    original = module.prepare_scene

    def stop_at_the_third(reference, *args, **kwargs):
        if reference.name.startswith("002A"):
            raise KeyboardInterrupt
        return original(reference, *args, **kwargs)

    monkeypatch.setattr(module, "prepare_scene", stop_at_the_third)
    stopped = prepare(scenes, out=tmp_path / "out")
    assert stopped.interrupted
    assert stopped.exit_code == 130
    assert "stopped early: the same command goes on from here" in stopped.describe()
    monkeypatch.setattr(module, "prepare_scene", original)
    resumed = prepare(scenes, out=tmp_path / "out")
    assert resumed.kept >= 2
    assert resumed.exit_code == 0
    whole = prepare(scenes, out=tmp_path / "whole")
    assert resumed.counts == whole.counts


def test_an_unexpected_error_is_a_row(scenes, tmp_path, monkeypatch, capsys):
    module = sys.modules[run.__module__]
    original = module.prepare_scene

    def fail_once(reference, *args, **kwargs):
        if reference.name.startswith("001A"):
            message = "odd"
            raise IndexError(message)
        return original(reference, *args, **kwargs)

    monkeypatch.setattr(module, "prepare_scene", fail_once)
    result = prepare(scenes, out=tmp_path / "out")
    assert [row.status for row in result.rows] == ["ok", "failed", "ok", "ok", "ok"]
    assert "unexpected IndexError: odd; please report it" in result.failed[0].message
    assert "failed: " in capsys.readouterr().err


def test_a_torn_journal_costs_its_last_scene(scenes, tmp_path):
    prepare(scenes, out=tmp_path / "out")
    journal = tmp_path / "out" / ".fringewatch-prepare.jsonl"
    journal.write_text(journal.read_text()[:-40])
    again = prepare(scenes, out=tmp_path / "out")
    assert again.kept == 4
    assert again.exit_code == 0


def test_crops_have_the_size_of_what_they_show(tmp_path):
    small, large = bowl(40, 40, radius_px=14.0, fringes=2.0), bowl(110, 105, radius_px=34.0, fringes=3.0)
    path, mask = write(tmp_path / "frames", 1, [small, large], noise=0.3)
    beside(path, mask)
    result = prepare(path, out=tmp_path / "out", size_px=None, crops=True, balance=False, pictures=1)
    (row,) = result.rows
    assert (row.deformation, row.missed, row.partial) == (2, 0, 0)
    patches = sorted(read_patch_set_of(tmp_path / "out"), key=lambda patch: int(patch.columns["window_row0"]))
    sizes = [read_phase(patch.path).shape for patch in patches]
    for patch, (signal, where), size in zip(patches, (small, large), sizes, strict=True):
        row0, col0 = int(patch.columns["window_row0"]), int(patch.columns["window_col0"])
        part = np.s_[row0 : row0 + size[0], col0 : col0 + size[1]]
        assert where[part].sum() == where.sum()
        assert where.sum() > 0.1 * size[0] * size[1]
        assert 0.5 <= float(patch.columns["score"]) <= 1
        # What is written is what was cut out.
        cut = wrap(open_interferogram(path)["phase"].values[part])
        assert np.nanmax(np.abs(wrap(read_phase(patch.path) - cut))) < 0.013
        assert signal[part].max() == signal.max()
    assert sizes[1][0] > 1.5 * sizes[0][0]
    with Image.open(next((tmp_path / "out/pictures").glob("*.png"))) as picture:
        assert picture.width > 2 * picture.height


def read_patch_set_of(folder):
    return [patch for patch in open_patches(folder) if not patch.columns.get("augmented_from")]


def test_deformation_without_a_crop_is_counted_as_missed(tmp_path):
    faint = 0.4 * np.ones((SIZE, SIZE)), np.pad(np.ones((40, 40), bool), ((20, 100), (90, 30)))
    path, mask = write(tmp_path / "frames", 1, [bowl(110, 50), faint], noise=0.3)
    beside(path, mask)
    (row,) = prepare(path, out=tmp_path / "out", size_px=None, crops=True).rows
    assert (row.deformation, row.missed) == (1, 1)
    assert row.windows == 2 + row.background


def test_crops_of_background_hold_nothing_found_and_nothing_labelled(tmp_path):
    path, mask = write(tmp_path / "frames", 1, [bowl(80, 60)], noise=0.3)
    beside(path, mask)
    result = prepare(path, out=tmp_path / "out", size_px=None, crops=True, keep_background=True, balance=False)
    (row,) = result.rows
    assert row.without_edges >= 1
    quiet = [patch for patch in open_patches(tmp_path / "out") if patch.columns["stage"] == "without_edges"]
    assert len(quiet) == row.without_edges
    for patch in quiet:
        row0, col0 = int(patch.columns["window_row0"]), int(patch.columns["window_col0"])
        height, width = read_phase(patch.path).shape
        assert not mask[row0 : row0 + height, col0 : col0 + width].any()
        assert min(height, width) >= 32
    again = prepare(path, out=tmp_path / "again", size_px=None, crops=True, keep_background=True, balance=False)
    assert [patch.path.name for patch in open_patches(again.out)] == [p.path.name for p in open_patches(result.out)]


def test_an_empty_mask_makes_every_crop_background(tmp_path):
    path, mask = write(tmp_path / "frames", 1, [bowl(80, 60)], noise=0.3)
    beside(path, np.zeros_like(mask))
    (row,) = prepare(path, out=tmp_path / "out", size_px=None, crops=True).rows
    assert (row.deformation, row.missed) == (0, 0)
    assert row.background == 1


@pytest.mark.parametrize("setting", [{"size_px": 64}, {"network": "vgg16", "size_px": None}, {"step_px": 8}])
def test_crops_have_no_fixed_size(tmp_path, setting):
    with pytest.raises(ConfigError, match="crops have the size of what they show"):
        prepare(tmp_path, out=tmp_path / "out", **{"size_px": None, "crops": True, **setting})


def test_settings_of_the_other_way_of_cutting_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="--high with --crops: crops have edges by thresholds of the scene's own"):
        prepare(tmp_path, out=tmp_path / "out", size_px=None, crops=True, high=77)
    with pytest.raises(ConfigError, match="--margin says nothing of windows of one size"):
        prepare(tmp_path, out=tmp_path / "out", margin=3)


def test_crops_are_not_cut_from_class_folders(tmp_path):
    with pytest.raises(ConfigError, match="--crops and --class-folders"):
        prepare(tmp_path, out=tmp_path / "out", size_px=None, crops=True, class_folders=True)


def test_pictures_are_never_replaced_by_their_patches(tmp_path):
    for word in ("none", "deformation"):
        (tmp_path / "set" / word).mkdir(parents=True)
        for index in range(3):
            phase = np.random.default_rng(index + 10 * len(word)).uniform(-3, 3, (40, 40)).astype(np.float32)
            write_patch(tmp_path / "set" / word / f"{index}.png", phase)
    before = {path: path.read_bytes() for path in (tmp_path / "set").rglob("*.png")}
    config = PrepareConfig(inputs=(str(tmp_path / "set"),), class_folders=True, size_px=32, out=tmp_path / "set")
    for _ in range(2):
        with pytest.raises(ConfigError, match="is an input, and its patch would replace it"):
            run(config)
    assert {path: path.read_bytes() for path in (tmp_path / "set").rglob("*.png")} == before
    # Nor is the table of another data set.
    other = tmp_path / "other"
    other.mkdir()
    (other / "manifest.csv").write_text("file,label\n")
    with pytest.raises(ConfigError, match=r"holds a manifest\.csv that prepare did not make"):
        run(config.model_copy(update={"out": other}))
    # A set that prepare made can be cut anew: its copies and drawings are no classes.
    run(config.model_copy(update={"out": tmp_path / "first"}))
    for name in ("augmented", "pictures"):
        (tmp_path / "first" / name).mkdir(exist_ok=True)
        shutil.copy(next(iter(before)), tmp_path / "first" / name / "a_copy1.png")
    again = run(config.model_copy(update={"inputs": (str(tmp_path / "first"),), "out": tmp_path / "second"}))
    assert again.classes == ("none", "deformation")
    (tmp_path / "set" / "pictures").mkdir()
    shutil.copy(next(iter(before)), tmp_path / "set" / "pictures" / "a.png")
    with pytest.raises(ConfigError, match="where prepare puts copies and pictures of its own"):
        run(config.model_copy(update={"out": tmp_path / "third"}))
