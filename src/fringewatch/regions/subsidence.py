"""Subsidence of a region: how deep, how wide, how many troughs, along which line; for mines above all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fringewatch.conventions import PHASE_SIGN
from fringewatch.fringes import Troughs, measure_troughs, surroundings_px
from fringewatch.interferogram import pixel_size_m

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from numpy.typing import NDArray

    Box = tuple[slice, slice]

__all__ = ["ASSUMED_LOS_UP", "SUBSIDENCE_COLUMNS", "subsidence"]

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

_MOST_PX = 4_000_000
"""Regions with larger bounds are no trough, and would take long."""


def subsidence(
    box: Box, inside_of: Callable[[slice, slice], NDArray[np.bool_]], interferogram: xr.Dataset
) -> dict[str, float | int | str]:
    """Measure the troughs of a region.

    Parameters
    ----------
    box
        Rows and columns of the scene: the region's bounds.
    inside_of
        Tells which pixels of a window within those bounds belong to the region.
    interferogram
        The scene.

    Returns
    -------
    dict
        :data:`SUBSIDENCE_COLUMNS`. ``subsidence_cm``: of the deepest trough, vertical, downwards positive; as positive
        where the sign of the phase is not known. ``trough_diameter_m``, ``profile_length_m``: NaN without a pixel size,
        which is never guessed. ``depth_profile_cm``: depths at equal steps along the long axis, separated by blanks,
        with the sign of ``subsidence_cm``. NaN, 0 troughs and an empty profile where nothing can be told, see
        :func:`fringewatch.fringes.measure_troughs`, and for regions with bounds of more than 4 million pixels.

    Notes
    -----
    All motion is taken for vertical: at the deepest point of a trough horizontal motion is small.
    """
    size = pixel_size_m(interferogram)
    found, upward = Troughs.unknown(), ASSUMED_LOS_UP
    if (box[0].stop - box[0].start) * (box[1].stop - box[1].start) <= _MOST_PX:
        inside = inside_of(*box)
        upward = _upward(box, inside, interferogram)
        reach = surroundings_px(inside)
        grown = tuple(
            slice(max(side.start - reach, 0), min(side.stop + reach, length))
            for side, length in zip(box, interferogram["phase"].shape, strict=True)
        )
        room = [(side.start - wide.start, wide.stop - side.stop) for side, wide in zip(box, grown, strict=True)]
        phase = np.asarray(interferogram["phase"][grown].values, np.float32)
        found = measure_troughs(phase, np.pad(inside, room), pixel_ratio=1.0 if size is None else size[0] / size[1])
    width_m = float("nan") if size is None else size[1]
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


def _upward(box: Box, inside: NDArray[np.bool_], interferogram: xr.Dataset) -> float:
    if "los_up" in interferogram:
        values = np.asarray(interferogram["los_up"][box].values, np.float32)[inside]
        values = values[np.isfinite(values) & (values > 0)]
        if values.size:
            return float(values.mean())
    return ASSUMED_LOS_UP
