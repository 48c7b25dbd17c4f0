"""Labelled patches for training: decoded once into 8 bits, encoded and augmented in batches where the network computes.

28,430 patches of 224 x 224 pixels take 1.4 GB as codes (:mod:`fringewatch.training.codes`); they fit on a
GPU, and a batch of them is made there by looking up 256 encoded phases. Patches may differ in size
(:mod:`fringewatch.training.classifier.batches`).

Augmentation is what phase allows, as in :mod:`fringewatch.training.data`: a constant offset, the sign, mirror images,
quarter turns. On codes offset and sign are exact, being whole numbers of steps.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fringewatch.errors import ProductError, TrainingError
from fringewatch.patches import fit_patch, limit_sides, read_patch_set, read_phase, split_by_site
from fringewatch.progress import say, track
from fringewatch.training.codes import LEVELS, decode_codes, encode_codes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fringewatch.encoding import Encoding
    from fringewatch.patches import Fit, Patch
    from fringewatch.patches.classes import Size
    from fringewatch.training.classifier.batches import Batch
    from fringewatch.training.codes import Codes

__all__ = ["Batcher", "PatchArrays", "read_arrays"]

_NO_CODES = np.empty((0, 0), np.uint8)
_SHARE_OF_MEMORY = 0.3
"""Patches lie on the GPU if they take no more than this of what is free; otherwise each batch is sent there."""
_SPLITS = ("train", "validation", "test", "")
_MOST_NAMED = 3


class Sides(NamedTuple):
    """Sides of patches that keep their size, in pixels: shorter ones are filled up, longer ones shrunk."""

    smallest_px: int
    largest_px: int


_SIDES = Sides(32, 512)


class PatchArrays(NamedTuple):
    """Patches of one split, in memory."""

    codes: Codes
    """Coded phase of each; see :func:`encode_codes`."""
    label: NDArray[np.int64]
    """(N,) number of the class."""
    patches: tuple[Patch, ...]
    """What the data set says of each."""
    classes: tuple[str, ...]
    """Names of the classes."""
    told: bool = True
    """Whether of two classes it is known that the second shows deformation; False of more."""

    @property
    def sizes_px(self) -> NDArray[np.int64]:
        """(N, 2) height and width of each."""
        return np.array([codes.shape for codes in self.codes], np.int64).reshape(-1, 2)

    @property
    def digest(self) -> str:
        """Hash of codes and labels."""
        digest = hashlib.sha256(np.ascontiguousarray(self.label).tobytes())
        if isinstance(self.codes, list):
            digest.update(self.sizes_px.tobytes())
        for codes in self.codes:
            digest.update(np.ascontiguousarray(codes).data)
        return digest.hexdigest()[:16]


def read_arrays(
    root: str | Path,
    *,
    size_px: int,
    fit: Fit | None = None,
    sides: Sides = _SIDES,
    examples: int | None = None,
    validation_share: float = 0.2,
    seed: int = 0,
    workers: int = 1,
    positive: Sequence[str] = (),
    negative: Sequence[str] = (),
) -> tuple[PatchArrays, PatchArrays]:
    """Read a data set into memory.

    Parameters
    ----------
    root
        As for :func:`fringewatch.patches.read_patch_set`. Its splits are kept, and ``test`` is left out; what has no
        validation is split by site.
    size_px
        Height and width that the network wants.
    fit
        How patches of other sizes are brought to it, see :func:`fringewatch.patches.fit_patch`; ``none``: they keep
        their size; None: they are refused.
    sides
        Limits of sizes that are kept.
    examples
        Training patches to use, as many of each class; None: all.
    validation_share, seed
        Of the split, and of the examples.
    workers
        Threads.
    positive, negative
        Label words that mean deformation and background, beyond the known ones.

    Returns
    -------
    train, validation

    Raises
    ------
    ProductError
        If the data set is not fit for training, or patches have another size and no `fit` is given.
    TrainingError
        If a class is missing in one of the splits, or has too few patches for the examples.
    """
    found = read_patch_set(root, any_size=fit is not None, positive=positive, negative=negative)
    odd = {size: count for size, count in found.sizes.items() if size != (size_px, size_px)}
    if odd and fit is None:
        sizes = ", ".join(f"{count} of {size}" for size, count in sorted(odd.items()))
        message = (
            f"{root}: the network takes patches of {size_px} x {size_px} pixels, and the set has {sizes}; bring them "
            "to that size with --fit resize, pad or crop, keep theirs with --fit none, set --input-size-px to their "
            "size, or prepare patches of the right size"
        )
        raise ProductError(message)
    if fit == "none":
        _tell_limits(found.sizes, sides)
    patches = _split(found, validation_share, seed)
    _tell_left_out(root, patches)
    _tell_shared(patches)
    parts = [[patch for patch in patches if patch.split == split] for split in ("train", "validation")]
    for split, part in zip(("train", "validation"), parts, strict=True):
        present = {patch.label for patch in part}
        if missing := [name for label, name in enumerate(found.classes) if label not in present]:
            message = (
                f"{root}: no patch of {' and '.join(map(repr, missing))} in the split {split!r} ({len(part)} patches); "
                "every class needs patches of at least two sites, or correct the splits that the set names"
            )
            raise TrainingError(message)
    if examples is not None:
        parts[0] = _draw_examples(root, parts[0], found.classes, examples, seed)
    chosen = [patch for part in parts for patch in part]
    codes = _decode(tuple(map(_file, chosen)), size_px, fit, sides, workers)
    count = len(parts[0])
    arrays = [
        PatchArrays(rows, np.array([patch.label for patch in part], np.int64), tuple(part), found.classes, found.told)
        for rows, part in zip((codes[:count], codes[count:]), parts, strict=True)
    ]
    return arrays[0], arrays[1]


def _split(patches: Sequence[Patch], validation_share: float, seed: int) -> list[Patch]:
    """Return patches in splits: those that the set has, but for what is not to train on, or the training part split."""
    given = {patch.split for patch in patches}
    if "validation" in given or (given != {""} and "train" not in given):
        return list(patches)
    held_back = [patch.split != ("train" if "train" in given else "") for patch in patches]
    rest = [dataclasses.replace(patch, split="") for patch, out in zip(patches, held_back, strict=True) if not out]
    if "train" in given:
        say(f"no split for validation: {validation_share:.0%} of that for training are taken, by site")
    drawn = iter(split_by_site(rest, validation=validation_share, seed=seed))
    return [patch if out else next(drawn) for patch, out in zip(patches, held_back, strict=True)]


def _tell_shared(patches: Sequence[Patch]) -> None:
    """Say which sites or scene groups the set has in training and in validation: figures are then of known places."""
    for what in ("site", "group"):
        train, validation = (
            {getattr(patch, what) for patch in patches if patch.split == split} - {""}
            for split in ("train", "validation")
        )
        if shared := sorted(train & validation):
            more = ", ..." if len(shared) > _MOST_NAMED else ""
            say(
                f"training and validation share {len(shared)} of the {'sites' if what == 'site' else 'scene groups'} "
                f"({', '.join(shared[:_MOST_NAMED])}{more}): validation flatters the network"
            )


def _tell_left_out(root: str | Path, patches: Sequence[Patch]) -> None:
    """Say how many patches belong to no split that training looks at; a word that is no split is a slip."""
    counts = Counter(patch.split for patch in patches)
    if strange := sorted(word for word in counts if word not in _SPLITS):
        message = (
            f"{root}: the column split holds {', '.join(map(repr, strange))}; expected {', '.join(_SPLITS[:-1])}, or "
            "nothing in every row"
        )
        raise TrainingError(message)
    for word in ("test", ""):
        if counts[word]:
            say(f"{counts[word]} patches {'of the split test' if word else 'without a split'} are left out")


def _draw_examples(
    root: str | Path, patches: Sequence[Patch], classes: Sequence[str], examples: int, seed: int
) -> list[Patch]:
    """Return so many patches, as many of each class, in their order; of the same seed fewer are a part of more."""
    rank = np.random.default_rng([seed, 4]).permutation(len(patches))
    # What is left of an odd number goes to the last class: the one that deforms.
    shares = [(examples + label) // len(classes) for label in range(len(classes))]
    chosen: list[int] = []
    for label, share in enumerate(shares):
        members = sorted((index for index, patch in enumerate(patches) if patch.label == label), key=rank.__getitem__)
        if len(members) < share:
            message = (
                f"{root}: examples = {examples} takes {share} training patches of {classes[label]!r}, and there are "
                f"{len(members)}; ask for {len(classes) * len(members)} at most, or add patches"
            )
            raise TrainingError(message)
        chosen += members[:share]
    return [patches[index] for index in sorted(chosen)]


def _tell_limits(sizes: dict[Size, int], sides: Sides) -> None:
    """Say what becomes of patches beyond the limits: nobody should wonder where their pixels went."""
    small = sum(count for size, count in sizes.items() if min(size) < sides.smallest_px)
    large = sum(count for size, count in sizes.items() if max(size) > sides.largest_px)
    if small:
        say(f"{small} patches have a side under {sides.smallest_px} pixels and are filled up with no data")
    if large:
        say(f"{large} patches have a side over {sides.largest_px} pixels and are shrunk to it; see --largest-px")


class _File(NamedTuple):
    """A file in the state in which it was read."""

    path: Path
    bytes: int
    changed_ns: int


def _file(patch: Patch) -> _File:
    status = patch.path.stat()
    return _File(patch.path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _decode(files: Sequence[_File], size_px: int, fit: Fit | None, sides: Sides, workers: int) -> Codes:
    """Read patches and fit them; those of the last call are kept, since a study trains many times on them."""
    shape = len(files), size_px, size_px
    codes: Codes = [_NO_CODES] * len(files) if fit == "none" else np.empty(shape, np.uint8)
    with track("reading patches", total=len(files)) as advance, ThreadPoolExecutor(workers) as pool:

        def read(index: int) -> None:
            phase = read_phase(files[index].path)
            if fit == "none":
                phase = limit_sides(phase, *sides)
            elif fit is not None:
                phase = fit_patch(phase, size_px, fit)
            codes[index] = encode_codes(phase)
            advance(1)

        # Asking for the results lets errors through.
        list(pool.map(read, range(len(files))))
    return codes


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
        codes = arrays.codes
        self._codes = torch.from_numpy(
            np.concatenate([each.ravel() for each in codes]) if isinstance(codes, list) else codes.reshape(-1)
        )
        self.sizes_px = arrays.sizes_px
        areas = self.sizes_px.prod(axis=1)
        self._start = np.cumsum(areas) - areas
        self._label = torch.from_numpy(arrays.label)
        # The encoding is applied to the 256 phases a code can stand for, then looked up: the same numbers, far faster.
        self._table = torch.from_numpy(np.ascontiguousarray(encoding(decode_codes()[None, :])[:, 0, :].T))
        self.augment = augment
        self._seed = seed
        self._drawn: tuple[int, NDArray[np.int64], NDArray[np.float64]] | None = None
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

    def batch(self, batch: Batch, *, epoch: int = 0) -> tuple[Tensor, Tensor]:
        """Return encoded patches (N, 3, H, W), channels last in memory, and labels (N,), both on the device.

        Larger patches are trimmed to the size of the batch: to the middle, or with augmentation at a drawn place. What
        is drawn for a patch depends on seed, epoch and its index alone, not on its batch; only whether a patch that is
        not square is laid on its side is up to the batch.
        """
        indices = batch.indices
        rows, columns = (torch.from_numpy(part).to(self._codes.device) for part in self._places(batch, epoch))
        codes = torch.take(self._codes, rows[:, :, None] + columns[:, None, :]).to(self.device, non_blocking=True)
        table = self._table
        if self.augment:
            draws = torch.from_numpy(self._draws(epoch)[0][indices]).to(self.device)
            table = table[_offset(draws)]
        else:
            table = table.expand(len(indices), -1, -1)
        # One table for each patch: row 256 n + code of all tables one below the other.
        rows = torch.arange(len(indices), device=self.device, dtype=torch.int32).mul_(256)[:, None, None] + codes
        encoded = torch.nn.functional.embedding(rows, table.reshape(-1, 3))
        return encoded.permute(0, 3, 1, 2), self._label[torch.from_numpy(indices).to(self.device)]

    def _places(self, batch: Batch, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where the pixels of a batch stand among all codes: parts by row (N, h) and by column (N, w) to add up.

        Mirrored left-right, then up-down, then transposed: together the eight ways to lay a square.
        """
        indices, height, width = batch
        sizes = self.sizes_px[indices]
        mirrored, flipped, transposed = np.zeros((3, len(indices)), bool)
        free = np.full((len(indices), 2), 0.5)
        if self.augment:
            draws, places = self._draws(epoch)
            mirrored, flipped, transposed = draws[indices, 2:].T == 1
            free = places[indices]
            upright, on_its_side = ((sizes >= shape).all(axis=1) for shape in ((height, width), (width, height)))
            transposed = np.where(upright & on_its_side, transposed, on_its_side)
        taken = np.where(transposed[:, None], (width, height), (height, width))
        first = (free * (sizes - taken + 1)).astype(np.int64)

        def along(axis: int, backwards: NDArray[np.bool_], length: int) -> NDArray[np.int64]:
            """Return the rows (axis 0) or columns of the patch that `length` pixels of the batch show."""
            steps = np.arange(length)
            steps = np.where(backwards[:, None], taken[:, axis, None] - 1 - steps, steps)
            return (first[:, axis, None] + steps) * (sizes[:, 1, None] if axis == 0 else 1)

        def show(length: int, axis: int) -> NDArray[np.int64]:
            plain, turned = (along(each, (flipped, mirrored)[each], length) for each in (axis, 1 - axis))
            return np.where(transposed[:, None], turned, plain)

        return self._start[indices][:, None] + show(height, 0), show(width, 1)

    def _draws(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return offset, sign, mirror images left-right and up-down and transposition of each; and where to trim it."""
        if self._drawn is None or self._drawn[0] != epoch:
            turns = np.random.default_rng([self._seed, epoch, 1]).integers(0, [LEVELS, 2, 2, 2, 2], size=(len(self), 5))
            self._drawn = epoch, turns, np.random.default_rng([self._seed, epoch, 2]).random((len(self), 2))
        return self._drawn[1:]


def _offset(draws: Tensor) -> Tensor:
    """Return for each patch the codes (N, 256) that its codes become under its offset and sign."""
    codes = torch.arange(256, device=draws.device)
    # Code c is the phase 2 pi c / 255 - pi, so that of opposite sign is 255 - c.
    signed = torch.where(draws[:, 1, None] == 1, LEVELS - codes, codes)
    moved = (signed + draws[:, 0, None] - 1) % LEVELS + 1
    return torch.where(codes == 0, 0, moved)
