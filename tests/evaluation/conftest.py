"""Runs made by hand."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from pipeline.retrieval.run import Ranking, Run


@pytest.fixture(scope="session")
def run_of() -> Callable[..., Run]:
    """Make a run of scores by document by query."""

    def make(scores: Mapping[str, Mapping[str, float]], name: str = "mine") -> Run:
        return Run(name, {query: Ranking.of(list(of), np.array(list(of.values()))) for query, of in scores.items()})

    return make
