"""Which files of a folder have names of a kind, without reading the folder once for every scene in it."""

from __future__ import annotations

import functools
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re
    from pathlib import Path

__all__ = ["names_in"]

_SETTLED_NS = 2_000_000_000


def names_in(folder: str | Path, pattern: re.Pattern[str]) -> tuple[str, ...]:
    """Return the paths in a folder whose names `pattern` finds, sorted; none where there is no such folder."""
    try:
        changed_ns = os.stat(folder).st_mtime_ns  # noqa: PTH116  (a Path would cost twice as much)
        # Asked for every scene of an archive, whose folder may hold all of them: one listing each would be quadratic.
        # A folder that has just changed may do so again before the clock of its file system ticks.
        settled = time.time_ns() - changed_ns > _SETTLED_NS
        return _cached_listing(str(folder), pattern, changed_ns) if settled else _listing(str(folder), pattern)
    except OSError:
        return ()


def _listing(folder: str, pattern: re.Pattern[str]) -> tuple[str, ...]:
    with os.scandir(folder) as entries:
        return tuple(sorted(entry.path for entry in entries if pattern.search(entry.name)))


@functools.lru_cache(maxsize=256)
def _cached_listing(folder: str, pattern: re.Pattern[str], _changed_ns: int) -> tuple[str, ...]:
    return _listing(folder, pattern)
