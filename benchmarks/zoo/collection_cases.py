"""Which collections the zoo has, and what we read of each beside what was written."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import hydra
import numpy as np
from beir.datasets.data_loader import GenericDataLoader

from benchmarks.zoo.collections import (
    BASE,
    ONE_EACH,
    TITLED,
    Collection,
    beir,
    dpr,
    json_lines,
    judged,
    msmarco,
    pairs,
    squad,
    table,
    trec,
    write,
)
from benchmarks.zoo.run_files import Judgements, compared, number_of
from pipeline.data.dataset import Dataset, Split
from pipeline.data.source import open_dataset
from pipeline.entry import CONFIGS, instantiate
from pipeline.errors import UserError
from pipeline.evaluation.measures import measure
from pipeline.retrieval.run import Ranking, Run

MEASURES = ["map", "ndcg@10", "mrr", "recall@100"]


@dataclass(frozen=True)
class Case:
    """One folder.

    Attributes:
        name: What is special about it.
        make: Writes it.
        holds: What it holds; None where it is refused.
        words: How `train.py` is told of it, `{}` standing for the folder.
        by_beir: Whether BEIR's own loader reads it to the same judgements.
    """

    name: str
    make: Callable[[Path], None]
    holds: Collection | None = BASE
    words: str = "dataset=beir dataset.path={}"
    by_beir: bool = False


def with_documents(*more: tuple[str, str, str]) -> Collection:
    """Give the collection with more documents, by id, title and text."""
    return Collection(BASE.documents | {key: (title, text) for key, title, text in more}, BASE.queries, BASE.judgements)


def with_judgement(query: str, document: str, grade: int = 1) -> Collection:
    """Give the collection with one more judgement."""
    return Collection(
        BASE.documents, BASE.queries, BASE.judgements | {query: BASE.judgements[query] | {document: grade}}
    )


def under(title: str) -> Collection:
    """The single judgements over documents of one title."""
    return Collection(
        {key: (title, text) for key, (_, text) in ONE_EACH.documents.items()}, ONE_EACH.queries, ONE_EACH.judgements
    )


ALL_TEST = "dataset.split={{train:0,validation:0,test:1}}"
TSV = "dataset=msmarco dataset.path={} dataset.train_queries=null dataset.train_qrels=null"
NUMBERED = Collection(
    {str(10_000_000 + int(key[1:])): text for key, text in BASE.documents.items()},
    BASE.queries,
    {q: {str(10_000_000 + int(d[1:])): g for d, g in found.items()} for q, found in BASE.judgements.items()},
)
EMPTY = [{"_id": "e1", "title": "", "text": ""}, {"_id": "e2", "title": "only a title", "text": None}]
CASES = [
    Case("BEIR", beir, by_beir=True),
    Case("BEIR with titles", lambda folder: beir(folder, TITLED), TITLED, by_beir=True),
    Case(
        "empty documents (FiQA)",
        lambda folder: beir(folder, more_documents=EMPTY),
        with_documents(("e1", "", ""), ("e2", "only a title", "")),
        by_beir=True,
    ),
    Case(
        "judged but absent (ArguAna)",
        lambda folder: beir(folder, more_judgements="q0\tgone\t1\n"),
        with_judgement("q0", "gone"),
        by_beir=True,
    ),
    Case(
        "equal documents twice",
        lambda folder: beir(folder, more_documents=[{"_id": "d0", "title": "", "text": BASE.documents["d0"][1]}]),
        by_beir=True,
    ),
    Case(
        "unequal documents of one id",
        lambda folder: beir(folder, more_documents=[{"_id": "d0", "title": "", "text": "other"}]),
        None,
    ),
    Case(
        "equal judgements twice",
        lambda folder: beir(folder, more_judgements=judged(BASE, "{q}\t{d}\t{g}\n")),
        by_beir=True,
    ),
    Case("grades of 2.0", lambda folder: beir(folder, form="{q}\t{d}\t{g}.0\n")),
    Case("no header", lambda folder: beir(folder, header="")),
    Case("four columns", lambda folder: beir(folder, header="", form="{q}\t0\t{d}\t{g}\n")),
    Case(
        "four columns under a header",
        lambda folder: beir(folder, header="query-id\t0\tcorpus-id\tscore\n", form="{q}\t0\t{d}\t{g}\n"),
    ),
    Case("byte order marks", lambda folder: beir(folder, mark="\ufeff")),
    Case("all files in gzip", lambda folder: beir(folder, compressed=True)),
    Case("topics without text", lambda folder: beir(folder, more_judgements="q999\td0\t1\n")),
    Case("ids that are numbers", lambda folder: beir(folder, NUMBERED), NUMBERED, by_beir=True),
    Case("ids in judgements as floats", lambda folder: beir(folder, NUMBERED, form="{q}\t{d}.0\t{g}\n"), NUMBERED),
    Case("a grade of 1_0", lambda folder: beir(folder, more_judgements="q0\td5\t1_0\n"), None),
    Case("a grade in other digits", lambda folder: beir(folder, more_judgements="q0\td5\t١\n"), None),
    Case("MS MARCO", msmarco, words=TSV),
    Case("MS MARCO, tabs in passages", lambda folder: msmarco(folder, tabs=True), words=TSV),
    Case("MS MARCO, gzip", lambda folder: msmarco(folder, compressed=True), words=TSV),
    Case(
        "MS MARCO, an empty passage",
        lambda folder: msmarco(folder, with_documents(("e1", "", ""))),
        with_documents(("e1", "", "")),
        words=TSV,
    ),
    Case(
        "DPR with its passages",
        lambda folder: dpr(folder, passages=True),
        ONE_EACH,
        f"dataset=dpr dataset.path={{}}/dev.json dataset.passages={{}}/psgs.tsv {ALL_TEST}",
    ),
    Case(
        "DPR, wiki: ids",
        lambda folder: dpr(folder, passages=True, prefix="wiki:"),
        ONE_EACH,
        f"dataset=dpr dataset.path={{}}/dev.json dataset.passages={{}}/psgs.tsv {ALL_TEST}",
    ),
    Case("DPR's own contexts", dpr, ONE_EACH, f"dataset=dpr dataset.path={{}}/dev.json {ALL_TEST}"),
    Case(
        "DPR as JSON lines",
        lambda folder: dpr(folder, lines=True),
        ONE_EACH,
        f"dataset=dpr dataset.path={{}}/dev.json {ALL_TEST}",
    ),
    Case("TREC", trec, words="dataset=trec dataset.path={}"),
    Case(
        "TREC in Latin-1",
        lambda folder: trec(folder, "latin-1", "Zürich {}"),
        Collection({k: ("", f"Zürich {t}") for k, (_, t) in BASE.documents.items()}, BASE.queries, BASE.judgements),
        "dataset=trec dataset.path={} dataset.encoding=latin-1",
    ),
    Case(
        "TREC in Latin-1, unsaid",
        lambda folder: trec(folder, "latin-1", "Zürich {}"),
        None,
        "dataset=trec dataset.path={}",
    ),
    Case("SQuAD", squad, under("builtins"), f"dataset=squad dataset.path={{}}/dev.json {ALL_TEST}"),
    Case(
        "JSON lines",
        lambda folder: write(folder / "pairs.jsonl", json_lines(pairs())),
        ONE_EACH,
        f"dataset=jsonl dataset.path={{}}/pairs.jsonl {ALL_TEST}",
    ),
    Case(
        "CSV",
        lambda folder: table(folder, "csv"),
        ONE_EACH,
        f"dataset=huggingface dataset.path=csv dataset.data_files={{}}/pairs.csv {ALL_TEST}",
    ),
    Case(
        "Parquet",
        lambda folder: table(folder, "parquet"),
        ONE_EACH,
        f"dataset=huggingface dataset.path=parquet dataset.data_files={{}}/pairs.parquet {ALL_TEST}",
    ),
    Case(
        "save_to_disk",
        lambda folder: table(folder, "disk"),
        ONE_EACH,
        f"dataset=huggingface dataset.path={{}}/saved {ALL_TEST}",
    ),
    Case(
        "save_to_disk, by split",
        lambda folder: table(folder, "splits"),
        ONE_EACH,
        "dataset=huggingface dataset.path={}/saved",
    ),
]


def rows(place: Path) -> Iterator[tuple[str, str, str, bool]]:
    """Read all folders.

    Yields:
        For each: its name, what was expected, what we made of it, and whether it was right.
    """
    for number, case in enumerate(CASES):
        yield row(case, place / f"{number:02d}")


def row(case: Case, folder: Path) -> tuple[str, str, str, bool]:
    """Write and read one."""
    case.make(folder)
    expected = "refused" if case.holds is None else "equal"
    found, words = _outcome(case, folder, folder.with_name(f"{folder.name}_tables"))
    return case.name, expected, words, found == expected


def _outcome(case: Case, folder: Path, tables: Path) -> tuple[str, str]:
    try:
        dataset = _opened(case.words.replace("{}", str(folder)).replace("{{", "{").replace("}}", "}"), tables)
    except UserError as error:
        return "refused", str(error)
    except Exception as error:  # a traceback is what the zoo is there to find
        return "traceback", f"{type(error).__name__}: {error}"
    split = dataset.split("test")
    if case.holds is None:
        return "opened", f"opened, {len(split.documents)} documents"
    if differences := _differences(split, case.holds):
        return "other", differences
    if case.by_beir and _by_beir(folder) != split.judgements:
        return "other", "BEIR's own loader reads other judgements"
    ids, rankings = split.documents.ids(), _any_ranking(split)
    run = Run(
        "any", {query: Ranking.of(list(found), np.array(list(found.values()))) for query, found in rankings.items()}
    )
    found, words = compared(lambda: measure(run, split.judgements, MEASURES).means(), rankings, split.judgements)
    return found, f"{len(ids)} documents, {len(split.queries)} queries, {words}"


def _opened(words: str, tables: Path) -> Dataset:
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = hydra.compose("train", overrides=words.split())
    return open_dataset(instantiate(config.dataset), tables)


def _differences(split: Split, holds: Collection) -> str:
    """Compare documents, queries and judgements by what they say, as layouts differ in which ids they keep."""
    texts = dict(zip(split.documents.ids(), split.documents.take(slice(None)), strict=True))
    queries = dict(zip(split.queries.ids(), split.queries.take(slice(None)), strict=True))
    written = {key: plain(f"{title} {text}") for key, (title, text) in holds.documents.items()}
    ours = sorted(plain(text) for text in texts.values())
    if ours != sorted(written.values()):
        return f"{len(ours)} documents for {len(written)}, or other texts"
    read = {
        (plain(queries[query]), plain(texts.get(document, document)), grade)
        for query, grades in split.judgements.items()
        for document, grade in grades.items()
    }
    expected = {
        (plain(holds.queries[query]), written.get(document, document), grade)
        for query, grades in holds.judgements.items()
        for document, grade in grades.items()
    }
    return "" if read == expected else f"{len(read)} judgements for {len(expected)}, or others"


def plain(text: str) -> str:
    """One space for any white space."""
    return " ".join(text.split())


def _by_beir(folder: Path) -> Judgements:
    return GenericDataLoader(str(folder)).load("test")[2]


def _any_ranking(split: Split) -> dict[str, dict[str, float]]:
    """Rank every document by a number that looks drawn."""
    ids = split.documents.ids()
    return {query: {key: number_of(query, key) / 2**32 for key in ids} for query in split.queries.ids()}
