"""What the results of scenes are called, so that no file of one passes for that of another."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fringewatch.detect.journal import place_of
from fringewatch.detect.outputs import has_users_picture
from fringewatch.products.discovery import another_name
from fringewatch.progress import say

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from fringewatch.catalog import Catalog
    from fringewatch.detect.journal import Journal
    from fringewatch.detect.settings import Kept
    from fringewatch.products import Reference

__all__ = ["CatalogNames", "free_name"]


def free_name(reference: Reference, taken: set[int], folder: Path, keep: Collection[Kept]) -> str:
    """Return a name for a reference whose own is taken, under which no picture of the user's lies.

    Parameters
    ----------
    reference
        With the name that is taken.
    taken
        Hashes of names; the one that is returned is added, as are those that were passed over.
    folder, keep
        Where files of scenes go, and which kinds are written.
    """
    while True:
        name = another_name(reference, taken)
        taken.add(hash(name))
        if not has_users_picture(folder, name, keep=keep):
            return name


class CatalogNames:
    """Names in an archive: the catalogue knows each file by one for good, whatever else is scanned with it.

    Discovery gives names that differ within one look. Another run over other folders, or a later look at a folder that
    grows, may give a scene the name that another has already.

    Parameters
    ----------
    catalog
        Of the run.
    journal
        Of earlier runs over few scenes into the same folder, whose results lie there.
    folder, keep
        Where files of scenes go, and which kinds are written.
    """

    def __init__(self, catalog: Catalog, journal: Journal, folder: Path, keep: Collection[Kept]) -> None:
        self._catalog = catalog
        self._folder = folder
        self._keep = keep
        self._listed = journal.names()
        # Of hundreds of thousands of scenes; hashes of 64 bits do, as they do for discovery.
        self._name_of = {hash(key): hash(name) for key, name in catalog.names().items()}
        self._taken = {*self._name_of.values(), *map(hash, self._listed.values())}
        # Those that this run gave, which the catalogue may not have yet.
        self._given: dict[int, str] = {}
        self._said = False

    def settle(self, reference: Reference, key: str) -> Reference:
        """Return a reference with the name of its file's results.

        Parameters
        ----------
        reference
            With the name that discovery gave it.
        key
            Of the file; see :func:`fringewatch.catalog.scene_key`.
        """
        owner = hash(key)
        own = self._own_name(reference, key)
        name = own or reference.name
        taken = own is None and hash(name) in self._taken
        if taken or has_users_picture(self._folder, name, keep=self._keep):
            there = dataclasses.replace(reference, name=name)
            name = self._given[owner] = free_name(there, self._taken, self._folder, self._keep)
            if not self._said:
                say(f"{reference.address}: its results are called {name}; {there.name} is taken (said once)")
                self._said = True
        self._name_of[owner] = hash(name)
        self._taken.add(hash(name))
        return reference if name == reference.name else dataclasses.replace(reference, name=name)

    def knows(self, key: str) -> bool:
        """Tell whether there are results of a file under its name, or have been."""
        return hash(key) in self._name_of

    def _own_name(self, reference: Reference, key: str) -> str | None:
        """Return what the results of a file are called so far; None if there are none."""
        known = self._name_of.get(hash(key))
        if known is None:
            return self._listed.get((place_of(reference.path), reference.member)) if self._listed else None
        if known == hash(reference.name):
            return reference.name
        # Rather than to hold the text of every name: few are called otherwise than discovery calls them.
        return self._given.get(hash(key)) or self._catalog.name_of(key) or reference.name
