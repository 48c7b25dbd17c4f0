"""Masks of deformation, found by the names of their scenes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from fringewatch.errors import ProductError
from fringewatch.prepare.labels.mask_files import MASK_SUFFIXES, read_mask
from fringewatch.prepare.labels.scene import Mark, Marks, Scene
from fringewatch.products.names import dates

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MASK_SUFFIXES", "Masks", "Truth"]

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
