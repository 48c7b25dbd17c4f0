"""Zips and STAC items: what is inside is found and read as it is outside; what is built to harm is refused."""

from __future__ import annotations

import json
import struct
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
from affine import Affine

import fringewatch as fw
from fringewatch.conventions import SENTINEL1_WAVELENGTH_M, SPEED_OF_LIGHT_M_S, wrap
from fringewatch.errors import ProductError
from fringewatch.interferogram import make_interferogram
from fringewatch.products import companions_of, discover
from fringewatch.products.licsar import write_licsar
from fringewatch.products.zips import member_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FRAME = "128D_09016_110500"
TRANSFORM = Affine(0.001, 0, 14, 0, -0.001, 41)


def phase(seed: int = 0) -> np.ndarray:
    rows, columns = np.mgrid[:40, :50].astype(np.float32)
    return wrap(np.float32(0.3) * rows + np.float32(0.2 + 0.1 * seed) * columns + np.float32(0.01))


def write_tif(path: Path, values: np.ndarray, **grid: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    georeference = grid or {"crs": "EPSG:4326", "transform": TRANSFORM}
    with rasterio.open(
        path, "w", driver="GTiff", height=40, width=50, count=1, dtype=values.dtype, nodata=np.nan, **georeference
    ) as sink:
        sink.write(values, 1)
    return path


def write_pair(folder: Path, first: str, second: str, seed: int = 0) -> Path:
    scene = make_interferogram(
        phase(seed), wavelength_m=SENTINEL1_WAVELENGTH_M, transform=TRANSFORM, crs="EPSG:4326",
        companions={"coherence": np.full((40, 50), 0.6), "height": np.ones((40, 50))},
    )  # fmt: skip
    return write_licsar(folder, scene, frame=FRAME, reference_date=first, secondary_date=second)


def zip_folder(folder: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return target


# Zips.


@pytest.fixture
def frame_zip(tmp_path: Path) -> Path:
    write_pair(tmp_path / "in", "20180601", "20180613")
    write_pair(tmp_path / "in", "20180613", "20180625", seed=1)
    (tmp_path / "zips").mkdir()
    return zip_folder(tmp_path / "in", tmp_path / "zips" / "frame.zip")


def test_a_zip_gives_what_is_inside(frame_zip: Path, tmp_path: Path) -> None:
    found = list(discover(frame_zip))
    assert [reference.product for reference in found] == ["zip", "zip"]
    outside = list(discover(tmp_path / "in"))
    for inner, plain in zip(found, outside, strict=True):
        read, expected = fw.open_interferogram(inner), fw.open_interferogram(plain)
        assert read.attrs["product"] == "licsar"
        assert read.attrs["name"] == plain.name
        assert read.attrs["reference_date"] == expected.attrs["reference_date"]
        for variable in ("phase", "coherence", "height"):
            np.testing.assert_array_equal(read[variable], expected[variable])
        assert read.rio.crs == expected.rio.crs
        # What a run keeps track of is the zip, whose changes can be seen.
        assert Path(inner.path) == frame_zip
        assert companions_of(inner) == []


def test_a_zip_is_found_in_a_folder(frame_zip: Path) -> None:
    assert [reference.address.partition("#")[0] for reference in discover(frame_zip.parent)] == [str(frame_zip)] * 2


@pytest.mark.parametrize("mark", ["!", "#"])
def test_one_of_a_zip_by_name(frame_zip: Path, mark: str) -> None:
    member = f"{FRAME}/20180613_20180625/20180613_20180625.geo.diff_pha.tif"
    read = fw.open_interferogram(f"{frame_zip}{mark}{member}")
    np.testing.assert_allclose(read["phase"], phase(1), atol=2e-6)


def test_a_zip_of_several_asks_which(frame_zip: Path) -> None:
    with pytest.raises(ProductError, match=r"frame\.zip: holds 2 interferograms .*such as .*frame\.zip#128D"):
        fw.open_interferogram(frame_zip)
    with pytest.raises(ProductError, match=r"holds no interferogram 'nothing\.tif', expected one of: 128D_"):
        fw.open_interferogram(f"{frame_zip}#nothing.tif")


def test_radar_images_and_zips_in_zips_hold_no_interferogram(tmp_path: Path) -> None:
    inner = write_tif(tmp_path / "x.tif", phase())
    for name, member in (("s1", "S1A_IW_SLC__1SDV.SAFE/measurement/s1a.tiff"), ("nested", "inner.zip")):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            archive.write(inner, member)
        with pytest.raises(ProductError, match="holds no interferogram that is known by its name"):
            fw.open_interferogram(tmp_path / f"{name}.zip")


def test_a_zip_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb_20200101_20200113.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
        archive.open("pair.tif", "w", force_zip64=True) as sink,
    ):
        for _ in range(300):
            sink.write(bytes(1024**2))
    assert path.stat().st_size < 400_000
    with pytest.raises(ProductError, match=r"would grow from .* to 314,572,800 bytes, expected at most 200 times"):
        fw.open_interferogram(path)
    # In a batch it is one bad input among others.
    assert [reference.path for reference in discover(tmp_path)] == [str(path)]


def test_a_zip_that_repeats_one_file_a_thousand_times_is_refused(tmp_path: Path) -> None:
    """Entries of the directory may share the same data: small on disk, endless when unpacked."""
    path = tmp_path / "shared.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.tif", bytes(100 * 1024**2))
    content = path.read_bytes()
    start = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    entry = content[start:end]
    directory = entry * 1000
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1000, 1000, len(directory), start, 0)
    path.write_bytes(content[:start] + directory + tail)
    with pytest.raises(ProductError, match="would grow"):
        member_names(str(path))


