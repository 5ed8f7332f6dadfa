"""Facts are chosen because they are retrieved, and controls the same way, before any other query."""

import pytest

from pipeline.errors import UserError
from pipeline.probing.intervention import edited_retrieval
from pipeline.probing.intervention.edited_retrieval import EditedRetrieval
from pipeline.probing.intervention.fact_choice import FactChoice
from tests.encoders.conftest import bert_folder  # noqa: F401
from tests.probing.intervention.test_intervention import QUERIES, subject  # noqa: F401


def choice(subject, count=1, asked=None, control_queries=10) -> FactChoice:  # noqa: F811
    return FactChoice(subject, frozenset(QUERIES), count, asked, control_queries)


def test_controls_ask_for_no_fact(subject):  # noqa: F811
    retrieval = EditedRetrieval(subject, subject.models["planted"], ["mrr@10"], None)
    facts, controls = choice(subject, 2).choose([retrieval])
    affected = {query for fact in facts for query in fact.queries}
    assert len(facts) == 2 and affected | set(controls) == set(QUERIES) and not affected & set(controls)
    facts, controls = choice(subject, asked=["planted"], control_queries=2).choose([retrieval])
    assert [fact.queries for fact in facts] == [("planted",)]
    assert len(controls) == 2 and "planted" not in controls


def test_controls_that_are_retrieved_come_first(subject, monkeypatch):  # noqa: F811
    retrieval = EditedRetrieval(subject, subject.models["planted"], ["mrr@10"], None)
    monkeypatch.setattr(edited_retrieval, "FIRST_RESULTS", 1)
    for query in ("wing", "flow"):
        subject.split.judgements[query] = {"d4": 1}  # which neither of them finds first
    facts, controls = choice(subject).choose([retrieval])
    assert facts[0].queries[0] in ("planted", "query")
    assert controls[0] in ("planted", "query") and set(controls[1:]) == {"wing", "flow"}
    for query in QUERIES:
        subject.split.judgements[query] = {"d4": 1}
    with pytest.raises(UserError, match="No query finds a document that answers it"):
        choice(subject).choose([retrieval])


def test_too_few_facts_are_refused_with_their_number(subject):  # noqa: F811
    with pytest.raises(UserError, match="has 4 documents that its queries ask for, fewer than 5 facts"):
        choice(subject, 5).require()
    with pytest.raises(UserError, match="With 4 facts no query is left as a control"):
        choice(subject, 4).require()
    with pytest.raises(UserError, match=r"probe.queries names the query nobody, .* first queries are planted, wing"):
        choice(subject, asked=["nobody"]).require()
    choice(subject, 3).require()
