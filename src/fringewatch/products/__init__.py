"""Reading interferograms of every provider into one form.

``discover`` turns what a user names into references without reading anything; ``open_interferogram`` turns one
reference, or a path, into the dataset that :mod:`fringewatch.interferogram` defines. Each provider is one module with
a :class:`~fringewatch.products.reference.Reader`; the first reader that claims a name reads it.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fringewatch.errors import ProductError
from fringewatch.products import (
    aria,
    dolphin,
    gamma,
    geotiff,
    gmtsar,
    hyp3,
    image,
    isce,
    licsar,
    licsbas,
    mintpy,
    nisar,
    opera,
    raster,
    roipac,
    snap,
)
from fringewatch.products.discovery import discover_with
from fringewatch.products.reference import Reader, ReadOptions, Reference, is_text, named_members
from fringewatch.products.stac import stac_reader
from fringewatch.products.zips import zip_reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import xarray as xr

    from fringewatch.products.reference import Chunks, Kind, Sign

__all__ = [
    "EXAMPLE_FOLDER",
    "EXAMPLE_PATTERN",
    "READERS",
    "Reference",
    "companions_of",
    "discover",
    "open_interferogram",
    "with_what_lies_beside",
]

_OF_FILES: tuple[Reader, ...] = (
    licsar.READER,
    hyp3.READER,
    dolphin.READER,
    snap.READER,
    # These have endings in common; the headers beside a file tell the first three from the last.
    isce.READER,
    roipac.READER,
    licsbas.READER,
    gamma.READER,
    gmtsar.READER,
    opera.READER,
    aria.READER,
    nisar.READER,
    mintpy.READER,
    geotiff.READER,
    image.READER,
)

READERS: tuple[Reader, ...] = (*_OF_FILES, zip_reader(_OF_FILES), stac_reader(_OF_FILES))
"""In the order in which they are asked."""

EXAMPLE_FOLDER = Path(__file__).parent / "example"
EXAMPLE_PATTERN = "*.geo.diff_pha.tif"
"""The bundled example: the first file of this pattern below :data:`EXAMPLE_FOLDER`."""


def discover(paths: Iterable[str | Path] | str | Path, *, recursive: bool = True) -> Iterator[Reference]:
    """Find the interferograms among files, folders, patterns and URLs, without reading them.

    Parameters
    ----------
    paths
        One or several of: a file; a folder; a pattern such as ``data/*/*.tif`` (``**`` too); an ``http(s)://``,
        ``s3://``, ``gs://`` or GDAL ``/vsi...`` address of a file.
    recursive
        Whether folders are searched with all that lies below them.

    Yields
    ------
    Reference
        One per interferogram, in the order of `paths` and sorted within a folder, each once; ``file#member`` names one
        of a file that holds several, which are all yielded where the file is named. In folders and patterns a LiCSAR or
        HyP3 pair gives one reference, and what goes with interferograms (coherence, DEM, look vectors, masks, results
        of an earlier run) gives none. Files named one by one, as a shell does that expands ``*/*.tif``, give the same,
        save that odd ones are yielded, to be reported, and so are companions if nothing but companions is named. What
        does not exist, and a folder or pattern without an interferogram, is yielded too: opening it raises the
        :class:`~fringewatch.errors.ProductError` that says so, so that one bad name does not end a batch.
    """
    return discover_with(READERS, paths, recursive=recursive)


def open_interferogram(
    reference: str | Path | Reference | None = None,
    *,
    chunks: Chunks = None,
    wavelength_m: float | None = None,
    phase_sign: Sign | None = None,
    kind: Kind = "auto",
    band: int | None = None,
    nodata: float | None = None,
    interval_days: float | None = None,
    pixel_size_m: float | None = None,
    companions: bool = True,
) -> xr.Dataset:
    """Read one interferogram.

    Parameters
    ----------
    reference
        A path, URL or :class:`Reference`; ``file#member`` where a file holds several interferograms, such as
        ``ifgramStack.h5#20180601_20180613``; a folder that holds one interferogram will do. None opens the bundled
        example.
    chunks
        None reads scenes of up to 64 million pixels at once and larger ones lazily, as dask arrays. A side length, a
        pair (rows, columns) or ``"auto"`` reads lazily always; values are then checked when they are computed.
    wavelength_m
        Radar wavelength, for files that do not declare theirs.
    phase_sign
        What the phase of the file grows with; where the provider defines it, that is the default. ``"range decrease"``
        is turned round on reading.
    kind
        What the file holds: ``"wrapped"`` or ``"unwrapped"`` radians, ``"complex"`` numbers, a grey ``"picture"``;
        ``"auto"`` judges by provider, name and values and says so in ``attrs["assumptions"]``.
    band
        Band number from 1, where a file has several.
    nodata
        Value that means no data, where the file does not declare it.
    interval_days
        For velocities: the time over which they become displacement, and so phase.
    pixel_size_m
        Side of a pixel on the ground, for files without coordinates, such as pictures; coordinates count more.
    companions
        False leaves unread what lies beside the phase and nothing depends on, where the reader can (coherence, height
        and line of sight of LiCSAR and HyP3); nothing is then said of it either.

    Returns
    -------
    xarray.Dataset
        ``phase`` wrapped in (-pi, pi], NaN = no data, growing with range where the sign is known; companions; see
        :mod:`fringewatch.interferogram`.

    Raises
    ------
    ProductError
        Naming the file, what is wrong, what was expected and the remedy.
    """
    options = ReadOptions(chunks, wavelength_m, phase_sign, kind, band, nodata, interval_days, companions)
    options.check()
    if pixel_size_m is not None and not 0 < pixel_size_m < float("inf"):
        message = f"pixel_size_m = {pixel_size_m!r}: expected a positive number of metres, such as 20"
        raise ProductError(message)
    if reference is None:
        reference = _example()
    if not isinstance(reference, Reference):
        reference = _resolve(os.fspath(reference))
    if not is_text(reference.path):
        message = (
            f"{reference.address}: its name, or that of a folder on the way, is not in UTF-8, and the libraries that "
            "read rasters take no other; rename it (`convmv` does many)"
        )
        raise ProductError(message)
    reader = _reader(reference)
    if reference.member and not reader.members:
        message = f"{reference.address}: {reference.path} holds one interferogram; leave out #{reference.member}"
        raise ProductError(message)
    with raster.opened_once():
        interferogram = reader.read(reference, options)
    if pixel_size_m is not None:
        interferogram.attrs["pixel_size_m"] = float(pixel_size_m)
    return interferogram


def with_what_lies_beside(
    interferogram: xr.Dataset, reference: Reference, options: ReadOptions, *, rows: slice | None = None
) -> xr.Dataset:
    """Return an interferogram that was opened with ``companions=False`` with its companions.

    Parameters
    ----------
    interferogram, reference
        What was opened, and from where.
    options
        With which.
    rows
        Of the companions only these are needed (explicit bounds); others may be NaN. None for all.

    Returns
    -------
    xarray.Dataset
        The phase is that of `interferogram`, where the reader can do without reading it again; arrays may be read-only.
    """
    reader, options = _reader(reference), dataclasses.replace(options, companions=True)
    if reader.complete is None:
        return interferogram
    with raster.opened_once():
        if isinstance(interferogram.variables["phase"].data, np.ndarray):
            complete = reader.complete(reference, options, interferogram, rows)
        else:
            # Lazy ones are not read anyway, and have the chunks of the phase.
            complete = reader.read(reference, options)
    if (size := interferogram.attrs.get("pixel_size_m")) is not None:
        complete.attrs["pixel_size_m"] = size
    return complete


def companions_of(reference: Reference) -> list[str]:
    """Return the paths that reading a reference takes along: those it names, and local ones found beside it."""
    return [*reference.companions.values(), *_reader(reference).beside(reference)]


def _reader(reference: Reference) -> Reader:
    for reader in READERS:
        if reader.name == reference.product or (not reference.product and reader.claims(reference.path)):
            return reader
    # An unknown suffix: GDAL knows more formats than we have names for.
    return geotiff.READER


def _resolve(path: str) -> Reference:
    found = discover([path])
    first = next(found)
    second = next(found, None)
    if second is not None and second.path == first.path:
        members = [first.member, second.member, *(other.member for other in found)]
        message = f"{first.path}: holds {named_members(first.path, members)}"
        raise ProductError(message)
    if second is not None:
        message = f"{path}: holds several interferograms ({first.name}, {second.name}, ...); name one of them"
        raise ProductError(message)
    return first


def _example() -> Reference:
    for path in sorted(EXAMPLE_FOLDER.rglob(EXAMPLE_PATTERN)):
        return next(discover([path]))
    message = f"{EXAMPLE_FOLDER}: the bundled example is missing, expected {EXAMPLE_PATTERN}; reinstall fringewatch"
    raise ProductError(message)
