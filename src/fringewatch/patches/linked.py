"""Which names belong together, told pair by pair."""

from __future__ import annotations

__all__ = ["Linked"]


class Linked:
    """Names, each with one that stands for all it is linked to (a disjoint-set forest)."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        """Return the name that stands for `name`: the first of those it is linked to, else itself."""
        first = name
        while (parent := self._parent.get(first, first)) != first:
            first = parent
        # The next look is a short one.
        while name != first:
            self._parent[name], name = first, self._parent.get(name, first)
        return first

    def link(self, *names: str) -> None:
        """Link names, and whatever they are linked to."""
        first = self[names[0]]
        for name in names[1:]:
            self._parent[self[name]] = first
