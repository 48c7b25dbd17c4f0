"""Training batches from cached samples, with the augmentation that phase allows.

Allowed: a constant phase offset, the sign, mirror images, quarter turns: none changes what is deformation. Never: photo
augmentation (brightness, contrast, blur, elastic warps), which would interpolate wrapped phase or change its unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from fringewatch.conventions import wrap
from fringewatch.training.cache import decode_phase

if TYPE_CHECKING:
    from fringewatch.encoding import Encoding
    from fringewatch.training.cache import Samples

__all__ = ["Batch", "SampleData", "loader"]

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
"""Encoded phase (N, C, H, W); coverage (N, h, w) in [0, 1]; validity (N, h, w), 0 or 1; label (N,)."""

# Encoded phase (H, W, C), coverage, validity, label.
Row = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], int]

_TABLE = decode_phase()


class SampleData(Dataset[Row]):
    """Encoded and, for training, augmented samples.

    Parameters
    ----------
    samples
        From :func:`~fringewatch.training.cache.build_cache`.
    encoding
        The network's encoding; the same object goes into its card.
    augment
        Draw offset, sign, mirror image and quarter turn anew at each access.
    seed
        Seed of the augmentation.
    """

    def __init__(self, samples: Samples, encoding: Encoding, *, augment: bool, seed: int = 0) -> None:
        self.samples = samples
        self.encoding = encoding
        self.augment = augment
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.samples.label)

    def __getitem__(self, index: int) -> Row:
        codes, coverage = self.samples.phase[index], self.samples.coverage[index]
        phases = _TABLE
        if self.augment:
            rng = np.random.default_rng([self.seed, self.epoch, index])
            phases = phases + np.float32(rng.uniform(-np.pi, np.pi))
            if rng.random() < 0.5:
                phases = -phases
            turns = int(rng.integers(4))
            codes, coverage = np.rot90(codes, turns), np.rot90(coverage, turns)
            if rng.random() < 0.5:
                codes, coverage = codes[:, ::-1], coverage[:, ::-1]
        # The encoding is applied to the 256 phases a code can stand for, then looked up: the same numbers, far faster.
        # Channels last, as the network computes, so that nothing is copied again.
        table = np.ascontiguousarray(self.encoding(wrap(phases)[None, :])[:, 0, :].T)
        (height, width), stride = codes.shape, codes.shape[0] // coverage.shape[0]
        valid = (codes > 0).reshape(height // stride, stride, width // stride, stride).any(axis=(1, 3))
        return (
            np.take(table, codes, axis=0),
            coverage.astype(np.float32) * np.float32(1 / 255),
            valid.astype(np.float32),
            int(self.samples.label[index]),
        )


def _collate(rows: list[Row]) -> Batch:
    phase, coverage, valid, label = zip(*rows, strict=True)
    return (
        torch.from_numpy(np.stack(phase)).permute(0, 3, 1, 2),
        torch.from_numpy(np.stack(coverage)),
        torch.from_numpy(np.stack(valid)),
        torch.tensor(label, dtype=torch.long),
    )


def loader(data: SampleData, *, batch_size: int, shuffle: bool, seed: int = 0) -> DataLoader[Batch]:
    """Return a loader; its order depends on the seed alone."""
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(
        data,  # type: ignore[arg-type]  # the collate function turns rows into a Batch
        batch_size=batch_size,
        shuffle=shuffle,
        generator=generator,
        collate_fn=_collate,
        drop_last=shuffle,
    )
