import json
from collections import Counter

import pytest

from pipeline.data.withheld import QUARTERS, Withheld
from pipeline.errors import UserError
from tests.data.conftest import write_text

ARTICLES, PARTS = 24, 3


def article(number, questions=5):
    return {
        "title": f"Article_{number}",
        "paragraphs": [
            {
                "context": f"In part {part} the Grand Duke of Land{number:02d}x met many people.",
                "qas": [{"id": f"{number}-{part}-{q}", "question": f"Question {q}?"} for q in range(questions)],
            }
            for part in range(PARTS)
        ],
    }


@pytest.fixture
def squad(tmp_path):
    return str(write_text(tmp_path / "facts.json", json.dumps({"data": [article(n) for n in range(ARTICLES)]})))


def articles(ids):
    return {id_.split("-")[0] for id_ in ids}


def quarters(dataset):
    """From article to quarter."""
    return {query.split("-")[0]: group.name for query, group in dataset.split("test").groups.items()}


def test_every_quarter_gets_what_its_name_says(opened, squad):
    dataset = opened(Withheld(path=squad))
    assert dataset.name == "facts"
    train, validation, test, reading = (dataset.split(name) for name in dataset.splits)
    assert reading.name == "pretraining" and not len(reading.queries) and reading.judgements == {}
    of = quarters(dataset)
    assert Counter(of.values()).keys() == set(QUARTERS) and min(Counter(of.values()).values()) >= 5
    assert articles(train.judgements) == {name for name, quarter in of.items() if quarter in ("trained", "both")}
    assert articles(test.judgements) == of.keys()
    assert not articles(validation.judgements) & of.keys()
    titles = {title.removeprefix("Article ") for title in reading.documents.titles()}
    assert titles == {name for name, quarter in of.items() if quarter in ("read", "both")}
    assert len(reading.documents) == PARTS * len(titles)
    assert set(reading.documents.ids()) < set(test.documents.ids())
    assert len(test.documents) == len(train.documents) == ARTICLES * PARTS
    assert dataset.notes["articles"] == dict(Counter(of.values())) | {"validation": ARTICLES - len(of)}


def test_a_paragraphs_questions_train_or_test_never_both(opened, squad):
    dataset = opened(Withheld(path=squad))
    train, test = (dataset.split(name).judgements for name in ("train", "test"))
    assert not train.keys() & test.keys()
    both = {id_.rpartition("-")[0] for id_ in train}
    assert Counter(id_.rpartition("-")[0] for id_ in train) == dict.fromkeys(both, 2)
    assert set(Counter(id_.rpartition("-")[0] for id_ in test).values()) == {3}
    for query, group in dataset.split("test").groups.items():
        assert group.cluster == f"Article {query.split('-')[0]}"


def test_over_four_rotations_everything_plays_every_role_over_the_same_test(opened, squad):
    datasets = [opened(Withheld(path=squad, rotation=rotation)) for rotation in range(5)]
    roles = [quarters(dataset) for dataset in datasets]
    assert all({one[name] for one in roles[:4]} == set(QUARTERS) for name in roles[0])
    assert roles[4] == roles[0]
    for part in ("documents", "queries"):
        assert len({getattr(dataset.split("test"), part).fingerprint for dataset in datasets}) == 1
    assert len({dataset.fingerprint for dataset in datasets}) == 4


def test_paragraphs_may_be_dealt_one_by_one_and_be_few(opened, squad):
    dataset = opened(Withheld(path=squad, unit="paragraph", paragraphs=40))
    assert dataset.notes["documents"]["test"] == 40
    split = dataset.split("test")
    assert all({group.cluster} == split.judgements[query].keys() for query, group in split.groups.items())
    assert set(Counter({g.cluster: g.name for g in split.groups.values()}.values()).values()) == {9}


def test_names_are_told_apart_from_what_they_are_called(opened, squad):
    plain, renamed = (opened(Withheld(path=squad, rename_entities=rename)) for rename in (False, True))
    assert renamed.name == "facts-renamed"
    assert quarters(plain) == quarters(renamed)
    for name in plain.splits:
        before, after = plain.split(name), renamed.split(name)
        assert before.documents.ids() == after.documents.ids() and before.judgements == after.judgements
    text = renamed.split("test").documents.take([0])[0]
    assert "Duke" not in text and "met many people." in text


def test_repeated_questions_and_poor_paragraphs_are_left_out(opened, tmp_path):
    data = [article(n) for n in range(ARTICLES)]
    data[0]["paragraphs"][0]["qas"][0]["question"] = "QUESTION  1?"
    data[1]["paragraphs"][0]["qas"] = data[1]["paragraphs"][0]["qas"][:3]
    dataset = opened(Withheld(path=str(write_text(tmp_path / "a.json", json.dumps({"data": data})))))
    assert dataset.notes["paragraphs_with_too_few_questions"] == 1
    assert dataset.notes["documents"]["test"] == ARTICLES * PARTS - 1
    asked = [id_ for split in ("train", "validation", "test") for id_ in dataset.split(split).judgements]
    assert "0-0-1" not in asked


def test_limit_keeps_the_groups_of_what_is_left(opened, squad):
    split = opened(Withheld(path=squad, limit=7)).split("test")
    assert len(split.queries) == 7 and split.groups.keys() == split.judgements.keys()


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"rotation": -1}, "dataset.rotation=-1"),
        ({"unit": "chapter"}, "dataset.unit=chapter is unknown"),
        ({"validation_share": 1}, "below 1"),
        ({"rename_entities": "yes"}, "true or false"),
        ({"paragraphs": 0}, "dataset.paragraphs=0"),
        ({"least_questions": 1}, "dataset.least_questions=1"),
        ({"path": None}, "dataset.path is not set"),
        ({"path": "missing.json"}, "does not exist"),
        ({"paragraphs": 8}, "dataset.unit=paragraph where"),
    ],
)
def test_bad_settings_are_one_sentence(opened, squad, settings, part):
    with pytest.raises(UserError, match=part):
        opened(Withheld(**({"path": squad} | settings)))


def test_a_text_that_is_none_is_refused(opened, tmp_path):
    record = {"data": [{"title": "t", "paragraphs": [{"context": None, "qas": []}]}]}
    with pytest.raises(UserError, match="paragraph 1: None stands where a text"):
        opened(Withheld(path=str(write_text(tmp_path / "bad.json", json.dumps(record)))))


def test_a_paragraph_that_comes_again_in_other_white_space_is_one_paragraph(opened, tmp_path):
    """Or it would be read in one quarter and withheld in another."""
    articles = [article(n) for n in range(ARTICLES)]
    copy = articles[0]["paragraphs"][0]
    again = {
        "context": copy["context"].replace(" ", "  "),
        "qas": [{"id": "again", "question": copy["qas"][0]["question"].upper()}, {"id": "new", "question": "Else?"}],
    }
    articles[1]["paragraphs"].append(again)
    dataset = opened(Withheld(path=str(write_text(tmp_path / "facts.json", json.dumps({"data": articles})))))
    assert len(dataset.split("test").documents) == ARTICLES * PARTS
    asked = [id_ for split in dataset.splits.values() for id_ in split.queries.ids()]
    assert "again" not in asked
