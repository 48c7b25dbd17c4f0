"""How strong is the deformation of a scene against its background? Known before noise and filter are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from fringewatch.compiled import kernels
from fringewatch.physics.coherence import phasor
from fringewatch.physics.filtering import multilook

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "MIN_LOCAL_COHERENCE",
    "background_steps",
    "large_deformation",
    "least_coherence",
    "visibility",
    "visibility_at_nodes",
]

MIN_LOCAL_COHERENCE = 0.4
"""Local coherence of phase that shows fringes."""

# What counts as large: a quarter of a fringe, and so much of the peak.
_LEAST_RAD = np.pi / 2
_SHARE_OF_PEAK = 0.08
_BLOCK_PX = 4
_LEAST_COHERENT_SHARE = 0.1
# The same at nodes, which are fewer: how many must be large for an estimate, and coherent for its slopes.
_FEWEST_NODES, _FEWEST_SLOPES = 20, 8
_LEAST_SHARE_AT_NODES = 0.02


def least_coherence(looks: float | None, *, filtered: bool) -> float:
    """Estimate the coherence from which fringes can be seen.

    Where the deviation of the phase, about ``1 / (g sqrt(2 looks))`` rad, is less than a radian, the local coherence
    of the phase is above that which ``visible_mask`` asks for; a filter lowers the deviation by a fifth or more.

    Parameters
    ----------
    looks
        Number of looks; None for real phase, of which the local coherence is known instead.
    filtered
        Whether a filter follows.
    """
    if looks is None:
        return MIN_LOCAL_COHERENCE
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

    RMS phase gradient of the one over that of the other, where the deformation is large, see ``visible_mask``,
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
