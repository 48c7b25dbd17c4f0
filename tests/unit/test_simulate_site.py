"""A real place to simulate: its grid, its heights, its line of sight, the spectra of its noise."""

import numpy as np
import pytest
import rasterio
from affine import Affine

from fringewatch.conventions import los_to_phase, wrap
from fringewatch.errors import ConfigError, ProductError
from fringewatch.physics.atmosphere import SMOOTH, fit_slope, turbulence
from fringewatch.physics.geometry import look_vector
from fringewatch.products.dem import find_look_files, read_dem, read_look
from fringewatch.simulate import SceneSpec, simulate
from fringewatch.simulate.site import Site, measure_spectra, open_site

UTM33 = {"crs": "EPSG:32633", "transform": Affine(30, 0, 480_000, 0, -30, 4_520_000)}
DEGREES = {"crs": "EPSG:4326", "transform": Affine(0.001, 0, 14.0, 0, -0.001, 41.0)}


def write(path, values, **profile):
    values = np.atleast_3d(values.T).T if values.ndim == 2 else values
    profile = {"driver": "GTiff", "dtype": values.dtype.name} | profile
    with rasterio.open(
        path, "w", count=values.shape[0], height=values.shape[1], width=values.shape[2], **profile
    ) as target:
        target.write(values)
    return path


def cone(shape=(200, 240), row=100, col=140, radius=60, top=2000.0):
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    return (np.clip(1 - np.hypot(rows - row, cols - col) / radius, 0, None) * top + 100 + rows % 3).astype(np.float32)


def test_a_projected_dem_becomes_square_metric_pixels_at_the_right_place(tmp_path):
    dem = read_dem(write(tmp_path / "dem.tif", cone(), **UTM33))
    assert dem.pixel_m == pytest.approx(30, rel=2e-3)
    row, col = np.unravel_index(dem.height_m.argmax(), dem.height_m.shape)
    longitude, latitude = (
        dem.transform.c + (col + 0.5) * dem.transform.a,
        dem.transform.f + (row + 0.5) * dem.transform.e,
    )
    from rasterio.warp import transform

    (east,), (north,) = transform("EPSG:4326", "EPSG:32633", [longitude], [latitude])
    assert east == pytest.approx(480_000 + 30 * 140.5, abs=35)
    assert north == pytest.approx(4_520_000 - 30 * 100.5, abs=35)
    # A circle stays a circle: the cone is as wide as it is high, in pixels.
    foot = dem.height_m > 300
    assert np.ptp(np.flatnonzero(foot.any(axis=0))) == pytest.approx(np.ptp(np.flatnonzero(foot.any(axis=1))), abs=2)


@pytest.mark.parametrize("backwards", [(True, False), (False, True), (True, True)])
def test_rows_and_columns_of_a_dem_may_run_either_way(tmp_path, backwards):
    plain = read_dem(write(tmp_path / "dem.tif", cone(), **UTM33))
    south, west = backwards
    values = cone()[:: -1 if south else 1, :: -1 if west else 1]
    transform = Affine(
        -30 if west else 30, 0, 480_000 + 240 * 30 * west, 0, 30 if south else -30, 4_520_000 - 200 * 30 * south
    )
    turned = read_dem(write(tmp_path / "turned.tif", values, crs="EPSG:32633", transform=transform))
    np.testing.assert_array_equal(turned.height_m, plain.height_m)
    assert turned.transform == plain.transform


def test_outside_of_a_slanted_dem_of_integers_there_is_no_ground(tmp_path):
    """The corners about a turned frame are voids, whatever the type, and no sea at a height of 0."""
    slanted = Affine(30 * 0.8, 30 * 0.6, 480_000, 30 * 0.6, -30 * 0.8, 4_520_000)
    dems = [
        read_dem(write(tmp_path / f"{dtype}.tif", cone().astype(dtype), crs="EPSG:32633", transform=slanted))
        for dtype in ("float32", "int16")
    ]
    assert dems[1].filled == pytest.approx(dems[0].filled)
    assert 0.3 < dems[1].filled < 0.5
    assert dems[1].height_m.min() >= 99
    np.testing.assert_allclose(dems[1].height_m, dems[0].height_m, atol=20)


def test_a_dem_of_eastern_longitudes_lies_in_the_west(tmp_path):
    east = Affine(0.001, 0, 204.6, 0, -0.001, 19.5)
    assert read_dem(write(tmp_path / "dem.tif", cone(), crs="EPSG:4326", transform=east)).transform.c == pytest.approx(
        -155.4
    )


def test_larger_pixels_average_heights(tmp_path):
    path = write(tmp_path / "dem.tif", cone(), **DEGREES)
    fine, coarse = read_dem(path), read_dem(path, pixel_m=400)
    assert coarse.pixel_m == 400
    assert coarse.height_m.mean() == pytest.approx(fine.height_m.mean(), rel=0.01)
    assert coarse.height_m.max() < fine.height_m.max()
    assert fine.pixel_m == pytest.approx(np.sqrt(111.05 * 84.1), rel=2e-3)  # metres of 0.001 degrees at 40.9 north


