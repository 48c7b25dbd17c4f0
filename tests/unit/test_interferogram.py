"""The schema every stage exchanges."""

import numpy as np
import pytest
from affine import Affine

from fringewatch.errors import ProductError
from fringewatch.interferogram import make_interferogram, pixel_size_m

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
    assert pixel_size_m(utm) == (40, 40)
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
    assert pixel_size_m(placed) == (40.0, 30.0)
