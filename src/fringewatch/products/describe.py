"""What a file leaves open, in sentences for ``attrs["assumptions"]``, and the arguments every reader passes on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fringewatch.conventions import PHASE_SIGN, SENTINEL1_WAVELENGTH_M
from fringewatch.products.names import dates
from fringewatch.products.reference import file_name, parent, stem

if TYPE_CHECKING:
    from fringewatch.products.raster import RasterInfo
    from fringewatch.products.reference import ReadOptions, Reference

__all__ = ["SAMPLED_RANGE", "SIGN_UNKNOWN", "date_assumptions", "describe", "grid_assumptions", "wavelength"]

SIGN_UNKNOWN = "the sign of the phase is unknown: uplift and subsidence cannot be told apart"
SAMPLED_RANGE = "unwrapped_range_rad is that of a sample of the scene: a lower bound"

_WAVELENGTH_TAGS = {"wavelength", "wavelength_m", "radar_wavelength", "radarwavelength"}
_LENGTH = re.compile(r"(?P<number>\d*\.?\d+(?:[eE][-+]?\d+)?)\s*(?P<unit>mm|cm|m)?")
_UNITS_M = {"m": 1.0, "cm": 0.01, "mm": 0.001}
_SHORTEST_M, _LONGEST_M = 0.005, 1.5
"""From Ka band to P band, with room."""


def describe(reference: Reference, info: RasterInfo, options: ReadOptions) -> dict[str, Any]:
    """Return the arguments of ``make_interferogram`` for a raster of which only the header and the name are known."""
    # The folder of a pair is often named after it; what lies above it may be the span of an archive.
    reference_date, secondary_date = dates(f"{file_name(parent(info.path))}/{file_name(info.path)}")
    wavelength_m, assumptions = wavelength(info, options)
    if options.phase_sign is None:
        assumptions.append(SIGN_UNKNOWN)
    assumptions += date_assumptions(reference_date, secondary_date)
    return {
        "wavelength_m": wavelength_m,
        "source": info.path,
        "name": reference.name or stem(info.path),
        "reference_date": reference_date,
        "secondary_date": secondary_date,
        "phase_sign": PHASE_SIGN if options.phase_sign else "unknown",
        "transform": info.transform,
        "crs": info.crs,
        "assumptions": [*assumptions, *grid_assumptions(info)],
    }


def date_assumptions(reference_date: str, secondary_date: str) -> list[str]:
    """Say what is special about the order of two ISO dates."""
    if secondary_date < reference_date:
        return ["the secondary date is before the reference date: motion appears with its sign reversed"]
    return []


def wavelength(info: RasterInfo, options: ReadOptions) -> tuple[float, list[str]]:
    """Return the wavelength (m) the user or the file declares, else Sentinel-1's and the sentence that says so."""
    if options.wavelength_m is not None:
        return options.wavelength_m, []
    for key, value in info.tags.items():
        if key.lower() in _WAVELENGTH_TAGS:
            match = _LENGTH.fullmatch(value.strip())
            metres = float(match["number"]) * _UNITS_M[match["unit"] or "m"] if match else 0.0
            if _SHORTEST_M <= metres <= _LONGEST_M:
                return metres, []
            sentence = f"the file says {key} = {value!r}, which is no radar wavelength in metres; that of Sentinel-1"
            return SENTINEL1_WAVELENGTH_M, [f"{sentence} (5.547 cm) was assumed"]
    return SENTINEL1_WAVELENGTH_M, ["the radar wavelength is not declared; that of Sentinel-1 (5.547 cm) was assumed"]


def grid_assumptions(info: RasterInfo) -> list[str]:
    """Say what is special about the grid: unknown, brought north-up, or turned round."""
    if info.warp == "rotated":
        return ["the grid is rotated; it was brought north-up by nearest neighbour"]
    if info.warp == "gcps":
        return ["the grid is given by ground control points; it was brought north-up by nearest neighbour"]
    if info.transform is None:
        return ["the raster is not georeferenced: coordinates are pixel indices"]
    if info.crs is None:
        return ["the raster names no coordinate system: coordinates are pixel indices"]
    ways = ("rows run from south to north", "columns run from east to west")
    backwards = " and its ".join(way for way, turned in zip(ways, info.turned, strict=True) if turned)
    return [f"the file's {backwards}; they were turned round"] if backwards else []
