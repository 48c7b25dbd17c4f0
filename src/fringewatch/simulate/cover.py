"""Coherence of the ground: patches of vegetation and rock, valley floors, slopes, layover, water."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.physics.coherence import log_odds_field
from fringewatch.physics.terrain import layover_or_shadow, slope_deg
from fringewatch.simulate.distributions import log_uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fringewatch.physics.geometry import LookVector

    Real = NDArray[np.float32]

__all__ = ["Cover", "draw_cover", "is_barren"]

_BARREN_LOG_ODDS = -1.5
_LAYOVER_FACTOR = np.float32(0.2)


class Cover(NamedTuple):
    """Coherence of a scene, without the loss by deformation."""

    coherence: Real
    """(H, W) in [0, 1]."""
    parameters: dict[str, float | int | str]


def is_barren(cover: Cover) -> bool:
    """Tell bare ground, coherent for long, from cover that decorrelates; its pairs may span more time."""
    return float(cover.parameters["coherence_log_odds"]) > _BARREN_LOG_ODDS


def draw_cover(rng: np.random.Generator, height_m: Real, pixel_m: float, look: LookVector | None) -> Cover:
    """Draw the coherence of volcanic ground as LiCSAR's quiet scenes show it.

    Half of the scenes are noise but for islands; few are clear throughout. The distributions are those of
    :mod:`~fringewatch.simulate.styles`, and were found with them.

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
    """
    # Log-odds of the median pixel: quantiles 5, 25, 50, 75, 95 % of those alike to real patches are
    # -4.5, -3.1, -1.4, 0.4, 3.9.
    log_odds = float(np.clip(rng.normal(-1.1, 2.5), -4.8, 5.0))
    spread = float(rng.uniform(0.5, 2.8))
    correlation_m = log_uniform(rng, 170, 5000)
    floor = float(rng.uniform(0.01, 0.11))
    odds = log_odds_field(height_m.shape, pixel_m, rng, spread=spread, correlation_m=correlation_m)
    odds += np.float32(log_odds)

    by_slope = float(rng.uniform(0, 2)) if rng.random() < 0.5 else 0.0
    if by_slope:
        odds -= np.float32(by_slope) * np.square(slope_deg(height_m, pixel_m) * np.float32(1 / 20))
    # Trees end at some height, and so do fields: coherence follows the height, up or down.
    relative = height_m - height_m.mean()
    relative /= max(float(relative.std()), 1e-3)
    by_height = float(rng.normal(0, 1)) if rng.random() < 0.5 else 0.0
    if by_height:
        odds += np.float32(by_height) * relative
    by_valley = float(rng.uniform(0, 6)) if rng.random() < 0.3 else 0.0
    if by_valley:
        # A belt along one height: a valley floor, a shore, a lava field's edge.
        belt = relative - np.quantile(relative[::4, ::4], rng.uniform(0.1, 0.9)).astype(np.float32)
        belt *= np.float32(1 / rng.uniform(0.02, 0.12))
        odds -= np.float32(by_valley) * np.exp(-np.square(belt))

    odds *= np.float32(0.5)
    coherence = np.tanh(odds, out=odds)
    coherence += 1
    coherence *= np.float32((1 - floor) / 2)
    # Coherence that is never lost, as some scatterers in most pixels are stable.
    coherence += np.float32(floor)
    if look is not None:
        coherence[layover_or_shadow(height_m, pixel_m, look)] *= _LAYOVER_FACTOR
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
