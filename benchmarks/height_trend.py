"""What taking out the phase that follows the terrain does to delay, to noise, and to deformation of a mountain.

    python benchmarks/height_trend.py
    python benchmarks/height_trend.py --scenes 200 --model fringenet-s

Four questions: from which pixel size on a trend is found on a mountain; how often one is found in noise, by the size of
the scene; how much of an inflation beneath a mountain is taken for a trend where there is no delay at all; and what
becomes of the scores of flagged scenes of both kinds. Mountains are cones, eroded on fractal
ground or smooth on a plain, inflation is a point source, noise is white.
"""

from __future__ import annotations

import argparse

import numpy as np
from rich.progress import track

from fringewatch.conventions import SENTINEL1_WAVELENGTH_M, los_to_phase, wrap
from fringewatch.corrections import without_height_trend
from fringewatch.detect import Detector
from fringewatch.fringes.height_trend import fit_height_trend
from fringewatch.interferogram import make_interferogram
from fringewatch.metrics import wilson_interval
from fringewatch.physics import terrain
from fringewatch.physics.geometry import look_vector, project_to_los
from fringewatch.physics.sources import mogi

SEED = 3011
SIZE, PIXEL_M = 224, 90.0
NOISE_RAD = 0.4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="", help="name or folder of a bundle; the shipped one if not given")
    parser.add_argument("--scenes", type=int, default=100, help="of each kind")
    arguments = parser.parse_args()
    tell_pixel_sizes()
    tell_noise(arguments.scenes)
    tell_mountains(Detector(arguments.model) if arguments.model else Detector(), arguments.scenes)


def tell_pixel_sizes() -> None:
    """One mountain of 2,500 m, 2.4 fringes of delay, at many pixel sizes."""
    print("slope found of 6.0 rad per km on a cone of 2,500 m with its foot at 14 km, scene of 30 km:")
    for pixel_m in (120, 80, 40, 30, 20, 15, 10):
        size = int(30_000 / pixel_m)
        rows, cols = np.mgrid[:size, :size]
        distance = np.hypot(rows - size / 2, cols - size / 2) * pixel_m
        height = (2500 * np.clip(1 - distance / 14_000, 0, None) ** 1.5).astype(np.float32)
        noise = np.random.default_rng(SEED).normal(0, 0.2, height.shape)
        trend = fit_height_trend(
            wrap(0.006 * height + noise).astype(np.float32), height, wavelength_m=SENTINEL1_WAVELENGTH_M
        )
        print(f"  {pixel_m:4} m  {'none' if trend is None else f'{trend.rad_per_m * 1e3:.2f}'}")


def tell_noise(scenes: int) -> None:
    """Scenes of nothing but noise over fractal ground."""
    print(f"trends found in {scenes} scenes of noise:")
    for size in (32, 64, 128, 224):
        found = 0
        for number in range(scenes):
            rng = np.random.default_rng((SEED, size, number))
            height = terrain.fractal_terrain((size, size), PIXEL_M, rng, relief_m=1500.0)
            phase = rng.uniform(-np.pi, np.pi, height.shape).astype(np.float32)
            found += fit_height_trend(phase, height, wavelength_m=SENTINEL1_WAVELENGTH_M) is not None
        print(f"  {size:4} px  {found}")


def tell_mountains(detector: Detector, scenes: int) -> None:
    """Delay over mountains, and inflation beneath them: what is left of both."""
    print(f"{detector.card.name}, threshold {detector.threshold:.3f}; {scenes} mountains of each kind, 2 to 4 fringes:")
    for kind in ("eroded cones on rough ground", "smooth cones on a plain"):
        lost, scores = [], {"delay": [], "inflation beneath them, no delay": []}
        for number in track(range(scenes), description=kind):
            rng = np.random.default_rng((SEED, number))
            height = mountain(rng, smooth=kind.startswith("smooth"))
            fringes = float(rng.uniform(2, 4))
            inflation = inflate(rng, fringes)
            delay = 2 * np.pi * fringes / np.ptp(height) * height
            for cause, phase in zip(scores, (delay, inflation), strict=True):
                noisy = wrap((phase + rng.normal(0, NOISE_RAD, height.shape)).astype(np.float32))
                scene = make_interferogram(
                    noisy, wavelength_m=SENTINEL1_WAVELENGTH_M, companions={"height": height}
                ).assign_attrs(pixel_size_m=PIXEL_M)
                level = without_height_trend(scene)
                if cause != "delay":
                    lost.append(share_lost(inflation, level.attrs.get("height_trend_rad_per_m", 0.0) * height))
                scores[cause].append((detector.examine(scene).score, detector.examine(level).score))
        print(f"  {kind}")
        for cause, pairs in scores.items():
            flagged = [after >= detector.threshold for before, after in pairs if before >= detector.threshold]
            interval = " ({:.2f} to {:.2f})".format(*wilson_interval(sum(flagged), len(flagged))) if flagged else ""
            print(f"    {cause}: {len(flagged)} flagged, {sum(flagged)} of these also without the trend{interval}")
        low, middle, high = np.quantile(lost, [0.25, 0.5, 0.75])
        shares = f"median {middle:.2f}, quartiles {low:.2f} and {high:.2f}, most {max(lost):.2f}"
        print(f"    share of the inflation that goes with the trend: {shares}")


def mountain(rng: np.random.Generator, *, smooth: bool) -> np.ndarray:
    """Return heights (m): a cone of 1,000 to 2,500 m, eroded on fractal ground or smooth on a plain."""
    plain = np.zeros((SIZE, SIZE), np.float32)
    return terrain.add_cone(
        plain if smooth else terrain.fractal_terrain((SIZE, SIZE), PIXEL_M, rng, relief_m=500.0),
        PIXEL_M,
        row=SIZE // 2,
        col=SIZE // 2,
        summit_m=float(rng.uniform(1000, 2500)),
        radius_m=float(rng.uniform(5000, 9000)),
        erosion=None if smooth else terrain.Erosion.draw(rng),
    )


def inflate(rng: np.random.Generator, fringes: float) -> np.ndarray:
    """Return the phase (rad) of a point source beneath the summit, 3 to 7 km deep."""
    offset = (np.arange(SIZE) - SIZE // 2) * PIXEL_M
    east, north = np.meshgrid(offset, -offset)
    motion = mogi(east, north, depth_m=float(rng.uniform(3000, 7000)), volume_change_m3=1e6)
    phase = los_to_phase(project_to_los(motion, look_vector(347.0, 38.0)), SENTINEL1_WAVELENGTH_M)
    return phase * (2 * np.pi * fringes / np.ptp(phase))


def share_lost(signal: np.ndarray, taken: np.ndarray) -> float:
    """Return the part of a signal that lies in what was taken out."""
    centred = signal - signal.mean()
    return float((centred * (taken - taken.mean())).sum() / np.square(centred).sum())


if __name__ == "__main__":
    main()
