"""What a provider's processing does to the phase: looks, filter, geocoding, gaps.

Three styles: ``licsar`` (100 m, COMET LiCSAR as volcano archives hold it), ``hyp3`` (ASF HyP3) and ``raw`` (any
processing, from the ranges of :class:`~fringewatch.simulate.spec.SceneSpec`, wider than both).

The ranges of ``licsar`` are wide; which parts of them occur, and together with what ground and atmosphere, is said by a
table that was fitted to real quiet patches, see :mod:`~fringewatch.simulate.nuisance`. ``hyp3`` takes ground and
atmosphere from the same table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.compiled import kernels
from fringewatch.physics.coherence import angles, multilook_phasor
from fringewatch.physics.filtering import goldstein
from fringewatch.simulate.distributions import log_uniform, weighted_choice
from fringewatch.simulate.nuisance import above, between, licsar, log_between

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fringewatch.simulate.nuisance import Position
    from fringewatch.simulate.spec import SceneSpec

__all__ = ["Processing", "draw_missing", "draw_processing", "draw_seam", "observe", "process_like_licsar"]

_MOST_MISSING = 0.66
# LiCSAR's volcano patches are cut well inside the frames.
_LICSAR_MISSING = 0.25


class Processing(NamedTuple):
    """How one scene was processed."""

    style: str
    """``licsar``, ``hyp3`` or ``raw``."""
    looks: float
    """Effective number of independent looks."""
    goldstein_alpha: float
    """Exponent of the Goldstein filter, 0 for none."""
    blend_row: float = 0.0
    """Share of the next row in each pixel, as geocoding by linear interpolation leaves it."""
    blend_column: float = 0.0
    """The same of the next column."""
    stretch: float = 1.0
    """Columns of a degree grid per column of the data: 1 / cos(latitude), their noise repeats."""
    smoothing: float = 0.0
    """Share of each neighbour along rows and columns in each pixel, up to 1/3: looks that overlap, a finer grid."""
    smoothing_passes: int = 1
    """How often that was done; six times make a Gaussian of 2 pixels, as strong filters leave it."""
    filter_passes: int = 1
    """How often the Goldstein filter ran."""
    picture_mean: int = 1
    """Pixels whose wrapped phase was averaged as plain numbers, as by resizing a picture of phase; 1 = not done."""
    position: Position | None = None
    """Which ground and atmosphere go with it; None: any."""

    def parameters(self) -> dict[str, float | int | str]:
        """Return what differs from no processing, for the truth of a sample."""
        drawn: dict[str, float | int | str] = {"style": self.style, "looks": self.looks}
        neutral = Processing("", 0.0, 0.0)
        names = Processing._fields[2:-1]
        return drawn | {name: getattr(self, name) for name in names if getattr(self, name) != getattr(neutral, name)}


def draw_processing(rng: np.random.Generator, spec: SceneSpec, *, fine: bool = False) -> Processing:
    """Draw a style and its settings.

    Parameters
    ----------
    rng
        Source of randomness.
    spec
        Weights of the styles, and the ranges of ``raw``.
    fine
        Pixels finer than LiCSAR delivers: that style is left out, unless there is no other.
    """
    weights = {name: weight for name, weight in spec.styles.items() if not (fine and name == "licsar")}
    style = weighted_choice(rng, weights if sum(weights.values()) > 0 else spec.styles)
    if style == "licsar":
        return process_like_licsar(licsar(rng))
    if style == "hyp3":
        return Processing(
            style,
            looks=log_uniform(rng, 8, 60),
            goldstein_alpha=float(rng.uniform(0.4, 0.7)),
            blend_row=float(rng.uniform(0, 0.5)),
            blend_column=float(rng.uniform(0, 0.5)),
            position=licsar(rng),
        )
    filtered = rng.random() < spec.goldstein_share
    alpha = float(rng.uniform(*spec.goldstein_alpha)) if filtered else 0.0
    return Processing(style, log_uniform(rng, *spec.looks), alpha)


def process_like_licsar(position: Position) -> Processing:
    """Give the processing at a position in the ranges of style ``licsar``, which are wide."""
    strength = above(position.filtering, 0.5)
    stretch, mean = above(position.stretch, 0.15), above(position.picture_mean, 0.2)
    smoothing = above(position.smoothing, 0.5)
    return Processing(
        "licsar",
        looks=log_between(position.looks, 3.0, 80.0),
        # Up to 0.7 of the range once, beyond it twice.
        goldstein_alpha=between(strength / 0.7 if strength < 0.7 else (strength - 0.7) / 0.3, 0.15, 1.0)
        if strength > 0
        else 0.0,
        filter_passes=2 if strength > 0.7 else 1,
        # Up to 0.6 of the range once, beyond it two to six times.
        smoothing=between(min(smoothing / 0.6, 1.0), 0.0, 1 / 3) if smoothing > 0 else 0.0,
        smoothing_passes=2 + int((smoothing - 0.6) / 0.4 * 4.999) if smoothing > 0.6 else 1,
        # Pictures are always resampled.
        blend_row=_blend_share(position.blend_row) if mean < 0 else 0.5 * position.blend_row,
        blend_column=_blend_share(position.blend_column) if mean < 0 else 0.5 * position.blend_column,
        stretch=between(stretch, 1.0, 2.0) if stretch > 0 else 1.0,
        picture_mean=2 + int(5 * mean) if mean > 0 else 1,
        position=position,
    )


def _blend_share(position: float) -> float:
    """Compute what interpolation takes from a neighbour: mostly little, as a product's grid was hardly moved."""
    some = above(position, 0.7)
    return 0.5 * some**3 if some > 0 else 0.0


