"""Labelled patch data sets on disk: class folders of images, with or without a manifest.

A data set is one of

- ``<root>/manifest.csv`` with at least the columns ``file`` (relative to the manifest) and ``label``; understood beyond
  those are ``kind``, ``site``, ``scene_group``, ``quality``, ``split`` and the box ``row0, row1, col0, col1`` of the
  deformation (half-open pixel bounds); every other column is kept as text and can be selected by;
- class folders without a manifest, ``<root>/<label>/**/*.png`` (or JPEG, TIFF).

Patches that fringewatch writes are 8-bit PNG pictures: grey is phase, ``phase_rad = grey / 255 * 2 pi - pi``, and alpha
is validity (0 = no data), so that any viewer shows them.
"""

from __future__ import annotations

import csv
import difflib
import io
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from fringewatch.conventions import wrap
from fringewatch.errors import ConfigError, OutputError, ProductError
from fringewatch.files import atomic_path, write_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["Box", "Patch", "open_patches", "read_phase", "select", "write_manifest", "write_patch"]

MANIFEST = "manifest.csv"

_POSITIVE = ("1", "deformation", "deforming", "positive", "true", "yes")
_NEGATIVE = ("0", "atmosphere", "background", "false", "negative", "no", "no_deformation", "none", "quiet")
_IMAGES = (".jpeg", ".jpg", ".png", ".tif", ".tiff")
_BOX = ("row0", "row1", "col0", "col1")


class Box(NamedTuple):
    """Pixel bounds of a deformation, half-open: rows ``row0 <= row < row1``, columns ``col0 <= col < col1``."""

    row0: int
    row1: int
    col0: int
    col1: int


@dataclass(frozen=True, slots=True)
class Patch:
    """One labelled file of a data set.

    Parameters
    ----------
    path
        The file; it need not exist until it is read.
    label
        1 = shows deformation, 0 = background.
    kind
        What moves or disturbs, for example ``"volcanic"``; empty where not told.
    site
        The place, the unit that training and test must not share; empty where not told.
    group
        The scene group: patches that share an acquisition or an event and so are not independent.
    quality
        Remark on the label, for example ``"doubtful-label"``.
    split
        ``"train"``, ``"validation"`` or ``"test"``; empty where not told.
    box
        Where the deformation is, or None.
    columns
        Every column of the manifest's row, as text.
    """

    path: Path
    label: int
    kind: str = ""
    site: str = ""
    group: str = ""
    quality: str = ""
    split: str = ""
    box: Box | None = None
    columns: Mapping[str, str] = field(default_factory=dict, repr=False)


def open_patches(
    source: str | Path,
    *,
    positive: Sequence[str] = (),
    negative: Sequence[str] = (),
    default_label: int | None = None,
) -> list[Patch]:
    """List the patches of a data set.

    Parameters
    ----------
    source
        A manifest, a folder that holds ``manifest.csv``, or a folder of class folders.
    positive, negative
        Label words that mean deformation and background, beyond the known ones (``deformation``, ``1``, ``none``,
        ``background``, ``0``, ...). Case does not matter.
    default_label
        0 or 1 for a manifest without the column ``label`` (for example one of quiet scenes only), or for a folder of
        images without class folders.

    Returns
    -------
    list of Patch
        In the order of the manifest, or sorted by path; never empty.

    Raises
    ------
    ProductError
        If there is no data set there, or a row is wrong; the message names the file, the line and the way out.
    ConfigError
        If a word is given as both positive and negative.
    """
    source = Path(source)
    if both := {word.casefold() for word in positive} & {word.casefold() for word in negative}:
        message = f"{', '.join(sorted(both))}: named as positive and as negative label; keep one of the two"
        raise ConfigError(message)
    words = dict.fromkeys(_POSITIVE, 1) | dict.fromkeys(_NEGATIVE, 0)
    words |= {word.casefold(): 1 for word in positive} | {word.casefold(): 0 for word in negative}
    if source.is_dir():
        manifest = source / MANIFEST
        patches = (
            _from_manifest(manifest, words, default_label)
            if manifest.is_file()
            else _from_folders(source, words, default_label)
        )
    elif source.is_file():
        patches = _from_manifest(source, words, default_label)
    else:
        message = f"{source}: no such file or folder; expected a {MANIFEST}, a folder with one, or class folders"
        raise ProductError(message)
    if not patches:
        message = f"{source}: holds no patches; expected rows in a {MANIFEST}, or images in folders named by label"
        raise ProductError(message)
    return patches


