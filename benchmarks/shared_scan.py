"""What does sharing features between windows gain, and what does it cost? Both against cutting every window out.

1. Speed: one scene, all whole windows at stride 32, by the same ONNX file, ONNX Runtime and threads. Cost per window is
   the same for all, so the rival runs on a sample of them and its time is scaled to their number. Weights are random
   where no bundle is given; they cost what trained ones cost.
2. Accuracy: windows of simulated scenes with labels from their truth, by bundles given with --model. Features of a cut
   window are padded with zeros at its border where in the scene the picture goes on; this says what that matters.

    python benchmarks/shared_scan.py speed
    python benchmarks/shared_scan.py accuracy --model runs/vgg16/vgg16 --like runs/patches/simulate.yaml

Needs `fringewatch[train]` for the speed of random networks.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import onnxruntime as ort
import xarray as xr

from fringewatch.metrics import auroc
from fringewatch.models import load_bundle
from fringewatch.scan import patch_size, scan
from fringewatch.simulate import preset, simulate
from fringewatch.simulate.settings import SimulateConfig
from machine import load

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fringewatch.models import Bundle

NETWORKS = ("vgg16", "resnet50")
WANTED_RATIO = 15
WANTED_POINTS = 0.5
BATCH = 8
VISIBLE_SHARE = 0.05
"""A window counts as deforming where so much of it deforms visibly, and as background where nothing does."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("part", choices=["speed", "accuracy"])
    parser.add_argument("--model", action="append", help="name or folder of a classifier's bundle; several allowed")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of ONNX Runtime, for both ways")
    parser.add_argument("--side", type=int, help="side of the scene in pixels: 1024 for speed, 448 for accuracy")
    parser.add_argument("--repeats", type=int, default=3, help="alternating runs; medians are reported")
    parser.add_argument("--windows", type=int, default=24, help="windows that the rival is timed on")
    parser.add_argument("--scenes", type=int, default=200, help="simulated scenes for accuracy")
    parser.add_argument(
        "--per-scene", type=int, default=8, help="windows per scene, half of them deforming if possible"
    )
    parser.add_argument("--preset", default="volcano", help="simulated population for accuracy")
    parser.add_argument(
        "--like", type=Path, help="simulate.yaml of the set they were trained on: its population instead"
    )
    parser.add_argument("--seed", type=int, default=1_000_003, help="of the scenes; take one that training did not")
    parser.add_argument("--out", type=Path, help="write the results to this JSON file too")
    arguments = parser.parse_args()
    print(f"{arguments.threads} threads, ONNX Runtime {ort.__version__}, Python {platform.python_version()}")
    results: dict[str, object] = {"threads": arguments.threads}
    if arguments.part == "speed":
        busy = load("times are too long, and ratios uncertain")
        results |= {"load": busy, "networks": compare_speed(arguments)}
    else:
        if not arguments.model:
            parser.error("accuracy needs trained bundles: --model FOLDER")
        results["networks"] = compare_accuracy(arguments)
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def compare_speed(arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Time both ways on one scene, in turns."""
    side = arguments.side or 1024
    phase = np.random.default_rng(0).uniform(-np.pi, np.pi, (side, side)).astype(np.float32)
    scene = xr.DataArray(phase, dims=("y", "x"))
    print(f"\nscene of {side} x {side} px; every window at stride 32")
    print(f"{'network':20}{'windows':>9}{'one by one, s':>15}{'shared, s':>11}{'times faster':>14}")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for model in arguments.model or [random_bundle(name, Path(folder)) for name in NETWORKS]:
            bundle = load_bundle(model, threads=arguments.threads)
            patch = patch_size(bundle)
            starts = range(0, side - patch + 1, bundle.card.stride)
            number = len(starts) ** 2
            rng = np.random.default_rng(1)
            timed = [(int(row), int(column)) for row, column in rng.choice(list(starts), (arguments.windows, 2))]
            window_logits(bundle, phase, timed[:BATCH])
            scan(scene[:256, :256], bundle)
            one_by_one, shared = [], []
            for _ in range(arguments.repeats):
                started = time.perf_counter()
                window_logits(bundle, phase, timed)
                one_by_one.append((time.perf_counter() - started) * number / len(timed))
                started = time.perf_counter()
                scan(scene, bundle)
                shared.append(time.perf_counter() - started)
            slow, fast = statistics.median(one_by_one), statistics.median(shared)
            verdict = f"({'>=' if slow / fast >= WANTED_RATIO else 'below'} {WANTED_RATIO})"
            print(f"{bundle.card.name:20}{number:>9}{slow:>15.1f}{fast:>11.2f}{slow / fast:>14.1f}  {verdict}")
            found[bundle.card.name] = {"windows": number, "one_by_one_s": slow, "shared_s": fast, "ratio": slow / fast}
    return found


def random_bundle(name: str, folder: Path) -> Path:
    """Export a network of the study with weights as drawn."""
    from fringewatch.encoding import Encoding
    from fringewatch.networks.registry import NetworkConfig, build
    from fringewatch.training.export import export_classifier

    settings = NetworkConfig(name=name)
    return export_classifier(
        build(settings).eval(), folder / name, network=settings, name=name, encoding=Encoding(kind="grey")
    )


def window_logits(bundle: Bundle, phase: NDArray[np.float32], starts: list[tuple[int, int]]) -> NDArray[np.float32]:
    """Return the logit of each window cut out at (row, column) and run by itself."""
    patch = patch_size(bundle)
    centre = patch // (2 * bundle.card.stride)
    logits = []
    for first in range(0, len(starts), BATCH):
        batch = [phase[row : row + patch, column : column + patch] for row, column in starts[first : first + BATCH]]
        logits.append(bundle.logits(bundle.card.encoding(np.stack(batch)))[0][:, 0, centre, centre])
    return np.concatenate(logits)


class Windows(NamedTuple):
    """Labelled windows of one scene."""

    starts: list[tuple[int, int]]
    labels: list[bool]


def compare_accuracy(arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Score the same windows both ways."""
    side = arguments.side or 448
    like = SimulateConfig.from_yaml(arguments.like) if arguments.like else SimulateConfig(preset=arguments.preset)
    spec = preset(like.preset, **(like.spec | {"height_px": side, "width_px": side}))
    bundles = [load_bundle(model, threads=arguments.threads) for model in arguments.model]
    cut: list[list[NDArray[np.float32]]] = [[] for _ in bundles]
    shared: list[list[NDArray[np.float32]]] = [[] for _ in bundles]
    labels: list[list[bool]] = [[] for _ in bundles]
    scenes: list[list[int]] = [[] for _ in bundles]
    for index in range(arguments.scenes):
        sample = simulate(spec, seed=arguments.seed, index=index)
        for number, bundle in enumerate(bundles):
            windows = choose_windows(
                sample.mask, patch_size(bundle), bundle.card.stride, arguments.per_scene, arguments.seed + index
            )
            if not windows.starts:
                continue
            cut[number].append(window_logits(bundle, sample.phase, windows.starts))
            map_logits = scan(xr.DataArray(sample.phase, dims=("y", "x")), bundle).logits
            centre = patch_size(bundle) // (2 * bundle.card.stride)
            cells = np.array(windows.starts) // bundle.card.stride + centre
            shared[number].append(map_logits[cells[:, 0], cells[:, 1]])
            labels[number] += windows.labels
            scenes[number] += [index] * len(windows.labels)
    population = arguments.like or arguments.preset
    print(f"\nwindows of {arguments.scenes} simulated scenes ({population}) of {side} x {side} px, threshold 0.5")
    print(f"{'network':20}{'windows':>9}{'deform':>8}{'one by one':>12}{'shared':>9}{'difference, points':>30}")
    found = {}
    for number, bundle in enumerate(bundles):
        truth = np.array(labels[number])
        logits = [np.concatenate(each) for each in (cut[number], shared[number])]
        calibrations = bundle.card.of_patches().calibration, bundle.card.calibration
        right = [(fit(each) >= 0.5) == truth for fit, each in zip(calibrations, logits, strict=True)]
        difference = 100 * (right[1].astype(float) - right[0])
        low, high = interval(difference, np.array(scenes[number]))
        accuracy = [float(each.mean()) for each in right]
        mean = float(difference.mean())
        verdict = f"({'within' if mean >= -WANTED_POINTS else 'over'} {WANTED_POINTS})"
        print(
            f"{bundle.card.name:20}{truth.size:>9}{truth.mean():>8.0%}{accuracy[0]:>12.2%}{accuracy[1]:>9.2%}"
            f"{f'{mean:+.2f} ({low:+.2f} to {high:+.2f})':>30}  {verdict}"
        )
        # Ranks know no threshold: where they agree and accuracy does not, the logits are shifted and not worse.
        ranked = [auroc(truth, each) for each in logits]
        shift = float(np.median(logits[1] - logits[0]))
        print(f"{'':20}{'AUROC':>17}{ranked[0]:>12.4f}{ranked[1]:>9.4f}   median shift of the logit {shift:+.2f}")
        # What a calibration for each way is worth.
        alike = 100 * float(((calibrations[0](logits[1]) >= 0.5) == truth).mean() - accuracy[0])
        print(f"{'':58}{alike:+.2f} points with the calibration of single patches for both")
        found[bundle.card.name] = {
            "windows": truth.size,
            "deforming": float(truth.mean()),
            "one_by_one_accuracy": accuracy[0],
            "shared_accuracy": accuracy[1],
            "difference_points": mean,
            "difference_points_of_one_calibration": alike,
            "difference_low": low,
            "difference_high": high,
            "one_by_one_auroc": ranked[0],
            "shared_auroc": ranked[1],
            "logit_shift": shift,
        }
    return found


def choose_windows(mask: NDArray[np.bool_], patch: int, stride: int, number: int, seed: int) -> Windows:
    """Choose whole windows on the stride's grid whose truth is clear, as many deforming as not where there are."""
    rng = np.random.default_rng(seed)
    groups: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
    for row in range(0, mask.shape[0] - patch + 1, stride):
        for column in range(0, mask.shape[1] - patch + 1, stride):
            share = mask[row : row + patch, column : column + patch].mean()
            if share == 0 or share >= VISIBLE_SHARE:
                groups[bool(share)].append((row, column))
    starts, labels = [], []
    for label, group in groups.items():
        chosen = rng.permutation(len(group))[: number // 2]
        starts += [group[index] for index in chosen]
        labels += [label] * len(chosen)
    return Windows(starts, labels)


def interval(difference: NDArray[np.float64], scene: NDArray[np.int_], resamples: int = 2000) -> tuple[float, float]:
    """Return the 95 % interval of a mean over windows by resampling whole scenes."""
    _, code = np.unique(scene, return_inverse=True)
    totals, counts = np.bincount(code, difference), np.bincount(code)
    drawn = np.random.default_rng(0).integers(0, counts.size, (resamples, counts.size))
    means = totals[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
