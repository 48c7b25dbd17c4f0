"""Draw earthquake ruptures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fringewatch.physics.sources import earthquake_dimensions
from fringewatch.physics.sources.scaling import LAWS, STYLES
from fringewatch.simulate.deformation.rectangle import rectangle
from fringewatch.simulate.distributions import log_uniform

if TYPE_CHECKING:
    from fringewatch.simulate.deformation.source import Source
    from fringewatch.simulate.spec import SceneSpec

__all__ = ["draw_rupture"]


def draw_rupture(rng: np.random.Generator, spec: SceneSpec, extent_m: float) -> Source:
    """Draw a rupture of a magnitude that fits the scene, whose shorter side is ``extent_m``."""
    ranges = spec.earthquake
    style = STYLES[int(rng.integers(len(STYLES)))]
    law = LAWS[int(rng.integers(len(LAWS)))]
    magnitude = float(rng.uniform(*ranges.magnitude))
    size = earthquake_dimensions(magnitude, style=style, law=law)
    while size.length_m > 2.0 * extent_m and magnitude - 0.2 >= ranges.magnitude[0]:
        magnitude -= 0.2
        size = earthquake_dimensions(magnitude, style=style, law=law)
    dips = {
        "strike-slip": ranges.strike_slip_dip_deg,
        "reverse": ranges.reverse_dip_deg,
        "normal": ranges.normal_dip_deg,
    }
    centre = {"strike-slip": float(rng.choice([0.0, 180.0])), "reverse": 90.0, "normal": -90.0}[style]
    rake = centre + float(rng.normal(0, ranges.rake_scatter_deg))
    shape = {
        "top_m": log_uniform(rng, *ranges.top_m),
        "strike_deg": float(rng.uniform(0, 360)),
        "dip_deg": float(rng.uniform(*dips[style])),
        "length_m": size.length_m,
        "width_m": size.width_m,
    }
    low, high = ranges.slip_over_median
    return rectangle(
        **shape,
        slip=(float(np.cos(np.radians(rake))), float(np.sin(np.radians(rake))), 0.0),
        strength=(low * size.slip_m, high * size.slip_m),
        strength_name="slip_m",
        named={
            "source": "earthquake",
            "style": style,
            "scaling_law": law,
            "magnitude": magnitude,
            "rake_deg": rake,
            **shape,
        },
    )
