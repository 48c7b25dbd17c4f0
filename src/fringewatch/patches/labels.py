"""What words for labels and for splits mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fringewatch.errors import ConfigError, ProductError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["BINARY", "class_names", "label_of", "meanings", "plain", "shows_deformation", "split_of"]

BINARY = ("none", "deformation")
"""Names of the classes 0 and 1 of a data set of deformation and background."""

_POSITIVE = ("1", "deformation", "deforming", "positive", "true", "yes")
_NEGATIVE = ("0", "atmosphere", "background", "false", "negative", "no", "no_deformation", "none", "quiet")


_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


def split_of(word: str) -> str | None:
    """Return the split that a word means, ``"train"``, ``"validation"`` or ``"test"``; None if it means none."""
    return _SPLITS.get(plain(word))


def plain(word: str) -> str:
    """Return a word as it is compared: lower case, words joined by underscores."""
    return word.strip().casefold().replace(" ", "_").replace("-", "_")


def meanings(positive: Sequence[str] = (), negative: Sequence[str] = ()) -> dict[str, int]:
    """Return the meaning, 0 or 1, of the known words and of the user's own.

    Raises
    ------
    ConfigError
        If a word is given as both.
    """
    if both := {word.casefold() for word in positive} & {word.casefold() for word in negative}:
        message = f"{', '.join(sorted(both))}: named as positive and as negative label; keep one of the two"
        raise ConfigError(message)
    words = dict.fromkeys(_POSITIVE, 1) | dict.fromkeys(_NEGATIVE, 0)
    return words | {plain(word): 1 for word in positive} | {plain(word): 0 for word in negative}


def label_of(word: str, words: Mapping[str, int], where: str) -> int:
    """Return the label of a word.

    Raises
    ------
    ProductError
        If the word is in none of `words`; `where` says where it stands.
    """
    label = words.get(plain(word))
    if label is None:
        message = (
            f"{where}: unknown label {word!r}; known: {', '.join(_POSITIVE)} (deformation) and {', '.join(_NEGATIVE)} "
            "(background); say what it means with --positive or --negative, or fill gaps with --default-label"
        )
        raise ProductError(message)
    return label


def class_names(words: Iterable[str], known: Mapping[str, int] | None = None) -> tuple[str, ...]:
    """Return the classes that label words make, in the order of their labels.

    Words that all mean deformation or background, as `known` from :func:`meanings` has it, make the two classes of
    :data:`BINARY`. Otherwise each word is a class, sorted (numbers by value), words for background first and words for
    deformation last.
    """
    found = {plain(word) for word in words}
    known = meanings() if known is None else known
    if {known.get(word) for word in found} == {0, 1}:
        return BINARY
    if all(word.isdecimal() for word in found):
        return tuple(sorted(found, key=int))
    rank = {0: 0, None: 1, 1: 2}
    return tuple(sorted(found, key=lambda word: (rank[known.get(word)], word)))


def shows_deformation(classes: Sequence[str], known: Mapping[str, int]) -> bool:
    """Tell whether of two classes it is known that the second shows deformation and the first does not.

    One word whose meaning is known tells that of the other.
    """
    said = tuple(known.get(name) for name in classes)
    return tuple(classes) == BINARY or said in {(0, 1), (0, None), (None, 1)}
