"""Classifiers of patches: the study's CNNs, trained as it trained them, on any of its optimisers."""

from fringewatch.training.classifier.run import ClassifierResult, run
from fringewatch.training.classifier.settings import ClassifierConfig

__all__ = ["ClassifierConfig", "ClassifierResult", "run"]
