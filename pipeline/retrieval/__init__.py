"""Vectors on disk, indexes over them, search, BM25, their interpolation, and rankings as files."""

import logging

# Before faiss is imported, since that is when it announces which instructions it uses.
logging.getLogger("faiss").setLevel(logging.WARNING)
