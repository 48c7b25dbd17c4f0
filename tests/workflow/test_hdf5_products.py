"""Containers and grids: what independent readers make of them, their members, and what is refused."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.errors import NotGeoreferencedWarning

import fringewatch as fw
import hdf5_writers as writers
from fringewatch.conventions import los_to_phase
from fringewatch.errors import MissingExtraError, ProductError
from fringewatch.products import companions_of
from product_writers import DAYS, PAIR, Scene


def turn(a: np.ndarray, b: np.ndarray) -> float:
    """Return the largest angle between two phases, where both are there."""
    return float(np.nanmax(np.abs(np.angle(np.exp(1j * (a.astype(float) - b.astype(float)))))))


def opened(written: Any, **said: Any) -> xr.Dataset:
    return fw.open_interferogram(getattr(written, "path", written), **said)


# --- independent readers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ifgramStack", "ifgramStack, unwrapped", "timeseries"])
def test_mintpy_itself_reads_the_same(kind: str, tmp_path: Path) -> None:
    """The independent reader: MintPy's ``readfile`` and ``enu2los`` (pip install --no-deps mintpy)."""
    readfile = pytest.importorskip("mintpy.utils.readfile")
    from mintpy.utils.utils0 import get_unit_vector4component_of_interest

    written = writers.write_mintpy(tmp_path, Scene(), kind=kind)
    file = str(written.path).partition("#")[0]
    ifg = opened(written)
    if kind == "timeseries":
        (first, second), attributes = readfile.read(file, datasetName=[f"timeseries-{day}" for day in DAYS])
        phase = los_to_phase((second - first).astype(float), float(attributes["WAVELENGTH"]))
    else:
        name = "unwrapPhase" if "unwrapped" in kind else "wrapPhase"
        phase, attributes = readfile.read(file, datasetName=f"{name}-{PAIR}", print_msg=False)
        coherence, _ = readfile.read(file, datasetName=f"coherence-{PAIR}", print_msg=False)
        np.testing.assert_array_equal(ifg["coherence"].fillna(0), coherence)
    np.testing.assert_array_equal(np.isfinite(ifg["phase"]), phase != 0)
    assert turn(ifg["phase"].values, phase) < 1e-5
    assert ifg.attrs["wavelength_m"] == float(attributes["WAVELENGTH"])
    assert ifg.rio.transform().to_gdal()[::3] == (float(attributes["X_FIRST"]), float(attributes["Y_FIRST"]))
    geometry = next(str(path) for path in tmp_path.rglob("geometry*.h5"))
    incidence, azimuth = (readfile.read(geometry, datasetName=name)[0] for name in ("incidenceAngle", "azimuthAngle"))
    vector = get_unit_vector4component_of_interest(incidence, azimuth)
    for component, truth in zip(("los_east", "los_north", "los_up"), vector, strict=True):
        np.testing.assert_allclose(ifg[component], truth, atol=1e-6)


def test_xarray_reads_the_same_from_opera(tmp_path: Path) -> None:
    """The independent reader: xarray with h5netcdf, and rioxarray for the grid."""
    written = writers.write_opera(tmp_path, Scene())
    ifg = opened(written)
    with xr.open_dataset(written.path, engine="h5netcdf", decode_coords="all") as data:
        good = data["recommended_mask"] == 1
        phase = los_to_phase(data["displacement"].where(good).values.astype(float), ifg.attrs["wavelength_m"])
        np.testing.assert_array_equal(ifg["x"], data["x"])
        np.testing.assert_array_equal(ifg["y"], data["y"])
        np.testing.assert_array_equal(ifg["coherence"].fillna(0), data["temporal_coherence"])
        assert data.rio.crs == ifg.rio.crs
    np.testing.assert_array_equal(np.isfinite(ifg["phase"]), np.isfinite(phase))
    assert turn(ifg["phase"].values, phase) < 1e-4


