"""Local fringe rate: how fast wrapped phase turns, and how surely, without unwrapping it.

Each pixel's phase step is taken from products of neighbouring phasors, ``z(x + 1) conj(z(x))``, which do not see where
phase wraps. Averaged over a window, their angle is the fringe rate of a local plane wave (the lag-one estimate of its
frequency; Spagnolini 1995 and Trouve et al. 1998 take such rates to guide unwrapping), and their modulus is the
coherence of the phase after the fringes themselves are taken out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

from fringewatch.physics.coherence import phasor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Real = NDArray[np.float32]

__all__ = ["FringeRates", "fringe_rates", "residues", "sampled_rates", "sampled_reach_px", "smooth"]

_LEAST_SHARE = 0.05
_TRUNCATE = 3
"""Standard deviations at which windows end."""


class FringeRates(NamedTuple):
    """Phase gradient of a scene, each (H, W) float32."""

    row_rad: Real
    """Radians per pixel along the rows' index, downwards, in (-pi, pi]."""
    col_rad: Real
    """Radians per pixel to the right."""
    coherence: Real
    """How far the steps of the window agree, 0 to 1; 0 at no data. Noise alone has 0.15 on average at 1.5 pixels."""


def fringe_rates(phase_rad: Real, *, sigma_px: float = 1.5) -> FringeRates:
    """Estimate the local fringe rate of wrapped phase.

    Parameters
    ----------
    phase_rad
        (H, W) wrapped phase in (-pi, pi], radians; NaN = no data, which does not count.
    sigma_px
        Standard deviation in pixels of the Gaussian window.

    Returns
    -------
    FringeRates
    """
    z = phasor(phase_rad)
    (rows, row_modulus), (cols, col_modulus) = _mean_step(z, sigma_px), _mean_step(z.T, sigma_px)
    modulus = row_modulus * col_modulus.T
    coherence = np.sqrt(np.minimum(modulus, 1, out=modulus))
    coherence[~np.isfinite(phase_rad)] = 0
    return FringeRates(rows, np.ascontiguousarray(cols.T), coherence)


def _mean_step(z: NDArray[np.complex64], sigma_px: float) -> tuple[Real, Real]:
    """Return angle and modulus of the mean product of neighbours along the first axis."""
    step = z[1:] * z[:-1].conj()
    # A step lies midway between two pixels and counts half for each.
    steps, known = np.zeros(z.shape, np.complex64), np.zeros(z.shape, np.float32)
    for half in (np.s_[1:], np.s_[:-1]):
        steps[half] += step
        known[half] += step != 0
    real, imaginary = smooth(steps.real, sigma_px), smooth(steps.imag, sigma_px)
    modulus = np.hypot(real, imaginary) / np.maximum(smooth(known, sigma_px), np.float32(_LEAST_SHARE))
    return np.arctan2(imaginary, real), np.asarray(modulus, np.float32)


def sampled_reach_px(sigma_px: float) -> int:
    """Return how far the phase around a pixel counts in :func:`sampled_rates`."""
    return int(_TRUNCATE * sigma_px + 0.5) + 1


