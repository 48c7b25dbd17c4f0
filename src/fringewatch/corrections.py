"""Corrections of an interferogram before detection: optional, said in its notes, and never of the file itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from fringewatch.fringes.height_trend import fit_height_trend, remove_height_trend

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["without_height_trend"]

_WINDOW_PX = 1024
_WINDOWS = 3
"""A scene of more than so many windows a side is looked at in so many of them a side, evenly spread."""
_GAP_PX = 160
"""Between windows that are looked at side by side: more than any lag of the fit."""


def without_height_trend(interferogram: xr.Dataset) -> xr.Dataset:
    """Return an interferogram without the part of its phase that is proportional to terrain height.

    Stratified delay over a mountain looks like inflation or deflation. So does, in part, deformation that follows the
    terrain: a summit that swells loses some of its signal. Compare scores with and without.

    Parameters
    ----------
    interferogram
        See :mod:`fringewatch.interferogram`; lazy ones stay lazy, and their trend is fitted to nine windows.

    Returns
    -------
    xarray.Dataset
        With one more sentence in the attribute ``assumptions``, which says what was taken out, or why nothing was; in
        the first case the slope is the attribute ``height_trend_rad_per_m``.
    """
    source = interferogram["phase"]
    note = "no terrain height: no phase-height trend could be removed"
    phase, slope = source, {}
    if "height" in interferogram:
        wavelength_m = float(interferogram.attrs["wavelength_m"])
        parts = [
            tuple(np.asarray(interferogram[name][rows, columns].values, np.float32) for name in ("phase", "height"))
            for rows, columns in _windows(*source.shape)
        ]
        trend = fit_height_trend(
            *(_side_by_side(column) for column in zip(*parts, strict=True)), wavelength_m=wavelength_m
        )
        if trend is None:
            where = "" if len(parts) == 1 else f" in {len(parts)} windows of the scene"
            note = f"no phase-height trend was found{where}, and none removed"
        else:
            phase = xr.apply_ufunc(
                lambda values, heights: remove_height_trend(values, heights, trend),
                source,
                interferogram["height"],
                dask="parallelized",
                output_dtypes=[np.float32],
                keep_attrs=True,
            )
            path_cm = trend.rad_per_m * wavelength_m / (4 * np.pi) * 1e5
            said = f"{trend.rad_per_m * 1e3:+.2f} rad per km of height ({path_cm:+.1f} cm of path)"
            note = f"a phase-height trend of {said} was removed"
            slope = {"height_trend_rad_per_m": trend.rad_per_m}
    notes = [*interferogram.attrs.get("assumptions", ()), note]
    return interferogram.assign(phase=phase).assign_attrs(assumptions=notes, **slope)


def _windows(height: int, width: int) -> list[tuple[slice, slice]]:
    return [(rows, columns) for rows in _spread(height) for columns in _spread(width)]


def _spread(size: int) -> list[slice]:
    if size <= _WINDOW_PX * _WINDOWS:
        return [slice(0, size)]
    starts = np.linspace(0, size - _WINDOW_PX, _WINDOWS).astype(int)
    return [slice(int(start), int(start) + _WINDOW_PX) for start in starts]


def _side_by_side(windows: tuple[NDArray[np.float32], ...]) -> NDArray[np.float32]:
    """Join windows to one, with a gap that no step crosses."""
    if len(windows) == 1:
        return windows[0]
    rows = max(window.shape[0] for window in windows)
    padded = [
        np.pad(window, ((0, rows - window.shape[0]), (0, _GAP_PX)), constant_values=np.float32(np.nan))
        for window in windows
    ]
    return np.concatenate(padded, axis=1)
