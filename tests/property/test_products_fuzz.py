"""Whatever is wrong with a file, it is refused in plain words or read as what it is: a few hundred damaged products.

``benchmarks/fuzz_products.py`` does the same many thousand times, in processes with limits of time and memory.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

import fringewatch as fw
from product_fuzzing import Case, Seed, judge, make_case, make_seeds

if TYPE_CHECKING:
    from pathlib import Path

CASES = 300


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[Seed]:
    return make_seeds(tmp_path_factory.mktemp("seeds"))


# rasterio cannot decode some messages about damaged files for its log, and goes on.
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. 'rasterio._env.log_error':pytest.PytestUnraisableExceptionWarning"
)
def test_damaged_products_are_refused_or_read_rightly(seeds: list[Seed], tmp_path: Path) -> None:
    verdicts = Counter()
    for number in range(CASES):
        case = make_case(seeds, number, tmp_path / str(number))
        verdict = judge(case)
        assert verdict.good, f"case {number}, {case.seed.name} ({'; '.join(case.damage)}): {verdict}"
        verdicts[verdict.kind] += 1
    # Both happen: damage that nothing notices, and damage that is told.
    assert min(verdicts.values()) > CASES / 10, verdicts


def test_cases_are_the_same_every_time(seeds: list[Seed], tmp_path: Path) -> None:
    def content(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    for number in range(0, 40, 7):
        if "HDF5" in " ".join(make_case(seeds, number, tmp_path / f"a{number}").damage):
            continue  # the library writes times into its files
        make_case(seeds, number, tmp_path / f"b{number}")
        assert content(tmp_path / f"a{number}") == content(tmp_path / f"b{number}")


def test_the_judge_knows_wrong_from_right(seeds: list[Seed], monkeypatch: pytest.MonkeyPatch) -> None:
    seed = next(seed for seed in seeds if seed.name == "licsar")
    case = Case(seed, str(seed.folder / seed.opened), (), True)
    assert judge(case).kind == "read"
    whole = fw.open_interferogram(case.path)

    def verdict(**variables: np.ndarray) -> str:
        changed = whole.copy(deep=True)
        for name, values in variables.items():
            changed[name] = (("y", "x"), values)
        monkeypatch.setattr("product_fuzzing.fw.open_interferogram", lambda *_, **__: changed)
        return judge(case).kind

    phase = whole["phase"].values
    assert verdict(phase=np.where(np.isfinite(phase), phase, np.float32(0.5))) == "invented phase"
    assert verdict(phase=phase + np.float32(0.01)) in {"invented phase", "broken schema"}
    assert verdict(phase=phase * 3) == "broken schema"
    assert verdict(phase=phase.astype(np.float64)) == "broken schema"
    assert verdict(coherence=np.full_like(phase, 1.5)) == "broken schema"
    assert verdict(los_up=np.full_like(phase, 2)) == "broken schema"

    def broken(*_: object, **__: object) -> None:
        raise KeyError("phase")

    monkeypatch.setattr("product_fuzzing.fw.open_interferogram", broken)
    assert judge(case).kind == "raised KeyError"
