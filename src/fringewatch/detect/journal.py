"""What a run has finished, so that the next one need not do it again.

One JSON line per scene is appended when its outputs are complete, so that a run that was stopped, even by a power cut,
goes on where it was. A scene is kept only if its file, the model and the settings are the same and its outputs exist.
"""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from typing import TYPE_CHECKING, Any

from fringewatch.errors import OutputError
from fringewatch.files import LinkResolver, write_text
from fringewatch.products.reference import is_remote
from fringewatch.report import SceneRow

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["JOURNAL_NAME", "Entry", "Journal", "file_state"]

_resolve = LinkResolver()

JOURNAL_NAME = ".fringewatch-journal.jsonl"


@dataclasses.dataclass(frozen=True)
class Entry:
    """A finished scene: its row, the state of its file, and a digest of model and settings."""

    row: SceneRow
    state: str
    settings: str
    place: str
    """Of the file, see :func:`place_of`."""
    member: str = ""
    """Which interferogram of the file, if it holds several."""


def place_of(path: str) -> str:
    """Return how a journal knows a file: links to folders are resolved, one to the file itself is not."""
    folder, name = os.path.split(path)
    return path if is_remote(path) else os.path.join(os.path.realpath(folder), name)  # noqa: PTH118  (see _one_state)


def file_state(path: str, companions: Iterable[str] = (), *, member: str = "") -> str:
    """Return where a scene's local files lie, their sizes and modification times; of a URL the address alone.

    Parameters
    ----------
    path
        The phase.
    companions
        What is read along with it. One that goes, comes or changes changes the state.
    member
        Which interferogram of the file, if it holds several.
    """
    state = "|".join(_one_state(file) for file in (path, *companions))
    return f"{state}#{member}" if member else state


def _one_state(path: str) -> str:
    try:
        status = os.stat(path)  # noqa: PTH116  (asked for every file of an archive, where a Path costs much more)
    except (OSError, ValueError):
        return path
    folder, name = os.path.split(path)
    return f"{_resolve(folder)}{os.sep}{name}:{status.st_size}:{status.st_mtime_ns}"


class Journal:
    """The journal of one output folder; thread-safe.

    Parameters
    ----------
    folder
        The output folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / JOURNAL_NAME
        self._lock = threading.Lock()
        self.entries: dict[str, Entry] = {}
        self._torn = False
        if self._path.is_file():
            text = self._path.read_text(encoding="utf-8", errors="replace")
            self._torn = not text.endswith("\n")
            for line in text.splitlines():
                entry = _parse(line)
                if entry is not None:
                    self.entries[entry.row.name] = entry

    def find(self, name: str, file: str, state: str, settings: str, outputs: Iterable[Path]) -> SceneRow | None:
        """Return the row of a scene that need not be done again, or None."""
        entry = self.entries.get(name)
        if entry is None or entry.settings != settings or entry.state != state:
            return None
        if not all(path.is_file() and path.stat().st_size for path in outputs):
            return None
        # The same file may be named by another path this time.
        return dataclasses.replace(entry.row, file=file)

    def owner(self, name: str) -> str:
        """Return the file, without links, or the address whose results have a name; "" if there are none."""
        entry = self.entries.get(name)
        if entry is None:
            return ""
        return entry.place

    def names(self) -> dict[tuple[str, str], str]:
        """Return names by file, as :meth:`owner` gives it, and by the member of it."""
        return {(entry.place, entry.member): name for name, entry in self.entries.items()}

    def add(self, row: SceneRow, state: str, settings: str, *, place: str, member: str = "") -> None:
        """Record a finished scene at once.

        Raises
        ------
        OutputError
            If the journal cannot be written.
        """
        entry = Entry(row, state, settings, place, member)
        with self._lock:
            try:
                with self._path.open("a", encoding="utf-8") as handle:
                    # A line that a full disk or a power cut left unfinished must not swallow this one.
                    handle.write("\n" * self._torn + _line(entry))
            except OSError as error:
                self._torn = True
                message = f"{self._path}: cannot be written ({error.strerror}); free some space or choose another --out"
                raise OutputError(message) from error
            self._torn = False
            self.entries[row.name] = entry

    def forget(self, name: str) -> bool:
        """Drop a scene whose results are no longer good; tell whether it was known."""
        with self._lock:
            return self.entries.pop(name, None) is not None

    def compact(self) -> None:
        """Rewrite the journal with one line per scene."""
        write_text(self._path, "".join(_line(entry) for entry in self.entries.values()))


def _line(entry: Entry) -> str:
    keys = {"state": entry.state, "settings": entry.settings, "place": entry.place, "member": entry.member}
    record = keys | {"row": dataclasses.asdict(entry.row)}
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"


def _parse(line: str) -> Entry | None:
    """Return the entry of a line; None for the torn last line of a killed run, or one of another version."""
    try:
        record: dict[str, Any] = json.loads(line)
        return Entry(SceneRow(**record["row"]), *(str(record[key]) for key in ("state", "settings", "place", "member")))
    except (ValueError, TypeError, KeyError):
        return None
