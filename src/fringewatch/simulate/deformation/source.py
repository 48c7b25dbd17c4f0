"""One drawn source of unit strength, and its line-of-sight motion on the pixels of a scene."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from fringewatch.physics.geometry import project_to_los
from fringewatch.simulate.deformation.grid import nodes, upsample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fringewatch.physics.displacement import Displacement
    from fringewatch.physics.geometry import LookVector

    Array = NDArray[np.float64]

__all__ = ["Deformation", "Field", "Parameters", "Placed", "Probe", "Source", "Trace", "evaluate", "probe"]

Parameters = dict[str, float | int | str]

# A field of scale d is splined from nodes d / 4 apart, which leaves errors of about a thousandth of its peak.
_NODES_PER_SCALE = 4.0
_LARGEST_STEP = 16
# Sources that would need a smaller step than this are computed at every pixel near them, and splined elsewhere.
_SHALLOW_STEP = 4
_SHALLOW_MARGIN = 5.0
# Over terrain, from how many levels a field is interpolated at most; which error, of the field above the source, is
# enough; the power of the depth with which fields fall at most; and the least depth that counts.
_MOST_LEVELS = 5
_LEVEL_ERROR = 2e-3
_STEEPEST_POWER = 3.0
_LOWEST_SCALE_M = 500.0


class Deformation(NamedTuple):
    """The deformation of one scene and what it was drawn from."""

    los_m: NDArray[np.float32]
    """(H, W), metres, positive towards the satellite; the mean inside each pixel."""
    phasor: NDArray[np.complex64] | None
    """(H, W), mean of ``exp(i phase)`` inside each pixel; None where the phase is smooth enough for its centre."""
    parameters: Parameters
    """What was drawn; keys of the n-th source end in ``_n``."""


class Field(Protocol):
    """Displacement by a source of unit strength at the origin."""

    def __call__(self, east_m: Array, north_m: Array, height_m: Array | float, /) -> Displacement:
        """Compute it at points ``height_m`` above the level from which the depth is counted; metres."""


class Trace(NamedTuple):
    """Surface projection of the upper edge of a rectangle, relative to the source; metres."""

    east_m: float
    north_m: float
    strike_deg: float
    length_m: float

    def distance(self, east_m: Array, north_m: Array) -> Array:
        """Compute the distance of points to the edge."""
        strike = np.radians(self.strike_deg)
        east, north = east_m - self.east_m, north_m - self.north_m
        along = east * np.sin(strike) + north * np.cos(strike)
        across = east * np.cos(strike) - north * np.sin(strike)
        beyond = np.maximum(np.abs(along) - 0.5 * self.length_m, 0.0)
        return np.asarray(np.sqrt(beyond * beyond + across * across))


class Source(NamedTuple):
    """A source of unit strength: its displacement, the strengths nature allows, and how fine its field can be."""

    field: Field
    strength: tuple[float, float]
    strength_name: str
    scale_m: float
    """Depth of its uppermost point: the field has no finer structure."""
    trace: Trace | None
    """Where a rectangle comes near the surface; None for sources that never do."""
    parameters: Parameters


class Placed(NamedTuple):
    """Pixels of a scene as seen from a source."""

    shape: tuple[int, int]
    row: float
    col: float
    pixel_m: float

    def east_m(self, col: Array | NDArray[np.intp]) -> Array:
        """Distance east of the source."""
        return np.asarray((col - self.col) * self.pixel_m, np.float64)

    def north_m(self, row: Array | NDArray[np.intp]) -> Array:
        """Distance north of the source; rows run south."""
        return np.asarray((self.row - row) * self.pixel_m, np.float64)


class _Levels(NamedTuple):
    """Heights at which a field is computed, the Chebyshev nodes of the logarithm of the source's depth below them."""

    knots: Array
    """Between -1 and 1."""
    heights_m: Array
    middle: float
    half: float
    """Of the logarithm: its middle, and half its range."""
    depth_m: float
    """Of the source below height 0, or the least that counts."""


class Probe(NamedTuple):
    """First look at a source inside a scene, at the nodes from which it is then splined."""

    peak_to_peak_m: float
    """LOS; never 0."""
    step: int
    """Pixels between nodes."""
    levels: _Levels | None
    """Over terrain."""
    level: int
    """Which of them was looked at."""
    los_m: Array
    """At the nodes."""


def probe(source: Source, place: Placed, look: LookVector, *, height_m: NDArray[np.float32] | None = None) -> Probe:
    """Compute a source at coarse nodes, over terrain as if its ground were level.

    Parameters
    ----------
    source, place, look, height_m
        As in :func:`evaluate`.

    Returns
    -------
    Probe
        With which :func:`evaluate` need not begin anew.
    """
    step = int(min(source.scale_m / (_NODES_PER_SCALE * place.pixel_m), _LARGEST_STEP))
    step = max(step, 1 if source.trace is None else _SHALLOW_STEP)
    levels, level, level_m = None, 0, 0.0
    if height_m is not None and float(height_m.max()) > 0:
        levels = _levels(source, float(height_m.max()))
        level = int(np.abs(levels.heights_m - float(np.median(height_m[::4, ::4]))).argmin())
        level_m = float(levels.heights_m[level])
    los = _at_nodes(source, place, look, step, level_m)
    margin = 0 if step == 1 else 2
    inside = los[margin : len(los) - margin, margin : los.shape[1] - margin]
    return Probe(max(float(np.ptp(inside)), 1e-12), step, levels, level, los)


