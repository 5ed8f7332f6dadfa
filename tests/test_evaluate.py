"""`evaluate.py` as it is used: models on a dataset, run files against judgements, and what it refuses."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from safetensors.torch import load_file

import evaluate as evaluate_command
from pipeline.evaluation import latency_measurement
from tests.encoders.test_weight_files import Caller
from tests.evaluation.conftest import save_tiny_model

ROOT = Path(__file__).resolve().parent.parent
TOPICS = ["wing", "heat", "flow", "shell", "wave", "jet", "plate", "shock", "gas", "tube", "rotor", "blade"]


def evaluate(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "evaluate.py", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300
    )


@pytest.fixture
def here(monkeypatch, capsys):
    """Give the command in this process, which has imported everything already, and return what it said."""

    def give(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *arguments])
        monkeypatch.chdir(ROOT)
        evaluate_command.main()
        return capsys.readouterr().out

    return give


@pytest.fixture
def refused(monkeypatch, capsys):
    """Give the command and return the one sentence that it is refused with."""

    def give(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *arguments])
        monkeypatch.chdir(ROOT)
        with pytest.raises(SystemExit) as stopped:
            evaluate_command.main()
        assert stopped.value.code == 2
        said = capsys.readouterr().err.strip()
        assert len(said.splitlines()) == 1, said
        return said

    return give


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    rows = [
        {"query": f"what {topic} {number}", "document": f"{topic} number {number} of {TOPICS[number % 5]}"}
        for topic in TOPICS
        for number in range(20)
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """A run folder, and a sentence-transformers folder of other weights."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "first_run").mkdir()
    save_tiny_model(folder / "first_run" / "model", seed=0)
    save_tiny_model(folder / "second", seed=1)
    return folder


def dataset_settings(pairs: Path, folder: Path, *more: str) -> list[str]:
    return [
        "dataset=jsonl",
        f"dataset.path={pairs}",
        f"folder={folder}",
        f"tables={pairs.parent / 'tables'}",
        "index=torch",
        "encoding.device=cpu",
        *more,
    ]


def write_runs(folder: Path) -> list[str]:
    """Two runs of twelve queries, one far better, and their judgements."""
    lines = {"good": [], "bad": []}
    for query in range(12):
        for name, scores in (("good", (2, 1)), ("bad", (1, 2))):
            lines[name] += [f"{query} Q0 right 1 {scores[0]} {name}", f"{query} Q0 wrong 2 {scores[1]} {name}"]
        lines["bad"] += [f"{query} Q0 worse 3 3 bad"] if query % 2 else []
    for name, content in lines.items():
        (folder / f"{name}.trec").write_text("\n".join(content))
    (folder / "qrels.txt").write_text("".join(f"{query} 0 right 1\n" for query in range(12)))
    return [f"run_files=[{folder}/good.trec,{folder}/bad.trec]", f"qrels={folder}/qrels.txt", f"folder={folder}/out"]


def test_a_backbone_without_weights_is_said_to_be_random(here, pairs, tmp_path):
    said = here(*dataset_settings(pairs, tmp_path / "out"), "models=[small_bert]", "measures=[mrr]")
    assert "dense: Random at the start, not read from a checkpoint: transformer." in said.splitlines()


