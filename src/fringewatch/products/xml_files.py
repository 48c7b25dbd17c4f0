"""XML headers, from files that anybody may have written: no entities, no DTD, bounded in size, no way out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError

import defusedxml.ElementTree
from defusedxml import DefusedXmlException

from fringewatch.errors import ProductError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["inside", "parse_xml"]

_MAX_BYTES = 64 * 1024**2
"""Annotations of ISCE list every burst and orbit, and SNAP keeps all of its history: some MB."""


def parse_xml(path: str) -> Element:
    """Parse a local XML file.

    Raises
    ------
    ProductError
        If it cannot be read, is no XML, larger than 64 MB, or declares a DTD or entities.
    """
    try:
        size = Path(path).stat().st_size
        if size > _MAX_BYTES:
            message = (
                f"{path}: is an XML header of {size >> 20} MB, expected at most {_MAX_BYTES >> 20}; fetch it again"
            )
            raise ProductError(message)
        root: Element = defusedxml.ElementTree.parse(path, forbid_dtd=True).getroot()
    except DefusedXmlException as error:
        kind = type(error).__name__
        message = f"{path}: is an XML header with a DTD or entities ({kind}), expected plain elements; do not trust it"
        raise ProductError(message) from error
    except (ParseError, LookupError, ValueError) as error:
        if isinstance(error, ProductError):
            raise
        message = f"{path}: is no readable XML ({error}), expected the header of a product; fetch it again"
        raise ProductError(message) from error
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror}), expected an XML header; check the path and permissions"
        raise ProductError(message) from error
    return root


def inside(folder: str, name: str, *, header: str) -> str:
    """Return the path of a file that a header names, where it lies in or below a folder.

    Parameters
    ----------
    folder
        The folder that may be read.
    name
        The file, relative to the folder or absolute, as the header has it.
    header
        The header's path, for the error.

    Raises
    ------
    ProductError
        If the name leads out of the folder, by ``..``, a link or a network address.
    """
    base = Path(folder).resolve()
    # Windows writes backslashes, and GDAL takes "/vsicurl/..." and "http://..." for addresses.
    plain = name.strip().replace("\\", "/")
    try:
        target = (base / plain).resolve()
        leads_out = "://" in plain or plain.startswith("/vsi") or not plain or not target.is_relative_to(base)
    except (OSError, ValueError, RuntimeError):
        leads_out = True
    if leads_out:
        message = (
            f"{header}: names the file {name.strip()!r}, which is not in the product's folder, expected one beside "
            "its header; do not trust it, or put the files together"
        )
        raise ProductError(message)
    return str(Path(folder) / plain)
