"""Comparisons of trainings: rows of settings in, one table out, with the study's nine rows as a preset."""
