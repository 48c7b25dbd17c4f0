"""Fringe edges of wrapped phase by fixed thresholds, as the study found them.

Wrapped phase jumps by a whole cycle once per fringe. Seen as a grey picture, -pi black and pi white, the jump is the
steepest edge there is, so that an edge detector finds fringes: Gaussian filter, gradient, thinning to the ridge of the
gradient, double threshold (Canny 1986, 10.1109/TPAMI.1986.4767851), as used on interferograms by Anantrasirichai et
al. 2018 (10.1029/2018JB015911): only windows with strong edges go to the network, the rest is background without
classification.

Thresholds are slopes of the smoothed grey picture, in grey levels (0 to 255) per pixel. A lone jump blurred with
`sigma_px` has the slope ``255 / (sqrt(2 pi) sigma_px)``, 68 at the default 1.5 px; fringes closer than ``5 sigma_px``
blur into each other and have less, so that the defaults find fringes down to 8 pixels a cycle. Noise of uniformly
random phase, the worst, has slopes of standard deviation ``255 / (sqrt(96 pi) sigma_px^2)``, 6.5, along each axis:
the high threshold is 4.6 times that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["HIGH", "LOW", "SIGMA_PX", "FringeEdges", "fringe_edges"]

SIGMA_PX = 1.5
LOW = 15.0
HIGH = 30.0

_GREY_PER_RAD = 255 / (2 * np.pi)
_SOBEL_SCALE = 8.0
"""Sobel's operator, as scikit-image applies it, over the slope per pixel."""


class FringeEdges(NamedTuple):
    """Edges of a scene, each (H, W) bool, False at and beside no data.

    They are one pixel wide, or two where a jump lies midway between pixels.
    """

    edges: NDArray[np.bool_]
    """Slope above the low threshold and connected to a strong edge."""
    strong: NDArray[np.bool_]
    """Slope above the high threshold."""


def fringe_edges(
    phase_rad: NDArray[np.float32], *, sigma_px: float = SIGMA_PX, low: float = LOW, high: float = HIGH
) -> FringeEdges:
    """Find the edges that fringes make in wrapped phase.

    Parameters
    ----------
    phase_rad
        (H, W) wrapped phase in (-pi, pi], radians; NaN = no data. Pixels beside no data or at the scene's border are
        never edges, and no data does not make edges: the Gaussian filter averages over valid pixels alone, and where
        fewer than half of them (weighted) are valid, nothing is found.
    sigma_px
        Standard deviation of the Gaussian filter in pixels, at least 0.5.
    low, high
        Thresholds of the slope, grey levels (of 0 to 255 for -pi to pi) per pixel; ``0 < low <= high``. The study's
        zero-centred scale (-125 to 125) is 250 / 255 of it and finds the same.

    Returns
    -------
    FringeEdges

    Raises
    ------
    ConfigError
        If a threshold or `sigma_px` is out of range.
    """
    from scipy.ndimage import gaussian_filter
    from skimage.feature import canny

    _check(sigma_px, low, high)
    valid = np.isfinite(phase_rad)
    grey = np.where(valid, (phase_rad + np.float32(np.pi)) * np.float32(_GREY_PER_RAD), np.float32(0))
    if not valid.all():
        # Lone pixels in no data would be compared with far ones: their filtered values jump by chance.
        valid &= gaussian_filter(valid.astype(np.float32), sigma_px, mode="nearest") >= 0.5
    edges = canny(  # type: ignore[no-untyped-call]  # scikit-image has no types
        grey,
        sigma_px,
        low_threshold=low * _SOBEL_SCALE,
        high_threshold=high * _SOBEL_SCALE,
        mask=valid,
        mode="nearest",
    )
    return FringeEdges(edges, edges & (_slope(grey, valid, sigma_px) >= high))


def _slope(grey: NDArray[np.float32], valid: NDArray[np.bool_], sigma_px: float) -> NDArray[np.float32]:
    """Return the slope that scikit-image's Canny compares with its thresholds, which it does not give away."""
    from scipy import ndimage

    smooth, weight = (
        ndimage.gaussian_filter(values, sigma_px, mode="nearest")
        for values in (np.where(valid, grey, np.float32(0)), valid.astype(np.float32))
    )
    smooth /= weight + np.finfo(np.float32).eps
    slope: NDArray[np.float32] = np.hypot(ndimage.sobel(smooth, axis=0), ndimage.sobel(smooth, axis=1)) / _SOBEL_SCALE
    return slope


def _check(sigma_px: float, low: float, high: float) -> None:
    if not sigma_px >= 0.5:
        message = f"sigma_px = {sigma_px:g}: expected at least 0.5 pixels; phase noise makes edges everywhere otherwise"
        raise ConfigError(message)
    if not 0 < low <= high:
        message = f"low = {low:g}, high = {high:g}: expected 0 < low <= high, in grey levels per pixel"
        raise ConfigError(message)
