"""Subsidence over mined panels by the Knothe-Budryk influence function, between any two dates.

Every element of the seam that is taken out lowers the ground by a Gaussian of radius ``r = H / tan(beta)``, so a
rectangle gives a product of error functions. The Chinese probability integral method (PIM) is the same integral with
other names, a seam dip and an inflection offset; :class:`Panel` takes both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fringewatch.compiled import kernels
from fringewatch.errors import PhysicsError
from fringewatch.physics._check import require_at_least, require_between, require_finite, require_positive
from fringewatch.physics._chunks import chunks
from fringewatch.physics._knothe import Profile, Table, advancing_strip, mined_strip, tabulate
from fringewatch.physics.displacement import Displacement

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

__all__ = ["Panel", "advance_increment", "knothe_displacement", "knothe_subsidence"]

_HORIZONTAL_FACTOR = 0.32


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A rectangular longwall panel.

    Parameters
    ----------
    east_m, north_m
        Position of the panel's centre.
    length_m
        Size along the azimuth, the direction in which the face advances; typically 500-2,000 m.
    width_m
        Length of the face, across the azimuth; typically 150-300 m.
    azimuth_deg
        Direction of advance, degrees clockwise from north.
    depth_m
        Depth of the seam at the centre, typically 200-1,100 m.
    seam_thickness_m
        Extracted thickness, typically 1-4 m.
    subsidence_factor
        ``a`` of Knothe, ``q`` of PIM: largest possible subsidence over thickness, in (0, 1]. 0.5-0.9 with caving
        (Polish default 0.8), 0.1-0.3 with backfill.
    tan_beta
        Tangent of the angle of main influence, typically 1.5-2.6.
    dip_deg
        Dip of the seam, to the right of the azimuth, in [0, 60]. The largest possible subsidence is reduced by its
        cosine, and the trough moves down dip.
    inflection_offset_m
        PIM: distance by which the inflection point lies inside the panel edge, since the roof hangs over; about
        ``0.1 depth_m``. Knothe: 0.
    dip_propagation
        PIM: ``k`` in the angle of propagation ``90 deg - k dip`` under which a dipping seam moves its trough down
        dip by ``depth_m tan(k dip)``; 0.5-0.8.

    Raises
    ------
    PhysicsError
        If a value is not possible.
    """

    east_m: float = 0.0
    north_m: float = 0.0
    length_m: float
    width_m: float
    azimuth_deg: float = 0.0
    depth_m: float
    seam_thickness_m: float
    subsidence_factor: float = 0.8
    tan_beta: float = 2.0
    dip_deg: float = 0.0
    inflection_offset_m: float = 0.0
    dip_propagation: float = 0.7

    def __post_init__(self) -> None:
        for name in ("east_m", "north_m", "azimuth_deg"):
            require_finite(name, getattr(self, name))
        for name in ("length_m", "width_m", "depth_m", "seam_thickness_m", "tan_beta"):
            require_positive(name, getattr(self, name))
        require_positive("subsidence_factor", self.subsidence_factor)
        require_between("subsidence_factor", self.subsidence_factor, 0.0, 1.0)
        require_between("dip_deg", self.dip_deg, 0.0, 60.0)
        require_between("dip_propagation", self.dip_propagation, 0.0, 1.0)
        require_at_least("inflection_offset_m", self.inflection_offset_m, 0.0)
        rise = 0.5 * self.width_m * math.sin(math.radians(self.dip_deg))
        if self.depth_m <= rise:
            message = (
                f"depth_m={self.depth_m:g} lets the upper edge of the dipping panel reach the surface; allowed: "
                f"depth_m > {rise:g} (half the width times the sine of the dip)"
            )
            raise PhysicsError(message)
        smallest = 0.5 * min(self.length_m, self.width_m)
        if self.inflection_offset_m >= smallest:
            message = (
                f"inflection_offset_m={self.inflection_offset_m:g} leaves nothing of the panel; allowed: "
                f"inflection_offset_m < {smallest:g} (half the shorter side)"
            )
            raise PhysicsError(message)

    @property
    def influence_radius_m(self) -> float:
        """Radius of main influence ``r = H / tan(beta)``."""
        return self.depth_m / self.tan_beta

    @property
    def largest_subsidence_m(self) -> float:
        """Subsidence over an infinitely wide panel, ``a g cos(dip)``."""
        return self.subsidence_factor * self.seam_thickness_m * math.cos(math.radians(self.dip_deg))


def knothe_subsidence(east_m: ArrayLike, north_m: ArrayLike, panel: Panel) -> Array:
    """Compute the final subsidence over a panel, long after it was mined out.

    Parameters
    ----------
    east_m, north_m
        Observation points on the map on which the panel lies, metres; any shapes that broadcast.
    panel
        The mined rectangle.

    Returns
    -------
    numpy.ndarray
        Subsidence in metres, **positive down**, float64, of the broadcast shape.

    Notes
    -----
    ``w = a g integral over the panel of exp(-pi d^2 / r^2) / r^2`` (Knothe 1957), which for a rectangle is
    ``a g F(along) F(across)``, ``F(s) = [erf(sqrt(pi) (s + L/2) / r) - erf(sqrt(pi) (s - L/2) / r)] / 2``.
    """
    return -knothe_displacement(east_m, north_m, panel).up_m


