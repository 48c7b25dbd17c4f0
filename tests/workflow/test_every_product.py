"""The same scene in every format reads back as the same interferogram."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning

import fringewatch as fw
import hdf5_writers
import product_writers as writers
from fringewatch.conventions import SENTINEL1_WAVELENGTH_M

WRITERS = writers.WRITERS | hdf5_writers.WRITERS


def turn(a: np.ndarray, b: np.ndarray) -> float:
    """Return the largest angle between two phases, where both are there."""
    return float(np.nanmax(np.abs(np.angle(np.exp(1j * (a.astype(float) - b.astype(float)))))))


def assert_same(ifg: Any, written: Any, scene: Any) -> None:
    phase = ifg["phase"].values
    np.testing.assert_array_equal(np.isfinite(phase), scene.valid)
    assert turn(phase, scene.wrapped) < 1e-4
    assert ifg.attrs["product"] == written.product
    assert ifg.attrs["phase_sign"] == written.sign
    assert ("unwrapped_range_rad" in ifg.attrs) == written.unwrapped
    if written.unwrapped:
        assert ifg.attrs["unwrapped_range_rad"] == pytest.approx(np.ptp(scene.unwrapped[scene.valid]), rel=1e-5)
    days = ("2018-06-01", "2018-06-13") if written.dates else ("", "")
    assert (ifg.attrs["reference_date"], ifg.attrs["secondary_date"]) == days
    declared = scene.wavelength_m if written.wavelength else SENTINEL1_WAVELENGTH_M
    assert ifg.attrs["wavelength_m"] == pytest.approx(declared, rel=1e-9)
    for words in written.says:
        assert any(words in sentence for sentence in ifg.attrs["assumptions"]), (words, ifg.attrs["assumptions"])

    if written.coherence_step is None:
        assert "coherence" not in ifg
    else:
        known = np.where(scene.coherence > 0, scene.coherence, np.nan)
        np.testing.assert_allclose(ifg["coherence"], known, atol=written.coherence_step)
    assert ("height" in ifg) == written.height
    if written.height:
        np.testing.assert_allclose(ifg["height"], scene.height, atol=1e-3)
    assert ("los_up" in ifg) == bool(written.los)
    if written.los:
        vector = scene.los if written.los == "pixels" else scene.los_centre
        for name, truth in zip(("los_east", "los_north", "los_up"), vector, strict=True):
            np.testing.assert_allclose(ifg[name], truth, atol=2e-6, err_msg=name)

    if written.grid is None:
        assert ifg.rio.crs is None
        assert ("lat" in ifg.coords) == written.lookup
        if written.lookup:
            np.testing.assert_allclose(ifg["lat"], scene.latitude, atol=1e-5)
            np.testing.assert_allclose(ifg["lon"], scene.longitude, atol=1e-5)
    else:
        assert ifg.rio.crs.to_epsg() == written.epsg
        np.testing.assert_allclose(ifg.rio.transform().to_gdal(), written.grid.to_gdal(), rtol=1e-9)
        assert "lat" not in ifg.coords


@pytest.mark.parametrize("name", WRITERS)
def test_the_scene_reads_back(name: str, tmp_path: Path) -> None:
    scene = writers.Scene()
    written = WRITERS[name](tmp_path, scene)
    assert_same(fw.open_interferogram(written.path), written, scene)


@pytest.mark.parametrize(
    "name",
    [
        *("isce, radar", "gamma, degrees", "licsbas", "roipac, geocoded", "snap, phase", "mintpy, stack, radar"),
        *("mintpy, time series, unwrapped", "opera, unwrapped", "nisar", "gmtsar, radar"),
    ],
)
def test_the_wavelength_is_that_of_the_header(name: str, tmp_path: Path) -> None:
    scene = writers.Scene(wavelength_m=writers.L_BAND_M)
    written = WRITERS[name](tmp_path, scene)
    ifg = fw.open_interferogram(written.path)
    assert_same(ifg, written, scene)
    assert not any("wavelength" in sentence for sentence in ifg.attrs["assumptions"])
    assert fw.open_interferogram(written.path, wavelength_m=0.031).attrs["wavelength_m"] == 0.031


@pytest.mark.parametrize("name", WRITERS)
def test_a_folder_gives_one_reference_and_a_lazy_reading_is_the_same(name: str, tmp_path: Path) -> None:
    scene = writers.Scene()
    written = WRITERS[name](tmp_path, scene)
    # Of a file with several, or with layers that only their name asks for, the one that is meant.
    where = written.path if "#" in written.path.name else tmp_path
    found = [reference for reference in fw.discover(where) if reference.product == written.product]
    # dolphin keeps wrapped and unwrapped phase in two folders.
    assert len(found) == (2 if name == "dolphin, unwrapped" else 1)
    ifg = fw.open_interferogram(found[-1], chunks=16)
    assert ifg["phase"].chunks is not None
    assert_same(ifg.compute(), written, scene)


@pytest.mark.parametrize("name", [name for name in WRITERS if "unwrapped" not in name])
def test_the_other_sign_turns_the_phase_round(name: str, tmp_path: Path) -> None:
    scene = writers.Scene()
    written = WRITERS[name](tmp_path, scene)
    ifg = fw.open_interferogram(written.path, phase_sign="range decrease")
    assert turn(ifg["phase"].values, -scene.wrapped) < 1e-4
    assert ifg.attrs["phase_sign"] == "range increase"


def by_gdal(path: Path, driver: str, band: int = 1) -> np.ndarray:
    """Return the wrapped phase of a file as one driver of GDAL has it; 0 is no data."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, driver=driver) as source:
            assert source.driver == driver
            values = source.read(band)
    phase = np.angle(values if values.dtype.kind == "c" else np.exp(1j * values.astype(float)))
    return np.where(np.isfinite(values) & (values != 0), phase, np.nan)


