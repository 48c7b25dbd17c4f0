"""What the processes of `fringewatch simulate` do: simulate a scene, write it, say what the manifest needs."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
import multiprocessing
import os
import signal
import threading
from collections import deque
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.errors import FringewatchError, OutputError, PhysicsError
from fringewatch.figures import Panel
from fringewatch.parallel import process_pool
from fringewatch.simulate.crops import Crop, crop_sample, draw_crop, move_to_data
from fringewatch.simulate.noise import RealNoise
from fringewatch.simulate.sample import Sample, simulate
from fringewatch.simulate.series import Series, simulate_series
from fringewatch.simulate.write import FIRST_DATE, describe_sample, write_sample_patch, write_scene, write_series

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from fringewatch.simulate.settings import SimulateConfig
    from fringewatch.simulate.site import Site
    from fringewatch.simulate.spec import SceneSpec

__all__ = ["PREVIEWED", "Maker", "Outcome", "make_all"]

PREVIEWED = 48
"""Most scenes on the contact sheet."""

_BATCH = 16
_IN_FLIGHT_PER_PROCESS = 3
_DRAWS = 60
_NOTHING_VISIBLE = (
    f"no visible deformation in {_DRAWS} draws, expected it for a balanced set; raise the fringes in spec"
)
# Beyond any count, so that a further draw for one scene is never the first draw for another.
_NEXT_DRAW = 1 << 40
# Apart from the streams of the scenes themselves.
_OF_THE_CROP = 1


class Outcome(NamedTuple):
    """What became of a scene or a series."""

    scene: int
    rows: tuple[dict[str, str], ...]
    """Of the manifest: several for a series, none where it failed."""
    panels: tuple[Panel, ...] = ()
    error: str = ""


@dataclasses.dataclass(frozen=True)
class Maker:
    """Makes scenes by their index: the same scene in any process and any order.

    Parameters
    ----------
    config
        The settings of the run.
    spec
        Its population.
    site
        The place, or None.
    noise
        Real quiet phase, or None.
    """

    config: SimulateConfig
    spec: SceneSpec
    site: Site | None = None
    noise: RealNoise | None = None
    _crops: dict[int, Crop] = dataclasses.field(default_factory=dict, compare=False, repr=False)
    """That of the newest deforming scene, for the quiet one after it."""

    def make(self, index: int) -> Outcome:
        """Simulate and write a scene or a series.

        Raises
        ------
        OutputError
            If it cannot be written. Any other failure is returned, since it concerns this scene only.
        """
        try:
            return self._series(index, write=True) if self.config.dates else self._scene(index, write=True)
        except OutputError:
            raise
        except Exception as error:  # noqa: BLE001  (one scene in a hundred thousand must not cost the others)
            reason = str(error) if isinstance(error, FringewatchError) else f"{type(error).__name__}: {error}"
            return Outcome(index, (), error=reason)

    def preview(self, index: int) -> tuple[Panel, ...]:
        """Simulate a scene or a series for the contact sheet only."""
        return (self._series(index, write=False) if self.config.dates else self._scene(index, write=False)).panels

    def _scene(self, index: int, *, write: bool) -> Outcome:
        sample = self._simulate(index)
        if self.config.crop_px is not None:
            sample = crop_sample(sample, self._crop(index, sample))
        panels = (_panel(sample, _title(sample)),) if self.config.preview and index < PREVIEWED else ()
        if not write:
            return Outcome(index, (), panels)
        name = f"{self.config.preset}_{self.config.seed}_{index:06d}"
        if self.config.form == "licsar":
            frame = self._frame(index, sample.track)
            longitude, latitude = self._corner(sample.parameters)
            path = write_scene(
                self.config.out,
                sample,
                frame=frame,
                longitude=longitude,
                latitude=latitude,
                step_deg=None if self.site is None else self.site.step_deg,
                days=int(sample.parameters["interval_days"]),
                wavelength_m=self.spec.wavelength_m,
            )
        else:
            path = write_sample_patch(self.config.out, sample, name=name)
        return Outcome(index, (self._place(path, index, name) | describe_sample(sample),), panels)

    def _crop(self, index: int, sample: Sample) -> Crop:
        """Return where a scene of a balanced set is cut: a quiet one about where the deforming one before it is."""
        assert self.config.crop_px is not None
        leader = index - index % 2
        if leader not in self._crops:
            # The two may be made by different processes, or a later run.
            mask = sample.mask if index == leader else self._simulate(leader).mask
            self._crops.clear()
            rng = np.random.default_rng([self.config.seed, leader, _OF_THE_CROP])
            self._crops[leader] = draw_crop(mask, self.config.crop_px, rng)
        crop = self._crops[leader]
        return crop if index == leader else move_to_data(crop, np.isfinite(sample.phase))

    def _simulate(self, index: int) -> Sample:
        seed = self.config.seed
        if not self.config.balanced:
            return simulate(self.spec, seed=seed, index=index, noise=self.noise, site=self.site)
        spec, wanted = self._by_turns(index)
        for draw in range(_DRAWS):
            sample = simulate(spec, seed=seed, index=index + draw * _NEXT_DRAW, noise=self.noise, site=self.site)
            if sample.is_deformation == wanted:
                return sample
        raise PhysicsError(_NOTHING_VISIBLE)

    def _simulate_series(self, index: int, dates: Sequence[dt.date]) -> Series:
        seed = self.config.seed
        if not self.config.balanced:
            return simulate_series(self.spec, seed=seed, index=index, dates=dates, site=self.site)
        spec, wanted = self._by_turns(index)
        for draw in range(_DRAWS):
            series = simulate_series(spec, seed=seed, index=index + draw * _NEXT_DRAW, dates=dates, site=self.site)
            # Most of the motion is between dates far apart.
            pairs = reversed(series.pairs(max_days=self.config.max_days))
            if not wanted or any(series.interfere(*pair).is_deformation for pair in pairs):
                return series
        raise PhysicsError(_NOTHING_VISIBLE)

    def _by_turns(self, index: int) -> tuple[SceneSpec, bool]:
        """Return the half of the population that a balanced set draws this scene from, and whether it deforms."""
        wanted = index % 2 == 0
        kinds = {kind: weight for kind, weight in self.spec.kinds.items() if kind != "quiet"}
        return self.spec.model_copy(update={"kinds": kinds if wanted else {"quiet": 1.0}}), wanted

    def _series(self, index: int, *, write: bool) -> Outcome:
        config = self.config
        assert config.dates is not None
        dates = [FIRST_DATE + dt.timedelta(days=config.interval_days * number) for number in range(config.dates)]
        series = self._simulate_series(index, dates)
        frame = self._frame(index, series.track)
        longitude, latitude = self._corner(series.parameters)
        step_deg = None if self.site is None else self.site.step_deg
        rows: list[dict[str, str]] = []
        panels: list[Panel] = []
        for pair in series.pairs(max_days=config.max_days):
            sample = series.interfere(*pair)
            if config.preview and index == 0 and len(panels) < PREVIEWED:
                first, second = (dates[number] for number in pair)
                panels.append(_panel(sample, f"{first:%d %b} + {(second - first).days} days"))
            if write:
                path = write_scene(
                    config.out,
                    sample,
                    frame=frame,
                    longitude=longitude,
                    latitude=latitude,
                    step_deg=step_deg,
                    reference_date=dates[pair[0]],
                    days=(dates[pair[1]] - dates[pair[0]]).days,
                    wavelength_m=self.spec.wavelength_m,
                    truth_beside_pair=True,
                    geometry=not rows,
                )
                rows.append(self._place(path, index, frame) | describe_sample(sample))
        if write:
            write_series(config.out / frame, series)
        return Outcome(index, tuple(rows), tuple(panels))

    def _frame(self, index: int, track: str) -> str:
        return f"{index % 1000:03d}{track}_{index:05d}_{self.config.seed:06d}"

    def _corner(self, parameters: dict[str, float | int | str]) -> tuple[float, float]:
        if self.site is None:
            return 0.0, 0.0
        return self.site.locate(int(parameters["site_row"]), int(parameters["site_col"]))

    def _place(self, path: Path, index: int, name: str) -> dict[str, str]:
        """Return what the manifest says of a scene's place in the data set."""
        return {
            "file": path.relative_to(self.config.out).as_posix(),
            # Every simulated scene is a site of its own: nothing is shared between two of them.
            "site": name,
            "scene_group": name,
            "split": _split(index, self.config.validation_share),
            "index": str(index),
        }


