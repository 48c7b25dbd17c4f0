"""What a file leaves open, in sentences for ``attrs["assumptions"]``, and the arguments every reader passes on."""

from __future__ import annotations

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
    if info.transform is None:
        return ["the raster is not georeferenced: coordinates are pixel indices"]
    if info.crs is None:
        return ["the raster names no coordinate system: coordinates are pixel indices"]
    return []
