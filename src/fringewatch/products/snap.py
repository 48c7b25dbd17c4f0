"""ESA SNAP: products in BEAM-DIMAP, ``<name>.dim`` with raw big-endian bands in ``<name>.data``.

Bands of an interferogram end alike, in sub-swath, polarisation and dates (primary, secondary)::

    i_ifg_IW1_VV_01Jun2018_13Jun2018, q_ifg_...     real and imaginary part
    Phase_ifg_...                                   wrapped phase; often computed from the two and then not stored
    Unw_Phase_ifg_...                               unwrapped phase, imported from snaphu
    coh_...                                         coherence, 0 to 1
    elevation, incidenceAngleFromEllipsoid          metres, degrees; from terrain correction
    orthorectifiedLat, orthorectifiedLon            degrees, where the phase is in radar geometry

A product may hold several; ``stack.dim#20180601_20180613`` names one. Of one pair the stored parts come first, then the
wrapped, then the unwrapped phase. Exactly 0 is no data. Terrain-corrected products are on a map grid, others in radar
geometry; tie points are not used.

Sign: SNAP multiplies the primary image with the conjugate of the secondary, and its own displacement is
``-wavelength / (4 pi)`` times the unwrapped phase: so the phase grows with range, and is not turned round.

Wavelength, heading and look side come from ``Abstracted_Metadata``. Without an angle per pixel the look vector of the
scene's centre is taken, and said to be.

References
----------
Veci et al. (2014), The Sentinel-1 Toolbox, IEEE International Geoscience and Remote Sensing Symposium.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from typing import TYPE_CHECKING, Literal

from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError

from fringewatch.conventions import SPEED_OF_LIGHT_M_S
from fringewatch.errors import ProductError
from fringewatch.products import look, raster
from fringewatch.products.assemble import assemble
from fringewatch.products.companions import Companions, decode_coherence, decode_nonzero, decode_values
from fringewatch.products.decode import PhaseDecoder
from fringewatch.products.radians import Radians, read_radians
from fringewatch.products.raw import RawGrid, byte_order, inspect_raw
from fringewatch.products.reference import Reader, Reference, file_name, is_remote, named_members, parent
from fringewatch.products.xml_files import inside, parse_xml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from xml.etree.ElementTree import Element

    import xarray as xr

    from fringewatch.products.companions import Decode
    from fringewatch.products.raster import Array, RasterInfo
    from fringewatch.products.reference import ReadOptions

__all__ = ["READER"]

_IFG = re.compile(r"^(?P<part>i|q|Phase|Unw_Phase)_ifg_?(?P<tag>.*)$", re.IGNORECASE)
_DATES = re.compile(r"(\d{2}[A-Za-z]{3}\d{4})_(\d{2}[A-Za-z]{3}\d{4})")
_TYPES = {"float32", "float64", "int16", "int32", "uint8"}
_LATITUDE, _LONGITUDE = ("orthorectifiedLat", "latitude", "lat"), ("orthorectifiedLon", "longitude", "lon")


@dataclasses.dataclass(frozen=True, slots=True)
class _Product:
    """What a .dim says: the grid, the stored bands (name to file and type), and the radar's metadata."""

    path: str
    grid: RawGrid
    bands: Mapping[str, tuple[str, str]]
    metadata: Mapping[str, str]

    def members(self) -> dict[str, dict[str, str]]:
        """Return the interferograms: by what names them, the band of each part (``i``, ``q``, ``phase``, ...)."""
        by_tag: dict[str, dict[str, str]] = {}
        for name in self.bands:
            match = _IFG.search(name)
            if match:
                by_tag.setdefault(match["tag"].lower(), {})[match["part"].lower()] = name
        usable = {
            tag: parts for tag, parts in by_tag.items() if {"i", "q"} <= parts.keys() or parts.keys() - {"i", "q"}
        }
        wrapped = {_pair(tag) for tag, parts in usable.items() if parts.keys() != {"unw_phase"}}
        # An unwrapped band may name its polarisation elsewhere; it is the same pair.
        chosen = {
            tag: parts for tag, parts in usable.items() if parts.keys() != {"unw_phase"} or _pair(tag) not in wrapped
        }
        pairs = ["_".join(_pair(tag)).replace("-", "") for tag in chosen]
        return {
            pair if len(pair) > 1 and pairs.count(pair) == 1 else tag or "ifg": parts
            for pair, (tag, parts) in zip(pairs, chosen.items(), strict=True)
        }

    def inspect(self, *names: str) -> RasterInfo:
        """Open bands as one raster."""
        paths, dtypes = zip(*(self.bands[name] for name in names), strict=True)
        files = [inside(parent(self.path), path, header=self.path) for path in paths]
        if len(set(dtypes)) != 1 or dtypes[0] not in _TYPES:
            message = (
                f"{self.path}: bands {', '.join(names)} hold {', '.join(dtypes)}, expected float32; export them anew"
            )
            raise ProductError(message)
        big_endian = True
        if dtypes[0].startswith("float"):
            big_endian, _ = byte_order(files[0], dtypes[0], big_endian=True)
        return inspect_raw(files[0], self.grid, dtypes[0], big_endian=big_endian, parts=files[1:])

    def number(self, *keys: str) -> float | None:
        """Return the first of the metadata's numbers that is there; SNAP writes 99999 for unknown."""
        for key in keys:
            try:
                value = float(self.metadata[key])
            except (KeyError, ValueError):
                continue
            if value != 99999:
                return value
        return None


