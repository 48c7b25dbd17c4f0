"""Panels of a picture: a raster in a frame with axes, a bar of length and a bar of colours.

Drawn with Pillow: a batch makes one picture per scene, and Matplotlib would take longer over each than all else
together.
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

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray

__all__ = [
    "HEADER_PX",
    "INK",
    "MARGIN_PX",
    "SOFT",
    "Box",
    "Grid",
    "colour_bar",
    "draw_header",
    "draw_panel",
    "lay_out",
    "scale_bar",
    "small_phase",
    "text_font",
]

MARGIN_PX, HEADER_PX = 20, 74
"""Free space about a picture, and for the text above its panels."""
INK, SOFT = (24, 28, 34), (95, 103, 112)
"""Colours of text."""

_GAP, _LEFT_AXIS, _BOTTOM_AXIS, _BAR = 26, 64, 30, 58
_FRAME = (120, 128, 136)
_PANEL_PX = 560
_LARGEST_RATIO = 4.0
_AVERAGED_PIXELS = 16_000_000


class Box(NamedTuple):
    """The inside of a panel's frame, in pixels of the picture."""

    left: int
    top: int
    width: int
    height: int


@dataclasses.dataclass(frozen=True)
class Grid:
    """Where a scene lies; asking xarray for it again and again would take longer than drawing."""

    crs: Any
    transform: Any
    size_m: tuple[float, float] | None

    @classmethod
    def of(cls, interferogram: xr.Dataset) -> Grid:
        """Return the grid of an interferogram."""
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


def lay_out(shape: tuple[int, ...], grid: Grid, *, panels: int) -> tuple[Image.Image, list[Box]]:
    """Return a white picture for panels of one scene below a header, and the insides of their frames.

    Panels are true to the ground; those of a long strip stand below each other.

    Parameters
    ----------
    shape
        (rows, columns) of the scene.
    grid
        Where it lies.
    panels
        How many there are, at least 1.
    """
    height, width = shape
    scale = _PANEL_PX / max(width * grid.aspect, height)
    # A strip is stretched to a quarter of its length, or nothing would be seen of it.
    least = _PANEL_PX / _LARGEST_RATIO
    panel_width, panel_height = round(max(width * grid.aspect * scale, least)), round(max(height * scale, least))
    if panel_width > 2 * panel_height:
        right, down = 0, panel_height + _BOTTOM_AXIS + _BAR + _GAP
    else:
        right, down = panel_width + _GAP, 0
    boxes = [
        Box(MARGIN_PX + _LEFT_AXIS + i * right, MARGIN_PX + HEADER_PX + i * down, panel_width, panel_height)
        for i in range(panels)
    ]
    last = boxes[-1]
    size = max(last.left + panel_width + MARGIN_PX, 760), last.top + panel_height + _BOTTOM_AXIS + _BAR
    return Image.new("RGB", size, "white"), boxes


