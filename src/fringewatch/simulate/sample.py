"""One simulated scene: draw deformation and background, add them, decorrelate, filter, mask, keep the truth."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from scipy import ndimage

from fringewatch.conventions import los_to_phase, wrap
from fringewatch.physics import coherence as coherence_physics
from fringewatch.physics import geometry
from fringewatch.simulate.background import Background, draw_background, draw_missing, log_uniform
from fringewatch.simulate.deformation import draw_deformation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fringewatch.simulate.noise import RealNoise
    from fringewatch.simulate.site import Site
    from fringewatch.simulate.spec import Kind, SceneSpec

__all__ = ["Sample", "local_coherence", "phase_gradient_rad", "simulate", "visible_mask"]

_MAX_DRAWS = 12
_MIN_VISIBLE_PX = 40
_MIN_LOCAL_COHERENCE = 0.4
_WINDOW = 5


@dataclasses.dataclass(frozen=True)
class Sample:
    """A simulated interferogram and its truth; arrays are (H, W)."""

    phase: NDArray[np.float32]
    """Wrapped phase in (-pi, pi], NaN = no data."""
    los_m: NDArray[np.float32]
    """LOS deformation, positive towards the satellite."""
    mask: NDArray[np.bool_]
    """Where the deformation can be seen; see :func:`visible_mask`."""
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
    """
    rng = np.random.default_rng([seed, index])
    names = list(spec.kinds)
    weights = np.array([spec.kinds[name] for name in names], float)
    kind = names[int(rng.choice(len(names), p=weights / weights.sum()))]
    sample = _draw(rng, spec, kind, noise, site)
    if kind == "quiet":
        return sample
    for _ in range(_MAX_DRAWS):
        if float(sample.parameters["visibility"]) >= spec.min_visibility and sample.mask.sum() >= _MIN_VISIBLE_PX:
            return sample
        sample = _draw(rng, spec, kind, noise, site)
    # A population whose backgrounds drown every source is the caller's choice (or one very noisy folder); such a scene
    # is honest only as a quiet one.
    return _draw(rng, spec, "quiet", noise, site)


def _draw(rng: np.random.Generator, spec: SceneSpec, kind: Kind, noise: RealNoise | None, site: Site | None) -> Sample:
    shape = (spec.height_px, spec.width_px)
    plot = None if site is None else site.draw(rng, shape, spec.incidence_deg)
    if plot is not None:
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
        "kind": kind,
        "pixel_m": pixel_m,
        "heading_deg": heading,
        "incidence_deg": incidence,
    }
    if site is not None and plot is not None:
        parameters |= {"site": site.name, "site_row": plot.row, "site_col": plot.col}
    quiet: NDArray[np.float32] | None = None
    drawn_background: Background | None = None
    if noise is not None and rng.random() < spec.real_noise_share:
        quiet, parameters["noise"] = noise.draw(rng, shape)
        height = np.zeros(shape, np.float32) if plot is None else plot.height_m
    else:
        drawn_background = draw_background(rng, spec, pixel_m, site=plot)
        parameters |= drawn_background.parameters
        height = drawn_background.height_m

    los_m = np.zeros(shape, np.float32)
    multilooked = None
    if kind != "quiet":
        known_height = None if drawn_background is None and plot is None else height
        los_m, multilooked, drawn = draw_deformation(rng, spec, kind, pixel_m, look, height_m=known_height)
        parameters |= drawn
    deformation = los_to_phase(los_m, spec.wavelength_m)
    # What a pixel averages: given where it was simulated finer than the pixel, else by its gradient.
    moved = deformation if multilooked is None else np.angle(multilooked)
    kept = gradient_coherence(deformation) if multilooked is None else np.abs(multilooked)

    if quiet is not None:
        background = np.where(np.isfinite(quiet), quiet, np.float32(0))
        field = local_coherence(quiet)
        # Steep deformation decorrelates real pixels just as simulated ones: mix in uniform phase accordingly.
        jitter = coherence_physics.multilook_phase_noise(np.clip(kept, 0, 0.999), 8.0, rng)
        phase = wrap(background + moved + np.where(kept < 0.97, jitter, np.float32(0)))
        phase = np.where(np.isfinite(quiet), phase, np.float32(np.nan))
        smooth_background = background
    else:
        assert drawn_background is not None
        field = np.clip(drawn_background.coherence * kept, 0, 0.999).astype(np.float32)
        looks = log_uniform(rng, *spec.looks)
        parameters["looks"] = looks
        z = _phasor(drawn_background.phase_rad + moved)
        z *= coherence_physics.multilook_phasor(field, looks, rng)
        if rng.random() < spec.goldstein_share:
            alpha = float(rng.uniform(*spec.goldstein_alpha))
            parameters["goldstein_alpha"] = alpha
            z = coherence_physics.goldstein(z, alpha)
        z *= np.exp(1j * rng.uniform(-np.pi, np.pi)).astype(np.complex64)
        phase = np.angle(z)
        missing = draw_missing(rng, shape, spec.nodata_share)
        phase = np.where(missing, np.float32(np.nan), phase)
        smooth_background = drawn_background.phase_rad

    mask = np.zeros(shape, bool)
    if kind != "quiet":
        mask = visible_mask(deformation, local_coherence(phase)) & np.isfinite(phase)
        parameters["visibility"] = _visibility(deformation, smooth_background, mask)
        parameters["visible_px"] = int(mask.sum())
    return Sample(
        phase=phase.astype(np.float32),
        los_m=los_m,
        mask=mask,
        coherence=field,
        height_m=height,
        look=look,
        pixel_m=pixel_m,
        kind=kind,
        parameters=parameters,
    )


