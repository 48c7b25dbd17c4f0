"""Crops of any size about the patterns of a scene, instead of windows of one size."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.fringes import Crops, Window, find_crops
from fringewatch.prepare.choose import Choice, choose, missed_regions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from fringewatch.prepare.settings import PrepareConfig

__all__ = ["CropChoices", "choose_crops"]

_SMALLEST_PX, _LARGEST_PX = 32, 256
_TRIES = 20


class CropChoices(NamedTuple):
    """The crops of a scene and what becomes of them."""

    found: Crops
    choices: list[Choice]
    """Crops, best first; then labelled areas that none of them holds, as ``missed``; then crops of background."""
    scores: list[float]
    """Of the crops, which come first."""


def choose_crops(
    phase_rad: NDArray[np.float32], classes: NDArray[np.uint8], config: PrepareConfig, name: str
) -> CropChoices:
    """Find the crops of a scene and label them.

    Parameters
    ----------
    phase_rad
        (H, W) wrapped phase in (-pi, pi], radians; NaN = no data.
    classes
        (H, W) label of every pixel, 0 = background.
    config
        Settings. With ``keep_background``, one crop more than there are patterns is cut out of what is neither found
        nor labelled, with sides from 32 to 256 pixels, log-uniform.
    name
        Of the scene; it decides where those lie.
    """
    found = find_crops(phase_rad, min_score=config.min_score)
    windows = [crop.window(found.valid, margin=config.margin) for crop in found.crops]
    choices = choose(windows, classes, min_strong_px=1, min_valid=config.min_valid, min_overlap=config.min_overlap)
    choices += missed_regions(choices, classes, min_overlap=config.min_overlap)
    if config.keep_background:
        busy = classes > 0
        for crop in found.crops:
            busy[crop.candidate.box] |= crop.candidate.region
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        choices += [
            Choice(window, "without_edges", 0, 0.0)
            for window in _quiet(busy, found.valid, len(windows) + 1, config, rng)
        ]
    return CropChoices(found, choices, [crop.score for crop in found.crops])


def _quiet(
    busy: NDArray[np.bool_],
    valid: NDArray[np.bool_],
    count: int,
    config: PrepareConfig,
    rng: np.random.Generator,
) -> Iterable[Window]:
    """Yield windows without any busy pixel, as many as are wanted and found in some tries."""
    for _ in range(count):
        for _ in range(_TRIES):
            sides = np.exp(rng.uniform(np.log(_SMALLEST_PX), np.log(_LARGEST_PX), 2)).astype(int)
            height, width = (int(min(side, length)) for side, length in zip(sides, valid.shape, strict=True))
            row, col = (
                int(rng.integers(0, length - side + 1))
                for side, length in zip((height, width), valid.shape, strict=True)
            )
            part = np.s_[row : row + height, col : col + width]
            known = int(valid[part].sum())
            if not busy[part].any() and known >= max(config.min_valid * height * width, 1):
                yield Window(row, row + height, col, col + width, 0, 0, known)
                break
