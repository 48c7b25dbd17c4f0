"""Knothe-Budryk troughs against closed forms, numerical integration and the design's check values."""

from itertools import pairwise

import numpy as np
import pytest

from fringewatch.conventions import SENTINEL1_WAVELENGTH_M
from fringewatch.errors import PhysicsError
from fringewatch.physics.displacement import superpose
from fringewatch.physics.mining import Panel, advance_increment, knothe_displacement, knothe_subsidence

WIDE = {"length_m": 4000.0, "width_m": 4000.0, "azimuth_deg": 90.0, "seam_thickness_m": 2.0}
TYPICAL = Panel(
    length_m=900.0, width_m=220.0, azimuth_deg=35.0, depth_m=500.0, seam_thickness_m=2.5, subsidence_factor=0.7
)


def widest_increment(*, depth_m=600.0, subsidence_factor=0.8, advance, days):
    """Increment along the axis of a panel so wide that only the moving face counts."""
    panel = Panel(**WIDE, depth_m=depth_m, subsidence_factor=subsidence_factor)
    x = np.arange(-1500.0, 1500.0)
    moved = advance_increment(x, np.zeros_like(x), panel, advance_m_per_day=advance, start_day=500 - days, end_day=500)
    return x, -moved.up_m


@pytest.mark.parametrize(
    ("arguments", "largest_cm", "fringes"),
    [
        # a g v t / r, the increment of a thin slice: 25.6, 12.8 and 4.8 cm. The slices here are 24 to 48 m thick.
        ({"advance": 4.0, "days": 12}, 25.6, 7.2),
        ({"advance": 4.0, "days": 6}, 12.8, 3.6),
        ({"advance": 3.0, "days": 12, "subsidence_factor": 0.2}, 4.8, 1.3),
    ],
)
def test_a_moving_face_lowers_the_ground_by_so_much(arguments, largest_cm, fringes):
    _, lowered = widest_increment(**arguments)
    assert 100 * lowered.max() == pytest.approx(largest_cm, rel=0.01)
    los = lowered.max() * np.cos(np.radians(39.0))
    assert los / (SENTINEL1_WAVELENGTH_M / 2) == pytest.approx(fringes, abs=0.08)


def test_trough_of_a_moving_face_is_282_m_wide():
    x, lowered = widest_increment(advance=4.0, days=12)
    assert np.ptp(x[lowered > 0.5 * lowered.max()]) == pytest.approx(282, abs=2)
    # The face moved from 2000 - 48 to 2000 m along the panel, whose centre is 0.
    assert x[np.argmax(lowered)] == pytest.approx(-24, abs=1)


def test_final_trough_equals_the_integral_over_the_panel():
    r = TYPICAL.influence_radius_m
    azimuth = np.radians(TYPICAL.azimuth_deg)
    u, v = np.meshgrid((np.arange(450) + 0.5) * 2 - 450, (np.arange(110) + 0.5) * 2 - 110, indexing="ij")
    seam_east = u * np.sin(azimuth) + v * np.cos(azimuth)
    seam_north = u * np.cos(azimuth) - v * np.sin(azimuth)
    east, north = np.random.default_rng(0).uniform(-600, 600, (2, 6))
    expected = [
        0.7 * 2.5 * np.sum(np.exp(-np.pi * ((e - seam_east) ** 2 + (n - seam_north) ** 2) / r**2)) * 4 / r**2
        for e, n in zip(east, north, strict=True)
    ]
    np.testing.assert_allclose(knothe_subsidence(east, north, TYPICAL), expected, rtol=2e-4, atol=1e-6)


def test_trough_volume_is_the_extracted_volume_times_the_factor():
    x = np.arange(-2000.0, 2000.0, 20.0)
    volume = knothe_subsidence(x[None, :], x[:, None], TYPICAL).sum() * 20.0**2
    assert volume == pytest.approx(0.7 * 2.5 * 900 * 220, rel=1e-6)


