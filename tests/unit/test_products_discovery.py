"""What discovery takes for an interferogram, and what it leaves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import fringewatch as fw
from fringewatch.errors import ProductError
from fringewatch.interferogram import make_interferogram
from fringewatch.products import READERS, Reference, companions_of
from fringewatch.products.reference import Reader, stem
from fringewatch.report import drawn_here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import xarray as xr

    from fringewatch.products.reference import ReadOptions

FRAME = "128D_09016_110500"
PAIR = "20180601_20180613"
HYP3 = "S1AA_20190610T135156_20190622T135157_VVP012_INT80_G_ueF_F8BF"
BURST = "S1_213524_IW1_20170411_20170517_VV_INT80_8E81"
BURSTS = "S1_064-000000s1n00-056069s2n04-000000s3n00_IW_20220814_20220907_VV_INT20_AB12"


def touch(root: Path, *names: str) -> list[Path]:
    paths = [root / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths


def found(root: Path, given: Iterable[Path | str] | Path | str, **options: bool) -> list[str]:
    return [os.path.relpath(reference.path, root) for reference in fw.discover(given, **options)]


def test_a_licsar_frame_gives_one_reference_per_pair(tmp_path: Path) -> None:
    kinds = ("diff_pha.tif", "diff_unfiltered_pha.tif", "unw.tif", "cc.tif", "diff.png", "unw.png")
    touch(tmp_path, *(f"{FRAME}/interferograms/{PAIR}/{PAIR}.geo.{kind}" for kind in kinds))
    second = "20180613_20180625"
    touch(tmp_path, *(f"{FRAME}/interferograms/{second}/{second}.geo.{kind}" for kind in kinds[1:]))
    touch(tmp_path, *(f"{FRAME}/metadata/{FRAME}.geo.{kind}.tif" for kind in ("E", "N", "U", "hgt", "landmask")))
    touch(tmp_path, f"{FRAME}/epochs/20180601/20180601.geo.mli.tif", f"{FRAME}/epochs/20180601/20180601.sltd.geo.tif")
    references = list(fw.discover(tmp_path))
    assert [(r.product, r.name) for r in references] == [
        ("licsar", f"{FRAME}_{PAIR}.geo.diff_pha"),
        ("licsar", f"{FRAME}_{second}.geo.diff_unfiltered_pha"),
    ]


def test_cut_licsar_files_are_pairs_of_their_own(tmp_path: Path) -> None:
    touch(tmp_path, f"{PAIR}.geo.diff_pha.tif", f"{PAIR}.geo.diff_pha_crop.tif", f"{PAIR}.geo.cc_crop.tif")
    assert found(tmp_path, tmp_path) == [f"{PAIR}.geo.diff_pha.tif", f"{PAIR}.geo.diff_pha_crop.tif"]


def test_grey_patches_named_after_licsar_are_pictures(tmp_path: Path) -> None:
    touch(tmp_path, f"africa_erta_ale_{FRAME}_{PAIR}.geo.diff_pha_crop.png")
    (reference,) = fw.discover(tmp_path)
    assert reference.product == "image"


@pytest.mark.parametrize("base", [HYP3, BURST, BURSTS])
def test_a_hyp3_folder_gives_one_reference(tmp_path: Path, base: str) -> None:
    kinds = ["unw_phase.tif", "unw_phase.png", "color_phase.png", "corr.tif", "dem.tif", "lv_theta.tif", "lv_phi.tif"]
    kinds += ["water_mask.tif", "amp.tif", "inc_map_ell.tif", "los_disp.tif", "vert_disp.tif", "conncomp.tif"]
    touch(tmp_path, *(f"{base}/{base}_{kind}" for kind in kinds), f"{base}/{base}.txt", f"{base}/{base}.README.md.txt")
    (reference,) = fw.discover(tmp_path)
    assert reference == Reference(str(tmp_path / base / f"{base}_unw_phase.tif"), "hyp3", f"{base}_unw_phase")
    touch(tmp_path, f"{base}/{base}_wrapped_phase.tif")
    assert found(tmp_path, tmp_path) == [f"{base}/{base}_wrapped_phase.tif"]


def test_companions_masks_and_results_are_no_references(tmp_path: Path) -> None:
    touch(
        tmp_path,
        *("pair.tif", "pair.png", "other.png", "pair_coh.tif", "pair.cc.tif", "pair_corr.tif", "dem.tif", "x.hgt.tif"),
        *("pair_mask.png", "site.geo.E.tif", "lv_theta.tif", "pair.int.cor.tif", "notes.txt", ".hidden.tif"),
        *("pair.probability.tif", "done.png", "done.detections.geojson", "masks/pair.png", ".git/pair.tif"),
    )
    done = tmp_path / "done.png"
    Image.new("L", (8, 8)).save(done, pnginfo=drawn_here())
    # pair.png is the quicklook of pair.tif.
    assert found(tmp_path, tmp_path) == ["other.png", "pair.tif"]


def patch_set(folder: Path, mark: str, *, first: str = "none/a.png") -> Path:
    """Make what a data set of `prepare` or `simulate` is known by."""
    touch(folder, "none/a.png", "deformation/b.png", "train/pair.tif")
    (folder / "manifest.csv").write_text(f"file,label\n{first},none\n")
    (folder / mark).write_text("form: any\n")
    return folder


@pytest.mark.parametrize("mark", [".fringewatch-prepare.jsonl", "prepare.csv", "simulate.yaml"])
def test_patches_of_an_earlier_run_are_no_scenes_unless_named(tmp_path: Path, mark: str) -> None:
    touch(tmp_path, "pair.tif", "picture.png", "sets/other.tif")
    patches = patch_set(tmp_path / "sets" / "old", mark)
    scenes = ["pair.tif", "picture.png", "sets/other.tif"]
    inside = [f"sets/old/{name}" for name in ("deformation/b.png", "none/a.png", "train/pair.tif")]
    assert found(tmp_path, tmp_path) == scenes
    assert sorted(found(tmp_path, f"{tmp_path}/*")) == scenes
    assert found(tmp_path, patches) == inside
    assert found(tmp_path, f"{patches}/") == inside
    assert found(tmp_path, patches / "none") == inside[1:2]
    assert found(tmp_path, [tmp_path, patches]) == [*scenes, *inside]
    assert found(tmp_path, f"{tmp_path}/sets/*") == [*inside, "sets/other.tif"]


def test_a_killed_run_has_no_manifest_yet(tmp_path: Path) -> None:
    touch(tmp_path, "pair.tif", "old/none/a.png", "begun/pair.tif")
    (tmp_path / "old" / ".fringewatch-prepare.jsonl").write_text("{}\n")
    # Nothing was written there: whatever it holds is not of that run.
    touch(tmp_path, "begun/.fringewatch-prepare.jsonl")
    assert found(tmp_path, tmp_path) == ["pair.tif", "begun/pair.tif"]


@pytest.mark.parametrize(
    ("mark", "manifest"),
    [
        ("simulate.yaml", f"file,label\n{FRAME}/{PAIR}/{PAIR}.geo.diff_pha.tif,none\n"),  # scenes in LiCSAR form
        ("simulate.yaml", None),
        ("prepare.yaml", "file,label\nnone/a.png,none\n"),  # settings and labels that a user keeps with the scenes
        ("prepare.csv", "url,file\nhttps://example.org,none/a.png\n"),
        ("prepare.csv", ""),
        ("prepare.csv", "file,label\n"),
        ("prepare.csv", "file,label\n\0"),
    ],
)
def test_folders_of_scenes_are_no_patches(tmp_path: Path, mark: str, manifest: str | None) -> None:
    name = f"scenes/{FRAME}/{PAIR}/{PAIR}.geo.diff_pha.tif"
    touch(tmp_path, name, f"scenes/{mark}")
    if manifest is not None:
        (tmp_path / "scenes" / "manifest.csv").write_text(manifest)
    assert found(tmp_path, tmp_path) == [name]


def test_words_that_merely_contain_a_companions_name_are_kept(tmp_path: Path) -> None:
    names = ["cordoba.tif", "demmin_20200101_20200113.tif", "mask_free_pair.tif", "etna_corrected.tif", "etna_n.tif"]
    touch(tmp_path, *names)
    assert found(tmp_path, tmp_path) == sorted(names)


def test_explicit_files_are_references_even_if_odd(tmp_path: Path) -> None:
    (text,) = touch(tmp_path, "notes.txt")
    (coherence,) = touch(tmp_path, f"{PAIR}.geo.cc.tif")
    assert found(tmp_path, text) == ["notes.txt"]
    assert found(tmp_path, [coherence]) == [f"{PAIR}.geo.cc.tif"]


def test_a_pattern_the_shell_expanded_drops_companions(tmp_path: Path) -> None:
    kinds = ("cc", "diff_pha", "unw", "U")
    files = touch(tmp_path, *(f"{frame}/{PAIR}.geo.{kind}.tif" for frame in "ab" for kind in kinds))
    files += touch(tmp_path, "dem.tif", "odd.dat", "mine.tif", "mine.png")
    pairs = [f"a/{PAIR}.geo.diff_pha.tif", f"b/{PAIR}.geo.diff_pha.tif"]
    assert found(tmp_path, files) == [*pairs, "odd.dat", "mine.tif", "mine.png"]
    assert found(tmp_path, [file for file in files if "diff" not in file.name])[0] == f"a/{PAIR}.geo.unw.tif"


def test_patterns(tmp_path: Path) -> None:
    touch(tmp_path, "a/one.tif", "a/one_coh.tif", "b/c/two.tif", "b/three.png", "b/readme.md")
    assert found(tmp_path, f"{tmp_path}/*/*.tif") == ["a/one.tif"]
    assert found(tmp_path, f"{tmp_path}/**/*") == ["a/one.tif", "b/three.png", "b/c/two.tif"]
    # Square brackets may also be part of a name.
    (odd,) = touch(tmp_path, "a/pair[1].tif")
    assert found(tmp_path, odd) == ["a/pair[1].tif"]


def test_jpeg_only_by_name(tmp_path: Path) -> None:
    (picture,) = touch(tmp_path, "pair.jpg")
    assert found(tmp_path, picture) == ["pair.jpg"]
    assert found(tmp_path, tmp_path) == ["."]  # the folder itself, which then fails on opening


def test_home_and_file_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = touch(tmp_path, "my data/pair.tif")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert found(tmp_path, ["~/my data/pair.tif", path.as_uri()]) == ["my data/pair.tif"]


def test_names_are_fit_for_files() -> None:
    names = [r.name for r in fw.discover(["https://example.org/a%20b/pair:1.tif?x=/y", "s3://b/" + "z" * 400 + ".tif"])]
    assert names == ["pair_1", "z" * 180]


def test_recursion_is_a_choice(tmp_path: Path) -> None:
    touch(tmp_path, "one.tif", "below/two.tif")
    assert found(tmp_path, tmp_path) == ["one.tif", "below/two.tif"]
    assert found(tmp_path, tmp_path, recursive=False) == ["one.tif"]


def test_each_file_once(tmp_path: Path) -> None:
    (one,) = touch(tmp_path, "data/one.tif")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "loop").symlink_to(tmp_path)
    assert found(tmp_path, [one, tmp_path / "data", f"{tmp_path}/data/*.tif", tmp_path]) == ["data/one.tif"]


def test_names_stay_unique(tmp_path: Path) -> None:
    touch(tmp_path, "a/ifg.tif", "b/ifg.tif", "c/b/ifg.tif", f"{FRAME}/{PAIR}.geo.unw.tif")
    touch(tmp_path, f"009A_09016_110500/{PAIR}.geo.unw.tif")
    names = [reference.name for reference in fw.discover(tmp_path)]
    assert len(names) == len(set(names)) == 5
    assert {"ifg", "b_ifg", "b_ifg-2"} < set(names)
    assert {f"{FRAME}_{PAIR}.geo.unw", f"009A_09016_110500_{PAIR}.geo.unw"} < set(names)


def test_addresses_are_taken_as_they_are() -> None:
    base = f"https://data.example.org/LiCSAR_products/128/{FRAME}/interferograms/{PAIR}"
    given = [
        f"{base}/{PAIR}.geo.unw.tif",
        "https://example.org/download/pair.tif?token=a/b.c",
        "s3://bucket/mine/pair.tif",
        "/vsizip/archive.zip/pair.png",
    ]
    references = list(fw.discover(given))
    assert [r.path for r in references] == given
    assert [r.product for r in references] == ["licsar", "geotiff", "geotiff", "image"]
    assert [r.name for r in references] == [f"{FRAME}_{PAIR}.geo.unw", "pair", "mine_pair", "archive.zip_pair"]


def test_it_is_a_stream(tmp_path: Path) -> None:
    touch(tmp_path, "a/one.tif")
    references = fw.discover([tmp_path / "a", tmp_path / "missing.tif"])
    assert next(references).name == "one"
    assert next(references).name == "missing"
    assert next(references, None) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("missing.tif", "missing.tif: there is no such file"),
        ("no-such-*.tif", "no file matches this pattern"),
        ("empty", "empty: is a folder that holds no interferogram"),
        ("only_companions/*.tif", "no interferogram is among the files that match"),
    ],
)
def test_what_is_not_there_fails_when_opened(tmp_path: Path, given: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    touch(tmp_path, "only_companions/pair_coh.tif")
    (reference,) = fw.discover(tmp_path / given)
    with pytest.raises(ProductError, match=message):
        fw.open_interferogram(reference)


def test_a_folder_with_several_must_be_narrowed(tmp_path: Path) -> None:
    touch(tmp_path, "a.tif", "b.tif")
    with pytest.raises(ProductError, match=r"several interferograms \(a, b, ...\)"):
        fw.open_interferogram(tmp_path)


def test_a_folder_of_many_pairs_is_listed_once_for_its_geometry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All pairs flat in one folder; and what is added later is seen."""
    folder = tmp_path / "flat"
    names = [f"2018{month:02}01_20190101.geo.diff_pha.tif" for month in range(1, 13)]
    touch(folder, *names, f"{FRAME}.geo.E.tif")
    os.utime(folder, (1e9, 1e9))
    listed: list[str] = []
    original = os.scandir

    def scandir(place: str) -> Any:
        listed.append(place)
        return original(place)

    monkeypatch.setattr(os, "scandir", scandir)

    def companions() -> set[tuple[str, ...]]:
        references = [Reference(str(folder / name), "licsar") for name in names]
        return {tuple(path.rpartition(os.sep)[2] for path in companions_of(reference)) for reference in references}

    assert companions() == {(f"{FRAME}.geo.E.tif",)}
    assert listed.count(str(folder)) == 1
    touch(folder, f"{FRAME}.geo.hgt.tif")
    assert companions() == {(f"{FRAME}.geo.E.tif", f"{FRAME}.geo.hgt.tif")}


