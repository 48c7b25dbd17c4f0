"""Training and validation that share no site."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np

from fringewatch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fringewatch.patches.record import Patch

__all__ = ["split_by_site"]


def split_by_site(patches: Sequence[Patch], *, validation: float = 0.2, seed: int = 0) -> list[Patch]:
    """Give every patch a split, ``train`` or ``validation``, so that no site is in both.

    Sites are drawn in random order; each goes to validation if that brings the classes' shares there closer to the
    wanted one. Of several orders, the one counts that comes closest. The unit is the site, else the scene group, else
    the file. Patches that have a split keep it, and so does their site.

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
        In the same order. A class of a single site is for training, if it can be.

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
    given = {unit: _given(unit, members) for unit, members in units.items()}
    counts = {unit: Counter(patch.label for patch in members) for unit, members in units.items()}
    rng = np.random.default_rng(seed)
    # Few sites fit a share badly in most orders; of many, any order will do.
    tries = max(1, min(64, 20_000 // max(len(units), 1)))
    drawn = [_draw(given, counts, validation, rng, fill=fill) for fill in (False, True) for _ in range(tries)]
    chosen = min(drawn, key=lambda split: _distance(split, counts, validation))
    return [dataclasses.replace(patch, split=chosen[_unit(patch)]) for patch in patches]


def _draw(
    given: Mapping[str, str],
    counts: Mapping[str, Counter[int]],
    validation: float,
    rng: np.random.Generator,
    *,
    fill: bool,
) -> dict[str, str]:
    """Return a split of the units; each goes where it brings the shares closer to the wanted ones.

    With `fill`, a unit of a class that validation lacks goes there even if that is too much of it, unless it is all
    there is.
    """
    chosen = dict(given)
    total = sum(counts.values(), Counter[int]())
    held = sum((counts[unit] for unit, split in given.items() if split == "validation"), Counter[int]())
    order = sorted(unit for unit, split in given.items() if not split)
    rng.shuffle(order)
    for unit in order:
        gain = sum(
            abs(held[label] / total[label] - validation) - abs((held[label] + count) / total[label] - validation)
            for label, count in counts[unit].items()
        )
        lacking = fill and any(not held[label] and total[label] > count for label, count in counts[unit].items())
        chosen[unit] = "validation" if gain > 0 or lacking else "train"
        if chosen[unit] == "validation":
            held.update(counts[unit])
    return chosen


def _distance(split: Mapping[str, str], counts: Mapping[str, Counter[int]], validation: float) -> float:
    """Return how far the classes' shares are from the wanted ones; a class that a split lacks counts most."""
    total = sum(counts.values(), Counter[int]())
    parts = {
        name: sum((counts[unit] for unit, part in split.items() if part == name), Counter[int]())
        for name in ("train", "validation")
    }
    lacking = sum(2 * (not parts["train"][label]) + (not parts["validation"][label]) for label in total)
    off = sum(abs(parts["validation"][label] / total[label] - validation) for label in total)
    return lacking + off / (len(total) + 1)


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
