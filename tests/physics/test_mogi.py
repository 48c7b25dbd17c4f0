"""Point source: closed form, volume, symmetry, far field; and superposition."""

import numpy as np
import pytest

from fringewatch.errors import PhysicsError
from fringewatch.physics.sources import mogi, okada, superpose


@pytest.mark.parametrize(("volume", "depth", "uplift_cm"), [(1e6, 2e3, 5.97), (1e7, 5e3, 9.55)])
def test_peak_uplift(volume, depth, uplift_cm):
    up = mogi(0.0, 0.0, depth_m=depth, volume_change_m3=volume).up_m
    assert 100 * float(up) == pytest.approx(uplift_cm, abs=0.005)


def test_radial_motion_is_largest_at_depth_over_root_two():
    r = np.linspace(0, 10e3, 100_001)
    east, north, _ = mogi(r, 0.0, depth_m=3e3, volume_change_m3=1e6)
    assert r[np.argmax(east)] == pytest.approx(3e3 / np.sqrt(2), abs=0.2)
    assert east.max() / mogi(0, 0, depth_m=3e3, volume_change_m3=1e6).up_m == pytest.approx(2 / 3**1.5, rel=1e-8)
    assert not north.any()


def test_horizontal_to_vertical_ratio_is_distance_over_depth():
    east, north = np.array([1.0, -2.0, 3.0]) * 1e3, np.array([2.0, 0.5, -1.0]) * 1e3
    moved = mogi(east, north, depth_m=2.5e3, volume_change_m3=-3e6)
    np.testing.assert_allclose(moved.east_m / moved.up_m, east / 2.5e3, rtol=1e-12)
    np.testing.assert_allclose(moved.north_m / moved.up_m, north / 2.5e3, rtol=1e-12)
    assert (moved.up_m < 0).all()


@pytest.mark.parametrize("poisson", [0.0, 0.25, 0.5])
def test_surface_rises_by_two_times_one_minus_poisson_volumes(poisson):
    # r = d tan(a) turns the integral over the plane into one over a finite range.
    a, weight = np.polynomial.legendre.leggauss(64)
    a, weight = (a + 1) * np.pi / 4, weight * np.pi / 4
    r = 2e3 * np.tan(a)
    up = mogi(r, 0.0, depth_m=2e3, volume_change_m3=1e6, poisson=poisson).up_m
    volume = np.sum(weight * up * 2 * np.pi * r * 2e3 / np.cos(a) ** 2)
    assert volume == pytest.approx(2 * (1 - poisson) * 1e6, rel=1e-9)


def test_far_field_falls_with_the_cube_of_the_distance():
    near, far = (mogi(r, 0.0, depth_m=1e3, volume_change_m3=1e6).up_m for r in (1e6, 2e6))
    assert near / far == pytest.approx(8, rel=1e-5)


def test_depth_below_a_hill_counts_from_its_surface():
    height = np.array([0.0, 500.0])
    corrected = mogi(np.zeros(2), np.zeros(2), depth_m=2e3 + height, volume_change_m3=1e6)
    assert corrected.up_m[1] / corrected.up_m[0] == pytest.approx((2.0 / 2.5) ** 2)


def test_a_radius_that_fits_changes_nothing():
    plain, known = (mogi(500.0, 0.0, depth_m=2e3, volume_change_m3=1e6, radius_m=radius) for radius in (None, 700.0))
    assert plain == known


def test_superposition_is_the_sum():
    x = np.linspace(-5e3, 5e3, 7)
    one = mogi(x - 1e3, 0.0, depth_m=2e3, volume_change_m3=1e6)
    other = okada(x, np.zeros(7), depth_m=4e3, strike_deg=30, dip_deg=70, length_m=3e3, width_m=2e3, opening_m=1.0)
    both = superpose(one, other)
    for component in range(3):
        np.testing.assert_allclose(both[component], one[component] + other[component], rtol=1e-15)
    doubled = superpose(one, one)
    np.testing.assert_allclose(doubled.up_m, mogi(x - 1e3, 0.0, depth_m=2e3, volume_change_m3=2e6).up_m, rtol=1e-15)


def test_superposition_needs_equal_points():
    short, long = (mogi(np.zeros(n), 0.0, depth_m=1.0, volume_change_m3=1.0) for n in (2, 3))
    with pytest.raises(PhysicsError, match=r"different shapes \[\(2,\), \(3,\)\]"):
        superpose(short, long)
    with pytest.raises(PhysicsError, match="no displacement; give at least one"):
        superpose()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"depth_m": 0.0}, r"depth_m=0 is not positive; allowed: depth_m > 0"),
        ({"depth_m": -100.0}, r"depth_m=-100 is not positive"),
        ({"depth_m": np.array([500.0, -3.0])}, r"depth_m=-3 is not positive"),
        ({"depth_m": float("nan")}, r"depth_m=nan is not finite; give a finite number"),
        (
            {"radius_m": 1e3},
            r"radius_m=1000 lets the cavity reach the surface from depth_m=1000; allowed: radius_m < 1000",
        ),
        ({"radius_m": 600.0, "depth_m": np.array([900.0, 550.0])}, r"depth_m=550; allowed: radius_m < 550"),
        ({"radius_m": -5.0}, r"radius_m=-5 is not positive"),
        ({"radius_m": float("nan")}, r"radius_m=nan is not finite"),
        ({"volume_change_m3": float("nan")}, r"volume_change_m3=nan is not finite"),
        ({"poisson": 0.6}, r"poisson=0.6 is out of range; allowed: 0 <= poisson <= 0.5"),
    ],
)
def test_impossible_sources_are_refused(changed, message):
    with pytest.raises(PhysicsError, match=message):
        mogi(0.0, 0.0, **({"depth_m": 1e3, "volume_change_m3": 1e6} | changed))
