"""Probability map to detections: one polygon per place that deforms, with what can be said of it.

A region is a connected area where the calibrated probability is at least ``card.thresholds.region_edge`` and whose own
score reaches the threshold at which a scene is flagged: hysteresis, as in Canny (1986), so that one level decides
whether there is something and the other where it ends. A scene is flagged exactly where it has a region.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from fringewatch.regions.measure import Piece, measure
from fringewatch.regions.outline import georeference, outline
from fringewatch.regions.subsidence import SUBSIDENCE_COLUMNS
from fringewatch.scan import Scan, enclosed, smooth_logits

if TYPE_CHECKING:
    import geopandas as gpd
    import xarray as xr
    from numpy.typing import NDArray

    from fringewatch.models import Card

__all__ = ["COLUMNS", "find_regions"]

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
    **SUBSIDENCE_COLUMNS,
    "reference_date": "str",
    "secondary_date": "str",
    "product": "str",
    "model": "str",
    "model_version": "str",
}
"""Columns of a detection table besides ``geometry``, and their types."""

_BEYOND_EDGE = np.float32(1)
"""How far below the edge logit the surroundings count where they are cut off (gaps, neighbours, scene border)."""


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
        ``fringe_count``          see :func:`fringewatch.regions.fringes_inside`
        ``peak_to_peak_los_cm``   see :func:`fringewatch.regions.fringes_inside`
        ``mean_coherence``        mean over the region; NaN where the product gives none
        ``phase_height_correlation``  of unwrapped phase and terrain height, -1 to 1; near either end the region may be
                                  stratified delay; NaN where the product gives no height
        ``subsidence_cm``, ...    :data:`SUBSIDENCE_COLUMNS`: see :func:`fringewatch.regions.subsidence.subsidence`
        ========================= ==================================================================================
    """
    import geopandas as gpd
    import pandas as pd

    threshold = card.thresholds.scene if threshold is None else threshold
    edge = _edge_logit(card, threshold)
    labels, _ = ndimage.label(scan.valid & (scan.logits >= edge))
    rows, pixel_polygons = [], []
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        inside = labels[box] == label
        score = float(card.scene_calibration(np.asarray(_best_mean(scan, box, inside))))
        if score < threshold:
            continue
        chances = card.calibration(scan.logits[box][inside])
        piece = _cut(scan, labels, label, box, edge)
        rows.append(
            {
                "scene": interferogram.attrs.get("name", ""),
                "score": score,
                "max_probability": float(chances.max()),
                "mean_probability": float(chances.mean()),
                **_peak(chances, inside, box, scan),
                **measure(piece, scan, interferogram, edge),
                "reference_date": interferogram.attrs.get("reference_date", ""),
                "secondary_date": interferogram.attrs.get("secondary_date", ""),
                "product": interferogram.attrs.get("product", ""),
                "model": card.name,
                "model_version": card.version,
            }
        )
        pixel_polygons.append(outline(piece, scan, edge))
    order = sorted(range(len(rows)), key=lambda index: (-rows[index]["score"], -rows[index]["max_probability"]))
    located = georeference([pixel_polygons[index] for index in order], interferogram)
    columns: dict[str, Any] = {name: [rows[index].get(name) for index in order] for name in COLUMNS}
    columns["region"] = range(1, len(order) + 1)
    columns |= {"area_km2": located.area_km2, "lon": located.lon, "lat": located.lat}
    table = {
        name: pd.array(columns[name], dtype=kind) if kind == "str" else np.array(columns[name], dtype=kind)
        for name, kind in COLUMNS.items()
    }
    return gpd.GeoDataFrame(table, geometry=located.polygons, crs=located.crs)


def _best_mean(scan: Scan, box: tuple[slice, slice], inside: NDArray[np.bool_]) -> np.float32:
    """Return the highest smoothed logit in a region and right beside it."""
    # The best mean of a neighbourhood may lie beside the pixel that carries it, just outside the region; and that
    # pixel's own neighbourhood reaches one further.
    grown = tuple(slice(max(axis.start - 2, 0), axis.stop + 2) for axis in box)
    smooth = smooth_logits(scan.logits[grown], scan.valid[grown])
    np.copyto(smooth, -np.inf, where=np.isnan(smooth))
    own = tuple(slice(axis.start - wide.start, axis.stop - wide.start) for axis, wide in zip(box, grown, strict=True))
    best: np.float32 = ndimage.maximum_filter(smooth, 3)[own][inside].max()
    return best


def _cut(scan: Scan, labels: NDArray[np.int32], label: int, box: tuple[slice, slice], edge: np.float32) -> Piece:
    """Cut one region out of the map with the flank that surrounds it, all else set clearly below the edge.

    What it encloses belongs to it: the core of a steep trough has no fringes left. Gaps in the data do not, nor does
    what is larger than the region itself.
    """
    grown = np.s_[max(box[0].start - 1, 0) : box[0].stop + 1, max(box[1].start - 1, 0) : box[1].stop + 1]
    own, free = labels[grown] == label, (labels[grown] == 0) & scan.valid[grown]
    core = enclosed(own) & free
    if core.sum() <= own.sum():
        own, free = own | core, free & ~core
    # A hair above the edge, so that a region that only just reaches it still has an outline.
    raised = np.maximum(scan.logits[grown], edge + np.float32(0.01))
    kept = np.where(own, raised, np.where(free, np.minimum(scan.logits[grown], edge), edge - _BEYOND_EDGE))
    # One more border, so that every outline closes even at the edge of the scene.
    lead = int(box[0].start == 0), int(box[1].start == 0)
    trail = int(box[0].stop == labels.shape[0]), int(box[1].stop == labels.shape[1])
    kept = np.pad(kept, list(zip(lead, trail, strict=True)), constant_values=edge - _BEYOND_EDGE)
    return Piece(kept.astype(np.float32), box[0].start - 1, box[1].start - 1)


def _edge_logit(card: Card, threshold: float) -> np.float32:
    """Return the logit where regions end: at the edge probability, or at the threshold where that is lower still."""
    edge = card.calibration.inverse(card.thresholds.region_edge)
    return np.float32(min(edge, card.scene_calibration.inverse(threshold)))


def _peak(
    chances: NDArray[np.float32], inside: NDArray[np.bool_], box: tuple[slice, slice], scan: Scan
) -> dict[str, int]:
    place = np.flatnonzero(inside)[int(chances.argmax())]
    row, column = np.unravel_index(place, inside.shape)
    half = scan.stride // 2
    return {
        "row": min((box[0].start + int(row)) * scan.stride + half, scan.shape[0] - 1),
        "col": min((box[1].start + int(column)) * scan.stride + half, scan.shape[1] - 1),
    }
