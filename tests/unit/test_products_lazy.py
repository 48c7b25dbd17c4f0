"""Large rasters are opened without being read, and lazy reading gives what reading at once gives."""

from __future__ import annotations

import pickle
import threading
import tracemalloc
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import dask.array as da
import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin
from rasterio.windows import Window

import fringewatch as fw
from fringewatch.errors import ProductError
from fringewatch.products import raster
from fringewatch.products.decode import PhaseDecoder

if TYPE_CHECKING:
    from collections.abc import Iterator

PAIR = "20180601_20180613"


def write(path: Path, values: np.ndarray, **profile: Any) -> Path:
    height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=1, dtype=values.dtype,
        crs="EPSG:4326", transform=from_origin(10, 40, 0.001, 0.001), **profile,
    ) as sink:  # fmt: skip
        sink.write(values, 1)
    return path


def phase(shape: tuple[int, int] = (300, 400)) -> np.ndarray:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    values = (0.05 * rows + 0.03 * columns).astype(np.float32) + 0.1
    values[rows < 30] = 0
    return values


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("name", [f"{PAIR}.geo.unw.tif", "pair.tif"])
def test_lazy_equals_eager(tmp_path: Path, name: str, tiled: bool) -> None:
    layout = {"tiled": True, "blockxsize": 64, "blockysize": 64} if tiled else {}
    path = write(tmp_path / name, phase(), **layout)
    write(tmp_path / f"{PAIR}.geo.cc.tif", np.full((300, 400), 128, np.uint8))
    eager = fw.open_interferogram(path)
    for chunks in (100, (64, 128), "auto"):
        lazy = fw.open_interferogram(path, chunks=chunks)
        assert all(isinstance(variable.data, da.Array) for variable in lazy.data_vars.values())
        for variable in eager.data_vars:
            np.testing.assert_array_equal(lazy[variable].compute(scheduler="threads"), eager[variable])
        assert lazy.attrs["unwrapped_range_rad"] <= eager.attrs["unwrapped_range_rad"]
        assert lazy.rio.transform() == eager.rio.transform()


def test_chunks_can_travel(tmp_path: Path) -> None:
    path = write(tmp_path / f"{PAIR}.geo.unw.tif", phase())
    sent = cloudpickle.dumps(fw.open_interferogram(path, chunks=100)["phase"].data)
    np.testing.assert_array_equal(pickle.loads(sent).compute(), fw.open_interferogram(path)["phase"])


def test_what_the_sample_missed_is_wrapped_all_the_same(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(-3, 3, (1200, 1200)).astype(np.float32)
    values[300:400, 300:400] = 40  # between the blocks that are looked at on opening
    ifg = fw.open_interferogram(write(tmp_path / "pair.tif", values), chunks=256)
    assert any("judged by a sample" in sentence for sentence in ifg.attrs["assumptions"])
    phase = ifg["phase"].compute()
    np.testing.assert_allclose(phase[350, 350], np.angle(np.exp(40j)), atol=1e-5)
    np.testing.assert_allclose(phase[:256], values[:256], atol=1e-6)


def test_thirty_thousand_square_opens_without_reading(tmp_path: Path) -> None:
    path = tmp_path / "pair.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=30_000, width=30_000, count=1, dtype="float32", nodata=np.nan,
        crs="EPSG:32633", transform=from_origin(300_000, 5_000_000, 20, 20), tiled=True, compress="deflate",
        sparse_ok=True, bigtiff=True,
    ) as sink:  # fmt: skip
        block = phase((512, 512))
        sink.write(block, 1, window=Window(14_848, 14_848, 512, 512))
    tracemalloc.start()
    ifg = fw.open_interferogram(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ifg["phase"].shape == (30_000, 30_000)
    assert isinstance(ifg["phase"].data, da.Array)
    assert peak < 60e6
    assert max(ifg["phase"].data.chunksize) <= 4096
    corner = ifg["phase"][14_848:14_900, 14_848:14_900].compute()
    assert np.isfinite(corner).any()


def test_conversion_in_strips_equals_conversion_at_once() -> None:
    array = np.random.default_rng(0).uniform(-9, 9, (1, 3000, 2000)).astype(np.float32)
    decode = PhaseDecoder(source="test", kind="unwrapped")
    np.testing.assert_array_equal(raster.convert(array, decode), decode(array))


def test_a_raster_is_opened_once_for_header_and_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / f"{PAIR}.geo.diff_pha.tif", phase() % 3)
    other = write(tmp_path / f"{PAIR}.geo.cc.tif", phase() % 1)
    opened: list[str] = []
    open_raster = rasterio.open

    def count(name: str, *arguments: Any, **options: Any) -> Any:
        opened.append(str(name))
        return open_raster(name, *arguments, **options)

    monkeypatch.setattr(rasterio, "open", count)
    ifg = fw.open_interferogram(path)
    assert opened == [str(path), str(other)]
    # Outside of the block nothing is kept: a file that was replaced is read anew.
    write(path, np.full((300, 400), 2, np.float32) + phase() % 1)
    opened.clear()
    info = raster.inspect(str(path))
    assert raster.read(info)[0].min() >= 2
    assert opened == [str(path)] * 2
    assert ifg["phase"].min() < 2


