"""What searches found, kept by content: computed once, found again to the bit, and never half-trusted."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from pipeline.retrieval.hits import Hits
from pipeline.retrieval.kept import kept, kept_figures, kept_hits

HITS = Hits(
    np.array([[3, 0, -1], [2**31 - 1, 7, 5]]), np.array([[1 / 3, 1e-30, -np.inf], [2.5, 2.5, -0.0]], dtype=np.float32)
)
DETAILS = {"weight": 0.1 + 0.2, "tuned_on": None, "tried": {"0.1": 1 / 3, "0": 0.0}}


class Search:
    """Counts how often it was asked."""

    def __init__(self, hits: Hits = HITS) -> None:
        self.asked, self.hits = 0, hits

    def __call__(self) -> tuple[Hits, dict]:
        self.asked += 1
        return self.hits, DETAILS


@pytest.mark.parametrize("last", [2**31 - 1, 2**32 - 1])
def test_hits_are_found_again_to_the_bit(tmp_path, last):
    positions = np.where(HITS.positions == 2**31 - 1, last, HITS.positions)
    search = Search(Hits(positions, HITS.scores))
    for _ in range(3):
        hits, details = kept_hits(tmp_path, {"of": "this"}, search)
        assert (hits.positions == positions).all() and hits.positions.dtype == np.int64
        assert hits.scores.tobytes() == HITS.scores.tobytes()
        assert details == DETAILS and list(details["tried"]) == ["0.1", "0"]
    assert search.asked == 1


def test_other_inputs_are_another_search(tmp_path):
    search = Search()
    for made_from in ({"k": 1}, {"k": 2}, {"k": 1, "index": "Flat"}):
        kept_hits(tmp_path, made_from, search)
    assert search.asked == 3


def cut(content: bytes, place: int) -> bytes:
    return content[:place]


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize("spoil", [cut, flipped])
def test_what_is_damaged_anywhere_is_searched_again(tmp_path, spoil):
    kept_hits(tmp_path, {"k": 1}, Search())
    (path,) = tmp_path.glob("runs/*.kept")
    whole = path.read_bytes()
    for place in range(0, len(whole), 41):
        path.write_bytes(spoil(whole, place))
        search = Search()
        hits, details = kept_hits(tmp_path, {"k": 1}, search)
        assert hits.scores.tobytes() == HITS.scores.tobytes() and (hits.positions == HITS.positions).all()
        assert details == DETAILS
        assert search.asked == 1


def test_a_search_that_fails_leaves_nothing(tmp_path):
    def fail() -> dict:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        kept(tmp_path, "runs", {}, fail)
    assert not list(tmp_path.rglob("*.kept"))


def ask(store: Path, asked: Path) -> None:
    def measure() -> dict:
        with open(asked, "a") as file:
            file.write("x")
        return {"ndcg@10": 1 / 3}

    assert kept_figures(store, "validations", {"k": 1}, measure) == {"ndcg@10": 1 / 3}


def test_two_processes_measure_once(tmp_path):
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=ask, args=(tmp_path / "store", tmp_path / "asked")) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert (tmp_path / "asked").read_text() == "x"
