"""How deformation goes on between the first and the last date of a time series."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fringewatch.physics.mining import Panel
from fringewatch.simulate.deformation.mining import draw_mine
from fringewatch.simulate.deformation.troughs import Advance, Mine, Trough, multilook_troughs, unit_troughs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fringewatch.physics.geometry import LookVector
    from fringewatch.simulate.spec import Kind, SceneSpec

    Parameters = dict[str, float | int | str]

__all__ = ["Troughs", "draw_history", "draw_mining_history", "multilook_between"]

Troughs = tuple[Trough, ...]
"""What has moved over a mine."""

_AFTERSLIP = (0.0, 0.2)
_OF_A_PANEL = (
    *("row", "col", "depth_m", "length_m", "width_m", "azimuth_deg"),
    *("advance_m_per_day", "start_day", "time_factor_per_day"),
)


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
) -> tuple[tuple[Troughs, ...], Parameters]:
    """Draw the mine of a single scene that goes from the first to the last date, and what has moved at each date.

    Parameters
    ----------
    rng
        Source of randomness.
    spec
        Ranges of the panels, and the fringes between the first and the last date.
    pixel_m
        Side of a pixel, metres.
    look
        Unit vector from the ground to the satellite.
    days
        (dates,) since the first date, whole, rising from 0.

    Returns
    -------
    tuple of tuple of Trough
        For each date the LOS motion since the first, metres, positive towards the satellite. All dates have the same
        windows and nodes, so what moved between two of them is the difference of their nodes. Empty where no panel
        reaches the scene.
    dict
        What was drawn; keys of the n-th panel end in ``_n``, and ``start_day_n`` is the first date, counted from the
        begin of mining.
    """
    span = int(days[-1])
    # The dates say how long it goes on: nothing is left to draw.
    longwall = spec.longwall.model_copy(update={"long_share": 0.0})
    scene = spec.model_copy(update={"interval_days": (span, span), "longwall": longwall})
    drawn = draw_mine(rng, scene, pixel_m, look).parameters
    mine = _rebuild(drawn, pixel_m)
    largest_m = np.float32(float(drawn["subsidence_factor"]) * float(drawn["seam_thickness_m"]))
    shape = (spec.height_px, spec.width_px)
    moved = [
        tuple(
            trough._replace(nodes_m=trough.nodes_m * largest_m)
            for trough in unit_troughs(mine._replace(days=float(day)), shape, pixel_m, look)
        )
        for day in days[1:]
    ]
    still = tuple(trough._replace(nodes_m=np.zeros_like(trough.nodes_m)) for trough in moved[0])
    # Every pair has an interval of its own.
    return (still, *moved), {key: value for key, value in drawn.items() if key != "interval_days"}


def multilook_between(
    earlier: Troughs, later: Troughs, shape: tuple[int, int], *, wavelength_m: float
) -> tuple[NDArray[np.float32], NDArray[np.complex64] | None]:
    """Average what moved over a mine between two dates to the pixels of the product, as in single scenes.

    Parameters
    ----------
    earlier, later
        Of two dates, as :func:`draw_mining_history` returns them.
    shape
        Rows and columns of the product.
    wavelength_m
        Of the radar.

    Returns
    -------
    los_m, phasor
        See :func:`~fringewatch.simulate.deformation.troughs.multilook_troughs`.
    """
    moved = [
        after._replace(nodes_m=after.nodes_m - before.nodes_m) for before, after in zip(earlier, later, strict=True)
    ]
    return multilook_troughs(moved, shape, largest_m=1.0, wavelength_m=wavelength_m)


def _rebuild(drawn: Parameters, pixel_m: float) -> Mine:
    """Rebuild the mine of a scene from the truth that the scene tells of it."""
    dip_deg, inset, propagation = (
        float(drawn.get(f"seam_{key}", usual))
        for key, usual in (("dip_deg", 0.0), ("inflection_over_depth", 0.0), ("dip_propagation", 0.7))
    )
    advances: list[Advance] = []
    for number in range(1, int(drawn["panels"]) + 1):
        row, col, depth_m, length_m, width_m, azimuth_deg, speed, start, time_factor = (
            float(drawn[f"{key}_{number}"]) for key in _OF_A_PANEL
        )
        panel = Panel(
            east_m=col * pixel_m,
            north_m=-row * pixel_m,
            length_m=length_m,
            width_m=width_m,
            azimuth_deg=azimuth_deg,
            depth_m=depth_m,
            seam_thickness_m=1.0,
            subsidence_factor=1.0,
            tan_beta=float(drawn["tan_beta"]),
            dip_deg=dip_deg,
            # As draw_mine limits it.
            inflection_offset_m=min(inset * depth_m, 0.35 * min(width_m, length_m)),
            dip_propagation=propagation,
        )
        advances.append(Advance(panel, speed, start, time_factor or None))
    return Mine(tuple(advances), 0.0, float(drawn["horizontal_factor"]))
