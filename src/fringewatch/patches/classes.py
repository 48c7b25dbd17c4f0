"""Reading a data set of any classes for training, and refusing one that would spoil it."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, overload

from PIL import Image, UnidentifiedImageError

from fringewatch.errors import ConfigError, ProductError
from fringewatch.patches.labels import BINARY, class_names, meanings, plain, shows_deformation
from fringewatch.patches.linked import Linked
from fringewatch.patches.listing import class_folders
from fringewatch.patches.manifest import MANIFEST, read_rows, to_patch
from fringewatch.patches.record import Patch

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

__all__ = ["PatchSet", "Size", "read_patch_set"]

_MOST_NAMED = 5
_TAIL_BYTES = 256
_RASTERS = (".tif", ".tiff")
_PNG_END = b"IEND\xaeB`\x82"


class Size(NamedTuple):
    """Sides of a picture in pixels."""

    height_px: int
    width_px: int

    def __str__(self) -> str:
        return f"{self.height_px} x {self.width_px}"


@dataclasses.dataclass(frozen=True, slots=True)
class PatchSet(Sequence[Patch]):
    """The patches of a data set, a sequence, with what is known of them all.

    Parameters
    ----------
    patches
        In the order of the manifest, or sorted by path.
    classes
        Name of each label: label 1 is ``classes[1]``.
    sizes
        Number of patches by size.
    told
        Whether there are two classes, of which it is known that the second shows deformation and the first does not.
    """

    patches: tuple[Patch, ...]
    classes: tuple[str, ...]
    sizes: dict[Size, int]
    told: bool

    def __len__(self) -> int:
        return len(self.patches)

    @overload
    def __getitem__(self, index: int) -> Patch: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Patch, ...]: ...
    def __getitem__(self, index: int | slice) -> Patch | tuple[Patch, ...]:
        """Return one patch, or several as a tuple."""
        return self.patches[index]

    def counts(self, split: str | None = None) -> dict[str, int]:
        """Return the number of patches of each class, of all or of one split."""
        labels = Counter(patch.label for patch in self.patches if split is None or patch.split == split)
        return {name: labels[label] for label, name in enumerate(self.classes)}


def read_patch_set(
    root: str | Path, *, any_size: bool = False, positive: Sequence[str] = (), negative: Sequence[str] = ()
) -> PatchSet:
    """List the patches of a data set for training.

    Parameters
    ----------
    root
        A manifest, a folder that holds ``manifest.csv``, or a folder of class folders (also below ``train`` and
        ``validation``), of two classes or more.
    any_size
        Let pictures differ in size, for networks that take any.
    positive, negative
        Label words that mean deformation and background, beyond the known ones (see :func:`open_patches`).

    Returns
    -------
    PatchSet
        Names that all mean deformation or background (``deformation``, ``1``, ``none``, ``quiet``, ``0``, ...) give
        the labels 1 and 0. Otherwise every name is a class of its own, labelled in sorted order: names for background
        first, names for deformation last, numbers by value. Pictures that are copies of each other are of one scene
        group, and so are the groups that they belong to, so that :func:`~fringewatch.patches.split_by_site` keeps them
        together.

    Raises
    ------
    ProductError
        If there is no data set; if it has one class only or a class folder is empty; if a picture is missing, cannot
        be read or, unless `any_size`, has another size than most; if one is listed twice, or has copies under another
        label or in another split. The message names the files and says what to do.
    ConfigError
        If a word is given as both positive and negative, or is no label of the set.
    """
    root = Path(root)
    known = meanings(positive, negative)
    manifest = root / MANIFEST if root.is_dir() else root
    if manifest.is_file():
        patches, classes, words = _from_manifest(manifest, known)
    elif root.is_dir():
        patches, classes, words = _from_folders(root, known)
    else:
        message = f"{root}: no such file or folder; expected a {MANIFEST}, a folder with one, or class folders"
        raise ProductError(message)
    if strange := sorted({plain(word) for word in (*positive, *negative)} - words):
        message = f"{root}: {', '.join(strange)}: no label of this set; its labels are {', '.join(sorted(words))}"
        raise ConfigError(message)
    _check_listed_once(root, patches)
    sizes = _read_sizes(root, patches)
    if not any_size and len(set(sizes)) > 1:
        _refuse_sizes(root, patches, sizes)
    told = len(classes) == 2 and shows_deformation(classes, known)
    return PatchSet(tuple(_group_copies(root, patches, classes)), classes, dict(Counter(sizes)), told)


def _from_manifest(manifest: Path, known: Mapping[str, int]) -> tuple[list[Patch], tuple[str, ...], set[str]]:
    rows = read_rows(manifest, needed=["file", "label"])
    for where, columns in rows:
        if not columns["label"]:
            message = f"{where}: the column 'label' is empty; name the class of {columns['file']}, or remove the row"
            raise ProductError(message)
    words = {plain(columns["label"]) for _, columns in rows}
    classes = class_names(words, known)
    _check_classes(manifest, classes)
    numbers = _numbers(classes, known)
    patches = [to_patch(manifest, where, columns, numbers[plain(columns["label"])]) for where, columns in rows]
    return patches, classes, words


def _from_folders(root: Path, known: Mapping[str, int]) -> tuple[list[Patch], tuple[str, ...], set[str]]:
    folders = class_folders(root)
    filled = {plain(entry.folder.name) for entry in folders if entry.files}
    if not filled:
        message = f"{root}: holds no patches; expected rows in a {MANIFEST}, or images in folders named by class"
        raise ProductError(message)
    if empty := [str(entry.folder) for entry in folders if not entry.files]:
        message = (
            f"{_some(empty)}: no images in the folder of a class, expected PNG, JPEG or TIFF; "
            "fill it, or remove the folder if it is no class"
        )
        raise ProductError(message)
    classes = class_names(filled, known)
    _check_classes(root, classes)
    numbers = _numbers(classes, known)
    patches = [patch for entry in folders for patch in entry.patches(root, numbers[plain(entry.folder.name)])]
    return patches, classes, filled


def _numbers(classes: Sequence[str], known: Mapping[str, int]) -> Mapping[str, int]:
    own = {name: label for label, name in enumerate(classes)}
    return known if tuple(classes) == BINARY else own


def _check_classes(where: Path, classes: Sequence[str]) -> None:
    if len(classes) < 2:
        found = f"one class only ({classes[0]!r})" if classes else "no patches"
        message = (
            f"{where}: has {found}, expected two or more; a classifier learns from what a class is not: add patches of "
            "the other, for example with `fringewatch simulate` or from quiet scenes"
        )
        raise ProductError(message)


def _check_listed_once(root: Path, patches: Sequence[Patch]) -> None:
    twice = [str(path) for path, count in Counter(patch.path for patch in patches).items() if count > 1]
    if twice:
        message = f"{root}: lists the same file more than once: {_some(twice)}; remove the rows that repeat it"
        raise ProductError(message)


def _read_sizes(root: Path, patches: Sequence[Patch]) -> list[Size]:
    sizes, wrong = [], []
    for patch in patches:
        try:
            sizes.append(_read_size(patch.path))
        except ProductError as error:
            wrong.append(str(error))
        except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error).partition(" '")[0]
            wrong.append(f"{patch.path} ({reason})")
    if wrong:
        message = (
            f"{root}: {len(wrong)} of {len(patches)} pictures cannot be read: {_some(wrong)}; "
            "expected PNG, JPEG or TIFF: make them anew, or remove them and their rows"
        )
        raise ProductError(message)
    return sizes


def _read_size(path: Path) -> Size:
    """Read the header alone, and the end of a PNG: a truncated picture should not stop a training in its midst."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            if image.format == "PNG" and _PNG_END not in _tail(path):
                message = "cut short"
                raise ValueError(message)
    except UnidentifiedImageError:
        if path.suffix.lower() not in _RASTERS:
            raise
        # Complex numbers are no picture.
        from fringewatch.products import open_interferogram

        height, width = open_interferogram(path)["phase"].shape
    return Size(height, width)