@pytest.mark.parametrize("name", ["../../evil.tif", "/etc/evil.tif", "a/../../x.tif", "C:\\evil.tif", "..\\evil.tif"])
@pytest.mark.parametrize("zip_name", ["pair.zip", "S1AA_20190610T135156_20190622T135157_VVP012_INT80_G_ueF_F8BF.zip"])
def test_names_outside_of_the_zip_are_refused(tmp_path: Path, name: str, zip_name: str) -> None:
    path = tmp_path / zip_name
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("20200101_20200113.tif", b"II*\0")
        archive.writestr(zipfile.ZipInfo(name), b"evil")
    with pytest.raises(ProductError, match="expected names inside the zip only"):
        fw.open_interferogram(path)


def test_encrypted_and_damaged_zips_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pair.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pair.tif", b"II*\0")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(ProductError, match=r"is encrypted \(pair.tif\), expected a plain zip"):
        fw.open_interferogram(path)
    path.write_bytes(content[:40])
    with pytest.raises(ProductError, match="cannot be read as a zip"):
        fw.open_interferogram(path)


# STAC items.


def item(assets: dict[str, dict[str, Any]], **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": "etna-12", "geometry": None, "links": [], "assets": assets,
        "properties": {"datetime": None, "start_datetime": "2020-01-01T05:00:00Z",
                       "end_datetime": "2020-01-13T05:00:00Z"} | properties,
    }  # fmt: skip


@pytest.fixture
def write_item(tmp_path: Path) -> Callable[..., Path]:
    pytest.importorskip("pystac", reason="needs the [stac] extra")

    def write(assets: dict[str, dict[str, Any]], **properties: Any) -> Path:
        path = tmp_path / "items" / "item.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(item(assets, **properties)))
        return path

    return write


def test_the_asset_that_is_phase_is_read_with_its_companions(write_item, tmp_path: Path) -> None:
    write_tif(tmp_path / "data" / "wrapped.tif", phase())
    write_tif(tmp_path / "data" / "unwrapped.tif", phase() * 3)
    write_tif(tmp_path / "data" / "c.tif", np.full((40, 50), 0.7, np.float32))
    path = write_item(
        {
            "unw": {"href": "../data/unwrapped.tif", "roles": ["data"]},
            "wrapped": {"href": "../data/wrapped.tif", "roles": ["data"]},
            "coherence": {"href": "../data/c.tif", "roles": ["data"]},
            "quicklook": {"href": "../data/wrapped_phase.png", "roles": ["thumbnail"]},
        },
        **{"sar:center_frequency": 1.257},
    )
    (reference,) = discover(path)
    assert (reference.product, reference.member, reference.name) == ("stac", "wrapped", "etna-12_wrapped")
    read = fw.open_interferogram(reference)
    np.testing.assert_array_equal(read["phase"], phase())
    np.testing.assert_allclose(read["coherence"], 0.7)
    attrs = read.attrs
    assert (attrs["reference_date"], attrs["secondary_date"]) == ("2020-01-01", "2020-01-13")
    assert attrs["wavelength_m"] == pytest.approx(SPEED_OF_LIGHT_M_S / 1.257e9)
    assert "the dates are the first and the last of the STAC item" in attrs["assumptions"]
    assert not any("wavelength" in sentence for sentence in attrs["assumptions"])
    assert attrs["source"] == str(tmp_path / "data" / "wrapped.tif")


def test_what_the_user_and_the_names_say_comes_first(write_item, tmp_path: Path) -> None:
    write_pair(tmp_path / "data", "20180601", "20180613")
    pair = f"../data/{FRAME}/20180601_20180613/20180601_20180613.geo"
    path = write_item(
        {"a": {"href": f"{pair}.diff_pha.tif"}, "b": {"href": f"{pair}.cc.tif"}}, **{"sar:center_frequency": 1.257}
    )
    read = fw.open_interferogram(path, wavelength_m=0.031)
    assert read.attrs["product"] == "licsar"
    assert read.attrs["reference_date"] == "2018-06-01"
    assert read.attrs["wavelength_m"] == 0.031
    assert "height" in read  # found beside the pair, as always


