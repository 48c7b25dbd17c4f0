"""Choosing patches by the columns of their manifest."""

from __future__ import annotations

import difflib
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from fringewatch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fringewatch.patches.record import Patch

__all__ = ["select"]


def select(patches: Iterable[Patch], *, only: Sequence[str] = (), exclude: Sequence[str] = ()) -> list[Patch]:
    """Keep the patches that meet all conditions of `only` and none of `exclude`.

    Parameters
    ----------
    patches
        Patches of any data sets.
    only, exclude
        Conditions ``"column=value"`` on the manifest's columns, several values separated by commas, each with the
        wildcards ``*`` and ``?``: ``"set=volcano"``, ``"site=taal,sierra*"``.

    Raises
    ------
    ConfigError
        If a condition cannot be read, or names a column that no patch has.
    """
    patches = list(patches)
    known = {column for patch in patches for column in patch.columns}
    keep, drop = ([_condition(text, known) for text in texts] for texts in (only, exclude))
    return [
        patch
        for patch in patches
        if all(_meets(patch, *condition) for condition in keep)
        and not any(_meets(patch, *condition) for condition in drop)
    ]


def _condition(text: str, known: set[str]) -> tuple[str, list[str]]:
    column, sign, values = text.partition("=")
    column = column.strip()
    if not sign or not column:
        message = f"{text!r}: not a condition; expected column=value, for example quality=doubtful-label"
        raise ConfigError(message)
    if column not in known:
        near = difflib.get_close_matches(column, sorted(known), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        message = f"{text!r}: no patch has a column {column!r}; {hint}known: {', '.join(sorted(known)) or 'none'}"
        raise ConfigError(message)
    return column, [value.strip() for value in values.split(",")]


def _meets(patch: Patch, column: str, values: Sequence[str]) -> bool:
    return any(fnmatchcase(patch.columns.get(column, ""), value) for value in values)
