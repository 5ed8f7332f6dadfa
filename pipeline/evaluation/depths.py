"""How many results are kept, and whether the measures find all that they look at among them."""

from collections.abc import Sequence

from pipeline.checks import whole_number
from pipeline.errors import UserError
from pipeline.evaluation.measures import Measure
from pipeline.retrieval.hits import require_depth

DEPTH = 1000
"""Results kept for each query unless asked otherwise: what TREC keeps."""


def chosen_depth(k: int | None, documents: int, measures: Sequence[Measure]) -> int:
    """Decide how many results to keep for each query.

    Raises:
        UserError: When `k` cannot be filled from the corpus, or a measure looks deeper than `k` while there is more.
    """
    if k is not None:
        require_depth(k, documents)
    depth = min(DEPTH, documents) if k is None else k
    for item in measures:
        needed = min(item.cutoff, documents)
        if depth < needed:
            raise UserError(f"{item.name} looks deeper than the {depth:,} results that are kept; set k={needed}.")
    return depth


def chosen_hybrid_depth(
    hybrid_depth: int | None, depth: int, normalisation: str, measures: Sequence[Measure]
) -> int | None:
    """Decide how many results re-ranking keeps for each query; None: all that it was given.

    A measure without a cutoff looks at all results, and would compare a shortened ranking with whole ones.

    Raises:
        UserError: When it is not a whole number up to `depth`, when the normalisation needs the scores of all
            candidates, or when a measure looks deeper.
    """
    if hybrid_depth is None:
        return None
    whole_number("hybrid_depth", hybrid_depth)
    if hybrid_depth > depth:
        raise UserError(
            f"hybrid_depth={hybrid_depth} exceeds the {depth:,} results that are re-ranked; set less or null."
        )
    if normalisation != "raw":
        raise UserError(
            f"hybrid_depth={hybrid_depth} goes with hybrid_normalisation=raw alone: {normalisation} needs the dense "
            "scores of all candidates, so that none can be left out."
        )
    for item in measures:
        needed = min(item.cutoff or depth, depth)
        if hybrid_depth < needed:
            raise UserError(
                f"{item.name} looks at {needed:,} results, and hybrid_depth={hybrid_depth} keeps fewer; set "
                f"hybrid_depth={needed} or leave {item.name} out of the measures."
            )
    return hybrid_depth
