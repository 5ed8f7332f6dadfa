"""Model folders in every published layout, written by the libraries that publish them."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules as st
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoModel, DPRConfig, DPRContextEncoder, DPRQuestionEncoder

from benchmarks.zoo import bases

Expected = Literal["equal", "refused"]


def transformer(folder: Path, base: Callable[[Path], Path] = bases.bert, **settings: Any) -> st.Transformer:
    """Give a Transformer module over a small base, which is left beside the folder."""
    place = folder.with_name(f"{folder.name}_base")
    return st.Transformer(str(base(place)), **settings)


def sequence(*after: Callable[[int], nn.Module] | nn.Module, **settings: Any) -> Callable[[Path], None]:
    """Write a Transformer with these modules after it."""

    def make(folder: Path) -> None:
        torch.manual_seed(0)
        first = transformer(folder)
        SentenceTransformer(modules=[first, *after], device="cpu", **settings).save(str(folder))

    return make


def mean() -> st.Pooling:
    """Mean pooling over MiniLM's width."""
    return st.Pooling(384, "mean")


def layer_norm() -> st.LayerNorm:
    """A LayerNorm that is not at its first values."""
    torch.manual_seed(1)
    norm = st.LayerNorm(384)
    nn.init.normal_(norm.norm.weight, mean=1.0)
    nn.init.normal_(norm.norm.bias)
    return norm


def dense(inputs: int = 384, outputs: int = 32, **settings: Any) -> st.Dense:
    """A Dense module, the same every time."""
    torch.manual_seed(2)
    return st.Dense(inputs, outputs, **settings)


def edited(make: Callable[[Path], None], file: str, **values: Any) -> Callable[[Path], None]:
    """Write a folder and change values in one of its JSON files; None takes a value away."""

    def changed(folder: Path) -> None:
        make(folder)
        path = folder / file
        content = json.loads(path.read_text(encoding="utf-8"))
        content |= values
        path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}), "utf-8")

    return changed


def retyped(make: Callable[[Path], None], names: dict[str, str]) -> Callable[[Path], None]:
    """Write a folder and call its modules' classes otherwise: by their last word."""

    def changed(folder: Path) -> None:
        make(folder)
        path = folder / "modules.json"
        modules = json.loads(path.read_text(encoding="utf-8"))
        for module in modules:
            word = module["type"].rsplit(".", 1)[-1]
            module["type"] = names.get(word, names.get("*", module["type"]).replace("*", word))
        path.write_text(json.dumps(modules), encoding="utf-8")

    return changed


def renamed(make: Callable[[Path], None], old: str, new: str) -> Callable[[Path], None]:
    """Write a folder and call one of its files otherwise."""

    def changed(folder: Path) -> None:
        make(folder)
        (folder / old).rename(folder / new)

    return changed


def without(make: Callable[[Path], Any], *files: str) -> Callable[[Path], None]:
    """Write a folder without some files."""

    def changed(folder: Path) -> None:
        make(folder)
        for file in files:
            (folder / file).unlink()

    return changed


def pickled_modules(folder: Path) -> None:
    """A CLS-pooled folder with a Dense layer, all of whose weights are pickles."""
    sequence(st.Pooling(384, "cls"), dense())(folder)
    for weights in [*folder.rglob("model.safetensors")]:
        bases.pickled(weights.parent)


class Creates:
    """An object whose unpickling writes a file: what a malicious checkpoint does."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.path,)


def malicious(make: Callable[[Path], Any], file: str) -> Callable[[Path], None]:
    """Put a pickle that runs code in the place of a folder's weights."""

    def changed(folder: Path) -> None:
        make(folder)
        (folder / file).with_suffix(".safetensors").unlink(missing_ok=True)
        for other in folder.glob("*model.safetensors"):
            other.unlink()
        torch.save({"weight": Creates(folder / "it_ran")}, folder / file, pickle_module=pickle)

    return changed


