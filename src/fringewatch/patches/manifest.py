"""The table of a patch data set: ``manifest.csv``."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fringewatch.errors import ProductError
from fringewatch.files import write_text
from fringewatch.patches.labels import BINARY, split_of
from fringewatch.patches.record import Box, Patch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["MANIFEST", "Row", "read_box", "read_rows", "to_patch", "write_manifest"]

MANIFEST = "manifest.csv"
_BOX = ("row0", "row1", "col0", "col1")


class Row(NamedTuple):
    """A row of a manifest."""

    where: str
    columns: dict[str, str]


def write_manifest(path: str | Path, patches: Iterable[Patch], *, classes: Sequence[str] = BINARY) -> None:
    """Write a manifest that :func:`~fringewatch.patches.open_patches` reads back to equal patches, atomically.

    Parameters
    ----------
    path
        The CSV file. Files are written relative to its folder where they lie under it, and absolute otherwise.
    patches
        Its rows.
    classes
        Name of each label.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    path = Path(path)
    rows = [_row(patch, path.parent, classes) for patch in patches]
    header = list(dict.fromkeys(column for row in rows for column in row)) or ["file", "label"]
    text = io.StringIO()
    writer = csv.DictWriter(text, header, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_rows(manifest: Path, *, needed: Sequence[str]) -> list[Row]:
    """Read a manifest.

    Parameters
    ----------
    manifest
        The CSV file.
    needed
        Columns without which it is of no use.

    Returns
    -------
    list of Row
        Where each row stands, for messages, and its columns as text without surrounding space.

    Raises
    ------
    ProductError
        If it cannot be read, lacks a column, or a row is torn.
    """
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle)
            header = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = header
            rows = [(f"{manifest}, line {reader.line_num}", row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        message = f"{manifest}: cannot be read ({error}); expected a CSV file with the columns {' and '.join(needed)}"
        raise ProductError(message) from error
    if missing := [name for name in needed if name not in header]:
        message = (
            f"{manifest}: has no column {' or '.join(map(repr, missing))} (columns: {', '.join(header) or 'none'}); "
            f"expected a CSV file with at least {' and '.join(needed)}"
        )
        raise ProductError(message)
    return [Row(where, _columns(where, row)) for where, row in rows]


def to_patch(manifest: Path, where: str, columns: Mapping[str, str], label: int) -> Patch:
    """Return the patch of a row.

    Raises
    ------
    ProductError
        If it names no file, or its box is wrong.
    """
    if not columns["file"]:
        message = f"{where}: the column 'file' is empty; expected a path relative to the manifest"
        raise ProductError(message)
    return Patch(
        path=manifest.parent / columns["file"],
        label=label,
        kind=columns.get("kind", ""),
        site=columns.get("site", ""),
        group=columns.get("scene_group", ""),
        quality=columns.get("quality", ""),
        split=split_of(columns.get("split", "")) or columns.get("split", ""),
        box=read_box(columns, where),
        columns=columns,
    )


def _columns(where: str, row: Mapping[str, str | None]) -> dict[str, str]:
    # A short row leaves None, a long one a list under the key None.
    if None in row or any(value is None for value in row.values()):
        message = f"{where}: has another number of fields than the header; quote fields that hold commas"
        raise ProductError(message)
    return {name: (value or "").strip() for name, value in row.items()}


def read_box(columns: Mapping[str, str], where: str) -> Box | None:
    """Return the box of a row, or None where its four fields are empty or missing.

    Raises
    ------
    ProductError
        If they are no pixel bounds.
    """
    texts = [columns.get(name, "") for name in _BOX]
    if not any(texts):
        return None
    try:
        box = Box(*(int(float(text)) for text in texts))
    except ValueError as error:
        message = (
            f"{where}: box {', '.join(_BOX)} = {', '.join(texts)}; expected four pixel indices or four empty fields"
        )
        raise ProductError(message) from error
    if not (0 <= box.row0 < box.row1 and 0 <= box.col0 < box.col1):
        message = f"{where}: box rows {box.row0} to {box.row1}, columns {box.col0} to {box.col1} is empty or negative"
        raise ProductError(message)
    return box


def _row(patch: Patch, folder: Path, classes: Sequence[str]) -> dict[str, str]:
    try:
        file = patch.path.relative_to(folder).as_posix()
    except ValueError:
        file = patch.path.absolute().as_posix()
    known = {
        "file": file,
        "label": classes[patch.label],
        "kind": patch.kind,
        "site": patch.site,
        "scene_group": patch.group,
        "quality": patch.quality,
        "split": patch.split,
    }
    box = {name: str(value) for name, value in zip(_BOX, patch.box, strict=True)} if patch.box else {}
    rest = {name: value for name, value in patch.columns.items() if name not in known and name not in _BOX}
    return known | box | rest
