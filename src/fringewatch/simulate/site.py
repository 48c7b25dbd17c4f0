"""A real place to simulate: its relief, the line of sight it is seen along, and the spectrum of its noise."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.conventions import SENTINEL1_WAVELENGTH_M, phase_to_los, wrap
from fringewatch.errors import ConfigError, ProductError
from fringewatch.physics.atmosphere import RadialSpectrum, estimate_spectrum
from fringewatch.physics.geometry import ASCENDING_HEADING_DEG, DESCENDING_HEADING_DEG, LookVector, look_vector

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

__all__ = ["Plot", "Site", "measure_spectra", "open_site"]

_MAX_RESIDUES = 5e-3
_MAX_TORN = 1e-3
_MIN_VALID = 0.9
_HEADINGS_DEG = {"asc": ASCENDING_HEADING_DEG, "desc": DESCENDING_HEADING_DEG}
# The heading of a track turns with latitude, and every place lies elsewhere in the swath.
_HEADING_SPREAD_DEG = 3.0
_METRES_PER_DEGREE = 111_319.49


class Plot(NamedTuple):
    """A part of a site, of the size of a scene."""

    height_m: NDArray[np.float32]
    """(H, W)."""
    water: NDArray[np.bool_]
    """(H, W), True on sea and lakes."""
    pixel_m: float
    look: LookVector
    """Unit vector from the ground to the satellite, at the middle of the plot."""
    heading_deg: float
    incidence_deg: float
    spectra: tuple[RadialSpectrum, ...]
    """Spectra of turbulent delay measured at the site, to choose from; empty where none were."""
    row: int
    """Of the plot's upper left pixel in the site."""
    col: int


@dataclasses.dataclass(frozen=True)
class Site:
    """A place whose parts are simulated.

    Parameters
    ----------
    name
        What the place is called in parameters.
    height_m
        (H, W) heights, without gaps, north up.
    pixel_m
        Side of a pixel, metres.
    water
        (H, W), True on sea and lakes. Default: nowhere.
    track
        ``"asc"`` or ``"desc"``: the heading of such a Sentinel-1 track is drawn within 3 degrees, the incidence from
        the range of the population. None draws the track as well.
    look
        (3, H, W) east, north and up of the unit vector from the ground to the satellite, NaN = unknown; in place of
        `track`.
    spectra
        Of turbulent delay, from :func:`measure_spectra`.
    corner
        Longitude and latitude of the upper left corner, degrees.
    step_deg
        Size of a pixel along longitude and along latitude, degrees, both > 0. Default: that of a pixel at the equator.
    filled
        Share of the pixels whose height was filled from around them.
    """

    name: str
    height_m: NDArray[np.float32]
    pixel_m: float
    water: NDArray[np.bool_] | None = None
    track: str | None = None
    look: NDArray[np.float32] | None = None
    spectra: tuple[RadialSpectrum, ...] = ()
    corner: tuple[float, float] = (0.0, 0.0)
    step_deg: tuple[float, float] | None = None
    filled: float = 0.0

    def check_size(self, shape: tuple[int, int]) -> None:
        """Refuse scenes that are larger than the site.

        Raises
        ------
        ConfigError
            With the sizes, and what would fit.
        """
        have = self.height_m.shape
        if have[0] < shape[0] or have[1] < shape[1]:
            message = (
                f"{self.name}: the DEM has {have[0]} x {have[1]} pixels of {self.pixel_m:.4g} m, expected at least "
                f"{shape[0]} x {shape[1]} for a scene; give a larger DEM, a smaller --pixel-m, or "
                f"--size-px {min(have)} or less"
            )
            raise ConfigError(message)

    def draw(self, rng: np.random.Generator, shape: tuple[int, int], incidence_deg: tuple[float, float]) -> Plot:
        """Draw a part of the site, never turned or mirrored: relief and line of sight belong together.

        Parameters
        ----------
        rng
            Source of randomness.
        shape
            Rows and columns, at most those of the site.
        incidence_deg
            Range of incidence angles, where the site does not know its own.
        """
        self.check_size(shape)
        row = int(rng.integers(self.height_m.shape[0] - shape[0] + 1))
        col = int(rng.integers(self.height_m.shape[1] - shape[1] + 1))
        part = (slice(row, row + shape[0]), slice(col, col + shape[1]))
        look = None if self.look is None else _mean_look(self.look[:, part[0], part[1]])
        if look is None:
            track = self.track or ("asc" if rng.random() < 0.5 else "desc")
            heading = _HEADINGS_DEG[track] + float(rng.uniform(-_HEADING_SPREAD_DEG, _HEADING_SPREAD_DEG))
            incidence = float(rng.uniform(*incidence_deg))
            look = look_vector(heading, incidence)
        else:
            heading = math.degrees(math.atan2(float(look.north), -float(look.east))) % 360
            incidence = math.degrees(math.acos(float(look.up)))
        water = np.zeros(shape, bool) if self.water is None else self.water[part]
        return Plot(self.height_m[part], water, self.pixel_m, look, heading, incidence, self.spectra, row, col)

    def locate(self, row: int, col: int) -> tuple[float, float]:
        """Return longitude and latitude of the upper left corner of a pixel."""
        step = self.step_deg or (self.pixel_m / _METRES_PER_DEGREE,) * 2
        return self.corner[0] + col * step[0], self.corner[1] - row * step[1]


