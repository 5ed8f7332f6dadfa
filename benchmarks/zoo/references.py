"""What the library that a folder was published with makes of it: the vectors of queries and of documents."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoTokenizer, DPRContextEncoder, DPRQuestionEncoder

from pipeline.encoders.folders import quiet_transformers

Vectors = NDArray[np.float32]
Reference = Callable[[Path, list[str]], tuple[Vectors, Vectors]]


def sentence_transformers(folder: Path, texts: list[str]) -> tuple[Vectors, Vectors]:
    """`encode_query` and `encode_document`; in single precision, whatever the weights are kept in."""
    model = SentenceTransformer(str(folder), device="cpu").float()
    return model.encode_query(texts), model.encode_document(texts)


def by_the_name_passage(folder: Path, texts: list[str]) -> tuple[Vectors, Vectors]:
    """Documents by the prompt that the authors call `passage`, which `encode_document` leaves out."""
    model = SentenceTransformer(str(folder), device="cpu")
    return model.encode_query(texts), model.encode(texts, prompt_name="passage")


def by_the_default_prompt(folder: Path, texts: list[str]) -> tuple[Vectors, Vectors]:
    """Both sides by `encode`, which alone uses a default prompt."""
    vectors = SentenceTransformer(str(folder), device="cpu").encode(texts)
    return vectors, vectors


def model2vec(folder: Path, texts: list[str]) -> tuple[Vectors, Vectors]:
    """`StaticModel.encode`."""
    from model2vec import StaticModel

    vectors = StaticModel.from_pretrained(str(folder)).encode(texts)
    return vectors, vectors


def mean_of_transformers(folder: Path, texts: list[str]) -> tuple[Vectors, Vectors]:
    """The mean of the last states, as Contriever's own code takes it, text by text."""
    vectors = _by_text(*_opened(folder), texts, lambda states: states.mean(0))
    return vectors, vectors


def dpr(folder: Path, texts: list[str]) -> tuple[Vectors, Vectors]:
    """The pooled output of each class over its own checkpoint."""
    both = []
    for name, model_class in (("question", DPRQuestionEncoder), ("context", DPRContextEncoder)):
        tokenizer = AutoTokenizer.from_pretrained(str(folder / name))
        model = model_class.from_pretrained(str(folder / name)).eval()
        with torch.inference_mode():
            both.append(
                np.stack([model(**tokenizer(text, return_tensors="pt")).pooler_output[0].numpy() for text in texts])
            )
    return both[0], both[1]


def repllama(folder: Path, texts: list[str]) -> tuple[Vectors, Vectors]:
    """As the model's card shows: `query: `, `passage: `, the end token last, its state, normalised."""
    from peft import PeftModel

    tokenizer, base = _opened(folder / "base")
    model = PeftModel.from_pretrained(base, str(folder / "adapter")).merge_and_unload().eval()

    def encode(prefix: str) -> Vectors:
        words = [f"{prefix}{text}{tokenizer.eos_token}" for text in texts]
        vectors = _by_text(tokenizer, model, words, lambda states: states[-1])
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    return encode("query: "), encode("passage: ")


def _opened(folder: Path) -> tuple[Any, Any]:
    with quiet_transformers():
        return AutoTokenizer.from_pretrained(str(folder)), AutoModel.from_pretrained(str(folder)).eval()


def _by_text(tokenizer: Any, model: Any, texts: list[str], pool: Callable[[torch.Tensor], torch.Tensor]) -> Vectors:
    """Encode texts one by one, so that there is no padding to get wrong."""
    with torch.inference_mode():
        return np.stack(
            [
                pool(
                    model(
                        **tokenizer(text, return_tensors="pt"),
                    ).last_hidden_state[0]
                ).numpy()
                for text in texts
            ]
        )
