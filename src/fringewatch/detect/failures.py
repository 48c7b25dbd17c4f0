"""``failed.csv`` of an archive: files that could not be scanned, and why."""

from __future__ import annotations

import csv
import dataclasses
from typing import TYPE_CHECKING, Self

from fringewatch.errors import OutputError
from fringewatch.progress import say
from fringewatch.report import SceneRow, read_summary, write_summary

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MOST_LISTED", "Failures"]

MOST_LISTED = 500
"""Rows of an archive that the result of its run holds, of each kind."""
_MOST_SAID = 20


class Failures:
    """``failed.csv``: files that could not be scanned, written as they come; removed if there is none.

    Parameters
    ----------
    path
        The table.

    Attributes
    ----------
    first
        Rows of the first that failed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._said = 0
        self._failed: set[str] = set()
        self._mended = False
        self.first: list[SceneRow] = []

    def __enter__(self) -> Self:
        try:
            self._handle = self._path.open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise self._explain(error) from error
        self._writer = csv.DictWriter(
            self._handle, [field.name for field in dataclasses.fields(SceneRow)], lineterminator="\n"
        )
        self._writer.writeheader()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._handle.close()
        except OSError as error:
            # An error of the run itself says more.
            if kind is None:
                raise self._explain(error) from error
            return
        if self._said > _MOST_SAID:
            say(f"failed: {self._said - _MOST_SAID:,} more, in {self._path}")
        if not self._failed:
            self._path.unlink(missing_ok=True)
        elif self._mended:
            # Of each file that still fails the last reason.
            last = {row.file: row for row in read_summary(self._path) if row.file in self._failed}
            write_summary(self._path, last.values())

    def add(self, row: SceneRow) -> None:
        """Add a row, and say it if it is among the first."""
        self._said += 1
        if self._said <= _MOST_SAID:
            say(f"failed: {row.message}")
        try:
            self._writer.writerow(row.as_text())
            self._handle.flush()
        except OSError as error:
            raise self._explain(error) from error
        known = row.file in self._failed
        self._mended |= known
        self._failed.add(row.file)
        if not known and len(self.first) < MOST_LISTED:
            self.first.append(row)

    def _explain(self, error: OSError) -> OutputError:
        reason = f"{self._path}: cannot be written ({error.strerror})"
        return OutputError(f"{reason}; free some space or choose another --out. What is in the catalogue is kept")

    def withdraw(self, row: SceneRow) -> None:
        """Take the failure of a file back that was mended."""
        if row.file not in self._failed:
            return
        self._failed.remove(row.file)
        self._mended = True
        self.first = [other for other in self.first if other.file != row.file]
