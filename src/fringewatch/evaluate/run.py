"""The `evaluate` command: score labelled files and say how good the detector is, and how sure that is."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from fringewatch._version import __version__
from fringewatch.config import Config, Place
from fringewatch.detect import Detector
from fringewatch.errors import ConfigError, ProductError
from fringewatch.evaluate.records import Evaluation, FileScore
from fringewatch.evaluate.statistics import Summary
from fringewatch.files import LinkResolver, ensure_folder, write_text
from fringewatch.metrics import mean_local_coherence
from fringewatch.models import save_bundle
from fringewatch.models.bundle import DEFAULT_BUNDLE
from fringewatch.models.card import Precision
from fringewatch.patches import Box, open_patches, select
from fringewatch.products import open_interferogram
from fringewatch.progress import track

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import xarray as xr
    from geopandas import GeoDataFrame

    from fringewatch.models import Card
    from fringewatch.patches import Patch

__all__ = ["EvaluateConfig", "run"]

_COLUMNS = (
    *("file", "status", "label", "score", "flagged", "kind", "site", "group", "quality"),
    *("coherence", "located", "best_iou", "seconds", "message"),
)


_MOST_NAMED = 5


class EvaluateConfig(Config):
    """Score labelled files and say how good the detector is, and how sure that is."""

    inputs: tuple[Path, ...] = Field(
        (),
        description="Labelled data: manifests (CSV with file and label), folders with manifest.csv, or class folders.",
        json_schema_extra={"positional": True},
    )
    out: Path = Field(Path("evaluation"), description="Folder for evaluation.json and scores.csv.")
    model: Place = Field(DEFAULT_BUNDLE, description="Name or folder of the model bundle.")
    precision: Precision | None = Field(
        None, description="Arithmetic of the network. The model's own choice if not given."
    )
    threshold: float | None = Field(
        None, ge=0, le=1, description="Score from which a file is flagged; the model card's if not given."
    )
    only: tuple[str, ...] = Field(
        (), description="Keep files that meet all of these: column=value[,value], wildcards * ?."
    )
    exclude: tuple[str, ...] = Field(
        (), description="Leave out files that meet any of these, e.g. quality=doubtful-label."
    )
    positive: tuple[str, ...] = Field((), description="More label words that mean deformation.")
    negative: tuple[str, ...] = Field((), description="More label words that mean background.")
    default_label: Literal["deformation", "background"] | None = Field(
        None, description="Label of files whose manifest or folder gives none, e.g. a collection of quiet scenes."
    )
    group: str = Field(
        "scene_group",
        description="Column whose equal values mark dependent files, drawn together for intervals; files without it "
        "fall back to their site, then to themselves.",
    )
    resamples: int = Field(1000, ge=100, description="Bootstrap resamples.")
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of the bootstrap.")
    windows: bool = Field(
        False,
        description="Score every window by itself, for classifiers of patches: of a patch of the classifier's own size "
        "that is the classifier's own answer.",
    )
    threads: int | None = Field(None, ge=1, description="Threads of the network; all cores if not given.")
    note_in_card: str = Field(
        "", description="Also note the scores in the model's own card, under this name of the data set."
    )


def run(config: EvaluateConfig) -> Evaluation:
    """Score files and write ``evaluation.json`` and ``scores.csv``.

    Files that cannot be read are counted and listed; they never stop the run.

    Parameters
    ----------
    config
        Settings.

    Returns
    -------
    Evaluation
        As written to ``evaluation.json``; its ``describe()`` gives tables for a terminal.

    Raises
    ------
    ProductError
        If a data set cannot be opened, none of its files can be read, or one is labelled as both.
    ConfigError
        If a filter or the group column is not one of the data.
    BundleError
        If the model cannot be loaded.
    OutputError
        If results cannot be written.
    """
    started = time.perf_counter()
    given = _patches(config)
    patches = _once(given)
    out = ensure_folder(config.out)
    detector = Detector(
        config.model,
        precision=config.precision,
        threads=config.threads,
        threshold=config.threshold,
        windows=config.windows,
    )
    files = list(_score_all(patches, detector, config.group))
    _write_scores(out / "scores.csv", files, detector.threshold)
    unreadable = tuple(file for file in files if not file.readable)
    if len(unreadable) == len(files):
        message = f"none of {len(files)} files could be scored; the first: {unreadable[0].message}"
        raise ProductError(message)
    summary = Summary(files, threshold=detector.threshold, resamples=config.resamples, seed=config.seed)
    evaluation = Evaluation(
        model=detector.card.name,
        model_version=detector.card.version,
        precision=detector.bundle.precision,
        threshold=detector.threshold,
        threshold_from="card" if config.threshold is None else "argument",
        positives=int(summary.labels.sum()),
        negatives=int((~summary.labels).sum()),
        groups=len(np.unique(summary.groups)),
        sites=len({file.site for file in summary.files if file.site}),
        scores=summary.scores(),
        kinds=summary.rows("kind"),
        by_site=summary.rows("site"),
        located=summary.located(),
        coherence_baseline=summary.coherence_baseline(),
        reliability=summary.reliability(),
        unreadable=unreadable,
        notes=(*_notes(given, patches), *summary.notes()),
        seconds=time.perf_counter() - started,
        version=__version__,
        settings=config.model_dump(mode="json"),
    )
    write_text(out / "evaluation.json", evaluation.model_dump_json(indent=2) + "\n")
    if config.note_in_card:
        _note_in_card(detector.bundle.folder, detector.card, config.note_in_card, evaluation)
    return evaluation


def _note_in_card(folder: Path, card: Card, name: str, evaluation: Evaluation) -> None:
    """Write the main scores, with intervals, among the scores of a bundle's card."""
    noted: dict[str, object] = {
        key: getattr(evaluation, key) for key in ("precision", "threshold", "positives", "negatives", "groups", "sites")
    }
    # The arithmetic is called precision, too: the share of flags that are right needs another name here.
    names = {"auroc": "auroc", "accuracy": "accuracy", "precision_of_flags": "precision", "recall": "recall"}
    for key, source in (names | {"false_alarm_rate": "false_alarm_rate"}).items():
        estimate = getattr(evaluation.scores, source)
        noted[key] = {part: getattr(estimate, part) for part in ("value", "low", "high")}
    save_bundle(folder, card.model_copy(update={"scores": card.scores | {name: noted}}))


