"""Training and validation that share no site."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np

from fringewatch.errors import ConfigError
from fringewatch.patches.linked import Linked
from fringewatch.progress import say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fringewatch.patches.record import Patch

__all__ = ["split_by_site"]


def split_by_site(patches: Sequence[Patch], *, validation: float = 0.2, seed: int = 0) -> list[Patch]:
    """Give every patch a split, ``train`` or ``validation``, so that no site is in both.

    Sites are drawn in random order; each goes to validation if that brings the classes' shares there closer to the
    wanted one. Of several orders, the one counts that comes closest. What is drawn is a site with all that it shares a
    scene group with; scene groups that tie too much together, so that a class would be missing in a split, are told of
    and count only where there is no site. Patches that have a split keep it, and so does their site.

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
    own = [_unit(patch) for patch in patches]
    _check_given(own, patches)
    tied = _tie(own, patches)
    chosen, lacking = _choose(patches, tied, validation, seed)
    if lacking:
        by_site, fewer = _choose(patches, own, validation, seed)
        if fewer < lacking:
            say("scene groups tie too many sites together: training and validation share no site, but scene groups")
            chosen = by_site
    return [dataclasses.replace(patch, split=split) for patch, split in zip(patches, chosen, strict=True)]


def _tie(units: Sequence[str], patches: Sequence[Patch]) -> list[str]:
    """Return a name for each patch, one for all units that share a scene group; none that were given several splits."""
    linked = Linked()
    for unit, patch in zip(units, patches, strict=True):
        if patch.group:
            linked.link(unit, f"group {patch.group}")
    splits: dict[str, set[str]] = defaultdict(set)
    for unit, patch in zip(units, patches, strict=True):
        splits[linked[unit]] |= {patch.split} - {""}
    return [unit if len(splits[linked[unit]]) > 1 else linked[unit] for unit in units]


def _choose(patches: Sequence[Patch], units: Sequence[str], validation: float, seed: int) -> tuple[list[str], int]:
    """Return the split of each patch, those of one unit together, and how often a class is missing in a split."""
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    given: dict[str, str] = {}
    for unit, patch in zip(units, patches, strict=True):
        counts[unit][patch.label] += 1
        given[unit] = given.get(unit) or patch.split
    rng = np.random.default_rng(seed)
    # Few sites fit a share badly in most orders; of many, any order will do.
    tries = max(1, min(64, 20_000 // max(len(counts), 1)))
    drawn = [_draw(given, counts, validation, rng, fill=fill) for fill in (False, True) for _ in range(tries)]
    best = min(drawn, key=lambda split: _distance(split, counts, validation))
    return [best[unit] for unit in units], _lacking(best, counts).total()


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
    lacking = _lacking(split, counts)
    held = _held(split, counts, "validation")
    off = sum(abs(held[label] / total[label] - validation) for label in total)
    return 2 * lacking["train"] + lacking["validation"] + off / (len(total) + 1)


def _lacking(split: Mapping[str, str], counts: Mapping[str, Counter[int]]) -> Counter[str]:
    """Return how many classes training and validation lack."""
    total = sum(counts.values(), Counter[int]())
    return Counter({part: len(total) - len(_held(split, counts, part)) for part in ("train", "validation")})


def _held(split: Mapping[str, str], counts: Mapping[str, Counter[int]], part: str) -> Counter[int]:
    return sum((counts[unit] for unit, name in split.items() if name == part), Counter[int]())


def _unit(patch: Patch) -> str:
    # The prefix keeps a site and a group of one name apart.
    if patch.site:
        return f"site {patch.site}"
    return f"group {patch.group}" if patch.group else f"file {patch.path}"


def _check_given(units: Sequence[str], patches: Sequence[Patch]) -> None:
    first: dict[str, dict[str, Patch]] = defaultdict(dict)
    for unit, patch in zip(units, patches, strict=True):
        if patch.split:
            first[unit].setdefault(patch.split, patch)
    for unit, found in first.items():
        if len(found) > 1:
            splits = sorted(found)
            files = ", ".join(str(found[split].path) for split in splits[:2])
            message = (
                f"{unit}: is in the splits {' and '.join(splits)} ({files}); what is learnt in one would be known in "
                "the other: correct the column split or site"
            )
            raise ConfigError(message)
