"""Look vectors and the sign of line-of-sight motion."""

import numpy as np
import pytest

from fringewatch.conventions import SENTINEL1_WAVELENGTH_M, los_to_phase
from fringewatch.errors import PhysicsError
from fringewatch.physics.displacement import Displacement
from fringewatch.physics.geometry import (
    ASCENDING_HEADING_DEG,
    DESCENDING_HEADING_DEG,
    IW_INCIDENCE_DEG,
    look_vector,
    project_to_los,
)


@pytest.mark.parametrize("heading", [ASCENDING_HEADING_DEG, DESCENDING_HEADING_DEG, 0.0, 123.4, -13.0])
@pytest.mark.parametrize("incidence", [0.0, *IW_INCIDENCE_DEG, 89.0])
@pytest.mark.parametrize("looking", ["right", "left"])
def test_look_vector_is_a_unit_vector_across_the_track(heading, incidence, looking):
    look = look_vector(heading, incidence, looking=looking)
    assert np.linalg.norm(look) == pytest.approx(1, abs=1e-15)
    assert look.up == pytest.approx(np.cos(np.radians(incidence)))
    along_track = np.array([np.sin(np.radians(heading)), np.cos(np.radians(heading)), 0])
    assert np.dot(look, along_track) == pytest.approx(0, abs=1e-15)


def test_ascending_satellite_stands_in_the_west_and_descending_in_the_east():
    ascending = look_vector(ASCENDING_HEADING_DEG, 38.3)
    descending = look_vector(DESCENDING_HEADING_DEG, 38.3)
    assert ascending.east < -0.5
    assert descending.east > 0.5
    # Both look a little from the south, since the orbit is inclined by 98 degrees.
    assert -0.2 < ascending.north < 0
    assert -0.2 < descending.north < 0


def test_left_looking_mirrors_the_horizontal_part():
    right, left = (look_vector(20.0, 35.0, looking=side) for side in ("right", "left"))
    assert (left.east, left.north, left.up) == (-right.east, -right.north, right.up)


def test_due_north_track_is_exact():
    look = look_vector(0.0, 30.0)
    np.testing.assert_allclose(look, (-0.5, 0.0, np.sqrt(3) / 2), atol=1e-15)


def test_arrays_broadcast():
    look = look_vector(ASCENDING_HEADING_DEG, np.linspace(29, 46, 5))
    assert look.east.shape == look.north.shape == look.up.shape == (5,)
    np.testing.assert_allclose(look.east[2], look_vector(ASCENDING_HEADING_DEG, 37.5).east)


def test_uplift_of_half_a_wavelength_over_the_cosine_is_one_falling_fringe():
    look = look_vector(DESCENDING_HEADING_DEG, 39.0)
    uplift = np.array([SENTINEL1_WAVELENGTH_M / 2 / np.cos(np.radians(39.0))])
    los = project_to_los(Displacement(np.zeros(1), np.zeros(1), uplift), look)
    assert los[0] == pytest.approx(SENTINEL1_WAVELENGTH_M / 2)
    assert los_to_phase(los)[0] == pytest.approx(-2 * np.pi)


def test_motion_to_the_east_leaves_the_ascending_and_nears_the_descending_satellite():
    east = Displacement(np.ones(1), np.zeros(1), np.zeros(1))
    assert project_to_los(east, look_vector(ASCENDING_HEADING_DEG, 39.0))[0] < -0.6
    assert project_to_los(east, look_vector(DESCENDING_HEADING_DEG, 39.0))[0] > 0.6


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((347.0, 90.0), r"incidence_deg=90 is out of range; allowed: 0 <= incidence_deg <= 90"),
        ((347.0, -1.0), r"incidence_deg=-1 is out of range"),
        ((347.0, [30.0, float("nan")]), r"incidence_deg=nan is out of range"),
        ((float("inf"), 30.0), r"heading_deg=inf is not finite"),
    ],
)
def test_impossible_angles_are_refused(arguments, named):
    with pytest.raises(PhysicsError, match=named):
        look_vector(*arguments)


def test_unknown_side_is_refused():
    with pytest.raises(PhysicsError, match="looking='down' is not known; choose one of 'right', 'left'"):
        look_vector(0.0, 30.0, looking="down")
