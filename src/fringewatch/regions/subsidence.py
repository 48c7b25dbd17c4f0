"""Subsidence of a region: how deep, how wide, how many troughs, along which line; for mines above all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fringewatch.conventions import PHASE_SIGN

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from fringewatch.fringes import Troughs

__all__ = ["ASSUMED_LOS_UP", "SUBSIDENCE_COLUMNS", "subsidence", "upward_part"]

ASSUMED_LOS_UP = float(np.cos(np.radians(39.0)))
"""Upward part of the line of sight where a product does not give it: 39 degrees of incidence, the middle of
Sentinel-1's swath. At its ends, 29 and 46 degrees, subsidence comes out 13 % too large and 11 % too small."""

SUBSIDENCE_COLUMNS: dict[str, str] = {
    "subsidence_cm": "float64",
    "trough_diameter_m": "float64",
    "troughs": "int64",
    "trough_separation": "float64",
    "phase_resolved": "float64",
    "depth_profile_cm": "str",
    "profile_length_m": "float64",
}
"""Columns of a detection table, and their types."""


def subsidence(
    found: Troughs, interferogram: xr.Dataset, *, upward: float, size_m: tuple[float, float] | None
) -> dict[str, float | int | str]:
    """Turn the troughs of a region into what is said of it.

    Parameters
    ----------
    found
        From :func:`fringewatch.fringes.troughs_of`; unknown ones where nothing was measured.
    interferogram
        The scene: its wavelength, and whether the sign of its phase is known.
    upward
        From :func:`upward_part`.
    size_m
        Of its pixels along y and x; see :func:`fringewatch.interferogram.pixel_size_m`.

    Returns
    -------
    dict
        :data:`SUBSIDENCE_COLUMNS`. ``subsidence_cm``: of the deepest trough, vertical, downwards positive; as positive
        where the sign of the phase is not known. ``trough_diameter_m``, ``profile_length_m``: NaN without a pixel size,
        which is never guessed. ``depth_profile_cm``: depths at equal steps along the long axis, separated by blanks,
        with the sign of ``subsidence_cm``. NaN, 0 troughs and an empty profile where nothing can be told, see
        :func:`fringewatch.fringes.measure_troughs`.

    Notes
    -----
    All motion is taken for vertical: at the deepest point of a trough horizontal motion is small.
    """
    width_m = float("nan") if size_m is None else size_m[1]
    # One radian of phase, which grows with range, is so much motion away from the satellite, and so much down.
    to_cm = 100 * interferogram.attrs["wavelength_m"] / (4 * np.pi) / upward
    depth_rad = found.troughs[0].depth_rad if found.troughs else float("nan")
    known_sign = interferogram.attrs.get("phase_sign", PHASE_SIGN) == PHASE_SIGN
    if not known_sign and depth_rad < 0:
        to_cm = -to_cm
    profile = found.profile_px
    return {
        "subsidence_cm": to_cm * depth_rad,
        "trough_diameter_m": found.troughs[0].diameter_px * width_m if found.troughs else float("nan"),
        "troughs": len(found.troughs),
        "trough_separation": found.separation,
        "phase_resolved": found.resolved,
        "depth_profile_cm": " ".join(f"{to_cm * depth:.2f}" for depth in profile[:, 1]),
        "profile_length_m": float(profile[-1, 0]) * width_m if len(profile) else float("nan"),
    }


def upward_part(look_up: NDArray[np.float32] | None) -> float:
    """Return the mean upward part of unit vectors to the satellite, NaN = unknown; the assumed one where all are."""
    if look_up is None:
        return ASSUMED_LOS_UP
    values = look_up[np.isfinite(look_up) & (look_up > 0)]
    return float(values.mean()) if values.size else ASSUMED_LOS_UP
