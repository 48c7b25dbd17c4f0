"""Wrapped phase in 8 bits, as training keeps patches in memory.

Code 0 is no data; ``code = 1 ... 255`` is the phase ``code / 255 * 2 pi - pi``: the grey of a picture, but for grey 0,
which is the same phase as 255.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from fringewatch.conventions import wrap

__all__ = ["LEVELS", "Codes", "Phases", "decode_codes", "encode_codes"]

Codes = NDArray[np.uint8] | list[NDArray[np.uint8]]
"""Coded patches: (N, H, W) where all have one size, else N of (H, W)."""

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


class Phases(Sequence[NDArray[np.float32]]):
    """The phases of coded patches, (H, W) radians with NaN = no data, each decoded when it is asked for."""

    def __init__(self, codes: Codes) -> None:
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
        if isinstance(index, slice):
            return [self._table[codes] for codes in self._codes[index]]
        phase: NDArray[np.float32] = self._table[self._codes[index]]
        return phase
