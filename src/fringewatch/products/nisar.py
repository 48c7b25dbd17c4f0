"""NISAR GUNW: geocoded interferograms in L or S band, one HDF5 file for each pair of passes.

Below ``/science/LSAR/GUNW`` (or ``SSAR``)::

    grids/frequencyA/wrappedInterferogram/HH/wrappedInterferogram      complex, 20 m
    grids/frequencyA/unwrappedInterferogram/HH/unwrappedPhase          radians, 80 m
    .../HH/coherenceMagnitude, xCoordinates, yCoordinates, projection  of either grid; projection is an EPSG code
    grids/frequencyA/centerFrequency                                   Hz
    metadata/radarGrid/losUnitVectorX, losUnitVectorY                  on a coarse grid, at several heights

Members are polarisations, ``#HH``, where there are several, of frequency B ``#B/HH``. The wrapped interferogram is read
where there is one; ``kind="unwrapped"`` reads the other.

No data: 0, NaN, and what the mask beside the layer leaves out. Its values have three digits: water or not, and the
subswath of the reference and of the secondary image, 0 = outside; water is left out, too. Masks of old products have
another meaning and are not used.

Sign: the interferogram is the reference times the conjugate of the secondary (``Crossmul`` of isce3), and the phase of
an echo is ``-4 pi range / wavelength``: so the phase grows with range, and is not turned round. MintPy reads it so too.

The look vector is that from the target to the sensor in east and north; the third component follows. It is taken at
height 0 and interpolated to the pixels: 1 km of height would change it by less than 0.001.

References
----------
NASA (2024), NISAR Product Specification, L2 Geocoded Unwrapped Interferogram, JPL D-102272;
github.com/isce-framework/isce3.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from fringewatch.conventions import SPEED_OF_LIGHT_M_S
from fringewatch.errors import MissingExtraError, ProductError
from fringewatch.products import hdf5
from fringewatch.products.assemble import assemble
from fringewatch.products.companions import Companions, decode_coherence, decode_values
from fringewatch.products.cubes import Axes, cubes_at_height_zero
from fringewatch.products.grid import parse_crs
from fringewatch.products.look import unit_vectors
from fringewatch.products.radians import read_radians
from fringewatch.products.reference import Reader, Reference, file_name, named_members, stem

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from fringewatch.products.raster import RasterInfo
    from fringewatch.products.reference import Kind, ReadOptions

__all__ = ["READER"]

_NAME = re.compile(r"^NISAR_L2_\w*GUNW_.*\.h5$")
_OTHER = re.compile(r"^NISAR_L2_\w*GUNW_.*\.(?:png|xml|kml|pdf|json|log|csv|txt|yaml)$|_QA_STATS\.h5$")
_ROOTS = ("science/LSAR/GUNW", "science/SSAR/GUNW")
_POLARISATION = re.compile(r"[HVRL][HV]")
_LAYERS: dict[Kind, tuple[str, str]] = {
    "complex": ("wrappedInterferogram", "wrappedInterferogram"),
    "unwrapped": ("unwrappedInterferogram", "unwrappedPhase"),
}
"""Group and dataset of either kind, in the order of preference."""


def _claims(path: str) -> bool:
    name = file_name(path)
    if _NAME.search(name) or _OTHER.search(name):
        return True
    return hdf5.holds(path, ".h5", lambda file: _root(file) is not None)


def _root(file: Any) -> str | None:
    return next((root for root in _ROOTS if hdf5.find(file, root) is not None), None)


def _collect(paths: Sequence[str]) -> list[Reference]:
    found = []
    for path in paths:
        if _OTHER.search(file_name(path)):
            continue
        try:
            with hdf5.opened(path) as file:
                members = list(_members(file, path))
        except (ProductError, MissingExtraError):
            # Opening it gives the reason.
            members = []
        found += [_reference(path, member) for member in (members if len(members) > 1 else [""])]
    return found


def _reference(path: str, member: str) -> Reference:
    return Reference(path, READER.name, f"{stem(path)}_{member}" if member else stem(path), member=member)


def _members(file: Any, path: str) -> dict[str, str]:
    """Return ``HH`` or ``B/HH``, and the group of frequency and polarisation that each stands for."""
    root = _root(file)
    if root is None:
        message = f"{path}: holds no {_ROOTS[0]}, expected a NISAR GUNW product; name another file"
        raise ProductError(message)
    found: dict[str, str] = {}
    for frequency in "AB":
        for group, _ in _LAYERS.values():
            grids = f"{root}/grids/frequency{frequency}"
            node = hdf5.find(file, f"{grids}/{group}")
            for polarisation in sorted(node) if node is not None else ():
                if _POLARISATION.fullmatch(polarisation):
                    found[polarisation if frequency == "A" else f"B/{polarisation}"] = grids
    return found


def _read(reference: Reference, options: ReadOptions) -> xr.Dataset:
    path = reference.path
    if _OTHER.search(file_name(path)):
        message = f"{path}: is by its name a NISAR file that goes with an interferogram, expected a .h5; name that one"
        raise ProductError(message)
    notes: list[str] = []
    with hdf5.opened(path) as file:
        polarisation, grids = _choose(reference, _members(file, path))
        kind, group, dataset = _choose_layer(file, grids, polarisation, options)
        base = f"{group}/{polarisation}"
        info = _layer(file, f"{base}/{dataset}", base, reference)
        coherence, mask = (
            _layer(file, name, base, reference) if hdf5.find(file, name) is not None else None
            for name in (f"{base}/coherenceMagnitude", f"{group}/mask")
        )
        if mask is not None and "subswath" in hdf5.attributes(hdf5.find(file, f"{group}/mask")).get("description", ""):
            info = hdf5.masked(info, mask, _is_valid)
            notes.append("water, and pixels outside the swath of either image, were taken as no data")
        elif mask is not None:
            notes.append("the mask was not used: it does not say that its digits are water and subswaths")
        frequency_hz = hdf5.number(file, f"{grids}/centerFrequency")
        times = f"{_root(file)}/identification".replace("/GUNW", "")
        pair = hdf5.iso_dates(file, f"{times}/referenceZeroDopplerStartTime", f"{times}/secondaryZeroDopplerStartTime")
        look = _look(file, f"{_root(file)}/metadata/radarGrid", info)
    # The layer was chosen by it, and complex numbers are what NISAR calls wrapped.
    radians = read_radians(info, dataclasses.replace(options, kind="auto"), kind=kind, provider="NISAR")
    companions = Companions(info, options.chunks, reference.companions)
    found: dict[str, Any] = {"coherence": companions.take("coherence", coherence, decode_coherence)}
    if "height" in reference.companions:
        found["height"] = companions.read("height", (), decode_values)
    for variable in ("los_east", "los_north"):
        found[variable] = companions.take(variable, look.get(variable), decode_values)
    east, north = found["los_east"], found["los_north"]
    if east is not None and north is not None:
        # Clipped, since a damaged number may be beyond all bounds when it is squared.
        found["los_up"] = np.sqrt(np.clip(1 - np.clip(east, -2, 2) ** 2 - np.clip(north, -2, 2) ** 2, 0, 1))
        found |= unit_vectors(found)
    return assemble(
        info,
        options,
        radians,
        companions,
        product=READER.name,
        name=reference.name or _reference(path, reference.member).name,
        found=found,
        dates=pair,
        wavelength_m=SPEED_OF_LIGHT_M_S / frequency_hz if frequency_hz else None,
        notes=notes,
    )


def _choose(reference: Reference, members: dict[str, str]) -> tuple[str, str]:
    """Return the polarisation that a reference names, and the group of its frequency."""
    path, member = reference.path, reference.member
    if not members:
        message = f"{path}: holds no interferogram of any polarisation, expected at least one; fetch it again"
        raise ProductError(message)
    if member in members:
        return member.removeprefix("B/"), members[member]
    if member or len(members) > 1:
        wrong = f"there is no #{member}; it " if member else ""
        message = f"{path}: {wrong}holds {named_members(path, list(members))}"
        raise ProductError(message)
    return next((name.removeprefix("B/"), grids) for name, grids in members.items())


def _choose_layer(file: Any, grids: str, polarisation: str, options: ReadOptions) -> tuple[Kind, str, str]:
    """Return kind, group and dataset of the phase to read."""
    asked: Kind = "complex" if options.kind == "wrapped" else options.kind
    if asked not in {"auto", *_LAYERS}:
        message = f"{file.filename}: kind={asked!r} was asked for, expected 'complex' or 'unwrapped'; leave kind out"
        raise ProductError(message)
    for kind, (name, dataset) in _LAYERS.items():
        group = f"{grids}/{name}"
        if asked in {"auto", kind} and hdf5.find(file, f"{group}/{polarisation}/{dataset}") is not None:
            return kind, group, dataset
    what = "interferogram" if asked == "auto" else f"{asked} interferogram"
    message = f"{file.filename}: holds no {what} of {polarisation} in {grids}, expected one; leave kind out"
    raise ProductError(message)


def _layer(file: Any, name: str, base: str, reference: Reference) -> RasterInfo:
    """Return a layer on the grid of the group `base`."""
    plain = hdf5.layer(file, name, path=reference.address)
    transform = hdf5.axes_transform(file, f"{base}/xCoordinates", f"{base}/yCoordinates", plain.shape)
    code = hdf5.number(file, f"{base}/projection")
    if code is None:
        message = f"{reference.path}: {base} has no projection, expected an EPSG code; fetch it again"
        raise ProductError(message)
    crs = parse_crs(f"EPSG:{code:.0f}", reference.path)
    return hdf5.layer(file, name, path=reference.address, transform=transform, crs=crs)


def _is_valid(mask: np.ndarray) -> np.ndarray:
    # 255 fills what no image covers; as digits it would be water.
    valid: np.ndarray = (mask != 255) & (mask // 100 == 0) & (mask // 10 % 10 > 0) & (mask % 10 > 0)
    return valid


def _look(file: Any, grid: str, onto: RasterInfo) -> dict[str, RasterInfo]:
    """Return east and north of the look vector, interpolated where they are read; nothing where there is no cube."""
    names = {"los_east": f"{grid}/losUnitVectorX", "los_north": f"{grid}/losUnitVectorY"}
    axes = Axes(*(f"{grid}/{axis}" for axis in ("heightAboveEllipsoid", "yCoordinates", "xCoordinates")))
    return cubes_at_height_zero(file, names, axes, onto)


READER = Reader("nisar", _claims, _collect, _read, members=True)
