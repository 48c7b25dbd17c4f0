"""Places that are watched: volcanoes, mines and others, and which of them lies next to a scene or a detection."""

from fringewatch.sites.listing import Sites
from fringewatch.sites.nearest import NEAR_KM, SITE_COLUMNS, tie_to_sites

__all__ = ["NEAR_KM", "SITE_COLUMNS", "Sites", "tie_to_sites"]
