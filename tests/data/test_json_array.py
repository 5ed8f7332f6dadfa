import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data import json_array
from pipeline.data.json_array import read_json_array
from pipeline.errors import UserError
from tests.data.conftest import write_text

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(
    records=st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=4), max_size=8),
    indent=st.sampled_from([None, 2]),
    ascii_=st.booleans(),
    at_once=st.sampled_from([1, 2, 3, 7, 1 << 20]),
)
def test_any_array_is_read_whatever_the_buffer(tmp_path_factory, records, indent, ascii_, at_once):
    path = tmp_path_factory.getbasetemp() / "array.json.gz"
    text = json.dumps(records, indent=indent, ensure_ascii=ascii_)
    path.write_bytes(gzip.compress(text.encode("utf-8", "surrogatepass"), mtime=0))
    before = json_array.BYTES_AT_ONCE
    json_array.BYTES_AT_ONCE = at_once
    try:
        assert [record for _, record in read_json_array(path)] == records
    finally:
        json_array.BYTES_AT_ONCE = before


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('[{"a": 1},\n {"a": }]', "line 2: malformed JSON"),
        ('[{"a": 1},\n {"a": 2}', "line 2: the file ends inside its array"),
        ('[{"a": 1},\n {"a": "unend', "line 2: malformed JSON"),
        ('{"a": 1}', "a JSON array was expected"),
        ("[1]", "entry 1: an object was expected"),
        ("", "the file ends"),
    ],
)
def test_malformed_files_are_placed(tmp_path, text, part):
    path = write_text(tmp_path / "bad.json", text)
    with pytest.raises(UserError, match=part):
        list(read_json_array(path))


def test_bytes_that_are_not_utf8_are_placed(tmp_path):
    path = tmp_path / "latin.json"
    path.write_bytes('[{"a": "x"},\n{"a": "ü"}]'.encode("latin-1"))
    with pytest.raises(UserError, match=r"latin\.json, line 2.*UTF-8"):
        list(read_json_array(path))


def test_a_cut_compressed_file_is_refused(tmp_path):
    path = tmp_path / "cut.json.gz"
    path.write_bytes(gzip.compress(json.dumps([{"a": n} for n in range(1000)]).encode())[:-30])
    with pytest.raises(UserError, match="damaged"):
        list(read_json_array(path))
