"""Training and validation that share no site."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np

from fringewatch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fringewatch.patches.record import Patch

__all__ = ["split_by_site"]


def split_by_site(patches: Sequence[Patch], *, validation: float = 0.2, seed: int = 0) -> list[Patch]:
    """Give every patch a split, ``train`` or ``validation``, so that no site is in both.

    Sites are drawn in random order; each goes to validation if that brings the classes' shares there closer to the
    wanted one. The unit is the site, else the scene group, else the file. Patches that have a split keep it, and so
    does their site.

    Parameters
    ----------
    patches
        Of any classes.
    validation
        Share of each class that validation should have, in (0, 1); 0.2 is the study's 8:2.
    seed
        Of the order.

    Returns
    -------
    list of Patch
        In the same order. Where a class has two or more sites, both splits have it.

    Raises
    ------
    ConfigError
        If `validation` is no share, or a site is in two splits already.
    """
    if not 0 < validation < 1:
        message = f"validation = {validation:g}: expected a share between 0 and 1, such as 0.2"
        raise ConfigError(message)
    units: dict[str, list[Patch]] = defaultdict(list)
    for patch in patches:
        units[_unit(patch)].append(patch)
    chosen = {unit: _given(unit, members) for unit, members in units.items()}
    total = Counter(patch.label for patch in patches)
    held: Counter[int] = Counter()
    for unit, split in chosen.items():
        if split == "validation":
            held.update(patch.label for patch in units[unit])
    order = sorted(unit for unit, split in chosen.items() if not split)
    # Sites of the rarest class come first, while every share is still open.
    np.random.default_rng(seed).shuffle(order)
    order.sort(key=lambda unit: min(total[patch.label] for patch in units[unit]))
    left = Counter(label for unit in order for label in {patch.label for patch in units[unit]})
    trained = {patch.label for patch in patches if patch.split == "train"}
    for unit in order:
        own = Counter(patch.label for patch in units[unit])
        left.subtract(own.keys())
        gain = sum(
            abs(held[label] - validation * total[label]) - abs(held[label] + count - validation * total[label])
            for label, count in own.items()
        )
        # The last site of a class goes where the class is missing.
        last = [label for label in own if left[label] == 0]
        if any(held[label] == 0 and label in trained for label in last):
            gain = 1
        elif any(label not in trained for label in last):
            gain = -1
        chosen[unit] = "validation" if gain > 0 else "train"
        if gain > 0:
            held.update(own)
        else:
            trained.update(own)
    return [dataclasses.replace(patch, split=chosen[_unit(patch)]) for patch in patches]


def _unit(patch: Patch) -> str:
    # The prefix keeps a site and a group of one name apart.
    if patch.site:
        return f"site {patch.site}"
    return f"group {patch.group}" if patch.group else f"file {patch.path}"


def _given(unit: str, members: Sequence[Patch]) -> str:
    splits = sorted({patch.split for patch in members if patch.split})
    if len(splits) > 1:
        files = ", ".join(str(next(p.path for p in members if p.split == split)) for split in splits[:2])
        message = (
            f"{unit}: is in the splits {' and '.join(splits)} ({files}); what is learnt in one would be known in the "
            "other: correct the column split or site"
        )
        raise ConfigError(message)
    return splits[0] if splits else ""
