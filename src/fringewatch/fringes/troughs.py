"""How deep a pattern is, how wide, and how many troughs it is made of, from wrapped phase across an incoherent core.

Local fringe rates, weighted by their coherence, are integrated to a height map of the pattern and its surroundings,
which are its zero. Where the core of a trough is incoherent the map bridges it smoothly, and so the depth is a lower
bound there: what is lost is not counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

from fringewatch.fringes.surface import KNOWN_WEIGHT, map_surface

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fringewatch.fringes.surface import Surface

    Real = NDArray[np.float64]

__all__ = ["LEAST_DIP", "PROFILE_POINTS", "Trough", "Troughs", "measure_troughs", "surroundings_px", "troughs_of"]

PROFILE_POINTS = 21
"""Points of a depth profile."""
LEAST_DIP = 0.25
"""How far phase falls between two troughs, over the depth of the shallower, for them to count as two."""

_STEEPEST_RAD = 2.0
"""Beyond this rate per pixel, dense fringes may be folded: pi and more look like less."""
_EDGE_LEVEL = 0.1
"""A trough ends where this share of its depth is left."""
_LEAST_PX = 16
_LEAST_RESOLVED = 0.05
"""Share of a pattern below which nothing is told: in noise a hundredth looks coherent."""
_MOST_REACH_PX = 400
_NOISE_DIP_RAD = 0.8


class Trough(NamedTuple):
    """One trough of a pattern; rows and columns are those of the phase that was given."""

    row: float
    col: float
    """Where it is deepest."""
    depth_rad: float
    """Phase beyond that of the surroundings, signed; it grows with range, so that subsidence is positive."""
    diameter_px: float
    """Of the circle with the area in which a tenth of the depth is left, in the pattern and around it."""


class Troughs(NamedTuple):
    """The troughs of a pattern."""

    troughs: list[Trough]
    """Deepest first; empty where nothing can be told: no coherent surroundings, too few pixels, or all is noise."""
    separation: float
    """How far phase falls between the two troughs that are least apart, over the depth of the shallower: 1 = down to
    the surroundings, :data:`LEAST_DIP` = just told apart; NaN with fewer than two."""
    resolved: float
    """Share of the pattern whose phase is coherent and not near the densest fringes that pixels can show. With much
    less than 1, depths are lower bounds."""
    profile_px: Real
    """(n, 2) distance along the long axis through the deepest point, pixels, and depth in radians; (0, 2) if empty."""

    @classmethod
    def unknown(cls) -> Troughs:
        """Return what is said where nothing can be told."""
        return cls([], float("nan"), 0.0, np.zeros((0, 2)))


def surroundings_px(area_px: int) -> int:
    """Return how wide the surroundings of a pattern are: 0.7 times the square root of its area, 6 to 400."""
    return int(np.clip(0.7 * np.sqrt(area_px), 6, _MOST_REACH_PX))


def measure_troughs(phase_rad: NDArray[np.float32], inside: NDArray[np.bool_], *, pixel_ratio: float = 1.0) -> Troughs:
    """Measure the troughs (or domes) of a pattern.

    Parameters
    ----------
    phase_rad
        (H, W) wrapped phase in (-pi, pi], radians, of the scene or of a part of it that holds the pattern with
        surroundings of about its own size; NaN = no data.
    inside
        (H, W) bool, the pattern.
    pixel_ratio
        Height over width of a pixel on the ground.

    Returns
    -------
    Troughs
        Diameters and distances are in units of the pixel's width.

    Notes
    -----
    The surroundings are a ring from 0.25 to 0.7 times the square root of the pattern's area beyond its outline; a plane
    through them, a ramp or the atmosphere, is taken off, and what they moved themselves is lost. Troughs are the maxima
    of the map that stand out from the pass to the next one by 0.8 rad and by a quarter of the shallower, found by
    watershed.
    """
    area = int(np.count_nonzero(inside))
    if area < _LEAST_PX:
        return Troughs.unknown()
    part = _around(inside, surroundings_px(area))
    phase_rad, inside = phase_rad[part], inside[part]
    surface = map_surface(lambda rows, cols: (phase_rad[rows, cols], inside[rows, cols]), inside.shape)
    found = troughs_of(surface, area, pixel_ratio=pixel_ratio)
    top, left = (axis.start for axis in part)
    shifted = [trough._replace(row=trough.row + top, col=trough.col + left) for trough in found.troughs]
    return found._replace(troughs=shifted)


def troughs_of(surface: Surface, area_px: int, *, pixel_ratio: float = 1.0) -> Troughs:
    """Measure the troughs of a pattern of which the surface is known; see :func:`measure_troughs`.

    Parameters
    ----------
    surface
        Of the pattern and :func:`surroundings_px` around it, as far as the scene reaches.
    area_px
        Pixels of the pattern.
    pixel_ratio
        Height over width of a pixel on the ground.

    Returns
    -------
    Troughs
        Rows and columns are counted from the corner of the surface.
    """
    width_px, step, inside = surroundings_px(area_px), surface.step, surface.inside
    distance = ndimage.distance_transform_edt(~inside) * step
    # What moves right beside the pattern belongs to it more than to its zero.
    ring = (distance > 0.35 * width_px) & (distance <= width_px) & (surface.weight > KNOWN_WEIGHT)
    if area_px < _LEAST_PX or np.count_nonzero(ring) < _LEAST_PX or np.count_nonzero(inside) < _LEAST_PX:
        return Troughs.unknown()
    resolved = float(np.mean(((surface.weight > KNOWN_WEIGHT) & (surface.steepest_rad <= _STEEPEST_RAD))[inside]))
    if resolved < _LEAST_RESOLVED:
        return Troughs.unknown()
    height = surface.height_rad - _plane(surface.height_rad, ring, surface.weight)
    low, high = np.percentile(height[inside], [1, 99])
    sign = 1.0 if high >= -low else -1.0
    depth = sign * height
    # Surroundings are most of the area, and no part of any trough.
    part = _around(inside, 0)
    labels = np.zeros(inside.shape, np.int32)
    labels[part], separation = _split(depth[part], inside[part])
    numbers = [int(number) for number in np.unique(labels[labels > 0])]
    peaks = ndimage.maximum_position(depth, labels, numbers)
    troughs = [
        Trough(
            row=float(row * step),
            col=float(col * step),
            depth_rad=sign * float(depth[row, col]),
            diameter_px=_diameter(depth, distance, labels, number, width_px, surface.has_data)
            * step
            * np.sqrt(pixel_ratio),
        )
        for number, (row, col) in zip(numbers, peaks, strict=True)
    ]
    order = np.argsort([-abs(trough.depth_rad) for trough in troughs], kind="stable")
    profile = _profile(height, distance < width_px, inside, peaks[order[0]], pixel_ratio)
    profile[:, 0] *= step
    return Troughs(
        troughs=[troughs[index] for index in order],
        separation=separation,
        resolved=resolved,
        profile_px=profile,
    )


def _around(inside: NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    rows, cols = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    return (
        slice(max(int(rows[0]) - margin, 0), int(rows[-1]) + 1 + margin),
        slice(max(int(cols[0]) - margin, 0), int(cols[-1]) + 1 + margin),
    )


def _plane(height: Real, ring: NDArray[np.bool_], weight: NDArray[np.float32]) -> Real:
    """Fit a plane to the surroundings; where they lie on one side only, their median."""
    rows, cols = np.nonzero(ring)
    centre = np.array(height.shape) / 2
    reached = [np.ptp(index) > 0.7 * size for index, size in zip((rows, cols), height.shape, strict=True)]
    if not all(reached):
        return np.full(height.shape, np.median(height[ring]))
    design = np.column_stack([np.ones(len(rows)), rows - centre[0], cols - centre[1]])
    root = np.sqrt(weight[ring])
    offset, by_row, by_col = np.linalg.lstsq(design * root[:, None], height[ring] * root, rcond=None)[0]
    row, col = np.ogrid[: height.shape[0], : height.shape[1]]
    return np.asarray(offset + by_row * (row - centre[0]) + by_col * (col - centre[1]))


def _split(depth: Real, inside: NDArray[np.bool_]) -> tuple[NDArray[np.int32], float]:
    """Split a pattern by watershed; return the number of the trough of each pixel, and the least dip that is left."""
    from skimage.morphology import local_maxima, reconstruction
    from skimage.segmentation import watershed

    within = np.where(inside, depth, depth[inside].min())
    # Only maxima that stand out of the noise; scikit-image has no types.
    flooded = reconstruction(within - _NOISE_DIP_RAD, within)  # type: ignore[no-untyped-call]
    tops, count = ndimage.label(local_maxima(flooded) & inside, np.ones((3, 3)))  # type: ignore[no-untyped-call]
    if count == 0 or (count == 1 and ndimage.label(inside)[1] == 1):
        # Nothing stands out that far, or one top from which all of it is reached: one trough.
        return inside.astype(np.int32), float("nan")
    labels: NDArray[np.int32] = watershed(-within, tops, mask=inside)  # type: ignore[no-untyped-call]
    while dips := _dips(depth, labels):
        least, shallow, deep = min(dips)
        if least >= LEAST_DIP:
            return labels, least
        labels[labels == shallow] = deep
    # Parts of a pattern that do not touch are as far apart as can be.
    return labels, 1.0 if len(np.unique(labels[labels > 0])) > 1 else float("nan")


def _dips(depth: Real, labels: NDArray[np.int32]) -> list[tuple[float, int, int]]:
    """Return of troughs that touch how far depth falls between them over the shallower's, and their numbers."""
    touching: list[tuple[int, int, float]] = []
    for levels, places in ((depth, labels), (depth.T, labels.T)):
        first, second = places[:-1], places[1:]
        between = (first != second) & (first > 0) & (second > 0)
        lower = np.minimum(levels[:-1], levels[1:])[between]
        touching += zip(first[between].tolist(), second[between].tolist(), lower.tolist(), strict=True)
    if not touching:
        return []
    numbers = np.unique(labels[labels > 0])
    heights = dict(zip(numbers.tolist(), ndimage.maximum(depth, labels, numbers), strict=True))
    passes: dict[tuple[int, int], float] = {}
    for one, other, height in touching:
        pair = (one, other) if heights[one] <= heights[other] else (other, one)
        passes[pair] = max(passes.get(pair, 0.0), height)
    return [(1 - height / max(heights[pair[0]], 1e-9), *pair) for pair, height in passes.items()]


