"""Training batches of cached samples, encoded and augmented on the device where the network computes.

A sample of 224 x 224 pixels takes 50 kB as codes (:mod:`fringewatch.training.codes`), so 400,000 of them fit on a GPU;
a batch is made there by moving codes about and looking up 256 encoded phases.

Allowed augmentation: a constant phase offset, the sign, mirror images, quarter turns, a plane: none changes what is
deformation. Never: photo augmentation (brightness, contrast, blur, elastic warps), which would interpolate wrapped
phase or change its unit. On codes offset and sign are exact, being whole numbers of steps; a plane is rounded to a step
of 0.025 rad.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fringewatch.training.codes import LEVELS, decode_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fringewatch.encoding import Encoding
    from fringewatch.training.cache import Samples

__all__ = ["Batch", "SampleBatches", "on_device"]

_SHARE_OF_MEMORY = 0.4
"""Samples lie on the GPU if they take no more than this of what is free; otherwise each batch is sent there."""
_PLANE_SHARE = 0.3
_PLANE_FRINGES = 1.5
"""Share of samples that get a plane, and the most fringes of it along each side."""


class Batch(NamedTuple):
    """What a step of training sees."""

    phase: Tensor
    """(N, C, H, W) encoded phase, channels last in memory."""
    coverage: Tensor
    """(N, h, w) share of each map pixel that deforms visibly, in [0, 1]."""
    valid: Tensor
    """(N, h, w) 1 where a map pixel has data, else 0."""
    label: Tensor
    """(N,) 1 = deformation."""
    target: Tensor
    """(N,) what the scene logit is to say, in [0, 1]: the label, or a mixture of it and what teachers say."""


class _Draws(NamedTuple):
    """What is drawn for an epoch, one row a sample."""

    order: NDArray[np.int64]
    offset: NDArray[np.int64]
    turns: NDArray[np.bool_]
    """(N, 4) of opposite sign, mirrored left-right and up-down, transposed."""
    plane: NDArray[np.float32]
    """(N, 2) fringes along the rows and along the columns."""


class SampleBatches:
    """Batches of cached samples.

    Parameters
    ----------
    samples
        From :func:`~fringewatch.training.cache.build_cache`; square if they are augmented.
    encoding
        The network's encoding; the same object goes into its card.
    batch_size
        Samples of a batch.
    augment
        Draw order, offset, sign, mirror image, quarter turn and plane anew in each epoch, and leave out the samples
        that do not fill a batch. What is drawn for a sample depends on seed and epoch alone.
    seed
        Of what is drawn.
    target
        (N,) what the scene logit is to say of each sample, in [0, 1]; None for the labels.
    """

    def __init__(
        self,
        samples: Samples,
        encoding: Encoding,
        *,
        batch_size: int,
        augment: bool,
        seed: int = 0,
        target: NDArray[np.float32] | None = None,
    ) -> None:
        self._codes = torch.from_numpy(samples.phase)
        self._coverage = torch.from_numpy(samples.coverage)
        self._label = torch.from_numpy(samples.label.astype(np.int64))
        self._target = self._label.float() if target is None else torch.from_numpy(target)
        self._stride = samples.phase.shape[1] // samples.coverage.shape[1]
        # The encoding is applied to the 256 phases a code can stand for, then looked up: the same numbers, far faster.
        self._table = torch.from_numpy(np.ascontiguousarray(encoding(decode_codes()[None, :])[:, 0, :].T))
        self.batch_size = batch_size
        self.augment = augment
        self._seed = seed
        self._drawn: tuple[int, _Draws] | None = None
        self.device = torch.device("cpu")

    def __deepcopy__(self, _memo: object) -> SampleBatches:
        """Averaging of weights copies the module that trains; gigabytes of samples need not be there twice."""
        return self

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        count, size = len(self._label), self.batch_size
        return count // size if self.augment else -(-count // size)

    def to(self, device: torch.device) -> None:
        """Make batches on a device from now on; the samples go there too if they fit."""
        self.device = device
        self._table, self._label, self._target = (part.to(device) for part in (self._table, self._label, self._target))
        self._codes, self._coverage = on_device((self._codes, self._coverage), device, _SHARE_OF_MEMORY)

    def batch(self, number: int, *, epoch: int = 0) -> Batch:
        """Return a batch of an epoch."""
        rows = slice(number * self.batch_size, (number + 1) * self.batch_size)
        if not self.augment:
            where = slice(rows.start, min(rows.stop, len(self._label)))
            codes, coverage = (part[where].to(self.device) for part in (self._codes, self._coverage))
            return self._encode(codes, coverage, where)
        draws = self._draws(epoch)
        indices = draws.order[rows]
        chosen = torch.from_numpy(indices).to(self._codes.device)
        codes, coverage = (part[chosen].to(self.device, non_blocking=True) for part in (self._codes, self._coverage))
        negative, *turns = self._send(draws.turns[indices]).T
        codes, coverage = _turn(codes, *turns), _turn(coverage, *turns)
        codes = _shift(codes, negative, self._send(draws.offset[indices]), self._send(draws.plane[indices]))
        return self._encode(codes, coverage, chosen.to(self.device))

    def _send(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(self.device, non_blocking=True)

    def _encode(self, codes: Tensor, coverage: Tensor, which: slice | Tensor) -> Batch:
        phase = torch.nn.functional.embedding(codes.to(torch.int32), self._table).permute(0, 3, 1, 2)
        (count, height, width), stride = codes.shape, self._stride
        valid = (codes > 0).reshape(count, height // stride, stride, width // stride, stride).any(dim=4).any(dim=2)
        return Batch(phase, coverage.float() / 255, valid.float(), self._label[which], self._target[which])

    def _draws(self, epoch: int) -> _Draws:
        if self._drawn is None or self._drawn[0] != epoch:
            rng = np.random.default_rng([self._seed, epoch])
            count = len(self._label)
            plane = rng.uniform(-_PLANE_FRINGES, _PLANE_FRINGES, (count, 2)) * (rng.random((count, 1)) < _PLANE_SHARE)
            self._drawn = (
                epoch,
                _Draws(
                    rng.permutation(count),
                    rng.integers(LEVELS, size=count),
                    rng.random((count, 4)) < 0.5,
                    plane.astype(np.float32),
                ),
            )
        return self._drawn[1]


def on_device(arrays: tuple[Tensor, ...], device: torch.device, share: float) -> tuple[Tensor, ...]:
    """Return arrays on a device, or in memory that is quickly sent there where they would fill it.

    Parameters
    ----------
    arrays
        On the CPU.
    device
        Where they are needed.
    share
        Of the free memory of a GPU that they may take.
    """
    if device.type != "cuda":
        return tuple(array.to(device) for array in arrays)
    free, _ = torch.cuda.mem_get_info(device)
    fits = sum(array.nbytes for array in arrays) <= share * free
    return tuple(array.to(device) if fits else array.pin_memory() for array in arrays)


def _turn(images: Tensor, mirrored: Tensor, flipped: Tensor, transposed: Tensor) -> Tensor:
    """Lay each of the square images (N, H, W) in one of the eight ways."""
    images = torch.where(mirrored[:, None, None], images.flip(2), images)
    images = torch.where(flipped[:, None, None], images.flip(1), images)
    return torch.where(transposed[:, None, None], images.transpose(1, 2), images)


def _shift(codes: Tensor, negative: Tensor, offset: Tensor, plane: Tensor) -> Tensor:
    """Return the codes (N, H, W) under a sign, an offset in steps and a plane in fringes; no data stays so."""
    # Code c is the phase 2 pi c / 255 - pi, so that of opposite sign is 255 - c. 16 bits hold all that is added.
    signed = codes.to(torch.int16)
    signed = torch.where(negative[:, None, None], LEVELS - signed, signed)
    rows, columns = (
        (torch.linspace(0, LEVELS, size, device=codes.device) * plane[:, axis, None]).round().to(torch.int16)
        for axis, size in ((0, codes.shape[1]), (1, codes.shape[2]))
    )
    rows = rows + (offset[:, None] - 1).to(torch.int16)
    moved = (signed + rows[:, :, None] + columns[:, None, :]) % LEVELS + 1
    return torch.where(codes == 0, 0, moved)
