"""Angles, as providers give them, to the unit vector from the ground to the satellite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fringewatch.products.raster import Array

__all__ = ["from_elevation", "from_horizontal", "from_incidence", "of_centre", "sensor_azimuth_deg", "unit_vectors"]

_ZERO, _NAN = np.float32(0), np.float32(np.nan)
_LENGTH_TOLERANCE = 0.05


def from_horizontal(east: Array, north: Array) -> dict[str, Array]:
    """Complete a look vector of which the horizontal components are known.

    Parameters
    ----------
    east, north
        (H, W) components of the unit vector from the ground to the satellite. Where both are exactly 0 is no data: no
        side-looking radar stands overhead; so is what is longer than a unit vector.

    Returns
    -------
    dict
        ``los_east``, ``los_north``, ``los_up``: (H, W), NaN = no data.
    """
    possible = (abs(east) <= 1) & (abs(north) <= 1) & ((east != _ZERO) | (north != _ZERO))
    east, north = np.where(possible, east, _NAN), np.where(possible, north, _NAN)
    left = 1 - east**2 - north**2
    return {"los_east": east, "los_north": north, "los_up": np.sqrt(np.where(left >= 0, left, _NAN))}


def unit_vectors(found: Mapping[str, Array | None]) -> dict[str, Array]:
    """Return the components that a provider gives one by one, NaN where together they are no unit vector.

    Parameters
    ----------
    found
        By variable, (H, W); others than the three components are passed over.

    Returns
    -------
    dict
        ``los_east``, ``los_north``, ``los_up``: (H, W), of length 1 to 5 %; empty where one of them lacks.
    """
    parts = {name: found.get(name) for name in ("los_east", "los_north", "los_up")}
    known = {name: part for name, part in parts.items() if part is not None}
    if len(known) < len(parts):
        return {}
    # Clipped, since a damaged number may be beyond all bounds when it is squared.
    with np.errstate(invalid="ignore"):
        possible = abs(sum(np.clip(part, -2, 2) ** 2 for part in known.values()) - 1) < _LENGTH_TOLERANCE
    return {name: np.where(possible, part, _NAN) for name, part in known.items()}


def from_elevation(theta_rad: Array, phi_rad: Array) -> dict[str, Array]:
    """Turn GAMMA's look vector, as HyP3 gives it too, into its components.

    Parameters
    ----------
    theta_rad
        (H, W) elevation of the sensor above the horizontal.
    phi_rad
        (H, W) direction to the sensor, counter-clockwise from east. Where both are exactly 0 is no data: no sensor
        stands on the horizon due east; so is what is no angle.

    Returns
    -------
    dict
        ``los_east``, ``los_north``, ``los_up``: (H, W), NaN = no data.
    """
    outside = (theta_rad == _ZERO) & (phi_rad == _ZERO)
    possible = (abs(theta_rad) <= np.pi) & (abs(phi_rad) <= 2 * np.pi) & ~outside
    theta_rad, phi_rad = np.where(possible, theta_rad, _NAN), np.where(possible, phi_rad, _NAN)
    return {
        "los_east": np.cos(theta_rad) * np.cos(phi_rad),
        "los_north": np.cos(theta_rad) * np.sin(phi_rad),
        "los_up": np.sin(theta_rad),
    }


def from_incidence(incidence_deg: Array, azimuth_deg: Array) -> dict[str, Array]:
    """Turn incidence and the direction to the sensor into the components of the look vector.

    Parameters
    ----------
    incidence_deg
        Angle between the line of sight and the vertical at the ground; (H, W) or one number. No data but between 0
        and 90, both left out: a side-looking radar sees neither straight down nor along the ground.
    azimuth_deg
        Horizontal direction from the ground to the sensor, clockwise from north; (H, W) or one number.

    Returns
    -------
    dict
        ``los_east``, ``los_north``, ``los_up``, of the shape of the arguments; NaN = no data.
    """
    possible = (incidence_deg > 0) & (incidence_deg < 90) & (abs(azimuth_deg) <= 720)
    incidence_rad = np.radians(np.where(possible, incidence_deg, _NAN))
    azimuth_rad = np.radians(np.where(possible, azimuth_deg, _NAN))
    return {
        "los_east": np.sin(incidence_rad) * np.sin(azimuth_rad),
        "los_north": np.sin(incidence_rad) * np.cos(azimuth_rad),
        "los_up": np.cos(incidence_rad),
    }


def of_centre(
    incidence_deg: float | None, heading_deg: float | None, looking: Literal["right", "left"], shape: tuple[int, int]
) -> dict[str, Array]:
    """Return the look vector of a scene's centre at every pixel, for headers that tell no more.

    Returns
    -------
    dict
        As :func:`from_incidence`, (H, W) without memory of its own; empty where an angle is None or makes no sense.
    """
    if incidence_deg is None or heading_deg is None or not 0 < incidence_deg < 90 or not abs(heading_deg) <= 360:
        return {}
    vector = from_incidence(incidence_deg, sensor_azimuth_deg(heading_deg, looking))
    return {name: np.broadcast_to(np.float32(value), shape) for name, value in vector.items()}


def sensor_azimuth_deg(heading_deg: Array, looking: Literal["right", "left"] = "right") -> Array:
    """Return the horizontal direction from the ground to the sensor, clockwise from north, of a heading."""
    return heading_deg + (-90 if looking == "right" else 90)
