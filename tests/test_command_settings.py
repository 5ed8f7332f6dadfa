"""No setting of `probe.py` and `evaluate.py` is accepted and ignored: each, changed, makes a difference or is refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from pipeline.entry import instantiate
from pipeline.errors import UserError
from pipeline.evaluation.command import _check, _prepared, _scored
from pipeline.evaluation.modes import require_used as require_used_by_mode
from pipeline.probing.command import _found, _subject, require_used
from pipeline.retrieval.faiss_index import FaissIndex
from tests.conftest import ROOT
from tests.evaluation.conftest import save_tiny_model
from tests.settings import SHARED_REASONS, figures_of, ignored, said, settings_of, write_rows

REASONS = SHARED_REASONS | {
    "trust_remote_code": "of folders that hold code",
    "sweep": "of finished folders: alone, and refused beside others",
    "compare": "of finished folders: alone, and refused beside others",
    "pair": "which file of conf/pair was chosen",
    "latency": "of seconds, which are never the same: its own tests have it",
}
"""Settings whose change leaves all figures as they are."""

IDS = "what results call them, and this one calls none, and in which order queries are taken"
ONE = {
    "geometry": {"dataset.query_id": IDS, "dataset.document_id": IDS},
    "linear": {"probe.published": "what is drawn beside the curves, not what they are"},
    "attribution": {
        "probe.quadrature.most_points": "of texts that are not complete sooner",
        "lexical.method": "here the first three are the same",
        "lexical.stopwords": "here the first three are the same",
    },
}
"""Settings of one probe that do so too."""

SMALL = ["probe.facts=4", "probe.neurons=3", "probe.control_queries=8", "probe.control_seeds=1", "probe.measures=[mrr]"]
PROBES = {
    "geometry": ["probe=geometry", "probe.sample=20"],
    "linear": [
        "probe=linear",
        "probe.candidates=[2]",
        "probe.probes=[bilinear]",
        "probe.seeds=[0]",
        "probe.learning_rates=[0.1]",
        "probe.epochs=2",
        "probe.patience=1",
        "negatives.depth=5",
    ],
    "attribution": [
        "probe=attribution",
        "probe.limit=12",
        "probe.target=margin",
        "probe.thresholds=[0.2]",
        "negatives.depth=3",
    ],
    "attribution of lengths": ["probe=attribution", "probe.limit=12", "probe.thresholds=[0.2]"],
    "intervention": [
        "probe=intervention",
        "probe.action=amplify",
        "dataset.document=title",
        "dataset.title=null",
        *SMALL,
        "probe.neurons=12",
        "probe.threshold=0.5",
    ],
    "places": ["probe=intervention", "probe.places=[[0,1]]", *SMALL],
    "relearning": [
        "probe=relearning",
        "probe.measures=[mrr]",
        "dataset.query_id=number",
        "dataset.document_id=number",
        "dataset.split={train: 1, validation: 0, test: 0}",
    ],
    "swap": ["probe=swap", "probe.measures=[mrr]", "probe.steps=2", "probe.documents=42", "probe.limit=12"],
}
"""What each probe is asked for; of what all of them have, the first probe's are changed."""
EACH = ("probe", "models", "negatives", "lexical", "protocol", "published", "seed")
"""Groups that count with some probes and not with others."""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Path]:
    """Two models, questions with titled answers, and what a probe of twins and run files need."""
    folder = tmp_path_factory.mktemp("commands")
    write_rows(folder / "pairs.jsonl")
    for seed, name in enumerate(("base", "tuned")):
        save_tiny_model(folder / name, seed=seed)
    topics = ("wing", "heat", "flow")
    facts = [{"document": f"{topic}1", "queries": [f"{topic}1"]} for topic in topics]
    (folder / "groups.json").write_text(json.dumps({"facts": facts, "control": [f"{topic}2" for topic in topics]}))
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):  # models are opened under it, as in a command
        yield folder


def composed(place: Path, command: str, *words: str) -> DictConfig:
    """Compose the configuration of a command over the rows."""
    shared = [f"tables={place / 'tables'}", "encoding.device=cpu", "encoding.precision=float32"]
    rows = ["dataset=jsonl", f"dataset.path={place / 'pairs.jsonl'}", "split=train"]
    rows += ["dataset.title=title", "dataset.negative=wrong"]
    return compose(command, overrides=[*shared, *([] if "run_files" in " ".join(words) else rows), *words])


def probed(config: DictConfig, key: str) -> str:
    """Probe, and give what is written down."""

    def find() -> list[Any]:
        probe = instantiate(config.probe)
        require_used(config, probe, [f"{key}=x"] if key else [])
        subject = _subject(config, probe)
        probe.prepare(subject)
        found = _found(probe, subject)
        return [found.summary, found.tables, found.findings]

    return said(find)


@pytest.mark.parametrize("name", PROBES)
def test_no_setting_of_a_probe_is_accepted_and_ignored(place, name):
    both = f"{{base: {{model: '{place}/base', side: both}}, tuned: {{model: '{place}/tuned', normalise: false}}}}"
    groups = [f"probe.groups={place / 'groups.json'}"] if name == "relearning" else []
    config = composed(place, "probe", f"models={both}", *PROBES[name], *groups)
    first = name == next(iter(PROBES))
    keys = [
        key for key in settings_of(config) if key not in REASONS | ONE.get(name, {}) and not key.startswith("hydra.")
    ]
    keys = [key for key in keys if first or key.startswith(EACH)]
    assert ignored(config, keys, probed) == []


def scored(config: DictConfig, key: str) -> str:
    """Score and compare, and give what is written down."""

    def find() -> list[Any]:
        require_used_by_mode(config, [f"{key}=x"] if key else [])
        _check(config)
        results = _scored(config, _prepared(config))
        return [[figures_of(system) for system in results.systems.values()], results.significance, results.remarks]

    return said(find)


def write_runs(place: Path) -> list[str]:
    """Write two runs and judgements in two grades."""
    for name, step in (("one", 1), ("two", 2)):
        lines = [
            f"{query} Q0 {(document * step) % 7} {document} {9 - document} {name}"
            for query in range(12)
            for document in range(1, 6)
        ]
        (place / f"{name}.trec").write_text("\n".join(lines))
    (place / "qrels.txt").write_text("".join(f"{query} 0 {query % 7} {1 + query % 2}\n" for query in range(12)))
    return [f"run_files=['{place}/one.trec','{place}/two.trec']", f"qrels={place}/qrels.txt", "measures=[mrr]"]


@pytest.mark.parametrize("mode", ["models", "run_files"])
def test_no_setting_of_an_evaluation_is_accepted_and_ignored(place, mode):
    words = write_runs(place) if mode == "run_files" else [f"models=['{place}/base']", "measures=[mrr,ndcg@10]"]
    config = composed(place, "evaluate", *words)
    keys = [key for key in settings_of(config) if key not in REASONS and not key.startswith("hydra.")]
    assert ignored(config, keys, scored) == []


@pytest.mark.parametrize("setting", ["fp16", "shard"])
def test_what_is_of_gpus_is_refused_on_the_processor(setting):
    with pytest.raises(UserError, match=f"index.{setting}=True is of GPUs and would change nothing"):
        FaissIndex(device="cpu", **{setting: True})


def test_reasons_are_of_settings_that_there_are(place):
    configs = [composed(place, "evaluate"), *(composed(place, "probe", *PROBES[name]) for name in ONE)]
    assert {*REASONS, *(key for of in ONE.values() for key in of)} - {
        key for config in configs for key in settings_of(config)
    } == set()
