"""What the atmosphere and the orbit add to an interferogram: turbulence, stratified delay, ramps, ionosphere.

All delays are differential (between two dates), along the line of sight, in metres, float32. They enter the phase
like LOS motion away from the satellite; their sign is arbitrary, since either date may be the wet one.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from scipy import fft

from fringewatch.compiled import kernels
from fringewatch.errors import PhysicsError
from fringewatch.physics._check import require_at_least, require_choice, require_finite, require_positive
from fringewatch.physics._fields import exponential_amplitude, padded_shape, squared_wavenumbers, synthesise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Delay = NDArray[np.float32]

__all__ = [
    "SMOOTH",
    "THREE_REGIMES",
    "PowerLaw",
    "RadialSpectrum",
    "estimate_spectrum",
    "fit_slope",
    "ionosphere",
    "ramp",
    "std_ratio",
    "stratified_delay",
    "turbulence",
    "turbulence_from_spectrum",
]


_MEAN_DISTANCE = 0.5214
"""Between two points of a unit square."""
_SHORTEST_M = 50.0
"""Shorter waves carry little of the power, and pixels average them."""


class PowerLaw(NamedTuple):
    """A power spectrum made of straight pieces in log-log axes.

    Parameters
    ----------
    slopes
        Exponents of the two-dimensional power spectrum, from long to short wavelengths.
    breaks_m
        Wavelengths at which the slope changes, falling, one fewer than the slopes. The pieces join.
    """

    slopes: tuple[float, ...]
    breaks_m: tuple[float, ...]


THREE_REGIMES = PowerLaw(slopes=(-8 / 3, -11 / 3, -5 / 3), breaks_m=(1.5e3, 250.0))
"""Hanssen (2001), eq. 4.7.28: each slope is one more than that along a profile.

Along a profile the power falls with 5/3 at wavelengths of 1.5 to 50 km, beyond the thickness of the turbulent layer;
with 8/3 at 0.25 to 1.5 km, where turbulence is three-dimensional and thus smoother (Treuhaft and Lanyi 1987); and with
2/3 below. His program ``fracsurfatmo`` (2000), which comes with DePSI (TU Delft, ``simulation/fracsurfatmo.m``) and
lives on in MintPy (``simulation/fractal.py``, which quotes the equation), has the exponents 5/3, 8/3 and 2/3 from long
to short wavelengths as well, and adds 1 to each for the spectrum of the surface.
"""

SMOOTH = PowerLaw(slopes=(-11 / 3, -8 / 3), breaks_m=(1.5e3,))
"""The reverse: the slope of three-dimensional turbulence, -11/3, at all long wavelengths, and rougher below 1.5 km.

