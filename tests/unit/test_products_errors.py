"""Bad input: one line that names the file, what is wrong and what to do; never a raw error of a library."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import from_origin

import fringewatch as fw
from fringewatch.errors import FringewatchError, ProductError
from fringewatch.products import EXAMPLE_FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PAIR = "20180601_20180613"


def write(path: Path, *bands: np.ndarray, **profile: Any) -> Path:
    height, width = bands[0].shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        sink = rasterio.open(
            path, "w", driver="GTiff", height=height, width=width, count=len(bands), dtype=bands[0].dtype, **profile
        )
    with sink:
        sink.write(np.stack(bands))
    return path


def ramp(shape: tuple[int, int] = (40, 40)) -> np.ndarray:
    return np.linspace(-3, 3, shape[0] * shape[1], dtype=np.float32).reshape(shape)


def truncated(folder: Path) -> Path:
    path = write(folder / "pair.tif", np.random.default_rng(0).uniform(-3, 3, (300, 300)).astype(np.float32))
    path.write_bytes(path.read_bytes()[:150_000])
    return path


def text(folder: Path) -> Path:
    path = folder / "pair.tif"
    path.write_text("<html><body>404 Not Found</body></html>\n")
    return path


def empty(folder: Path) -> Path:
    path = folder / "pair.tif"
    path.touch()
    return path


def noise(folder: Path) -> Path:
    path = folder / "pair.tif"
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    return path


def damaged_png(folder: Path) -> Path:
    path = folder / "patch.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200), np.uint8)).save(path)
    content = bytearray(path.read_bytes())
    content[5000:6000] = bytes(1000)
    path.write_bytes(content)
    return path


def cut_png(folder: Path) -> Path:
    path = folder / "patch.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:20])
    return path


def bomb_png(folder: Path) -> Path:
    """300,000 x 300,000 pixels promised in a file of 100 bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 300_000, 300_000, 8, 0, 0, 0, 0)
    path = folder / "patch.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10))) + chunk(b"IEND", b"")
    )
    return path


def one_strip_tiff(folder: Path) -> Path:
    """20,000 x 20,000 in a single strip, sparse: a few bytes on disk, 1.6 GB in memory if read at once."""
    path = folder / "pair.tif"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        rasterio.open(
            path, "w", driver="GTiff", height=20_000, width=20_000, count=1, dtype="float32",
            blockysize=20_000, sparse_ok=True, compress="deflate",
        ).close()  # fmt: skip
    return path


CASES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "truncated": (truncated, "is damaged or cut short .* fetch it again"),
    "text": (text, "is plain text, expected a raster"),
    "empty": (empty, r"is empty \(0 bytes\)"),
    "noise": (noise, "no known raster format or damaged at its start"),
    "damaged png": (damaged_png, "is damaged or cut short"),
    "cut png": (cut_png, "damaged"),
    "bomb png": (bomb_png, "300000 x 300000 pixels, expected at most 100 million"),
    "one strip": (one_strip_tiff, "too large to read in part; rewrite it in tiles: gdal_translate"),
    "no data": (lambda f: write(f / "pair.tif", np.full((40, 40), np.nan, np.float32)), "every pixel is no data"),
    "all zero": (lambda f: write(f / f"{PAIR}.geo.diff_pha.tif", np.zeros((40, 40), np.float32)), "every pixel"),
    "all zero complex": (lambda f: write(f / "pair.tif", np.zeros((40, 40), np.complex64)), "every pixel is no data"),
    "tiny": (lambda f: write(f / "pair.tif", ramp((3, 3))), "is 3 x 3 pixels, expected at least 8 x 8"),
    "constant": (lambda f: write(f / "pair.tif", np.full((40, 40), 1.5, np.float32)), "phase is 1.5 everywhere"),
    "integers": (lambda f: write(f / "pair.tif", ramp().astype(np.int16)), "holds int16 without a declared scale"),
    "licsar of integers": (
        lambda f: write(f / f"{PAIR}.geo.diff_pha.tif", ramp().astype(np.uint8)),
        "holds uint8, expected float32 radians as LiCSAR writes them",
    ),
    "grey as float": (
        lambda f: write(f / "pair.tif", np.rint(ramp() * 40 + 125)),
        "holds whole numbers from 5 to 245, expected radians; if they are grey values say kind='picture'",
    ),
    "too many bands": (lambda f: write(f / "pair.tif", *[ramp()] * 3), "has 3 bands of float32.* say which with band="),
    "too many bands of a picture": (
        lambda f: write(f / "pair.tif", *[np.ones((40, 40), np.uint8)] * 5),
        r"has 5 band\(s\) of uint8, expected a picture",
    ),
    "claims to be wrapped": (
        lambda f: write(f / f"{PAIR}.geo.diff_pha.tif", ramp() * 10),
        r"claims to hold wrapped phase, but its values run from -30 to 30, expected radians in \[-pi, pi\]",
    ),
    "claims to be wrapped, elsewhere": (
        lambda f: write(f / "etna_wrapped_phase.tif", ramp() * 10),
        "claims to hold wrapped phase",
    ),
    "coherence": (lambda f: write(f / "pair_corr.tif", np.abs(ramp()) / 3), r"what goes with one \(corr\)"),
    "licsar coherence": (
        lambda f: write(f / f"{PAIR}.geo.cc.tif", ramp().astype(np.uint8)),
        r"expected one of .geo.diff_pha.tif, .geo.diff_unfiltered_pha.tif, .geo.unw.tif",
    ),
    "missing": (lambda f: f / "missing.tif", "there is no such file"),
    "missing licsar": (lambda f: f / f"{PAIR}.geo.diff_pha.tif", "there is no such file"),
    "missing folder": (lambda f: f / "no" / "such" / "pair.tif", "there is no such file"),
    "name too long": (lambda f: f / ("a" * 300 + ".tif"), "cannot be read|there is no such file"),
    "folder": (lambda f: f, "is a folder that holds no interferogram"),
}


