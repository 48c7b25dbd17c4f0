"""Labelled patch data sets from interferograms, as the study made them: the `prepare` command."""

from fringewatch.prepare.run import run
from fringewatch.prepare.settings import PrepareConfig, PrepareResult

__all__ = ["PrepareConfig", "PrepareResult", "run"]
