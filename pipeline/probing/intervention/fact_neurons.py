"""What a tower's neurons have to do with a fact: their attribution on the texts about it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.encoders.backbones import Kind
from pipeline.encoders.transformer_tower import TransformerTower
from pipeline.probing.attribution.integrated_gradients import Attributor
from pipeline.probing.attribution.quadrature import Adaptive
from pipeline.probing.attribution.targets import Along, Norm, Target
from pipeline.probing.intervention.edited_retrieval import EditedRetrieval
from pipeline.probing.intervention.edits import Unit
from pipeline.probing.intervention.facts import Fact
from pipeline.probing.intervention.selections import mean_activity
from pipeline.probing.kept import kept


@dataclass
class FactNeurons:
    """A tower seen through the texts about facts: queries where it encodes queries, documents where it encodes those.

    Of the queries only half are seen (`Fact.shown`), so that the others can say whether a fact was found or its words.

    Args:
        retrieval: Whose split and vectors.
        kinds: What the tower encodes under the edit; it is one tower for all of them.
        target: `score` attributes the product of a text's vector with its counterpart's (a query's with the fact's
            document, a document's with the mean of its queries), `norm` the length of the text's vector.
    """

    retrieval: EditedRetrieval
    kinds: tuple[Kind, ...]
    target: str
    quadrature = Adaptive()

    @property
    def tower(self) -> TransformerTower:
        """The tower."""
        return self.retrieval.model.tower(self.kinds[0])

    def attributions(self, fact: Fact) -> np.ndarray:
        """Attribute every text about a fact; kept.

        Returns:
            float32 [texts, layers, neurons].
        """
        made_from = {
            **self.retrieval.fingerprints,
            "kinds": self.kinds,
            "fact": [fact.document, *fact.shown],
            "target": self.target,
            "quadrature": self.quadrature.description(),
            "precision": self.retrieval.subject.encoding.precision,
        }
        store = self.retrieval.subject.store
        return np.asarray(kept(store, "fact-neurons", made_from, lambda: {"inner": self._attributed(fact)})["inner"])

    def activity(self, facts: list[Fact], unit: Unit) -> list[np.ndarray]:
        """Measure the mean absolute activation over the texts about facts, for each layer float64 [parts]."""
        texts = [ids for fact in facts for ids in self._token_ids(fact)]
        return mean_activity(self.tower, texts, unit, self.retrieval.subject.encoding)

    @cached_property
    def _attributor(self) -> Attributor:
        return Attributor(self.tower, self.retrieval.subject.encoding.torch_device)

    def _attributed(self, fact: Fact) -> np.ndarray:
        target: Target = Norm() if self.target == "norm" else Along(self._counterparts(fact))
        return self._attributor.attribute(self._token_ids(fact), self.quadrature, target).inner

    def _token_ids(self, fact: Fact) -> list[list[int]]:
        split, tower = self.retrieval.subject.split, self.tower
        found: list[list[int]] = []
        for kind in self.kinds:
            texts, ids = (split.queries, fact.shown) if kind == "query" else (split.documents, [fact.document])
            found += tower.token_ids(texts.take(texts.positions(ids), tower.title_separator), kind)
        return found

    def _counterparts(self, fact: Fact) -> np.ndarray:
        """Give the vector that each text's is multiplied with, in the order of the texts, float32 [texts, dimension]."""
        retrieval, split = self.retrieval, self.retrieval.subject.split
        document = retrieval.documents.vectors[split.documents.positions([fact.document])]
        queries = retrieval.queries.vectors[split.queries.positions(fact.shown)]
        rows = {"query": np.repeat(document, len(queries), axis=0), "document": queries.mean(axis=0, keepdims=True)}
        return np.concatenate([rows[kind] for kind in self.kinds])
