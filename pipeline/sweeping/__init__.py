"""Sweeps: which cells there are, which are still to be run, and what became of each."""
