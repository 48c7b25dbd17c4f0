"""What a training run keeps in its folder, and when a later one may go on from there."""

from __future__ import annotations

import contextlib
import csv
import shutil
from typing import TYPE_CHECKING

import yaml

from fringewatch.errors import ConfigError, TrainingError
from fringewatch.files import PARTIAL, atomic_path

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from fringewatch.training.classifier.settings import ClassifierConfig
    from fringewatch.training.settings import TrainConfig

__all__ = ["RESULT", "SETTINGS", "WEIGHTS", "OtherRunError", "best_path", "check_folder", "checkpoint_path", "clear"]
__all__ += ["extend_history", "read_history", "remove_checkpoints", "remove_partial", "settings_to_keep"]

SETTINGS = "train.yaml"
WEIGHTS = "weights.pt"
RESULT = "result.json"
_LEFTOVERS = (
    *("history.csv", "history.png", WEIGHTS, RESULT, "validation.csv"),
    *("data.json", "samples.json", "scores.json", "checkpoints/last.ckpt", "checkpoints/best.pt"),
)
"""Files that trainings write, beside their settings and bundle."""
_EVENTS = "events.out.tfevents.*"


class OtherRunError(TrainingError):
    """What is there to resume was made with other settings or other data."""


def checkpoint_path(out: Path) -> Path:
    """Return the file of the newest checkpoint."""
    return out / "checkpoints" / "last.ckpt"


def best_path(out: Path) -> Path:
    """Return the file of the weights of the best epoch so far."""
    return out / "checkpoints" / "best.pt"


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
        If there is nothing to resume; or an earlier run, and neither ``resume`` nor ``overwrite`` is set, or both are;
        or files that no training made have the names of those that one would write, its bundle included.
    OtherRunError
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
    elif not (out / SETTINGS).is_file() and (foreign := [name for name in _LEFTOVERS if (out / name).exists()]):
        message = (
            f"{out}: holds {', '.join(foreign)} but no {SETTINGS}: no training is known to have made them, and this "
            "one would replace them; give another --out, or move them away"
        )
        raise ConfigError(message)
    name = str(config.resolved()["name"])
    bundle = out / name
    if bundle.is_dir() and any(bundle.iterdir()) and name != _name_of_bundle(out):
        message = (
            f"{bundle}: is where the bundle would go, and holds something else; give the bundle another --name, or "
            "another --out"
        )
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
    before, now = type(config).from_yaml(out / SETTINGS).resolved(), config.resolved()
    changed = {
        name: f"{name}: {before[name]} -> {now[name]}"
        for name in type(config).model_fields
        if name not in harmless and before[name] != now[name]
    }
    if changed:
        longer = "; to train longer, start another run from the bundle with --weights" if "epochs" in changed else ""
        listed = "; ".join(changed.values())
        message = f"{out}: the checkpoint was made with other settings ({listed}); use another --out{longer}"
        raise OtherRunError(message)


def clear(out: Path) -> None:
    """Remove what an earlier run left in `out`: its checkpoint and bundle must never pass for those of this run.

    Files of other names stay, and where there are no settings of an earlier run everything does.
    """
    if not (out / SETTINGS).is_file():
        return
    bundle = out / _name_of_bundle(out)
    # Its card is written last, and other bundles there are the user's.
    if bundle.resolve().parent == out.resolve() and (bundle / "card.json").is_file():
        shutil.rmtree(bundle)
    for name in _LEFTOVERS:
        (out / name).unlink(missing_ok=True)
    for file in (out / "tensorboard").glob(_EVENTS):
        file.unlink()
    for name in ("tensorboard", "checkpoints"):
        _remove_if_empty(out / name)


def remove_checkpoints(out: Path) -> None:
    """Remove the checkpoints of a run."""
    for file in (checkpoint_path(out), best_path(out)):
        file.unlink(missing_ok=True)
    _remove_if_empty(out / "checkpoints")


def remove_partial(out: Path) -> None:
    """Remove what a run that was killed was about to write, checkpoints of half a gigabyte among it."""
    for folder in (out, out / "checkpoints"):
        for file in folder.glob(PARTIAL):
            file.unlink(missing_ok=True)


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _name_of_bundle(out: Path) -> str:
    """Return what the earlier run in `out` called its bundle; "" where that is not known."""
    try:
        before = yaml.safe_load((out / SETTINGS).read_text(encoding="utf-8"))
        # A classifier's bundle is called after its network unless it has a name.
        return str(before.get("name") or before.get("network"))
    except (OSError, ValueError, AttributeError, yaml.YAMLError):
        return ""


def read_history(path: Path) -> list[dict[str, float]]:
    """Return the rows of ``history.csv``, one per epoch; none if there is no file.

    Raises
    ------
    TrainingError
        If it is damaged.
    """
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as handle:
            return [{name: float(value) for name, value in line.items()} for line in csv.DictReader(handle)]
    except (OSError, ValueError, TypeError, csv.Error) as error:
        message = (
            f"{path}: cannot be read as the history of a training ({error}); expected a column of numbers for each "
            "figure: remove it, and --resume begins another one with the next epoch"
        )
        raise TrainingError(message) from error


def extend_history(path: Path, row: dict[str, float]) -> list[dict[str, float]]:
    """Add an epoch to ``history.csv`` in place of any later ones, and return all rows."""
    rows = [*(line for line in read_history(path) if line["epoch"] < row["epoch"]), row]
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerows({**line, "epoch": int(line["epoch"])} for line in rows)
    return rows
