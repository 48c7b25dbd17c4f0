"""Zips of any provider's files, read in place through GDAL's ``/vsizip``; never unpacked.

``archive.zip`` gives the interferograms inside, ``archive.zip!folder/pair.tif`` or ``archive.zip#folder/pair.tif`` one
of them. Refused are archives that name files outside of themselves, that are encrypted, and that would grow by more
than any raster can.
"""

from __future__ import annotations

import functools
import re
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from fringewatch.errors import ProductError
from fringewatch.products.containers import Inside, container_reader
from fringewatch.products.reference import Reader, file_name, is_remote

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["member_names", "zip_reader"]

_ZIP = re.compile(r"\.zip$", re.IGNORECASE)
_OUTSIDE = re.compile(r"^[/\\]|^[a-z]:|(?:^|[/\\])\.\.(?:[/\\]|$)|[\\\0]", re.IGNORECASE)
# A VRT names files anywhere; a zip in a zip could hide another, and so on.
_NOT_READ = re.compile(r"\.(?:vrt|zip|json)$|(?:^|/)[._]", re.IGNORECASE)
_MOST_GROWTH, _FREE_BYTES = 200, 64 * 1024**2
"""Phase and nodata of real scenes shrink to a twentieth at the very best."""
_MOST_MEMBERS = 100_000


def member_names(path: str) -> list[str]:
    """Return the names of the files in a local zip, once it has been checked.

    Raises
    ------
    ProductError
        If it is missing, damaged or refused.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
        size = Path(path).stat().st_size
    except FileNotFoundError as error:
        message = f"{path}: there is no such file, expected a zip; check the spelling"
        raise ProductError(message) from error
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        message = f"{path}: cannot be read as a zip ({error}), expected one as it was downloaded; fetch it again"
        raise ProductError(message) from error
    if len(members) > _MOST_MEMBERS:
        message = f"{path}: holds {len(members):,} files, expected at most {_MOST_MEMBERS:,}; it was not opened"
        raise ProductError(message)
    for member in members:
        if _OUTSIDE.search(member.orig_filename):
            message = (
                f"{path}: names the file {member.orig_filename!r}, expected names inside the zip only; such archives "
                "are made to overwrite files, it was not opened"
            )
            raise ProductError(message)
        if member.flag_bits & 1:
            message = f"{path}: is encrypted ({member.filename}), expected a plain zip; unpack it first"
            raise ProductError(message)
    total = sum(member.file_size for member in members)
    if total > _MOST_GROWTH * size + _FREE_BYTES:
        message = (
            f"{path}: would grow from {size:,} to {total:,} bytes, expected at most {_MOST_GROWTH} times as much; it "
            "was not opened; unpack it yourself if you trust it"
        )
        raise ProductError(message)
    return [member.filename for member in members if not member.is_dir()]


def zip_reader(readers: Sequence[Reader]) -> Reader:
    """Return the reader of zips whose content `readers` read."""
    return container_reader("zip", readers, claims=_claims, look_inside=functools.partial(_look_inside, readers))


def _claims(path: str) -> bool:
    return _ZIP.search(file_name(path)) is not None and not is_remote(path)


def _look_inside(readers: Sequence[Reader], path: str) -> list[Inside]:
    names = member_names(path)
    if any(part.upper().endswith(".SAFE") for name in names[:20] for part in PurePosixPath(name).parts[:1]):
        # Radar images as the satellite's operator delivers them: many rasters, no interferogram.
        return []
    base = f"/vsizip/{Path(path).resolve()}/"
    left = [f"{base}{name}" for name in sorted(names) if not _NOT_READ.search(name)]
    inside = []
    for reader in readers:
        mine = [inner for inner in left if reader.claims(inner)]
        left = [inner for inner in left if inner not in set(mine)]
        inside += [Inside(found.path.removeprefix(base), found) for found in reader.collect(mine)]
    return sorted(inside, key=lambda found: found.member)