@pytest.mark.parametrize("name", ["gmtsar", "gmtsar, gridline", "gmtsar, netCDF-4", "gmtsar, radar"])
def test_xarray_reads_the_same_from_gmtsar(name: str, tmp_path: Path) -> None:
    """The independent reader: xarray with SciPy or h5netcdf; its rows run north, ours south."""
    written = writers.WRITERS[name](tmp_path, Scene())
    ifg = opened(written)
    with xr.open_dataset(written.path, engine="h5netcdf" if "netCDF-4" in name else "scipy") as data:
        values = data["z"][::-1]
        np.testing.assert_array_equal(ifg["phase"], values)
        if "radar" not in name:
            np.testing.assert_allclose(ifg["y"], values["lat"], rtol=0, atol=1e-9)
            np.testing.assert_allclose(ifg["x"], values["lon"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", ["complex", "unwrapped"])
def test_gdal_reads_the_same_from_nisar(kind: str, tmp_path: Path) -> None:
    """The independent reader: GDAL's HDF5 driver."""
    written = writers.write_nisar(tmp_path, Scene())
    ifg = opened(written, kind=kind)
    name = {
        "complex": "wrappedInterferogram/HH/wrappedInterferogram",
        "unwrapped": "unwrappedInterferogram/HH/unwrappedPhase",
    }
    group = "//science/LSAR/GUNW/grids/frequencyA"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(f'HDF5:"{written.path}":{group}/{name[kind]}') as source:
            assert source.driver == "HDF5Image"
            values = source.read(1)
        with rasterio.open(f'HDF5:"{written.path}":{group}/wrappedInterferogram/mask') as source:
            valid = source.read(1) == 11
    phase = np.where(valid, np.angle(values) if kind == "complex" else values, np.nan)
    np.testing.assert_array_equal(np.isfinite(ifg["phase"]), valid)
    assert turn(ifg["phase"].values, phase) < 1e-5


# --- members ----------------------------------------------------------------------------------------------------------


def members(path: Path) -> list[str]:
    return [reference.member for reference in fw.discover(path)]


def test_a_stack_lists_what_mintpy_kept_and_gives_the_rest_by_name(tmp_path: Path) -> None:
    scene = Scene()
    path = writers.write_mintpy(tmp_path, scene).path
    dropped = "_".join(DAYS[::-1])
    assert members(path) == [PAIR]
    turned = opened(f"{path}#{dropped}")
    assert turn(turned["phase"].values, -scene.wrapped) < 1e-4
    assert turned.attrs["reference_date"] == "2018-06-13"
    assert any("before the reference date" in sentence for sentence in turned.attrs["assumptions"])
    with h5py.File(path, "a") as file:
        file["dropIfgram"][:] = True
    assert members(path) == [dropped, PAIR]
    with pytest.raises(
        ProductError, match=rf"ifgramStack.h5: holds 2 interferograms \(#{dropped}, #{PAIR}\); name one"
    ):
        opened(path)
    with pytest.raises(ProductError, match=r"#20200101_20200113: there is no such member, expected one of its pairs"):
        opened(f"{path}#20200101_20200113")
    assert opened(f"{path}#{PAIR.replace('_', '-')}").attrs["source"] == f"{path}#{PAIR}"


def test_a_stack_with_both_phases_gives_the_one_that_is_asked_for(tmp_path: Path) -> None:
    scene = Scene()
    path = writers.write_mintpy(tmp_path, scene).path
    assert "unwrapped_range_rad" not in opened(path).attrs
    unwrapped = opened(path, kind="unwrapped")
    assert unwrapped.attrs["unwrapped_range_rad"] == pytest.approx(np.ptp(scene.unwrapped[scene.valid]), rel=1e-5)
    with pytest.raises(ProductError, match="kind='complex' was asked for, but the file is MintPy wrapped phase"):
        opened(path, kind="complex")


def test_a_time_series_lists_consecutive_dates_and_gives_any_two(tmp_path: Path) -> None:
    scene = Scene()
    path = Path(str(writers.write_mintpy(tmp_path, scene, kind="timeseries").path).partition("#")[0])
    assert members(path) == [PAIR, f"{DAYS[1]}_{writers.LATER}"]
    # On the last date half of the motion is undone.
    assert turn(opened(f"{path}#{DAYS[0]}_{writers.LATER}")["phase"].values, scene.unwrapped / 2) < 1e-4
    assert turn(opened(f"{path}#{DAYS[1]}_{writers.LATER}")["phase"].values, -scene.unwrapped / 2) < 1e-4
    turned = opened(f"{path}#{'_'.join(DAYS[::-1])}")
    assert turn(turned["phase"].values, -scene.wrapped) < 1e-4
    for wrong in (f"{DAYS[0]}_{DAYS[0]}", f"{DAYS[0]}_20200101", DAYS[0]):
        with pytest.raises(ProductError, match="there is no such member, expected any two of its dates"):
            opened(f"{path}#{wrong}")
    with h5py.File(path, "a") as file:
        file.attrs["UNIT"] = "radian"
    with pytest.raises(ProductError, match="has the unit 'radian', expected m; convert it"):
        opened(f"{path}#{PAIR}")


def test_a_velocity_is_phase_over_the_days_that_are_said(tmp_path: Path) -> None:
    scene = Scene()
    path = writers.write_mintpy_velocity(tmp_path, scene, days=90)
    assert members(path) == [""]
    with pytest.raises(ProductError, match=r"is a velocity, .* --interval-days 365 \(in Python interval_days=365\)"):
        opened(path)
    ifg = opened(path, interval_days=90)
    assert turn(ifg["phase"].values, scene.wrapped) < 1e-4
    np.testing.assert_array_equal(np.isfinite(ifg["phase"]), scene.valid)
    assert any("over 90 days" in sentence for sentence in ifg.attrs["assumptions"])
    # A quarter of the time, a quarter of the motion.
    assert opened(path, interval_days=22.5).attrs["unwrapped_range_rad"] == pytest.approx(
        ifg.attrs["unwrapped_range_rad"] / 4
    )
    for days in (0, -1, float("nan")):
        with pytest.raises(ProductError, match="expected a positive number of days"):
            opened(path, interval_days=days)


def test_polarisations_and_frequencies_are_members(tmp_path: Path) -> None:
    scene = Scene()
    path = writers.write_nisar(tmp_path, scene, polarisations=("HH", "VV")).path
    assert members(path) == ["HH", "VV"]
    assert turn(opened(f"{path}#HH")["phase"].values, scene.wrapped) < 1e-4
    assert turn(opened(f"{path}#VV")["phase"].values, -scene.wrapped) < 1e-4
    with pytest.raises(ProductError, match=r"holds 2 interferograms \(#HH, #VV\); name one of them"):
        opened(path)
    with pytest.raises(ProductError, match=r"there is no #HV; it holds 2 interferograms"):
        opened(f"{path}#HV")
    with h5py.File(path, "a") as file:
        grids = file["science/LSAR/GUNW/grids"]
        grids.copy("frequencyA", "frequencyB")
        grids["frequencyB/centerFrequency"][...] = grids["frequencyA/centerFrequency"][()] / 2
    assert members(path) == ["HH", "VV", "B/HH", "B/VV"]
    assert opened(f"{path}#B/HH").attrs["wavelength_m"] == pytest.approx(2 * scene.wavelength_m)


def test_nisar_has_wrapped_and_unwrapped_phase(tmp_path: Path) -> None:
    scene = Scene()
    path = writers.write_nisar(tmp_path, scene).path
    assert "unwrapped_range_rad" in opened(path, kind="unwrapped").attrs
    assert "unwrapped_range_rad" not in opened(path, kind="wrapped").attrs
    with pytest.raises(ProductError, match="kind='picture' was asked for, expected 'complex' or 'unwrapped'"):
        opened(path, kind="picture")


def test_the_days_of_gmtsar_count_from_0_unless_the_parameters_tell(tmp_path: Path) -> None:
    named = opened(writers.write_gmtsar(tmp_path / "a", Scene()))
    assert not any("counted" in sentence for sentence in named.attrs["assumptions"])
    # A satellite whose days count from 1, but whose parameter files have dates.
    written = writers.write_gmtsar(tmp_path / "b", Scene())
    for file, day in zip(sorted(written.path.parent.glob("*.PRM")), ("20180531", "20180612"), strict=True):
        file.rename(file.with_name(f"ASA_{day}.PRM"))
    ifg = opened(written)
    assert (ifg.attrs["reference_date"], ifg.attrs["secondary_date"]) == ("2018-05-31", "2018-06-12")


def test_of_the_grids_of_a_pair_one_is_read(tmp_path: Path) -> None:
    scene = Scene()
    for form in ("unwrap", "phase", "phasefilt_mask", "phasefilt"):
        for geocoded in (False, True):
            writers.write_gmtsar(tmp_path, scene, form=form, geocoded=geocoded)
    folder = tmp_path / "intf_all" / "2018151_2018163"
    for name in ("los_ll.grd", "xphase.grd", "display_amp_ll.grd", "topo_ra.grd"):
        writers.gmt_grid(folder / name, scene.height, None)
    (found,) = fw.discover(tmp_path)
    assert (found.path, found.name) == (str(folder / "phasefilt_ll.grd"), "2018151_2018163_phasefilt_ll")
    with pytest.raises(ProductError, match=r"los_ll.grd: is by its name a GMTSAR grid that goes with an interferogram"):
        opened(folder / "los_ll.grd")


# --- recognition, and what is left out --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "other"),
    [("mintpy, stack", "mine.h5"), ("opera, unwrapped", "mine.nc"), ("nisar", "mine.h5")],
)
def test_renamed_files_are_known_by_their_content(name: str, other: str, tmp_path: Path) -> None:
    written = writers.WRITERS[name](tmp_path, Scene())
    moved = written.path.rename(tmp_path / other)
    found = next(reference for reference in fw.discover(tmp_path) if reference.path == str(moved))
    assert found.product == written.product
    assert turn(opened(found)["phase"].values, Scene().wrapped) < 1e-4


def test_files_that_go_with_a_stack_are_no_interferograms(tmp_path: Path) -> None:
    path = writers.write_mintpy(tmp_path, Scene()).path
    mask = path.parent / "maskTempCoh.h5"
    with h5py.File(mask, "w") as file:
        file.attrs["FILE_TYPE"] = "mask"
        file["mask"] = np.ones((9, 9), bool)
    assert members(tmp_path) == [PAIR]
    geometry = path.parent / "geometryGeo.h5"
    assert companions_of(next(fw.discover(path))) == [str(geometry)]
    for other, kind in ((mask, "mask"), (geometry, "geometry")):
        (reference,) = fw.discover(other)
        with pytest.raises(
            ProductError, match=f"with FILE_TYPE {kind}, expected one of ifgramStack, timeseries, velocity"
        ):
            opened(reference)


def test_a_damaged_file_is_one_reference_that_says_so(tmp_path: Path) -> None:
    good = writers.write_mintpy(tmp_path, Scene()).path
    bad = good.with_name("timeseries.h5")
    bad.write_bytes(good.read_bytes()[:3000])
    text = good.with_name("velocity.h5")
    text.write_text("not found")
    found = list(fw.discover(tmp_path))
    assert [Path(reference.path).name for reference in found] == ["ifgramStack.h5", "timeseries.h5", "velocity.h5"]
    with pytest.raises(ProductError, match=r"timeseries.h5: is damaged or cut short \(.*expected an HDF5"):
        opened(found[1])
    with pytest.raises(ProductError, match=r"velocity.h5: is plain text, expected an HDF5 or netCDF-4 file"):
        opened(found[2])
    with pytest.raises(ProductError, match=r"are read from disk only, expected a local path; fetch or unpack it first"):
        opened("https://example.org/ifgramStack.h5")


def test_opera_has_two_layers_and_no_other(tmp_path: Path) -> None:
    path = writers.write_opera(tmp_path, Scene()).path
    assert members(tmp_path) == [""]
    with pytest.raises(ProductError, match="no such member, expected #displacement or #short_wavelength_displacement"):
        opened(f"{path}#velocity")
    static = next(tmp_path.glob("*enu.tif"))
    assert companions_of(next(fw.discover(path)))[1] == str(static)
    with pytest.raises(ProductError, match="is by its name an OPERA file that goes with an interferogram"):
        opened(static)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("opera, unwrapped", "uneven", r"the coordinates x are not evenly spaced, expected a regular grid"),
        ("opera, unwrapped", "grid", r"names no coordinate system, expected spatial_ref with crs_wkt"),
        ("opera, unwrapped", "crs", r"names the coordinate system 'nonsense', expected an EPSG code or WKT"),
        ("opera, unwrapped", "short", r"x holds float64 of shape \(5,\), expected \(61,\) numbers"),
        (
            "opera, unwrapped",
            "mask",
            r"recommended_mask has the shape \(9, 9\), expected that of displacement, \(44, 61\)",
        ),
        ("opera, unwrapped", "layer", r"holds no dataset 'displacement' \(but connected_component_labels, "),
    ],
)
def test_what_does_not_fit_is_named(name: str, change: str, message: str, tmp_path: Path) -> None:
    path = writers.WRITERS[name](tmp_path, Scene()).path
    with h5py.File(path, "a") as file:
        if change == "uneven":
            file["x"][5] += 40
        elif change == "short":
            del file["x"]
            file["x"] = np.arange(5.0)
        elif change == "grid":
            del file["spatial_ref"]
        elif change == "crs":
            file["spatial_ref"].attrs["crs_wkt"] = "nonsense"
        elif change == "mask":
            del file["recommended_mask"]
            file["recommended_mask"] = np.ones((9, 9), np.uint8)
        else:
            del file["displacement"]
    with pytest.raises(ProductError, match=message):
        opened(path)


