"""`probe.py probe=attribution` as it is used: on tiny models, under both protocols, killed, and refused."""

import csv
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertModel

from benchmarks.published_attribution import published
from pipeline.encoders.backbones import Local
from pipeline.encoders.building import Shared, build_dual_encoder
from pipeline.encoders.pooling import Mean
from pipeline.probing.attribution import activity
from tests.encoders.conftest import bare_bert_folder, bert_folder, llama_folder, one_thread  # noqa: F401
from tests.probing.commands import give, refusal


@pytest.fixture
def here(monkeypatch, capsys):
    """Give the command in this process; returns what it said."""

    def said(*arguments: str) -> str:
        give(monkeypatch, "probe=attribution", "encoding.device=cpu", *arguments)
        return capsys.readouterr().out

    return said


@pytest.fixture
def refused(monkeypatch, capsys):
    """Give the command and return the one sentence that it is refused with."""
    return partial(refusal, monkeypatch, capsys, "probe=attribution", "encoding.device=cpu")


def saved(plain: Path, folder: Path, planted: int | None = None) -> Path:
    """Write a model as `train.py` leaves it; of a BERT, perhaps with one neuron of layer 2 driving everything."""
    encoder = build_dual_encoder(Local(str(plain)), Mean(), Shared(), seed=0)
    if planted is not None:
        with torch.no_grad():
            encoder.tower("query").backbone.encoder.layer[1].output.dense.weight[:, planted] = torch.linspace(
                -60, 60, 16
            )
    encoder.save(folder, "A tiny model for tests.")
    return folder


@pytest.fixture
def settings(bert_folder, tmp_path) -> list[str]:  # noqa: F811
    """Two models on eighteen pairs, three of which share a document, and two a query."""
    words = ["lift", "wing", "slip", "flow", "heat", "boundary"]
    rows = [
        {"query": f"query of {word} {other}", "document": f"the {word} in a {other} slipstream"}
        for word in words[:4]
        for other in words[:4]
    ]
    rows += [{"query": "query of lift lift", "document": "the heat"}, {"query": "a wing", "document": "the heat"}]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    base, tuned = saved(bert_folder, tmp_path / "base"), saved(bert_folder, tmp_path / "tuned", planted=5)
    return [
        f"models={{base: {base}, tuned: {tuned}}}",
        "dataset=jsonl",
        f"dataset.train_path={path}",
        f"dataset.test_path={path}",
        f"tables={tmp_path / 'tables'}",
        f"folder={tmp_path / 'out'}",
    ]


def of_queries(folder: Path) -> str:
    """Name both models, for queries only."""
    return f"models={{base: {{model: {folder}/base, side: query}}, tuned: {{model: {folder}/tuned, side: query}}}}"


