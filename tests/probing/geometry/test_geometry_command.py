"""`probe.py probe=geometry` as it is used: a planted layer is found, and what cannot be compared is refused."""

import pytest

from pipeline.encoders.backbones import Local
from pipeline.encoders.building import build_dual_encoder
from pipeline.encoders.pooling import Mean
from pipeline.encoders.query_towers import Miniature
from pipeline.probing.geometry import layers as geometry_layers
from tests.encoders.conftest import one_thread  # noqa: F401
from tests.probing.commands import give, refusal, table
from tests.probing.planted_layer import DEPTH, SPOILT, WIDTH, save_models, settings


def test_a_planted_layer_is_found(monkeypatch, capsys, tmp_path):
    base, tuned = save_models(tmp_path)
    give(monkeypatch, "probe=geometry", *settings(tmp_path, base, tuned))
    out = tmp_path / "out"
    for kind in ("query", "document"):
        rows = [row for row in table(out / "similarity.csv") if row["texts"] == kind]
        cka = [float(row["cka"]) for row in rows]
        assert cka[:SPOILT] == pytest.approx([1.0] * SPOILT, abs=1e-9)
        assert max(cka[SPOILT:]) < 0.9
        assert all(float(row["rsa_low"]) <= float(row["rsa"]) <= float(row["rsa_high"]) for row in rows)
        spreads = {
            (row["model"], row["layer"]): float(row["mean_cosine"])
            for row in table(out / "spread.csv")
            if row["texts"] == kind
        }
        for row in rows:
            change = spreads["tuned", row["facing_layer"]] - spreads["base", row["layer"]]
            assert float(row["mean_cosine_change"]) == pytest.approx(change, abs=1e-12)
            assert float(row["mean_cosine_change_low"]) <= change <= float(row["mean_cosine_change_high"])
    moved = [row for row in table(out / "drift.csv") if float(row["relative_change"])]
    assert [(row["unit"], row["module"]) for row in moved] == [(f"layer {SPOILT}", "norms")]
    # 13 ones are gone of the base's two norms of 16 and 3 ones (biases are 0).
    assert float(moved[0]["relative_change"]) == pytest.approx((13 / 19) ** 0.5)
    assert len(table(out / "alignment.csv")) == 2 * (DEPTH + 1)
    said = (out / "findings.md").read_text()
    assert f"moved most in norms of layer {SPOILT}" in said
    assert {path.name for path in (out / "plots").glob("*.png")} == {"similarity.png", "spread.png", "drift.png"}


def test_a_pooling_that_nobody_names_is_among_the_findings(monkeypatch, tmp_path):
    base, tuned = save_models(tmp_path)
    words = settings(tmp_path, base, tuned, "probe.limit=30")
    words[0] = words[0].replace(
        f"pooling: mean, settings: {{backbone: {{path: {tuned}", f"settings: {{backbone: {{path: {tuned}"
    )
    give(monkeypatch, "probe=geometry", *words)
    said = (tmp_path / "out" / "findings.md").read_text()
    assert f"- tuned: No pooling was named, and {tuned} has none of its own: the mean is taken; " in said
    assert said.count("No pooling was named") == 1


def test_what_was_computed_is_found_again(monkeypatch, tmp_path):
    base, tuned = save_models(tmp_path)
    words = ["probe=geometry", *settings(tmp_path, base, tuned, "probe.limit=30")]
    give(monkeypatch, *words)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.csv")}
    for name in ("_compare", "_spread"):
        monkeypatch.setattr(geometry_layers, name, lambda *again: pytest.fail("computed again"))
    (tmp_path / "out" / "findings.md").unlink()  # as if killed before it
    give(monkeypatch, *words)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.csv")} == before


def test_models_of_unlike_depth_are_compared_by_their_states_alone(monkeypatch, tmp_path):
    base, tuned = save_models(tmp_path)
    words = settings(tmp_path, base, tuned)
    words[0] = words[0].replace(f"path: {tuned}", f"path: {tuned}, layers: 1, init: random")
    give(monkeypatch, "probe=geometry", *words)
    assert not (tmp_path / "out" / "drift.csv").exists()
    rows = [row for row in table(tmp_path / "out" / "similarity.csv") if row["texts"] == "query"]
    assert [row["facing_layer"] for row in rows] == ["0", "0", "1", "1"]
    said = (tmp_path / "out" / "findings.md").read_text()
    assert "they differ in depth: 3 and 1" in said
    assert "- tuned: Random at the start, not read from a checkpoint: transformer.\n" in said
    assert "base: Random" not in said


def test_towers_of_unlike_width_have_no_alignment(monkeypatch, tmp_path):
    base, tuned = save_models(tmp_path)
    words = settings(tmp_path, base, tuned)
    query = Miniature(layers=1, width=64, init="random", path=None, pooling=Mean(), projection=WIDTH)
    build_dual_encoder(Local(str(tuned)), Mean(), query).save(tmp_path / "mini", "A tiny model for tests.")
    words[0] = f"{words[0].split(', tuned: ')[0]}, tuned: {tmp_path / 'mini'}}}"
    give(monkeypatch, "probe=geometry", *words)
    assert {row["model"] for row in table(tmp_path / "out" / "alignment.csv")} == {"base"}
    said = (tmp_path / "out" / "findings.md").read_text()
    assert "Alignment is not measured for tuned: its query tower's states have 64 dimensions" in said


def test_the_first_token_says_nothing_in_layer_0(monkeypatch, tmp_path):
    base, tuned = save_models(tmp_path)
    words = settings(tmp_path, base, tuned)
    words[0] = words[0].replace("pooling: mean", "pooling: cls, side: query")
    give(monkeypatch, "probe=geometry", *words)
    rows = table(tmp_path / "out" / "similarity.csv")
    assert {row["texts"] for row in rows} == {"query"}
    assert rows[0]["cka"] == rows[0]["rsa"] == ""
    assert rows[1]["cka"]
    assert "nothing is said of the likeness of tuned and base in layer 0" in (tmp_path / "out/findings.md").read_text()


def test_what_cannot_be_compared_is_refused(monkeypatch, capsys, tmp_path):
    base, tuned = save_models(tmp_path)
    words = ["probe=geometry", *settings(tmp_path, base, tuned)]
    assert "needs 20 queries" in refusal(monkeypatch, capsys, *words, "probe.limit=19")
    assert "probe.sample=5 must be" in refusal(monkeypatch, capsys, *words, "probe.sample=5")
    alone = ["models={base: minilm}" if word.startswith("models=") else word for word in words]
    assert "give two or more, the base first" in refusal(monkeypatch, capsys, *alone)
    sides = [word.replace("pooling: mean", "pooling: mean, side: query", 1) for word in words]
    assert "base has the side query where tuned has both" in refusal(monkeypatch, capsys, *sides)
