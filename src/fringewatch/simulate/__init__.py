"""Simulated interferograms with their truth: a scene description, a seed and an index give one sample, always the same.

``simulate(spec, seed=..., index=...)`` is the one entry; ``run`` is the ``fringewatch simulate`` command.
"""

from __future__ import annotations

from fringewatch.simulate.noise import RealNoise
from fringewatch.simulate.sample import Sample, simulate
from fringewatch.simulate.spec import PRESETS, SceneSpec, preset

__all__ = ["PRESETS", "RealNoise", "Sample", "SceneSpec", "preset", "simulate"]
