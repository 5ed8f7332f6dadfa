"""Vectors on disk, indexes over them, search, BM25, their interpolation, and rankings as files."""
