"""What was scanned, found and reviewed: a GeoPackage that opens in QGIS, or PostGIS for teams."""

from fringewatch.catalog.records import SceneRecord, scene_key
from fringewatch.catalog.store import Catalog

__all__ = ["Catalog", "SceneRecord", "scene_key"]