def _diameter(
    depth: Real,
    distance: Real,
    labels: NDArray[np.int32],
    number: int,
    width_px: float,
    has_data: NDArray[np.bool_],
) -> float:
    """Return the diameter of the connected area about a trough where a share of its depth is left.

    Gaps in the data count where the trough surrounds them; beyond a coast or the scene's end nothing is known of it.
    """
    own = labels == number
    # The pattern's outline is not the trough's end: what surrounds it may belong to it, but not to another trough.
    near = (labels == 0) & (distance <= width_px)
    deep = (own | near) & (depth >= _EDGE_LEVEL * depth[own].max())
    parts, count = ndimage.label(deep)
    kept = np.zeros(count + 1, bool)
    kept[parts[own & deep]] = True
    area = kept[parts] & ndimage.binary_fill_holes(kept[parts] & has_data)
    return 2 * float(np.sqrt(np.count_nonzero(area) / np.pi))


def _profile(
    depth: Real, near: NDArray[np.bool_], inside: NDArray[np.bool_], peak: tuple[int, int], pixel_ratio: float
) -> Real:
    """Sample depth along the long axis of the pattern through its deepest point, as far as its surroundings reach."""
    ground = np.array([pixel_ratio, 1.0])
    points = np.argwhere(inside) * ground
    axis = np.linalg.eigh(np.cov(points.T))[1][:, 1]
    # Along the line itself: what lies beside it may reach farther.
    reach = np.hypot(*(np.array(near.shape) * ground))
    steps = np.arange(-np.floor(2 * reach), np.floor(2 * reach) + 1) / 2
    line = np.array(peak)[:, None] + (axis / ground)[:, None] * steps
    there = np.all((line >= 0) & (line <= np.array(near.shape)[:, None] - 1), axis=0)
    there[there] = near[tuple(np.rint(line[:, there]).astype(int))]
    middle = len(steps) // 2
    gaps = np.flatnonzero(~there)
    first = gaps[gaps < middle].max(initial=-1) + 1
    last = gaps[gaps > middle].min(initial=len(steps)) - 1
    distance = np.linspace(steps[first], steps[last], PROFILE_POINTS)
    rows, cols = np.array(peak)[:, None] + (axis / ground)[:, None] * distance
    sampled = ndimage.map_coordinates(depth, [rows, cols], order=1, mode="constant", cval=np.nan)
    return np.column_stack([distance - distance[0], sampled])
