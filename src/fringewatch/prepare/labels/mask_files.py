"""Files of masks: what in them is marked, and where it lies on the scene."""

from __future__ import annotations

import dataclasses
import zipfile
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.errors import ProductError

if TYPE_CHECKING:
    from pathlib import Path

    from affine import Affine
    from numpy.typing import NDArray

    from fringewatch.prepare.labels.scene import Scene
    from fringewatch.products.grid import Grid
    from fringewatch.products.raster import RasterInfo

__all__ = ["MASK_SUFFIXES", "read_mask"]

MASK_SUFFIXES = (".npy", ".npz", ".png", ".tif", ".tiff")
_COLOURS = {"red", "green", "blue"}


class _Marked(NamedTuple):
    """A mask as its file has it."""

    where: NDArray[np.bool_]
    """(H, W)."""
    info: RasterInfo | None
    """None of an array, which has no grid."""


def read_mask(path: Path, scene: Scene) -> NDArray[np.bool_]:
    """Read a mask.

    Parameters
    ----------
    path
        ``.npy``; ``.npz`` with an array ``mask``, or with one array; or any raster of one band, grey or colour.
    scene
        The scene it must fit. Where both have a coordinate system, the mask must lie on the scene's pixels; rows or
        columns that run the other way are turned round. Otherwise its rows and columns are those of the scene as read.

    Returns
    -------
    numpy.ndarray
        (H, W) bool: everything but 0, NaN and the raster's no-data value. Of colours and palettes everything but black;
        what is transparent is not marked.

    Raises
    ------
    ProductError
        If it cannot be read, does not say which band or value marks, or has another shape or grid than the scene.
    """
    try:
        marked = _read_array(path) if path.suffix.lower() in {".npy", ".npz"} else _read_raster(path)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, ProductError):
            raise
        message = f"{path}: cannot be read as a mask ({error}); expected an array or picture, 0 where nothing deforms"
        raise ProductError(message) from error
    if marked.where.shape != scene.shape:
        message = (
            f"{path}: mask of shape {marked.where.shape}, expected that of {scene.path}, {scene.shape}; "
            "a mask has one value per pixel of its scene: cut or resample it by nearest neighbour"
        )
        raise ProductError(message)
    info = marked.info
    if info is None or info.transform is None or info.crs is None:
        return marked.where
    if not scene.crs_wkt:
        from fringewatch.products.raster import turn_round

        # By index, and so in the order of the file.
        return turn_round(marked.where, info.turned)
    return _onto(scene, marked.where, info, info.transform)


def _read_array(path: Path) -> _Marked:
    with path.open("rb") as handle:
        loaded = np.load(handle, allow_pickle=False)
        if not isinstance(loaded, np.ndarray):
            name = "mask" if "mask" in loaded.files or len(loaded.files) != 1 else loaded.files[0]
            loaded = loaded[name]
    return _Marked(_nonzero(loaded, None), None)


def _read_raster(path: Path) -> _Marked:
    from fringewatch.products import raster

    info = raster.inspect(str(path))
    bands = _marking_bands(info)
    values = np.asarray(raster.read(info, bands=[band + 1 for band in bands], mask=info.has_mask))
    layers = [_nonzero(layer, info.nodata[band]) for band, layer in zip(bands, values, strict=False)]
    where: NDArray[np.bool_] = np.any(layers, axis=0)
    if info.colormap is not None:
        where = _by_colour(values[0], where, info.colormap, info)
    if info.has_mask:
        where &= values[-1] != 0
    return _Marked(where, info)


def _nonzero(values: NDArray[np.generic], nodata: float | None) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = np.nan_to_num(values.astype(np.float64), nan=0.0) != 0
    if nodata is not None:
        mask &= values != nodata
    return mask


def _marking_bands(info: RasterInfo) -> list[int]:
    """Return the bands, from 0, of which any but 0 marks a pixel."""
    bands = [band for band, colour in enumerate(info.colors) if colour != "alpha"]
    if len(bands) > 1 and not {info.colors[band] for band in bands} <= _COLOURS:
        message = (
            f"{info.path}: has bands of {', '.join(info.colors)}, so that it is unclear which one marks what deforms; "
            "expected a single band, or red, green and blue; keep one: gdal_translate -b 1 in.tif out.tif"
        )
        raise ProductError(message)
    return bands or [0]


def _by_colour(
    values: NDArray[np.generic],
    nonzero: NDArray[np.bool_],
    colormap: dict[int, tuple[int, int, int, int]],
    info: RasterInfo,
) -> NDArray[np.bool_]:
    """Return what of a palette is not black and not transparent."""
    shown = [value for value, (*colour, alpha) in colormap.items() if any(colour) and alpha]
    where: NDArray[np.bool_] = np.isin(values, shown)
    if info.nodata[0] is not None:
        where &= values != info.nodata[0]
    # In a PNG the values only number the colours; elsewhere the colours may only be there to look at the values.
    if info.driver != "PNG" and (where != nonzero).any():
        message = (
            f"{info.path}: has colours that contradict its values: 0 is not black, or another value is black or "
            "transparent; expected 0, shown as black, where nothing deforms; if the colours count, use "
            "`gdal_translate -expand rgba in.tif out.tif`; if the values do, save them as .npy"
        )
        raise ProductError(message)
    return where


def _onto(scene: Scene, where: NDArray[np.bool_], info: RasterInfo, transform: Affine) -> NDArray[np.bool_]:
    """Return a mask in the order of the scene's rows and columns, if it lies on the scene's pixels."""
    from affine import Affine

    from fringewatch.products.grid import Grid, offset, parse_crs

    rows, columns = scene.shape
    step_x, step_y = (float(centres[-1] - centres[0]) / (len(centres) - 1) for centres in (scene.x, scene.y))
    corner = Affine(step_x, 0, float(scene.x[0]) - step_x / 2, 0, step_y, float(scene.y[0]) - step_y / 2)
    wanted = Grid(scene.shape, corner, parse_crs(scene.crs_wkt, scene.path))
    # Slanted grids are brought north-up on reading: what may differ is which way rows and columns run.
    turned = transform
    if turned.e * step_y < 0:
        where, turned = where[::-1], Affine(turned.a, 0, turned.c, 0, -turned.e, turned.f + rows * turned.e)
    if turned.a * step_x < 0:
        where, turned = where[:, ::-1], Affine(-turned.a, 0, turned.c + columns * turned.a, 0, turned.e, turned.f)
    if offset(dataclasses.replace(info, transform=turned), wanted) == (0, 0):
        return where
    message = (
        f"{info.path}: mask on another grid ({_told(info)}), expected that of {scene.path} ({_told(wanted)}); bring it "
        f"there: `rio warp {info.path} out.tif --like {scene.path} --resampling nearest`; or, if its pixels are the "
        "scene's all the same, save them as .npy, which has no grid"
    )
    raise ProductError(message)


def _told(grid: RasterInfo | Grid) -> str:
    """Return in words where a grid with a coordinate system lies."""
    assert grid.transform is not None
    assert grid.crs is not None
    step_x, _, left, _, step_y, top = grid.transform[:6]
    code = grid.crs.to_epsg()
    name = f"EPSG:{code}" if code else grid.crs.to_string()[:60]
    return f"{name}, corner {left:.9g}, {top:.9g}, pixels of {step_x:.9g}, {step_y:.9g}"
