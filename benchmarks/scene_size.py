"""How does a scene's size change what is flagged? A larger scene has more places in which quiet can look like fringes.

    python benchmarks/scene_size.py                                # scenes of 224, 500 and 1000 pixels a side
    python benchmarks/scene_size.py --model fringenet-s --sides 224 700 --scenes 300

A card's threshold is set on scenes of 224 x 224 pixels. Scenes are those of preset `mixed`, with a seed of its own; of
a larger size there are fewer, so that as many pixels are looked at, but at least 300 if --scenes allows.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from rich.progress import track

from fringewatch.conventions import SENTINEL1_WAVELENGTH_M
from fringewatch.detect import Detector
from fringewatch.interferogram import make_interferogram
from fringewatch.metrics import auroc, wilson_interval
from fringewatch.simulate import SceneSpec, preset, simulate

SEED = 7011
LEAST_SCENES = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="", help="name or folder of a bundle; the shipped one if not given")
    parser.add_argument("--sides", type=int, nargs="+", default=[224, 500, 1000], help="pixels")
    parser.add_argument("--scenes", type=int, default=2000, help="of the smallest size; fewer of larger ones")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file too")
    arguments = parser.parse_args()
    detector = Detector(arguments.model) if arguments.model else Detector()
    print(f"{detector}\n{'side (px)':>9}  {'quiet':>6}  {'flagged':22}{'deforming':>9}  {'flagged':22}AUROC")
    figures = {}
    for side in sorted(arguments.sides):
        count = round(arguments.scenes * (min(arguments.sides) / side) ** 2)
        figures[str(side)] = measure(detector, side, max(count, min(LEAST_SCENES, arguments.scenes)))
    if arguments.out:
        arguments.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def measure(detector: Detector, side: int, count: int) -> dict[str, float]:
    """Detect in simulated scenes of one size, and print the share that is flagged of both kinds."""
    spec = SceneSpec.build(preset("mixed").model_dump() | {"height_px": side, "width_px": side})
    scores, deforms = np.zeros(count), np.zeros(count, bool)
    for index in track(range(count), f"{side} px", transient=True, disable=not sys.stdout.isatty()):
        sample = simulate(spec, seed=SEED, index=index)
        interferogram = make_interferogram(sample.phase, wavelength_m=SENTINEL1_WAVELENGTH_M)
        scores[index], deforms[index] = detector.examine(interferogram).score, sample.is_deformation
    flagged = scores >= detector.threshold
    texts, shares = [], []
    for group in (flagged[~deforms], flagged[deforms]):
        low, high = wilson_interval(int(group.sum()), group.size)
        shares.append(float(group.mean()))
        texts.append(f"{group.mean():.3f} ({low:.3f}-{high:.3f})")
    area = auroc(deforms, scores)
    quiet = int((~deforms).sum())
    print(f"{side:9d}  {quiet:6d}  {texts[0]:22}{count - quiet:9d}  {texts[1]:22}{area:.3f}")
    return {"quiet": quiet, "false_alarm_rate": shares[0], "recall": shares[1], "auroc": float(area)}


if __name__ == "__main__":
    main()
