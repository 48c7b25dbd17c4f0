"""How well can a classifier tell simulated quiet scenes from real ones, and by what? 0.5 = not at all, 1 = always.

    python benchmarks/realism.py --real quiet/ --style licsar      # a folder of real patches without deformation
    python benchmarks/realism.py --real quiet/ --style licsar --sheet sheet.png
    python benchmarks/realism.py --real quiet/ --measure           # only print what the real patches are like

The folder holds PNG patches (8-bit grey + alpha) and a `manifest.csv` with `file` and `site`. A hash of the site's name
deals 60 % of the sites to the calibration part, the only one that `fit_styles.py` uses; scores are of the other 40 %.
Two judges:

- an additive logistic regression on hand-made features, which can say what it keys on. Each feature enters through its
  decile among the training patches, so that a difference in spread counts like one in location. It is trained once on
  the calibration part and once, in five folds by site, on the other part alone: the first has more patches, the second
  none that the simulator was fitted to.
- a convolutional network of about 50,000 parameters on cos, sin and validity of random crops of 64 pixels, trained on
  the calibration part and three times as many simulated patches, from three seeds; a patch's score is the mean over its
  crops. Whether it can learn at all is shown by its score on the part it was trained on, and by a control: the same
  network and number of steps on scenes of another product style.

Both see the same treatment of real and simulated patches: centre crop, 8-bit grey, areas of one single grey count
as no data (providers fill gaps with zero phase), random constant offset, sign, rotation and mirror image. Intervals
(95 %) are a bootstrap over sites; simulated patches are their own sites. One run takes about ten minutes on one core;
it needs `fringewatch[train]`.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import fft, ndimage, optimize
from torch import nn

from fringewatch.conventions import wrap
from fringewatch.metrics import auroc
from fringewatch.metrics.intervals import bootstrap_interval
from fringewatch.metrics.ranking import Ranking
from fringewatch.patches import open_patches, read_phase
from fringewatch.physics.coherence import local_coherence, phasor
from fringewatch.simulate import SceneSpec, preset, simulate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Real = NDArray[np.float32]
    Complex = NDArray[np.complex64]

SIZE_PX = 224
FLAT_PX = 60
"""A connected area of one single grey of at least this many pixels is a filled gap."""
CALIBRATION_SHARE, FOLDS, DECILES = 0.6, 5, 10
LAGS_PX = (1, 2, 4, 8, 16, 32, 64)
SEEDS, BATCH, CROP_PX, SIMULATED_BATCHES = 3, 64, 64, 3
CONTROL_STYLE = "hyp3"
"""A product style that the real patches are not of: a judge that can judge tells it from them."""
BANDS_PX = (2, 2.8, 4, 8, 16, 32, 75, 224)
"""Limits of the wavelength bands of the phasor's power spectrum."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--real", type=Path, required=True, help="folder of real patches without deformation")
    parser.add_argument("--preset", default="quiet", help="simulated population")
    parser.add_argument("--style", help="only this product style of the population")
    parser.add_argument("--steps", type=int, default=800, help="of the network's training; 0 leaves it out")
    parser.add_argument("--sets", type=int, default=5, help="simulated sets that the model of figures is tried on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--measure", action="store_true", help="print quantiles of the real features, train nothing")
    parser.add_argument("--sheet", type=Path, help="write a picture of real and simulated patches; needs matplotlib")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    started = time.perf_counter()

    patches = open_patches(options.real, default_label=0)
    real = [prepare(read_phase(patch.path)) for patch in patches]
    sites = [patch.site for patch in patches]
    if options.measure:
        table = np.array([list(features(phase).values()) for phase in real])
        print_quantiles({"real": table}, list(features(real[0])))
        return

    spec = preset(options.preset)
    if options.style:
        spec = type(spec).build(spec.model_dump() | {"styles": {options.style: 1.0}, "quiet_mining_share": 0.0})
    # The real patches lie about volcanoes inland; the style knows how often there is water.
    spec = spec.model_copy(update={"sea_share": 0.0, "seam_share": 0.0})
    calibration = np.array([is_calibration(site) for site in sites])
    train, test = (
        Part(
            [phase for phase, kept in zip(real, calibration == side, strict=True) if kept],
            [site for site, kept in zip(sites, calibration == side, strict=True) if kept],
            spec,
            seed=options.seed + int(side),
        )
        for side in (True, False)
    )
    names = list(features(real[0]))
    if options.sheet:
        write_sheet(options.sheet, test.real, test.simulated(0))

    rng = np.random.default_rng(options.seed)
    tables = {part: part.table() for part in (train, test)}
    result: dict[str, object] = {
        "real patches": [len(train.real), len(test.real)],
        "real sites": [len(set(train.sites)), len(set(test.sites))],
    }
    scores = {
        "features, trained on the calibration part": by_features(*tables[train], tables[test][0]),
        "features, five folds of the other part": in_folds(*tables[test], test.all_sites()),
    }
    for name, score in scores.items():
        report(result, name, test, tables[test][1], score, rng)
    labels = tables[test][1]
    report_sets(result, train, test, options.sets, spec, options.seed)
    if options.steps:
        total = np.zeros(len(labels))
        for seed in range(SEEDS):
            score, seen = by_network(train, test, options.steps, seed)
            total += score
            print(f"network, seed {seed}: {auroc(tables[train][1], seen):.3f} on the part it was trained on, ", end="")
            print(f"{auroc(labels, score):.3f} on the other", flush=True)
        report(result, f"network, mean of {SEEDS}", test, labels, total, rng)
        other = type(spec).build(spec.model_dump() | {"styles": {CONTROL_STYLE: 1.0}})
        known, unknown = (Part(part.real, part.sites, other, seed=options.seed + 2) for part in (train, test))
        score, _ = by_network(known, unknown, options.steps, 0)
        report(result, f"control: the network, style {CONTROL_STYLE}", unknown, labels, score, rng)
    print_quantiles({"real": tables[test][0][labels == 0], "simulated": tables[test][0][labels == 1]}, names)
    print("\nAUROC of one feature alone (decile model), best first, and its part in the additive model's difference:")
    parts = contributions(*tables[train], *tables[test])
    alone = {
        name: float(auroc(labels, by_features(tables[train][0][:, [i]], tables[train][1], tables[test][0][:, [i]])))
        for i, name in enumerate(names)
    }
    for name, value in sorted(alone.items(), key=lambda item: -item[1])[:15]:
        print(f"  {value:.3f}  {parts[names.index(name)]:6.1%}  {name}")
    result["features alone"] = alone
    result["part in the difference"] = dict(zip(names, parts.tolist(), strict=True))
    print(f"{time.perf_counter() - started:.0f} s")
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")


