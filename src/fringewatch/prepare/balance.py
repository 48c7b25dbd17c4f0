"""Equal classes by augmentation with what leaves phase phase.

Quarter turns, mirror images, a constant phase offset and the sign: none changes what is deformation, none interpolates
wrapped phase. Offsets are whole grey levels, so that copies lose nothing to rounding.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.conventions import wrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fringewatch.patches import Patch

__all__ = ["Augmentation", "Copy", "plan_copies"]

_LEVELS = 255


class Augmentation(NamedTuple):
    """What is done to a patch, in this order."""

    quarter_turns: int
    """Anticlockwise, 0 to 3."""
    mirror: bool
    """Left and right change places."""
    sign: int
    """1 or -1, times the phase."""
    offset_levels: int
    """Added to the phase, in 1/255 of a cycle."""

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Augmentation:
        """Draw one; never the patch as it is, since the offset is not zero."""
        return cls(int(rng.integers(4)), bool(rng.integers(2)), int(rng.choice([-1, 1])), int(rng.integers(1, _LEVELS)))

    def __call__(self, phase_rad: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the augmented phase, (H, W) or turned (W, H), wrapped; NaN stays NaN."""
        turned = np.rot90(phase_rad, self.quarter_turns)
        if self.mirror:
            turned = turned[:, ::-1]
        return wrap(np.float32(self.sign) * turned + np.float32(2 * np.pi * self.offset_levels / _LEVELS))

    def box(self, box: tuple[int, int, int, int], shape: tuple[int, int]) -> tuple[int, int, int, int]:
        """Return where the pixel bounds ``row0, row1, col0, col1`` of a patch of `shape` come to lie."""
        row0, row1, col0, col1 = box
        height, width = shape
        for _ in range(self.quarter_turns):
            row0, row1, col0, col1 = width - col1, width - col0, row0, row1
            height, width = width, height
        return (row0, row1, width - col1, width - col0) if self.mirror else (row0, row1, col0, col1)


class Copy(NamedTuple):
    """An augmented copy to make."""

    patch: Patch
    number: int
    """1 for the first copy of a patch, 2 for the second, ..."""
    augmentation: Augmentation


def plan_copies(patches: Sequence[Patch], *, seed: int) -> list[Copy]:
    """Plan the copies that make all classes as large as the largest.

    Parameters
    ----------
    patches
        The training patches; validation is never augmented.
    seed
        The same seed and patches give the same copies.

    Returns
    -------
    list of Copy
        Spread evenly: the numbers of copies of two patches of a class differ by at most one.
    """
    of_class: dict[int, list[Patch]] = defaultdict(list)
    for patch in patches:
        of_class[patch.label].append(patch)
    wanted = max(map(len, of_class.values()), default=0)
    copies = []
    for label, members in sorted(of_class.items()):
        rng = np.random.default_rng([seed, label])
        order = rng.permutation(len(members))
        for index in range(wanted - len(members)):
            number, position = divmod(index, len(members))
            copies.append(Copy(members[order[position]], number + 1, Augmentation.draw(rng)))
    return copies
