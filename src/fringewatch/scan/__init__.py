"""Run a network over a whole interferogram of any size.

Networks that map scenes, classifiers that share features between windows among them, go over a scene in tiles
(:func:`scan`); :func:`scan_windows` is the reference for classifiers, and dozens of times slower.
"""

from __future__ import annotations

from fringewatch.scan.areas import Areas, enclosed, find_areas
from fringewatch.scan.result import Scan, scene_logit, smooth_logits, upsample_logits
from fringewatch.scan.tiles import DEFAULT_TILE_PX, scan, scan_many
from fringewatch.scan.windows import patch_size, scan_windows

__all__ = [
    "DEFAULT_TILE_PX",
    "Areas",
    "Scan",
    "enclosed",
    "find_areas",
    "patch_size",
    "scan",
    "scan_many",
    "scan_windows",
    "scene_logit",
    "smooth_logits",
    "upsample_logits",
]
