"""The figures of the linear probe: one row for each model, kind of probe, number of candidates and layer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.evaluation.significance import holm
from pipeline.evaluation.statistics import Interval, bootstrap_together, mcnemar
from pipeline.probing.linear.layers import Design
from pipeline.probing.linear.statistics import bonferroni, independent_t
from pipeline.probing.probe import Protocol

Arrays = Mapping[str, np.ndarray]
Key = tuple[str, str]
"""Model and kind of probe."""


@dataclass(frozen=True)
class Results:
    """What was measured.

    Attributes:
        arrays: By model and kind of probe: what `probe_layers` gives, for all layers.
        layers: By model: the layers that were probed.
        design: What was trained.
        questions: The question of each test row, [rows].
        places: By N: the place of the right candidate in the training rows and in the test rows, those of the test rows
            twice where training draws places anew.
        sent: Rows whose answers the code sends.
        seen: By N: the share of test rows whose candidates were all seen in training, which the control task needs.
        protocol: Decides the tests.
    """

    arrays: Mapping[Key, Arrays]
    layers: Mapping[str, Sequence[int]]
    design: Design
    questions: np.ndarray
    places: Mapping[int, tuple[np.ndarray, np.ndarray]]
    sent: int
    seen: Mapping[int, float]
    protocol: Protocol

    @property
    def models(self) -> list[str]:
        """Names of the models, the base first."""
        return list(self.layers)

    @property
    def probes(self) -> list[str]:
        """Names of the kinds of probe."""
        return list(dict.fromkeys(probe for _, probe in self.arrays))

    def mean_right(self, key: Key, name: str = "right") -> np.ndarray:
        """Give the share of seeds that get a row right, [layers, N, rows]."""
        return self.arrays[key][name].mean(axis=2)


def rows_of(results: Results) -> list[dict[str, Any]]:
    """Lay all figures out, with intervals, controls and differences from the first model at the same layer."""
    found: list[dict[str, Any]] = []
    for key in results.arrays:
        own = _own(results, key)
        against = _against_first(results, key) if key[0] != results.models[0] else {}
        found += [row | against.get((row["candidates"], row["layer"]), {}) for row in own]
    return found


def _own(results: Results, key: Key) -> Iterator[dict[str, Any]]:
    """What one probe of one model reaches by itself."""
    arrays, design = results.arrays[key], results.design
    right = results.mean_right(key)
    used = right - results.mean_right(key, "shuffled")
    intervals = _intervals(right, results.questions)
    uses = _intervals(used, results.questions)
    for place, n in enumerate(design.candidates):
        for level, layer in enumerate(results.layers[key[0]]):
            facts = {name: values[level, place] for name, values in arrays.items() if values.ndim == 3}
            yield {
                "model": key[0],
                "probe": key[1],
                "candidates": n,
                "layer": layer,
                **intervals[level][place].columns("accuracy"),
                "chance": 1 / n,
                "majority_class": majority(*results.places[n]),
                "shuffled_questions": float(right[level, place].mean() - used[level, place].mean()),
                **uses[level][place].columns("use_of_question"),
                **_controls(facts, float(right[level, place].mean()), results, n),
                "validation_score": float(facts["score"].mean()),
                "learning_rates": " ".join(f"{rate:g}" for rate in facts["learning_rate"]),
                "epochs": " ".join(map(str, facts["epoch"])),
                "converged": float(facts["converged"].mean()),
                **_controls_converged(facts),
            }


def _controls(facts: Arrays, accuracy: float, results: Results, candidates: int) -> dict[str, float]:
    """The control task and the code, where they were wanted."""
    if "bits" not in facts:
        return {}
    control, bits = float(facts["control_right"].mean()), float(facts["bits"].mean())
    return {
        "random_labels": control,
        "documents_seen": results.seen[candidates],
        "selectivity": accuracy - control,
        "code_bits": bits,
        "compression": results.sent * float(np.log2(candidates)) / bits,
    }


def _controls_converged(facts: Arrays) -> dict[str, bool]:
    """Whether the control task's probe and all probes of the code converged, where they were wanted."""
    if "bits" not in facts:
        return {}
    return {"controls_converged": bool(facts["control_converged"].all() and facts["code_converged"].all())}


def majority(training: np.ndarray, test: np.ndarray) -> float:
    """Give the accuracy of always saying the place that is most often right in training."""
    return float((test == np.bincount(training).argmax()).mean())


def _against_first(results: Results, key: Key) -> dict[tuple[int, int], dict[str, Any]]:
    """Compare one model with the first, at the layers that both have; tests are corrected over layers."""
    first = (results.models[0], key[1])
    shared = [layer for layer in results.layers[key[0]] if layer in results.layers[first[0]]]
    if not shared:
        return {}
    mine, theirs = (
        results.mean_right(one)[[list(results.layers[one[0]]).index(layer) for layer in shared]] for one in (key, first)
    )
    intervals = _intervals(mine - theirs, results.questions)
    found = {}
    for place, n in enumerate(results.design.candidates):
        p_values = [_p_value(theirs[level, place], mine[level, place], results) for level in range(len(shared))]
        corrected = holm(p_values) if results.protocol == "sound" else bonferroni(p_values)
        for level, layer in enumerate(shared):
            found[n, layer] = {
                **intervals[level][place].columns("difference"),
                "p": p_values[level],
                "p_corrected": corrected[level],
            }
    return found


def _p_value(first: np.ndarray, second: np.ndarray, results: Results) -> float:
    """Test shares of seeds that are right: McNemar on what most seeds say, or the first paper's t-test."""
    test = mcnemar if results.protocol == "sound" else independent_t
    return test(first > 0.5, second > 0.5)


def _intervals(values: np.ndarray, questions: np.ndarray) -> list[list[Interval]]:
    """Give an interval for every layer and N of [layers, N, rows]."""
    layers, counts, rows = values.shape
    flat = bootstrap_together(values.reshape(-1, rows).T, questions)
    return [flat[level * counts : (level + 1) * counts] for level in range(layers)]


def best_layer(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Take the layer with the best validation score: chosen on the test rows, the best would look too good."""
    return max(rows, key=lambda row: row["validation_score"])


def summary_of(results: Results, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Give one row for each kind of probe and model, at the largest N: its best layer and its last."""
    most = max(results.design.candidates)
    found = []
    for model, probe in results.arrays:
        own = [row for row in rows if (row["model"], row["probe"], row["candidates"]) == (model, probe, most)]
        best, last = best_layer(own), own[-1]
        columns = {
            "probe": probe,
            "model": model,
            "N": most,
            "best layer": best["layer"],
            "accuracy": f"{best['accuracy']:.4f} [{best['accuracy_low']:.4f}, {best['accuracy_high']:.4f}]",
            "shuffled questions": best["shuffled_questions"],
            "random labels": best.get("random_labels"),
            "compression": best.get("compression"),
            "last layer": last["accuracy"],
            "difference": last.get("difference"),
            "corrected p": f"{last['p_corrected']:.1g}" if "p_corrected" in last else None,
            "converged": min(row["converged"] for row in own),
        }
        found.append({name: value for name, value in columns.items() if value is not None or results.models[1:]})
    return found
