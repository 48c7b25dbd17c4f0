"""How much more than its surroundings each pixel of a scene moves: slopes and spots over thresholds of their own image.

This is Canny's recipe (Gaussian, gradient, double threshold with hysteresis; 10.1109/TPAMI.1986.4767851) on the
complex phase instead of its grey picture: the gradient is the local fringe rate, so that a wrap makes no edge, and the
threshold is a multiple of what the image's own noise and atmosphere do to it, at the coherence that each pixel has. The
thinning to lines is left out, since the area of a pattern is wanted. Fringes too dense for their pixels leave no slope
but incoherence, which is a pattern where its surroundings are coherent: a spot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

from fringewatch.fringes.rates import FringeRates, fringe_rates, smooth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Real = NDArray[np.float32]

__all__ = ["Activity", "measure_activity", "rate_weight"]

SIGMAS_PX = (1.5, 3.0, 6.0, 12.0)
"""Windows over which slopes are averaged: from steep small patterns to gentle wide ones."""
SPOTS_PX = (2, 3, 5, 8)
"""Half sides of the squares whose incoherence is compared with that of their surroundings."""
SLOPE, STRONG_SLOPE = 3.2, 5.5
"""Low and high threshold of the slope, in units of what noise and background make of it."""
SPOT = 2.5
"""Threshold of the incoherence, in standard deviations of its surroundings."""

_NOISE_COHERENCE = 0.3
"""Coherence of steps that noise alone rarely exceeds in the smallest window."""
_NOISE_SLOPE_RAD = 0.35
"""Slope that noise makes in the smallest window, times sqrt(1 - coherence^2) / coherence."""
_QUIET_PERCENTILE = 35.0
# Of a Rayleigh distribution, which slopes of a random field have: its percentile over its scale.
_QUIET_TO_SCALE = 1 / np.sqrt(-2 * np.log(1 - _QUIET_PERCENTILE / 100))
_LEAST_SLOPE_RAD = 0.01
_LEAST_SPOT_STD = 0.03
_FEWEST_PX = 50


class Activity(NamedTuple):
    """What moves in a scene; arrays are (H, W)."""

    slope: Real
    """Slope over its low threshold, the largest of all windows; 0 at no data."""
    spot: Real
    """Incoherence beyond that of the surroundings over its threshold."""
    rates: FringeRates
    """In the smallest window."""
    weight: Real
    """How much the rate of a pixel counts, 0 (noise) to 1."""
    trend_rad: tuple[float, float]
    """Phase gradient of the scene, along rows and columns, radians per pixel: what a ramp would have."""


def rate_weight(coherence: Real) -> Real:
    """Return how much fringe rates of some coherence count: the square of what it has beyond noise, 0 to 1."""
    beyond: Real = np.maximum(coherence - np.float32(_NOISE_COHERENCE), 0) / np.float32(1 - _NOISE_COHERENCE)
    return np.square(beyond, out=beyond)


def measure_activity(phase_rad: Real) -> Activity:
    """Compare slopes and incoherence of a scene with thresholds that adapt to it.

    Slopes are averaged over growing windows, weighted by coherence. What a smaller window has found is taken out
    before the next, or a steep pattern would hide the gentle ones and blur. In each window, the scale of the background
    is that of the calmer part of the scene (35th percentile), and the noise that the local coherence makes is added.

    Parameters
    ----------
    phase_rad
        (H, W) wrapped phase in (-pi, pi], radians; NaN = no data.

    Returns
    -------
    Activity
        All 0 where the scene is too small or has too little data to know its own background.
    """
    from skimage.filters import apply_hysteresis_threshold

    valid = np.isfinite(phase_rad)
    rates = fringe_rates(phase_rad, sigma_px=SIGMAS_PX[0])
    weight = rate_weight(rates.coherence)
    slope = np.zeros(phase_rad.shape, np.float32)
    found = np.zeros(phase_rad.shape, bool)
    trend = 0.0, 0.0
    for number, sigma_px in enumerate(SIGMAS_PX):
        counted = valid & ~found & (weight > 0.05)
        if (number and sigma_px > min(phase_rad.shape) / 8) or counted.sum() < _FEWEST_PX:
            break
        rows, cols, coherence, known = _average(rates, np.where(found, 0, weight), sigma_px if number else 0.0)
        ramp = float(np.median(rows[counted])), float(np.median(cols[counted]))
        steepness = np.hypot(rows - np.float32(ramp[0]), cols - np.float32(ramp[1]))
        # Noise of a mean slope falls with the square of the window: its differences add up to those of the border.
        narrower = SIGMAS_PX[0] / sigma_px
        noise = _NOISE_SLOPE_RAD * narrower**2 * np.sqrt(1 - np.square(coherence)) / np.maximum(coherence, 0.05)
        calm = float(np.percentile(steepness[counted], _QUIET_PERCENTILE)) * _QUIET_TO_SCALE
        scale = np.maximum(np.hypot(noise, calm), _LEAST_SLOPE_RAD * narrower)
        if number < 2:
            trend = ramp
        ratio = np.where(known & valid & ~found, steepness / (SLOPE * scale), 0).astype(np.float32)
        np.maximum(slope, ratio, out=slope)
        pattern = apply_hysteresis_threshold(ratio, 1.0, STRONG_SLOPE / SLOPE)  # type: ignore[no-untyped-call]
        found |= ndimage.binary_dilation(pattern, iterations=2 + int(sigma_px / 2))
    return Activity(slope, _spots(rates.coherence, valid), rates, weight, trend)


def _average(rates: FringeRates, weight: Real, sigma_px: float) -> tuple[Real, Real, Real, NDArray[np.bool_]]:
    """Return mean rates and coherence in a window, and where enough of it is known; 0 pixels: the rates as they are."""
    if not sigma_px:
        return *rates, weight > 0.02
    total = smooth(weight, sigma_px)
    # A little more than the sum, so that means fade out where nothing is known.
    rows, cols, coherence = (smooth(weight * values, sigma_px) / (total + np.float32(1e-3)) for values in rates)
    return rows, cols, np.minimum(coherence, 1), total > 0.05


def _spots(coherence: Real, valid: NDArray[np.bool_]) -> Real:
    """Return how far incoherence exceeds that of the surroundings, over the threshold."""
    incoherence = np.where(valid, 1 - coherence, 0).astype(np.float32)
    share = valid.astype(np.float32)
    largest = np.zeros(coherence.shape, np.float32)
    for half_px in SPOTS_PX:
        inner, gap, outer = 2 * half_px + 1, 4 * half_px + 1, 8 * half_px + 1
        if 1.5 * outer > min(coherence.shape):
            break
        values = smooth(incoherence, half_px / 2)
        values *= share / np.maximum(smooth(share, half_px / 2), np.float32(0.05))
        count = np.maximum(_ring(share, gap, outer), np.float32(1))
        mean = _ring(values, gap, outer) / count
        variance = np.maximum(_ring(np.square(values), gap, outer) / count - np.square(mean), 0)
        excess = values - mean
        inside = _box(incoherence, inner) / np.maximum(_box(share, inner), 1)
        score = excess / np.sqrt(variance + np.float32(_LEAST_SPOT_STD**2)) / np.float32(SPOT)
        # Lone pixels are no spot of this size.
        np.maximum(largest, np.where(valid & (inside - mean >= 0.5 * excess), score, 0), out=largest)
    return largest


def _ring(values: Real, gap_px: int, outer_px: int) -> Real:
    return _box(values, outer_px) - _box(values, gap_px)


def _box(values: Real, side_px: int) -> Real:
    """Add up squares; whatever lies beyond the scene is 0."""
    # In float64: running sums of float32 drift over a large scene.
    summed = ndimage.uniform_filter(values.astype(np.float64), side_px, mode="constant") * side_px**2
    return np.asarray(summed, np.float32)
