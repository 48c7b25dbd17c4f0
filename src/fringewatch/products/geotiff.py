"""Any raster that GDAL opens: wrapped, unwrapped or complex phase, on disk, behind http(s) or in s3.

Such a file says nothing about wavelength and sign, and little about its kind. What the user does not say is judged
from its values, and every judgement is written into ``attrs["assumptions"]``:

- complex numbers: their angle; 0 is no data;
- 8-bit or 16-bit integers: a picture, see :mod:`fringewatch.products.image`;
- floating point within [-pi, pi]: wrapped; beyond: unwrapped, wrapped here;
- exactly 0 is no data where the file declares no such value, at least 1 % of the pixels are 0, and a run of them
  lies on the scene's edge.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from fringewatch.conventions import PHASE_SIGN, SENTINEL1_WAVELENGTH_M
from fringewatch.errors import ProductError
from fringewatch.interferogram import make_interferogram
from fringewatch.products import common, image
from fringewatch.products.decode import PhaseDecoder, border_zeros, unwrapped_range
from fringewatch.products.names import COMPANION, dates
from fringewatch.products.reference import Reader, Reference, file_name, stem

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from fringewatch.products.common import RasterInfo
    from fringewatch.products.reference import ReadOptions

__all__ = ["READER", "read_phase"]

_SUFFIX = re.compile(r"\.(?:tiff?|vrt)$", re.IGNORECASE)
_CLAIMS_WRAPPED = re.compile(r"(?:^|[._-])(?:diff_pha|diff_unfiltered_pha|wrapped)(?:$|[._-])", re.IGNORECASE)


def _claims(path: str) -> bool:
    return _SUFFIX.search(file_name(path)) is not None


def _collect(paths: Sequence[str]) -> list[Reference]:
    return [Reference(path, READER.name, stem(path)) for path in paths if not COMPANION.search(stem(path))]


def _read(reference: Reference, options: ReadOptions) -> xr.Dataset:
    path = reference.path
    role = COMPANION.search(stem(path))
    if role and options.kind == "auto":
        message = (
            f"{path}: is by its name no interferogram but what goes with one ({role[0].strip('._-')}), expected phase; "
            "name the phase file, or say kind='wrapped', 'unwrapped' or 'complex' if it is one"
        )
        raise ProductError(message)
    info = common.inspect(path)
    if image.is_picture(info, options):
        return image.read_picture(reference, info, options)
    return read_phase(reference, info, options, product=READER.name)


def read_phase(
    reference: Reference,
    info: RasterInfo,
    options: ReadOptions,
    *,
    product: str,
) -> xr.Dataset:
    """Read a phase or complex band of which nothing but the raster is known."""
    band = _choose_band(info, options)
    dtype = np.dtype(info.dtypes[band - 1])
    scale, offset = info.scales[band - 1], info.offsets[band - 1]
    if dtype.kind in "iu" and (scale, offset) == (1.0, 0.0) and options.kind == "auto":
        message = (
            f"{info.path}: holds {dtype} without a declared scale, expected floating-point radians, complex numbers or "
            "8-bit grey; convert it, or say kind='wrapped' or 'unwrapped' if these are radians"
        )
        raise ProductError(message)
    if options.kind == "complex" and dtype.kind != "c":
        message = f"{info.path}: holds {dtype}, expected complex numbers for kind='complex'; leave kind out"
        raise ProductError(message)
    assumptions: list[str] = []
    raw = common.read(info, bands=(band,), mask=info.has_mask, chunks=options.chunks)
    nodata = options.nodata if options.nodata is not None else info.nodata[band - 1]
    blocks = common.sample(info, raw if not isinstance(raw, np.ndarray) else raw[0], band=band)
    whole = isinstance(raw, np.ndarray)
    zero_is_nodata = False
    if dtype.kind != "c" and nodata is None and not info.has_mask:
        zero_is_nodata, share = border_zeros(blocks)
        if zero_is_nodata:
            assumptions.append(
                f"exactly 0 was taken as no data: {share:.0%} of the {'' if whole else 'sampled '}pixels, in runs along "
                "the edge, and the file declares no such value"
            )
    kind, why = _judge_kind(info, options, dtype, blocks, nodata, scale=scale, offset=offset)
    assumptions += why
    total_range = None
    if kind == "unwrapped":
        total_range = abs(scale) * unwrapped_range((b for b, _ in blocks), nodata, zero_is_nodata=zero_is_nodata)
        if not whole:
            assumptions.append("unwrapped_range_rad is that of a sample of the scene: a lower bound")
    decoder = PhaseDecoder(
        source=info.path,
        kind=kind,
        nodata=nodata,
        zero_is_nodata=zero_is_nodata,
        negate=options.phase_sign == "range decrease",
        masked=info.has_mask,
        scale=scale,
        offset=offset,
    )
    reference_date, secondary_date = dates(info.path)
    wavelength_m, told = wavelength(info, options)
    assumptions += told
    if options.phase_sign is None:
        assumptions.append("the sign of the phase is unknown: uplift and subsidence cannot be told apart")
    assumptions += grid_assumptions(info)
    return make_interferogram(
        common.convert(raw, decoder),
        wavelength_m=wavelength_m,
        source=info.path,
        product=product,
        name=reference.name or stem(info.path),
        reference_date=reference_date,
        secondary_date=secondary_date,
        phase_sign=PHASE_SIGN if options.phase_sign else "unknown",
        unwrapped_range_rad=total_range,
        transform=info.transform,
        crs=info.crs,
        assumptions=assumptions,
    )


def wavelength(info: RasterInfo, options: ReadOptions) -> tuple[float, list[str]]:
    """Return the wavelength (m) that the user or the file declares, else Sentinel-1's with the sentence that says so."""
    if options.wavelength_m is not None:
        return options.wavelength_m, []
    for key, value in info.tags.items():
        if key.lower() in {"wavelength", "wavelength_m", "radar_wavelength", "wavelength_metres"}:
            try:
                return float(value), []
            except ValueError:
                break
    return SENTINEL1_WAVELENGTH_M, ["the radar wavelength is not declared; that of Sentinel-1 (5.547 cm) was assumed"]


