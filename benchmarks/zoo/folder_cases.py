"""Which folders the zoo has, and which library says what each means."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sentence_transformers.sentence_transformer import modules as st
from torch import nn

from benchmarks.zoo import bases, references
from benchmarks.zoo.folders import (
    adapted,
    cross_encoder,
    dense,
    dpr,
    edited,
    in_a_folder_of_its_own,
    in_half_precision,
    layer_norm,
    malicious,
    mean,
    model2vec,
    of_family,
    over,
    pickled_modules,
    quantized,
    renamed,
    repllama,
    retyped,
    router,
    sequence,
    sharded,
    sharded_pickles,
    sparse_encoder,
    static,
    vocabulary_alone,
    word_embeddings,
)

Expected = Literal["equal", "refused"]


@dataclass(frozen=True)
class Case:
    """One folder.

    Attributes:
        name: What is special about it.
        make: Writes it.
        expected: Whether it opens.
        reference: Gives query and document vectors as its own library does; None where it is refused.
        words: The choices of `train.py` that open it, `{}` standing for the folder.
        empty: Whether the reference can encode a text without any token.
    """

    name: str
    make: Callable[[Path], Any]
    expected: Expected = "equal"
    reference: references.Reference | None = references.sentence_transformers
    words: str = "backbone=local backbone.path={}"
    empty: bool = True


PAIR = "backbone=local backbone.path={} query=twin"
PLAIN = references.mean_of_transformers
WORD = "sentence_transformers.models.*"

CASES: list[Case] = [
    *(
        Case(f"pooling {mode}", sequence(st.Pooling(384, mode)))
        for mode in ("cls", "mean", "max", "lasttoken", "weightedmean", "mean_sqrt_len_tokens")
    ),
    Case("pooling cls and mean", sequence(st.Pooling(384, ("cls", "mean")))),
    Case(
        "pooling max, mean and lasttoken, then Dense",
        sequence(st.Pooling(384, ("max", "mean", "lasttoken")), dense(1152)),
    ),
    Case("CLS, Dense (tanh)", sequence(st.Pooling(384, "cls"), dense())),
    Case("Dense without bias, GELU", sequence(mean(), dense(bias=False, activation_function=nn.GELU()))),
    Case("Dense with a residual", sequence(mean(), dense(384, 384, use_residual=True)), "refused", None),
    Case("Dense, Normalize", sequence(mean(), dense(activation_function=nn.Identity()), st.Normalize())),
    Case("Normalize before Dense", sequence(mean(), st.Normalize(), dense())),
    Case("Normalize, Dense, Normalize", sequence(mean(), st.Normalize(), dense(), st.Normalize())),
    Case(
        "Dense on token embeddings",
        sequence(dense(384, 48, module_input_name="token_embeddings"), st.Pooling(48, "mean")),
    ),
    Case("Dense twice", sequence(mean(), dense(384, 64), dense(64, 32))),
    Case("Dense that writes elsewhere", sequence(mean(), dense(module_output_name="other")), "refused", None),
    Case("LayerNorm", sequence(mean(), layer_norm())),
    Case("LayerNorm, Dense, Normalize", sequence(mean(), layer_norm(), dense(), st.Normalize())),
    Case("Dropout in between", sequence(mean(), st.Dropout(0.3), dense(), st.Dropout(0.1))),
    Case("CNN", sequence(st.CNN(384, 32), st.Pooling(96, "mean")), "refused", None),
    Case("LSTM", sequence(st.LSTM(384, 16), st.Pooling(32, "mean")), "refused", None),
    Case("two prompts", sequence(mean(), prompts={"query": "query: ", "document": "passage: "})),
    Case(
        "a prompt called passage",
        sequence(mean(), prompts={"query": "q: ", "passage": "p: "}),
        reference=references.by_the_name_passage,
    ),
    Case(
        "a default prompt",
        sequence(mean(), prompts={"all": "Represent this: "}, default_prompt_name="all"),
        reference=references.by_the_default_prompt,
    ),
    Case(
        "prompt left out of the mean",
        sequence(
            st.Pooling(384, "mean", include_prompt=False), prompts={"query": "Find what answers: ", "document": ""}
        ),
    ),
    Case(
        "prompt left out of the weighted mean",
        sequence(
            st.Pooling(384, "weightedmean", include_prompt=False),
            prompts={"query": "Find what answers: ", "document": "passage: "},
        ),
        "refused",
        None,
    ),
    Case("dot product", sequence(mean(), similarity_fn_name="dot")),
    Case("dot product over Normalize", sequence(mean(), st.Normalize(), similarity_fn_name="dot")),
    Case("euclidean", sequence(mean(), similarity_fn_name="euclidean"), "refused", None),
    Case("manhattan", sequence(mean(), similarity_fn_name="manhattan"), "refused", None),
    Case("length 12", edited(sequence(mean()), "sentence_bert_config.json", max_seq_length=12)),
    Case("lowercasing of its own", edited(sequence(mean()), "sentence_bert_config.json", do_lower_case=True)),
    Case("classes by old names", retyped(sequence(mean(), dense()), {"*": WORD})),
    Case(
        "settings under RoBERTa's file name",
        renamed(
            edited(sequence(mean()), "sentence_bert_config.json", max_seq_length=12),
            "sentence_bert_config.json",
            "sentence_roberta_config.json",
        ),
    ),
    Case(
        "a Transformer class from elsewhere",
        retyped(sequence(mean()), {"Transformer": "custom_st.Transformer"}),
        "refused",
        None,
    ),
    Case(
        "a Pooling class from elsewhere",
        retyped(sequence(mean()), {"Pooling": "theirs.modeling.Pooling"}),
        "refused",
        None,
    ),
    Case(
        "a sparse model's pooling",
        retyped(sequence(mean()), {"Pooling": "sentence_transformers.sparse_encoder.modules.SpladePooling"}),
        "refused",
        None,
    ),
    Case("pickled, Dense too", pickled_modules),
    Case("an adapter in the folder", adapted),
    Case("Router of two transformers", router, words=PAIR),
    Case("Router without Normalize", lambda folder: router(folder, normalized=False), words=PAIR),
    Case("Router, static query side", lambda folder: router(folder, static=True), words=""),
    Case("StaticEmbedding", static, words=""),
    Case("model2vec", model2vec, reference=references.model2vec, words=""),
    Case(
        "model2vec, not normalised",
        lambda folder: model2vec(folder, normalize=False),
        reference=references.model2vec,
        words="",
    ),
    Case(
        "model2vec, mapping and weights",
        lambda folder: model2vec(folder, quantized=True),
        reference=references.model2vec,
        words="",
    ),
    Case("plain BERT", bases.bert, reference=PLAIN),
    Case("plain BERT, pickled", lambda folder: bases.pickled(bases.bert(folder)), reference=PLAIN),
    Case("sharded", sharded, reference=PLAIN),
    Case("sharded pickles", sharded_pickles, reference=PLAIN),
    Case(
        "Contriever's layout",
        lambda folder: bases.pickled(bases.bert(folder)),
        reference=PLAIN,
        words="backbone=contriever backbone.path={}",
    ),
    Case(
        "DPR's two checkpoints",
        dpr,
        reference=references.dpr,
        words="backbone=dpr backbone.question_path={}/question backbone.context_path={}/context query=twin",
    ),
    Case(
        "RepLLaMA's layout",
        repllama,
        reference=references.repllama,
        words="backbone=repllama backbone.path={}/base backbone.adapter={}/adapter",
    ),
    Case("BERT with a masked-LM head", of_family("BertForMaskedLM", "BertConfig"), reference=PLAIN),
    Case("BERT with a classifier", of_family("BertForSequenceClassification", "BertConfig"), reference=PLAIN),
    Case("DistilBERT", of_family("DistilBertForMaskedLM", "DistilBertConfig", "dim"), reference=PLAIN),
    Case("MPNet", of_family("MPNetForMaskedLM", "MPNetConfig"), reference=PLAIN),
    Case("ModernBERT", of_family("ModernBertForMaskedLM", "ModernBertConfig"), reference=PLAIN),
    Case("ELECTRA", of_family("ElectraForPreTraining", "ElectraConfig"), reference=PLAIN),
    Case("GPT-NeoX", of_family("GPTNeoXForCausalLM", "GPTNeoXConfig"), reference=PLAIN),
    Case("GPT-2", of_family("GPT2LMHeadModel", "GPT2Config", "n_embd"), reference=PLAIN),
    Case("Qwen3", of_family("Qwen3ForCausalLM", "Qwen3Config", num_key_value_heads=2, head_dim=12), reference=PLAIN),
    Case(
        "Gemma 3",
        of_family("Gemma3ForCausalLM", "Gemma3TextConfig", num_key_value_heads=2, head_dim=12),
        reference=PLAIN,
    ),
    Case("vocab.txt alone", vocabulary_alone, reference=PLAIN),
    Case("a pickle that runs code", malicious(bases.bert, "pytorch_model.bin"), "refused", None),
    Case(
        "an adapter that runs code",
        malicious(repllama, "adapter/adapter_model.bin"),
        "refused",
        None,
        "backbone=repllama backbone.path={}/base backbone.adapter={}/adapter",
    ),
    Case(
        "Qwen3-Embedding's layout",
        over(
            of_family("Qwen3Model", "Qwen3Config", num_key_value_heads=2, head_dim=12),
            st.Pooling(bases.WIDTH, "lasttoken"),
            st.Normalize(),
            edit={"padding_side": "left"},
            prompts={"query": "Instruct: find it\\nQuery:", "document": ""},
        ),
    ),
    Case(
        "EmbeddingGemma's layout",
        over(
            of_family(
                "Gemma3TextModel",
                "Gemma3TextConfig",
                num_key_value_heads=2,
                head_dim=12,
                use_bidirectional_attention=True,
                sliding_window=8,
            ),
            st.Pooling(bases.WIDTH, "mean"),
            dense(bases.WIDTH, 96, bias=False, activation_function=nn.Identity()),
            dense(96, bases.WIDTH, bias=False, activation_function=nn.Identity()),
            st.Normalize(),
            prompts={"query": "task: search | query: ", "document": "title: none | text: ", "Clustering": "task: c | "},
        ),
    ),
    Case(
        "GTR's layout",
        over(
            of_family("T5EncoderModel", "T5Config", "t5"),
            st.Pooling(bases.WIDTH, "mean"),
            dense(bases.WIDTH, 24, bias=False, activation_function=nn.Identity()),
            st.Normalize(),
        ),
    ),
    Case(
        "SGPT's layout", over(of_family("GPT2Model", "GPT2Config", "n_embd"), st.Pooling(bases.WIDTH, "weightedmean"))
    ),
    Case(
        "cut on the left",
        over(bases.bert, mean(), edit={"truncation_side": "left", "model_max_length": 12}),
    ),
    Case("float16 weights", in_half_precision),
    Case("the transformer in a folder of its own", in_a_folder_of_its_own),
    Case("a cross-encoder", cross_encoder, "refused", None),
    Case("a sparse encoder", sparse_encoder, "refused", None),
    Case("averaged word vectors", word_embeddings, "refused", None),
    Case("weights in 4 bits", quantized, "refused", None),
]
