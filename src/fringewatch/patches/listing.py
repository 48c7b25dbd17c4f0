"""Listing a data set of deformation and background."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fringewatch.errors import ProductError
from fringewatch.patches.labels import label_of, meanings, split_of
from fringewatch.patches.manifest import MANIFEST, read_rows, to_patch
from fringewatch.patches.record import Patch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ClassFolder", "class_folders", "images_below", "open_patches"]

_IMAGES = (".jpeg", ".jpg", ".png", ".tif", ".tiff")


class ClassFolder(NamedTuple):
    """A folder of images of one class."""

    folder: Path
    split: str
    """``"train"``, ``"validation"`` or ``"test"`` where the folder above is called so, else empty."""
    files: list[Path]

    def patches(self, root: Path, label: int) -> list[Patch]:
        """Return the images as patches; the folder below the class is the site, else the LiCSAR frame in the name."""
        from fringewatch.products.licsar import frame_id

        found = []
        for file in self.files:
            below = file.relative_to(self.folder).parts
            site = below[0] if len(below) > 1 else frame_id(file.name)
            columns = {"file": file.relative_to(root).as_posix(), "label": self.folder.name}
            columns |= {"site": site, "split": self.split}
            found.append(Patch(file, label, site=site, split=self.split, columns=columns))
        return found


def open_patches(
    source: str | Path,
    *,
    positive: Sequence[str] = (),
    negative: Sequence[str] = (),
    default_label: int | None = None,
) -> list[Patch]:
    """List the patches of a data set of deformation and background.

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
    words = meanings(positive, negative)
    manifest = source / MANIFEST if source.is_dir() else source
    if manifest.is_file():
        patches = _from_manifest(manifest, words, default_label)
    elif source.is_dir():
        patches = _from_folders(source, words, default_label)
    else:
        message = f"{source}: no such file or folder; expected a {MANIFEST}, a folder with one, or class folders"
        raise ProductError(message)
    if not patches:
        message = f"{source}: holds no patches; expected rows in a {MANIFEST}, or images in folders named by label"
        raise ProductError(message)
    return patches


def class_folders(root: Path) -> list[ClassFolder]:
    """List the class folders below a folder, those without images too, sorted; look into ``train`` and its like."""
    folders = _folders(root)
    splits = [split_of(folder.name) for folder in folders]
    if folders and all(splits):
        return [
            ClassFolder(below, split or "", images_below(below))
            for folder, split in zip(folders, splits, strict=True)
            for below in _folders(folder)
        ]
    return [ClassFolder(folder, "", images_below(folder)) for folder in folders]


def images_below(folder: Path) -> list[Path]:
    """List the images of a folder and all below it, sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in _IMAGES and path.is_file())


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _from_manifest(manifest: Path, words: Mapping[str, int], default_label: int | None) -> list[Patch]:
    patches = []
    for where, columns in read_rows(manifest, needed=["file"] if default_label is not None else ["file", "label"]):
        word = columns.get("label", "")
        filled = default_label is not None and not word
        label = default_label if filled and default_label is not None else label_of(word, words, where)
        patches.append(to_patch(manifest, where, columns, label))
    return patches


def _from_folders(root: Path, words: Mapping[str, int], default_label: int | None) -> list[Patch]:
    patches = []
    for entry in class_folders(root):
        if entry.files:
            patches += entry.patches(root, label_of(entry.folder.name, words, str(entry.folder)))
    if not patches and default_label is not None:
        patches = ClassFolder(root, "", images_below(root)).patches(root, default_label)
    return patches
