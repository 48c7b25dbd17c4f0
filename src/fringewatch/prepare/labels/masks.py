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

__all__ = ["MASK_SUFFIXES", "Masks", "Truth", "truth_beside"]

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
        self._files: dict[str, Path] = {}
        for file in files:
            if file.suffix.lower() in MASK_SUFFIXES:
                other = self._files.setdefault(_stem(file), file)
                if other is not file:
                    message = (
                        f"{path}: {other} and {file} are named after the same scene, and one would count; name masks "
                        "as the column name of prepare.csv does, such as FRAME_PAIR, or make one of both"
                    )
                    raise ProductError(message)
        if not self._files:
            message = f"{path}: holds no masks, expected {', '.join(MASK_SUFFIXES)} named after the scenes"
            raise ProductError(message)
        self._used: set[Path] = set()

    @property
    def words(self) -> frozenset[str]:
        """The one label that a mask gives."""
        return frozenset({_WORD})

    def key_of(self, name: str, path: str) -> str | None:
        """Return the name under which a mask of a scene is known."""
        # LiCSAR's names hold dots, which are no suffixes: YYYYMMDD_YYYYMMDD.geo.diff_pha.
        names = (name, Path(path).stem, Path(path).name.partition(".")[0])
        return next((each for each in names if each in self._files), None)

    def lay_over(self, scene: Scene) -> Marks | None:
        """Return the mask of a scene, or None if none has its name."""
        key = self.key_of(scene.name, scene.path)
        if key is None:
            return None
        file = self._files[key]
        self._used.add(file)
        return Marks([Mark(read_mask(file, scene), _WORD)])

    def unused(self) -> list[str]:
        """Name masks that no scene has the name of."""
        left = [file for file in self._files.values() if file not in self._used]
        named = ", ".join(file.name for file in left[:3]) + (", ..." if len(left) > 3 else "")
        return [f"{self._path}: {len(left)} of {len(self._files)} masks fit no scene by name ({named})"] if left else []


class Truth:
    """The truth that ``fringewatch simulate --form licsar`` writes into the folder of a frame."""

    def key_of(self, _name: str, _path: str) -> str | None:
        """Return None: it lies beside its scene."""
        return None

    @property
    def words(self) -> frozenset[str]:
        """The one label that a mask gives."""
        return frozenset({_WORD})

    def lay_over(self, scene: Scene) -> Marks | None:
        """Return the truth beside a scene, or None if there is none."""
        file = truth_beside(Path(scene.path))
        return None if file is None else Marks([Mark(read_mask(file, scene), _WORD)])

    def unused(self) -> list[str]:
        """Return nothing: only what fits is looked for."""
        return []


def truth_beside(path: Path) -> Path | None:
    """Return the truth in the folder of a simulated scene, or that of its frame; None where there is none."""
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
