"""Coherence, and the phase noise, filtering and averaging that go with it."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from scipy import fft
from scipy.special import hyp2f1

from fringewatch.errors import PhysicsError
from fringewatch.physics._check import require_at_least, require_between, require_positive
from fringewatch.physics._fields import (
    complex_normals,
    exponential_amplitude,
    gammas,
    padded_shape,
    squared_wavenumbers,
    synthesise,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Real = NDArray[np.float32]
    Complex = NDArray[np.complex64]

NumberT = TypeVar("NumberT", np.float32, np.complex64)

__all__ = [
    "coherence_field",
    "goldstein",
    "interferometric_phase_pdf",
    "interferometric_phase_std",
    "multilook",
    "multilook_phase_noise",
    "multilook_phasor",
    "temporal_coherence",
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
    offset = np.float32(math.log(mean / (1 - mean)))
    if spread:
        grid = padded_shape(shape)
        # Exponential covariance, as turbulence has it: patches with sharp outlines inside large ones.
        amplitude = exponential_amplitude(squared_wavenumbers(grid), correlation_m / pixel_m)
        logit = synthesise(shape, grid, amplitude, rng, std=spread)
        logit += offset
    else:
        logit = np.full(shape, offset)
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
    ``z`` a circular Gaussian of unit variance (Goodman 1963): two draws, however many looks.
    """
    require_at_least("looks", looks, 1.0)
    g = np.asarray(coherence, dtype=np.float32)
    if g.size and (np.nanmin(g) < 0 or np.nanmax(g) > 1):
        message = f"coherence ranges over [{np.nanmin(g):g}, {np.nanmax(g):g}]; allowed: 0 to 1"
        raise PhysicsError(message)
    noise = complex_normals(g.shape, rng)
    # z has variance 1/2 in each part; 1 - g^2 as a product keeps its digits near g = 1.
    share = np.float32(1) - g
    share *= np.float32(1) + g
    share *= np.float32(0.5)
    noise *= np.sqrt(share, out=share)
    signal = gammas(looks, g.shape, rng)
    np.sqrt(signal, out=signal)
    signal *= g
    noise.real += signal
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
    return np.asarray(np.angle(multilook_phasor(coherence, looks, rng)), dtype=np.float32)


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


def goldstein(interferogram: Complex, alpha: float, *, window: int = 32) -> Complex:
    """Filter an interferogram adaptively in overlapping windows.

    Parameters
    ----------
    interferogram
        Complex, 2-D; 0 or NaN where there is no data, which comes back as 0.
    alpha
        Strength in [0, 1]; 0 changes nothing, providers use 0.4-0.6 and more.
    window
        Side of the windows, even, >= 8; they overlap by half.

    Returns
    -------
    numpy.ndarray
        complex64, same shape.

    Raises
    ------
    PhysicsError
        If an argument is out of range.

    Notes
    -----
    Goldstein and Werner (1998), Radar interferogram filtering for geophysical applications, GRL 25, 4035-4038:
    the spectrum ``Z`` of each window is multiplied with ``S^alpha``, ``S`` being ``|Z|`` smoothed over 3 x 3
    coefficients; windows are merged with triangular weights.
    """
    require_between("alpha", alpha, 0.0, 1.0)
    if window < 8 or window % 2:
        message = f"{window=} is not possible; allowed: even numbers from 8"
        raise PhysicsError(message)
    if interferogram.ndim != 2:
        message = f"interferogram has {interferogram.ndim} dimensions; give a 2-D array"
        raise PhysicsError(message)
    data = _without_gaps(interferogram)
    step = window // 2
    rows, columns = data.shape
    # Every pixel is to lie in four windows, so half a window is added before and whatever is missing after.
    after = [step + (-size) % step for size in data.shape]
    padded = np.pad(data, ((step, after[0]), (step, after[1])))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (window, window))[::step, ::step]
    # Triangles one step apart add up to one.
    rise = (np.arange(step, dtype=np.float32) + np.float32(0.5)) / np.float32(step)
    triangle = np.concatenate([rise, rise[::-1]])
    weight = triangle[:, np.newaxis] * triangle
    merged = np.zeros_like(padded)
    # One row of windows at a time stays in the cache.
    for top, row_of_windows in zip(range(0, padded.shape[0], step), windows, strict=False):
        filtered = _filter_windows(row_of_windows, alpha)
        filtered *= weight
        strip = merged[top : top + window].reshape(window, -1, step)
        strip[:, :-1] += filtered[:, :, :step].swapaxes(0, 1)
        strip[:, 1:] += filtered[:, :, step:].swapaxes(0, 1)
    result = merged[step : step + rows, step : step + columns]
    return np.where(data == 0, np.complex64(0), result)


def _filter_windows(windows: Complex, alpha: float) -> Complex:
    """Weight the spectra of a stack of square windows."""
    spectra = fft.fft2(windows, axes=(1, 2), workers=1)
    magnitude = _sum_over_neighbours(np.abs(spectra))
    # Scaled to its peak, so that the result keeps the size of the input instead of growing with |Z|^alpha.
    magnitude /= np.maximum(magnitude.max(axis=(1, 2), keepdims=True), np.float32(1e-30))
    spectra *= magnitude ** np.float32(alpha)
    return np.asarray(fft.ifft2(spectra, axes=(1, 2), workers=1, overwrite_x=True))


def multilook(interferogram: Complex, factor: int) -> Complex:
    """Average a complex interferogram over square blocks.

    Parameters
    ----------
    interferogram
        Complex, 2-D; NaN or 0 is no data and does not count.
    factor
        Side of the blocks in pixels, >= 1; rows and columns that do not fill a block are dropped.

    Returns
    -------
    numpy.ndarray
        complex64 of the size divided by ``factor``; 0 where a block has no data. The modulus of an average of unit
        phasors is the coherence within the block.
    """
    require_at_least("factor", factor, 1)
    rows, columns = (size // factor for size in interferogram.shape)
    if not (rows and columns):
        message = f"{factor=} is larger than the interferogram of shape {interferogram.shape}; give a smaller one"
        raise PhysicsError(message)
    data = _without_gaps(interferogram[: rows * factor, : columns * factor])
    total = _block_sum(data, factor)
    valid = data != 0
    if valid.all():
        return total * np.float32(1 / factor**2)
    return np.asarray(total / np.maximum(_block_sum(valid.astype(np.float32), factor), 1))


def _without_gaps(interferogram: Complex) -> Complex:
    finite = np.isfinite(interferogram)
    if finite.all():
        return interferogram.astype(np.complex64, copy=False)
    return np.where(finite, interferogram, 0).astype(np.complex64)


def _sum_over_neighbours(values: Real) -> Real:
    """Add up 3 x 3 neighbours along the last two axes, which are periodic."""
    columns = values.copy()
    columns[..., 1:] += values[..., :-1]
    columns[..., 0] += values[..., -1]
    columns[..., :-1] += values[..., 1:]
    columns[..., -1] += values[..., 0]
    total = columns.copy()
    total[..., 1:, :] += columns[..., :-1, :]
    total[..., 0, :] += columns[..., -1, :]
    total[..., :-1, :] += columns[..., 1:, :]
    total[..., -1, :] += columns[..., 0, :]
    return total


def _block_sum(values: NDArray[NumberT], factor: int) -> NDArray[NumberT]:
    """Add up square blocks; over a few strided slices, which is faster than a sum over two axes."""
    total = values[::factor, ::factor].copy()
    for i, j in itertools.islice(itertools.product(range(factor), repeat=2), 1, None):
        total += values[i::factor, j::factor]
    return total
