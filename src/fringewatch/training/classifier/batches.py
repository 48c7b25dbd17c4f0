"""Which patches make a batch: for patches of many sizes, those of near size, so that nothing is filled up.

Patches of a batch have one size. Where a set has many, each bucket of patches of near size is trimmed to what all of
them have: a part of each patch is left out, drawn anew in each epoch. Buckets grow from the sizes that there are: one
that is smaller than wanted joins the one with which the least is trimmed. Sizes that are frequent are not trimmed at
all, and a set of one size is one bucket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Batch", "Bucket", "epoch_batches", "exact_batches", "make_buckets", "trimmed_share"]


class Batch(NamedTuple):
    """Patches that go through the network together."""

    indices: NDArray[np.int64]
    height_px: int
    width_px: int


class Bucket(NamedTuple):
    """Patches of near size, and the size that all of them have at least."""

    indices: NDArray[np.int64]
    height_px: int
    width_px: int


def make_buckets(sizes_px: NDArray[np.int64], *, least: int, turn: bool) -> tuple[Bucket, ...]:
    """Put patches of near size together.

    Parameters
    ----------
    sizes_px
        (N, 2) height and width of each.
    least
        Patches that a bucket should have; fewer only where there are no more.
    turn
        Patches may be laid on their side, so that height and width do not matter: buckets are then upright or square.

    Returns
    -------
    tuple of Bucket
        Every patch is in one of them. They depend on the sizes alone, not on an epoch.
    """
    sizes = np.sort(sizes_px, axis=1)[:, ::-1] if turn else sizes_px
    shapes, member = np.unique(sizes, axis=0, return_inverse=True)
    member = member.reshape(-1)
    counts = np.bincount(member)
    shapes = shapes.astype(np.int64)
    owner = np.arange(len(shapes))
    alive = np.ones(len(shapes), bool)
    while alive.sum() > 1 and (few := np.flatnonzero(alive & (counts < least))).size:
        # The largest first: their neighbours are larger than they need be.
        poor = few[np.lexsort((few, -shapes[few].prod(axis=1), counts[few]))[0]]
        common = np.minimum(shapes, shapes[poor])
        areas = common.prod(axis=1)
        # Logarithms: half of a small patch is as much lost as half of a large one.
        cost = counts * np.log(shapes.prod(axis=1) / areas) + counts[poor] * np.log(shapes[poor].prod() / areas)
        cost[~alive] = np.inf
        cost[poor] = np.inf
        into = int(np.argmin(cost))
        shapes[into] = common[into]
        counts[into] += counts[poor]
        alive[poor] = False
        owner[owner == poor] = into
    group = owner[member]
    return tuple(
        Bucket(np.flatnonzero(group == index), int(shapes[index, 0]), int(shapes[index, 1]))
        for index in np.flatnonzero(alive)
    )


def trimmed_share(buckets: Sequence[Bucket], sizes_px: NDArray[np.int64]) -> float:
    """Return the mean share of a patch's area that its bucket leaves out."""
    area = sizes_px.prod(axis=1)
    kept = np.concatenate([bucket.height_px * bucket.width_px / area[bucket.indices] for bucket in buckets])
    return float(1 - kept.mean())


def epoch_batches(
    buckets: Sequence[Bucket], batch_size: int, *, seed: int, epoch: int, turn: bool = False
) -> list[Batch]:
    """Return the batches of an epoch; they depend on seed and epoch alone.

    Patches of one size: the last batch has what is left, as in Keras; a single patch, whose batch statistics would mean
    nothing, is left out. Of several buckets each is cut into batches of equal size, as few as hold it, and batches of
    all sizes alternate; every patch is in one of them.

    Parameters
    ----------
    buckets
        Of :func:`make_buckets`.
    batch_size
        Most patches of a batch.
    seed, epoch
        Of the order.
    turn
        Draw for each batch whether it is upright or lies on its side.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(sum(len(bucket.indices) for bucket in buckets))
    if len(buckets) == 1:
        parts = [(order[start : start + batch_size], buckets[0]) for start in range(0, len(order), batch_size)]
        parts = parts[:-1] if len(parts) > 1 and len(parts[-1][0]) == 1 else parts
    else:
        rank = np.argsort(order)
        parts = []
        for bucket in buckets:
            shuffled = bucket.indices[np.argsort(rank[bucket.indices])]
            pieces = np.array_split(shuffled, -(-len(shuffled) // batch_size))
            parts += [(piece, bucket) for piece in pieces]
        parts = [parts[index] for index in rng.permutation(len(parts))]
    sides = np.random.default_rng([seed, epoch, 3]).random(len(parts)) < 0.5
    return [
        Batch(indices, bucket.width_px, bucket.height_px)
        if turn and on_its_side
        else Batch(indices, bucket.height_px, bucket.width_px)
        for (indices, bucket), on_its_side in zip(parts, sides, strict=True)
    ]


def exact_batches(sizes_px: NDArray[np.int64], batch_size: int) -> list[Batch]:
    """Return batches of patches of exactly one size each, nothing trimmed; in order where there is one size only."""
    shapes, member = np.unique(sizes_px, axis=0, return_inverse=True)
    return [
        Batch(indices, int(height), int(width))
        for number, (height, width) in enumerate(shapes)
        for members in [np.flatnonzero(member.reshape(-1) == number)]
        for indices in np.array_split(members, -(-len(members) // min(batch_size, len(members))))
    ]
