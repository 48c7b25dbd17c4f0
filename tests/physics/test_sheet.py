"""Horizontal sheets against Okada's rectangle, a deep crack, and the volume they lift."""

import numpy as np
import pytest

from fringewatch.errors import PhysicsError
from fringewatch.physics.sources import okada, penny_crack, sheet


def lattice(length, width, count):
    x = (np.arange(count) + 0.5) / count - 0.5
    east, north = np.meshgrid(x * length, x * width)
    return east.ravel(), north.ravel(), np.full(count * count, length * width / count**2)


def test_a_fine_lattice_is_okada_s_horizontal_rectangle():
    east, north = np.meshgrid(np.linspace(-9e3, 9e3, 25), np.linspace(-9e3, 9e3, 25))
    x, y, volume = lattice(6e3, 3e3, 80)
    ours = sheet(east, north, depth_m=1.5e3, at_east_m=x, at_north_m=y, volume_change_m3=volume)
    theirs = okada(east, north, depth_m=1.5e3, strike_deg=90.0, dip_deg=0.0, length_m=6e3, width_m=3e3, opening_m=1.0)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-4 * theirs.up_m.max())


def test_cracks_nearer_than_they_are_deep_are_nearly_a_sheet():
    east, north = np.meshgrid(np.linspace(-2e3, 2e3, 31), np.linspace(-2e3, 2e3, 31))
    coarse, fine = (
        sheet(east, north, depth_m=1e3, at_east_m=x, at_north_m=y, volume_change_m3=volume)
        for x, y, volume in (lattice(10e3, 10e3, 15), lattice(10e3, 10e3, 60))
    )
    # Away from the edges of the sheet, where what is missing is the edge and not the spacing.
    np.testing.assert_allclose(coarse.up_m, fine.up_m, rtol=0.005)


def test_from_afar_it_is_a_penny_shaped_crack_of_the_same_volume():
    east = np.linspace(-20e3, 20e3, 41)
    crack = penny_crack(east, 0.0, depth_m=10e3, radius_m=1e3, pressure_pa=1e6, shear_modulus_pa=10e9)
    # Sneddon: the volume of a crack in a whole space.
    volume = 8 * (1 - 0.25) / 3 * 1e6 / 10e9 * 1e3**3
    ours = sheet(east, 0.0, depth_m=10e3, at_east_m=[0.0], at_north_m=[0.0], volume_change_m3=[volume])
    np.testing.assert_allclose(ours.up_m, crack.up_m, rtol=0.03, atol=0.003 * crack.up_m.max())


def test_the_surface_rises_by_the_volume_that_opens():
    r = np.concatenate([np.linspace(0, 20e3, 20_001), np.geomspace(20e3, 5e7, 20_000)[1:]])
    up = sheet(r, 0.0, depth_m=2e3, at_east_m=[0.0], at_north_m=[0.0], volume_change_m3=[1e6]).up_m
    assert np.trapezoid(up * 2 * np.pi * r, r) == pytest.approx(1e6, rel=1e-4)


def test_closing_turns_the_sign_and_a_hill_the_depth():
    east = np.array([0.0, 500.0])
    opens, closes, deep = (
        sheet(east, 100.0, depth_m=depth, at_east_m=[0.0, 300.0], at_north_m=[0.0, 0.0], volume_change_m3=volume)
        for depth, volume in ((1e3, [1e5, 2e5]), (1e3, [-1e5, -2e5]), (np.array([1e3, 1.5e3]), [1e5, 2e5]))
    )
    np.testing.assert_allclose(opens.up_m, -closes.up_m)
    assert deep.up_m[0] == opens.up_m[0]
    assert deep.up_m[1] < opens.up_m[1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth_m": 0.0}, "depth_m"),
        ({"at_east_m": [0.0, 1.0]}, r"shapes \(2,\), \(1,\), \(1,\); expected one length"),
        ({"volume_change_m3": [np.nan]}, "volume_change_m3"),
        ({"at_east_m": [], "at_north_m": [], "volume_change_m3": []}, "at least 1"),
    ],
)
def test_impossible_sheets_are_refused(settings, message):
    given = {"depth_m": 1e3, "at_east_m": [0.0], "at_north_m": [0.0], "volume_change_m3": [1e6]} | settings
    with pytest.raises(PhysicsError, match=message):
        sheet(0.0, 0.0, **given)
