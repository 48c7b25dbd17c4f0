"""What became of one training of a study, kept as ``record.json`` in its folder: the study resumes from these."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError

from fringewatch.config import Config
from fringewatch.errors import ConfigError
from fringewatch.files import write_text
from fringewatch.training.classifier.settings import ClassifierConfig

if TYPE_CHECKING:
    from fringewatch.training.classifier import ClassifierResult

__all__ = ["RECORD", "Record", "read_record", "setting_changes"]

RECORD = "record.json"


class Outcome(Config):
    """The figures of a training that finished."""

    bundle: Path | None = Field(None, description="Model bundle.")
    weights: Path = Field(description="Weights of the whole network, for rows that start from this one.")
    history: Path = Field(description="CSV of losses and accuracies per epoch.")
    epochs_run: int
    seconds_per_epoch: float
    images_per_second: float = Field(description="While training, validation left out.")
    peak_memory_bytes: int | None
    total_parameters: int
    trainable_parameters: int
    frozen_and_statistics: int
    n_train: int
    n_validation: int
    val_accuracy: float = Field(description="Share, 0 to 1, after the last epoch.")
    val_auroc: float | None
    val_precision: float | None
    val_recall: float | None

    @classmethod
    def of(cls, result: ClassifierResult, folder: Path) -> Outcome:
        """Take over what a training returned; paths relative to its folder, so that a study can be moved."""
        counts = result.counts
        return cls(
            bundle=None if result.bundle is None else _inside(result.bundle, folder),
            weights=_inside(result.weights, folder),
            history=_inside(result.history, folder),
            epochs_run=result.epochs_run,
            seconds_per_epoch=result.seconds_per_epoch,
            images_per_second=result.images_per_second,
            peak_memory_bytes=result.peak_memory_bytes or None,
            total_parameters=counts.total,
            trainable_parameters=counts.trainable,
            frozen_and_statistics=counts.frozen_and_statistics,
            n_train=result.n_train,
            n_validation=result.n_validation,
            val_accuracy=result.val_accuracy,
            val_auroc=_defined(result.val_auroc),
            val_precision=_defined(result.val_precision),
            val_recall=_defined(result.val_recall),
        )


class Record(Config):
    """One row trained with one seed."""

    row: str
    seed: int
    status: Literal["ok", "failed"]
    data: str = Field(description="Name of the data set.")
    data_digest: str = Field("", description="Of its table and the sizes of its files; none where it was simulated.")
    settings: dict[str, Any] = Field(description="Of the row, without paths, seed and those of the machine.")
    seconds: float = Field(description="Of the whole training with everything around it.")
    message: str = Field("", description="Why it failed.")
    outcome: Outcome | None = None
    versions: dict[str, str] = Field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write the record into its row's folder."""
        write_text(folder / RECORD, self.model_dump_json(indent=2) + "\n")


def read_record(folder: Path) -> Record | None:
    """Return the record in a row's folder, None where there is none.

    Raises
    ------
    ConfigError
        If it cannot be understood, for example because another version wrote it.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        return Record.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        message = f"{path}: is not a record of this version's ({type(error).__name__}); delete it to train the row anew"
        raise ConfigError(message) from error


def setting_changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return each setting that differs, as ``key: before -> now``.

    A setting that an older version did not have had its default.
    """
    fields = ClassifierConfig.model_fields
    older = {key: fields[key].default for key in now.keys() - before.keys() if key in fields}
    before = older | before
    return [
        f"{key}: {before.get(key)} -> {now.get(key)}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]


def _inside(path: Path, folder: Path) -> Path:
    try:
        return path.resolve().relative_to(folder.resolve())
    except ValueError:
        return path


def _defined(value: float | None) -> float | None:
    # JSON has no NaN, which is what a score of one class is.
    return None if value is None or math.isnan(value) else float(value)