def test_without_h5py_the_remedy_is_named_and_netcdf_3_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = writers.write_mintpy(tmp_path, Scene()).path
    old, new = (writers.write_gmtsar(tmp_path / str(n), Scene(), netcdf4=bool(n)).path for n in (0, 1))
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert np.isfinite(opened(old)["phase"]).any()
    (reference,) = fw.discover(stack)
    for what in (reference, new):
        with pytest.raises(
            MissingExtraError, match=r"'h5py', which is not installed: pip install 'fringewatch\[formats\]'"
        ):
            opened(what)


# --- files that are not to be trusted ---------------------------------------------------------------------------------


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of somebody else's, of the size of a scene."""
    path = tmp_path / "secret.h5"
    with h5py.File(path, "w") as file:
        file["data"] = np.random.default_rng(0).uniform(-3, 3, (44, 61)).astype(np.float32)
    (tmp_path / "secret.raw").write_bytes(bytes(44 * 61 * 4))
    return path


def replace(path: Path, name: str, how: str, secret: Path) -> None:
    with h5py.File(path, "a") as file:
        shape = file[name].shape
        del file[name]
        if how == "external link":
            file[name] = h5py.ExternalLink(str(secret), "/data")
        elif how == "link to an external link":
            file["elsewhere"] = h5py.ExternalLink(str(secret), "/")
            file[name] = h5py.SoftLink("/elsewhere/data")
        elif how == "circle":
            file[name] = h5py.SoftLink(f"/{name}")
        elif how == "external storage":
            file.create_dataset(name, shape, "f4", external=[(str(secret.with_suffix(".raw")), 0, h5py.h5f.UNLIMITED)])
        elif how == "virtual":
            layout = h5py.VirtualLayout(shape, "f4")
            layout[:] = h5py.VirtualSource(str(secret), "data", shape=(44, 61))
            file.create_virtual_dataset(name, layout)
        elif how == "huge":
            file.create_dataset(
                name, (*shape[:-2], 1_000_000, 1_000_000), "f4", chunks=(1,) * (len(shape) - 2) + (64, 64)
            )
        elif how == "huge blocks":
            file.create_dataset(name, shape, "f4", maxshape=(None,) * len(shape), chunks=(*shape[:-2], 20_000, 20_000))


