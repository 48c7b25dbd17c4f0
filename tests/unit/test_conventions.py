"""The sign convention, wrapping and conversions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fringewatch.conventions import SENTINEL1_WAVELENGTH_M, los_to_phase, phase_to_los, wrap


def test_sentinel1_wavelength_is_the_published_one():
    assert pytest.approx(0.0554658, abs=1e-7) == SENTINEL1_WAVELENGTH_M


def test_half_a_wavelength_towards_the_satellite_is_one_fringe_of_negative_phase():
    uplift = np.array([SENTINEL1_WAVELENGTH_M / 2])
    assert los_to_phase(uplift)[0] == pytest.approx(-2 * np.pi)


def test_fringe_radian_and_steepest_motion_have_their_published_sizes():
    assert pytest.approx(5.546576, abs=1e-6) == 100 * SENTINEL1_WAVELENGTH_M
    fringe_m, radian_m, steepest_m = -phase_to_los(np.array([2 * np.pi, 1.0, np.pi]))
    assert 100 * fringe_m == pytest.approx(2.773, abs=5e-4)
    assert 100 * radian_m == pytest.approx(0.4414, abs=5e-5)
    # Half a cycle per pixel is the most that wrapping leaves unambiguous.
    assert 100 * steepest_m == pytest.approx(1.39, abs=5e-3)


def test_conversion_goes_there_and_back():
    phase = np.linspace(-50, 50, 101)
    np.testing.assert_allclose(los_to_phase(phase_to_los(phase)), phase, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_wrap_agrees_with_the_complex_definition(dtype):
    phase = np.linspace(-40, 40, 4001).astype(dtype)
    wrapped = wrap(phase)
    assert wrapped.dtype == dtype
    assert wrapped.min() > -np.pi - 1e-6
    assert wrapped.max() <= np.pi + 1e-6
    np.testing.assert_allclose(np.exp(1j * wrapped), np.exp(1j * phase.astype(float)), atol=1e-5)


def test_wrap_includes_pi_and_excludes_minus_pi():
    np.testing.assert_array_equal(wrap(np.array([np.pi, -np.pi])), [np.pi, np.pi])


def test_wrap_keeps_nan():
    assert np.isnan(wrap(np.array([np.nan, 1.0]))).tolist() == [True, False]


@given(st.floats(-3.1, 3.1), st.integers(-20, 20))
def test_whole_turns_do_not_matter(phase, turns):
    assert wrap(np.array([phase + 2 * np.pi * turns]))[0] == pytest.approx(phase, abs=1e-9)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_open_end_of_the_interval_does_not_occur(kind):
    beyond = np.nextafter(kind(np.pi), kind(10))
    phase = np.array([beyond, -beyond, kind(np.pi), -kind(np.pi), 3 * kind(np.pi)], kind)
    wrapped = wrap(phase)
    assert wrapped.dtype == kind
    assert (wrapped > -kind(np.pi)).all()
    assert (wrapped <= kind(np.pi)).all()