@pytest.mark.parametrize(("make", "message"), CASES.values(), ids=CASES)
def test_bad_input_is_one_clear_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], make: Callable[[Path], Path], message: str
) -> None:
    path = make(tmp_path)
    with pytest.raises(ProductError, match=message) as caught:
        fw.open_interferogram(path)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("make", [truncated, damaged_png])
def test_damage_met_while_computing_is_the_same_error(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    with pytest.raises(ProductError, match="is damaged or cut short"):
        fw.open_interferogram(make(tmp_path), chunks=64)["phase"].compute()


def test_values_out_of_range_are_met_while_computing(tmp_path: Path) -> None:
    values = ramp((1000, 1000))
    values[300, 300] = 40  # between the blocks that are sampled on opening
    ifg = fw.open_interferogram(write(tmp_path / "etna_wrapped.tif", values), chunks=256)
    with pytest.raises(ProductError, match="claims to hold wrapped phase"):
        ifg["phase"].compute()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_permission_denied(tmp_path: Path) -> None:
    path = write(tmp_path / "pair.tif", ramp())
    path.chmod(0)
    with pytest.raises(ProductError, match=r"cannot be read \(Permission denied\).* change its permissions"):
        fw.open_interferogram(path)


def test_permission_denied_is_told_from_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path as AnyPath

    path = text(tmp_path)

    def denied(self: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(AnyPath, "open", denied)
    with pytest.raises(ProductError, match=r"cannot be read \(Permission denied\).* change its permissions"):
        fw.open_interferogram(path)


def test_unreachable_address() -> None:
    # Nothing listens on the discard port of this machine.
    with pytest.raises(ProductError, match=r"cannot be opened .* check the address, the network and your credentials"):
        fw.open_interferogram("http://127.0.0.1:9/pair.tif")


def test_container_without_bands(tmp_path: Path) -> None:
    path = tmp_path / "layers.gpkg"
    for number, table in enumerate(("phase", "height")):
        with rasterio.open(
            path, "w", driver="GPKG", height=64, width=64, count=1, dtype="uint8", crs="EPSG:4326",
            transform=from_origin(10, 40, 0.001, 0.001), raster_table=table,
            append_subdataset="YES" if number else "NO",
        ) as sink:  # fmt: skip
            sink.write(np.ones((1, 64, 64), np.uint8))
    with pytest.raises(
        ProductError, match=r"is a container of phase, height, expected a raster .* name one of its layers"
    ):
        fw.open_interferogram(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "phase"}, "kind = 'phase': expected one of auto, wrapped"),
        ({"phase_sign": "up"}, "phase_sign = 'up': expected one of range increase"),
        ({"band": 2}, "has no band 2, expected 1 to 1"),
        ({"kind": "complex"}, "expected complex numbers"),
        ({"wavelength_m": 5.6}, "wavelength_m = 5.6, expected metres"),
        ({"chunks": 0}, "chunks = 0: expected a side in pixels"),
        ({"chunks": (8, 8, 8)}, "expected a side in pixels, a pair"),
    ],
)
def test_wrong_arguments(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ProductError, match=message):
        fw.open_interferogram(write(tmp_path / "pair.tif", ramp()), **options)


def test_one_bad_file_does_not_end_a_batch(tmp_path: Path) -> None:
    text(tmp_path)
    write(tmp_path / "good.tif", ramp())
    results = []
    for reference in fw.discover([tmp_path, tmp_path / "missing.tif"]):
        try:
            results.append(fw.open_interferogram(reference).attrs["name"])
        except FringewatchError as error:
            results.append(type(error).__name__)
    assert results == ["good", "ProductError", "ProductError"]


