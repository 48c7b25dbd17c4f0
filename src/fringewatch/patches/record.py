"""What is known of one patch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Box", "Patch"]


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
