"""What a training run keeps in its folder, and when a later one may go on from there."""

from __future__ import annotations

import csv
import shutil
from typing import TYPE_CHECKING

import yaml

from fringewatch.errors import ConfigError, TrainingError
from fringewatch.files import atomic_path
from fringewatch.progress import say

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from fringewatch.config import Config

__all__ = ["SETTINGS", "WEIGHTS", "check_resume", "checkpoint_path", "clear", "extend_history", "read_history"]

SETTINGS = "train.yaml"
WEIGHTS = "weights.pt"
_LEFTOVERS = ("history.csv", "history.png", WEIGHTS, "result.json", "validation.csv")


def checkpoint_path(out: Path) -> Path:
    """Return the file of the newest checkpoint."""
    return out / "checkpoints" / "last.ckpt"


def check_resume(config: Config, out: Path, *, harmless: Collection[str]) -> None:
    """Check that a run in `out` can be gone on with.

    Parameters
    ----------
    config
        Settings of this run; those of the earlier one are in ``train.yaml``.
    out
        Its folder.
    harmless
        Settings that may differ.

    Raises
    ------
    ConfigError
        If there is none.
    TrainingError
        If it has other settings; all that differ are listed.
    """
    if not (checkpoint_path(out).is_file() or (out / WEIGHTS).is_file()):
        message = f"{checkpoint_path(out)}: no checkpoint to resume from; run without --resume first"
        raise ConfigError(message)
    before = type(config).from_yaml(out / SETTINGS)
    changed = [
        f"{name}: {getattr(before, name)} -> {getattr(config, name)}"
        for name in type(config).model_fields
        if name not in harmless and getattr(before, name) != getattr(config, name)
    ]
    if changed:
        message = f"{out}: the checkpoint was made with other settings ({'; '.join(changed)}); use another --out"
        raise TrainingError(message)


def clear(out: Path) -> None:
    """Remove what an earlier run left in `out`: its checkpoint and bundle must never pass for those of this run."""
    if checkpoint_path(out).is_file():
        say(f"{out}: begins anew; the run that was stopped there goes on with --resume only")
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
