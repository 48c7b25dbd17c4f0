"""Data sets for training: classes, splits, and what is refused."""

from __future__ import annotations

import shutil
import warnings
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fringewatch.errors import ConfigError, ProductError
from fringewatch.patches import (
    Patch,
    open_patches,
    read_patch_set,
    select,
    split_by_site,
    write_manifest,
    write_patch,
)

if TYPE_CHECKING:
    from pathlib import Path


def picture(path: Path, seed: int = 0, side: int = 12) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_patch(path, np.random.default_rng(seed).uniform(-3, 3, (side, side)).astype(np.float32))
    return path


def folders(root: Path, *names: str, each: int = 2) -> Path:
    for number, name in enumerate(names):
        for index in range(each):
            picture(root / name / f"{index}.png", seed=10 * number + index)
    return root


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (("quiet", "deformation"), ("none", "deformation")),
        (("1", "0"), ("none", "deformation")),
        (("Atmosphere", "no deformation", "YES"), ("none", "deformation")),
        (("volcano", "background"), ("background", "volcano")),
        (("deformation", "noise"), ("noise", "deformation")),
        (("10", "2", "1"), ("1", "2", "10")),
        (("mine", "earthquake", "none"), ("none", "earthquake", "mine")),
    ],
)
def test_labels_follow_from_the_names_of_the_folders(tmp_path, names, classes):
    found = read_patch_set(folders(tmp_path, *names))
    assert found.classes == classes
    for patch in found:
        name = patch.path.parent.name.lower()
        if classes != ("none", "deformation"):
            assert classes[patch.label] == name
    assert sum(found.counts().values()) == 2 * len(names)
    assert all(found.counts().values())


@pytest.mark.parametrize(
    ("names", "words", "classes", "told"),
    [
        (("quiet", "deformation"), {}, ("none", "deformation"), True),
        (("volcano", "background"), {}, ("background", "volcano"), True),
        (("fringes", "deformation"), {}, ("fringes", "deformation"), True),
        (("fringes", "stable"), {}, ("fringes", "stable"), False),
        (("fringes", "stable"), {"positive": ["Fringes"]}, ("stable", "fringes"), True),
        (("fringes", "stable"), {"positive": ["fringes"], "negative": ["stable"]}, ("none", "deformation"), True),
        (("quiet", "atmosphere"), {}, ("atmosphere", "quiet"), False),
        (("1", "2"), {}, ("1", "2"), False),
        (("1", "2"), {"positive": ["2"], "negative": ["1"]}, ("none", "deformation"), True),
        (("none", "a", "b"), {}, ("none", "a", "b"), False),
    ],
)
def test_which_of_two_classes_deforms_is_known_or_not(tmp_path, names, words, classes, told):
    found = read_patch_set(folders(tmp_path, *names), **words)
    assert (found.classes, found.told) == (classes, told)
    if told and "fringes" in names and "stable" in names:
        assert {p.path.parent.name: p.label for p in found} == {"stable": 0, "fringes": 1}


def test_words_that_are_no_label_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="fringe: no label of this set; its labels are fringes, stable"):
        read_patch_set(folders(tmp_path, "fringes", "stable"), positive=["fringe"])


def test_known_words_of_a_kind_are_one_class(tmp_path):
    found = read_patch_set(folders(tmp_path, "Atmosphere", "no deformation", "YES"))
    assert found.counts() == {"none": 4, "deformation": 2}
    assert {patch.path.parent.name for patch in found if patch.label} == {"YES"}


def test_folders_tell_split_and_site(tmp_path):
    names = (
        "train/none/128D_09016_110500_1",
        "train/none/taal/a",
        "train/deformation/taal/b",
        "val/none/fuji/c",
        "val/deformation/d",
    )
    for seed, name in enumerate(names):
        picture(tmp_path / f"{name}.png", seed)
    found = {patch.path.stem: (patch.split, patch.site, patch.label) for patch in read_patch_set(tmp_path)}
    assert found == {
        "128D_09016_110500_1": ("train", "128D_09016_110500", 0),
        "a": ("train", "taal", 0),
        "b": ("train", "taal", 1),
        "c": ("validation", "fuji", 0),
        "d": ("validation", "", 1),
    }


