"""How fast is detection? Two measurements, each against a rival in the same run on the same cores.

1. Seconds per megapixel of a model bundle on one large scene, against AlexNet run window by window at stride 56, both
   through ONNX Runtime with the same number of threads. Runs alternate, so that a busy machine slows both alike.
2. The whole `fringewatch detect` command on many files, against merely reading the same files with rasterio.

    python benchmarks/scan.py                      # both, default bundle
    python benchmarks/scan.py network --model path/to/bundle --threads 2
    python benchmarks/scan.py command --files 200

AlexNet (Krizhevsky et al. 2012) is built here without groups (62,378,344 parameters), with random weights, which cost
what trained ones cost. What favours it: no local response normalisation, no merging of windows into a map, the best of
three batch sizes, and no windows for the strip that the stride leaves over at the far edges.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort
import xarray as xr
from scipy.ndimage import gaussian_filter

from fringewatch.conventions import wrap
from fringewatch.encoding import Encoding
from fringewatch.models import load_bundle
from fringewatch.models.bundle import DEFAULT_BUNDLE
from fringewatch.scan import scan
from machine import load, processor

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

WINDOW_PX, STRIDE_PX = 227, 56
ALEXNET_PARAMETERS = 62_378_344
BATCHES = (1, 8, 16)
WANTED_RATIO = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("part", nargs="?", choices=["network", "command", "both"], default="both")
    parser.add_argument("--model", default=DEFAULT_BUNDLE, help="name or folder of a model bundle")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="threads of ONNX Runtime, for both networks"
    )
    parser.add_argument("--repeats", type=int, default=3, help="alternating runs; medians are reported")
    parser.add_argument("--windows", type=int, default=33, help="AlexNet windows per side; sets the size of the scene")
    parser.add_argument("--files", type=int, default=200, help="number of 500 x 500 interferograms for the command")
    parser.add_argument("--out", type=Path, help="write the results to this JSON file too")
    arguments = parser.parse_args()
    versions = f"ONNX Runtime {ort.__version__}, Python {platform.python_version()}"
    print(f"{processor()}, {arguments.threads} threads, {versions}")
    busy = load("times are too long, and ratios uncertain")
    results: dict[str, object] = {"processor": processor(), "threads": arguments.threads, "load": busy}
    if arguments.part in {"network", "both"}:
        results["network"] = compare_networks(arguments.model, arguments.threads, arguments.repeats, arguments.windows)
    if arguments.part in {"command", "both"}:
        results["command"] = compare_command(arguments.model, arguments.files, arguments.repeats)
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def compare_networks(model: str, threads: int, repeats: int, windows: int) -> dict[str, float]:
    """Time a bundle and AlexNet on one scene that just fits `windows` x `windows` AlexNet windows."""
    side = WINDOW_PX + STRIDE_PX * (windows - 1)
    megapixels = side**2 / 1e6
    phase = synthetic_phase(side, np.random.default_rng(0))
    scene = xr.DataArray(phase, dims=("y", "x"))
    alexnet = _session(alexnet_model(), threads)
    batch = min(
        BATCHES, key=lambda size: _seconds(lambda: run_windows(alexnet, phase[: WINDOW_PX + STRIDE_PX * 3], size))
    )
    rivals: dict[str, Callable[[], object]] = {"AlexNet": lambda: run_windows(alexnet, phase, batch)}
    for precision in load_bundle(model, precision="float32").card.files:
        bundle = load_bundle(model, precision=precision, threads=threads)
        scan(scene[:256, :256], bundle)  # loads the network
        rivals[precision] = lambda bundle=bundle: scan(scene, bundle)
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(repeats):
        for name, work in rivals.items():
            # A short run meets the machine's moods more than a long one: several of them per round.
            times[name] += [_seconds(work) for _ in range(1 if name == "AlexNet" else 5)]
    medians = {name: statistics.median(values) / megapixels for name, values in times.items()}
    print(f"\nscene {side} x {side} px = {megapixels:.2f} Mpx; AlexNet: {windows**2} windows, batches of {batch}")
    print(f"{'':24}{'s / Mpx':>10}{'times faster':>14}")
    for name, value in medians.items():
        title = "AlexNet, window by window" if name == "AlexNet" else f"{model}, {name}"
        ratio = medians["AlexNet"] / value
        verdict = "" if name == "AlexNet" else f"  ({'>=' if ratio >= WANTED_RATIO else 'below'} {WANTED_RATIO})"
        print(f"{Path(title).name:26}{value:>8.3f}{ratio:>14.1f}{verdict}")
    return {f"{name}_s_per_mpx": value for name, value in medians.items()}


def compare_command(model: str, files: int, repeats: int) -> dict[str, float]:
    """Time `fringewatch detect` on many files, and reading them; the first reading only warms the disk cache."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        for seed in range(files):
            write_licsar_pair(data, seed)
        reader = [sys.executable, "-c", _READ_ALL, str(data)]
        _run(reader)
        times: dict[str, list[float]] = {"loop": [], "read": [], "detect": []}
        for repeat in range(repeats):
            started = time.perf_counter()
            times["loop"].append(float(_run(reader)))
            times["read"].append(time.perf_counter() - started)
            out = Path(folder) / f"out{repeat}"
            command = [_script(), "detect", str(data), "--out", str(out), "--model", model]
            times["detect"].append(_seconds(lambda command=command: _run(command)))
        medians = {name: statistics.median(values) for name, values in times.items()}
        megabytes = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6
        stages = stage_shares(model, sorted(data.rglob("*.tif"))[:40], Path(folder))
    print(f"\n{files} interferograms of 500 x 500 px")
    print(f"reading with rasterio          {medians['loop']:8.2f} s   ({medians['read']:.2f} s with start of Python)")
    print(f"fringewatch detect             {medians['detect']:8.2f} s   ({medians['detect'] / files:.3f} s per file)")
    ratio = medians["detect"] / medians["loop"]
    print(f"ratio                          {ratio:8.1f}     (results: {megabytes:.1f} MB)")
    print("stages of one file, one after the other: " + ", ".join(_share(name, stages) for name in stages))
    return medians | {f"stage_{name}": seconds for name, seconds in stages.items()}


