"""The last step of a reader: decoded phase, companions and headers to an interferogram."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fringewatch.interferogram import make_interferogram
from fringewatch.products.describe import date_assumptions, grid_assumptions, wavelength
from fringewatch.products.look import unit_vectors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr

    from fringewatch.products.companions import Companions
    from fringewatch.products.radians import Radians
    from fringewatch.products.raster import Array, RasterInfo
    from fringewatch.products.reference import ReadOptions

__all__ = ["assemble"]

_FIRST_YEAR, _LAST_YEAR = "1978", "2099"


def assemble(
    info: RasterInfo,
    options: ReadOptions,
    radians: Radians,
    companions: Companions,
    *,
    product: str,
    name: str,
    found: Mapping[str, Array | None],
    dates: tuple[str, str],
    wavelength_m: float | None = None,
    notes: Sequence[str] = (),
) -> xr.Dataset:
    """Build the interferogram of a provider whose phase grows with range once it is decoded.

    Parameters
    ----------
    info, radians
        Header and values of the phase.
    options
        What the user said; its wavelength comes before that of the header.
    companions
        Its sentences tell what was left out.
    product, name
        Attributes; see :mod:`fringewatch.interferogram`.
    found
        Companions by variable, and ``lat`` and ``lon`` in radar geometry; None = not found.
    dates
        ISO dates of reference and secondary, ``""`` = unknown.
    wavelength_m
        As the headers declare it; None = not, and then Sentinel-1's is assumed and said to be.
    notes
        Further sentences for ``attrs["assumptions"]``.
    """
    assumptions: list[str] = []
    if options.wavelength_m is not None or wavelength_m is None:
        wavelength_m, assumptions = wavelength(info, options)
    known: dict[str, Any] = {variable: values for variable, values in found.items() if values is not None}
    known |= unit_vectors(known)
    # A header may be damaged where it is still a date: no radar was in orbit before, and none is yet after.
    reference, secondary = (day if _FIRST_YEAR <= day[:4] <= _LAST_YEAR else "" for day in dates)
    return make_interferogram(
        radians.phase,
        wavelength_m=wavelength_m,
        source=info.path,
        product=product,
        name=name,
        reference_date=reference,
        secondary_date=secondary,
        unwrapped_range_rad=radians.unwrapped_range_rad,
        transform=info.transform,
        crs=info.crs,
        assumptions=[
            *radians.assumptions,
            *notes,
            *assumptions,
            *date_assumptions(reference, secondary),
            *grid_assumptions(info),
            *companions.sentences(),
        ],
        latitude=known.pop("lat", None),
        longitude=known.pop("lon", None),
        companions=known,
        decoded=True,
    )
