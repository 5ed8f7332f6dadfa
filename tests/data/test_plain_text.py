import bz2
import gzip
import json
import lzma

import pytest

from pipeline.data.plain_text import PlainText
from pipeline.errors import UserError

LINES = ["A wing lifts.", "", "Heat flows.", "A wing lifts.", "  "]


def test_lines_are_texts_and_equal_ones_are_one(opened, tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(LINES), encoding="utf-8")
    dataset = opened(PlainText(path=str(path)))
    split = dataset.split("train")
    assert dataset.name == "corpus"
    assert split.documents.take(slice(None)) == ["A wing lifts.", "Heat flows."]
    assert len(split.queries) == 0 and split.judgements == {}
    assert list(dataset.splits) == ["train"]


@pytest.mark.parametrize(("ending", "opener"), [("", open), (".gz", gzip.open), (".xz", lzma.open), (".bz2", bz2.open)])
def test_json_lines_plain_or_compressed(ending, opener, opened, tmp_path):
    records = [{"id": 7, "title": "Wing", "text": "It lifts."}, {"text": "Untitled."}, {"title": None, "text": "None."}]
    path = tmp_path / f"corpus.jsonl{ending}"
    with opener(path, "wt", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(record)}\n" for record in [*records, {"title": "", "text": " "}])
    dataset = opened(PlainText(path=str(path)))
    assert dataset.name == "corpus"
    assert dataset.split("train").documents.take(slice(None)) == ["Wing It lifts.", "Untitled.", "None."]
    assert dataset.notes["empty_documents"] == 1


def test_limit_keeps_texts_by_their_hashes(opened, tmp_path):
    lines = [f"text number {number}" for number in range(30)]
    kept = []
    for name, order in (("a", lines), ("b", lines[::-1])):
        (tmp_path / f"{name}.txt").write_text("\n".join(order))
        kept.append(opened(PlainText(path=str(tmp_path / f"{name}.txt"), limit=7)).split("train").documents)
    assert len(kept[0]) == 7
    assert set(kept[0].take(slice(None))) == set(kept[1].take(slice(None)))


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{broken", r"corpus.jsonl, line 2: malformed JSON"),
        ("[1]", "line 2: a JSON object was expected"),
        ('{"body": "x"}', "line 2: there is no field 'text'; found are body"),
        ('{"text": 5}', "line 2: the field 'text' holds 5, which is no text"),
        ('{"text": "x", "title": [1]}', "line 2: the field 'title' holds"),
    ],
)
def test_a_malformed_line_is_named(line, sentence, opened, tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_text(f'{{"text": "good"}}\n{line}\n')
    with pytest.raises(UserError, match=sentence):
        opened(PlainText(path=str(path)))


def test_no_path_and_no_text_are_refused(opened, tmp_path):
    with pytest.raises(UserError, match=r"dataset\.path is not set"):
        opened(PlainText())
    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(UserError, match="has no documents"):
        opened(PlainText(path=str(tmp_path / "empty.txt")))