def stage_shares(model: str, paths: list[Path], folder: Path) -> dict[str, float]:
    """Time the stages of `detect` one after the other, in one process: seconds per file."""
    from fringewatch import Detector, open_interferogram
    from fringewatch.detect.outputs import write_detections, write_picture, write_probability

    detector = Detector(model)
    detector.score(open_interferogram(paths[0]))  # loads the network
    times = dict.fromkeys(("read", "network", "regions", "probability", "detections", "picture"), 0.0)
    for path in paths:
        marks = [time.perf_counter()]
        interferogram = open_interferogram(path)
        marks.append(time.perf_counter())
        examination = detector.examine(interferogram)
        marks.append(time.perf_counter())
        regions = examination.regions
        marks.append(time.perf_counter())
        write_probability(folder / "scene.probability.tif", examination)
        marks.append(time.perf_counter())
        write_detections(folder / "scene.detections.geojson", regions)
        marks.append(time.perf_counter())
        write_picture(folder / "scene.png", examination)
        marks.append(time.perf_counter())
        for name, spent in zip(times, np.diff(marks), strict=True):
            times[name] += float(spent) / len(paths)
    return times


def _share(name: str, stages: dict[str, float]) -> str:
    return f"{name} {stages[name] * 1e3:.0f} ms ({stages[name] / sum(stages.values()):.0%})"


