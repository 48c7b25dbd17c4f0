"""What a provider's processing does to the phase: looks, filter, geocoding, gaps.

Three styles: ``licsar`` (100 m, COMET LiCSAR as volcano archives hold it), ``hyp3`` (ASF HyP3) and ``raw`` (any
processing, from the ranges of :class:`~fringewatch.simulate.spec.SceneSpec`, wider than both).

The numbers of ``licsar`` are those whose scenes resemble 654 patches of 139 quiet volcanoes best: 3,800 scenes were
drawn from ranges twice as wide, and of every real patch the three most alike in 23 figures were kept. The figures are
those of ``benchmarks/realism.py --measure``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from fringewatch.physics.coherence import multilook_phasor
from fringewatch.physics.filtering import goldstein
from fringewatch.simulate.distributions import log_uniform, weighted_choice

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fringewatch.simulate.spec import SceneSpec

_Value = TypeVar("_Value", np.float32, np.complex64)

__all__ = ["Processing", "draw_missing", "draw_processing", "observe"]

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
    picture_mean: int = 1
    """Pixels whose wrapped phase was averaged as plain numbers, as by resizing a picture of phase; 1 = not done."""

    def parameters(self) -> dict[str, float | int | str]:
        """Return what differs from no processing, for the truth of a sample."""
        drawn: dict[str, float | int | str] = {"style": self.style, "looks": self.looks}
        neutral = Processing("", 0.0, 0.0)
        names = ("goldstein_alpha", "blend_row", "blend_column", "stretch", "picture_mean")
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
        return Processing(
            style,
            looks=log_uniform(rng, 5, 45),
            goldstein_alpha=float(rng.uniform(0.2, 1.0)) if rng.random() < 0.4 else 0.0,
            blend_row=_draw_blend(rng),
            blend_column=_draw_blend(rng),
            stretch=float(rng.uniform(1.0, 2.0)) if rng.random() < 0.12 else 1.0,
            picture_mean=int(rng.integers(2, 7)) if rng.random() < 0.08 else 1,
        )
    if style == "hyp3":
        return Processing(
            style,
            looks=log_uniform(rng, 8, 60),
            goldstein_alpha=float(rng.uniform(0.4, 0.7)),
            blend_row=float(rng.uniform(0, 0.5)),
            blend_column=float(rng.uniform(0, 0.5)),
        )
    filtered = rng.random() < spec.goldstein_share
    alpha = float(rng.uniform(*spec.goldstein_alpha)) if filtered else 0.0
    return Processing(style, log_uniform(rng, *spec.looks), alpha)


def _draw_blend(rng: np.random.Generator) -> float:
    """Draw what interpolation takes from a neighbour: mostly little, as a product's grid was hardly moved."""
    how = rng.random()
    if how < 0.2:
        return 0.0
    return abs(float(rng.normal(0, 0.06))) if how < 0.88 else float(rng.uniform(0, 0.5))


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
            total += np.angle(phasor * _noise(rng, coherence, processing))
        total /= np.float32(processing.picture_mean)
        return _blend(total, 0.15, 0.15)
    phasor *= _noise(rng, coherence, processing)
    if processing.goldstein_alpha:
        phasor = goldstein(phasor, processing.goldstein_alpha)
    phase: NDArray[np.float32] = np.angle(_blend(phasor, processing.blend_row, processing.blend_column))
    return phase


def _noise(rng: np.random.Generator, coherence: NDArray[np.float32], processing: Processing) -> NDArray[np.complex64]:
    noise = multilook_phasor(coherence, processing.looks, rng)
    if processing.stretch > 1:
        columns = (np.arange(noise.shape[1]) / processing.stretch).astype(np.intp)
        noise = noise[:, columns]
    return noise


def _blend(values: NDArray[_Value], row: float, column: float) -> NDArray[_Value]:
    """Interpolate linearly between neighbours, by the same fraction everywhere; the last row and column stay."""
    for axis, share in ((0, row), (1, column)):
        if share:
            here = values if axis == 0 else values.T
            mixed = here.copy()
            mixed[:-1] *= np.float32(1 - share)
            mixed[:-1] += np.float32(share) * here[1:]
            values = mixed if axis == 0 else mixed.T
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


def _tilted(
    rng: np.random.Generator, shape: tuple[int, int], *, quarters: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Coordinates (pixels from the middle) along and across a line that is tilted from one of the grid's axes."""
    angle = np.radians(rng.uniform(-20, 20) + 90 * rng.integers(quarters))
    sin, cos = np.float32(np.sin(angle)), np.float32(np.cos(angle))
    rows = np.arange(shape[0], dtype=np.float32)[:, np.newaxis] - np.float32(shape[0] / 2)
    cols = np.arange(shape[1], dtype=np.float32) - np.float32(shape[1] / 2)
    return cols * cos - rows * sin, rows * cos + cols * sin
