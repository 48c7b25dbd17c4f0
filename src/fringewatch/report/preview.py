"""The picture of an interferogram before anything was looked for in it: phase, and coherence where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import ImageDraw

from fringewatch.report.colours import coherence_colours, coherence_scale, phase_colours, phase_scale
from fringewatch.report.panel import (
    MARGIN_PX,
    Grid,
    colour_bar,
    draw_header,
    draw_panel,
    lay_out,
    scale_bar,
    small_phase,
)

if TYPE_CHECKING:
    import xarray as xr
    from PIL import Image

__all__ = ["draw_interferogram"]


def draw_interferogram(interferogram: xr.Dataset) -> Image.Image:
    """Draw wrapped phase, and the coherence beside it if the file brought one.

    Parameters
    ----------
    interferogram
        See :mod:`fringewatch.interferogram`; a lazy one is sampled, never read whole.

    Returns
    -------
    PIL.Image.Image
        RGB; phase -pi to pi, coherence 0 to 1, no data grey. Axes as in :func:`fringewatch.report.draw_scene`.
    """
    attrs = interferogram.attrs
    phase = interferogram["phase"]
    coherence = interferogram.get("coherence")
    grid = Grid.of(interferogram)
    picture, boxes = lay_out(phase.shape, grid, panels=1 if coherence is None else 2)
    draw = ImageDraw.Draw(picture)
    dates = " to ".join(date for date in (attrs.get("reference_date"), attrs.get("secondary_date")) if date)
    size = f"{phase.shape[0]:,} x {phase.shape[1]:,} pixels"
    line = "  ·  ".join(part for part in (dates, attrs.get("product", ""), size) if part)
    draw_header(draw, attrs.get("name") or attrs.get("source", ""), line, picture.width - 2 * MARGIN_PX)
    side = max(boxes[0].width, boxes[0].height)
    small, step = small_phase(phase, side)
    draw_panel(picture, boxes[0], phase_colours(small), grid, phase.shape, with_y=True)
    scale_bar(draw, boxes[0], grid, phase.shape)
    colour_bar(picture, boxes[0], phase_scale(), title="Wrapped phase (rad)", labels=("−π", "0", "π"))
    if coherence is not None:
        values = np.asarray(coherence[::step, ::step].values, np.float32)
        draw_panel(
            picture, boxes[1], coherence_colours(values), grid, phase.shape, with_y=boxes[1].left == boxes[0].left
        )
        colour_bar(picture, boxes[1], coherence_scale(), title="Coherence", labels=("0", "0.5", "1"))
    return picture
