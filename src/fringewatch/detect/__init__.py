"""Detection: the :class:`Detector` for one scene, and ``fringewatch detect`` for many files."""

from __future__ import annotations

from fringewatch.detect.batch import run
from fringewatch.detect.detector import Detector, Examination
from fringewatch.detect.settings import DetectConfig, DetectResult

__all__ = ["DetectConfig", "DetectResult", "Detector", "Examination", "run"]
