"""The files of one scene: probability as a Cloud-Optimised GeoTIFF, detections as GeoJSON, the picture as PNG."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
import rasterio.shutil
import rioxarray  # noqa: F401  (registers the .rio accessor)
from PIL import Image
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile
from rasterio.windows import Window

from fringewatch.errors import OutputError
from fringewatch.files import atomic_path, is_drawn_here, write_text
from fringewatch.regions import COLUMNS, cut_at_date_line, unbroken
from fringewatch.report import draw_scene, drawn_here

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    import geopandas as gpd
    from numpy.typing import NDArray

    from fringewatch.detect.detector import Examination
    from fringewatch.detect.settings import Kept

__all__ = [
    "has_users_picture",
    "output_paths",
    "quiet_about_grids",
    "read_detections",
    "remove_outputs",
    "write_all_detections",
    "write_detections",
    "write_outputs",
    "write_picture",
    "write_probability",
]

# Multiples of 1/1024: finer than a calibrated probability can mean, and the zero bits behind compress well.
_QUANTUM = 1024
_IN_MEMORY_PIXELS = 40_000_000
_STRIP_ROWS = 1024
_CACHE_MB = 256
_PNG_LEVEL = 3
_SUFFIXES: dict[Kept, str] = {"maps": ".probability.tif", "outlines": ".detections.geojson", "pictures": ".png"}
_COG = {"compress": "deflate", "predictor": "3", "level": "2", "blocksize": "512", "overview_resampling": "average"}
_TIFF = {"driver": "GTiff", "tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "zlevel": 1}

logging.getLogger("rasterio").addHandler(logging.NullHandler())


@contextlib.contextmanager
def quiet_about_grids() -> Iterator[None]:
    """Silence rasterio's warning that a raster has no grid: pictures and radar geometry have none.

    Filters of warnings are global, and threads that set and restore them at the same time can undo each other's work.
    A batch therefore enters this once around all of its threads; whatever they restore is then silent too.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def output_paths(folder: Path, name: str, *, keep: Collection[Kept]) -> list[Path]:
    """Return the files that :func:`write_outputs` makes."""
    return [folder / (name + suffix) for kind, suffix in _SUFFIXES.items() if kind in keep]


def has_users_picture(folder: Path, name: str, *, keep: Collection[Kept]) -> bool:
    """Tell whether the picture of a scene would replace one of the user's, such as phase stored as a picture."""
    picture = folder / (name + _SUFFIXES["pictures"])
    if "pictures" not in keep or not picture.is_file() or is_drawn_here(picture):
        return False
    try:
        with Image.open(picture):
            return True
    except (OSError, ValueError, SyntaxError):
        # No picture at all: one of ours that was damaged.
        return False


def write_outputs(folder: Path, name: str, examination: Examination, *, keep: Collection[Kept]) -> None:
    """Write the files of a scene, each atomically.

    Parameters
    ----------
    folder, name
        Where they go and what they are called after.
    examination
        The scene.
    keep
        Which of them: ``"maps"`` of probability, ``"outlines"`` of the detections, ``"pictures"``.

    Raises
    ------
    OutputError
        If one cannot be written, with the reason, or would replace the scene's own file.
    """
    source = examination.interferogram.attrs.get("source", "")
    for path in output_paths(folder, name, keep=keep):
        if path.exists() and Path(source).exists() and path.samefile(source):
            message = f"{source}: is where this scene's own result would go ({path.name}); choose another --out"
            raise OutputError(message)
    if "maps" in keep:
        write_probability(folder / (name + _SUFFIXES["maps"]), examination)
    if "outlines" in keep:
        write_detections(folder / (name + _SUFFIXES["outlines"]), examination.regions)
    if "pictures" in keep:
        write_picture(folder / (name + _SUFFIXES["pictures"]), examination)