def test_a_pickle_of_weights_is_converted_into_the_tables_and_never_run(here, refused, pairs, models, tmp_path):
    folder, tables = tmp_path / "pickled", tmp_path / "tables"
    shutil.copytree(models / "second", folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()

    def words(out: str) -> list[str]:
        return [*dataset_settings(pairs, tmp_path / out), f"tables={tables}", f"models=[{folder}]", "measures=[mrr]"]

    first = here(*words("first"))
    (kept,) = (tables / "weights").glob("*.safetensors")
    assert f"Converted {folder / 'pytorch_model.bin'} to safetensors, once for all runs: {kept}." in first
    torch.save({"encoder.x": Caller(tmp_path / "ran")}, folder / "pytorch_model.bin")
    assert "pytorch_model.bin is not read: it names" in refused(*words("second"))
    assert not (tmp_path / "ran").exists()


def test_a_plain_folder_is_named_with_what_train_would_be_told(here, models, pairs, tmp_path):
    plain = models / "second.plain"
    entry = f"{{model: local, settings: {{backbone: {{path: {plain}}}, encoder: {{similarity: dot}}}}}}"
    said = here(*dataset_settings(pairs, tmp_path / "out"), f"models=[{entry},{models / 'second'}]", "measures=[mrr]")
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    name = "second.plain_similarity-dot"
    assert list(metrics["systems"]) == ["bm25", name, f"{name}+bm25", "second", "second+bm25"]
    (note,) = [remark for remark in metrics["remarks"] if "pooling" in remark]
    assert note.startswith(f"{name}: No pooling was named, and {plain} has none of its own: the mean is taken")
    assert note in said.splitlines()
    assert f'{name} is backbone=local backbone.path="{plain}" encoder.similarity="dot".' in said.splitlines()


# --- run files


def test_a_baseline_may_be_named_by_a_number(here, tmp_path):
    *_, qrels, folder = write_runs(tmp_path)
    for number, name in enumerate(("good", "bad")):
        (tmp_path / f"{name}.trec").rename(tmp_path / f"{number}.trec")
    files = f"run_files=[{tmp_path}/0.trec,{tmp_path}/1.trec]"
    assert "randomisation test against 1" in here(files, qrels, folder, "measures=[mrr]", "baseline=1")


def test_trec_evals_own_run_has_trec_evals_figures(shared_data, tmp_path):
    data = shared_data / "trec_eval"
    done = evaluate(
        f"run_files=[{data}/results.test]",
        f"qrels={data}/qrels.test",
        "measures=[map,mrr,ndcg@10]",
        f"folder={tmp_path}/out",
    )
    assert done.returncode == 0, done.stderr
    for figure in ("0.1785", "0.4064", "0.3016"):
        assert figure in done.stdout
    means = json.loads((tmp_path / "out" / "metrics.json").read_text())["systems"]["results"]
    assert {name: round(value, 4) for name, value in means.items()} == {"map": 0.1785, "mrr": 0.4064, "ndcg@10": 0.3016}


def test_several_run_files_are_compared_and_marked(here, tmp_path):
    said = here(*write_runs(tmp_path), "measures=[mrr]")
    assert "1.0000ᵇ" in said
    assert "Fisher's paired randomisation test between every two systems" in said
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["systems"] == {"good": {"mrr": 1.0}, "bad": {"mrr": pytest.approx(5 / 12)}}
    # Of 2^12 sign patterns, only all plus and all minus are as extreme.
    assert metrics["significance"]["comparisons"][0]["p_value"] == pytest.approx(2 / 4096)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "metrics.json",
        "results.csv",
        "per_query.csv",
        "timings.json",
        "plots",
        "config.yaml",
        "overrides.yaml",
        "inputs.json",
        ".run.lock",
    }
    *files, _ = write_runs(tmp_path)
    assert "Student's paired t-test against bad" in here(
        *files, f"folder={tmp_path}/other", "test=student", "baseline=bad", "measures=[map]"
    )


def test_run_files_of_one_name_are_told_apart_by_their_folders(here, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "test.dense.trec").write_text("q Q0 d 1 1.0 tag\n")
    (tmp_path / "qrels").write_text("q 0 d 1\n")
    files = f"run_files=[{tmp_path}/one/test.dense.trec,{tmp_path}/two/test.dense.trec]"
    here(files, f"qrels={tmp_path}/qrels", "measures=[mrr]", f"folder={tmp_path}/out")
    systems = json.loads((tmp_path / "out" / "metrics.json").read_text())["systems"]
    assert list(systems) == ["one_test.dense", "two_test.dense"]


