"""Measures, significance, and what a run folder says about them."""
