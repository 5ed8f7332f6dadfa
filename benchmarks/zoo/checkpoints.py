"""Open every folder of the zoo as train.py and as evaluate.py do, and compare with the library it was published with."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.zoo import opened
from benchmarks.zoo.folder_cases import CASES, Case
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.errors import UserError

TOLERANCE = 1e-5
TEXTS = [
    "what do neurons in the feed-forward layers store?",
    "a",
    "",
    "A CLS-pooled model with a Dense layer takes mean pooling and drops the layer, says the report of Naïve Zürich.",
    "one word after another " * 12,
]


def rows(place: Path) -> Iterator[tuple[str, str, str, str, bool]]:
    """Try all folders.

    Yields:
        For each: its name, what was expected, what train.py and evaluate.py made of it, and whether both were right.
    """
    for number, case in enumerate(CASES):
        yield row(case, place / f"{number:02d}")


def row(case: Case, folder: Path) -> tuple[str, str, str, str, bool]:
    """Write and open one."""
    folder.mkdir()
    case.make(folder)
    texts = [text for text in TEXTS if text or case.empty]
    reference = case.reference(folder, texts) if case.reference else None
    ways: list[Callable[[], DualEncoder]] = []
    if case.words:
        ways.append(lambda: opened.by_train(case.words, folder))
    if (folder / "modules.json").exists() or not case.words:
        ways.append(lambda: opened.by_evaluate(folder))
    found = [_outcome(way, reference, texts) for way in ways]
    words = [word for _, word in found]
    # One folder is one figure: both ways must find the same similarity too.
    agree = len({word.split(",")[0] for word in words}) == 1 or case.expected == "refused"
    right = agree and all(what == case.expected for what, _ in found) and not any(folder.rglob("it_ran"))
    train = words[0] if case.words else "–"
    evaluate = words[-1] if len(words) > 1 or not case.words else "–"
    return case.name, case.expected, train, evaluate, right


def _outcome(
    way: Callable[[], DualEncoder], reference: tuple[np.ndarray, np.ndarray] | None, texts: list[str]
) -> tuple[str, str]:
    """Say whether the folder is equal, differs, or is refused with a sentence."""
    try:
        encoder = way()
        ours = opened.vectors(encoder, texts)
    except UserError as error:
        return "refused", str(error)
    except Exception as error:  # a traceback is what the zoo is there to find
        return "traceback", f"{type(error).__name__}: {error}"
    if reference is None:
        return "opened", "opened"
    theirs = [_unit(vectors) if encoder.similarity == "cosine" else vectors for vectors in reference]
    if [vectors.shape for vectors in ours] != [vectors.shape for vectors in theirs]:
        return "other", f"{ours[0].shape} for {theirs[0].shape}"
    largest = max(float(np.abs(mine - other).max()) for mine, other in zip(ours, theirs, strict=True))
    return ("equal" if largest <= TOLERANCE else "other"), f"{encoder.similarity}, {largest:.1e}"


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Give vectors the length that a comparison by cosine gives them."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
