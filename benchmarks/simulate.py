"""How fast is simulation? Four measurements, on whatever machine runs this.

1. Samples per second of one population (preset `mixed`, 224 x 224 pixels), with one process and with several; and per
   processor second, which other work on the machine disturbs less and which sizes the feed of a GPU.
2. What each stage takes, by timers around the functions of the package itself.
3. The same source type against `eq-insar` (Davis point sources, correlated noise, ramp), in turns in the same process.
4. Memory over a long run: its slope.

    python benchmarks/simulate.py                            # all, 100,000 samples for the memory
    python benchmarks/simulate.py speed stages               # some
    python benchmarks/simulate.py memory --memory-samples 5000
    pip install --no-deps eq-insar==0.2.0                    # the rival; left out where it is missing
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

from fringewatch.conventions import los_to_phase, wrap
from fringewatch.physics import atmosphere, coherence, geometry
from fringewatch.simulate import background, preset, sample, simulate, styles
from fringewatch.simulate.deformation import draw_deformation
from machine import load, processor

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.queues import SimpleQueue
    from multiprocessing.sharedctypes import Synchronized
    from multiprocessing.synchronize import Barrier
    from types import ModuleType

WANTED_PER_SECOND = 250
CHUNK = 16
"""Samples that a process takes at a time."""
# Of each stage: the functions that belong to it, as the calling module names them.
STAGES: dict[str, list[tuple[ModuleType, str]]] = {
    "deformation": [(sample, "draw_unless_hidden"), (sample, "gradient_coherence")],
    "terrain": [(background, "_draw_terrain")],
    "atmosphere": [
        (atmosphere, name) for name in ("turbulence", "turbulence_from_spectrum", "stratified_delay", "ionosphere")
    ],
    "coherence": [(coherence, "coherence_field"), (background, "draw_cover")],
    "phase noise": [(styles, "multilook_phasor")],
    "filter": [(styles, "goldstein")],
    "truth": [(sample, "visibility"), (sample, "visible_mask"), (sample, "signal_to_noise")],
    "gaps": [(sample, "draw_missing")],
}


def main() -> None:
    if "OMP_NUM_THREADS" not in os.environ:
        # As many processes as cores, one thread each, is how samples are drawn in earnest; libraries read this when
        # they are loaded.
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"OMP_NUM_THREADS": "1"})
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parts = {"speed": speed, "stages": stages, "rival": rival, "memory": memory}
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts)}; default: all")
    parser.add_argument("--preset", default="mixed")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--samples", type=int, default=600, help="per process and repeat")
    parser.add_argument("--repeats", type=int, default=3, help="medians are reported")
    parser.add_argument("--memory-samples", type=int, default=100_000)
    parser.add_argument("--out", type=Path, help="write the results to this JSON file too")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(parts):
        parser.error(f"unknown part {', '.join(sorted(unknown))}; choose from {', '.join(parts)}")
    print(f"{processor()}, NumPy {np.__version__}, Python {platform.python_version()}")
    busy = load("rates are too low; those per processor second suffer least")
    results: dict[str, object] = {"processor": processor(), "load": busy}
    for name, part in parts.items():
        if not arguments.parts or name in arguments.parts:
            results[name] = part(arguments)
            if arguments.out:
                arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def speed(arguments: argparse.Namespace) -> dict[str, float]:
    """Draw samples with one process and with several."""
    spec = preset(arguments.preset)
    print(f"\nspeed: preset {arguments.preset}, {spec.height_px} x {spec.width_px} px, median of {arguments.repeats}")
    results = {}
    for processes in sorted({1, arguments.processes}):
        runs = [_run_processes(arguments.preset, processes, arguments.samples) for _ in range(arguments.repeats)]
        rate, per_core = (statistics.median(values) for values in zip(*runs, strict=True))
        verdict = ""
        if processes == 2:
            verdict = f"   ({'>=' if rate >= WANTED_PER_SECOND else 'below'} {WANTED_PER_SECOND})"
        print(f"{processes} process{'es' if processes > 1 else '  '} {rate:8.0f} samples/s{verdict}")
        print(f"            {per_core:8.0f} samples per processor second: to size a GPU's feed, multiply by its cores")
        results |= {f"per_second_{processes}": rate, f"per_core_second_{processes}": per_core}
    return results


def _run_processes(name: str, processes: int, samples: int) -> tuple[float, float]:
    """Return samples per second, and per second of processor time."""
    context = multiprocessing.get_context("spawn")
    barrier, queue, taken = context.Barrier(processes), context.SimpleQueue(), context.Value("l", 0)
    arguments = (name, processes * samples, barrier, queue, taken)
    workers = [context.Process(target=_work, args=arguments) for _ in range(processes)]
    for worker in workers:
        worker.start()
    spans = [queue.get() for _ in workers]
    for worker in workers:
        worker.join()
    started, ended, processor = zip(*spans, strict=True)
    return processes * samples / (max(ended) - min(started)), processes * samples / sum(processor)


def _work(
    name: str,
    samples: int,
    barrier: Barrier,
    queue: SimpleQueue[tuple[float, float, float]],
    taken: Synchronized[int],
) -> None:
    spec = preset(name)
    for index in range(20):
        simulate(spec, seed=1000, index=index)
    barrier.wait()
    # Wall time since boot, which is the same clock in every process.
    started, processor = time.monotonic(), time.process_time()
    while True:
        # As the processes of a run do: whoever is free takes the next.
        with taken.get_lock():
            first = taken.value
            taken.value += CHUNK
        if first >= samples:
            break
        for index in range(first, min(first + CHUNK, samples)):
            simulate(spec, seed=0, index=index)
    queue.put((started, time.monotonic(), time.process_time() - processor))


def stages(arguments: argparse.Namespace) -> dict[str, float]:
    """Time the stages of the real code, each without the stages inside it."""
    spec = preset(arguments.preset)
    for index in range(20):
        simulate(spec, seed=1000, index=index)
    clock = _Clock()
    with contextlib.ExitStack() as stack:
        for stage, functions in STAGES.items():
            for module, name in functions:
                stack.enter_context(mock.patch.object(module, name, clock.timed(stage, getattr(module, name))))
        started = time.process_time()
        for index in range(arguments.samples):
            simulate(spec, seed=0, index=index)
        total = time.process_time() - started
    seconds = {stage: clock.seconds[stage] / arguments.samples for stage in STAGES}
    seconds["rest"] = total / arguments.samples - sum(seconds.values())
    print(f"\nstages: processor time per sample, {arguments.samples} samples (redrawn scenes included)")
    for stage, spent in seconds.items():
        calls = f"{clock.calls[stage] / arguments.samples:6.2f} calls" if stage in STAGES else ""
        print(f"{stage:12} {spent * 1e3:7.2f} ms {spent * arguments.samples / total:6.0%} {calls}")
    print(f"{'all':12} {total / arguments.samples * 1e3:7.2f} ms")
    return seconds


class _Clock:
    """Adds up the processor time of stages; what a stage inside another takes counts for the inner one only."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._inner = [0.0]

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: object, **kwargs: object) -> object:
            self._inner.append(0.0)
            started = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                spent = time.process_time() - started
                self.seconds[stage] += spent - self._inner.pop()
                self.calls[stage] += 1
                self._inner[-1] += spent

        return wrapper


