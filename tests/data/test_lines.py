import bz2
import gzip
import lzma
import random
from pathlib import Path

import pytest

from pipeline.data import lines
from pipeline.data.json_array import read_json_array
from pipeline.data.lines import existing, field, read_json_lines, read_lines, read_table
from pipeline.errors import UserError
from tests.data.conftest import write_text

TEXT = "first ü\r\n\nthird\n   \nfifth"


@pytest.mark.parametrize("opener", [open, gzip.open, lzma.open, bz2.open])
@pytest.mark.parametrize("name", ["file", "file.gz", "file.tsv"])
def test_lines_are_numbered_and_blank_ones_skipped(tmp_path, name, opener, monkeypatch):
    path = tmp_path / name
    with opener(path, "wb") as file:
        file.write(b"\xef\xbb\xbf" + TEXT.encode())
    expected = [(1, "first ü"), (3, "third"), (5, "fifth")]
    assert list(read_lines(path)) == expected
    monkeypatch.setattr(lines, "BYTES_WORTH_PROGRESS", 1)
    monkeypatch.setattr(lines, "LINES_BETWEEN_STEPS", 1)
    assert list(read_lines(path)) == expected


def test_bytes_that_are_not_utf8_are_placed(tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes("good\nnot so gö\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"latin\.txt, line 2: byte 9 .* not UTF-8"):
        list(read_lines(path))
    path.write_bytes(("good\n" + "not so g\u00f6\n" * 5).encode("latin-1"))
    with pytest.raises(UserError, match=r"^5 lines cannot be .*line 2: .*line 3: .*line 4: [^:]*$"):
        list(read_lines(path))


def test_a_damaged_compressed_file_is_refused(tmp_path):
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(b"line\n" * 10000)[:-20])
    with pytest.raises(UserError, match="damaged"):
        list(read_lines(path))
    for compress in (gzip.compress, bz2.compress, lzma.compress):
        packed = bytearray(compress(bytes(random.Random(0).choices(b"abcdefgh\n", k=100_000))))
        packed[len(packed) // 2] ^= 255
        path.write_bytes(packed)
        with pytest.raises(UserError, match="damaged"):
            list(read_lines(path))


@pytest.mark.parametrize(
    ("first_bytes", "cure"),
    [
        (b"\x28\xb5\x2f\xfd", "zstd -d"),
        (b"\x04\x22\x4d\x18", "lz4 -d"),
        (b"PK\x03\x04", "unzip"),
        (b"PAR1", "dataset.path=FILE reads pairs"),
        (b"\x1f\x9d", "unpack it with gunzip"),
        (b"\xff\xfe", "iconv -f UTF-16 -t UTF-8"),
    ],
)
def test_archives_that_are_not_read_are_named(tmp_path, first_bytes, cure):
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(first_bytes + b"\x14\x00\xff")
    for read in (read_lines, read_json_array):
        with pytest.raises(UserError, match=rf"corpus\.jsonl is .*; .*{cure}"):
            list(read(path))


def test_malformed_json_is_placed(tmp_path):
    path = write_text(tmp_path / "a.jsonl", '{"a": 1}\n\n{"a": 2,}\n')
    with pytest.raises(UserError, match=r"a\.jsonl, line 3: malformed JSON"):
        list(read_json_lines(path))
    path = write_text(tmp_path / "b.jsonl", "[1, 2]\n")
    with pytest.raises(UserError, match=r"b\.jsonl, line 1: a JSON object was expected"):
        list(read_json_lines(path))


def test_tables_count_their_columns(tmp_path):
    path = write_text(tmp_path / "t.tsv", "query-id\tcorpus-id\tscore\nq\td\t1\n")
    assert [row for _, row in read_table(path, "query-id corpus-id score", header=True)] == [["q", "d", "1"]]
    bad = write_text(tmp_path / "b.tsv", "q\td\tgood\n")
    assert [row for _, row in read_table(bad, "query-id corpus-id score", header=True)] == [["q", "d", "good"]]
    headless = write_text(tmp_path / "h.tsv", "q\td\t1\n")
    assert [row for _, row in read_table(headless, "query document grade", header=True)] == [["q", "d", "1"]]
    short = write_text(tmp_path / "s.tsv", "q\td\t1\nq\td\n")
    with pytest.raises(UserError, match=r"s\.tsv, line 2: 3 tab-separated columns .* and 2 found"):
        list(read_table(short, "query document grade"))


def test_a_wrong_field_names_those_found():
    with pytest.raises(UserError, match=r"here: there is no field 'txt'; found are text, title"):
        field({"text": 1, "title": 2}, "txt", "here")


def test_missing_paths_name_the_setting_and_what_is_near(tmp_path):
    with pytest.raises(UserError, match=r"dataset\.path is not set"):
        existing(None, "dataset.path")
    (tmp_path / "scifact").mkdir()
    with pytest.raises(UserError, match=r"scifct \(dataset\.path\) does not exist; did you mean scifact"):
        existing(tmp_path / "scifct", "dataset.path")
    with pytest.raises(UserError, match="does not exist"):
        existing("/nowhere/at/all", "dataset.path")


def test_folders_and_unreadable_files_are_refused(tmp_path):
    with pytest.raises(UserError, match="is a folder"):
        list(read_lines(tmp_path))
    with pytest.raises(UserError, match="does not exist"):
        list(read_lines(Path(tmp_path / "none")))