def select(patches: Iterable[Patch], *, only: Sequence[str] = (), exclude: Sequence[str] = ()) -> list[Patch]:
    """Keep the patches that meet all conditions of `only` and none of `exclude`.

    Parameters
    ----------
    patches
        Patches of any data sets.
    only, exclude
        Conditions ``"column=value"`` on the manifest's columns, several values separated by commas, each with the
        wildcards ``*`` and ``?``: ``"set=volcano"``, ``"site=taal,sierra*"``.

    Raises
    ------
    ConfigError
        If a condition cannot be read, or names a column that no patch has.
    """
    patches = list(patches)
    known = {column for patch in patches for column in patch.columns}
    keep, drop = ([_condition(text, known) for text in texts] for texts in (only, exclude))
    return [
        patch
        for patch in patches
        if all(_meets(patch, *condition) for condition in keep)
        and not any(_meets(patch, *condition) for condition in drop)
    ]


def read_phase(path: str | Path) -> NDArray[np.float32]:
    """Read the phase of a patch in any format.

    Grey pictures with or without alpha are decoded here; everything else goes through
    :func:`fringewatch.products.open_interferogram`.

    Returns
    -------
    numpy.ndarray
        (H, W) float32, wrapped radians in (-pi, pi]; NaN = no data.

    Raises
    ------
    ProductError
        If the file cannot be read.
    """
    path = Path(path)
    if path.suffix.lower() in {".png", ".jpg", ".jpeg"}:
        try:
            with Image.open(path) as image:
                if image.mode in {"L", "LA"}:
                    return _decode(np.asarray(image))
        except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            message = f"{path}: cannot be read as a picture ({reason}); expected 8-bit grey, with alpha as validity"
            raise ProductError(message) from error
    from fringewatch.products import open_interferogram

    phase: NDArray[np.float32] = np.asarray(open_interferogram(path)["phase"].values, np.float32)
    return phase


def write_patch(path: str | Path, phase_rad: NDArray[np.float32]) -> None:
    """Write wrapped phase as an 8-bit grey PNG with alpha as validity, atomically.

    Rounding to 256 levels costs at most pi / 255 = 0.0123 rad.

    Parameters
    ----------
    path
        File to write, suffix ``.png``; its folder must exist.
    phase_rad
        (H, W) wrapped radians in (-pi, pi]; NaN = no data, written as grey 0 under alpha 0.

    Raises
    ------
    OutputError
        If the file cannot be written, or its name does not end in ``.png``.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        message = f"{path}: patches are PNG files, expected a name that ends in .png"
        raise OutputError(message)
    valid = np.isfinite(phase_rad)
    grey = np.rint((np.where(valid, phase_rad, np.float32(-np.pi)) + np.pi) * (255 / (2 * np.pi)))
    pixels = np.stack([np.clip(grey, 0, 255), np.where(valid, 255, 0)], axis=-1).astype(np.uint8)
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")


def write_manifest(path: str | Path, patches: Iterable[Patch]) -> None:
    """Write a manifest that :func:`open_patches` reads back to equal patches, atomically.

    Files are written relative to the manifest's folder where they lie under it, and absolute otherwise.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    path = Path(path)
    rows = [_row(patch, path.parent) for patch in patches]
    header = list(dict.fromkeys(column for row in rows for column in row)) or ["file", "label"]
    text = io.StringIO()
    writer = csv.DictWriter(text, header, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _from_manifest(manifest: Path, words: Mapping[str, int], default_label: int | None) -> list[Patch]:
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle)
            header = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = header
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        message = f"{manifest}: cannot be read ({error}); expected a CSV file with the columns file and label"
        raise ProductError(message) from error
    needed = ["file"] if default_label is not None else ["file", "label"]
    if missing := [name for name in needed if name not in header]:
        message = (
            f"{manifest}: has no column {' or '.join(map(repr, missing))} (columns: {', '.join(header) or 'none'}); "
            "expected a CSV file with at least file and label"
        )
        raise ProductError(message)
    return [_from_row(manifest, line, row, words, default_label) for line, row in rows]