def test_a_manifest_of_three_classes_round_trips(tmp_path):
    classes = ("none", "mine", "volcano")
    patches = [Patch(picture(tmp_path / f"{i}.png", i), i % 3, site=f"s{i}", split="train") for i in range(6)]
    write_manifest(tmp_path / "manifest.csv", patches, classes=classes)
    found = read_patch_set(tmp_path)
    assert found.classes == classes
    assert [(p.path, p.label, p.site, p.split) for p in found] == [(p.path, p.label, p.site, p.split) for p in patches]
    assert found.sizes == {(12, 12): 6}
    assert found[1:3] == found.patches[1:3]


def test_one_class_is_refused(tmp_path):
    with pytest.raises(ProductError, match=r"has one class only \('deformation'\), expected two or more"):
        read_patch_set(folders(tmp_path, "deformation"))
    (tmp_path / "manifest.csv").write_text("file,label\ndeformation/0.png,1\n")
    with pytest.raises(ProductError, match="one class only"):
        read_patch_set(tmp_path)


def test_an_empty_class_is_refused(tmp_path):
    folders(tmp_path, "none", "deformation")
    (tmp_path / "earthquake").mkdir()
    with pytest.raises(ProductError, match=r"earthquake: no images in the folder of a class"):
        read_patch_set(tmp_path)


def test_nothing_is_refused(tmp_path):
    with pytest.raises(ProductError, match="holds no patches"):
        read_patch_set(tmp_path)
    with pytest.raises(ProductError, match="no such file or folder"):
        read_patch_set(tmp_path / "nowhere")
    (tmp_path / "manifest.csv").write_text("file,label\na.png,\n")
    with pytest.raises(ProductError, match="line 2: the column 'label' is empty"):
        read_patch_set(tmp_path)


def test_unreadable_pictures_are_named_all_at_once(tmp_path):
    folders(tmp_path, "none", "deformation")
    (tmp_path / "none" / "text.png").write_text("not a picture")
    cut = tmp_path / "deformation" / "0.png"
    cut.write_bytes(cut.read_bytes()[:-40])
    with pytest.raises(ProductError, match=r"2 of 5 pictures cannot be read") as caught:
        read_patch_set(tmp_path)
    assert "text.png" in str(caught.value)
    assert "0.png (cut short)" in str(caught.value)
    assert "remove them" in str(caught.value)


def test_missing_files_of_a_manifest_are_named(tmp_path):
    write_manifest(tmp_path / "manifest.csv", [Patch(tmp_path / "a.png", 0), Patch(tmp_path / "b.png", 1)])
    with pytest.raises(ProductError, match=r"2 of 2 .*a\.png \(No such file or directory\)"):
        read_patch_set(tmp_path)


def test_odd_sizes_are_named_unless_any_size_will_do(tmp_path):
    folders(tmp_path, "none", "deformation")
    picture(tmp_path / "none" / "large.png", 99, side=20)
    with pytest.raises(
        ProductError, match=r"4 pictures are 12 x 12 pixels, 1 have another size: .*large\.png \(20 x 20\)"
    ):
        read_patch_set(tmp_path)
    assert read_patch_set(tmp_path, any_size=True).sizes == {(12, 12): 4, (20, 20): 1}


def test_a_file_listed_twice_is_refused(tmp_path):
    one, other = picture(tmp_path / "a.png", 1), picture(tmp_path / "b.png", 2)
    write_manifest(tmp_path / "manifest.csv", [Patch(one, 0), Patch(other, 1), Patch(one, 0)])
    with pytest.raises(ProductError, match=r"same file more than once: .*a\.png"):
        read_patch_set(tmp_path)


