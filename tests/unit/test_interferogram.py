"""The schema every stage exchanges."""

import numpy as np
import pytest
from affine import Affine

from fringewatch.errors import ProductError
from fringewatch.interferogram import _ground_size_m, grid_of, half_turn, make_interferogram, pixel_size_m

RNG = np.random.default_rng(0)
PHASE = RNG.uniform(-3, 3, (20, 30)).astype(np.float32)


def test_coordinates_are_pixel_centres():
    ifg = make_interferogram(
        PHASE, wavelength_m=0.0555, transform=Affine(0.001, 0, 10.0, 0, -0.001, 50.0), crs="EPSG:4326"
    )
    assert float(ifg.x[0]) == pytest.approx(10.0005)
    assert float(ifg.y[0]) == pytest.approx(49.9995)
    assert ifg.rio.crs.to_epsg() == 4326
    assert ifg.rio.transform() == Affine(0.001, 0, 10.0, 0, -0.001, 50.0)


def test_interferograms_of_one_grid_share_nothing_that_changes():
    """The coordinates are made once for a grid; what is done to those of one scene stays with it."""
    grid = {"wavelength_m": 0.0555, "transform": Affine(0.001, 0, 11.0, 0, -0.001, 50.0), "crs": "EPSG:4326"}
    first = make_interferogram(PHASE, **grid)
    first["spatial_ref"].attrs["crs_wkt"] = "gone"
    first["y"].attrs["units"] = "furlongs"
    first = first.assign_coords(x=first["x"] + 1)
    second = make_interferogram(PHASE, **grid)
    assert second.rio.crs.to_epsg() == 4326
    assert "units" not in second["y"].attrs
    assert float(second.x[0]) == pytest.approx(11.0005)
    # Another size on the same corner is another grid.
    assert make_interferogram(PHASE[:10, :12], **grid).sizes == {"y": 10, "x": 12}


@pytest.mark.parametrize("value", [np.nan, 1.5])
def test_decoded_phase_is_still_refused_where_it_says_nothing(value):
    blank = np.full((20, 30), value, np.float32)
    with pytest.raises(ProductError, match=r"no data|everywhere"):
        make_interferogram(blank, wavelength_m=0.0555, decoded=True)
    # A row without data in the middle is no scene without data.
    gap = PHASE.copy()
    gap[10] = np.nan
    assert make_interferogram(gap, wavelength_m=0.0555, decoded=True)["phase"].shape == (20, 30)


def test_pixel_size_in_degrees_shrinks_with_latitude():
    ifg = make_interferogram(
        PHASE, wavelength_m=0.0555, transform=Affine(0.001, 0, 10.0, 0, -0.001, 60.01), crs="EPSG:4326"
    )
    along_y, along_x = pixel_size_m(ifg)
    assert along_y == pytest.approx(111.3, rel=0.01)
    assert along_x == pytest.approx(111.3 / 2, rel=0.01)


def test_pixel_size_of_a_projected_grid_and_of_none():
    utm = make_interferogram(PHASE, wavelength_m=0.0555, transform=Affine(40, 0, 5e5, 0, -40, 4e6), crs="EPSG:32633")
    # On the central meridian a metre of the map is 1 / 0.9996 on the ground.
    assert pixel_size_m(utm) == pytest.approx((40 / 0.9996,) * 2, rel=1e-6)
    assert pixel_size_m(make_interferogram(PHASE, wavelength_m=0.0555)) is None


@pytest.mark.parametrize(
    ("phase", "message"),
    [
        (np.full((20, 20), np.nan), "every pixel is no data"),
        (np.zeros((3, 3)), "3 x 3 pixels, expected at least 8 x 8"),
        (np.full((20, 20), 1.5), "1.5 everywhere"),
        (np.linspace(0, 40, 400).reshape(20, 20), "expected wrapped radians"),
        (np.zeros((2, 20, 20)), "expected two dimensions"),
    ],
)
def test_what_is_no_interferogram_is_refused_by_name(phase, message):
    with pytest.raises(ProductError, match=f"^here.tif: .*{message}"):
        make_interferogram(phase, wavelength_m=0.0555, source="here.tif")


