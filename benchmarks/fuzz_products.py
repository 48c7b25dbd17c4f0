"""Read thousands of damaged products of every format, each in a process with limits of time and memory.

python benchmarks/fuzz_products.py --count 20000 --workers 2 --out fuzz.json

Needs tests/ beside it, where the damage is made (``product_fuzzing.py``), and the extras [formats] and [stac]. A case
that takes more than 10 s of processor time, allocates more than 2 GiB, crashes its process, raises what is no error of
fringewatch, or gives a wrong result without a word is printed with its number; ``--only NUMBER`` repeats it. Exit code
1 if there is any. Linux only, for the limits.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import machine

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection

LIMIT_S = 10
LIMIT_BYTES = 2 * 1024**3
_WALL_S = 120
"""A process that waits rather than works uses no processor time; on a busy machine ten seconds of work take longer."""
_CASES_PER_PROCESS = 5000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases and print what became of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=20_000, help="number of cases")
    parser.add_argument("--start", type=int, default=0, help="number of the first")
    parser.add_argument("--seed", type=int, default=0, help="other damage")
    parser.add_argument("--workers", type=int, default=1, help="processes at once")
    parser.add_argument("--only", type=int, help="one case, in this process, with its error in full")
    parser.add_argument("--out", type=Path, help="JSON with the figures")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        if options.only is not None:
            return _repeat(options.only, options.seed, Path(folder))
        return _run(options, Path(folder))


def _repeat(number: int, seed: int, folder: Path) -> int:
    import product_fuzzing

    case = product_fuzzing.make_case(product_fuzzing.make_seeds(folder / "seeds"), number, folder / "case", root=seed)
    verdict = product_fuzzing.judge(case)
    print(case.seed.name, *case.damage, verdict.kind, verdict.detail, sep="\n")
    return int(not verdict.good)


def _run(options: argparse.Namespace, folder: Path) -> int:
    import product_fuzzing

    machine.load("the cases take longer; limits are of processor time")
    started = time.perf_counter()
    names = [seed.name for seed in product_fuzzing.make_seeds(folder / "seeds")]
    numbers = iter(range(options.start, options.start + options.count))
    workers = [_Worker(folder, i, options.seed, numbers) for i in range(options.workers)]
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    wrong, slowest, largest, done, told = [], (0.0, -1), (0, -1), 0, started
    while waiting := [worker for worker in workers if worker.number is not None]:
        for worker in waiting:
            found = worker.poll(1 / len(waiting))
            if found is None:
                continue
            number, kind, detail, seconds, peak = found
            name = names[number % len(names)]
            kinds[name.partition(",")[0]][kind] += 1
            slowest, largest = max(slowest, (seconds, number)), max(largest, (peak, number))
            done += 1
            if kind not in {"refused", "read"}:
                wrong.append({"case": number, "form": name, "kind": kind, "detail": detail})
                print(f"case {number}, {name}: {kind}: {detail}", flush=True)
        if time.perf_counter() - told > 60:
            told = time.perf_counter()
            print(f"{done:,} of {options.count:,} after {told - started:.0f} s, {len(wrong)} wrong", flush=True)
    figures = {
        "cases": done,
        "forms": len(names),
        "outcomes": dict(sum(kinds.values(), Counter())),
        "by_product": {name: dict(counts) for name, counts in sorted(kinds.items())},
        "wrong": wrong,
        "most_processor_seconds": {"seconds": round(slowest[0], 2), "case": slowest[1]},
        "largest_process_bytes": {"bytes": largest[0], "case": largest[1]},
        "limits": {"processor_seconds": LIMIT_S, "bytes_beyond_the_start": LIMIT_BYTES},
        "seconds": round(time.perf_counter() - started, 1),
        "processor": machine.processor(),
    }
    for name, counts in figures["by_product"].items():  # type: ignore[attr-defined]  (a table among the figures)
        print(f"{name:12}", *(f"{kind} {count:,}" for kind, count in sorted(counts.items())), sep="  ")
    print(f"{done:,} cases of {len(names)} forms in {figures['seconds']} s: {figures['outcomes']}")
    print(f"most processor time {slowest[0]:.2f} s (case {slowest[1]})")
    print(f"largest process {largest[0] / 2**20:.0f} MiB (case {largest[1]})")
    if options.out is not None:
        options.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return int(bool(wrong))


class _Worker:
    """A process that does case after case, and a new one in its place when it has crashed or grown old."""

    def __init__(self, folder: Path, index: int, seed: int, numbers: Any) -> None:
        self._arguments = (folder / f"worker{index}", seed)
        self._numbers = numbers
        self.number: int | None = None
        self._start()
        self._next()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_work, args=(other, *self._arguments), daemon=True)
        self._process.start()
        other.close()
        self._done = 0

    def _next(self) -> None:
        self.number = next(self._numbers, None)
        if self.number is None or self._done >= _CASES_PER_PROCESS:
            self._end()
        if self.number is None:
            return
        if self._done >= _CASES_PER_PROCESS:
            self._start()
        try:
            self._pipe.send(self.number)
        except OSError:
            # It died after its last case, of what that case had spoilt.
            self._start()
            self._pipe.send(self.number)
        self._since = time.perf_counter()

    def _end(self) -> None:
        with contextlib.suppress(OSError):
            self._pipe.send(None)
        self._process.join()

    def poll(self, wait_s: float) -> tuple[int, str, str, float, int] | None:
        """Return the case that has ended, if one has: number, kind, detail, processor seconds, bytes."""
        number = self.number
        assert number is not None
        try:
            found = self._pipe.recv() if self._pipe.poll(wait_s) else None
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode or 0
            hung = code == -signal.SIGXCPU
            kind = f"hung for {LIMIT_S} s" if hung else f"crashed ({signal.Signals(-code).name if code < 0 else code})"
            return self._replaced(number, kind)
        if found is not None:
            kind, detail, seconds, peak = found
            self._done += 1
            self._next()
            return number, kind, detail, seconds, peak
        # The first case has to wait for the imports.
        if time.perf_counter() - self._since > _WALL_S * (1 if self._done else 3):
            self._process.kill()
            self._process.join()
            return self._replaced(number, f"waited for {_WALL_S} s")
        return None

    def _replaced(self, number: int, kind: str) -> tuple[int, str, str, float, int]:
        self._start()
        self._next()
        return number, kind, "", float(LIMIT_S), 0


def _work(pipe: Connection, folder: Path, root: int) -> None:
    import product_fuzzing

    # Of this process's own: the one before it may have left some.
    shutil.rmtree(folder, ignore_errors=True)
    seeds = product_fuzzing.make_seeds(folder / "seeds")
    # Virtual memory, so that what is asked for counts, used or not.
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + LIMIT_BYTES, resource.RLIM_INFINITY))
    while (number := pipe.recv()) is not None:
        shutil.rmtree(folder / "case", ignore_errors=True)
        case = product_fuzzing.make_case(seeds, number, folder / "case", root=root)
        before = time.process_time()
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (int(before) + LIMIT_S + 1, hard))
        verdict = product_fuzzing.judge(case)
        seconds = time.process_time() - before
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        detail = f"{'; '.join(case.damage)}: {verdict.detail}" if not verdict.good else ""
        pipe.send((verdict.kind, detail, seconds, peak))


if __name__ == "__main__":
    sys.exit(main())