def sharded(folder: Path) -> None:
    """A plain folder whose weights lie in several files."""
    bases.bert(folder)
    AutoModel.from_pretrained(str(folder)).save_pretrained(folder, max_shard_size="20MB")
    (folder / "model.safetensors").unlink(missing_ok=True)


def sharded_pickles(folder: Path) -> None:
    """Shards as `torch.save` writes them, with the index that transformers gave them."""
    sharded(folder)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    names = {
        name: name.replace("model-", "pytorch_model-").replace(".safetensors", ".bin")
        for name in set(index["weight_map"].values())
    }
    for old, new in names.items():
        bases.pickled(folder, old, new)
    index["weight_map"] = {key: names[name] for key, name in index["weight_map"].items()}
    (folder / "model.safetensors.index.json").unlink()
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))


def vocabulary_alone(folder: Path) -> None:
    """A folder of before there was tokenizer.json."""
    bases.bert(folder)
    vocabulary = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    (folder / "vocab.txt").write_text(
        "\n".join(sorted(vocabulary, key=vocabulary.__getitem__)) + "\n", encoding="utf-8"
    )
    (folder / "tokenizer.json").unlink()
    settings = {"do_lower_case": True, "model_max_length": 512, "tokenizer_class": "BertTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def dpr(folder: Path) -> None:
    """Both checkpoints of DPR as they are published: each through its own class, pickled."""
    for name, model_class, first in (("question", DPRQuestionEncoder, 0), ("context", DPRContextEncoder, 2)):
        place = bases.bert(folder / f"{name}_bert", 2, first)
        bert = AutoModel.from_pretrained(str(place))
        config = DPRConfig(
            **{k: v for k, v in bert.config.to_dict().items() if k not in ("model_type", "architectures")}
        )
        model = model_class(config)
        model.base_model.bert_model.load_state_dict(bert.state_dict(), strict=False)
        bases.saved(model, folder / name)
        bases.pickled(folder / name)


def adapter(folder: Path, base: Path, targets: list[str]) -> None:
    """Write a LoRA adapter over a base, with weights that change something."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(3)
    model = get_peft_model(AutoModel.from_pretrained(str(base)), LoraConfig(r=4, lora_alpha=16, target_modules=targets))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weight, std=0.05)
    model.save_pretrained(str(folder))


def repllama(folder: Path) -> None:
    """A decoder and an adapter beside it, pickled as RepLLaMA's is."""
    base = bases.random(folder / "base", "LlamaModel", "LlamaConfig")
    bases.llama_tokenizer(base)
    adapter(folder / "adapter", base, ["q_proj", "v_proj"])
    bases.pickled(folder / "adapter", "adapter_model.safetensors", "adapter_model.bin")


def adapted(folder: Path) -> None:
    """A sentence-transformers folder whose transformer is an adapter."""
    from peft import LoraConfig, TaskType

    torch.manual_seed(3)
    model = SentenceTransformer(modules=[transformer(folder), st.Pooling(384, "cls")], device="cpu")
    model.add_adapter(LoraConfig(task_type=TaskType.FEATURE_EXTRACTION, r=4, target_modules=["query", "value"]))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weight, std=0.05)
    model.save(str(folder))


def router(folder: Path, *, static: bool = False, normalized: bool = True) -> None:
    """Two towers behind one Router, as sentence-transformers saves them; LEAF's pairs are published so."""
    torch.manual_seed(4)
    trained = [
        transformer(folder.with_name(f"{folder.name}_query")),
        mean(),
        dense(384, 384, activation_function=nn.Identity()),
    ]
    query: list[nn.Module] = [static_module(384)] if static else trained
    document = [transformer(folder, lambda place: bases.bert(place, 2, 2)), st.Pooling(384, "cls")]
    both = st.Router.for_query_document(query_modules=query, document_modules=document)
    modules = [both, st.Normalize()] if normalized else [both]
    prompts = {"query": "query: ", "document": ""}
    SentenceTransformer(modules=modules, device="cpu", prompts=prompts).save(str(folder))


