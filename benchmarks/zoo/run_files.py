"""Run files in every shape that is handed around, scored by us and by trec_eval's own code."""

import gzip
import hashlib
import json
import lzma
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import hydra
import pytrec_eval
from omegaconf import DictConfig

from pipeline.entry import CONFIGS
from pipeline.errors import UserError
from pipeline.evaluation.on_run_files import prepare_run_files

TOLERANCE = 1e-6
MEASURES = {"map": "map", "ndcg@10": "ndcg_cut_10", "mrr": "recip_rank", "recall@100": "recall_100"}
Rankings = dict[str, dict[str, float]]
Judgements = dict[str, dict[str, int]]

QUERIES, DOCUMENTS, DEPTH = 6, 30, 12


def number_of(*words: object) -> int:
    """A number that looks drawn and is the same every time."""
    return int.from_bytes(hashlib.sha256(" ".join(map(str, words)).encode()).digest()[:4], "big")


RANKINGS: Rankings = {
    f"q{query}": {
        f"d{document}": number_of("score", query, document) / 2**32
        for document in sorted(range(DOCUMENTS), key=lambda document: number_of("order", query, document))[:DEPTH]
    }
    for query in range(QUERIES - 1)  # the last has no result
}
JUDGEMENTS: Judgements = {
    f"q{query}": {
        f"d{document}": number_of("grade", query, document) % 3
        for document in range(DOCUMENTS)
        if number_of("judged", query, document) % 4 == 0
    }
    for query in range(QUERIES)
}


def trec(form: str = "{q} Q0 {d} {r} {s!r} tag", rankings: Rankings = RANKINGS) -> str:
    """Write rankings line by line, best first."""
    return "".join(
        form.format(q=query, d=document, r=rank, s=score) + "\n"
        for query, results in rankings.items()
        for rank, (document, score) in enumerate(sorted(results.items(), key=lambda pair: -pair[1]), start=1)
    )


def qrels(form: str = "{q} 0 {d} {g}") -> str:
    """Write judgements line by line."""
    return "".join(
        form.format(q=query, d=document, g=grade) + "\n"
        for query, grades in JUDGEMENTS.items()
        for document, grade in grades.items()
    )


def rounded(digits: int) -> Rankings:
    """Give the rankings with coarser scores, so that many are tied."""
    return {q: {d: round(score, digits) for d, score in results.items()} for q, results in RANKINGS.items()}


@dataclass(frozen=True)
class Case:
    """A run file or a file of judgements.

    Attributes:
        name: What is special about it.
        run: The bytes of the run file.
        judged: The bytes of the judgements.
        rankings: What the run says; None where it is refused.
        files: What the two files are called.
        settings: What is said beside them.
    """

    name: str
    run: bytes = trec().encode()
    judged: bytes = qrels().encode()
    rankings: Rankings | None = None
    files: tuple[str, str] = ("a.trec", "qrels.txt")


def equal(
    name: str,
    run: str | bytes | None = None,
    rankings: Rankings = RANKINGS,
    judged: str | bytes | None = None,
    **files: str,
) -> Case:
    """A file that opens."""
    return Case(
        name,
        _bytes(run if run is not None else trec()),
        _bytes(judged if judged is not None else qrels()),
        rankings,
        (files.get("run_name", "a.trec"), files.get("qrels_name", "qrels.txt")),
    )


def refused(name: str, run: str | bytes | None = None, judged: str | bytes | None = None, **files: str) -> Case:
    """A file that cannot be meant."""
    return Case(
        name,
        _bytes(run if run is not None else trec()),
        _bytes(judged if judged is not None else qrels()),
        None,
        (files.get("run_name", "a.trec"), files.get("qrels_name", "qrels.txt")),
    )


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


