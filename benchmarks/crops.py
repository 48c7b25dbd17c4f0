"""How good are the crops? Recall and precision of the patterns of fringes that `find_crops` finds without a network.

    python benchmarks/crops.py                         # simulated mining scenes, by SNR, fringes, size, coherence
    python benchmarks/crops.py --real FOLDER           # real scenes with masks as well, and quiet ones: apart
    python benchmarks/crops.py fit                     # the weights of the score, on scenes of another seed

A scene's objects are the connected parts of its mask of visible deformation, from 20 pixels. An object is found if one
crop, without its margin, holds at least half of it and is at most twelve times as large as all objects that it holds
so. A crop is right if it holds at least half of an object or an object fills a quarter of it, and false if nothing in
it deforms by a quarter of a fringe; what lies between, weak deformation beside what is called visible, counts as
neither. The SNR of an object is that of its scene times its own peak over the scene's.

The rival is the study's way: edges of the grey picture by fixed thresholds, closed to areas, each of them a crop.

The subsidence table takes the objects as they are and compares depth and diameter with the truth along the line of
sight: by what share the estimate is off, its median and quartiles.

FOLDER holds `mining/*.tif` with `mining/masks/*.png` and, if there is one, `quiet/` with a manifest of patches without
deformation. Its files are only read.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.optimize import minimize

from fringewatch.conventions import SENTINEL1_WAVELENGTH_M
from fringewatch.fringes import MIN_SCORE, find_crops, fringe_edges, measure_troughs
from fringewatch.fringes.activity import measure_activity
from fringewatch.fringes.candidates import find_candidates
from fringewatch.fringes.rates import residues
from fringewatch.fringes.shape import Shape, measure_shape
from fringewatch.metrics import wilson_interval
from fringewatch.patches import read_phase
from fringewatch.simulate import preset, simulate
from fringewatch.simulate.difficulty import SNR_STRATA, snr_stratum
from machine import load, processor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

TEST_SEED, FIT_SEED = 503, 901
FRINGE_M = SENTINEL1_WAVELENGTH_M / 2
LEAST_PX = 20
LEAST_IOU = 0.3
RIVAL_CLOSING_PX = 3


class Scene(NamedTuple):
    """A scene with its truth."""

    phase: NDArray[np.float32]
    labels: NDArray[np.int32]
    """(H, W), number of the object of every pixel, 0 = none."""
    sizes: NDArray[np.intp]
    """Pixels of each object, by its number."""
    moved: NDArray[np.float32]
    """(H, W), fringes of deformation; infinite in a mask that does not say how much."""
    kind: str
    snr: float
    coherence: NDArray[np.float32] | None


class Area(NamedTuple):
    """What became a crop."""

    box: tuple[slice, slice]
    region: NDArray[np.bool_]
    score: float


class Found(NamedTuple):
    """What became of an object: what it was, and the best crop that holds it."""

    snr: float
    fringes: float
    size_px: int
    coherence: float
    score: float
    """0 where no crop holds it."""
    iou: float
    """Of the crop's region and all objects that it holds."""


class Made(NamedTuple):
    """What a crop turned out to be."""

    score: float
    right: bool
    false: bool


class Outcome(NamedTuple):
    """Of many scenes."""

    objects: list[Found]
    crops: list[Made]
    scenes: int
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("part", nargs="?", choices=["measure", "fit"], default="measure")
    parser.add_argument("--scenes", type=int, default=300, help="simulated mining scenes")
    parser.add_argument("--seed", type=int, help=f"of the scenes; {TEST_SEED} to measure, {FIT_SEED} to fit")
    parser.add_argument("--quiet", type=int, default=100, help="quiet patches of the folder to look at")
    parser.add_argument("--real", type=Path, help="folder with mining/, mining/masks/ and quiet/")
    parser.add_argument("--out", type=Path, help="write the results to this JSON file too")
    arguments = parser.parse_args()
    print(processor())
    load("seconds are too long")
    if arguments.part == "fit":
        fit(simulated(arguments.seed or FIT_SEED, arguments.scenes))
        return
    results: dict[str, object] = {"processor": processor()}
    seed = arguments.seed or TEST_SEED
    scenes = list(simulated(seed, arguments.scenes))
    results["simulated"] = tell(f"simulated mining scenes, seed {seed}", measure(scenes))
    results["rival"] = tell("the same scenes, edges by fixed thresholds", measure(scenes, by_fixed_edges))
    results["subsidence"] = tell_subsidence(scenes)
    if arguments.real:
        results["real"] = tell("real mining patches", measure(real_mining(arguments.real)))
        results["quiet"] = tell("real quiet patches", measure(real_quiet(arguments.real, arguments.quiet)))
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def simulated(seed: int, count: int) -> Iterator[Scene]:
    """Yield scenes of the population `mining`, half of them quiet."""
    for index in range(count):
        sample = simulate(preset("mining"), seed=seed, index=index)
        labels, sizes = objects(sample.mask)
        snr = float(sample.parameters["snr"])
        yield Scene(sample.phase, labels, sizes, np.abs(sample.los_m) / FRINGE_M, sample.kind, snr, sample.coherence)


