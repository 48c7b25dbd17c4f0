"""Probability map to detections: one polygon per place that deforms, with what can be said of it.

A region is a connected area where the calibrated probability is at least ``card.thresholds.region_edge`` and whose own
score reaches the threshold at which a scene is flagged: hysteresis, as in Canny (1986), so that one level decides
whether there is something and the other where it ends. A scene is flagged exactly where it has a region.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

from fringewatch.regions.detections import Detections, plain_row
from fringewatch.regions.measure import Piece, measure
from fringewatch.regions.outline import georeference, outline
from fringewatch.scan import enclosed, smooth_logits

if TYPE_CHECKING:
    from collections.abc import Sequence

    import geopandas as gpd
    import xarray as xr
    from numpy.typing import NDArray

    from fringewatch.models import Card
    from fringewatch.scan import Scan

__all__ = ["Region", "describe_regions", "find_regions", "pick_regions", "rows_of"]

_BEYOND_EDGE = np.float32(1)
"""How far below the edge logit the surroundings count where they are cut off (gaps, neighbours, scene border)."""

_ROUNDING = 1e-5
"""More than scores in single precision are out of order."""


class Region(NamedTuple):
    """A place that deforms, as the map alone tells of it."""

    piece: Piece
    score: float
    max_probability: float
    mean_probability: float
    row: int
    col: int
    """The scene pixel at the middle of the map pixel with the highest probability."""


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
        ``area_km2``              on the WGS 84 ellipsoid; by ``pixel_size_m`` without a CRS and ``lat`` and ``lon``
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
    regions = pick_regions(scan, card, threshold=threshold)
    return describe_regions(regions, scan, interferogram, card, threshold=threshold).table()


def pick_regions(scan: Scan, card: Card, *, threshold: float | None = None) -> list[Region]:
    """Return the places on a map that reach the threshold, best first; see :func:`find_regions`."""
    threshold = card.thresholds.scene if threshold is None else threshold
    edge = _edge_logit(card, threshold)
    labels, _ = ndimage.label(scan.valid & (scan.logits >= edge))
    regions = []
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        # No mean is higher than the highest value, and most areas are ruled out by that alone.
        if _score(card, _highest(scan, box)) < threshold - _ROUNDING:
            continue
        inside = labels[box] == label
        score = _score(card, _best_mean(scan, box, inside))
        if score < threshold:
            continue
        chances = card.calibration(scan.logits[box][inside])
        piece = _cut(scan, labels, label, box, edge)
        peak = _peak(chances, inside, box, scan)
        regions.append(Region(piece, score, float(chances.max()), float(chances.mean()), *peak))
    return sorted(regions, key=lambda region: (-region.score, -region.max_probability))


def rows_of(regions: Sequence[Region], scan: Scan) -> slice:
    """Return the rows of the scene in which regions lie; there is at least one."""
    tops = [region.piece.top for region in regions]
    bottoms = [region.piece.top + region.piece.logits.shape[0] for region in regions]
    return slice(max(min(tops) * scan.stride, 0), min(max(bottoms) * scan.stride, scan.shape[0]))


def describe_regions(
    regions: Sequence[Region], scan: Scan, interferogram: xr.Dataset, card: Card, *, threshold: float | None = None
) -> Detections:
    """Measure regions on the scene's own grid.

    Parameters
    ----------
    regions
        From :func:`pick_regions`.
    scan, interferogram, card, threshold
        As for :func:`find_regions`, and the same.
    """
    edge = _edge_logit(card, card.thresholds.scene if threshold is None else threshold)
    located = georeference([outline(region.piece, scan, edge) for region in regions], interferogram)
    attrs = interferogram.attrs
    rows = [
        plain_row(
            {
                "scene": attrs.get("name", ""),
                "region": number + 1,
                **region._asdict(),
                "area_km2": located.area_km2[number],
                "lon": located.lon[number],
                "lat": located.lat[number],
                **measure(region.piece, scan, interferogram, edge),
                **{name: attrs.get(name, "") for name in ("reference_date", "secondary_date", "product")},
                "model": card.name,
                "model_version": card.version,
            }
        )
        for number, region in enumerate(regions)
    ]
    return Detections(rows, located.polygons, located.degrees, located.crs)


def _score(card: Card, logit: np.float32) -> float:
    return float(card.scene_calibration(np.asarray(logit)))


def _grown(box: tuple[slice, slice]) -> tuple[slice, ...]:
    """Return a box with all that counts in a smoothed logit in or right beside it."""
    # The best mean of a neighbourhood may lie beside the pixel that carries it, just outside the region; and that
    # pixel's own neighbourhood reaches one further.
    return tuple(slice(max(axis.start - 2, 0), axis.stop + 2) for axis in box)


def _highest(scan: Scan, box: tuple[slice, slice]) -> np.float32:
    grown = _grown(box)
    highest: np.float32 = np.max(scan.logits[grown], where=scan.valid[grown], initial=np.float32(-np.inf))
    return highest


def _best_mean(scan: Scan, box: tuple[slice, slice], inside: NDArray[np.bool_]) -> np.float32:
    """Return the highest smoothed logit in a region and right beside it."""
    grown = _grown(box)
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
) -> tuple[int, int]:
    place = np.flatnonzero(inside)[int(chances.argmax())]
    row, column = np.unravel_index(place, inside.shape)
    half = scan.stride // 2
    return (
        min((box[0].start + int(row)) * scan.stride + half, scan.shape[0] - 1),
        min((box[1].start + int(column)) * scan.stride + half, scan.shape[1] - 1),
    )
