"""Headers of rasters."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from rasterio.enums import ColorInterp, MaskFlags

from fringewatch.errors import ProductError
from fringewatch.products.raster.opening import north_up, opened
from fringewatch.products.raster.upright import upright, within_half_turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from affine import Affine
    from rasterio.crs import CRS
    from rasterio.windows import Window

__all__ = ["RasterInfo", "inspect"]

_FINEST = 1e-12
"""Smallest pixel, as a share of its coordinate, that double precision can place."""
_MOST_TURNED = 64
"""How many times its pixels a slanted strip may fill once it is brought north-up."""


@dataclasses.dataclass(frozen=True, slots=True)
class RasterInfo:
    """The header of a raster.

    Parameters
    ----------
    path
        As the user gave it.
    shape
        (rows, columns).
    dtypes, descriptions, nodata, scales, offsets, colors
        One entry per band; ``nodata`` is the declared value or None, ``colors`` the names of the colour roles.
    block
        (rows, columns) of the blocks in the file.
    transform, crs
        None where the raster is not georeferenced, or only by its pixels. With a coordinate system row 0 is in the
        north, column 0 in the west, and longitudes are within half a turn; see :mod:`.upright`.
    warp
        How the raster must be brought to a north-up grid before reading: ``""``, ``"rotated"`` or ``"gcps"``.
    has_mask
        Whether a mask band, an alpha band or the frame of a rotated raster says which pixels are valid.
    tags
        Metadata of the file and its first band.
    driver
        GDAL's name of the format.
    colormap
        Red, green, blue and alpha by value, where the first band is a palette.
    opens_as
        What GDAL opens in the place of `path`: a description of raw files, or one layer of a container.
    source
        What reads a window (None: all) of the one band in the place of GDAL, as (1, h, w).
    turned
        Whether the file's rows run north, and its columns west: they are turned round on reading.
    """

    path: str
    shape: tuple[int, int]
    dtypes: tuple[str, ...]
    descriptions: tuple[str, ...]
    nodata: tuple[float | None, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    colors: tuple[str, ...]
    block: tuple[int, int]
    transform: Affine | None
    crs: CRS | None
    warp: str
    has_mask: bool
    tags: dict[str, str]
    driver: str
    colormap: dict[int, tuple[int, int, int, int]] | None = None
    opens_as: str = ""
    source: Callable[[Window | None], np.ndarray] | None = None
    turned: tuple[bool, bool] = (False, False)

    @property
    def pixels(self) -> int:
        """Number of pixels of one band."""
        return self.shape[0] * self.shape[1]

    def without_grid(self) -> RasterInfo:
        """Return the header of a raster in radar geometry, whose rows stay as the file has them."""
        return dataclasses.replace(self, transform=None, crs=None, turned=(False, False))


def inspect(path: str, *, opens_as: str = "", driver: str = "") -> RasterInfo:
    """Read the header of a raster.

    Parameters
    ----------
    path
        File, URL or GDAL path; named in errors.
    opens_as
        See :class:`RasterInfo`.
    driver
        The only format of GDAL's that is tried. Empty: whichever knows the content, which lets a file be something
        else than its name says.

    Raises
    ------
    ProductError
        If the file is missing, unreadable, no raster, or has no band.
    """
    with opened(path, opens_as=opens_as, driver=driver) as source:
        if source.count == 0:
            names = ", ".join(name.rpartition(":")[2] for name in source.subdatasets[:6])
            inside = f"a container of {names}" if names else "a raster without bands"
            message = f"{path}: is {inside}, expected a raster with at least one band; name one of its layers"
            raise ProductError(message)
        transform, crs, warp = source.transform, source.crs, ""
        if (
            not np.isfinite(transform.to_gdal()).all()
            or transform.a * transform.e == transform.b * transform.d
            or (
                # Pixels too small to tell one from the next.
                abs(transform.a) + abs(transform.b) < _FINEST * abs(transform.c)
                or abs(transform.d) + abs(transform.e) < _FINEST * abs(transform.f)
            )
        ):
            message = f"{path}: has a grid of {transform.to_gdal()}, expected pixels of some size; mend its header"
            raise ProductError(message)
        gcps, gcp_crs = source.gcps
        if transform.is_identity and gcps and gcp_crs is not None:
            warp = "gcps"
        elif crs is not None and (abs(transform.b) + abs(transform.d)) > 1e-9 * (abs(transform.a) + abs(transform.e)):
            warp = "rotated"
        with north_up(source, warp) if warp else contextlib.nullcontext(source) as grid:
            if not 0 < grid.height * grid.width <= _MOST_TURNED * source.height * source.width:
                message = (
                    f"{path}: has a rotated grid that would become {grid.height} x {grid.width} pixels from "
                    f"{source.height} x {source.width}, expected a plausible one; mend its header, or warp it yourself"
                )
                raise ProductError(message)
            shape, transform, turned = (grid.height, grid.width), grid.transform, (False, False)
            georeferenced = not transform.is_identity
            if georeferenced and grid.crs is not None:
                # Without a coordinate system nobody knows where north is.
                transform, turned = upright(transform, shape)
                transform = within_half_turn(transform, grid.crs, grid.width)
            return RasterInfo(
                path=path,
                shape=shape,
                # rasterio reads integer complex numbers into complex64, but NumPy knows no type of that name.
                dtypes=tuple("complex64" if name == "complex_int16" else name for name in source.dtypes),
                descriptions=tuple((text or "") for text in source.descriptions),
                nodata=tuple(source.nodatavals),
                scales=tuple(source.scales),
                offsets=tuple(source.offsets),
                colors=tuple(color.name for color in source.colorinterp),
                block=tuple(grid.block_shapes[0]),
                transform=transform if georeferenced else None,
                crs=grid.crs if georeferenced else None,
                warp=warp,
                has_mask=MaskFlags.per_dataset in source.mask_flag_enums[0] or grid.count > source.count,
                tags={**source.tags(), **source.tags(1)},
                driver=source.driver,
                colormap=_colormap(source),
                opens_as=opens_as,
                turned=turned,
            )


def _colormap(source: Any) -> dict[int, tuple[int, int, int, int]] | None:
    if source.colorinterp[0] != ColorInterp.palette:
        return None
    colors: dict[int, tuple[int, int, int, int]] = source.colormap(1)
    return colors
