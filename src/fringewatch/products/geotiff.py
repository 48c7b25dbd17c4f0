"""Any raster that GDAL opens: wrapped, unwrapped or complex phase, on disk, behind http(s) or in s3.

Such a file says nothing about wavelength and sign, and little about its kind. What the user does not say is judged
from its values, and every judgement is written into ``attrs["assumptions"]``:

- complex numbers: their angle; 0 is no data;
- 8-bit integers, and 16-bit ones without coordinates: a picture, see :mod:`fringewatch.products.image`;
- floating point within [-pi, pi]: wrapped; beyond: unwrapped, wrapped here;
- exactly 0 is no data where the file declares no such value and has no mask, at least 1 % of the pixels are 0, and a
  run of them lies on the scene's edge.

A name that says ``diff_pha`` or ``wrapped`` is taken at its word: values outside [-pi, pi] are then an error.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from fringewatch.errors import ProductError
from fringewatch.interferogram import make_interferogram
from fringewatch.products import image, raster
from fringewatch.products.companions import Companions, decode_coherence, decode_values
from fringewatch.products.decode import PhaseDecoder, border_zeros, is_nodata, value_range
from fringewatch.products.describe import SAMPLED_RANGE, describe
from fringewatch.products.names import COMPANION
from fringewatch.products.reference import Reader, Reference, file_name, stem

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from fringewatch.products.raster import RasterInfo
    from fringewatch.products.reference import ReadOptions

__all__ = ["READER"]

_SUFFIX = re.compile(r"\.(?:tiff?|vrt)$", re.IGNORECASE)
_CLAIMS_WRAPPED = re.compile(r"(?:^|[._-])(?:diff_pha|diff_unfiltered_pha|wrapped)(?:$|[._-])", re.IGNORECASE)


def _claims(path: str) -> bool:
    return _SUFFIX.search(file_name(path)) is not None


def _collect(paths: Sequence[str]) -> list[Reference]:
    return [Reference(path, READER.name, stem(path)) for path in paths if not COMPANION.search(stem(path))]


def _read(reference: Reference, options: ReadOptions) -> xr.Dataset:
    path = reference.path
    info = raster.inspect(path)
    role = COMPANION.search(stem(path))
    if role and options.kind == "auto":
        message = (
            f"{path}: is by its name no interferogram but what goes with one ({role[0].strip('._-')}), expected phase; "
            "name the phase file, or say kind='wrapped', 'unwrapped' or 'complex' if it is one"
        )
        raise ProductError(message)
    if image.is_picture(info, options):
        return image.read_picture(reference, info, options)
    band = _choose_band(info, options)
    scale, offset = info.scales[band - 1], info.offsets[band - 1]
    dtype = np.dtype(info.dtypes[band - 1])
    _check_type(info, options, dtype, scaled=(scale, offset) != (1.0, 0.0))
    raw = raster.read(info, bands=(band,), mask=info.has_mask, chunks=options.chunks)
    whole = isinstance(raw, np.ndarray)
    blocks = raster.sample(info, raw, band=band)
    nodata = options.nodata if options.nodata is not None else info.nodata[band - 1]
    assumptions: list[str] = []
    zero_is_nodata = False
    if dtype.kind != "c" and nodata is None and not info.has_mask:
        zero_is_nodata, share = border_zeros(blocks)
        if zero_is_nodata:
            assumptions.append(
                f"exactly 0 was taken as no data: {share:.0%} of the {'' if whole else 'sampled '}pixels, in runs "
                "along the edge, and the file declares no such value"
            )
    extent = value_range(blocks, nodata, zero_is_nodata=zero_is_nodata) if dtype.kind != "c" else None
    if extent is not None:
        low, high = sorted((extent[0] * scale + offset, extent[1] * scale + offset))
        extent = low, high
    if dtype.kind == "c":
        kind, why = "complex", ["the file holds complex numbers; their angle is the phase"]
    elif options.kind in {"wrapped", "unwrapped"}:
        kind, why = options.kind, []
    else:
        # Steps of a declared scale are phase, whatever numbers the file stores.
        scaled = (scale, offset) != (1.0, 0.0)
        whole_numbers = not scaled and all(_whole_numbers(block, nodata) for block, _ in blocks)
        kind, why = _judge_kind(path, extent, whole_numbers=whole_numbers)
    assumptions += why
    if not whole and why:
        assumptions.append("it was judged by a sample of its values")
    unwrapped = kind == "unwrapped"
    if unwrapped and not whole:
        assumptions.append(SAMPLED_RANGE)
    if kind == "wrapped" and not whole and why:
        # Wrapping leaves wrapped phase as it is, and is right where the sample missed larger values.
        kind = "unwrapped"
    decoder = PhaseDecoder(
        source=path,
        kind=kind,
        nodata=nodata,
        zero_is_nodata=zero_is_nodata,
        negate=options.phase_sign == "range decrease",
        masked=info.has_mask,
        scale=scale,
        offset=offset,
    )
    companions, notes = _given_companions(reference, info, options)
    about = describe(reference, info, options)
    about["assumptions"] = [*assumptions, *about["assumptions"], *notes]
    return make_interferogram(
        raster.convert(raw, decoder),
        product=READER.name,
        unwrapped_range_rad=extent[1] - extent[0] if unwrapped and extent else None,
        companions=companions,
        decoded=True,
        **about,
    )


def _choose_band(info: RasterInfo, options: ReadOptions) -> int:
    count = len(info.dtypes)
    if options.band is not None:
        if not 1 <= options.band <= count:
            message = f"{info.path}: has no band {options.band}, expected 1 to {count}; leave band out or correct it"
            raise ProductError(message)
        return options.band
    usable = [i + 1 for i, color in enumerate(info.colors) if color != "alpha"]
    if len(usable) == 1:
        return usable[0]
    named = [i for i in usable if "phase" in info.descriptions[i - 1].lower()]
    if len(named) == 1:
        return named[0]
    message = (
        f"{info.path}: has {count} bands of {info.dtypes[0]}, expected one of phase or complex numbers; "
        f"say which with band=1..{count}"
    )
    raise ProductError(message)


def _check_type(info: RasterInfo, options: ReadOptions, dtype: np.dtype[Any], *, scaled: bool) -> None:
    if options.kind == "complex" and dtype.kind != "c":
        message = f"{info.path}: holds {dtype}, expected complex numbers for kind='complex'; leave kind out"
        raise ProductError(message)
    if options.kind in {"wrapped", "unwrapped"} and dtype.kind == "c":
        message = f"{info.path}: holds {dtype}, expected real radians for kind={options.kind!r}; leave kind out"
        raise ProductError(message)
    if dtype.kind in "iu" and not scaled and options.kind == "auto":
        message = (
            f"{info.path}: holds {dtype} without a declared scale, expected floating-point radians, complex numbers or "
            "8-bit grey; convert it, or say kind='wrapped' or 'unwrapped' if these are radians"
        )
        raise ProductError(message)


def _judge_kind(path: str, extent: tuple[float, float] | None, *, whole_numbers: bool) -> tuple[str, list[str]]:
    """Return how to decode real numbers, and the sentences that say what was judged rather than known."""
    if _CLAIMS_WRAPPED.search(stem(path)):
        return "wrapped", []
    if extent is None:
        return "wrapped", ["no value could be looked at; it was taken as wrapped phase"]
    low, high = extent
    if low >= -np.pi - 1e-3 and high <= np.pi + 1e-3:
        notes = ["its values lie within [-pi, pi]; it was taken as wrapped phase"]
        if low >= 0 and high <= 1:
            notes.append("its values lie within [0, 1]; it may be a coherence or a probability rather than phase")
        return "wrapped", notes
    if low >= 0 and 10 < high <= 255 and whole_numbers:
        message = (
            f"{path}: holds whole numbers from {low:.0f} to {high:.0f}, expected radians; "
            "if they are grey values say kind='picture', if they are radians say kind='unwrapped'"
        )
        raise ProductError(message)
    notes = [f"its values run from {low:.4g} to {high:.4g}; it was taken as unwrapped radians and wrapped"]
    if -180.5 < low < -170 and 170 < high < 180.5:
        notes.append("its values may be degrees rather than radians")
    return "unwrapped", notes


def _whole_numbers(raw: np.ndarray, nodata: float | None) -> bool:
    values = raw[~is_nodata(raw, nodata)]
    return bool((values == np.rint(values)).all())


def _given_companions(reference: Reference, info: RasterInfo, options: ReadOptions) -> tuple[dict[str, Any], list[str]]:
    companions = Companions(info, options.chunks, reference.companions)
    found = {}
    for variable in reference.companions:
        decode = decode_coherence if variable == "coherence" else decode_values
        values = companions.read(variable, (), decode)
        if values is not None:
            found[variable] = values
    return found, companions.sentences()


READER = Reader("geotiff", _claims, _collect, _read)
