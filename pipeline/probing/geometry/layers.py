"""What the states of each layer say: likeness of two models, spread of one, and nearness of queries and documents."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.encoders.backbones import Kind
from pipeline.evaluation.geometry import alignment, effective_rank
from pipeline.probing.geometry.similarity import anisotropy, evenness, linear_cka, linear_cka_of_few, rsa
from pipeline.probing.jackknife import GROUPS, Jackknifed, groups, interval_without, jackknife
from pipeline.probing.kept import Arrays, kept
from pipeline.probing.layer_states import LayerStates
from pipeline.probing.outcome import Row
from pipeline.progress import progress

Figures = dict[tuple[str, Kind | None, int, str], Jackknifed]
"""By model, texts, layer and name: what the rows say, to be compared text by text."""


def likeness(
    first: LayerStates, second: LayerStates, model: str, kind: Kind, sample: np.ndarray, store: Path, figures: Figures
) -> Iterator[Row]:
    """Compare each layer of a model with its like in another: CKA over all texts, RSA over some.

    Args:
        first: The states of the base.
        second: Those of the other model, over the same texts. Of another depth, the layer at the same share of it is
            taken.
        model: The other model's name.
        kind: Queries or documents.
        sample: Positions of the texts that are compared pair by pair.
        store: Keeps what was computed.
        figures: Takes what was found.

    Yields:
        A row for each layer of the base.
    """
    with progress(f"Comparing {model} with the base ({kind})", first.depth + 1, "layers") as advance:
        for layer in range(first.depth + 1):
            facing = round(layer * second.depth / first.depth)
            made_from = {
                "cka_and_rsa": [_content(first, layer), _content(second, facing)],
                "sample": sample.tolist(),
                "left_out": GROUPS,
            }
            arrays = kept(store, "geometry", made_from, partial(_compare, first, second, (layer, facing), sample))
            yield {
                "model": model,
                "texts": kind,
                "layer": layer,
                "facing_layer": facing,
                **_noted(figures, (model, kind, layer), arrays, ("cka", "cka_debiased", "rsa")),
                "compared": len(first),
                "compared_in_pairs": len(sample),
            }
            advance(1)


def spread(
    states: LayerStates, model: str, kind: Kind, sample: np.ndarray, store: Path, figures: Figures
) -> Iterator[Row]:
    """Measure how the states of each layer are spread: anisotropy, effective rank, uniformity.

    Args:
        states: Of one model.
        model: Its name.
        kind: Queries or documents.
        sample: Positions of the texts that are looked at.
        store: Keeps what was computed.
        figures: Takes what was found.

    Yields:
        A row for each layer.
    """
    with progress(f"Measuring the spread of {model} ({kind})", states.depth + 1, "layers") as advance:
        for layer in range(states.depth + 1):
            made_from = {"spread": _content(states, layer), "sample": sample.tolist(), "left_out": GROUPS}
            arrays = kept(store, "geometry", made_from, partial(_spread, states, layer, sample))
            yield {
                "model": model,
                "texts": kind,
                "layer": layer,
                **_noted(figures, (model, kind, layer), arrays, ("mean_cosine",)),
                "effective_rank": float(arrays["effective_rank"]),
                **_noted(figures, (model, kind, layer), arrays, ("uniformity",)),
                "sample": len(sample),
            }
            advance(1)


def alignments(
    queries: LayerStates, documents: LayerStates, model: str, pairs: tuple[np.ndarray, np.ndarray], figures: Figures
) -> Iterator[Row]:
    """Measure how near queries lie to documents that answer them (alignment, Wang and Isola 2020), layer by layer.

    Args:
        queries: States of the queries.
        documents: States of the documents, of a tower of the same width.
        model: Whose.
        pairs: Positions of some queries, and of the document that answers each.
        figures: Takes what was found.

    Yields:
        A row for each layer that both towers have.
    """
    for layer in range(min(queries.depth, documents.depth) + 1):
        sides = queries.layer(layer, pairs[0]), documents.layer(layer, pairs[1])
        arrays = {"alignment": _numbers(jackknife(partial(_alignment, *sides), len(pairs[0])))}
        found = _noted(figures, (model, None, layer), arrays, ("alignment",))
        yield {"model": model, "layer": layer, **found, "pairs": len(pairs[0])}


def columns(name: str, figure: Jackknifed) -> dict[str, float | None]:
    """Lay a figure and its interval out as three columns, empty where there is none."""
    return {key: None if np.isnan(value) else value for key, value in figure.columns(name).items()}


def _noted(
    figures: Figures, of: tuple[str, Kind | None, int], arrays: Arrays, names: Sequence[str]
) -> dict[str, float | None]:
    """Take figures as they were kept, and lay them out as columns."""
    found: dict[str, float | None] = {}
    for name in names:
        whole, *left_out = arrays[name].tolist()
        figures[(*of, name)] = interval_without(whole, left_out)
        found |= columns(name, figures[(*of, name)])
    return found


def changes_of_spread(first: str, row: Row, figures: Figures) -> dict[str, float | None]:
    """Lay out how the spread of a layer differs from the base's on the same texts.

    Args:
        first: The base.
        row: Of `likeness`.
        figures: With the spread of both.
    """
    found: dict[str, float | None] = {}
    for name in ("mean_cosine", "uniformity"):
        after = figures[row["model"], row["texts"], row["facing_layer"], name]
        found |= columns(f"{name}_change", after.minus(figures[first, row["texts"], row["layer"], name]))
    return found


def _compare(first: LayerStates, second: LayerStates, layers: tuple[int, int], sample: np.ndarray) -> Arrays:
    """Compute CKA of all texts, streaming over them where they are more than the states are wide, and RSA of a sample."""
    if len(first) < first.width + second.width:
        plain, debiased = linear_cka_of_few(first.layer(layers[0]), second.layer(layers[1]))
    else:
        blocks = ((first.layer(layers[0], rows), second.layer(layers[1], rows)) for rows in groups(len(first)))
        plain, debiased = linear_cka(blocks)
    pairwise = rsa(first.layer(layers[0], sample), second.layer(layers[1], sample))
    return {"cka": _numbers(plain), "cka_debiased": _numbers(debiased), "rsa": _numbers(pairwise)}


def _spread(states: LayerStates, layer: int, sample: np.ndarray) -> Arrays:
    """Compute what is said of one layer; the effective rank of fewer texts is smaller, so it has no interval."""
    of = states.layer(layer, sample)
    return {
        "mean_cosine": _numbers(anisotropy(of)),
        "effective_rank": np.array(effective_rank(of)),
        "uniformity": _numbers(evenness(of)),
    }


def _alignment(queries: np.ndarray, documents: np.ndarray, chosen: np.ndarray) -> float:
    return alignment(queries[chosen], documents[chosen])


def _content(states: LayerStates, layer: int) -> Mapping[str, object]:
    """Say what decides the states of a layer."""
    return {"table": states.table.key, "layer": layer, "normalise": states.normalise}


def _numbers(figure: Jackknifed) -> np.ndarray:
    return np.array([figure.mean, *figure.left_out])
