"""Labelled patches for training: decoded once into 8 bits, encoded and augmented in batches where the network computes.

28,430 patches of 224 x 224 pixels take 1.4 GB as codes (:mod:`fringewatch.training.classifier.codes`); they fit on a
GPU, and a batch of them is made there by looking up 256 encoded phases.

Augmentation is what phase allows, as in :mod:`fringewatch.training.data`: a constant offset, the sign, mirror images,
quarter turns. On codes offset and sign are exact, being whole numbers of steps.
"""

from __future__ import annotations

import functools
import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fringewatch.errors import ProductError, TrainingError
from fringewatch.patches import read_patch_set, read_phase, split_by_site
from fringewatch.progress import track
from fringewatch.training.classifier.codes import LEVELS, decode_codes, encode_codes, resample

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fringewatch.encoding import Encoding
    from fringewatch.patches import Patch

__all__ = ["Batcher", "PatchArrays", "epoch_batches", "read_arrays"]

_SHARE_OF_MEMORY = 0.3
"""Patches lie on the GPU if they take no more than this of what is free; otherwise each batch is sent there."""


class PatchArrays(NamedTuple):
    """Patches of one split, in memory."""

    codes: NDArray[np.uint8]
    """(N, H, W) coded phase; see :func:`encode_codes`."""
    label: NDArray[np.int64]
    """(N,) number of the class."""
    patches: tuple[Patch, ...]
    """What the data set says of each."""
    classes: tuple[str, ...]
    """Names of the classes."""

    @property
    def digest(self) -> str:
        """Hash of codes and labels."""
        digest = hashlib.sha256(np.ascontiguousarray(self.label).tobytes())
        digest.update(np.ascontiguousarray(self.codes).data)
        return digest.hexdigest()[:16]


def read_arrays(
    root: str | Path,
    *,
    size_px: int,
    resize: bool = False,
    validation_share: float = 0.2,
    seed: int = 0,
    workers: int = 1,
) -> tuple[PatchArrays, PatchArrays]:
    """Read a data set into memory.

    Parameters
    ----------
    root
        As for :func:`fringewatch.patches.read_patch_set`. Its splits are kept, and ``test`` is left out; without any it
        is split by site.
    size_px
        Height and width that the network wants.
    resize
        Resample patches of other sizes.
    validation_share, seed
        Of the split.
    workers
        Threads.

    Returns
    -------
    train, validation

    Raises
    ------
    ProductError
        If the data set is not fit for training, or patches have another size and are not to be resampled.
    TrainingError
        If a class is missing in one of the splits.
    """
    found = read_patch_set(root, any_size=resize)
    odd = {size: count for size, count in found.sizes.items() if size != (size_px, size_px)}
    if odd and not resize:
        sizes = ", ".join(f"{count} of {size}" for size, count in sorted(odd.items()))
        message = (
            f"{root}: the network takes patches of {size_px} x {size_px} pixels, and the set has {sizes}; resample "
            "them with --resize, set --input-size-px to their size, or prepare patches of the right size"
        )
        raise ProductError(message)
    patches: Sequence[Patch] = found
    if not any(patch.split for patch in patches):
        patches = split_by_site(patches, validation=validation_share, seed=seed)
    parts = [[patch for patch in patches if patch.split == split] for split in ("train", "validation")]
    for split, part in zip(("train", "validation"), parts, strict=True):
        present = {patch.label for patch in part}
        if missing := [name for label, name in enumerate(found.classes) if label not in present]:
            message = (
                f"{root}: no patch of {' and '.join(map(repr, missing))} in the split {split!r} ({len(part)} patches); "
                "every class needs patches of at least two sites, or correct the column split"
            )
            raise TrainingError(message)
    chosen = [patch for part in parts for patch in part]
    codes = _decode(tuple(map(_file, chosen)), size_px, workers)
    arrays = [
        PatchArrays(rows, np.array([patch.label for patch in part], np.int64), tuple(part), found.classes)
        for rows, part in zip(np.split(codes, [len(parts[0])]), parts, strict=True)
    ]
    return arrays[0], arrays[1]


class _File(NamedTuple):
    """A file in the state in which it was read."""

    path: Path
    bytes: int
    changed_ns: int