def test_copies_share_a_group_and_no_label_or_split(tmp_path):
    folders(tmp_path, "none", "deformation")
    shutil.copy(tmp_path / "none" / "0.png", tmp_path / "none" / "copy.png")
    found = {f"{p.path.parent.name}/{p.path.stem}": p.group for p in read_patch_set(tmp_path)}
    assert found["none/0"] == found["none/copy"] != ""
    assert found["none/1"] == ""
    shutil.move(tmp_path / "none" / "copy.png", tmp_path / "deformation" / "copy.png")
    with pytest.raises(ProductError, match="copies of one picture are labelled deformation and none"):
        read_patch_set(tmp_path)
    (tmp_path / "deformation" / "copy.png").unlink()
    copy = shutil.copy(tmp_path / "none" / "0.png", tmp_path / "copy.png")
    rows = [
        Patch(tmp_path / "none" / "0.png", 0, split="train"),
        Patch(copy, 0, split="validation"),
        Patch(tmp_path / "deformation" / "0.png", 1, split="train"),
    ]
    write_manifest(tmp_path / "manifest.csv", rows)
    with pytest.raises(ProductError, match="copies of one picture are in different splits"):
        read_patch_set(tmp_path)


def test_groups_that_share_a_copy_are_one(tmp_path):
    first = picture(tmp_path / "a.png", 1)
    paths = [first, *(picture(tmp_path / f"{name}.png", seed) for seed, name in enumerate("bcd", 2))]
    copies = [shutil.copy(first, tmp_path / f"copy{number}.png") for number in range(2)]
    rows = [
        Patch(paths[0], 0, site="taal", group="g1"),
        Patch(copies[0], 0, site="etna", group="g2"),
        Patch(copies[1], 0, site="erta"),
        Patch(paths[1], 1, site="hekla", group="g2"),
        Patch(paths[2], 1, site="katla", group="g3"),
        Patch(paths[3], 0, site="fuji"),
    ]
    write_manifest(tmp_path / "manifest.csv", rows)
    assert [patch.group for patch in read_patch_set(tmp_path)] == ["g1", "g1", "g1", "g1", "g3", ""]


