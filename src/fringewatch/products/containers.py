"""What holds files of other products: a zip, a STAC item. Their readers find the right reader for what is inside."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from fringewatch.errors import FringewatchError, ProductError
from fringewatch.products.reference import Reader, Reference, named_members, stem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import xarray as xr

    from fringewatch.products.reference import ReadOptions

__all__ = ["Inside", "container_reader"]


@dataclasses.dataclass(frozen=True, slots=True)
class Inside:
    """One interferogram of a container.

    Parameters
    ----------
    member
        What the container calls it.
    reference
        What another reader opens.
    open_with
        Given the function that opens it and the options, returns the interferogram with what the container adds.
    """

    member: str
    reference: Reference
    open_with: Callable[[Callable[[ReadOptions], xr.Dataset], ReadOptions], xr.Dataset] = lambda read, options: read(
        options
    )


def container_reader(
    name: str,
    readers: Sequence[Reader],
    *,
    claims: Callable[[str], bool],
    look_inside: Callable[[str], Sequence[Inside]],
    leaves_out: Callable[[str, Sequence[Inside]], bool] = lambda _path, _inside: False,
) -> Reader:
    """Return the reader of a container.

    Parameters
    ----------
    name
        Of the reader; ``attrs["product"]`` is that of what is inside.
    readers
        Those that read what is inside.
    claims
        As in :class:`~fringewatch.products.reference.Reader`.
    look_inside
        From a path, the interferograms inside. Raises a FringewatchError if the container is damaged or refused.
    leaves_out
        Whether a container in a folder is passed over, since what it names is found anyway.
    """
    by_name = {reader.name: reader for reader in readers}

    def collect(paths: Sequence[str]) -> list[Reference]:
        references = []
        for path in paths:
            try:
                inside = look_inside(path)
            except FringewatchError:
                # Opening it says what is wrong, so that one bad file does not end a batch.
                references.append(Reference(path, name, stem(path)))
                continue
            if leaves_out(path, inside):
                continue
            references += [Reference(path, name, found.reference.name, member=found.member) for found in inside]
        return references

    def read(reference: Reference, options: ReadOptions) -> xr.Dataset:
        found = _choose(reference, look_inside(reference.path))
        inner = found.reference
        if reference.name:
            inner = dataclasses.replace(inner, name=reference.name)
        return found.open_with(lambda given: by_name[inner.product].read(inner, given), options)

    def complete(
        reference: Reference, options: ReadOptions, _interferogram: xr.Dataset, _rows: slice | None
    ) -> xr.Dataset:
        return read(reference, options)

    return Reader(name, claims, collect, read, complete=complete, members=True)


def _choose(reference: Reference, inside: Sequence[Inside]) -> Inside:
    chosen = [found for found in inside if reference.member in {"", found.member}]
    if len(chosen) == 1:
        return chosen[0]
    path = reference.path
    if not inside:
        message = f"{path}: holds no interferogram that is known by its name, expected one; name the file itself"
    elif chosen:
        message = f"{path}: holds {named_members(path, [found.member for found in inside])}"
    else:
        names = ", ".join(found.member for found in inside[:5])
        message = f"{path}: holds no interferogram {reference.member!r}, expected one of: {names}"
    raise ProductError(message)
