"""Windows of one size that cover a scene, and what each holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fringewatch.fringes.edges import FringeEdges

__all__ = ["Window", "windows"]


class Window(NamedTuple):
    """A window of a scene, half-open, and what it holds.

    A window that is larger than the scene begins at 0 and ends beyond the scene's border.
    """

    row0: int
    row1: int
    col0: int
    col1: int
    edge_px: int
    """Pixels of fringe edges."""
    strong_px: int
    """Pixels of strong edges; a window with too few of them is background without classification."""
    valid_px: int
    """Pixels that hold data."""

    @property
    def size(self) -> int:
        """Pixels of the window, beyond the scene too."""
        return (self.row1 - self.row0) * (self.col1 - self.col0)

    def cut(self, scene: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the window's part of a scene (H, W), filled up with NaN beyond its border; a copy."""
        part = scene[self.row0 : self.row1, self.col0 : self.col1]
        missing = (self.row1 - self.row0 - part.shape[0], self.col1 - self.col0 - part.shape[1])
        return np.pad(part, [(0, missing[0]), (0, missing[1])], constant_values=np.nan)


def windows(edges: FringeEdges, valid: NDArray[np.bool_], *, size_px: int, step_px: int | None = None) -> list[Window]:
    """Cover a scene with windows and count what each holds.

    Parameters
    ----------
    edges
        From :func:`fringe_edges`.
    valid
        (H, W) bool, where the scene has data.
    size_px
        Side of the windows: the network's input.
    step_px
        Distance of neighbouring windows, 1 to `size_px`; half of `size_px` if not given. The last window of a row or
        column ends at the scene's border, and so may overlap more with the one before.

    Returns
    -------
    list of Window
        By rows, then columns. Every pixel of the scene is in at least one.

    Raises
    ------
    ConfigError
        If a size is out of range.
    """
    step_px = max(size_px // 2, 1) if step_px is None else step_px
    if size_px < 1 or not 1 <= step_px <= size_px:
        message = f"size_px = {size_px}, step_px = {step_px}: expected 1 <= step_px <= size_px, or pixels are left out"
        raise ConfigError(message)
    rows, cols = (_starts(length, size_px, step_px) for length in valid.shape)
    counts = [_count(mask, rows, cols, size_px) for mask in (*edges, valid)]
    return [
        Window(row, row + size_px, col, col + size_px, *(int(count[i, j]) for count in counts))
        for i, row in enumerate(rows)
        for j, col in enumerate(cols)
    ]


def _starts(length: int, size_px: int, step_px: int) -> list[int]:
    last = max(length - size_px, 0)
    return [*range(0, last, step_px), last]


def _count(mask: NDArray[np.bool_], rows: list[int], cols: list[int], size_px: int) -> NDArray[np.int64]:
    """Count the true pixels of each window by a summed-area table."""
    table = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), np.int64)
    np.cumsum(np.cumsum(mask, axis=0, dtype=np.int64), axis=1, out=table[1:, 1:])
    top, left = np.array(rows), np.array(cols)
    bottom, right = np.minimum(top + size_px, mask.shape[0]), np.minimum(left + size_px, mask.shape[1])
    counts: NDArray[np.int64] = (
        table[np.ix_(bottom, right)]
        - table[np.ix_(top, right)]
        - table[np.ix_(bottom, left)]
        + table[np.ix_(top, left)]
    )
    return counts
