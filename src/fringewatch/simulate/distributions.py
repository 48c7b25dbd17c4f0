"""Distributions that several parts of a scene are drawn from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

_Name = TypeVar("_Name", bound=str)

__all__ = ["fitting", "log_uniform", "weighted_choice"]


def fitting(bounds: tuple[float, float], largest: float) -> tuple[float, float]:
    """Lower the upper end of a range to what fits the scene, but leave a quarter above the lower end."""
    return bounds[0], min(bounds[1], max(1.25 * bounds[0], largest))


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw from a log-uniform distribution."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def weighted_choice(rng: np.random.Generator, weights: Mapping[_Name, float]) -> _Name:
    """Draw a key in proportion to its weight."""
    # As `rng.choice` does it, which spends most of its time on checks.
    place = rng.random() * sum(weights.values())
    *others, last = weights
    total = 0.0
    for name in others:
        total += weights[name]
        if place < total:
            return name
    return last
