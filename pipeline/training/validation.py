"""The part of a validation split that is cheap enough to retrieve from every few steps."""

from dataclasses import replace

import numpy as np

from pipeline.data.dataset import Split

VALIDATION_MEASURES = ("ndcg@10", "mrr@10", "map@100", "recall@100")


def narrowed(split: Split, queries: int, documents: int, seed: int) -> Split:
    """Keep a part of a split: queries drawn by the seed, every document judged for them, and others drawn as well.

    Args:
        split: The whole split.
        queries: How many queries to keep, at most.
        documents: How many documents to keep beside the judged ones, at most.
        seed: Fixes what is drawn.

    Returns:
        A split over views of the same texts, in their order.
    """
    generator = np.random.default_rng([seed, len(split.queries), len(split.documents)])
    kept_queries = split.queries
    if len(split.queries) > queries:
        kept_queries = split.queries.select(np.sort(generator.permutation(len(split.queries))[:queries]))
    judgements = {query_id: split.judgements[query_id] for query_id in kept_queries.ids()}
    judged = split.documents.positions({i for grades in judgements.values() for i in grades})
    others = np.setdiff1d(generator.permutation(len(split.documents))[: documents + len(judged)], judged)
    kept = np.union1d(judged, generator.permutation(others)[:documents])
    return replace(
        split, documents=split.documents.select(kept), queries=kept_queries, judgements=judgements, hard_negatives={}
    )
