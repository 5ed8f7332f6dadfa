"""Models that retrieve from a split of a dataset, beside one BM25."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

from pipeline.checks import text
from pipeline.data.source import open_dataset
from pipeline.encoders.backbones import Kind
from pipeline.entry import instantiate
from pipeline.evaluation.latency import Latencies
from pipeline.evaluation.latency_measurement import QUERIES, measure_latency
from pipeline.evaluation.models import NamedModel, find_models
from pipeline.evaluation.names import HYBRID
from pipeline.evaluation.report import require_letters
from pipeline.evaluation.results import Prepared, Results
from pipeline.evaluation.scoring import Retriever
from pipeline.evaluation.significance import require_baseline

KINDS: tuple[Kind, ...] = ("query", "document")


def prepare_models(config: DictConfig) -> Prepared:
    """Open what shall be scored: every model of a configuration, alone and with BM25.

    Raises:
        UserError: When a model, the dataset or a setting cannot be used.
    """
    models = find_models(config.models)
    require_letters(1 + 2 * len(models))
    names = system_names(models)
    require_baseline(config.baseline, ["bm25", *(name for pair in names for name in pair)])
    retriever = _retriever(config)
    inputs = {"dataset": retriever.dataset.fingerprint}
    for model in reversed(models):  # whatever is wrong with the last one is said before hours of encoding
        loaded = [model.load(config.trust_remote_code)]
        retriever.require(loaded[0])
        inputs |= {f"{kind} tower of {model.name}": loaded[0].tower(kind).fingerprint(kind) for kind in KINDS}

    def score() -> Results:
        systems, notes = retriever.bm25(), []
        for model, (dense, hybrid) in zip(models, names, strict=True):
            dual_encoder = loaded.pop() if loaded else model.load(config.trust_remote_code)
            systems |= retriever.encoder(dual_encoder, dense, hybrid)
            systems[dense].details.update({} if model.keeps_its_name else {"source": model.source})
            systems[dense].details.update({"drawn": dual_encoder.drawn} if dual_encoder.drawn else {})
            notes += [f"{dense}: {note}" for note in dual_encoder.notes]
        results = retriever.results(systems, notes)
        if not config.latency:
            return results
        return replace(results, latency=_latency(config, models, [dense for dense, _ in names], retriever))

    return Prepared(inputs, score, [dense for dense, _ in names])


def _latency(config: DictConfig, models: list[NamedModel], systems: list[str], retriever: Retriever) -> Latencies:
    """Time the models' encoders on the first queries of the scored split."""
    loaded = (
        (system, model.name, model.load(config.trust_remote_code))
        for system, model in zip(systems, models, strict=True)
    )
    queries = retriever.split.queries
    return measure_latency(loaded, queries.take(slice(min(QUERIES, len(queries)))), retriever.encoding)


def _retriever(config: DictConfig) -> Retriever:
    lexical, index = instantiate(config.lexical), instantiate(config.index)
    encoding = instantiate(config.encoding)
    return Retriever(
        open_dataset(instantiate(config.dataset), Path(text("tables", config.tables))),
        config.split,
        lexical=lexical,
        index=index,
        encoding=encoding,
        store=Path(config.tables),
        measures=config.measures,
        k=config.k,
        hybrid_weights=config.hybrid_weights,
        hybrid_normalisation=config.hybrid_normalisation,
        hybrid_depth=config.hybrid_depth,
    )


def system_names(models: Sequence[NamedModel]) -> list[tuple[str, str]]:
    """Name each model's dense and hybrid system; a single model needs no name of its own."""
    if len(models) == 1:
        return [("dense", "hybrid")]
    return [(model.name, HYBRID.format(model.name)) for model in models]
