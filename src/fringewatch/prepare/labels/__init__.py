"""What users say deforms: polygons, tables and masks, laid over a scene."""

from fringewatch.prepare.labels.read import Labels, SceneLabels
from fringewatch.prepare.labels.scene import Mark, Marks, Scene

__all__ = ["Labels", "Mark", "Marks", "Scene", "SceneLabels"]
