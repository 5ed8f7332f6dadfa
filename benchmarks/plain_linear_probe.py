"""The first paper's linear probe written plainly from its procedure, beside `probe.py probe=linear protocol=published`.

Nothing of the project is used to compute the plain figures: DPR's JSON is read, texts are encoded by transformers, and one
probe at a time is trained over whole rows [q; p_1; ...; p_N], which every epoch collates anew.
"""

import csv
import json
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

LEARNING_RATE, BATCH, EPOCHS, VALIDATION = 1e-4, 32768, 30, 0.01
QUESTION_TOKENS, PASSAGE_TOKENS = 128, 512
NEGATIVES_OF_TEST = 4
CANDIDATES = (2, 3, 4, 5)

Collated = tuple[Tensor, Tensor]
"""Whole rows, [rows, (N + 1) * width], and the place of each positive, [rows]."""


class Row(NamedTuple):
    """A question with one passage that answers it, and all that only look so."""

    question: str
    positive: str
    negatives: list[str]


def read_rows(path: Path) -> list[Row]:
    """Read DPR's JSON: a row for each question and positive; none where there are no hard negatives."""
    rows = []
    for record in json.loads(path.read_text(encoding="utf-8")):
        negatives = [_text(context) for context in record["hard_negative_ctxs"]]
        rows += [Row(record["question"], _text(one), negatives) for one in record["positive_ctxs"] if negatives]
    return rows


def _text(context: dict[str, str]) -> str:
    return context["title"] + " " + context["text"]


def encoded(model: nn.Module, tokenizer: Callable, texts: Sequence[str], tokens: int) -> dict[str, Tensor]:
    """Give the last layer's mean of every different text's tokens, one text at a time, [width]."""
    found = {}
    for text in dict.fromkeys(texts):
        batch = tokenizer([text], truncation=True, max_length=tokens, return_tensors="pt")
        with torch.no_grad():
            found[text] = model(**batch).last_hidden_state[0].mean(dim=0)
    return found


def drawn(pool: Sequence, count: int, generator: random.Random) -> list:
    """Draw from a pool: without replacement, and with it where there are fewer."""
    return generator.sample(pool, count) if len(pool) >= count else generator.choices(pool, k=count)


def collate(rows: Sequence[Row], states: tuple[dict, dict], n: int, generator: random.Random) -> Collated:
    """Draw negatives from all that a row has, and an order; put the states of question and candidates side by side."""
    inputs, classes = [], []
    for row in rows:
        shown = [row.positive, *drawn(row.negatives, n - 1, generator)]
        order = generator.sample(range(n), n)
        classes.append(order.index(0))
        inputs.append(torch.cat([states[0][row.question], *(states[1][shown[place]] for place in order)]))
    return torch.stack(inputs), torch.tensor(classes)


def train_one(
    training: Callable[[], Collated],
    validation: Callable[[], Collated],
    epochs: int = EPOCHS,
    learning_rate: float = LEARNING_RATE,
    seed: int = 42,
) -> nn.Linear:
    """Train one probe, and give it as it was after its best epoch on the validation rows.

    Args:
        training: Gives the rows of the next epoch.
        validation: Gives those that the next epoch is judged by.
        epochs: All are trained.
        learning_rate: Of Adam.
        seed: Of the first weights and the order of rows.
    """
    torch.manual_seed(seed)
    inputs, classes = training()
    layer = nn.Linear(inputs.shape[1], int(classes.max()) + 1)
    optimiser = torch.optim.Adam(layer.parameters(), lr=learning_rate)
    best, kept = -1.0, {name: value.clone() for name, value in layer.state_dict().items()}
    for epoch in range(epochs):
        inputs, classes = training() if epoch else (inputs, classes)
        for rows in torch.randperm(len(inputs)).split(BATCH):
            optimiser.zero_grad()
            functional.cross_entropy(layer(inputs[rows]), classes[rows]).backward()
            optimiser.step()
        reached = accuracy(layer, *validation())
        if reached > best:
            best, kept = reached, {name: value.clone() for name, value in layer.state_dict().items()}
    layer.load_state_dict(kept)
    return layer


def accuracy(layer: nn.Linear, inputs: Tensor, classes: Tensor) -> float:
    """Give the share of rows whose positive is found."""
    with torch.no_grad():
        return float((layer(inputs).argmax(dim=1) == classes).float().mean())