def test_wavelength_in_centimetres_is_refused():
    with pytest.raises(ProductError, match=r"wavelength_m = 5\.55, expected metres"):
        make_interferogram(PHASE, wavelength_m=5.55)


def test_a_pixel_size_that_was_given_counts_where_there_are_no_coordinates():
    phase = np.random.default_rng(0).uniform(-3, 3, (20, 30))
    bare = make_interferogram(phase, wavelength_m=0.0555)
    assert pixel_size_m(bare) is None
    bare.attrs["pixel_size_m"] = 12.5
    assert pixel_size_m(bare) == (12.5, 12.5)
    placed = make_interferogram(phase, wavelength_m=0.0555, transform=Affine(30, 0, 5e5, 0, -40, 6e6), crs="EPSG:32633")
    placed.attrs["pixel_size_m"] = 12.5
    assert pixel_size_m(placed) == pytest.approx((40.0 / 0.9996, 30.0 / 0.9996), rel=1e-6)


def size_on(crs, transform):
    return pixel_size_m(make_interferogram(PHASE, wavelength_m=0.0555, transform=transform, crs=crs))


def test_pixels_of_web_mercator_shrink_with_latitude():
    """A map that stretches the ground by 1 / cos(latitude), up to the flattening of the Earth."""
    y = 6_378_137.0 * np.log(np.tan(np.pi / 4 + np.radians(64) / 2))
    size = size_on("EPSG:3857", Affine(100, 0, -2.2e6, 0, -100, y + 10 * 100))
    assert size == pytest.approx((100 * np.cos(np.radians(64)),) * 2, rel=5e-3)
    # Radii of curvature on the ellipsoid over that of the map's sphere.
    bulge = 1 - 6.694_379_990_14e-3 * np.sin(np.radians(64)) ** 2
    assert size[1] == pytest.approx(100 * np.cos(np.radians(64)) / np.sqrt(bulge), rel=1e-5)
    assert size[0] == pytest.approx(100 * np.cos(np.radians(64)) * (1 - 6.694_379_990_14e-3) / bulge**1.5, rel=1e-5)


def test_pixel_size_of_other_units():
    # 0.001 grads are 0.0009 degrees: 100 m, as the metre was once defined; feet of a survey, kilometres.
    along_y, along_x = size_on("EPSG:4807", Affine(0.001, 0, 10, 0, -0.001, 50.01))
    assert along_y == pytest.approx(100, rel=1e-3)
    assert along_x == pytest.approx(100 * np.cos(np.radians(45)), rel=5e-3)
    assert size_on("EPSG:2227", Affine(100, 0, 6e6, 0, -100, 2e6)) == pytest.approx((30.48,) * 2, rel=1e-3)
    kilometres = size_on("+proj=utm +zone=33 +datum=WGS84 +units=km", Affine(0.03, 0, 500, 0, -0.03, 5000))
    assert kilometres == pytest.approx((30,) * 2, rel=1e-3)


def test_pixel_size_is_that_of_the_map_where_the_ground_is_not_known():
    assert size_on("EPSG:32633", Affine(100, 0, 6e9, 0, -100, 2e9)) == (100, 100)
    assert size_on('LOCAL_CS["mine",UNIT["foot",0.3048]]', Affine(100, 0, 0, 0, -100, 0)) == pytest.approx((30.48,) * 2)


def test_pixels_of_a_slanted_grid_are_measured_along_it():
    transform = Affine(24, 32, 5e5, 32, -24, 4e6)
    assert size_on("EPSG:32633", transform) == pytest.approx((40 / 0.9996,) * 2, rel=1e-5)


def test_scenes_of_one_grid_are_measured_once():
    grid = {"transform": Affine(100, 0, 2e6, 0, -100, 9e6), "crs": "EPSG:3857"}
    _ground_size_m.cache_clear()
    sizes = [size_on(**grid) for _ in range(3)]
    assert sizes[0] == sizes[2]
    assert _ground_size_m.cache_info().misses == 1


