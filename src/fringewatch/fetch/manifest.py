"""``manifest.csv``: which files of a folder were fetched, from where, which version, with what checksum."""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import io
from typing import TYPE_CHECKING

from fringewatch.errors import FetchError
from fringewatch.fetch.client import Version
from fringewatch.files import write_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from fringewatch.fetch.client import Outcome

__all__ = ["NAME", "Entry", "read_manifest", "write_manifest"]

NAME = "manifest.csv"


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A row.

    Attributes
    ----------
    file
        Path below the folder of the manifest, with slashes.
    bytes
        Its size.
    sha256
        Of what came.
    etag, last_modified
        What the server said of its version.
    fetched
        When it came, UTC, ISO 8601.
    url
        Where it came from.
    """

    file: str
    bytes: int
    sha256: str
    etag: str
    last_modified: str
    fetched: str
    url: str

    @property
    def version(self) -> Version:
        """The version that was fetched."""
        return Version(self.etag, self.last_modified)


_COLUMNS = [field.name for field in dataclasses.fields(Entry)]


def read_manifest(folder: Path) -> dict[str, Entry]:
    """Return the rows of a folder's manifest by file; none where there is no manifest.

    Raises
    ------
    FetchError
        If there is one that cannot be read.
    """
    path = folder / NAME
    if not path.is_file():
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        return {
            row["file"]: Entry(
                row["file"],
                int(row["bytes"]),
                row["sha256"],
                row["etag"],
                row["last_modified"],
                row["fetched"],
                row["url"],
            )
            for row in rows
        }
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError) as error:
        message = (
            f"{path}: is not the manifest of an earlier fetch ({type(error).__name__}: {error}), expected the columns "
            f"{', '.join(_COLUMNS)}; move it away or choose another --out"
        )
        raise FetchError(message) from error


def write_manifest(folder: Path, entries: dict[str, Entry], outcomes: Iterable[Outcome]) -> Path:
    """Write the manifest with what was fetched now added to `entries`; files that are gone are left out.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    rows = dict(entries)
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    for outcome in outcomes:
        if outcome.status != "fetched":
            continue
        target = outcome.item.target
        file = target.relative_to(folder).as_posix()
        rows[file] = Entry(
            file,
            target.stat().st_size,
            outcome.sha256,
            outcome.version.etag,
            outcome.version.last_modified,
            now,
            outcome.item.url,
        )
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(dataclasses.asdict(row) for _, row in sorted(rows.items()) if (folder / row.file).is_file())
    write_text(folder / NAME, text.getvalue())
    return folder / NAME
