"""Interventions: what is lost when neurons, heads or layers are edited, and whether it is learned again."""
