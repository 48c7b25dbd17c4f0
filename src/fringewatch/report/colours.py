"""The colour scales: a cyclic one for wrapped phase, sequential ones for probability and coherence.

Both are computed in OKLCh (Ottosson 2020, "A perceptual color space for image processing"), where equal steps look
equal: a fringe then shows no edge that the data do not have, which rainbow maps do.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "NO_DATA",
    "coherence_colours",
    "coherence_scale",
    "phase_colours",
    "phase_scale",
    "probability_colours",
    "probability_scale",
]

NO_DATA = (222, 226, 230)

_STEPS = 255
# Lightness, chroma and hue (degrees) at equal steps of probability: paper, sand, orange, red, wine.
_PROBABILITY_STOPS = (
    (0.985, 0.005, 100),
    (0.945, 0.045, 95),
    (0.850, 0.125, 80),
    (0.720, 0.175, 55),
    (0.560, 0.200, 30),
    (0.380, 0.145, 15),
)


def phase_colours(phase_rad: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colour wrapped phase: (h, w) radians in [-pi, pi] to (h, w, 3) RGB; NaN is :data:`NO_DATA`."""
    turns = np.nan_to_num(phase_rad) * np.float32(1 / (2 * np.pi)) + np.float32(0.5)
    return _look_up(phase_scale(), turns, np.isfinite(phase_rad))


def probability_colours(probability: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colour probability: (h, w) in [0, 1] to (h, w, 3) RGB; NaN is :data:`NO_DATA`."""
    return _look_up(probability_scale(), np.nan_to_num(probability), np.isfinite(probability))


def coherence_colours(coherence: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colour coherence: (h, w) in [0, 1] to (h, w, 3) RGB; NaN is :data:`NO_DATA`."""
    return _look_up(coherence_scale(), np.nan_to_num(coherence), np.isfinite(coherence))


@cache
def phase_scale() -> NDArray[np.uint8]:
    """Return (255, 3) RGB once round the circle, from -pi to pi.

    Hue goes round; lightness swings a little with it, so that fringes survive a grey print and colour blindness.
    """
    turn = np.arange(_STEPS) / _STEPS
    return _rgb(0.72 + 0.08 * np.cos(2 * np.pi * turn), np.full(_STEPS, 0.125), 360 * turn + 250)


@cache
def probability_scale() -> NDArray[np.uint8]:
    """Return (255, 3) RGB from probability 0 to 1."""
    stops = np.array(_PROBABILITY_STOPS, float).T
    position = np.linspace(0, stops.shape[1] - 1, _STEPS)
    lightness, chroma, hue = (np.interp(position, np.arange(stops.shape[1]), stop) for stop in stops)
    return _rgb(lightness, chroma, hue)


@cache
def coherence_scale() -> NDArray[np.uint8]:
    """Return (255, 3) RGB from coherence 0 to 1: night blue to straw, never the grey of no data."""
    share = np.linspace(0, 1, _STEPS)
    return _rgb(0.22 + 0.72 * share, 0.05 + 0.05 * share, 265 - 165 * share)


def _look_up(scale: NDArray[np.uint8], share: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    # No data takes the last of 256 entries: one look-up with an index of one byte is all that is done per pixel.
    table = np.vstack([scale, np.array([NO_DATA], np.uint8)])
    index = np.clip(share * np.float32(_STEPS), 0, _STEPS - 1).astype(np.uint8)
    index[~valid] = _STEPS
    result: NDArray[np.uint8] = table.take(index, axis=0)
    return result


def _rgb(lightness: NDArray[np.float64], chroma: NDArray[np.float64], hue: NDArray[np.float64]) -> NDArray[np.uint8]:
    angle = np.radians(hue)
    lab = np.stack([lightness, chroma * np.cos(angle), chroma * np.sin(angle)])
    cone = np.array(
        [
            [1.0, 0.3963377774, 0.2158037573],
            [1.0, -0.1055613458, -0.0638541728],
            [1.0, -0.0894841775, -1.2914855480],
        ]
    )
    linear = (
        np.array(
            [
                [4.0767416621, -3.3077115913, 0.2309699292],
                [-1.2684380046, 2.6097574011, -0.3413193965],
                [-0.0041960863, -0.7034186147, 1.7076147010],
            ]
        )
        @ (cone @ lab) ** 3
    )
    linear = np.clip(linear, 0, 1)
    # The transfer function of sRGB, IEC 61966-2-1.
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    result: NDArray[np.uint8] = np.round(255 * encoded).astype(np.uint8).T
    return result
