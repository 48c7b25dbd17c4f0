"""Random numbers in bulk, and Gaussian random fields by spectral synthesis on grids padded so that edges differ.

Everything is float32: a simulated scene is made of half a million random numbers and a dozen passes of elementary
functions, and both cost half as much as in float64.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

from fringewatch.compiled import kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Real = NDArray[np.float32]

__all__ = [
    "complex_normals",
    "exponential_amplitude",
    "padded_shape",
    "random_key",
    "squared_wavenumbers",
    "synthesise",
    "uniforms",
]

# A periodic field of 1.25 times the size is cut: opposite edges of the cut are a quarter of the size apart.
_PADDING = 1.25
_LARGEST = 2**64 - 1


def padded_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """Size of the periodic grid on which a field of this shape is made."""
    rows, columns = (_fast_length(math.ceil(_PADDING * size)) for size in shape)
    return rows, columns


@lru_cache(maxsize=64)
def _fast_length(length: int) -> int:
    return int(fft.next_fast_len(length, real=True))


def squared_wavenumbers(grid: tuple[int, int], *, anisotropy: float = 1.0, azimuth_deg: float = 0.0) -> Real:
    """Square of the radial wavenumber, (cycles per pixel)^2, of each coefficient of a real FFT.

    With ``anisotropy`` above 1 structures are that many times longer along ``azimuth_deg`` (clockwise from the
    direction of decreasing row, that is, north in a north-up grid) than across: stretched by its root and squeezed by
    as much, so that their area is kept. Do not write to the result: without anisotropy it is shared.
    """
    return _isotropic(grid) if anisotropy == 1.0 else _stretched(grid, anisotropy, azimuth_deg)


@lru_cache(maxsize=8)
def _isotropic(grid: tuple[int, int]) -> Real:
    squared = _stretched(grid, 1.0, 0.0)
    squared.flags.writeable = False
    return squared


def _stretched(grid: tuple[int, int], anisotropy: float, azimuth_deg: float) -> Real:
    row = fft.fftfreq(grid[0])
    column = fft.rfftfreq(grid[1])
    azimuth = math.radians(azimuth_deg)
    sin, cos = math.sin(azimuth), math.cos(azimuth)
    # (k_along^2 anisotropy + k_across^2 / anisotropy), k_along = k_column sin - k_row cos, k_across = k_row sin +
    # k_column cos, multiplied out, so that only the mixed term is computed for every coefficient.
    mixed = 2.0 * sin * cos * (1.0 / anisotropy - anisotropy)
    row_term = (anisotropy * cos * cos + sin * sin / anisotropy) * row * row
    column_term = (anisotropy * sin * sin + cos * cos / anisotropy) * column * column
    if compiled := kernels("fields"):
        squared: Real = np.empty((row.size, column.size), np.float32)
        by_row = np.stack([mixed * row, row_term]).astype(np.float32)
        compiled.quadratic_form(by_row, np.stack([column, column_term]).astype(np.float32), squared)
        return squared
    squared = np.multiply.outer((mixed * row).astype(np.float32), column.astype(np.float32))
    squared += row_term.astype(np.float32)[:, np.newaxis]
    squared += column_term.astype(np.float32)
    # Rounding can leave the near-cancelling terms of a strong anisotropy below zero.
    np.maximum(squared, np.float32(0), out=squared)
    return squared


def exponential_amplitude(k_squared: Real, correlation_px: float) -> Real:
    """Amplitude spectrum, to any scale, of the covariance ``exp(-distance / correlation_px)``.

    The power is the Hankel transform of that covariance, ``(1 + (2 pi k l)^2)^(-3/2)``.
    """
    factor = np.float32((2.0 * math.pi * correlation_px) ** 2)
    if compiled := kernels("fields"):
        amplitude = np.empty_like(k_squared)
        compiled.exponential_amplitude(k_squared.ravel(), factor, amplitude.ravel())
        return amplitude
    scaled = k_squared * factor
    scaled += np.float32(1.0)
    # (...)^(-3/4), by the logarithm to base 2, which takes half the time of a power.
    np.log2(scaled, out=scaled)
    scaled *= np.float32(-0.75)
    np.exp2(scaled, out=scaled)
    return scaled


def complex_normals(
    shape: tuple[int, ...], rng: np.random.Generator, deviation: Real | None = None, *, scale: float = 1.0
) -> NDArray[np.complex64]:
    """Draw circular complex Gaussian numbers with a variance of 2, that is, 1 in each part, or times a deviation.

    By Box and Muller (1958): on whole arrays, in float32, several times as fast as drawing both parts with ``rng``.
    """
    if compiled := kernels("fields"):
        normals = np.empty(shape, dtype=np.complex64)
        given = np.ones(normals.size, np.float32) if deviation is None else deviation.ravel()
        compiled.complex_normals(random_key(rng), given, np.float32(scale), normals.view(np.float32).ravel())
        return normals
    modulus, angle = (part.reshape(shape) for part in uniforms(math.prod(shape), rng))
    np.log2(modulus, out=modulus)
    modulus *= np.float32(-2.0 * math.log(2.0))
    np.sqrt(modulus, out=modulus)
    if deviation is not None:
        modulus *= deviation
    if scale != 1:
        modulus *= np.float32(scale)
    angle *= np.float32(2.0 * math.pi)
    normals = np.empty(shape, dtype=np.complex64)
    np.multiply(modulus, np.cos(angle), out=normals.real)
    np.multiply(modulus, np.sin(angle, out=angle), out=normals.imag)
    return normals


def random_key(rng: np.random.Generator) -> np.uint64:
    """Draw the key of a stream of bulk random numbers."""
    # Of two words, since those of some generators have 32 bits; `rng.integers` takes ten times as long.
    first, second = (int(rng.bit_generator.random_raw()) for _ in range(2))
    return np.uint64(((first << 32) ^ second) & _LARGEST)


def uniforms(size: int, rng: np.random.Generator) -> tuple[Real, Real]:
    """Draw two independent arrays (size,) from (0, 1], in steps of 2^-24.

    Bulk numbers are those of SplitMix64 (Steele, Lea and Flood 2014, OOPSLA), which makes each from its position alone,
    so that compiled loops make them where they need them, the same ones; ``rng`` draws the key.
    """
    with np.errstate(over="ignore"):
        words = np.arange(1, size + 1, dtype=np.uint64)
        words *= np.uint64(0x9E3779B97F4A7C15)
        words += random_key(rng)
        words ^= words >> np.uint64(30)
        words *= np.uint64(0xBF58476D1CE4E5B9)
        words ^= words >> np.uint64(27)
        words *= np.uint64(0x94D049BB133111EB)
        words ^= words >> np.uint64(31)
    halves = words.astype(np.uint32), (words >> np.uint64(32)).astype(np.uint32)
    first, second = (((half >> np.uint32(8)) + np.uint32(1)).astype(np.float32) for half in halves)
    return first * np.float32(2.0**-24), second * np.float32(2.0**-24)


def synthesise(
    shape: tuple[int, int], grid: tuple[int, int], amplitude: Real, rng: np.random.Generator, *, std: float = 1.0
) -> Real:
    """Draw a zero-mean Gaussian field.

    Parameters
    ----------
    shape
        Rows and columns wanted, at most ``grid``.
    grid
        Rows and columns of the periodic grid.
    amplitude
        Square root of the power spectrum in the layout of ``scipy.fft.rfft2``, any scale; its first element, the
        mean of the periodic field, should be 0.
    rng
        Source of randomness.
    std
        Expected standard deviation.

    Returns
    -------
    numpy.ndarray
        float32, of ``shape``. Its ensemble standard deviation at every pixel is ``std``; that within one draw
        scatters, and is smaller where much of the power lies at wavelengths beyond the cut.
    """
    rows, columns = grid
    # E[field^2] = (2 / N^2) * sum over the full spectrum of amplitude^2, N = rows * columns, since each of the
    # complex normals has variance 2. All columns but the first and the Nyquist one stand for their mirror image too.
    total = 2.0 * _power(amplitude) - _power(amplitude[:, :1])
    if columns % 2 == 0:
        total -= _power(amplitude[:, -1:])
    scale = std * rows * columns / math.sqrt(2.0 * total)
    spectrum = complex_normals(amplitude.shape, rng, amplitude, scale=scale)
    # Columns whose mirror image is themselves: the inverse FFT keeps only their Hermitian half.
    root2 = np.float32(math.sqrt(2.0))
    spectrum[:, 0] *= root2
    if columns % 2 == 0:
        spectrum[:, -1] *= root2
    # Rows that are cut off need no second transform.
    by_rows = fft.ifft(spectrum, axis=0, overwrite_x=True, workers=1)[: shape[0]]
    return np.ascontiguousarray(fft.irfft(by_rows, n=columns, axis=1, workers=1)[:, : shape[1]])


def _power(amplitude: Real) -> float:
    if compiled := kernels("fields"):
        return float(compiled.power(amplitude))
    # Not np.dot, which would wake the threads of the linear algebra library for nothing.
    return float(np.square(amplitude).sum())
