"""Grids as files may have them: rows that run north, columns that run west, slanted frames, longitudes up to 360."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning

import fringewatch as fw
from fringewatch.info import describe_interferogram
from fringewatch.interferogram import footprint
from fringewatch.products import raster
from fringewatch.products.companions import Companions, decode_coherence, decode_values
from fringewatch.products.grid import Grid, offset

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (60, 70)
PAIR = "20180601_20180613"
UTM, DEGREES = Affine(80, 0, 700_000, 0, -80, 9_920_000), Affine(0.001, 0, -91.2, 0, -0.001, -0.7)
SLANTED = Affine(80 * 0.8, 80 * 0.6, 700_000, 80 * 0.6, -80 * 0.8, 9_920_000)
BACKWARDS = [(True, False), (False, True), (True, True)]
SAID = {
    (True, False): "the file's rows run from south to north; they were turned round",
    (False, True): "the file's columns run from east to west; they were turned round",
    (
        True,
        True,
    ): "the file's rows run from south to north and its columns run from east to west; they were turned round",
}


def phase() -> np.ndarray:
    """Wrapped phase that is the same from no two sides."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    bowl = 15 * np.exp(-((rows - 15) ** 2 + (columns - 50) ** 2) / 200) + 0.01 * rows + 0.03 * columns
    return np.angle(np.exp(1j * bowl)).astype(np.float32)


def write(path: Path, values: np.ndarray, transform: Affine | None = UTM, crs: Any = "EPSG:32715", **more: Any) -> Path:
    mask, scale = more.pop("mask", None), more.pop("scale", None)
    with (
        warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path, "w", driver="GTiff", height=values.shape[0], width=values.shape[1], count=1, dtype=values.dtype,
            crs=crs, transform=transform, **more,
        ) as sink,
    ):  # fmt: skip
        sink.write(values, 1)
        if mask is not None:
            sink.write_mask(mask)
        if scale is not None:
            sink.scales = (scale,)
    return path


def backwards(values: np.ndarray, transform: Affine, turned: tuple[bool, bool]) -> tuple[np.ndarray, Affine]:
    """Return the same picture of the ground from the other side."""
    rows, columns = values.shape
    (a, _, c, _, e, f), (south, west) = transform[:6], turned
    grid = Affine(-a if west else a, 0, c + a * columns * west, 0, -e if south else e, f + e * rows * south)
    return values[:: -1 if south else 1, :: -1 if west else 1], grid


class TestTurnedRound:
    @pytest.mark.parametrize("turned", BACKWARDS)
    def test_north_is_at_the_top_and_west_at_the_left(self, tmp_path: Path, turned: tuple[bool, bool]) -> None:
        path = write(tmp_path / "pair.tif", *backwards(phase(), UTM, turned))
        ifg = fw.open_interferogram(path)
        np.testing.assert_array_equal(ifg["phase"], phase())
        assert ifg.rio.transform() == UTM
        assert (ifg["y"].values[0], ifg["x"].values[0]) == (9_919_960, 700_040)
        assert SAID[turned] in ifg.attrs["assumptions"]
        # Nothing of what comes after has to stride backwards through memory.
        assert ifg["phase"].data.flags.c_contiguous

    @pytest.mark.parametrize("turned", BACKWARDS)
    def test_windows_are_those_of_the_upright_scene(self, tmp_path: Path, turned: tuple[bool, bool]) -> None:
        path = write(tmp_path / "pair.tif", *backwards(phase(), UTM, turned), tiled=True, blockxsize=16, blockysize=16)
        for chunks in (17, (16, 32), "auto"):
            ifg = fw.open_interferogram(path, chunks=chunks)
            np.testing.assert_array_equal(ifg["phase"].compute(), phase())
            np.testing.assert_array_equal(ifg["phase"][7:23, 31:59].compute(), phase()[7:23, 31:59])
        rows = raster.read(raster.inspect(str(path)), rows=slice(11, 19))
        np.testing.assert_array_equal(rows[0], phase()[11:19])

    def test_a_mask_is_turned_with_its_raster(self, tmp_path: Path) -> None:
        known = np.full(SHAPE, 255, np.uint8)
        known[5:20, 3:9] = 0
        turned = (True, True)
        values, grid = backwards(phase(), UTM, turned)
        path = write(tmp_path / "pair.tif", values, grid, mask=backwards(known, UTM, turned)[0])
        np.testing.assert_array_equal(np.isnan(fw.open_interferogram(path)["phase"]), known == 0)

    @pytest.mark.parametrize("of_phase", [(False, False), (True, False), (False, True)])
    @pytest.mark.parametrize("of_coherence", [(False, False), (True, False), (False, True)])
    def test_companions_lie_on_the_phase_whichever_way_each_runs(
        self, tmp_path: Path, of_phase: tuple[bool, bool], of_coherence: tuple[bool, bool]
    ) -> None:
        coherence = np.arange(1, 1 + phase().size).reshape(SHAPE).astype(np.float32) / phase().size
        path = write(tmp_path / f"{PAIR}.geo.diff_pha.tif", *backwards(phase(), DEGREES, of_phase), "EPSG:4326")
        write(tmp_path / f"{PAIR}.geo.cc.tif", *backwards(coherence, DEGREES, of_coherence), "EPSG:4326")
        ifg = fw.open_interferogram(path)
        np.testing.assert_array_equal(ifg["phase"], phase())
        np.testing.assert_array_equal(ifg["coherence"], coherence)

    def test_an_ordinary_grid_says_nothing_of_it(self, tmp_path: Path) -> None:
        ifg = fw.open_interferogram(write(tmp_path / "pair.tif", phase()))
        assert not any("turned round" in sentence for sentence in ifg.attrs["assumptions"])

    @pytest.mark.parametrize("grid", [None, Affine(2, 0, 5, 0, 3, 7)])
    def test_without_a_coordinate_system_nobody_knows_where_north_is(self, tmp_path: Path, grid: Affine | None) -> None:
        ifg = fw.open_interferogram(write(tmp_path / "pair.tif", phase(), grid, None))
        np.testing.assert_array_equal(ifg["phase"], phase())
        np.testing.assert_array_equal(ifg["y"], np.arange(60))
        assert not any("turned round" in sentence for sentence in ifg.attrs["assumptions"])


