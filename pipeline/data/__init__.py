"""Datasets: documents, queries and graded judgements by split, streamed from many layouts into one."""

from pipeline.data.dataset import Dataset, Split
from pipeline.data.source import Source, open_dataset
from pipeline.data.texts import Texts
from pipeline.data.writer import DatasetWriter

__all__ = ["Dataset", "DatasetWriter", "Source", "Split", "Texts", "open_dataset"]
