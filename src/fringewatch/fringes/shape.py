"""What tells a pattern of fringes from noise that looks like one: measures of a region and of its surroundings."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fringewatch.fringes.activity import Activity
    from fringewatch.fringes.candidates import Candidate

__all__ = ["Shape", "measure_shape"]

_SECTORS = 16
_MOST_PX = 60_000
_LEAST_RATE_RAD = 0.003


class Shape(NamedTuple):
    """Measures of a candidate. About its outline lies a band, beyond that a ring of surroundings."""

    inflow: float
    """Mean slope across the outline, log of radians per pixel: phase rises or falls all around, as into a bowl."""
    closed: float
    """Share of 16 directions from the centre, where there is data, in which the outline is crossed that way."""
    contrast: float
    """Log of the slope in the band over that in the surroundings."""
    peak: float
    """Log of the highest slope over its threshold inside."""
    spot: float
    """Log of the mean incoherence over its threshold inside."""
    coherence_around: float
    """Mean coherence of the surroundings."""
    residues_inside: float
    """Residues per pixel; 1/3 in noise."""
    size: float
    """Log of the number of pixels."""
    roundness: float
    """Short over long axis of the ellipse with the same moments."""


def measure_shape(
    candidate: Candidate, activity: Activity, valid: NDArray[np.bool_], residue: NDArray[np.bool_]
) -> Shape:
    """Measure a candidate.

    Parameters
    ----------
    candidate
        The region.
    activity
        Of the scene.
    valid, residue
        (H, W) bool: where there is data; where a residue is.

    Returns
    -------
    Shape
    """
    area = int(candidate.region.sum())
    reach = float(np.clip(0.35 * np.sqrt(area / np.pi), 2, 25))
    margin = int(3 * reach + 4)
    rows, cols = candidate.box
    top, left = max(rows.start - margin, 0), max(cols.start - margin, 0)
    part = slice(top, rows.stop + margin), slice(left, cols.stop + margin)
    inside = np.zeros(valid[part].shape, bool)
    inside[rows.start - top : rows.stop - top, cols.start - left : cols.stop - left] = candidate.region
    # Every n-th pixel of a large region measures it as well as all.
    step = int(np.ceil(np.sqrt(max(inside.size / _MOST_PX, 1))))
    inside = inside[::step, ::step]
    part = slice(top, rows.stop + margin, step), slice(left, cols.stop + margin, step)

    depth = _depth(inside, step)
    gradient = np.gradient(ndimage.gaussian_filter(depth, max(1.0, reach / (2 * step)), mode="nearest"), step)
    length = np.hypot(*gradient) + 1e-3
    weight, known = activity.weight[part], valid[part]
    row_rad = activity.rates.row_rad[part] - np.float32(activity.trend_rad[0])
    col_rad = activity.rates.col_rad[part] - np.float32(activity.trend_rad[1])
    across = weight * (row_rad * gradient[0] + col_rad * gradient[1]) / length
    steepness = weight * np.hypot(row_rad, col_rad)

    band = known & (np.abs(depth) <= reach)
    around = known & (depth < -1.2 * reach) & (depth >= -3 * reach - 2)
    core = known & (depth > 0)
    flow, total = float(across[band].sum()), float(weight[band].sum()) + 1e-3
    inflow = abs(flow) / total
    in_band, in_ring = float(steepness[band].sum()), float(steepness[around].sum())
    surroundings = in_ring / (float(weight[around].sum()) + 1e-3)
    return Shape(
        inflow=float(np.log(inflow + _LEAST_RATE_RAD)),
        closed=_closed(inside, band, across * np.sign(flow), steepness),
        contrast=float(np.log((in_band / total + 0.005) / (surroundings + 0.005))),
        peak=float(np.log(activity.slope[part][core].max(initial=0) + 0.1)),
        spot=float(np.log(max(_mean(activity.spot[part][core]), 0) + 0.2)),
        coherence_around=_mean(activity.rates.coherence[part][around]),
        residues_inside=_mean(residue[part][core]),
        size=float(np.log(area)),
        roundness=_roundness(inside),
    )


def _depth(inside: NDArray[np.bool_], step: int) -> NDArray[np.float64]:
    """Return the distance from the outline in pixels, positive inside; the scene's border is no outline."""
    padded = np.pad(inside, 1, mode="edge")
    distance = ndimage.distance_transform_edt(padded) - ndimage.distance_transform_edt(~padded)
    inner: NDArray[np.float64] = distance[1:-1, 1:-1] * step
    return inner


def _closed(
    inside: NDArray[np.bool_],
    band: NDArray[np.bool_],
    across: NDArray[np.float64],
    steepness: NDArray[np.float32],
) -> float:
    rows, cols = np.nonzero(band)
    centre_row, centre_col = (index.mean() for index in np.nonzero(inside))
    turn = np.arctan2(rows - centre_row, cols - centre_col) / (2 * np.pi) % 1
    sector = np.minimum((turn * _SECTORS).astype(int), _SECTORS - 1)
    pixels, flow, slope = (
        np.bincount(sector, weights, minlength=_SECTORS) for weights in (None, across[band], steepness[band])
    )
    seen = pixels >= 0.1 * pixels.max(initial=1)
    crossed = seen & (slope > 0) & (flow > 0.2 * slope)
    return float(crossed.sum() / max(int(seen.sum()), 1))


def _roundness(inside: NDArray[np.bool_]) -> float:
    points = np.argwhere(inside)
    if len(points) < 3:
        return 1.0
    squares = np.linalg.eigvalsh(np.cov(points.T) + 1e-3 * np.eye(2))
    return float(np.sqrt(squares[0] / squares[1]))


def _mean(values: NDArray[np.float32] | NDArray[np.bool_]) -> float:
    return float(values.mean()) if values.size else 0.0