def test_pictures_of_complex_numbers_will_do(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    for seed, name in enumerate(("none", "deformation")):
        phase = np.random.default_rng(seed).uniform(-3, 3, (1, 12, 20))
        (tmp_path / name).mkdir()
        profile = {"height": 12, "width": 20, "count": 1, "dtype": "complex64"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with rasterio.open(tmp_path / name / "a.tif", "w", driver="GTiff", **profile) as file:
                file.write(np.exp(1j * phase).astype(np.complex64))
    assert read_patch_set(tmp_path).sizes == {(12, 20): 2}


def test_any_picture_that_pillow_opens_will_do(tmp_path):
    rng = np.random.default_rng(0)
    for name, suffix in (("none", "jpg"), ("deformation", "tif")):
        (tmp_path / name).mkdir()
        Image.fromarray(rng.integers(0, 255, (12, 12), np.uint8)).save(tmp_path / name / f"a.{suffix}")
    assert read_patch_set(tmp_path).counts() == {"none": 1, "deformation": 1}


@given(
    sizes=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=4, max_size=30),
    share=st.floats(0.1, 0.5),
    seed=st.integers(0, 5),
)
def test_splits_share_no_site(tmp_path_factory, sizes, share, seed):
    root = tmp_path_factory.getbasetemp()
    patches = [
        Patch(root / f"{site}_{label}_{index}.png", label, site=f"s{site}")
        for site, counts in enumerate(sizes)
        for label, count in enumerate(counts)
        for index in range(count)
    ]
    split = split_by_site(patches, validation=share, seed=seed)
    assert [patch.path for patch in split] == [patch.path for patch in patches]
    sites = {name: {p.site for p in split if p.split == name} for name in ("train", "validation")}
    assert not sites["train"] & sites["validation"]
    assert {patch.split for patch in split} <= {"train", "validation"}
    held = Counter(p.label for p in split if p.split == "validation")
    for label in (0, 1):
        of_site = Counter(p.site for p in patches if p.label == label)
        if of_site:
            # No further from the share than the largest sites are large.
            assert abs(held[label] - share * of_site.total()) <= 2 * max(max(counts) for counts in sizes)


def test_a_split_of_many_small_sites_is_eight_to_two_in_each_class(tmp_path):
    patches = [Patch(tmp_path / f"{i}.png", int(i % 3 == 0), site=f"s{i // 4}") for i in range(600)]
    split = split_by_site(patches, seed=1)
    for label in (0, 1):
        of_class = [patch.split for patch in split if patch.label == label]
        assert of_class.count("validation") / len(of_class) == pytest.approx(0.2, abs=0.01)
    assert split == split_by_site(patches, seed=1)
    assert split != split_by_site(patches, seed=2)


def test_two_sites_of_each_class_put_both_classes_in_both_splits(tmp_path):
    patches = [Patch(tmp_path / f"{i}.png", i % 2, site=f"s{i}") for i in range(4)]
    split = split_by_site(patches)
    assert {(p.label, p.split) for p in split} == {(0, "train"), (1, "train"), (0, "validation"), (1, "validation")}


def test_a_split_that_is_told_stays(tmp_path):
    told = [Patch(tmp_path / "a.png", 1, site="taal", split="validation"), Patch(tmp_path / "b.png", 0, site="taal")]
    rest = [Patch(tmp_path / f"{i}.png", i % 2, site=f"s{i}") for i in range(10)]
    assert [p.split for p in split_by_site([*told, *rest])[:2]] == ["validation"] * 2
    with pytest.raises(ConfigError, match=r"site taal: is in the splits train and validation \(.*b\.png"):
        split_by_site([told[0], Patch(tmp_path / "b.png", 0, site="taal", split="train"), *rest])
    with pytest.raises(ConfigError, match="expected a share between 0 and 1"):
        split_by_site(rest, validation=1.0)


def test_sites_that_share_a_scene_group_stay_together(tmp_path):
    patches = [
        Patch(tmp_path / f"{i}.png", i % 2, site=f"s{i // 4}", group=f"event{i // 8}" if i < 160 else "")
        for i in range(320)
    ]
    for seed in range(5):
        split = split_by_site(patches, seed=seed)
        for what in ("site", "group"):
            train, validation = (
                {getattr(p, what) for p in split if p.split == part} - {""} for part in ("train", "validation")
            )
            assert not train & validation
        assert sum(p.split == "validation" for p in split) == pytest.approx(64, abs=8)


def test_a_scene_group_of_all_sites_is_told_and_does_not_stop_the_split(tmp_path, capsys):
    patches = [Patch(tmp_path / f"{i}.png", i % 2, site=f"s{i // 4}", group="one pass") for i in range(80)]
    split = split_by_site(patches)
    assert {(p.label, p.split) for p in split} == {(0, "train"), (1, "train"), (0, "validation"), (1, "validation")}
    assert "scene groups tie too many sites together" in capsys.readouterr().err


def test_words_for_splits_are_understood_in_manifests_as_in_names_of_folders(tmp_path):
    words = ["Train", "training", "val", "valid", "Validation", "test", "", "extra"]
    rows = [Patch(picture(tmp_path / f"{i}.png", i), i % 2, split=word) for i, word in enumerate(words)]
    write_manifest(tmp_path / "manifest.csv", rows)
    expected = ["train", "train", "validation", "validation", "validation", "test", "", "extra"]
    assert [patch.split for patch in read_patch_set(tmp_path)] == expected


def test_class_folders_can_be_chosen_by_site_and_split(tmp_path):
    for split in ("train", "val"):
        for site in ("taal", "etna"):
            picture(tmp_path / split / "none" / site / "a.png", seed=len(split + site))
            picture(tmp_path / split / "deformation" / site / "b.png", seed=90 + len(split + site))
    found = select(open_patches(tmp_path), only=["site=taal", "split=validation"])
    assert [path.relative_to(tmp_path).as_posix() for path in (p.path for p in found)] == [
        "val/deformation/taal/b.png",
        "val/none/taal/a.png",
    ]