@pytest.mark.parametrize(
    ("given", "within"), [(14.1, 14.1), (-180, -180), (180, -180), (204.6, -155.4), (-200, 160), (540.5, -179.5)]
)
def test_longitudes_within_half_a_turn(given, within):
    assert half_turn(given) == pytest.approx(within, abs=1e-12)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"phase_sign": "foo"}, "phase_sign = 'foo', expected 'range increase' or 'unknown'; negate phase"),
        ({"reference_date": "hello"}, "reference_date = 'hello', expected a day as YYYY-MM-DD"),
        ({"secondary_date": "20180601"}, "secondary_date = '20180601', expected a day as YYYY-MM-DD"),
        ({"companions": {"coh": np.ones((20, 30))}}, "companion 'coh' is not known, expected any of coherence, height"),
        ({"companions": {"height": np.ones((20, 29))}}, r"height has shape \(20, 29\), expected that of the phase"),
    ],
)
def test_wrong_arguments_are_errors_of_the_product(wrong, message):
    phase = np.linspace(-3, 3, 600, dtype=np.float32).reshape(20, 30)
    with pytest.raises(ProductError, match=message):
        make_interferogram(phase, wavelength_m=0.0555, source="mine", **wrong)


@pytest.mark.parametrize(("name", "value"), [("coherence", 255.0), ("coherence", -1.0), ("los_up", -5.0)])
def test_companions_out_of_their_range_are_refused(name, value):
    phase = np.random.default_rng(0).uniform(-3, 3, (20, 20)).astype(np.float32)
    companion = np.full((20, 20), 0.5, np.float32)
    companion[3, 4] = np.nan
    make_interferogram(phase, wavelength_m=0.0555, companions={name: companion})
    make_interferogram(phase, wavelength_m=0.0555, companions={name: np.full((20, 20), np.nan)})
    companion[5, 5] = value
    with pytest.raises(ProductError, match=rf"memory: {name} runs from .* to .*, expected .*; scale it"):
        make_interferogram(phase, wavelength_m=0.0555, companions={name: companion})


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (slice(None, None, -1), slice(None)),
        (slice(None), slice(None, None, -1)),
        (slice(None, None, 2), slice(None, None, 2)),
        (slice(5, None, 3), slice(40, 3, -2)),
    ],
)
def test_the_grid_of_a_part_is_that_of_its_coordinates(rows, columns):
    from affine import Affine

    phase = np.random.default_rng(0).uniform(-3, 3, (50, 60)).astype(np.float32)
    whole = make_interferogram(
        phase, wavelength_m=0.0555, crs="EPSG:32633", transform=Affine(90, 0, 5e5, 0, -90, 4.2e6)
    )
    part = whole.isel(y=rows, x=columns)
    _, transform = grid_of(part)
    height, width = part["phase"].shape
    for row, column in ((0, 0), (height - 1, width - 1)):
        x, y = transform * (column + 0.5, row + 0.5)
        assert (x, y) == pytest.approx((float(part["x"][column]), float(part["y"][row])))


def test_complex_numbers_are_no_phase():
    values = np.exp(1j * np.random.default_rng(0).uniform(-3, 3, (20, 20)))
    with pytest.raises(ProductError, match=r"phase holds complex numbers, .*np\.angle"):
        make_interferogram(values, wavelength_m=0.0555)


def test_degrees_that_are_metres_are_refused():
    from affine import Affine

    phase = np.random.default_rng(0).uniform(-3, 3, (20, 20)).astype(np.float32)
    grid = {"crs": "EPSG:4326", "transform": Affine(90, 0, 5e5, 0, -90, 4.2e6)}
    with pytest.raises(ProductError, match="latitudes run beyond 90; are they metres"):
        make_interferogram(phase, wavelength_m=0.0555, **grid)
    grid["transform"] = Affine(0.5, 0, 10, 0, -0.5, 90.25)
    make_interferogram(phase, wavelength_m=0.0555, **grid)