def open_site(
    dem: str | Path,
    *,
    los: Sequence[str] = (),
    pixel_m: float | None = None,
    noise: Iterable[NDArray[np.float32]] | None = None,
    noise_pixel_m: float = 100.0,
    wavelength_m: float = SENTINEL1_WAVELENGTH_M,
) -> Site:
    """Read a site from files.

    Parameters
    ----------
    dem, pixel_m
        See :func:`fringewatch.products.dem.read_dem`.
    los
        ``("asc",)`` or ``("desc",)``, files as for :func:`fringewatch.products.dem.find_look_files`, or nothing: either
        track.
    noise, noise_pixel_m, wavelength_m
        Quiet patches and their pixel size, see :func:`measure_spectra`.

    Raises
    ------
    ProductError
        If a file cannot be used; see the functions named.
    """
    track = los[0] if len(los) == 1 and los[0] in _HEADINGS_DEG else None
    # Only a real site needs raster libraries; patches are simulated where there are none.
    from fringewatch.products.dem import find_look_files, read_dem, read_look

    # Files that are missing are reported before the DEM is read, which takes longer.
    files = find_look_files(los) if los and track is None else []
    read = read_dem(dem, pixel_m=pixel_m)
    return Site(
        name=Path(dem).name,
        height_m=read.height_m,
        pixel_m=read.pixel_m,
        water=read.water,
        track=track,
        look=read_look(files, read) if files else None,
        spectra=() if noise is None else measure_spectra(noise, noise_pixel_m, wavelength_m=wavelength_m),
        corner=(read.transform.c, read.transform.f),
        step_deg=(read.transform.a, -read.transform.e),
        filled=read.filled,
    )


def measure_spectra(
    phases: Iterable[NDArray[np.float32]],
    pixel_m: float,
    *,
    wavelength_m: float = SENTINEL1_WAVELENGTH_M,
    most: int = 64,
) -> tuple[RadialSpectrum, ...]:
    """Measure the spectra of the delay in quiet interferograms.

    Only those are taken whose unwrapping is beyond doubt: at least 90 % valid, and fewer than one residue (a square
    of four pixels around which the wrapped steps of phase do not add up to zero) in a thousand pixels.

    Parameters
    ----------
    phases
        Wrapped phase, (H, W) each, at least 32 pixels a side, NaN = no data.
    pixel_m
        Their pixel size, metres.
    wavelength_m
        Of the radar.
    most
        Stop after this many spectra.

    Returns
    -------
    tuple of RadialSpectrum
        In m4 of LOS delay; not empty.

    Raises
    ------
    ProductError
        If none of them can be unwrapped reliably.

    Notes
    -----
    Goldstein, Zebker and Werner (1988), Satellite radar interferometry: two-dimensional phase unwrapping, Radio
    Science 23, 713-720: without residues unwrapping does not depend on the path.
    """
    spectra: list[RadialSpectrum] = []
    seen = 0
    for phase in phases:
        seen += 1
        unwrapped = _unwrap(phase)
        if unwrapped is not None:
            spectra.append(estimate_spectrum(phase_to_los(unwrapped, wavelength_m), pixel_m))
        if len(spectra) == most:
            break
    if not spectra:
        message = (
            f"none of {seen} quiet patches can be unwrapped reliably (32 pixels a side, 90 % valid, hardly any noise), "
            "expected at least one to measure the spectrum of the noise; add clearer ones, or leave --dem out to use "
            "them as they are"
        )
        raise ProductError(message)
    return tuple(spectra)


def _unwrap(phase: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Unwrap phase, NaN = no data; None where the result would be doubtful."""
    from skimage.restoration import unwrap_phase

    valid = np.isfinite(phase)
    if min(phase.shape) < 32 or valid.mean() < _MIN_VALID:
        return None
    right, down = wrap(np.diff(phase, axis=1)), wrap(np.diff(phase, axis=0))
    # NaN in a square makes its sum NaN, which is no residue.
    turns = np.abs(right[:-1] + down[:, 1:] - right[1:] - down[:, :-1]) > np.pi
    if turns.mean() > _MAX_RESIDUES:
        return None
    masked = np.ma.array(np.where(valid, phase, 0), mask=~valid)
    unwrapped = unwrap_phase(masked, rng=0)  # type: ignore[no-untyped-call]  # scikit-image is typed only in part
    result = np.asarray(np.ma.filled(unwrapped, np.nan), np.float32)
    steps = [np.abs(np.diff(result, axis=axis)) for axis in (0, 1)]
    torn = sum(int((step > np.pi).sum()) for step in steps)
    return None if torn > _MAX_TORN * phase.size else result


def _mean_look(look: NDArray[np.float32]) -> LookVector | None:
    """Return the mean of unit vectors, (3, h, w), as a unit vector; None where none is known."""
    known = np.isfinite(look).all(axis=0)
    if not known.any():
        return None
    mean = look[:, known].mean(axis=1, dtype=np.float64)
    east, north, up = (mean / np.linalg.norm(mean)).tolist()
    return LookVector(east, north, up)
