"""How much memory does a large scene take? `fringewatch detect` on one GeoTIFF of 30,000 x 30,000 pixels.

    python benchmarks/large_scene.py                       # 3.6 GB of phase; some minutes
    python benchmarks/large_scene.py --size 8000

The file (float32, tiles of 512, DEFLATE) is made strip by strip: atmosphere, noise, a gap, and three fringe patterns,
one of them on the border between tiles. Every process of the run is measured, by the system's own account of its peak
(`ru_maxrss`), and the map is read back.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window
from scipy.ndimage import gaussian_filter

from fringewatch.conventions import wrap
from machine import load, processor

if TYPE_CHECKING:
    from numpy.typing import NDArray

WANTED_GIB = 3.0
STRIP_PX = 512
RADIUS_PX, FRINGES = 220, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=30_000, help="rows and columns")
    parser.add_argument("--folder", type=Path, help="where the file is made and kept; a temporary folder if not given")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file too")
    arguments = parser.parse_args()
    print(processor())
    load("seconds are too many; memory does not mind")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        scene = folder / f"scene-{arguments.size}.tif"
        if not scene.exists():
            write_scene(scene, arguments.size)
        figures = measure(scene, folder / "results")
    if arguments.out:
        arguments.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def places(size: int) -> list[tuple[int, int]]:
    """Return rows and columns of the patterns."""
    return [(size // 5, size // 4), (size // 2, size // 2), (size * 4 // 5, size - RADIUS_PX * 2)]


def write_scene(path: Path, size: int) -> None:
    """Write (size, size) wrapped phase at 20 m in UTM; a band of 2 % of the columns has no data."""
    rng = np.random.default_rng(0)
    # A hundredth of the resolution is enough for the long waves of an atmosphere.
    coarse = gaussian_filter(rng.standard_normal((size // 100 + 2, size // 100 + 2)), 6)
    coarse *= 2.0 / coarse.std()
    profile = {
        "driver": "GTiff",
        "width": size,
        "height": size,
        "count": 1,
        "dtype": "float32",
        "nodata": np.nan,
        "crs": "EPSG:32633",
        "transform": from_origin(500_000, 5_000_000, 20, 20),
        "compress": "deflate",
        "zlevel": 1,
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "bigtiff": "if_safer",
    }
    columns = np.arange(size)
    with rasterio.open(path, "w", **profile) as target:
        for top in range(0, size, STRIP_PX):
            rows = np.arange(top, min(top + STRIP_PX, size))
            phase = strip(coarse, rows, columns) + 0.3 * rng.standard_normal((len(rows), size), np.float32)
            for row, column in places(size):
                near = slice(max(column - 2 * RADIUS_PX, 0), column + 2 * RADIUS_PX)
                distance = np.hypot(
                    *np.ogrid[top - row : rows[-1] + 1 - row, near.start - column : columns[near][-1] + 1 - column]
                )
                phase[:, near] += 2 * np.pi * FRINGES * np.clip(1 - distance / RADIUS_PX, 0, None)
            phase = wrap(phase).astype(np.float32)
            phase[:, : size // 50] = np.nan
            target.write(phase, 1, window=Window(0, top, size, len(rows)))


def strip(coarse: NDArray[np.float64], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the atmosphere of some rows, bilinear between the coarse points."""
    first = rows[0] // 100
    band = coarse[first : rows[-1] // 100 + 2]
    across = np.apply_along_axis(lambda line: np.interp(columns / 100, np.arange(len(line)), line), 1, band)
    weight = (rows / 100 - first)[:, None]
    low = np.minimum(weight.astype(int)[:, 0], len(across) - 2)
    weight = weight - low[:, None]
    return (across[low] * (1 - weight) + across[low + 1] * weight).astype(np.float32)


def measure(scene: Path, out: Path) -> dict[str, float]:
    """Detect in the scene and print what it took."""
    script = str(Path(sys.executable).with_name("fringewatch"))
    started = time.perf_counter()
    done = subprocess.run(
        [script, "detect", str(scene), "--out", str(out), "--overwrite"], capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    with rasterio.open(out / f"{scene.stem}.probability.tif") as file:
        size = file.width
        values = [
            float(file.read(1, window=Window(column, row, 1, 1))[0, 0])
            for row, column in [*places(size), (10, size // 2)]
        ]
        layout = file.tags(ns="IMAGE_STRUCTURE").get("LAYOUT", "")
        overviews = file.overviews(1)
    print(
        f"\n{size} x {size} pixels, {scene.stat().st_size / 1e9:.2f} GB: {seconds:.0f} s, {peak:.2f} GiB at most "
        f"(wanted: below {WANTED_GIB:g})"
    )
    print(
        f"probability on the patterns: {', '.join(f'{value:.2f}' for value in values[:-1])}; elsewhere {values[-1]:.2f}"
    )
    print(
        f"map: {layout}, overviews {overviews}, {(out / f'{scene.stem}.probability.tif').stat().st_size / 1e6:.0f} MB"
    )
    print(done.stdout)
    return {"size_px": size, "seconds": seconds, "peak_gib": peak}


if __name__ == "__main__":
    main()
