"""Which ground, atmosphere and processing occur together: positions inside the ranges of a scene.

A scene without deformation has some twenty parameters. Real ones are not independent: noise that was averaged away
goes with resampled pixels, and strong filters with smooth phase. A :class:`Position` says for each parameter where in
its distribution it lies, from 0 (lowest) to 1 (highest). Drawn independently (:func:`independent`) positions give the
distributions of :class:`~fringewatch.simulate.spec.SceneSpec` and wide ranges of coherence and processing; drawn from
the table ``licsar.csv`` (:func:`licsar`) they occur together as in archives of LiCSAR products. The table holds
positions only, no phase.

It was made by approximate Bayesian computation (Beaumont et al. 2002, Genetics 162, 2025-2035): scenes are simulated
at independent positions, those most alike to real quiet patches are kept, and the table is drawn from them.
``benchmarks/fit_styles.py`` makes it, also for another archive.
"""

from __future__ import annotations

import csv
import io
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import ndtri

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "KERNEL",
    "Position",
    "above",
    "between",
    "half_normal",
    "independent",
    "jittered",
    "licsar",
    "log_between",
    "normal",
]

KERNEL = 0.03
"""Half width of the uniform kernel about a row of the table."""


class Position(NamedTuple):
    """Where each parameter lies in its distribution, 0 to 1."""

    log_odds: float
    """Coherence of the median pixel, as ``log(g / (1 - g))``."""
    spread: float
    """Standard deviation of that over the scene."""
    patch_size: float
    """Correlation length of the coherence."""
    floor: float
    """Coherence that is never lost."""
    by_slope: float
    """Loss on slopes."""
    by_height: float
    """Change with height."""
    by_valley: float
    """Loss in a belt of heights."""
    looks: float
    filtering: float
    """None, weak, strong, twice."""
    smoothing: float
    """Running mean that correlates noise evenly."""
    blend_row: float
    blend_column: float
    """Interpolation between neighbours."""
    stretch: float
    """Repeated columns."""
    picture_mean: float
    """Pictures averaged."""
    turbulence: float
    """Its standard deviation."""
    spectrum: float
    """Its kind: three-regime, smooth, exponential."""
    stratified: float
    """Size of the delay with height."""
    ramp: float
    """None, usual, steep."""
    topographic: float
    """Fringes along the terrain: none, few, many."""
    relief: float
    water: float
    """None, little, much."""


def independent(rng: np.random.Generator) -> Position:
    """Draw every parameter independently."""
    return Position(*rng.random(len(Position._fields)).tolist())


def licsar(rng: np.random.Generator) -> Position:
    """Draw parameters that occur together in LiCSAR's quiet scenes: a row of the table, and a place near it."""
    return jittered(rng, _table())


def jittered(rng: np.random.Generator, table: NDArray[np.float64]) -> Position:
    """Draw a row of a table (rows, parameters), and from the kernel about it; what leaves 0 to 1 is reflected."""
    row = table[int(rng.integers(len(table)))] + rng.uniform(-KERNEL, KERNEL, table.shape[1])
    return Position(*np.minimum(np.abs(row), 2 - np.maximum(row, 1)).clip(0, 1 - 1e-9).tolist())


@cache
def _table() -> NDArray[np.float64]:
    text = resources.files("fringewatch.simulate").joinpath("licsar.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(io.StringIO(text))
    return np.array([[float(row[name]) for name in Position._fields] for row in rows])


def between(position: float, low: float, high: float) -> float:
    """Compute the value of a uniform distribution at a position."""
    return low + position * (high - low)


def log_between(position: float, low: float, high: float) -> float:
    """Compute the value of a log-uniform distribution at a position."""
    return float(low * (high / low) ** position)


def normal(position: float, std: float) -> float:
    """Compute the value of a normal distribution about zero at a position, out to four standard deviations."""
    return float(np.clip(ndtri(position), -4, 4)) * std


def half_normal(position: float, std: float) -> float:
    """Compute the size of a normal variable about zero at a position, out to four standard deviations."""
    return normal((1 + position) / 2, std)


def above(position: float, share: float) -> float:
    """Compute the position inside the upper `share` of a distribution whose rest is "none"; negative for none."""
    return (position - (1 - share)) / share if share > 0 else -1.0
