"""What a pixel of the product sees of the troughs over a mine.

Troughs are a few hundred metres wide, with fringes tens of metres apart, so they are simulated on a grid of 10 to 20 m
and averaged, as complex numbers, to the product's pixel. Only windows around the panels are computed: elsewhere
nothing moves.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.compiled import kernels
from fringewatch.conventions import los_to_phase
from fringewatch.physics.displacement import superpose
from fringewatch.physics.filtering import block_sum
from fringewatch.physics.geometry import project_to_los
from fringewatch.physics.mining import Panel, advance_increment
from fringewatch.simulate.deformation.grid import nodes, upsample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fringewatch.physics.geometry import LookVector

__all__ = ["LARGEST_FINE_PIXEL_M", "Advance", "Mine", "Trough", "multilook_troughs", "unit_troughs"]

LARGEST_FINE_PIXEL_M = 20.0
"""Products with larger pixels are simulated on a grid that divides them evenly, into 10 to 20 m."""

# Radii of influence beyond a panel's edge at which a millionth of the largest subsidence is left.
_REACH_RADII = 2.0
# Splines through nodes a sixth of a radius apart err by less than a thousandth of the peak.
_NODES_PER_RADIUS = 6.0
_LARGEST_STEP = 16
# Windows begin and end at multiples of so many pixels, so that few sizes of the spline occur.
_BLOCK_PX = 8


class Advance(NamedTuple):
    """A panel and what is mined of it; its thickness and subsidence factor are 1."""

    panel: Panel
    """Its position is that on the scene: metres east and north of the centre of the upper left pixel."""
    advance_m_per_day: float
    start_day: float
    """Of the first acquisition, counted from the begin of mining."""
    time_factor_per_day: float | None


class Mine(NamedTuple):
    """Panels that are mined during the same interval."""

    panels: tuple[Advance, ...]
    days: float
    horizontal_factor: float


class Trough(NamedTuple):
    """Motion by panels whose surroundings overlap, for unit subsidence, at nodes of the fine grid."""

    rows: slice
    columns: slice
    """Pixels of the product."""
    fine: int
    """Points of the fine grid to a side of a pixel."""
    step: int
    """Points of the fine grid between nodes."""
    nodes_m: NDArray[np.float32]
    """LOS, metres, at the nodes of rows and columns."""


class _Window(NamedTuple):
    """Pixels ``[top, bottom) x [left, right)`` and the panels that move them."""

    top: int
    bottom: int
    left: int
    right: int
    panels: tuple[Advance, ...]

    def overlaps(self, other: _Window) -> bool:
        rows = self.top < other.bottom and other.top < self.bottom
        return rows and self.left < other.right and other.left < self.right

    def joined(self, other: _Window) -> _Window:
        return _Window(
            min(self.top, other.top),
            max(self.bottom, other.bottom),
            min(self.left, other.left),
            max(self.right, other.right),
            self.panels + other.panels,
        )


def unit_troughs(mine: Mine, shape: tuple[int, int], pixel_m: float, look: LookVector) -> list[Trough]:
    """Simulate the LOS motion over a mine for a subsidence factor times thickness of 1 m.

    Parameters
    ----------
    mine
        Panels of unit thickness and subsidence factor.
    shape, pixel_m
        Of the product.
    look
        Unit vector from ground to satellite.

    Returns
    -------
    list of Trough
        Empty where all panels lie outside the scene.
    """
    return [_trough(window, mine, pixel_m, look) for window in _windows(mine, shape, pixel_m)]


def multilook_troughs(
    troughs: Sequence[Trough], shape: tuple[int, int], *, largest_m: float, wavelength_m: float
) -> tuple[NDArray[np.float32], NDArray[np.complex64] | None]:
    """Average the motion over a mine to the pixels of the product.

    Parameters
    ----------
    troughs, shape
        Of the same scene.
    largest_m
        Subsidence factor times seam thickness, metres.
    wavelength_m
        Of the radar.

    Returns
    -------
    los_m
        (H, W) float32, metres: mean LOS motion inside each pixel.
    phasor
        (H, W) complex64: mean of ``exp(i phase)`` inside each pixel, 1 where nothing moves; None where the pixels are
        not larger than :data:`LARGEST_FINE_PIXEL_M`, since then nothing is averaged.

    Notes
    -----
    The literal way draws noise on the fine grid and averages the complex interferogram. A sum of ``N`` looks with
    coherence ``g``, spread evenly over the phases inside a pixel, has the mean ``N g p``, ``p`` being the phasor,
    and the variance ``N`` whatever ``g`` and ``p`` [derived]: mean and variance of ``N`` looks of coherence
    ``g |p|`` and phase ``angle(p)``. So multiplying the coherence with the modulus and drawing noise once per pixel
    gives the same interferogram at a fraction of the cost. What differs is how the variance is shared between the
    directions along and across the mean: the deviations of the phase agree to 10 % up to coherence 0.7, and to a
    quarter at 0.9. ``test_one_draw_per_pixel_has_the_phase_of_noise_averaged_from_the_fine_grid`` draws both and
    compares them: it is what justifies the shortcut.
    """
    los_m = np.zeros(shape, np.float32)
    phasor: NDArray[np.complex64] | None = None
    for trough in troughs:
        inside = (trough.rows, trough.columns)
        height, width = (trough.fine * (part.stop - part.start) for part in inside)
        los = upsample(trough.nodes_m * np.float32(largest_m), (height, width), trough.step)
        if trough.fine == 1:
            los_m[inside] = los
            continue
        if phasor is None:
            phasor = np.ones(shape, np.complex64)
        if compiled := kernels("sources"):
            mean = np.empty(los_m[inside].shape, np.float32)
            z = np.empty(mean.shape, np.complex64)
            turns_per_m = np.float32(-2 / wavelength_m)
            compiled.mean_phasor(los, turns_per_m, trough.fine, mean, z.view(np.float32).reshape(*z.shape, 2))
            los_m[inside], phasor[inside] = mean, z
            continue
        los_m[inside] = _block_mean(los, trough.fine)
        phase = los_to_phase(los, wavelength_m)
        phasor.real[inside] = _block_mean(np.cos(phase), trough.fine)
        phasor.imag[inside] = _block_mean(np.sin(phase), trough.fine)
    return los_m, phasor


def _block_mean(values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Average square blocks."""
    total = block_sum(values, size)
    total *= np.float32(1 / size**2)
    return total


