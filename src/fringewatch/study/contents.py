"""Whether a data set is still what it was."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from fringewatch.errors import ProductError
from fringewatch.patches.listing import class_folders
from fringewatch.patches.manifest import MANIFEST, read_rows

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["digest_of"]


def digest_of(data: Path) -> str:
    """Return a digest of a patch data set that changes with it: of its manifest, and of its files by name and size.

    Dates of files do not count, since copies and downloads change them. Nothing but the manifest is read; ``""`` of one
    that cannot be, which training will tell.
    """
    manifest = data / MANIFEST if data.is_dir() else data
    digest = hashlib.sha256()
    try:
        if manifest.is_file():
            digest.update(manifest.read_bytes())
            root = manifest.parent
            names = [columns["file"] for _, columns in read_rows(manifest, needed=["file"])]
        else:
            root = data
            names = [path.relative_to(data).as_posix() for folder in class_folders(data) for path in folder.files]
    except (ProductError, OSError):
        return ""
    for name in names:
        size = path.stat().st_size if (path := root / name).is_file() else -1
        digest.update(f"{name} {size}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]