def remove_outputs(
    folder: Path, name: str, *, keep: Collection[Kept], spare: Callable[[Path], bool] = lambda _: False
) -> None:
    """Remove files of a scene that has failed or is written anew, so that no older map passes for the answer.

    A picture that was not drawn here is the user's own and stays.

    Parameters
    ----------
    folder, name, keep
        As for :func:`write_outputs`.
    spare
        Tells of a resolved path that it stays, whatever its name: it is an input.

    Raises
    ------
    OutputError
        If one cannot be removed.
    """
    for path in output_paths(folder, name, keep=keep):
        try:
            if not path.exists() or spare(path.resolve()):
                continue
            if path.suffix != _SUFFIXES["pictures"] or is_drawn_here(path):
                path.unlink(missing_ok=True)
        except OSError as error:
            message = f"{path}: is of an earlier run and cannot be removed ({error.strerror}); remove it by hand"
            raise OutputError(message) from error


def write_probability(path: Path, examination: Examination) -> None:
    """Write the probability map as a Cloud-Optimised GeoTIFF: float32, NaN = no data, steps of 1/1024."""
    profile = _profile(examination)
    height, width = examination.scan.shape
    if height * width <= _IN_MEMORY_PIXELS:
        # Through memory: Python then writes the file, and says what is wrong where GDAL would not.
        with MemoryFile() as plain, MemoryFile() as cloud:
            with _explained(path):
                _fill(plain.name, profile, examination)
                rasterio.shutil.copy(plain.name, cloud.name, driver="COG", **_COG)
            with atomic_path(path) as temporary:
                temporary.write_bytes(cloud.getbuffer())
        return
    # GDAL would take a twentieth of the memory for its cache; strips need none.
    with atomic_path(path) as temporary, _explained(path), rasterio.Env(GDAL_CACHEMAX=_CACHE_MB):
        # Like the temporary file no other process's or thread's, whatever their scenes are called.
        strips = temporary.with_suffix(".strips.tif")
        try:
            _fill(str(strips), {**profile, **_TIFF, "bigtiff": "if_safer"}, examination)
            rasterio.shutil.copy(str(strips), str(temporary), driver="COG", bigtiff="if_safer", **_COG)
            _check_written(temporary, height, width)
        finally:
            strips.unlink(missing_ok=True)


def write_detections(path: Path, regions: gpd.GeoDataFrame) -> None:
    """Write detections as GeoJSON.

    Longitude and latitude (RFC 7946) where the scene has a CRS; otherwise pixels, x = column and y = row downwards,
    with a member ``pixel_grid`` that says so.
    """
    write_text(path, json.dumps(_geojson(regions), ensure_ascii=False, separators=(",", ":")) + "\n")


def write_picture(path: Path, examination: Examination) -> None:
    """Write the picture of a scene as PNG; see :func:`fringewatch.report.draw_scene`."""
    picture = draw_scene(
        examination.interferogram,
        examination.scan,
        examination.regions,
        examination.card,
        score=examination.score,
        flagged=examination.flagged,
        threshold=examination.threshold,
        level_score=examination.level_score,
    )
    # 256 colours: the two scales and grey letters; a quarter of the size and of the time of true colour.
    indexed = picture.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    with atomic_path(path) as temporary:
        indexed.save(temporary, "PNG", compress_level=_PNG_LEVEL, pnginfo=drawn_here())


def _profile(examination: Examination) -> dict[str, Any]:
    interferogram = examination.interferogram
    height, width = examination.scan.shape
    profile = {"driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": "float32", "nodata": np.nan}
    if interferogram.rio.crs is not None:
        profile |= {"crs": interferogram.rio.crs, "transform": interferogram.rio.transform()}
    return profile


def _fill(name: str, profile: dict[str, Any], examination: Examination) -> None:
    with quiet_about_grids(), rasterio.open(name, "w", **profile) as target:
        target.set_band_description(1, "probability of deformation")
        target.update_tags(**_tags(examination))
        for rows in _strips(profile["height"]):
            columns = slice(0, profile["width"])
            values = _quantise(examination.probability_window(rows, columns))
            target.write(values, 1, window=Window(0, rows.start, profile["width"], rows.stop - rows.start))


def _tags(examination: Examination) -> dict[str, str]:
    attrs, card = examination.interferogram.attrs, examination.card
    tags = {
        "FRINGEWATCH_MODEL": f"{card.name} {card.version}",
        "FRINGEWATCH_SCORE": f"{examination.score:.4f}",
        "REFERENCE_DATE": attrs.get("reference_date", ""),
        "SECONDARY_DATE": attrs.get("secondary_date", ""),
    }
    return {key: value for key, value in tags.items() if value}


