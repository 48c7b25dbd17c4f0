"""Draw the pictures of the documentation from the example scenes.

docs/images/examples.png: what the default model says of them, and the truth. docs/images/prepare.png: the edges and
windows that `fringewatch prepare` finds. docs/images/crops.png: the crops of `fringewatch prepare --crops` and the maps
that they come from. docs/images/simulate.png: what `fringewatch simulate --preview` draws.

python docs/make_images.py
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import fringewatch as fw
from fringewatch.prepare import PrepareConfig, run
from fringewatch.simulate.run import SimulateConfig
from fringewatch.simulate.run import run as simulate

ROOT = Path(__file__).parents[1]
ORDER = ("volcano", "mine", "earthquake", "quiet", "steep_cone")


def draw_examples(target: Path) -> None:
    """Draw detections."""
    detector = fw.Detector()
    figure = Figure(figsize=(15, 6.4), dpi=80, layout="constrained")
    axes = figure.subplots(2, len(ORDER))
    for column, name in enumerate(ORDER):
        path = next((ROOT / "examples" / "scenes" / name).glob("*/*/*.geo.diff_pha.tif"))
        scene = fw.open_interferogram(path)
        with np.load(path.parent.parent / "truth.npz") as stored:
            truth = stored["mask"]
        found, score = detector.detect(scene), detector.score(scene)
        extent = (0, truth.shape[1], truth.shape[0], 0)
        upper, lower = axes[:, column]
        upper.imshow(scene["phase"], cmap="twilight", vmin=-np.pi, vmax=np.pi, extent=extent, interpolation="nearest")
        lower.imshow(detector.annotate(scene), cmap="inferno", vmin=0, vmax=1, extent=extent)
        inverse = ~scene.rio.transform()
        for polygon in found.geometry:
            for part in getattr(polygon, "geoms", [polygon]):
                cols, rows = inverse * np.array(part.exterior.coords.xy)
                upper.plot(cols, rows, color="#e8102a", linewidth=2.0)
        if truth.any():
            lower.contour(
                np.arange(truth.shape[1]) + 0.5, np.arange(truth.shape[0]) + 0.5, truth, [0.5], colors="#3ad0ff"
            )
        upper.set_title(f"{name.replace('_', ' ')}: score {score:.2f}", fontsize=15)
        for axis in (upper, lower):
            axis.set(xticks=[], yticks=[], xlim=extent[:2], ylim=extent[2:])
    axes[0, 0].set_ylabel("phase, detections in red", fontsize=12)
    axes[1, 0].set_ylabel("probability, truth in blue", fontsize=12)
    figure.savefig(target)


def draw_windows(target: Path) -> None:
    """Draw edges and windows."""
    scene = ROOT / "examples" / "scenes" / "earthquake"
    with tempfile.TemporaryDirectory() as folder:
        run(PrepareConfig(inputs=(str(scene),), out=Path(folder), size_px=128, pictures=1))
        shutil.copy(next(Path(folder, "pictures").iterdir()), target)


def draw_crops(target: Path) -> None:
    """Draw crops of a simulated mine."""
    with tempfile.TemporaryDirectory() as folder:
        scenes, out = Path(folder, "scenes"), Path(folder, "out")
        simulate(SimulateConfig(out=scenes, preset="mining", form="licsar", count=6, seed=66, balanced=True, workers=1))
        run(PrepareConfig(inputs=(str(scenes),), out=out, crops=True))
        most = max(
            (out / "pictures").iterdir(), key=lambda path: (len(list(out.glob(f"deformation/{path.stem}*"))), path)
        )
        with Image.open(most) as image:
            image.convert("RGB").quantize(200).save(target, optimize=True)


def draw_samples(target: Path) -> None:
    """Draw simulated scenes."""
    with tempfile.TemporaryDirectory() as folder:
        simulate(SimulateConfig(out=Path(folder), count=16, seed=2, balanced=True, preview=True))
        with Image.open(Path(folder, "preview.png")) as image:
            # Noise compresses badly; 200 colours are a third of the size and look the same.
            image.convert("RGB").quantize(200).save(target, optimize=True)


def main() -> None:
    """Draw all."""
    folder = Path(__file__).parent / "images"
    folder.mkdir(exist_ok=True)
    draw_examples(folder / "examples.png")
    draw_windows(folder / "prepare.png")
    draw_crops(folder / "crops.png")
    draw_samples(folder / "simulate.png")


if __name__ == "__main__":
    main()
