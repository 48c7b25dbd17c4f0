"""Headerless raw files, look vectors and XML headers: what the readers of many providers share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from rasterio.crs import CRS

from fringewatch.errors import ProductError
from fringewatch.physics.geometry import look_vector
from fringewatch.products import look, raster
from fringewatch.products.par_files import grid_of, read_par, wavelength_m
from fringewatch.products.raw import RawGrid, byte_order, inspect_companion, inspect_raw
from fringewatch.products.xml_files import inside, parse_xml
from product_writers import DEGREES, Scene, dem_par, put, text

if TYPE_CHECKING:
    from pathlib import Path

VALUES = np.linspace(-20, 9, 12 * 17, dtype=np.float32).reshape(12, 17)


class TestRaw:
    @pytest.mark.parametrize("order", ["<", ">"])
    def test_reads_windows_of_either_byte_order(self, tmp_path: Path, order: str) -> None:
        path = put(tmp_path / "odd & <named>.unw", VALUES, f"{order}f4")
        grid = RawGrid((12, 17), DEGREES, CRS.from_epsg(4326))
        info = inspect_raw(str(path), grid, "float32", big_endian=order == ">")
        assert (info.shape, info.transform, info.path) == ((12, 17), DEGREES, str(path))
        # A line at a time: a huge file is read in part.
        assert info.block == (1, 17)
        np.testing.assert_array_equal(raster.read(info)[0], VALUES)
        lazy = raster.read(info, chunks=5)
        np.testing.assert_array_equal(lazy[0, 7:11, 3:16].compute(), VALUES[7:11, 3:16])

    def test_several_files_are_bands_of_one_raster(self, tmp_path: Path) -> None:
        paths = [str(put(tmp_path / name, sign * VALUES, ">f4")) for name, sign in (("i", 1), ("q", -1))]
        info = inspect_raw(paths[0], RawGrid((12, 17)), "float32", big_endian=True, parts=paths[1:])
        np.testing.assert_array_equal(raster.read(info, bands=(1, 2)), [VALUES, -VALUES])
        assert info.transform is None

    @pytest.mark.parametrize("change", [-4, 4])
    def test_a_file_of_another_size_is_refused(self, tmp_path: Path, change: int) -> None:
        # GDAL would fill what is missing with zeros.
        path = tmp_path / "x.unw"
        path.write_bytes(VALUES.tobytes()[:change] if change < 0 else VALUES.tobytes() + bytes(change))
        with pytest.raises(ProductError, match=rf"x\.unw: holds {816 + change} bytes, expected 816 for 12 x 17 pixels"):
            inspect_raw(str(path), RawGrid((12, 17)), "float32")

    def test_a_companion_is_float_or_bytes_by_its_size(self, tmp_path: Path) -> None:
        grid = RawGrid((12, 17))
        put(tmp_path / "a.cc", VALUES, ">f4")
        put(tmp_path / "b.cc", np.arange(12 * 17), "u1")
        put(tmp_path / "c.cc", VALUES, "f8")
        assert inspect_companion(str(tmp_path / "a.cc"), grid, big_endian=True).dtypes == ("float32",)
        assert inspect_companion(str(tmp_path / "b.cc"), grid, big_endian=True).dtypes == ("uint8",)
        with pytest.raises(ProductError, match="expected 816"):
            inspect_companion(str(tmp_path / "c.cc"), grid, big_endian=True)


class TestByteOrder:
    @pytest.mark.parametrize("usual", [True, False])
    @pytest.mark.parametrize("actual", [">", "<"])
    @pytest.mark.parametrize("dtype", ["f4", "c8"])
    def test_is_judged_by_the_values(self, tmp_path: Path, usual: bool, actual: str, dtype: str) -> None:
        values = VALUES * (1 + 1j) if dtype == "c8" else VALUES
        path = put(tmp_path / "x", values, actual + dtype)
        big_endian, notes = byte_order(str(path), np.dtype(dtype).name, big_endian=usual)
        assert big_endian == (actual == ">")
        assert bool(notes) == (big_endian != usual)

    def test_gaps_of_zeros_and_nan_do_not_count(self, tmp_path: Path) -> None:
        values = np.where(VALUES > 5, VALUES, np.nan)
        values[:3] = 0
        for order in "<>":
            path = put(tmp_path / "x", values, f"{order}f4")
            assert byte_order(str(path), "float32", big_endian=True)[0] == (order == ">")

    def test_zeros_alone_are_taken_in_the_usual_order(self, tmp_path: Path) -> None:
        path = put(tmp_path / "x", np.zeros(100), "f4")
        assert byte_order(str(path), "float32", big_endian=True) == (True, [])

    def test_other_bytes_are_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "x"
        path.write_bytes(np.random.default_rng(0).bytes(4000))
        with pytest.raises(ProductError, match="make no sense as float32"):
            byte_order(str(path), "float32", big_endian=True)
        path.write_bytes(b"")
        with pytest.raises(ProductError, match=r"is empty \(0 bytes\)"):
            byte_order(str(path), "float32", big_endian=True)


class TestLook:
    @pytest.mark.parametrize(("heading_deg", "east_sign"), [(347.0, -1), (-13.0, -1), (193.0, 1), (-167.0, 1)])
    def test_agrees_with_the_geometry_of_the_simulator(self, heading_deg: float, east_sign: int) -> None:
        vector = look.from_incidence(39.0, look.sensor_azimuth_deg(heading_deg))
        np.testing.assert_allclose(list(vector.values()), look_vector(heading_deg, 39.0), atol=1e-6)
        # An ascending satellite that looks right stands in the west.
        assert np.sign(vector["los_east"]) == east_sign
        left = look.from_incidence(39.0, look.sensor_azimuth_deg(heading_deg, "left"))
        np.testing.assert_allclose(list(left.values()), look_vector(heading_deg, 39.0, looking="left"), atol=1e-6)

    def test_all_forms_give_the_same_unit_vector(self) -> None:
        incidence, azimuth = np.meshgrid(np.linspace(20, 50, 7), np.linspace(-180, 180, 9))
        vector = look.from_incidence(incidence, azimuth)
        np.testing.assert_allclose(sum(part**2 for part in vector.values()), 1, atol=1e-6)
        elevation = look.from_elevation(np.radians(90 - incidence), np.radians(90 - azimuth))
        horizontal = look.from_horizontal(vector["los_east"], vector["los_north"])
        for name, values in vector.items():
            np.testing.assert_allclose(elevation[name], values, atol=1e-6)
            np.testing.assert_allclose(horizontal[name], values, atol=1e-6)

    @pytest.mark.parametrize("bad", [0.0, 90.0, -5.0, np.nan, np.inf])
    def test_what_is_no_angle_is_no_data(self, bad: float) -> None:
        vector = look.from_incidence(np.array([39.0, bad]), np.array([80.0, 80.0]))
        for values in vector.values():
            np.testing.assert_array_equal(np.isfinite(values), [True, False])

    def test_what_is_outside_the_swath_is_no_data(self) -> None:
        zero, some = np.zeros(2), np.array([0.0, 0.6])
        for vector in (look.from_elevation(some, zero), look.from_horizontal(some, zero)):
            for values in vector.values():
                np.testing.assert_array_equal(np.isfinite(values), [False, True])
        assert np.isnan(look.from_horizontal(np.array([0.9]), np.array([0.9]))["los_up"]).all()

    def test_a_centre_needs_both_angles(self) -> None:
        assert look.of_centre(None, 193.0, "right", (3, 4)) == {}
        assert look.of_centre(39.0, None, "right", (3, 4)) == {}
        assert look.of_centre(120.0, 193.0, "right", (3, 4)) == {}
        assert look.of_centre(39.0, 193.0, "right", (3, 4))["los_up"].shape == (3, 4)


class TestParameterFiles:
    def test_the_corner_is_the_centre_of_a_pixel(self, tmp_path: Path) -> None:
        path = dem_par(tmp_path / "EQA.dem_par", Scene())
        assert f"{DEGREES.c + 0.0005!r}" in path.read_text()
        grid, notes = grid_of(read_par(str(path)), str(path))
        np.testing.assert_allclose(grid.transform.to_gdal(), DEGREES.to_gdal(), rtol=1e-12)
        assert notes == []

    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            ("width:                61", "width: -3", "44 x -3 pixels, expected positive"),
            ("width:                61", "width: 1e30", "expected positive whole numbers"),
            ("post_lat:", "post_no:", "lacks corner_lat, corner_lon or post_"),
        ],
    )
    def test_nonsense_is_refused(self, tmp_path: Path, old: str, new: str, words: str) -> None:
        path = dem_par(tmp_path / "EQA.dem_par", Scene())
        content = path.read_text()
        assert old in content
        path.write_text(content.replace(old, new))
        with pytest.raises(ProductError, match=words):
            grid_of(read_par(str(path)), str(path))

    def test_what_is_not_known_is_said(self, tmp_path: Path) -> None:
        path = dem_par(tmp_path / "EQA.dem_par", Scene())
        content = path.read_text()
        path.write_text(content.replace("EQA\n", "LCC\n"))
        grid, notes = grid_of(read_par(str(path)), str(path))
        assert grid == RawGrid((44, 61))
        assert "the map projection LCC" in notes[0]
        path.write_text(content.replace("WGS 1984", "Bessel 1841"))
        assert "the datum 'Bessel 1841' was taken for WGS 84" in grid_of(read_par(str(path)), str(path))[1][0]

    def test_frequency_is_a_wavelength(self) -> None:
        assert wavelength_m({"radar_frequency": "5.4050005e+09   Hz"}) == pytest.approx(0.0554658, abs=1e-7)
        assert wavelength_m({"radar_frequency": "0 Hz"}) is None
        assert wavelength_m({}) is None

    def test_a_file_that_is_none_is_empty_or_refused(self, tmp_path: Path) -> None:
        assert read_par(str(tmp_path / "none.par")) == {}
        (tmp_path / "big.par").write_bytes(bytes(5 * 1024**2))
        with pytest.raises(ProductError, match="larger than 4 MB"):
            read_par(str(tmp_path / "big.par"))


LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><x>&b;</x>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><x>&a;</x>'


class TestXml:
    @pytest.mark.parametrize("content", [LAUGHS, OUTSIDE, '<!DOCTYPE x SYSTEM "http://example.org/x.dtd"><x/>'])
    def test_entities_and_dtds_are_refused(self, tmp_path: Path, content: str) -> None:
        path = text(tmp_path / "x.xml", content)
        with pytest.raises(ProductError, match="with a DTD or entities"):
            parse_xml(str(path))

    @pytest.mark.parametrize("content", ["", "<x>", "WIDTH 3", "<x>\x01</x>"])
    def test_what_is_no_xml_is_refused(self, tmp_path: Path, content: str) -> None:
        path = text(tmp_path / "x.xml", content)
        with pytest.raises(ProductError, match="is no readable XML"):
            parse_xml(str(path))

    def test_a_huge_or_missing_file_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(ProductError, match="No such file"):
            parse_xml(str(tmp_path / "none.xml"))
        monkeypatch.setattr("fringewatch.products.xml_files._MAX_BYTES", 1024**2)
        path = tmp_path / "x.xml"
        path.write_bytes(b"<x>" + b" " * 2 * 1024**2 + b"</x>")
        with pytest.raises(ProductError, match="of 2 MB, expected at most 1"):
            parse_xml(str(path))

    @pytest.mark.parametrize(
        "name",
        [
            *("../other.img", "data/../../other.img", "/etc/passwd", "", "http://example.org/x.img"),
            *("/vsicurl/http://example.org/x.img", "..\\other.img", "\x00", "link/x.img"),
        ],
    )
    def test_names_that_lead_out_are_refused(self, tmp_path: Path, name: str) -> None:
        folder = tmp_path / "product"
        folder.mkdir()
        (folder / "link").symlink_to(tmp_path)
        with pytest.raises(ProductError, match="not in the product's folder"):
            inside(str(folder), name, header="x.dim")

    @pytest.mark.parametrize("name", ["x.img", "x.data/x.img", "./x.img", "x.data/../x.img"])
    def test_names_inside_are_paths(self, tmp_path: Path, name: str) -> None:
        assert inside(str(tmp_path), name, header="x.dim") == str(tmp_path / name)
        assert inside(str(tmp_path), str(tmp_path / name), header="x.dim") == str(tmp_path / name)
