"""How long does an archive take? `fringewatch detect` over many LiCSAR clips, against merely reading the same files.

    python benchmarks/archive.py run                       # 30,000 pairs of 500 x 500 pixels, two processes
    python benchmarks/archive.py run --scenes 2000         # shorter
    python benchmarks/archive.py scaling --scenes 1000     # one and two processes, and a paper run with up to 100
    python benchmarks/archive.py stages                    # processor time of each stage of a scene

The scenes are simulated (`fringewatch simulate --form licsar`, nine in ten without deformation): float32 phase and
uint8 coherence, DEFLATE, one folder per pair, look vectors and heights once per frame. Distinct scenes are repeated as
hard links under other dates, as many as asked for; reading and detecting work on the same files in the same run, each
with as many processes. The files lie in the disk cache where they fit; figures from a slow disk are nearer to one.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import logging
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from machine import load, processor

if TYPE_CHECKING:
    from collections.abc import Callable

PUBLISHED_RUN = 592_224
"""Interferograms of the largest run that was published."""
WANTED_RATIO, WANTED_PER_SECOND, WANTED_GIB, WANTED_EFFICIENCY = 1.6, 100.0, 1.5, 0.85
SIZE_PX = 500
QUIET = {"quiet": 0.9, "volcano": 0.06, "earthquake": 0.02, "mining": 0.02}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("part", nargs="?", choices=["run", "scaling", "stages"], default="run")
    parser.add_argument("--scenes", type=int, default=30_000, help="pairs of the archive")
    parser.add_argument("--distinct", type=int, default=300, help="different ones among them")
    parser.add_argument("--workers", type=int, default=2, help="processes, for reading and detecting alike")
    parser.add_argument(
        "--folder", type=Path, help="where the archive is made and kept; a temporary folder if not given"
    )
    parser.add_argument("--model", default="", help="name or folder of a bundle; the shipped one if not given")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file too")
    arguments = parser.parse_args()
    print(f"{processor()}, Python {sys.version.split()[0]}")
    load("seconds are too many; ratios of one run still mean something")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        archive = make_archive(folder / "archive", arguments.scenes, arguments.distinct)
        figures: dict[str, object] = {"processor": processor(), "scenes": arguments.scenes}
        if arguments.part == "run":
            figures |= compare(archive, folder, arguments.scenes, arguments.workers, arguments.model)
        elif arguments.part == "scaling":
            figures |= scale(archive, folder, arguments.scenes, arguments.model)
        else:
            figures |= stages(archive, arguments.model)
    if arguments.out:
        arguments.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def make_archive(folder: Path, scenes: int, distinct: int) -> Path:
    """Make an archive of `scenes` pairs; hard links repeat the `distinct` ones under other dates."""
    from fringewatch.simulate.run import SimulateConfig
    from fringewatch.simulate.run import run as simulate

    source = folder.with_name("distinct")
    distinct = min(distinct, scenes)
    spec = {"kinds": QUIET}
    simulate(SimulateConfig(out=source, form="licsar", count=distinct, size_px=SIZE_PX, spec=spec, workers=2))
    phases = sorted(source.rglob("*.geo.diff_pha.tif"))
    for index in range(scenes):
        number, original = index // len(phases), phases[index % len(phases)]
        frame = folder / original.parents[1].name
        first = dt.date(2015, 1, 1) + dt.timedelta(days=12 * number)
        pair = f"{first:%Y%m%d}_{first + dt.timedelta(days=12):%Y%m%d}"
        place = frame / "interferograms" / pair
        if place.exists():
            continue
        place.mkdir(parents=True)
        for kind in ("diff_pha", "cc"):
            link(original.with_name(f"{original.parent.name}.geo.{kind}.tif"), place / f"{pair}.geo.{kind}.tif")
        if not (frame / "metadata").exists():
            (frame / "metadata").mkdir()
            for file in (original.parents[1] / "metadata").iterdir():
                link(file, frame / "metadata" / file.name)
    there = sum(1 for _ in folder.glob("*/interferograms/*"))
    if there != scenes:
        message = f"{folder}: holds {there:,} pairs and not {scenes:,}; give --scenes {there}, or another --folder"
        raise SystemExit(message)
    return folder


def link(source: Path, target: Path) -> None:
    # A folder may hold a limited number of links to one file (65,000 on ext4): far more than are needed.
    os.link(source, target)


class Run(NamedTuple):
    """One command: its seconds, processor seconds, and memory of all its processes over time (s, GiB)."""

    seconds: float
    processor_s: float
    memory: list[tuple[float, float]]
    text: str


def compare(archive: Path, folder: Path, scenes: int, workers: int, model: str) -> dict[str, float]:
    """Time detecting and reading in turns, and print the comparison."""
    runs: dict[str, list[Run]] = {"read": [], "detect": []}
    timed(reader(archive, workers, kinds="diff_pha"))  # warms the disk cache
    for repeat in range(2):
        runs["read"].append(timed(reader(archive, workers, kinds="diff_pha,cc")))
        if repeat == 0:
            phase = timed(reader(archive, workers, kinds="diff_pha"))
            out = folder / "results"
            runs["detect"].append(timed(detector(archive, out, workers, model)))
    read, detect = statistics.mean(run.seconds for run in runs["read"]), runs["detect"][0]
    read_cpu = statistics.mean(run.processor_s for run in runs["read"])
    peak = max(gib for _, gib in detect.memory)
    slope = slope_mib_per_1000(detect.memory, scenes)
    per_second = scenes / detect.seconds
    figures = {
        "read_s": read,
        "read_phase_alone_s": phase.seconds,
        "detect_s": detect.seconds,
        "ratio": detect.seconds / read,
        "ratio_processor_time": detect.processor_s / read_cpu,
        "ratio_to_phase_alone": detect.seconds / phase.seconds,
        "scenes_per_s": per_second,
        "scenes_per_processor_s": scenes / detect.processor_s,
        "peak_gib": peak,
        "slope_mib_per_1000_scenes": slope,
        "published_run_hours": PUBLISHED_RUN / per_second / 3600,
    }
    print(f"\n{scenes:,} pairs of {SIZE_PX} x {SIZE_PX} px, {workers} processes")
    print(f"reading phase and coherence   {read:9.1f} s   {read_cpu:9.1f} s of processor time")
    print(f"reading the phase alone       {phase.seconds:9.1f} s   {phase.processor_s:9.1f} s")
    print(f"fringewatch detect            {detect.seconds:9.1f} s   {detect.processor_s:9.1f} s")
    print(
        f"ratio                         {figures['ratio']:9.2f}     {figures['ratio_processor_time']:9.2f}"
        f"     (wanted: at most {WANTED_RATIO})"
    )
    print(
        f"scenes per second             {per_second:9.1f}     {figures['scenes_per_processor_s']:9.1f} per processor"
        f" second   (wanted: at least {WANTED_PER_SECOND:g})"
    )
    print(
        f"memory of all processes       {peak:9.2f} GiB at most, {slope:+.2f} MiB per 1,000 scenes in the second half"
        f"   (wanted: below {WANTED_GIB} GiB, flat)"
    )
    print(f"{PUBLISHED_RUN:,} scenes at that rate: {figures['published_run_hours']:.1f} h")
    print(detect.text.strip().splitlines()[0])
    return figures


def scale(archive: Path, folder: Path, scenes: int, model: str) -> dict[str, float]:
    """Run with one and two processes, and work out larger numbers on paper."""
    # On a core each: a process that has two to itself lets the network use both.
    alone = timed(detector(archive, folder / "one", 1, model), cores=1)
    two = timed(detector(archive, folder / "two", 2, model), cores=2)
    # All of it is done: what is left is starting up and looking.
    start = timed(detector(archive, folder / "two", 2, model), cores=2)
    efficiency = (alone.seconds - start.seconds) / (2 * (two.seconds - start.seconds))
    print(
        f"\n{scenes:,} pairs: {alone.seconds:.1f} s with one process on one core, {two.seconds:.1f} s with two on two, "
        f"{start.seconds:.1f} s to start and find all of it done"
    )
    same_work = (alone.processor_s - start.processor_s) / (two.processor_s - start.processor_s)
    print(
        f"efficiency of two: {efficiency:.2f} (wanted: at least {WANTED_EFFICIENCY}); by processor time, which other "
        f"work on the machine leaves alone, {same_work:.2f}"
    )
    # Processor time of one process is what a task takes on a machine that does nothing else.
    task_s = 32 * (alone.processor_s - start.processor_s) / scenes
    handling_s = measure_handling()
    catalogue_s = measure_catalogue()
    print(
        f"\na task of 32 scenes takes {task_s:.2f} s; Dask takes {handling_s * 1e3:.1f} ms to hand it out and back, "
        f"the catalogue {catalogue_s * 1e3:.1f} ms to enter it"
    )
    print("on paper, one client that enters results while others work:")
    figures = {
        "efficiency_2": efficiency,
        "same_work_2": same_work,
        "task_s": task_s,
        "handling_s": handling_s,
        "catalogue_s": catalogue_s,
    }
    for workers in (1, 2, 4, 8, 16, 32, 64, 100):
        seconds = on_paper(PUBLISHED_RUN // 32, workers, task_s, handling_s, catalogue_s)
        ideal = PUBLISHED_RUN // 32 * task_s / workers
        figures[f"paper_{workers}_efficiency"] = ideal / seconds
        print(
            f"  {workers:4d} workers: {seconds / 3600:7.2f} h for {PUBLISHED_RUN:,} scenes, "
            f"efficiency {ideal / seconds:.2f}"
        )
    return figures


def on_paper(tasks: int, workers: int, task_s: float, handling_s: float, catalogue_s: float) -> float:
    """Return the seconds that tasks take, event by event: workers work, one client hands out and enters results."""
    import heapq

    rng = np.random.default_rng(0)
    # Two tasks per worker are on their way at any time, as in `drive`.
    free = [0.0] * workers
    heapq.heapify(free)
    client = 0.0
    finished: list[float] = []
    for index in range(tasks):
        # A task is handed out once one of the two per worker has come back and was entered.
        if index >= 2 * workers:
            client = max(client, heapq.heappop(finished)) + catalogue_s
        client += handling_s
        start = max(heapq.heappop(free), client)
        end = start + task_s * rng.normal(1, 0.1)
        heapq.heappush(free, end)
        heapq.heappush(finished, end)
    while finished:
        client = max(client, heapq.heappop(finished)) + catalogue_s
    return client


def measure_handling() -> float:
    """Return processor seconds that handing out a task and taking back its result costs Dask's client and scheduler."""
    from distributed import Client, LocalCluster

    # Both live in this process, the workers in others.
    quiet = {"dashboard_address": None, "silence_logs": logging.CRITICAL}
    with LocalCluster(n_workers=2, threads_per_worker=1, **quiet) as cluster, Client(cluster) as client:
        pool = client.get_executor(pure=False)
        list(pool.map(abs, range(50)))
        started = time.process_time()
        for task in [pool.submit(abs, number) for number in range(1000)]:
            task.result()
        return (time.process_time() - started) / 1000