class TestSlantedIntegers:
    @pytest.fixture
    def frame(self, tmp_path: Path) -> np.ndarray:
        """Where a slanted raster of floating-point numbers has data, once it is brought north-up."""
        ifg = fw.open_interferogram(write(tmp_path / "float.tif", phase(), SLANTED))
        valid: np.ndarray = np.isfinite(ifg["phase"].values)
        assert 0.4 < valid.mean() < 0.6
        return valid

    def test_a_picture_has_no_data_outside_its_frame(self, tmp_path: Path, frame: np.ndarray) -> None:
        grey = np.rint((phase() + np.pi) / (2 * np.pi) * 255).astype(np.uint8)
        path = write(tmp_path / "pair.tif", grey, SLANTED)
        ifg = fw.open_interferogram(path)
        np.testing.assert_array_equal(np.isfinite(ifg["phase"]), frame)
        assert not any("no alpha" in sentence for sentence in ifg.attrs["assumptions"])
        lazy = fw.open_interferogram(path, chunks=17)["phase"].compute()
        np.testing.assert_array_equal(lazy, ifg["phase"])

    def test_a_palette_has_no_data_outside_its_frame(self, tmp_path: Path, frame: np.ndarray) -> None:
        path = write(tmp_path / "pair.tif", np.rint((phase() + np.pi) * 40).astype(np.uint8), SLANTED)
        with rasterio.open(path, "r+") as sink:
            sink.write_colormap(1, {value: (value, value, value, 255) for value in range(256)})
        np.testing.assert_array_equal(np.isfinite(fw.open_interferogram(path)["phase"]), frame)

    @pytest.mark.parametrize("dtype", ["int16", "uint16", "int32", "uint32"])
    def test_scaled_integers_have_no_data_outside_their_frame(
        self, tmp_path: Path, frame: np.ndarray, dtype: str
    ) -> None:
        steps = np.rint((phase() + 4) * 1000).astype(dtype)
        ifg = fw.open_interferogram(write(tmp_path / "pair.tif", steps, SLANTED, scale=0.001))
        np.testing.assert_array_equal(np.isfinite(ifg["phase"]), frame)

    def test_a_declared_value_and_a_mask_go_on_counting(self, tmp_path: Path, frame: np.ndarray) -> None:
        known = np.full(SHAPE, 255, np.uint8)
        known[:, :35] = 0
        steps = np.rint((phase() + 4) * 1000).astype(np.int16)
        masked = fw.open_interferogram(write(tmp_path / "a.tif", steps, SLANTED, scale=0.001, mask=known))
        declared = fw.open_interferogram(
            write(tmp_path / "b.tif", np.where(known, steps, -1).astype(np.int16), SLANTED, scale=0.001, nodata=-1)
        )
        valid = np.isfinite(masked["phase"].values)
        assert valid.sum() == pytest.approx(frame.sum() / 2, rel=0.05)
        assert not (valid & ~frame).any()
        np.testing.assert_array_equal(np.isfinite(declared["phase"]), valid)

    @pytest.mark.parametrize("rows", [None, slice(10, 40)])
    def test_so_have_companions(self, tmp_path: Path, frame: np.ndarray, rows: slice | None) -> None:
        height = write(tmp_path / "height.tif", np.full(SHAPE, 500, np.int16), SLANTED)
        companions = Companions(raster.inspect(str(tmp_path / "float.tif")), None, {}, rows=rows)
        values = companions.read("height", [str(height)], decode_values)
        assert values is not None
        expected = np.where(frame, np.float32(500), np.float32(np.nan))
        if rows is not None:
            expected[: rows.start] = expected[rows.stop :] = np.nan
        np.testing.assert_array_equal(values, expected)


