import pytest

from pipeline.data.lookup import hash_of
from pipeline.data.renaming import Renaming
from pipeline.data.squad import read_paragraphs
from pipeline.data.texts import Texts
from pipeline.evaluation.measures import measure
from pipeline.retrieval.bm25 import Bm25
from pipeline.retrieval.run import Run

PARAGRAPHS = [
    "In Armenia the Church of Ani was built. It is an Armenian church, and many Armenians saw O'Brien in March 1915.",
    "However, the Anglo-Saxon king of Ani met Armenia's James I. Later the UK and World War II came to Ani.",
    "The church was old. There were few Saxons in Ani; however, the march of the uk people did reach James.",
]
TITLES = ["Armenian Apostolic Church", "Ani"]
QUESTIONS = ["what did armenians see in Ani?", "Who met James's king?"]


@pytest.fixture
def renaming():
    return Renaming(PARAGRAPHS, TITLES + QUESTIONS)


def test_names_are_capitalised_words_that_are_never_in_lower_case(renaming):
    assert renaming.names.keys() == {"armenia", "ani", "armenian", "o'brien", "anglo", "saxon", "james", "world", "war"}


def test_names_are_the_same_everywhere_with_their_endings(renaming):
    names = renaming.names
    ani, armenian = names["ani"], names["armenian"]
    assert renaming("Ani, ANI and ani") == f"{ani.capitalize()}, {ani.upper()} and {ani}"
    assert renaming("Ani's, Ani’s, Anis") == f"{ani.capitalize()}'s, {ani.capitalize()}’s, {ani.capitalize()}s"
    assert renaming(TITLES[0]) == f"{armenian.capitalize()} Apostolic Church"
    assert renaming(QUESTIONS[0]) == f"what did {armenian}s see in {ani.capitalize()}?"
    assert renaming("the Anglo-Saxon") == f"the {names['anglo'].capitalize()}-{names['saxon'].capitalize()}"
    assert renaming("James's") == f"{names['james'].capitalize()}'s"


def test_all_else_stays(renaming):
    for text in ("However, it was old in March 1915.", "the uk and the march", "II, XIV and I'm", ""):
        assert renaming(text) == text
    armenia, ani, armenian, brien = (
        renaming.names[name].capitalize() for name in ("armenia", "ani", "armenian", "o'brien")
    )
    assert renaming(PARAGRAPHS[0]) == (
        f"In {armenia} the Church of {ani} was built. It is an {armenian} church, and many {armenian}s saw {brien} in "
        "March 1915."
    )


def test_ordinary_words_that_look_like_plurals_stay():
    renaming = Renaming(["It was in WA that it was so, and WA does win; a Doe does too."], [])
    assert renaming.names.keys() == {"wa", "doe"}
    assert renaming("it was, and does; the Does") == "it was, and does; the Does"


def test_invented_words_are_new_unlike_and_stable():
    names = [f"{a}{b}{c}x" for a in "BCDFG" for b in "aeiou" for c in "klmnprt"]
    text = "We saw " + " and ".join(names) + "."
    first = Renaming([text], [])
    assert len(set(first.names.values())) == len(names) == len(first.names)
    assert not any(word.endswith("s") for word in first.names.values())
    taken = first.names["bakx"]
    second = Renaming([text], [f"what is a {taken}?"])
    assert second.names["bakx"] != taken
    assert {**second.names, "bakx": taken} == first.names
    vowels = Renaming(["The Ural and an Olm met."], []).names
    assert all(word[0] in "aeiou" for word in vowels.values())


def test_questions_are_as_answerable_as_before(shared_data, tmp_path):
    """Names that stand in a question and its paragraph alike: BM25 finds about as much."""
    paragraphs = [
        paragraph
        for paragraph in read_paragraphs(shared_data / "squadshifts" / "new_wiki_v1.0.json")
        if hash_of(paragraph.id) % 4 == 0
    ]
    questions = [question for paragraph in paragraphs for _, question in paragraph.questions]
    renaming = Renaming([paragraph.text for paragraph in paragraphs], questions)
    judged = {id_: {paragraph.id: 1} for paragraph in paragraphs for id_, _ in paragraph.questions}

    def mrr(name, change):
        documents = Texts.from_pairs([(paragraph.id, change(paragraph.text)) for paragraph in paragraphs])
        lexical = Bm25(1.2, 0.75, "lucene", "english", "english")
        lexical.build(documents, tmp_path)
        run = Run.from_hits(name, list(judged), documents, lexical.search([change(text) for text in questions], 10))
        return measure(run, judged, ["mrr@10"], 1).means()["mrr@10"]

    before, after = mrr("before", str), mrr("after", renaming)
    assert len(renaming.names) > 500
    assert before > 0.7 and after == pytest.approx(before, abs=0.03)