def test_results_of_another_collection_are_said(here, tmp_path):
    (tmp_path / "r.trec").write_text("1 Q0 seven 1 1 tag\n1 Q0 8 2 0 tag\n")
    (tmp_path / "qrels").write_text("1 0 7 1\n")
    said = here(f"run_files=[{tmp_path}/r.trec]", f"qrels={tmp_path}/qrels", "measures=[map]", f"folder={tmp_path}/out")
    assert "r: queries, all of the run, without one judged result (do the ids belong together?): 1." in said


def test_numbers_with_the_zero_of_a_data_frame_are_ids(here, tmp_path):
    """By hand: q1 finds 7 at 2 of 2; the other query is 2 in one file and 2.0 in the other, and finds 3 at 1."""
    (tmp_path / "floats.trec").write_text("1.0 Q0 8.0 1 2 t\n1.0 Q0 7.0 2 1 t\n2 Q0 3 1 1 t\n")
    (tmp_path / "plain.trec").write_text("1 Q0 8 1 2 t\n1 Q0 7 2 1 t\n2 Q0 3 1 1 t\n")
    (tmp_path / "qrels").write_text("1 0 7 1\n2.0 0 3.0 1\n")
    files = f"run_files=[{tmp_path}/floats.trec,{tmp_path}/plain.trec]"
    said = here(files, f"qrels={tmp_path}/qrels", "measures=[map]", f"folder={tmp_path}/out")
    systems = json.loads((tmp_path / "out" / "metrics.json").read_text())["systems"]
    assert systems == {"floats": {"map": 0.75}, "plain": {"map": 0.75}}
    assert "floats: ids that are numbers with or without the .0 of a data frame, unlike the judgements': 4." in said
    assert "plain: ids that are numbers with or without the .0 of a data frame, unlike the judgements': 2." in said


def test_odd_run_files_are_scored_as_trec_eval_scores_them_and_that_is_said(here, tmp_path):
    """Worked by hand: score, then id, both descending, is d4 d3 d2 d1 d0, so MAP is (1/2 + 2/5) / 2 / 3."""
    (tmp_path / "qrels").write_text("q0 0 d0 1\nq0 0 d3 2\nq1 0 d4 1\nq2 0 d1 0\n")
    for name, score in (("tied", lambda _: 1.0), ("against", lambda place: place)):
        rows = [f"q0 Q0 d{place} {place + 1} {score(place)} tag\n" for place in range(5)]
        (tmp_path / f"{name}.trec").write_text("".join(rows))
    files = f"run_files=[{tmp_path}/tied.trec,{tmp_path}/against.trec]"
    said = here(files, f"qrels={tmp_path}/qrels", "measures=[map]", f"folder={tmp_path}/out")
    systems = json.loads((tmp_path / "out" / "metrics.json").read_text())["systems"]
    assert [round(system["map"], 4) for system in systems.values()] == [0.15, 0.15]
    assert said.count("queries whose ranks say another order than score, then id") == 1
    assert "tied: queries whose results all have one score, so that ids alone order them: 1." in said
    assert "Queries without a document of grade 1 or more, which count 0: 1." in said
    assert "tied: queries without results, which count 0: 2." in said


# --- models


def test_one_model_stands_beside_bm25_and_their_hybrid(here, pairs, models, tmp_path):
    said = here(f"models=[{models}/first_run]", *dataset_settings(pairs, tmp_path / "out"))
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert list(metrics["systems"]) == ["bm25", "dense", "hybrid"]
    assert metrics["details"]["hybrid"]["tuned_on"] == "validation"
    assert "From bm25 to dense" in (tmp_path / "out" / "plots" / "per_query.svg").read_text()
    assert "tuned on validation" in said
    runs = {path.name for path in (tmp_path / "out" / "runs").iterdir()}
    assert runs == {"test.bm25.trec", "test.dense.trec", "test.hybrid.trec"}


