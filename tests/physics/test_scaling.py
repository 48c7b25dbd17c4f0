"""Rupture size by magnitude."""

from itertools import pairwise

import numpy as np
import pytest

from fringewatch.errors import PhysicsError
from fringewatch.physics.sources import earthquake_dimensions
from fringewatch.physics.sources.scaling import SHEAR_MODULUS_PA, seismic_moment

STYLES = ("strike-slip", "reverse", "normal")
LAWS = ("wells-coppersmith-1994", "thingbaijam-2017")


def test_wells_and_coppersmith_by_hand():
    # Table 2A: strike slip, log10 RLD = -2.57 + 0.62 M, log10 RW = -0.76 + 0.27 M
    size = earthquake_dimensions(7.0, style="strike-slip")
    assert size.length_m == pytest.approx(10 ** (1.77) * 1e3)
    assert size.width_m == pytest.approx(10 ** (1.13) * 1e3)


def test_thingbaijam_area_is_the_published_one():
    # The area has its own row in Table 1: strike slip, log10 A = -3.486 + 0.942 M
    size = earthquake_dimensions(6.5, style="strike-slip", law="thingbaijam-2017")
    assert np.log10(size.length_m * size.width_m / 1e6) == pytest.approx(-3.486 + 0.942 * 6.5, abs=1e-9)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("style", STYLES)
def test_slip_carries_the_moment_and_all_sizes_grow(style, law):
    sizes = [earthquake_dimensions(m, style=style, law=law) for m in (4.5, 5.5, 6.5, 7.5)]
    for magnitude, size in zip((4.5, 5.5, 6.5, 7.5), sizes, strict=True):
        moment = SHEAR_MODULUS_PA * size.length_m * size.width_m * size.slip_m
        assert (np.log10(moment) - 9.05) / 1.5 == pytest.approx(magnitude)
        assert 3e-6 < size.slip_m / size.length_m < 5e-4
    for smaller, larger in pairwise(sizes):
        assert all(a < b for a, b in zip(smaller, larger, strict=True))


def test_one_unit_of_magnitude_is_a_factor_of_32():
    assert seismic_moment(7.0) / seismic_moment(6.0) == pytest.approx(10**1.5)


def test_wrong_arguments_are_refused():
    with pytest.raises(PhysicsError, match=r"magnitude=nan is out of range; allowed: 4 <= magnitude <= 8"):
        earthquake_dimensions(float("nan"), style="normal")
    with pytest.raises(PhysicsError, match=r"magnitude=inf is not finite"):
        seismic_moment(float("inf"))
    with pytest.raises(PhysicsError, match=r"magnitude=9\.5 is out of range; allowed: 4 <= magnitude <= 8"):
        earthquake_dimensions(9.5, style="normal")
    with pytest.raises(PhysicsError, match="style='thrust' is not known; choose one of 'strike-slip', 'reverse'"):
        earthquake_dimensions(6.0, style="thrust")
    with pytest.raises(PhysicsError, match="law='guess' is not known"):
        earthquake_dimensions(6.0, style="normal", law="guess")
