"""Atomic files: a name appears only when its content is complete; and where a path leads that goes through links."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from fringewatch.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "DRAWN_BY",
    "PARTIAL",
    "LinkResolver",
    "atomic_path",
    "ensure_folder",
    "is_drawn_here",
    "sole_use",
    "write_text",
]

DRAWN_BY = "fringewatch, a picture for people"
"""What pictures say under ``Software``, so that none is taken for phase."""

PARTIAL = ".*.partial*"
"""Names of files that are being written; see :func:`atomic_path`."""

_MOST_FOLDERS = 10_000


class LinkResolver:
    """``os.path.realpath`` of the files of an archive: each folder on the way is looked at once, not once per file.

    It takes no notice of a folder that becomes a link to another while it is in use.
    """

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def __call__(self, path: str) -> str:
        """Return a path without links."""
        folder, name = os.path.split(path)
        if name in {"", ".", ".."}:
            return os.path.realpath(path)
        whole = os.path.join(self._folder(folder), name)  # noqa: PTH118  (a Path costs more than all the rest)
        return os.path.realpath(whole) if os.path.islink(whole) else whole  # noqa: PTH114  (as above)

    def _folder(self, folder: str) -> str:
        known = self._folders.get(folder)
        if known is None:
            known = self(folder)
            if len(self._folders) >= _MOST_FOLDERS:
                self._folders.clear()
            self._folders[folder] = known
        return known


@contextlib.contextmanager
def atomic_path(target: str | Path) -> Iterator[Path]:
    """Yield a temporary sibling that becomes `target` when the block ends without an error.

    The sibling keeps the target's suffix, since drivers choose a format by it. On any error it is removed and an
    older `target` stays as it was.

    Raises
    ------
    OutputError
        If the folder cannot be written or the disk is full, with the reason and the way out.
    """
    target = Path(target)
    try:
        prefix, suffix = f".{target.stem[:40]}.", f".partial{target.suffix}"
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=target.parent)
        os.close(handle)
    except OSError as error:
        raise OutputError(_explain(target, error)) from error
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private; results are shared like any other file of the user.
        temporary.chmod(0o666 & ~_UMASK)
        temporary.replace(target)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(_explain(target, error)) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(target: str | Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def ensure_folder(folder: str | Path) -> Path:
    """Make a folder for results, with its parents, and check that it can be written."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".fringewatch."):
            pass
    except OSError as error:
        raise OutputError(_explain(folder, error)) from error
    return folder


@contextlib.contextmanager
def sole_use(folder: Path) -> Iterator[Path]:
    """Yield a folder that no other run writes results into meanwhile; the system lets go of it with the process.

    Where folders cannot be locked (Windows, some network file systems), nothing is checked.

    Raises
    ------
    OutputError
        If another run is at work in it.
    """
    with contextlib.ExitStack() as stack:
        if fcntl is not None:
            handle = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, handle)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                message = f"{folder}: another run is writing its results there; choose another --out, or wait for it"
                raise OutputError(message) from error
            except OSError:
                pass
        yield folder


def _read_umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


# The umask can only be read by setting it, which is no business of threads: once, on import.
_UMASK = _read_umask()


def _explain(target: Path, error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"{target}: cannot be written ({reason}); choose another --out, free some space or change the permissions"


def is_drawn_here(path: str | Path) -> bool:
    """Tell whether a PNG was drawn by this package: for people to look at, not phase; False of what cannot be read."""
    try:
        with Path(path).open("rb") as stream:
            # Text stands before the pixels, behind 33 bytes of signature and header.
            return f"Software\0{DRAWN_BY}".encode() in stream.read(512)
    except (OSError, ValueError):
        return False