def _refuse_sizes(root: Path, patches: Sequence[Patch], sizes: Sequence[Size]) -> None:
    usual, count = Counter(sizes).most_common(1)[0]
    odd = [f"{patch.path} ({size})" for patch, size in zip(patches, sizes, strict=True) if size != usual]
    message = (
        f"{root}: {count} pictures are {usual} pixels, {len(odd)} have another size: {_some(odd)}; cut them to one "
        "size with `fringewatch prepare --class-folders --size-px`, let training fit them with --fit, or remove them"
    )
    raise ProductError(message)


def _group_copies(root: Path, patches: Sequence[Patch], classes: Sequence[str]) -> list[Patch]:
    """Return the patches with those that are copies of each other in one group; groups that share a copy become one."""
    grouped = list(patches)
    groups = Linked()
    for copies in _copies(patches):
        members = [patches[index] for index in copies]
        paths = [str(patch.path) for patch in members]
        if len({patch.label for patch in members}) > 1:
            labels = " and ".join(sorted({classes[patch.label] for patch in members}))
            message = f"{root}: copies of one picture are labelled {labels}: {_some(paths)}; keep the right one"
            raise ProductError(message)
        if len({patch.split for patch in members}) > 1:
            message = (
                f"{root}: copies of one picture are in different splits: {_some(paths)}; what is learnt in one would "
                "be known in the other: keep one"
            )
            raise ProductError(message)
        named = [patch.group for patch in members if patch.group] or [f"copies of {members[0].path.name}"]
        groups.link(*named)
        for index in copies:
            grouped[index] = dataclasses.replace(patches[index], group=patches[index].group or named[0])
    return [
        dataclasses.replace(patch, group=groups[patch.group]) if patch.group != groups[patch.group] else patch
        for patch in grouped
    ]


def _copies(patches: Sequence[Patch]) -> list[list[int]]:
    """Return the positions of pictures with equal bytes."""
    # The checksums at the end tell most files of equal length apart, so that hardly any is read whole.
    likely = _gather(
        range(len(patches)), lambda index: (patches[index].path.stat().st_size, _tail(patches[index].path))
    )
    return [
        copies
        for like in likely
        for copies in _gather(like, lambda index: hashlib.sha256(patches[index].path.read_bytes()).digest())
    ]


def _tail(path: Path) -> bytes:
    with path.open("rb") as handle:
        handle.seek(max(handle.seek(0, os.SEEK_END) - _TAIL_BYTES, 0))
        return handle.read()


def _gather(indices: Iterable[int], key: Callable[[int], Hashable]) -> list[list[int]]:
    found: dict[Hashable, list[int]] = defaultdict(list)
    for index in indices:
        found[key(index)].append(index)
    return [group for group in found.values() if len(group) > 1]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"{', '.join(names[:_MOST_NAMED])}{more}"
