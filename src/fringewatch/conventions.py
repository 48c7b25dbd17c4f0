"""The one sign convention, and the few constants and conversions that follow from it.

Line-of-sight (LOS) displacement ``los_m`` is positive **towards** the satellite. Interferometric phase grows with
range, so ``phase_rad = -(4 pi / wavelength_m) * los_m``: uplift gives negative phase, subsidence positive phase.
Wrapped phase lies in ``(-pi, pi]``; NaN means no data. Providers with the opposite sign are repaired by the reader
of their product, never by a model. Wrapped phase is never interpolated: resample ``exp(1j * phase)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "PHASE_SIGN",
    "SENTINEL1_WAVELENGTH_M",
    "SPEED_OF_LIGHT_M_S",
    "los_to_phase",
    "phase_to_los",
    "wrap",
]

SPEED_OF_LIGHT_M_S = 299_792_458.0
SENTINEL1_WAVELENGTH_M = SPEED_OF_LIGHT_M_S / 5.405e9
"""C band of Sentinel-1, 5.405 GHz: 5.5465763 cm; one fringe is 2.773 cm of LOS motion."""

PHASE_SIGN = "range increase"
"""Value of ``attrs["phase_sign"]`` of every interferogram that a reader returns."""

_OPEN_END = {
    kind.char: np.nextafter(kind.type(-np.pi), kind.type(0)) for kind in map(np.dtype, (np.float32, np.float64))
}
"""The least number above -pi, by the code of the type."""

FloatT = TypeVar("FloatT", np.float32, np.float64)


def wrap(phase_rad: NDArray[FloatT]) -> NDArray[FloatT]:
    """Wrap phase into ``(-pi, pi]``.

    Parameters
    ----------
    phase_rad
        Phase of any range and shape, float32 or float64, in radians. NaN stays NaN.

    Returns
    -------
    numpy.ndarray
        Same shape and dtype, in ``(-pi, pi]``.
    """
    two_pi = phase_rad.dtype.type(2 * np.pi)
    half = phase_rad.dtype.type(np.pi)
    # np.angle(np.exp(1j * x)) costs five times as much and loses precision in float32; the remainder is exact.
    wrapped = half - np.mod(half - phase_rad, two_pi)
    # Rounding can land on its open end, or one ulp outside.
    out = wrapped if isinstance(wrapped, np.ndarray) else None
    return np.clip(wrapped, _OPEN_END[phase_rad.dtype.char], half, out=out)


def los_to_phase(los_m: NDArray[FloatT], wavelength_m: float = SENTINEL1_WAVELENGTH_M) -> NDArray[FloatT]:
    """Turn LOS displacement (m, floats, positive towards the satellite) into unwrapped phase (rad, as range)."""
    return los_m * los_m.dtype.type(-4 * np.pi / wavelength_m)


def phase_to_los(phase_rad: NDArray[FloatT], wavelength_m: float = SENTINEL1_WAVELENGTH_M) -> NDArray[FloatT]:
    """Turn unwrapped phase (rad, grows with range) into LOS displacement (m, positive towards the satellite)."""
    return phase_rad * phase_rad.dtype.type(-wavelength_m / (4 * np.pi))