def sampled_rates(phase_rad: Real, rows: slice, cols: slice, *, sigma_px: float) -> FringeRates:
    """Estimate the local fringe rate at every n-th pixel, for n times less than at all of them.

    Parameters
    ----------
    phase_rad
        (H, W) wrapped phase in (-pi, pi], radians; NaN = no data, which does not count.
    rows, cols
        Where it is wanted, with start, stop and step.
    sigma_px
        Standard deviation in pixels of the Gaussian window.

    Returns
    -------
    FringeRates
        Radians per pixel, what :func:`fringe_rates` gives there but for rounding, in arrays of as many rows and columns
        as were asked for. Bit for bit the same of any part of a scene that holds :func:`sampled_reach_px` around them.
    """
    reach = sampled_reach_px(sigma_px)
    offsets = np.arange(1 - reach, reach)
    window = np.exp(-0.5 * np.square(offsets / sigma_px))
    window = (window / window.sum()).astype(np.float32)
    # A step lies midway between two pixels and counts half for each.
    steps_window = np.convolve(window, np.ones(2, np.float32))
    # Nothing lies beyond the phase that is given.
    shape, inner = tuple(size + 2 * reach for size in phase_rad.shape), (slice(reach, -reach),) * 2
    valid, known = np.zeros(shape, bool), np.zeros(shape, np.float32)
    np.isfinite(phase_rad, out=valid[inner])
    np.copyto(known[inner], phase_rad, where=valid[inner])
    cosine, sine = np.cos(known), np.sin(known)
    # The sine of what has no data is zero by now.
    weight = valid.astype(np.float32)
    cosine *= weight
    angles, moduli = [], []
    for axis in (0, 1):
        later, earlier = (slice(1, None), slice(None, -1)) if axis == 0 else (np.s_[:, 1:], np.s_[:, :-1])
        products = np.empty((3, *valid[later].shape), np.float32)
        # The third image is where sums wait that belong to the first two.
        np.multiply(sine[later], sine[earlier], out=products[2])
        np.multiply(cosine[later], cosine[earlier], out=products[0])
        products[0] += products[2]
        np.multiply(cosine[later], sine[earlier], out=products[2])
        np.multiply(sine[later], cosine[earlier], out=products[1])
        products[1] -= products[2]
        np.multiply(weight[later], weight[earlier], out=products[2])
        # Along the rows first, whose sums run through memory without gaps.
        for along, wanted in ((0, rows), (1, cols)):
            taps = steps_window if along == axis else window
            products = _sampled_sum(products, taps, wanted, along, first=wanted.start + (along != axis))
        real, imaginary, share = products
        moduli.append(np.hypot(real, imaginary) / np.maximum(share, np.float32(_LEAST_SHARE)))
        angles.append(np.arctan2(imaginary, real))
    coherence = np.sqrt(np.minimum(moduli[0] * moduli[1], 1))
    coherence[~np.isfinite(phase_rad[rows, cols])] = 0
    return FringeRates(angles[0], angles[1], coherence)


def _sampled_sum(values: Real, taps: Real, wanted: slice, along: int, *, first: int) -> Real:
    """Return weighted sums along one axis of images (n, H, W), at the wanted places only."""
    last = first + (len(range(wanted.start, wanted.stop, wanted.step)) - 1) * wanted.step + 1
    axis = along + 1
    shape = [
        len(range(wanted.start, wanted.stop, wanted.step)) if each == axis else size
        for each, size in enumerate(values.shape)
    ]
    total, part = np.zeros(shape, np.float32), np.empty(shape, np.float32)
    for offset, tap in enumerate(taps):
        places = slice(first + offset, last + offset, wanted.step)
        np.multiply(values[:, places] if along == 0 else values[:, :, places], tap, out=part)
        total += part
    return total


def residues(phase_rad: Real) -> NDArray[np.int8]:
    """Count the residues of wrapped phase: loops of four pixels about which it does not add up to zero.

    Returns
    -------
    numpy.ndarray
        (H, W) int8, -1, 0 or 1 at the upper left pixel of each loop (Goldstein, Zebker and Werner 1988); 0 where a loop
        has no data. Uniformly random phase has one in three loops.
    """
    found = np.zeros(phase_rad.shape, np.int8)
    if min(phase_rad.shape) < 2:
        return found
    corners = (phase_rad[:-1, :-1], phase_rad[:-1, 1:], phase_rad[1:, 1:], phase_rad[1:, :-1])
    turns = np.zeros(corners[0].shape, np.float32)
    for first, second in zip(corners, (*corners[1:], corners[0]), strict=True):
        turns += np.rint((second - first) * np.float32(0.5 / np.pi))
    found[:-1, :-1] = np.nan_to_num(-turns)
    return found


def smooth(values: Real, sigma_px: float) -> Real:
    """Filter with a Gaussian beyond whose window, and beyond the scene, everything is 0."""
    filtered: Real = ndimage.gaussian_filter(values, sigma_px, mode="constant", truncate=_TRUNCATE)
    return filtered