def envi_header(path: Path, scene: writers.Scene, data_type: int) -> Path:
    """Write the header by which people open GAMMA's files in other programs, as pyroSAR does: big-endian."""
    rows, columns = scene.shape
    writers.text(
        path.with_name(f"{path.name}.hdr"),
        f"ENVI\nsamples = {columns}\nlines = {rows}\nbands = 1\nheader offset = 0\nfile type = ENVI Standard\n"
        f"data type = {data_type}\ninterleave = bsq\nbyte order = 1\n",
    )
    return path


@pytest.mark.parametrize(
    ("name", "driver", "band"),
    [
        ("isce, radar", "ISCE", 1),
        ("isce, geocoded, unwrapped", "ISCE", 2),
        ("isce, .vrt alone", "VRT", 1),
        ("roipac, radar", "ROI_PAC", 1),
        ("roipac, geocoded, unwrapped", "ROI_PAC", 2),
        ("snap, phase", "ENVI", 1),
        ("snap, unwrapped", "ENVI", 1),
        ("gamma, radar", "ENVI", 1),
        ("gamma, unwrapped", "ENVI", 1),
        ("dolphin", "GTiff", 1),
        ("licsar", "GTiff", 1),
    ],
)
def test_gdal_reads_the_same(name: str, driver: str, band: int, tmp_path: Path) -> None:
    """The independent readers: GDAL's drivers ISCE, VRT, ROI_PAC, ENVI and GTiff, by their own headers."""
    scene = writers.Scene()
    written = WRITERS[name](tmp_path, scene)
    ifg = fw.open_interferogram(written.path)
    path = Path(ifg.attrs["source"])
    if written.product == "gamma":
        envi_header(path, scene, 4 if "unwrapped" in name else 6)
    phase = by_gdal(path, driver, band)
    np.testing.assert_array_equal(np.isfinite(phase), np.isfinite(ifg["phase"]))
    assert turn(ifg["phase"].values, phase) < 1e-5
