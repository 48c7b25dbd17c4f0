"""Gaussian random fields by spectral synthesis, in float32, on grids padded so that edges do not repeat."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Amplitude = Callable[[NDArray[np.float32]], NDArray[np.float32]]

__all__ = ["complex_normals", "padded_shape", "synthesise", "wavenumbers"]

# A periodic field of 1.25 times the size is cut: opposite edges of the cut are a quarter of the size apart.
_PADDING = 1.25


def padded_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """Size of the periodic grid on which a field of this shape is made."""
    rows, columns = (fft.next_fast_len(math.ceil(_PADDING * size), real=True) for size in shape)
    return rows, columns


@lru_cache(maxsize=32)
def wavenumbers(
    shape: tuple[int, int], pixel_m: float, anisotropy: float = 1.0, azimuth_deg: float = 0.0
) -> NDArray[np.float32]:
    """Radial wavenumber (cycles per metre) of each coefficient of a real FFT; read-only, cached.

    With ``anisotropy`` above 1 the field is stretched by that factor along ``azimuth_deg`` (clockwise from the
    direction of decreasing row, that is, north in a north-up grid) and squeezed by its inverse root across, so that
    the area of a structure is kept.
    """
    k_row = fft.fftfreq(shape[0], pixel_m)[:, np.newaxis].astype(np.float32)
    k_column = fft.rfftfreq(shape[1], pixel_m)[np.newaxis, :].astype(np.float32)
    azimuth = math.radians(azimuth_deg)
    stretch = math.sqrt(anisotropy)
    sin, cos = math.sin(azimuth), math.cos(azimuth)
    k_along = k_row * np.float32(-cos * stretch) + k_column * np.float32(sin * stretch)
    k_across = k_row * np.float32(sin / stretch) + k_column * np.float32(cos / stretch)
    k = np.asarray(np.sqrt(k_along * k_along + k_across * k_across))
    k.flags.writeable = False
    return k


def complex_normals(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.complex64]:
    """Draw circular complex Gaussian numbers with a variance of 2, that is, 1 in each part.

    By Box and Muller (1958): on whole arrays, in float32, twice as fast as drawing both parts with ``rng``.
    """
    uniform = rng.random((2, *shape), dtype=np.float32)
    # 1 - u lies in (0, 1], so its logarithm is finite.
    modulus = np.sqrt(np.float32(-2.0) * np.log(np.float32(1.0) - uniform[0]))
    angle = np.float32(2.0 * math.pi) * uniform[1]
    normals = np.empty(shape, dtype=np.complex64)
    np.multiply(modulus, np.cos(angle), out=normals.real)
    np.multiply(modulus, np.sin(angle), out=normals.imag)
    return normals


def synthesise(
    shape: tuple[int, int], grid: tuple[int, int], amplitude: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw a zero-mean Gaussian field of unit expected variance.

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

    Returns
    -------
    numpy.ndarray
        float32, of ``shape``. Its ensemble variance at every pixel is 1; the variance within one draw scatters, and
        is smaller where much of the power lies at wavelengths beyond the cut.
    """
    rows, columns = grid
    spectrum = complex_normals(amplitude.shape, rng)
    # Columns whose mirror image is themselves: the inverse FFT keeps only their Hermitian half.
    root2 = np.float32(math.sqrt(2.0))
    spectrum *= amplitude
    spectrum[:, 0] *= root2
    if columns % 2 == 0:
        spectrum[:, -1] *= root2
    field = fft.irfft2(spectrum, s=grid, workers=1)[: shape[0], : shape[1]]
    # E[field^2] = (2 / N^2) * sum over the full spectrum of amplitude^2, N = rows * columns, since each of the
    # complex normals has variance 2.
    power = np.square(amplitude, dtype=np.float64)
    total = 2.0 * float(power.sum()) - float(power[:, 0].sum())
    if columns % 2 == 0:
        total -= float(power[:, -1].sum())
    scale = rows * columns / math.sqrt(2.0 * total)
    return np.ascontiguousarray(field) * np.float32(scale)
