"""Collections in every published layout: what we read of them is what was written, and is scored as trec_eval does."""

import builtins
import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.zoo.run_files import Judgements, number_of

MEASURES = ["map", "ndcg@10", "mrr", "recall@100"]


@dataclass(frozen=True)
class Collection:
    """What a folder holds.

    Attributes:
        documents: Title and text by id.
        queries: Text by id.
        judgements: Grade by document by query; a document may be none of the collection.
    """

    documents: dict[str, tuple[str, str]]
    queries: dict[str, str]
    judgements: Judgements = field(default_factory=dict)


def builtin_names() -> Collection:
    """The names of Python's own functions and classes as queries, what their documentation says first as documents."""
    names = [name for name in sorted(dir(builtins)) if (getattr(builtins, name).__doc__ or "").strip()][:60]
    texts = {name: " ".join(str(getattr(builtins, name).__doc__).split("\n\n")[0].split()) for name in names}
    kept = {name: text for name, text in texts.items() if list(texts.values()).count(text) == 1}
    queries = {f"q{number}": name for number, name in enumerate(kept)}
    documents = {f"d{number}": ("", text) for number, text in enumerate(kept.values())}
    judgements = {f"q{number}": {f"d{number}": 2, f"d{(number + 1) % len(kept)}": 1} for number in range(len(kept))}
    return Collection(documents, queries, judgements)


BASE = builtin_names()
TITLED = Collection(
    {key: (f"Section {key}", text) for key, (_, text) in BASE.documents.items()}, BASE.queries, BASE.judgements
)
ONE_EACH = Collection(
    BASE.documents,
    BASE.queries,
    {q: {d: 1 for d, g in found.items() if g == 2} for q, found in BASE.judgements.items()},
)


def json_lines(rows: list[dict[str, Any]]) -> str:
    """Write objects, one a line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def beir(
    folder: Path,
    collection: Collection = BASE,
    *,
    header: str = "query-id\tcorpus-id\tscore\n",
    form: str = "{q}\t{d}\t{g}\n",
    more_documents: list[dict[str, Any]] | None = None,
    more_judgements: str = "",
    mark: str = "",
    compressed: bool = False,
    split: str = "test",
) -> None:
    """Write BEIR's layout."""
    documents = [{"_id": key, "title": title, "text": text} for key, (title, text) in collection.documents.items()]
    queries = [{"_id": key, "text": text, "metadata": {}} for key, text in collection.queries.items()]
    files = {
        "corpus.jsonl": mark + json_lines(documents + (more_documents or [])),
        "queries.jsonl": mark + json_lines(queries),
        f"qrels/{split}.tsv": mark * bool(header) + header + judged(collection, form) + more_judgements,
    }
    for name, text in files.items():
        write(folder / name, text, compressed)


def judged(collection: Collection, form: str) -> str:
    """Write judgements line by line."""
    return "".join(
        form.format(q=query, d=document, g=grade)
        for query, grades in collection.judgements.items()
        for document, grade in grades.items()
    )


def write(path: Path, text: str, compressed: bool = False) -> None:
    """Write a file, as gzip if so wished."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode()
    path.with_name(path.name + ".gz" * compressed).write_bytes(gzip.compress(content) if compressed else content)


def msmarco(folder: Path, collection: Collection = BASE, tabs: bool = False, compressed: bool = False) -> None:
    """Write MS MARCO's tab-separated files; nothing to train on."""
    separator = "\t" if tabs else " "
    passages = {key: text.replace(" ", separator, 1) for key, (_, text) in collection.documents.items()}
    write(folder / "collection.tsv", "".join(f"{key}\t{text}\n" for key, text in passages.items()), compressed)
    write(
        folder / "queries.dev.small.tsv",
        "".join(f"{key}\t{text}\n" for key, text in collection.queries.items()),
        compressed,
    )
    write(folder / "qrels.dev.small.tsv", judged(collection, "{q}\t0\t{d}\t{g}\n"), compressed)


