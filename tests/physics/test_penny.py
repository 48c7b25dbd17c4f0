"""Penny-shaped crack against limits, conservation of volume and an independent boundary-element solution."""

import numpy as np
import pytest

from fringewatch.errors import PhysicsError
from fringewatch.physics.sources import okada, penny_crack


@pytest.mark.parametrize("depth", [0.8, 1.5, 5.0])
def test_surface_rises_by_the_volume_that_opens(depth):
    a, weight = np.polynomial.legendre.leggauss(100)
    a, weight = (a + 1) * np.pi / 4, weight * np.pi / 4
    r = depth * 1e3 * np.tan(a)
    up = penny_crack(r, 0.0, depth_m=depth * 1e3, radius_m=1e3, volume_change_m3=1e6).up_m
    volume = np.sum(weight * up * 2 * np.pi * r * depth * 1e3 / np.cos(a) ** 2)
    assert volume == pytest.approx(1e6, rel=1e-5)


def test_deep_crack_opens_as_in_an_infinite_medium():
    """Volume of a pressurised crack far from everything: 8 (1 - nu) p a^3 / (3 mu) (Sneddon 1946)."""
    by_pressure, by_volume = (
        penny_crack(np.array([0.0, 2e4]), 0.0, depth_m=5e4, radius_m=1e3, shear_modulus_pa=10e9, **strength).up_m
        for strength in (
            {"pressure_pa": 2e6},
            {"volume_change_m3": 8 * 0.75 * 2e6 * 1e9 / (3 * 10e9)},
        )
    )
    np.testing.assert_allclose(by_pressure, by_volume, rtol=1e-4)


def test_deep_crack_is_a_tensile_point():
    depth = 100e3
    r = np.array([0.0, 30e3, 100e3, 500e3])
    moved = penny_crack(r, 0.0, depth_m=depth, radius_m=1e3, volume_change_m3=1e6)
    factor = 3 * 1e6 / (2 * np.pi) * depth**2 / (r * r + depth * depth) ** 2.5
    np.testing.assert_allclose(moved.up_m, factor * depth, rtol=5e-4)
    np.testing.assert_allclose(moved.east_m, factor * r, rtol=5e-4)


def test_far_from_the_crack_it_is_a_sill_of_its_volume():
    side = 1e3
    crack = penny_crack(30e3, 40e3, depth_m=5e3, radius_m=1e3, volume_change_m3=1e6)
    sill = okada(
        30e3, 40e3, depth_m=5e3, strike_deg=0.0, dip_deg=0.0, length_m=side, width_m=side, opening_m=1e6 / side**2
    )
    np.testing.assert_allclose(np.array(crack), np.array(sill), rtol=0.04)


def test_field_is_axially_symmetric_and_points_outwards():
    angle = np.linspace(0, 2 * np.pi, 9)
    moved = penny_crack(2e3 * np.cos(angle), 2e3 * np.sin(angle), depth_m=1.5e3, radius_m=1e3, pressure_pa=1e6)
    np.testing.assert_allclose(moved.up_m, moved.up_m[0], rtol=1e-8)
    np.testing.assert_allclose(moved.east_m, moved.east_m[0] * np.cos(angle), atol=1e-8 * moved.east_m[0])
    assert moved.east_m[0] > 0
    deflated = penny_crack(2e3, 0.0, depth_m=1.5e3, radius_m=1e3, pressure_pa=-1e6)
    assert deflated.up_m == pytest.approx(-moved.up_m[0])


def test_shallow_crack_opens_more_under_the_same_pressure():
    """A roof as thick as the crack's radius is softer than an infinite medium: Fialko et al. (2001), section 4."""
    volume_per_pressure = [
        penny_crack(0.0, 0.0, depth_m=d, radius_m=1e3, pressure_pa=1.0, shear_modulus_pa=1.0).up_m
        / penny_crack(0.0, 0.0, depth_m=d, radius_m=1e3, volume_change_m3=1.0).up_m
        for d in (0.8e3, 1e3, 2e3, 20e3)
    ]
    relative = np.array(volume_per_pressure) / (8 * 0.75 * 1e9 / 3)
    assert (np.diff(relative) < 0).all()
    assert relative[0] > 1.3
    assert relative[-1] == pytest.approx(1, abs=1e-3)