def measure_catalogue() -> float:
    """Return processor seconds that entering a task's 32 scenes takes."""
    import shapely

    from fringewatch.catalog import Catalog, SceneRecord
    from fringewatch.report import SceneRow

    with tempfile.TemporaryDirectory() as folder, Catalog.open(Path(folder) / "c.gpkg") as catalog:
        run = catalog.start_run(settings="s")
        started = time.process_time()
        for task in range(50):
            names = [f"{task}-{index}" for index in range(32)]
            rows = [SceneRow(file=f"/archive/{name}.tif", name=name, status="ok", score=0.1) for name in names]
            box = shapely.box(10, 40, 10.5, 40.5)
            catalog.add(run, [SceneRecord(row=row, state="s", footprint=box, content_hash=row.name) for row in rows])
        return (time.process_time() - started) / 50


def stages(archive: Path, model: str) -> dict[str, float]:
    """Time the stages of a scene one after the other, in processor time of one process, the least of three passes."""
    from fringewatch.detect import DetectConfig
    from fringewatch.detect.detector import Examination
    from fringewatch.detect.worker import SceneWorker, content_hash, load_detector, scene_state
    from fringewatch.interferogram import footprint
    from fringewatch.parallel import keep_freed_memory
    from fringewatch.products import discover, open_interferogram

    # As processes of a run do.
    keep_freed_memory()
    everything = list(discover(archive))
    # A few frames give no fair share of scenes with detections; five pairs of each of forty.
    starts = range(0, len(everything), max(len(everything) // 40, 1))
    references = list(dict.fromkeys(each for start in starts for each in everything[start : start + 5]))[:200]
    config = DetectConfig(model=model) if model else DetectConfig()
    detector = load_detector(config, threads=1)
    worker = SceneWorker(config, archive, detector, keep=(), catalogued=True)
    flagged = sum(outcome.row.flagged for outcome in worker.work(references))
    times: dict[str, float] = {}

    def least(name: str, work: Callable[[], object]) -> None:
        passes = []
        for _ in range(3):
            started = time.process_time()
            work()
            passes.append(time.process_time() - started)
        times[name] = min(passes) / len(references) * 1e3

    def measure(name: str, work: Callable[[Any], object]) -> list[object]:
        results: list[object] = []

        def all_of_them() -> None:
            results[:] = [work(each) for each in references]

        least(name, all_of_them)
        return results

    def read(reference: object) -> None:
        import rasterio

        with rasterio.open(reference.path) as file:  # type: ignore[attr-defined]
            file.read(1)

    measure("rasterio reads the phase", read)
    measure("state of the files", scene_state)
    opened = dict(
        zip(references, measure("opened", lambda each: open_interferogram(each, companions=False)), strict=True)
    )
    encoded = np.empty((3, SIZE_PX, SIZE_PX), np.float32)
    measure("encoded", lambda each: detector.card.encoding(opened[each].variables["phase"].values, out=encoded))
    measure("hash of the content", lambda each: content_hash(opened[each].variables["phase"]))
    inputs = np.zeros((1, 3, 512, 512), np.float32)
    measure("network", lambda _: detector.bundle.logits(inputs))
    examined = dict(
        zip(references, measure("examined (with both)", lambda each: detector.examine(opened[each])), strict=True)
    )

    def asked(reference: object) -> object:
        known = examined[reference]
        fresh = Examination(known.interferogram, known.scan, known.card, known.threshold)
        return fresh.score, fresh.max_probability, fresh.notes

    measure("score, detections and notes", asked)
    measure("outline on the ground", lambda each: footprint(opened[each]))
    least("all of it, by a worker", lambda: worker.work(references))
    whole, known = times["all of it, by a worker"], times["network"] + times["rasterio reads the phase"]
    times["but for network and reading"] = whole - known
    print(f"\nprocessor time per scene; {flagged} of {len(references)} have detections")
    for name, milliseconds in times.items():
        print(f"{name:28}{milliseconds:8.2f} ms")
    return times


def reader(archive: Path, workers: int, *, kinds: str) -> list[str]:
    return [sys.executable, "-c", _READ_ALL, str(archive), str(workers), kinds]


def detector(archive: Path, out: Path, workers: int, model: str) -> list[str]:
    script = str(Path(sys.executable).with_name("fringewatch"))
    return [
        script,
        "detect",
        str(archive),
        "--out",
        str(out),
        "--catalog",
        str(out) + ".gpkg",
        "--workers",
        str(workers),
        *(["--model", model] if model else []),
    ]


def timed(command: list[str], *, cores: int | None = None) -> Run:
    """Run a command, on so many cores only, and return what it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    own = os.sched_getaffinity(0)
    # A child starts on the cores of its parent.
    os.sched_setaffinity(0, sorted(own)[:cores])
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    os.sched_setaffinity(0, own)
    memory: list[tuple[float, float]] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.5):
            memory.append((time.perf_counter() - started, tree_gib(process.pid)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    text, _ = process.communicate()
    seconds = time.perf_counter() - started
    stop.set()
    watcher.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        message = f"{' '.join(command[:3])} ... failed:\n{text[-2000:]}"
        raise SystemExit(message)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(seconds, spent, memory, text)


def tree_gib(pid: int) -> float:
    """Return the memory of a process and its children that they do not share (PSS)."""
    total = 0
    for one in (pid, *children(pid)):
        try:
            for line in Path(f"/proc/{one}/smaps_rollup").read_text(encoding="ascii").splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        except OSError:
            continue
    return total / 2**20


def children(pid: int) -> list[int]:
    try:
        own = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    except OSError:
        return []
    return [*own, *(other for each in own for other in children(each))]


def slope_mib_per_1000(memory: list[tuple[float, float]], scenes: int) -> float:
    """Return how memory grows over the second half of a run, in MiB per 1,000 scenes."""
    later = np.array(memory[len(memory) // 2 : -2] or memory)
    if len(later) < 3:
        return float("nan")
    per_second = np.polyfit(later[:, 0], later[:, 1], 1)[0] * 1024
    return float(per_second * memory[-1][0] / scenes * 1000)


_READ_ALL = """
import os, pathlib, sys
from concurrent.futures import ProcessPoolExecutor
import rasterio

def read(paths):
    for path in paths:
        with rasterio.open(path) as file:
            file.read(1)

if __name__ == "__main__":
    folder, workers, kinds = pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3].split(",")
    paths = [str(path) for kind in kinds for path in sorted(folder.rglob(f"*.geo.{kind}.tif"))]
    chunks = [paths[start:start + 16] for start in range(0, len(paths), 16)]
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(read, chunks))
"""


if __name__ == "__main__":
    main()
