"""One simulated scene: draw deformation and background, add them, decorrelate, filter, mask, keep the truth."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.conventions import los_to_phase, wrap
from fringewatch.errors import ConfigError
from fringewatch.parallel import keep_freed_memory
from fringewatch.physics import geometry
from fringewatch.physics.coherence import (
    angles,
    gradient_coherence,
    local_coherence,
    multilook_phase_noise,
    phasor,
)
from fringewatch.simulate.background import draw_background
from fringewatch.simulate.clutter import draw_clutter
from fringewatch.simulate.deformation import draw_unless_hidden
from fringewatch.simulate.difficulty import signal_to_noise, snr_stratum
from fringewatch.simulate.distributions import log_uniform, weighted_choice
from fringewatch.simulate.sea import LAND_PX, draw_sea
from fringewatch.simulate.spec import SceneSpec
from fringewatch.simulate.styles import Processing, draw_missing, draw_processing, draw_seam, observe
from fringewatch.simulate.visibility import (
    background_steps,
    large_deformation,
    least_coherence,
    visibility,
    visibility_at_nodes,
)
from fringewatch.simulate.visible import visible_mask, visible_share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fringewatch.simulate.noise import RealNoise
    from fringewatch.simulate.site import Site
    from fringewatch.simulate.spec import Kind

__all__ = ["Sample", "simulate"]

_MAX_DRAWS = 12
_DRAWS_PER_GROUND = 4
_MAX_HARD_DRAWS = 16
_MIN_VISIBLE_SHARE = 0.35
# Estimates below this share of the visibility that is asked for: of a thousand such motions one would pass.
_HOPELESS = 0.75
# Looks of the noise that is added to real phase where deformation or clutter take coherence, and the share of it below
# which that is done.
_REAL_LOOKS = 8.0
_STEEP = 0.97
_SEA_COHERENCE = np.float32(0.02)


@dataclasses.dataclass(frozen=True)
class Sample:
    """A simulated interferogram and its truth; arrays are (H, W)."""

    phase: NDArray[np.float32]
    """Wrapped phase in (-pi, pi], NaN = no data."""
    los_m: NDArray[np.float32]
    """LOS deformation, positive towards the satellite."""
    mask: NDArray[np.bool_]
    """Where the deformation can be seen; see ``visible_mask``."""
    coherence: NDArray[np.float32]
    """Coherence in [0, 1]; on real noise, the local phase coherence of that noise."""
    height_m: NDArray[np.float32]
    """Terrain height; zero on real noise, whose terrain is not known."""
    look: geometry.LookVector
    """Unit vector from ground to satellite."""
    pixel_m: float
    kind: Kind
    parameters: dict[str, float | int | str]
    """Every drawn parameter, with its unit in its name."""

    @property
    def track(self) -> str:
        """``"A"`` for an ascending, ``"D"`` for a descending orbit."""
        return "A" if np.cos(np.radians(float(self.parameters["heading_deg"]))) > 0 else "D"

    @property
    def is_deformation(self) -> bool:
        """True where the scene holds visible deformation."""
        return bool(self.mask.any())


def simulate(
    spec: SceneSpec, *, seed: int, index: int, noise: RealNoise | None = None, site: Site | None = None
) -> Sample:
    """Simulate one scene.

    Parameters
    ----------
    spec
        Ranges and shares.
    seed, index
        Together they determine the sample; samples of one seed are independent of each other.
    noise
        Real quiet phase that stands in for the simulated background in ``spec.real_noise_share`` of the scenes.
    site
        A real place whose parts are simulated: their relief, pixel size and line of sight, and its measured spectra of
        turbulence. Default: synthetic terrain and the ranges of `spec`.

    Returns
    -------
    Sample

    Raises
    ------
    ConfigError
        If `spec` is no :class:`~fringewatch.simulate.SceneSpec`.
    """
    _check_spec(spec)
    keep_freed_memory()
    # A fifth faster than the default generator, and no worse.
    rng = np.random.Generator(np.random.SFC64([seed, index]))
    kind = weighted_choice(rng, spec.kinds)
    ground = _draw_ground(rng, spec, kind, noise, site)
    hard = kind == "mining" and spec.low_snr_share > 0 and rng.random() < spec.low_snr_share
    attempts = 0 if kind == "quiet" else _MAX_DRAWS + _MAX_HARD_DRAWS * hard
    for attempt in range(attempts):
        if attempt == _MAX_HARD_DRAWS:
            hard = False
        # The ground decides on the ratio more than the trough does.
        if attempt and (hard or attempt % _DRAWS_PER_GROUND == 0):
            ground = _draw_ground(rng, spec, kind, noise, site)
        if np.count_nonzero(ground.coherence > ground.least_coherence) < spec.min_visible_px:
            ground = _draw_ground(rng, spec, kind, noise, site)
            continue
        # Another source on the same ground: a new ground each time would leave the calm ones to deformation, and the
        # turbulent ones to quiet scenes.
        motion = _draw_motion(rng, spec, kind, ground)
        if motion is None:
            continue
        if hard and not spec.low_snr[0] <= float(motion.parameters["snr"]) <= spec.low_snr[1]:
            continue
        sample = _observe(rng, spec, kind, ground, motion)
        share = visible_share(motion.phase_rad, sample.phase, sample.mask, sea=ground.sea, large=motion.large)
        least_px = spec.min_visible_px if ground.sea is None else LAND_PX
        if sample.mask.sum() >= least_px and (share >= _MIN_VISIBLE_SHARE or not spec.min_visibility):
            return sample
    # Drawn as such; or a population whose backgrounds drown every source, which is the caller's choice (or one very
    # noisy folder): such a scene is honest only as a quiet one.
    return _observe(rng, spec, "quiet", ground, None)


def _check_spec(given: object) -> None:
    if not isinstance(given, SceneSpec):
        message = f"spec = {given!r}: expected a SceneSpec, such as preset('volcano')"
        raise ConfigError(message)


class _Ground(NamedTuple):
    """Where, and how the satellite sees it, without deformation."""

    pixel_m: float
    look: geometry.LookVector
    height_m: NDArray[np.float32] | None
    """None on real phase of unknown terrain."""
    background_rad: NDArray[np.float32]
    """Simulated background, or real phase with NaN where there is no data."""
    coherence: NDArray[np.float32]
    """Of the simulated background, or local coherence of real phase."""
    processing: Processing | None
    """Of the simulated background; None on real phase, which was processed."""
    sea: NDArray[np.bool_] | None
    """Where the sea is; None inland."""
    steps: NDArray[np.float32] | None
    """Of the background, see ``background_steps``; None where nothing will deform."""
    parameters: dict[str, float | int | str]

    @property
    def least_coherence(self) -> float:
        """From which fringes can be seen here."""
        if self.processing is None:
            return least_coherence(None, filtered=False)
        return least_coherence(self.processing.looks, filtered=self.processing.goldstein_alpha > 0)


class _Motion(NamedTuple):
    """Deformation, and what the pixels keep of it."""

    los_m: NDArray[np.float32]
    phase_rad: NDArray[np.float32]
    pixel_phase_rad: NDArray[np.float32]
    """The same as the pixels see it: wrapped where it was averaged inside them."""
    kept: NDArray[np.float32]
    """Coherence that is left by the averaging inside a pixel."""
    large: NDArray[np.bool_]
    """Where the motion is large, see ``large_deformation``."""
    parameters: dict[str, float | int | str]


def _draw_ground(
    rng: np.random.Generator, spec: SceneSpec, kind: Kind, noise: RealNoise | None, site: Site | None
) -> _Ground:
    """Draw geometry and background."""
    shape = (spec.height_px, spec.width_px)
    plot = None if site is None else site.draw(rng, shape, spec.incidence_deg)
    if plot is not None:
        small = plot.pixel_m < spec.pixel_size_m[0]
        pixel_m, look, heading, incidence = plot.pixel_m, plot.look, plot.heading_deg, plot.incidence_deg
    else:
        small = kind == "mining" or (kind == "quiet" and rng.random() < spec.quiet_mining_share)
        pixel_m = log_uniform(rng, *(spec.mining_pixel_size_m if small else spec.pixel_size_m))
        ascending = rng.random() < 0.5
        heading = geometry.ASCENDING_HEADING_DEG if ascending else geometry.DESCENDING_HEADING_DEG
        heading += float(rng.uniform(-3, 3))
        incidence = float(rng.uniform(*spec.incidence_deg))
        look = geometry.look_vector(heading, incidence)
    parameters: dict[str, float | int | str] = {
        "pixel_m": pixel_m,
        "heading_deg": heading,
        "incidence_deg": incidence,
        "snr": 0.0,
        "snr_stratum": "none",
    }
    if site is not None and plot is not None:
        parameters |= {"site": site.name, "site_row": plot.row, "site_col": plot.col}

    processing = None
    height = None if plot is None else plot.height_m
    if noise is not None and rng.random() < spec.real_noise_share:
        background_rad, parameters["noise"] = noise.draw(rng, shape, superposed_share=spec.superposed_noise_share)
        coherence = local_coherence(background_rad)
    else:
        processing = draw_processing(rng, spec, fine=small)
        background = draw_background(rng, spec, pixel_m, site=plot, processing=processing, look=look)
        background_rad, coherence, height = background.phase_rad, background.coherence, background.height_m
        parameters |= background.parameters

    clutter = draw_clutter(rng, spec.clutter, shape, pixel_m, spec.wavelength_m)
    if clutter is not None:
        background_rad = background_rad + clutter.phase_rad
        parameters |= clutter.parameters
        if processing is None:
            background_rad = _on_real_noise(rng, background_rad, clutter.kept)
            coherence = local_coherence(background_rad)
        else:
            coherence = coherence * clutter.kept
    if rng.random() < spec.seam_share:
        background_rad = background_rad + draw_seam(rng, shape)
        if processing is None:
            background_rad = wrap(background_rad)
        parameters["seam"] = 1
    sea = None
    if site is None and rng.random() < spec.sea_share:
        sea = draw_sea(rng, shape, pixel_m, height)
        parameters["sea_share"] = float(sea.mean())
        coherence = np.where(sea, _SEA_COHERENCE, coherence)
        if processing is None:
            noise_rad = rng.uniform(-np.pi, np.pi, np.count_nonzero(sea)).astype(np.float32)
            # No data stays so.
            background_rad[sea] = noise_rad + 0 * background_rad[sea]
    steps = None if kind == "quiet" else background_steps(background_rad)
    return _Ground(pixel_m, look, height, background_rad, coherence, processing, sea, steps, parameters)


def _draw_motion(rng: np.random.Generator, spec: SceneSpec, kind: Kind, ground: _Ground) -> _Motion | None:
    """Draw deformation; None where the ground hides it."""

    def hidden(los_m: NDArray[np.float64], step: int) -> bool:
        phase = los_to_phase(los_m, spec.wavelength_m)
        assert ground.steps is not None
        estimate = visibility_at_nodes(
            phase, step, ground.coherence, ground.steps, least=ground.least_coherence, sea=ground.sea
        )
        return estimate < _HOPELESS * spec.min_visibility

    deformation = draw_unless_hidden(
        rng, spec, kind, ground.pixel_m, ground.look, height_m=ground.height_m, hidden=hidden
    )
    if deformation is None:
        return None
    los_m, multilooked, parameters = deformation
    phase = los_to_phase(los_m, spec.wavelength_m)
    # What a pixel averages: given where it was simulated finer than the pixel, else by its gradient.
    if multilooked is None:
        pixel_phase, kept = phase, gradient_coherence(phase)
    else:
        pixel_phase, kept = angles(multilooked), np.abs(multilooked)
    large = large_deformation(phase)
    seen = visibility(
        phase,
        ground.background_rad,
        ground.coherence * kept,
        least=ground.least_coherence,
        least_px=spec.min_visible_px,
        sea=ground.sea,
        large=large,
        steps=ground.steps,
    )
    if seen < spec.min_visibility:
        return None
    snr = signal_to_noise(
        los_m, ground.background_rad, wavelength_m=spec.wavelength_m, wrapped=ground.processing is None
    )
    parameters = parameters | {"visibility": seen, "snr": snr, "snr_stratum": snr_stratum(snr)}
    return _Motion(los_m, phase, pixel_phase, kept, large, parameters)


def _observe(rng: np.random.Generator, spec: SceneSpec, kind: Kind, ground: _Ground, motion: _Motion | None) -> Sample:
    """Add noise, filter, gaps, and the mask of what is then visible."""
    shape = ground.background_rad.shape
    parameters: dict[str, float | int | str] = {"kind": kind} | ground.parameters
    total = ground.background_rad
    if motion is not None:
        parameters |= motion.parameters
        total = total + motion.pixel_phase_rad
    coherence = ground.coherence
    if ground.processing is None:
        phase = total if motion is None else _on_real_noise(rng, total, motion.kept)
    else:
        if motion is not None:
            coherence = coherence * motion.kept
        coherence = np.minimum(coherence, np.float32(0.999))
        parameters |= ground.processing.parameters()
        # No phase is absolute: the zero lies anywhere.
        z = phasor(total + np.float32(rng.uniform(-np.pi, np.pi)))
        phase = observe(rng, z, coherence, ground.processing)
        style = ground.processing.style
        phase[draw_missing(rng, shape, spec.nodata_share, style=style, coherence=coherence)] = np.nan
    if motion is None:
        los_m, mask = np.zeros(shape, np.float32), np.zeros(shape, bool)
    else:
        los_m = motion.los_m
        mask = visible_mask(motion.phase_rad, phase, ground.background_rad, large=motion.large)
        parameters["visible_px"] = int(mask.sum())
    if "interval_days" not in parameters:
        # Drawn before by what depends on it. Of all scenes, so that dates tell no class.
        parameters["interval_days"] = float(rng.integers(spec.interval_days[0], spec.interval_days[1] + 1))
    return Sample(
        phase=phase,
        los_m=los_m,
        mask=mask,
        coherence=coherence,
        height_m=np.zeros(shape, np.float32) if ground.height_m is None else ground.height_m,
        look=ground.look,
        pixel_m=ground.pixel_m,
        kind=kind,
        parameters=parameters,
    )


def _on_real_noise(
    rng: np.random.Generator, phase_rad: NDArray[np.float32], kept: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Give real phase the noise that is there where coherence is lost, and wrap."""
    steep = kept < _STEEP
    phase_rad[steep] += multilook_phase_noise(np.minimum(kept[steep], np.float32(0.999)), _REAL_LOOKS, rng)
    return wrap(phase_rad)