def alexnet_model() -> bytes:
    """Return AlexNet for 227 x 227 x 3 pixels and 1,000 classes, without groups, as serialised ONNX."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    nodes, weights = [], []
    current = "images"

    def add(kind: str, shape: tuple[int, ...], **attributes: object) -> None:
        nonlocal current
        name = f"layer{len(weights)}"
        # Scaled to keep activations of order one: denormals would slow the processor down.
        scale = np.float32(np.sqrt(2 / np.prod(shape[1:])))
        kernel = rng.standard_normal(shape, np.float32) * scale
        weights.append(numpy_helper.from_array(kernel, f"{name}_w"))
        weights.append(numpy_helper.from_array(np.zeros(shape[0], np.float32), f"{name}_b"))
        nodes.append(helper.make_node(kind, [current, f"{name}_w", f"{name}_b"], [name], **attributes))
        current = name

    def follow(kind: str, **attributes: object) -> None:
        nonlocal current
        name = f"{current}_{kind.lower()}"
        nodes.append(helper.make_node(kind, [current], [name], **attributes))
        current = name

    pool = {"kernel_shape": [3, 3], "strides": [2, 2]}
    add("Conv", (96, 3, 11, 11), strides=[4, 4])
    follow("Relu")
    follow("MaxPool", **pool)
    add("Conv", (256, 96, 5, 5), pads=[2] * 4)
    follow("Relu")
    follow("MaxPool", **pool)
    for filters, channels in ((384, 256), (384, 384), (256, 384)):
        add("Conv", (filters, channels, 3, 3), pads=[1] * 4)
        follow("Relu")
    follow("MaxPool", **pool)
    follow("Flatten")
    for units, inputs in ((4096, 9216), (4096, 4096), (1000, 4096)):
        add("Gemm", (units, inputs), transB=1)
        if units == 4096:
            follow("Relu")
    count = sum(int(np.prod(weight.dims)) for weight in weights)
    if count != ALEXNET_PARAMETERS:
        message = f"AlexNet came out with {count} parameters, expected {ALEXNET_PARAMETERS}"
        raise RuntimeError(message)
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, WINDOW_PX, WINDOW_PX])
    scores = helper.make_tensor_value_info(current, TensorProto.FLOAT, ["n", 1000])
    graph = helper.make_graph(nodes, "alexnet", [images], [scores], weights)
    model: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    ).SerializeToString()
    return model


def run_windows(session: ort.InferenceSession, phase: NDArray[np.float32], batch: int) -> NDArray[np.float32]:
    """Classify every window of a scene at stride 56, `batch` windows at a time, as the published detector does."""
    encoded = Encoding(kind="zero-centred")(phase)
    views = np.lib.stride_tricks.sliding_window_view(encoded, (WINDOW_PX, WINDOW_PX), axis=(1, 2))
    views = views[:, ::STRIDE_PX, ::STRIDE_PX].transpose(1, 2, 0, 3, 4)
    places = [divmod(index, views.shape[1]) for index in range(views.shape[0] * views.shape[1])]
    scores = [
        session.run(None, {"images": np.stack([views[place] for place in places[start : start + batch]])})[0]
        for start in range(0, len(places), batch)
    ]
    return np.concatenate(scores)


def synthetic_phase(side: int, rng: np.random.Generator, *, deforming: bool = True) -> NDArray[np.float32]:
    """Return (side, side) wrapped phase: smooth atmosphere, noise, and where asked one bull's-eye of six fringes."""
    # Drawn at an eighth of the resolution: wide filters on large scenes take long.
    coarse = gaussian_filter(rng.standard_normal((side // 8 + 2, side // 8 + 2)), 8)
    atmosphere = (coarse / coarse.std()).repeat(8, axis=0).repeat(8, axis=1)[:side, :side]
    phase = gaussian_filter(2 * atmosphere, 4) + rng.normal(0, 0.3, (side, side))
    if deforming:
        y, x = np.ogrid[:side, :side]
        row, col = rng.uniform(0.3, 0.7, 2) * side
        phase -= 12 * np.pi * np.exp(-((y - row) ** 2 + (x - col) ** 2) / (2 * 40**2))
    return wrap(phase.astype(np.float32))


def write_licsar_pair(folder: Path, seed: int) -> None:
    """Write one interferogram named and formed as LiCSAR does; every tenth shows deformation."""
    import rasterio
    from rasterio.transform import from_origin

    first = np.datetime64("2018-01-01") + 12 * seed
    pair = "_".join(str(day).replace("-", "") for day in (first, first + 12))
    path = folder / "128D_09016_110500" / "interferograms" / pair / f"{pair}.geo.diff_pha.tif"
    path.parent.mkdir(parents=True)
    phase = synthetic_phase(500, np.random.default_rng(seed), deforming=seed % 10 == 0)
    phase[:, :20] = 0  # LiCSAR's no data
    profile = {"driver": "GTiff", "height": 500, "width": 500, "count": 1, "dtype": "float32", "compress": "deflate"}
    with rasterio.open(path, "w", crs="EPSG:4326", transform=from_origin(-70, -20, 0.001, 0.001), **profile) as file:
        file.write(phase, 1)


_READ_ALL = """
import pathlib, sys, time
import rasterio
paths = sorted(pathlib.Path(sys.argv[1]).rglob("*.tif"))
started = time.perf_counter()
for path in paths:
    with rasterio.open(path) as file:
        file.read(1)
print(time.perf_counter() - started)
"""


def _session(model: bytes, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _run(command: list[str]) -> str:
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        message = f"{' '.join(command[:3])} ... failed:\n{finished.stdout[-2000:]}{finished.stderr[-2000:]}"
        raise SystemExit(message)
    return finished.stdout


def _script() -> str:
    """Return the `fringewatch` command of the environment that runs this file."""
    return str(Path(sys.executable).with_name("fringewatch"))


if __name__ == "__main__":
    main()