def test_voids_are_filled_and_told_and_the_sea_is_water(tmp_path):
    height = cone()
    height[20:30, 20:30] = -32768
    height[150:170, 30:50] = np.nan
    height[:, 220:] = 0
    height[:10, 200:] = -800
    dem = read_dem(write(tmp_path / "dem.tif", height, **DEGREES))
    assert np.isfinite(dem.height_m).all()
    assert dem.height_m.min() >= 0
    assert dem.filled == pytest.approx(500 / height.size, rel=0.3)
    whole = read_dem(write(tmp_path / "whole.tif", cone(), **DEGREES))
    assert np.abs(dem.height_m - whole.height_m)[:, : int(0.8 * dem.height_m.shape[1])].max() < 20
    assert dem.water[:, -5:].all()
    assert not dem.water[:, : int(0.8 * dem.height_m.shape[1])].any()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: write(path, cone()), "has no coordinate system"),
        (lambda path: path.write_text("heights"), "is plain text"),
        (lambda path: None, "there is no such file"),
        (lambda path: write(path, np.full((64, 64), -9999, np.float32), **DEGREES), "holds no height between"),
        (lambda path: write(path, np.zeros((3, 64, 64), np.uint8), photometric="RGB", **DEGREES), "has 3 bands"),
        (
            lambda path: write(path, np.where(np.arange(200)[:, None] < 140, np.nan, cone()), **DEGREES),
            "has no height over 70% of its area",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_files_that_are_no_dem(tmp_path, make, said):
    path = tmp_path / "dem.tif"
    make(path)
    with pytest.raises(ProductError, match=said) as error:
        read_dem(path)
    assert str(path) in str(error.value)


def test_a_dem_is_not_blown_up_beyond_memory(tmp_path):
    with pytest.raises(ProductError, match="choose larger pixels"):
        read_dem(write(tmp_path / "dem.tif", cone(), **DEGREES), pixel_m=0.6)


@pytest.fixture
def frame(tmp_path):
    """A DEM and look vectors of a descending frame, incidence growing from 30 to 44 degrees to the west."""
    dem = read_dem(write(tmp_path / "dem.tif", cone(), **DEGREES))
    incidence = np.broadcast_to(np.linspace(44, 30, 240), (200, 240))
    look = look_vector(193.0, incidence)
    for letter, values in zip("ENU", look, strict=True):
        write(tmp_path / f"001D_00000_000000.geo.{letter}.tif", np.asarray(values, np.float32), **DEGREES)
    write(tmp_path / "a_lv_theta.tif", np.radians(90 - incidence).astype(np.float32), **DEGREES)
    phi = np.full((200, 240), np.arctan2(look.north, look.east), np.float32)
    write(tmp_path / "a_lv_phi.tif", phi, **DEGREES)
    write(tmp_path / "incidence.tif", incidence.astype(np.float32), **DEGREES)
    write(tmp_path / "heading.tif", np.full((200, 240), 193, np.float32), **DEGREES)
    return tmp_path, dem


@pytest.mark.parametrize(
    "names",
    [
        ["001D_00000_000000.geo.U.tif"],
        ["."],
        ["001D_00000_000000.geo.E.tif", "001D_00000_000000.geo.N.tif", "001D_00000_000000.geo.U.tif"],
        ["a_lv_phi.tif"],
        ["incidence.tif", "heading.tif"],
    ],
)
def test_every_way_to_give_a_line_of_sight_gives_the_same(frame, names):
    folder, dem = frame
    look = read_look([folder / name for name in names], dem)
    np.testing.assert_allclose(np.square(look).sum(axis=0), 1, atol=1e-5)
    assert look[0].min() > 0  # descending: the satellite stands in the east
    middle = look[:, look.shape[1] // 2, look.shape[2] // 2]
    np.testing.assert_allclose(middle, look_vector(193.0, 37.0), atol=2e-3)
    np.testing.assert_allclose(look[2, :, 0].mean(), np.cos(np.radians(44)), atol=2e-3)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["up"], "cannot be taken for a line of sight"),
        (["missing.geo.E.tif"], "there is no such file"),
        (["heading.tif", "incidence.tif"], "holds incidence angles about 193"),
        (["incidence.tif", "incidence.tif", "incidence.tif"], "expected unit vectors"),
        (["elsewhere.tif", "heading.tif"], "holds incidence angles about nan"),
        (["far.geo.E.tif"], "say something about 0% of the DEM's area"),
    ],
)
def test_files_that_are_no_line_of_sight(frame, names, said):
    folder, dem = frame
    away = {"crs": "EPSG:4326", "transform": Affine(0.001, 0, 50.0, 0, -0.001, 10.0)}
    for name in ("elsewhere.tif", *(f"far.geo.{letter}.tif" for letter in "ENU")):
        write(folder / name, np.full((50, 50), 0.577, np.float32), **away)
    with pytest.raises(ProductError, match=said):
        read_look([folder / name for name in names], dem)