def test_several_models_share_one_bm25_and_are_compared_under_their_own_names(here, pairs, models, tmp_path):
    given = f"models=[{models}/first_run,{models}/second]"
    here(given, *dataset_settings(pairs, tmp_path / "out", "baseline=first_run"))
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert list(metrics["systems"]) == ["bm25", "first_run", "first_run+bm25", "second", "second+bm25"]
    assert metrics["significance"]["baseline"] == "first_run"
    assert "From first_run to second" in (tmp_path / "out" / "plots" / "per_query.svg").read_text()
    before = (tmp_path / "out" / "metrics.json").read_bytes()
    (tmp_path / "out" / "metrics.json").unlink()  # as if killed before it
    here(given, *dataset_settings(pairs, tmp_path / "out", "baseline=first_run"))
    assert (tmp_path / "out" / "metrics.json").read_bytes() == before


def test_reranking_stops_early_where_only_the_best_are_kept(here, pairs, models, tmp_path):
    settings = [
        f"models=[{models}/first_run]",
        "measures=[ndcg@10]",
        "hybrid_normalisation=raw",
        "hybrid_weights=[0.5]",
    ]
    here(*settings, *dataset_settings(pairs, tmp_path / "whole"))
    said = here(*settings, *dataset_settings(pairs, tmp_path / "early", "hybrid_depth=10"))
    whole, early = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("whole", "early"))
    details = early["details"]["hybrid"]
    assert 0 < details["dense_scored"] < details["candidates"]
    assert f"scored {details['dense_scored']:,} of {details['candidates']:,} candidates" in " ".join(said.split())
    assert early["systems"]["dense"] == whole["systems"]["dense"]
    lines = [(tmp_path / name / "runs" / "test.hybrid.trec").read_text().splitlines() for name in ("whole", "early")]
    assert [line for line in lines[0] if int(line.split()[3]) <= 10] == lines[1]
    assert early["systems"]["hybrid"] == whole["systems"]["hybrid"]


def test_a_run_folder_and_its_model_folder_are_one_model(here, pairs, models, tmp_path):
    for name, entry in (("run", models / "first_run"), ("model", models / "first_run" / "model")):
        here(f"models=[{entry}]", *dataset_settings(pairs, tmp_path / name))
    assert (tmp_path / "run" / "metrics.json").read_bytes() == (tmp_path / "model" / "metrics.json").read_bytes()


def test_a_written_run_scores_as_it_did_when_it_was_made(here, pairs, models, tmp_path):
    here(f"models=[{models}/second]", *dataset_settings(pairs, tmp_path / "out"))
    made = json.loads((tmp_path / "out" / "metrics.json").read_text())
    queries = {line.split(",")[0] for line in (tmp_path / "out" / "per_query.csv").read_text().splitlines()[1:]}
    assert len(queries) == made["queries"]
    run = f"{tmp_path}/out/runs/test.dense.trec"
    ids = sorted({line.split()[0] for line in Path(run).read_text().splitlines()})
    (tmp_path / "qrels").write_text("".join(f"{query} 0 nothing 1\n" for query in ids))
    here(f"run_files=[{run}]", f"qrels={tmp_path}/qrels", "measures=[mrr]", f"folder={tmp_path}/again")
    again = json.loads((tmp_path / "again" / "metrics.json").read_text())
    assert again["systems"] == {"test.dense": {"mrr": 0.0}}
    assert again["queries"] == made["queries"]


def test_latency_is_a_file_a_column_and_a_picture_and_leaves_the_metrics_as_they_are(
    here, pairs, models, tmp_path, monkeypatch
):
    monkeypatch.setattr(latency_measurement, "SECONDS", 0.01)
    given = f"models=[{models}/first_run,{models}/second]"
    settings = dataset_settings(pairs, tmp_path / "out", "latency=true")
    assert "query ms" not in here(given, *dataset_settings(pairs, tmp_path / "without"))
    assert not (tmp_path / "without" / "latency.csv").exists()
    said = here(given, *settings)
    assert here(given, *settings) == said  # finished: measured once
    assert (tmp_path / "out" / "metrics.json").read_bytes() == (tmp_path / "without" / "metrics.json").read_bytes()
    with open(tmp_path / "out" / "latency.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["side"], row["batch_size"]) for row in rows] == [
        (model, side, size)
        for model in ("first_run", "second")
        for side in ("query", "document")
        for size in ("1", "32", "256")
    ]
    lines = said.splitlines()
    assert "query ms" in next(line for line in lines if "system" in line)
    # Two dense systems have a cell, BM25 and the hybrids have none.
    assert sum("(1×)" in line for line in lines) == 2
    assert "(batch 1, " in said
    assert "scaled: their 12 × 768 lies on" in (tmp_path / "out" / "plots" / "quality_latency.svg").read_text()
    assert (tmp_path / "out" / "plots" / "quality_latency.png").exists()


