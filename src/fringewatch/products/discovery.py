"""From what a user names - files, folders, patterns, URLs - to references, one per interferogram."""

from __future__ import annotations

import csv
import dataclasses
import glob
import itertools
import os
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from fringewatch.files import LinkResolver, is_drawn_here
from fringewatch.products.reference import Reference, file_name, is_remote, parent, split_member, stem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from fringewatch.products.reference import Reader

__all__ = ["another_name", "discover_with"]

_LOSSY = re.compile(r"\.jpe?g$", re.IGNORECASE)
"""JPEG spoils phase: read where it is named by itself, not looked for."""
_UNSAFE = re.compile(r"[^\w.+() -]")
_MAX_NAME = 180
_ABOVE = 4
"""Folders above a file's own that are asked for a name."""
_SKIPPED_FOLDERS = {"mask", "masks", "truth", "__pycache__"}
_JOURNAL = ".fringewatch-prepare.jsonl"
_WRITTEN = {_JOURNAL, "prepare.csv", "simulate.yaml"}
"""What `prepare` and `simulate` leave in their folders."""


def discover_with(
    readers: Sequence[Reader], paths: Iterable[str | Path] | str | Path, *, recursive: bool
) -> Iterator[Reference]:
    """Yield references; see :func:`fringewatch.products.discover`."""
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    texts = [_local(os.fspath(path)) for path in given]
    named = _named(readers, [text for text in texts if is_remote(text) or _is_file(Path(text))])
    named |= {text: [reference] for text in texts if text not in named and (reference := _member(readers, text))}
    # Of hundreds of thousands of files, what was seen is kept as hashes of 64 bits: that any two of a million are the
    # same has a chance of 1 in 40 million.
    seen: set[int] = set()
    names: set[int] = set()
    resolve = LinkResolver()
    for text in texts:
        references = named[text] if text in named else _search(readers, text, recursive=recursive)
        for reference in references:
            path = reference.path if is_remote(reference.path) else resolve(reference.path)
            key = hash((path, reference.member))
            if key in seen:
                continue
            seen.add(key)
            name = _unique(reference, names)
            names.add(hash(name))
            yield reference if name == reference.name else dataclasses.replace(reference, name=name)


def _local(text: str) -> str:
    """Return a ``file://`` address or a path below ``~`` as a plain path, anything else as it is."""
    if text.lower().startswith("file://"):
        return url2pathname(urlsplit(text).path)
    # `archive.zip!member` is how some tools name what `archive.zip#member` is here.
    text = re.sub(r"(\.zip)!", r"\1#", text, count=1, flags=re.IGNORECASE)
    return str(Path(text).expanduser()) if text.startswith("~") else text


def _member(readers: Sequence[Reader], text: str) -> Reference | None:
    """Return the reference that ``file#member`` names; None where the part before the mark is no local file."""
    path, member = split_member(text)
    if not member or not _is_file(Path(path)):
        return None
    reader = _claimer(readers, path)
    return Reference(path, reader.name if reader else "", f"{stem(path)}_{member}", member=member)


def _named(readers: Sequence[Reader], texts: Sequence[str]) -> dict[str, list[Reference]]:
    """Return the references of files that the user, or the shell for the user, named one by one."""
    by_folder: dict[str, list[str]] = defaultdict(list)
    for text in texts:
        by_folder[parent(text)].append(text)
    found: dict[str, list[Reference]] = {}
    left_out: dict[str, Reader] = {}
    for files in by_folder.values():
        claimed = {text: _claimer(readers, text) for text in files}
        for reader in readers:
            mine = [text for text, owner in claimed.items() if owner is reader]
            for reference in reader.collect(mine):
                found.setdefault(reference.path, []).append(reference)
            left_out |= {text: reader for text in mine if text not in found}
        found |= {text: [Reference(text, "", stem(text))] for text, owner in claimed.items() if owner is None}
    whole = bool(found)
    for text, reader in left_out.items():
        # What goes with an interferogram that is named too needs no word; alone, it has to be reported.
        found[text] = [] if whole else [Reference(text, reader.name, stem(text))]
    return found


def _claimer(readers: Sequence[Reader], text: str) -> Reader | None:
    return next((reader for reader in readers if reader.claims(text)), None)