def rows_of(folder: Path, name: str) -> list[dict[str, str]]:
    with open(folder / "out" / f"{name}.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_planted_neuron_is_found_by_the_command(here, settings, tmp_path):
    said = here(*settings)
    assert "tuned activates" in said
    found = [row for row in rows_of(tmp_path, "neurons") if row["sub-layer"] == "inner" and row["layer"] == "2"]
    shares = {(row["model"], row["texts of"], row["neuron"]): float(row["share"]) for row in found}
    for kind in ("query", "document"):
        assert shares["tuned", kind, "5"] == 1.0
        assert sum(share for (model, of, _), share in shares.items() if (model, of) == ("tuned", kind)) < sum(
            share for (model, of, _), share in shares.items() if (model, of) == ("base", kind)
        )
    counts = {(row["texts of"], row["texts"], row["rows"]) for row in rows_of(tmp_path, "layers")}
    assert counts == {("query", "17", "18"), ("document", "17", "18")}
    plots = {path.stem for path in (tmp_path / "out" / "plots").glob("*.png")}
    assert {"query_inner_heat", "document_outer_heat", "query_distribution", "document_thresholds"} <= plots
    assert len(rows_of(tmp_path, "changes")) == 2 * 2 * (4 + 1)


def test_a_killed_run_goes_on_where_it_was(here, settings, tmp_path, monkeypatch):
    monkeypatch.setattr(activity, "TEXTS_IN_PIECE", 4)
    whole, made = activity.Pieces._made, []

    def dying(self, texts, along):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(self.name)
        return whole(self, texts, along)

    monkeypatch.setattr(activity.Pieces, "_made", dying)
    settings[0] = of_queries(tmp_path)
    with pytest.raises(SystemExit):
        here(*settings)

    def counting(self, texts, along):
        made.append(self.name)
        return whole(self, texts, along)

    monkeypatch.setattr(activity.Pieces, "_made", counting)
    here(*settings)
    assert made == ["base"] * 5 + ["tuned"] * 5  # pieces of 17 texts: none twice


def test_one_model_alone_a_margin_and_a_limit(here, settings, tmp_path):
    said = here(
        f"models={{only: {{model: {tmp_path}/base, side: query}}}}",
        *settings[1:],
        "probe.target=margin",
        "probe.limit=12",
        "probe.quadrature.points=3",
    )
    assert "Target margin, quadrature adaptive, 3 points, pieces divided down to a gap of 2%" in said
    assert not (tmp_path / "out" / "changes.csv").exists()
    assert {row["texts"] for row in rows_of(tmp_path, "layers")} <= {"11", "12"}
    values = [float(row["mean share"]) for row in rows_of(tmp_path, "layers")]
    assert np.mean(values) > 0


@pytest.fixture
def titled(tmp_path) -> list[str]:
    """Twelve documents with titles, each of two queries that come with a negative, and one of a query without."""
    texts = [f"{one} {other}" for one in ("lift", "wing", "slip", "flow") for other in ("heat", "boundary", "query")]
    rows = [
        {"q": f"{word} {text}", "d": {"title": "heat", "text": f"the {text}"}, "no": ["slip"]}
        for text in texts
        for word in ("the", "a")
    ]
    rows.append({"q": "without", "d": {"title": "", "text": "the query"}, "no": []})
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return [
        "dataset=jsonl",
        "dataset.query=q",
        "dataset.document=d",
        "dataset.negative=no",
        f"dataset.train_path={path}",
        f"dataset.test_path={path}",
        f"tables={tmp_path / 'tables'}",
        f"folder={tmp_path / 'out'}",
        "protocol=published",
    ]


def bert(folder: Path, pooling: str = "cls") -> str:
    """A BERT that would cut its texts and join its titles otherwise than published."""
    settings = f"{{backbone: {{path: {folder}}}, encoder: {{max_length: 5, title_separator: ' [SEP] '}}}}"
    return f"models={{only: {{model: bert, side: document, pooling: {pooling}, settings: {settings}}}}}"


def test_the_published_protocol_alone_is_the_published_procedure(here, titled, tmp_path, bare_bert_folder):  # noqa: F811
    said = here(bert(bare_bert_folder), *titled)
    assert "Target pooler_norm, quadrature published, 20 points, texts of at most 64 tokens" in said
    assert "padding is masked" in said
    assert "texts are cut to 64 tokens, as the model reads no more (published: 256)" in said
    assert "give negatives=given" not in said
    assert {(row["texts"], row["rows"]) for row in rows_of(tmp_path, "layers")} == {("12", "24")}
    model, tokenizer = BertModel.from_pretrained(bare_bert_folder), AutoTokenizer.from_pretrained(bare_bert_folder)
    expected: dict[tuple[str, ...], float] = {}
    for one in ("lift", "wing", "slip", "flow"):
        for other in ("heat", "boundary", "query"):
            found = published(model, tokenizer(f"heat the {one} {other}")["input_ids"], "pooler")
            largest = max(part.max() for part in found)
            for place, part in enumerate(found):
                for neuron in np.flatnonzero(part.detach() > 0.1 * largest):
                    key = ("inner" if place % 2 == 0 else "outer", str(place // 2 + 1), str(neuron))
                    expected[key] = expected.get(key, 0) + 1 / 24
    shares = {
        (row["sub-layer"], row["layer"], row["neuron"]): float(row["share"]) for row in rows_of(tmp_path, "neurons")
    }
    assert shares.keys() == expected.keys()
    assert all(shares[key] == pytest.approx(value) for key, value in expected.items())


def test_other_models_are_published_by_their_state_and_llamas_at_a_lower_threshold(
    here,
    titled,
    tmp_path,
    bare_bert_folder,  # noqa: F811
    llama_folder,  # noqa: F811
):
    said = here(bert(bare_bert_folder, "mean"), "probe.limit=20", "negatives=bm25", *titled)
    assert "Target norm, quadrature published" in said
    assert "above 0.1 of" in said
    assert "at most 20 queries are looked at (probe.limit)" in said
    assert "queries without hard negatives are not left out (give negatives=given)" in said
    llama = saved(llama_folder, tmp_path / "llama")
    said = here(f"models={{only: {{model: {llama}, side: document}}}}", *titled, f"folder={tmp_path / 'of_llama'}")
    assert "Target norm, quadrature published" in said
    assert "above 0.01 of" in said


def test_published_settings_are_not_overruled(refused, titled, bare_bert_folder, bert_folder):  # noqa: F811
    for arguments, said in (
        (("probe.target=score",), "probe.target is set, and protocol=published decides it"),
        (("probe.quadrature.points=10",), "probe.quadrature is set"),
        (("probe.threshold=0.2",), "probe.threshold is set"),
        (("probe.max_length=128",), "probe.max_length is set"),
    ):
        assert said in refused(bert(bare_bert_folder), *titled, *arguments), said
    assert "models.only: " in refused(bert(bert_folder), *titled)
    assert "has no pooler weights" in refused(bert(bert_folder), *titled)


def test_what_cannot_work_is_refused(refused, settings, tmp_path, llama_folder):  # noqa: F811
    llama = saved(llama_folder, tmp_path / "other")
    for arguments, said in (
        (("probe.target=margin", "negatives=in_batch"), "needs negatives; give negatives=bm25"),
        (("probe.target=cosine",), "probe.target=cosine is unknown"),
        (("probe.quadrature.name=simpson",), "probe.quadrature.name=simpson is unknown"),
        (("probe.threshold=1.5",), "below 1"),
        (("probe.thresholds=7",), "probe.thresholds=7 must be a list; write probe.thresholds=[7]."),
        (("probe.thresholds=null",), "probe.thresholds=None must be a list"),
        ((f"models.tuned={llama}",), "differ in architecture: bert and llama"),
        (("probe.max_length=2",), "no room"),
        (("probe.limit=5",), "come with 5 different query texts; raise probe.limit"),
    ):
        assert said in refused(*settings, *arguments), said