def test_the_grid_of_the_item_is_taken_where_the_file_has_none(write_item, tmp_path: Path) -> None:
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        write_tif(tmp_path / "data" / "phase.tif", phase(), compress="lzw")
    grid = {"proj:code": "EPSG:32633", "proj:transform": [80, 0, 500_000, 0, -80, 4_500_000], "proj:shape": [40, 50]}
    read = fw.open_interferogram(write_item({"phase": {"href": "../data/phase.tif"} | grid}))
    assert read.rio.crs.to_epsg() == 32633
    assert read.rio.bounds() == (500_000, 4_500_000 - 40 * 80, 500_000 + 50 * 80, 4_500_000)
    assert "the grid is that of the STAC item" in read.attrs["assumptions"]
    assert not any("pixel indices" in sentence for sentence in read.attrs["assumptions"])
    wrong = fw.open_interferogram(write_item({"phase": {"href": "../data/phase.tif"} | grid | {"proj:shape": [4, 5]}}))
    assert wrong.rio.crs is None


def test_an_item_beside_its_file_is_no_second_interferogram(write_item, tmp_path: Path) -> None:
    write_tif(tmp_path / "items" / "phase_20200101_20200113.tif", phase())
    path = write_item({"phase": {"href": "./phase_20200101_20200113.tif"}})
    assert [reference.product for reference in discover(tmp_path)] == ["geotiff"]
    # Named alone it is read.
    np.testing.assert_array_equal(fw.open_interferogram(path)["phase"], phase())


def test_other_json_is_no_input(tmp_path: Path) -> None:
    pytest.importorskip("pystac", reason="needs the [stac] extra")
    write_tif(tmp_path / "20200101_20200113.tif", phase())
    for name, content in (("card", '{"name": 1}'), ("catalog", '{"stac_version": "1.0.0", "type": "Catalog"}')):
        (tmp_path / f"{name}.json").write_text(content)
    assert [reference.product for reference in discover(tmp_path)] == ["geotiff"]
    with pytest.raises(ProductError, match=r"card\.json: holds no interferogram"):
        fw.open_interferogram(tmp_path / "card.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"stac_version": "1.0.0", "type": "Feature"', "is damaged"),
        ('{"stac_version": "1.0.0", "type": "Feature", "assets": 3}', "is no valid STAC item"),
        ('{"stac_version": ' + "[" * 100_000, "is damaged"),
    ],
)
def test_damaged_items_are_named(tmp_path: Path, content: str, message: str) -> None:
    pytest.importorskip("pystac", reason="needs the [stac] extra")
    (tmp_path / "item.json").write_text(content)
    with pytest.raises(ProductError, match=message):
        fw.open_interferogram(tmp_path / "item.json")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def test_an_item_over_http(write_item, tmp_path: Path, server: str) -> None:
    write_tif(tmp_path / "data" / "wrapped.tif", phase())
    write_item({"wrapped": {"href": "../data/wrapped.tif"}})
    read = fw.open_interferogram(f"{server}/items/item.json")
    np.testing.assert_array_equal(read["phase"], phase())
    assert read.attrs["source"] == f"{server}/data/wrapped.tif"


@pytest.mark.parametrize("address", ["file:///etc/phase.tif", "/vsizip//etc/x.zip/phase.tif"])
def test_an_item_from_the_network_cannot_name_local_files(write_item, server: str, address: str) -> None:
    write_item({"phase": {"href": address}})
    with pytest.raises(ProductError, match="expected an address such as https:// or s3://; it was not opened"):
        fw.open_interferogram(f"{server}/items/item.json")


def test_an_item_that_is_not_there(server: str) -> None:
    with pytest.raises(ProductError, match=r"nothing\.json: cannot be read .*404"):
        fw.open_interferogram(f"{server}/nothing.json")


# What is no container, but built to harm.


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pkl", ".tif"])
def test_pickles_are_never_loaded(tmp_path: Path, suffix: str) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "executed",)

    path = tmp_path / f"20200101_20200113{suffix}"
    with path.open("wb") as sink:
        if suffix == ".npz":
            np.savez(sink, phase=np.array([Evil()], dtype=object))
        else:
            np.save(sink, np.array([Evil()], dtype=object), allow_pickle=True)
    with pytest.raises(ProductError, match="expected a raster"):
        fw.open_interferogram(path)
    assert not (tmp_path / "executed").exists()


def test_entities_of_xml_are_not_expanded(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    lines = ['<!ENTITY a0 "lol">', *(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))]
    path = tmp_path / "20200101_20200113.vrt"
    path.write_text(
        f'<?xml version="1.0"?><!DOCTYPE x [{"".join(lines)}<!ENTITY file SYSTEM "{secret.as_uri()}">]>'
        '<VRTDataset rasterXSize="50" rasterYSize="40"><Metadata><MDI key="a">&a11;&file;</MDI></Metadata>'
        '<VRTRasterBand dataType="Float32" band="1"/></VRTDataset>'
    )
    with pytest.raises(ProductError) as raised:
        fw.open_interferogram(path)
    assert "secret" not in str(raised.value).replace(str(path), "")