def _search(readers: Sequence[Reader], text: str, *, recursive: bool) -> Iterator[Reference]:
    path = Path(text)
    found = False
    if text and _is_folder(path):
        for reference in _walk(readers, path, recursive=recursive):
            found = True
            yield reference
    elif glob.has_magic(text):
        for reference in _match(readers, text, recursive=recursive):
            found = True
            yield reference
    if not found:
        # Not an exception: it fails when it is opened, with the reason, and the other paths go on.
        yield Reference(text, "", stem(text))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        # A name too long, a null byte, a folder that may not be entered: opening it will say so.
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _walk(readers: Sequence[Reader], folder: Path, *, recursive: bool) -> Iterator[Reference]:
    # Archives are often folders of links; a link to a folder above would never end.
    entered: set[str] = set()
    resolve = LinkResolver()
    closed: list[OSError] = []
    for root, folders, files in os.walk(folder, followlinks=True, onerror=closed.append):
        real = resolve(root)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        if root != str(folder) and not _WRITTEN.isdisjoint(files) and _is_patch_set(root, files):
            folders.clear()
            continue
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f.lower() not in _SKIPPED_FOLDERS)
        if not recursive:
            folders.clear()
        # As a Path spells it, which costs more than all else here where it is made for every file.
        plain = os.path.join(str(Path(root)), "")  # noqa: PTH118
        yield from _collect(readers, [plain + name for name in sorted(files) if not name.startswith(".")])
    # Opening such a folder says that it may not be entered.
    yield from (Reference(error.filename, "", stem(error.filename)) for error in closed)


def _match(readers: Sequence[Reader], pattern: str, *, recursive: bool) -> Iterator[Reference]:
    by_folder: dict[str, list[str]] = defaultdict(list)
    for name in sorted(glob.iglob(pattern, recursive=True)):  # noqa: PTH207  (absolute and relative patterns alike)
        path = Path(name)
        if path.is_dir():
            yield from _walk(readers, path, recursive=recursive)
        else:
            by_folder[str(path.parent)].append(name)
    for files in by_folder.values():
        yield from _collect(readers, files)


def _collect(readers: Sequence[Reader], files: list[str]) -> list[Reference]:
    left = [path for path in files if not _LOSSY.search(path) and not _is_picture_of_ours(path)]
    references: list[Reference] = []
    for reader in readers:
        if not left:
            break
        claimed = [reader.claims(path) for path in left]
        if not any(claimed):
            continue
        mine = list(itertools.compress(left, claimed))
        left = [path for path, taken in zip(left, claimed, strict=True) if not taken]
        # A picture beside a raster of the same name is its quicklook.
        stems = {stem(reference.path) for reference in references}
        references += [reference for reference in reader.collect(mine) if stem(reference.path) not in stems]
    return sorted(references, key=lambda reference: reference.path)


def _is_patch_set(folder: str, files: Collection[str]) -> bool:
    """Tell whether a folder in which `prepare` or `simulate` wrote holds patches: pictures of phase, but no scenes.

    `simulate` also writes scenes, in LiCSAR form: what the manifest lists decides.
    """
    try:
        if _JOURNAL in files and (Path(folder) / _JOURNAL).stat().st_size:
            # One that was killed has no manifest yet.
            return True
        with (Path(folder) / "manifest.csv").open(newline="", encoding="utf-8") as handle:
            first = next(csv.DictReader(handle), {})
    except (OSError, ValueError, csv.Error):
        return False
    return (first.get("file") or "").endswith(".png") and "label" in first


def _is_picture_of_ours(path: str) -> bool:
    """Tell whether a file is a picture of an earlier run, or of a preview; companions leave out maps."""
    return path.lower().endswith(".png") and is_drawn_here(path)


def _unique(reference: Reference, taken: set[int]) -> str:
    # Outputs are called after it, with suffixes of their own.
    name = _UNSAFE.sub("_", reference.name or stem(reference.path))[:_MAX_NAME] or "interferogram"
    return another_name(dataclasses.replace(reference, name=name), taken) if hash(name) in taken else name


def another_name(reference: Reference, taken: Collection[int]) -> str:
    """Return a name for a reference whose own is taken, by its folder; `taken` holds hashes of names."""
    name, above = reference.name, parent(reference.path)
    folder = file_name(above)
    for _ in range(_ABOVE):
        # Folders of a LiCSAR archive are called after frame and dates, and tell no more than the name.
        if not folder or (folder not in name and folder != "interferograms"):
            break
        above = parent(above)
        folder = file_name(above)
    folder = folder or file_name(parent(reference.path))
    if folder:
        name = _UNSAFE.sub("_", f"{folder}_{name}")[:_MAX_NAME]
    candidate, number = name, 2
    while hash(candidate) in taken:
        candidate, number = f"{name}-{number}", number + 1
    return candidate
