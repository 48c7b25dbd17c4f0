"""Coherence: what lowers it, the phase noise that goes with it, and how it is measured in wrapped phase."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from scipy.special import hyp2f1

from fringewatch.compiled import kernels
from fringewatch.errors import PhysicsError
from fringewatch.physics._check import require_at_least, require_between, require_positive
from fringewatch.physics._fields import (
    exponential_amplitude,
    padded_shape,
    random_key,
    squared_wavenumbers,
    synthesise,
    uniforms,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Real = NDArray[np.float32]
    Complex = NDArray[np.complex64]

NumberT = TypeVar("NumberT", np.float32, np.complex64)

__all__ = [
    "angles",
    "coherence_field",
    "gradient_coherence",
    "interferometric_phase_pdf",
    "interferometric_phase_std",
    "local_coherence",
    "log_odds_field",
    "multilook_phase_noise",
    "multilook_phasor",
    "phasor",
    "temporal_coherence",
    "window_sum",
]


def temporal_coherence(days: float, *, tau_days: float, rho_inf: float = 0.0) -> float:
    """Compute the coherence that is left after some time: ``(1 - rho_inf) exp(-days / tau_days) + rho_inf``.

    Parameters
    ----------
    days
        Time between the two dates, >= 0.
    tau_days
        Decorrelation time; about 10 (forest), 40 (fields), 200 (lava).
    rho_inf
        Coherence that is never lost, in [0, 1].

    Returns
    -------
    float
        In [0, 1].
    """
    require_at_least("days", days, 0.0)
    require_positive("tau_days", tau_days)
    require_between("rho_inf", rho_inf, 0.0, 1.0)
    return (1.0 - rho_inf) * math.exp(-days / tau_days) + rho_inf


def coherence_field(
    shape: tuple[int, int],
    pixel_m: float,
    rng: np.random.Generator,
    *,
    mean: float,
    spread: float = 0.8,
    correlation_m: float = 1.5e3,
    slope_deg: Real | None = None,
    water: NDArray[np.bool_] | None = None,
) -> Real:
    """Draw a spatially correlated coherence map.

    Parameters
    ----------
    shape
        Rows and columns.
    pixel_m
        Pixel size, metres.
    rng
        Source of randomness.
    mean
        Coherence of the median pixel on flat, dry ground, in (0, 1).
    spread
        Standard deviation of ``log(g / (1 - g))`` over the scene, >= 0; 0 makes it uniform, 1.5 patchy.
    correlation_m
        Size of the patches, metres.
    slope_deg
        Slope of the terrain; coherence falls on slopes (by ``e`` in odds at 20 degrees, ``e^4`` at 40).
    water
        True where water leaves no coherence at all.

    Returns
    -------
    numpy.ndarray
        float32 in [0, 1).
    """
    require_positive("pixel_m", pixel_m)
    require_between("mean", mean, 0.001, 0.999)
    require_at_least("spread", spread, 0.0)
    require_positive("correlation_m", correlation_m)
    logit = log_odds_field(shape, pixel_m, rng, spread=spread, correlation_m=correlation_m)
    logit += np.float32(math.log(mean / (1 - mean)))
    if slope_deg is not None:
        logit -= np.square(slope_deg * np.float32(1 / 20.0))
    # The hyperbolic tangent is the logistic function that cannot overflow.
    logit *= np.float32(0.5)
    coherence = np.tanh(logit, out=logit)
    coherence += np.float32(1)
    coherence *= np.float32(0.5)
    if water is not None:
        coherence[water] = 0.0
    return coherence


def log_odds_field(
    shape: tuple[int, int], pixel_m: float, rng: np.random.Generator, *, spread: float, correlation_m: float
) -> Real:
    """Draw the zero-mean part of ``log(g / (1 - g))``; arguments as in :func:`coherence_field`."""
    if not spread:
        return np.zeros(shape, np.float32)
    grid = padded_shape(shape)
    # Exponential covariance, as turbulence has it: patches with sharp outlines inside large ones.
    amplitude = exponential_amplitude(squared_wavenumbers(grid), correlation_m / pixel_m)
    return synthesise(shape, grid, amplitude, rng, std=spread)


def multilook_phasor(coherence: Real, looks: float, rng: np.random.Generator) -> Complex:
    """Draw the noise of a multilooked interferogram, exactly distributed, as a complex factor.

    Parameters
    ----------
    coherence
        In [0, 1], any shape; NaN gives NaN.
    looks
        Number of independent looks, >= 1; need not be whole.
    rng
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        complex64, shape of ``coherence``. Its angle is distributed like the phase of the sum of ``looks`` products
        of two circular Gaussian signals with that coherence and zero phase difference. Multiply with
        ``exp(1j * phase)``; the modulus carries no physical amplitude.

    Notes
    -----
    The sum is the off-diagonal element of a 2 x 2 complex Wishart matrix. By its Bartlett decomposition that is a
    positive factor times ``g sqrt(G) + sqrt(1 - g^2) z``, with ``G`` gamma-distributed of shape ``looks`` and
    ``z`` a circular Gaussian of unit variance (Goodman 1963). Divided by ``sqrt(G + |z|^2)``, which leaves its angle
    as it is, that is ``g sqrt(X) + sqrt((1 - g^2) (1 - X)) exp(i a)``, with ``X`` distributed as ``Beta(looks, 1)``,
    that is, as ``U^(1 / looks)`` with ``U`` uniform, and a uniform angle ``a`` [derived]: two uniform numbers,
    however many looks.
    """
    require_at_least("looks", looks, 1.0)
    g = np.asarray(coherence, dtype=np.float32)
    # NaN is neither; comparing it is quicker than leaving it out.
    if g.size and not (g.min() >= 0 and g.max() <= 1) and (np.nanmin(g) < 0 or np.nanmax(g) > 1):
        message = f"coherence ranges over [{np.nanmin(g):g}, {np.nanmax(g):g}]; allowed: 0 to 1"
        raise PhysicsError(message)
    if compiled := kernels("fields"):
        noise = np.empty(g.shape, np.complex64)
        parts = noise.view(np.float32) if g.ndim else noise.reshape(1).view(np.float32)
        compiled.multilook_phasor(random_key(rng), g.ravel(), np.float32(0.5 / looks), parts.ravel())
        return noise
    signal, angle = (part.reshape(g.shape) for part in uniforms(g.size, rng))
    # sqrt(X), by logarithms to base 2, which are quick.
    np.log2(signal, out=signal)
    signal *= np.float32(0.5 / looks)
    np.exp2(signal, out=signal)
    # 1 - g^2 as a product keeps its digits near g = 1, and so does 1 - X.
    modulus = np.float32(1) - g
    modulus *= np.float32(1) + g
    modulus *= np.float32(1) - signal
    modulus *= np.float32(1) + signal
    np.sqrt(modulus, out=modulus)
    signal *= g
    angle *= np.float32(2.0 * math.pi)
    cosine = np.cos(angle)
    cosine *= modulus
    cosine += signal
    np.sin(angle, out=angle)
    angle *= modulus
    noise = np.empty(g.shape, np.complex64)
    noise.real = cosine
    noise.imag = angle
    return noise


def multilook_phase_noise(coherence: Real, looks: float, rng: np.random.Generator) -> Real:
    """Draw the phase noise of a multilooked interferogram, exactly distributed.

    Parameters
    ----------
    coherence, looks, rng
        As in :func:`multilook_phasor`.

    Returns
    -------
    numpy.ndarray
        Radians in [-pi, pi], float32, shape of ``coherence``.
    """
    return angles(multilook_phasor(coherence, looks, rng))


def interferometric_phase_pdf(phase_rad: NDArray[np.float64], coherence: float, looks: float) -> NDArray[np.float64]:
    """Evaluate the density of the multilook phase about its true value.

    Parameters
    ----------
    phase_rad
        Phase minus true phase, radians in [-pi, pi].
    coherence
        In [0, 1).
    looks
        Number of looks, >= 1.

    Returns
    -------
    numpy.ndarray
        Density per radian.

    Notes
    -----
    Lee et al. (1994), Intensity and phase statistics of multilook polarimetric and interferometric SAR imagery,
    IEEE TGRS 32, 1017-1028, eq. 20.
    """
    require_between("coherence", coherence, 0.0, math.nextafter(1.0, 0.0))
    require_at_least("looks", looks, 1.0)
    beta = coherence * np.cos(phase_rad)
    factor = (1 - coherence**2) ** looks
    ratio = math.exp(math.lgamma(looks + 0.5) - math.lgamma(looks))
    first = ratio * factor * beta / (2 * math.sqrt(math.pi) * (1 - beta**2) ** (looks + 0.5))
    return np.asarray(first + factor / (2 * math.pi) * hyp2f1(looks, 1.0, 0.5, beta**2))


def interferometric_phase_std(coherence: float, looks: float) -> float:
    """Compute the standard deviation of the multilook phase, radians, by integrating its density.

    Parameters
    ----------
    coherence
        In [0, 1].
    looks
        Number of looks, >= 1.

    Returns
    -------
    float
        From 0 (coherence 1) to ``pi / sqrt(3)`` (coherence 0).
    """
    require_between("coherence", coherence, 0.0, 1.0)
    if coherence == 1:
        return 0.0
    # The peak narrows like sqrt(1 - g^2); nodes packed towards zero resolve it.
    u, weight = np.polynomial.legendre.leggauss(100)
    u, weight = 0.5 * (u + 1), 0.5 * weight
    phase, jacobian = math.pi * u**3, 3 * math.pi * u**2
    density = interferometric_phase_pdf(phase, coherence, looks)
    return float(np.sqrt(2 * np.sum(weight * jacobian * density * phase**2)))


def phasor(phase_rad: Real) -> Complex:
    """Compute ``exp(i phase)``, 0 where the phase is NaN; several times as fast as the complex exponential."""
    z = np.empty(phase_rad.shape, np.complex64)
    if (compiled := kernels("phase")) and phase_rad.dtype == np.float32 and phase_rad.ndim:
        compiled.phasor(phase_rad.ravel(), z.view(np.float32).ravel())
        return z
    # By way of arrays without gaps, which the processor's vectors need.
    cosine = np.cos(phase_rad)
    z.real = cosine
    z.imag = np.sin(phase_rad)
    if np.isnan(cosine.sum()):
        z[np.isnan(phase_rad)] = 0
    return z


def angles(z: Complex) -> Real:
    """Compute the angles of complex numbers, radians in [-pi, pi], float32; 0 of 0."""
    if (compiled := kernels("phase")) and z.ndim and z.flags.c_contiguous:
        phase = np.empty(z.shape, np.float32)
        compiled.angles(z.view(np.float32).ravel(), phase.ravel())
        return phase
    return np.asarray(np.angle(z), np.float32)


def gradient_coherence(phase_rad: Real) -> Real:
    """Compute the coherence that survives the averaging of a steep phase inside one pixel.

    A pixel that averages ``exp(i phase)`` over a linear gradient keeps ``|sinc(gx / 2 pi) sinc(gy / 2 pi)|`` of it,
    with the gradients in radians per pixel [derived]: nothing is left at one fringe per pixel.

    Parameters
    ----------
    phase_rad
        (H, W) unwrapped, finite.

    Returns
    -------
    numpy.ndarray
        (H, W) float32 in [0, 1].
    """
    if (compiled := kernels("phase")) and phase_rad.dtype == np.float32 and min(phase_rad.shape) > 1:
        result = np.empty(phase_rad.shape, np.float32)
        compiled.gradient_coherence(np.ascontiguousarray(phase_rad), result)
        return result
    # sin(x) / x is 1 in float32 below 1e-4.
    y, x = (np.maximum(np.abs(gradient) * np.float32(0.5), np.float32(1e-4)) for gradient in np.gradient(phase_rad))
    kept = np.abs(np.sin(x) * np.sin(y))
    kept /= x * y
    # Beyond one fringe per pixel the side lobes of the sinc would feign coherence that neighbours do not share.
    kept[np.maximum(x, y) > np.float32(math.pi)] = 0
    return np.asarray(kept)


def local_coherence(phase_rad: Real, *, window_px: int = 5) -> Real:
    """Measure how well neighbouring phases agree, whatever the slope of the fringes.

    Modulus of the mean step ``exp(i (phase - neighbour's phase))`` in small square windows, along rows and along
    columns, of which the geometric mean is returned. A ramp takes the same step everywhere, so dense fringes keep
    the measure near 1; for independent uniform phase it is about ``0.82 / window_px`` (0.16 in 5 x 5 pixels).

    Parameters
    ----------
    phase_rad
        (H, W) wrapped or unwrapped; NaN = no data.
    window_px
        Side of the windows, odd.

    Returns
    -------
    numpy.ndarray
        (H, W) float32 in [0, 1]; 0 where there is no data, or in less than half of the window. Beyond the edges there
        is no data, which does not count.
    """
    if (compiled := kernels("phase")) and phase_rad.dtype == np.float32:
        result = np.empty(phase_rad.shape, np.float32)
        compiled.local_coherence(np.ascontiguousarray(phase_rad), window_px, result)
        return result
    z = phasor(phase_rad)
    along_columns, along_rows = np.zeros_like(z), np.zeros_like(z)
    np.multiply(z[:, 1:], z[:, :-1].conj(), out=along_columns[:, 1:])
    np.multiply(z[1:], z[:-1].conj(), out=along_rows[1:])
    modulus = np.abs(window_sum(along_columns, window_px)) * np.abs(window_sum(along_rows, window_px))
    if z.all():
        modulus /= _steps_inside(z.shape, window_px) * _steps_inside(z.shape[::-1], window_px).T
        return np.asarray(np.sqrt(modulus, out=modulus))
    valid = z != 0
    if not valid.any():
        return np.zeros(z.shape, np.float32)
    for steps in (along_columns, along_rows):
        modulus /= np.maximum(window_sum((steps != 0).astype(np.float32), window_px), np.float32(1))
    share = window_sum(valid.astype(np.float32), window_px)
    modulus[~valid | (share < np.float32(0.5) * window_sum(np.ones_like(share), window_px))] = 0
    return np.asarray(np.sqrt(modulus, out=modulus))


def _steps_inside(shape: tuple[int, ...], window_px: int) -> Real:
    """Count the steps along the second axis in each window, which the edges cut."""
    half = window_px // 2
    rows, columns = (np.arange(size) for size in shape)
    high = np.minimum(rows + half, rows[-1]) - np.maximum(rows - half, 0) + 1
    # The first column has no step.
    wide = np.minimum(columns + half, columns[-1]) - np.maximum(columns - half, 1) + 1
    counts: Real = np.multiply.outer(high, np.maximum(wide, 1)).astype(np.float32)
    return counts


def window_sum(values: NDArray[NumberT], size: int) -> NDArray[NumberT]:
    """Add up square windows of an odd size about each pixel of a 2-D array; nothing is added beyond the edges.

    By shifted sums of 2, 4, 8, ... rows and columns, as many passes as the size has binary digits.
    """
    if (compiled := kernels("phase")) and values.dtype == np.float32:
        result = np.empty_like(values, order="C")
        compiled.window_sum(np.ascontiguousarray(values), size, result)
        return result
    half = size // 2
    rows, columns = values.shape
    padded = np.zeros((rows + 2 * half, columns + 2 * half), values.dtype)
    padded[half : half + rows, half : half + columns] = values
    tall = _running_sum(padded, size)
    return np.ascontiguousarray(_running_sum(tall.T, size).T)


def _running_sum(values: NDArray[NumberT], size: int) -> NDArray[NumberT]:
    """Add up ``size`` rows from each row on, as far as there are that many."""
    count = len(values) - size + 1
    total: NDArray[NumberT] | None = None
    block, length, done = values, 1, 0
    while True:
        if size & length:
            part = block[done : done + count]
            total = part if total is None else total + part
            done += length
        if done == size:
            break
        block = block[:-length] + block[length:]
        length *= 2
    assert total is not None
    return total
