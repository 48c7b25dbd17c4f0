"""How well can a classifier tell simulated quiet scenes from real ones, and by what? 0.5 = not at all, 1 = always.

    python benchmarks/realism.py --real quiet/                     # a folder of real patches without deformation
    python benchmarks/realism.py --real quiet/ --style licsar --sheet sheet.png
    python benchmarks/realism.py --real quiet/ --measure           # only print what the real patches are like

The folder holds PNG patches (8-bit grey + alpha) and a `manifest.csv` with `file` and `site`. Two judges:

- a convolutional network of about 56,000 parameters on cos, sin and validity. It trains on 60 % of the sites and is
  scored on the others.
- an additive logistic regression on hand-made features, five folds by site, which can say what it keys on. Each
  feature enters through its decile among the training patches, so that a difference in spread counts like one in
  location.

Both see the same treatment of real and simulated patches: centre crop, 8-bit grey, areas of one single grey count
as no data (providers fill gaps with zero phase), random constant offset, sign, rotation and mirror image. The folds are
by site, since patches of one site share its terrain. Intervals (95 %) are a bootstrap over sites; simulated patches are
their own sites. One run takes about three minutes on one core; it needs `fringewatch[train]`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage, optimize
from torch import nn

from fringewatch.conventions import wrap
from fringewatch.metrics import auroc
from fringewatch.metrics.intervals import bootstrap_interval
from fringewatch.metrics.ranking import Ranking
from fringewatch.patches import open_patches, read_phase
from fringewatch.physics.coherence import local_coherence
from fringewatch.simulate import preset, simulate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Real = NDArray[np.float32]
    Complex = NDArray[np.complex64]

SIZE_PX = 224
FLAT_PX = 60
"""A connected area of one single grey of at least this many pixels is a filled gap."""
TRAIN_SHARE, FOLDS, DECILES = 0.6, 5, 10
LAGS_PX = (1, 2, 4, 8, 16, 32, 64)
BANDS_PX = (2, 2.8, 4, 8, 16, 32, 75, 224)
"""Limits of the wavelength bands of the phasor's power spectrum."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--real", type=Path, required=True, help="folder of real patches without deformation")
    parser.add_argument("--preset", default="quiet", help="simulated population")
    parser.add_argument("--style", help="only this product style of the population")
    parser.add_argument("--epochs", type=int, default=24, help="of the network; 0 leaves it out")
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
    simulated = [prepare(simulate(spec, seed=options.seed, index=index).phase) for index in range(len(real))]
    sites += [f"simulated {index}" for index in range(len(simulated))]
    phases = real + simulated
    labels = np.repeat([0, 1], len(real))
    names = list(features(real[0]))
    table = np.array([list(features(phase).values()) for phase in phases])
    if options.sheet:
        write_sheet(options.sheet, real, simulated)

    rng = np.random.default_rng(options.seed)
    result = {
        "real patches": len(real),
        "real sites": len(set(sites[: len(real)])),
        "feature model": scored(labels, *by_features(table, labels, sites, rng), sites, rng),
    }
    if options.epochs:
        result["network"] = scored(labels, *by_network(phases, labels, sites, options, rng), sites, rng)
    print_quantiles({"real": table[labels == 0], "simulated": table[labels == 1]}, names)
    print("\nAUROC of one feature alone (decile model, held-out sites), best first:")
    alone = {
        name: scored(labels, *by_features(table[:, [i]], labels, sites, rng), sites, None)["auroc"]
        for i, name in enumerate(names)
    }
    alone = dict(sorted(alone.items(), key=lambda item: -item[1]))
    for name, value in list(alone.items())[:15]:
        print(f"  {value:.3f}  {name}")
    result["features alone"] = alone
    for judge in ("feature model", "network"):
        if judge in result:
            score = result[judge]
            low, high = score["interval"]
            print(f"{judge}: AUROC {score['auroc']:.3f} (95 % {low:.3f} to {high:.3f}) on {score['patches']} patches")
    print(f"{time.perf_counter() - started:.0f} s")
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")


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
    flat = ndimage.binary_opening(same, np.ones((3, 3)))
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
    z: Complex = np.where(valid, np.exp(1j * np.where(valid, phase, 0)), 0).astype(np.complex64)
    out: dict[str, float] = {}
    missing = 1 - float(valid.mean())
    out["no data, share"] = missing
    edges = np.count_nonzero(np.diff(valid, axis=0)) + np.count_nonzero(np.diff(valid, axis=1))
    out["no data, outline over root of area"] = edges / np.sqrt((~valid).sum()) if missing else 0.0

    coherent = local_coherence(phase)[valid]
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
    cells = ndimage.uniform_filter(local_coherence(phase), 5)[2::5, 2::5]
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
            abs((lagged * other.conj()).sum()) / max(float((np.abs(lagged) * np.abs(other)).sum()), 1.0)
            for lagged, other in (shifted(z, 0, lag), shifted(z, lag, 0))
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
    spectrum = np.abs(np.fft.fft2(z * window)) ** 2
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
    table: NDArray[np.float64], labels: NDArray[np.intp], sites: list[str], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Score every patch by a model that did not see its site."""
    fold = site_fold(sites, np.random.default_rng(0))
    scores = np.zeros(len(labels))
    # Ties (no data share is mostly 0) are no reason to split.
    jitter = 1 + 1e-12 * rng.random(table.shape)
    for number in range(FOLDS):
        train = fold != number
        limits = np.quantile(table[train], np.arange(1, DECILES) / DECILES, axis=0)
        design = np.concatenate(
            [(table[:, [i]] * jitter[:, [i]] > limits[:, i]).astype(float) for i in range(table.shape[1])], axis=1
        )
        weights = fit_logistic(design[train], labels[train])
        scores[~train] = design[~train] @ weights[1:] + weights[0]
    return scores, np.ones(len(labels), bool)


def fit_logistic(design: NDArray[np.float64], labels: NDArray[np.intp]) -> NDArray[np.float64]:
    target = 2.0 * labels - 1

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = target * (design @ weights[1:] + weights[0])
        pull = -target / (1 + np.exp(np.clip(margin, -50, 50)))
        slope = np.concatenate([[pull.sum()], design.T @ pull + 2 * weights[1:]])
        return float(np.logaddexp(0, -margin).sum() + (weights[1:] ** 2).sum()), slope

    start = np.zeros(design.shape[1] + 1)
    found: NDArray[np.float64] = optimize.minimize(loss, start, jac=True, method="L-BFGS-B").x
    return found


def by_network(
    phases: list[Real],
    labels: NDArray[np.intp],
    sites: list[str],
    options: argparse.Namespace,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Train on 60 % of the sites; score the others, each the mean over its eight rotations and mirror images."""
    torch.manual_seed(options.seed)
    train = site_fold(sites, np.random.default_rng(0)) < TRAIN_SHARE * FOLDS
    layers: list[nn.Module] = []
    for width_in, width, kernel in ((3, 16, 5), (16, 24, 3), (24, 32, 3), (32, 48, 3), (48, 64, 3)):
        layers += [nn.Conv2d(width_in, width, kernel, 2, kernel // 2, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 1))
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=1e-2)
    members = np.flatnonzero(train)
    batches = [members[i : i + 32] for i in range(0, len(members) - 31, 32)]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, options.epochs * len(batches))
    for _ in range(options.epochs):
        order = rng.permutation(members)
        for chunk in (order[i : i + 32] for i in range(0, len(order) - 31, 32)):
            inputs = np.stack([encode(augment(phases[i], rng), rng) for i in chunk])
            logits = network(torch.from_numpy(inputs))[:, 0]
            loss = nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(labels[chunk]).float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    network.eval()
    scores = np.zeros(len(labels))
    with torch.inference_mode():
        for i in np.flatnonzero(~train):
            inputs = np.stack([encode(turned, rng) for turned in turns(phases[i])])
            scores[i] = float(network(torch.from_numpy(inputs)).mean())
    return scores, ~train