def grid_assumptions(info: RasterInfo) -> list[str]:
    """Say what is special about the grid: unknown, or brought north-up."""
    if info.warp == "rotated":
        return ["the grid is rotated; it was brought north-up by nearest neighbour"]
    if info.warp == "gcps":
        return ["the grid is given by ground control points; it was brought north-up by nearest neighbour"]
    if info.crs is None:
        return ["the raster is not georeferenced: coordinates are pixel indices"]
    return []


def _choose_band(info: RasterInfo, options: ReadOptions) -> int:
    count = len(info.dtypes)
    if options.band is not None:
        if not 1 <= options.band <= count:
            message = f"{info.path}: has no band {options.band}, expected 1 to {count}"
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


def _judge_kind(
    info: RasterInfo,
    options: ReadOptions,
    dtype: np.dtype,
    blocks: list[tuple[np.ndarray, tuple[bool, bool, bool, bool]]],
    nodata: float | None,
    *,
    scale: float,
    offset: float,
) -> tuple[str, list[str]]:
    """Return how to decode a band, and the sentences that say what was judged rather than known."""
    if dtype.kind == "c":
        return "complex", ["the file holds complex numbers; their angle is the phase"]
    if options.kind in {"wrapped", "unwrapped"}:
        return options.kind, []
    if _CLAIMS_WRAPPED.search(stem(info.path)):
        return "wrapped", []
    from fringewatch.products.decode import is_nodata

    low, high = np.inf, -np.inf
    for raw, _ in blocks:
        values = raw[~is_nodata(raw, nodata)]
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    low, high = sorted((low * scale + offset, high * scale + offset))
    if not np.isfinite([low, high]).all() or (low >= -np.pi - 1e-3 and high <= np.pi + 1e-3):
        notes = ["its values lie within [-pi, pi]; it was taken as wrapped phase"]
        if 0 <= low and high <= 1:
            notes.append("its values lie within [0, 1]; it may be a coherence or a probability rather than phase")
        return "wrapped", notes
    return "unwrapped", [f"its values run from {low:.4g} to {high:.4g}; it was taken as unwrapped radians and wrapped"]


READER = Reader("geotiff", _claims, _collect, _read)
