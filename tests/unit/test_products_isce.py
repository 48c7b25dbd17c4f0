"""ISCE2: which of many files is read, what goes with it, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import fringewatch as fw
from fringewatch.errors import ProductError
from fringewatch.products import companions_of
from product_writers import DEGREES, PAIR, Scene, isce_image, write_dolphin, write_isce, zeros

if TYPE_CHECKING:
    from pathlib import Path

SCENE = Scene()


class TestChoice:
    def test_a_run_gives_its_geocoded_wrapped_phase(self, tmp_path: Path) -> None:
        for form in ("flat", "unw"):
            for geocoded in (False, True):
                write_isce(tmp_path, SCENE, form=form, geocoded=geocoded)
        merged = tmp_path / "merged"
        isce_image(merged / "topophase.flat.geo", [SCENE.complex], "c8", DEGREES)
        isce_image(merged / "filt_topophase.unw.conncomp", [SCENE.coherence], "u1", None)
        found = list(fw.discover(tmp_path))
        assert [(reference.path, reference.product) for reference in found] == [
            (str(merged / "filt_topophase.flat.geo"), "isce")
        ]

    def test_one_reference_for_the_data_its_header_and_its_description(self, tmp_path: Path) -> None:
        path = write_isce(tmp_path, SCENE).path
        named = [path, f"{path}.xml", f"{path}.vrt"]
        assert [reference.path for reference in fw.discover(named)] == [str(path)]
        for one in named:
            assert fw.open_interferogram(one)["phase"].shape == SCENE.shape

    def test_pairs_of_one_folder_are_told_apart_by_their_dates(self, tmp_path: Path) -> None:
        for days in ("180601-180613", "180613-180625"):
            isce_image(tmp_path / f"filt_{days}_5rlks_28alks.int", [SCENE.complex], "c8", None)
            isce_image(tmp_path / f"filt_{days}_5rlks_28alks.unw", [zeros(SCENE.unwrapped)], "f4", None)
        found = list(fw.discover(tmp_path))
        assert [reference.name for reference in found] == [
            "filt_180601-180613_5rlks_28alks.int",
            "filt_180613-180625_5rlks_28alks.int",
        ]
        ifg = fw.open_interferogram(found[1])
        assert (ifg.attrs["reference_date"], ifg.attrs["secondary_date"]) == ("2018-06-13", "2018-06-25")

    def test_names_without_dates_take_those_of_the_folder(self, tmp_path: Path) -> None:
        path = write_isce(tmp_path, SCENE, layout="topsStack", form="int").path
        assert fw.open_interferogram(path).attrs["name"] == f"{PAIR}_filt_fine.int"

    def test_unwrapped_phase_without_amplitude_is_read(self, tmp_path: Path) -> None:
        path = isce_image(tmp_path / PAIR / "filt_fine.unw", [zeros(SCENE.unwrapped)], "f4", None)
        np.testing.assert_allclose(fw.open_interferogram(path)["phase"], SCENE.wrapped, atol=1e-5)

    def test_big_endian_is_read_as_the_header_says(self, tmp_path: Path) -> None:
        path = isce_image(tmp_path / PAIR / "filt_fine.int", [SCENE.complex], "c8", None, order=">")
        np.testing.assert_allclose(fw.open_interferogram(path)["phase"], SCENE.wrapped, atol=1e-5)


class TestCompanions:
    def test_coherence_of_two_bands_is_the_last(self, tmp_path: Path) -> None:
        path = isce_image(tmp_path / PAIR / "filt_fine.int", [SCENE.complex], "c8", None)
        isce_image(tmp_path / PAIR / "filt_fine.cor", [np.abs(SCENE.complex), SCENE.coherence], "f4", None)
        known = np.where(SCENE.coherence > 0, SCENE.coherence, np.nan)
        np.testing.assert_allclose(fw.open_interferogram(path)["coherence"], known, rtol=1e-6)

    def test_full_resolution_is_taken_where_it_fits(self, tmp_path: Path) -> None:
        path = isce_image(tmp_path / "merged" / "interferograms" / PAIR / "filt_fine.int", [SCENE.complex], "c8", None)
        geometry = tmp_path / "merged" / "geom_reference"
        isce_image(geometry / "hgt.rdr", [SCENE.height[::2, ::2]], "f8", None)
        isce_image(geometry / "hgt.rdr.full", [SCENE.height], "f8", None)
        ifg = fw.open_interferogram(path)
        np.testing.assert_allclose(ifg["height"], SCENE.height)
        assert not any("left out" in sentence for sentence in ifg.attrs["assumptions"])

    def test_another_grid_is_left_out_and_said(self, tmp_path: Path) -> None:
        path = isce_image(tmp_path / PAIR / "filt_fine.int", [SCENE.complex], "c8", None)
        isce_image(tmp_path / PAIR / "filt_fine.cor", [SCENE.coherence[1:]], "f4", None)
        ifg = fw.open_interferogram(path)
        assert "coherence" not in ifg
        assert any("filt_fine.cor (43 x 61) is not on the grid" in sentence for sentence in ifg.attrs["assumptions"])

    def test_all_that_is_read_is_listed(self, tmp_path: Path) -> None:
        written = write_isce(tmp_path, SCENE)
        (reference,) = fw.discover(written.path)
        names = {path.rpartition("/")[2] for path in companions_of(reference)}
        assert names == {
            *("filt_topophase.flat.xml", "filt_topophase.flat.vrt", "phsig.cor"),
            *("los.rdr", "z.rdr", "lat.rdr", "lon.rdr"),
        }

    def test_a_header_in_lines_and_samples_is_radar_geometry(self, tmp_path: Path) -> None:
        # A subset in radar geometry starts at a line and a sample, which are no degrees.
        path = isce_image(
            tmp_path / PAIR / "filt_fine.int", [SCENE.complex], "c8", type(DEGREES)(1, 0, 1200, 0, 1, 340)
        )
        ifg = fw.open_interferogram(path)
        np.testing.assert_array_equal(ifg["x"], np.arange(61))
        # Lines that count upwards are no rows that run north.
        np.testing.assert_allclose(ifg["phase"], SCENE.wrapped, atol=1e-5)
        assert "the raster is not georeferenced: coordinates are pixel indices" in ifg.attrs["assumptions"]


class TestRefused:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return write_isce(tmp_path, SCENE, geocoded=True).path

    def test_a_file_cut_short(self, path: Path) -> None:
        path.write_bytes(path.read_bytes()[:-8])
        with pytest.raises(ProductError, match="expected 21472 for 44 x 61 pixels of 8 bytes"):
            fw.open_interferogram(path)

    def test_a_companion_by_its_name(self, path: Path) -> None:
        with pytest.raises(ProductError, match=r"goes with an interferogram, expected one ending in \.int, \.flat"):
            fw.open_interferogram(path.with_name("phsig.cor.geo"))

    def test_entities_in_the_header(self, path: Path) -> None:
        header = path.with_name(f"{path.name}.xml")
        header.write_text('<!DOCTYPE x [<!ENTITY a "61">]>' + header.read_text().replace(">61<", ">&a;<"))
        with pytest.raises(ProductError, match=r"flat\.geo\.xml: is an XML header with a DTD or entities"):
            fw.open_interferogram(path)

    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            (">filt_topophase.flat.geo<", ">../../secret.bin<", "not in the product's folder"),
            (">filt_topophase.flat.geo<", ">/etc/passwd<", "not in the product's folder"),
            (">filt_topophase.flat.geo<", ">/vsicurl/http://127.0.0.1:9/x<", "not in the product's folder"),
            ('subClass="VRTRawRasterBand"', 'subClass="VRTSourcedRasterBand"', "not a description of raw files"),
            ('rasterYSize="44"', 'rasterYSize="45"', "is shorter than .* says, expected 45 x 61 pixels"),
            ('rasterYSize="44"', 'rasterYSize="many"', "has 'many' where a whole number is needed"),
            ("<ImageOffset>0<", "<ImageOffset>zero<", "has 'zero' where a whole number is needed"),
        ],
    )
    def test_a_description_of_other_files(self, path: Path, old: str, new: str, words: str) -> None:
        path.with_name(f"{path.name}.xml").unlink()
        description = path.with_name(f"{path.name}.vrt")
        content = description.read_text()
        assert old in content
        description.write_text(content.replace(old, new))
        (path.parents[1] / "secret.bin").write_bytes(bytes(30_000))
        with pytest.raises(ProductError, match=words):
            fw.open_interferogram(description)

    def test_a_raw_file_in_the_disguise_of_another_format(self, path: Path, tmp_path: Path) -> None:
        # GDAL looks at the content first: a description of remote files of just the right size.
        remote = f'<VRTDataset rasterXSize="61" rasterYSize="44">{" " * 30_000}'[: path.stat().st_size]
        path.write_text(remote)
        phase = fw.open_interferogram(path)["phase"]
        assert phase.shape == SCENE.shape


def test_displacement_of_dolphin_is_no_interferogram(tmp_path: Path) -> None:
    written = write_dolphin(tmp_path, SCENE)
    series = tmp_path / "timeseries" / f"{PAIR}.tif"
    series.parent.mkdir()
    series.write_bytes(written.path.read_bytes())
    assert [reference.path for reference in fw.discover(tmp_path)] == [str(written.path)]
    with pytest.raises(ProductError, match=r"expected <pair>\.int\.tif or <pair>\.unw\.tif"):
        fw.open_interferogram(series)


def test_the_height_of_a_geocoded_run_of_topsapp_is_its_cut_dem(tmp_path: Path) -> None:
    path = write_isce(tmp_path, SCENE, geocoded=True).path
    for old in (tmp_path / "merged").glob("z.rdr.geo*"):
        old.unlink()
    assert "height" not in fw.open_interferogram(path)
    isce_image(tmp_path / "merged" / "dem.crop", [SCENE.height], "f4", DEGREES)
    np.testing.assert_array_equal(fw.open_interferogram(path)["height"], SCENE.height.astype(np.float32))


def test_what_alos2app_writes_beside_an_interferogram_is_found(tmp_path: Path) -> None:
    """Names as ``Alos2Proc.setFilename`` of ISCE2 gives them."""
    looks = tmp_path / "150219-150405_5rlks_28alks"
    path = isce_image(tmp_path / f"filt_{looks.name}.int", [SCENE.complex], "c8", None)
    isce_image(tmp_path / f"{looks.name}.cor", [SCENE.coherence], "f4", None)
    isce_image(tmp_path / f"{looks.name}.hgt", [SCENE.height], "f4", None)
    azimuth = (-SCENE.azimuth_deg + 540) % 360 - 180
    isce_image(tmp_path / f"{looks.name}.los", [SCENE.incidence_deg, azimuth], "f4", None)
    for name in ("lat", "lon"):
        isce_image(
            tmp_path / f"{looks.name}.{name}", [SCENE.latitude if name == "lat" else SCENE.longitude], "f8", None
        )
    ifg = fw.open_interferogram(path)
    assert {"coherence", "height", "los_east", "los_north", "los_up", "lat", "lon"} <= {*ifg.variables}
    np.testing.assert_allclose(ifg["los_east"], SCENE.los[0], atol=1e-5)