def observe(
    rng: np.random.Generator, phasor: NDArray[np.complex64], coherence: NDArray[np.float32], processing: Processing
) -> NDArray[np.float32]:
    """Add noise to a scene, filter it, and bring it onto the product's grid.

    Parameters
    ----------
    rng
        Source of randomness.
    phasor
        (H, W) ``exp(i phase)`` without noise; may be overwritten.
    coherence
        (H, W) in [0, 1].
    processing
        As :func:`draw_processing` draws it.

    Returns
    -------
    numpy.ndarray
        (H, W) float32, wrapped radians in [-pi, pi].
    """
    if processing.picture_mean > 1:
        # A picture's phase is averaged as grey values: noise gathers at the zero of the scale, jumps turn grey.
        total = np.zeros(phasor.shape, np.float32)
        for _ in range(processing.picture_mean):
            total += angles(phasor * _noise(rng, coherence, processing))
        total /= np.float32(processing.picture_mean)
        return _resample(total, processing.blend_row, processing.blend_column)
    phasor *= _noise(rng, coherence, processing)
    for _ in range(processing.smoothing_passes if processing.smoothing else 0):
        phasor = _smooth(phasor, processing.smoothing)
    for _ in range(processing.filter_passes if processing.goldstein_alpha else 0):
        phasor = goldstein(phasor, processing.goldstein_alpha)
    return angles(_blend(phasor, processing.blend_row, processing.blend_column))


def _noise(rng: np.random.Generator, coherence: NDArray[np.float32], processing: Processing) -> NDArray[np.complex64]:
    noise = multilook_phasor(coherence, processing.looks, rng)
    if processing.stretch > 1:
        columns = (np.arange(noise.shape[1]) / processing.stretch).astype(np.intp)
        noise = noise[:, columns]
    return noise


def _resample(values: NDArray[np.float32], row: float, column: float) -> NDArray[np.float32]:
    """Move by fractions of a pixel by cubic convolution (Keys 1981, IEEE TASSP 29, eq. 15), as pictures are resized.

    Its weights beside the nearest two are negative: noise is correlated over one pixel, anticorrelated over two.
    """
    for t in (row, column):
        weights = (
            ((-t / 2 + 1) * t - 1 / 2) * t,
            (1.5 * t - 2.5) * t * t + 1,
            ((-1.5 * t + 2) * t + 1 / 2) * t,
            (t / 2 - 1 / 2) * t * t,
        )
        padded = np.pad(values, ((1, 2), (0, 0)), mode="edge")
        moved = np.zeros_like(values)
        for start, weight in enumerate(weights):
            moved += np.float32(weight) * padded[start : start + len(values)]
        values = moved.T
    return np.ascontiguousarray(values.clip(-np.pi, np.pi))