def test_the_bundled_example(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if EXAMPLE_FOLDER.is_dir():
        ifg = fw.open_interferogram()
        assert ifg.attrs["product"] == "licsar"
    monkeypatch.setattr("fringewatch.products.EXAMPLE_FOLDER", tmp_path)
    with pytest.raises(ProductError, match=r"the bundled example is missing.*reinstall"):
        fw.open_interferogram()


HYP3 = "S1AA_20180601T135156_20180613T135157_VVP012_INT80_G_ueF_F8BF"
NAMES = [f"{PAIR}.geo.diff_pha.tif", f"{PAIR}.geo.unw.tif", f"{HYP3}_wrapped_phase.tif", f"{HYP3}_unw_phase.tif"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "complex"}, r"kind='complex' was asked for, but the file is \w+ (un)?wrapped phase .*leave kind out"),
        ({"kind": "picture"}, r"kind='picture' was asked for, but .*expected 'wrapped' or 'unwrapped'"),
        ({"band": 7}, "has no band 7, expected 1 to 1; leave band out or correct it"),
        ({"wavelength_m": 5.6}, "wavelength_m = 5.6, expected metres"),
    ],
)
def test_a_provider_s_file_refuses_what_it_is_not(
    tmp_path: Path, name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ProductError, match=message):
        fw.open_interferogram(write(tmp_path / name, ramp()), **options)


@pytest.mark.parametrize("name", NAMES)
def test_a_provider_s_file_takes_what_the_user_knows_better(tmp_path: Path, name: str) -> None:
    other = np.flip(ramp(), 0)
    path = write(tmp_path / name, ramp(), np.ascontiguousarray(other))
    plain = fw.open_interferogram(path)["phase"].values
    kind = "unwrapped" if "unw" in name else "wrapped"
    np.testing.assert_array_equal(fw.open_interferogram(path, kind=kind, band=1)["phase"].values, plain)
    np.testing.assert_array_equal(fw.open_interferogram(path, band=2)["phase"].values, np.flip(plain, 0))
    np.testing.assert_array_equal(fw.open_interferogram(path, phase_sign="range decrease")["phase"].values, -plain)
    without = fw.open_interferogram(path, nodata=float(plain[5, 5]))["phase"].values
    assert np.argwhere(np.isnan(without)).tolist() == [[5, 5]]
    # A renamed file: the user's word stands against the name's.
    steep = fw.open_interferogram(write(path, ramp() * 10), kind="unwrapped")
    assert steep.attrs["unwrapped_range_rad"] == pytest.approx(60, rel=1e-6)


@pytest.mark.parametrize("name", ["pair.tif", f"{PAIR}.geo.diff_pha.tif", f"{HYP3}_wrapped_phase.tif"])
def test_complex_numbers_are_not_radians(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, np.exp(1j * ramp()).astype(np.complex64))
    with pytest.raises(ProductError, match=r"complex.*leave kind out"):
        fw.open_interferogram(path, kind="wrapped")
    np.testing.assert_allclose(fw.open_interferogram(path, kind="complex")["phase"].values, ramp(), atol=1e-6)


@pytest.mark.parametrize("options", [{"kind": "unwrapped"}, {"kind": "complex"}, {"band": 1}])
def test_a_picture_is_read_whole_and_as_grey(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "patch.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8)).save(path)
    with pytest.raises(ProductError, match=r"patch\.png: (kind|band)=.* was asked for, but .*; leave (kind|band) out"):
        fw.open_interferogram(path, **options)


@pytest.mark.parametrize("palette", [False, True])
def test_no_single_value_of_a_colour_is_no_data(tmp_path: Path, palette: bool) -> None:
    hue = np.tile(np.arange(250, dtype=np.uint8), (40, 1))
    full = np.full_like(hue, 255)
    colours = Image.fromarray(np.stack([hue, full, full], -1), "HSV").convert("RGB")
    path = tmp_path / "quicklook.png"
    (colours.quantize(250) if palette else colours).save(path)
    fw.open_interferogram(path)
    with pytest.raises(ProductError, match=r"nodata=0 was asked for, but a colour has no single value.*leave nodata"):
        fw.open_interferogram(path, nodata=0)


def test_a_value_of_a_grey_palette_is_no_data(tmp_path: Path) -> None:
    grey = np.tile(np.arange(200, dtype=np.uint8), (40, 1))
    picture = Image.fromarray(grey, "P")
    picture.putpalette([value for value in range(256) for _ in range(3)])
    path = tmp_path / "patch.png"
    picture.save(path)
    phase = fw.open_interferogram(path, nodata=7)["phase"].values
    assert np.flatnonzero(np.isnan(phase).all(axis=0)).tolist() == [7]
    assert np.isnan(phase).sum() == 40
