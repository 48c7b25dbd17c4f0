"""Simulated samples on disk: made once by several processes, taken from there afterwards, resumed after a kill.

A cache is a folder of fixed-size chunks. Phase is kept in 8 bits (:mod:`fringewatch.training.codes`: a step of 0.025
rad, far below the noise of any interferogram), the truth mask as coverage of each map pixel in 8 bits.
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import as_completed
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.files import atomic_path, ensure_folder, write_text
from fringewatch.parallel import process_pool
from fringewatch.simulate import RealNoise, SceneSpec, simulate
from fringewatch.training.codes import encode_codes

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fringewatch.simulate import Sample

__all__ = ["CHUNK", "Samples", "at_stride", "average_blocks", "build_cache"]

CHUNK = 256
FORMAT = 13
"""Raised whenever the simulator or the coding changes, so that stale samples are not taken for new ones."""


class Samples(NamedTuple):
    """Cached samples, in memory: 50 kB each at 224 x 224."""

    phase: NDArray[np.uint8]
    """(N, H, W) coded phase; see :func:`~fringewatch.training.codes.encode_codes`."""
    coverage: NDArray[np.uint8]
    """(N, H / stride, W / stride) share of each map pixel that deforms visibly, 0 ... 255."""
    label: NDArray[np.uint8]
    """(N,) 1 = deformation."""
    kind: NDArray[np.str_]
    """(N,) kind of scene."""
    site: NDArray[np.str_]
    """(N,) site of the real quiet phase that is the background; empty where the background is simulated."""

    @property
    def real(self) -> NDArray[np.bool_]:
        """(N,) True where the background is real quiet phase."""
        return np.asarray(self.site != "")


def at_stride(samples: Samples, stride: int) -> Samples:
    """Return samples whose coverage is that of larger map pixels, of `stride` input pixels."""
    factor = stride * samples.coverage.shape[2] // samples.phase.shape[2]
    if factor <= 1:
        return samples
    return samples._replace(coverage=np.rint(average_blocks(samples.coverage, factor)).astype(np.uint8))


def average_blocks(maps: NDArray[np.generic], side: int) -> NDArray[np.float32]:
    """Return the means of blocks of `side` x `side` pixels of maps (N, H, W), as (N, H / side, W / side)."""
    count, height, width = maps.shape
    blocks = maps.reshape(count, height // side, side, width // side, side)
    means: NDArray[np.float32] = blocks.mean(axis=(2, 4), dtype=np.float32)
    return means


def build_cache(
    folder: str | Path,
    spec: SceneSpec,
    *,
    count: int,
    seed: int,
    stride: int,
    noise_folder: str | Path | None = None,
    fold: str = "train",
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Samples:
    """Simulate `count` samples into `folder`, or take those that lie there already.

    Parameters
    ----------
    folder
        Root of all caches; each population, seed and fold has its own folder in it, named by a hash.
    spec, seed, count
        What to simulate: samples 0 ... count - 1 of the seed.
    stride
        Input pixels per map pixel.
    noise_folder, fold
        Real quiet phase, and which of its sites (see :class:`~fringewatch.simulate.RealNoise`).
    workers
        Processes.
    progress
        Called with the number of samples of each finished chunk.
    """
    key = {"spec": spec.model_dump(mode="json"), "seed": seed, "stride": stride, "fold": fold, "format": FORMAT}
    key["noise"] = _fingerprint(noise_folder)
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    folder = ensure_folder(Path(folder) / f"{fold}-{digest}")
    write_text(folder / "key.json", json.dumps(key, indent=1))
    chunks = [(start, min(CHUNK, count - start)) for start in range(0, count, CHUNK)]
    jobs = []
    for start, size in chunks:
        # A last chunk of another size has another name, so that a larger count later does not take it for whole.
        target = folder / f"{start:07d}-{size}.npz"
        if target.exists():
            if progress:
                progress(size)
        else:
            jobs.append((target, spec, seed, start, size, stride, noise_folder, fold))
    if workers <= 1 or len(jobs) <= 1:
        for job in jobs:
            size = _make_chunk(job)
            if progress:
                progress(size)
    else:
        with process_pool(workers) as pool:
            for future in as_completed([pool.submit(_make_chunk, job) for job in jobs]):
                size = future.result()
                if progress:
                    progress(size)
    return _load(folder, chunks)


def _fingerprint(noise_folder: str | Path | None) -> str:
    if noise_folder is None:
        return ""
    digest = hashlib.sha256()
    for path in sorted([*Path(noise_folder).glob("*.png"), Path(noise_folder) / "manifest.csv"]):
        if path.is_file():
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _load(folder: Path, chunks: list[tuple[int, int]]) -> Samples:
    parts = []
    for start, size in chunks:
        with np.load(folder / f"{start:07d}-{size}.npz") as stored:
            parts.append(tuple(stored[name] for name in Samples._fields))
    return Samples(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


_NOISE: dict[tuple[str, str], RealNoise] = {}


def _make_chunk(job: tuple[Path, SceneSpec, int, int, int, int, str | Path | None, str]) -> int:
    target, spec, seed, start, size, stride, noise_folder, fold = job
    noise = None
    if noise_folder is not None:
        key = (str(noise_folder), fold)
        if key not in _NOISE:
            _NOISE[key] = RealNoise(noise_folder, fold=fold)
        noise = _NOISE[key]
    rows = []
    for index in range(start, start + size):
        sample = simulate(spec, seed=seed, index=index, noise=noise)
        coverage = np.rint(average_blocks(sample.mask[None], stride)[0] * 255).astype(np.uint8)
        rows.append((encode_codes(sample.phase), coverage, sample.is_deformation, sample.kind, _site(sample, noise)))
    phase, coverage_all, label, kind, site = zip(*rows, strict=True)
    with atomic_path(target) as temporary, temporary.open("wb") as handle:
        np.savez(
            handle,
            phase=np.stack(phase),
            coverage=np.stack(coverage_all),
            label=np.array(label, np.uint8),
            kind=np.array(kind, np.str_),
            site=np.array(site, np.str_),
        )
    return size


def _site(sample: Sample, noise: RealNoise | None) -> str:
    name = sample.parameters.get("noise")
    return "" if noise is None or name is None else noise.sites[noise.names.index(str(name))]
