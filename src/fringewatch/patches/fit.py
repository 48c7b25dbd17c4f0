"""Bring patches of any size to the size that a network takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Fit", "fit_patch", "limit_sides", "place_centred", "resample"]

Fit = Literal["resize", "pad", "crop", "none"]
"""How patches of different sizes are brought to a network: :func:`fit_patch`, and for ``none`` :func:`limit_sides`."""


def fit_patch(
    phase_rad: NDArray[np.float32], size_px: int, how: Literal["resize", "pad", "crop"]
) -> NDArray[np.float32]:
    """Bring a patch to a square.

    Parameters
    ----------
    phase_rad
        (H, W) wrapped radians; NaN = no data.
    size_px
        Height and width of the result.
    how
        ``resize``: resampled, each side by its own factor. ``pad``: at its own scale in the middle of no data; larger
        ones are shrunk first, both sides alike. ``crop``: at its own scale, the middle of it; what it lacks is no data.

    Returns
    -------
    numpy.ndarray
        (size_px, size_px) in (-pi, pi].
    """
    if phase_rad.shape == (size_px, size_px):
        return phase_rad
    if how == "resize":
        return resample(phase_rad, size_px, size_px)
    if how == "pad":
        phase_rad = limit_sides(phase_rad, 1, size_px)
    return place_centred(phase_rad, size_px, size_px)


def limit_sides(phase_rad: NDArray[np.float32], smallest_px: int, largest_px: int) -> NDArray[np.float32]:
    """Let a patch keep its size, but for what no network takes.

    Parameters
    ----------
    phase_rad
        (H, W) wrapped radians; NaN = no data.
    smallest_px
        Shorter sides are filled up with no data, the patch in the middle.
    largest_px
        Patches with a longer side are shrunk to it, both sides alike.

    Returns
    -------
    numpy.ndarray
        With sides of `smallest_px` to `largest_px`.
    """
    height, width = phase_rad.shape
    if max(height, width) > largest_px:
        scale = largest_px / max(height, width)
        phase_rad = resample(phase_rad, max(1, round(height * scale)), max(1, round(width * scale)))
        height, width = phase_rad.shape
    return place_centred(phase_rad, max(height, smallest_px), max(width, smallest_px))


def place_centred(phase_rad: NDArray[np.float32], height_px: int, width_px: int) -> NDArray[np.float32]:
    """Return the middle of a patch, with no data around it where it is smaller."""
    result = phase_rad
    for axis, size in enumerate((height_px, width_px)):
        missing = size - result.shape[axis]
        if missing < 0:
            start = -missing // 2
            result = result.take(np.arange(start, start + size), axis=axis)
        elif missing > 0:
            around = [(0, 0), (0, 0)]
            around[axis] = (missing // 2, missing - missing // 2)
            result = np.pad(result, around, constant_values=np.nan)
    return result


def resample(phase_rad: NDArray[np.float32], height_px: int, width_px: int) -> NDArray[np.float32]:
    """Resample wrapped phase as complex numbers: averaged where it shrinks, linear where it grows.

    Parameters
    ----------
    phase_rad
        (H, W) wrapped radians; NaN = no data.
    height_px, width_px
        Of the result.

    Returns
    -------
    numpy.ndarray
        (height_px, width_px) in (-pi, pi]; NaN where less than half of what a pixel is made of has data.
    """
    valid = np.isfinite(phase_rad)
    phase = np.where(valid, phase_rad, np.float32(0))
    parts = (np.cos(phase) * valid, np.sin(phase) * valid, valid.astype(np.float32))
    # Pillow's bilinear filter widens where the picture shrinks.
    real, imaginary, weight = (
        np.asarray(Image.fromarray(part).resize((width_px, height_px), Image.Resampling.BILINEAR)) for part in parts
    )
    return np.where(weight >= 0.5, np.arctan2(imaginary, real), np.float32(np.nan)).astype(np.float32)
