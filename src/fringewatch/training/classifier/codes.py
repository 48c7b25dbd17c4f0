"""Wrapped phase in 8 bits, as training keeps patches in memory.

Code 0 is no data; ``code = 1 ... 255`` is the phase ``code / 255 * 2 pi - pi``: the grey of a picture, but for grey 0,
which is the same phase as 255.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fringewatch.conventions import wrap

__all__ = ["LEVELS", "Phases", "decode_codes", "encode_codes", "resample"]

LEVELS = 255
"""Different phases that a code can stand for."""
_STEP = np.float32(2 * np.pi / LEVELS)


def encode_codes(phase_rad: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Code wrapped phase (radians, NaN = no data) in 8 bits; grey pictures lose nothing."""
    valid = np.isfinite(phase_rad)
    steps = np.rint((np.where(valid, phase_rad, np.float32(0)) + np.float32(np.pi)) / _STEP).astype(np.int32)
    # -pi is pi.
    return np.where(valid, (steps - 1) % LEVELS + 1, 0).astype(np.uint8)


def decode_codes() -> NDArray[np.float32]:
    """Return the 256 phases, in (-pi, pi], that the codes stand for; code 0 is NaN."""
    table = wrap(np.arange(256, dtype=np.float32) * _STEP - np.float32(np.pi))
    table[0] = np.nan
    return table


def resample(phase_rad: NDArray[np.float32], size_px: int) -> NDArray[np.float32]:
    """Resample wrapped phase to a square, as complex numbers: averaged where it shrinks, linear where it grows.

    Parameters
    ----------
    phase_rad
        (H, W) wrapped radians; NaN = no data.
    size_px
        Height and width of the result.

    Returns
    -------
    numpy.ndarray
        (size_px, size_px) in (-pi, pi]; NaN where less than half of what a pixel is made of has data.
    """
    valid = np.isfinite(phase_rad)
    phase = np.where(valid, phase_rad, np.float32(0))
    parts = (np.cos(phase) * valid, np.sin(phase) * valid, valid.astype(np.float32))
    size = (size_px, size_px)
    # Pillow's bilinear filter widens where the picture shrinks.
    real, imaginary, weight = (
        np.asarray(Image.fromarray(part).resize(size, Image.Resampling.BILINEAR)) for part in parts
    )
    return np.where(weight >= 0.5, np.arctan2(imaginary, real), np.float32(np.nan)).astype(np.float32)


class Phases(Sequence[NDArray[np.float32]]):
    """The phases of coded patches, (H, W) radians with NaN = no data, each decoded when it is asked for."""

    def __init__(self, codes: NDArray[np.uint8]) -> None:
        self._codes = codes
        self._table = decode_codes()

    def __len__(self) -> int:
        return len(self._codes)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.float32]: ...
    @overload
    def __getitem__(self, index: slice) -> list[NDArray[np.float32]]: ...
    def __getitem__(self, index: int | slice) -> NDArray[np.float32] | list[NDArray[np.float32]]:
        """Return one patch, or a list of several."""
        phases: NDArray[np.float32] = self._table[self._codes[index]]
        return list(phases) if isinstance(index, slice) else phases