def small_phase(phase: xr.DataArray, side: int) -> tuple[NDArray[np.float32], int]:
    """Return wrapped phase on a grid of about `side` pixels, and how many of its own pixels one of these spans."""
    height, width = phase.shape
    step = max(1, max(height, width) // side)
    if step == 1:
        small = np.asarray(phase.values, np.float32)
    elif height * width <= _AVERAGED_PIXELS:
        small = _average_phase(np.asarray(phase.values, np.float32), step)
    else:
        # A huge scene is sampled: averaging would read it whole for a picture in which fringes cannot be seen anyway.
        small = np.asarray(phase[: height // step * step : step, : width // step * step : step].values, np.float32)
    return small, step


def draw_panel(
    picture: Image.Image, box: Box, colours: NDArray[np.uint8], grid: Grid, shape: tuple[int, ...], *, with_y: bool
) -> None:
    """Paste (h, w, 3) colours into a frame with axes in degrees, in km of the projection, or in pixels.

    Parameters
    ----------
    picture, box
        Where to draw, and the inside of the frame.
    colours
        RGB at any size; enlarged or reduced by nearest neighbour.
    grid, shape
        Where the scene lies and its (rows, columns).
    with_y
        Whether the vertical axis is labelled.
    """
    panel = Image.fromarray(colours).resize((box.width, box.height), Image.Resampling.NEAREST)
    picture.paste(panel, (box.left, box.top))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((box.left - 1, box.top - 1, box.left + box.width, box.top + box.height), outline=_FRAME)
    x_axis, y_axis = _axes(grid)
    _ticks(draw, box, shape, x_axis, y_axis, with_y=with_y)


def draw_header(draw: ImageDraw.ImageDraw, title: str, line: str, room: float) -> None:
    """Write a title and a line below it at the top of a picture, shortened to `room` pixels."""
    draw.text(
        (MARGIN_PX, MARGIN_PX),
        _shorten(draw, title, text_font(19, bold=True), room),
        font=text_font(19, bold=True),
        fill=INK,
    )
    draw.text((MARGIN_PX, MARGIN_PX + 32), _shorten(draw, line, text_font(14), room), font=text_font(14), fill=SOFT)


def colour_bar(picture: Image.Image, box: Box, scale: NDArray[np.uint8], *, title: str, labels: Sequence[str]) -> None:
    """Draw (n, 3) colours as a bar below a panel, with labels at equal steps and a title."""
    draw = ImageDraw.Draw(picture)
    length = min(box.width, 260)
    left, top = box.left + (box.width - length) // 2, box.top + box.height + _BOTTOM_AXIS + 4
    bar = Image.fromarray(np.ascontiguousarray(scale[None])).resize((length, 12), Image.Resampling.NEAREST)
    picture.paste(bar, (left, top))
    draw.rectangle((left - 1, top - 1, left + length, top + 12), outline=_FRAME)
    for index, label in enumerate(labels):
        x = left + index * length / (len(labels) - 1)
        draw.text((x, top + 16), label, font=text_font(13), fill=SOFT, anchor="ma")
    draw.text((left + length / 2, top + 32), title, font=text_font(13), fill=INK, anchor="ma")


def scale_bar(draw: ImageDraw.ImageDraw, box: Box, grid: Grid, shape: tuple[int, ...]) -> None:
    """Draw a bar of a round length on the ground in the lower left corner of a panel."""
    if grid.size_m is None:
        return
    ground_m = grid.size_m[1] * shape[1]
    magnitude = 10 ** np.floor(np.log10(ground_m / 4))
    length_m = float(max(nice * magnitude for nice in (1, 2, 5) if nice * magnitude <= ground_m / 4))
    pixels = length_m / ground_m * box.width
    label = f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m:g} m"
    x, y = box.left + 14, box.top + box.height - 14
    draw.rectangle(
        (x - 6, y - 24, x + max(pixels, draw.textlength(label, font=text_font(13))) + 6, y + 6), fill="white"
    )
    draw.line((x, y, x + pixels, y), fill="black", width=3)
    draw.text((x + pixels / 2, y - 6), label, font=text_font(13), fill="black", anchor="mb")


def _shorten(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    if draw.textlength(text, font=font) <= room:
        return text
    while len(text) > 4 and draw.textlength(text + "…", font=font) > room:
        text = text[: int(len(text) * 0.95)]
    return text + "…"


@cache
def text_font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
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


def _axes(grid: Grid) -> tuple[_Axis, _Axis]:
    if grid.crs is None:
        return _Axis(0, 1, " px"), _Axis(0, 1, " px")
    transform = grid.transform
    unit, factor = ("°", 1.0) if grid.crs.is_geographic else (" km", float(grid.crs.linear_units_factor[1]) / 1000)
    return (
        _Axis(transform.c * factor, transform.a * factor, unit),
        _Axis(transform.f * factor, transform.e * factor, unit),
    )


def _ticks(
    draw: ImageDraw.ImageDraw, box: Box, shape: tuple[int, ...], x_axis: _Axis, y_axis: _Axis, *, with_y: bool
) -> None:
    font = text_font(13)
    for text, share in _tick_positions(x_axis, shape[1], max(2, box.width // 130)):
        x, bottom = box.left + share * box.width, box.top + box.height
        draw.line((x, bottom, x, bottom + 5), fill=_FRAME)
        # Labels at the ends stay below their panel: beside it stands another.
        half = draw.textlength(text, font=font) / 2
        middle = min(max(x, box.left + half), max(box.left + box.width - half, box.left + half))
        draw.text((middle, bottom + 7), text, font=font, fill=SOFT, anchor="ma")
    if with_y:
        for text, share in _tick_positions(y_axis, shape[0], max(2, box.height // 100)):
            y = box.top + share * box.height
            draw.line((box.left - 6, y, box.left - 1, y), fill=_FRAME)
            draw.text((box.left - 9, y), text, font=font, fill=SOFT, anchor="rm")


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
