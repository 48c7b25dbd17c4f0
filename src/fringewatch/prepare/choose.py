"""Which windows of a scene become patches, and with what label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from scipy import ndimage

from fringewatch.fringes import Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

__all__ = ["Choice", "Stage", "choose", "missed_regions"]

Stage = Literal["candidate", "without_edges", "partial", "missed", "no_data"]
"""What becomes of a window.

``candidate``: strong edges; a patch for the network. ``without_edges``: background without classification. ``partial``:
deformation at its border or labelled specks, neither one nor the other. ``missed``: deformation, but no strong edges.
``no_data``: too few valid pixels.
"""

_MERGE_PX = 3
_SPECK_PX = 9


class Choice(NamedTuple):
    """A window and what becomes of it."""

    window: Window
    stage: Stage
    label: int
    """Class of the window; 0 for background and for windows that become no patch."""
    overlap: float
    """Labelled area inside over the smaller of region and window; that of the region that has most."""


def choose(
    windows: Iterable[Window],
    classes: NDArray[np.uint8],
    *,
    min_strong_px: int,
    min_valid: float,
    min_overlap: float,
) -> list[Choice]:
    """Decide on every window of a scene.

    A window has the label of a region if at least `min_overlap` of the region lies inside, or, where the region is
    larger than the window, if at least `min_overlap` of the window is filled: the overlap is the labelled area inside
    over the smaller of both. Each connected region counts by itself, so that a window about one of three mines shows
    deformation. Parts of a region up to 6 pixels apart are one; specks of fewer than 9 pixels are ignored.

    Parameters
    ----------
    windows
        Of the scene, with their edges counted.
    classes
        (H, W) label of every pixel, 0 = background.
    min_strong_px
        Pixels of strong edges that make a candidate, at least 1.
    min_valid
        Share of the window that must hold data, of its part in the scene.
    min_overlap
        See above, in (0, 1]. With less, but some, the window is ``partial``.

    Returns
    -------
    list of Choice
        One per window, in their order.
    """
    regions, of_class, size_px = _regions(classes)
    specks = (classes > 0) & (regions == 0)
    return [
        _decide(window, regions, specks, of_class, size_px, min_strong_px, min_valid, min_overlap) for window in windows
    ]


def missed_regions(choices: Sequence[Choice], classes: NDArray[np.uint8], *, min_overlap: float) -> list[Choice]:
    """Return the bounds of labelled regions of which no candidate holds at least `min_overlap`, each as ``missed``.

    Windows that cover a scene miss nothing by where they lie; crops may.
    """
    regions, _, size_px = _regions(classes)
    held = np.zeros(len(size_px), bool)
    for choice in choices:
        if choice.stage == "candidate":
            window = choice.window
            part = regions[window.row0 : window.row1, window.col0 : window.col1]
            held |= np.bincount(part.ravel(), minlength=len(size_px)) >= min_overlap * size_px
    missed = []
    for number, box in enumerate(ndimage.find_objects(regions), start=1):
        if not held[number]:
            bounds = (box[0].start, box[0].stop, box[1].start, box[1].stop)
            missed.append(Choice(Window(*bounds, 0, 0, int(size_px[number])), "missed", 0, 1.0))
    return missed


def _decide(
    window: Window,
    regions: NDArray[np.int32],
    specks: NDArray[np.bool_],
    of_class: NDArray[np.intp],
    size_px: NDArray[np.intp],
    min_strong_px: int,
    min_valid: float,
    min_overlap: float,
) -> Choice:
    part = regions[window.row0 : window.row1, window.col0 : window.col1]
    inside = np.bincount(part.ravel(), minlength=len(of_class))
    inside[0] = 0
    share = inside / np.minimum(size_px, window.size)
    best = int(share.argmax())
    label, overlap = int(of_class[best]), float(share[best])
    # What lies beyond a small scene does not count against it.
    if window.valid_px < max(min_valid * part.size, 1):
        return Choice(window, "no_data", 0, overlap)
    # A speck is too little to be an example, and too much for one of nothing.
    marked = not overlap and bool(specks[window.row0 : window.row1, window.col0 : window.col1].any())
    if marked or 0 < overlap < min_overlap:
        return Choice(window, "partial", 0, overlap)
    if window.strong_px < min_strong_px:
        return Choice(window, "missed" if overlap else "without_edges", 0, overlap)
    return Choice(window, "candidate", label if overlap else 0, overlap)


def _regions(classes: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.intp], NDArray[np.intp]]:
    """Return the number of the region of every pixel (0 = none), and the class and size of every region."""
    regions = np.zeros(classes.shape, np.int32)
    of_class, sizes = [0], [1]
    for label in np.unique(classes[classes > 0]):
        mask = classes == label
        near = ndimage.binary_dilation(mask, ndimage.generate_binary_structure(2, 2), iterations=_MERGE_PX)
        numbers = np.where(mask, ndimage.label(near)[0], 0)
        counts = np.bincount(numbers.ravel())
        large = np.flatnonzero(counts[1:] >= _SPECK_PX) + 1
        renumber = np.zeros(len(counts), np.int32)
        renumber[large] = np.arange(len(sizes), len(sizes) + len(large))
        regions += renumber[numbers]
        of_class += [int(label)] * len(large)
        sizes += counts[large].tolist()
    return regions, np.array(of_class), np.array(sizes)
