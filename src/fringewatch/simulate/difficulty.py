"""How hard a simulated scene is: its signal-to-noise ratio, and the stratum by which detection is reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fringewatch.compiled import kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SNR_EDGES", "SNR_STRATA", "signal_to_noise", "snr_stratum"]

SNR_EDGES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Where the strata of the signal-to-noise ratio meet; a ratio on an edge belongs to the upper one."""

SNR_STRATA = ("<1", "1-2", "2-4", "4-8", "8-16", ">16")
"""Names of the strata of scenes with deformation; quiet scenes are ``"none"``."""

# Motion of less than this share of the peak does not count as the deforming area.
_AREA_LEVEL = 0.1
# A background of less is below what any pair can show, and would make ratios without meaning.
_LEAST_STD_M = 1e-4


def signal_to_noise(
    los_m: NDArray[np.float32], background_rad: NDArray[np.float32], *, wavelength_m: float, wrapped: bool
) -> float:
    """Compute peak LOS motion over the standard deviation of the background's delay at the same scale.

    The scale is that of the deforming area, where motion is at least a tenth of its peak: long waves across a scene do
    not hide a small trough, and the delay at short distances does not hide a wide one. The background is everything
    that is not deformation and not phase noise: turbulence, stratified delay, ramps.

    Parameters
    ----------
    los_m
        (H, W) LOS motion, metres, of either sign.
    background_rad
        (H, W) phase of the background; NaN = no data, which does not count.
    wavelength_m
        Of the radar.
    wrapped
        True for measured phase, whose deviation is then the circular one, ``sqrt(-2 log |mean exp(i phase)|)``: right
        for backgrounds of less than about half a cycle across the area, too small for larger ones.

    Returns
    -------
    float
        From 0 (no motion, or no data where it is) up; backgrounds below 0.1 mm count as 0.1 mm.
    """
    if (compiled := kernels("masks")) and not wrapped:
        peak, deviation_rad = compiled.deviation_where(background_rad.ravel(), los_m.ravel(), _AREA_LEVEL)
        if deviation_rad < 0:
            return 0.0
        return float(peak / max(deviation_rad * wavelength_m / (4 * np.pi), _LEAST_STD_M))
    magnitude = np.abs(los_m)
    peak = float(magnitude.max())
    values = background_rad[magnitude >= max(_AREA_LEVEL * peak, np.finfo(np.float32).tiny)]
    values = values[np.isfinite(values)].astype(np.float64)
    if not values.size:
        return 0.0
    if wrapped:
        resultant = np.hypot(np.cos(values).mean(), np.sin(values).mean())
        deviation_rad = float(np.sqrt(-2.0 * np.log(np.clip(resultant, 1e-12, 1.0))))
    else:
        deviation_rad = float(values.std())
    deviation_m = deviation_rad * wavelength_m / (4 * np.pi)
    return peak / max(deviation_m, _LEAST_STD_M)


def snr_stratum(ratio: float) -> str:
    """Return the stratum of a signal-to-noise ratio, one of :data:`SNR_STRATA`."""
    return SNR_STRATA[int(np.searchsorted(SNR_EDGES, ratio, side="right"))]
