"""The exact way to scan with a classifier: every window cut out and run by itself, as the published detector did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fringewatch.errors import ConfigError
from fringewatch.scan.reading import phase_of, read_window
from fringewatch.scan.result import Scan

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from fringewatch.models import Bundle

__all__ = ["patch_size", "scan_windows"]

_WINDOWS_AT_ONCE = 16


def scan_windows(interferogram: xr.Dataset | xr.DataArray, bundle: Bundle, *, step_px: int | None = None) -> Scan:
    """Score every window of a scene by itself and merge the overlapping scores.

    As Anantrasirichai et al. (2018, 10.1029/2018JB015911): windows of the patch's size a quarter of it apart, their
    probabilities averaged with Gaussian weights around each window's centre. The width of the Gaussian, a quarter of
    the patch, is our choice.

    Parameters
    ----------
    interferogram
        As for :func:`scan`; scenes smaller than a patch are padded with no data.
    bundle
        A classifier's.
    step_px
        Distance of windows, 1 to the patch's size; a quarter of the patch if not given. The last window of each axis
        ends at the scene's end.

    Returns
    -------
    Scan
        At a stride of `step_px`; its logits, calibrated as those of patches (``card.of_patches()``), are the merged
        probabilities.

    Raises
    ------
    ProductError
        If the phase is not two-dimensional.
    ConfigError
        If the bundle's network is no classifier of patches, or the step is not allowed.
    """
    phase = phase_of(interferogram)
    card = bundle.card
    patch = patch_size(bundle)
    step = patch // 4 if step_px is None else step_px
    if not 1 <= step <= patch:
        message = f"step_px = {step}: expected 1 to {patch}, the patch size of {card.name}"
        raise ConfigError(message)
    height, width = (int(size) for size in phase.shape)
    rows, columns = _starts(height, patch, step), _starts(width, patch, step)
    row_weights, column_weights = _gaussian(rows, height, patch, step), _gaussian(columns, width, patch, step)
    total, weight = np.zeros((2, row_weights.shape[1], column_weights.shape[1]))
    valid = np.zeros(total.shape, bool)
    for row, row_weight in zip(rows, row_weights, strict=True):
        band = read_window(phase, slice(row, row + patch), slice(0, max(width, patch)))
        probability = _probabilities(band, columns, bundle)
        scored = np.isfinite(probability)
        total += np.outer(row_weight, np.where(scored, probability, 0) @ column_weights)
        weight += np.outer(row_weight, scored @ column_weights)
        inside = np.logical_or.reduceat(np.isfinite(band[: height - row, :width]), np.arange(0, width, step), axis=1)
        np.logical_or.at(valid, (row + np.arange(len(inside))) // step, inside)
    merged = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
    return Scan(card.of_patches().calibration.inverse(merged).astype(np.float32), valid, (height, width), step)


def patch_size(bundle: Bundle) -> int:
    """Return the side of the patches that a classifier's bundle scores.

    Raises
    ------
    ConfigError
        If the bundle's network maps scenes and has no patches.
    """
    if bundle.card.patch_px is None:
        message = (
            f"windows: {bundle.card.name} ({bundle.card.architecture}) maps whole scenes and has no patch size; scan "
            "without windows, or choose a classifier's bundle"
        )
        raise ConfigError(message)
    return bundle.card.patch_px


def _starts(size: int, patch: int, step: int) -> list[int]:
    """Return where windows start along an axis."""
    last = max(size - patch, 0)
    return [*range(0, last, step), last]


def _gaussian(starts: list[int], size: int, patch: int, step: int) -> NDArray[np.float64]:
    """Return the weight (windows, map pixels) of each window at each map pixel's centre; 0 outside the window."""
    # The last map pixel may reach over the scene, but its centre counts as inside.
    centre = np.minimum((np.arange(-(-size // step)) + 0.5) * step, size - 0.5)
    distance = centre - (np.array(starts)[:, None] + patch / 2)
    weights = np.exp(-0.5 * (distance / (patch / 4)) ** 2)
    return np.where(np.abs(distance) <= patch / 2, weights, 0.0)


def _probabilities(band: NDArray[np.float32], columns: list[int], bundle: Bundle) -> NDArray[np.float32]:
    """Return the calibrated probability of the windows of a band (patch, W); NaN where a window has no data."""
    card = bundle.card.of_patches()
    patch = len(band)
    centre = patch // (2 * card.stride)
    result = np.full(len(columns), np.nan, np.float32)
    chosen = [index for index, start in enumerate(columns) if np.isfinite(band[:, start : start + patch]).any()]
    for first in range(0, len(chosen), _WINDOWS_AT_ONCE):
        batch = chosen[first : first + _WINDOWS_AT_ONCE]
        windows = np.stack([band[:, columns[index] : columns[index] + patch] for index in batch])
        map_logits, _ = bundle.logits(card.encoding(windows))
        # The network slides: the window that is the patch itself is the one in the middle.
        result[batch] = card.calibration(map_logits[:, 0, centre, centre])
    return result
