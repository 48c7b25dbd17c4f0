"""Raw raster values to wrapped phase: the conversions every reader needs, judged once and applied block by block."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from fringewatch.conventions import wrap
from fringewatch.errors import ProductError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fringewatch.products.raster import Block

__all__ = ["PhaseDecoder", "border_zeros", "grey_to_phase", "is_nodata", "value_range"]

_TOLERANCE_RAD = 1e-3
_PI = np.float32(np.pi)


@dataclasses.dataclass(frozen=True, slots=True)
class PhaseDecoder:
    """Turns raw values of a phase or complex band into wrapped phase in (-pi, pi], float32, NaN = no data.

    Parameters
    ----------
    source
        Named in errors.
    kind
        ``"wrapped"`` (values outside [-pi, pi] are an error), ``"unwrapped"`` (wrapped here) or ``"complex"`` (its
        angle; 0 is no data).
    nodata
        Value that means no data, or None.
    zero_is_nodata
        Whether exactly 0 means no data.
    negate
        Whether the source's phase falls with range.
    masked
        Whether a second band says which pixels are valid (0 = not).
    scale, offset
        Physical value = raw * scale + offset.
    """

    source: str
    kind: str
    nodata: float | None = None
    zero_is_nodata: bool = False
    negate: bool = False
    masked: bool = False
    scale: float = 1.0
    offset: float = 0.0

    def __call__(self, bands: np.ndarray, *, overwrite: bool = False) -> np.ndarray:
        """Convert (bands, h, w) raw values to (h, w) float32; with `overwrite` in their place, where that can be."""
        raw = bands[0]
        missing = is_nodata(raw, self.nodata)
        if self.masked:
            missing |= bands[1] == 0
        if (self.zero_is_nodata and self.nodata != 0) or self.kind == "complex":
            missing |= raw == 0
        is_done = False
        if self.kind == "complex":
            phase: np.ndarray = np.angle(raw).astype(np.float32)
            np.copyto(phase, np.float32(np.nan), where=missing)
        else:
            if self._is_scaled(raw):
                values = raw.astype(np.float64) * self.scale + self.offset
            else:
                values = raw if overwrite else raw.copy()
            # Before wrapping: what stands for no data may be any number. `where` would take three times as long.
            np.copyto(values, values.dtype.type(np.nan), where=missing)
            # As most files are, and then nothing is left to do but turning it round.
            is_done = self._is_wrapped(values)
            phase = values if is_done else self._wrap(values).astype(np.float32, copy=False)
        if self.negate:
            np.negative(phase, out=phase)
        if not is_done:
            np.copyto(phase, _PI, where=phase <= -_PI)
        return phase

    def _is_scaled(self, raw: np.ndarray) -> bool:
        return raw.dtype.kind != "f" or (self.scale, self.offset) != (1.0, 0.0)

    def _is_wrapped(self, values: np.ndarray) -> bool:
        """Tell whether single precision is within [-pi, pi], and without the end that would have to become pi."""
        if self.kind != "wrapped" or values.dtype != np.float32:
            return False
        low, high = _extent(values)
        return bool(low >= -_PI and high < _PI) if self.negate else bool(low > -_PI and high <= _PI)

    def _wrap(self, values: np.ndarray) -> np.ndarray:
        if self.kind == "unwrapped":
            # In double: thousands of radians wrapped in single precision would lose the fringe's last digits.
            wrapped: np.ndarray = wrap(values.astype(np.float64))
            return wrapped
        if values.size:
            low, high = _extent(values)
            if low < -np.pi - _TOLERANCE_RAD or high > np.pi + _TOLERANCE_RAD:
                message = (
                    f"{self.source}: claims to hold wrapped phase, but its values run from {low:.4g} to {high:.4g}, "
                    "expected radians in [-pi, pi]; if it is unwrapped say kind='unwrapped', if a value means no data "
                    "say nodata=..."
                )
                raise ProductError(message)
        return np.clip(values, -_PI, _PI, out=values)


def _extent(values: np.ndarray) -> tuple[float, float]:
    """Return the smallest and largest value, NaN only where there is nothing else: every comparison is then false."""
    if not values.size:
        return float("nan"), float("nan")
    return float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))


def is_nodata(raw: np.ndarray, nodata: float | None) -> np.ndarray:
    """Return where raw values are the no-data value, NaN or infinite."""
    missing: np.ndarray = ~np.isfinite(raw)
    if nodata is not None and not np.isnan(nodata):
        # The declared value is a double; the band stores it rounded to its own type.
        with np.errstate(over="ignore"):
            value = np.float32(nodata) if raw.dtype in (np.float32, np.complex64) else nodata
        missing |= raw == value
    return missing


def grey_to_phase(grey: np.ndarray, white: float) -> np.ndarray:
    """Turn grey values 0..white into phase: both ends are pi, the seam of the interval (-pi, pi]."""
    phase: np.ndarray = grey.astype(np.float32) * np.float32(2 * np.pi / white) - _PI
    phase[(phase <= -_PI) | (phase > _PI)] = _PI
    return phase


def value_range(blocks: Iterable[Block], nodata: float | None, *, zero_is_nodata: bool) -> tuple[float, float] | None:
    """Return the smallest and largest valid raw value of blocks; None where none is valid."""
    low, high = np.inf, -np.inf
    for raw, _ in blocks:
        valid = ~is_nodata(raw, nodata)
        if zero_is_nodata:
            valid &= raw != 0
        if valid.any():
            low, high = min(low, float(raw[valid].min())), max(high, float(raw[valid].max()))
    return (low, high) if low <= high else None


def border_zeros(blocks: Sequence[Block]) -> tuple[bool, float]:
    """Judge whether exact zeros are no data: many of them, and in a run along the scene's edge.

    Geocoded scenes are slanted in their frame, so what fills the corners touches the edge; phase that happens to be 0
    does not come in runs.

    Returns
    -------
    (bool, float)
        Whether zeros are at least 1 % of the pixels and at least 8 in a row lie on an edge; and their share.
    """
    zeros = total = 0
    run = 0
    for raw, (top, bottom, left, right) in blocks:
        zero = raw == 0
        zeros += int(zero.sum())
        total += zero.size
        edges: list[tuple[bool, Any]] = [(top, zero[0]), (bottom, zero[-1]), (left, zero[:, 0]), (right, zero[:, -1])]
        run = max([run, *(_longest_run(edge) for wanted, edge in edges if wanted)])
    share = zeros / max(total, 1)
    return share >= 0.01 and run >= 8, share


def _longest_run(flags: np.ndarray) -> int:
    padded = np.concatenate([[0], flags.astype(np.int8), [0]])
    change = np.flatnonzero(np.diff(padded))
    return int((change[1::2] - change[::2]).max(initial=0))