def _from_row(
    manifest: Path, line: int, row: Mapping[str, str | None], words: Mapping[str, int], default_label: int | None
) -> Patch:
    where = f"{manifest}, line {line}"
    # A short row leaves None, a long one a list under the key None.
    if None in row or any(value is None for value in row.values()):
        message = f"{where}: has another number of fields than the header; quote fields that hold commas"
        raise ProductError(message)
    columns = {name: (value or "").strip() for name, value in row.items()}
    if not columns["file"]:
        message = f"{where}: the column 'file' is empty; expected a path relative to the manifest"
        raise ProductError(message)
    word = columns.get("label", "")
    label = default_label if default_label is not None and not word else _label(word, words, where)
    return Patch(
        path=manifest.parent / columns["file"],
        label=label,
        kind=columns.get("kind", ""),
        site=columns.get("site", ""),
        group=columns.get("scene_group", ""),
        quality=columns.get("quality", ""),
        split=columns.get("split", ""),
        box=_box(columns, where),
        columns=columns,
    )


def _from_folders(root: Path, words: Mapping[str, int], default_label: int | None) -> list[Patch]:
    patches = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        if files := _images(folder):
            label = _label(folder.name, words, str(folder))
            patches += [_plain(root, file, label) for file in files]
    if not patches and default_label is not None:
        patches = [_plain(root, file, default_label) for file in _images(root)]
    return patches


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in _IMAGES and path.is_file())


def _plain(root: Path, file: Path, label: int) -> Patch:
    return Patch(file, label, columns={"file": file.relative_to(root).as_posix(), "label": str(label)})


def _label(word: str, words: Mapping[str, int], where: str) -> int:
    label = words.get(word.casefold().replace(" ", "_").replace("-", "_"), words.get(word.casefold()))
    if label is None:
        message = (
            f"{where}: unknown label {word!r}; known: {', '.join(_POSITIVE)} (deformation) and {', '.join(_NEGATIVE)} "
            "(background); say what it means with --positive or --negative, or fill gaps with --default-label"
        )
        raise ProductError(message)
    return label


def _box(columns: Mapping[str, str], where: str) -> Box | None:
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


def _row(patch: Patch, folder: Path) -> dict[str, str]:
    try:
        file = patch.path.relative_to(folder).as_posix()
    except ValueError:
        file = patch.path.absolute().as_posix()
    known = {
        "file": file,
        "label": "deformation" if patch.label else "none",
        "kind": patch.kind,
        "site": patch.site,
        "scene_group": patch.group,
        "quality": patch.quality,
        "split": patch.split,
    }
    box = {name: str(value) for name, value in zip(_BOX, patch.box, strict=True)} if patch.box else {}
    rest = {name: value for name, value in patch.columns.items() if name not in known and name not in _BOX}
    return known | box | rest


def _condition(text: str, known: set[str]) -> tuple[str, list[str]]:
    column, sign, values = text.partition("=")
    column = column.strip()
    if not sign or not column:
        message = f"{text!r}: not a condition; expected column=value, for example quality=doubtful-label"
        raise ConfigError(message)
    if column not in known:
        near = difflib.get_close_matches(column, sorted(known), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        message = f"{text!r}: no patch has a column {column!r}; {hint}known: {', '.join(sorted(known)) or 'none'}"
        raise ConfigError(message)
    return column, [value.strip() for value in values.split(",")]


def _meets(patch: Patch, column: str, values: Sequence[str]) -> bool:
    return any(fnmatchcase(patch.columns.get(column, ""), value) for value in values)


def _decode(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    grey = pixels if pixels.ndim == 2 else pixels[..., 0]
    # Grey 0 is -pi, which wraps to pi: both ends of the grey scale are one phase.
    phase = wrap(grey.astype(np.float32) * np.float32(2 * np.pi / 255) - np.float32(np.pi))
    if pixels.ndim == 3:
        phase[pixels[..., 1] == 0] = np.nan
    return phase