def _levels(source: Source, relief_m: float) -> _Levels:
    # Fields fall as powers of the depth, so they are close to low polynomials in its logarithm.
    depth = max(source.scale_m, _LOWEST_SCALE_M)
    half = 0.5 * math.log1p(relief_m / depth)
    middle = math.log(depth) + half
    count = 2
    # Error of the interpolation of exp(-power u), |u| <= half, from Chebyshev nodes.
    while (
        count < _MOST_LEVELS
        and (_STEEPEST_POWER * half) ** count / (2 ** (count - 1) * math.factorial(count)) > _LEVEL_ERROR
    ):
        count += 1
    knots = np.cos(np.pi * (np.arange(count) + 0.5) / count)
    return _Levels(knots, np.maximum(np.exp(middle + half * knots) - depth, 0.0), middle, half, depth)


def evaluate(
    source: Source,
    place: Placed,
    look: LookVector,
    *,
    height_m: NDArray[np.float32] | None = None,
    probed: Probe | None = None,
) -> NDArray[np.float32]:
    """Compute the LOS (m) of a source at every pixel.

    Parameters
    ----------
    source
        Of unit strength.
    place
        The pixels.
    look
        Unit vector from ground to satellite.
    height_m
        (H, W) height of the ground above the level from which the source's depth is counted, >= 0. The depth of the
        source is then taken pixel by pixel (Williams and Wadge 1998). Default: flat.
    probed
        What :func:`probe` returned for the same arguments. Default: it is called.

    Returns
    -------
    numpy.ndarray
        (H, W) float32, metres.
    """
    if probed is None:
        probed = probe(source, place, look, height_m=height_m)
    los = _splined(source, place, look, probed, height_m)
    if source.trace is None or source.scale_m >= _SHALLOW_STEP * _NODES_PER_SCALE * place.pixel_m:
        return los
    rows, cols = _near(source.trace, place)
    if rows.size:
        above = 0.0 if height_m is None else height_m[rows, cols].astype(np.float64)
        los[rows, cols] = project_to_los(source.field(place.east_m(cols), place.north_m(rows), above), look)
    return los


def _near(trace: Trace, place: Placed) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Find rows and columns of the pixels for which splines are too coarse."""
    reach_m = _SHALLOW_MARGIN * _SHALLOW_STEP * place.pixel_m
    strike = np.radians(trace.strike_deg)
    # First the box around the edge, since most pixels lie outside.
    half_rows = (0.5 * trace.length_m * abs(np.cos(strike)) + reach_m) / place.pixel_m
    half_cols = (0.5 * trace.length_m * abs(np.sin(strike)) + reach_m) / place.pixel_m
    row, col = place.row - trace.north_m / place.pixel_m, place.col + trace.east_m / place.pixel_m
    first_row, last_row = (int(np.clip(row + side * half_rows, 0, place.shape[0])) for side in (-1, 1))
    first_col, last_col = (int(np.clip(col + side * half_cols, 0, place.shape[1])) for side in (-1, 1))
    east = place.east_m(np.arange(first_col, min(last_col + 1, place.shape[1]))[None, :])
    north = place.north_m(np.arange(first_row, min(last_row + 1, place.shape[0]))[:, None])
    rows, cols = np.nonzero(trace.distance(east, north) < reach_m)
    return rows + first_row, cols + first_col


def _at_nodes(source: Source, place: Placed, look: LookVector, step: int, height_m: float) -> Array:
    east = place.east_m(nodes(place.shape[1], step)[None, :])
    north = place.north_m(nodes(place.shape[0], step)[:, None])
    return project_to_los(source.field(east, north, height_m), look)


def _splined(
    source: Source, place: Placed, look: LookVector, probed: Probe, height_m: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """Spline the LOS from its nodes; over terrain, from several levels, and with the height interpolated."""
    step, levels = probed.step, probed.levels
    if levels is None or height_m is None:
        return upsample(probed.los_m, place.shape, step)
    stack = np.stack(
        [
            probed.los_m if number == probed.level else _at_nodes(source, place, look, step, float(level_m))
            for number, level_m in enumerate(levels.heights_m)
        ]
    )
    terms = np.tensordot(np.linalg.inv(np.vander(levels.knots, increasing=True)), stack, axes=1)
    position = np.log(height_m + np.float32(levels.depth_m))
    position -= np.float32(levels.middle)
    position *= np.float32(1 / levels.half)
    los = upsample(terms[-1], place.shape, step)
    for term in terms[-2::-1]:
        los *= position
        los += upsample(term, place.shape, step)
    return los