def _trough(window: _Window, mine: Mine, pixel_m: float, look: LookVector) -> Trough:
    fine = max(1, math.ceil(pixel_m / LARGEST_FINE_PIXEL_M - 1e-9))
    radius = min(advance.panel.influence_radius_m for advance in window.panels)
    step = int(np.clip(radius * fine / (_NODES_PER_RADIUS * pixel_m), 1, _LARGEST_STEP))
    # Centre of a point of the fine grid, in metres from the centre of the scene's upper left pixel.
    east, south = (
        ((nodes(count * fine, step) + 0.5) / fine - 0.5 + first) * pixel_m
        for count, first in ((window.right - window.left, window.left), (window.bottom - window.top, window.top))
    )
    moved = superpose(
        *(
            advance_increment(
                east[None, :],
                -south[:, None],
                advance.panel,
                advance_m_per_day=advance.advance_m_per_day,
                start_day=advance.start_day,
                end_day=advance.start_day + mine.days,
                time_factor_per_day=advance.time_factor_per_day,
                horizontal_factor=mine.horizontal_factor,
            )
            for advance in window.panels
        )
    )
    los = project_to_los(moved, look).astype(np.float32)
    return Trough(slice(window.top, window.bottom), slice(window.left, window.right), fine, step, los)


def _windows(mine: Mine, shape: tuple[int, int], pixel_m: float) -> list[_Window]:
    """Find the pixels that panels move; windows that overlap are one, since phases add before they are averaged."""
    separate: list[_Window] = []
    for advance in mine.panels:
        window = _window_of(advance, shape, pixel_m)
        if window is None:
            continue
        while touching := [other for other in separate if other.overlaps(window)]:
            for other in touching:
                separate.remove(other)
                window = window.joined(other)
        separate.append(window)
    return separate


def _window_of(advance: Advance, shape: tuple[int, int], pixel_m: float) -> _Window | None:
    panel = advance.panel
    azimuth = math.radians(panel.azimuth_deg)
    sin, cos = math.sin(azimuth), math.cos(azimuth)
    reach = _REACH_RADII * panel.influence_radius_m
    half_east = abs(0.5 * panel.length_m * sin) + abs(0.5 * panel.width_m * cos) + reach
    half_north = abs(0.5 * panel.length_m * cos) + abs(0.5 * panel.width_m * sin) + reach
    # The trough of a dipping seam lies down dip, to the right of the advance.
    aside = panel.depth_m * math.tan(math.radians(panel.dip_propagation * panel.dip_deg))
    east, north = panel.east_m + aside * cos, panel.north_m - aside * sin
    top, bottom = _pixels(-north, half_north, pixel_m, shape[0])
    left, right = _pixels(east, half_east, pixel_m, shape[1])
    return _Window(top, bottom, left, right, (advance,)) if top < bottom and left < right else None


def _pixels(middle_m: float, half_m: float, pixel_m: float, size: int) -> tuple[int, int]:
    """Find first and one past the last pixel of one axis, in whole blocks; they do not rise where there is none."""
    block_m = pixel_m * _BLOCK_PX
    first = math.floor((middle_m - half_m) / block_m) * _BLOCK_PX
    last = math.ceil((middle_m + half_m) / block_m) * _BLOCK_PX
    return max(first, 0), min(last, size)
