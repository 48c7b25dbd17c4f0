"""How well does a bundle find mines? Objects found, false ones and outlines, of what `fringewatch detect` would say.

    python benchmarks/mining.py                           # 20-40 m pixels; larger scenes; all pixel sizes
    python benchmarks/mining.py --sets 224:20-40          # the first alone
    python benchmarks/mining.py --model mining --real mining/ --quiet quiet/ --out results/

A set is a size of scenes and a range of pixel sizes; larger scenes are fewer and hold more panels. Thresholds are
chosen on the first set.

An object is a connected part of the mask of visible deformation, from 20 pixels; its SNR is that of its scene times its
own peak over the scene's. It is resolved if it has 100 pixels, less than half a fringe per pixel in nine tenths of them
and a coherence of 0.2: SNR, which compares slopes, says nothing of that. A detection belongs to an object if they share
half of the smaller one. Objects that one detection holds together, and detections of one object, are compared as one
group, since troughs merge: they are found, and right, if their joined areas overlap by a tenth at least, and that
overlap is their IoU. A detection is false if it is not right and less than a tenth of it deforms by a quarter of a
fringe; what lies between, weak deformation beside what is called visible, counts as neither.

Thresholds: the card's, and that at which at most 5 % of the detections are false on the first half of the scenes; all
figures are of the second half. Intervals resample whole scenes. The ceiling is the IoU of outlines that the true share
of each map pixel gives, in place of a network: what the stride of a map leaves.

--real FOLDER holds `*.tif` with `masks/*.png`, --quiet FOLDER patches without deformation with a manifest that names
their sites; hold-out sites are those that no training of this package saw. Files are only read.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from fringewatch.detect import Detector
from fringewatch.metrics import bootstrap_interval, match, wilson_interval
from fringewatch.patches import read_phase
from fringewatch.simulate import RealNoise
from fringewatch.simulate.difficulty import SNR_STRATA, snr_stratum
from machine import processor
from objects import (
    STRIDES,
    Looked,
    Thing,
    Truth,
    examine,
    fill,
    judge,
    look,
    lowest_score,
    objects,
    population,
    simulated,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


TEST_SEED = 6007
Estimate = tuple[float, float | None, float | None]
SETS = ("224:20-40", "448:20-40", "224:5-100")
MOST_FALSE = 0.05
FRINGES, SIZES, COHERENCES = (1.0, 2.0, 4.0, 8.0), (50.0, 100.0, 300.0, 1000.0, 3000.0), (0.1, 0.2, 0.3, 0.5)
RATES = (0.05, 0.1, 0.2, 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="fringenet", help="name or folder of the bundle")
    parser.add_argument("--precision", choices=["int8", "float32"], help="default: the card's")
    parser.add_argument("--scenes", type=int, default=400, help="simulated scenes of 224 px in a set, 0 for none")
    parser.add_argument("--sets", nargs="*", default=SETS, help="size (px) and pixel sizes (m) of each set of scenes")
    parser.add_argument("--seed", type=int, default=TEST_SEED)
    parser.add_argument("--real", type=Path, help="folder of real patches with masks")
    parser.add_argument("--quiet", type=Path, help="folder of real patches without deformation")
    parser.add_argument("--out", type=Path, help="folder for mining.json and the pictures of real patches")
    arguments = parser.parse_args()
    card = Detector(arguments.model, precision=arguments.precision).card
    # All that any threshold would keep: a higher one drops detections of lower scores and changes no other.
    detector = Detector(arguments.model, precision=arguments.precision, threshold=lowest_score(card))
    print(f"{processor()}; {card.name} {card.version} ({detector.bundle.precision}), stride {card.stride}")
    print(f"card: threshold {card.thresholds.scene:.3f}, edge {card.thresholds.region_edge:.2f}")
    results: dict[str, Any] = {"model": card.name, "version": card.version, "precision": detector.bundle.precision}
    thresholds = {"card": card.thresholds.scene}
    for number, name in enumerate(arguments.sets if arguments.scenes else ()):
        size, _, pixels = name.partition(":")
        low, high = (float(value) for value in pixels.split("-"))
        spec = population(int(size), (low, high))
        count = round(arguments.scenes * min(1.0, (224 / int(size)) ** 2))
        looked = [look(detector, truth, index) for index, truth in enumerate(simulated(spec, arguments.seed, count))]
        half = len(looked) // 2
        if number == 0 and (chosen := choose_threshold(looked[:half], detector.threshold)) is not None:
            thresholds["few false"] = chosen
        print(f"\n== scenes of {size} px, pixels of {low:g} to {high:g} m, seed {arguments.seed}")
        results.setdefault("simulated", []).append(
            {
                "scenes": len(looked) - half,
                "size_px": int(size),
                "pixels_m": [low, high],
                "seed": arguments.seed,
                **{name: tell(looked[half:], name, threshold) for name, threshold in thresholds.items()},
            }
        )
    results["thresholds"] = thresholds
    if arguments.real:
        results["real"] = tell_real(detector, arguments.real, thresholds, arguments.out)
    if arguments.quiet:
        results["quiet"] = tell_quiet(detector, arguments.quiet, thresholds)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "mining.json").write_text(
            json.dumps(known(results), indent=1, allow_nan=False) + "\n", encoding="utf-8"
        )


def choose_threshold(looked: Sequence[Looked], lowest: float) -> float | None:
    """Return the lowest score at which few enough detections are false; None if none is high enough."""
    best = None
    scores = np.unique(np.concatenate([[lowest], *(one.scores for one in looked)]))
    for threshold in scores[::-1]:
        outcomes = [judge(one, threshold) for one in looked]
        right, false = (sum(outcome[place] for outcome in outcomes) for place in (2, 3))
        if right + false >= 20 and false > MOST_FALSE * (right + false):
            break
        best = float(threshold)
    return best


def tell(looked: Sequence[Looked], name: str, threshold: float) -> dict[str, Any]:
    """Print and return recall, share of false detections and IoU, and by stratum."""
    outcomes = [judge(one, threshold) for one in looked]
    things = [thing for one in looked for thing in one.things]
    found = np.concatenate([outcome[0] for outcome in outcomes])
    iou = np.concatenate([outcome[1] for outcome in outcomes])
    scene = np.array([thing.scene for thing in things])
    wanted = np.array([thing.wanted for thing in things])
    resolved = np.array([thing.resolved for thing in things])
    counts = np.array([outcome[2:] for outcome in outcomes], float)
    print(f"\n{len(looked)} scenes, {len(things)} objects, at the threshold of {name!r}, {threshold:.3f}")
    rows: dict[str, Any] = {"threshold": threshold, "objects": len(things), "wanted": int(wanted.sum())}
    rows["recall_all"] = estimate(found, scene)
    rows["recall"] = estimate(found[wanted], scene[wanted])
    rows["false_share"] = ratio(counts[:, 1], counts.sum(axis=1))
    rows["iou"] = estimate(iou[wanted & found], scene[wanted & found])
    rows["resolved"] = int(resolved.sum())
    rows["recall_resolved"] = estimate(found[resolved], scene[resolved])
    rows["iou_resolved"] = estimate(iou[resolved & found], scene[resolved & found])
    levels = {level: at_level(looked, level, threshold) for level in looked[0].levels}
    level = max(levels, key=lambda value: levels[value][0])
    rows["best_level"], rows["iou_at_best_level"] = level, levels[level][1]
    print(f"  recall, all objects                {text(rows['recall_all'])}")
    print(f"  recall, SNR >= 2 and >= 1 fringe   {text(rows['recall'])}")
    print(f"  recall, those of them resolved     {text(rows['recall_resolved'])} of {rows['resolved']}")
    print(f"  false detections                   {text(rows['false_share'])} of {int(counts.sum())}")
    print(f"  IoU of those found, polygons       {text(rows['iou'])}")
    print(f"  IoU of those resolved              {text(rows['iou_resolved'])}")
    print(f"  IoU at the best level, {level:.2f}        {levels[level][1]:.3f}")
    rows["ceilings"] = {stride: ceiling(looked, stride) for stride in STRIDES}
    print("  ceiling of IoU, all SNR >= 2 and >= 1 fringe: ", end="")
    print(", ".join(f"{value:.3f} at stride {stride}" for stride, value in rows["ceilings"].items()))
    rows["troughs"] = tell_troughs(looked, threshold)
    strata = []
    for label, key, only in STRATA:
        groups: dict[str, list[int]] = {}
        for place, thing in enumerate(things):
            if thing.wanted or not only:
                groups.setdefault(key(thing), []).append(place)
        print(f"  by {label}" + (", of SNR >= 2 and >= 1 fringe" if only else "") + ": objects, recall, IoU")
        for group in sorted(groups, key=ORDER.index):
            part = np.array(groups[group])
            hit = part[found[part]]
            row = {"by": label, "group": group, "objects": len(part), "recall": estimate(found[part], scene[part])}
            row["iou"] = estimate(iou[hit], scene[hit])
            strata.append(row)
            print(f"    {group:12} {len(part):5}   {text(row['recall']):22} {text(row['iou'])}")
    rows["strata"] = strata
    return rows


def tell_troughs(looked: Sequence[Looked], threshold: float) -> dict[str, list[int]]:
    """Print and return of right detections how many troughs they say to how many bottoms there are."""
    pairs = [
        (min(int(true), 3), min(int(told), 3))
        for one in looked
        for true, told, score, share in zip(one.true, one.told, one.scores, one.moving, strict=True)
        if score >= threshold and share >= 0.1 and true > 0
    ]
    table = {str(true): [pairs.count((true, told)) for told in range(4)] for true in (1, 2, 3)}
    print("  bottoms in a detection -> detections that say 0, 1, 2, 3 or more troughs")
    for true, counts in table.items():
        print(f"    {true + (' or more' if true == '3' else ''):12} {counts}")
    return table


def at_level(looked: Sequence[Looked], level: float, threshold: float) -> tuple[float, float]:
    """Return the sum and the mean of the IoU of wanted objects that are found with outlines at another level."""
    values = []
    for one in looked:
        counted, scores = one.levels[level]
        result = match(counted, kept=scores >= threshold)
        values += [value for thing, value in zip(one.things, result.iou, strict=True) if thing.wanted]
    known = np.array(values)[np.isfinite(values)] if values else np.zeros(0)
    return float(known.sum()), float(known.mean()) if known.size else float("nan")


def ceiling(looked: Sequence[Looked], stride: int) -> float:
    """Return the mean IoU of all wanted objects, 0 where one is lost, with the outlines of a perfect map."""
    values = [
        value
        for one in looked
        for thing, value in zip(one.things, np.nan_to_num(match(one.ceilings[stride]).iou), strict=True)
        if thing.wanted
    ]
    return float(np.mean(values)) if values else float("nan")


def tell_real(
    detector: Detector, folder: Path, thresholds: dict[str, float], out: Path | None
) -> dict[str, dict[str, Any]]:
    """Print and return how many real patches are flagged and how well the outlines fit their masks."""
    paths = sorted(folder.glob("*.tif"))
    masks = [np.asarray(Image.open(folder / "masks" / f"{path.stem}.png").convert("L")) > 0 for path in paths]
    truths = [
        Truth(read_phase(path), objects(mask), np.where(mask, np.inf, 0).astype(np.float32), np.nan, None)
        for path, mask in zip(paths, masks, strict=True)
    ]
    looked = [look(detector, truth, index) for index, truth in enumerate(truths)]
    index = np.arange(len(paths))
    results: dict[str, dict[str, Any]] = {}
    for name, threshold in thresholds.items():
        outcomes = [judge(one, threshold) for one in looked]
        flagged = np.array([one.score >= threshold for one in looked])
        whole = np.array([patch_iou(one, mask, threshold) for one, mask in zip(looked, masks, strict=True)])
        found, iou, things = (
            np.concatenate([outcome[0] for outcome in outcomes]),
            np.concatenate([outcome[1] for outcome in outcomes]),
            np.concatenate([np.full(len(one.things), number) for number, one in enumerate(looked)]),
        )
        counts = np.array([outcome[2:] for outcome in outcomes], float)
        levels = {level: at_level(looked, level, threshold) for level in looked[0].levels}
        level = max(levels, key=lambda value: levels[value][0])
        results[name] = {
            "threshold": threshold,
            "patches": len(paths),
            "flagged": estimate(flagged, index),
            "patch_iou": estimate(whole, index),
            "objects": len(found),
            "recall": estimate(found, things),
            "iou": estimate(iou[found], things[found]),
            "false_share": ratio(counts[:, 1], counts.sum(axis=1)),
            "best_level": level,
            "iou_at_best_level": levels[level][1],
        }
        row = results[name]
        print(f"\n{len(paths)} real patches, at the threshold of {name!r}, {threshold:.3f}")
        print(f"  flagged                            {text(row['flagged'])}")
        print(f"  IoU of mask and detections, patch  {text(row['patch_iou'])}")
        print(f"  objects found                      {text(row['recall'])} of {row['objects']}")
        print(f"  IoU of those found                 {text(row['iou'])}; at level {level:.2f} {levels[level][1]:.3f}")
        print(f"  false detections                   {text(row['false_share'])} of {int(counts.sum())}")
    if out is not None:
        threshold = list(thresholds.values())[-1]
        draw(out / "real.png", [path.stem for path in paths], truths, masks, looked, threshold)
    return results


def patch_iou(looked: Looked, mask: NDArray[np.bool_], threshold: float) -> float:
    """Return the IoU of a patch's mask and all of its detections together."""
    kept = [polygon for polygon, score in zip(looked.polygons, looked.scores, strict=True) if score >= threshold]
    detected = fill(kept, mask.shape) > 0
    return float((mask & detected).sum() / max((mask | detected).sum(), 1))


