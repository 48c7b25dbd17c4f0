"""Profiles of a Knothe trough along one axis: a strip is mined, at once or by an advancing face.

The subsidence over a rectangle is the product of two profiles, one along and one across the panel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import erf, erfc, erfcx

from fringewatch.physics._cubic import evaluate_cubic

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Profile", "Table", "advancing_strip", "mined_strip", "tabulate"]

# Nodes per radius of influence: cubics between them are exact to 1e-8 of the largest subsidence, their slopes to 1e-6
# of the steepest one.
_NODES_PER_RADIUS = 64
# Radii from the panel at which exp(-pi d^2 / r^2) is 1e-22.
_REACH_RADII = 4.0


class Profile(NamedTuple):
    """Share of the largest possible subsidence along one axis, and its derivative per metre."""

    value: Array
    slope: Array


def mined_strip(position: Array, back: float, front: float, radius: float) -> Profile:
    """Compute the final profile over a strip from ``back`` to ``front``."""
    scale = math.sqrt(math.pi) / radius
    from_back, from_front = scale * (position - back), scale * (position - front)
    value = 0.5 * (erf(from_back) - erf(from_front))
    slope = (np.exp(-from_back * from_back) - np.exp(-from_front * from_front)) / radius
    return Profile(value, slope)


def advancing_strip(
    position: Array,
    back: float,
    front: float,
    *,
    radius: float,
    speed: float,
    day: float,
    time_factor: float | None,
) -> Profile:
    """Compute the profile on one day of mining: what is taken out, less what Knothe's law still holds back."""
    virtual_face = back + speed * day
    face = min(virtual_face, front)
    settled = mined_strip(position, back, face, radius)
    if time_factor is None:
        return settled
    pending = _pending_strip(position, back, face, radius=radius, lag=speed / time_factor, virtual_face=virtual_face)
    return Profile(settled.value - pending.value, settled.slope - pending.slope)


def _pending_strip(
    position: Array, back: float, face: float, *, radius: float, lag: float, virtual_face: float
) -> Profile:
    """Compute the subsidence still to come, ``exp(-(virtual_face - u) / lag)`` of that of each point ``u``.

    ``lag`` is the distance that the face moves within Knothe's time constant, ``virtual_face`` where it would be
    had it not stopped at the end of the panel.
    """
    scale = math.sqrt(math.pi) / radius
    shift = radius * radius / (2.0 * math.pi * lag)

    def tail(end: float) -> Array:
        # Integral of the weighted Gaussian over all u < end. Both forms are the same number; each is used where
        # neither of its factors can overflow.
        z = scale * (position + shift - end)
        gauss = -np.square(scale * (position - end))
        fade = (end - virtual_face) / lag
        ahead = np.exp(gauss + fade) * erfcx(np.maximum(z, 0.0))
        exponent = (position - virtual_face) / lag + shift / (2.0 * lag)
        behind = np.exp(np.minimum(exponent, 0.0)) * erfc(np.minimum(z, 0.0))
        return np.asarray(0.5 * np.where(z >= 0.0, ahead, behind))

    def edge(end: float) -> Array:
        return np.asarray(np.exp((end - virtual_face) / lag - np.square(scale * (position - end))) / radius)

    value = tail(face) - tail(back)
    # By parts: the derivative of a Gaussian is carried to the weight.
    slope = value / lag - edge(face) + edge(back)
    return Profile(value, slope)


def tabulate(
    profile: Callable[[Array], Profile], half_length: float, radius: float, points: int
) -> Callable[[Array], Profile]:
    """Replace a profile by a table of itself if it is to be evaluated at many points: error functions are slow.

    Parameters
    ----------
    profile
        Profile of a strip that lies within ``half_length`` of 0.
    half_length, radius
        Metres.
    points
        How many points will be asked for; for fewer than the table has nodes, the profile itself comes back.
    """
    reach = half_length + _REACH_RADII * radius
    step = radius / _NODES_PER_RADIUS
    count = math.ceil(2.0 * reach / step)
    if points <= count:
        return profile
    nodes = np.arange(count + 1, dtype=np.float64)
    table = profile(step * nodes - reach)
    # Cubic Hermite pieces on unit intervals, highest power first.
    rise, slopes = np.diff(table.value), table.slope * step
    first, second = slopes[:-1], slopes[1:]
    coefficients = np.stack([first + second - 2.0 * rise, 3.0 * rise - 2.0 * first - second, first, table.value[:-1]])
    return Table(coefficients, reach, step)


@dataclass(frozen=True)
class Table:
    """A profile as cubic pieces of equal length."""

    coefficients: Array
    """(4, n), highest power first."""
    reach: float
    """How far before the middle the first piece begins, metres."""
    step: float
    """Length of a piece, metres."""

    def __call__(self, position: Array) -> Profile:
        """Evaluate the profile at positions, metres from the middle."""
        value, slope = evaluate_cubic(self.coefficients, (position + self.reach) / self.step)
        return Profile(value, slope / self.step)
