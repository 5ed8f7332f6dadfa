"""No setting is accepted and ignored: each, changed, makes a difference or is refused, or stands here with its reason."""

from typing import Any

import pytest
from omegaconf import DictConfig

from pipeline.training.cell import Cell
from tests.cells import Cells
from tests.settings import SHARED_REASONS, changed, figures_of, ignored, said, settings_of, write_rows
from tests.test_train import tiny_bert  # noqa: F401

LATER = "of runs longer than these: tests of training have it"
REASONS = SHARED_REASONS | {
    "preview": "of sweeps; refused by `run_cell`",
    "threads": "how fast a run is; only last bits depend on it",
    "backbone.name": "what messages call it",
    "backbone.trust_remote_code": "of folders that hold code",
    "stage.checkpoint_every": "how much a killed run has to do again",
    "stage.patience": LATER,
    "stage.align.patience": LATER,
    "stage.sentences": "where sentences are among the texts, as its comment says",
    "stage.align.sentences": "where sentences are among the texts, as its comment says",
    "trainer.deterministic": "of GPUs: on CPUs all that is used here is deterministic",
}
"""Settings whose change leaves all figures of these cells as they are."""

UNTRAINED = {
    "backbone.freeze": "parts that training leaves as they are",
    "negatives": "what a query is told apart from",
    "seed": "what is drawn: nothing is",
    "trainer": "how training goes",
}
"""Settings without a use where nothing is trained: a sweep has `stage=zero_shot` beside stages that have."""

IDLE = {
    ("stage=align", "query=static", "stage.monitor=ndcg@10"): {
        "stage.dropout": "a look-up has no dropout",
        "stage.weight_decay": "token vectors that are in no text of a step would shrink all the same",
        "trainer.gradient_clip_val": "sparse gradients cannot be clipped, as its comment says",
    },
    ("stage=mse", "query=twin"): {
        "stage.temperature": "of the contrastive objective, beside which a sweep has this one",
        "stage.normalisation": "of the contrastive objective, beside which a sweep has this one",
    },
}
"""Settings without a use in a combination, and with one in others."""

CELLS = {
    "untrained": ["stage=zero_shot", "query=twin"],
    "torch index": ["stage=zero_shot", "index=torch"],
    "graph index": ["stage=zero_shot", "index=faiss_hnsw", "index.factory=HNSW2", "index.search_parameters.efSearch=2"],
    "clustered index": ["stage=zero_shot", "index=faiss_ivf", "index.factory='IVF4,Flat'"],
    "trained": ["query=twin", "stage.learning_rate=0.1"],
    "given negatives": ["negatives=given"],
    "mined negatives": ["negatives=bm25"],
    "static": ["stage=joint", "query=static"],
    "align": ["stage=align", "query=first_k", "query.layers=first 1", "stage.monitor=ndcg@10"],
    "daft": ["stage=daft", "query=miniature", "query.width=64", "query.projection=32"],
    "selective": ["stage=zero_shot", "query=selective"],
    "another": ["stage=zero_shot", "query=local", "query.backbone.path=${backbone.path}"],
    "shared projection": ["stage=zero_shot", "query=shared_projection"],
    "masked": ["stage=mlm", "stage.warmup_steps=1", "stage.batch_size=4", "stage.held_out_share=0.2"],
    "continued": ["stage=zero_shot", "init=continued", "pretraining.max_steps=1"],
}
"""Cells that have every setting of `train.yaml` and of its groups between them."""


@pytest.fixture(scope="module")
def cells(tiny_bert, tmp_path_factory) -> Cells:  # noqa: F811
    """Tiny cells over questions with titled answers, wrong answers and ids."""
    made = Cells(tmp_path_factory.mktemp("cells"))
    write_rows(made.place / "pairs.jsonl")
    made.common = ["backbone=local", f"backbone.path={tiny_bert}", "backbone.layers=2"]
    made.common += ["dataset.title=title", "dataset.negative=wrong", "encoding.precision=float32"]
    return made


def outcome(cells: Cells, config: DictConfig) -> str:
    """Train and score a cell, and write down all that anybody would read of it; or the sentence that it is refused with."""
    return said(lambda: _figures(cells, config))


def _figures(cells: Cells, config: DictConfig) -> list[Any]:
    cell = cells.made(config)
    if not isinstance(cell, Cell):
        words: Any = cell.pretraining.train(cell.folder.path, None)
        towers, systems = [cell.pretraining.bench.tower], {}
    else:
        words = cell._training()(None) | {"drawn": cell.drawn, "pretraining": cell.pretraining}
        systems = cell.retriever.bm25() | cell.retriever.encoder(cell.dual_encoder)
        towers = [cell.dual_encoder.query, cell.dual_encoder.document]
    return [
        words,
        [figures_of(system) for system in systems.values()],
        [tower.fingerprint("query") for tower in towers],
    ]


@pytest.fixture(scope="module")
def configs(cells) -> dict[str, DictConfig]:
    """The configuration of every cell."""
    return {name: cells.compose(*words) for name, words in CELLS.items()}


def of_its_own(configs: dict[str, DictConfig], name: str) -> list[str]:
    """Give the settings of a cell that no cell before it has; those of masked language modelling are like no others'."""

    def looked_at(one: str) -> set[str]:
        idle = ["logger", "pretraining.stage", *(UNTRAINED if "stage=zero_shot" in CELLS[one] else ())]
        return {
            key for key in settings_of(configs[one]) if not any(f"{key}.".startswith(f"{group}.") for group in idle)
        }

    names = list(CELLS)
    before = set().union(*map(looked_at, names[: names.index(name)]))
    masked = name == "masked"
    return sorted(key for key in looked_at(name) if key not in before or (masked and key.startswith("stage.")))


@pytest.mark.parametrize("name", CELLS)
def test_no_setting_of_training_is_accepted_and_ignored(cells, configs, name):
    keys = [key for key in of_its_own(configs, name) if key not in REASONS]
    assert ignored(configs[name], keys, lambda config, key: outcome(cells, config)) == []


def test_reasons_are_of_settings_that_there_are(configs):
    assert REASONS.keys() - {key for config in configs.values() for key in settings_of(config)} == set()


@pytest.mark.parametrize("words", IDLE, ids=" ".join)
def test_what_is_idle_in_a_combination_is_so(cells, words):
    config = cells.compose(*words, "query.init=token_embeddings" if "query=static" in words else "seed=0")
    before = outcome(cells, config)
    assert [key for key in IDLE[words] if outcome(cells, changed(config, key)) != before] == []