def test_wide_panel_reaches_full_subsidence_and_its_edge_half_of_it():
    panel = Panel(**WIDE, depth_m=300.0, subsidence_factor=0.8)
    centre, edge, outside = knothe_subsidence(np.array([0.0, 2000.0, 2400.0]), 0.0, panel)
    assert centre == pytest.approx(1.6)
    assert edge == pytest.approx(0.8)
    assert outside < 1e-3


def test_ground_moves_down_and_towards_the_middle_by_its_slope():
    east, north = np.random.default_rng(1).uniform(-500, 500, (2, 40))
    moved = knothe_displacement(east, north, TYPICAL)
    step = 0.01
    slope_east, slope_north = (
        (knothe_subsidence(east + a, north + b, TYPICAL) - knothe_subsidence(east - a, north - b, TYPICAL)) / (2 * step)
        for a, b in ((step, 0.0), (0.0, step))
    )
    b = 0.32 * TYPICAL.influence_radius_m
    np.testing.assert_allclose(moved.east_m, b * slope_east, atol=1e-7)
    np.testing.assert_allclose(moved.north_m, b * slope_north, atol=1e-7)
    assert (moved.up_m < 0).all()
    inwards = -(moved.east_m * east + moved.north_m * north)
    assert inwards[np.hypot(east, north) > 550].min() > 0


def test_horizontal_motion_can_be_left_out():
    moved = knothe_displacement(100.0, 50.0, TYPICAL, horizontal_factor=0.0)
    assert moved.east_m == moved.north_m == 0
    assert moved.up_m == -knothe_subsidence(100.0, 50.0, TYPICAL)


@pytest.mark.parametrize("c", [0.005, 0.05, 0.5, 5.0])
@pytest.mark.parametrize("day", [3.0, 80.0, 400.0])
def test_knothe_time_equals_the_integral_over_the_days_of_mining(c, day):
    """On every day a slice is taken out, and w(t) of each slice follows 1 - exp(-c t)."""
    panel = Panel(
        length_m=600.0, width_m=250.0, azimuth_deg=0.0, depth_m=400.0, seam_thickness_m=2.0, subsidence_factor=0.8
    )
    speed = 4.0
    north = np.linspace(-900, 900, 37)
    moved = advance_increment(
        np.zeros_like(north),
        north,
        panel,
        advance_m_per_day=speed,
        start_day=0.0,
        end_day=day,
        time_factor_per_day=c,
    )
    s, weight = np.polynomial.legendre.leggauss(300)
    mined_until = min(day, 600.0 / speed)
    s, weight = (s + 1) * mined_until / 2, weight * mined_until / 2
    r = 200.0
    along = np.exp(-np.pi * (north[:, None] - (-300 + speed * s)) ** 2 / r**2) / r * speed
    across = knothe_subsidence(0.0, 0.0, Panel(**{**WIDE, "width_m": 250.0}, depth_m=400.0, subsidence_factor=0.8))
    expected = (along * (1 - np.exp(-c * (day - s)))) @ weight * across
    np.testing.assert_allclose(-moved.up_m, expected, atol=1e-12)


def test_horizontal_motion_with_knothe_time_follows_the_slope():
    arguments = {"advance_m_per_day": 5.0, "start_day": 60.0, "end_day": 72.0, "time_factor_per_day": 0.04}
    east, north = np.random.default_rng(2).uniform(-500, 500, (2, 40))
    moved = advance_increment(east, north, TYPICAL, **arguments)
    step = 0.01
    ahead, behind = (advance_increment(east + d, north, TYPICAL, **arguments).up_m for d in (step, -step))
    b = 0.32 * TYPICAL.influence_radius_m
    np.testing.assert_allclose(moved.east_m, -b * (ahead - behind) / (2 * step), atol=1e-7)


def test_increments_add_up_to_the_final_trough():
    x = np.linspace(-800, 800, 41)
    arguments = {"advance_m_per_day": 5.0, "time_factor_per_day": 0.05}
    dates = [0.0, 12.0, 100.0, 190.0, 3000.0]
    steps = [advance_increment(x, x[::-1], TYPICAL, start_day=a, end_day=b, **arguments) for a, b in pairwise(dates)]
    total, final = superpose(*steps), knothe_displacement(x, x[::-1], TYPICAL)
    for component in range(3):
        np.testing.assert_allclose(total[component], final[component], atol=1e-12)


