"""Geometry: how alike the layers of two models are, how their states are spread, how far weights moved."""
