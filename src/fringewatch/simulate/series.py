"""Time series of one place: acquisitions that each have their own air, ground that moves from date to date, all pairs.

Before noise, the phase of a pair is the difference of two dates, so the phases around every triangle of pairs add up to
zero. Mines in large pixels are the exception: what adds up is the motion on a grid finer than the pixels, of which each
pair shows an average of its own. Noise belongs to the pair: its coherence falls with the time between its dates.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from fringewatch.conventions import los_to_phase, wrap
from fringewatch.errors import ConfigError
from fringewatch.physics.coherence import coherence_field, gradient_coherence, multilook_phasor, temporal_coherence
from fringewatch.physics.filtering import goldstein
from fringewatch.simulate.background import draw_background
from fringewatch.simulate.deformation import draw_deformation
from fringewatch.simulate.difficulty import signal_to_noise, snr_stratum
from fringewatch.simulate.distributions import log_uniform
from fringewatch.simulate.history import draw_history, draw_mining_history, multilook_between
from fringewatch.simulate.sample import Sample
from fringewatch.simulate.sea import draw_sea
from fringewatch.simulate.site import Site
from fringewatch.simulate.styles import draw_missing, draw_seam
from fringewatch.simulate.visible import visible_mask

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fringewatch.physics.geometry import LookVector
    from fringewatch.simulate.history import Troughs
    from fringewatch.simulate.site import Plot
    from fringewatch.simulate.spec import Kind, SceneSpec

    Parameters = dict[str, float | int | str]

__all__ = ["Series", "simulate_series"]

# Forest, fields and lava, see physics.coherence.temporal_coherence.
_TAU_DAYS = (10.0, 200.0)
_LASTING = (0.1, 0.7)
_OF_THE_GROUND = ("relief_m", "water")
_LINEAR_IN_PHASE = ("turbulence_std_m", "stratified_m_per_km", "ramp_fringes")
# As in single scenes.
_SEA_COHERENCE = np.float32(0.02)


@dataclasses.dataclass(frozen=True)
class Series:
    """Acquisitions of one place and what any pair of them shows; arrays are (H, W), or (dates, H, W)."""

    dates: tuple[dt.date, ...]
    """Rising."""
    los_m: NDArray[np.float32]
    """(dates, H, W) LOS deformation since the first date, mean inside each pixel, positive towards the satellite."""
    delay_rad: NDArray[np.float32]
    """(dates, H, W) phase of air, orbit and reference of each date, unwrapped."""
    shortest_coherence: NDArray[np.float32]
    """Coherence of the pairs with the least time in between."""
    lasting: NDArray[np.float32]
    """Share of that coherence that is never lost."""
    tau_days: float
    """Time in which the rest falls to 1 / e."""
    looks: float
    goldstein_alpha: float
    """Exponent of the filter that every pair goes through; 0 for none."""
    missing: NDArray[np.bool_]
    height_m: NDArray[np.float32]
    look: LookVector
    """Unit vector from ground to satellite."""
    pixel_m: float
    kind: Kind
    wavelength_m: float
    seed: int
    index: int
    parameters: Parameters
    """Every drawn parameter that all pairs share, with its unit in its name."""
    acquisitions: tuple[Parameters, ...]
    """What was drawn for the air and the orbit of each date."""
    troughs: tuple[Troughs, ...]
    """What has moved over a mine at each date, finer than the pixels; empty for other kinds."""

    @property
    def track(self) -> str:
        """``"A"`` for an ascending, ``"D"`` for a descending orbit."""
        return "A" if np.cos(np.radians(float(self.parameters["heading_deg"]))) > 0 else "D"

    def pairs(self, *, max_days: int) -> list[tuple[int, int]]:
        """Return all pairs of dates up to so many days apart, as numbers of the earlier and the later date."""
        count = len(self.dates)
        return [
            (first, second)
            for first in range(count)
            for second in range(first + 1, count)
            if (self.dates[second] - self.dates[first]).days <= max_days
        ]

    def phase_rad(self, number: int) -> NDArray[np.float64]:
        """Return the unwrapped phase of a date, that of its mean deformation inside each pixel included."""
        phase: NDArray[np.float64] = los_to_phase(self.los_m[number].astype(np.float64), self.wavelength_m)
        phase += self.delay_rad[number]
        return phase

    def multilooked(self, first: int, second: int) -> NDArray[np.complex64] | None:
        """Return the mean of ``exp(i phase)`` of a pair's deformation inside each pixel, (H, W).

        None where the deformation is not simulated finer than the pixels: that of mines is where these are larger than
        20 m. The angle is the phase that the pixels see, the modulus the coherence that they keep.
        """
        if not self.troughs:
            return None
        earlier, later = self.troughs[first], self.troughs[second]
        return multilook_between(earlier, later, self.height_m.shape, wavelength_m=self.wavelength_m)[1]

    def noiseless(self, first: int, second: int) -> NDArray[np.float64]:
        """Return the wrapped phase of a pair without decorrelation, filter and gaps, in (-pi, pi].

        Around every triangle, ``noiseless(i, j) + noiseless(j, k) - noiseless(i, k)`` is a multiple of 2 pi. Where a
        pair is :meth:`multilooked` that holds nearly in pixels that keep their coherence, and not at all in others: the
        angle of an average is not the average of the angles.
        """
        return self._noiseless(first, second, self.multilooked(first, second))

    def _noiseless(self, first: int, second: int, multilooked: NDArray[np.complex64] | None) -> NDArray[np.float64]:
        if multilooked is None:
            difference: NDArray[np.float64] = self.phase_rad(second) - self.phase_rad(first)
        else:
            difference = self.delay_rad[second].astype(np.float64) - self.delay_rad[first]
            difference += np.angle(multilooked)
        return wrap(difference)

    def coherence(self, first: int, second: int) -> NDArray[np.float32]:
        """Return the coherence of a pair, in [0, 1): lost with time and where the deformation is steep."""
        return self._coherence(first, second, self.multilooked(first, second))

    def _coherence(self, first: int, second: int, multilooked: NDArray[np.complex64] | None) -> NDArray[np.float32]:
        shortest = min(later - earlier for earlier, later in itertools.pairwise(self.dates))
        days = (self.dates[second] - self.dates[first] - shortest).days
        fading = np.float32(temporal_coherence(days, tau_days=self.tau_days))
        kept: NDArray[np.float32] = self.shortest_coherence * (self.lasting + (1 - self.lasting) * fading)
        if multilooked is None:
            kept *= gradient_coherence(los_to_phase(self.los_m[second] - self.los_m[first], self.wavelength_m))
        else:
            kept *= np.abs(multilooked)
        return np.minimum(kept, np.float32(0.999), out=kept)

    def interfere(self, first: int, second: int) -> Sample:
        """Return a pair as a provider would deliver it, with its truth; the same at every call.

        Parameters
        ----------
        first, second
            Numbers of the earlier and the later date.
        """
        rng = np.random.default_rng([self.seed, self.index, first, second])
        multilooked = self.multilooked(first, second)
        field = self._coherence(first, second, multilooked)
        z = np.exp(1j * self._noiseless(first, second, multilooked)).astype(np.complex64)
        z *= multilook_phasor(field, self.looks, rng)
        if self.goldstein_alpha:
            z = goldstein(z, self.goldstein_alpha)
        phase = np.where(self.missing, np.float32(np.nan), np.angle(z)).astype(np.float32)
        los_m = self.los_m[second] - self.los_m[first]
        mask = np.zeros(phase.shape, bool)
        snr, stratum = 0.0, "none"
        if los_m.any():
            background = self.delay_rad[second] - self.delay_rad[first]
            snr = signal_to_noise(los_m, background, wavelength_m=self.wavelength_m, wrapped=False)
            stratum = snr_stratum(snr)
            mask = visible_mask(los_to_phase(los_m, self.wavelength_m), phase, background)
        parameters = self.parameters | {
            "reference_date": self.dates[first].isoformat(),
            "secondary_date": self.dates[second].isoformat(),
            "interval_days": (self.dates[second] - self.dates[first]).days,
            "peak_to_peak_los_m": float(np.ptp(los_m)),
            "peak_to_peak_fringes": float(np.ptp(los_m)) / (self.wavelength_m / 2),
            "mean_coherence": float(field.mean()),
            "visible_px": int(mask.sum()),
            "snr": snr,
            "snr_stratum": stratum,
        }
        return Sample(
            phase=phase,
            los_m=los_m,
            mask=mask,
            coherence=field,
            height_m=self.height_m,
            look=self.look,
            pixel_m=self.pixel_m,
            kind=self.kind,
            parameters=parameters,
        )


def simulate_series(
    spec: SceneSpec, *, seed: int, index: int, dates: Sequence[dt.date], site: Site | None = None
) -> Series:
    """Simulate the acquisitions of one place.

    Parameters
    ----------
    spec
        Ranges and shares. The fringes are those between the first and the last date, the coherence is that of the
        pairs with the least time in between. Shares of scenes are shares of series, but those of air, orbit and seam:
        they are drawn for each date.
    seed, index
        Together they determine the series.
    dates
        Of the acquisitions, rising, at least two.
    site
        A real place; see :func:`fringewatch.simulate.simulate`.

    Returns
    -------
    Series

    Raises
    ------
    ConfigError
        If the dates are fewer than two or do not rise.

    Notes
    -----
    Series take no notice of: ``interval_days``, ``longwall.long_share`` (the dates say how long a pair is);
    ``low_snr_share``, ``low_snr``, ``min_visibility``, ``min_visible_px`` (nothing is drawn again); ``styles`` (all are
    of style raw); ``clutter``; ``real_noise_share``, ``superposed_noise_share`` (a real pair is no date).
    """
    if len(dates) < 2 or any(later <= earlier for earlier, later in itertools.pairwise(dates)):
        message = f"dates = {', '.join(map(str, dates))}: expected at least two, each later than the one before"
        raise ConfigError(message)
    # A stream of its own: single scenes of the same seed and index are other scenes.
    rng = np.random.default_rng([seed, index, 0])
    shape = (spec.height_px, spec.width_px)
    names = list(spec.kinds)
    weights = np.array([spec.kinds[name] for name in names], float)
    kind = names[int(rng.choice(len(names), p=weights / weights.sum()))]
    plot = _imagine(rng, spec, kind) if site is None else site.draw(rng, shape, spec.incidence_deg)
    ground = draw_background(rng, spec, plot.pixel_m, site=None if site is None else plot)
    # Whoever made the terrain, every date has its air over this one.
    plot = plot._replace(height_m=ground.height_m)
    parameters: Parameters = {
        "kind": kind,
        "pixel_m": plot.pixel_m,
        "heading_deg": plot.heading_deg,
        "incidence_deg": plot.incidence_deg,
    }
    if site is not None:
        parameters |= {"site": site.name, "site_row": plot.row, "site_col": plot.col}

    days = np.array([(date - dates[0]).days for date in dates], float)
    delay, acquisitions = _draw_delays(rng, spec, plot, len(dates))
    coherence = ground.coherence
    # The sea of a real place is known.
    if site is None and rng.random() < spec.sea_share:
        sea = draw_sea(rng, shape, plot.pixel_m, ground.height_m)
        coherence = np.where(sea, _SEA_COHERENCE, coherence)
        parameters["sea_share"] = float(sea.mean())
    los_m, troughs, drawn = _draw_motion(rng, spec, kind, plot, days)
    parameters |= drawn
    lasting = coherence_field(shape, plot.pixel_m, rng, mean=float(rng.uniform(*_LASTING)))
    tau_days = log_uniform(rng, *_TAU_DAYS)
    looks = log_uniform(rng, *spec.looks)
    alpha = float(rng.uniform(*spec.goldstein_alpha)) if rng.random() < spec.goldstein_share else 0.0
    parameters |= {key: ground.parameters[key] for key in _OF_THE_GROUND if key in ground.parameters}
    parameters["mean_coherence"] = float(coherence.mean())
    parameters |= {"tau_days": tau_days, "looks": looks, "goldstein_alpha": alpha, "dates": len(dates)}
    return Series(
        dates=tuple(dates),
        los_m=los_m,
        delay_rad=delay,
        shortest_coherence=coherence,
        lasting=lasting,
        tau_days=tau_days,
        looks=looks,
        goldstein_alpha=alpha,
        missing=draw_missing(rng, shape, spec.nodata_share),
        height_m=ground.height_m,
        look=plot.look,
        pixel_m=plot.pixel_m,
        kind=kind,
        wavelength_m=spec.wavelength_m,
        seed=seed,
        index=index,
        parameters=parameters,
        acquisitions=acquisitions,
        troughs=troughs,
    )


def _imagine(rng: np.random.Generator, spec: SceneSpec, kind: Kind) -> Plot:
    """Draw pixel size and line of sight of a place that does not exist; its terrain is drawn with its air."""
    shape = (spec.height_px, spec.width_px)
    # As single scenes have it: quiet ones of either size, so that size tells no class.
    small = kind == "mining" or (kind == "quiet" and rng.random() < spec.quiet_mining_share)
    site = Site(
        name="",
        height_m=np.zeros(shape, np.float32),
        pixel_m=log_uniform(rng, *(spec.mining_pixel_size_m if small else spec.pixel_size_m)),
    )
    return site.draw(rng, shape, spec.incidence_deg)


def _draw_delays(
    rng: np.random.Generator, spec: SceneSpec, plot: Plot, dates: int
) -> tuple[NDArray[np.float32], tuple[Parameters, ...]]:
    """Draw the phase of air, orbit and reference of each date.

    What is known of the air is known of pairs, of two dates each: one date has half of the variance. So it is with
    seams: a pair has one if either date has.
    """
    single = math.sqrt(0.5)
    shape = (spec.height_px, spec.width_px)
    with_seam = 1 - math.sqrt(1 - spec.seam_share)
    # Bursts and frames are joined at the same place at every date.
    beyond = draw_seam(rng, shape) != 0
    delays = np.empty((dates, *shape), np.float32)
    acquisitions: list[Parameters] = []
    for number in range(dates):
        pair = draw_background(rng, spec, plot.pixel_m, site=plot)
        reference = rng.uniform(-math.pi, math.pi)
        delays[number] = pair.phase_rad * np.float32(single) + np.float32(reference)
        drawn: Parameters = {
            key: float(pair.parameters[key]) * single for key in _LINEAR_IN_PHASE if key in pair.parameters
        }
        if rng.random() < with_seam:
            drawn["seam_rad"] = float(rng.uniform(-math.pi, math.pi))
            delays[number] += beyond * np.float32(drawn["seam_rad"])
        acquisitions.append(drawn)
    return delays, tuple(acquisitions)


def _draw_motion(
    rng: np.random.Generator, spec: SceneSpec, kind: Kind, plot: Plot, days: NDArray[np.float64]
) -> tuple[NDArray[np.float32], tuple[Troughs, ...], Parameters]:
    """Draw the LOS deformation at each date since the first, (dates, H, W), and that over mines in its finer form."""
    shape = (spec.height_px, spec.width_px)
    if kind == "quiet":
        return np.zeros((len(days), *shape), np.float32), (), {}
    if kind == "mining":
        troughs, drawn = draw_mining_history(rng, spec, plot.pixel_m, plot.look, days)
        averaged = (multilook_between(troughs[0], moved, shape, wavelength_m=spec.wavelength_m) for moved in troughs)
        return np.stack([los_m for los_m, _ in averaged]), troughs, drawn
    final = draw_deformation(rng, spec, kind, plot.pixel_m, plot.look, height_m=plot.height_m)
    reached, drawn = draw_history(rng, kind, days)
    return reached.astype(np.float32)[:, None, None] * final.los_m, (), final.parameters | drawn
