"""Tables of labels: whole scenes, or boxes of pixels."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.errors import ProductError
from fringewatch.patches.labels import meanings, plain
from fringewatch.patches.manifest import read_box, read_rows
from fringewatch.prepare.labels.scene import Mark, Marks, Scene

if TYPE_CHECKING:
    from fringewatch.patches import Box

__all__ = ["Table"]


class _Row(NamedTuple):
    where: str
    word: str
    box: Box | None
    site: str


class Table:
    """A CSV table with the columns ``file`` and ``label``, and perhaps ``row0, row1, col0, col1`` and ``site``.

    ``file`` is the path of a scene, relative to the table or not, its file name, or the name it has in
    ``prepare.csv``. A row with a box labels the box (half-open pixel bounds), one without labels the whole scene.

    Parameters
    ----------
    path
        The CSV file.

    Raises
    ------
    ProductError
        If it cannot be read, or a row is wrong.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: dict[str, list[_Row]] = defaultdict(list)
        for where, columns in read_rows(path, needed=["file", "label"]):
            if not columns["file"] or not columns["label"]:
                message = f"{where}: file or label is empty; name the scene and what it shows, or remove the row"
                raise ProductError(message)
            row = _Row(where, columns["label"], read_box(columns, where), columns.get("site", ""))
            self._rows[columns["file"]].append(row)
        self._used: set[str] = set()

    @property
    def words(self) -> frozenset[str]:
        """Every label in the table."""
        return frozenset(row.word for rows in self._rows.values() for row in rows)

    def key_of(self, name: str, path: str) -> str | None:
        """Return what a scene is called in the table."""
        return next((key for key in self._keys(name, path) if key in self._rows), None)

    def lay_over(self, scene: Scene) -> Marks | None:
        """Return the boxes of a scene, or None if no row names it."""
        key = self.key_of(scene.name, scene.path)
        if key is None:
            return None
        self._used.add(key)
        rows = self._rows[key]
        marks = [self._mark(row, scene) for row in rows if meanings().get(plain(row.word)) != 0]
        return Marks(marks, site=next((row.site for row in rows if row.site), ""))

    def unused(self) -> list[str]:
        """Name files that are no scene of this run."""
        left = [key for key in self._rows if key not in self._used]
        named = ", ".join(left[:3]) + (", ..." if len(left) > 3 else "")
        return (
            [f"{self._path}: {len(left)} of {len(self._rows)} files are no scene of this run ({named})"] if left else []
        )

    def _keys(self, name: str, address: str) -> list[str]:
        path = Path(address)
        keys = [address, name, path.name, path.stem]
        for folder in (self._path.parent, Path()):
            try:
                keys.insert(1, path.resolve().relative_to(folder.resolve()).as_posix())
            except ValueError:
                continue
        return keys

    @staticmethod
    def _mark(row: _Row, scene: Scene) -> Mark:
        where = np.zeros(scene.shape, bool)
        if row.box is None:
            where[:] = True
        else:
            box = row.box
            if box.row1 > scene.shape[0] or box.col1 > scene.shape[1]:
                message = (
                    f"{row.where}: box rows {box.row0} to {box.row1}, columns {box.col0} to {box.col1} reaches beyond "
                    f"{scene.path}, which is {scene.shape[0]} x {scene.shape[1]} pixels"
                )
                raise ProductError(message)
            where[box.row0 : box.row1, box.col0 : box.col1] = True
        return Mark(where, row.word)
