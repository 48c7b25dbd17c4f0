"""What a run of ``fringewatch prepare`` has finished, so that the next one need not do it again.

One JSON line per scene is appended once its patches are written: a run that was stopped goes on where it was.
"""

from __future__ import annotations

import dataclasses
import json
import threading
from typing import TYPE_CHECKING

from fringewatch.errors import OutputError
from fringewatch.files import write_text

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Journal", "Record", "SceneRow"]

_NAME = ".fringewatch-prepare.jsonl"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SceneRow:
    """A row of ``prepare.csv``: one scene, or one picture of a class folder."""

    file: str
    name: str
    status: str = "ok"
    """``ok``, ``unlabelled`` (nothing says what it shows; left out) or ``failed``."""
    site: str = ""
    windows: int = 0
    """All windows of the scene: the sum of the next six."""
    deformation: int = 0
    """Patches of any class but background."""
    background: int = 0
    """Patches of background with strong edges."""
    without_edges: int = 0
    """Background without classification."""
    partial: int = 0
    """Left out: deformation at the border of the window."""
    missed: int = 0
    """Left out: deformation without strong edges."""
    no_data: int = 0
    """Left out: too few valid pixels."""
    seconds: float = 0.0
    message: str = ""


@dataclasses.dataclass(frozen=True)
class Record:
    """A finished scene: its row and the rows of its patches for the manifest, without split."""

    row: SceneRow
    patches: tuple[dict[str, str], ...]
    state: str
    """The state of its files and the settings when it was done."""


class Journal:
    """The journal of one data set; thread-safe.

    Parameters
    ----------
    folder
        The data set's.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / _NAME
        self._lock = threading.Lock()
        self.records: dict[str, Record] = {}
        if self._path.is_file():
            for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
                record = _parse(line)
                if record is not None:
                    self.records[record.row.name] = record

    def add(self, record: Record) -> None:
        """Record a finished scene at once.

        Raises
        ------
        OutputError
            If the journal cannot be written.
        """
        with self._lock:
            try:
                with self._path.open("a", encoding="utf-8") as handle:
                    # On a line of its own, whatever an earlier run left unfinished.
                    handle.write(f"\n{_line(record)}\n")
            except OSError as error:
                message = f"{self._path}: cannot be written ({error.strerror}); free some space or choose another --out"
                raise OutputError(message) from error
            self.records[record.row.name] = record

    def compact(self) -> None:
        """Rewrite the journal with one line per scene."""
        write_text(self._path, "".join(f"{_line(record)}\n" for record in self.records.values()))


def _line(record: Record) -> str:
    return json.dumps(dataclasses.asdict(record), ensure_ascii=False, separators=(",", ":"))


def _parse(line: str) -> Record | None:
    """Return the record of a line; None for an empty or torn one, or one of another version."""
    try:
        record = json.loads(line)
        return Record(SceneRow(**record["row"]), tuple(record["patches"]), record["state"])
    except (ValueError, TypeError, KeyError):
        return None
