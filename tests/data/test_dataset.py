import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data import open_dataset
from pipeline.errors import UserError
from tests.data.conftest import Written

QUERIES, DOCUMENTS = 60, 200


def write(writer, order=1):
    """Every query of `test` judges three documents and names one hard negative; `train` shares the corpus."""
    for number in range(DOCUMENTS)[::order]:
        writer.document(f"d{number}", f"text {number}", where="x")
    for split, offset in (("train", 0), ("test", 100)):
        for query in range(QUERIES)[::order]:
            writer.query(split, f"{split}-q{query}", f"query {query}", where="x")
            for step in range(3):
                document = f"d{(query * 3 + step + offset) % DOCUMENTS}"
                writer.judge(split, f"{split}-q{query}", document, step - 1, where="x")
            writer.hard_negative(split, f"{split}-q{query}", f"d{(query + 7 + offset) % DOCUMENTS}", where="x")


def test_limit_keeps_every_judged_document(written):
    whole, limited = written(write), written(write, limit=10)
    for name in ("train", "test"):
        split = limited.split(name)
        assert len(split.queries) == len(split.judgements) == 10
        kept = set(split.documents.ids())
        for query in split.queries.ids():
            assert split.judgements[query] == whole.split(name).judgements[query]
            assert set(split.judgements[query]) <= kept
            assert split.hard_negatives.get(query) == whole.split(name).hard_negatives.get(query)
            assert set(split.hard_negatives.get(query, [])) <= kept
    assert limited.split("train").documents is limited.split("test").documents
    named = {
        document
        for name in ("train", "test")
        for source in (limited.split(name).judgements, limited.split(name).hard_negatives)
        for documents in source.values()
        for document in documents
    }
    assert len(limited.split("test").documents) == len(named) + 10
    assert limited.notes["queries"] == {"train": 10, "test": 10}
    assert limited.notes["limit"] == 10


def test_limit_does_not_depend_on_the_order_of_the_files(tmp_path):
    def kept(order):
        dataset = open_dataset(Written(lambda writer: write(writer, order), limit=10), tmp_path / str(order))
        return [(set(split.queries.ids()), set(split.documents.ids())) for split in dataset.splits.values()]

    assert kept(1) == kept(-1)


def test_a_smaller_limit_is_part_of_a_larger(written):
    small, large = written(write, limit=5).split("test"), written(write, limit=20).split("test")
    assert set(small.queries.ids()) < set(large.queries.ids())


@settings(max_examples=20, deadline=None)
@given(limit=st.integers(1, 250))
def test_a_limited_dataset_is_consistent(tmp_path_factory, limit):
    store = tmp_path_factory.getbasetemp() / "limits"
    split = open_dataset(Written(write, limit=limit), store).split("test")
    assert list(split.judgements) == split.queries.ids()
    assert len(split.queries) == min(limit, QUERIES)
    for grades in split.judgements.values():
        assert (split.documents.positions(grades) >= 0).all()


def test_limit_beyond_everything_changes_nothing(written):
    whole, limited = written(write), written(write, limit=1000)
    assert limited.fingerprint == whole.fingerprint
    assert limited.split("test").documents.fingerprint == whole.split("test").documents.fingerprint


@pytest.mark.parametrize("limit", [0, -3, 2.5, "many"])
def test_bad_limits_are_refused(limit):
    with pytest.raises(UserError, match=r"dataset\.limit"):
        Written(write, limit=limit)


def test_fingerprints_see_judgements(tmp_path):
    def changed(writer):
        write(writer)
        writer.judge("test", "test-q0", "d50", 1, where="x")

    first = open_dataset(Written(write), tmp_path / "a").fingerprint
    assert open_dataset(Written(write), tmp_path / "b").fingerprint == first
    assert open_dataset(Written(changed), tmp_path / "c").fingerprint != first


def test_positives_start_at_the_datasets_own_grade(written):
    dataset = written(write, relevant_from=0)
    assert dataset.positives("train")["train-q0"] == ["d1", "d2"]
    assert dataset.positives(dataset.split("train"))["train-q0"] == ["d1", "d2"]
    assert written(write).positives("train")["train-q0"] == ["d2"]
    assert written(write, relevant_from=2).positives("train") == {}


def test_an_unknown_split_names_those_present(written):
    with pytest.raises(UserError, match="no split 'tset'; did you mean test"):
        written(write).split("tset")


def test_settings_of_the_view_reach_the_dataset(written):
    dataset = written(write, relevant_from=2, remove_self_hits=True)
    assert (dataset.relevant_from, dataset.remove_self_hits) == (2, True)
    assert dataset.split("test").documents.lengths().dtype == np.int32