def _claims(path: str) -> bool:
    name = file_name(path)
    if name.endswith(".dim"):
        return not is_remote(path)
    return name.endswith((".img", ".hdr")) and file_name(parent(path)).endswith(".data")


def _collect(paths: Sequence[str]) -> list[Reference]:
    references = []
    for path in paths:
        if not path.endswith(".dim"):
            continue
        name = file_name(path).removesuffix(".dim")
        try:
            members = list(_open(path).members())
        except ProductError:
            # Opening it will say so.
            references.append(Reference(path, READER.name, name))
            continue
        if len(members) == 1:
            references.append(Reference(path, READER.name, name))
        else:
            references += [Reference(path, READER.name, f"{name}_{member}", member=member) for member in members]
    return references


def _read(reference: Reference, options: ReadOptions) -> xr.Dataset:
    path = reference.path
    if not path.endswith(".dim"):
        message = (
            f"{path}: is a band of a SNAP product, expected its header, {file_name(parent(path))[:-5]}.dim; name that"
        )
        raise ProductError(message)
    product = _open(path)
    parts = _parts(reference, product)
    if options.band is not None:
        message = f"{path}: band={options.band} was asked for, but SNAP names its bands; leave band out"
        raise ProductError(message)
    info, radians = _read_phase(product, parts, options)
    companions = Companions(info, options.chunks, reference.companions)

    def read(variable: str, names: Sequence[str], decode: Decode) -> Array | None:
        # By the band's name, which is no path: a product holds them all.
        name = next((name for name in names if name in product.bands), None)
        if name is None or variable in reference.companions:
            return companions.read(variable, (), decode)
        file = inside(parent(path), product.bands[name][0], header=path)
        return companions.read(variable, [file], decode, inspect=lambda _: product.inspect(name))

    tag = _IFG.sub(r"\g<tag>", next(iter(parts.values())))
    same_pair = [name for name in product.bands if name.lower().startswith("coh") and _pair(name) == _pair(tag)]
    found: dict[str, Array | None] = {
        "coherence": read("coherence", [f"coh_{tag}", *same_pair], decode_coherence),
        "height": read("height", ["elevation"], decode_values),
    }
    notes = []
    looking: Literal["left", "right"] = "left" if product.metadata.get("antenna_pointing") == "left" else "right"
    heading = product.number("centre_heading", "centre_heading2")
    incidence = read("incidence", ["incidenceAngleFromEllipsoid"], decode_nonzero) if heading is not None else None
    if incidence is not None:
        found |= look.from_incidence(incidence, look.sensor_azimuth_deg(heading, looking))
    else:
        near, far = product.number("incidence_near"), product.number("incidence_far")
        middle = (near + far) / 2 if near is not None and far is not None else None
        centre = look.of_centre(middle, heading, looking, info.shape)
        found |= centre
        notes += ["the look vector is that of the scene's centre, from the metadata"] if centre else []
    if info.transform is None:
        found |= {
            "lat": read("lat", _LATITUDE, decode_nonzero),
            "lon": read("lon", _LONGITUDE, decode_nonzero),
        }
    frequency_mhz = product.number("radar_frequency")
    return assemble(
        info,
        options,
        radians,
        companions,
        product=READER.name,
        name=reference.name or file_name(path).removesuffix(".dim"),
        found=found,
        dates=_pair(tag),
        wavelength_m=SPEED_OF_LIGHT_M_S / (frequency_mhz * 1e6) if frequency_mhz else None,
        notes=notes,
    )


def _parts(reference: Reference, product: _Product) -> dict[str, str]:
    """Return the bands of the interferogram that is asked for."""
    members = product.members()
    if not members:
        some = ", ".join(list(product.bands)[:6]) or "none"
        message = (
            f"{product.path}: stores no interferogram (bands: {some}), expected i_ifg_... with q_ifg_..., Phase_ifg_..."
            " or Unw_Phase_ifg_...; a computed band has to be stored in SNAP first (Convert Band)"
        )
        raise ProductError(message)
    if not reference.member and len(members) > 1:
        message = f"{product.path}: holds {named_members(product.path, list(members))}"
        raise ProductError(message)
    wanted = reference.member or next(iter(members))
    if wanted not in members:
        message = f"{product.path}: has no interferogram {wanted!r}, but {named_members(product.path, list(members))}"
        raise ProductError(message)
    return members[wanted]