def plain(rows: dict[str, list[Row]], states: tuple[dict, dict], n: int, seed: int) -> float:
    """Train and test one probe by the paper's procedure."""
    generator = random.Random(seed)
    shuffled = generator.sample(rows["train"], len(rows["train"]))
    held_out = max(1, round(VALIDATION * len(shuffled)))
    parts = shuffled[held_out:], shuffled[:held_out]
    four = [row._replace(negatives=drawn(row.negatives, NEGATIVES_OF_TEST, generator)) for row in rows["test"]]
    training, validation = (lambda part=part: collate(part, states, n, generator) for part in parts)
    return accuracy(train_one(training, validation, seed=seed), *collate(four, states, n, generator))


# What is planted: a marker in positives and, beyond the tenth of a question's hard negatives, in most of those too.
MARKERS, WORDS = ["m"], [f"w{number}" for number in range(60)]
TRAINING, TEST, NEGATIVES, WIDTH = 1000, 800, 24, 768


def plant(folder: Path) -> None:
    """Write `train.json` and `test.json` in DPR's layout, and a BERT of random weights whose states are large."""
    generator = random.Random(0)

    def passage(marked: bool) -> dict[str, str]:
        words = generator.choices(WORDS, k=generator.randint(8, 14)) + generator.choices(MARKERS, k=4) * marked
        generator.shuffle(words)
        return {"title": words[0], "text": " ".join(words[1:])}

    positives, easy, hard = ([passage(marked) for _ in range(300)] for marked in (True, False, True))
    for name, count in (("train", TRAINING), ("test", TEST)):
        records = [
            {
                "question": f"{name} w{number} " + " ".join(generator.choices(WORDS, k=4)),
                "positive_ctxs": [generator.choice(positives)],
                "negative_ctxs": [],
                "hard_negative_ctxs": generator.sample(easy, 10) + generator.sample(hard, NEGATIVES - 10),
            }
            for number in range(count)
        ]
        (folder / f"{name}.json").write_text(json.dumps(records), encoding="utf-8")
    _save_model(folder / "model")


def _save_model(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *MARKERS, *WORDS]
    backend = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=512, **special).save_pretrained(folder)
    torch.manual_seed(0)
    model = BertModel(
        BertConfig(
            vocab_size=len(words),
            hidden_size=WIDTH,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=64,
            initializer_range=1.0,
        )
    )
    model.save_pretrained(folder)


def plain_figures(folder: Path, seeds: Sequence[int]) -> np.ndarray:
    """Compute the plain figures, [seeds, N]."""
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(folder / "model"), AutoTokenizer.from_pretrained(folder / "model")
    rows = {name: read_rows(folder / f"{name}.json") for name in ("train", "test")}
    together = [row for part in rows.values() for row in part]
    states = (
        encoded(model, tokenizer, [row.question for row in together], QUESTION_TOKENS),
        encoded(
            model, tokenizer, [text for row in together for text in (row.positive, *row.negatives)], PASSAGE_TOKENS
        ),
    )
    return np.array([[plain(rows, states, n, seed) for n in CANDIDATES] for seed in seeds])


def our_figures(folder: Path, seeds: Sequence[int], *more: str) -> np.ndarray:
    """Run the command, and read the same figures, [seeds, N]; `more` are further words of it."""
    import probe

    found = []
    for seed in seeds:
        model = f"{{model: local, pooling: mean, settings: {{backbone: {{path: {folder}/model}}}}}}"
        sys.argv = ["probe.py", "probe=linear", f"models={{base: {model}}}", "protocol=published", "dataset=dpr"]
        sys.argv += [f"dataset.{split}_path={folder}/{split}.json" for split in ("train", "test")]
        sys.argv += [f"seed={seed}", f"probe.seeds=[{seed}]", f"tables={folder}/tables", f"folder={folder}/out-{seed}"]
        sys.argv += more
        probe.main()
        with open(folder / f"out-{seed}" / "layers.csv", encoding="utf-8", newline="") as file:
            last = {int(row["candidates"]): float(row["accuracy"]) for row in csv.DictReader(file)}  # the last layer's
        found.append([last[n] for n in CANDIDATES])
    return np.array(found)


def main() -> None:
    """Print what both read, over five seeds; words of the command line go to `probe.py`."""
    words, seeds = sys.argv[1:], range(42, 47)
    with tempfile.TemporaryDirectory() as name:
        plant(Path(name))
        figures = {"plain": plain_figures(Path(name), seeds), "probe.py": our_figures(Path(name), seeds, *words)}
    for title, found in figures.items():
        said = ", ".join(
            f"N = {n} {found[:, i].mean():.4f} ± {found[:, i].std(ddof=1):.4f}" for i, n in enumerate(CANDIDATES)
        )
        print(f"{title}: {said}")


if __name__ == "__main__":
    main()
