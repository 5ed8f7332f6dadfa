import gzip

import pytest

from pipeline.data.trec import Trec
from pipeline.data.trec_markup import topic_of
from pipeline.errors import UserError
from tests.data.conftest import write_text

DOCUMENTS = """<DOC>
<DOCNO> FT-1 </DOCNO>
<HEADLINE> Trade &amp; tariffs </HEADLINE>
<TEXT> First <i>half</i>. </TEXT>
<TEXT>Second half.</TEXT>
</DOC>
<DOC><DOCNO>FT-2</DOCNO> No text element, <b>only</b> this. </DOC> <DOC>
<DOCNO>FT-3</DOCNO><TITLE></TITLE><TEXT></TEXT></DOC>
"""
TOPICS = """<top>
<num> Number: 301
<title> International
Organized Crime
<desc> Description:
Identify organizations.
<narr> Narrative: Long.
</top>
<top><num>350</num><title>Health</title><desc>Find &lt;this&gt;.</desc></top>
"""
QRELS = "301 0 FT-1 1\n350 0 FT-2 2\n350 0 FT-3 0\n"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "robust"
    write_text(folder / "docs" / "part1.sgml", DOCUMENTS)
    write_text(folder / "topics.txt", TOPICS)
    write_text(folder / "qrels.txt", QRELS)
    write_text(folder / "README.md", f"# Example\n{DOCUMENTS}{TOPICS}")
    return folder


def test_files_are_told_apart_by_what_they_hold(opened, folder):
    dataset = opened(Trec(path=str(folder)))
    split = dataset.split("test")
    assert dataset.name == "robust"
    assert split.documents.ids() == ["FT-1", "FT-2", "FT-3"]
    assert split.documents.take([0, 1, 2], ": ") == [
        "Trade & tariffs: First  half .\nSecond half.",
        "No text element,  only  this.",
        "",
    ]
    assert split.queries.take([0, 1]) == ["International Organized Crime", "Health"]
    assert split.judgements == {"301": {"FT-1": 1}, "350": {"FT-2": 2, "FT-3": 0}}
    assert dataset.notes["empty_documents"] == 1


def test_paths_and_fields_may_be_named(opened, folder):
    source = Trec(
        documents=str(folder / "docs"),
        topics=str(folder / "topics.txt"),
        qrels=str(folder / "qrels.txt"),
        topic_fields=["title", "desc"],
        name="named",
    )
    assert opened(source).split("test").queries.take([0, 1]) == [
        "International Organized Crime Identify organizations.",
        "Health Find <this>.",
    ]


def test_topics_counted_by_position(opened, folder):
    write_text(folder / "qrels.txt", "1 0 FT-1 1\n2 0 FT-2 2\n")
    with pytest.raises(UserError, match=r"line 1: there is no topic '1'; .*topics_numbered=position"):
        opened(Trec(path=str(folder)))
    split = opened(Trec(path=str(folder), topics_numbered="position")).split("test")
    assert split.queries.ids() == ["1", "2"]
    assert split.queries.take([1]) == ["Health"]


def test_pools_name_topics_and_documents_that_are_not_there(opened, folder):
    write_text(folder / "qrels.txt", QRELS + "301 0 FT-9 1\n302 0 FT-1 1\n303 0 FT-2 1.0\n")
    dataset = opened(Trec(path=str(folder)))
    assert dataset.split("test").judgements == {"301": {"FT-1": 1, "FT-9": 1}, "350": {"FT-2": 2, "FT-3": 0}}
    assert dataset.notes["judged_but_absent"] == 1 and dataset.notes["judgements_of_unknown_topics"] == 2


def test_judgements_are_found_under_a_header_and_with_decimal_grades(opened, folder):
    write_text(folder / "qrels.txt", "topic iteration document relevance\n" + QRELS.replace("\n", ".0\n"))
    assert opened(Trec(path=str(folder))).split("test").judgements["350"] == {"FT-2": 2, "FT-3": 0}