def knothe_displacement(
    east_m: ArrayLike,
    north_m: ArrayLike,
    panel: Panel,
    *,
    horizontal_factor: float = _HORIZONTAL_FACTOR,
) -> Displacement:
    """Compute the final displacement over a panel, horizontal motion included.

    Parameters
    ----------
    east_m, north_m, panel
        As in :func:`knothe_subsidence`.
    horizontal_factor
        ``B / r`` of the horizontal motion, which is ``B`` times the slope of the ground, towards the middle of the
        trough; 0.32 after Popiolek and Ostrowski (1981), 0.40 after Budryk (1953), 0 for none.

    Returns
    -------
    Displacement
        East, north and up in metres.
    """
    half = 0.5 * panel.length_m - panel.inflection_offset_m

    def mined_out(position: Array) -> Profile:
        return mined_strip(position, -half, half, panel.influence_radius_m)

    return _displacement(east_m, north_m, panel, mined_out, horizontal_factor)


def advance_increment(
    east_m: ArrayLike,
    north_m: ArrayLike,
    panel: Panel,
    *,
    advance_m_per_day: float,
    start_day: float,
    end_day: float,
    time_factor_per_day: float | None = None,
    horizontal_factor: float = _HORIZONTAL_FACTOR,
) -> Displacement:
    """Compute what the ground does between two dates while a longwall face advances.

    Parameters
    ----------
    east_m, north_m, panel
        As in :func:`knothe_subsidence`. Mining begins on day 0 at the panel's rear end and stops at its front end.
    advance_m_per_day
        Speed of the face, typically 2-10 m/day.
    start_day, end_day
        Dates of the two acquisitions, days since mining began, ``0 <= start_day < end_day``. They may lie after
        the end of mining; without a time factor nothing moves then.
    time_factor_per_day
        ``c`` of Knothe's ``dw/dt = c (w_final - w)``; typically 0.01-0.2 per day. Default: subsidence at once.
    horizontal_factor
        As in :func:`knothe_displacement`.

    Returns
    -------
    Displacement
        East, north and up in metres between the two dates; superpose several panels with
        :func:`fringewatch.physics.displacement.superpose`.

    Raises
    ------
    PhysicsError
        If the dates are not in order, or the speed or time factor is not positive.

    Notes
    -----
    Knothe's law applied to every element of the seam on the day it is taken out:
    ``w(t) = integral of dw_final/ds (1 - exp(-c (t - s))) ds`` over the days ``s`` of mining until ``t``, here in
    closed form.
    """
    require_positive("advance_m_per_day", advance_m_per_day)
    require_finite("start_day", start_day)
    require_finite("end_day", end_day)
    if not 0 <= start_day < end_day:
        message = f"{start_day=:g} and {end_day=:g} are not in order; allowed: 0 <= start_day < end_day"
        raise PhysicsError(message)
    if time_factor_per_day is not None:
        require_positive("time_factor_per_day", time_factor_per_day)

    half = 0.5 * panel.length_m - panel.inflection_offset_m

    def between_dates(position: Array) -> Profile:
        first, second = (
            advancing_strip(
                position,
                -half,
                half,
                radius=panel.influence_radius_m,
                speed=advance_m_per_day,
                day=day,
                time_factor=time_factor_per_day,
            )
            for day in (start_day, end_day)
        )
        return Profile(second.value - first.value, second.slope - first.slope)

    return _displacement(east_m, north_m, panel, between_dates, horizontal_factor)


def _displacement(
    east_m: ArrayLike,
    north_m: ArrayLike,
    panel: Panel,
    along_profile: Callable[[Array], Profile],
    horizontal_factor: float,
) -> Displacement:
    """Multiply the profile along the panel with that across it, and add the horizontal motion."""
    require_at_least("horizontal_factor", horizontal_factor, 0.0)
    radius, largest = panel.influence_radius_m, panel.largest_subsidence_m
    azimuth = math.radians(panel.azimuth_deg)
    sin, cos = math.sin(azimuth), math.cos(azimuth)
    down_dip_m = panel.depth_m * math.tan(math.radians(panel.dip_propagation * panel.dip_deg))
    # A dipping panel is narrower on the map than in the seam.
    half_width = (0.5 * panel.width_m - panel.inflection_offset_m) * math.cos(math.radians(panel.dip_deg))

    def across_profile(position: Array) -> Profile:
        return mined_strip(position, -half_width, half_width, radius)

    east, north = np.broadcast_arrays(np.asarray(east_m, dtype=np.float64), np.asarray(north_m, dtype=np.float64))
    shape = east.shape
    east, north = east.ravel(), north.ravel()
    along_table = tabulate(along_profile, 0.5 * panel.length_m, radius, east.size)
    across_table = tabulate(across_profile, half_width, radius, east.size)
    spread = horizontal_factor * radius * largest
    result = np.empty((3, east.size))
    if isinstance(along_table, Table) and isinstance(across_table, Table) and (compiled := kernels("sources")):
        tables = [
            (np.ascontiguousarray(table.coefficients.T), table.reach, table.step)
            for table in (along_table, across_table)
        ]
        compiled.trough(
            east - panel.east_m, north - panel.north_m, (sin, cos), down_dip_m, *tables, largest, spread, result
        )
        return Displacement(*result.reshape(3, *shape))
    for chunk in chunks(east.size):
        e, n = east[chunk] - panel.east_m, north[chunk] - panel.north_m
        along = along_table(e * sin + n * cos)
        across = across_table(e * cos - n * sin - down_dip_m)
        # Subsidence is positive down, so its gradient points to the middle of the trough, where the ground moves.
        towards_along = spread * along.slope * across.value
        towards_across = spread * along.value * across.slope
        result[0, chunk] = towards_along * sin + towards_across * cos
        result[1, chunk] = towards_along * cos - towards_across * sin
        result[2, chunk] = -largest * along.value * across.value
    return Displacement(*result.reshape(3, *shape))
