"""Evaluation: from files on disk to numbers, intervals and tables, with a detector that knows fringes by their rate."""

from __future__ import annotations

import csv
import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fringewatch.errors import ConfigError, ProductError
from fringewatch.evaluate import EvaluateConfig, Evaluation, FileScore, Summary, run
from fringewatch.metrics import auroc, wilson_interval
from fringewatch.models import load_bundle
from fringewatch.patches import Box, Patch, write_manifest, write_patch

if TYPE_CHECKING:
    from pathlib import Path

SIDE_PX = 96


def scene(*, deforming: bool, seed: int) -> np.ndarray:
    """Return noise, with where asked a bull's-eye of four fringes in its upper left."""
    rng = np.random.default_rng(seed)
    y, x = np.ogrid[:SIDE_PX, :SIDE_PX]
    phase = rng.normal(0, 0.2, (SIDE_PX, SIDE_PX))
    if deforming:
        phase = phase + 8 * np.pi * np.exp(-((y - 36) ** 2 + (x - 36) ** 2) / (2 * 18**2))
    return np.angle(np.exp(1j * phase)).astype(np.float32)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of six deforming patches at two sites and six quiet ones, with a manifest."""
    root = tmp_path_factory.mktemp("data")
    patches = []
    for index in range(12):
        deforming = index < 6
        path = root / ("deformation" if deforming else "none") / f"{index:02}.png"
        path.parent.mkdir(exist_ok=True)
        write_patch(path, scene(deforming=deforming, seed=index))
        patches.append(
            Patch(
                path,
                int(deforming),
                kind="volcanic" if deforming else "atmosphere",
                site=f"{'moving' if deforming else 'quiet'}{index % 2}",
                group=f"group{index}",
                quality="doubtful-label" if index in {5, 11} else "ok",
                box=Box(10, 62, 10, 62) if deforming else None,
            )
        )
    write_manifest(root / "manifest.csv", patches)
    return root


def evaluate(bundle: Path, out: Path, *inputs: Path, **settings: object) -> Evaluation:
    return run(EvaluateConfig(inputs=inputs, out=out, model=str(bundle), resamples=200, threads=1, **settings))


def test_perfect_detector_scores_perfectly_and_modestly(data: Path, tiny_bundle_folder: Path, tmp_path: Path) -> None:
    result = evaluate(tiny_bundle_folder, tmp_path / "out", data)
    assert (result.positives, result.negatives, result.groups, result.sites) == (6, 6, 12, 4)
    assert result.threshold == 0.5
    assert result.threshold_from == "card"
    scores = result.scores
    assert [scores.auroc.value, scores.average_precision.value, scores.accuracy.value] == [1, 1, 1]
    assert [scores.precision.value, scores.recall.value, scores.false_alarm_rate.value] == [1, 1, 0]
    # Nothing went wrong in 6: that leaves a wide interval, and for the AUROC none.
    assert (scores.recall.low, scores.recall.high) == pytest.approx(wilson_interval(6, 6))
    assert (scores.auroc.low, scores.auroc.method) == (None, "none")
    assert result.located is not None
    assert result.located.hit.value == 1
    assert result.located.mean_iou.value > 0.3


def test_results_are_written_and_read_back(data: Path, tiny_bundle_folder: Path, tmp_path: Path) -> None:
    result = evaluate(tiny_bundle_folder, tmp_path / "out", data)
    text = (tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8")
    assert Evaluation.model_validate_json(text) == result
    assert json.loads(text)["settings"]["model"] == str(tiny_bundle_folder)
    with (tmp_path / "out" / "scores.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["label"] for row in rows] == ["1"] * 6 + ["0"] * 6
    assert [row["flagged"] for row in rows] == ["1"] * 6 + ["0"] * 6
    assert [row["status"] for row in rows] == ["ok"] * 12
    assert rows[0]["group"] == "group0"
    assert (
        auroc([int(row["label"]) for row in rows], [float(row["score"]) for row in rows]) == result.scores.auroc.value
    )


def test_scores_can_be_noted_in_the_card(data: Path, tiny_bundle_folder: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny_bundle_folder, bundle)
    result = evaluate(bundle, tmp_path / "out", data, note_in_card="made-up")
    noted = load_bundle(bundle, precision="float32").card.scores["made-up"]
    assert noted["recall"] == {"value": 1.0, "low": result.scores.recall.low, "high": result.scores.recall.high}
    assert (noted["positives"], noted["threshold"]) == (6, 0.5)


def test_threshold_given_replaces_the_cards(data: Path, tiny_bundle_folder: Path, tmp_path: Path) -> None:
    result = evaluate(tiny_bundle_folder, tmp_path / "out", data, threshold=0.0)
    assert result.threshold_from == "argument"
    assert result.scores.false_alarm_rate.value == 1
    assert result.scores.precision.value == 0.5


def test_unreadable_files_are_listed_and_stop_nothing(data: Path, tiny_bundle_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text.tif").write_text("not a raster")
    broken = [Patch(tmp_path / "text.tif", 1), Patch(tmp_path / "gone.png", 0)]
    write_manifest(tmp_path / "manifest.csv", broken)
    result = evaluate(tiny_bundle_folder, tmp_path / "out", data, tmp_path / "manifest.csv")
    assert result.positives + result.negatives == 12
    assert [file.file for file in result.unreadable] == [str(patch.path) for patch in broken]
    assert all(file.file.rsplit("/", 1)[-1] in file.message for file in result.unreadable)
    assert result.exit_code == 3
    printed = " ".join(result.describe().split())
    assert "2 files could not be scored, listed in scores.csv; the first:" in printed
    rows = (tmp_path / "out" / "scores.csv").read_text(encoding="utf-8").splitlines()
    assert sum(",unreadable," in row for row in rows) == 2

    with pytest.raises(ProductError, match=r"none of 2 files could be scored; the first: .*text\.tif"):
        evaluate(tiny_bundle_folder, tmp_path / "out", tmp_path / "manifest.csv")


def test_filters_and_label_words(data: Path, tiny_bundle_folder: Path, tmp_path: Path) -> None:
    result = evaluate(
        tiny_bundle_folder, tmp_path / "a", data, exclude=("quality=doubtful*",), only=("site=*1,quiet0",)
    )
    assert (result.positives, result.negatives) == (2, 5)
    (tmp_path / "sinking").mkdir()
    write_patch(tmp_path / "sinking" / "a.png", scene(deforming=True, seed=1))
    result = evaluate(tiny_bundle_folder, tmp_path / "b", tmp_path, positive=("sinking",))
    assert (result.positives, result.negatives) == (1, 0)
    assert result.scores.auroc.value is None
    assert result.scores.false_alarm_rate.value is None
    assert any("no background files" in note for note in result.notes)


def test_a_file_counts_once_and_has_one_label(data: Path, tiny_bundle_folder: Path, tmp_path: Path) -> None:
    once = evaluate(tiny_bundle_folder, tmp_path / "once", data)
    (tmp_path / "link").symlink_to(data)
    twice = evaluate(tiny_bundle_folder, tmp_path / "twice", data, tmp_path / "link" / "manifest.csv")
    assert twice.scores == once.scores
    assert "12 rows repeat a file: it is scored once" in twice.notes[0]
    other = tmp_path / "other.csv"
    other.write_text(f"file,label\n{data / 'none' / '06.png'},deformation\n")
    with pytest.raises(ProductError, match=r"06\.png: labelled as deformation and as background"):
        evaluate(tiny_bundle_folder, tmp_path / "out", data, other)


def test_patches_that_a_model_may_have_been_trained_on_are_told(
    data: Path, tiny_bundle_folder: Path, tmp_path: Path
) -> None:
    rows = [f"{data / 'none' / f'{i:02}.png'},none,{'train' if i < 9 else 'val'}" for i in range(6, 12)]
    (tmp_path / "manifest.csv").write_text("\n".join(["file,label,split", *rows]))
    result = evaluate(tiny_bundle_folder, tmp_path / "out", tmp_path)
    assert "3 of 6 files are of the split train" in result.notes[0]


def test_windows_are_asked_of_classifiers_only(data: Path, tiny_bundle_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no patch size"):
        evaluate(tiny_bundle_folder, tmp_path, data, windows=True)


def test_unlabelled_files_take_the_default_label(data: Path, tiny_bundle_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text(f"file\n{data / 'none' / '06.png'}\n{data / 'none' / '07.png'}\n")
    result = evaluate(tiny_bundle_folder, tmp_path / "out", tmp_path, default_label="background")
    assert (result.positives, result.negatives, result.scores.false_alarm_rate.value) == (0, 2, 0)


def test_wrong_settings_are_named(data: Path, tiny_bundle_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leaves none of 12 files"):
        evaluate(tiny_bundle_folder, tmp_path, data, only=("site=nowhere",))
    with pytest.raises(ConfigError, match=r"--group scene: no file has such a column; known: .*scene_group"):
        evaluate(tiny_bundle_folder, tmp_path, data, group="scene")
    with pytest.raises(ConfigError, match="nothing to evaluate"):
        evaluate(tiny_bundle_folder, tmp_path)


def test_group_column_decides_what_is_independent(data: Path, tiny_bundle_folder: Path, tmp_path: Path) -> None:
    result = evaluate(tiny_bundle_folder, tmp_path, data, group="site")
    assert result.groups == 4
    assert result.scores.recall.groups == 2
    assert (result.scores.recall.low, result.scores.recall.high) == pytest.approx(wilson_interval(2, 2))


def test_tables_fit_a_terminal(data: Path, tiny_bundle_folder: Path, tmp_path: Path) -> None:
    result = evaluate(tiny_bundle_folder, tmp_path / "out", data)
    assert result.exit_code == 0
    printed = result.describe(width=80)
    assert max(len(line) for line in printed.splitlines()) <= 80
    assert "…" not in printed
    for words in ("AUROC", "0.61-1.00", "volcanic", "moving1", "quiet0", "Coherence alone", "results: "):
        assert words in printed


# From here on: numbers, without files.


def file(index: int, label: int, score: float, **known: object) -> FileScore:
    return FileScore(file=f"{index}.png", label=label, score=score, **known)


def drawn(n: int = 200, groups: int = 50) -> list[FileScore]:
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 2
    scores = np.clip(0.5 + 0.2 * (labels - 0.5) + rng.normal(0, 0.2, n), 0, 1)
    return [
        file(
            i, int(labels[i]), float(scores[i]),
            group=f"g{i % groups}", site=f"s{i % 5}", kind="ab"[i % 2], coherence=float(1 - scores[i]),
        )
        for i in range(n)
    ]  # fmt: skip


def test_scores_equal_the_metrics_and_lie_in_their_intervals() -> None:
    files = drawn()
    scores = Summary(files, threshold=0.5, resamples=300).scores()
    labels = np.array([f.label for f in files])
    values = np.array([f.score for f in files])
    assert scores.auroc.value == auroc(labels, values)
    assert scores.recall.value == (values[labels == 1] >= 0.5).mean()
    assert scores.precision.value == labels[values >= 0.5].mean()
    assert scores.brier_score.value == pytest.approx(((values - labels) ** 2).mean())
    for name in type(scores).model_fields:
        estimate = getattr(scores, name)
        if name != "calibration_error":  # biased upwards in resamples, as every mean of absolute values
            assert estimate.low < estimate.value < estimate.high, name
        assert estimate.method == "bootstrap"


def test_means_over_sites_weigh_sites_equally() -> None:
    files = drawn()
    scores = Summary(files, threshold=0.5, resamples=100).scores()
    negatives = [f.score for f in files if not f.label]
    per_site, recalls = [], []
    for site in sorted({f.site for f in files}):
        own = [f.score for f in files if f.label and f.site == site]
        per_site.append(auroc([1] * len(own) + [0] * len(negatives), own + negatives))
        recalls.append(np.mean(np.array(own) >= 0.5))
    assert scores.macro_auroc.value == pytest.approx(np.mean(per_site))
    assert scores.macro_recall.value == pytest.approx(np.mean(recalls))
    rows = Summary(files, threshold=0.5, resamples=100).rows("site")
    assert [row.auroc.value for row in sorted(rows, key=lambda row: row.name)] == pytest.approx(per_site)


def test_fewer_groups_widen_the_interval() -> None:
    # The same scores; files of one group agree, so that few groups mean few independent files.
    rng = np.random.default_rng(1)
    shift = rng.normal(0, 0.15, 20)
    files = [
        file(i, i % 2, float(np.clip(0.5 + 0.1 * (i % 2) + shift[i // 20], 0, 1)), group=f"g{i // 20}")
        for i in range(400)
    ]
    alone = [f.model_copy(update={"group": ""}) for f in files]

    def width(some: list[FileScore]) -> float:
        estimate = Summary(some, threshold=0.5, resamples=400).scores().auroc
        return estimate.high - estimate.low

    assert width(files) > 1.5 * width(alone)


def test_proportion_of_few_groups_is_wilson_on_groups() -> None:
    files = [file(i, 1, 0.9 if i % 2 else 0.1, group=f"g{i % 4}") for i in range(40)]
    recall = Summary(files, threshold=0.5).scores().recall
    assert (recall.value, recall.groups, recall.method) == (0.5, 4, "wilson")
    assert (recall.low, recall.high) == pytest.approx(wilson_interval(2, 4))


def test_too_few_groups_give_no_bootstrap_interval() -> None:
    files = [file(i, i % 2, 0.1 * (i % 7), group=f"g{i % 3}") for i in range(30)]
    summary = Summary(files, threshold=0.3)
    assert summary.scores().auroc.method == "none"
    assert summary.scores().auroc.low is None
    assert any("form only 3 independent groups" in note for note in summary.notes())


def test_a_detector_of_coherence_is_unmasked() -> None:
    summary = Summary(drawn(), threshold=0.5, resamples=100)
    baseline = summary.coherence_baseline()
    assert baseline.auroc.value == pytest.approx(summary.scores().auroc.value)
    assert baseline.direction == "less coherent = deformation"
    assert baseline.correlation_in_quiet == pytest.approx(-1)
    turned = [f.model_copy(update={"coherence": 1 - f.coherence}) for f in drawn()]
    baseline = Summary(turned, threshold=0.5, resamples=100).coherence_baseline()
    assert baseline.direction == "more coherent = deformation"
    assert baseline.auroc.value == pytest.approx(summary.scores().auroc.value)


def test_dominant_site_is_noted() -> None:
    files = [file(i, 1, 0.9, site="big" if i < 8 else f"s{i}") for i in range(12)]
    assert any("big holds 8 of 12 deformation files (67%)" in note for note in Summary(files, threshold=0.5).notes())


def test_same_seed_same_intervals() -> None:
    first, second, other = (Summary(drawn(), threshold=0.5, resamples=100, seed=seed).scores() for seed in (1, 1, 2))
    assert first == second
    assert first != other


def test_tables_of_long_names_and_many_sites_stay_whole(data: Path, tiny_bundle_folder: Path, tmp_path: Path) -> None:
    result = evaluate(tiny_bundle_folder, tmp_path, data)
    row = result.by_site[0].model_copy(update={"name": "a very long site name, longer than any column"})
    printed = result.model_copy(update={"by_site": (row,) * 40}).describe(width=80)
    assert "25 more in evaluation.json" in printed
    assert "0.44-1.00" in printed
    assert "…" not in printed