def gradient_coherence(phase_rad: NDArray[np.float32]) -> NDArray[np.float32]:
    """Coherence that survives the averaging of a steep phase inside one pixel.

    A pixel that averages ``exp(i phase)`` over a linear gradient keeps ``|sinc(gx / 2 pi) sinc(gy / 2 pi)|`` of it,
    with the gradients in radians per pixel [derived]: nothing is left at one fringe per pixel.
    """
    grad_y, grad_x = np.gradient(phase_rad)
    two_pi = np.float32(2 * np.pi)
    kept: NDArray[np.float32] = np.abs(np.sinc(grad_x / two_pi) * np.sinc(grad_y / two_pi)).astype(np.float32)
    # Beyond one fringe per pixel the side lobes of the sinc would feign coherence that neighbours do not share.
    kept[(np.abs(grad_x) > two_pi) | (np.abs(grad_y) > two_pi)] = 0
    return kept


def local_coherence(phase_rad: NDArray[np.float32]) -> NDArray[np.float32]:
    """Local phase coherence: modulus of the mean of ``exp(i phase)`` in 5 x 5 windows after the local ramp is removed.

    The ramp is removed by multiplying each pixel with the conjugate of its neighbours' mean, in differences along rows
    and columns: the result is the mean agreement of neighbouring phase steps, and dense fringes keep it near 1.

    Parameters
    ----------
    phase_rad
        (H, W); NaN = no data, counted as zero agreement.

    Returns
    -------
    numpy.ndarray
        (H, W) float32 in [0, 1].
    """
    z = _phasor(phase_rad)
    step_x = np.zeros_like(z)
    np.multiply(z[:, 1:], z[:, :-1].conj(), out=step_x[:, 1:])
    step_y = np.zeros_like(z)
    np.multiply(z[1:], z[:-1].conj(), out=step_y[1:])
    result: NDArray[np.float32] = np.sqrt(np.abs(_box(step_x, _WINDOW)) * np.abs(_box(step_y, _WINDOW)))
    return result


def _phasor(phase_rad: NDArray[np.float32]) -> NDArray[np.complex64]:
    """``exp(i phase)``, 0 where there is no data; twice as fast as the complex exponential."""
    z = np.empty(phase_rad.shape, np.complex64)
    np.cos(phase_rad, out=z.real)
    np.sin(phase_rad, out=z.imag)
    z[~np.isfinite(phase_rad)] = 0
    return z


_Any = TypeVar("_Any", np.float32, np.complex64)


def _box(values: NDArray[_Any], size: int) -> NDArray[_Any]:
    """Mean in `size` x `size` windows, edges repeated; shifted sums beat scipy's filter fivefold at this size."""
    half = size // 2
    padded = np.pad(values, half, mode="edge")
    rows, cols = values.shape
    tall = padded[:rows].copy()
    for shift in range(1, size):
        tall += padded[shift : shift + rows]
    total = tall[:, :cols].copy()
    for shift in range(1, size):
        total += tall[:, shift : shift + cols]
    total *= values.dtype.type(1 / size**2)
    return total


def visible_mask(deformation_rad: NDArray[np.float32], coherence: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where deformation is visible: more than a quarter fringe, or 8 % of a large peak, in coherent phase.

    A decorrelated core enclosed by visible fringes counts as visible: an analyst outlines the whole bowl.

    Parameters
    ----------
    deformation_rad
        (H, W) unwrapped phase of the deformation alone.
    coherence
        (H, W) local phase coherence, see :func:`local_coherence`.
    """
    magnitude = np.abs(deformation_rad)
    level = max(np.pi / 2, 0.08 * float(magnitude.max()))
    moved = magnitude > level
    coherent = _box(coherence, 2 * _WINDOW + 1) > _MIN_LOCAL_COHERENCE
    visible = moved & coherent
    filled = ndimage.binary_fill_holes(ndimage.binary_closing(visible, iterations=3)) & moved
    result: NDArray[np.bool_] = filled
    return result


def phase_gradient_rad(phase_rad: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the magnitude of the wrapped phase gradient of smoothed phase, in radians per pixel."""
    # Two boxes of five are a fair Gaussian of two pixels.
    z = _box(_box(_phasor(phase_rad), _WINDOW), _WINDOW)
    grad_x = np.zeros(phase_rad.shape, np.float32)
    grad_y = np.zeros(phase_rad.shape, np.float32)
    grad_x[:, 1:] = np.angle(z[:, 1:] * z[:, :-1].conj())
    grad_y[1:] = np.angle(z[1:] * z[:-1].conj())
    result: NDArray[np.float32] = np.hypot(grad_x, grad_y)
    return result


def _visibility(
    deformation_rad: NDArray[np.float32], background_rad: NDArray[np.float32], mask: NDArray[np.bool_]
) -> float:
    """RMS gradient of the deformation over that of the background, inside the mask: a signal-to-noise ratio."""
    if not mask.any():
        return 0.0
    grad_y, grad_x = np.gradient(deformation_rad)
    signal = np.sqrt(np.mean(np.square(np.hypot(grad_x, grad_y)[mask])))
    clutter = np.sqrt(np.mean(phase_gradient_rad(background_rad)[mask] ** 2))
    return float(signal / max(float(clutter), 1e-3))
