"""Synthetic terrain: relief, spectrum, and the shapes added to it."""

import numpy as np
import pytest

from fringewatch.errors import PhysicsError
from fringewatch.physics.atmosphere import estimate_spectrum, fit_slope
from fringewatch.physics.geometry import ASCENDING_HEADING_DEG, DESCENDING_HEADING_DEG, look_vector
from fringewatch.physics.terrain import (
    Erosion,
    add_caldera,
    add_cone,
    add_valley,
    fractal_terrain,
    layover_or_shadow,
    slope_deg,
)

PLAIN = np.zeros((101, 121), np.float32)


def test_relief_and_base_are_as_asked():
    height = fractal_terrain((90, 70), 100.0, np.random.default_rng(0), relief_m=1500.0, base_m=200.0)
    assert height.shape == (90, 70)
    assert height.dtype == np.float32
    assert height.min() == pytest.approx(200.0, abs=1e-3)
    assert height.max() == pytest.approx(1700.0, abs=1e-3)
    flat = fractal_terrain((40, 40), 100.0, np.random.default_rng(0), relief_m=0.0)
    assert not flat.any()


@pytest.mark.parametrize("exponent", [3.2, 4.0])
def test_spectrum_has_the_slope_asked_for(exponent):
    rng = np.random.default_rng(1)
    slopes = [
        fit_slope(
            estimate_spectrum(fractal_terrain((256, 256), 100.0, rng, relief_m=1000.0, slope_exponent=exponent), 100.0)
        )
        for _ in range(6)
    ]
    assert np.mean(slopes) == pytest.approx(-exponent, abs=0.1)


def test_cone_has_its_summit_where_and_as_high_as_asked():
    cone = add_cone(PLAIN, 50.0, row=40, col=70, summit_m=900.0, radius_m=2000.0)
    assert np.unravel_index(np.argmax(cone), cone.shape) == (40, 70)
    assert cone[40, 70] == pytest.approx(900.0)
    # 20 pixels are half the radius: (1 - 1/2)^1.5
    assert cone[60, 70] == cone[40, 50] == pytest.approx(900 * 0.5**1.5, rel=1e-5)
    assert cone[40, 111] == 0
    assert not PLAIN.any(), "the input was changed"


def test_crater_cuts_the_summit_off_flat():
    cone = add_cone(PLAIN, 50.0, row=40, col=70, summit_m=900.0, radius_m=2000.0, crater_radius_m=500.0)
    assert cone[40, 70] == cone[40, 79] == pytest.approx(900 * 0.75**1.5, rel=1e-5)
    assert cone[40, 81] < cone[40, 79]


def test_lobes_stretch_a_cone_by_direction():
    outline = np.ones(1024, np.float32)
    outline[:128] = outline[-128:] = 1.5  # 45 degrees to either side of east
    erosion = Erosion(outline, np.zeros(1024, np.float32), 0.0)
    cone = add_cone(PLAIN, 50.0, row=50, col=50, summit_m=900.0, radius_m=2000.0, erosion=erosion)
    assert cone[50, 50] == pytest.approx(900.0)
    # East as high at 30 pixels as elsewhere at 20.
    assert cone[50, 80] == pytest.approx(900 * 0.5**1.5, rel=1e-5)
    assert cone[50, 30] == cone[70, 50] == cone[30, 50] == pytest.approx(900 * 0.5**1.5, rel=1e-5)
    assert cone[50, 105] > 0
    assert cone[50, 9] == 0


def test_gullies_take_most_half_way_down_and_nothing_from_ridges():
    gullies = np.zeros(1024, np.float32)
    gullies[192:320] = 0.4  # about south: angles run clockwise from east, as rows run south
    erosion = Erosion(np.ones(1024, np.float32), gullies, 0.0)
    round_, eroded = (
        add_cone(PLAIN, 50.0, row=50, col=50, summit_m=900.0, radius_m=2000.0, curvature=1.0, erosion=given)
        for given in (None, erosion)
    )
    lost = 1 - eroded[51:85, 50] / round_[51:85, 50]
    share = 1 - np.arange(1, 35) * 50 / 2000
    np.testing.assert_allclose(lost, 0.4 * 4 * share * (1 - share), atol=1e-4)
    np.testing.assert_array_equal(eroded[:50], round_[:50])


