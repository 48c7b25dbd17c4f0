"""Fit the table of style `licsar` (which ground, atmosphere and processing occur together) to a folder of real patches.

    python benchmarks/fit_styles.py --real quiet/ --out src/fringewatch/simulate/licsar.csv

Approximate Bayesian computation in rounds. Scenes are simulated at independent positions in the ranges of the style
(first round) or at positions drawn from the last round's table; each scene is weighed by the ratio of the densities of
real and simulated patches in the figures of `realism.py`, as odds of its additive model; the next table is drawn by
these weights. Rounds are an expectation-maximisation of the distribution of positions that would have made the real
patches.

Only the sites of the calibration part are used (60 %, dealt by a hash of the site's name, as in `realism.py`); the
others stay for the judges. The table holds positions in ranges, no phase.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from fringewatch.metrics import auroc
from fringewatch.patches import open_patches, read_phase
from fringewatch.physics import geometry
from fringewatch.physics.coherence import phasor
from fringewatch.simulate import preset
from fringewatch.simulate.background import draw_background
from fringewatch.simulate.distributions import log_uniform
from fringewatch.simulate.nuisance import Position, independent, jittered
from fringewatch.simulate.styles import draw_missing, observe, process_like_licsar
from realism import DECILES, FOLDS, features, fit_logistic, in_folds, is_calibration, prepare, steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Table = NDArray[np.float64]


PENALTY = 2.0
"""Of the squared weights of the model whose odds are the density ratio."""
LARGEST = 25.0
"""No scene counts more than this many times the mean."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--real", type=Path, required=True, help="folder of real patches without deformation")
    parser.add_argument("--out", type=Path, required=True, help="table to write (CSV)")
    parser.add_argument(
        "--scenes", type=int, nargs="+", default=[3600, 3000, 3000, 1500, 1500, 3000], help="simulated in each round"
    )
    parser.add_argument("--rows", type=int, default=500, help="rows of the table")
    parser.add_argument("--temperature", type=float, default=0.75, help="exponent of the density ratio in each round")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for each round (NPZ); those there are used")
    options = parser.parse_args()
    started = time.perf_counter()
    patches = [patch for patch in open_patches(options.real, default_label=0) if is_calibration(patch.site)]
    rng = np.random.default_rng(options.seed)
    table: Table | None = None
    with multiprocessing.Pool(options.processes) as pool:
        real = np.array(pool.map(measure_file, [patch.path for patch in patches], chunksize=8))
        for number, scenes in enumerate(options.scenes):
            kept = options.keep / f"round{number}.npz" if options.keep else None
            if kept and kept.is_file():
                positions, figures = (np.load(kept)[name] for name in ("positions", "figures"))
            else:
                task = partial(measure_scene, table=table, seed=options.seed + 1000 * (number + 1))
                drawn = list(pool.imap(task, range(scenes), chunksize=50))
                positions, figures = (np.array(part) for part in zip(*drawn, strict=True))
            if kept:
                kept.parent.mkdir(exist_ok=True)
                np.savez(kept, positions=positions, figures=figures, real=real)
            weights = density_ratio(real, figures, options.temperature)
            print(
                f"round {number + 1}: {scenes} scenes, {np.square(weights.sum()) / np.square(weights).sum():.0f} "
                f"effective, AUROC {told_apart(real, figures):.3f} before, {time.perf_counter() - started:.0f} s",
                flush=True,
            )
            table = positions[rng.choice(scenes, options.rows, p=weights)].round(2)
            write(options.out, table)


def measure_file(path: Path) -> list[float]:
    return list(features(prepare(read_phase(path))).values())


def measure_scene(index: int, *, table: Table | None, seed: int) -> tuple[Position, list[float]]:
    """Simulate a quiet scene and give its position and its figures."""
    rng = np.random.Generator(np.random.SFC64([seed, index]))
    position = independent(rng) if table is None else jittered(rng, table)
    spec = preset("quiet")
    pixel_m = log_uniform(rng, *spec.pixel_size_m)
    look = geometry.look_vector(geometry.ASCENDING_HEADING_DEG, float(rng.uniform(*spec.incidence_deg)))
    processing = process_like_licsar(position)
    background = draw_background(rng, spec, pixel_m, processing=processing, look=look)
    phase = observe(rng, phasor(background.phase_rad), np.minimum(background.coherence, np.float32(0.999)), processing)
    phase[draw_missing(rng, phase.shape, spec.nodata_share, style="licsar")] = np.nan
    return position, list(features(prepare(phase)).values())


def density_ratio(real: Table, figures: Table, temperature: float) -> Table:
    """Weigh simulated scenes by how much more often real patches look like them; the weights add up to 1.

    The ratio is the odds of the additive logistic model of `realism.py`; each scene's is that of a model which did not
    see it. A temperature below 1 takes a part of the way, so that more scenes count.
    """
    both = np.concatenate([real, figures])
    labels = np.repeat([1, 0], [len(real), len(figures)])
    counts = np.where(labels == 1, 1.0, len(real) / len(figures))
    design = steps(both, np.quantile(real, np.arange(1, DECILES) / DECILES, axis=0))
    fold = np.random.default_rng(0).integers(0, FOLDS, len(both))
    odds = np.zeros(len(both))
    for number in range(FOLDS):
        kept = fold != number
        weights = fit_logistic(design[kept], labels[kept], counts[kept], penalty=PENALTY)
        odds[~kept] = design[~kept] @ weights[1:] + weights[0]
    ratio = np.exp(temperature * odds[len(real) :])
    ratio = np.minimum(ratio, LARGEST * ratio.mean())
    return np.asarray(ratio / ratio.sum())


def told_apart(real: Table, figures: Table) -> float:
    """Compute how well the additive model tells a round's first scenes from the real patches it is fitted to."""
    table = np.concatenate([real, figures[: len(real)]])
    labels = np.repeat([0, 1], len(real))
    sites = [f"{number}" for number in range(len(real))] + [f"simulated {number}" for number in range(len(real))]
    return float(auroc(labels, in_folds(table, labels, sites)))


def write(path: Path, table: Table) -> None:
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(Position._fields)
        writer.writerows([[f"{value:g}" for value in row] for row in table])


if __name__ == "__main__":
    main()
