"""How good a detector is on labelled files: the `evaluate` command."""

from __future__ import annotations

from fringewatch.evaluate.records import Estimate, Evaluation, FileScore
from fringewatch.evaluate.run import EvaluateConfig, run
from fringewatch.evaluate.statistics import Summary
from fringewatch.evaluate.table import render

__all__ = ["Estimate", "EvaluateConfig", "Evaluation", "FileScore", "Summary", "render", "run"]
