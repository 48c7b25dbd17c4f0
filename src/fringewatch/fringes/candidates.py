"""Regions of a scene that may be a pattern of fringes: areas above one of several levels of activity.

The right threshold differs from scene to scene and from pattern to pattern. So there is none: every connected area
above any of the levels is a candidate, many of them inside each other, and which one is the pattern is told by its
shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LEVELS", "Candidate", "find_candidates"]

LEVELS = (0.7, 0.9, 1.15, 1.5, 2.0, 2.8, 4.0)
"""Of the activity over its threshold."""

_LEAST_PX = 12
_MOST_SHARE = 0.7
_SAME_SHARE = 0.9
_CLOSING_PX = 2


class Candidate(NamedTuple):
    """A connected region."""

    row0: int
    col0: int
    region: NDArray[np.bool_]
    """(h, w), its bounding box."""
    level: float
    """Above which it is connected."""

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the scene."""
        height, width = self.region.shape
        return slice(self.row0, self.row0 + height), slice(self.col0, self.col0 + width)


def find_candidates(activity: NDArray[np.float32], valid: NDArray[np.bool_]) -> list[Candidate]:
    """List the regions above each level, closed over gaps of a few pixels, holes filled.

    Parameters
    ----------
    activity
        (H, W) slope or spot over its threshold.
    valid
        (H, W) bool, where the scene has data.

    Returns
    -------
    list of Candidate
        By level, largest regions first. One that loses less than a tenth to the level above is listed once.
    """
    diamond = ndimage.generate_binary_structure(2, 1)
    most_px = _MOST_SHARE * np.count_nonzero(valid)
    below, sizes = np.zeros(activity.shape, np.int32), np.zeros(1, np.int64)
    found = []
    for level in LEVELS:
        # Patterns go on beyond the border of the scene.
        above = np.pad(activity > level, _CLOSING_PX, mode="edge")
        above = ndimage.binary_closing(above, diamond, iterations=_CLOSING_PX)[
            _CLOSING_PX:-_CLOSING_PX, _CLOSING_PX:-_CLOSING_PX
        ]
        above = ndimage.binary_opening(ndimage.binary_fill_holes(above | (activity > level)), diamond)
        labels, _ = ndimage.label(above)
        counts = np.bincount(labels.ravel())
        for number, box in enumerate(ndimage.find_objects(labels), start=1):
            if not _LEAST_PX <= counts[number] <= most_px:
                continue
            region = labels[box] == number
            parent = int(below[box][region].max())
            if parent and counts[number] >= _SAME_SHARE * sizes[parent]:
                continue
            found.append(Candidate(box[0].start, box[1].start, region, level))
        below, sizes = labels, counts
    return found
