"""What discovery hands to the readers: a reference to one interferogram, and what the user said about it."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import re
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, get_args

from fringewatch.errors import ProductError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import xarray as xr

__all__ = [
    "Chunks",
    "Kind",
    "ReadOptions",
    "Reader",
    "Reference",
    "Sign",
    "file_name",
    "first_file",
    "is_remote",
    "is_text",
    "join",
    "named_members",
    "parent",
    "split_member",
    "stem",
]

Kind = Literal["auto", "wrapped", "unwrapped", "complex", "picture"]
Sign = Literal["range increase", "range decrease"]
Chunks = int | tuple[int, int] | Literal["auto"] | None

_REMOTE = re.compile(r"(?:/vsi\w+[/?]|[a-z][a-z0-9+.]+://)", re.IGNORECASE)
_RASTER_SUFFIX = re.compile(r"\.(?:tiff?|png|jpe?g|vrt|img|nc|grd|h5)$", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """One interferogram that can be opened, found without reading it.

    Parameters
    ----------
    path
        File path, URL or GDAL ``/vsi...`` path of the phase, without a member. It need not exist: opening says what is
        wrong with it, so that one bad name does not end a batch.
    product
        Name of the reader, such as ``"licsar"``; ``""`` lets :func:`~fringewatch.products.open_interferogram` find out.
    name
        What outputs are called after; unique within one call of :func:`~fringewatch.products.discover`.
    companions
        Paths by variable of the interferogram (``coherence``, ``height``, ``los_east``, ...); a reader looks for those
        that are not given.
    member
        Which interferogram of a file that holds several, such as ``"20180601_20180613"``; ``""`` where it holds one.
    """

    path: str
    product: str = ""
    name: str = ""
    companions: Mapping[str, str] = dataclasses.field(default_factory=lambda: MappingProxyType({}), hash=False)
    member: str = ""

    def __reduce__(self) -> tuple[type[Reference], tuple[str, str, str, dict[str, str], str]]:
        # References travel to other processes, and a view of a mapping cannot.
        return Reference, (self.path, self.product, self.name, dict(self.companions), self.member)

    @property
    def address(self) -> str:
        r"""What a user types to get this interferogram again: ``path`` or ``path#member``.

        Bytes of a name that are not UTF-8, which cannot be printed or stored, are written as ``\xff``.
        """
        address = f"{self.path}#{self.member}" if self.member else self.path
        return address if is_text(address) else os.fsencode(address).decode("utf-8", "backslashreplace")


@dataclasses.dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the user says about a file; see :func:`~fringewatch.products.open_interferogram`."""

    chunks: Chunks = None
    wavelength_m: float | None = None
    phase_sign: Sign | None = None
    kind: Kind = "auto"
    band: int | None = None
    nodata: float | None = None
    interval_days: float | None = None
    companions: bool = True

    def check(self) -> None:
        """Refuse values that no reader knows.

        Raises
        ------
        ProductError
            Naming the argument, its value and what is allowed.
        """
        if self.kind not in get_args(Kind):
            message = f"kind = {self.kind!r}: expected one of {', '.join(get_args(Kind))}"
            raise ProductError(message)
        sides = self.chunks if isinstance(self.chunks, tuple) else (self.chunks, self.chunks)
        whole = len(sides) == 2 and all(isinstance(side, int) and side > 0 for side in sides)
        if self.chunks not in {None, "auto"} and not whole:
            message = f"chunks = {self.chunks!r}: expected a side in pixels, a pair (rows, columns), 'auto' or None"
            raise ProductError(message)
        if self.phase_sign not in {None, *get_args(Sign)}:
            message = f"phase_sign = {self.phase_sign!r}: expected one of {', '.join(get_args(Sign))}, or None"
            raise ProductError(message)
        if self.interval_days is not None and not 0 < self.interval_days < math.inf:
            message = f"interval_days = {self.interval_days!r}: expected a positive number of days, such as 12"
            raise ProductError(message)


@dataclasses.dataclass(frozen=True, slots=True)
class Reader:
    """One provider: how its files are recognised, grouped and read.

    Parameters
    ----------
    name
        Becomes ``attrs["product"]``.
    claims
        Whether a path (its name alone) belongs to this provider; companions are claimed too.
    collect
        From the paths of one folder that are claimed, the references among them: one per interferogram.
    read
        Reference and options to a valid interferogram.
    beside
        The local files, other than those the reference names, that reading it takes along; existing ones only.
    complete
        From a reference, options, and an interferogram in memory that was read without companions: the same with them,
        of some rows (None: of all). None if the reader never leaves them out.
    members
        Whether its files may hold several interferograms, so that a reference may name one as its member.
    """

    name: str
    claims: Callable[[str], bool]
    collect: Callable[[Sequence[str]], list[Reference]]
    read: Callable[[Reference, ReadOptions], xr.Dataset]
    beside: Callable[[Reference], list[str]] = lambda _: []
    complete: Callable[[Reference, ReadOptions, xr.Dataset, slice | None], xr.Dataset] | None = None
    members: bool = False


def is_remote(path: str) -> bool:
    """Tell whether a path is a URL or a GDAL virtual path rather than a local file."""
    return _REMOTE.match(path) is not None


def is_text(path: str) -> bool:
    """Tell whether a name can be printed: one that is not UTF-8 comes from the system with bytes that cannot."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def split_member(text: str) -> tuple[str, str]:
    """Split ``file#member`` at the last mark; the member is ``""`` without one. Files may have that very name, too."""
    path, _, member = text.rpartition("#")
    return (path, member) if path and member else (text, "")


def named_members(path: str, members: Sequence[str]) -> str:
    """Return the end of an error message that says what a file holds and how one of it is named."""
    some = ", ".join(f"#{member}" for member in members[:3])
    more = ", ..." if len(members) > 3 else ""
    return f"{len(members)} interferograms ({some}{more}); name one of them, such as {path}#{members[0]}"


def first_file(paths: Iterable[str]) -> list[str]:
    """Return the first of `paths` that is a local file, as a list of one or none; the rest is not looked at."""
    return next(([path] for path in paths if not is_remote(path) and os.path.isfile(path)), [])  # noqa: PTH113  (see file_name)


def file_name(path: str) -> str:
    """Return the last part of a path or URL, without a query."""
    if is_remote(path):
        return PurePosixPath(path.partition("?")[0] if "://" in path else path).name
    # Asked several times for every file of an archive, where a Path object costs ten times as much.
    plain = path.replace(os.sep, "/").rstrip("/")
    return plain.rpartition("/")[2]


@functools.lru_cache(maxsize=1024)
def parent(path: str) -> str:
    """Return the folder of a path or URL."""
    if is_remote(path):
        return path.partition("?")[0].rpartition("/")[0]
    return str(Path(path).parent)


def join(folder: str, *names: str) -> str:
    """Join names to a folder or URL."""
    if is_remote(folder):
        return "/".join([folder.rstrip("/"), *names])
    return os.path.join(folder, *names)  # noqa: PTH118  (see file_name)


def stem(path: str) -> str:
    """Return the file name without its raster suffix: ``20180601_20180613.geo.diff_pha``."""
    name = file_name(path)
    return _RASTER_SUFFIX.sub("", name) or name