def test_other_encodings_are_named(opened, folder):
    text = DOCUMENTS.replace("tariffs", "caf\u00e9s \u00a3")
    (folder / "docs" / "part1.sgml").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"part1\.sgml, line \d: byte \d+ .*not UTF-8; .*dataset\.encoding=latin-1"):
        opened(Trec(path=str(folder)))
    split = opened(Trec(path=str(folder), encoding="latin-1")).split("test")
    assert "caf\u00e9s \u00a3" in split.documents.take([0])[0]
    (folder / "docs" / "part1.sgml").write_bytes(text.encode("cp1252"))
    with pytest.raises(UserError, match=r"line \d: byte \d+ of the line is not ASCII; name the file's own encoding"):
        opened(Trec(path=str(folder), encoding="ascii"))


@pytest.mark.parametrize("encoding", ["latin-0", "utf-16", "rot13"])
def test_encodings_in_which_tags_are_not_ascii_are_refused(encoding):
    with pytest.raises(UserError, match=r"dataset\.encoding is .*utf-8, latin-1 or cp1252"):
        Trec(path="x", encoding=encoding)


def test_entities_are_resolved_once(opened, folder):
    write_text(folder / "docs" / "part1.sgml", DOCUMENTS.replace("tariffs", "&amp;amp; &amp;lt;b&amp;gt;"))
    assert "&amp; &lt;b&gt;" in opened(Trec(path=str(folder))).split("test").documents.take([0])[0]


@pytest.mark.parametrize("name", ["docs/part1.sgml", "topics.txt", "qrels.txt"])
def test_byte_order_marks_are_passed_over(opened, folder, name):
    plain = opened(Trec(path=str(folder))).fingerprint
    (folder / name).write_bytes(b"\xef\xbb\xbf" + (folder / name).read_bytes())
    assert opened(Trec(path=str(folder))).fingerprint == plain


def test_topics_of_xml_with_attributes():
    block = '<topic number="1">\n<query>coronavirus origin</query>\n<question>where?</question></topic>'
    assert topic_of(block, ["query", "question"], "x") == ("1", "coronavirus origin where?")


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        (
            "docs/part1.sgml",
            "<doc><docno>1</docno>\n<text>never closed",
            r"part1\.sgml, line 1: this block is not closed",
        ),
        ("docs/part1.sgml", DOCUMENTS + "<doc><text>x</text></doc>", r"part1\.sgml, line 9: .* no <docno>"),
        ("topics.txt", "<top><title>x</title></top>", r"topics\.txt, line 1: .* no <num>"),
        ("topics.txt", "<top><num>1</num><desc>x</desc></top>", r"no <title> .*found are num, desc"),
        ("qrels.txt", QRELS + "350 FT-1 1\n", r"qrels\.txt, line 4: 3 columns where judgements have 4"),
        ("qrels.txt", QRELS + "350 0 FT-1 high\n", r"qrels\.txt, line 4: the grade 'high'"),
        ("qrels.txt", "301 0 FT-9 1\n", "none of the 1 judged documents, such as 'FT-9'"),
        ("qrels.txt", "", "holds no qrels"),
        ("more-topics.txt", TOPICS, r"several files of topics \(more-topics\.txt, topics\.txt\)"),
    ],
)
def test_bad_files_are_one_sentence(opened, folder, name, text, part):
    write_text(folder / name, text)
    with pytest.raises(UserError, match=part) as caught:
        opened(Trec(path=str(folder)))
    assert "\n" not in str(caught.value)


def test_an_unknown_numbering_is_refused():
    with pytest.raises(UserError, match="id or position"):
        Trec(path="x", topics_numbered="order")


def test_a_cut_archive_in_the_folder_is_named(opened, folder):
    (folder / "more.gz").write_bytes(gzip.compress(b"<DOC>\n<DOCNO> 9 </DOCNO>\n</DOC>\n")[:-12])
    with pytest.raises(UserError, match=r"more.gz: the compressed file is damaged"):
        opened(Trec(path=str(folder)))