REFUSALS = {
    "external link": "is a link into another file",
    "link to an external link": "is a link into another file",
    "circle": "lead in circles",
    "external storage": "lie in other files",
    "virtual": "lie in other files",
    "huge": r"declares 1000000 x 1000000 pixels in blocks of 64 x 64, expected at most 4,000,000,000 pixels",
    "huge blocks": r"in blocks of 20000 x 20000, expected at most .* 512 MB a block",
}


@pytest.mark.parametrize("how", REFUSALS)
@pytest.mark.parametrize(("name", "dataset"), [("opera, unwrapped", "displacement"), ("gmtsar, netCDF-4", "z")])
def test_files_that_reach_elsewhere_or_beyond_are_refused(
    name: str, dataset: str, how: str, tmp_path: Path, secret: Path
) -> None:
    path = writers.WRITERS[name](tmp_path / "data", Scene()).path
    replace(path, dataset, how, secret)
    with pytest.raises(ProductError, match=REFUSALS[how]):
        opened(path)


def test_a_companion_that_reaches_elsewhere_is_left_out_with_the_reason(tmp_path: Path, secret: Path) -> None:
    path = writers.write_mintpy(tmp_path / "data", Scene()).path
    replace(path.parent / "geometryGeo.h5", "height", "external link", secret)
    ifg = opened(path)
    assert "height" not in ifg
    assert any("height was left out" in s and "link into another file" in s for s in ifg.attrs["assumptions"])


def test_links_within_a_file_are_followed(tmp_path: Path) -> None:
    path = writers.write_opera(tmp_path, Scene()).path
    with h5py.File(path, "a") as file:
        file.move("displacement", "deep/er")
        file["deep/down"] = h5py.SoftLink("er")
        file["displacement"] = h5py.SoftLink("/deep/down")
    assert turn(opened(path)["phase"].values, Scene().wrapped) < 1e-4


def test_a_link_in_a_stack_does_not_pass_for_its_dates(tmp_path: Path, secret: Path) -> None:
    path = writers.write_mintpy(tmp_path / "data", Scene()).path
    with h5py.File(path, "a") as file:
        del file["date"]
        file["date"] = np.array([["tomorrow", "later"]] * 2, "S8")
    with pytest.raises(ProductError, match="has the date 'tomorrow', expected YYYYMMDD"):
        opened(path)
    with h5py.File(path, "a") as file:
        del file["date"]
        file["date"] = h5py.ExternalLink(str(secret), "/data")
    with pytest.raises(ProductError, match="date is a link into another file"):
        opened(path)