def test_ground_goes_on_sinking_after_mining_only_with_a_time_factor():
    end = TYPICAL.length_m / 5.0
    after = {"advance_m_per_day": 5.0, "start_day": end + 1, "end_day": end + 13}
    assert advance_increment(0.0, 0.0, TYPICAL, **after).up_m == 0
    assert advance_increment(300.0, 380.0, TYPICAL, **after, time_factor_per_day=0.05).up_m < -0.01


def test_extreme_lags_neither_overflow_nor_leave_the_physical_range():
    x = np.linspace(-1e5, 1e5, 2001)
    for c in (1e-6, 1e-2, 1e3):
        moved = advance_increment(
            x, 0 * x, TYPICAL, advance_m_per_day=0.5, start_day=0.0, end_day=1e5, time_factor_per_day=c
        )
        assert np.isfinite(moved.up_m).all()
        assert -TYPICAL.largest_subsidence_m <= moved.up_m.min() <= 0
        assert moved.up_m.max() < 1e-12


def test_turning_the_panel_turns_the_trough():
    turned = Panel(length_m=900.0, width_m=220.0, azimuth_deg=90.0, depth_m=500.0, seam_thickness_m=2.5)
    plain = Panel(length_m=900.0, width_m=220.0, azimuth_deg=0.0, depth_m=500.0, seam_thickness_m=2.5)
    # Advance to the east instead of north: a point ahead lies in the east.
    dates = {"advance_m_per_day": 4.0, "start_day": 50.0, "end_day": 62.0}
    to_north = advance_increment(70.0, -200.0, plain, **dates)
    to_east = advance_increment(-200.0, -70.0, turned, **dates)
    assert to_east.up_m == pytest.approx(to_north.up_m)
    assert to_east.east_m == pytest.approx(to_north.north_m)
    assert to_east.north_m == pytest.approx(-to_north.east_m)


def test_panels_merge():
    panels = [
        Panel(east_m=shift, length_m=800.0, width_m=200.0, depth_m=400.0, seam_thickness_m=2.0)
        for shift in (-100.0, 100.0)
    ]
    whole = Panel(length_m=800.0, width_m=400.0, depth_m=400.0, seam_thickness_m=2.0)
    x = np.linspace(-500, 500, 21)
    merged = superpose(*(knothe_displacement(x, 30.0, panel) for panel in panels))
    np.testing.assert_allclose(merged.up_m, knothe_displacement(x, 30.0, whole).up_m, atol=1e-12)


