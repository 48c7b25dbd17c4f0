"""Cut simulated scenes to what deforms in them, as crops of fringes are cut from real ones: of many sizes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fringewatch.simulate.sample import Sample

__all__ = ["Crop", "crop_sample", "draw_crop", "move_to_data"]

_MARGIN = (0.05, 0.5)
"""Beyond each edge of the deformation, in shares of its extent."""
_LEAST_DATA = 0.5
"""Share of the pixels of a quiet crop that have data, if the scene has so many in one place."""


class Crop(NamedTuple):
    """Pixels of a scene."""

    rows: slice
    columns: slice


def draw_crop(mask: NDArray[np.bool_], sides_px: tuple[int, int], rng: np.random.Generator) -> Crop:
    """Draw a crop around what deforms.

    Parameters
    ----------
    mask
        (H, W), true somewhere.
    sides_px
        Shortest and longest side, pixels, both at most the scene's. Larger deformation is cut to its middle, or, where
        that lies between parts of it, to the nearest place of which half deforms, or as much as anywhere.
    rng
        Source of randomness, for the margin on each side.
    """
    spans = []
    for axis, size in enumerate(mask.shape):
        seen = np.flatnonzero(mask.any(axis=1 - axis))
        first, stop = int(seen[0]), int(seen[-1]) + 1
        before, after = rng.uniform(*_MARGIN, size=2) * (stop - first)
        length = int(np.clip(round(stop - first + before + after), *sides_px))
        middle = (first - before + stop + after) / 2
        start = int(np.clip(round(middle - length / 2), 0, size - length))
        spans.append(slice(start, start + length))
    return move_to_data(Crop(*spans), mask)


def move_to_data(crop: Crop, known: NDArray[np.bool_]) -> Crop:
    """Return a crop, moved no farther than it takes for half of it to have data, or as much as there is in one place.

    A deforming crop shows its deformation; a quiet one at the same place of another scene may lie in a gap, which
    would tell the class, and be the same picture as every other such crop.

    Parameters
    ----------
    crop
        In the scene.
    known
        (H, W), where it has data.
    """
    height, width = (side.stop - side.start for side in crop)
    # Sums over all crops of that size, by differences of the running sums.
    total = np.pad(known.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    counts = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    wanted = min(int(counts.max()), round(_LEAST_DATA * height * width))
    row, column = crop.rows.start, crop.columns.start
    if counts[row, column] >= wanted:
        return crop
    rows, columns = np.nonzero(counts >= wanted)
    nearest = int(np.argmin((rows - row) ** 2 + (columns - column) ** 2))
    row, column = int(rows[nearest]), int(columns[nearest])
    return Crop(slice(row, row + height), slice(column, column + width))


def crop_sample(sample: Sample, crop: Crop) -> Sample:
    """Return a part of a scene. Positions among its parameters stay the scene's; its corner is added to them."""
    arrays = {name: getattr(sample, name)[crop] for name in ("phase", "los_m", "mask", "coherence", "height_m")}
    place = {"crop_row": crop.rows.start, "crop_col": crop.columns.start}
    visible = {"visible_px": int(arrays["mask"].sum())} if "visible_px" in sample.parameters else {}
    return dataclasses.replace(sample, **arrays, parameters=sample.parameters | place | visible)
