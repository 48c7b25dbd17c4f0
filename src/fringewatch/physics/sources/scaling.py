"""Size and slip of earthquake ruptures from their magnitude."""

from __future__ import annotations

from typing import Literal, NamedTuple

from fringewatch.physics._check import require_between, require_choice, require_finite

__all__ = ["LAWS", "SHEAR_MODULUS_PA", "STYLES", "RuptureSize", "earthquake_dimensions", "seismic_moment"]

SHEAR_MODULUS_PA = 30e9
"""Shear modulus of the crust that links moment and slip."""

RuptureStyle = Literal["strike-slip", "reverse", "normal"]
ScalingLaw = Literal["wells-coppersmith-1994", "thingbaijam-2017"]

STYLES: tuple[RuptureStyle, ...] = ("strike-slip", "reverse", "normal")
LAWS: tuple[ScalingLaw, ...] = ("wells-coppersmith-1994", "thingbaijam-2017")

# (a, b) of log10(length or width in km) = a + b * magnitude.
_COEFFICIENTS: dict[str, dict[str, tuple[tuple[float, float], tuple[float, float]]]] = {
    # Wells and Coppersmith (1994), Table 2A: subsurface rupture length RLD, down-dip rupture width RW.
    "wells-coppersmith-1994": {
        "strike-slip": ((-2.57, 0.62), (-0.76, 0.27)),
        "reverse": ((-2.42, 0.58), (-1.61, 0.41)),
        "normal": ((-1.88, 0.50), (-1.14, 0.35)),
    },
    # Thingbaijam, Mai and Goda (2017), Table 1: rupture length L and width W.
    "thingbaijam-2017": {
        "strike-slip": ((-2.943, 0.681), (-0.543, 0.261)),
        "reverse": ((-2.693, 0.614), (-1.669, 0.435)),
        "normal": ((-1.722, 0.485), (-0.829, 0.323)),
    },
}


class RuptureSize(NamedTuple):
    """Length along strike, width down dip and uniform slip of a rupture, metres."""

    length_m: float
    width_m: float
    slip_m: float


def seismic_moment(magnitude: float) -> float:
    """Compute the seismic moment (N m) of a moment magnitude: ``10^(1.5 Mw + 9.05)`` (Hanks and Kanamori 1979)."""
    require_finite("magnitude", magnitude)
    return float(10.0 ** (1.5 * magnitude + 9.05))


def earthquake_dimensions(
    magnitude: float, *, style: RuptureStyle, law: ScalingLaw = "wells-coppersmith-1994"
) -> RuptureSize:
    """Compute the median size of a rupture, and the uniform slip that gives it the right seismic moment.

    Parameters
    ----------
    magnitude
        Moment magnitude, 4 to 8. The laws were fitted to 4.8 and more; below, they are extrapolated.
    style
        Faulting style.
    law
        Regression: Wells and Coppersmith (1994), Table 2A, subsurface length and width; or Thingbaijam, Mai and
        Goda (2017), Table 1.

    Returns
    -------
    RuptureSize
        Length, width and slip in metres; ``SHEAR_MODULUS_PA * length * width * slip`` is the seismic moment.

    Raises
    ------
    PhysicsError
        If the magnitude is out of range, or the style or law is not known.
    """
    require_between("magnitude", magnitude, 4.0, 8.0)
    require_choice("law", law, tuple(_COEFFICIENTS))
    require_choice("style", style, tuple(_COEFFICIENTS[law]))

    (a_length, b_length), (a_width, b_width) = _COEFFICIENTS[law][style]
    length_m = 1e3 * 10.0 ** (a_length + b_length * magnitude)
    width_m = 1e3 * 10.0 ** (a_width + b_width * magnitude)
    return RuptureSize(length_m, width_m, seismic_moment(magnitude) / (SHEAR_MODULUS_PA * length_m * width_m))