def _split(index: int, share: float) -> str:
    """Deal scenes into the two splits, evenly along the index and within either half of a balanced set.

    By their rank among those of their label, one step apart for the two labels: 28,430 scenes and a share of 0.2 give
    22,745 for training and 5,685 for validation, as in the study of 2019. Whatever the count, a scene keeps its split.
    """
    rank = (index + 1) // 2
    # A millionth guards 5 * 0.2 and its like against falling just short of a whole number.
    crosses = math.floor(rank * share + 1e-6) > math.floor((rank - 1) * share + 1e-6)
    return "validation" if rank and crosses else "train"


def _panel(sample: Sample, title: str) -> Panel:
    return Panel(sample.phase, sample.mask, sample.kind, title)


def _title(sample: Sample) -> str:
    fringes = sample.parameters.get("peak_to_peak_fringes")
    if not isinstance(fringes, float):
        return "real quiet phase" if "noise" in sample.parameters else "quiet"
    return f"{sample.parameters.get('source_1', sample.kind)}, {fringes:.1f} fringes"


def make_all(maker: Maker, indices: Sequence[int], *, processes: int) -> Generator[list[Outcome]]:
    """Make scenes and yield what became of them, batch by batch, in the order of `indices`.

    Few batches are in work at any time, so that memory does not grow with their number. Whoever stops early must close
    the iterator, which waits for the batches in work.

    Raises
    ------
    OutputError
        If one cannot be written, or a process was killed.
    """
    # A batch is what is lost on a stop; where there is little to do, all processes are to have a share of it.
    size = 1 if maker.config.dates else max(1, min(_BATCH, len(indices) // (4 * processes)))
    batches = (indices[start : start + size] for start in range(0, len(indices), size))
    if processes == 1 or len(indices) <= size:
        for batch in batches:
            yield [maker.make(index) for index in batch]
        return
    with process_pool(processes, initializer=_start, initargs=(maker.config, maker.spec, maker.site)) as pool:
        waiting: deque[Future[list[Outcome]]] = deque()
        try:
            for batch in batches:
                waiting.append(pool.submit(_make_batch, batch))
                if len(waiting) >= _IN_FLIGHT_PER_PROCESS * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            message = (
                "a process of the simulation was killed, perhaps for want of memory; the same command goes on where it "
                "stopped, with fewer --workers"
            )
            raise OutputError(message) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_make: Callable[[int], Outcome] | None = None


def _start(config: SimulateConfig, spec: SceneSpec, site: Site | None) -> None:
    """Prepare a process of the pool."""
    global _make  # noqa: PLW0603  (a process of the pool has one job, which is set here)
    # Ctrl-C reaches every process of the terminal; the first one decides, and lets the others finish their batch.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _make = Maker(config, spec, site, None if config.noise_from is None else RealNoise(config.noise_from)).make


def _end_with_parent() -> None:
    """End this process when the one that started it is killed: the pool would wait for its next job for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _make_batch(indices: Sequence[int]) -> list[Outcome]:
    assert _make is not None
    return [_make(index) for index in indices]
