"""SNAP: several interferograms in one product, and headers that must not be believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import fringewatch as fw
from fringewatch.errors import ProductError
from fringewatch.products import companions_of
from product_writers import DEGREES, Scene, beam_dimap, look, write_snap, zeros

if TYPE_CHECKING:
    from pathlib import Path

SCENE = Scene()
FIRST, SECOND = "VV_01Jun2018_13Jun2018", "VV_13Jun2018_25Jun2018"


def stack(folder: Path) -> Path:
    """Write a product of two pairs, one wrapped and imported from snaphu as well, the other turned round."""
    bands = {
        f"i_ifg_{FIRST}": SCENE.complex.real,
        f"q_ifg_{FIRST}": SCENE.complex.imag,
        "Unw_Phase_ifg_01Jun2018_13Jun2018_VV": zeros(SCENE.unwrapped),
        f"coh_{FIRST}": SCENE.coherence,
        f"Phase_ifg_{SECOND}": -zeros(SCENE.wrapped),
        "coh_IW2_VV_13Jun2018_25Jun2018": SCENE.coherence * 0.5,
        "Intensity_VV": SCENE.coherence,
    }
    return beam_dimap(folder / "stack.dim", bands, SCENE, grid=DEGREES)


class TestStack:
    def test_each_pair_is_a_member(self, tmp_path: Path) -> None:
        path = stack(tmp_path)
        found = list(fw.discover(tmp_path))
        assert [reference.member for reference in found] == ["20180601_20180613", "20180613_20180625"]
        assert [reference.name for reference in found] == ["stack_20180601_20180613", "stack_20180613_20180625"]
        first, second = (fw.open_interferogram(reference) for reference in found)
        np.testing.assert_allclose(first["phase"], SCENE.wrapped, atol=1e-5)
        np.testing.assert_allclose(second["phase"], -SCENE.wrapped, atol=1e-5)
        # Its coherence names the sub-swath, and is the only one of the pair.
        assert float(second["coherence"].max()) == pytest.approx(SCENE.coherence.max() / 2)
        assert (second.attrs["reference_date"], second.attrs["secondary_date"]) == ("2018-06-13", "2018-06-25")
        again = fw.open_interferogram(f"{path}#20180613_20180625")
        np.testing.assert_array_equal(again["phase"], second["phase"])

    def test_one_has_to_be_named(self, tmp_path: Path) -> None:
        path = stack(tmp_path)
        with pytest.raises(
            ProductError, match=r"2 interferograms \(#20180601_20180613, #20180613_20180625\); name one"
        ):
            fw.open_interferogram(path)
        with pytest.raises(ProductError, match="has no interferogram '20170101_20170113', but 2 interferograms"):
            fw.open_interferogram(f"{path}#20170101_20170113")

    def test_pairs_of_equal_dates_go_by_their_bands(self, tmp_path: Path) -> None:
        bands = {f"Phase_ifg_IW{n}_{FIRST}": zeros(SCENE.wrapped) for n in (1, 2)}
        beam_dimap(tmp_path / "s.dim", bands, SCENE, grid=None)
        members = [reference.member for reference in fw.discover(tmp_path)]
        assert members == [f"iw1_{FIRST}".lower(), f"iw2_{FIRST}".lower()]

    def test_bands_without_dates_are_read_without(self, tmp_path: Path) -> None:
        beam_dimap(tmp_path / "s.dim", {"Phase_ifg": zeros(SCENE.wrapped)}, SCENE, grid=None)
        ifg = fw.open_interferogram(tmp_path / "s.dim")
        assert (ifg.attrs["reference_date"], ifg.attrs["name"]) == ("", "s")

    def test_all_bands_are_listed(self, tmp_path: Path) -> None:
        stack(tmp_path)
        listed = companions_of(next(fw.discover(tmp_path)))
        assert len(listed) == 7
        assert listed[0] == str(tmp_path / "stack.data" / f"i_ifg_{FIRST}.img")


class TestMetadata:
    def test_unknown_numbers_leave_out_the_look_vector(self, tmp_path: Path) -> None:
        path = write_snap(tmp_path, SCENE).path
        path.write_text(path.read_text().replace(">193.0<", ">99999.0<"))
        ifg = fw.open_interferogram(path)
        assert "los_east" not in ifg

    def test_a_left_looking_radar_stands_on_the_other_side(self, tmp_path: Path) -> None:
        path = write_snap(tmp_path, SCENE).path
        path.write_text(path.read_text().replace(">right<", ">left<"))
        truth = look(SCENE.incidence_deg, SCENE.azimuth_deg + 180)
        np.testing.assert_allclose(fw.open_interferogram(path)["los_north"], truth[1], atol=2e-6)

    def test_the_wavelength_is_assumed_where_there_is_none(self, tmp_path: Path) -> None:
        path = write_snap(tmp_path, SCENE).path
        path.write_text(path.read_text().replace("radar_frequency", "radar_colour"))
        assert any("wavelength" in sentence for sentence in fw.open_interferogram(path).attrs["assumptions"])


class TestRefused:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return write_snap(tmp_path, SCENE, form="phase").path

    def change(self, path: Path, old: str, new: str) -> None:
        content = path.read_text()
        assert old in content
        path.write_text(content.replace(old, new, 1))

    @pytest.mark.parametrize(
        "href", ["../../secret.hdr", "/etc/passwd", "/vsicurl/http://127.0.0.1:9/x.hdr", "a\\..\\..\\b"]
    )
    def test_bands_elsewhere(self, path: Path, href: str) -> None:
        self.change(path, f"S1A_20180601_20180613_ifg.data/Phase_ifg_{FIRST}.hdr", href)
        with pytest.raises(ProductError, match="not in the product's folder"):
            fw.open_interferogram(path)

    def test_entities(self, path: Path) -> None:
        self.change(path, "<Dimap_Document", '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><Dimap_Document')
        with pytest.raises(ProductError, match="with a DTD or entities"):
            fw.open_interferogram(path)

    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            ("<NROWS>44<", "<NROWS>-4<", "says -4 x 61 pixels"),
            ("<NROWS>44<", "<NROWS>many<", "has no NROWS and NCOLS"),
            ("<NROWS>44<", "<NROWS>45<", "expected 10980 for 45 x 61 pixels"),
            ("<DATA_TYPE>float32<", "<DATA_TYPE>string<", "hold string, expected float32"),
            ("<SCALING_FACTOR>1.0<", "<SCALING_FACTOR>0.01<", "stores no interferogram"),
            ("<LOG10_SCALED>false<", "<LOG10_SCALED>true<", "stores no interferogram"),
            ("<IMAGE_TO_MODEL_TRANSFORM>0.001", "<IMAGE_TO_MODEL_TRANSFORM>wide", "has a map grid that makes no sense"),
            ("<IMAGE_TO_MODEL_TRANSFORM>0.001", "<IMAGE_TO_MODEL_TRANSFORM>0.0", "expected pixels of some size"),
            ('GEOGCS["WGS84', 'NONSENSE["WGS84', "has a map grid that makes no sense"),
        ],
    )
    def test_nonsense(self, path: Path, old: str, new: str, words: str) -> None:
        self.change(path, old, new)
        with pytest.raises(ProductError, match=words):
            fw.open_interferogram(path)

    def test_a_computed_phase_without_its_parts(self, tmp_path: Path) -> None:
        bands = {"Intensity_VV": SCENE.coherence}
        path = beam_dimap(tmp_path / "s.dim", bands, SCENE, grid=None, computed=(f"Phase_ifg_{FIRST}",))
        assert [reference.path for reference in fw.discover([path])] == [str(path)]
        with pytest.raises(ProductError, match=r"stores no interferogram \(bands: Intensity_VV\)"):
            fw.open_interferogram(path)

    def test_what_the_user_says_against_the_product(self, path: Path, tmp_path: Path) -> None:
        with pytest.raises(ProductError, match="SNAP names its bands; leave band out"):
            fw.open_interferogram(path, band=2)
        parts = write_snap(tmp_path / "parts", SCENE).path
        with pytest.raises(ProductError, match="stored as real and imaginary part, expected 'complex'"):
            fw.open_interferogram(parts, kind="unwrapped")
        with pytest.raises(ProductError, match=r"its header, S1A_20180601_20180613_ifg\.dim; name that"):
            fw.open_interferogram(path.with_suffix(".data") / f"Phase_ifg_{FIRST}.img")

    def test_a_missing_band(self, path: Path) -> None:
        (path.with_suffix(".data") / f"Phase_ifg_{FIRST}.img").unlink()
        with pytest.raises(ProductError, match="No such file or directory"):
            fw.open_interferogram(path)
