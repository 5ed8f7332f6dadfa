"""Linear probes beside the first paper's one at a time, and the states of all layers beside plain encoding."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import repeat
from pathlib import Path

import numpy as np
import torch

from benchmarks.plain_linear_probe import accuracy, train_one
from benchmarks.timing import print_rates, turn_by_turn
from pipeline.data.python_docs import PythonDocs
from pipeline.data.source import open_dataset
from pipeline.encoders.backbones import MiniLM
from pipeline.encoders.building import EncoderSettings, Parts
from pipeline.encoders.encoding import Encoder, EncodingSettings
from pipeline.encoders.layerwise_tower import LayerwiseTower
from pipeline.encoders.pooling import Mean
from pipeline.probing.linear.data import RowData
from pipeline.probing.linear.families import Concat, Member
from pipeline.probing.linear.training import Recipe, over_rows, right_answers, train

LAYERS, ROWS, TEXTS, WIDTH, CANDIDATES = 7, 20_000, 20_000, 384, 5
SEEDS, RATES, EPOCHS, ROUNDS = (0, 1, 2), (1e-3, 1e-2), 5, 3
ENCODED = 1000


def planted_rows(rows: int, texts: int, seed: int) -> RowData:
    """Draw rows whose positives lie a little further in one direction, so that there is something to read."""
    generator = np.random.default_rng(seed)
    positives, others = texts // 4, texts - texts // 4
    queries = generator.standard_normal((LAYERS, rows, WIDTH), dtype=np.float32) / WIDTH**0.5
    documents = generator.standard_normal((LAYERS, texts, WIDTH), dtype=np.float32) / WIDTH**0.5
    documents[:, :positives] += np.random.default_rng(99).standard_normal(WIDTH, dtype=np.float32) / WIDTH
    columns = [generator.integers(0, positives, rows)]
    columns += [positives + generator.integers(0, others, rows) for _ in range(CANDIDATES - 1)]
    order = torch.from_numpy(np.argsort(generator.random((rows, CANDIDATES)), axis=1))
    data = RowData(
        torch.from_numpy(queries),
        torch.from_numpy(documents),
        torch.arange(rows),
        torch.from_numpy(np.stack(columns, axis=1)),
        {CANDIDATES: order},
        {},
    )
    return data.subset(torch.arange(rows))  # without texts that no row has, as the probe itself has them


def ours(parts: Sequence[RowData], members: Sequence[Member], epochs: int) -> np.ndarray:
    """Train all members on all layers in one pass; accuracy on the last part, [layers, members]."""
    training, validation, test = parts
    recipe = Recipe(32768, epochs, None, "accuracy")
    trained = train(Concat(), members, training, validation, recipe, seed=0)
    return over_rows(right_answers, Concat(), trained.parameters, members, test, recipe).float().mean(dim=1).numpy()


def one_by_one(parts: Sequence[RowData], members: Sequence[Member], epochs: int) -> np.ndarray:
    """Train every member on every layer alone, as the first paper does."""
    accuracies = np.empty((LAYERS, len(members)))
    for layer in range(LAYERS):
        training, validation, test = (_whole(part, layer) for part in parts)
        for place, member in enumerate(members):
            draws = repeat(training).__next__, repeat(validation).__next__  # every epoch the same
            probe = train_one(*draws, epochs, member.learning_rate, seed=member.seed)
            accuracies[layer, place] = accuracy(probe, *test)
    return accuracies


def _whole(data: RowData, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
    documents = data.documents[layer, data.shown(CANDIDATES)].flatten(1)
    return torch.cat([data.queries[layer, data.query_of], documents], dim=1), data.right_place(CANDIDATES, False)


def _noted(
    found: dict[str, np.ndarray],
    way: Callable[[Sequence[RowData], Sequence[Member], int], np.ndarray],
    parts: Sequence[RowData],
    members: Sequence[Member],
    epochs: int,
) -> None:
    """Note the accuracies beside the time."""
    found[way.__name__] = way(parts, members, epochs)


def compare_probes(rows: int, texts: int, epochs: int, rounds: int) -> None:
    """Print how many epochs of probes a second both ways train, and what both read."""
    parts = [planted_rows(count, texts, seed) for seed, count in enumerate((rows, rows // 20, rows // 4))]
    grid = [Member(CANDIDATES, seed, rate) for seed in SEEDS for rate in RATES]
    for members in (grid[:1], grid):
        found: dict[str, np.ndarray] = {}
        ways = {
            "ours, in one pass": partial(_noted, found, ours, parts, members, epochs),
            "one by one, whole rows": partial(_noted, found, one_by_one, parts, members, epochs),
        }
        seconds = turn_by_turn(ways, rounds)
        title = f"{LAYERS} layers x {len(members)} probes, N = {CANDIDATES}, {rows:,} rows, {texts:,} texts of {WIDTH}"
        print_rates(title, seconds, LAYERS * len(members) * epochs, "epochs of a probe", "ours, in one pass")
        print("Accuracy, mean:", ", ".join(f"{name} {values.mean():.4f}" for name, values in found.items()), "\n")


def compare_states(count: int, rounds: int) -> None:
    """Print how long the states of all layers take beside vectors alone."""
    dataset = open_dataset(PythonDocs(), Path("outputs/tables"))
    texts = dataset.split("test").documents.take(slice(0, count))
    tower = Parts(MiniLM(), Mean(), EncoderSettings(), 0).tower("document")
    settings = EncodingSettings()
    encoders = {"all layers": Encoder(LayerwiseTower(tower), settings), "vectors alone": Encoder(tower, settings)}
    ways = {name: partial(encoder.encode, texts, "document") for name, encoder in encoders.items()}
    print_rates(f"Encoding {count:,} texts, MiniLM", turn_by_turn(ways, rounds), count, "texts", "all layers")


def main() -> None:
    """Print both comparisons."""
    compare_probes(ROWS, TEXTS, EPOCHS, ROUNDS)
    compare_states(ENCODED, ROUNDS)


if __name__ == "__main__":
    main()