def draw(
    path: Path,
    names: Sequence[str],
    truths: Sequence[Truth],
    masks: Sequence[NDArray[np.bool_]],
    looked: Sequence[Looked],
    threshold: float,
) -> None:
    """Draw every patch with its mask (white) and its detections (green; dotted below the threshold)."""
    from matplotlib.figure import Figure

    columns = min(5, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(3.4 * columns, 3.7 * rows), dpi=100, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, name, truth, mask, one in zip(axes, names, truths, masks, looked, strict=False):
        axis.imshow(truth.phase, cmap="twilight", vmin=-np.pi, vmax=np.pi, interpolation="nearest")
        for colour, line in (("#101418", 2.6), ("#ffffff", 1.3)):
            axis.contour(mask, levels=[0.5], colors=colour, linewidths=line)
        for polygon, score in zip(one.polygons, one.scores, strict=True):
            for part in getattr(polygon, "geoms", [polygon]):
                if part.geom_type == "Polygon":
                    style = "-" if score >= threshold else ":"
                    axis.plot(*part.exterior.xy, color="#12b886", linewidth=2, linestyle=style)
        overlapping = patch_iou(one, mask, threshold)
        axis.set_title(f"{name}: score {one.score:.2f}, IoU {overlapping:.2f}", fontsize=8)
    figure.suptitle(f"mask (white), detections (green, dotted below {threshold:.2f})", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def tell_quiet(detector: Detector, folder: Path, thresholds: dict[str, float]) -> dict[str, Any]:
    """Print and return the share of quiet patches that are flagged, on hold-out sites and on those of training."""
    results: dict[str, Any] = {}
    for fold in ("holdout", "train"):
        noise = RealNoise(folder, fold=fold)
        scores = np.array([examine(detector, phase).score for phase in noise.phases])
        _, site = np.unique(noise.sites, return_inverse=True)
        results[fold] = {"patches": len(scores), "sites": int(site.max()) + 1}
        print(f"\n{len(scores)} quiet patches of {site.max() + 1} sites ({fold})")
        for name, threshold in thresholds.items():
            results[fold][name] = estimate(scores >= threshold, site)
            print(f"  flagged at the threshold of {name!r}, {threshold:.3f}   {text(results[fold][name])}")
    return results


def estimate(values: NDArray[Any], groups: NDArray[Any]) -> Estimate | None:
    """Return the mean with its interval under resampling of groups; None of nothing."""
    return ratio(np.asarray(values, float), np.ones(len(values)), groups)


def ratio(part: NDArray[np.float64], whole: NDArray[np.float64], groups: NDArray[Any] | None = None) -> Estimate | None:
    """Return the ratio of two sums with its interval under resampling of groups; None of nothing."""
    if not whole.sum():
        return None
    where = np.arange(len(whole)) if groups is None else groups

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        below = weights @ whole
        return np.divide(weights @ part, below, out=np.full(len(below), np.nan), where=below > 0)

    value = float(part.sum() / whole.sum())
    if value in {0.0, 1.0}:
        # Resampling shows no spread there, though the next scene may be another.
        low, high = wilson_interval(value * len(np.unique(where)), len(np.unique(where)))
    else:
        low, high = bootstrap_interval(statistic, where, rng=np.random.default_rng(0))
    return value, *(None if np.isnan(end) else float(end) for end in (low, high))


def known(value: Any) -> Any:
    """Return results for JSON, which has no NaN: None in its place."""
    if isinstance(value, dict):
        return {str(key): known(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [known(part) for part in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def text(value: Estimate | None) -> str:
    if value is None:
        return "-"
    return f"{value[0]:.3f}" + ("" if value[1] is None else f" ({value[1]:.3f}-{value[2]:.3f})")


def step(value: float, edges: Sequence[float]) -> str:
    """Return the name of the interval that a value is in."""
    bounds = [0.0, *edges]
    index = int(np.searchsorted(edges, value, side="right"))
    return f"{bounds[index]:g}-{edges[index]:g}" if index < len(edges) else f">= {edges[-1]:g}"


STRATA: tuple[tuple[str, Callable[[Thing], str], bool], ...] = (
    ("SNR", lambda thing: f"SNR {snr_stratum(thing.snr)}", False),
    ("fringes", lambda thing: f"f {step(thing.fringes, FRINGES)}", False),
    ("size (px)", lambda thing: f"px {step(thing.size_px, SIZES)}", True),
    ("coherence", lambda thing: f"coh {step(thing.coherence, COHERENCES)}", True),
    ("fringes per pixel", lambda thing: f"rate {step(thing.rate, RATES)}", True),
)
ORDER = [
    *(f"SNR {name}" for name in SNR_STRATA),
    *(
        f"{prefix} {step(value, edges)}"
        for prefix, edges in (("f", FRINGES), ("px", SIZES), ("coh", COHERENCES), ("rate", RATES))
        for value in (0.0, *edges)
    ),
]


if __name__ == "__main__":
    main()
