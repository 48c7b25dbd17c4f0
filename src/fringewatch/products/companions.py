"""What goes with an interferogram, brought onto its grid: coherence, height, the line of sight.

A companion that is missing, unreadable or on another grid never stops an interferogram from being read; the sentence
that says so ends up in ``attrs["assumptions"]``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fringewatch.errors import ProductError
from fringewatch.products import raster
from fringewatch.products.decode import value_range
from fringewatch.products.grid import align, offset
from fringewatch.products.reference import is_remote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fringewatch.products.grid import Grid
    from fringewatch.products.raster import Array, RasterInfo
    from fringewatch.products.reference import Chunks

    Decode = Callable[[np.ndarray, float | None, float], np.ndarray]
    """Raw values, their no-data value and the largest of the scene to float32, NaN = no data."""

__all__ = ["KEPT_PIXELS", "Companions", "decode_coherence", "decode_nonzero", "decode_values"]


KEPT_PIXELS = 1_000_000
"""Layers up to this size are kept for the next scene that they go with."""


@dataclasses.dataclass(slots=True)
class Companions:
    """Collects the companions of one interferogram.

    Parameters
    ----------
    onto
        Header of the phase, whose grid is wanted.
    chunks
        As for the phase.
    given
        Paths the user or discovery named, by variable; tried before any other.
    rows
        Of the phase: only these are read, and all others are NaN. None for all.
    """

    onto: RasterInfo | Grid
    chunks: Chunks
    given: Mapping[str, str]
    rows: slice | None = None
    missing: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    def read(
        self,
        variable: str,
        paths: Iterable[str],
        decode: Decode,
        *,
        band: int = 1,
        inspect: Callable[[str], RasterInfo] = raster.inspect,
    ) -> Array | None:
        """Read the first of `paths` that exists, as (H, W) float32 on the grid of the phase; None without one.

        Parameters
        ----------
        variable
            As notes call it.
        paths, decode
            Where to look, and what to do with the raw values.
        band
            From 1; -1 is the last.
        inspect
            Opens a path, for files that GDAL does not know by themselves.
        """
        candidates = [self.given[variable]] if variable in self.given else paths
        for path in candidates:
            if not is_remote(path) and not Path(path).is_file():
                continue
            try:
                return self._read(variable, inspect(path), decode, band)
            except ProductError as error:
                # A remote address can only be tried; that it is not there is no news.
                if not is_remote(path):
                    self.notes.append(f"{variable} was left out: {error}")
                    return None
        self.missing.append(variable)
        return None

    def take(self, variable: str, info: RasterInfo | None, decode: Decode) -> Array | None:
        """Read a layer of the interferogram's own file, unless another was given; see :meth:`read`."""
        if info is None or variable in self.given:
            return self.read(variable, (), decode)
        try:
            return self._read(variable, info, decode, 1)
        except ProductError as error:
            self.notes.append(f"{variable} was left out: {error}")
            return None

    def _read(self, variable: str, info: RasterInfo, decode: Decode, band: int) -> Array | None:
        band = band if band > 0 else len(info.dtypes) + 1 + band
        if band > len(info.dtypes) or np.dtype(info.dtypes[band - 1]).kind not in "iuf":
            holds = ", ".join(info.dtypes)
            message = f"{info.path}: holds {holds}, expected real numbers in band {band}"
            raise ProductError(message)
        if self.rows is None or (decode is decode_coherence and np.dtype(info.dtypes[band - 1]).kind == "f"):
            # What floating-point coherence means is told by the largest of the scene.
            aligned = align(_decoded(info, band, decode, self.chunks), info, self.onto)
        else:
            aligned = self._rows_of(info, band, decode, self.rows)
        if aligned is not None and aligned.shape != self.onto.shape:
            # A damaged file holds another size than its header tells.
            aligned = None
        if aligned is None:
            self.notes.append(
                f"{variable} was left out: {info.path} ({info.shape[0]} x {info.shape[1]}) is not on the grid of the "
                f"phase ({self.onto.shape[0]} x {self.onto.shape[1]})"
            )
        if aligned is None or isinstance(aligned, np.ndarray):
            return aligned
        return aligned.rechunk(raster.chunk_shape(self.onto, self.chunks))

    def _rows_of(self, info: RasterInfo, band: int, decode: Decode, rows: slice) -> Array | None:
        place = offset(info, self.onto)
        if place is None:
            return None
        top, left = place
        wanted = slice(max(rows.start + top, 0), min(rows.stop + top, info.shape[0]))
        whole = np.full(self.onto.shape, np.nan, np.float32)
        if wanted.start < wanted.stop:
            raw = raster.read(info, bands=(band,), mask=info.has_mask, rows=wanted)
            values = raster.convert(raw, lambda bands: _valid(bands, info, decode, info.nodata[band - 1], 0.0))
            columns = slice(max(left, 0), min(left + self.onto.shape[1], info.shape[1]))
            whole[wanted.start - top : wanted.stop - top, columns.start - left : columns.stop - left] = values[
                :, columns
            ]
        return whole

    def sentences(self) -> list[str]:
        """Return what was left out or not found."""
        absent = [f"not found beside the interferogram: {', '.join(self.missing)}"] if self.missing else []
        return [*self.notes, *absent]


