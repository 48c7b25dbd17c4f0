"""Masks of deformation, of the scene's shape."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fringewatch.errors import ProductError
from fringewatch.prepare.labels.scene import Mark, Marks, Scene
from fringewatch.products.names import dates

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["MASK_SUFFIXES", "Masks", "Truth", "read_mask"]

MASK_SUFFIXES = (".npy", ".npz", ".png", ".tif", ".tiff")
_WORD = "deformation"
_ENDING = re.compile(r"[._-](?:mask|masks|label|labels|truth)$", re.IGNORECASE)
_TRUTH = "truth.npz"


class Masks:
    """Masks found by the name of the scene: ``NAME.png``, ``NAME_mask.tif``, ``NAME.truth.npz``, ...

    Parameters
    ----------
    path
        One mask, or a folder of masks. NAME is the scene's name, or its file's without suffix.

    Raises
    ------
    ProductError
        If the folder holds none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        files: Iterable[Path] = sorted(path.rglob("*")) if path.is_dir() else [path]
        self._files = {_stem(file): file for file in files if file.suffix.lower() in MASK_SUFFIXES}
        if not self._files:
            message = f"{path}: holds no masks, expected {', '.join(MASK_SUFFIXES)} named after the scenes"
            raise ProductError(message)
        self._used: set[Path] = set()

    @property
    def words(self) -> frozenset[str]:
        """The one label that a mask gives."""
        return frozenset({_WORD})

    def lay_over(self, scene: Scene) -> Marks | None:
        """Return the mask of a scene, or None if none has its name."""
        # LiCSAR's names hold dots, which are no suffixes: YYYYMMDD_YYYYMMDD.geo.diff_pha.
        names = (scene.name, Path(scene.path).stem, Path(scene.path).name.partition(".")[0])
        file = next((self._files[name] for name in names if name in self._files), None)
        if file is None:
            return None
        self._used.add(file)
        return Marks([Mark(read_mask(file, scene), _WORD)])

    def unused(self) -> list[str]:
        """Name masks that no scene has the name of."""
        left = [file for file in self._files.values() if file not in self._used]
        named = ", ".join(file.name for file in left[:3]) + (", ..." if len(left) > 3 else "")
        return [f"{self._path}: {len(left)} of {len(self._files)} masks fit no scene by name ({named})"] if left else []


class Truth:
    """The truth that ``fringewatch simulate --form licsar`` writes into the folder of a frame."""

    @property
    def words(self) -> frozenset[str]:
        """The one label that a mask gives."""
        return frozenset({_WORD})

    def lay_over(self, scene: Scene) -> Marks | None:
        """Return the truth beside a scene, or None if there is none."""
        file = _truth_beside(Path(scene.path))
        return None if file is None else Marks([Mark(read_mask(file, scene), _WORD)])

    def unused(self) -> list[str]:
        """Return nothing: only what fits is looked for."""
        return []


def read_mask(path: Path, scene: Scene) -> NDArray[np.bool_]:
    """Read a mask.

    Parameters
    ----------
    path
        ``.npy``; ``.npz`` with an array ``mask``, or with one array; or any raster, of which the first band counts.
    scene
        The scene it must fit.

    Returns
    -------
    numpy.ndarray
        (H, W) bool: everything but 0, NaN and the raster's no-data value.

    Raises
    ------
    ProductError
        If it cannot be read, or has another shape than the scene.
    """
    try:
        values, nodata = _read_array(path) if path.suffix.lower() in {".npy", ".npz"} else _read_raster(path)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, ProductError):
            raise
        message = f"{path}: cannot be read as a mask ({error}); expected an array or picture, 0 where nothing deforms"
        raise ProductError(message) from error
    if values.shape != scene.shape:
        message = (
            f"{path}: mask of shape {values.shape}, expected that of {scene.path}, {scene.shape}; "
            "a mask has one value per pixel of its scene: cut or resample it by nearest neighbour"
        )
        raise ProductError(message)
    mask: NDArray[np.bool_] = np.nan_to_num(values.astype(np.float64), nan=0.0) != 0
    if nodata is not None:
        mask &= values != nodata
    return mask


def _read_array(path: Path) -> tuple[NDArray[np.generic], None]:
    with path.open("rb") as handle:
        loaded = np.load(handle, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded, None
        name = "mask" if "mask" in loaded.files or len(loaded.files) != 1 else loaded.files[0]
        return loaded[name], None


def _read_raster(path: Path) -> tuple[NDArray[np.generic], float | None]:
    from fringewatch.products import raster

    info = raster.inspect(str(path))
    return np.asarray(raster.read(info))[0], info.nodata[0]


def _truth_beside(path: Path) -> Path | None:
    if (path.parent / _TRUTH).is_file():
        return path.parent / _TRUTH
    frame = path.parent.parent
    if not (frame / _TRUTH).is_file():
        return None
    # The frame's truth is that of its one pair; with several it could be that of any.
    pairs = [folder for folder in frame.iterdir() if folder.is_dir() and any(dates(folder.name))]
    return frame / _TRUTH if len(pairs) == 1 else None


def _stem(path: Path) -> str:
    return _ENDING.sub("", path.stem)
