"""The phase band of a provider that says what its files hold: decoded, with what the user said honoured or refused.

Readers of such providers know kind, no data and sign from the name of a file. What the user says on top is either
possible, and then done, or contradicts the file, and then an error: never dropped in silence.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from fringewatch.errors import ProductError
from fringewatch.products import raster
from fringewatch.products.decode import PhaseDecoder, value_range
from fringewatch.products.describe import SAMPLED_RANGE

if TYPE_CHECKING:
    from fringewatch.products.raster import Array, RasterInfo
    from fringewatch.products.reference import Kind, ReadOptions

__all__ = ["Radians", "read_radians"]


@dataclasses.dataclass(frozen=True, slots=True)
class Radians:
    """A decoded band.

    Parameters
    ----------
    phase
        (H, W) float32, wrapped radians in (-pi, pi], NaN = no data, growing with range.
    unwrapped_range_rad
        Largest less smallest value of an unwrapped source, in radians; None for the others.
    assumptions
        What was judged rather than known.
    """

    phase: Array
    unwrapped_range_rad: float | None
    assumptions: list[str]


def read_radians(
    info: RasterInfo, options: ReadOptions, *, kind: Kind, provider: str, band: int = 1, scale: float | None = None
) -> Radians:
    """Read and decode a provider's phase; exactly 0 and the declared value are no data.

    Parameters
    ----------
    info
        Header of the file.
    options
        What the user said. ``band`` and ``nodata`` are taken; so are ``"wrapped"`` and ``"unwrapped"`` for real
        numbers, against the file's name too, since files get renamed; ``phase_sign`` turns the phase round.
    kind
        What the name of the file says it holds: ``"wrapped"`` or ``"unwrapped"`` radians, or ``"complex"`` numbers.
    provider
        As errors and notes call it.
    band
        Where the provider keeps the phase, unless the user says otherwise.
    scale
        Radians per unit of the file, where that is no radian: ``-4 pi / wavelength`` for metres towards the satellite;
        -1 for phase the other way round.

    Raises
    ------
    ProductError
        If the file has no such band, or holds neither radians nor complex numbers, or not the kind that was asked for.
    """
    count = len(info.dtypes)
    band = band if options.band is None else options.band
    if not 1 <= band <= count:
        message = f"{info.path}: has no band {band}, expected 1 to {count}; leave band out or correct it"
        raise ProductError(message)
    dtype = np.dtype(info.dtypes[band - 1])
    if dtype.kind not in ("c" if kind == "complex" else "cf"):
        holds = "complex numbers" if kind == "complex" else "float32 radians"
        message = f"{info.path}: holds {dtype}, expected {holds} as {provider} writes them; fetch it again"
        raise ProductError(message)
    _check_kind(info, options.kind, dtype, kind, provider, is_phase=scale is None or abs(scale) == 1)
    assumptions: list[str] = []
    if dtype.kind == "c" and kind != "complex":
        kind = "complex"
        assumptions.append(f"the file holds complex numbers where {provider} writes phase; their angle is the phase")
    elif options.kind != "auto":
        kind = options.kind
    raw = raster.read(info, bands=(band,), chunks=options.chunks)
    nodata = options.nodata if options.nodata is not None else info.nodata[band - 1]
    extent = None
    if kind == "unwrapped":
        extent = value_range(raster.sample(info, raw, band=band), nodata, zero_is_nodata=True)
        if not isinstance(raw, np.ndarray):
            assumptions.append(SAMPLED_RANGE)
    factor = 1.0 if scale is None else scale
    decoder = PhaseDecoder(
        source=info.path,
        kind=kind,
        nodata=nodata,
        zero_is_nodata=True,
        negate=options.phase_sign == "range decrease",
        scale=factor,
    )
    range_rad = (extent[1] - extent[0]) * abs(factor) if extent else None
    # What GDAL has read is ours alone; what other sources give may be kept by them.
    in_place = functools.partial(decoder, overwrite=True) if info.source is None else None
    phase = raster.convert(raw, decoder, in_place=in_place)
    return Radians(phase, range_rad, assumptions)


def _check_kind(
    info: RasterInfo, asked: Kind, dtype: np.dtype[Any], kind: Kind, provider: str, *, is_phase: bool
) -> None:
    is_complex = dtype.kind == "c"
    if is_complex:
        allowed, holds = ["complex"], "complex numbers"
    elif is_phase:
        allowed, holds = ["wrapped", "unwrapped"], f"{kind} phase in radians"
    else:
        allowed, holds = ["unwrapped"], "displacement"
    if asked not in {"auto", *allowed}:
        message = (
            f"{info.path}: kind={asked!r} was asked for, but the file is {provider} {holds} ({dtype}), expected "
            f"{' or '.join(repr(name) for name in allowed)}; leave kind out, or rename the file if it is not {provider}"
        )
        raise ProductError(message)
