import gzip

import pytest

pa = pytest.importorskip("pyarrow")
datasets = pytest.importorskip("datasets")

import pyarrow.parquet as parquet  # noqa: E402

from pipeline.data.huggingface import HuggingFace  # noqa: E402
from pipeline.data.huggingface_beir import HuggingFaceBeir  # noqa: E402
from pipeline.data.jsonl import JsonLines  # noqa: E402
from pipeline.errors import UserError  # noqa: E402
from tests.data.conftest import write_json_lines, write_text  # noqa: E402


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Keep the library's copies out of the user's cache."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def tevatron(number):
    return {
        "query_id": f"q{number}",
        "query": f"query {number}",
        "positive_passages": [{"docid": f"p{number}", "title": "Title", "text": f"positive {number}"}],
        "negative_passages": [{"docid": f"n{number}", "title": "", "text": f"negative {number}"}],
    }


def test_nested_passages_of_a_parquet_folder(opened, tmp_path):
    folder = tmp_path / "tevatron"
    folder.mkdir()
    for part, numbers in (("train", range(20)), ("test", range(20, 25))):
        parquet.write_table(pa.Table.from_pylist([tevatron(n) for n in numbers]), folder / f"{part}.parquet")
    source = HuggingFace(
        path=str(folder),
        document="positive_passages",
        negative="negative_passages",
        query_id="query_id",
        validation_share=0.3,
    )
    dataset = opened(source)
    assert list(dataset.splits) == ["train", "validation", "test"]
    test = dataset.split("test")
    assert test.queries.ids() == [f"q{n}" for n in range(20, 25)]
    assert test.judgements["q22"] == {"p22": 1}
    assert test.hard_negatives["q22"] == ["n22"]
    assert test.documents.take(test.documents.positions(["p22", "n22"])) == ["Title positive 22", "negative 22"]
    with pytest.raises(UserError, match=r"split train: there is no column 'text'; found are .*positive_passages"):
        opened(HuggingFace(path=str(folder), document="text"))


def test_a_loader_with_files(opened, tmp_path):
    path = write_json_lines(tmp_path / "pairs.jsonl", [{"q": f"query {n}", "a": f"answer {n}"} for n in range(10)])
    source = HuggingFace(path="json", data_files=str(path), query="q", document="a", name="pairs")
    assert opened(source).notes["queries"] == {"test": 10}
    assert source.inputs() == [path]


PAIRS = {"query": ["None", "what, twice?", "why"], "document": ["007", "a\tb", ""]}


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.parquet", "a.jsonl", "a.csv.gz", "saved", "saved by split"])
def test_files_and_saved_folders_are_read_as_they_are(opened, tmp_path, name):
    path, table = tmp_path / name, datasets.Dataset.from_dict(PAIRS)
    if name.startswith("saved"):
        (datasets.DatasetDict(test=table) if name == "saved by split" else table).save_to_disk(str(path))
    elif name.endswith(".parquet"):
        table.to_parquet(path)
    elif name.endswith(".jsonl"):
        table.to_json(path)
    else:
        comma = "\t" if name == "a.tsv" else ","
        rows = comma.join(PAIRS) + "\n"
        rows += "".join(f'"{query}"{comma}"{document}"\n' for query, document in zip(*PAIRS.values(), strict=True))
        path.write_bytes(gzip.compress(rows.encode()) if name.endswith(".gz") else b"\xef\xbb\xbf" + rows.encode())
    source = HuggingFace(path=str(path))
    split = opened(source).split("test")
    assert split.queries.take(slice(None)) == PAIRS["query"]
    assert split.documents.take(slice(None)) == PAIRS["document"]
    assert source.inputs()


def test_a_table_is_no_json_lines_and_the_sentence_says_what_reads_it(opened, tmp_path):
    for path in (write_text(tmp_path / "a.csv", "query,document\nq,d\n"), tmp_path):
        with pytest.raises(
            UserError, match=rf"read it with dataset=huggingface dataset.path={path} dataset.query=COLUMN"
        ):
            opened(JsonLines(path=str(path)))
    with pytest.raises(UserError, match=r"a\.doc ends in \.doc; give a file that ends in \.csv"):
        opened(HuggingFace(path=str(write_text(tmp_path / "a.doc", "x"))))


def test_what_cannot_be_loaded_is_one_sentence(opened, tmp_path):
    with pytest.raises(UserError, match=r"dataset\.path is not set"):
        HuggingFace()
    for source in (
        HuggingFace(path=str(tmp_path / "nowhere")),
        HuggingFace(path="json", data_files=str(write_text(tmp_path / "bad.json", "{nothing"))),
    ):
        with pytest.raises(UserError) as caught:
            opened(source)
        assert "\n" not in str(caught.value)


def test_beirs_three_tables(opened, tmp_path):
    corpus = [{"_id": f"d{n}", "title": "T", "text": f"text {n}"} for n in range(10)]
    folder, qrels = tmp_path / "scifact", tmp_path / "scifact-qrels"
    write_json_lines(folder / "corpus" / "corpus.jsonl", corpus)
    queries = [{"_id": f"q{n}", "text": f"query {n}"} | ({"excluded_ids": ["d7"]} if n == 1 else {}) for n in range(12)]
    write_json_lines(folder / "queries" / "queries.jsonl", queries)
    configs = "".join(
        f"- config_name: {name}\n  data_files:\n  - split: {name}\n    path: {name}/{name}.jsonl\n"
        for name in ("corpus", "queries")
    )
    write_text(folder / "README.md", f"---\nconfigs:\n{configs}---\n")
    for part, numbers in (("train", range(10)), ("test", range(5))):
        rows = "".join(f"q{n}\td{n}\t1\n" for n in numbers)
        rows += "q0\tgone\t1\nnobody\td1\t1\n" if part == "test" else ""
        write_text(qrels / f"{part}.tsv", "query-id\tcorpus-id\tscore\n" + rows)
    dataset = opened(HuggingFaceBeir(path=str(folder), validation_share=0.3))
    judged = {f"q{n}": {f"d{n}": 1} for n in range(5)}
    assert dataset.split("test").judgements == {**judged, "q0": {"d0": 1, "gone": 1}}
    assert dataset.notes["judged_but_absent"] == dataset.notes["judgements_of_unknown_topics"] == 1
    assert dataset.notes["queries"]["train"] + dataset.notes["queries"]["validation"] == 10
    assert dataset.split("test").documents.take([2]) == ["T text 2"]
    assert dataset.split("test").excluded == {"q1": ["d7"]}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("query,document\nq,d,\nr,e,\n", "row 1: 3 columns where the first line names 2"),
        ("query,document\nq1,hello, world\nq2,bye\n", "row 1: 3 columns where the first line names 2"),
        ("query,document\nq\nr,e\n", "row 1: 1 columns where the first line names 2"),
        ("query,document\rq,d\r", "is no table"),
    ],
)
def test_rows_of_another_width_are_refused(opened, tmp_path, table, said):
    (tmp_path / "pairs.csv").write_bytes(table.encode())
    with pytest.raises(UserError, match=said):
        opened(HuggingFace(path=str(tmp_path / "pairs.csv"), split={"train": 0, "validation": 0, "test": 1}))


def test_the_index_that_a_data_frame_writes_is_passed_over(opened, tmp_path):
    (tmp_path / "pairs.csv").write_text(",query,document\n0,q,d\n1,r,e\n")
    split = {"train": 0, "validation": 0, "test": 1}
    dataset = opened(HuggingFace(path=str(tmp_path / "pairs.csv"), split=split))
    assert dataset.split("test").documents.take(slice(None)) == ["d", "e"]