MARK = "\ufeff"
HEADER = "query-id\tcorpus-id\tscore\n"
FIRST = next(iter(JUDGEMENTS["q0"]))
CASES = [
    equal("TREC's six columns"),
    equal("tabs between the columns", trec("{q}\tQ0\t{d}\t{r}\t{s!r}\ttag")),
    equal("two spaces and a tab", trec("{q}  Q0 \t{d} {r}  {s!r} tag")),
    equal("Windows' line ends", trec().replace("\n", "\r\n")),
    equal("no end of the last line", trec().rstrip("\n")),
    equal("a byte order mark", MARK + trec()),
    equal("a tag of two words", trec("{q} Q0 {d} {r} {s!r} my tag")),
    equal("five columns, no tag", trec("{q} Q0 {d} {r} {s!r}")),
    equal("gzip, by its ending", gzip.compress(trec().encode()), run_name="a.trec.gz"),
    equal("gzip, by its first bytes", gzip.compress(trec().encode()), run_name="input.first"),
    equal("xz, by its first bytes", lzma.compress(trec().encode()), run_name="a.run"),
    equal("ranks from 0", trec("{q} Q0 {d} 0 {s!r} tag")),
    equal("tied scores", trec(rankings=rounded(1)), rounded(1)),
    equal(
        "all scores tied", trec("{q} Q0 {d} {r} 1 tag"), {q: dict.fromkeys(found, 1.0) for q, found in RANKINGS.items()}
    ),
    equal(
        "ranks against scores",
        trec("{q} Q0 {d} {r} -{s!r} tag"),
        {q: {d: -s for d, s in found.items()} for q, found in RANKINGS.items()},
    ),
    equal(
        "scores such as 1e-05",
        trec("{q} Q0 {d} {r} {s:e} tag"),
        {q: {d: float(f"{s:e}") for d, s in found.items()} for q, found in RANKINGS.items()},
    ),
    equal("queries in no order", "".join(sorted(trec().splitlines(keepends=True), key=number_of))),
    equal("a query that nobody judged", trec() + "q99 Q0 d1 1 0.5 tag\n"),
    refused("three columns that end in ranks", trec("{q}\t{d}\t{r}")),
    refused("three columns that end in scores", trec("{q}\t{d}\t{s!r}")),
    refused("a score of 1_000", trec().replace("tag\n", "tag\n", 1) + "q0 Q0 d99 13 1_000 tag\n"),
    refused("a score in other digits", trec() + "q0 Q0 d99 13 ١٢ tag\n"),
    refused("a score that is none", trec() + "q0 Q0 d99 13 nan tag\n"),
    refused("a score without end", trec() + "q0 Q0 d99 13 inf tag\n"),
    refused("a document twice", trec() + trec().splitlines()[0] + "\n"),
    refused("nothing", ""),
    refused("another encoding", trec("{q} Q0 {d} {r} {s!r} Zürich").encode("latin-1")),
    refused("JSON as ranx writes it", json.dumps(RANKINGS), run_name="a.json"),
    refused("cut short gzip", gzip.compress(trec().encode())[:-40], run_name="a.gz"),
    equal("judgements under BEIR's header", judged=HEADER + qrels("{q}\t{d}\t{g}"), qrels_name="test.tsv"),
    equal("BEIR's without the header", judged=qrels("{q}\t{d}\t{g}"), qrels_name="test.tsv"),
    equal("four columns with tabs", judged=qrels("{q}\t0\t{d}\t{g}"), qrels_name="test.tsv"),
    equal(
        "four columns in a file with a header", judged="query-id\tQ0\tcorpus-id\tscore\n" + qrels("{q}\tQ0\t{d}\t{g}")
    ),
    equal("grades of 1.0", judged=qrels("{q} 0 {d} {g}.0")),
    equal("judgements with a byte order mark", judged=MARK + qrels()),
    equal("judgements in gzip", judged=gzip.compress(qrels().encode()), qrels_name="qrels.gz"),
    equal("judgements in gzip, by their first bytes", judged=gzip.compress(qrels().encode())),
    equal("all judgements twice, equal", judged=qrels() + qrels()),
    refused("a judgement twice, unequal", judged=qrels() + f"q0 0 {FIRST} 7\n"),
    refused("a grade of 1.5", judged=qrels() + "q0 0 d99 1.5\n"),
    refused("a grade of 1_0", judged=qrels() + "q0 0 d99 1_0\n"),
    refused("judgements in two columns", judged=qrels("{q} {d}")),
]


def rows(place: Path) -> Iterator[tuple[str, str, str, bool]]:
    """Score all files.

    Yields:
        For each: its name, what was expected, what we made of it, and whether it was right.
    """
    for number, case in enumerate(CASES):
        folder = place / f"{number:02d}"
        folder.mkdir()
        yield row(case, folder)


def row(case: Case, folder: Path) -> tuple[str, str, str, bool]:
    """Write and score one."""
    for name, content in zip(case.files, (case.run, case.judged), strict=True):
        (folder / name).write_bytes(content)
    found, words = _outcome(case, folder)
    expected = "equal" if case.rankings is not None else "refused"
    return case.name, expected, words, found == expected


def _outcome(case: Case, folder: Path) -> tuple[str, str]:
    words = [
        f"run_files=['{folder / case.files[0]}']",
        f"qrels='{folder / case.files[1]}'",
        f"measures=[{','.join(MEASURES)}]",
    ]
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        settings = hydra.compose("evaluate", overrides=words)
    return compared(lambda: _means(settings), case.rankings)


def compared(
    ours: Callable[[], dict[str, float]], rankings: Rankings | None, judgements: Judgements = JUDGEMENTS
) -> tuple[str, str]:
    """Set our means beside trec_eval's."""
    try:
        found = ours()
    except UserError as error:
        return "refused", str(error)
    except Exception as error:  # a traceback is what the zoo is there to find
        return "traceback", f"{type(error).__name__}: {error}"
    if rankings is None:
        return "opened", f"opened, MAP {found['map']:.4f}"
    theirs = means(rankings, judgements)
    largest = max(abs(found[name] - theirs[name]) for name in MEASURES)
    return ("equal" if largest <= TOLERANCE else "other"), f"MAP {found['map']:.4f}, largest difference {largest:.1e}"


def _means(settings: DictConfig) -> dict[str, float]:
    (system,) = prepare_run_files(settings).score().systems.values()
    return dict(system.scores.means())


def means(rankings: Rankings, judgements: Judgements) -> dict[str, float]:
    """Score by trec_eval's code, over all judged queries; one without results counts 0."""
    evaluator = pytrec_eval.RelevanceEvaluator(judgements, {name.replace("_10", ".10") for name in MEASURES.values()})
    by_query = evaluator.evaluate(rankings)
    return {
        ours: sum(scores[theirs] for scores in by_query.values()) / len(judgements) for ours, theirs in MEASURES.items()
    }
