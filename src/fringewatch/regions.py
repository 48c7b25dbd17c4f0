"""Probability map to detections: one polygon per place that deforms, with what can be said of it.

A region is a connected area where the calibrated probability is at least ``card.thresholds.region_edge`` and whose own
score reaches the threshold at which a scene is flagged: hysteresis, as in Canny (1986), so that one level decides
whether there is something and the other where it ends. A scene is flagged exactly where it has a region.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import ndimage

from fringewatch.scan import Scan, smooth_logits, upsample_logits

if TYPE_CHECKING:
    import geopandas as gpd
    import shapely
    import xarray as xr
    from numpy.typing import NDArray

    from fringewatch.models import Card

__all__ = ["COLUMNS", "FringeEstimate", "find_regions", "fringes_inside"]

COLUMNS: dict[str, str] = {
    "scene": "str",
    "region": "int64",
    "score": "float64",
    "max_probability": "float64",
    "mean_probability": "float64",
    "area_km2": "float64",
    "area_px": "int64",
    "row": "int64",
    "col": "int64",
    "row0": "int64",
    "row1": "int64",
    "col0": "int64",
    "col1": "int64",
    "lon": "float64",
    "lat": "float64",
    "fringe_count": "float64",
    "peak_to_peak_los_cm": "float64",
    "mean_coherence": "float64",
    "phase_height_correlation": "float64",
    "reference_date": "str",
    "secondary_date": "str",
    "product": "str",
    "model": "str",
    "model_version": "str",
}
"""Columns of a detection table besides ``geometry``, and their types."""

_BEYOND_EDGE = np.float32(1)
"""How far below the edge logit the surroundings count where they are cut off (gaps, neighbours, scene border)."""
_SMOOTHING_PX = 1.0
_LEAST_CONSISTENCY = 0.3
_LEAST_PIXELS = 16
_MOST_PIXELS = 250_000


class FringeEstimate(NamedTuple):
    """The phase signal inside a region; NaN where it cannot be told."""

    fringe_count: float
    peak_to_peak_los_cm: float
    phase_height_correlation: float


class _Piece(NamedTuple):
    """One region on the map grid: a crop with a border of one map pixel, and where the crop starts."""

    logits: NDArray[np.float32]
    top: int
    left: int


def find_regions(
    scan: Scan, interferogram: xr.Dataset, card: Card, *, threshold: float | None = None
) -> gpd.GeoDataFrame:
    """Turn a scanned map into a table of detections.

    Parameters
    ----------
    scan
        The map, from :func:`fringewatch.scan.scan` on the same interferogram.
    interferogram
        Gives the grid, the wrapped phase inside the regions, coherence where it has it, and the attributes.
    card
        The model's card: calibrations, thresholds, name and version.
    threshold
        Score that a region reaches, 0 to 1; None takes ``card.thresholds.scene``.

    Returns
    -------
    geopandas.GeoDataFrame
        One row per region, highest score first; no rows, but every column, where nothing is found.

        ========================= ==================================================================================
        ``geometry``              polygon in the scene's CRS; without a CRS in pixels (x = column, y = row downwards,
                                  whole numbers at pixel centres)
        ``score``                 calibrated like the scene's: the best region's score is the scene's score
        ``max_/mean_probability`` calibrated, over the region's map pixels
        ``area_km2``              on the WGS 84 ellipsoid; NaN without a CRS and without ``lat`` and ``lon``
        ``area_px``               scene pixels inside, with or without data
        ``row, col``              the scene pixel at the middle of the map pixel with the highest probability
        ``row0, row1, col0, col1``  bounds in scene pixels, half open
        ``lon, lat``              centroid in degrees, WGS 84; in radar geometry by ``lat`` and ``lon`` of the
                                  interferogram; NaN without either
        ``fringe_count``          see :func:`fringes_inside`
        ``peak_to_peak_los_cm``   see :func:`fringes_inside`
        ``mean_coherence``        mean over the region; NaN where the product gives none
        ``phase_height_correlation``  of unwrapped phase and terrain height, -1 to 1; near either end the region may be
                                  stratified delay; NaN where the product gives no height
        ========================= ==================================================================================
    """
    import geopandas as gpd
    import pandas as pd

    threshold = card.thresholds.scene if threshold is None else threshold
    edge = _edge_logit(card, threshold)
    probability = np.where(scan.valid, card.calibration(scan.logits), np.float32(0))
    labels, _ = ndimage.label(scan.valid & (scan.logits >= edge))
    # The best mean of a neighbourhood may lie beside the pixel that carries it, just outside the region.
    smooth = ndimage.maximum_filter(np.nan_to_num(smooth_logits(scan.logits, scan.valid), nan=-np.inf), 3)
    rows, pixel_polygons = [], []
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        inside = labels[box] == label
        score = float(card.scene_calibration(smooth[box][inside].max()))
        if score < threshold:
            continue
        chances = np.where(inside, probability[box], np.float32(0))
        piece = _cut(scan, labels, label, box, edge)
        rows.append(
            {
                "scene": interferogram.attrs.get("name", ""),
                "score": score,
                "max_probability": float(chances.max()),
                "mean_probability": float(chances[inside].mean()),
                **_peak(chances, box, scan),
                **_measure(piece, scan, interferogram, edge),
                "reference_date": interferogram.attrs.get("reference_date", ""),
                "secondary_date": interferogram.attrs.get("secondary_date", ""),
                "product": interferogram.attrs.get("product", ""),
                "model": card.name,
                "model_version": card.version,
            }
        )
        pixel_polygons.append(_outline(piece, scan, edge))
    order = sorted(range(len(rows)), key=lambda index: (-rows[index]["score"], -rows[index]["max_probability"]))
    located = _georeference([pixel_polygons[index] for index in order], interferogram)
    columns: dict[str, Any] = {name: [rows[index].get(name) for index in order] for name in COLUMNS}
    columns["region"] = range(1, len(order) + 1)
    columns |= {"area_km2": located.area_km2, "lon": located.lon, "lat": located.lat}
    table = {
        name: pd.array(columns[name], dtype=kind) if kind == "str" else np.array(columns[name], dtype=kind)
        for name, kind in COLUMNS.items()
    }
    return gpd.GeoDataFrame(table, geometry=located.polygons, crs=located.crs)


def fringes_inside(
    phase_rad: NDArray[np.float32],
    inside: NDArray[np.bool_],
    wavelength_m: float,
    height_m: NDArray[np.float32] | None = None,
) -> FringeEstimate:
    """Estimate how many fringes a region holds, the LOS motion they stand for, and whether they follow the terrain.

    The wrapped phase is smoothed as a complex number (Gaussian, 1 pixel), unwrapped over the largest connected part
    where neighbouring pixels agree (Herraez et al. 2002), and the range between the 1st and 99th percentile is taken.

    Parameters
    ----------
    phase_rad
        (H, W) wrapped phase; NaN = no data.
    inside
        (H, W) bool, the region.
    wavelength_m
        Radar wavelength in metres.
    height_m
        (H, W) terrain height, NaN = unknown.

    Returns
    -------
    FringeEstimate
        Fringes (range / 2 pi) and peak-to-peak LOS motion in cm (both >= 0); NaN where fewer than 16 pixels agree.
        Pearson's correlation of unwrapped phase and height over the same pixels; NaN without height or relief.

    Notes
    -----
    This is an order of magnitude, not a measurement. It includes the atmosphere inside the region; it misses what lies
    outside the polygon and what decorrelated; fringes denser than about one in four pixels are lost, so that the
    fast core of a mining trough or an earthquake is underestimated. It says nothing of the sign.
    """
    nothing = FringeEstimate(float("nan"), float("nan"), float("nan"))
    usable = inside & np.isfinite(phase_rad)
    if usable.sum() < _LEAST_PIXELS:
        return nothing
    phasor = np.where(usable, np.exp(1j * np.where(usable, phase_rad, 0)), 0).astype(np.complex64)
    smooth = ndimage.gaussian_filter(phasor, _SMOOTHING_PX, mode="constant")
    weight = ndimage.gaussian_filter(usable.astype(np.float32), _SMOOTHING_PX, mode="constant")
    # Unwrapping is the only step whose time could run away on a large region.
    step = int(np.ceil(np.sqrt(usable.sum() / _MOST_PIXELS)))
    consistent = (usable & (np.abs(smooth) >= _LEAST_CONSISTENCY * weight))[::step, ::step]
    labels, number = ndimage.label(consistent)
    if number == 0:
        return nothing
    sizes = np.bincount(labels.ravel())[1:]
    largest = labels == sizes.argmax() + 1
    if sizes.max() < _LEAST_PIXELS:
        return nothing
    wrapped = np.ma.masked_array(np.angle(smooth[::step, ::step]), ~largest)
    unwrapped = _unwrap(wrapped)
    low, high = np.percentile(unwrapped, [1, 99])
    span = float(high - low)
    correlation = float("nan") if height_m is None else _correlation(unwrapped, height_m[::step, ::step][largest])
    return FringeEstimate(span / (2 * np.pi), 100 * span * wavelength_m / (4 * np.pi), correlation)


def _correlation(phase: NDArray[np.float64], height: NDArray[np.float32]) -> float:
    known = np.isfinite(height)
    if known.sum() < _LEAST_PIXELS or np.ptp(height[known]) == 0 or np.ptp(phase[known]) == 0:
        return float("nan")
    return float(np.corrcoef(phase[known], height[known])[0, 1])


def _unwrap(wrapped: np.ma.MaskedArray[Any, Any]) -> NDArray[np.float64]:
    """Unwrap a masked array and return what is not masked, flat."""
    from skimage.restoration import unwrap_phase

    # scikit-image ships no types; the fixed generator makes ties between equally good paths repeatable.
    unwrapped: np.ma.MaskedArray[Any, Any] = unwrap_phase(wrapped, rng=0)  # type: ignore[no-untyped-call]
    result: NDArray[np.float64] = unwrapped.compressed()
    return result


def _cut(scan: Scan, labels: NDArray[np.int32], label: int, box: tuple[slice, slice], edge: np.float32) -> _Piece:
    """Cut one region out of the map with the flank that surrounds it, all else set clearly below the edge."""
    grown = np.s_[max(box[0].start - 1, 0) : box[0].stop + 1, max(box[1].start - 1, 0) : box[1].stop + 1]
    own, free = labels[grown] == label, (labels[grown] == 0) & scan.valid[grown]
    # A hair above the edge, so that a region that only just reaches it still has an outline.
    core = np.maximum(scan.logits[grown], edge + np.float32(0.01))
    kept = np.where(own, core, np.where(free, np.minimum(scan.logits[grown], edge), edge - _BEYOND_EDGE))
    # One more border, so that every outline closes even at the edge of the scene.
    lead = int(box[0].start == 0), int(box[1].start == 0)
    trail = int(box[0].stop == labels.shape[0]), int(box[1].stop == labels.shape[1])
    kept = np.pad(kept, list(zip(lead, trail, strict=True)), constant_values=edge - _BEYOND_EDGE)
    return _Piece(kept.astype(np.float32), box[0].start - 1, box[1].start - 1)


def _edge_logit(card: Card, threshold: float) -> np.float32:
    """Return the logit where regions end: at the edge probability, or at the threshold where that is lower still."""
    edge = card.calibration.inverse(card.thresholds.region_edge)
    return np.float32(min(edge, card.scene_calibration.inverse(threshold)))


def _peak(chances: NDArray[np.float32], box: tuple[slice, slice], scan: Scan) -> dict[str, int]:
    row, column = np.unravel_index(int(chances.argmax()), chances.shape)
    half = scan.stride // 2
    return {
        "row": min((box[0].start + int(row)) * scan.stride + half, scan.shape[0] - 1),
        "col": min((box[1].start + int(column)) * scan.stride + half, scan.shape[1] - 1),
    }


def _measure(piece: _Piece, scan: Scan, interferogram: xr.Dataset, edge: np.float32) -> dict[str, float | int]:
    """Return bounds, area, fringes and coherence of a region, on the scene's own grid."""
    top, left = piece.top * scan.stride, piece.left * scan.stride
    height, width = (size * scan.stride for size in piece.logits.shape)
    inside = upsample_logits(piece.logits, scan.stride, slice(0, height), slice(0, width)) >= edge
    if not inside.any():
        # A single map pixel that just reaches the edge: no scene pixel's centre falls on its centre.
        inside[scan.stride : 2 * scan.stride, scan.stride : 2 * scan.stride] = True
    # Leave out what the border of the piece adds beyond the scene.
    rows = slice(max(top, 0), min(top + height, scan.shape[0]))
    columns = slice(max(left, 0), min(left + width, scan.shape[1]))
    inside = inside[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    (row_box, column_box) = ndimage.find_objects(inside.astype(np.int8))[0]
    rows = slice(rows.start + row_box.start, rows.start + row_box.stop)
    columns = slice(columns.start + column_box.start, columns.start + column_box.stop)
    inside = inside[row_box, column_box]
    phase = np.asarray(interferogram["phase"][rows, columns].values, np.float32)
    height_m = None
    if "height" in interferogram:
        height_m = np.asarray(interferogram["height"][rows, columns].values, np.float32)
    fringes = fringes_inside(phase, inside, interferogram.attrs["wavelength_m"], height_m)
    coherence = float("nan")
    if "coherence" in interferogram:
        values = np.asarray(interferogram["coherence"][rows, columns].values, np.float32)[inside]
        coherence = float(np.nanmean(values)) if np.isfinite(values).any() else coherence
    return {
        "area_px": int(inside.sum()),
        "row0": rows.start,
        "row1": rows.stop,
        "col0": columns.start,
        "col1": columns.stop,
        **fringes._asdict(),
        "mean_coherence": coherence,
    }


def _outline(piece: _Piece, scan: Scan, edge: np.float32) -> shapely.Polygon:
    """Return the line where the probability falls to the edge, in scene pixels (x, y), centres at whole numbers."""
    import shapely
    from skimage.measure import find_contours

    # "low": areas that touch at a corner only are two regions, as in the labelling. scikit-image ships no types.
    contours = find_contours(piece.logits, edge, fully_connected="low")  # type: ignore[no-untyped-call]
    rings = [
        ((ring + (piece.top, piece.left) + 0.5) * scan.stride - 0.5)[:, ::-1] for ring in contours if len(ring) > 3
    ]
    parts = sorted((shapely.Polygon(ring) for ring in rings), key=lambda part: part.area, reverse=True)
    outline = shapely.Polygon(parts[0].exterior, [part.exterior for part in parts[1:]])
    # Drops points that lie on a line; more would take a visible share of a small region's area.
    outline = shapely.make_valid(outline.simplify(scan.stride / 16))
    height, width = scan.shape
    return outline.intersection(shapely.box(-0.5, -0.5, width - 0.5, height - 0.5))


class _Located(NamedTuple):
    polygons: list[Any]
    crs: Any
    area_km2: list[float]
    lon: list[float]
    lat: list[float]


def _georeference(polygons: list[Any], interferogram: xr.Dataset) -> _Located:
    import geopandas as gpd
    import rioxarray  # noqa: F401  (registers the .rio accessor)
    import shapely
    from pyproj import Geod

    crs = interferogram.rio.crs
    # The ellipsoid for every CRS: planar areas are wrong in Web Mercator and in degrees.
    ellipsoid = Geod(ellps="WGS84")
    if crs is None and "lat" in interferogram.coords:
        places = [_look_up(polygon, interferogram) for polygon in polygons]
        area = [_area_m2(outline, ellipsoid) / 1e6 for outline, _ in places]
        return _Located(polygons, None, area, [spot.x for _, spot in places], [spot.y for _, spot in places])
    nan = [float("nan")] * len(polygons)
    if crs is None:
        return _Located(polygons, None, nan, nan, nan)
    transform = interferogram.rio.transform()

    def to_map(points: NDArray[np.float64]) -> NDArray[np.float64]:
        columns, rows = points[:, 0] + 0.5, points[:, 1] + 0.5
        return np.column_stack(
            [
                transform.a * columns + transform.b * rows + transform.c,
                transform.d * columns + transform.e * rows + transform.f,
            ]
        )

    mapped = [shapely.transform(polygon, to_map) for polygon in polygons]
    degrees = list(gpd.GeoSeries(mapped, crs=crs).to_crs("EPSG:4326"))
    area = [_area_m2(shape, ellipsoid) / 1e6 for shape in degrees]
    centres = [shape.centroid for shape in degrees]
    return _Located(mapped, crs, area, [point.x for point in centres], [point.y for point in centres])


def _look_up(polygon: Any, interferogram: xr.Dataset) -> tuple[Any, shapely.Point]:
    """Return a polygon of pixels in degrees, and its centroid; NaN where the lookup table has a gap."""
    import shapely

    left, top, right, bottom = polygon.bounds
    rows, columns = slice(max(int(top) - 1, 0), int(bottom) + 3), slice(max(int(left) - 1, 0), int(right) + 3)
    # Only this window: the tables of a large scene are read lazily.
    latitude, longitude = (np.asarray(interferogram[name][rows, columns].values, np.float64) for name in ("lat", "lon"))
    known = longitude[np.isfinite(longitude)]
    origin = float(known[0]) if known.size else 0.0
    # Relative to one pixel: interpolation must not run from 180 to -180 degrees.
    east = (longitude - origin + 180) % 360 - 180

    def to_degrees(points: NDArray[np.float64]) -> NDArray[np.float64]:
        at = [points[:, 1] - rows.start, points[:, 0] - columns.start]
        x, y = (ndimage.map_coordinates(table, at, order=1, mode="nearest") for table in (east, latitude))
        return np.column_stack([x, y])

    outline = shapely.transform(polygon, to_degrees)
    centroid = shapely.transform(polygon.centroid, to_degrees)
    return outline, shapely.Point((origin + centroid.x + 180) % 360 - 180, centroid.y)


def _area_m2(shape: Any, ellipsoid: Any) -> float:
    """Return the area of a polygon or several; holes count as such only where they wind the other way."""
    from shapely.geometry.polygon import orient

    parts = [part for part in getattr(shape, "geoms", [shape]) if part.geom_type == "Polygon"]
    return float(sum(ellipsoid.geometry_area_perimeter(orient(part))[0] for part in parts))
