"""fringewatch finds ground deformation in InSAR interferograms."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fringewatch._version import __version__

if TYPE_CHECKING:
    from fringewatch.detect import Detector
    from fringewatch.interferogram import make_interferogram
    from fringewatch.products import discover, open_interferogram

__all__ = ["Detector", "__version__", "discover", "make_interferogram", "open_interferogram"]

# Names are looked up on first use: `import fringewatch` stays instant and loads neither GDAL nor a network runtime.
_HOME = {
    "Detector": "fringewatch.detect",
    "discover": "fringewatch.products",
    "make_interferogram": "fringewatch.interferogram",
    "open_interferogram": "fringewatch.products",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted(__all__)
