"""Phase of a scene, read in windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from fringewatch.errors import ProductError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["phase_of", "read_window"]


def phase_of(interferogram: xr.Dataset | xr.DataArray) -> xr.Variable:
    """Return the phase (H, W) of an interferogram, or of the phase alone, without coordinates.

    Raises
    ------
    ProductError
        If it is not two-dimensional or empty.
    """
    # To give a small scene its coordinates takes longer than to look at its shape a hundred times.
    phase = interferogram.variables["phase"] if isinstance(interferogram, xr.Dataset) else interferogram.variable
    if phase.ndim != 2 or 0 in phase.shape:
        message = f"phase has shape {phase.shape}, expected (rows, columns), each at least 1"
        raise ProductError(message)
    return phase


def read_window(phase: xr.Variable, rows: slice, columns: slice) -> NDArray[np.float32]:
    """Read a window of the padded scene; beyond the scene there is no data."""
    inside = np.asarray(phase[rows, columns].values, np.float32)
    shape = rows.stop - rows.start, columns.stop - columns.start
    if inside.shape == shape:
        return inside
    window = np.full(shape, np.nan, np.float32)
    window[: inside.shape[0], : inside.shape[1]] = inside
    return window