class Part:
    """Real patches of some sites, and as many simulated ones as are asked for."""

    def __init__(self, real: list[Real], sites: list[str], spec: SceneSpec, *, seed: int) -> None:
        self.real, self.sites, self._spec, self._seed = real, sites, spec, seed
        self._batches: dict[int, list[Real]] = {}

    def simulated(self, batch: int) -> list[Real]:
        """Return as many simulated patches as there are real ones; each batch is another set."""
        if batch not in self._batches:
            count = len(self.real)
            self._batches[batch] = [
                prepare(simulate(self._spec, seed=self._seed, index=batch * count + i).phase) for i in range(count)
            ]
        return self._batches[batch]

    def table(self) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Return the features (patches, features) of the real and of as many simulated patches, and labels 0 and 1."""
        rows = [list(features(phase).values()) for phase in (*self.real, *self.simulated(0))]
        return np.array(rows), np.repeat([0, 1], len(self.real))

    def all_sites(self) -> list[str]:
        """Return the sites of the real patches and one for each simulated one."""
        return self.sites + [f"simulated {index}" for index in range(len(self.real))]


def report(
    result: dict[str, object],
    name: str,
    test: Part,
    labels: NDArray[np.intp],
    scores: NDArray[np.float64],
    rng: np.random.Generator,
) -> None:
    """Print and keep a judge's AUROC with its interval."""
    ranking = Ranking(labels, scores)
    low, high = bootstrap_interval(ranking.auroc, test.all_sites(), rng=rng, strata=labels).tolist()
    value = float(auroc(labels, scores))
    result[name] = {"auroc": value, "interval": [low, high]}
    print(f"{name}: AUROC {value:.3f} (95 % {low:.3f} to {high:.3f}) on {len(labels)} patches", flush=True)


