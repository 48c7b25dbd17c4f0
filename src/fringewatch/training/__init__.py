"""Training: data, Lightning module, the run from settings to model bundle."""
