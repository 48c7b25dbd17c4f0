"""Patch data sets: what is written is read back, and what is wrong is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from fringewatch.errors import ConfigError, OutputError, ProductError
from fringewatch.patches import Box, Patch, open_patches, read_phase, select, write_manifest, write_patch

if TYPE_CHECKING:
    from pathlib import Path

ONE_LEVEL_RAD = 2 * np.pi / 255


def phase(seed: int = 0, shape: tuple[int, int] = (20, 30)) -> np.ndarray:
    drawn = np.random.default_rng(seed).uniform(-np.pi, np.pi, shape).astype(np.float32)
    drawn[2:5, 7:9] = np.nan
    return drawn


def manifest(folder: Path, text: str) -> Path:
    path = folder / "manifest.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_patch_round_trip_within_half_a_grey_level(tmp_path: Path) -> None:
    written = phase()
    write_patch(tmp_path / "a.png", written)
    read = read_phase(tmp_path / "a.png")
    np.testing.assert_array_equal(np.isnan(read), np.isnan(written))
    # Compared on the circle: -pi and pi are one phase.
    error = np.abs(np.angle(np.exp(1j * (read - written))))
    assert np.nanmax(error) <= ONE_LEVEL_RAD / 2 + 1e-5
    assert np.nanmin(read) > -np.pi
    assert np.nanmax(read) <= np.float32(np.pi)
    assert read.dtype == np.float32


def test_patch_is_a_grey_picture_with_the_declared_scale(tmp_path: Path) -> None:
    values = np.array([[-np.pi, 0.0, np.pi, np.nan]], np.float32)
    write_patch(tmp_path / "a.png", values)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "LA"
        pixels = np.asarray(image)
    np.testing.assert_array_equal(pixels[0, :, 0], [0, 128, 255, 0])
    np.testing.assert_array_equal(pixels[0, :, 1], [255, 255, 255, 0])


def test_grey_picture_without_alpha_is_valid_everywhere(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 51, 255]], np.uint8)).save(tmp_path / "grey.png")
    np.testing.assert_allclose(read_phase(tmp_path / "grey.png"), [[np.pi, -0.6 * np.pi, np.pi]], atol=1e-5)


def test_manifest_round_trip(tmp_path: Path) -> None:
    patches = [
        Patch(tmp_path / "deformation" / "a.png", 1, "volcanic", "taal", "taal:1", "ok", "test", Box(1, 5, 2, 9)),
        Patch(tmp_path / "none" / "b, c.png", 0, site="fuji", columns={"depth_m": "2000"}),
    ]
    write_manifest(tmp_path / "manifest.csv", patches)
    read = open_patches(tmp_path)
    names = ("path", "label", "kind", "site", "group", "quality", "split", "box")
    assert [[getattr(p, n) for n in names] for p in read] == [[getattr(p, n) for n in names] for p in patches]
    assert read[1].columns["depth_m"] == "2000"
    assert open_patches(tmp_path / "manifest.csv") == read


def test_manifest_names_files_outside_its_folder_by_absolute_path(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "a.png"
    (tmp_path / "set").mkdir()
    write_manifest(tmp_path / "set" / "manifest.csv", [Patch(elsewhere, 1)])
    assert open_patches(tmp_path / "set")[0].path == elsewhere


def test_class_folders(tmp_path: Path) -> None:
    for name in ("1/x.png", "background/deep/y.png", "background/z.txt", ".cache/w.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_patch(path.with_suffix(".png"), phase()) if path.suffix == ".png" else path.write_text("no picture")
    patches = open_patches(tmp_path)
    assert [(p.path.name, p.label) for p in patches] == [("x.png", 1), ("y.png", 0)]
    assert patches[1].columns["file"] == "background/deep/y.png"


def test_folder_of_images_needs_a_default_label(tmp_path: Path) -> None:
    write_patch(tmp_path / "a.png", phase())
    with pytest.raises(ProductError, match="holds no patches"):
        open_patches(tmp_path)
    assert [p.label for p in open_patches(tmp_path, default_label=0)] == [0]


@pytest.mark.parametrize(
    ("word", "label"), [("deformation", 1), ("1", 1), ("TRUE", 1), ("None", 0), ("no deformation", 0), ("0", 0)]
)
def test_label_words(tmp_path: Path, word: str, label: int) -> None:
    assert open_patches(manifest(tmp_path, f"file,label\na.png,{word}\n"))[0].label == label


def test_own_label_words(tmp_path: Path) -> None:
    path = manifest(tmp_path, "file,label\na.png,Sinking\nb.png,clutter\n")
    with pytest.raises(ProductError, match=r"line 2: unknown label 'Sinking'; known: .*--positive or --negative"):
        open_patches(path)
    assert [p.label for p in open_patches(path, positive=["sinking"], negative=["clutter"])] == [1, 0]
    with pytest.raises(ConfigError, match="clutter: named as positive and as negative"):
        open_patches(path, positive=["clutter"], negative=["Clutter"])


def test_default_label_fills_a_missing_or_empty_column(tmp_path: Path) -> None:
    assert open_patches(manifest(tmp_path, "file,site\na.png,fuji\n"), default_label=0)[0].label == 0
    mixed = open_patches(manifest(tmp_path, "file,label\na.png,\nb.png,1\n"), default_label=0)
    assert [p.label for p in mixed] == [0, 1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,label\na.png,1\n", "has no column 'file'"),
        ("file,site\na.png,fuji\n", "has no column 'label'"),
        ("", "columns: none"),
        ("file,label\n", "holds no patches"),
        ("file,label\n,1\n", "line 2: the column 'file' is empty"),
        ("file,label\na.png\n", "another number of fields"),
        ("file,label\na.png,1,2\n", "another number of fields"),
        ("file,label,row0,row1,col0,col1\na.png,1,3,9,x,4\n", "expected four pixel indices"),
        ("file,label,row0,row1,col0,col1\na.png,1,3,9,,4\n", "expected four pixel indices"),
        ("file,label,row0,row1,col0,col1\na.png,1,9,3,0,4\n", "is empty or negative"),
    ],
)
def test_wrong_manifests_are_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ProductError, match=words):
        open_patches(manifest(tmp_path, text))


def test_manifest_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProductError, match="cannot be read"):
        open_patches(path)


def test_missing_data_set(tmp_path: Path) -> None:
    with pytest.raises(ProductError, match="no such file or folder"):
        open_patches(tmp_path / "nowhere")


def test_select(tmp_path: Path) -> None:
    text = "file,label,site,quality\na.png,1,taal,ok\nb.png,1,sierra_negra,doubtful-label\nc.png,0,fuji,ok\n"
    patches = open_patches(manifest(tmp_path, text))

    def names(**conditions: tuple[str, ...]) -> str:
        return "".join(p.path.stem for p in select(patches, **conditions))

    assert names(only=("site=taal,sierra*",)) == "ab"
    assert names(only=("site=taal,sierra*", "quality=ok")) == "a"
    assert names(exclude=("quality=doubtful*",)) == "ac"
    assert names(exclude=("quality=doubtful*", "site=fuji")) == "a"
    with pytest.raises(ConfigError, match="no patch has a column 'sites'; did you mean 'site'"):
        names(only=("sites=taal",))
    with pytest.raises(ConfigError, match="expected column=value"):
        names(only=("taal",))


def test_unreadable_pictures_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(ProductError, match=r"text\.png: cannot be read as a picture"):
        read_phase(tmp_path / "text.png")
    with pytest.raises(ProductError, match=r"gone\.png: .*No such file"):
        read_phase(tmp_path / "gone.png")
    write_patch(tmp_path / "cut.png", phase())
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ProductError, match=r"cut\.png: cannot be read as a picture"):
        read_phase(tmp_path / "cut.png")


def test_patches_are_png(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"ends in \.png"):
        write_patch(tmp_path / "a.tif", phase())
    with pytest.raises(OutputError, match="cannot be written"):
        write_patch(tmp_path / "nowhere" / "a.png", phase())


def test_a_patch_reads_the_same_as_an_interferogram(tmp_path: Path) -> None:
    from fringewatch.products import open_interferogram

    write_patch(tmp_path / "a.png", phase())
    np.testing.assert_allclose(
        read_phase(tmp_path / "a.png"), open_interferogram(tmp_path / "a.png")["phase"].values, atol=1e-6
    )


def test_other_formats_are_read_as_interferograms(tmp_path: Path) -> None:
    written = phase()
    Image.fromarray(written).save(tmp_path / "a.tif")  # 32-bit float TIFF
    np.testing.assert_allclose(read_phase(tmp_path / "a.tif"), written, atol=1e-6)
