"""Filtering and averaging of complex interferograms, as providers do it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
from scipy import fft

from fringewatch.compiled import kernels
from fringewatch.errors import PhysicsError
from fringewatch.physics._check import require_at_least, require_between

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Real = NDArray[np.float32]
    Complex = NDArray[np.complex64]

NumberT = TypeVar("NumberT", np.float32, np.complex64)

__all__ = ["block_sum", "goldstein", "multilook"]

# Windows of 32 x 32 that are filtered at once: with their spectra they fit into the processor's second-level cache.
_BATCH = 64


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
    coefficients. Windows are merged with the weights of Hann, ``sin^2``, instead of triangles: both add up to one,
    and these have no kinks. At ``alpha`` 0.9 the phase steps at the seams of the windows equal those elsewhere to 1 %.
    """
    require_between("alpha", alpha, 0.0, 1.0)
    if window < 8 or window % 2:
        message = f"{window=} is not possible; allowed: even numbers from 8"
        raise PhysicsError(message)
    if interferogram.ndim != 2:
        message = f"interferogram has {interferogram.ndim} dimensions; give a 2-D array"
        raise PhysicsError(message)
    data = _without_gaps(interferogram)
    compiled = kernels("windows")
    if compiled and window == compiled.WINDOW:
        result = np.empty(data.shape, np.complex64)
        compiled.goldstein(np.ascontiguousarray(data), np.float32(alpha), result)
    else:
        result = _filter(data, alpha, window)
    if not data.all():
        result[data == 0] = 0
    return result


def _filter(data: Complex, alpha: float, window: int) -> Complex:
    step = window // 2
    rows, columns = data.shape
    # Every pixel is to lie in four windows, so half a window is added before, and after whatever fills the last
    # window of both the pavings that begin there and those that begin half a window later.
    full = [max(-(-(step + size) // window) * window, step + -(-size // window) * window) for size in data.shape]
    padded = np.zeros(full, np.complex64)
    padded[step : step + rows, step : step + columns] = data
    merged = np.zeros_like(padded)
    # Real and imaginary parts side by side: a product of floats, not of complex numbers.
    weight = np.repeat(np.square(np.sin(np.pi / window * (np.arange(window) + 0.5))), 2).astype(np.float32)
    count = max(1, _BATCH * 32**2 // (window * full[0]))
    for left in (0, step):
        last = left + (full[1] - left) // window * window
        for first in range(left, last, count * window):
            part = np.s_[:, first : min(first + count * window, last)]
            strips = padded[part].reshape(full[0], -1, window)
            filtered = _filter_strips(strips, alpha, weight)
            parts = filtered.view(np.float32)
            parts *= weight
            merged[part] += filtered.reshape(full[0], -1)
    return np.ascontiguousarray(merged[step : step + rows, step : step + columns])


def _filter_strips(strips: Complex, alpha: float, weight: Real) -> Complex:
    """Filter strips as wide as a window, (rows, strips, window), in windows that overlap by half along the rows.

    Windows above each other share the transform along the short side of the strip, and its inverse. `weight` is that
    of the rows of a window, each given twice.
    """
    window = strips.shape[-1]
    along = fft.fft(strips, axis=2, workers=1)
    merged = np.zeros_like(along)
    for top in (0, window // 2):
        bottom = top + (len(along) - top) // window * window
        windows = along[top:bottom].reshape(-1, window, *along.shape[1:])
        spectra = fft.fft(windows, axis=1, workers=1)
        spectra *= _strength(spectra, alpha)
        filtered = fft.ifft(spectra, axis=1, workers=1, overwrite_x=True)
        parts = filtered.view(np.float32)
        parts *= weight[::2, np.newaxis, np.newaxis]
        merged[top:bottom] += filtered.reshape(-1, *along.shape[1:])
    return np.asarray(fft.ifft(merged, axis=2, workers=1, overwrite_x=True))


def _strength(spectra: Complex, alpha: float) -> Real:
    """Compute ``(S / peak)^alpha``, S being the smoothed modulus, of windows along the second and the last axis.

    Scaled to the peak, so that the result keeps the size of the input instead of growing with ``|Z|^alpha``.
    """
    strength = _sum_over_neighbours(np.abs(spectra))
    # By logarithms to base 2, which are quick.
    np.maximum(strength, np.float32(1e-30), out=strength)
    np.log2(strength, out=strength)
    strength -= strength.max(axis=1, keepdims=True).max(axis=-1, keepdims=True)
    strength *= np.float32(alpha)
    return np.exp2(strength, out=strength)


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
    total = block_sum(data, factor)
    if data.all():
        return total * np.float32(1 / factor**2)
    valid = (data != 0).astype(np.float32)
    return np.asarray(total / np.maximum(block_sum(valid, factor), 1))


def _without_gaps(interferogram: Complex) -> Complex:
    # A sum is finite only if all of its terms are.
    if np.isfinite(interferogram.sum()):
        return interferogram.astype(np.complex64, copy=False)
    return np.where(np.isfinite(interferogram), interferogram, 0).astype(np.complex64)


def _sum_over_neighbours(values: Real) -> Real:
    """Add up 3 x 3 neighbours along the second and the last axis, which are periodic; ``values`` is contiguous."""
    # Shifts along the whole array run fast; where they cross from row to row, the ends are put right.
    flat = values.reshape(-1)
    columns = np.empty_like(values)
    sums = columns.reshape(-1)
    np.add(flat[:-2], flat[1:-1], out=sums[1:-1])
    sums[1:-1] += flat[2:]
    columns[..., 0] = values[..., -1] + values[..., 0] + values[..., 1]
    columns[..., -1] = values[..., -2] + values[..., -1] + values[..., 0]
    # The first array is not needed any more.
    total = values
    inner = total[:, 1:-1]
    np.add(columns[:, :-2], columns[:, 1:-1], out=inner)
    inner += columns[:, 2:]
    total[:, 0] = columns[:, -1] + columns[:, 0] + columns[:, 1]
    total[:, -1] = columns[:, -2] + columns[:, -1] + columns[:, 0]
    return total


def block_sum(values: NDArray[NumberT], factor: int) -> NDArray[NumberT]:
    """Add up square blocks: whole rows first, which lie together in memory.

    Parameters
    ----------
    values
        (H, W); both whole multiples of ``factor``.
    factor
        Side of the blocks.

    Returns
    -------
    numpy.ndarray
        (H / factor, W / factor).
    """
    tall = values[::factor].copy()
    for shift in range(1, factor):
        tall += values[shift::factor]
    total = tall[:, ::factor].copy()
    for shift in range(1, factor):
        total += tall[:, shift::factor]
    return total
