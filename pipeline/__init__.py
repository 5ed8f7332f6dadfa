"""Tandem: train, align, evaluate and look inside dense retrievers."""