def _read_phase(product: _Product, parts: Mapping[str, str], options: ReadOptions) -> tuple[RasterInfo, Radians]:
    if {"i", "q"} <= parts.keys():
        if options.kind not in {"auto", "complex"}:
            message = (
                f"{product.path}: kind={options.kind!r} was asked for, but its interferogram is stored as real and "
                "imaginary part, expected 'complex'; leave kind out"
            )
            raise ProductError(message)
        info = product.inspect(parts["i"], parts["q"])
        decoder = PhaseDecoder(
            source=info.path, kind="complex", nodata=options.nodata, negate=options.phase_sign == "range decrease"
        )
        raw = raster.read(info, bands=(1, 2), chunks=options.chunks)
        return info, Radians(raster.convert(raw, lambda bands: decoder((bands[0] + 1j * bands[1])[None])), None, [])
    if "phase" in parts:
        info = product.inspect(parts["phase"])
        return info, read_radians(info, options, kind="wrapped", provider="SNAP")
    info = product.inspect(parts["unw_phase"])
    return info, read_radians(info, options, kind="unwrapped", provider="SNAP")


def _pair(name: str) -> tuple[str, str]:
    """Return the ISO dates in a band's name, ``("", "")`` without them."""
    for match in _DATES.finditer(name):
        try:
            days = [dt.datetime.strptime(text, "%d%b%Y").date().isoformat() for text in match.groups()]
        except ValueError:
            continue
        return days[0], days[1]
    return "", ""


def _open(path: str) -> _Product:
    root = parse_xml(path)
    try:
        shape = int(root.findtext("Raster_Dimensions/NROWS", "")), int(root.findtext("Raster_Dimensions/NCOLS", ""))
    except ValueError as error:
        message = f"{path}: has no NROWS and NCOLS, expected a BEAM-DIMAP header; export the product from SNAP again"
        raise ProductError(message) from error
    if min(shape) < 1:
        message = f"{path}: says {shape[0]} x {shape[1]} pixels, expected at least one; export it from SNAP again"
        raise ProductError(message)
    files: dict[str, str] = {}
    for data in root.iterfind("Data_Access/Data_File"):
        target = data.find("DATA_FILE_PATH")
        href = target.get("href", "") if target is not None else ""
        files[data.findtext("BAND_INDEX", "")] = re.sub(r"\.hdr$", ".img", href)
    bands = {}
    for band in root.iterfind("Image_Interpretation/Spectral_Band_Info"):
        name, index = band.findtext("BAND_NAME", ""), band.findtext("BAND_INDEX", "")
        computed = band.findtext("VIRTUAL_BAND", "false").lower() == "true"
        if name and not computed and files.get(index) and _same_size(band, shape) and not _is_scaled(band):
            bands[name] = files[index], band.findtext("DATA_TYPE", "float32").lower()
    # The first is that of the primary image.
    attributes = next(root.iterfind("Dataset_Sources//MDElem[@name='Abstracted_Metadata']"), root).findall("MDATTR")
    metadata = {attribute.get("name", ""): (attribute.text or "").strip() for attribute in attributes}
    return _Product(path, _grid(root, path, shape), bands, metadata)


def _same_size(band: Element, shape: tuple[int, int]) -> bool:
    # Products of several resolutions say so for each band; without it the band has the product's.
    rows, columns = band.findtext("BAND_RASTER_HEIGHT"), band.findtext("BAND_RASTER_WIDTH")
    return rows in {None, str(shape[0])} and columns in {None, str(shape[1])}


def _is_scaled(band: Element) -> bool:
    """Tell whether stored numbers are other than the band's values, as in bands of integers."""
    factors = band.findtext("SCALING_FACTOR", "1.0"), band.findtext("SCALING_OFFSET", "0.0")
    try:
        plain = [float(text) for text in factors] == [1.0, 0.0]
    except ValueError:
        plain = False
    return not plain or band.findtext("LOG10_SCALED", "false").lower() == "true"


def _grid(root: Element, path: str, shape: tuple[int, int]) -> RawGrid:
    wkt, place = root.findtext(".//Coordinate_Reference_System/WKT"), root.findtext(".//IMAGE_TO_MODEL_TRANSFORM")
    if not wkt or not place or not wkt.strip():
        return RawGrid(shape)
    try:
        crs = CRS.from_wkt(wkt.strip())
        a, d, b, e, c, f = (float(number) for number in place.split(","))
    except (CRSError, ValueError) as error:
        message = f"{path}: has a map grid that makes no sense ({error}); export the product from SNAP again"
        raise ProductError(message) from error
    if crs.is_geographic and crs.to_epsg() is None and "WGS84" in wkt.replace(" ", ""):
        # SNAP calls it WGS84(DD).
        crs = CRS.from_epsg(4326)
    return RawGrid(shape, Affine(a, b, c, d, e, f), crs)


def _beside(reference: Reference) -> list[str]:
    try:
        product = _open(reference.path)
        return [inside(parent(product.path), path, header=product.path) for path, _ in product.bands.values()]
    except ProductError:
        return []


READER = Reader("snap", _claims, _collect, _read, _beside, members=True)