def static_module(width: int = 64) -> st.StaticEmbedding:
    """Token vectors that look drawn, over MiniLM's vocabulary."""
    tokenizer = Tokenizer.from_file(str(bases.minilm() / "tokenizer.json"))
    tokenizer.no_truncation()
    vectors = np.random.default_rng(0).normal(size=(tokenizer.get_vocab_size(), width)).astype(np.float32)
    return st.StaticEmbedding(tokenizer, embedding_weights=vectors)


def static(folder: Path) -> None:
    """A folder of token vectors."""
    SentenceTransformer(modules=[static_module(), st.Normalize()], device="cpu").save(str(folder))


def model2vec(folder: Path, *, quantized: bool = False, normalize: bool = True) -> None:
    """A folder of model2vec; quantised, many tokens share a vector and each has a weight."""
    from model2vec import StaticModel
    from model2vec.model import quantize_model

    module = static_module()
    vectors = module.embedding.weight.detach().numpy()
    model = StaticModel(vectors, module.tokenizer, normalize=normalize)
    if quantized:
        model = quantize_model(model, vocabulary_quantization=500)
    model.save_pretrained(str(folder))


def of_family(model_class: str, config_class: str, sizes: str = "hidden", **settings: Any) -> Callable[[Path], Path]:
    """Write a random model of another family."""
    return lambda folder: bases.random(folder, model_class, config_class, sizes, **settings)


def over(
    base: Callable[[Path], Path], *after: nn.Module, edit: dict[str, Any] | None = None, **settings: Any
) -> Callable[[Path], None]:
    """Write a Transformer over any base with these modules after it, and some of its tokenizer's settings changed."""

    def make(folder: Path) -> None:
        first = transformer(folder, base)
        SentenceTransformer(modules=[first, *after], device="cpu", **settings).save(str(folder))
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | (edit or {})), encoding="utf-8")

    return make


def in_half_precision(folder: Path) -> None:
    """A folder whose weights are float16, as many are published."""
    first = transformer(folder)
    first.model.half()
    SentenceTransformer(modules=[first, mean()], device="cpu").save(str(folder))


def in_a_folder_of_its_own(folder: Path) -> None:
    """The transformer in `0_Transformer/`, as the first versions of the library saved it."""
    sequence(mean())(folder)
    place = folder / "0_Transformer"
    place.mkdir()
    for path in list(folder.iterdir()):
        if path.is_file() and path.name not in ("modules.json", "config_sentence_transformers.json", "README.md"):
            path.rename(place / path.name)
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))


def cross_encoder(folder: Path) -> None:
    """A model that reads a query and a document together."""
    from sentence_transformers import CrossEncoder

    place = folder.with_name(f"{folder.name}_base")
    base = bases.random(place, "BertForSequenceClassification", "BertConfig", num_labels=1)
    CrossEncoder(str(base), device="cpu", num_labels=1).save_pretrained(str(folder))


def sparse_encoder(folder: Path) -> None:
    """A model whose vectors are as wide as the vocabulary."""
    from sentence_transformers import SparseEncoder

    base = bases.random(folder.with_name(f"{folder.name}_base"), "BertForMaskedLM", "BertConfig")
    SparseEncoder(str(base), device="cpu").save_pretrained(str(folder))


def word_embeddings(folder: Path) -> None:
    """Averaged word vectors with a tokenizer of their own."""
    from sentence_transformers.sentence_transformer.modules.tokenizer import WhitespaceTokenizer

    words = ["one", "two", "three"]
    vectors = np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32)
    first = st.WordEmbeddings(WhitespaceTokenizer(words), vectors)
    SentenceTransformer(modules=[first, st.Pooling(16, "mean")], device="cpu").save(str(folder))


def quantized(folder: Path) -> None:
    """A folder that says that its weights are in 4 bits."""
    bases.bert(folder)
    path = folder / "config.json"
    settings = {"quantization_config": {"quant_method": "gptq", "bits": 4}}
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
