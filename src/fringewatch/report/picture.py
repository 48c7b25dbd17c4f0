"""The picture of one scene: phase and probability side by side, with the outlines of what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import ImageDraw
from PIL.PngImagePlugin import PngInfo

from fringewatch.files import DRAWN_BY
from fringewatch.report.colours import phase_colours, phase_scale, probability_colours, probability_scale
from fringewatch.report.panel import (
    MARGIN_PX,
    Grid,
    colour_bar,
    draw_header,
    draw_panel,
    lay_out,
    scale_bar,
    small_phase,
    text_font,
)
from fringewatch.scan import upsample_logits

if TYPE_CHECKING:
    import geopandas as gpd
    import xarray as xr
    from numpy.typing import NDArray
    from PIL import Image

    from fringewatch.models import Card
    from fringewatch.report.panel import Box
    from fringewatch.scan import Scan

__all__ = ["draw_scene", "drawn_here"]

_ALERT, _DOUBT, _CALM = (176, 24, 48), (168, 98, 8), (44, 110, 73)
_MOST_LABELS = 9


def draw_scene(
    interferogram: xr.Dataset,
    scan: Scan,
    regions: gpd.GeoDataFrame,
    card: Card,
    *,
    score: float,
    flagged: bool,
    threshold: float,
    level_score: float | None = None,
) -> Image.Image:
    """Draw phase and probability with the outlines of the regions.

    Parameters
    ----------
    interferogram, scan, regions, card
        A scene and what was found in it; `regions` from :func:`fringewatch.regions.find_regions`.
    score, flagged, threshold
        The scene's calibrated score, and whether it reaches the threshold.
    level_score
        The score without the scene's height trend; None leaves it out.

    Returns
    -------
    PIL.Image.Image
        RGB, about 1,300 x 730 pixels for a square scene; phase -pi to pi, probability 0 to 1, no data grey. Axes in
        degrees, in km of the projection, or in pixels where there is no CRS.
    """
    grid = Grid.of(interferogram)
    picture, (first, second) = lay_out(scan.shape, grid, panels=2)
    draw = ImageDraw.Draw(picture)
    phase, probability = _preview(interferogram, scan, card, max(first.width, first.height))
    _header(
        draw,
        picture.width,
        interferogram,
        card,
        score=score,
        flagged=flagged,
        threshold=threshold,
        level_score=level_score,
    )
    for box, pixels in ((first, phase_colours(phase)), (second, probability_colours(probability))):
        draw_panel(picture, box, pixels, grid, scan.shape, with_y=box.left == first.left)
        _outlines(draw, regions, grid, box, scan.shape)
    scale_bar(draw, first, grid, scan.shape)
    colour_bar(picture, first, phase_scale(), title="Wrapped phase (rad)", labels=("−π", "0", "π"))
    colour_bar(picture, second, probability_scale(), title="Probability of deformation", labels=("0", "0.5", "1"))
    return picture


def drawn_here() -> PngInfo:
    """Return what a PNG is saved with, so that discovery and readers know it for a picture and not for phase."""
    mark = PngInfo()
    mark.add_text("Software", DRAWN_BY)
    return mark


def _preview(
    interferogram: xr.Dataset, scan: Scan, card: Card, side: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return phase and probability on a grid of about the picture's pixels."""
    small, step = small_phase(interferogram["phase"], side)
    logits = upsample_logits(scan.logits, scan.stride / step, slice(0, small.shape[0]), slice(0, small.shape[1]))
    return small, np.where(np.isfinite(small), card.calibration(logits), np.float32(np.nan))


def _outlines(
    draw: ImageDraw.ImageDraw,
    regions: gpd.GeoDataFrame,
    grid: Grid,
    box: Box,
    shape: tuple[int, int],
) -> None:
    """Draw every region's outline in black on white, numbered as in the table while there is room."""
    labels: list[tuple[str, float, float]] = []
    for geometry, number in zip(regions.geometry, regions["region"], strict=True):
        points = np.empty((0, 2))
        for part in getattr(geometry, "geoms", [geometry]):
            if part.geom_type != "Polygon":
                continue
            for ring in (part.exterior, *part.interiors):
                columns, rows = _to_pixels(np.asarray(ring.coords)[:, :2], grid)
                x = box.left + columns / shape[1] * (box.width - 1)
                y = box.top + rows / shape[0] * (box.height - 1)
                line = list(zip(x.tolist(), y.tolist(), strict=True))
                draw.line(line, fill="white", width=4, joint="curve")
                draw.line(line, fill="black", width=2, joint="curve")
                points = np.vstack([points, np.column_stack([x, y])])
        if len(points) and len(labels) < _MOST_LABELS and len(regions) > 1:
            corner = points[np.argmax(points[:, 0] - points[:, 1])]
            labels.append((str(number), float(corner[0]), float(corner[1])))
    font = text_font(13, bold=True)
    for text, right, top in labels:
        place = min(right + 9, box.left + box.width - 10), max(top - 7, box.top + 10)
        draw.text(place, text, font=font, fill="black", anchor="mm", stroke_width=3, stroke_fill="white")


def _to_pixels(points: NDArray[np.float64], grid: Grid) -> tuple[NDArray[np.float64], ...]:
    """Return columns and rows, counted from the outer edge of the first pixel."""
    if grid.crs is None:
        return points[:, 0] + 0.5, points[:, 1] + 0.5
    inverse = ~grid.transform
    return (
        inverse.a * points[:, 0] + inverse.b * points[:, 1] + inverse.c,
        inverse.d * points[:, 0] + inverse.e * points[:, 1] + inverse.f,
    )


def _header(
    draw: ImageDraw.ImageDraw,
    width: int,
    interferogram: xr.Dataset,
    card: Card,
    *,
    score: float,
    flagged: bool,
    threshold: float,
    level_score: float | None,
) -> None:
    attrs = interferogram.attrs
    doubtful = flagged and level_score is not None and level_score < threshold
    word, badge = ("Deformation?", _DOUBT) if doubtful else ("Deformation", _ALERT) if flagged else ("Quiet", _CALM)
    verdict, font = f"{word}  {score:.2f}", text_font(17, bold=True)
    badge_width = draw.textlength(verdict, font=font) + 26
    place = (width - MARGIN_PX - badge_width, MARGIN_PX - 2, width - MARGIN_PX, MARGIN_PX + 32)
    draw.rounded_rectangle(place, radius=6, fill=badge)
    draw.text(((place[0] + place[2]) / 2, (place[1] + place[3]) / 2), verdict, font=font, fill="white", anchor="mm")
    dates = " to ".join(date for date in (attrs.get("reference_date"), attrs.get("secondary_date")) if date)
    parts = [dates, attrs.get("product", ""), f"model {card.name} {card.version}", f"flagged from {threshold:.2f}"]
    if level_score is not None:
        parts.insert(0, f"{level_score:.2f} without its height trend")
    line = "  ·  ".join(part for part in parts if part)
    draw_header(draw, attrs.get("name") or attrs.get("source", ""), line, place[0] - 2 * MARGIN_PX)
