"""Where can the deformation of a scene be seen? The mask that a scene's truth holds."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from fringewatch.compiled import kernels
from fringewatch.physics.coherence import local_coherence, window_sum
from fringewatch.simulate.visibility import MIN_LOCAL_COHERENCE, large_deformation

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["visible_mask", "visible_share"]

_WINDOW_PX = 11
_CLOSING_PX = 3
# How far from a pixel the mask looks: windows of local coherence, of their mean, and the closing.
_MARGIN_PX = 3 + _WINDOW_PX // 2 + 2 * _CLOSING_PX
# A part of deformation is wiped out where the phase has less than this share of its steps, of those below the steepest
# that can be followed, and is no rougher than in a ring around it.
_LEAST_FOLLOWED = 0.25
_STEEPEST_RAD = 1.2
_ROUGHER = 0.1
_EDGE_PX, _RING_PX = 3, 8


def visible_mask(
    deformation_rad: NDArray[np.float32],
    phase_rad: NDArray[np.float32],
    background_rad: NDArray[np.float32] | None = None,
    *,
    large: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Return where deformation is visible: more than a quarter fringe, or 8 % of a large peak, in coherent phase.

    The peak is that of each connected part of more than a quarter fringe. A decorrelated core enclosed by visible
    fringes counts as visible: an analyst outlines the whole bowl.

    Parameters
    ----------
    deformation_rad
        (H, W) unwrapped phase of the deformation alone.
    phase_rad
        (H, W) phase of the whole scene, as it is seen; NaN = no data, where nothing is visible.
    background_rad
        (H, W) phase without deformation and noise, wrapped or not. Where it is given, what a filter has wiped out does
        not count: parts in which the phase neither follows the deformation nor is rougher than around them.
    large
        What :func:`large_deformation` returns, where it is known. Default: computed.
    """
    mask = np.zeros(deformation_rad.shape, bool)
    moved = large_deformation(deformation_rad) if large is None else large
    if not moved.any():
        return mask
    # Only what lies about the deformation matters, often a small part of the scene.
    part = _around(moved, _MARGIN_PX)
    phase = phase_rad[part]
    local = local_coherence(phase)
    agreement = window_sum(local, _WINDOW_PX)
    rows, columns = (_window_sizes(size, _WINDOW_PX) for size in phase.shape)
    visible = moved[part] & (agreement > np.float32(MIN_LOCAL_COHERENCE) * rows[:, np.newaxis] * columns)
    if not visible.any():
        return mask
    # The closing reaches no further than its own size beyond what is visible.
    inner = _around(visible, 2 * _CLOSING_PX)
    filled = _fill_holes(_close(visible[inner], _CLOSING_PX))
    mask[part][inner] = filled & moved[part][inner] & np.isfinite(phase[inner])
    if background_rad is not None and mask.any():
        near = _around(mask[part], 2 * _RING_PX)
        shown = mask[part][near]
        arrays = (array[part][near] for array in (deformation_rad, phase_rad, background_rad))
        shown &= ~_wiped_out(shown, *arrays, local=local[near])
    return mask


def _wiped_out(
    mask: NDArray[np.bool_],
    deformation_rad: NDArray[np.float32],
    phase_rad: NDArray[np.float32],
    background_rad: NDArray[np.float32],
    *,
    local: NDArray[np.float32],
) -> NDArray[np.bool_]:
    """Return the connected parts of a mask of which the phase, of such local coherence, shows nothing."""
    if compiled := kernels("masks"):
        parts, around = np.empty(mask.shape, np.int32), np.empty(mask.shape, np.int32)
        count = compiled.label(np.ascontiguousarray(mask), 1, parts)
        compiled.largest_nearby(parts, _EDGE_PX, around)
        sums = np.zeros((2, count + 1))
        arrays = (np.ascontiguousarray(array) for array in (phase_rad, background_rad, deformation_rad))
        compiled.followed(*arrays, around, np.float32(_STEEPEST_RAD), sums)
        lost = sums[0] < _LEAST_FOLLOWED * sums[1]
        if not lost.any():
            return np.zeros(mask.shape, bool)
        nearby = np.empty(mask.shape, np.int32)
        compiled.largest_nearby(parts, _RING_PX, nearby)
        return _smooth(parts, np.where((around > 0) | ~np.isfinite(phase_rad), 0, nearby), local, lost)
    parts, count = ndimage.label(mask, np.ones((3, 3)))
    # With what surrounds them, where a trough is gentle enough to be followed.
    around = ndimage.maximum_filter(parts, 2 * _EDGE_PX + 1)
    z = np.exp(1j * np.nan_to_num(phase_rad - background_rad)).astype(np.complex64)
    known = np.isfinite(phase_rad) & np.isfinite(background_rad)
    followed, expected = np.zeros(count + 1), np.zeros(count + 1)
    for axis in (0, 1):
        values, moved, place, data = (np.moveaxis(array, axis, 0) for array in (z, deformation_rad, around, known))
        seen, wanted = np.angle(values[1:] * values[:-1].conj()), np.diff(moved, axis=0)
        used = (np.abs(wanted) < _STEEPEST_RAD) & data[1:] & data[:-1]
        number = np.maximum(place[1:], place[:-1])[used]
        followed += np.bincount(number, (seen * wanted)[used], count + 1)
        expected += np.bincount(number, np.square(wanted)[used], count + 1)
    lost = followed < _LEAST_FOLLOWED * expected
    if not lost.any():
        return np.zeros(mask.shape, bool)
    nearby = ndimage.maximum_filter(parts, 2 * _RING_PX + 1)
    return _smooth(parts, np.where((around > 0) | ~np.isfinite(phase_rad), 0, nearby), local, lost)


