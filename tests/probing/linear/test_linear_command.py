"""`probe.py probe=linear` as it is used: what it leaves, how it goes on, and what it refuses."""

import csv
import json
import shutil
import sys

import numpy as np
import pytest
from transformers import BertConfig, BertModel

import probe as probe_command
from pipeline.encoders.backbones import Local
from pipeline.encoders.building import EncoderSettings, build_tower
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import Encoder
from pipeline.encoders.pooling import Mean
from pipeline.probing.linear import pieces as linear_pieces
from pipeline.probing.linear import probe as linear
from pipeline.probing.linear.layers import probe_layers
from pipeline.probing.linear.probe import published_division
from pipeline.probing.linear.training import Recipe
from pipeline.retrieval import tabulate
from tests.conftest import ROOT
from tests.evaluation.conftest import save_tiny_model

TOPICS = ["wing", "heat", "flow", "shell", "wave", "jet", "plate", "shock", "gas", "tube", "rotor", "blade"]
QUICK = ["probe.probes=[concat,cosine]", "probe.candidates=[2,3]", "probe.seeds=[0]", "probe.learning_rates=[0.1]"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A dataset, and two models."""
    folder = tmp_path_factory.mktemp("linear")
    rows = [
        {"query": f"what {topic} {number}", "document": f"{topic} number {number} of {TOPICS[number % 5]}"}
        for topic in TOPICS
        for number in range(10)
    ]
    (folder / "pairs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    for seed, name in enumerate(("base", "tuned")):
        save_tiny_model(folder / name, seed=seed)
    return folder


@pytest.fixture
def give(made, monkeypatch, capsys):
    """Give the command in this process; return what it said, on which stream."""

    def command(*arguments: str, status: int = 2) -> tuple[str, str]:
        models = f"models={{base: {made}/base, tuned: {made}/tuned}}"
        given = [models, "probe=linear", "dataset=jsonl", f"dataset.path={made}/pairs.jsonl", "encoding.device=cpu"]
        given += ["dataset.split={train: 0.4, validation: 0, test: 0.6}", f"tables={made}/tables"]
        monkeypatch.setattr(sys, "argv", ["probe.py", *given, *arguments])
        monkeypatch.chdir(ROOT)
        try:
            probe_command.main()
        except SystemExit as stopped:
            assert stopped.code == status
        streams = capsys.readouterr()
        return streams.out, streams.err.strip()

    return command


@pytest.fixture
def uneven(made, tmp_path):
    """A model whose query tower is narrower than its document tower."""
    narrow = shutil.copytree(made / "base.plain", tmp_path / "narrow")
    config = BertConfig.from_pretrained(narrow, hidden_size=8)
    BertModel(config).save_pretrained(narrow)
    query = build_tower(Local(str(narrow)), Mean(), EncoderSettings(projection=16), "query", 0)
    document = build_tower(Local(str(made / "base.plain")), Mean(), EncoderSettings(), "document", 0)
    DualEncoder(query, document).save(tmp_path / "uneven", "A model of two widths for tests.")
    return tmp_path / "uneven"


def rows_in(path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_it_leaves_figures_pictures_and_findings(give, tmp_path):
    said, _ = give(*QUICK, f"folder={tmp_path}/out", "probe.published={base: nq/cls/bert}")
    assert "cosine" in said
    rows = rows_in(tmp_path / "out" / "layers.csv")
    assert len(rows) == 2 * 2 * 2 * 2  # models, probes, N, layers
    for row in rows:
        assert float(row["accuracy_low"]) <= float(row["accuracy"]) <= float(row["accuracy_high"])
        assert float(row["selectivity"]) == pytest.approx(float(row["accuracy"]) - float(row["random_labels"]))
        assert float(row["code_bits"]) > 0
        assert 0 <= float(row["documents_seen"]) <= 1
        assert (row["p_corrected"] == "") == (row["model"] == "base")
    findings = (tmp_path / "out" / "findings.md").read_text()
    for words in (
        "no question on two sides",
        "selectivity",
        "with the questions of other rows",
        "by heart",
        "online code",
    ):
        assert words in findings
    assert "concat" in findings
    for name in ("accuracy_by_layer", "all_candidates"):
        assert (tmp_path / "out" / "plots" / f"{name}.png").stat().st_size > 10_000
    assert "published" in (tmp_path / "out" / "plots" / "accuracy_by_layer.svg").read_text()


def test_what_was_computed_before_a_kill_is_not_computed_again(give, tmp_path, monkeypatch):
    settings = [*QUICK, "probe.epochs=7"]
    computed = []

    def killed_at_the_third(family, parts, design):
        computed.append(family.name)
        if len(computed) == 3:
            raise KeyboardInterrupt
        return probe_layers(family, parts, design)

    monkeypatch.setattr(linear_pieces, "probe_layers", killed_at_the_third)
    give(*settings, f"folder={tmp_path}/killed", status=130)
    assert not (tmp_path / "killed" / "findings.md").exists()
    give(*settings, f"folder={tmp_path}/out")
    assert computed == ["concat", "cosine", "concat", "concat", "cosine"]
    give(*settings, f"folder={tmp_path}/again")
    assert len(computed) == 5
    for name in ("layers.csv", "findings.md", "summary.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.fixture
def given(made):
    """The words that take a dataset in DPR's layout, with more than ten hard negatives a question."""
    for split, count in (("train", 100), ("test", 40)):
        records = [
            {
                "question": f"what {TOPICS[number % 12]} {split} {number} " + "long " * 60,
                "positive_ctxs": [{"title": f"t{number}", "text": f"{split} {number} answers"}],
                "negative_ctxs": [],
                "hard_negative_ctxs": [{"title": f"n{place}", "text": f"{split} {place}"} for place in range(14)],
            }
            for number in range(count)
        ]
        (made / f"{split}.json").write_text(json.dumps(records), encoding="utf-8")
    words = ["protocol=published", "dataset=dpr", "dataset.path=null"]
    return words + [f"dataset.{s}_path={made}/{s}.json" for s in ("train", "test")]


@pytest.fixture
def long_models(made, tmp_path):
    """Models that can take 600 tokens, and cut at 64 by themselves; titles are joined by [SEP]."""
    for name in ("base", "tuned"):
        plain = shutil.copytree(made / f"{name}.plain", tmp_path / name)
        BertModel(BertConfig.from_pretrained(plain, max_position_embeddings=600)).save_pretrained(plain)
    encoder = "encoder: {title_separator: ' [SEP] '}"
    named = (
        f"{name}: {{model: local, pooling: mean, settings: {{backbone: {{path: {tmp_path}/{name}}}, {encoder}}}}}"
        for name in ("base", "tuned")
    )
    return f"models={{{', '.join(named)}}}"


def test_the_published_protocol_is_the_first_papers_by_itself(give, given, long_models, tmp_path, monkeypatch):
    seen, encoded = [], []

    def watched(family, parts, design):
        seen.append((family.name, len(parts.training), len(parts.validation), len(parts.test), design))
        assert (parts.training.pool == 14).all()  # all of the file's
        assert (parts.validation.pool == 14).all()
        return probe_layers(family, parts, design)

    class Watched(Encoder):
        def encode_tokens(self, token_ids, advance=None):
            encoded.extend(token_ids)
            return super().encode_tokens(token_ids, advance)

        def encode(self, texts, kind, advance=None):
            assert not any("[SEP]" in text for text in texts)
            assert kind == "query" or all(text.split(" ")[0][0] in "tn" for text in texts)  # title, one space, text
            return super().encode(texts, kind, advance)

    monkeypatch.setattr(linear_pieces, "probe_layers", watched)
    monkeypatch.setattr(tabulate, "Encoder", Watched)
    give(long_models, *given, f"folder={tmp_path}/out", f"tables={tmp_path}/tables")
    assert {(name, *sizes) for name, *sizes, _ in seen} == {("concat", 99, 1, 40)}  # all training questions
    assert max(map(len, encoded)) == 128  # the questions, which are longer
    design = seen[0][-1]
    assert (design.seeds, design.seed, design.learning_rates) == ((42,), 42, (1e-4,))
    assert design.candidates == (2, 3, 4, 5)
    assert design.recipe == Recipe(batch_size=32768, epochs=30, patience=None, chosen_by="accuracy")
    rows = rows_in(tmp_path / "out" / "layers.csv")
    tuned = [row for row in rows if row["model"] == "tuned" and row["candidates"] == "2"]
    for row in tuned:  # Bonferroni over the two layers
        assert float(row["p_corrected"]) == pytest.approx(min(1.0, 2 * float(row["p"])))
    assert "code_bits" not in rows[0]
    findings = (tmp_path / "out" / "findings.md").read_text()
    assert "NOT AS PUBLISHED" not in findings
    assert "t-test, Bonferroni" in findings
    # One batch an epoch, at a rate that moves a loss by little: what the best epoch is says nothing of the end.
    assert "30 optimiser steps in at most 30 epochs trained every probe" in findings
    assert "cut at so many tokens: base 128 and 512, tuned 128 and 512; titles and texts are joined by ' '" in findings


def test_what_departs_from_the_published_procedure_is_named(give, given, tmp_path):
    give(
        *given,
        "probe.candidates=[2]",
        "negatives=bm25",
        "probe.epochs=5",
        "probe.limit=30",
        "dataset.hard_negatives=12",
        "seed=1",
        f"folder={tmp_path}/out",
    )
    findings = (tmp_path / "out" / "findings.md").read_text()
    for said in (
        "NOT AS PUBLISHED: dataset.hard_negatives=12 (the paper: null); probe.epochs=5 (the paper: 30);"
        " probe.limit=30 (the paper: null); seed=1 (the paper: 42); negatives that are not the dataset's own.",
        "base 64 and 64, tuned 64 and 64; asked for are 128 and 512, which the model cannot take",
    ):
        assert said in findings
    assert rows_in(tmp_path / "out" / "layers.csv")[0]["epochs"] in set("12345")


def test_without_a_train_split_the_published_protocol_divides_the_questions_and_says_so(give, given, made, tmp_path):
    alone = [word for word in given if "train_path" not in word]
    give(*alone, "probe.candidates=[2]", f"folder={tmp_path}/out")
    findings = (tmp_path / "out" / "findings.md").read_text()
    assert "27 rows trained, 1 validated and 12 tested" in findings
    assert "NOT AS PUBLISHED: no train split to learn from" in findings


def test_the_published_protocol_refuses_a_dataset_without_negatives_of_its_own(give, tmp_path):
    _, error = give("protocol=published", f"folder={tmp_path}/out")
    assert "test split of pairs has no hard negatives; use negatives=bm25" in error


def test_both_splits_count_in_memory_and_no_model_keeps_its_states_to_the_end(give, given, tmp_path, monkeypatch):
    made = []

    class Watched(linear_pieces.Pieces):
        def __init__(self, *given):
            super().__init__(*given)
            made.append(self)

    monkeypatch.setattr(linear, "Pieces", Watched)
    give(*given, "probe.candidates=[2]", f"folder={tmp_path}/out")
    assert [pieces._loaded for pieces in made] == [{}, {}]
    texts = sum(len(states) for states in (*made[0].learning, *made[0].tested))
    numbers = (4 * texts + 3 * len(made[0].material.training)) * 16  # a row of two candidates has three states
    monkeypatch.setattr(linear_pieces, "NUMBERS_AT_ONCE", 3 * numbers)
    assert made[0].layers_at_once() == 3
    monkeypatch.setattr(linear_pieces, "NUMBERS_AT_ONCE", 3 * numbers - 1)
    assert made[0].layers_at_once() == 2


def test_the_published_division_is_the_first_papers():
    training, validation = published_division(np.arange(1000), 42)
    assert (len(training), len(validation)) == (990, 10)
    assert sorted(np.concatenate([training, validation])) == list(range(1000))


def test_a_probe_that_did_not_converge_is_named(give, tmp_path):
    give(*QUICK, "probe.epochs=2", f"folder={tmp_path}/out")
    findings = (tmp_path / "out" / "findings.md").read_text()
    # Models, layers and N of concat; training does not change the order of cosines.
    assert "NOT CONVERGED: 8 of 8 probes were still getting better" in findings
    assert "lower bound" not in findings
    assert {row["converged"] for row in rows_in(tmp_path / "out" / "layers.csv")} == {"0.0"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["probe.layers=[0,3]"], "probe.layers: 3 is out of range; base has layers 0 to 1 (0: the embeddings)."),
        (["probe.probes=[concatt]"], "probe.probes=concatt is unknown; did you mean concat?"),
        (["probe.probes=concat"], "probe.probes=concat must be a list with something in it, such as [concat]."),
        (["probe.candidates=[1]"], "probe.candidates=1 must be a whole number of at least 2."),
        (["probe.seeds=[]"], "probe.seeds=[] must be a list with something in it, such as […]."),
        (["probe.learning_rates=[0]"], "probe.learning_rates=0 must be a number above 0."),
        (["probe.division.test=0.5"], "must add up to 1."),
        (["probe.division.test=0"], "probe.division.test=0 must be a number above 0."),
        (["probe.limit=12"], "12 questions are too few to train, validate and test probes; 20 are the least"),
        (["probe.candidates=[200]"], "lack the 199 negatives that they need, the first for query"),
        (["negatives=in_batch"], "probe=linear needs documents that do not answer; use negatives=bm25"),
        (["probe.published={base: nq/cls/brt}"], "no curve of nq/cls/brt was published; did you mean nq/cls/bert"),
        (["probe.published={bass: nq/cls/bert}"], "probe.published: the model=bass is unknown; did you mean base?"),
        (["probe.lengths={query: 5}"], "probe.lengths={'query': 5} must be {query: …, document: …}, or null"),
        (["protocol=publish"], "protocol=publish is not a configuration; did you mean published?"),
        (["protocol=published", "probe.candidates=[6]"], "6 is too many for protocol=published"),
    ],
)
def test_bad_input_gets_one_sentence_before_anything_is_encoded(give, tmp_path, arguments, sentence):
    said, error = give(*QUICK, *arguments, f"tables={tmp_path}/tables", f"folder={tmp_path}/out")
    assert sentence in error
    assert len(error.splitlines()) == 1
    assert said == ""
    assert not (tmp_path / "tables" / "vectors").exists()


def test_towers_of_unlike_width_are_refused_and_one_of_them_is_not(give, tmp_path, uneven):
    _, error = give(*QUICK, f"+models.uneven={uneven}", f"folder={tmp_path}/out")
    assert "the query tower is 8 wide, the document tower 16; choose models.uneven.side=document." in error
    one = f"+models.uneven={{model: {uneven}, side: document}}"
    _, error = give(*QUICK, one, "probe.limit=12", f"folder={tmp_path}/out")
    assert "12 questions are too few" in error  # which is looked at after the models