def test_a_raster_kept_open_is_closed_where_reading_fails(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.tif", phase() % 3).read_bytes()
    path = tmp_path / "cut.tif"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ProductError, match="damaged or cut short"):
        fw.open_interferogram(path)
    path.write_bytes(whole)
    assert np.isfinite(fw.open_interferogram(path)["phase"]).any()


def test_companions_share_the_chunks_of_the_phase(tmp_path: Path) -> None:
    path = write(tmp_path / f"{PAIR}.geo.diff_pha.tif", phase() % 3)
    # Two pixels smaller at the top and the left.
    with rasterio.open(
        tmp_path / "x.geo.hgt.tif", "w", driver="GTiff", height=298, width=398, count=1, dtype="float32",
        crs="EPSG:4326", transform=from_origin(10.002, 39.998, 0.001, 0.001),
    ) as sink:  # fmt: skip
        sink.write(np.full((298, 398), 5, np.float32), 1)
    lazy = fw.open_interferogram(path, chunks=100)
    assert lazy.chunks["y"] == (100, 100, 100)
    height = lazy["height"].compute()
    assert np.isnan(height[:2]).all()
    assert (height[2:, 2:] == 5).all()


def test_strips_are_read_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "pair.tif", phase((300, 400)), blockysize=4)
    info = raster.inspect(path.as_posix())
    assert raster.read(info, chunks="auto").chunksize == (1, 300, 400)
    assert raster.chunk_shape(info, None)[1] == 400


class _Ranges(SimpleHTTPRequestHandler):
    """Serves byte ranges, as the archives' servers do."""

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        file = Path(self.translate_path(self.path))
        wanted = self.headers.get("Range")
        if wanted is None or not file.is_file():
            super().do_GET()
            return
        content = file.read_bytes()
        first, last = wanted.removeprefix("bytes=").split("-")
        part = content[int(first) : int(last or len(content)) + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Ranges, directory=str(tmp_path)))
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def test_hyp3_zip_over_http(tmp_path: Path, server: str) -> None:
    base = "S1_213524_IW1_20170411_20170517_VV_INT80_8E81"
    for kind, values in (("unw_phase", phase()), ("corr", np.full((300, 400), 0.25, np.float32))):
        write(tmp_path / f"{kind}.tif", values)
    with zipfile.ZipFile(tmp_path / f"{base}.zip", "w") as archive:
        for kind in ("unw_phase", "corr"):
            archive.write(tmp_path / f"{kind}.tif", f"{base}/{base}_{kind}.tif")
    ifg = fw.open_interferogram(f"{server}/{base}.zip")
    assert ifg.attrs["name"] == base
    np.testing.assert_array_equal(np.isnan(ifg["phase"]), phase() == 0)
    np.testing.assert_allclose(ifg["coherence"], 0.25)


def test_over_s3(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bucket").mkdir()
    write(tmp_path / "bucket" / "pair.tif", phase())
    settings = {"AWS_S3_ENDPOINT": server.removeprefix("http://"), "AWS_HTTPS": "NO", "AWS_VIRTUAL_HOSTING": "FALSE"}
    for key, value in {**settings, "AWS_NO_SIGN_REQUEST": "YES"}.items():
        monkeypatch.setenv(key, value)
    remote = fw.open_interferogram("s3://bucket/pair.tif")
    np.testing.assert_array_equal(remote["phase"], fw.open_interferogram(tmp_path / "bucket" / "pair.tif")["phase"])


def test_over_http(tmp_path: Path, server: str) -> None:
    write(tmp_path / f"{PAIR}.geo.unw.tif", phase())
    write(tmp_path / f"{PAIR}.geo.cc.tif", np.full((300, 400), 51, np.uint8))
    local = fw.open_interferogram(tmp_path / f"{PAIR}.geo.unw.tif")
    remote = fw.open_interferogram(f"{server}/{PAIR}.geo.unw.tif")
    np.testing.assert_array_equal(remote["phase"], local["phase"])
    np.testing.assert_allclose(remote["coherence"], 0.2)
    assert remote.attrs["source"].startswith("http://")
    with pytest.raises(fw.products.ProductError, match=r"cannot be opened \(.*404"):
        fw.open_interferogram(f"{server}/missing.tif")


def test_a_server_that_does_not_answer_holds_up_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "pair.tif", phase())
    asked, answered = threading.Event(), threading.Event()
    original = rasterio.open

    def opened(name: str, *arguments: Any, **settings: Any) -> Any:
        if name.startswith("/vsicurl/"):
            asked.set()
            assert answered.wait(30)
            raise rasterio.errors.RasterioIOError("no answer")
        return original(name, *arguments, **settings)

    monkeypatch.setattr(rasterio, "open", opened)
    with ThreadPoolExecutor(2) as pool:
        remote = pool.submit(raster.inspect, "http://127.0.0.1:9/pair.tif")
        assert asked.wait(30)
        try:
            local = pool.submit(raster.inspect, str(path))
            assert local.result(timeout=10).shape == (300, 400)
            assert not remote.done()
        finally:
            answered.set()
        with pytest.raises(ProductError, match="cannot be opened"):
            remote.result(timeout=10)


def test_filters_of_warnings_are_as_before_after_opening_in_threads(tmp_path: Path) -> None:
    """Pictures have no grid, of which rasterio warns; warnings are errors here."""
    path = tmp_path / "picture.png"
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(path)
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        shapes = {info.shape for info in pool.map(raster.inspect, [str(path)] * 200)}
    assert shapes == {(40, 40)}
    assert warnings.filters == before