def real_mining(folder: Path) -> Iterator[Scene]:
    """Yield the patches of a folder that have a mask."""
    for path in sorted((folder / "mining").glob("*.tif")):
        mask = np.asarray(Image.open(folder / "mining" / "masks" / f"{path.stem}.png").convert("L")) > 0
        labels, sizes = objects(mask)
        yield Scene(read_phase(path), labels, sizes, np.where(mask, np.inf, 0), path.stem, np.nan, None)


def real_quiet(folder: Path, count: int) -> Iterator[Scene]:
    """Yield patches without deformation, spread evenly over the folder."""
    paths = sorted((folder / "quiet").glob("*.png"))
    for path in paths[:: max(len(paths) // count, 1)][:count]:
        phase = read_phase(path)
        nothing = np.zeros(phase.shape, np.int32)
        yield Scene(phase, nothing, np.zeros(1, np.intp), np.zeros_like(phase), "quiet", np.nan, None)


def objects(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """Return the number of the part of each pixel, corners connect, and the sizes of the parts."""
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    return labels, np.bincount(labels.ravel())


def by_activity(phase_rad: NDArray[np.float32]) -> list[Area]:
    """Return the crops of a scene, down to low scores."""
    crops = find_crops(phase_rad, min_score=0.02).crops
    return [Area(crop.candidate.box, crop.candidate.region, crop.score) for crop in crops]


def by_fixed_edges(phase_rad: NDArray[np.float32]) -> list[Area]:
    """Return the areas that fringe edges by fixed thresholds enclose or come close to; all have score 1."""
    near = np.pad(fringe_edges(phase_rad).edges, RIVAL_CLOSING_PX)
    near = ndimage.binary_closing(near, iterations=RIVAL_CLOSING_PX)
    closed = ndimage.binary_fill_holes(near)[RIVAL_CLOSING_PX:-RIVAL_CLOSING_PX, RIVAL_CLOSING_PX:-RIVAL_CLOSING_PX]
    labels, _ = ndimage.label(closed, np.ones((3, 3)))
    areas = [Area(box, labels[box] == k, 1.0) for k, box in enumerate(ndimage.find_objects(labels), start=1)]
    return [area for area in areas if area.region.sum() >= LEAST_PX]


def measure(scenes: Iterable[Scene], find: Callable[[NDArray[np.float32]], list[Area]] = by_activity) -> Outcome:
    """Find crops in scenes and compare them with the truth."""
    found, made = [], []
    number, seconds = 0, 0.0
    for scene in scenes:
        started = time.perf_counter()
        areas = find(scene.phase)
        seconds += time.perf_counter() - started
        number += 1
        best: dict[int, tuple[float, float]] = {}
        for box, region, score in areas:
            inside = np.bincount(scene.labels[box].ravel(), minlength=len(scene.sizes))
            shared = np.bincount(scene.labels[box][region], minlength=len(scene.sizes))
            large = [k for k in range(1, len(scene.sizes)) if scene.sizes[k] >= LEAST_PX and inside[k]]
            held = [k for k in large if 2 * inside[k] >= scene.sizes[k]]
            if region.size <= 12 * sum(scene.sizes[k] for k in held):
                together = sum(shared[k] for k in held)
                iou = together / (region.sum() + sum(scene.sizes[k] for k in held) - together)
                for k in held:
                    best[k] = max(best.get(k, (0.0, 0.0)), (score, float(iou)))
            right = bool(held) or any(4 * inside[k] >= region.size for k in large)
            weak = inside[1:].any() or scene.moved[box].max() >= 0.25
            made.append(Made(score, right, not right and not weak))
        for k in range(1, len(scene.sizes)):
            if scene.sizes[k] >= LEAST_PX:
                where = scene.labels == k
                peak = float(scene.moved[where].max())
                coherence = np.nan if scene.coherence is None else float(scene.coherence[where].mean())
                snr = scene.snr * peak / float(scene.moved.max()) if np.isfinite(scene.snr) else np.nan
                found.append(Found(snr, peak, int(scene.sizes[k]), coherence, *best.get(k, (0.0, 0.0))))
    return Outcome(found, made, number, seconds)


def tell(title: str, outcome: Outcome) -> dict[str, object]:
    """Print the tables of an outcome and return them."""
    per_scene = outcome.seconds / max(outcome.scenes, 1)
    print(f"\n{title}: {outcome.scenes} scenes, {len(outcome.objects)} objects, {per_scene:.2f} s a scene")
    wanted = [item for item in outcome.objects if not (item.snr < 2 or item.fringes < 1)]
    rows = []
    print("  score >=   recall (95 %)         of SNR >= 2, >= 1 fringe   precision   false/scene   IoU (median)")
    for threshold in (0.1, 0.3, MIN_SCORE, 0.7, 0.9):
        made = [crop for crop in outcome.crops if crop.score >= threshold]
        right, false = sum(crop.right for crop in made), sum(crop.false for crop in made)
        overlap = [item.iou for item in wanted if item.score >= threshold]
        row = {
            "score": threshold,
            "recall": recall(outcome.objects, threshold),
            "recall_wanted": recall(wanted, threshold),
            "precision": right / max(right + false, 1),
            "false_per_scene": false / max(outcome.scenes, 1),
            "iou": float(np.median(overlap)) if overlap else float("nan"),
        }
        rows.append(row)
        print(
            f"  {threshold:8.2f}   {text(row['recall']):20}  {text(row['recall_wanted']):25}  {row['precision']:9.3f}"
            f"   {row['false_per_scene']:11.2f}   {row['iou']:6.2f}"
        )
    strata = {}
    for name, key, wanted_only in STRATA if any(np.isfinite(item.snr) for item in outcome.objects) else ():
        print(f"  recall by {name}, score >= {MIN_SCORE}" + (", of SNR >= 2 and >= 1 fringe" if wanted_only else ""))
        groups: dict[str, list[Found]] = {}
        for item in wanted if wanted_only else outcome.objects:
            groups.setdefault(key(item), []).append(item)
        for group in sorted(groups, key=ORDER.index):
            found = recall(groups[group], MIN_SCORE)
            strata[f"{name} {group}"] = found
            print(f"    {group:10} {len(groups[group]):5}  {text(found)}")
    return {"scenes": outcome.scenes, "seconds_per_scene": per_scene, "thresholds": rows, "strata": strata}


def recall(items: Sequence[Found], threshold: float) -> tuple[float, float, float] | None:
    """Return the share that was found, with its interval; None of nothing."""
    if not items:
        return None
    hits = sum(item.score >= threshold for item in items)
    return hits / len(items), *wilson_interval(hits, len(items))


def text(share: tuple[float, float, float] | None) -> str:
    return "-" if share is None else f"{share[0]:.3f} ({share[1]:.3f}-{share[2]:.3f})"


def step(value: float, edges: Sequence[float]) -> str:
    """Return the name of the interval that a value is in."""
    bounds = [0.0, *edges]
    index = int(np.searchsorted(edges, value, side="right"))
    return f"{bounds[index]:g}-{edges[index]:g}" if index < len(edges) else f">= {edges[-1]:g}"


FRINGES, SIZES, COHERENCES = (1.0, 2.0, 4.0, 8.0), (50.0, 100.0, 300.0, 1000.0, 3000.0), (0.1, 0.2, 0.3, 0.5)
STRATA: tuple[tuple[str, Callable[[Found], str], bool], ...] = (
    ("SNR", lambda item: f"SNR {snr_stratum(item.snr)}", False),
    ("fringes", lambda item: f"f {step(item.fringes, FRINGES)}", False),
    ("size (px)", lambda item: f"px {step(item.size_px, SIZES)}", True),
    ("coherence", lambda item: f"coh {step(item.coherence, COHERENCES)}", True),
)
ORDER = [
    *(f"SNR {name}" for name in SNR_STRATA),
    *(
        f"{prefix} {step(value, edges)}"
        for prefix, edges in (("f", FRINGES), ("px", SIZES), ("coh", COHERENCES))
        for value in (0.0, *edges)
    ),
]


def tell_subsidence(scenes: Iterable[Scene]) -> list[dict[str, float | str]]:
    """Print and return how far depth and diameter of the objects are off, by what of their phase is resolved."""
    rows = []
    for scene in scenes:
        for k in range(1, len(scene.sizes)):
            if scene.sizes[k] < LEAST_PX:
                continue
            inside = scene.labels == k
            troughs = measure_troughs(scene.phase, inside)
            peak = float(scene.moved[inside].max())
            parts, _ = ndimage.label((scene.moved >= 0.1 * peak) & (inside | (scene.labels == 0)))
            deep = np.count_nonzero(np.isin(parts, np.setdiff1d(parts[inside], 0)))
            if troughs.troughs:
                depth = abs(troughs.troughs[0].depth_rad) / (2 * np.pi) / peak - 1
                wide = troughs.troughs[0].diameter_px / (2 * np.sqrt(deep / np.pi)) - 1
                snr = scene.snr * peak / float(scene.moved.max())
                rows.append((peak, troughs.resolved, snr, depth, wide, len(troughs.troughs), int(scene.sizes[k])))
    table = np.array(rows)
    print("\nsubsidence: relative error, median (quartiles), of depth and of diameter; mean number of troughs")
    results: list[dict[str, float | str]] = []
    for name, column, edges in (
        ("resolved", 1, (0, 0.5, 0.8, 0.95, 1.01)),
        ("fringes", 0, (0, 1, 2, 4, 8, 30)),
        ("SNR", 2, (0, 2, 8, 16, 1e9)),
        ("size (px)", 6, (20, 100, 300, 1000, 3000, 1e9)),
    ):
        chosen = table if name == "resolved" else table[(table[:, 1] >= 0.8) & ((table[:, 6] >= 300) | (column == 6))]
        said = {"resolved": "", "size (px)": ", where at least 0.8 is resolved"}
        print(f"  by {name}" + said.get(name, ", where at least 0.8 is resolved, from 300 pixels"))
        for low, high in itertools.pairwise(edges):
            part = chosen[(chosen[:, column] >= low) & (chosen[:, column] < high)]
            if not len(part):
                continue
            depth = np.percentile(part[:, 3], [50, 25, 75])
            # The diameter is that of one trough, the truth's that of the object.
            single = part[part[:, 5] == 1, 4]
            wide = np.percentile(single, [50, 25, 75]) if len(single) else np.full(3, np.nan)
            label = f"{low:g}-{high:g}" if high < 1e6 else f">= {low:g}"
            print(
                f"    {label:10} {len(part):4}   depth {depth[0]:+.2f} ({depth[1]:+.2f} to {depth[2]:+.2f})   "
                f"diameter {wide[0]:+.2f} ({wide[1]:+.2f} to {wide[2]:+.2f})   troughs {part[:, 5].mean():.1f}"
            )
            results.append({"by": name, "range": label, "objects": len(part), "depth": depth[0], "diameter": wide[0]})
    return results


def fit(scenes: Iterator[Scene]) -> None:
    """Fit the score to whether a candidate's region is an object, or several; print the constants."""
    shapes, overlaps = [], []
    for scene in scenes:
        activity, valid = measure_activity(scene.phase), np.isfinite(scene.phase)
        residue = residues(scene.phase) != 0
        for candidate in find_candidates(np.maximum(activity.slope, activity.spot), valid):
            labels, region = scene.labels[candidate.box], candidate.region
            shared = np.bincount(labels[region], minlength=len(scene.sizes))[1:]
            overlap = float((shared / (scene.sizes[1:] + region.sum() - shared)).max(initial=0))
            held = 2 * shared >= scene.sizes[1:]
            if held.any():
                together = shared[held].sum()
                overlap = max(overlap, together / (region.sum() + scene.sizes[1:][held].sum() - together))
            if not shared.any() and scene.moved[candidate.box][region].max() > 0.3:
                # Deformation that is not called visible is neither right nor wrong.
                continue
            shapes.append(measure_shape(candidate, activity, valid, residue))
            overlaps.append(overlap)
    measures, target = np.array(shapes, float), (np.array(overlaps) >= LEAST_IOU).astype(float)
    mean, deviation = measures.mean(0), measures.std(0) + 1e-6
    design = np.column_stack([np.ones(len(measures)), (measures - mean) / deviation])
    # Both kinds count about the same, however many there are.
    importance = np.where(target > 0, 0.5 * (target == 0).sum() / max((target > 0).sum(), 1), 1.0)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        chance = np.clip(1 / (1 + np.exp(-design @ weights)), 1e-9, 1 - 1e-9)
        cost = -(importance * (target * np.log(chance) + (1 - target) * np.log(1 - chance))).sum()
        slope = design.T @ (importance * (chance - target))
        slope[1:] += 6 * weights[1:]
        return float(cost + 3 * (weights[1:] ** 2).sum()), slope

    weights = minimize(loss, np.zeros(design.shape[1]), jac=True, method="L-BFGS-B").x
    raw = weights[1:] / deviation
    print(f"{len(measures)} candidates, {np.count_nonzero(target)} of them over objects")
    print(f"_INTERCEPT = {weights[0] - raw @ mean:.4g}\n_WEIGHTS = Shape(")
    for name, value, standard in zip(Shape._fields, raw, weights[1:], strict=True):
        print(f"    {name}={value:.4g},  # {standard:+.2f} per standard deviation")
    print(")")


if __name__ == "__main__":
    main()
