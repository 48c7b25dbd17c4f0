"""The picture of one scene: phase and probability side by side, with the outlines of what was found.

Drawn with Pillow: a batch makes one per scene, and Matplotlib would take longer over each than all else together.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fringewatch.interferogram import pixel_size_m
from fringewatch.report.colours import phase_colours, phase_scale, probability_colours, probability_scale
from fringewatch.scan import upsample_logits

if TYPE_CHECKING:
    from collections.abc import Sequence

    import geopandas as gpd
    import xarray as xr
    from numpy.typing import NDArray

    from fringewatch.models import Card
    from fringewatch.scan import Scan

__all__ = ["draw_scene"]

_PANEL_PX = 560
_LARGEST_RATIO = 4.0
_MARGIN, _HEADER, _GAP, _LEFT_AXIS, _BOTTOM_AXIS, _BAR = 20, 74, 26, 64, 30, 58
_INK, _SOFT, _FRAME, _ALERT, _CALM = (24, 28, 34), (95, 103, 112), (120, 128, 136), (176, 24, 48), (44, 110, 73)
_MOST_LABELS = 9
_AVERAGED_PIXELS = 16_000_000


class _Box(NamedTuple):
    left: int
    top: int
    width: int
    height: int


@dataclasses.dataclass(frozen=True)
class _Grid:
    """Where a scene lies; asking xarray for it again and again would take longer than drawing."""

    crs: Any
    transform: Any
    size_m: tuple[float, float] | None

    @classmethod
    def of(cls, interferogram: xr.Dataset) -> _Grid:
        size = pixel_size_m(interferogram)
        crs = interferogram.rio.crs
        return cls(crs, interferogram.rio.transform() if crs is not None else None, size)

    @property
    def aspect(self) -> float:
        """Ground width of a pixel over its height; 1 where unknown."""
        return self.size_m[1] / self.size_m[0] if self.size_m is not None and min(self.size_m) > 0 else 1.0


@dataclasses.dataclass(frozen=True)
class _Axis:
    """Linear map from scene pixels (edges, from 0) to what is written on an axis."""

    start: float
    step: float
    unit: str


def draw_scene(
    interferogram: xr.Dataset,
    scan: Scan,
    regions: gpd.GeoDataFrame,
    card: Card,
    *,
    score: float,
    flagged: bool,
    threshold: float,
) -> Image.Image:
    """Draw phase and probability with the outlines of the regions.

    Parameters
    ----------
    interferogram, scan, regions, card
        A scene and what was found in it; `regions` from :func:`fringewatch.regions.find_regions`.
    score, flagged, threshold
        The scene's calibrated score, and whether it reaches the threshold.

    Returns
    -------
    PIL.Image.Image
        RGB, about 1,300 x 730 pixels for a square scene; phase -pi to pi, probability 0 to 1, no data grey. Axes in
        degrees, in km of the projection, or in pixels where there is no CRS.
    """
    height, width = scan.shape
    grid = _Grid.of(interferogram)
    scale = _PANEL_PX / max(width * grid.aspect, height)
    # A strip is stretched to a quarter of its length, or nothing would be seen of it.
    panel_width = round(max(width * grid.aspect * scale, _PANEL_PX / _LARGEST_RATIO))
    panel_height = round(max(height * scale, _PANEL_PX / _LARGEST_RATIO))
    phase, probability = _preview(interferogram, scan, card, max(panel_width, panel_height))

    stacked = panel_width > 2 * panel_height
    left = _MARGIN + _LEFT_AXIS
    first = _Box(left, _MARGIN + _HEADER, panel_width, panel_height)
    down = panel_height + _BOTTOM_AXIS + _BAR + _GAP
    second = first._replace(top=first.top + down) if stacked else first._replace(left=left + panel_width + _GAP)
    right, bottom = second.left + panel_width, second.top + panel_height
    picture = Image.new("RGB", (max(right + _MARGIN, 760), bottom + _BOTTOM_AXIS + _BAR), "white")
    draw = ImageDraw.Draw(picture)

    _header(draw, picture.width, interferogram, card, score=score, flagged=flagged, threshold=threshold)
    x_axis, y_axis = _axes(grid)
    for box, pixels in ((first, phase_colours(phase)), (second, probability_colours(probability))):
        panel = Image.fromarray(pixels).resize((box.width, box.height), Image.Resampling.NEAREST)
        picture.paste(panel, (box.left, box.top))
        _outlines(draw, regions, grid, box, scan.shape)
        draw.rectangle((box.left - 1, box.top - 1, box.left + box.width, box.top + box.height), outline=_FRAME)
        _ticks(draw, box, scan.shape, x_axis, y_axis, with_y=stacked or box is first)
    _scale_bar(draw, first, grid, scan.shape)
    _colour_bar(picture, first, phase_scale(), title="Wrapped phase (rad)", labels=("−π", "0", "π"))
    _colour_bar(picture, second, probability_scale(), title="Probability of deformation", labels=("0", "0.5", "1"))
    return picture


def _preview(
    interferogram: xr.Dataset, scan: Scan, card: Card, side: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return phase and probability on a grid of about the picture's pixels."""
    height, width = scan.shape
    step = max(1, max(height, width) // side)
    phase = interferogram["phase"]
    if step == 1:
        small = np.asarray(phase.values, np.float32)
    elif height * width <= _AVERAGED_PIXELS:
        small = _average_phase(np.asarray(phase.values, np.float32), step)
    else:
        # A huge scene is sampled: averaging would read it whole for a picture in which fringes cannot be seen anyway.
        small = np.asarray(phase[: height // step * step : step, : width // step * step : step].values, np.float32)
    logits = upsample_logits(scan.logits, scan.stride / step, slice(0, small.shape[0]), slice(0, small.shape[1]))
    return small, np.where(np.isfinite(small), card.calibration(logits), np.float32(np.nan))


def _average_phase(phase: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """Average blocks of wrapped phase as complex numbers; no data where a whole block has none."""
    height, width = (size // step * step for size in phase.shape)
    blocks = phase[:height, :width].reshape(height // step, step, width // step, step)
    valid = np.isfinite(blocks)
    blocks = np.where(valid, blocks, np.float32(0))
    real = (np.cos(blocks) * valid).sum(axis=(1, 3))
    imaginary = (np.sin(blocks) * valid).sum(axis=(1, 3))
    result: NDArray[np.float32] = np.where(valid.any(axis=(1, 3)), np.arctan2(imaginary, real), np.float32(np.nan))
    return result


def _axes(grid: _Grid) -> tuple[_Axis, _Axis]:
    if grid.crs is None:
        return _Axis(0, 1, " px"), _Axis(0, 1, " px")
    transform = grid.transform
    unit, factor = ("°", 1.0) if grid.crs.is_geographic else (" km", float(grid.crs.linear_units_factor[1]) / 1000)
    return (
        _Axis(transform.c * factor, transform.a * factor, unit),
        _Axis(transform.f * factor, transform.e * factor, unit),
    )


def _ticks(
    draw: ImageDraw.ImageDraw, box: _Box, shape: tuple[int, int], x_axis: _Axis, y_axis: _Axis, *, with_y: bool
) -> None:
    font = _font(13)
    for text, share in _tick_positions(x_axis, shape[1], max(2, box.width // 130)):
        x, bottom = box.left + share * box.width, box.top + box.height
        draw.line((x, bottom, x, bottom + 5), fill=_FRAME)
        draw.text((x, bottom + 7), text, font=font, fill=_SOFT, anchor="ma")
    if with_y:
        for text, share in _tick_positions(y_axis, shape[0], max(2, box.height // 100)):
            y = box.top + share * box.height
            draw.line((box.left - 6, y, box.left - 1, y), fill=_FRAME)
            draw.text((box.left - 9, y), text, font=font, fill=_SOFT, anchor="rm")


def _tick_positions(axis: _Axis, size: int, wanted: int) -> list[tuple[str, float]]:
    """Return the labels of an axis at round numbers and where they stand, as a share of its length."""
    span = abs(axis.step) * size
    rough = span / wanted
    magnitude = 10 ** np.floor(np.log10(rough))
    step = next(float(nice * magnitude) for nice in (1, 2, 5, 10) if nice * magnitude >= rough)
    low, high = sorted((axis.start, axis.start + axis.step * size))
    places = max(0, -int(np.floor(np.log10(step) + 1e-9)))
    values = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
    return [
        (f"{value:,.{places}f}{axis.unit}".replace("-", "−"), float((value - axis.start) / (axis.step * size)))
        for value in values
    ]


def _outlines(
    draw: ImageDraw.ImageDraw,
    regions: gpd.GeoDataFrame,
    grid: _Grid,
    box: _Box,
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
    font = _font(13, bold=True)
    for text, right, top in labels:
        place = min(right + 9, box.left + box.width - 10), max(top - 7, box.top + 10)
        draw.text(place, text, font=font, fill="black", anchor="mm", stroke_width=3, stroke_fill="white")


def _to_pixels(points: NDArray[np.float64], grid: _Grid) -> tuple[NDArray[np.float64], ...]:
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
) -> None:
    attrs = interferogram.attrs
    verdict = f"{'Deformation' if flagged else 'Quiet'}  {score:.2f}"
    badge, font = _ALERT if flagged else _CALM, _font(17, bold=True)
    badge_width = draw.textlength(verdict, font=font) + 26
    place = (width - _MARGIN - badge_width, _MARGIN - 2, width - _MARGIN, _MARGIN + 32)
    draw.rounded_rectangle(place, radius=6, fill=badge)
    draw.text(((place[0] + place[2]) / 2, (place[1] + place[3]) / 2), verdict, font=font, fill="white", anchor="mm")
    room = place[0] - 2 * _MARGIN
    title = _shorten(draw, attrs.get("name") or attrs.get("source", ""), _font(19, bold=True), room)
    draw.text((_MARGIN, _MARGIN), title, font=_font(19, bold=True), fill=_INK)
    dates = " to ".join(date for date in (attrs.get("reference_date"), attrs.get("secondary_date")) if date)
    parts = [dates, attrs.get("product", ""), f"model {card.name} {card.version}", f"flagged from {threshold:.2f}"]
    line = "  ·  ".join(part for part in parts if part)
    draw.text((_MARGIN, _MARGIN + 32), _shorten(draw, line, _font(14), room), font=_font(14), fill=_SOFT)


def _shorten(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    if draw.textlength(text, font=font) <= room:
        return text
    while len(text) > 4 and draw.textlength(text + "…", font=font) > room:
        text = text[: int(len(text) * 0.95)]
    return text + "…"


def _colour_bar(
    picture: Image.Image, box: _Box, scale: NDArray[np.uint8], *, title: str, labels: Sequence[str]
) -> None:
    draw = ImageDraw.Draw(picture)
    length = min(box.width, 260)
    left, top = box.left + (box.width - length) // 2, box.top + box.height + _BOTTOM_AXIS + 4
    bar = Image.fromarray(np.ascontiguousarray(scale[None])).resize((length, 12), Image.Resampling.NEAREST)
    picture.paste(bar, (left, top))
    draw.rectangle((left - 1, top - 1, left + length, top + 12), outline=_FRAME)
    for index, label in enumerate(labels):
        x = left + index * length / (len(labels) - 1)
        draw.text((x, top + 16), label, font=_font(13), fill=_SOFT, anchor="ma")
    draw.text((left + length / 2, top + 32), title, font=_font(13), fill=_INK, anchor="ma")


def _scale_bar(draw: ImageDraw.ImageDraw, box: _Box, grid: _Grid, shape: tuple[int, int]) -> None:
    """Draw a bar of a round length on the ground in the lower left corner of a panel."""
    if grid.size_m is None:
        return
    ground_m = grid.size_m[1] * shape[1]
    magnitude = 10 ** np.floor(np.log10(ground_m / 4))
    length_m = float(max(nice * magnitude for nice in (1, 2, 5) if nice * magnitude <= ground_m / 4))
    pixels = length_m / ground_m * box.width
    label = f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m:g} m"
    x, y = box.left + 14, box.top + box.height - 14
    draw.rectangle((x - 6, y - 24, x + max(pixels, draw.textlength(label, font=_font(13))) + 6, y + 6), fill="white")
    draw.line((x, y, x + pixels, y), fill="black", width=3)
    draw.text((x + pixels / 2, y - 6), label, font=_font(13), fill="black", anchor="mb")


@cache
def _font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which Matplotlib carries: it has the letters of most scene names, and pi."""
    # find_spec looks the package up without importing it.
    spec = importlib.util.find_spec("matplotlib")
    for location in (spec.submodule_search_locations or []) if spec else []:
        path = Path(location) / "mpl-data" / "fonts" / "ttf" / f"DejaVuSans{'-Bold' if bold else ''}.ttf"
        if path.is_file():
            return ImageFont.truetype(path, size)
    fallback = ImageFont.load_default(size)
    assert isinstance(fallback, ImageFont.FreeTypeFont)
    return fallback
