"""Model bundles: a folder with ``card.json`` and the networks that it names; the default one lives here."""

from __future__ import annotations

from fringewatch.models.bundle import (
    Bundle,
    checked_file,
    find_bundle,
    list_bundles,
    load_bundle,
    read_card,
    save_bundle,
)
from fringewatch.models.card import Calibration, Card, Thresholds

__all__ = [
    "Bundle",
    "Calibration",
    "Card",
    "Thresholds",
    "checked_file",
    "find_bundle",
    "list_bundles",
    "load_bundle",
    "read_card",
    "save_bundle",
]
