"""Spatial pyramid pooling: features of any height and width to a vector of one length (He et al. 2014, 2015).

A level of `n` divides a map of `a x b` cells into `n x n` bins; bin `(i, j)` covers the rows from ``floor(i a / n)`` up
to but not with ``ceil((i + 1) a / n)``, and columns likewise (10.1109/TPAMI.2015.2389824, appendix A). Bins overlap
where `n` does not divide `a`; on maps smaller than the pyramid cells are in several bins, and no bin is ever empty.
Levels 2, 4 and 6 give 4 + 16 + 36 = 56 bins for each channel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Bins", "PyramidWindows", "SpatialPyramidPooling", "bin_bounds"]

Bins = Literal["max", "mean"]
"""What a bin says of its cells: the largest (as published) or their mean."""


def bin_bounds(cells: int, bins: int) -> list[tuple[int, int]]:
    """Return first cell and cell after the last of each bin, along one axis of `cells` >= 1 cells."""
    return [(i * cells // bins, ((i + 1) * cells + bins - 1) // bins) for i in range(bins)]


class SpatialPyramidPooling(nn.Module):
    """Pool features of any height and width into bins, and put these in one row.

    Parameters
    ----------
    levels
        Bins along each side, one number for each level of the pyramid, each at least 1.
    bins
        What a bin says of its cells.

    Notes
    -----
    The order is level, row, column, channel, channels fastest: a pyramid of the one level that the features have cells
    is :class:`~fringewatch.networks.tops.ChannelsLastFlatten`.
    """

    def __init__(self, levels: Sequence[int] = (2, 4, 6), *, bins: Bins = "max") -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.bins: Bins = bins

    @property
    def bins_per_channel(self) -> int:
        """Length of the result over the number of channels."""
        return sum(level**2 for level in self.levels)

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, bins * C) of features (N, C, h, w), h and w at least 1."""
        pool = _pool_masked if torch.compiler.is_exporting() else _POOLS[self.bins]
        rows = [pool(features, level, self.bins).permute(0, 2, 3, 1).flatten(1) for level in self.levels]
        return torch.cat(rows, dim=1)

    def extra_repr(self) -> str:
        """Return levels and kind."""
        return f"levels={self.levels}, bins={self.bins}"


def _pool_max(features: Tensor, level: int, _bins: Bins) -> Tensor:
    return functional.adaptive_max_pool2d(features, level)


def _pool_mean(features: Tensor, level: int, _bins: Bins) -> Tensor:
    return functional.adaptive_avg_pool2d(features, level)


_POOLS = {"max": _pool_max, "mean": _pool_mean}


def _pool_masked(features: Tensor, level: int, bins: Bins) -> Tensor:
    """Pool as torch's adaptive pooling does, with masks: ONNX has no pooling whose windows follow the size."""
    # A bin is a rectangle, so that rows can be pooled before columns.
    rows, columns = (_members(size, level, features.device) for size in features.shape[2:])
    if bins == "mean":
        return _shares(rows, features) @ features @ _shares(columns, features).T
    pooled = torch.where(rows[:, :, None], features[:, :, None], -torch.inf).amax(3)
    return torch.where(columns, pooled[..., None, :], -torch.inf).amax(4)


def _members(size: int, level: int, device: torch.device) -> Tensor:
    """Return (level, size), true where a cell is in a bin."""
    number, cell = torch.arange(level, device=device)[:, None], torch.arange(size, device=device)
    return (cell >= number * size // level) & (cell < ((number + 1) * size + level - 1) // level)


def _shares(members: Tensor, like: Tensor) -> Tensor:
    return members.to(like.dtype) / members.sum(dim=1, keepdim=True)


class PyramidWindows(nn.Module):
    """A pyramid and the dense layer after it, for every window of a scene's features at once.

    A window that reaches over the border is pooled as what it holds of the scene, whose bins are then smaller: that is
    what the network makes of such a crop.

    Parameters
    ----------
    pyramid
        The pooling.
    dense
        The layer after it as a 1 x 1 convolution of ``bins * C`` channels.
    cells
        Side of a window, in feature cells.
    before, after
        Windows that start before the first cell, and that end after the last one; each less than `cells`.
    """

    def __init__(
        self, pyramid: SpatialPyramidPooling, dense: nn.Conv2d, *, cells: int, before: int, after: int
    ) -> None:
        super().__init__()
        self.levels, self.bins = pyramid.levels, pyramid.bins
        self.dense = dense
        self.cells, self.before, self.after = cells, before, after

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, outputs, windows down, windows across) of features (N, C, h, w)."""
        assert self.dense.bias is not None
        channels = features.shape[1]
        sizes = [level * channels for level in self.levels for _ in range(level)]
        kernels = iter(torch.split(self.dense.weight, sizes, dim=1))
        total = self.dense.bias[:, None, None]
        for level in self.levels:
            down, across = (self._cells(size, level, features.device) for size in features.shape[2:])
            # One row of bins after the other: all bins of all windows would take many times the memory of the features.
            for row in self._pool(features, 2, down).unbind(2):
                bins = self._pool(row, 3, across)
                total = total + functional.conv2d(bins.permute(0, 3, 1, 2, 4).flatten(1, 2), next(kernels))
        return total

    def _cells(self, size: int, level: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the cells of each bin of each window along one axis, and the share of each in the bin's mean.

        Both are (bins, cells of the largest bin, windows); a smaller bin has its last cell again, with no share.
        """
        most = max(last - first for cells in range(1, self.cells + 1) for first, last in bin_bounds(cells, level))
        number = torch.arange(level, device=device)[:, None, None]
        step = torch.arange(most, device=device)[:, None]
        window = torch.arange(size + self.before + self.after - self.cells + 1, device=device) - self.before
        first = window.clamp(min=0)
        length = (window + self.cells).clamp(max=size) - first
        start = first + number * length // level
        stop = first + ((number + 1) * length + level - 1) // level
        cell = start + step
        return torch.minimum(cell, stop - 1), (cell < stop) / (stop - start)

    def _pool(self, values: Tensor, axis: int, cells: tuple[Tensor, Tensor]) -> Tensor:
        """Return the bins of all windows along an axis, with bins and windows in the place of that axis."""
        index, share = cells
        picked = values.index_select(axis, index.flatten())
        picked = picked.reshape(*values.shape[:axis], *index.shape, *values.shape[axis + 1 :])
        if self.bins == "mean":
            return (picked * (share if axis == 3 else share[..., None]).to(values.dtype)).sum(axis + 1)
        return picked.amax(axis + 1)