def _file(patch: Patch) -> _File:
    status = patch.path.stat()
    return _File(patch.path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _decode(files: Sequence[_File], size_px: int, workers: int) -> NDArray[np.uint8]:
    """Read patches (N, size_px, size_px); those of the last call are kept, since a study trains many times on them."""
    codes = np.empty((len(files), size_px, size_px), np.uint8)
    with track("reading patches", total=len(files)) as advance, ThreadPoolExecutor(workers) as pool:

        def read(index: int) -> None:
            phase = read_phase(files[index].path)
            codes[index] = encode_codes(phase if phase.shape == (size_px, size_px) else resample(phase, size_px))
            advance(1)

        # Asking for the results lets errors through.
        list(pool.map(read, range(len(files))))
    return codes


def epoch_batches(count: int, batch_size: int, *, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Return the order of an epoch, cut into batches; it depends on seed and epoch alone.

    The last batch has what is left, as in Keras; a single patch, whose batch statistics would mean nothing, is left
    out.
    """
    order = np.random.default_rng([seed, epoch]).permutation(count)
    batches = [order[start : start + batch_size] for start in range(0, count, batch_size)]
    return batches[:-1] if len(batches) > 1 and len(batches[-1]) == 1 else batches


class Batcher:
    """Makes encoded batches of patches on any device.

    Parameters
    ----------
    arrays
        The patches.
    encoding
        The network's encoding; the same object goes into its card.
    augment
        Whether to draw offset, sign, mirror images and quarter turns.
    seed
        Of the augmentation.
    """

    def __init__(self, arrays: PatchArrays, encoding: Encoding, *, augment: bool, seed: int = 0) -> None:
        self._codes = torch.from_numpy(arrays.codes)
        self._label = torch.from_numpy(arrays.label)
        # The encoding is applied to the 256 phases a code can stand for, then looked up: the same numbers, far faster.
        self._table = torch.from_numpy(np.ascontiguousarray(encoding(decode_codes()[None, :])[:, 0, :].T))
        self._augment = augment
        self._seed = seed
        self._drawn: tuple[int, NDArray[np.int64]] | None = None
        self.device = torch.device("cpu")

    def __len__(self) -> int:
        return len(self._label)

    def to(self, device: torch.device) -> None:
        """Move what is needed for batches on a device; the patches too if they fit there."""
        self.device = device
        self._table, self._label = self._table.to(device), self._label.to(device)
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            fits = self._codes.nbytes <= _SHARE_OF_MEMORY * free
            self._codes = self._codes.to(device) if fits else self._codes.pin_memory()

    def batch(self, indices: NDArray[np.int64], *, epoch: int = 0) -> tuple[Tensor, Tensor]:
        """Return encoded patches (N, 3, H, W), channels last in memory, and labels (N,), both on the device.

        What is drawn for a patch depends on seed, epoch and its index alone, not on its batch.
        """
        chosen = torch.from_numpy(indices)
        codes = self._codes.index_select(0, chosen.to(self._codes.device)).to(self.device, non_blocking=True)
        there = chosen.to(self.device)
        table = self._table
        if self._augment:
            draws = torch.from_numpy(self._draws(epoch)[indices]).to(self.device)
            codes = _turn(codes, draws)
            table = table[_offset(draws)]
        else:
            table = table.expand(len(indices), -1, -1)
        # One table for each patch: row 256 n + code of all tables one below the other.
        rows = torch.arange(len(indices), device=self.device, dtype=torch.int32).mul_(256)[:, None, None] + codes
        encoded = torch.nn.functional.embedding(rows, table.reshape(-1, 3))
        return encoded.permute(0, 3, 1, 2), self._label[there]

    def _draws(self, epoch: int) -> NDArray[np.int64]:
        """Return offset in steps, sign, mirror images left-right and up-down, and transposition for each patch."""
        if self._drawn is None or self._drawn[0] != epoch:
            rng = np.random.default_rng([self._seed, epoch, 1])
            self._drawn = epoch, rng.integers(0, [LEVELS, 2, 2, 2, 2], size=(len(self), 5))
        return self._drawn[1]


def _turn(codes: Tensor, draws: Tensor) -> Tensor:
    """Mirror and transpose (N, H, W): together the eight ways to lay a square."""
    mirrored, flipped, transposed = (draws[:, column, None, None] == 1 for column in (2, 3, 4))
    codes = torch.where(mirrored, codes.flip(2), codes)
    codes = torch.where(flipped, codes.flip(1), codes)
    return torch.where(transposed, codes.transpose(1, 2), codes)


def _offset(draws: Tensor) -> Tensor:
    """Return for each patch the codes (N, 256) that its codes become under its offset and sign."""
    codes = torch.arange(256, device=draws.device)
    # Code c is the phase 2 pi c / 255 - pi, so that of opposite sign is 255 - c.
    signed = torch.where(draws[:, 1, None] == 1, LEVELS - codes, codes)
    moved = (signed + draws[:, 0, None] - 1) % LEVELS + 1
    return torch.where(codes == 0, 0, moved)