def boundary_elements(depth, rings):
    """Uplift and radial motion of a pressurised disc (radius, pressure, shear modulus 1) of cutde's triangles."""
    halfspace = pytest.importorskip("cutde.halfspace")
    from scipy.spatial import Delaunay

    nodes = [(0.0, 0.0)]
    for ring, radius in enumerate(np.sin(np.linspace(0, np.pi / 2, rings + 1))[1:], start=1):
        angle = np.arange(6 * ring) * 2 * np.pi / (6 * ring) + 0.3 * ring
        nodes += list(zip(radius * np.cos(angle), radius * np.sin(angle), strict=True))
    nodes = np.array(nodes)
    # cutde wants the normal upwards, so that opening lifts the upper side.
    triangles = np.array(
        [t if np.linalg.det(nodes[t[1:]] - nodes[t[0]]) > 0 else t[::-1] for t in Delaunay(nodes).simplices]
    )
    corners = np.c_[nodes, np.full(len(nodes), -depth)][triangles]
    strain = halfspace.strain_matrix(corners.mean(axis=1), corners, 0.25)
    xx, yy, zz, _, xz, yz = (strain[:, i] for i in range(6))
    traction = np.concatenate([xx + yy + 3 * zz, 2 * xz, 2 * yz]).reshape(3 * len(corners), -1)
    load = np.concatenate([-np.ones(len(corners)), np.zeros(2 * len(corners))])
    slip = np.linalg.solve(traction, load)
    points = np.array([[0.0, 0, 0], [0.5, 0, 0], [1.0, 0, 0], [2.0, 0, 0]])
    return (halfspace.disp_matrix(points, corners, 0.25).reshape(12, -1) @ slip).reshape(4, 3)


@pytest.mark.parametrize("depth", [0.8, 1.5])
def test_agrees_with_boundary_elements(depth):
    coarse, fine = (boundary_elements(depth, rings) for rings in (3, 6))
    # The error of constant elements falls with their size, so twice the fine less the coarse is left.
    reference = 2 * fine - coarse
    x = np.array([0.0, 0.5, 1.0, 2.0])
    ours = penny_crack(x, 0.0, depth_m=depth, radius_m=1.0, pressure_pa=1.0, shear_modulus_pa=1.0)
    assert ours.up_m[0] == pytest.approx(reference[0, 2], rel=0.05)
    # The shape converges faster than the size.
    np.testing.assert_allclose(ours.up_m / ours.up_m[0], reference[:, 2] / reference[0, 2], rtol=0.02)
    np.testing.assert_allclose(ours.east_m[1:] / ours.up_m[0], reference[1:, 0] / reference[0, 2], rtol=0.02)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"depth_m": 700.0}, r"depth_m=700 is too shallow for radius_m=1000; allowed: depth_m >= 800"),
        ({"radius_m": 2501.0}, r"too shallow for radius_m=2501; allowed: depth_m >= 2000\.8 \(0\.8 times the radius\)"),
        ({"radius_m": float("nan")}, r"radius_m=nan is not finite"),
        ({"depth_m": float("nan")}, r"depth_m=nan is not finite"),
        ({"poisson": 0.7}, r"poisson=0\.7 is out of range; allowed: 0 <= poisson <= 0\.5"),
        ({"pressure_pa": None, "volume_change_m3": float("inf")}, r"volume_change_m3=inf is not finite"),
        ({"radius_m": 0.0}, r"radius_m=0 is not positive"),
        ({"depth_m": -5.0}, r"depth_m=-5 is not positive"),
        ({"volume_change_m3": 1.0}, r"give exactly one of them"),
        ({"pressure_pa": None}, r"give exactly one of them"),
        ({"pressure_pa": float("nan")}, r"pressure_pa=nan is not finite"),
        ({"shear_modulus_pa": 0.0}, r"shear_modulus_pa=0 is not positive"),
    ],
)
def test_impossible_sources_are_refused(changed, message):
    with pytest.raises(PhysicsError, match=message):
        penny_crack(0.0, 0.0, **({"depth_m": 2e3, "radius_m": 1e3, "pressure_pa": 1e6} | changed))


def test_table_of_the_profile_does_not_depend_on_how_far_it_reaches():
    near = penny_crack(700.0, -200.0, depth_m=1e3, radius_m=1e3, pressure_pa=1e6)
    x = np.linspace(-200e3, 700.0, 1001)
    scene = penny_crack(x, -200.0, depth_m=1e3, radius_m=1e3, pressure_pa=1e6)
    np.testing.assert_allclose([component[-1] for component in scene], np.array(near), rtol=1e-7)
    # No wiggles: uplift falls all the way out.
    assert (np.diff(scene.up_m[:-50]) > 0).all()
