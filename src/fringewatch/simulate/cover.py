"""Coherence of the ground: patches of vegetation and rock, valley floors, slopes, layover, water."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.compiled import kernels
from fringewatch.physics.coherence import log_odds_field
from fringewatch.physics.terrain import layover_or_shadow, slope_deg
from fringewatch.simulate.nuisance import above, between, log_between, normal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fringewatch.physics.geometry import LookVector
    from fringewatch.simulate.nuisance import Position

    Real = NDArray[np.float32]

__all__ = ["Cover", "draw_cover"]

_LAYOVER_FACTOR = np.float32(0.2)


class Cover(NamedTuple):
    """Coherence of a scene, without the loss by deformation."""

    coherence: Real
    """(H, W) in [0, 1]."""
    parameters: dict[str, float | int | str]


def draw_cover(
    rng: np.random.Generator, height_m: Real, pixel_m: float, look: LookVector | None, position: Position
) -> Cover:
    """Draw the coherence of volcanic ground.

    Parameters
    ----------
    rng
        Source of randomness.
    height_m
        (H, W) terrain.
    pixel_m
        Pixel size, metres.
    look
        Unit vector from the ground to the satellite; None leaves out layover and shadow.
    position
        Level, spread, patch size and floor of the coherence, and what it follows. The ranges are wide; how often each
        part of them occurs is said by :mod:`~fringewatch.simulate.nuisance`.
    """
    log_odds = between(position.log_odds, -5.0, 5.0)
    spread = between(position.spread, 0.2, 4.5)
    correlation_m = log_between(position.patch_size, 120.0, 10e3)
    floor = between(position.floor, 0.0, 0.15)
    odds = log_odds_field(height_m.shape, pixel_m, rng, spread=spread, correlation_m=correlation_m)
    by_slope = between(above(position.by_slope, 0.5), 0.0, 2.5)
    by_height = normal(position.by_height, 0.8)
    by_valley = between(above(position.by_valley, 0.4), 0.0, 6.0)
    compiled = kernels("ground")
    mean, deviation = compiled.mean_and_deviation(height_m) if compiled else (height_m.mean(), height_m.std())
    deviation = max(float(deviation), 1e-3)
    # A belt along one height: a valley floor, a shore, a lava field's edge.
    level, width = 0.0, 1.0
    if by_valley > 0:
        level = (float(np.quantile(height_m[::4, ::4], rng.uniform(0.1, 0.9))) - float(mean)) / deviation
        width = float(rng.uniform(0.02, 0.12))
    terms = _Terms(log_odds, by_slope, by_height, by_valley, level, width, floor)
    if compiled and min(height_m.shape) > 1:
        coherence = np.empty(height_m.shape, np.float32)
        numbers = [np.float32(value) for value in (pixel_m, log_odds, max(by_slope, 0.0), by_height)]
        scaling, belt, seen = (
            tuple(np.float32(value) for value in values)
            for values in (
                (mean, 1 / deviation),
                (max(by_valley, 0.0), level, 1 / width),
                (0, 0, 0) if look is None else (look.east, look.north, look.up),
            )
        )
        compiled.cover(
            odds,
            np.ascontiguousarray(height_m, np.float32),
            *numbers,
            scaling,
            belt,
            np.float32(floor),
            seen,
            _LAYOVER_FACTOR,
            coherence,
        )
    else:
        relative = height_m - np.float32(mean)
        relative /= np.float32(deviation)
        coherence = _cover(odds, height_m, relative, pixel_m, look, terms)
    return Cover(
        coherence,
        {
            "coherence_log_odds": log_odds,
            "coherence_spread": spread,
            "coherence_correlation_m": correlation_m,
            "coherence_floor": floor,
            "mean_coherence": float(coherence.mean()),
        },
    )


class _Terms(NamedTuple):
    """What log-odds are made of; see :class:`~fringewatch.simulate.nuisance.Position`."""

    log_odds: float
    by_slope: float
    by_height: float
    by_valley: float
    level: float
    width: float
    floor: float


def _cover(odds: Real, height_m: Real, relative: Real, pixel_m: float, look: LookVector | None, terms: _Terms) -> Real:
    """Compute the coherence from log-odds, which are overwritten; `relative` is the height in standard deviations."""
    odds += np.float32(terms.log_odds)
    if terms.by_slope > 0:
        odds -= np.float32(terms.by_slope) * np.square(slope_deg(height_m, pixel_m) * np.float32(1 / 20))
    # Trees end at some height, and so do fields: coherence follows the height, up or down.
    odds += np.float32(terms.by_height) * relative
    if terms.by_valley > 0:
        belt = relative - np.float32(terms.level)
        belt *= np.float32(1 / terms.width)
        odds -= np.float32(terms.by_valley) * np.exp(-np.square(belt))
    odds *= np.float32(0.5)
    coherence = np.tanh(odds, out=odds)
    coherence += 1
    coherence *= np.float32((1 - terms.floor) / 2)
    # Coherence that is never lost, as some scatterers in most pixels are stable.
    coherence += np.float32(terms.floor)
    if look is not None:
        coherence[layover_or_shadow(height_m, pixel_m, look)] *= _LAYOVER_FACTOR
    return coherence