def dpr_rows(collection: Collection, prefix: str = "") -> list[dict[str, Any]]:
    """Questions with their contexts, as DPR's files hold them."""
    rows = []
    for query, grades in collection.judgements.items():
        other = list(collection.documents)[number_of(query) % len(collection.documents)]
        context = {
            key: {
                "title": collection.documents[key][0],
                "text": collection.documents[key][1],
                "passage_id": prefix + key,
            }
            for key in [*grades, other]
        }
        rows.append(
            {
                "dataset": "zoo",
                "question": collection.queries[query],
                "answers": ["x"],
                "positive_ctxs": [context[key] for key in grades],
                "negative_ctxs": [],
                "hard_negative_ctxs": [] if other in grades else [context[other]],
            }
        )
    return rows


def dpr(folder: Path, *, lines: bool = False, passages: bool = False, prefix: str = "") -> None:
    """Write DPR's questions with their contexts, and all passages beside them."""
    rows = dpr_rows(ONE_EACH, prefix)
    write(folder / "dev.json", json_lines(rows) if lines else json.dumps(rows))
    if passages:
        table = "".join(
            f'{prefix}{key}\t"{text.replace(chr(34), chr(34) * 2)}"\t{title}\n'
            for key, (title, text) in ONE_EACH.documents.items()
        )
        write(folder / "psgs.tsv", "id\ttext\ttitle\n" + table)


def trec(folder: Path, encoding: str = "utf-8", text: str = "{}") -> None:
    """Write a TREC collection in markup."""
    documents = "".join(
        f"<DOC>\n<DOCNO> {key} </DOCNO>\n<TEXT>\n{escaped(text.format(body))}\n</TEXT>\n</DOC>\n"
        for key, (_, body) in BASE.documents.items()
    )
    topics = "".join(
        f"<top>\n<num> Number: {key[1:]}\n<title> {query}\n<desc> Description:\nAny.\n</top>\n"
        for key, query in BASE.queries.items()
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "documents.xml").write_bytes(documents.encode(encoding))
    write(folder / "topics.txt", topics)
    write(
        folder / "qrels.txt",
        "".join(f"{q[1:]} 0 {d} {g}\n" for q, found in BASE.judgements.items() for d, g in found.items()),
    )


def escaped(text: str) -> str:
    """Write what markup would take for its own otherwise."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def pairs() -> list[dict[str, str]]:
    """Give each query with its document."""
    return [
        {"query": ONE_EACH.queries[query], "document": ONE_EACH.documents[document][1]}
        for query, grades in ONE_EACH.judgements.items()
        for document in grades
    ]


def table(folder: Path, kind: str) -> None:
    """Write pairs by the library `datasets`."""
    from datasets import Dataset as Columns
    from datasets import DatasetDict

    folder.mkdir(parents=True, exist_ok=True)
    columns = Columns.from_list(pairs())
    if kind == "csv":
        columns.to_csv(str(folder / "pairs.csv"))
    elif kind == "parquet":
        columns.to_parquet(str(folder / "pairs.parquet"))
    elif kind == "disk":
        columns.save_to_disk(str(folder / "saved"))
    else:
        DatasetDict({"train": columns, "test": columns}).save_to_disk(str(folder / "saved"))


def squad(folder: Path) -> None:
    """Write SQuAD's layout, a paragraph a document."""
    paragraphs = [
        {
            "context": ONE_EACH.documents[document][1],
            "qas": [
                {
                    "id": query,
                    "question": ONE_EACH.queries[query],
                    "answers": [{"text": ONE_EACH.documents[document][1][:4], "answer_start": 0}],
                }
            ],
        }
        for query, grades in ONE_EACH.judgements.items()
        for document in grades
    ]
    write(
        folder / "dev.json", json.dumps({"version": "1.1", "data": [{"title": "builtins", "paragraphs": paragraphs}]})
    )
