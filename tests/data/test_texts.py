import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data import Texts
from pipeline.data import text_file as text_file_module
from pipeline.data.text_file import TextFileWriter
from pipeline.errors import UserError


def on_disk(folder: Path, rows: list[tuple[str, str, str]]) -> Texts:
    with TextFileWriter(folder) as writer:
        for row in rows:
            writer.add(*row)
        writer.close()
    return Texts.open(folder)


ROWS = [(f"id{n}", f"title {n}" if n % 3 else "", f"text – number {n}") for n in range(5000)]


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> Texts:
    return on_disk(tmp_path_factory.mktemp("texts") / "texts", ROWS)


def joined(row, separator=" "):
    return f"{row[1]}{separator}{row[2]}" if row[1] else row[2]


def test_take_keeps_the_order_asked_for(texts):
    positions = [4999, 0, 2048, 0, 2047, 17]
    assert texts.take(positions) == [joined(ROWS[p]) for p in positions]
    assert texts.take(np.array(positions), separator=" [SEP] ") == [joined(ROWS[p], " [SEP] ") for p in positions]
    assert texts.take(slice(2040, 2060)) == [joined(row) for row in ROWS[2040:2060]]
    assert texts.take(slice(None, None, -1000)) == [joined(row) for row in ROWS[::-1000]]
    assert texts.take([]) == []


def test_ids_titles_and_lengths(texts):
    assert len(texts) == 5000
    assert texts.ids() == [row[0] for row in ROWS]
    assert texts.titles([1, 0]) == ["title 1", ""]
    assert texts.lengths().tolist() == [len(joined(row)) for row in ROWS]
    assert texts.lengths().dtype == np.int32


def test_positions_of_unknown_ids_are_minus_one(texts):
    found = texts.positions(["id4999", "nobody", "id0", "id0"])
    assert found.tolist() == [4999, -1, 0, 0]
    assert found.dtype == np.int64


def test_positions_outside_are_refused(texts):
    with pytest.raises(IndexError):
        texts.take([5000])
    with pytest.raises(IndexError):
        texts.take([-1])
    with pytest.raises(IndexError):
        texts.select(np.array([3, 4])).take([-1])


@given(st.lists(st.integers(0, 4999), max_size=50))
def test_a_view_is_what_was_chosen(texts, chosen):
    view = texts.select(np.array(chosen, dtype=np.int64))
    assert view.ids() == [ROWS[p][0] for p in chosen]
    assert view.take(slice(None)) == [joined(ROWS[p]) for p in chosen]
    assert view.lengths().tolist() == [len(joined(ROWS[p])) for p in chosen]
    unique = list(dict.fromkeys(chosen))
    view = texts.select(np.array(unique, dtype=np.int64))
    asked = [ROWS[p][0] for p in unique] + ["id1", "nobody"]
    assert view.positions(asked).tolist() == [*range(len(unique)), unique.index(1) if 1 in unique else -1, -1]


def test_a_view_of_a_view_is_a_view_of_the_whole(texts):
    view = texts.select(np.arange(100, 200)).select(np.array([5, 3]))
    assert view.ids() == ["id105", "id103"]
    assert view.fingerprint == texts.select(np.array([105, 103])).fingerprint


def test_fingerprints_tell_contents_apart(tmp_path, texts, monkeypatch):
    rows = ROWS[:10]
    first = on_disk(tmp_path / "a", rows).fingerprint
    assert on_disk(tmp_path / "b", rows).fingerprint == first
    assert on_disk(tmp_path / "c", rows[::-1]).fingerprint != first
    moved = [(rows[0][0], "", rows[0][1] + rows[0][2]), *rows[1:]]
    assert on_disk(tmp_path / "d", moved).fingerprint == first  # row 0 has no title: nothing moved
    moved = [rows[0], (rows[1][0], rows[1][1][:-1], rows[1][1][-1] + rows[1][2]), *rows[2:]]
    assert on_disk(tmp_path / "e", moved).fingerprint != first
    assert texts.select(np.arange(5000)).fingerprint == texts.fingerprint
    assert texts.select(np.arange(4999)).fingerprint != texts.fingerprint
    monkeypatch.setattr(text_file_module, "ROWS_IN_BATCH", 3)
    assert on_disk(tmp_path / "f", rows).fingerprint == first


def test_batches_end_early_where_texts_are_long(tmp_path, monkeypatch):
    monkeypatch.setattr(text_file_module, "CHARACTERS_IN_BATCH", 100)
    rows = [(str(n), "", "x" * (n * 17 % 90 + 1)) for n in range(50)]
    assert on_disk(tmp_path / "a", rows).take(np.arange(49, -1, -1)) == [row[2] for row in rows[::-1]]


def test_small_lists_live_in_memory(tmp_path):
    pairs = [("a", "one"), ("b", "two")]
    texts = Texts.from_pairs(pairs)
    assert texts.take([1, 0]) == ["two", "one"]
    assert texts.positions(["b", "x"]).tolist() == [1, -1]
    assert texts.fingerprint == on_disk(tmp_path / "t", [("a", "", "one"), ("b", "", "two")]).fingerprint
    assert len(Texts.from_pairs([])) == 0
    with pytest.raises(UserError, match="'a' occurs twice"):
        Texts.from_pairs([("a", "one"), ("a", "two")])


def test_texts_travel_to_other_processes(texts):
    copy = pickle.loads(pickle.dumps(texts))  # noqa: S301 - what multiprocessing does with our own object
    assert copy.take([7]) == texts.take([7])
    memory = Texts.from_pairs([("a", "one")])
    assert pickle.loads(pickle.dumps(memory)).fingerprint == memory.fingerprint  # noqa: S301


MANY = """
import resource, sys
from pathlib import Path
from pipeline.data import Texts
from pipeline.data.text_file import TextFileWriter
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with TextFileWriter(Path(sys.argv[1])) as writer:
    for n in range(200_000):
        writer.add(f"document-{n}", "", f"{n} " + "a passage of a hundred words " * 40)
    writer.close()
texts = Texts.open(Path(sys.argv[1]))
assert texts.positions([f"document-{n}" for n in range(0, 200_000, 1000)]).tolist() == list(range(0, 200_000, 1000))
assert texts.take([199_999, 3])[0].startswith("199999 ")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_stream_of_many_texts_is_never_in_memory(tmp_path):
    """230 MB of text pass through; less than a third of that may stay."""
    done = subprocess.run(
        [sys.executable, "-c", MANY, str(tmp_path / "many")], capture_output=True, text=True, check=True, timeout=120
    )
    assert (tmp_path / "many" / "texts.arrow").stat().st_size > 200e6
    assert int(done.stdout) < 75_000  # kilobytes
