"""What the results of scenes are called, so that no file of one passes for that of another."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fringewatch.detect.outputs import has_users_picture
from fringewatch.products.discovery import another_name
from fringewatch.progress import say

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from fringewatch.catalog import Catalog
    from fringewatch.detect.settings import Kept
    from fringewatch.products import Reference

__all__ = ["CatalogNames"]


class CatalogNames:
    """Names in an archive: the catalogue knows each file by one for good, whatever else is scanned with it.

    Discovery gives names that differ within one look. Another run over other folders, or a later look at a folder that
    grows, may give a scene the name that another has already.

    Parameters
    ----------
    catalog
        Of the run.
    folder, keep
        Where files of scenes go, and which kinds are written.
    """

    def __init__(self, catalog: Catalog, folder: Path, keep: Collection[Kept]) -> None:
        self._catalog = catalog
        self._folder = folder
        self._keep = keep
        # Of hundreds of thousands of scenes; hashes of 64 bits do, as they do for discovery.
        self._name_of = {hash(key): hash(name) for key, name in catalog.names().items()}
        self._taken = set(self._name_of.values())
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
        own = self._name_of.get(owner)
        if own == hash(reference.name):
            return reference
        name = reference.name
        if own is not None:
            # Rather than to hold the text of every name: few are called otherwise than discovery calls them.
            name = self._given.get(owner) or self._catalog.name_of(key) or name
        elif hash(name) in self._taken or has_users_picture(self._folder, name, keep=self._keep):
            name = self._given[owner] = another_name(reference, self._taken)
            if not self._said:
                say(f"{reference.address}: its results are called {name}; {reference.name} is taken (said once)")
                self._said = True
        self._name_of[owner] = hash(name)
        self._taken.add(hash(name))
        return reference if name == reference.name else dataclasses.replace(reference, name=name)
