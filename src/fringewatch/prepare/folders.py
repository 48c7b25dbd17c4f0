"""Class folders of pictures to patches: each picture is one, as it is or cut about its middle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.errors import ConfigError, ProductError
from fringewatch.fringes import fringe_edges
from fringewatch.patches import read_phase, write_patch
from fringewatch.patches.labels import class_names, meanings, plain
from fringewatch.patches.listing import class_folders
from fringewatch.prepare.journal import SceneRow
from fringewatch.products import open_interferogram

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fringewatch.prepare.settings import PrepareConfig

__all__ = ["Picture", "fit", "list_pictures", "patch_file", "prepare_picture"]


_OWN = ("augmented", "pictures")
"""Folders of a data set that are no classes."""


class Picture(NamedTuple):
    """A picture of a class folder."""

    path: str
    name: str
    """What its patch is called after; unique."""
    word: str
    """Its class."""
    site: str
    split: str


def patch_file(picture: Picture) -> str:
    """Return where the patch of a picture goes, relative to the data set."""
    return f"{picture.word}/{picture.name}.png"


def list_pictures(roots: Sequence[str], *, spare: Path) -> tuple[list[Picture], tuple[str, ...]]:
    """List the pictures of class folders and the classes that they make.

    Parameters
    ----------
    roots
        Folders of class folders.
    spare
        A folder that is none of them: that of the data set.

    Returns
    -------
    tuple
        The pictures, and the name of each label as :func:`~fringewatch.patches.read_patch_set` gives it.

    Raises
    ------
    ConfigError
        If one is no folder.
    ProductError
        If a class folder is empty.
    """
    folders = []
    for root in map(Path, roots):
        if not root.is_dir():
            message = f"{root}: is no folder; --class-folders takes folders that hold one folder per class"
            raise ConfigError(message)
        found = [folder for folder in class_folders(root) if folder.folder.resolve() != spare.resolve()]
        if not found:
            message = f"{root}: holds no folders, expected one per class, for example deformation/ and background/"
            raise ProductError(message)
        own = [folder for folder in found if folder.folder.name in _OWN]
        if own and not (root / "prepare.yaml").is_file():
            message = (
                f"{own[0].folder}: {' and '.join(_OWN)} are where prepare puts copies and pictures of its own; give "
                "this class another name"
            )
            raise ConfigError(message)
        folders += [(root, folder) for folder in found if folder not in own]
    if empty := [str(folder.folder) for _, folder in folders if not folder.files]:
        message = (
            f"{', '.join(empty[:5])}: no images in the folder of a class, expected PNG, JPEG or TIFF; "
            "fill it, or remove the folder if it is no class"
        )
        raise ProductError(message)
    classes = class_names(folder.folder.name for _, folder in folders)
    known = meanings() if set(classes) == {"none", "deformation"} else {name: i for i, name in enumerate(classes)}
    pictures, names = [], set()
    for root, folder in folders:
        word = classes[known[plain(folder.folder.name)]]
        for patch in folder.patches(root, 0):
            name = "_".join(patch.path.relative_to(folder.folder).with_suffix("").parts)
            while f"{word}/{name}" in names:
                name += "_"
            names.add(f"{word}/{name}")
            pictures.append(Picture(str(patch.path), name, word, patch.site, folder.split))
    return pictures, classes


def prepare_picture(picture: Picture, config: PrepareConfig) -> tuple[SceneRow, tuple[dict[str, str], ...]]:
    """Write a picture as a patch.

    Its label is that of its folder, whether or not it has strong edges; the manifest counts them.

    Raises
    ------
    ProductError
        If it cannot be read, or holds no data.
    OutputError
        If the patch cannot be written.
    """
    phase = _read(picture.path, config)
    if not np.isfinite(phase).any():
        message = f"{picture.path}: every pixel is no data; remove it"
        raise ProductError(message)
    if config.patch_px is not None:
        phase = fit(phase, config.patch_px)
    edges = fringe_edges(phase, sigma_px=config.sigma_px, low=config.low, high=config.high)
    file = patch_file(picture)
    (config.out / picture.word).mkdir(exist_ok=True)
    write_patch(config.out / file, phase)
    columns = {
        "file": file,
        "label": picture.word,
        "site": picture.site,
        "split": picture.split,
        "source": picture.path,
        "stage": "candidate" if edges.strong.sum() >= config.min_strong_px else "without_edges",
        "edge_px": str(edges.edges.sum()),
        "strong_px": str(edges.strong.sum()),
        "valid": f"{np.isfinite(phase).mean():.4f}",
    }
    background = meanings().get(picture.word) == 0
    strong = columns["stage"] == "candidate"
    row = SceneRow(
        file=picture.path,
        name=f"{picture.word}/{picture.name}",
        site=picture.site,
        windows=1,
        deformation=int(not background),
        background=int(background and strong),
        without_edges=int(background and not strong),
    )
    return row, (columns,)


def _read(path: str, config: PrepareConfig) -> NDArray[np.float32]:
    if config.kind == "auto" and config.phase_sign is None and config.band is None and config.nodata is None:
        return read_phase(path)
    interferogram = open_interferogram(
        path, kind=config.kind, phase_sign=config.phase_sign, band=config.band, nodata=config.nodata
    )
    phase: NDArray[np.float32] = np.asarray(interferogram["phase"].values, np.float32)
    return phase


def fit(phase_rad: NDArray[np.float32], size_px: int) -> NDArray[np.float32]:
    """Cut phase about its middle, or fill it up with no data, to a square; phase is never stretched.

    Parameters
    ----------
    phase_rad
        (H, W) float32 radians, NaN = no data.
    size_px
        Side of the square.
    """
    for axis in (0, 1):
        length = phase_rad.shape[axis]
        start = max((length - size_px) // 2, 0)
        phase_rad = np.take(phase_rad, range(start, min(start + size_px, length)), axis=axis)
        before = max((size_px - length) // 2, 0)
        pad = [(0, 0), (0, 0)]
        pad[axis] = (before, max(size_px - length - before, 0))
        phase_rad = np.pad(phase_rad, pad, constant_values=np.nan)
    return phase_rad
