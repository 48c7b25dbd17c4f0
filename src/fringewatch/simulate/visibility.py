"""Can the deformation of a scene be seen? Its strength against the background, and the mask of where it shows."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from fringewatch.compiled import kernels
from fringewatch.physics.coherence import local_coherence, phasor, window_sum
from fringewatch.physics.filtering import multilook

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "background_steps",
    "large_deformation",
    "least_coherence",
    "visibility",
    "visibility_at_nodes",
    "visible_mask",
    "visible_share",
]

# What counts as large: a quarter of a fringe, and so much of the peak.
_LEAST_RAD = np.pi / 2
_SHARE_OF_PEAK = 0.08
# Local coherence of phase that shows fringes.
_MIN_LOCAL_COHERENCE = 0.4
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
_BLOCK_PX = 4
_LEAST_COHERENT_SHARE = 0.1
# The same at nodes, which are fewer: how many must be large for an estimate, and coherent for its slopes.
_FEWEST_NODES, _FEWEST_SLOPES = 20, 8
_LEAST_SHARE_AT_NODES = 0.02


def least_coherence(looks: float | None, *, filtered: bool) -> float:
    """Estimate the coherence from which fringes can be seen.

    Where the deviation of the phase, about ``1 / (g sqrt(2 looks))`` rad, is less than a radian, the local coherence
    of the phase is above that which :func:`visible_mask` asks for; a filter lowers the deviation by a fifth or more.

    Parameters
    ----------
    looks
        Number of looks; None for real phase, of which the local coherence is known instead.
    filtered
        Whether a filter follows.
    """
    if looks is None:
        return _MIN_LOCAL_COHERENCE
    return min((0.8 if filtered else 1.0) / float(np.sqrt(2.0 * looks)), 0.6)


def visibility(
    deformation_rad: NDArray[np.float32],
    background_rad: NDArray[np.float32],
    coherence: NDArray[np.float32],
    *,
    least: float = 0.25,
    least_px: int = 40,
    sea: NDArray[np.bool_] | None = None,
    large: NDArray[np.bool_] | None = None,
    steps: NDArray[np.float32] | None = None,
) -> float:
    """Compute how steep the deformation is against the background: a signal-to-noise ratio without unit.

    RMS phase gradient of the one over that of the other, where the deformation is large, see :func:`visible_mask`,
    and the phase coherent. Known before noise and filter are drawn, so that a hopeless scene costs little.

    Parameters
    ----------
    deformation_rad
        (H, W) unwrapped phase of the deformation alone.
    background_rad
        (H, W) phase of the background, wrapped or not; what is finer than four pixels is averaged out.
    coherence
        (H, W) in [0, 1], less what the slope of the deformation inside a pixel takes of it.
    least
        Coherence that shows fringes, see :func:`least_coherence`.
    least_px
        Pixels that must be visible for the scene to show deformation.
    sea
        (H, W) where nothing can be expected to show; None: nowhere.
    large, steps
        What :func:`large_deformation` and :func:`background_steps` return, where it is known. Default: computed.

    Returns
    -------
    float
        0 where less than `least_px`, or less than a tenth of those that are large, are large and coherent:
        of four such scenes, three show nothing when they are drawn.
    """
    if large is None:
        large = large_deformation(deformation_rad)
    squared = background_steps(background_rad) if steps is None else steps
    rows, columns = (count * _BLOCK_PX for count in squared.shape)
    if compiled := kernels("masks"):
        moved = large if sea is None else large & ~sea
        count, all_moved, signal_sum, clutter_sum = compiled.area_sums(
            deformation_rad, moved, coherence, np.float32(least), squared, _BLOCK_PX
        )
        if count == 0 or 4 * count < least_px or count < _LEAST_COHERENT_SHARE * all_moved:
            return 0.0
        return float(np.sqrt(signal_sum / max(clutter_sum, 1e-6 * count)))
    # Every other pixel is as good a sample of the area as all of them.
    part = np.s_[1:rows:2, 1:columns:2]
    moved = large[part]
    if sea is not None:
        moved = moved & ~sea[part]
    area = moved & (coherence[part] > least)
    count = np.count_nonzero(area)
    if count == 0 or 4 * count < least_px or count < _LEAST_COHERENT_SHARE * np.count_nonzero(moved):
        return 0.0
    step_x = deformation_rad[1:rows:2, 1:columns:2] - deformation_rad[1:rows:2, 0:columns:2]
    step_y = deformation_rad[1:rows:2, 1:columns:2] - deformation_rad[0:rows:2, 1:columns:2]
    signal = (step_x * step_x + step_y * step_y)[area].mean()
    per_sample = _BLOCK_PX // 2
    clutter = squared.repeat(per_sample, axis=0).repeat(per_sample, axis=1)[area].mean()
    return float(np.sqrt(signal / max(float(clutter), 1e-6)))


def visibility_at_nodes(
    deformation_rad: NDArray[np.float64],
    step: int,
    coherence: NDArray[np.float32],
    steps: NDArray[np.float32],
    *,
    least: float = 0.25,
    sea: NDArray[np.bool_] | None = None,
) -> float:
    """Estimate :func:`visibility` from the nodes between which a deformation will be splined: in a tenth of the time.

    Parameters
    ----------
    deformation_rad
        Phase at :func:`~fringewatch.simulate.deformation.grid.nodes` of rows and columns.
    step
        Pixels between them.
    coherence, least, sea
        As in :func:`visibility`.
    steps
        What :func:`background_steps` returns.

    Returns
    -------
    float
        Infinity where too few nodes tell anything.
    """
    if step == 1:
        return np.inf
    kept = coherence[::step, ::step]
    # Two nodes lie beyond each edge.
    rows, columns = (slice(2, 2 + size) for size in kept.shape)
    magnitude = np.abs(deformation_rad[rows, columns])
    moved = magnitude > max(_LEAST_RAD, _SHARE_OF_PEAK * float(magnitude.max()))
    if sea is not None:
        moved &= ~sea[::step, ::step]
    moved_count = np.count_nonzero(moved)
    if moved_count < _FEWEST_NODES:
        return np.inf
    row, column = np.nonzero(moved & (kept > least))
    if row.size < _LEAST_SHARE_AT_NODES * moved_count:
        return 0.0
    if row.size < _FEWEST_SLOPES:
        return np.inf
    down = deformation_rad[row + 3, column + 2] - deformation_rad[row + 1, column + 2]
    across = deformation_rad[row + 2, column + 3] - deformation_rad[row + 2, column + 1]
    signal = float(down @ down + across @ across) / (row.size * (2 * step) ** 2)
    last_row, last_column = (size - 1 for size in steps.shape)
    blocks = np.minimum(row * step // _BLOCK_PX, last_row), np.minimum(column * step // _BLOCK_PX, last_column)
    return float(np.sqrt(signal / max(float(steps[blocks].mean()), 1e-6)))


def background_steps(background_rad: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute squared phase steps, rad2 per pixel, of a background (H, W) in blocks of 4 x 4 pixels, averaged there."""
    if (compiled := kernels("phase")) and background_rad.dtype == np.float32:
        rows, columns = (size // _BLOCK_PX for size in background_rad.shape)
        squared = np.empty((rows, columns), np.float32)
        compiled.block_steps(np.ascontiguousarray(background_rad), _BLOCK_PX, squared)
        squared *= np.float32(1 / _BLOCK_PX**2)
        return squared
    rows, columns = (size // _BLOCK_PX * _BLOCK_PX for size in background_rad.shape)
    z = multilook(phasor(background_rad[:rows, :columns]), _BLOCK_PX)
    squared = _squared_steps(z) + _squared_steps(z.T).T
    squared *= np.float32(1 / _BLOCK_PX**2)
    return np.ascontiguousarray(squared)


def _squared_steps(z: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Return the square of the phase step from the row before, in the first row from the next."""
    steps = np.empty(z.shape, np.float32)
    # Where there is no data, zeros may be negative; their angle would be pi.
    steps[1:] = np.square(np.angle(z[1:] * z[:-1].conj() + np.float32(0)))
    steps[0] = steps[1] if len(steps) > 1 else 0
    return steps


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
    visible = moved[part] & (agreement > np.float32(_MIN_LOCAL_COHERENCE) * rows[:, np.newaxis] * columns)
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


def large_deformation(deformation_rad: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where deformation is large: above the least phase, and above a share of the peak of its own part.

    Of its own, because a weak trough apart from a strong one is seen as well as if it were alone.
    """
    if (compiled := kernels("masks")) and deformation_rad.dtype == np.float32:
        values = np.ascontiguousarray(deformation_rad)
        found = np.empty(values.shape, bool)
        compiled.large(values, np.float32(_LEAST_RAD), np.float32(_SHARE_OF_PEAK), found)
        return found
    magnitude = np.abs(deformation_rad)
    large = np.asarray(magnitude > _LEAST_RAD)
    if _SHARE_OF_PEAK * float(magnitude.max()) <= _LEAST_RAD:
        return large
    parts, count = ndimage.label(large)
    peaks = np.zeros(count + 1, np.float32)
    np.maximum.at(peaks, parts[large], magnitude[large])
    peaks[0] = np.inf
    return np.asarray(magnitude > np.float32(_SHARE_OF_PEAK) * peaks[parts]) & large


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