class TestLongitudes:
    @pytest.mark.parametrize(("west", "expected"), [(204.6, -155.4), (180, -180), (-200, 160)])
    def test_east_of_180_is_west_of_greenwich(self, tmp_path: Path, west: float, expected: float) -> None:
        path = write(tmp_path / "pair.tif", phase(), Affine(0.001, 0, west, 0, -0.001, 19.5), "EPSG:4326")
        ifg = fw.open_interferogram(path)
        assert ifg["x"].values[0] == pytest.approx(expected + 0.0005, abs=1e-9)
        np.testing.assert_array_equal(ifg["phase"], phase())

    @pytest.mark.parametrize("west", [179.95, -180.02, -180, 10, 179.93])
    def test_a_scene_across_the_date_line_stays_whole(self, tmp_path: Path, west: float) -> None:
        path = write(tmp_path / "pair.tif", phase(), Affine(0.001, 0, west, 0, -0.001, 19.5), "EPSG:4326")
        ifg = fw.open_interferogram(path)
        assert ifg["x"].values[0] == pytest.approx(west + 0.0005)
        assert np.ptp(ifg["x"].values) == pytest.approx(0.069)
        outline = footprint(ifg)
        assert outline is not None
        assert -180 <= outline.exterior.coords[0][0] < 180
        centre = describe_interferogram(ifg).centre
        assert centre == pytest.approx(((west + 0.035 + 180) % 360 - 180, 19.47), abs=1e-6)

    def test_metres_are_no_longitudes(self, tmp_path: Path) -> None:
        path = write(tmp_path / "pair.tif", phase(), Affine(1, 0, 400, 0, -1, 500))
        assert fw.open_interferogram(path).rio.transform().c == 400

    def test_grads_go_to_400(self, tmp_path: Path) -> None:
        grid = Affine(0.001, 0, 390, 0, -0.001, 50)
        assert fw.open_interferogram(write(tmp_path / "pair.tif", phase(), grid, "EPSG:4807"))["x"].values[
            0
        ] == pytest.approx(-10 + 0.0005)

    def test_a_unit_of_nothing_turns_nothing(self) -> None:
        broken = CRS.from_wkt('GEOGCS["x",DATUM["d",SPHEROID["s",6378137,298]],PRIMEM["Greenwich",0],UNIT["degree",0]]')
        grid = Affine(1, 0, 500, 0, -1, 0)
        assert raster.within_half_turn(grid, broken, 10) == grid
        assert raster.full_turn(CRS.from_epsg(4326)) == pytest.approx(360, abs=1e-9)

    @pytest.mark.parametrize("west", [204.6, 204.6 - 360])
    @pytest.mark.parametrize("start", [204.6, 204.6 - 360])
    def test_companions_may_count_otherwise(self, tmp_path: Path, west: float, start: float) -> None:
        coherence = np.linspace(0.1, 0.9, phase().size, dtype=np.float32).reshape(SHAPE)
        onto = write(tmp_path / "pair.tif", phase(), Affine(0.001, 0, west, 0, -0.001, 19.5), "EPSG:4326")
        other = write(tmp_path / "cc.tif", coherence, Affine(0.001, 0, start, 0, -0.001, 19.5), "EPSG:4326")
        companions = Companions(raster.inspect(str(onto)), None, {})
        np.testing.assert_array_equal(companions.read("coherence", [str(other)], decode_coherence), coherence)

    def test_a_wide_companion_across_the_date_line_covers_a_scene_beyond_it(self, tmp_path: Path) -> None:
        """Its longitudes run from 179 to 206: they cannot all be brought below 180."""
        wide = write(
            tmp_path / "dem.tif", np.ones((20, 270), np.float32), Affine(0.1, 0, 179, 0, -0.1, 20), "EPSG:4326"
        )
        scene = Grid((8, 12), Affine(0.1, 0, 204.5 - 360, 0, -0.1, 19.5), CRS.from_epsg(4326))
        assert offset(raster.inspect(str(wide)), scene) == (5, 255)
        other_side = Grid((8, 12), Affine(0.1, 0, 24.5, 0, -0.1, 19.5), CRS.from_epsg(4326))
        assert offset(raster.inspect(str(wide)), other_side) is None
