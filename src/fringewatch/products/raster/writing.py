"""Writing rasters, for examples, tests and exchange."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rasterio
from rasterio.errors import RasterioError

from fringewatch.errors import OutputError
from fringewatch.files import atomic_path
from fringewatch.products.raster.opening import LOCAL_OPTIONS

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from affine import Affine
    from rasterio.crs import CRS

__all__ = ["write"]


def write(
    target: Path,
    values: np.ndarray,
    *,
    crs: CRS,
    transform: Affine,
    nodata: float | None = None,
) -> None:
    """Write (H, W) values as a DEFLATE-compressed GeoTIFF, atomically.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    height, width = values.shape
    profile = {"driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": values.dtype, "nodata": nodata}
    predictor = 3 if values.dtype.kind == "f" else 2
    try:
        with (
            atomic_path(target) as temporary,
            rasterio.Env(**LOCAL_OPTIONS),
            rasterio.open(
                temporary,
                "w",
                crs=crs,
                transform=transform,
                compress="deflate",
                predictor=predictor,
                zlevel=9,
                **profile,
            ) as sink,
        ):
            sink.write(values, 1)
    except RasterioError as error:
        message = f"{target}: cannot be written ({error}); free some space or choose another folder"
        raise OutputError(message) from error