def test_companions_of_hyp3_and_of_references_that_name_theirs(tmp_path: Path) -> None:
    endings = ("wrapped_phase.tif", "corr.tif", "lv_phi.tif", "amp.tif")
    phase, corr, phi, _, text = touch(tmp_path, *(f"{HYP3}_{ending}" for ending in endings), f"{HYP3}.txt")
    assert companions_of(Reference(str(phase))) == [str(text), str(corr), str(phi)]
    assert companions_of(Reference(str(phase), companions={"height": "dem.tif"}))[0] == "dem.tif"
    assert companions_of(Reference(f"https://example.org/{HYP3}_wrapped_phase.tif")) == []
    assert companions_of(Reference("etna.tif", companions={"height": "dem.tif"})) == ["dem.tif"]


@pytest.fixture
def several(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a reader of ``*.stack`` files, text with the name of an interferogram on each line."""

    def collect(paths: Sequence[str]) -> list[Reference]:
        return [
            Reference(path, "stack", f"{stem(path)}_{member}", member=member)
            for path in paths
            for member in Path(path).read_text().split()
        ]

    def read(reference: Reference, _options: ReadOptions) -> xr.Dataset:
        phase = np.random.default_rng(0).uniform(-3, 3, (16, 16))
        return make_interferogram(phase, wavelength_m=0.05, source=reference.address, name=reference.name)

    reader = Reader("stack", lambda path: path.endswith(".stack"), collect, read, members=True)
    monkeypatch.setattr("fringewatch.products.READERS", (reader, *READERS))


@pytest.mark.usefixtures("several")
def test_one_file_gives_a_reference_for_each_of_its_interferograms(tmp_path: Path) -> None:
    (path,) = touch(tmp_path, "a/my.stack")
    pairs = ["20180601_20180613", "20180613_20180625"]
    path.write_text(" ".join(pairs))
    addresses = [f"{path}#{pair}" for pair in pairs]
    for given in (path, path.parent, f"{tmp_path}/*/*.stack", [addresses[0], path], [*addresses, addresses[0]]):
        references = list(fw.discover(given))
        assert [reference.address for reference in references] == addresses
        assert {reference.path for reference in references} == {str(path)}
        assert [reference.name for reference in references] == [f"my.stack_{pair}" for pair in pairs]
    assert fw.open_interferogram(addresses[1]).attrs["source"] == addresses[1]
    assert fw.open_interferogram(references[0]).attrs["name"] == "my.stack_20180601_20180613"


@pytest.mark.usefixtures("several")
def test_one_of_several_has_to_be_named(tmp_path: Path) -> None:
    (path,) = touch(tmp_path, "my.stack")
    path.write_text("a b c d")
    message = rf"{path}: holds 4 interferograms \(#a, #b, #c, ...\); name one of them, such as {path}#a$"
    with pytest.raises(ProductError, match=message):
        fw.open_interferogram(path)
    path.write_text("a")
    assert fw.open_interferogram(path).attrs["source"] == f"{path}#a"


def test_a_mark_in_a_files_name_names_no_member(tmp_path: Path, write_scene: Callable[..., Path]) -> None:
    scene = write_scene("pair#1.tif")
    assert found(scene.parent, scene) == ["pair#1.tif"]
    plain = write_scene("pair.tif")
    with pytest.raises(ProductError, match=rf"{plain} holds one interferogram; leave out #2"):
        fw.open_interferogram(f"{plain}#2")
    with pytest.raises(ProductError, match=r"missing.tif#2: there is no such file"):
        fw.open_interferogram(tmp_path / "missing.tif#2")
    assert [r.path for r in fw.discover("s3://bucket/pair#2.tif")] == ["s3://bucket/pair#2.tif"]


def test_a_folder_that_may_not_be_entered_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "open/pair.tif", "closed/pair.tif")
    listed = os.scandir

    def scandir(path: str) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(Path, "iterdir", lambda path: scandir(str(path)))
    first, second = fw.discover(tmp_path)
    assert first.path.endswith("open/pair.tif")
    with pytest.raises(ProductError, match=r"closed: cannot be read \(Permission denied\)"):
        fw.open_interferogram(second)


def test_names_are_made_unique_by_a_folder_that_tells_more(tmp_path: Path) -> None:
    for place in ("etna", "fogo"):
        touch(tmp_path, f"{place}/{FRAME}/interferograms/{PAIR}/{PAIR}.geo.diff_pha.tif")
    names = [reference.name for reference in fw.discover(tmp_path)]
    assert names == [f"{FRAME}_{PAIR}.geo.diff_pha", f"fogo_{FRAME}_{PAIR}.geo.diff_pha"]


@pytest.mark.parametrize(
    "name",
    [
        "epochs/20180601/20180601.geo.iono.code.tif",
        *(
            f"interferograms/20180601_20180613/20180601_20180613.geo.{kind}.png"
            for kind in (
                *("cc.full", "diff.full", "diff_unfiltered.full", "unw.full", "disp_blk", "azi", "rng", "bovldiff.adf"),
                *("diff", "unw_blk", "cc_small"),
            )
        ),
        "dolphin/interferograms/closure_phase_20180601_20180613_20180625.tif",
        "dolphin/interferograms/crlb_20180601.tif",
        "dolphin/interferograms/multilooked_coh_20180601_20180613.tif",
        "dolphin/timeseries/residuals_20180601_20180613.tif",
        "dolphin/timeseries/nonzero_conncomp_counts.tif",
        "NISAR_L2_PR_GUNW_006_172_A_023_008_2000_SH_20180601T001122_QA_STATS.h5",
        "gmtsar/unwrap_grad.grd",
        *(f"mintpy/{each}.h5" for each in ("inputs/ERA5", "inputs/ionStack", "inputs/tropoStack", "inputs/SET")),
        *(f"mintpy/{each}.h5" for each in ("timeseriesResidual", "velocityERA5", "geo/geo_velocitySET")),
    ],
)
def test_what_providers_put_beside_interferograms_is_none(tmp_path, name):
    """Names as COMET's, dolphin's, NISAR's, GMTSAR's and MintPy's own programs write them."""
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".h5" and "mintpy" in name:
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            file.attrs["FILE_TYPE"] = "velocity" if "velocity" in name else "timeseries"
            file["date"] = np.array([b"20180601", b"20180613"])
    else:
        path.write_bytes(b"")
    # A folder without any gives itself, to be reported.
    assert [reference.path for reference in fw.discover(tmp_path)] == [str(tmp_path)]


def test_series_that_were_corrected_are_observations(tmp_path):
    h5py = pytest.importorskip("h5py")
    for name in ("timeseries_ERA5_ramp_demErr", "geo_timeseries_SET_ERA5"):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file.attrs["FILE_TYPE"] = "timeseries"
            file["date"] = np.array([b"20180601", b"20180613"])
    found = [reference.address.rpartition("/")[2] for reference in fw.discover(tmp_path)]
    assert found == [
        f"{name}.h5#20180601_20180613" for name in ("geo_timeseries_SET_ERA5", "timeseries_ERA5_ramp_demErr")
    ]