def test_pim_panel_is_smaller_by_its_inflection_offset_and_lower_by_its_dip():
    size = {"depth_m": 400.0, "seam_thickness_m": 2.0, "subsidence_factor": 0.7}
    offset = Panel(length_m=800.0, width_m=300.0, inflection_offset_m=40.0, **size)
    shorter = Panel(length_m=720.0, width_m=220.0, **size)
    x = np.linspace(-600, 600, 25)
    np.testing.assert_allclose(knothe_subsidence(x, x, offset), knothe_subsidence(x, x, shorter))
    # Advances north and dips to the right of it, so the trough moves east by H tan(k dip).
    dipping = Panel(length_m=4e3, width_m=2e3, dip_deg=20.0, dip_propagation=0.5, **size)
    assert knothe_subsidence(400 * np.tan(np.radians(10)), 0.0, dipping) == pytest.approx(
        2.0 * 0.7 * np.cos(np.radians(20))
    )
    narrow = Panel(length_m=4e3, width_m=100.0, dip_deg=20.0, dip_propagation=0.5, **size)
    east = np.arange(-200.0, 200.0)
    assert east[np.argmax(knothe_subsidence(east, 0.0, narrow))] == pytest.approx(70.5, abs=0.6)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"depth_m": 0.0}, r"depth_m=0 is not positive"),
        ({"length_m": -1.0}, r"length_m=-1 is not positive"),
        ({"subsidence_factor": 1.2}, r"subsidence_factor=1.2 is out of range; allowed: 0 <= subsidence_factor <= 1"),
        ({"dip_deg": 80.0}, r"dip_deg=80 is out of range; allowed: 0 <= dip_deg <= 60"),
        ({"inflection_offset_m": 150.0}, r"leaves nothing of the panel; allowed: inflection_offset_m < 100"),
        ({"depth_m": -400.0}, r"depth_m=-400 is not positive; allowed: depth_m > 0"),
        ({"depth_m": float("nan")}, r"depth_m=nan is not finite"),
        ({"width_m": 0.0}, r"width_m=0 is not positive"),
        ({"seam_thickness_m": -2.0}, r"seam_thickness_m=-2 is not positive; allowed: seam_thickness_m > 0"),
        ({"seam_thickness_m": float("nan")}, r"seam_thickness_m=nan is not finite"),
        ({"subsidence_factor": 0.0}, r"subsidence_factor=0 is not positive"),
        ({"tan_beta": 0.0}, r"tan_beta=0 is not positive"),
        ({"dip_deg": -1.0}, r"dip_deg=-1 is out of range"),
        ({"dip_deg": float("nan")}, r"dip_deg=nan is out of range"),
        ({"dip_propagation": 1.5}, r"dip_propagation=1.5 is out of range; allowed: 0 <= dip_propagation <= 1"),
        ({"inflection_offset_m": -1.0}, r"inflection_offset_m=-1 is too small; allowed: inflection_offset_m >= 0"),
        (
            {"dip_deg": 60.0, "width_m": 500.0, "depth_m": 200.0},
            r"depth_m=200 lets the upper edge of the dipping panel reach the surface; allowed: depth_m > 216\.5",
        ),
        ({"azimuth_deg": float("nan")}, r"azimuth_deg=nan is not finite"),
    ],
)
def test_impossible_panels_are_refused(changed, message):
    with pytest.raises(PhysicsError, match=message):
        Panel(**({"length_m": 800.0, "width_m": 200.0, "depth_m": 400.0, "seam_thickness_m": 2.0} | changed))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"start_day": 20.0}, r"start_day=20 and end_day=12 are not in order; allowed: 0 <= start_day < end_day"),
        ({"start_day": -1.0}, r"start_day=-1 and end_day=12 are not in order"),
        ({"advance_m_per_day": 0.0}, r"advance_m_per_day=0 is not positive"),
        ({"time_factor_per_day": -0.1}, r"time_factor_per_day=-0.1 is not positive"),
        ({"end_day": float("nan")}, r"end_day=nan is not finite"),
        ({"start_day": float("nan")}, r"start_day=nan is not finite"),
        ({"advance_m_per_day": float("nan")}, r"advance_m_per_day=nan is not finite"),
        ({"horizontal_factor": -0.3}, r"horizontal_factor=-0.3 is too small; allowed: horizontal_factor >= 0"),
    ],
)
def test_impossible_advances_are_refused(changed, message):
    arguments = {"advance_m_per_day": 4.0, "start_day": 0.0, "end_day": 12.0} | changed
    with pytest.raises(PhysicsError, match=message):
        advance_increment(0.0, 0.0, TYPICAL, **arguments)


@pytest.mark.parametrize("c", [None, 0.05])
def test_whole_scenes_from_the_table_equal_single_points(c):
    arguments = {"advance_m_per_day": 5.0, "start_day": 60.0, "end_day": 72.0, "time_factor_per_day": c}
    x = np.linspace(-2500, 2500, 160)
    scene = advance_increment(x[None, :], x[:, None], TYPICAL, **arguments)
    assert scene.up_m.shape == (160, 160)
    largest = np.abs(scene.up_m).max()
    for component, tolerance in zip(range(3), (1e-6, 1e-6, 1e-8), strict=True):
        rows = [advance_increment(x, y, TYPICAL, **arguments)[component] for y in x[::20]]
        np.testing.assert_allclose(scene[component][::20], rows, atol=tolerance * largest)
    assert scene.up_m[0, 0] == 0
