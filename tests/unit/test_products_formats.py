"""One simulated interferogram, written in every supported form, reads back as the same interferogram."""

from __future__ import annotations

import warnings
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning

import fringewatch as fw
from fringewatch.conventions import SENTINEL1_WAVELENGTH_M, los_to_phase, wrap
from fringewatch.errors import ProductError
from fringewatch.interferogram import make_interferogram
from fringewatch.products.licsar import write_licsar

if TYPE_CHECKING:
    from pathlib import Path

FRAME = "128D_09016_110500"
PAIR = "20180601_20180613"
HYP3 = "S1AA_20180601T135156_20180613T135157_VVP012_INT80_G_ueF_F8BF"
DEGREES = Affine(0.001, 0, -91.2, 0, -0.001, -0.7)
UTM = Affine(80, 0, 700_000, 0, -80, 9_920_000)


def uplift_phase(shape: tuple[int, int] = (60, 70)) -> np.ndarray:
    """Unwrapped phase of 8 cm of uplift in the middle: negative, since the range shrinks. NaN in a slanted corner."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    squared = (rows - shape[0] / 2) ** 2 + (columns - shape[1] / 2) ** 2
    phase = los_to_phase((0.08 * np.exp(-squared / 300)).astype(np.float32))
    phase[columns + rows < 20] = np.nan
    return phase


def angle_between(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.nanmax(np.abs(np.angle(np.exp(1j * (a.astype(float) - b))))))


def write(path: Path, *bands: np.ndarray, crs: Any = "EPSG:4326", transform: Any = DEGREES, **profile: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tags, descriptions = profile.pop("tags", {}), profile.pop("descriptions", ())
    height, width = bands[0].shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        sink = rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=height,
            width=width,
            count=len(bands),
            dtype=bands[0].dtype,
            crs=crs,
            transform=transform,
            **profile,
        )
    with sink:
        for number, band in enumerate(bands, 1):
            sink.write(band, number)
        for number, text in enumerate(descriptions, 1):
            sink.set_band_description(number, text)
        sink.update_tags(**tags)
    return path


def filled(values: np.ndarray, value: float = 0) -> np.ndarray:
    return np.where(np.isnan(values), value, values).astype(np.float32)


@pytest.fixture
def truth() -> np.ndarray:
    return uplift_phase()


@pytest.fixture
def wrapped(truth: np.ndarray) -> np.ndarray:
    return wrap(truth)


def licsar_dataset(phase: np.ndarray, **companions: np.ndarray) -> Any:
    return make_interferogram(
        phase, wavelength_m=SENTINEL1_WAVELENGTH_M, transform=DEGREES, crs="EPSG:4326", companions=companions
    )


class TestLicsar:
    def test_reads_back_phase_companions_and_attributes(self, tmp_path: Path, wrapped: np.ndarray) -> None:
        coherence = np.linspace(0, 1, wrapped.size, dtype=np.float32).reshape(wrapped.shape)
        height = np.linspace(-5, 1500, wrapped.size, dtype=np.float32).reshape(wrapped.shape)
        east, north, up = (np.full(wrapped.shape, v, np.float32) for v in (0.61, -0.14, 0.78))
        dataset = licsar_dataset(wrapped, coherence=coherence, height=height, los_east=east, los_north=north, los_up=up)
        path = write_licsar(tmp_path, dataset, frame=FRAME, reference_date="2018-06-01", secondary_date="2018-06-13")
        assert path == tmp_path / FRAME / PAIR / f"{PAIR}.geo.diff_pha.tif"

        ifg = fw.open_interferogram(path)

        np.testing.assert_array_equal(ifg["phase"], wrapped)
        np.testing.assert_allclose(ifg["coherence"], np.maximum(coherence, 1 / 255), atol=0.5 / 255 + 1e-6)
        np.testing.assert_array_equal(ifg["height"], height)
        np.testing.assert_array_equal(ifg["los_east"], east)
        np.testing.assert_array_equal(ifg["los_up"], up)
        assert ifg.rio.crs.to_epsg() == 4326
        np.testing.assert_allclose(ifg["x"][[0, -1]], [-91.1995, -91.1995 + 0.069])
        np.testing.assert_allclose(ifg["y"][[0, -1]], [-0.7005, -0.7005 - 0.059])
        assert ifg.attrs["wavelength_m"] == SENTINEL1_WAVELENGTH_M
        assert (ifg.attrs["reference_date"], ifg.attrs["secondary_date"]) == ("2018-06-01", "2018-06-13")
        assert ifg.attrs["product"] == "licsar"
        assert ifg.attrs["phase_sign"] == "range increase"
        assert ifg.attrs["name"] == f"{FRAME}_{PAIR}.geo.diff_pha"
        assert ifg.attrs["assumptions"] == []

    def test_a_pair_the_wrong_way_round_is_told(self, tmp_path: Path, wrapped: np.ndarray) -> None:
        dataset = licsar_dataset(wrapped)
        path = write_licsar(tmp_path, dataset, frame=FRAME, reference_date="2018-06-13", secondary_date="2018-06-01")
        sentence = "the secondary date is before the reference date: motion appears with its sign reversed"
        assert sentence in fw.open_interferogram(path).attrs["assumptions"]

    def test_valid_phase_of_zero_is_not_lost(self, tmp_path: Path, wrapped: np.ndarray) -> None:
        wrapped[30, 30:40] = 0
        path = write_licsar(
            tmp_path, licsar_dataset(wrapped), frame=FRAME, reference_date="20180601", secondary_date="20180613"
        )
        phase = fw.open_interferogram(path)["phase"].values
        np.testing.assert_array_equal(np.isnan(phase), np.isnan(wrapped))
        np.testing.assert_allclose(phase[30, 30:40], 0, atol=1e-5)

    def test_zero_is_no_data_without_a_tag(self, tmp_path: Path, wrapped: np.ndarray) -> None:
        path = write(tmp_path / f"{PAIR}.geo.diff_pha.tif", filled(wrapped))
        phase = fw.open_interferogram(path)["phase"].values
        np.testing.assert_array_equal(phase, wrapped)

    def test_unwrapped_is_wrapped_and_keeps_its_range(
        self, tmp_path: Path, truth: np.ndarray, wrapped: np.ndarray
    ) -> None:
        path = write(tmp_path / f"{PAIR}.geo.unw.tif", filled(truth))
        ifg = fw.open_interferogram(path)
        assert angle_between(ifg["phase"].values, wrapped) < 1e-5
        np.testing.assert_array_equal(np.isnan(ifg["phase"]), np.isnan(wrapped))
        extent = float(np.nanmax(truth) - np.nanmin(truth))
        assert extent > 4 * np.pi
        assert ifg.attrs["unwrapped_range_rad"] == pytest.approx(extent, rel=1e-6)

    @pytest.mark.parametrize(("scale", "dtype"), [(1, np.float32), (255, np.uint8), (255, np.float32)])
    def test_every_generation_of_coherence(
        self, tmp_path: Path, wrapped: np.ndarray, scale: int, dtype: type[np.generic]
    ) -> None:
        path = write(tmp_path / f"{PAIR}.geo.diff_pha.tif", filled(wrapped))
        coherence = np.full(wrapped.shape, 0.6 * scale, dtype)
        coherence[:5] = 0
        write(tmp_path / f"{PAIR}.geo.cc.tif", coherence)
        read = fw.open_interferogram(path)["coherence"].values
        assert np.isnan(read[:5]).all()
        np.testing.assert_allclose(read[5:], 0.6, atol=0.002)

    def test_complex_is_read_as_its_angle_and_said_so(self, tmp_path: Path, wrapped: np.ndarray) -> None:
        values = np.where(np.isnan(wrapped), 0, 3 * np.exp(1j * wrapped)).astype(np.complex64)
        path = write(tmp_path / f"{PAIR}.geo.diff_pha.tif", values)
        ifg = fw.open_interferogram(path)
        np.testing.assert_allclose(ifg["phase"], wrapped, atol=1e-5)
        assert any("complex" in sentence for sentence in ifg.attrs["assumptions"])

    def test_geometry_of_a_larger_frame_is_cut_to_the_pair(self, tmp_path: Path, wrapped: np.ndarray) -> None:
        heights = np.arange(100 * 120, dtype=np.float32).reshape(100, 120)
        write(tmp_path / FRAME / "metadata" / f"{FRAME}.geo.hgt.tif", heights)
        shifted = Affine(0.001, 0, -91.2 + 0.007, 0, -0.001, -0.7 - 0.003)
        path = write(tmp_path / FRAME / PAIR / f"{PAIR}.geo.diff_pha.tif", filled(wrapped), transform=shifted)
        np.testing.assert_array_equal(fw.open_interferogram(path)["height"], heights[3:63, 7:77])

    def test_geometry_of_a_smaller_frame_is_padded(self, tmp_path: Path, wrapped: np.ndarray) -> None:
        up = np.full((50, 60), 0.7, np.float32)
        inside = Affine(0.001, 0, -91.2 + 0.004, 0, -0.001, -0.7 - 0.006)
        write(tmp_path / f"{FRAME}.geo.U.tif", up, transform=inside)
        path = write(tmp_path / f"{PAIR}.geo.diff_pha.tif", filled(wrapped))
        read = fw.open_interferogram(path)["los_up"].values
        expected = np.full(wrapped.shape, np.nan, np.float32)
        expected[6:56, 4:64] = 0.7
        np.testing.assert_array_equal(read, expected)

    @pytest.mark.parametrize("what", ["size", "pixel"])
    def test_companion_on_another_grid_is_left_out_with_a_note(
        self, tmp_path: Path, wrapped: np.ndarray, what: str
    ) -> None:
        transform = Affine(0.002, 0, -91.2, 0, -0.002, -0.7) if what == "pixel" else None
        crs = "EPSG:4326" if what == "pixel" else None
        write(tmp_path / f"{PAIR}.geo.cc.tif", np.full((9, 9), 200, np.uint8), transform=transform, crs=crs)
        ifg = fw.open_interferogram(write(tmp_path / f"{PAIR}.geo.diff_pha.tif", filled(wrapped)))
        assert "coherence" not in ifg
        assert any("not on the grid" in sentence and "9 x 9" in sentence for sentence in ifg.attrs["assumptions"])

    def test_companion_that_spells_its_coordinate_system_otherwise(self, tmp_path: Path, wrapped: np.ndarray) -> None:
        bare = (
            'GEOGCS["unnamed",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],'
            'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]]'
        )
        write(tmp_path / f"{PAIR}.geo.cc.tif", np.full(wrapped.shape, 51, np.uint8), crs=bare)
        ifg = fw.open_interferogram(write(tmp_path / f"{PAIR}.geo.diff_pha.tif", filled(wrapped)))
        np.testing.assert_allclose(ifg["coherence"], 0.2)

    def test_missing_and_damaged_companions_are_noted(self, tmp_path: Path, wrapped: np.ndarray) -> None:
        (tmp_path / f"{PAIR}.geo.cc.tif").write_text("not a raster")
        ifg = fw.open_interferogram(write(tmp_path / f"{PAIR}.geo.diff_pha.tif", filled(wrapped)))
        notes = " ".join(ifg.attrs["assumptions"])
        assert "coherence was left out" in notes
        assert "not found beside the interferogram: los_east, los_north, los_up, height" in notes

    def test_writer_refuses_another_grid_frame_and_date(self, tmp_path: Path, wrapped: np.ndarray) -> None:
        utm = make_interferogram(wrapped, wavelength_m=0.0555, transform=UTM, crs="EPSG:32715")
        dates = {"reference_date": "2018-06-01", "secondary_date": "2018-06-13"}
        with pytest.raises(ProductError, match="EPSG:32715, expected EPSG:4326"):
            write_licsar(tmp_path, utm, frame=FRAME, **dates)
        with pytest.raises(ProductError, match="frame = 'galapagos'"):
            write_licsar(tmp_path, licsar_dataset(wrapped), frame="galapagos", **dates)
        with pytest.raises(ProductError, match="20181301"):
            write_licsar(
                tmp_path, licsar_dataset(wrapped), frame=FRAME, reference_date="2018-13-01", secondary_date="2018-06-13"
            )


class TestHyp3:
    @staticmethod
    def product(folder: Path, truth: np.ndarray, *kinds: str, cut: str = "") -> None:
        utm: dict[str, Any] = {"crs": "EPSG:32715", "transform": UTM}
        if "wrapped" in kinds:
            write(folder / f"{HYP3}_wrapped_phase{cut}.tif", filled(wrap(truth)), nodata=0, **utm)
        if "unw" in kinds:
            write(folder / f"{HYP3}_unw_phase{cut}.tif", filled(truth), nodata=0, **utm)
        write(folder / f"{HYP3}_corr{cut}.tif", np.full(truth.shape, 0.5, np.float32), nodata=0, **utm)
        write(folder / f"{HYP3}_dem{cut}.tif", np.full(truth.shape, 812, np.int16), nodata=-32768, **utm)
        write(folder / f"{HYP3}_water_mask{cut}.tif", np.ones(truth.shape, np.uint8), **utm)
        # A descending satellite stands to the east and a little south of the ground, 50 degrees up.
        write(folder / f"{HYP3}_lv_theta{cut}.tif", np.full(truth.shape, np.radians(50), np.float32), **utm)
        write(folder / f"{HYP3}_lv_phi{cut}.tif", np.full(truth.shape, np.radians(-13), np.float32), **utm)
        (folder / f"{HYP3}.txt").write_text(
            "Reference Granule: S1A_IW_SLC__1SDV_20180601T135156_20180601T135223_022000_026000_ABCD\n"
            "Secondary Granule: S1A_IW_SLC__1SDV_20180613T135157_20180613T135224_022175_026500_ABCE\n"
            "Heading: -166.6\nUnwrapping type: mcf\n"
        )

    def check(self, ifg: Any, truth: np.ndarray) -> None:
        assert angle_between(ifg["phase"].values, wrap(truth)) < 1e-5
        np.testing.assert_array_equal(np.isnan(ifg["phase"]), np.isnan(truth))
        assert ifg.rio.crs.to_epsg() == 32715
        assert ifg.attrs["phase_sign"] == "range increase"
        assert ifg.attrs["wavelength_m"] == SENTINEL1_WAVELENGTH_M
        assert (ifg.attrs["reference_date"], ifg.attrs["secondary_date"]) == ("2018-06-01", "2018-06-13")
        assert ifg.attrs["product"] == "hyp3"
        np.testing.assert_allclose(ifg["coherence"], 0.5)
        np.testing.assert_array_equal(ifg["height"], 812)

    def test_folder_prefers_the_wrapped_phase(self, tmp_path: Path, truth: np.ndarray) -> None:
        self.product(tmp_path / HYP3, truth, "wrapped", "unw")
        (reference,) = fw.discover(tmp_path)
        assert reference.name == f"{HYP3}_wrapped_phase"
        ifg = fw.open_interferogram(reference)
        self.check(ifg, truth)
        assert "unwrapped_range_rad" not in ifg.attrs
        assert ifg.attrs["assumptions"] == []

    def test_line_of_sight_points_to_the_satellite(self, tmp_path: Path, truth: np.ndarray) -> None:
        self.product(tmp_path, truth, "unw")
        ifg = fw.open_interferogram(tmp_path)
        east, north, up = (ifg[f"los_{c}"].values for c in ("east", "north", "up"))
        np.testing.assert_allclose(east**2 + north**2 + up**2, 1, atol=1e-6)
        assert east[0, 0] > 0 > north[0, 0]
        np.testing.assert_allclose(up, np.cos(np.radians(40)), atol=1e-6)  # 40 degrees incidence

    @pytest.mark.parametrize("cut", ["", "_clipped"])
    def test_unwrapped_only(self, tmp_path: Path, truth: np.ndarray, cut: str) -> None:
        self.product(tmp_path, truth, "unw", cut=cut)
        ifg = fw.open_interferogram(tmp_path)
        self.check(ifg, truth)
        assert ifg.attrs["unwrapped_range_rad"] == pytest.approx(float(np.nanmax(truth) - np.nanmin(truth)), rel=1e-6)

    def test_zip_as_downloaded(self, tmp_path: Path, truth: np.ndarray) -> None:
        self.product(tmp_path / "unpacked" / HYP3, truth, "unw")
        target = tmp_path / "zips" / f"{HYP3}.zip"
        target.parent.mkdir()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted((tmp_path / "unpacked" / HYP3).iterdir()):
                archive.write(file, f"{HYP3}/{file.name}")
        (reference,) = fw.discover(tmp_path / "zips")
        assert reference.name == HYP3
        ifg = fw.open_interferogram(reference)
        self.check(ifg, truth)
        assert ifg.attrs["assumptions"] == []

    def test_zip_without_phase_and_damaged_zip(self, tmp_path: Path) -> None:
        empty = tmp_path / f"{HYP3}.zip"
        with zipfile.ZipFile(empty, "w") as archive:
            archive.writestr("readme.txt", "nothing here")
        with pytest.raises(ProductError, match=r"holds no \*_wrapped_phase.tif or \*_unw_phase.tif"):
            fw.open_interferogram(empty)
        empty.write_bytes(b"PK but not really")
        with pytest.raises(ProductError, match="cannot be read as a zip"):
            fw.open_interferogram(empty)

    def test_without_parameter_file_says_so(self, tmp_path: Path, truth: np.ndarray) -> None:
        self.product(tmp_path, truth, "unw")
        (tmp_path / f"{HYP3}.txt").unlink()
        assert any("parameter file" in s for s in fw.open_interferogram(tmp_path).attrs["assumptions"])


class TestGeotiff:
    def test_wrapped(self, tmp_path: Path, wrapped: np.ndarray) -> None:
        ifg = fw.open_interferogram(
            write(tmp_path / "mine_20200107_20200119.tif", wrapped, nodata=np.nan, crs="EPSG:32715", transform=UTM)
        )
        np.testing.assert_array_equal(ifg["phase"], wrapped)
        assert ifg.rio.crs.to_epsg() == 32715
        assert ifg.attrs["name"] == "mine_20200107_20200119"
        assert ifg.attrs["reference_date"] == "2020-01-07"
        assert ifg.attrs["phase_sign"] == "unknown"
        notes = " | ".join(ifg.attrs["assumptions"])
        for words in ("wrapped phase", "wavelength", "sign of the phase is unknown"):
            assert words in notes

    def test_unwrapped(self, tmp_path: Path, truth: np.ndarray, wrapped: np.ndarray) -> None:
        ifg = fw.open_interferogram(write(tmp_path / "pair.tif", truth))
        assert angle_between(ifg["phase"].values, wrapped) < 1e-5
        assert ifg.attrs["unwrapped_range_rad"] == pytest.approx(float(np.nanmax(truth) - np.nanmin(truth)), rel=1e-6)
        assert any("unwrapped" in sentence for sentence in ifg.attrs["assumptions"])

    def test_complex(self, tmp_path: Path, wrapped: np.ndarray) -> None:
        values = np.where(np.isnan(wrapped), 0, np.exp(1j * wrapped)).astype(np.complex64)
        ifg = fw.open_interferogram(write(tmp_path / "pair.int.tif", values))
        np.testing.assert_allclose(ifg["phase"], wrapped, atol=1e-6)
        assert any("complex" in sentence for sentence in ifg.attrs["assumptions"])

    def test_complex_integers(self, tmp_path: Path, wrapped: np.ndarray) -> None:
        values = np.where(np.isnan(wrapped), 0, 1000 * np.exp(1j * wrapped)).astype(np.complex64)
        path = tmp_path / "pair.tif"
        with rasterio.open(
            path, "w", driver="GTiff", height=60, width=70, count=1, dtype="complex_int16", crs="EPSG:4326",
            transform=DEGREES,
        ) as sink:  # fmt: skip
            sink.write(values, 1)
        assert angle_between(fw.open_interferogram(path)["phase"].values, wrapped) < 2e-3

    def test_dates_in_the_wrong_order_are_noted(self, tmp_path: Path, wrapped: np.ndarray) -> None:
        ifg = fw.open_interferogram(write(tmp_path / "20200119_20200107" / "pair.tif", wrapped))
        assert (ifg.attrs["reference_date"], ifg.attrs["secondary_date"]) == ("2020-01-19", "2020-01-07")
        assert any("before the reference date" in sentence for sentence in ifg.attrs["assumptions"])

    def test_the_span_of_an_archive_is_no_pair(self, tmp_path: Path, wrapped: np.ndarray) -> None:
        ifg = fw.open_interferogram(write(tmp_path / "20160101_20201231" / "etna" / "pair.tif", wrapped))
        assert ifg.attrs["reference_date"] == ""

    def test_the_user_knows_better(self, tmp_path: Path, wrapped: np.ndarray) -> None:
        path = write(tmp_path / "pair.tif", filled(-wrapped, -9999))
        ifg = fw.open_interferogram(
            path, wavelength_m=0.2424, phase_sign="range decrease", kind="wrapped", nodata=-9999
        )
        assert angle_between(ifg["phase"].values, wrapped) < 1e-6
        np.testing.assert_array_equal(np.isnan(ifg["phase"]), np.isnan(wrapped))
        assert ifg.attrs["wavelength_m"] == 0.2424
        assert ifg.attrs["phase_sign"] == "range increase"
        assert ifg.attrs["assumptions"] == []

    def test_wavelength_tag(self, tmp_path: Path, wrapped: np.ndarray) -> None:
        path = write(tmp_path / "pair.tif", wrapped, tags={"WAVELENGTH": "0.2362"})
        assert fw.open_interferogram(path).attrs["wavelength_m"] == 0.2362

    @pytest.mark.parametrize(
        ("tag", "metres"),
        [
            ("0.2360571 m", 0.2360571),
            ("23.6 cm", 0.236),
            ("31mm", 0.031),
            ("5.55", None),
            ("C band", None),
            ("-1", None),
        ],
    )
    def test_wavelength_tag_with_a_unit_or_nonsense(
        self, tmp_path: Path, wrapped: np.ndarray, tag: str, metres: float | None
    ) -> None:
        path = write(tmp_path / "pair.tif", wrapped, tags={"wavelength": tag})
        attrs = fw.open_interferogram(path).attrs
        assert attrs["wavelength_m"] == pytest.approx(metres or SENTINEL1_WAVELENGTH_M)
        said = [sentence for sentence in attrs["assumptions"] if "wavelength" in sentence]
        nonsense = (
            f"the file says wavelength = {tag!r}, which is no radar wavelength in metres; that of Sentinel-1 "
            "(5.547 cm) was assumed"
        )
        assert said == ([nonsense] if metres is None else [])

    def test_scaled_integers_of_positive_phase(self, tmp_path: Path) -> None:
        """A bowl from 1 to 21 radians in steps of one: whole numbers, and no grey for all that."""
        raw = np.add.outer(np.arange(40), np.arange(40)).astype(np.int16) // 4 + 1
        path = write(tmp_path / "pair.tif", raw)
        with rasterio.open(path, "r+") as sink:
            sink.scales, sink.offsets = (0.5,), (0.5,)
        ifg = fw.open_interferogram(path)
        np.testing.assert_allclose(ifg["phase"], np.angle(np.exp(1j * (0.5 * raw + 0.5))), atol=1e-5)
        assert ifg.attrs["unwrapped_range_rad"] == pytest.approx(9.5)

    def test_scaled_integers(self, tmp_path: Path, truth: np.ndarray, wrapped: np.ndarray) -> None:
        raw = np.where(np.isnan(truth), -32768, np.rint(truth / 0.001)).astype(np.int16)
        path = write(tmp_path / "pair.tif", raw, nodata=-32768)
        with rasterio.open(path, "r+") as sink:
            sink.scales = (0.001,)
        ifg = fw.open_interferogram(path)
        assert angle_between(ifg["phase"].values, wrapped) < 0.00051
        np.testing.assert_array_equal(np.isnan(ifg["phase"]), np.isnan(wrapped))

    def test_mask_band(self, tmp_path: Path, wrapped: np.ndarray) -> None:
        path = write(tmp_path / "pair.tif", filled(wrapped, 1.0))
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as sink:
            sink.write_mask(~np.isnan(wrapped))
        np.testing.assert_array_equal(np.isnan(fw.open_interferogram(path)["phase"]), np.isnan(wrapped))

    def test_band_named_phase_of_several(self, tmp_path: Path, wrapped: np.ndarray) -> None:
        amplitude = np.full_like(wrapped, 7)
        path = write(tmp_path / "pair.tif", amplitude, wrapped, descriptions=("amplitude", "Phase"))
        np.testing.assert_array_equal(fw.open_interferogram(path)["phase"], wrapped)
        np.testing.assert_array_equal(fw.open_interferogram(path, band=2)["phase"], wrapped)

    def test_zeros_along_the_edge_are_no_data(self, tmp_path: Path, wrapped: np.ndarray) -> None:
        ifg = fw.open_interferogram(write(tmp_path / "pair.tif", filled(wrapped)))
        np.testing.assert_array_equal(np.isnan(ifg["phase"]), np.isnan(wrapped))
        assert any("exactly 0" in sentence for sentence in ifg.attrs["assumptions"])

    def test_zeros_inside_stay_phase(self, tmp_path: Path, wrapped: np.ndarray) -> None:
        inside = filled(wrapped, 0.5)
        inside[20:30, 20:30] = 0
        phase = fw.open_interferogram(write(tmp_path / "pair.tif", inside))["phase"].values
        assert np.isfinite(phase).all()
        assert (phase[20:30, 20:30] == 0).all()

    def test_rotated_grid_is_brought_north_up(self, tmp_path: Path, wrapped: np.ndarray) -> None:
        rotated = Affine.translation(700_000, 9_920_000) @ Affine.rotation(30) @ Affine.scale(80, -80)
        ifg = fw.open_interferogram(
            write(tmp_path / "pair.tif", wrapped, nodata=np.nan, crs="EPSG:32715", transform=rotated)
        )
        assert ifg.rio.transform().b == 0
        assert any("rotated" in sentence for sentence in ifg.attrs["assumptions"])
        # The pixel under a known point carries that point's phase.
        x, y = rotated @ (35.5, 30.5)
        found = ifg["phase"].sel(x=x, y=y, method="nearest").item()
        near = wrapped[29:33, 34:38]
        assert np.abs(near - found).min() == 0

    def test_ground_control_points(self, tmp_path: Path, wrapped: np.ndarray) -> None:
        path = tmp_path / "pair.tif"
        points = [
            GroundControlPoint(row, column, 700_000 + 80 * column, 9_920_000 - 80 * row)
            for row, column in [(0, 0), (0, 70), (60, 0), (60, 70)]
        ]
        with rasterio.open(
            path, "w", driver="GTiff", height=60, width=70, count=1, dtype="float32", nodata=np.nan,
            gcps=points, crs=CRS.from_epsg(32715),
        ) as sink:  # fmt: skip
            sink.write(wrapped, 1)
        ifg = fw.open_interferogram(path)
        assert ifg.rio.crs.to_epsg() == 32715
        assert any("control points" in sentence for sentence in ifg.attrs["assumptions"])
        found = ifg["phase"].sel(x=700_000 + 80 * 35.5, y=9_920_000 - 80 * 30.5, method="nearest").item()
        assert found == pytest.approx(wrapped[30, 35], abs=0.2)

    def test_not_georeferenced(self, tmp_path: Path, wrapped: np.ndarray) -> None:
        ifg = fw.open_interferogram(write(tmp_path / "pair.tif", wrapped, crs=None, transform=None))
        assert ifg.rio.crs is None
        np.testing.assert_array_equal(ifg["x"], np.arange(70))

    def test_companion_given_with_the_reference(self, tmp_path: Path, wrapped: np.ndarray) -> None:
        phase = write(tmp_path / "pair.tif", wrapped)
        coherence = write(tmp_path / "other.tif", np.full(wrapped.shape, 51, np.uint8))
        reference = fw.products.Reference(str(phase), companions={"coherence": str(coherence)})
        np.testing.assert_allclose(fw.open_interferogram(reference)["coherence"], 0.2)


class TestPictures:
    @pytest.fixture
    def grey(self, wrapped: np.ndarray) -> np.ndarray:
        return np.rint((filled(wrapped) + np.pi) / (2 * np.pi) * 255).astype(np.uint8)

    @pytest.fixture
    def alpha(self, wrapped: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(wrapped), 0, 255).astype(np.uint8)

    @pytest.mark.parametrize("suffix", ["png", "tif"])
    def test_grey_with_alpha(
        self, tmp_path: Path, wrapped: np.ndarray, grey: np.ndarray, alpha: np.ndarray, suffix: str
    ) -> None:
        path = tmp_path / f"patch.{suffix}"
        Image.fromarray(np.stack([grey, alpha], -1), "LA").save(path)
        ifg = fw.open_interferogram(path)
        assert angle_between(ifg["phase"].values, wrapped) <= np.pi / 255 + 1e-5
        np.testing.assert_array_equal(np.isnan(ifg["phase"]), np.isnan(wrapped))
        assert ifg.attrs["product"] == "image"
        assert ifg.attrs["phase_sign"] == "unknown"

    def test_grey_without_alpha(self, tmp_path: Path, wrapped: np.ndarray, grey: np.ndarray) -> None:
        Image.fromarray(grey).save(tmp_path / "patch.png")
        phase = fw.open_interferogram(tmp_path / "patch.png")["phase"].values
        assert np.isfinite(phase).all()
        assert angle_between(phase, wrapped) <= np.pi / 255 + 1e-5

    def test_sixteen_bit(self, tmp_path: Path, wrapped: np.ndarray) -> None:
        grey = np.rint((filled(wrapped) + np.pi) / (2 * np.pi) * 65535).astype(np.uint16)
        Image.fromarray(grey).save(tmp_path / "patch.png")
        phase = fw.open_interferogram(tmp_path / "patch.png")["phase"].values
        assert angle_between(phase, wrapped) <= np.pi / 65535 + 1e-5

    def test_stays_in_the_half_open_interval(self, tmp_path: Path) -> None:
        grey = np.tile(np.arange(256, dtype=np.uint8), (8, 1))
        Image.fromarray(grey).save(tmp_path / "patch.png")
        for sign in ("range increase", "range decrease"):
            phase = fw.open_interferogram(tmp_path / "patch.png", phase_sign=sign)["phase"].values
            assert phase.min() > -np.float32(np.pi)
            assert phase.max() <= np.float32(np.pi)

    def test_grey_stored_as_colour_or_palette(self, tmp_path: Path, grey: np.ndarray) -> None:
        Image.fromarray(grey).save(tmp_path / "grey.png")
        Image.fromarray(np.stack([grey] * 3, -1)).save(tmp_path / "rgb.png")
        Image.fromarray(grey).convert("P").save(tmp_path / "palette.png")
        expected = fw.open_interferogram(tmp_path / "grey.png")["phase"]
        for name in ("rgb.png", "palette.png"):
            np.testing.assert_array_equal(fw.open_interferogram(tmp_path / name)["phase"], expected)

    @pytest.mark.parametrize("palette", [False, True])
    def test_cyclic_colours_up_to_offset(self, tmp_path: Path, wrapped: np.ndarray, palette: bool) -> None:
        hue = np.rint((filled(wrapped) + np.pi) / (2 * np.pi) * 255).astype(np.uint8)
        full = np.full_like(hue, 255)
        colours = Image.fromarray(np.stack([hue, full, full], -1), "HSV").convert("RGB")
        array = np.array(colours)
        array[np.isnan(wrapped)] = 255
        picture = Image.fromarray(array)
        if palette:
            picture = picture.quantize(256)
        picture.save(tmp_path / "quicklook.png")
        ifg = fw.open_interferogram(tmp_path / "quicklook.png")
        difference = np.exp(1j * (ifg["phase"].values - wrapped))[np.isfinite(wrapped)]
        assert np.abs(np.nanmean(difference)) > 0.999
        assert np.isnan(ifg["phase"].values[np.isnan(wrapped)]).all()
        assert any("hue" in sentence for sentence in ifg.attrs["assumptions"])

    def test_colours_that_do_not_run_round_are_refused(self, tmp_path: Path, grey: np.ndarray) -> None:
        blue_to_red = np.stack([grey, np.zeros_like(grey), 255 - grey], -1)
        Image.fromarray(blue_to_red).save(tmp_path / "quicklook.png")
        with pytest.raises(ProductError, match="do not run round the colour circle"):
            fw.open_interferogram(tmp_path / "quicklook.png")