def report_sets(result: dict[str, object], train: Part, test: Part, sets: int, spec: SceneSpec, seed: int) -> None:
    """Print and keep the additive judges' scores over several simulated sets: another set is another score."""
    found: dict[str, list[float]] = {"trained on the calibration part": [], "five folds of the other part": []}
    for number in range(sets):
        known, unknown = (
            Part(part.real, part.sites, spec, seed=seed + 2 * number + side) for side, part in ((1, train), (0, test))
        )
        table, labels = unknown.table()
        scores = by_features(*known.table(), table), in_folds(table, labels, unknown.all_sites())
        for each, score in zip(found.values(), scores, strict=True):
            each.append(float(auroc(labels, score)))
    for name, each in found.items():
        print(f"features, {name}: {np.mean(each):.3f} over {sets} simulated sets, {min(each):.3f} to {max(each):.3f}")
    result["over simulated sets"] = found


def is_calibration(site: str) -> bool:
    """Tell the 60 % of the sites that style `licsar` was fitted to from those kept for the judges' score."""
    return hashlib.sha256(site.encode()).digest()[0] < CALIBRATION_SHARE * 256


def prepare(phase: Real) -> Real:
    """Crop to the centre, round to 8 bits, and turn filled areas into no data."""
    top, left = ((size - SIZE_PX) // 2 for size in phase.shape)
    phase = phase[top : top + SIZE_PX, left : left + SIZE_PX]
    grey = np.where(np.isfinite(phase), np.rint((phase + np.pi) * (255 / (2 * np.pi))), -1).astype(np.int16)
    same = np.zeros(grey.shape, bool)
    for axis in (0, 1):
        equal = np.diff(grey, axis=axis) == 0
        for shift in (0, 1):
            part = [slice(None), slice(None)]
            part[axis] = slice(1, None) if shift else slice(None, -1)
            same[tuple(part)] |= equal
    # Filled gaps have one grey; noise, however smooth, spells out several along their outline.
    flat = ndimage.uniform_filter(same.astype(np.uint8) * np.uint8(9), 3) == 9
    flat = ndimage.uniform_filter(flat.astype(np.float32), 3) > 0.05
    names, count = ndimage.label(flat)
    for area in range(1, count + 1):
        inside = names == area
        values = grey[inside]
        if inside.sum() < FLAT_PX or (values == np.median(values)).mean() < 0.9:
            flat[inside] = False
    return np.where(flat | (grey < 0), np.float32(np.nan), grey * np.float32(2 * np.pi / 255) - np.float32(np.pi))


def features(phase: Real) -> dict[str, float]:
    """Figures that describe a patch, none of which depends on a constant offset, the sign, or a rotation by 90 deg."""
    valid = np.isfinite(phase)
    z = phasor(phase)
    out: dict[str, float] = {}
    missing = 1 - float(valid.mean())
    out["no data, share"] = missing
    edges = np.count_nonzero(np.diff(valid, axis=0)) + np.count_nonzero(np.diff(valid, axis=1))
    out["no data, outline over root of area"] = edges / np.sqrt((~valid).sum()) if missing else 0.0

    agreement = local_coherence(phase)
    coherent = agreement[valid]
    low, low_mid, mid, high = np.quantile(coherent, [0.05, 0.25, 0.5, 0.95])
    out |= {
        "local coherence, mean": float(coherent.mean()),
        "local coherence, spread": float(coherent.std()),
        "local coherence, 5 %": low,
        "local coherence, 25 %": low_mid,
        "local coherence, median": mid,
        "local coherence, 95 %": high,
        "local coherence, share under 0.5": float((coherent < 0.5).mean()),
    }
    cells = ndimage.uniform_filter(agreement, 5)[2::5, 2::5]
    cells = cells - cells.mean()
    variance = max(float((cells**2).mean()), 1e-9)
    for lag in (1, 4, 12):
        pair = np.mean(cells[lag:] * cells[:-lag]) + np.mean(cells[:, lag:] * cells[:, :-lag])
        out[f"coherence map, correlation over {5 * lag} px"] = float(pair / 2 / variance)

    # Noise: what is left after the local mean phase is taken away.
    mean = box(z, 7)
    noise = z * np.conj(mean) / np.maximum(np.abs(mean), 1e-6)
    angle = np.abs(np.angle(noise))[valid]
    out["noise, median size (rad)"] = float(np.median(angle))
    out["noise, share over 1.5 rad"] = float((angle > 1.5).mean())
    out["noise, heavy tail"] = float(np.quantile(angle, 0.98) / max(float(np.median(angle)), 0.01))
    offset = noise.imag
    power = max(float((offset[valid] ** 2).mean()), 1e-9)
    for name, rows, cols in (("1 px", 0, 1), ("1 px diagonal", 1, 1), ("2 px", 0, 2), ("3 px", 0, 3)):
        pairs = [
            np.mean(lagged * other) for lagged, other in (shifted(offset, rows, cols), shifted(offset.T, rows, cols))
        ]
        out[f"noise, correlation over {name}"] = float(np.mean(pairs) / power)
        if rows == 0 and cols == 1:
            out["noise, unlike correlation along rows and columns"] = float(abs(pairs[0] - pairs[1]) / power)
    loop = wrapped_step(z, 0)[:, :-1] + wrapped_step(z, 1)[1:] - wrapped_step(z, 0)[:, 1:] - wrapped_step(z, 1)[:-1]
    out["residues, share"] = float((np.abs(loop) > 3).mean())

    # Structure: how far neighbours at a distance agree, which falls with turbulence, terrain and ramps.
    for lag in LAGS_PX:
        along = [
            abs(np.vdot(lagged, other)) / max(pairs_of(valid, rows, cols), 1)
            for rows, cols in ((0, lag), (lag, 0))
            for lagged, other in (shifted(z, rows, cols),)
        ]
        out[f"agreement over {lag} px"] = float(np.mean(along))
        if lag in {4, 32}:
            out[f"agreement over {lag} px, unlike along rows and columns"] = float(abs(along[0] - along[1]))
    out["agreement of the whole patch"] = float(abs(z.sum()) / max(int(valid.sum()), 1))
    smooth = box(z, 5)
    gradient = np.hypot(wrapped_step(smooth, 0)[:, :-1], wrapped_step(smooth, 1)[:-1])
    calm = (np.abs(smooth) > 0.6)[:-1, :-1]
    steps = gradient[calm] if calm.sum() > 200 else np.zeros(1)
    low, mid, high = np.quantile(steps, [0.1, 0.5, 0.95])
    out |= {"gradient, 10 % (rad/px)": low, "gradient, median": mid, "gradient, 95 %": high}
    out["gradient, terrain-like tail"] = float(high / max(mid, 1e-3))
    out["coherent share"] = float(calm.mean())

    window = np.outer(np.hanning(SIZE_PX), np.hanning(SIZE_PX)).astype(np.float32)
    spectrum = np.abs(fft.fft2(z * window)) ** 2
    k = np.hypot(np.fft.fftfreq(SIZE_PX)[:, None], np.fft.fftfreq(SIZE_PX)[None, :])
    total = float(spectrum.sum())
    levels = []
    for short, long in itertools.pairwise(BANDS_PX):
        ring = (k <= 1 / short) & (k > 1 / long)
        levels.append(np.log10(max(float(spectrum[ring].mean()) / total, 1e-12)))
        out[f"spectrum, {short:g} to {long:g} px"] = levels[-1]
    out["spectrum, slope"] = float(np.polyfit(np.log10(BANDS_PX[1:]), levels, 1)[0])
    peak = np.unravel_index(int(spectrum.argmax()), spectrum.shape)
    out["ramp (fringes across)"] = float(k[peak] * SIZE_PX)
    out["ramp, share of power"] = float(spectrum.max() / total)
    return {name: float(value) for name, value in out.items()}


def box(z: Complex, size: int) -> Complex:
    return (ndimage.uniform_filter(z.real, size) + 1j * ndimage.uniform_filter(z.imag, size)).astype(np.complex64)


def pairs_of(valid: NDArray[np.bool_], rows: int, cols: int) -> int:
    here, there = shifted(valid, rows, cols)
    return int(np.count_nonzero(here & there))


def shifted(values: NDArray[np.generic], rows: int, cols: int) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    height, width = values.shape
    return values[rows:, cols:], values[: height - rows, : width - cols]


def wrapped_step(z: Complex, axis: int) -> Real:
    if axis == 0:
        return np.angle(z[1:] * z[:-1].conj())
    return np.angle(z[:, 1:] * z[:, :-1].conj())


def site_fold(sites: list[str], rng: np.random.Generator) -> NDArray[np.intp]:
    """Deal real sites and simulated ones into folds, each evenly."""
    fold = {}
    for simulated in (False, True):
        group = sorted({site for site in sites if site.startswith("simulated ") == simulated})
        fold |= {site: number % FOLDS for number, site in enumerate(rng.permutation(group))}
    return np.array([fold[site] for site in sites])


def by_features(
    table: NDArray[np.float64], labels: NDArray[np.intp], other: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Fit the additive model to one table of features and score the patches of another."""
    limits = np.quantile(table, np.arange(1, DECILES) / DECILES, axis=0)
    weights = fit_logistic(steps(table, limits), labels)
    return np.asarray(steps(other, limits) @ weights[1:] + weights[0])


def steps(table: NDArray[np.float64], limits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tell which deciles each feature exceeds: (patches, features * 9)."""
    return (table[:, :, np.newaxis] > limits.T[np.newaxis]).reshape(len(table), -1).astype(float)


def in_folds(table: NDArray[np.float64], labels: NDArray[np.intp], sites: list[str]) -> NDArray[np.float64]:
    """Score every patch by an additive model that did not see its site."""
    fold = site_fold(sites, np.random.default_rng(0))
    scores = np.zeros(len(labels))
    for number in range(FOLDS):
        kept = fold != number
        scores[~kept] = by_features(table[kept], labels[kept], table[~kept])
    return scores


def contributions(
    table: NDArray[np.float64], labels: NDArray[np.intp], other: NDArray[np.float64], truth: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Share of each feature in the difference of the mean scores of simulated and real patches."""
    limits = np.quantile(table, np.arange(1, DECILES) / DECILES, axis=0)
    weights = fit_logistic(steps(table, limits), labels)[1:]
    terms = (steps(other, limits) * weights).reshape(len(other), -1, DECILES - 1).sum(axis=2)
    difference = terms[truth == 1].mean(axis=0) - terms[truth == 0].mean(axis=0)
    return np.asarray(difference / difference.sum())


def fit_logistic(
    design: NDArray[np.float64],
    labels: NDArray[np.intp],
    counts: NDArray[np.float64] | float = 1.0,
    *,
    penalty: float = 1.0,
) -> NDArray[np.float64]:
    """Fit a logistic regression of rows that count differently, with a penalty on squares; constant first."""
    target = 2.0 * labels - 1

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = target * (design @ weights[1:] + weights[0])
        pull = -target * counts / (1 + np.exp(np.clip(margin, -50, 50)))
        slope = np.concatenate([[pull.sum()], design.T @ pull + 2 * penalty * weights[1:]])
        return float((counts * np.logaddexp(0, -margin)).sum() + penalty * (weights[1:] ** 2).sum()), slope

    start = np.zeros(design.shape[1] + 1)
    found: NDArray[np.float64] = optimize.minimize(loss, start, jac=True, method="L-BFGS-B").x
    return found


def by_network(train: Part, test: Part, count: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Train a network on small crops; score the other part and the one trained on, by the mean over each patch.

    Crops, as in the discriminators of image synthesis (Isola et al. 2017), since 400 patches are too few to learn from
    whole: a crop of 64 pixels of another offset and sign is another example.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    layers: list[nn.Module] = []
    for width_in, width, kernel, stride in ((3, 24, 5, 2), (24, 32, 3, 1), (32, 48, 3, 2), (48, 64, 3, 2)):
        layers += [
            nn.Conv2d(width_in, width, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(width),
            nn.LeakyReLU(0.1),
        ]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 1))
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=3e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, count)
    labels = np.arange(BATCH) % 2
    target = torch.from_numpy(labels).float()
    simulated = [phase for batch in range(1, 1 + SIMULATED_BATCHES) for phase in train.simulated(batch)]
    for _ in range(count):
        chosen = [(simulated if label else train.real) for label in labels]
        inputs = np.stack([encode(crop(phases[int(rng.integers(len(phases)))], rng), rng) for phases in chosen])
        loss = nn.functional.binary_cross_entropy_with_logits(network(torch.from_numpy(inputs))[:, 0], target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval()

    def score(phases: list[Real]) -> NDArray[np.float64]:
        with torch.inference_mode():
            stacks = (np.stack([encode(part, rng) for part in tiles(phase)]) for phase in phases)
            return np.array([float(network(torch.from_numpy(stack)).mean()) for stack in stacks])

    return score(test.real + test.simulated(0)), score(train.real + train.simulated(0))


def crop(phase: Real, rng: np.random.Generator) -> Real:
    """Cut out a random square, turned and mirrored at random."""
    top, left = (int(rng.integers(size - CROP_PX + 1)) for size in phase.shape)
    return augment(phase[top : top + CROP_PX, left : left + CROP_PX], rng)


def tiles(phase: Real) -> Iterator[Real]:
    """Cut a patch into squares that overlap by half."""
    for top, left in itertools.product(range(0, SIZE_PX - CROP_PX + 1, CROP_PX // 2), repeat=2):
        yield phase[top : top + CROP_PX, left : left + CROP_PX]


def augment(phase: Real, rng: np.random.Generator) -> Real:
    turned = np.rot90(phase, int(rng.integers(4)))
    return turned[:, ::-1] if rng.random() < 0.5 else turned


def encode(phase: Real, rng: np.random.Generator) -> Real:
    valid = np.isfinite(phase)
    sign = 1.0 if rng.random() < 0.5 else -1.0
    offset = np.where(valid, wrap(np.where(valid, phase * sign, 0) + rng.uniform(-np.pi, np.pi)), 0)
    return np.stack([np.cos(offset) * valid, np.sin(offset) * valid, valid]).astype(np.float32)


def print_quantiles(tables: dict[str, NDArray[np.float64]], names: list[str]) -> None:
    quantiles = (0.05, 0.25, 0.5, 0.75, 0.95)
    print(f"{'quantiles 5, 25, 50, 75, 95 %':52}" + "".join(f"{name:^42}" for name in tables))
    for i, name in enumerate(names):
        columns = ["".join(f"{q:8.3f}" for q in np.quantile(table[:, i], quantiles)) for table in tables.values()]
        print(f"{name:52}" + "  ".join(columns))


def write_sheet(path: Path, real: list[Real], simulated: list[Real]) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    rng = np.random.default_rng(0)
    figure = Figure(figsize=(16, 10.2))
    colours = mpl.colormaps["gray"].with_extremes(bad="#c33")
    for half, (title, phases) in enumerate((("real", real), ("simulated", simulated))):
        for number, index in enumerate(rng.choice(len(phases), 30, replace=False)):
            row, col = divmod(number, 5)
            axes = figure.add_axes(((half * 5.15 + col) / 10.15, (5 - row) / 6.25, 0.0965, 0.157))
            axes.imshow(phases[index], cmap=colours, vmin=-np.pi, vmax=np.pi, interpolation="nearest")
            axes.set_axis_off()
        figure.text((half * 5.15 + 2.5) / 10.15, 0.975, title, ha="center", fontsize=14)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
