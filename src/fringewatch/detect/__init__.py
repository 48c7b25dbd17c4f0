"""Detection: the :class:`Detector` for one scene, and ``fringewatch detect`` for many files."""

from __future__ import annotations

from fringewatch.detect.batch import DetectConfig, DetectResult, run
from fringewatch.detect.detector import Detector, Examination

__all__ = ["DetectConfig", "DetectResult", "Detector", "Examination", "run"]
