"""STAC items: which of the assets is the interferogram, and what the item knows better than the file.

An item is a JSON file or an http(s) address of one. Assets that by key, name or role are phase are read by the reader
that knows their name; coherence, height and look vectors among the assets go with them. From the item come the dates
(``start_datetime``, ``end_datetime``) where names tell none, the wavelength (``sar:center_frequency``), and the grid
(``proj:code``, ``proj:transform``) where the file has none.

See the SpatioTemporal Asset Catalog specification 1.1 with its extensions SAR and Projection.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fringewatch.conventions import SPEED_OF_LIGHT_M_S
from fringewatch.errors import ProductError, require
from fringewatch.products.containers import Inside, container_reader
from fringewatch.products.names import COMPANION
from fringewatch.products.reference import Reader, Reference, file_name, is_remote, parent, stem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import xarray as xr

    from fringewatch.products.reference import ReadOptions

__all__ = ["stac_reader"]

_SUFFIX = re.compile(r"\.json$", re.IGNORECASE)
_OF_AN_API = re.compile(r"^https?://.+/items/[^/]+$", re.IGNORECASE)
_ADDRESS = re.compile(r"^(?:https?|s3|gs|az)://", re.IGNORECASE)
_MOST_BYTES = 16_000_000
_TIMEOUT_S = 30
_NOT_DATA = {"thumbnail", "overview", "metadata", "visual"}
_RANKS = (
    re.compile(r"(?<!un)wrapped|wrp|diff_pha", re.IGNORECASE),
    re.compile(r"unw", re.IGNORECASE),
    re.compile(r"phase|interferogram|ifg|insar", re.IGNORECASE),
)
"""Which asset is the phase, most trusted first: an unwrapping may be wrong."""
_VARIABLES = {
    "coherence": {"coherence", "coh", "corr", "cor", "cc"},
    "height": {"height", "dem", "hgt", "elevation"},
    **{name: {name} for name in ("los_east", "los_north", "los_up")},
}


def stac_reader(readers: Sequence[Reader]) -> Reader:
    """Return the reader of STAC items whose assets `readers` read."""
    return container_reader(
        "stac",
        readers,
        claims=_claims,
        look_inside=functools.partial(_look_inside, readers),
        leaves_out=_names_a_neighbour,
    )


def _claims(path: str) -> bool:
    if is_remote(path):
        address = path.partition("?")[0]
        return _OF_AN_API.search(address) is not None or (
            address.lower().startswith("http") and _SUFFIX.search(address) is not None
        )
    return _SUFFIX.search(file_name(path)) is not None


def _names_a_neighbour(path: str, inside: Sequence[Inside]) -> bool:
    """Tell whether a search that finds the item finds all of its assets as well."""
    folder = Path(parent(path)).resolve()
    assets = [Path(found.reference.path) for found in inside if not is_remote(found.reference.path)]
    return bool(inside) and len(assets) == len(inside) and all(folder in asset.parents for asset in assets)


def _look_inside(readers: Sequence[Reader], path: str) -> list[Inside]:
    content = _load(path)
    if content is None:
        return []
    pystac = require("pystac", extra="stac")
    try:
        item = pystac.Item.from_dict(content, href=path if is_remote(path) else str(Path(path).resolve()))
        assets = {key: asset for key, asset in item.assets.items() if not _NOT_DATA & set(asset.roles or ())}
        addresses = {key: str(asset.get_absolute_href() or asset.href) for key, asset in assets.items()}
    except (pystac.STACError, KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"{path}: is no valid STAC item ({type(error).__name__}: {error}), expected one of STAC 1.0 or 1.1"
        raise ProductError(message) from error
    for key, address in addresses.items():
        _check_address(path, key, address)
    facts = {key: {**item.properties, **assets[key].extra_fields} for key in assets}
    phases = _phases(addresses)
    inside = []
    for reader in readers:
        mine = [address for address in phases if reader.claims(address)]
        phases = {address: key for address, key in phases.items() if address not in mine}
        by_address = {address: key for key, address in addresses.items()}
        for found in reader.collect(mine):
            key = by_address[found.path]
            inner = found
            if not found.companions:
                others = {name: address for name, address in _companions(addresses).items() if address != found.path}
                inner = dataclasses.replace(found, companions=others)
            inner = dataclasses.replace(inner, name=_name(item.id, found))
            inside.append(Inside(key, inner, functools.partial(_open, facts[key])))
    return inside


def _load(path: str) -> dict[str, Any] | None:
    """Return the JSON of an item; None where a file is JSON of another kind."""
    try:
        if is_remote(path):
            # The scheme is http or https: `_claims` takes no other.
            with urllib.request.urlopen(path, timeout=_TIMEOUT_S) as response:
                text = response.read(_MOST_BYTES + 1)
        else:
            with Path(path).open("rb") as stream:
                text = stream.read(_MOST_BYTES + 1)
    except (OSError, urllib.error.URLError, ValueError) as error:
        message = f"{path}: cannot be read ({error}), expected a STAC item; check the address and the network"
        raise ProductError(message) from error
    if len(text) > _MOST_BYTES or b'"stac_version"' not in text:
        return None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        message = f"{path}: is damaged ({type(error).__name__}: {error}), expected the JSON of a STAC item"
        raise ProductError(message) from error
    is_item = isinstance(content, dict) and content.get("type") == "Feature" and "stac_version" in content
    return content if is_item else None


def _check_address(path: str, key: str, address: str) -> None:
    """Refuse assets that would make us open something else than files beside a local item, or on the network."""
    remote = is_remote(path)
    if _ADDRESS.match(address) or not (remote or is_remote(address)):
        return
    kind = "an address such as https:// or s3://" if remote else "an address or a file"
    message = f"{path}: its asset {key!r} lies at {address!r}, expected {kind}; it was not opened"
    raise ProductError(message)


def _phases(addresses: dict[str, str]) -> dict[str, str]:
    """Return the addresses that are phase, with their keys: the most trusted kind that is there."""
    likely = {
        address: key
        for key, address in addresses.items()
        if not COMPANION.search(key) and not COMPANION.search(stem(address))
    }
    for rank in _RANKS:
        found = {address: key for address, key in likely.items() if rank.search(key) or rank.search(file_name(address))}
        if found:
            return found
    return likely


def _companions(addresses: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for variable, keys in _VARIABLES.items():
        for key, address in addresses.items():
            if key.lower() in keys:
                found.setdefault(variable, address)
    return found


def _name(identifier: str, found: Reference) -> str:
    # Servers call their assets "unw_phase.tif" in the folder of the item: the item tells which.
    return found.name if any(char.isdigit() for char in found.name) else f"{identifier}_{found.name}"


def _open(facts: dict[str, Any], read: Callable[[ReadOptions], xr.Dataset], options: ReadOptions) -> xr.Dataset:
    notes = []
    frequency = facts.get("sar:center_frequency")
    if options.wavelength_m is None and isinstance(frequency, int | float) and frequency > 0:
        options = dataclasses.replace(options, wavelength_m=SPEED_OF_LIGHT_M_S / (frequency * 1e9))
    interferogram = read(options)
    attrs = interferogram.attrs
    days = [str(facts.get(key) or "")[:10] for key in ("start_datetime", "end_datetime")]
    if not attrs["reference_date"] and all(re.fullmatch(r"\d{4}-\d\d-\d\d", day) for day in days):
        attrs["reference_date"], attrs["secondary_date"] = days
        notes.append("the dates are the first and the last of the STAC item")
    if interferogram.rio.crs is None and (grid := _grid(facts, interferogram["phase"].shape)):
        interferogram = _place(interferogram, *grid)
        attrs = interferogram.attrs
        attrs["assumptions"] = [text for text in attrs["assumptions"] if "coordinates are pixel indices" not in text]
        notes.append("the grid is that of the STAC item")
    attrs["assumptions"] = [*attrs["assumptions"], *notes]
    return interferogram


def _grid(facts: dict[str, Any], shape: tuple[int, ...]) -> tuple[Any, Any] | None:
    """Return CRS and transform of an item whose shape is that of the file."""
    code, numbers, size = facts.get("proj:code"), facts.get("proj:transform"), facts.get("proj:shape")
    if code is None and facts.get("proj:epsg") is not None:
        code = f"EPSG:{facts['proj:epsg']}"
    if not isinstance(code, str) or not isinstance(numbers, list) or len(numbers) < 6 or size != list(shape):
        return None
    from affine import Affine
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    try:
        transform = Affine(*(float(number) for number in numbers[:6]))
        crs = CRS.from_user_input(code)
    except (CRSError, TypeError, ValueError):
        return None
    upright = transform.b == transform.d == 0 and transform.a != 0 and transform.e != 0
    return (crs, transform) if upright else None


def _place(interferogram: xr.Dataset, crs: Any, transform: Any) -> xr.Dataset:
    import numpy as np

    height, width = interferogram["phase"].shape
    moved = interferogram.assign_coords(
        y=transform.f + transform.e * (np.arange(height) + 0.5), x=transform.c + transform.a * (np.arange(width) + 0.5)
    )
    placed: xr.Dataset = moved.rio.write_crs(crs).rio.write_transform(transform)
    return placed