def _smooth(values: NDArray[np.complex64], share: float) -> NDArray[np.complex64]:
    """Average each pixel with its two neighbours along columns, then along rows; the edges stay."""
    for _ in range(2):
        mixed = values * np.float32(1 - 2 * share)
        around = values[:-2] + values[2:]
        around *= np.float32(share)
        mixed[1:-1] += around
        mixed[0], mixed[-1] = values[0], values[-1]
        values = mixed.T
    return np.ascontiguousarray(values)


def _blend(values: NDArray[np.complex64], row: float, column: float) -> NDArray[np.complex64]:
    """Interpolate linearly between neighbours, by the same fraction everywhere; the last row and column stay."""
    if not (row or column):
        return values
    if compiled := kernels("phase"):
        mixed = np.empty(values.shape, np.complex64)
        parts, written = (np.ascontiguousarray(z).view(np.float32).reshape(*z.shape, 2) for z in (values, mixed))
        compiled.blend(parts, np.float32(row), np.float32(column), written)
        return mixed
    for share, near, far in ((row, np.s_[:-1], np.s_[1:]), (column, np.s_[:, :-1], np.s_[:, 1:])):
        mixed = values.copy()
        mixed[near] *= np.float32(1 - share)
        mixed[near] += np.float32(share) * values[far]
        values = mixed
    return values


def draw_missing(
    rng: np.random.Generator,
    shape: tuple[int, int],
    share: float,
    *,
    style: str = "raw",
    coherence: NDArray[np.float32] | None = None,
) -> NDArray[np.bool_]:
    """Draw a mask of missing data as providers leave it: slanted frame edges, burst gaps, holes of low coherence.

    Parameters
    ----------
    rng
        Source of randomness.
    shape
        Rows and columns.
    share
        Share of scenes with missing data; a quarter of it in style ``licsar``.
    style
        Product style. Only other styles than ``licsar`` mask low coherence.
    coherence
        (H, W) in [0, 1], for masks of low coherence.

    Returns
    -------
    numpy.ndarray
        (H, W) bool, True = missing; never more than two thirds of the scene.
    """
    missing = np.zeros(shape, bool)
    if rng.random() >= share * (_LICSAR_MISSING if style == "licsar" else 1.0):
        return missing
    size = max(shape)
    how = rng.random()
    if how < 0.5:
        # A frame's edge is nearly straight, tilted 8 to 15 degrees from the grid, on any side; where one burst ends
        # and another one begins it may jump.
        along, across = _tilted(rng, shape, quarters=4)
        jump = float(rng.uniform(-0.04, 0.04)) * size * (rng.random() < 0.5)
        missing |= across > rng.uniform(-0.1, 0.6) * size + jump * (along > rng.uniform(-0.4, 0.4) * size)
    if 0.45 < how < 0.85:
        for _ in range(int(rng.integers(1, 4))):
            _, across = _tilted(rng, shape, quarters=2)
            missing |= np.abs(across - rng.uniform(-0.5, 0.5) * size) < rng.uniform(1, 8)
    if how > 0.8 and coherence is not None and style != "licsar":
        missing |= coherence < rng.uniform(0.05, 0.25)
    return missing if missing.mean() < _MOST_MISSING else np.zeros(shape, bool)


def draw_seam(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Draw the phase (H, W), rad, that is left where bursts or frames were joined: a step along a straight line."""
    _, across = _tilted(rng, shape, quarters=2)
    beyond = across > rng.uniform(-0.4, 0.4) * max(shape)
    return np.asarray(beyond * np.float32(rng.uniform(-np.pi, np.pi)))


def _tilted(
    rng: np.random.Generator, shape: tuple[int, int], *, quarters: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Coordinates (pixels from the middle) along and across a line that is tilted from one of the grid's axes."""
    angle = np.radians(rng.uniform(-20, 20) + 90 * rng.integers(quarters))
    sin, cos = np.float32(np.sin(angle)), np.float32(np.cos(angle))
    rows = np.arange(shape[0], dtype=np.float32)[:, np.newaxis] - np.float32(shape[0] / 2)
    cols = np.arange(shape[1], dtype=np.float32) - np.float32(shape[1] / 2)
    return cols * cos - rows * sin, rows * cos + cols * sin
