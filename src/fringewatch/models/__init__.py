"""Model bundles: a folder with ``model.onnx``, ``model.int8.onnx`` and ``card.json``; the default one lives here."""

from __future__ import annotations

from fringewatch.models.bundle import Bundle, find_bundle, list_bundles, load_bundle, save_bundle
from fringewatch.models.card import Calibration, Card, Thresholds

__all__ = [
    "Bundle",
    "Calibration",
    "Card",
    "Thresholds",
    "find_bundle",
    "list_bundles",
    "load_bundle",
    "save_bundle",
]