def rival(arguments: argparse.Namespace) -> dict[str, float] | None:
    """Simulate earthquakes with eq-insar and with this package, in turns."""
    try:
        import eq_insar
    except ImportError:
        print("\nrival: eq-insar is not installed; pip install --no-deps eq-insar==0.2.0")
        return None
    population = preset("earthquake").model_copy(update={"kinds": {"earthquake": 1.0}})
    size = population.height_px
    extent_km = 0.5 * size * 0.09
    rng = np.random.default_rng(0)

    def theirs(index: int) -> None:
        eq_insar.generate_synthetic_insar(
            Mw=float(rng.uniform(4.5, 7.0)),
            strike_deg=float(rng.uniform(0, 360)),
            dip_deg=float(rng.uniform(15, 90)),
            rake_deg=float(rng.uniform(-180, 180)),
            depth_km=float(rng.uniform(5, 20)),
            grid_size=size,
            grid_extent_km=extent_km,
            satellite="sentinel1",
            noise_model="correlated",
            add_orbital_ramp=True,
            seed=index,
        )

    def alike(_index: int) -> None:
        # What eq-insar has too: one earthquake, turbulence, a ramp, wrapped phase.
        look = geometry.look_vector(geometry.ASCENDING_HEADING_DEG, 39.0)
        los_m = draw_deformation(rng, population, "earthquake", 90.0, look).los_m
        los_m = los_m + atmosphere.turbulence((size, size), 90.0, rng, std_m=0.003)
        wrap(los_to_phase(los_m + atmosphere.ramp((size, size), row_m=0.01, column_m=0.01)))

    rivals: dict[str, Callable[[int], object]] = {
        "eq-insar": theirs,
        "the same parts": alike,
        "a whole scene": lambda index: simulate(population, seed=1, index=index),
    }
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for index in range(max(20, arguments.samples // 4)):
        for name, draw in rivals.items():
            started = time.process_time()
            draw(index)
            times[name].append(time.process_time() - started)
    mean = {name: statistics.mean(values[5:]) for name, values in times.items()}
    print(f"\nrival: eq-insar {eq_insar.__version__}, earthquakes of {size} x {size} px, processor time per sample")
    for name, seconds in mean.items():
        ratio = "" if name == "eq-insar" else f"   {mean['eq-insar'] / seconds:5.2f} times as fast"
        print(f"{name:16} {seconds * 1e3:7.2f} ms{ratio}")
    print(
        "eq-insar: a point source, power-law noise, a ramp. The same parts: a finite fault of a chosen number of\n"
        "fringes, turbulence, a ramp. A whole scene: terrain, stratified delay, coherence, exact phase noise, filter,\n"
        "gaps and truth besides, drawn again until its fringes can be seen."
    )
    return mean


def memory(arguments: argparse.Namespace) -> dict[str, float] | None:
    """Watch the memory of this process over a long run."""
    if not Path("/proc/self/statm").is_file():
        print("\nmemory: only measured on Linux")
        return None
    spec = preset(arguments.preset)
    every = max(1, arguments.memory_samples // 100)
    counts, sizes = [], []
    started = time.monotonic()
    for index in range(arguments.memory_samples):
        simulate(spec, seed=2, index=index)
        if index % every == 0:
            counts.append(index / 1000)
            sizes.append(_resident_mib())
    # Tables and caches fill in the first tenth.
    settled = len(counts) // 10
    slope = float(np.polyfit(counts[settled:], sizes[settled:], 1)[0])
    print(f"\nmemory: {arguments.memory_samples:,} samples in {time.monotonic() - started:.0f} s")
    print(f"resident {sizes[settled]:.0f} MiB after a tenth, {sizes[-1]:.0f} MiB in the end, {max(sizes):.0f} at most")
    print(f"slope {slope:+.4f} MiB per 1,000 samples")
    return {"slope_mib_per_1000": slope, "first_mib": sizes[settled], "last_mib": sizes[-1]}


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return float(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)


if __name__ == "__main__":
    main()