# --- help and composition


@pytest.mark.parametrize("argument", ["--help", "--cfg=job"])
def test_help_and_composition_do_not_wait_for_heavy_imports(argument):
    command = [sys.executable, "-X", "importtime", "evaluate.py", argument]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "run_files" in done.stdout
    for heavy in ("torch", "ranx", "transformers", "faiss", "matplotlib", "datasets", "pytorch_lightning"):
        assert not re.search(rf"\| +{heavy}\n", done.stderr), heavy


def test_nothing_is_left_in_the_working_folder(here, tmp_path):
    before = set(ROOT.iterdir())
    here(*write_runs(tmp_path), "measures=[mrr]")
    assert {path.name for path in set(ROOT.iterdir()) - before} <= {"outputs", "train.log"}


@pytest.mark.parametrize(
    "override", ["index=torch", "index=faiss_ivf", "dataset=beir", "dataset=squad", "lexical=bm25"]
)
def test_groups_of_training_are_the_groups_of_evaluation(override):
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        group = override.split("=")[0]
        assert compose("evaluate", [override])[group] == compose("train", [override])[group]


def test_settings_that_both_commands_have_have_one_default():
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        ours, theirs = compose("evaluate"), compose("train")
    assert ours.encoding == theirs.encoding
    assert ours.tables == theirs.tables
    for key in ("split", "measures", "k", "hybrid_weights", "hybrid_normalisation", "hybrid_depth"):
        assert ours[key] == theirs.evaluation[key], key


# --- bad input


