"""What a training run keeps in its folder, and when a later one may go on from there."""

from __future__ import annotations

import csv
import shutil
from typing import TYPE_CHECKING

import yaml

from fringewatch.errors import ConfigError, TrainingError
from fringewatch.files import atomic_path

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from fringewatch.training.classifier.settings import ClassifierConfig
    from fringewatch.training.settings import TrainConfig

__all__ = ["SETTINGS", "WEIGHTS", "check_folder", "checkpoint_path", "clear", "extend_history", "read_history"]
__all__ += ["settings_to_keep"]

SETTINGS = "train.yaml"
WEIGHTS = "weights.pt"
_LEFTOVERS = ("history.csv", "history.png", WEIGHTS, "result.json", "validation.csv")


def checkpoint_path(out: Path) -> Path:
    """Return the file of the newest checkpoint."""
    return out / "checkpoints" / "last.ckpt"


def check_folder(config: TrainConfig | ClassifierConfig, out: Path, *, harmless: Collection[str]) -> None:
    """Check that a run may begin or go on in `out`, before anything there is touched.

    Parameters
    ----------
    config
        Settings of this run; those of the earlier one are in ``train.yaml``.
    out
        Its folder.
    harmless
        Settings that may differ where a run is resumed.

    Raises
    ------
    ConfigError
        If there is nothing to resume; or an earlier run, and neither ``resume`` nor ``overwrite`` is set, or both are.
    TrainingError
        If the run to resume has other settings; all that differ are listed.
    """
    if config.resume and config.overwrite:
        message = "resume and overwrite exclude each other: go on with what is in --out, or begin anew"
        raise ConfigError(message)
    if config.resume:
        _check_resume(config, out, harmless=harmless)
    elif not config.overwrite and (held := _what_is_there(out)):
        message = f"{out}: holds {held}, --overwrite begins anew; or give another --out"
        raise ConfigError(message)


def settings_to_keep(config: TrainConfig | ClassifierConfig) -> str:
    """Return the settings as YAML for a later ``--config``; how this run began says nothing about how that one does."""
    return config.model_copy(update={"resume": False, "overwrite": False}).to_yaml()


def _what_is_there(out: Path) -> str:
    """Return what an earlier run left, and what --resume would do with it; nothing if there is none."""
    if (out / WEIGHTS).is_file():
        return "a finished training: --resume writes its bundle again"
    if checkpoint_path(out).is_file():
        return "a training that was stopped: --resume goes on with it"
    return ""


def _check_resume(config: TrainConfig | ClassifierConfig, out: Path, *, harmless: Collection[str]) -> None:
    if not _what_is_there(out):
        message = f"{checkpoint_path(out)}: no checkpoint to resume from; run without --resume first"
        raise ConfigError(message)
    before = type(config).from_yaml(out / SETTINGS)
    changed = {
        name: f"{name}: {getattr(before, name)} -> {getattr(config, name)}"
        for name in type(config).model_fields
        if name not in harmless and getattr(before, name) != getattr(config, name)
    }
    if changed:
        longer = "; to train longer, start another run from the bundle with --weights" if "epochs" in changed else ""
        listed = "; ".join(changed.values())
        message = f"{out}: the checkpoint was made with other settings ({listed}); use another --out{longer}"
        raise TrainingError(message)


def clear(out: Path) -> None:
    """Remove what an earlier run left in `out`: its checkpoint and bundle must never pass for those of this run."""
    if (bundle := _bundle_of(out)) is not None:
        shutil.rmtree(bundle)
    for name in _LEFTOVERS:
        (out / name).unlink(missing_ok=True)
    for name in ("checkpoints", "tensorboard"):
        shutil.rmtree(out / name, ignore_errors=True)


def _bundle_of(out: Path) -> Path | None:
    """Return the bundle that the earlier run in `out` wrote; other bundles there are the user's."""
    try:
        before = yaml.safe_load((out / SETTINGS).read_text(encoding="utf-8"))
        # A classifier's bundle is called after its network unless it has a name.
        name = str(before.get("name") or before.get("network"))
    except (OSError, ValueError, AttributeError, yaml.YAMLError):
        return None
    bundle = (out / name).resolve()
    return bundle if bundle.parent == out.resolve() and (bundle / "card.json").is_file() else None


def read_history(path: Path) -> list[dict[str, float]]:
    """Return the rows of ``history.csv``, one per epoch; none if there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as handle:
        return [{name: float(value) for name, value in line.items()} for line in csv.DictReader(handle)]


def extend_history(path: Path, row: dict[str, float]) -> list[dict[str, float]]:
    """Add an epoch to ``history.csv`` in place of any later ones, and return all rows."""
    rows = [*(line for line in read_history(path) if line["epoch"] < row["epoch"]), row]
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerows({**line, "epoch": int(line["epoch"])} for line in rows)
    return rows