def augment(phase: Real, rng: np.random.Generator) -> Real:
    turned = np.rot90(phase, int(rng.integers(4)))
    return turned[:, ::-1] if rng.random() < 0.5 else turned


def turns(phase: Real) -> Iterator[Real]:
    for image in (phase, phase.T):
        for number in range(4):
            yield np.rot90(image, number)


def encode(phase: Real, rng: np.random.Generator) -> Real:
    valid = np.isfinite(phase)
    sign = 1.0 if rng.random() < 0.5 else -1.0
    offset = np.where(valid, wrap(np.where(valid, phase * sign, 0) + rng.uniform(-np.pi, np.pi)), 0)
    return np.stack([np.cos(offset) * valid, np.sin(offset) * valid, valid]).astype(np.float32)


def scored(
    labels: NDArray[np.intp],
    scores: NDArray[np.float64],
    tested: NDArray[np.bool_],
    sites: list[str],
    rng: np.random.Generator | None,
) -> dict[str, object]:
    out: dict[str, object] = {
        "auroc": float(auroc(labels[tested], scores[tested])),
        "patches": int(tested.sum()),
    }
    if rng is not None:
        groups = [site for site, keep in zip(sites, tested, strict=True) if keep]
        ranking = Ranking(labels[tested], scores[tested])
        out["interval"] = bootstrap_interval(ranking.auroc, groups, rng=rng, strata=labels[tested]).tolist()
    return out


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