def test_bad_input_ends_the_command_with_one_sentence_and_status_2(tmp_path):
    done = evaluate(*write_runs(tmp_path), "measures=[ndgc@10]")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "error: ndgc@10 is not a measure; did you mean ndcg?\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Give either models=[…] with a dataset, or run_files=[…] with qrels=…, or sweep=FOLDER alone."),
        (["models=[minilm]", "run_files=[a]"], "or sweep=FOLDER alone"),
        (["models=[no/such/*]"], "models: no folder matches no/such/*."),
        (["models=[minilm]", "relevant_from=2"], "relevant_from would change nothing beside models=…"),
        (["models=[minilm]", "qrels=a"], "qrels would change nothing beside models=…"),
        (["run_files=[a]", "qrels=b", "k=10"], "k would change nothing beside run_files=…"),
        (["run_files=[a]", "qrels=b", "dataset=beir", "dataset.path=c"], "dataset would change nothing"),
        (["run_files=[a]", "qrels=b", "hybrid_weights=[0.5]"], "hybrid_weights would change nothing"),
        (["sweep=no/such", "measures=[mrr]"], "measures would change nothing beside sweep=…"),
        (["sweep=no/such", "folder=x"], "folder would change nothing beside sweep=…"),
        (["compare=[no/such]", "level=0.01"], "level would change nothing beside compare=…"),
        (["sweep=no/such"], "sweep=no/such has no finished run folder in it"),
        (["run_files=[a.trec]"], "run_files needs judgements; give them as qrels=FILE."),
        (
            ["run_files=[a]", "qrels=b", "run_columns=trec"],
            "run_columns=trec must be a list, such as [query,document,rank]",
        ),
        (["models=[minilm]", "run_columns=[query]"], "run_columns would change nothing beside models=…"),
        (["run_files=1", "qrels=b"], "run_files=1 must be a list; write run_files=[1]."),
        (["models=[minilm]", "hybrid_weights=0.5"], "hybrid_weights=0.5 must be a list; write hybrid_weights=[0.5]."),
        (["run_files=a.trec", "qrels=b"], "run_files=a.trec must be a list; write run_files=[a.trec]."),
        (["models=[minilm]", "test=fischer"], "test=fischer is unknown; did you mean fisher?"),
        (["models=[minilm]", "level=0"], "level=0 must be above 0 and below 1"),
        (["models=[minilm]", "level=5"], "level=5 must be above 0 and below 1, such as 0.05"),
        (["models=[minilm]", "level=1e-6"], "level=1e-06 is below 0.0001, the least for test=fisher"),
        (["run_files=[a]", "qrels=b", "relevant_from=0"], "relevant_from=0 must be a whole number of at least 1"),
        (["models=[minilm]", "latency=maybe"], "latency=maybe must be true or false."),
        (["run_files=[a]", "qrels=b", "latency=true"], "latency=true times encoders, and run files have none"),
        (["models=[minilm]", "measures=[]"], "No measure is asked for"),
        (["models=[minilm]", "baseline=dence"], "baseline=dence is not among the systems compared; did you mean dense"),
        (["models=[minilmm]"], "models: minilmm is neither a folder nor a backbone; did you mean minilm"),
        (["models=[no/such/folder]"], "models: no/such/folder does not exist"),
        (["models=[minilm]", "mesures=[map]"], "mesures is not a setting; did you mean measures"),
        (["models=[minilm]", "dataset=bier"], "dataset=bier is not a configuration; did you mean beir"),
        (["models=[minilm]", "lexical.b=2"], "lexical.b=2"),
        (["models=[minilm]", "encoding.token_budget=0"], "encoding.token_budget=0 must be a whole number"),
        (["run_files=[no.trec]", "qrels=no.txt"], "no.txt does not exist"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(refused, arguments, sentence):
    assert sentence in refused(*arguments)


@pytest.mark.parametrize(
    ("run", "qrels", "sentence"),
    [
        ("q Q0 d 0.5", "q 0 d 1", "run.trec: 4 columns, which could be [query,document,rank,score]"),
        ("q Q0 d 1 nan tag", "q 0 d 1", "run.trec, line 1: the score nan is not finite"),
        ("q Q0 d 1 high tag", "q 0 d 1", "run.trec, line 1: the score 'high' is not a number"),
        ("q Q0 d 1 2 t\nq Q0 d 2 1 t", "q 0 d 1", "run.trec, line 2: document d occurs a second time for query q"),
        ("q Q0 d 1 0.5 tag", "other 0 d 1", "No query of the run run was judged"),
        ("q Q0 d 1 0.5 tag", "q 0 d high", "qrels.txt, line 1: the grade 'high' is not a whole number"),
        ("q Q0 d 1 0.5 tag", "q d", "qrels.txt, line 1: 2 columns where judgements have 4"),
        ("", "q 0 d 1", "run.trec holds no result"),
        ("q Q0 d 1 0.5 tag", "", "qrels.txt holds no judgement"),
    ],
)
def test_files_that_cannot_be_understood_are_refused(refused, tmp_path, run, qrels, sentence):
    (tmp_path / "run.trec").write_text(run)
    (tmp_path / "qrels.txt").write_text(qrels)
    said = refused(f"run_files=[{tmp_path}/run.trec]", f"qrels={tmp_path}/qrels.txt", f"folder={tmp_path}/out")
    assert sentence in said
    assert not (tmp_path / "out").exists()


def test_a_file_given_twice_is_refused(refused, tmp_path):
    write_runs(tmp_path)
    files = f"run_files=[{tmp_path}/good.trec,{tmp_path}/good.trec]"
    assert f"{tmp_path}/good.trec is given twice" in refused(files, f"qrels={tmp_path}/qrels.txt")


def test_a_k_above_the_corpus_and_a_missing_split_are_refused(refused, pairs, models, tmp_path):
    settings = [f"models=[{models}/second]", *dataset_settings(pairs, tmp_path / "out")]
    assert "k is 100,000 but the corpus has only" in refused(*settings, "k=100000")
    assert "map@1000 looks deeper than the 50 results that are kept" in refused(*settings, "k=50")
    assert "has no split 'dev'" in refused(*settings, "split=dev")
    assert "goes with hybrid_normalisation=raw alone" in refused(*settings, "hybrid_depth=10")
    assert "map@1000 looks at" in refused(*settings, "hybrid_depth=10", "hybrid_normalisation=raw")
    assert not (tmp_path / "out").exists()


def test_folders_that_are_no_models_are_refused_before_encoding(refused, pairs, models, tmp_path):
    (tmp_path / "unfinished" / "checkpoint").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    settings = dataset_settings(pairs, tmp_path / "out")
    assert "is a run folder without a model" in refused(f"models=[{tmp_path}/unfinished]", *settings)
    tables = [setting for setting in settings if not setting.startswith("tables=")] + [f"tables={tmp_path}/tables"]
    assert str(tmp_path / "empty") in refused(f"models=[{models}/second,{tmp_path}/empty]", *tables)
    assert not (tmp_path / "tables" / "vectors").exists()


# --- a root of several collections


def write_collection(folder: Path, found: list[bool]) -> None:
    """A collection in BEIR's layout whose queries name the judged document, or another."""
    (folder / "qrels").mkdir(parents=True)
    words = TOPICS[: len(found) + 2]
    documents = [{"_id": f"d{n}", "text": f"about {word}"} for n, word in enumerate(words)]
    queries = [{"_id": f"q{n}", "text": words[n if right else n + 1]} for n, right in enumerate(found)]
    for name, rows in (("corpus", documents), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (folder / "qrels" / "test.tsv").write_text("".join(f"q{n}\td{n}\t1\n" for n in range(len(found))))


def test_the_figure_of_a_root_is_the_mean_of_its_collections(here, refused, models, tmp_path):
    """As BEIR's authors count CQADupStack: every collection the same, however many queries it has."""
    root, out = tmp_path / "cqadupstack", tmp_path / "out"
    write_collection(root / "android", [True])
    write_collection(root / "tex", [True, False, False])
    words = [f"models=[{models}/second]", "dataset=beir", f"dataset.path={root}", f"tables={tmp_path}/tables"]
    words += ["index=torch", "encoding.device=cpu", "measures=[hit_rate@1]", f"folder={out}"]
    said = here(*words)
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["systems"]["bm25"] == {"hit_rate@1": pytest.approx((1 + 1 / 3) / 2)}
    assert (metrics["dataset"], metrics["queries"], metrics["documents"]) == ("cqadupstack", 4, 8)
    assert "Mean of the figures of 2 collections, each evaluated by itself: android, tex." in said
    parts = {name: json.loads((out / name / "metrics.json").read_text())["systems"] for name in ("android", "tex")}
    assert metrics["parts"] == parts
    assert parts["tex"]["bm25"] == {"hit_rate@1": pytest.approx(1 / 3)}
    for system in ("dense", "hybrid"):
        both = [part[system]["hit_rate@1"] for part in parts.values()]
        assert metrics["systems"][system] == {"hit_rate@1": pytest.approx(sum(both) / 2)}
    assert "cqadupstack,test,bm25,0.666667" in (out / "results.csv").read_text().splitlines()
    before = (out / "metrics.json").stat().st_mtime_ns
    assert here(*words).endswith(f"Written to {out}.\n")
    assert (out / "metrics.json").stat().st_mtime_ns == before
    assert "which are compared one by one: compare=[" in refused(f"compare=[{out}]")
    (root / "tex" / "qrels" / "test.tsv").rename(root / "tex" / "qrels" / "dev.tsv")
    assert "The dataset tex has no split 'test'" in refused(*words[:-1], f"folder={tmp_path}/other")
    assert not (tmp_path / "other").exists()
