"""Phase that is proportional to terrain height, as stratified delay is: how much there is, and the phase without it.

The slope is fitted to wrapped phase as it is, since where delay wraps over a mountain unwrapping is what fails: it is
the one under which the steps of phase between pixels some way apart agree best with those of the height (periodogram;
the linear model of Doin et al. 2009, 10.1016/j.jappgeo.2009.03.010). Over distances as short as the relief allows, so
that deformation and turbulence, which are long or know nothing of the height, weigh less. Deformation that is centred
on a mountain still looks like a trend in part: what is left without the trend is a lower bound of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.conventions import wrap

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LARGEST_DELAY", "HeightTrend", "fit_height_trend", "remove_height_trend"]

LARGEST_DELAY = 1e-4
"""Largest slope that is sought, metres of delay along the line of sight per metre of height: 10 cm per km."""
_LAGS_PX = (3, 6, 12)
_ENOUGH_RELIEF_M = 60.0
"""Lags are doubled until heights differ by so much across them, or they are an eighth of the scene: over a few fine
pixels hardly any delay builds up."""
_SLOPES, _BINS = 401, 1024
_LEAST_STEPS = 500
_ENOUGH = 20_000
"""Pixels of a larger scene that are looked at, about."""
_LEAST_RELIEF_M = 30.0
"""Typical height step of the steepest ground: flat ground says nothing of a slope."""
_LEAST_GAIN = 0.01
_LEAST_DEVIATIONS = 6.0
"""Rise of the agreement from which a trend is more than the best of many slopes of noise: in standard deviations that
it would have if all steps were noise and independent of each other. Of 401 slopes the best reaches 3 by chance, and
steps share pixels."""


class HeightTrend(NamedTuple):
    """A trend of phase with height."""

    rad_per_m: float
    """Slope."""
    reference_m: float
    """Median height, at which phase stays as it is."""
    agreement: float
    """Mean cosine of the phase steps that are left, weighted, -1 to 1: with the trend taken out."""
    agreement_before: float
    """The same with the trend in."""


def fit_height_trend(
    phase_rad: NDArray[np.float32], height_m: NDArray[np.float32], *, wavelength_m: float
) -> HeightTrend | None:
    """Fit the slope of phase with height.

    Parameters
    ----------
    phase_rad
        (H, W) wrapped radians; NaN = no data.
    height_m
        (H, W) metres; NaN = unknown.
    wavelength_m
        Of the radar: bounds the slope, see :data:`LARGEST_DELAY`.

    Returns
    -------
    HeightTrend or None
        None where the ground is flat, too little is known, or no slope agrees with the phase better than none does.
    """
    farthest = min(phase_rad.shape) // 8
    lags = _LAGS_PX
    steps, rises = _pairs(phase_rad, height_m, lags)
    while len(rises) >= _LEAST_STEPS and _steepness(rises) < _ENOUGH_RELIEF_M and 2 * lags[-1] <= farthest:
        lags = (lags[1], lags[2], 2 * lags[2])
        steps, rises = _pairs(phase_rad, height_m, lags)
    if len(rises) < _LEAST_STEPS or (steep := _steepness(rises)) < _LEAST_RELIEF_M:
        return None
    # A step along a slope says much of it, one on the flat nothing.
    weight = np.minimum(np.abs(rises) / steep, 1)
    edge = float(np.quantile(np.abs(rises), 0.999))
    index = np.rint((np.clip(rises, -edge, edge) / edge + 1) / 2 * (_BINS - 1)).astype(np.intp)
    total = weight.sum()
    binned = [np.bincount(index, weights=part * weight, minlength=_BINS) for part in (steps.real, steps.imag)]
    centres = np.linspace(-edge, edge, _BINS)
    most = 4 * np.pi / wavelength_m * LARGEST_DELAY
    slopes = np.linspace(-most, most, _SLOPES)
    turns = np.exp(-1j * slopes[:, None] * centres)
    agreement = (turns @ (binned[0] + 1j * binned[1])).real / total
    best = int(agreement.argmax())
    none = float(agreement[_SLOPES // 2])
    # The mean of a cosine of noise deviates by the root of a half over that of their number.
    deviation = float(np.sqrt(np.square(weight).sum() / 2) / total)
    if agreement[best] - none < max(_LEAST_GAIN, _LEAST_DEVIATIONS * deviation) or best in (0, _SLOPES - 1):
        return None
    # The peak lies between the slopes tried.
    left, middle, right = agreement[best - 1 : best + 2]
    offset = 0.5 * (left - right) / (left - 2 * middle + right)
    slope = float(slopes[best] + offset * (slopes[1] - slopes[0]))
    return HeightTrend(slope, float(np.nanmedian(height_m)), float(middle), none)


def remove_height_trend(
    phase_rad: NDArray[np.float32], height_m: NDArray[np.float32], trend: HeightTrend
) -> NDArray[np.float32]:
    """Return the phase without a trend, wrapped; as it is where the height is not known.

    Parameters
    ----------
    phase_rad, height_m
        As for :func:`fit_height_trend`.
    trend
        What it returned.
    """
    # In double precision: kilometres times a slope are dozens of radians.
    above = np.nan_to_num(height_m.astype(np.float64) - trend.reference_m)
    return wrap(phase_rad - trend.rad_per_m * above).astype(np.float32)


def _steepness(rises: NDArray[np.float32]) -> float:
    """Return a typical height step of the steepest ground, metres: of one mountain on a plain, not of the plain."""
    squares = np.square(rises, dtype=np.float64)
    return float(np.sqrt(np.square(squares).sum() / max(squares.sum(), 1e-9)))


def _pairs(
    phase_rad: NDArray[np.float32], height_m: NDArray[np.float32], lags: tuple[int, ...]
) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
    """Return phase steps (unit phasors) and height steps between pixels some way apart, along rows and columns."""
    # Every other pixel of every other row, or fewer: neighbours say the same.
    every = max(2, int(np.sqrt(phase_rad.size / _ENOUGH)))
    steps, rises = [], []
    for lag in lags:
        for phase, height in ((phase_rad, height_m), (phase_rad.T, height_m.T)):
            step = np.exp(1j * (phase[lag::every, ::every] - phase[:-lag:every, ::every]).astype(np.complex64)).ravel()
            rise = (height[lag::every, ::every] - height[:-lag:every, ::every]).ravel()
            known = np.isfinite(step) & np.isfinite(rise)
            steps.append(step[known])
            rises.append(rise[known])
    return np.concatenate(steps), np.concatenate(rises)