def test_a_folder_without_look_vectors(tmp_path):
    with pytest.raises(ProductError, match="holds no files of the look vector"):
        find_look_files([tmp_path])


@pytest.mark.parametrize(("track", "sign"), [("asc", -1), ("desc", 1)])
def test_a_track_sets_the_heading_and_draws_the_incidence(tmp_path, track, sign):
    site = open_site(write(tmp_path / "dem.tif", cone(), **DEGREES), los=[track])
    plots = [site.draw(np.random.default_rng(seed), (64, 64), (29, 46)) for seed in range(8)]
    assert all(np.sign(plot.look.east) == sign for plot in plots)
    assert all(29 <= plot.incidence_deg <= 46 for plot in plots)
    assert len({(plot.row, plot.col) for plot in plots}) > 4
    for plot in plots:
        np.testing.assert_array_equal(plot.height_m, site.height_m[plot.row : plot.row + 64, plot.col : plot.col + 64])
        np.testing.assert_allclose(plot.look, look_vector(plot.heading_deg, plot.incidence_deg), atol=1e-6)


def test_a_scene_larger_than_the_site_is_refused():
    site = Site("small.tif", np.zeros((60, 80), np.float32), 90.0)
    with pytest.raises(ConfigError, match=r"small.tif: the DEM has 60 x 80 pixels .* --size-px 60 or less"):
        site.check_size((96, 96))


def test_a_simulated_scene_of_a_site_has_its_relief_pixel_size_and_look(frame):
    folder, dem = frame
    site = open_site(folder / "dem.tif", los=[str(folder)])
    spec = SceneSpec.build({"height_px": 96, "width_px": 96, "nodata_share": 0.0})
    for index in range(3):
        sample = simulate(spec, seed=1, index=index, site=site)
        row, col = int(sample.parameters["site_row"]), int(sample.parameters["site_col"])
        np.testing.assert_array_equal(sample.height_m, dem.height_m[row : row + 96, col : col + 96])
        assert sample.pixel_m == dem.pixel_m
        assert sample.track == "D"
        np.testing.assert_allclose(sample.look.up, site.look[2, row + 48, col + 48], atol=3e-3)


def test_water_of_a_site_is_decorrelated():
    water = np.zeros((96, 96), bool)
    water[:, :30] = True
    site = Site("lake.tif", np.full((96, 96), 10, np.float32), 90.0, water)
    spec = SceneSpec.build(
        {"height_px": 96, "width_px": 96, "kinds": {"quiet": 1}, "styles": {"raw": 1}, "coherence": (0.9, 0.9)}
    )
    sample = simulate(spec, seed=0, index=0, site=site)
    assert sample.coherence[:, :30].max() <= np.float32(0.02)
    assert np.median(sample.coherence[:, 30:]) > 0.04


def test_spectra_are_measured_where_unwrapping_is_beyond_doubt():
    rng = np.random.default_rng(0)
    delays = [turbulence((160, 160), 90.0, rng, std_m=0.02, power_law=SMOOTH) for _ in range(6)]
    wrapped = [wrap(los_to_phase(delay)) for delay in delays]
    assert max(np.ptp(los_to_phase(delay)) for delay in delays) > 2 * np.pi  # there is something to unwrap
    noise = rng.uniform(-np.pi, np.pi, (160, 160)).astype(np.float32)
    gaps = wrapped[0].copy()
    gaps[:, :60] = np.nan
    spectra = measure_spectra([noise, gaps, np.zeros((20, 20), np.float32), *wrapped], 90.0)
    assert len(spectra) == 6
    slopes = [fit_slope(spectrum, longest_m=3000, shortest_m=1600) for spectrum in spectra]
    assert np.mean(slopes) == pytest.approx(SMOOTH.slopes[0], abs=0.5)
    with pytest.raises(ProductError, match="none of 2 quiet patches can be unwrapped reliably"):
        measure_spectra([noise, gaps], 90.0)


def test_turbulence_of_a_site_has_the_measured_power():
    rng = np.random.default_rng(1)
    strong, weak = (
        measure_spectra([wrap(los_to_phase(turbulence((128, 128), 90.0, rng, std_m=std))) for _ in range(12)], 90.0)
        for std in (0.012, 0.0006)
    )
    quiet = {"height_px": 128, "width_px": 128, "kinds": {"quiet": 1}, "stratified_std_m_per_km": 0.0}
    spec = SceneSpec.build(quiet)
    flat = np.zeros((128, 128), np.float32)
    # One measurement scatters by a factor of two, and one scene too.
    measured = [
        np.mean(
            [
                simulate(spec, seed=2, index=index, site=Site("x", flat, 90.0, spectra=spectra)).parameters[
                    "turbulence_std_m"
                ]
                for index in range(12)
            ]
        )
        for spectra in (strong, weak)
    ]
    assert measured[0] / measured[1] == pytest.approx(20, rel=0.5)
