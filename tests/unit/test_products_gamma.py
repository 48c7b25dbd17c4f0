"""GAMMA, LiCSBAS and ROI_PAC: headers that lie apart from the data, and what is refused."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

import fringewatch as fw
from fringewatch.errors import ProductError
from fringewatch.products import companions_of
from product_writers import (
    DAYS,
    PAIR,
    Scene,
    dem_par,
    image_par,
    look,
    put,
    text,
    write_gamma,
    write_licsbas,
    write_roipac,
    zeros,
)

if TYPE_CHECKING:
    from pathlib import Path

SCENE = Scene()


class TestGamma:
    @pytest.mark.parametrize(
        "name",
        [
            *(f"{PAIR}.diff", f"{PAIR}.filt.diff", f"{PAIR}.diff.sm", f"{PAIR}_adf.diff", f"{PAIR}.adf", f"{PAIR}.int"),
            *("180601-180613_4rlks.int", f"diff_{PAIR}_4rlks.flt", f"{PAIR}.png", f"{PAIR}.diff.par", "notes.diff"),
        ],
    )
    def test_is_known_by_dates_and_ending(self, tmp_path: Path, name: str) -> None:
        put(tmp_path / name, SCENE.complex, ">c8")
        image_par(tmp_path / f"{DAYS[0]}.mli.par", SCENE, DAYS[0])
        known = [reference for reference in fw.discover(tmp_path) if reference.product == "gamma"]
        assert bool(known) == (name.endswith((".diff", ".sm", ".int", ".flt")) and name != "notes.diff")
        for reference in known:
            assert fw.open_interferogram(reference).attrs["secondary_date"] == "2018-06-13"

    def test_of_a_pair_the_geocoded_filtered_complex_file_is_read(self, tmp_path: Path) -> None:
        write_gamma(tmp_path, SCENE, where="degrees")
        write_gamma(tmp_path, SCENE, form="unw")
        place = tmp_path / PAIR
        put(place / f"{PAIR}.filt.diff.geo", SCENE.complex, ">c8")
        put(place / f"{PAIR}.filt.cc.geo", SCENE.coherence * 0.5, ">f4")
        (reference,) = fw.discover(tmp_path)
        assert reference.path.endswith(f"{PAIR}.filt.diff.geo")
        ifg = fw.open_interferogram(reference)
        # The coherence that is filtered, too.
        assert float(ifg["coherence"].max()) == pytest.approx(SCENE.coherence.max() / 2)

    def test_headers_are_found_above_the_pair_and_in_the_projects_folders(self, tmp_path: Path) -> None:
        written = write_gamma(tmp_path / "IFG", SCENE, where="degrees")
        for folder, pattern in (("geo", "*.dem_par"), ("SLC/20180601", "20180601.mli.par")):
            (tmp_path / folder).mkdir(parents=True)
            for path in written.path.parent.glob(pattern):
                shutil.move(path, tmp_path / folder / path.name.replace(".mli", ".slc.mli"))
        (written.path.parent / f"{DAYS[1]}.mli.par").unlink()
        ifg = fw.open_interferogram(written.path)
        np.testing.assert_allclose(ifg["x"][0], 14.1005)
        assert "los_east" in ifg
        assert not any("wavelength" in sentence for sentence in ifg.attrs["assumptions"])

    def test_two_headers_that_fit_are_said(self, tmp_path: Path) -> None:
        written = write_gamma(tmp_path, SCENE)
        dem_par(written.path.parent / "EQA.dem_par", SCENE)
        assumptions = fw.open_interferogram(written.path).attrs["assumptions"]
        assert any(f"EQA.dem_par fits the file as well as {PAIR}.off" in sentence for sentence in assumptions)

    def test_turned_sizes_go_by_the_name_of_the_pair(self, tmp_path: Path) -> None:
        written = write_gamma(tmp_path, SCENE)
        # 61 x 44 makes as many bytes; it belongs to another image.
        image_par(written.path.parent / "20190101.mli.par", SCENE, "20190101", SCENE.shape[::-1])
        ifg = fw.open_interferogram(written.path)
        np.testing.assert_allclose(ifg["phase"], SCENE.wrapped, atol=1e-5)

    def test_a_left_looking_radar_stands_on_the_other_side(self, tmp_path: Path) -> None:
        written = write_gamma(tmp_path, SCENE)
        for path in written.path.parent.glob("*.mli.par"):
            path.write_text(path.read_text().replace("azimuth_angle:          90.0", "azimuth_angle:         -90.0"))
        truth = look(np.full(SCENE.shape, SCENE.incidence_centre_deg), SCENE.azimuth_deg + 180)
        np.testing.assert_allclose(fw.open_interferogram(written.path)["los_east"], truth[0], atol=1e-6)

    def test_unknown_projections_leave_pixel_indices(self, tmp_path: Path) -> None:
        written = write_gamma(tmp_path, SCENE, where="degrees")
        header = written.path.parent / "EQA.dem_par"
        header.write_text(header.read_text().replace("EQA\n", "OMCH\n"))
        ifg = fw.open_interferogram(written.path)
        np.testing.assert_array_equal(ifg["x"], np.arange(SCENE.shape[1]))
        assert any("the map projection OMCH" in sentence for sentence in ifg.attrs["assumptions"])

    def test_no_data_may_be_nan(self, tmp_path: Path) -> None:
        written = write_gamma(tmp_path, SCENE, form="unw")
        put(written.path, SCENE.unwrapped, ">f4")
        np.testing.assert_allclose(fw.open_interferogram(written.path)["phase"], SCENE.wrapped, atol=1e-5)

    def test_all_that_is_read_is_listed(self, tmp_path: Path) -> None:
        (reference,) = fw.discover(write_gamma(tmp_path, SCENE, where="degrees", look_vectors=True).path)
        names = {path.rpartition("/")[2] for path in companions_of(reference)}
        assert names == {"EQA.dem_par", f"{PAIR}.cc.geo", f"{PAIR}.lv_theta", f"{PAIR}.lv_phi", "hgt.geo"}

    def test_without_a_header_the_error_says_what_is_needed(self, tmp_path: Path) -> None:
        path = put(tmp_path / f"{PAIR}.diff", SCENE.complex, ">c8")
        with pytest.raises(ProductError, match=r"2684 pixels of complex64 \(none was found beside or above it\)"):
            fw.open_interferogram(path)
        image_par(tmp_path / f"{DAYS[0]}.mli.par", SCENE, DAYS[0], (30, 40))
        with pytest.raises(ProductError, match=r"\(20180601\.mli\.par: 30 x 40\), expected \.off"):
            fw.open_interferogram(path)

    def test_a_companion_by_its_name_is_refused(self, tmp_path: Path) -> None:
        written = write_gamma(tmp_path, SCENE)
        with pytest.raises(ProductError, match=r"expected one ending in \.diff, \.int"):
            fw.open_interferogram(written.path.with_suffix(".cc"))


class TestLicsbas:
    def test_without_its_headers_it_is_not_claimed(self, tmp_path: Path) -> None:
        written = write_licsbas(tmp_path, SCENE)
        assert next(fw.discover(written.path)).product == "licsbas"
        (tmp_path / "GEOCml1" / "slc.mli.par").unlink()
        assert next(fw.discover(written.path)).product == "gamma"

    def test_every_pair_is_found(self, tmp_path: Path) -> None:
        written = write_licsbas(tmp_path, SCENE)
        other = "20180613_20180625"
        place = written.path.parents[1] / other
        place.mkdir()
        for ending in ("unw", "cc"):
            shutil.copy(written.path.with_suffix(f".{ending}"), place / f"{other}.{ending}")
        assert [reference.name for reference in fw.discover(tmp_path)] == [f"{PAIR}.unw", f"{other}.unw"]

    def test_no_data_may_be_zero(self, tmp_path: Path) -> None:
        written = write_licsbas(tmp_path, SCENE)
        put(written.path, zeros(SCENE.unwrapped), "<f4")
        np.testing.assert_allclose(fw.open_interferogram(written.path)["phase"], SCENE.wrapped, atol=1e-5)

    def test_another_grid_is_refused(self, tmp_path: Path) -> None:
        written = write_licsbas(tmp_path, SCENE)
        header = tmp_path / "GEOCml1" / "EQA.dem_par"
        content = header.read_text()
        header.write_text(content.replace("nlines:               44", "nlines: 45"))
        with pytest.raises(ProductError, match="holds 10736 bytes, expected 10980 for 45 x 61 pixels"):
            fw.open_interferogram(written.path)
        header.write_text(content.replace("nlines:", "lines:"))
        with pytest.raises(ProductError, match="has no width and nlines"):
            fw.open_interferogram(written.path)

    def test_coherence_is_no_interferogram(self, tmp_path: Path) -> None:
        written = write_licsbas(tmp_path, SCENE)
        with pytest.raises(ProductError, match=r"expected <pair>/<pair>\.unw"):
            fw.open_interferogram(written.path.with_suffix(".cc"))

    def test_all_that_is_read_is_listed(self, tmp_path: Path) -> None:
        (reference,) = fw.discover(write_licsbas(tmp_path, SCENE).path)
        names = {path.rpartition("/")[2] for path in companions_of(reference)}
        assert names == {"EQA.dem_par", "slc.mli.par", f"{PAIR}.cc", "E.geo", "N.geo", "U.geo", "hgt"}


class TestRoipac:
    def test_dates_come_from_the_header_and_their_order_is_said(self, tmp_path: Path) -> None:
        written = write_roipac(tmp_path, SCENE)
        header = written.path.with_name(f"{written.path.name}.rsc")
        header.write_text(header.read_text().replace("180601-180613", "100116-070106"))
        ifg = fw.open_interferogram(written.path)
        assert (ifg.attrs["reference_date"], ifg.attrs["secondary_date"]) == ("2010-01-16", "2007-01-06")
        assert any("before the reference date: motion appears" in sentence for sentence in ifg.attrs["assumptions"])

    def test_of_a_pair_the_geocoded_complex_file_is_read(self, tmp_path: Path) -> None:
        for form in ("int", "unw"):
            for geocoded in (False, True):
                write_roipac(tmp_path, SCENE, form=form, geocoded=geocoded)
        (reference,) = fw.discover(tmp_path)
        assert reference.path.endswith("geo_180601-180613-sim_HDR_4rlks.int")
        names = {path.rpartition("/")[2] for path in companions_of(reference)}
        assert names == {f"{reference.name}.rsc", "geo_180601-180613-sim_HDR_4rlks.cor"}

    def test_other_units_than_degrees_leave_pixel_indices(self, tmp_path: Path) -> None:
        written = write_roipac(tmp_path, SCENE, geocoded=True)
        header = written.path.with_name(f"{written.path.name}.rsc")
        header.write_text(header.read_text().replace("degres", "meters"))
        np.testing.assert_array_equal(fw.open_interferogram(written.path)["x"], np.arange(SCENE.shape[1]))

    def test_what_does_not_belong_together_is_refused(self, tmp_path: Path) -> None:
        written = write_roipac(tmp_path, SCENE)
        header = written.path.with_name(f"{written.path.name}.rsc")
        content = header.read_text()
        header.write_text(content.replace("FILE_LENGTH                              44", "FILE_LENGTH 45"))
        with pytest.raises(ProductError, match="expected 21960 for 45 x 61 pixels of 8 bytes"):
            fw.open_interferogram(written.path)
        header.write_text(content)
        put(written.path, SCENE.complex, ">c8")
        with pytest.raises(ProductError, match="is big-endian, of an old machine"):
            fw.open_interferogram(written.path)
        with pytest.raises(ProductError, match=r"expected one ending in \.int or \.unw"):
            fw.open_interferogram(written.path.with_suffix(".cor"))

    def test_a_header_without_sizes_is_refused(self, tmp_path: Path) -> None:
        written = write_roipac(tmp_path, SCENE)
        text(written.path.with_name(f"{written.path.name}.rsc"), "nonsense\n")
        with pytest.raises(ProductError, match="180601-180613-sim_HDR_4rlks"):
            fw.open_interferogram(written.path)
