"""How deformation goes on between the first and the last date of a time series."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fringewatch.physics.geometry import project_to_los
from fringewatch.physics.mining import Panel, advance_increment
from fringewatch.simulate.deformation.mining import draw_roof, draw_size
from fringewatch.simulate.distributions import log_uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fringewatch.physics.geometry import LookVector
    from fringewatch.simulate.spec import Kind, SceneSpec

    Parameters = dict[str, float | int | str]

__all__ = ["draw_history", "draw_mining_history"]

_AFTERSLIP = (0.0, 0.2)


def draw_history(
    rng: np.random.Generator, kind: Kind, days: NDArray[np.float64]
) -> tuple[NDArray[np.float64], Parameters]:
    """Draw how much of a source's final strength is reached at each date.

    Volcanic sources grow steadily, ever more slowly (a chamber that fills to the pressure of its feeder), or in one
    episode with a soft start and end; one in five acts at once, as dykes do. Earthquakes act at once, and afterslip of
    up to a fifth follows.

    Parameters
    ----------
    rng
        Source of randomness.
    kind
        Of the scene.
    days
        (dates,) since the first date, rising from 0.

    Returns
    -------
    numpy.ndarray
        (dates,) from 0 at the first to 1 at the last date, never falling.
    dict
        What was drawn.
    """
    span = float(days[-1])
    onset = float(rng.uniform(0.15, 0.85)) * span
    if kind == "earthquake":
        share, tau = float(rng.uniform(*_AFTERSLIP)), float(rng.uniform(0.05, 0.5)) * span
        after = np.clip(days - onset, 0, None)
        raw = (days >= onset) * (1 - share) - share * np.expm1(-after / tau)
        drawn: Parameters = {"history": "event", "onset_day": onset, "afterslip_share": share, "decay_days": tau}
    else:
        style = str(rng.choice(["steady", "decaying", "episode", "event"], p=[0.3, 0.25, 0.25, 0.2]))
        duration = float(rng.uniform(0.05, 0.5)) * span
        raw = {
            "steady": days,
            "decaying": -np.expm1(-days / duration),
            "episode": 0.5 * (1 + np.tanh((days - onset) / (0.5 * duration))),
            "event": (days >= onset).astype(float),
        }[style]
        drawn = {"history": style, "onset_day": onset, "decay_days": duration}
    return (raw - raw[0]) / (raw[-1] - raw[0]), drawn


def draw_mining_history(
    rng: np.random.Generator, spec: SceneSpec, pixel_m: float, look: LookVector, days: NDArray[np.float64]
) -> tuple[NDArray[np.float32], Parameters]:
    """Draw longwall panels whose faces advance through all dates, and the deformation at each date.

    Parameters
    ----------
    rng
        Source of randomness.
    spec
        Ranges of the panels.
    pixel_m
        Side of a pixel, metres.
    look
        Unit vector from the ground to the satellite.
    days
        (dates,) since the first date, rising from 0.

    Returns
    -------
    numpy.ndarray
        (dates, H, W) LOS deformation since the first date, metres, float32, positive towards the satellite.
    dict
        What was drawn; keys of the n-th panel end in ``_n``.
    """
    ranges = draw_size(rng, spec.longwall)
    shape = (spec.height_px, spec.width_px)
    total = np.zeros((len(days), *shape), np.float32)
    azimuth, depth = float(rng.uniform(0, 360)), log_uniform(rng, *ranges.depth_m)
    roof, factors = draw_roof(rng, ranges)
    factor = float(rng.uniform(*factors))
    thickness = float(rng.uniform(*ranges.seam_thickness_m))
    horizontal = float(rng.uniform(*ranges.horizontal_factor))
    count = int(rng.integers(spec.panels[0], spec.panels[1] + 1))
    parameters: Parameters = {
        "roof": roof,
        "subsidence_factor": factor,
        "seam_thickness_m": thickness,
        "panels": count,
    }
    rows, cols = np.arange(shape[0])[:, None], np.arange(shape[1])[None, :]
    for number in range(1, count + 1):
        speed = float(rng.uniform(*ranges.advance_m_per_day))
        time_factor = None if rng.random() < ranges.at_once_share else log_uniform(rng, *ranges.time_factor_per_day)
        panel = Panel(
            length_m=float(rng.uniform(*ranges.length_m)),
            width_m=float(rng.uniform(*ranges.width_m)),
            azimuth_deg=azimuth,
            depth_m=depth,
            seam_thickness_m=thickness,
            subsidence_factor=factor,
            tan_beta=float(rng.uniform(*ranges.tan_beta)),
        )
        # The face is somewhere in the panel on the first date, so that something moves from the start.
        begun = float(rng.uniform(0, 0.7)) * panel.length_m / speed
        row, col = (float(rng.uniform(0.15, 0.85)) * size for size in shape)
        for date, day in enumerate(days):
            if day > 0:
                moved = advance_increment(
                    (cols - col) * pixel_m,
                    (row - rows) * pixel_m,
                    panel,
                    advance_m_per_day=speed,
                    start_day=begun,
                    end_day=begun + float(day),
                    time_factor_per_day=time_factor,
                    horizontal_factor=horizontal,
                )
                total[date] += project_to_los(moved, look).astype(np.float32)
        drawn: Parameters = {
            "source": "longwall",
            "depth_m": panel.depth_m,
            "length_m": panel.length_m,
            "width_m": panel.width_m,
            "azimuth_deg": azimuth,
            "tan_beta": panel.tan_beta,
            "advance_m_per_day": speed,
            "time_factor_per_day": time_factor or 0.0,
            "mined_before_first_date_m": begun * speed,
            "row": row,
            "col": col,
        }
        parameters |= {f"{key}_{number}": value for key, value in drawn.items()}
    return total, parameters
