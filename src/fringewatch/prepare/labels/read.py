"""All sources of labels of a run as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.errors import ConfigError, ProductError
from fringewatch.patches.labels import BINARY, class_names, meanings, plain
from fringewatch.prepare.labels.masks import MASK_SUFFIXES, Masks, Truth
from fringewatch.prepare.labels.polygons import POLYGON_SUFFIXES, Polygons
from fringewatch.prepare.labels.tables import Table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fringewatch.prepare.labels.scene import Scene, Source

__all__ = ["Labels", "SceneLabels"]


class SceneLabels(NamedTuple):
    """What is known of a scene."""

    classes: NDArray[np.uint8]
    """(H, W) label of every pixel, 0 = background."""
    site: str
    """Empty where no table names it."""


class Labels:
    """Labels from files or, where none are given, from the truth that lies beside simulated scenes.

    Parameters
    ----------
    paths
        Polygons, tables, masks, or folders of masks.

    Attributes
    ----------
    classes
        Name of each label; 0 is background.

    Raises
    ------
    ConfigError
        If one is missing or of no known kind.
    ProductError
        If one cannot be read.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._sources: list[Source] = [_open(path) for path in paths] or [Truth()]
        known = meanings()
        words = {plain(word) for source in self._sources for word in source.words}
        # "background" and "none" are one class, and so are "deformation" and "1".
        self.classes = class_names({BINARY[known[word]] if word in known else word for word in words} | {BINARY[0]})
        numbers = {name: number for number, name in enumerate(self.classes)}
        self._numbers = {word: numbers[BINARY[known[word]] if word in known else word] for word in words}

    def expect(self, scenes: Sequence[tuple[str, str]]) -> None:
        """Check, before any is prepared, that labels can be told apart for all scenes, each a name and a path.

        Raises
        ------
        ProductError
            If one would lie on several files.
        """
        for number, source in enumerate(self._sources):
            first: dict[str, str] = {}
            for name, path in scenes:
                key = source.key_of(name, path)
                if key is not None and first.setdefault(key, path) != path:
                    message = (
                        f"{self._paths[number]}: {key} may be {first[key]} or {path}, whose names are the same; call "
                        "it by its path, or as the column name of prepare.csv does"
                    )
                    raise ProductError(message)

    def of(self, scene: Scene) -> SceneLabels | None:
        """Return the labels of a scene; of two marks on a pixel the later one counts.

        Returns
        -------
        SceneLabels or None
            None where no source says anything of it.

        Raises
        ------
        ProductError
            If a source cannot be laid over the scene.
        """
        answers = [answer for source in self._sources if (answer := source.lay_over(scene)) is not None]
        if not answers:
            return None
        classes = np.zeros(scene.shape, np.uint8)
        for answer in answers:
            for mark in answer.marks:
                classes[mark.where] = self._numbers[plain(mark.word)]
        return SceneLabels(classes, next((answer.site for answer in answers if answer.site), ""))

    def unused(self) -> list[str]:
        """Return, in words, the labels that fitted no scene so far."""
        return [text for source in self._sources for text in source.unused()]


def _open(path: Path) -> Source:
    suffix = path.suffix.lower()
    if not path.exists():
        message = f"{path}: no such file or folder; --labels takes polygons, tables (.csv), masks and folders of masks"
        raise ConfigError(message)
    if path.is_dir() or suffix in MASK_SUFFIXES:
        return Masks(path)
    if suffix == ".csv":
        return Table(path)
    if suffix in POLYGON_SUFFIXES:
        return Polygons(path)
    message = (
        f"{path}: labels of an unknown kind; expected polygons ({', '.join(POLYGON_SUFFIXES)}), a table (.csv), "
        f"a mask ({', '.join(MASK_SUFFIXES)}) or a folder of masks"
    )
    raise ConfigError(message)
