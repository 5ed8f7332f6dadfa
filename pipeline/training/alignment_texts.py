"""What a query tower is aligned on: labelled pairs, and texts without labels whose vectors it shall meet."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.data.joined import JoinedTexts, JoinedVectors
from pipeline.data.sentences import sentences_of
from pipeline.data.texts import Texts
from pipeline.encoders.backbones import Kind
from pipeline.errors import UserError
from pipeline.retrieval.tabulate import is_tabulated, tabulate
from pipeline.training.examples import Examples, positive_positions
from pipeline.training.stages import Workplace

PAIRS = "pairs"
TEXTS = (PAIRS, "queries", "documents", "sentences")


@dataclass(frozen=True, kw_only=True)
class AlignmentTexts(Examples):
    """Examples whose documents are a frozen tower's vectors.

    A labelled query shall meet its document's vector. A text without a label shall meet what the document tower makes of
    the same text, were it a query (LEAF, Vujanic and Rueckstiess 2025, section 3).

    Attributes:
        targets: The documents' parts in order, each with the side that the document tower reads it as.
    """

    targets: list[tuple[Texts, Kind]]

    def table(self, workplace: Workplace) -> JoinedVectors:
        """Give the document tower's vectors of all targets, encoding what no earlier run has: [documents, dimension]."""
        tower, settings, store = workplace.dual_encoder.document, workplace.encoding, workplace.store
        new = sum(len(texts) for texts, kind in self.targets if not is_tabulated(tower, texts, kind, settings, store))
        if new:
            workplace.say(f"There is no table of this document tower's vectors of {new:,} texts: encoding them once.")
        return JoinedVectors(
            [tabulate(tower, texts, kind, settings, store, _label(kind)).vectors for texts, kind in self.targets]
        )


def alignment_texts(workplace: Workplace, chosen: Sequence[str], sentences: int) -> AlignmentTexts:
    """Gather the texts to align on; those without labels stand behind the pairs, each its own document.

    Args:
        workplace: Has the dataset, its negatives and the seed.
        chosen: Of `TEXTS`: labelled `pairs`, and without labels the training `queries`, `documents` and `sentences`
            of these.
        sentences: Sentences at most.

    Raises:
        UserError: When sentences are asked for and there are none.
    """
    split, negatives = workplace.dataset.split("train"), workplace.negatives
    makers = {
        "queries": lambda: split.queries,
        "documents": lambda: split.documents,
        "sentences": lambda: sentences_of(split.documents, sentences, workplace.seed),
    }
    unlabelled = [make() for name, make in makers.items() if name in chosen]
    if "sentences" in chosen and not len(unlabelled[-1]):
        raise UserError(
            "stage.texts=[sentences]: no training document has a sentence of four words; choose other texts."
        )
    targets: list[tuple[Texts, Kind]] = [(texts, "query") for texts in unlabelled]
    queries, positives, candidates = unlabelled, [], None
    first = 0
    if PAIRS in chosen:
        candidates = negatives.candidates(workplace.dataset, split, workplace.lexical, workplace.store)
        targets = [(split.documents, "document"), *targets]
        queries, first = [split.queries, *unlabelled], len(split.documents)
        positives = positive_positions(workplace.dataset, split)
    documents = JoinedTexts([texts for texts, _ in targets])
    own = np.arange(first, len(documents))[:, None]
    if candidates is not None and len(own):
        # Texts without labels have no candidates; what they lack is drawn from all documents.
        candidates = np.concatenate([candidates, np.full((len(own), candidates.shape[1]), -1, dtype=np.int64)])
    return AlignmentTexts(
        name=f"{split.name} split of {workplace.dataset.name}",
        queries=JoinedTexts(queries),
        documents=documents,
        positives=[*positives, *own],
        negatives=candidates,
        negatives_count=negatives.count,
        targets=targets,
    )


def _label(kind: Kind) -> str:
    return "documents to align with" if kind == "document" else "texts to align with"