def test_contours_of_an_eroded_cone_are_longer_than_those_of_a_round_one():
    ground = fractal_terrain((160, 160), 50.0, np.random.default_rng(3), relief_m=50.0)
    around = {"row": 80, "col": 80, "summit_m": 900.0, "radius_m": 3500.0}

    def outline(height):
        inside = height > 500
        return np.count_nonzero(inside[1:] != inside[:-1]) + np.count_nonzero(inside[:, 1:] != inside[:, :-1])

    lengths = [
        outline(add_cone(ground, 50.0, **around, erosion=Erosion.draw(np.random.default_rng(seed))))
        for seed in range(12)
    ]
    assert np.mean(lengths) > 1.15 * outline(add_cone(ground, 50.0, **around))


def test_caldera_has_a_flat_floor_and_a_rim():
    sunk = add_caldera(PLAIN, 50.0, row=50, col=60, radius_m=1500.0, depth_m=400.0, rim_m=80.0)
    assert sunk[50, 60] == pytest.approx(-400.0, abs=0.5)
    assert sunk[50, 70] == pytest.approx(-400.0, abs=2.0)
    ring = sunk[50, 90]  # 30 pixels are the radius
    assert 50 < ring < 80
    assert abs(sunk[0, 0]) < 0.01


def test_valley_runs_along_its_azimuth():
    cut = add_valley(PLAIN, 100.0, row=50, col=60, azimuth_deg=45.0, width_m=1000.0, depth_m=300.0)
    # North-east of a point on the axis: rows fall as columns grow.
    assert cut[50, 60] == cut[20, 90] == pytest.approx(-300.0)
    # Half depth at half the width, measured across.
    offset = 500.0 / np.sqrt(2) / 100.0
    across = np.interp(50 + offset, np.arange(101), [cut[r, 60 + (r - 50)] for r in range(101)])
    assert across == pytest.approx(-150.0, rel=0.02)


def test_slope_of_a_plane():
    rows = np.arange(30, dtype=np.float32)[:, None] * np.ones(20, np.float32)
    np.testing.assert_allclose(slope_deg(rows * 50, 100.0), np.degrees(np.arctan(0.5)), rtol=1e-5)


def test_impossible_shapes_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(PhysicsError, match=r"relief_m=-5 is too small; allowed: relief_m >= 0"):
        fractal_terrain((40, 40), 100.0, rng, relief_m=-5.0)
    with pytest.raises(PhysicsError, match=r"slope_exponent=9 is out of range"):
        fractal_terrain((40, 40), 100.0, rng, relief_m=5.0, slope_exponent=9.0)
    with pytest.raises(PhysicsError, match=r"pixel_m=0 is not positive"):
        fractal_terrain((40, 40), 0.0, rng, relief_m=5.0)
    with pytest.raises(PhysicsError, match=r"radius_m=-1 is not positive"):
        add_cone(PLAIN, 50.0, row=0, col=0, summit_m=1.0, radius_m=-1.0)
    with pytest.raises(
        PhysicsError, match=r"crater_radius_m=200 is out of range; allowed: 0 <= crater_radius_m <= 100"
    ):
        add_cone(PLAIN, 50.0, row=0, col=0, summit_m=1.0, radius_m=100.0, crater_radius_m=200.0)


@pytest.mark.parametrize(
    ("slope", "distorted"),
    [
        (-1 / np.tan(np.radians(40)) * 1.05, True),  # falls away at 51 degrees: shadow
        (-1 / np.tan(np.radians(40)) * 0.95, False),
        (0.0, False),
        (np.tan(np.radians(38)), False),
        (np.tan(np.radians(42)), True),  # rises away more steeply than the incidence: layover
    ],
)
@pytest.mark.parametrize("heading", [ASCENDING_HEADING_DEG, DESCENDING_HEADING_DEG, 60.0])
def test_layover_and_shadow_begin_at_the_incidence_angle(slope, distorted, heading):
    look = look_vector(heading, 40.0)
    away = -np.array([look.east, look.north]) / np.hypot(look.east, look.north)
    rows, columns = np.indices((12, 15)) * 30.0
    # North up: rows grow to the south.
    height = (slope * (away[0] * columns - away[1] * rows)).astype(np.float32)
    assert (layover_or_shadow(height, 30.0, look) == distorted).all()