def _strips(height: int) -> Iterator[slice]:
    for start in range(0, height, _STRIP_ROWS):
        yield slice(start, min(start + _STRIP_ROWS, height))


def _quantise(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    result: NDArray[np.float32] = np.rint(probability * np.float32(_QUANTUM)) / np.float32(_QUANTUM)
    return result


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn an error of GDAL into ours, with GDAL's own reason."""
    try:
        yield
    except (RasterioError, CPLE_BaseError) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        message = f"{path}: cannot be written ({reason}); choose another --out, free some space or change permissions"
        raise OutputError(message) from error


def _check_written(path: Path, height: int, width: int) -> None:
    """Read the corners of a file that GDAL wrote: on a full disk its last blocks are missing without an error."""
    with quiet_about_grids(), rasterio.open(path) as written:
        for row, column in ((0, 0), (0, width - 1), (height - 1, 0), (height - 1, width - 1)):
            written.read(1, window=Window(column, row, 1, 1))


def _geojson(regions: gpd.GeoDataFrame) -> dict[str, Any]:
    collection: dict[str, Any] = {"type": "FeatureCollection"}
    digits, located = 7, regions
    if regions.crs is None:
        digits = 2
        collection["pixel_grid"] = "pixels: x = column, y = row downwards, whole numbers at pixel centres"
    elif len(regions):
        located = regions.to_crs("EPSG:4326")
        on_the_map = [cut_at_date_line(unbroken(shape)) for shape in located.geometry]
        located = located.set_geometry(on_the_map, crs=located.crs)
    properties = [column for column in regions.columns if column != "geometry"]
    collection["features"] = [
        {
            "type": "Feature",
            "geometry": _geometry(row.geometry, digits),
            "properties": {key: _json_value(getattr(row, key)) for key in properties},
        }
        for row in located.itertuples(index=False)
    ]
    return collection


def _geometry(shape: Any, digits: int) -> dict[str, Any]:
    from shapely.geometry.polygon import orient

    parts = [part for part in getattr(shape, "geoms", [shape]) if part.geom_type == "Polygon"]
    # RFC 7946: outer rings counter-clockwise, holes clockwise.
    coordinates = [
        [np.round(np.asarray(ring.coords)[:, :2], digits).tolist() for ring in (part.exterior, *part.interiors)]
        for part in map(orient, parts)
    ]
    if len(coordinates) == 1:
        return {"type": "Polygon", "coordinates": coordinates[0]}
    return {"type": "MultiPolygon", "coordinates": coordinates}


def _json_value(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        # JSON has no NaN.
        return round(float(value), 6) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def read_detections(path: Path) -> dict[str, Any]:
    """Read what :func:`write_detections` wrote, as a GeoJSON feature collection.

    Raises
    ------
    OutputError
        If the file is gone, damaged or something else.
    """
    from shapely.errors import ShapelyError
    from shapely.geometry import shape

    try:
        collection: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for feature in collection["features"]:
            shape(feature["geometry"])
            # The first column that is missing is the reason given.
            _ = [feature["properties"][column] for column in COLUMNS]
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror})"
        raise OutputError(message) from error
    except (ValueError, TypeError, KeyError, AttributeError, ShapelyError) as error:
        message = f"{path}: is damaged ({type(error).__name__}: {' '.join(str(error).split())})"
        raise OutputError(message) from error
    return collection


def write_all_detections(path: Path, collections: Sequence[dict[str, Any]]) -> None:
    """Gather the detections of a run in one GeoPackage, longitude and latitude; those in pixels are left out.

    Parameters
    ----------
    path
        The GeoPackage; an older one is removed where there is nothing to gather.
    collections
        From :func:`read_detections`.
    """
    import geopandas as gpd

    features = [feature for part in collections if "pixel_grid" not in part for feature in part["features"]]
    if not features:
        path.unlink(missing_ok=True)
        return
    # A column of nothing but null would otherwise lose its type.
    table = gpd.GeoDataFrame.from_features(features, crs="EPSG:4326").astype(COLUMNS)
    # Through memory, as the probability: a full disk is then an error of Python, not of SQLite.
    buffer = io.BytesIO()
    table.to_file(buffer, driver="GPKG", layer="detections")
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())