Not Hanssen's law. Kolmogorov's 8/3 along a profile at all lengths is what many simulators draw, and holds where the wet
layer is thick; real pairs lie between this and :data:`THREE_REGIMES`.
"""


def std_ratio(extent_m: float, reference_m: float, law: PowerLaw | float) -> float:
    """Return the standard deviation of turbulence within a scene over that within one of another size.

    Parameters
    ----------
    extent_m, reference_m
        Sides of the two scenes, metres, > 0.
    law
        A power law, or the correlation length of an exponential covariance, metres.

    Returns
    -------
    float
        Of a power law, the root of the ratio of the power at wavelengths up to each side: what is longer tilts a scene
        more than it bends it. With Hanssen's law it grows with the cube root of the side beyond 1.5 km (2/3 for the
        structure function; Hanssen 2001, section 4.7), with :data:`SMOOTH` with the 5/6 power. Of a covariance, the
        variance about the scene's own mean at the mean distance of two of its pixels.
    """
    return float(np.sqrt(_variance_within(extent_m, law) / _variance_within(reference_m, law)))


def _variance_within(side_m: float, law: PowerLaw | float) -> float:
    """Return the variance within a square, up to a factor that depends on the law alone."""
    if not isinstance(law, PowerLaw):
        return 1 - float(np.exp(-_MEAN_DISTANCE * side_m / law))
    # Pieces of k^(slope + 1) between wavenumbers, scaled so that they join; the longest wavelengths first.
    wavelengths_m = [side_m, *(min(wavelength_m, side_m) for wavelength_m in law.breaks_m), min(_SHORTEST_M, side_m)]
    level, total = 1.0, 0.0
    for number, (slope, ends) in enumerate(zip(law.slopes, pairwise(wavelengths_m), strict=True)):
        if number:
            level *= law.breaks_m[number - 1] ** (slope - law.slopes[number - 1])
        low, high = ((1 / wavelength_m) ** (slope + 2) for wavelength_m in ends)
        total += level * (high - low) / (slope + 2)
    return total


class RadialSpectrum(NamedTuple):
    """Radially averaged two-dimensional power spectrum of a delay.

    Parameters
    ----------
    wavenumber_per_m
        Cycles per metre, rising, all > 0.
    power_m4
        Power spectral density, m2 per (cycle/m)2: its integral over the plane of wavenumbers is the variance in m2.
    """

    wavenumber_per_m: NDArray[np.float64]
    power_m4: NDArray[np.float64]


def turbulence(
    shape: tuple[int, int],
    pixel_m: float,
    rng: np.random.Generator,
    *,
    std_m: float,
    spectrum: Literal["three-regime", "exponential"] = "three-regime",
    correlation_m: float = 8e3,
    power_law: PowerLaw = THREE_REGIMES,
    anisotropy: float = 1.0,
    azimuth_deg: float = 0.0,
) -> Delay:
    """Draw a turbulent delay.

    Parameters
    ----------
    shape
        Rows and columns.
    pixel_m
        Pixel size, metres.
    rng
        Source of randomness.
    std_m
        Expected standard deviation, metres LOS, >= 0: the ensemble root mean square at a pixel. One draw scatters
        about it, and within a scene smaller than the longest wavelengths it is usually less. 0.003-0.02 per
        interferogram (two dates).
    spectrum
        ``"three-regime"``: ``power_law``, Hanssen (2001). ``"exponential"``: covariance
        ``std_m^2 exp(-distance / correlation_m)``.
    correlation_m
        Correlation length of the exponential covariance, metres; 2-30 km.
    power_law
        Slopes and breaks of the power law.
    anisotropy
        Ratio of the correlation lengths along and across ``azimuth_deg``, >= 1.
    azimuth_deg
        Direction in which structures are stretched, clockwise from the direction of decreasing row.

    Returns
    -------
    numpy.ndarray
        Delay in metres LOS, float32. Not periodic.

    Raises
    ------
    PhysicsError
        If an argument is out of range.
    """
    require_positive("pixel_m", pixel_m)
    require_at_least("std_m", std_m, 0.0)
    require_choice("spectrum", spectrum, ("three-regime", "exponential"))
    require_positive("correlation_m", correlation_m)
    require_at_least("anisotropy", anisotropy, 1.0)
    grid = padded_shape(shape)
    k_squared = squared_wavenumbers(grid, anisotropy=anisotropy, azimuth_deg=azimuth_deg)
    if spectrum == "three-regime":
        amplitude = _power_law_amplitude(k_squared, pixel_m, power_law)
    else:
        amplitude = exponential_amplitude(k_squared, correlation_m / pixel_m)
        amplitude[0, 0] = 0
    return synthesise(shape, grid, amplitude, rng, std=std_m)


def _power_law_amplitude(k_squared: NDArray[np.float32], pixel_m: float, law: PowerLaw) -> NDArray[np.float32]:
    if len(law.breaks_m) != len(law.slopes) - 1 or list(law.breaks_m) != sorted(set(law.breaks_m), reverse=True):
        message = f"power_law {law} is not consistent; give one break fewer than slopes, in falling order of wavelength"
        raise PhysicsError(message)
    for wavelength in law.breaks_m:
        require_positive("breaks_m", wavelength)
    # A quarter: slopes are those of power over wavenumber, this is amplitude over its square.
    slope = law.slopes[0] / 4
    changes = [(after - before) / 4 for before, after in pairwise(law.slopes)]
    edges = [2 * math.log2(pixel_m / wavelength) for wavelength in law.breaks_m]
    # To any scale, so the largest is put near 1: spectra fall or rise from piece to piece, and turn at the edges.
    ends = [2 * math.log2(0.5 / max(k_squared.shape)), -1.0, *edges]
    offset = max(slope * at + sum(c * max(at, e) for c, e in zip(changes, edges, strict=True)) for at in ends)
    compiled = kernels("fields")
    if compiled and len(changes) <= 2:
        amplitude = np.empty_like(k_squared)
        two_changes, two_edges = (
            tuple(np.float32(value) for value in (*values, 0.0, 0.0)[:2]) for values in (changes, edges)
        )
        compiled.power_law_amplitude(
            k_squared.ravel(), np.float32(slope), two_changes, two_edges, np.float32(offset), amplitude.ravel()
        )
    else:
        log_k = np.log2(np.maximum(k_squared, np.float32(1e-12)))
        amplitude = np.float32(slope) * log_k
        amplitude -= np.float32(offset)
        for change, edge in zip(changes, edges, strict=True):
            beyond = np.maximum(log_k, np.float32(edge))
            beyond *= np.float32(change)
            amplitude += beyond
        # The mean, whose wavenumber has no logarithm, may be beyond what float32 holds.
        np.exp2(np.minimum(amplitude, np.float32(100)), out=amplitude)
    amplitude[0, 0] = 0
    return amplitude


def stratified_delay(
    height_m: NDArray[np.float32], *, coefficient_m_per_m: float, scale_height_m: float | None = None
) -> Delay:
    """Compute the delay that follows the terrain because the air differs between the dates.

    Parameters
    ----------
    height_m
        Heights in metres; NaN stays NaN.
    coefficient_m_per_m
        Delay per metre of height at the lowest point, metres LOS per metre; 1e-5 is 1 cm/km.
    scale_height_m
        Height over which the effect fades by ``e``, 1.5-3 km, since the water vapour is near the ground. Default:
        linear in height.

    Returns
    -------
    numpy.ndarray
        Delay in metres, float32, zero at the lowest finite height.
    """
    require_finite("coefficient_m_per_m", coefficient_m_per_m)
    height = np.asarray(height_m, dtype=np.float32)
    lowest = np.nanmin(height) if np.isfinite(height).any() else np.float32(0)
    above = height - lowest
    if scale_height_m is None:
        return above * np.float32(coefficient_m_per_m)
    require_positive("scale_height_m", scale_height_m)
    return np.asarray(-np.expm1(above / np.float32(-scale_height_m)) * np.float32(coefficient_m_per_m * scale_height_m))


def ramp(
    shape: tuple[int, int],
    *,
    row_m: float,
    column_m: float,
) -> Delay:
    """Compute a plane, as orbit errors leave it.

    Parameters
    ----------
    shape
        Rows and columns.
    row_m, column_m
        Delay difference, metres LOS, between the last and the first row, and the last and the first column.

    Returns
    -------
    numpy.ndarray
        Delay in metres, float32, zero in the middle.
    """
    require_finite("row_m", row_m)
    require_finite("column_m", column_m)
    rows = np.linspace(-0.5 * row_m, 0.5 * row_m, shape[0], dtype=np.float32)
    columns = np.linspace(-0.5 * column_m, 0.5 * column_m, shape[1], dtype=np.float32)
    return np.asarray(rows[:, np.newaxis] + columns[np.newaxis, :])


def ionosphere(
    shape: tuple[int, int],
    pixel_m: float,
    rng: np.random.Generator,
    *,
    std_m: float,
    wavelength_m: float = 40e3,
    azimuth_deg: float | None = None,
) -> Delay:
    """Draw ionosphere-like long waves: three plane waves of near wavelengths and directions.

    Parameters
    ----------
    shape, pixel_m, rng
        As in :func:`turbulence`.
    std_m
        Expected standard deviation over whole waves, metres LOS, >= 0.
    wavelength_m
        Typical wavelength, metres; those drawn lie within a factor of 1.5.
    azimuth_deg
        Direction in which the phase of the waves changes, clockwise from the direction of decreasing row; the
        waves drawn lie within 15 degrees (one standard deviation). Default: random.

    Returns
    -------
    numpy.ndarray
        Delay in metres, float32.
    """
    require_positive("pixel_m", pixel_m)
    require_at_least("std_m", std_m, 0.0)
    require_positive("wavelength_m", wavelength_m)
    waves = 3
    main = rng.uniform(0, 360) if azimuth_deg is None else azimuth_deg
    azimuths = np.radians(main + rng.normal(0, 15, waves))
    wavenumber = 2 * math.pi * pixel_m / (wavelength_m * 1.5 ** rng.uniform(-1, 1, waves))
    phases = rng.uniform(0, 2 * math.pi, waves)
    field = np.zeros(shape, dtype=np.float32)
    for azimuth, k, phase in zip(azimuths, wavenumber, phases, strict=True):
        # The sum of two outer products costs far less than a cosine per pixel.
        along_rows = (k * math.cos(azimuth) * np.arange(shape[0]))[:, np.newaxis].astype(np.float32)
        along_columns = (k * math.sin(azimuth) * np.arange(shape[1]) + phase).astype(np.float32)
        field += np.cos(along_rows) * np.cos(along_columns) + np.sin(along_rows) * np.sin(along_columns)
    return field * np.float32(std_m * math.sqrt(2 / waves))


def estimate_spectrum(delay_m: NDArray[np.floating], pixel_m: float, *, bins_per_octave: int = 4) -> RadialSpectrum:
    """Estimate the radially averaged power spectrum of a delay, for example of a quiet unwrapped interferogram.

    Parameters
    ----------
    delay_m
        Delay in metres LOS (or unwrapped phase, then powers are in rad2 m2), 2-D, at least 32 pixels a side. NaN
        (no data) is filled with the mean, and the power raised accordingly; at least half must be finite.
    pixel_m
        Pixel size, metres.
    bins_per_octave
        Resolution of the result.

    Returns
    -------
    RadialSpectrum
        From four waves per side to two thirds of the Nyquist wavenumber, the range that window and pixel leave
        undisturbed.

    Raises
    ------
    PhysicsError
        If the array is too small, not 2-D, or mostly no data.

    Notes
    -----
    A plane is removed and a Hann window applied: without it, what does not match at opposite edges leaks into a
    false slope of -2.
    """
    require_positive("pixel_m", pixel_m)
    smallest = 32
    if delay_m.ndim != 2 or min(delay_m.shape) < smallest:
        message = f"delay_m has shape {delay_m.shape}; give a 2-D array of at least {smallest} pixels a side"
        raise PhysicsError(message)
    valid = np.isfinite(delay_m)
    share = float(valid.mean())
    if share < 0.5:
        message = f"delay_m has only {share:.0%} valid pixels; at least 50% are needed, cut out a clearer part"
        raise PhysicsError(message)

    rows, columns = np.nonzero(valid)
    design = np.stack([np.ones(rows.size), rows, columns], axis=1)
    values = delay_m[valid].astype(np.float64)
    plane = np.linalg.lstsq(design, values, rcond=None)[0]
    residual = np.zeros(delay_m.shape)
    residual[valid] = values - design @ plane

    window = np.outer(np.hanning(delay_m.shape[0]), np.hanning(delay_m.shape[1]))
    power = np.square(np.abs(fft.fft2(residual * window)))
    power *= pixel_m**2 / np.square(window * valid).sum()

    k_row, k_column = (fft.fftfreq(size, pixel_m) for size in delay_m.shape)
    k = np.hypot(k_row[:, np.newaxis], k_column[np.newaxis, :])
    lowest, highest = 4 / (min(delay_m.shape) * pixel_m), 1 / (3 * pixel_m)
    edges = np.geomspace(lowest, highest, max(2, round(bins_per_octave * math.log2(highest / lowest))) + 1)
    counts = np.histogram(k, edges)[0]
    kept = counts > 0
    power_sum = np.histogram(k, edges, weights=power)[0][kept]
    # The geometric mean of the wavenumbers in a bin is where a power law takes its mean, to first order.
    log_sum = np.histogram(k, edges, weights=np.log(np.maximum(k, lowest / 2)))[0][kept]
    return RadialSpectrum(np.exp(log_sum / counts[kept]), power_sum / counts[kept])


def fit_slope(spectrum: RadialSpectrum, *, shortest_m: float | None = None, longest_m: float | None = None) -> float:
    """Fit the exponent of a power law to a spectrum, between two wavelengths.

    Parameters
    ----------
    spectrum
        As :func:`estimate_spectrum` returns it.
    shortest_m, longest_m
        Range of wavelengths, metres. Default: all.

    Returns
    -------
    float
        Slope in log-log axes, for example -2.67.
    """
    k, power = spectrum
    kept = np.full(k.shape, fill_value=True)
    if shortest_m is not None:
        kept &= k <= 1 / shortest_m
    if longest_m is not None:
        kept &= k >= 1 / longest_m
    if kept.sum() < 2:
        message = f"only {int(kept.sum())} wavenumbers lie between {shortest_m} and {longest_m} m; widen the range"
        raise PhysicsError(message)
    return float(np.polyfit(np.log(k[kept]), np.log(power[kept]), 1)[0])


def turbulence_from_spectrum(
    shape: tuple[int, int], pixel_m: float, rng: np.random.Generator, spectrum: RadialSpectrum
) -> Delay:
    """Draw a delay with a measured spectrum.

    Parameters
    ----------
    shape, pixel_m, rng
        As in :func:`turbulence`; the pixel need not be that of the measurement.
    spectrum
        As :func:`estimate_spectrum` returns it. Between its points the power is interpolated in log-log axes;
        beyond its ends the first and last slope go on, but never rising towards long waves more steeply than -11/3.

    Returns
    -------
    numpy.ndarray
        Delay in metres, float32, with the power of the measurement at each wavenumber.
    """
    require_positive("pixel_m", pixel_m)
    log_k, log_power = np.log(spectrum.wavenumber_per_m), np.log(spectrum.power_m4)
    grid = padded_shape(shape)
    k = np.sqrt(squared_wavenumbers(grid).astype(np.float64)) / pixel_m
    target = np.log(np.maximum(k, k.flat[1:].min()))
    log_value = np.interp(target, log_k, log_power)
    pieces = min(3, len(log_k) - 1)
    low_slope = np.clip((log_power[pieces] - log_power[0]) / (log_k[pieces] - log_k[0]), -11 / 3, 0.0)
    high_slope = min((log_power[-1] - log_power[-1 - pieces]) / (log_k[-1] - log_k[-1 - pieces]), 0.0)
    log_value += np.where(target < log_k[0], low_slope * (target - log_k[0]), 0.0)
    log_value += np.where(target > log_k[-1], high_slope * (target - log_k[-1]), 0.0)
    power = np.exp(log_value)
    power[0, 0] = 0.0
    # Variance: the sum of the density times the area of one cell of the wavenumber plane, over both half planes.
    both = 2.0 * power.sum() - power[:, 0].sum() - (power[:, -1].sum() if grid[1] % 2 == 0 else 0.0)
    variance = both / (grid[0] * grid[1] * pixel_m**2)
    return synthesise(shape, grid, np.sqrt(power).astype(np.float32), rng, std=math.sqrt(variance))