def _patches(config: EvaluateConfig) -> list[Patch]:
    patches: list[Patch] = []
    default = None if config.default_label is None else int(config.default_label == "deformation")
    for source in config.inputs:
        patches += open_patches(source, positive=config.positive, negative=config.negative, default_label=default)
    if not patches:
        message = (
            "inputs: nothing to evaluate; name a manifest, a folder with manifest.csv, or a folder of class folders"
        )
        raise ConfigError(message)
    kept = select(patches, only=config.only, exclude=config.exclude)
    if not kept:
        message = (
            f"--only {' '.join(config.only)} --exclude {' '.join(config.exclude)}: leaves none of {len(patches)} files"
        )
        raise ConfigError(message)
    given = config.group != EvaluateConfig.model_fields["group"].default
    if given and not any(patch.columns.get(config.group) for patch in kept):
        known = sorted({column for patch in kept for column in patch.columns})
        message = f"--group {config.group}: no file has such a column; known: {', '.join(known)}"
        raise ConfigError(message)
    return kept


def _once(patches: Sequence[Patch]) -> list[Patch]:
    """Return each file once: rows that repeat it would count it twice.

    Raises
    ------
    ProductError
        If rows disagree on a label.
    """
    resolve = LinkResolver()
    first: dict[str, Patch] = {}
    disputed: dict[str, None] = {}
    for patch in patches:
        if first.setdefault(resolve(str(patch.path)), patch).label != patch.label:
            disputed[str(patch.path)] = None
    if disputed:
        names = list(disputed)
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        message = (
            f"{', '.join(names[:_MOST_NAMED])}{more}: labelled as deformation and as background; correct the rows, or "
            "leave one out with --only or --exclude"
        )
        raise ProductError(message)
    return list(first.values())


def _notes(given: Sequence[Patch], patches: Sequence[Patch]) -> list[str]:
    """Return sentences on the data set."""
    found = []
    if repeated := len(given) - len(patches):
        found.append(f"{repeated} rows repeat a file: it is scored once, with the box of the first.")
    if training := sum(patch.split == "train" for patch in patches):
        found.append(
            f"{training} of {len(patches)} files are of the split train: they flatter a model that was trained on "
            "them; see --only split=validation."
        )
    return found


def _score_all(patches: Sequence[Patch], detector: Detector, group: str) -> Iterator[FileScore]:
    with track("scoring", total=len(patches)) as advance:
        for patch in patches:
            yield _score(patch, detector, patch.columns.get(group) or patch.site)
            advance(1)


def _score(patch: Patch, detector: Detector, group: str) -> FileScore:
    started = time.perf_counter()
    known = FileScore(
        file=str(patch.path),
        label=1 if patch.label else 0,
        kind=patch.kind,
        site=patch.site,
        group=group,
        quality=patch.quality,
        box=patch.box,
    )
    try:
        interferogram = _open(patch.path)
        examination = detector.examine(interferogram)
        found: dict[str, object] = {"score": examination.score}
        if patch.box is not None:
            found |= _locate(patch.box, examination.regions)
        coherence = mean_local_coherence(np.asarray(interferogram["phase"].values, np.float32))
        found["coherence"] = coherence if np.isfinite(coherence) else None
    except (ProductError, OSError) as error:
        found = {"message": str(error)}
    return known.model_copy(update=found | {"seconds": time.perf_counter() - started})


def _open(path: Path) -> xr.Dataset:
    try:
        return open_interferogram(path)
    except (ProductError, OSError):
        raise
    except Exception as error:  # whatever a library raises on a damaged file, the others are worth scoring
        message = f"{path}: unexpected {type(error).__name__}: {error}; please report it"
        raise ProductError(message) from error


def _locate(box: Box, detections: GeoDataFrame) -> dict[str, object]:
    bounds = detections[list(Box._fields)].itertuples(index=False)
    overlaps = [_box_iou(box, Box(*(int(value) for value in row))) for row in bounds]
    return {"located": any(overlap > 0 for overlap in overlaps), "best_iou": max(overlaps, default=0.0)}


def _box_iou(a: Box, b: Box) -> float:
    rows = max(0, min(a.row1, b.row1) - max(a.row0, b.row0))
    cols = max(0, min(a.col1, b.col1) - max(a.col0, b.col0))
    area = (a.row1 - a.row0) * (a.col1 - a.col0) + (b.row1 - b.row0) * (b.col1 - b.col0)
    return rows * cols / (area - rows * cols)


def _write_scores(path: Path, files: Sequence[FileScore], threshold: float) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for file in files:
        values = file.model_dump() | {
            "status": "ok" if file.readable else "unreadable",
            "flagged": None if file.score is None else int(file.score >= threshold),
            "located": None if file.located is None else int(file.located),
        }
        writer.writerow([f"{v:.6g}" if isinstance(v, float) else v for v in (values[name] for name in _COLUMNS)])
    write_text(path, text.getvalue())