def _decoded(info: RasterInfo, band: int, decode: Decode, chunks: Chunks) -> Array:
    """Return a band as (H, W) float32; small local ones are kept, for the pairs of a frame share heights and look."""
    # Of a container, such as HDF5, the path does not say which layer it is.
    of_its_own = info.source is None and not is_remote(info.path)
    if chunks is None and info.pixels <= KEPT_PIXELS and of_its_own:
        with contextlib.suppress(OSError):
            status = Path(info.path).stat()
            kept = _kept_layer(_Layer(info.path, status.st_size, status.st_mtime_ns, band, decode, info))
            return kept.copy()
    return _decode_band(info, band, decode, chunks)


@dataclasses.dataclass(frozen=True)
class _Layer:
    """A band of a file in a certain state, and what it takes to read it."""

    path: str
    size: int
    mtime_ns: int
    band: int
    decode: Decode
    info: RasterInfo = dataclasses.field(compare=False)


@functools.lru_cache(maxsize=16)
def _kept_layer(layer: _Layer) -> np.ndarray:
    values: np.ndarray = _decode_band(layer.info, layer.band, layer.decode, None)
    return values


def _decode_band(info: RasterInfo, band: int, decode: Decode, chunks: Chunks) -> Array:
    nodata = info.nodata[band - 1]
    raw = raster.read(info, bands=(band,), mask=info.has_mask, chunks=chunks)
    largest = 0.0
    if decode is decode_coherence:
        # The others do not ask.
        extent = value_range(raster.sample(info, raw, band=band), nodata, zero_is_nodata=True)
        largest = extent[1] if extent else 0.0

    def function(bands: np.ndarray) -> np.ndarray:
        return _valid(bands, info, decode, nodata, largest)

    return raster.convert(raw, function)


def _valid(bands: np.ndarray, info: RasterInfo, decode: Decode, nodata: float | None, largest: float) -> np.ndarray:
    """Decode the first band; what the mask, if there is one as the last band, leaves out is NaN."""
    values = decode(bands[0], nodata, largest)
    if info.has_mask:
        values[bands[-1] == 0] = np.nan
    return values


def decode_coherence(raw: np.ndarray, nodata: float | None, largest: float) -> np.ndarray:
    """Turn coherence of any generation into [0, 1]; 0, NaN and the no-data value become NaN.

    Integers are 255ths, and so are floating-point values where the largest of the scene is beyond any coherence.
    """
    values: np.ndarray = raw.astype(np.float32)
    missing = ~(raw > 0)
    if nodata is not None:
        missing |= raw == nodata
    if raw.dtype.kind in "iu" or largest > 1.5:
        values /= np.float32(255)
    values[missing] = np.nan
    np.clip(values, 0, 1, out=values)
    return values


def decode_values(raw: np.ndarray, nodata: float | None, _largest: float = 0.0) -> np.ndarray:
    """Return real values as float32; the no-data value and what is infinite become NaN."""
    values = raw.astype(np.float32)
    values[np.isinf(values)] = np.nan
    if nodata is not None:
        values[raw == nodata] = np.nan
    return values


def decode_nonzero(raw: np.ndarray, nodata: float | None, _largest: float = 0.0) -> np.ndarray:
    """Return real values as float32; the no-data value and exactly 0, which fills what has no data, become NaN."""
    values = decode_values(raw, nodata)
    values[raw == 0] = np.nan
    return values
