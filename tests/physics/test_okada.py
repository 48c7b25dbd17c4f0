"""Rectangular dislocation against the paper, cutde, symmetry and limits."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from fringewatch.errors import PhysicsError
from fringewatch.physics.sources import okada

SLIPS = ("strike_slip_m", "dip_slip_m", "opening_m")
FAULT = {"depth_m": 5e3, "strike_deg": 20.0, "dip_deg": 40.0, "length_m": 4e3, "width_m": 3e3}


def in_the_frame_of_the_paper(x, y, d, dip_deg, *, length=3.0, width=2.0, **slip):
    """Okada puts the origin above the rear end of the lower edge, at depth d, and x along strike."""
    s, c = np.sin(np.radians(dip_deg)), np.cos(np.radians(dip_deg))
    return okada(
        x - length / 2,
        y - width / 2 * c,
        depth_m=d - width / 2 * s,
        strike_deg=90.0,
        dip_deg=dip_deg,
        length_m=length,
        width_m=width,
        **slip,
    )


# Okada (1985), Table 2. Case 4 dips by -90 degrees from depth 4 down to 6: a wall seen from the other side, so x and
# y are turned by half a circle; its "hanging wall" is the other block, so what moves along +x there is right-lateral.
TABLE_2 = [
    ("case 2", "strike_slip_m", (-8.689e-3, -4.298e-3, -2.747e-3)),
    ("case 2", "dip_slip_m", (-4.682e-3, -3.527e-2, -3.564e-2)),
    ("case 2", "opening_m", (-2.660e-4, +1.056e-2, +3.214e-3)),
    ("case 3", "strike_slip_m", (0.0, +5.253e-3, 0.0)),
    ("case 3", "dip_slip_m", (0.0, 0.0, 0.0)),
    ("case 3", "opening_m", (+1.223e-2, 0.0, -1.606e-2)),
    ("case 4", "strike_slip_m", (0.0, -1.303e-3, 0.0)),
    ("case 4", "dip_slip_m", (0.0, 0.0, 0.0)),
    ("case 4", "opening_m", (+3.507e-3, 0.0, -7.740e-3)),
]


@pytest.mark.parametrize(("case", "slip", "expected"), TABLE_2)
def test_table_2_of_the_paper(case, slip, expected):
    if case == "case 4":
        sense = -1.0 if slip == "strike_slip_m" else 1.0
        x, y, z = in_the_frame_of_the_paper(3.0, 0.0, 6.0, 90.0, **{slip: sense})
        computed = np.array([-x, -y, z])
    else:
        point = (2.0, 3.0, 4.0, 70.0) if case == "case 2" else (0.0, 0.0, 4.0, 90.0)
        computed = np.array(in_the_frame_of_the_paper(*point, **{slip: 1.0}))
    # Printed to four digits.
    np.testing.assert_allclose(computed, expected, rtol=5e-4, atol=1e-15)


def two_triangles(east, north, *, depth_m, strike_deg, dip_deg, length_m, width_m, slip, poisson=0.25):
    """The same rectangle by the triangular dislocations of cutde."""
    halfspace = pytest.importorskip("cutde.halfspace")
    strike, dip = np.radians(strike_deg), np.radians(dip_deg)
    along = np.array([np.sin(strike), np.cos(strike), 0.0])
    up_dip = np.array([-np.cos(strike) * np.cos(dip), np.sin(strike) * np.cos(dip), np.sin(dip)])
    motion = slip[0] * along + slip[1] * up_dip + slip[2] * np.cross(along, up_dip)
    corners = [
        np.array([0.0, 0.0, -depth_m]) + 0.5 * (a * length_m * along + b * width_m * up_dip)
        for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    ]
    triangles = np.array([[corners[0], corners[1], corners[2]], [corners[0], corners[2], corners[3]]])
    points = np.stack([east, north, np.zeros_like(east)], axis=1)
    matrix = halfspace.disp_matrix(points, triangles, poisson)
    moved = np.zeros((east.size, 3))
    for number, triangle in enumerate(triangles):
        normal = np.cross(triangle[1] - triangle[0], triangle[2] - triangle[0])
        normal /= np.linalg.norm(normal)
        # cutde's own axes: strike = up x normal (north where that vanishes), dip = normal x strike.
        strike_axis = np.cross([0.0, 0.0, 1.0], normal)
        size = np.linalg.norm(strike_axis)
        strike_axis = strike_axis / size if size > 1e-12 else np.array([0.0, 1.0, 0.0])
        axes = np.array([strike_axis, np.cross(normal, strike_axis), normal])
        moved += matrix[:, :, number, :] @ (axes @ motion)
    return moved.T


@settings(max_examples=200, deadline=None)
@given(
    # Between 88 degrees and the vertical it is cutde that loses digits; the tests of continuity take over there.
    dip_deg=st.one_of(st.just(0.0), st.just(90.0), st.floats(0.5, 88.0)),
    strike_deg=st.floats(0.0, 360.0),
    length_m=st.floats(500.0, 30e3),
    width_m=st.floats(500.0, 15e3),
    top_m=st.floats(200.0, 10e3),
    slip=st.tuples(*[st.floats(0.1, 3.0)] * 3),
    poisson=st.sampled_from([0.2, 0.25, 0.3]),
    seed=st.integers(0, 1000),
)
@example(dip_deg=0.0, strike_deg=45.0, length_m=3e3, width_m=2e3, top_m=1e3, slip=(0.0, 0.0, 1.0), poisson=0.25, seed=1)
def test_two_triangles_make_one_rectangle(dip_deg, strike_deg, length_m, width_m, top_m, slip, poisson, seed):
    # On slender triangles it is cutde that loses digits: twenty pieces of a 35:1 rectangle add up to the whole to
    # 3e-6 in cutde and to 1e-10 here.
    assume(max(length_m, width_m) <= 10 * min(length_m, width_m))
    depth_m = top_m + 0.5 * width_m * np.sin(np.radians(dip_deg))
    reach = 3 * max(length_m, width_m, depth_m)
    east, north = np.random.default_rng(seed).uniform(-reach, reach, (2, 20))
    rectangle = {
        "depth_m": depth_m,
        "strike_deg": strike_deg,
        "dip_deg": dip_deg,
        "length_m": length_m,
        "width_m": width_m,
        "poisson": poisson,
    }
    ours = np.array(okada(east, north, **rectangle, **dict(zip(SLIPS, slip, strict=True))))
    theirs = two_triangles(east, north, slip=slip, **rectangle)
    error = np.linalg.norm(ours - theirs, axis=0) / np.linalg.norm(theirs, axis=0)
    assert error.max() < 1e-6


def test_pieces_of_a_slender_rectangle_add_up_to_the_whole():
    east, north = np.random.default_rng(0).uniform(-50e3, 50e3, (2, 200))
    common = {"depth_m": 200.0, "strike_deg": 0.0, "dip_deg": 0.0, "width_m": 500.0}
    common |= {"strike_slip_m": 0.25, "dip_slip_m": 0.25, "opening_m": 2.0}
    whole = np.array(okada(east, north, length_m=20e3, **common))
    pieces = sum(
        np.array(okada(east, north - centre, length_m=1e3, **common)) for centre in np.arange(-9.5e3, 10e3, 1e3)
    )
    assert (np.linalg.norm(whole - pieces, axis=0) / np.linalg.norm(whole, axis=0)).max() < 1e-8


@pytest.mark.parametrize("slip", SLIPS)
def test_displacement_is_continuous_in_the_dip_up_to_the_vertical(slip):
    east, north = np.random.default_rng(0).uniform(-2e4, 2e4, (2, 100))
    fault = {**FAULT, slip: 1.0}
    vertical = np.array(okada(east, north, **{**fault, "dip_deg": 90.0}))
    slopes = [
        (np.array(okada(east, north, **{**fault, "dip_deg": 90.0 - step})) - vertical) / step
        for step in (1e-2, 1e-3, 1e-4, 1e-5)
    ]
    size = np.abs(slopes[0]).max()
    for coarse, fine in pairwise(slopes):
        np.testing.assert_allclose(fine, coarse, atol=2e-3 * size)


@pytest.mark.parametrize("slip", SLIPS)
def test_closed_form_and_series_meet(slip):
    """The switch of formulas for steep dips, at a cosine of 0.02, leaves no step."""
    east, north = np.random.default_rng(1).uniform(-2e4, 2e4, (2, 100))
    switch = np.degrees(np.arccos(0.02))
    flatter, at, steeper = (
        np.array(okada(east, north, **{**FAULT, "dip_deg": switch + offset, slip: 1.0}))
        for offset in (-1e-6, 1e-7, 1e-6)
    )
    # What curvature there is over 1e-6 degrees is far below rounding.
    middle = flatter + (steeper - flatter) * 0.55
    np.testing.assert_allclose(at, middle, atol=2e-11 * np.abs(at).max())


def test_sill_lifts_its_own_volume():
    """A horizontal tensile crack raises the surface by exactly the volume that opens."""
    a, weight = np.polynomial.legendre.leggauss(80)
    a, weight = a * np.pi / 2, weight * np.pi / 2
    x = 3e3 * np.tan(a)
    jacobian = weight * 3e3 / np.cos(a) ** 2
    up = okada(
        x[:, None], x[None, :], depth_m=3e3, strike_deg=0.0, dip_deg=0.0, length_m=2e3, width_m=1e3, opening_m=0.5
    ).up_m
    assert np.einsum("i,j,ij", jacobian, jacobian, up) == pytest.approx(2e3 * 1e3 * 0.5, rel=1e-4)


@pytest.mark.parametrize("slip", SLIPS)
def test_far_field_falls_with_the_square_of_the_distance(slip):
    direction = np.radians(33.0)
    near, far = (
        np.linalg.norm(okada(r * np.sin(direction), r * np.cos(direction), **FAULT, **{slip: 1.0})) for r in (2e6, 4e6)
    )
    assert near / far == pytest.approx(4, rel=0.01)


def test_small_deep_source_is_okadas_point_source():
    """Okada (1985), eq. 8 for a vertical strike-slip point: u = -M / (2 pi) (3 x^2 q / R^5 + ..., ...) with q = y."""
    x, y, d, potency = 2e3, 3e3, 4e3, 100.0 * 50.0
    r = np.sqrt(x * x + y * y + d * d)
    moved = okada(
        x, y, depth_m=d, strike_deg=90.0, dip_deg=90.0, length_m=100.0, width_m=50.0, strike_slip_m=1.0, poisson=0.25
    )
    # I1 and I2 of the point source, eqs. 8 and 9, times mu / (lambda + mu) = 1/2
    i1 = 0.5 * y * (1 / (r * (r + d) ** 2) - x * x * (3 * r + d) / (r**3 * (r + d) ** 3))
    i2 = 0.5 * x * (1 / (r * (r + d) ** 2) - y * y * (3 * r + d) / (r**3 * (r + d) ** 3))
    i4 = -0.5 * x * y * (2 * r + d) / (r**3 * (r + d) ** 2)
    expected = (
        -potency
        / (2 * np.pi)
        * np.array([3 * x * x * y / r**5 + i1, 3 * x * y * y / r**5 + i2, 3 * x * y * d / r**5 + i4])
    )
    np.testing.assert_allclose(np.array(moved), expected, rtol=2e-3)


def test_left_lateral_slip_moves_the_far_side_to_the_left():
    """Standing west of a north-striking wall and looking east across it, the far side moves left, to the north."""
    moved = okada(
        np.array([-1e3, 1e3]),
        np.zeros(2),
        depth_m=2.6e3,
        strike_deg=0.0,
        dip_deg=90.0,
        length_m=20e3,
        width_m=5e3,
        strike_slip_m=1.0,
    )
    assert moved.north_m[1] > 0.2
    assert moved.north_m[0] == pytest.approx(-moved.north_m[1], rel=1e-12)


def test_reverse_slip_raises_the_hanging_wall_and_normal_slip_drops_it():
    # Strikes north, dips east: the hanging wall lies in the east.
    fault = {"depth_m": 3e3, "strike_deg": 0.0, "dip_deg": 45.0, "length_m": 10e3, "width_m": 6e3}
    reverse = okada(1e3, 0.0, **fault, dip_slip_m=1.0)
    normal = okada(1e3, 0.0, **fault, dip_slip_m=-1.0)
    assert reverse.up_m > 0.25
    assert reverse.east_m < 0
    assert normal.up_m == pytest.approx(-reverse.up_m)


def test_vertical_dyke_pushes_both_sides_apart_and_is_symmetric():
    x = np.array([500.0, 2e3, 8e3])
    dyke = {"depth_m": 2e3, "strike_deg": 0.0, "dip_deg": 90.0, "length_m": 5e3, "width_m": 3e3, "opening_m": 1.0}
    right, left = okada(x, 0.0, **dyke), okada(-x, 0.0, **dyke)
    assert (right.east_m > 0).all()
    np.testing.assert_allclose(left.east_m, -right.east_m, rtol=1e-12)
    np.testing.assert_allclose(left.up_m, right.up_m, rtol=1e-12)
    np.testing.assert_allclose(right.north_m, 0, atol=1e-15)


def test_turning_the_strike_turns_the_field():
    rng = np.random.default_rng(3)
    east, north = rng.uniform(-1e4, 1e4, (2, 50))
    turn = np.radians(70.0)
    slip = {"strike_slip_m": 0.3, "dip_slip_m": -0.7, "opening_m": 0.4}
    plain = okada(east, north, **{**FAULT, "strike_deg": 0.0}, **slip)
    # Clockwise by 70 degrees, points and displacement alike.
    turned = okada(
        east * np.cos(turn) + north * np.sin(turn),
        -east * np.sin(turn) + north * np.cos(turn),
        **{**FAULT, "strike_deg": 70.0},
        **slip,
    )
    np.testing.assert_allclose(turned.east_m, plain.east_m * np.cos(turn) + plain.north_m * np.sin(turn), atol=1e-14)
    np.testing.assert_allclose(turned.north_m, -plain.east_m * np.sin(turn) + plain.north_m * np.cos(turn), atol=1e-14)
    np.testing.assert_allclose(turned.up_m, plain.up_m, atol=1e-14)


def test_slips_superpose():
    x = np.linspace(-1e4, 1e4, 30)
    parts = sum(np.array(okada(x, x[::-1], **FAULT, **{slip: 0.7})) for slip in SLIPS)
    whole = np.array(okada(x, x[::-1], **FAULT, **dict.fromkeys(SLIPS, 0.7)))
    np.testing.assert_allclose(whole, parts, atol=1e-15)


def test_a_rectangle_is_the_sum_of_its_halves():
    x = np.linspace(-1e4, 1e4, 40)
    sill = {"depth_m": 2e3, "strike_deg": 0.0, "dip_deg": 0.0, "width_m": 1e3, "opening_m": 1.0}
    whole = np.array(okada(x, 300.0, **sill, length_m=2e3))
    halves = sum(np.array(okada(x, 300.0 - shift, **sill, length_m=1e3)) for shift in (-500.0, 500.0))
    np.testing.assert_allclose(whole, halves, atol=1e-14)


def test_depth_per_point_is_the_same_as_point_by_point():
    x, depth = np.linspace(-5e3, 5e3, 11), np.linspace(4e3, 6e3, 11)
    together = np.array(okada(x, 1e3, **{**FAULT, "depth_m": depth}, opening_m=1.0))
    singly = np.stack(
        [np.array(okada(x[i], 1e3, **{**FAULT, "depth_m": depth[i]}, opening_m=1.0)) for i in range(11)], axis=1
    )
    np.testing.assert_allclose(together, singly, rtol=1e-12)


def test_shapes_broadcast_and_whole_scenes_equal_single_points():
    x = np.linspace(-1e4, 1e4, 90)
    scene = okada(x[None, :], x[:, None], **FAULT, dip_slip_m=1.0)
    assert scene.up_m.shape == (90, 90)
    single = okada(x[17], x[80], **FAULT, dip_slip_m=1.0)
    assert single.up_m.shape == ()
    assert scene.up_m[80, 17] == pytest.approx(float(single.up_m), rel=1e-12)


@pytest.mark.parametrize("slip", SLIPS)
@pytest.mark.parametrize("dip", [30.0, 90.0])
def test_fault_that_breaks_the_surface_is_finite_on_its_trace(dip, slip):
    """Also exactly on the trace, at its ends, and on its extension, without warnings (which are errors here)."""
    width = 4e3
    depth = 0.5 * width * np.sin(np.radians(dip))
    trace_m = 0.5 * width * np.cos(np.radians(dip))
    along = np.array([-4e3, -2e3, -1e3, 0.0, 1e3, 2e3, 4e3])
    moved = np.array(
        okada(
            along,
            np.full(7, trace_m),
            depth_m=depth,
            strike_deg=90.0,
            dip_deg=dip,
            length_m=4e3,
            width_m=width,
            **{slip: 1.0},
        )
    )
    assert np.isfinite(moved).all()


def test_surface_rupture_jumps_by_the_slip():
    fault = {"depth_m": 5e3, "strike_deg": 0.0, "dip_deg": 90.0, "length_m": 50e3, "width_m": 10e3}
    left, right = (float(okada(x, 0.0, **fault, strike_slip_m=1.0).north_m) for x in (-0.01, 0.01))
    assert right - left == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"depth_m": 900.0}, r"reach above the surface; allowed: depth_m >= 964\.181"),
        ({"depth_m": np.array([5e3, 800.0])}, r"depth_m=800 lets the rectangle reach above the surface"),
        ({"depth_m": 999.0, "dip_deg": 90.0, "width_m": 2e3, "opening_m": 1.0}, r"above the surface; allowed: .* 1000"),
        ({"depth_m": float("nan")}, r"depth_m=nan is not finite"),
        ({"length_m": float("nan")}, r"length_m=nan is not finite"),
        ({"width_m": float("inf")}, r"width_m=inf is not finite"),
        ({"dip_deg": float("nan")}, r"dip_deg=nan is out of range; allowed: 0 <= dip_deg <= 90"),
        ({"strike_slip_m": float("nan")}, r"strike_slip_m=nan is not finite"),
        ({"dip_slip_m": float("nan")}, r"dip_slip_m=nan is not finite"),
        ({"depth_m": 0.0, "dip_deg": 0.0}, r"depth_m=0 is not positive"),
        ({"depth_m": -1.0}, r"depth_m=-1 is not positive"),
        ({"length_m": 0.0}, r"length_m=0 is not positive; allowed: length_m > 0"),
        ({"width_m": -5.0}, r"width_m=-5 is not positive"),
        ({"dip_deg": 91.0}, r"dip_deg=91 is out of range; allowed: 0 <= dip_deg <= 90"),
        ({"dip_deg": -1.0}, r"dip_deg=-1 is out of range"),
        ({"strike_deg": float("nan")}, r"strike_deg=nan is not finite"),
        ({"opening_m": float("inf")}, r"opening_m=inf is not finite"),
        ({"poisson": -0.1}, r"poisson=-0.1 is out of range"),
    ],
)
def test_impossible_sources_are_refused(changed, message):
    with pytest.raises(PhysicsError, match=message):
        okada(0.0, 0.0, **(FAULT | changed))
