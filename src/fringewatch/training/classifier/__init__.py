"""Classifiers of patches: the study's CNNs, trained as it trained them."""
