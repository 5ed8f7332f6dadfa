"""`probe.py probe=swap` as it is used: the layer that carries the gain is found, quickly, and again after a kill."""

import pytest

from pipeline.evaluation.scoring import measure_retrieval
from pipeline.probing.swap import probe as swap
from pipeline.probing.swap import texts as swap_texts
from tests.encoders.conftest import one_thread  # noqa: F401
from tests.probing.commands import give, refusal, table
from tests.probing.planted_layer import SPOILT, save_models, settings


def words(folder, *more):
    base, tuned = save_models(folder)
    return ["probe=swap", *settings(folder, base, tuned, "probe.steps=2", *more)]


def test_the_layer_that_carries_the_gain_is_found(monkeypatch, capsys, tmp_path):
    give(monkeypatch, *words(tmp_path, "probe.documents=null"))
    rows = [row for row in table(tmp_path / "out" / "variants.csv") if row["measure"] == "ndcg@10"]
    share = {(row["family"], row["unit"]): float(row["share_of_gain_lost"]) for row in rows}
    assert {unit: value for (family, unit), value in share.items() if family == "alone"} == {
        "embeddings": 0,
        "layer 1": 0,
        f"layer {SPOILT}": 1,
        "layer 3": 0,
    }
    below = [value for (family, _), value in share.items() if family == "from below"]
    above = [value for (family, _), value in share.items() if family == "from above"]
    assert (below, above) == ([0, 0, 1, 1], [1, 1, 1, 0])
    said = (tmp_path / "out" / "findings.md").read_text()
    assert "queries searched all" in said
    assert "1 can be told to be missed (Fisher's test, Holm-corrected, p ≤ 0.05): ndcg@10 falls by" in said
    assert f"without layer {SPOILT}" in said
    assert "from below, up to layer 1 can come from base (100% of the gain stays)" in said
    plots = {path.name for path in (tmp_path / "out" / "plots").glob("*.png")}
    assert plots == {"layers.png", "cumulative.png", "interpolation.png"}


def test_the_ends_are_what_the_evaluation_measures(monkeypatch, tmp_path):
    seen = {}
    real = swap.search_of

    def spy(subject, *others):
        seen["subject"] = subject
        return real(subject, *others)

    monkeypatch.setattr(swap, "search_of", spy)
    give(monkeypatch, *words(tmp_path, "probe.documents=null", "probe.limit=null"))
    subject = seen["subject"]
    rows = [row for row in table(tmp_path / "out" / "variants.csv") if row["family"] == "between"]
    for name, share in (("base", 0.0), ("tuned", 1.0)):
        found = {row["measure"]: float(row["mean"]) for row in rows if float(row["tuned_share"]) == share}
        encoded = [
            swap_texts.vectors(subject.models[name].tower(kind), texts, kind, subject.encoding)
            for kind, texts in (("query", subject.split.queries), ("document", subject.split.documents))
        ]
        expected = measure_retrieval(*encoded, subject.split, list(found), subject.dataset, "cpu")
        assert found == pytest.approx(expected, abs=1e-12)


def test_a_killed_run_measures_only_what_is_left(monkeypatch, tmp_path):
    command = words(tmp_path, "probe.documents=40", "probe.limit=20")
    real, measured = swap.vectors, []

    def counting(tower, texts, kind, encoding):
        if kind == "query":
            measured.append(tower.fingerprint(kind))
        if len(measured) == 3 and kind == "document":
            raise KeyboardInterrupt
        return real(tower, texts, kind, encoding)

    monkeypatch.setattr(swap, "vectors", counting)
    with pytest.raises(SystemExit) as stopped:
        give(monkeypatch, *command)
    assert stopped.value.code == 130
    monkeypatch.setattr(swap, "vectors", lambda *given: measured.append(given[0].fingerprint("query")) or real(*given))
    give(monkeypatch, *command)
    # The first two were kept, and their weights are not encoded again.
    assert measured[0] not in measured[3:]
    assert measured[1] not in measured[3:]
    assert "20 queries searched 40 of 60 documents" in (tmp_path / "out" / "findings.md").read_text()


def test_what_cannot_be_exchanged_is_refused(monkeypatch, capsys, tmp_path):
    command = words(tmp_path)

    def changed(before, after, count=1):
        return refusal(monkeypatch, capsys, *(word.replace(before, after, count) for word in command))

    assert "has the side query; give side=both" in changed("pooling: mean", "pooling: mean, side: query", 2)
    assert "the pooling is cls and mean" in changed("pooling: mean", "pooling: cls")
    prompt = "settings: {encoder: {query_prompt: 'q '}, "
    assert "the query prompt is 'q ' and ''" in changed("settings: {", prompt)
    assert "differ in maximum length: 32 and 64; give both" in changed(
        "settings: {", "settings: {encoder: {max_length: 32}, "
    )
    assert "differ in depth: 2 and 3; choose a pair of one architecture" in changed("path: ", "layers: 2, path: ")
    assert "needs 10 queries" in refusal(monkeypatch, capsys, *command, "probe.limit=9")
    assert "probe.steps=1 must be" in refusal(monkeypatch, capsys, *command, "probe.steps=1")
    assert "ndgc@10 is not a measure" in refusal(monkeypatch, capsys, *command, "probe.measures=[ndgc@10]")
    assert "write probe.measures=[mrr@10]." in refusal(monkeypatch, capsys, *command, "probe.measures=mrr@10")
    one = ["models={base: minilm}" if word.startswith("models=") else word for word in command]
    assert "give two or more, the base first" in refusal(monkeypatch, capsys, *one)