def _smooth(
    parts: NDArray[np.int32], ring: NDArray[np.int32], local: NDArray[np.float32], lost: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return those of the lost parts in which the phase is no rougher than in the ring of their number."""
    lost[0] = False
    means = []
    for labels in (parts, ring):
        # Most pixels belong to neither.
        used = lost[labels]
        number = labels[used]
        rough = np.bincount(number, 1 - local[used], lost.size)
        means.append(rough / np.maximum(np.bincount(number, minlength=lost.size), 1))
    inside, outside = means
    return np.asarray((lost & (inside < outside + _ROUGHER))[parts])


def visible_share(
    deformation_rad: NDArray[np.float32],
    phase_rad: NDArray[np.float32],
    mask: NDArray[np.bool_],
    *,
    sea: NDArray[np.bool_] | None = None,
    large: NDArray[np.bool_] | None = None,
) -> float:
    """Return how much of the large deformation that has data and is not at sea is visible, 0 to 1.

    Where noise leaves islands of a pattern, the mask outlines the islands, though an analyst sees the pattern or does
    not: a scene of that kind has no honest label. See :func:`visible_mask`.
    """
    moved = large_deformation(deformation_rad) if large is None else large
    with_data = moved & np.isfinite(phase_rad)
    if sea is not None:
        with_data &= ~sea
    return int(np.count_nonzero(mask)) / max(int(np.count_nonzero(with_data)), 1)


def _around(mask: NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    """Return the rows and columns of a mask that hold a True, and a margin."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    down, across = (slice(max(0, int(used[0]) - margin), int(used[-1]) + 1 + margin) for used in (rows, columns))
    return down, across


@lru_cache(maxsize=1024)
def _window_sizes(size: int, window: int) -> NDArray[np.float32]:
    """Return how many elements of an axis lie in the window about each."""
    index = np.arange(size)
    high, low = np.minimum(index + window // 2, size - 1), np.maximum(index - window // 2, 0)
    return (high - low + 1).astype(np.float32)


def _close(mask: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Dilate and erode by a diamond; shifted ors take a tenth of the time of ``scipy.ndimage.binary_closing``."""
    # Room for the growth: what grows out of the picture has to be there when it shrinks.
    grown = np.pad(mask, reach)
    for _ in range(reach):
        grown = _grow(grown)
    # To erode is to dilate the background, which has no end beyond the picture.
    background = ~grown
    for _ in range(reach):
        background = _grow(background)
    return np.asarray(~background[reach:-reach, reach:-reach])


def _grow(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Add the four neighbours of each True pixel."""
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown


def _fill_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill what is not connected to the edge; by labels, a third of the time of ``scipy.ndimage.binary_fill_holes``."""
    if compiled := kernels("masks"):
        filled = np.empty(mask.shape, bool)
        compiled.fill_holes(np.ascontiguousarray(mask), filled)
        return filled
    labels, count = ndimage.label(~mask)
    open_to_edge = np.zeros(count + 1, bool)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        open_to_edge[edge] = True
    # Label 0 is the mask itself.
    open_to_edge[0] = False
    return np.asarray(~open_to_edge[labels])
