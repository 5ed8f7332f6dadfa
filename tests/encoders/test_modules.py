"""Folders that sentence-transformers writes, of every order of modules, give its vectors; so does what is saved of them."""

import json

import numpy as np
import pytest
import torch

from pipeline.encoders.backbones import Local
from pipeline.encoders.building import EncoderSettings, Shared, build_dual_encoder, build_tower
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import encode
from pipeline.encoders.layerwise_tower import LayerwiseTower
from pipeline.encoders.layout import SETTINGS, read_layout
from pipeline.encoders.loading import open_tower
from pipeline.encoders.pooling import AsSaved, Own
from pipeline.errors import UserError
from pipeline.evaluation.models import find_models
from tests.encoders.conftest import TEXTS, edit_json

st = pytest.importorskip("sentence_transformers")
modules = pytest.importorskip("sentence_transformers.models")

TOKENS = "token_embeddings"


def dense(inputs, outputs, **settings):
    """A Dense whose tanh and bias make its order to other modules matter to directions too."""
    return modules.Dense(inputs, outputs, **{"activation_function": torch.nn.Tanh(), **settings})


def pooling(modes="mean", width=16, **settings):
    return modules.Pooling(width, modes, **settings)


ORDERS = {
    "normalize before dense": lambda: [pooling(), modules.Normalize(), dense(16, 12)],
    "normalize between denses": lambda: [pooling(), dense(16, 12), modules.Normalize(), dense(12, 8, bias=False)],
    "dense on tokens": lambda: [dense(16, 12, module_input_name=TOKENS), pooling(width=12)],
    "normalize on tokens": lambda: [modules.Normalize(TOKENS), pooling("max"), dense(16, 12)],
    "two normalize": lambda: [pooling(), modules.Normalize(), modules.Normalize()],
    "dense after dense": lambda: [pooling("cls"), dense(16, 12), dense(12, 8, activation_function=None)],
    "dropout anywhere": lambda: [
        pooling(),
        modules.Dropout(0.5),
        dense(16, 12),
        modules.Dropout(0.5),
        modules.Normalize(),
        modules.Dropout(0.5),
    ],
    "pooling twice": lambda: [pooling("cls"), dense(16, 12), pooling("mean")],
    "tokens changed after the pooling": lambda: [pooling(), dense(16, 16, module_input_name=TOKENS), dense(16, 8)],
    "tokens changed between poolings": lambda: [pooling(), dense(16, 8, module_input_name=TOKENS), pooling(width=8)],
    "normalize, and tokens changed after it": lambda: [
        pooling(),
        modules.Normalize(),
        dense(16, 8, module_input_name=TOKENS),
    ],
    "tokens normalized at the end": lambda: [pooling(), modules.Normalize(TOKENS)],
    "layer norm": lambda: [pooling(), modules.LayerNorm(16)],
    "layer norm, dense, normalize": lambda: [pooling(), modules.LayerNorm(16), dense(16, 8), modules.Normalize()],
    "weightedmean": lambda: [pooling("weightedmean")],
    "mean_sqrt_len_tokens": lambda: [pooling("mean_sqrt_len_tokens"), dense(16, 8)],
    "two poolings": lambda: [pooling(("cls", "mean")), dense(32, 8)],
    "poolings in another order": lambda: [pooling(("lasttoken", "weightedmean", "cls"))],
    "all poolings": lambda: [pooling(modules.Pooling.POOLING_MODES), modules.LayerNorm(96)],
    "mean without the prompt": lambda: [pooling(include_prompt=False)],
    "cls without the prompt": lambda: [pooling("cls", include_prompt=False), dense(16, 8)],
    "max and last without the prompt": lambda: [pooling(("max", "lasttoken"), include_prompt=False)],
}
PROMPTS = {"query": "query: a ", "document": "passage: "}


def library(folder):
    return st.SentenceTransformer(str(folder), device="cpu")


def saved(bert_folder, folder, following, **settings):
    """Let sentence-transformers write a folder of these modules after a tiny BERT, their weights all random."""
    torch.manual_seed(0)
    chain = [modules.Transformer(str(bert_folder), max_seq_length=12), *following()]
    for module in chain[1:]:
        for weight in module.parameters():
            torch.nn.init.normal_(weight, std=0.5)
    model = st.SentenceTransformer(modules=chain, device="cpu", **{"prompts": PROMPTS, **settings})
    model.save(str(folder))
    return folder


def same(tower, folder, kind):
    """Compare with the library, to whose vectors a tower of cosine similarity gives the length 1; alone, nothing is padded."""
    model = library(folder)
    theirs = (model.encode_query if kind == "query" else model.encode_document)(TEXTS, batch_size=1)
    if tower.similarity == "cosine":
        theirs = theirs / np.linalg.norm(theirs, axis=1, keepdims=True)
    np.testing.assert_allclose(encode(tower, TEXTS, kind), theirs, atol=1e-5)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("order", ORDERS)
def test_every_order_gives_the_library_s_vectors(bert_folder, tmp_path, order, similarity):
    theirs = saved(bert_folder, tmp_path / "theirs", ORDERS[order], similarity_fn_name=similarity)
    tower = open_tower(theirs)
    for kind in ("query", "document"):
        same(tower, theirs, kind)
    tower.save(tmp_path / "ours", "")
    again = open_tower(tmp_path / "ours")
    assert again.fingerprint("query") == tower.fingerprint("query")
    for kind in ("query", "document"):
        same(again, tmp_path / "ours", kind)


@pytest.mark.parametrize("order", ["normalize before dense", "dense on tokens", "layer norm, dense, normalize"])
def test_every_layer_is_trained_and_saved_so(bert_folder, tmp_path, order):
    folder = saved(bert_folder, tmp_path / "theirs", ORDERS[order], similarity_fn_name="dot")
    dual = build_dual_encoder(Local(str(folder)), AsSaved(), Shared(), EncoderSettings(projection=5))
    tower = dual.document
    optimizer = torch.optim.SGD(tower.parameters(), lr=0.1)
    tower(tower.pad(tower.token_ids(TEXTS, "query")))[:, 0].sum().backward()
    layers = [*tower.token_layers.parameters(), *tower.projections.parameters()]
    assert len(layers) > 2
    assert all(weight.grad.abs().sum() > 0 for weight in layers)
    optimizer.step()
    dual.save(tmp_path / "ours", "")
    same(tower, tmp_path / "ours", "query")


def test_prompts_are_left_out_under_padding_on_either_side(bert_folder, tmp_path):
    folder = saved(bert_folder, tmp_path / "theirs", ORDERS["max and last without the prompt"])
    edit_json(folder / "tokenizer_config.json", padding_side="left")
    tower = open_tower(folder)
    assert tower.tokenizer.padding_side == "left"
    same(tower, folder, "query")
    with torch.no_grad():
        trained = tower(tower.pad(tower.token_ids(TEXTS, "query"))).numpy()
    np.testing.assert_allclose(trained, encode(tower, TEXTS, "query"), atol=1e-6)


def test_random_layers_are_drawn_where_the_transformer_is(bert_folder, tmp_path):
    folder = saved(bert_folder, tmp_path / "theirs", ORDERS["dense on tokens"])
    read, drawn = (
        build_tower(Local(str(folder), init=init), AsSaved(), EncoderSettings(), "document", 0).token_layers[0]
        for init in ("pretrained", "random")
    )
    assert not torch.equal(read.linear.weight, drawn.linear.weight)


def test_layers_before_the_pooling_are_not_passed_over_by_probes(bert_folder, tmp_path):
    folder = saved(bert_folder, tmp_path / "theirs", ORDERS["dense on tokens"])
    with pytest.raises(UserError, match=r"layers of its own before its pooling \(Dense\)"):
        LayerwiseTower(open_tower(folder))


def refused(folder, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        open_tower(folder)
    assert "\n" not in str(error.value)


def edit_modules(folder, **changes):
    """Change the entries of modules by their numbers, as in `one={"type": …}`."""
    entries = json.loads((folder / "modules.json").read_text())
    for number, change in zip(("zero", "one", "two"), range(3), strict=True):
        entries[change if change < len(entries) else -1].update(changes.get(number, {}))
    (folder / "modules.json").write_text(json.dumps(entries))


@pytest.mark.parametrize("name", ["custom_st.Transformer", "sentence_transformers_custom.Transformer", "Transformer"])
def test_classes_of_others_are_refused_by_their_full_name(bert_folder, tmp_path, name):
    folder = saved(bert_folder, tmp_path / "theirs", lambda: [pooling()])
    edit_modules(folder, zero={"type": name})
    refused(folder, rf"has a module {name}, which is not known here")


@pytest.mark.parametrize(
    "name", ["WordEmbeddings", "BoW", "CNN", "LSTM", "WordWeights", "CLIPModel", "WeightedLayerPooling"]
)
def test_modules_that_are_not_known_are_refused_by_name(bert_folder, tmp_path, name):
    folder = saved(bert_folder, tmp_path / "theirs", lambda: [pooling()])
    edit_modules(folder, one={"type": f"sentence_transformers.models.{name}"})
    refused(folder, rf"has a module sentence_transformers\.models\.{name}, which is not known here")


PLACES = {
    "Transformer": ("models", "models.Transformer", "base.modules", "base.modules.transformer"),
    "Pooling": ("models", "models.Pooling", "sentence_transformer.modules", "sentence_transformer.modules.pooling"),
    "Normalize": ("models", "models.Normalize", "base.modules", "sentence_transformer.modules.normalize"),
}


@pytest.mark.parametrize("number", range(4))
def test_old_and_new_places_of_the_library_s_classes_open(bert_folder, tmp_path, number):
    folder = saved(bert_folder, tmp_path / "theirs", lambda: [pooling(), modules.Normalize()])
    types = [f"sentence_transformers.{places[number]}.{kind}" for kind, places in PLACES.items()]
    edit_modules(folder, zero={"type": types[0]}, one={"type": types[1]}, two={"type": types[2]})
    same(open_tower(folder), folder, "query")


def test_a_transformer_may_lie_in_a_folder_of_its_own(bert_folder, tmp_path):
    """As versions before 2 saved it."""
    folder = saved(bert_folder, tmp_path / "theirs", lambda: [pooling()])
    (folder / "0_Transformer").mkdir()
    for path in folder.glob("*.*"):
        if path.name not in ("modules.json", "config_sentence_transformers.json"):
            path.rename(folder / "0_Transformer" / path.name)
    edit_modules(folder, zero={"path": "0_Transformer"})
    same(open_tower(folder), folder, "query")


def test_a_folder_whose_transformer_lies_in_model_is_no_run_folder(bert_folder, tmp_path):
    folder = saved(bert_folder, tmp_path / "theirs", lambda: [pooling("cls"), dense(16, 8)])
    (folder / "model").mkdir()
    for path in folder.glob("*.*"):
        if path.name not in ("modules.json", "config_sentence_transformers.json"):
            path.rename(folder / "model" / path.name)
    edit_modules(folder, zero={"path": "model"})
    trained = build_dual_encoder(Local(str(folder)), Own(), Shared())
    (evaluated,) = find_models([str(folder)])
    for tower in (trained.document, evaluated.load().document):
        same(tower, folder, "document")


@pytest.mark.parametrize("sides", [["query"], ["document"], ["query", "document"]])
def test_folders_named_like_sides_say_nothing(bert_folder, tmp_path, sides):
    folder = saved(bert_folder, tmp_path / "theirs", lambda: [pooling()])
    for side in sides:
        (folder / side).mkdir()
    dual = DualEncoder.load(folder)
    assert dual.symmetric
    same(dual.document, folder, "document")


@pytest.mark.parametrize("activation", ["LeakyReLU", "SiLU", "GELU", "Hardtanh", "Softsign"])
@pytest.mark.parametrize("place", ["torch.nn", "torch.nn.modules.activation"])
def test_activations_of_torch_are_the_library_s(bert_folder, tmp_path, activation, place):
    folder = saved(bert_folder, tmp_path / "theirs", lambda: [pooling(), dense(16, 8)])
    edit_json(folder / "2_Dense" / "config.json", activation_function=f"{place}.{activation}")
    same(open_tower(folder), folder, "query")


@pytest.mark.parametrize("name", ["torch.nn.Linear", "torch.nn.Softmax", "torch.nn.modules.activation.warnings"])
def test_what_is_no_activation_of_single_numbers_is_refused(bert_folder, tmp_path, name):
    folder = saved(bert_folder, tmp_path / "theirs", lambda: [pooling(), dense(16, 8)])
    edit_json(folder / "2_Dense" / "config.json", activation_function=name)
    refused(folder, f"the activation '{name}' cannot be read")


@pytest.mark.parametrize("order", ["two normalize", "layer norm, dense, normalize", "normalize before dense"])
def test_the_inner_product_that_is_named_keeps_the_normalize(bert_folder, tmp_path, order):
    folder = saved(bert_folder, tmp_path / "theirs", ORDERS[order])
    dual = build_dual_encoder(Local(str(folder)), Own(), Shared(), EncoderSettings(similarity="dot"))
    dual.save(tmp_path / "ours", "")
    for tower in (dual.document, open_tower(tmp_path / "ours")):
        assert tower.similarity == "dot"
        same(tower, folder, "document")
        assert tower.fingerprint("document") == dual.document.fingerprint("document")


def test_inputs_and_outputs_that_cannot_be_followed_are_refused(bert_folder, tmp_path):
    folder = saved(bert_folder, tmp_path / "theirs", lambda: [pooling(), dense(16, 8)])
    edit_json(folder / "2_Dense" / "config.json", module_output_name="projected")
    refused(folder, "2_Dense makes projected of sentence_embedding")
    edit_json(folder / "2_Dense" / "config.json", module_input_name="all_layers", module_output_name="all_layers")
    refused(folder, "2_Dense makes all_layers of all_layers")
    edit_json(folder / "2_Dense" / "config.json", module_input_name=None, module_output_name=None, in_features=12)
    refused(folder, "2_Dense holds")
    edit_modules(folder, two={"path": "../elsewhere"})
    refused(folder, r"names the path \.\./elsewhere, which is not within the folder")


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("modules.json", "{}", r"modules\.json holds no list"),
        ("modules.json", '[{"idx": 0, "path": ""}]', r"modules\.json lists a module without its path or its type"),
        ("modules.json", "[]", r"modules\.json names no module"),
        ("2_Dense/config.json", '{"in_features": 16}', "holds no object with in_features and out_features"),
        (
            "2_Dense/config.json",
            '{"in_features": "16", "out_features": 8}',
            'has in_features="16", which is no whole number',
        ),
        (SETTINGS, "null", rf"{SETTINGS} holds no object"),
        (SETTINGS, "[]", rf"{SETTINGS} holds no object"),
        (SETTINGS, '{"prompts": ["q"]}', r'has prompts=\["q"\], which is no object'),
        (SETTINGS, '{"prompts": {"query": {"text": "q: "}}}', "has the prompt query=.*, which is no text"),
        (SETTINGS, '{"prompts": {"query": 5}}', "has the prompt query=5, which is no text"),
        (SETTINGS, '{"similarity_fn_name": ["dot"]}', "has similarity_fn_name=.*, which is no text"),
        ("1_Pooling/config.json", '{"pooling_mode": []}', "pools by nothing"),
        ("1_Pooling/config.json", '{"pooling_mode": null}', "pools by None"),
        ("1_Pooling/config.json", "[]", "holds no object"),
        ("sentence_bert_config.json", "[]", "holds no object"),
        ("sentence_bert_config.json", '{"model_args": "bfloat16"}', "has model_args=.*, which is no object"),
        ("tokenizer_config.json", "[]", "holds no object"),
        ("config.json", "[]", "holds no object"),
        ("config.json", '{"auto_map": ["x.py"]}', "has auto_map=.*, which is no object"),
        ("config.json", '{"model_type": "bert", "dtype": "nonsense"}', "config of .* cannot be used: .*nonsense"),
    ],
)
def test_damaged_listings_are_refused(bert_folder, tmp_path, file, content, sentence):
    folder = saved(bert_folder, tmp_path / "theirs", lambda: [pooling(), dense(16, 8)])
    (folder / file).write_text(content)
    refused(folder, sentence)


@pytest.mark.parametrize("content", ['{"tandem": null}', '{"prompts": null, "tandem": {}}'])
def test_null_stands_for_what_is_not_said(bert_folder, tmp_path, content):
    folder = saved(bert_folder, tmp_path / "theirs", lambda: [pooling()])
    (folder / SETTINGS).write_text(content)
    tower = open_tower(folder)
    (folder / SETTINGS).unlink()  # which means the same; the library does not take null for it everywhere
    same(tower, folder, "query")


def test_what_comes_before_the_pooling_has_no_vector_yet(bert_folder, tmp_path):
    folder = saved(bert_folder, tmp_path / "theirs", lambda: [pooling(), dense(16, 8)])
    first, second, third = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([first, third, second]))
    refused(folder, "puts 2_Dense before the Pooling, where there is no vector yet")
    (folder / "modules.json").write_text(json.dumps([first, third]))
    refused(folder, "puts 2_Dense before the Pooling")
    (folder / "modules.json").write_text(json.dumps([first]))
    refused(folder, "names no Pooling module")
    (folder / "modules.json").write_text(json.dumps([second, third]))
    refused(folder, "begins with Pooling; it must begin with")


@pytest.mark.parametrize("name", ["euclidean", "manhattan", "maxsim"])
def test_other_similarities_are_refused_unless_they_rank_alike(bert_folder, tmp_path, name):
    plain = saved(bert_folder, tmp_path / "plain", lambda: [pooling()])
    edit_json(plain / "config_sentence_transformers.json", similarity_fn_name=name)
    refused(plain, f"compares vectors by similarity_fn_name={name}")
    unit = saved(bert_folder, tmp_path / "unit", lambda: [pooling(), modules.Normalize()])
    edit_json(unit / "config_sentence_transformers.json", similarity_fn_name=name)
    if name != "euclidean":
        refused(unit, f"compares vectors by similarity_fn_name={name}")
        return
    tower, model = open_tower(unit), library(unit)
    vectors = encode(tower, TEXTS, "document")
    theirs = model.similarity(*[model.encode_document(TEXTS)] * 2).numpy()
    np.testing.assert_array_equal((-vectors @ vectors.T).argsort(axis=1), (-theirs).argsort(axis=1))


@pytest.mark.parametrize(
    ("following", "name", "similarity", "named"),
    [
        (lambda: [pooling()], None, "cosine", False),
        (lambda: [pooling()], "cosine", "cosine", True),
        (lambda: [pooling()], "dot", "dot", True),
        (lambda: [pooling(), modules.Normalize(), modules.Dropout(0.1)], None, "cosine", True),
        (lambda: [pooling(), modules.Normalize(), dense(16, 8)], None, "cosine", False),
        (lambda: [pooling(), modules.Normalize(), dense(16, 8)], "dot", "dot", True),
    ],
)
def test_it_is_known_whether_a_folder_names_its_similarity(bert_folder, tmp_path, following, name, similarity, named):
    folder = saved(bert_folder, tmp_path / "theirs", following)
    edit_json(folder / "config_sentence_transformers.json", similarity_fn_name=name)
    layout = read_layout(folder, "document")
    assert (layout.similarity, layout.similarity_named) == (similarity, named)


@pytest.mark.parametrize(
    ("prompts", "default", "query", "document"),
    [
        ({"query": "query: ", "document": "passage: "}, None, "query: ", "passage: "),
        ({"query": "query: ", "document": ""}, None, "query: ", ""),
        ({"s2p_query": "query: ", "s2s_query": "a "}, None, "", ""),
        ({"s2p_query": "query: ", "query": "the "}, "query", "the ", ""),
    ],
)
def test_prompts_are_those_that_the_library_takes(bert_folder, tmp_path, prompts, default, query, document):
    folder = saved(bert_folder, tmp_path / "theirs", lambda: [pooling()], prompts=prompts, default_prompt_name=default)
    tower = open_tower(folder)
    assert tower.prompts == {"query": query, "document": document}
    for kind in ("query", "document"):
        same(tower, folder, kind)


def test_a_default_prompt_counts_for_both_where_neither_has_its_own(bert_folder, tmp_path):
    settings = {"prompts": {"s2s": "query: a "}, "default_prompt_name": "s2s"}
    folder = saved(bert_folder, tmp_path / "theirs", lambda: [pooling(), modules.Normalize()], **settings)
    tower = open_tower(folder)
    for kind in ("query", "document"):
        np.testing.assert_allclose(encode(tower, TEXTS, kind), library(folder).encode(TEXTS), atol=1e-5)
    built = build_tower(Local(str(folder)), AsSaved(), EncoderSettings(), "query", 0)
    for notes in (tower.notes, built.notes):
        assert any('has "query: a " as its default prompt: it is put before every' in note for note in notes)
    edit_json(folder / "config_sentence_transformers.json", default_prompt_name="sts")
    refused(folder, "names the default prompt 'sts' but has no such prompt")


def test_settings_of_the_whole_that_change_vectors_are_refused(bert_folder, tmp_path):
    folder = saved(bert_folder, tmp_path / "theirs", lambda: [pooling()])
    edit_json(folder / "config_sentence_transformers.json", truncate_dim=8)
    refused(folder, "sets truncate_dim=8, which is not known here")
    edit_json(folder / "config_sentence_transformers.json", truncate_dim=None, model_type="SparseEncoder")
    refused(folder, "sets model_type=SparseEncoder, which is not known here")


@pytest.mark.parametrize("name", ["roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"])
def test_older_names_of_the_transformer_s_settings_are_read(bert_folder, tmp_path, name):
    folder = saved(bert_folder, tmp_path / "theirs", lambda: [pooling()])
    (folder / "sentence_bert_config.json").unlink()
    (folder / f"sentence_{name}_config.json").write_text(json.dumps({"max_seq_length": 6, "do_lower_case": True}))
    tower = open_tower(folder)
    assert tower.max_length == 6
    same(tower, folder, "document")


@pytest.mark.parametrize(
    "settings",
    [
        {"max_seq_length": None},
        {"max_seq_length": 7, "do_lower_case": True},
        {"tokenizer_args": {"model_max_length": 5}, "max_seq_length": 9},
        {"processor_kwargs": {"model_max_length": 8, "padding_side": "left"}},
        {"model_args": {"attn_implementation": "eager"}, "config_args": {"use_cache": False}, "unpad_inputs": None},
        {"query_length": None, "query_expansion": None, "transformer_task": "feature-extraction"},
    ],
)
def test_settings_of_the_transformer_are_honoured(bert_folder, tmp_path, settings):
    folder = saved(bert_folder, tmp_path / "theirs", lambda: [pooling()])
    (folder / "sentence_bert_config.json").write_text(json.dumps(settings))
    same(open_tower(folder), folder, "document")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"transformer_task": "fill-mask"}, "transformer_task=fill-mask"),
        ({"config_args": {"num_hidden_layers": 2}}, "config_args.num_hidden_layers=2"),
        ({"model_kwargs": {"rotary_scaling_factor": 2}}, "model_kwargs.rotary_scaling_factor=2"),
        ({"tokenizer_args": {"truncation_side": "left"}}, "tokenizer_args.truncation_side=left"),
        ({"query_length": 32, "document_length": 180}, "query_length=32, document_length=180"),
        ({"processing_kwargs": {"text": {"max_length": 4}}}, "processing_kwargs.text={'max_length': 4}"),
        ({"module_output_name": "sentence_embedding"}, "module_output_name=sentence_embedding"),
        ({"modality_config": {"text": {"method": "get_text_features", "method_output_name": None}}}, "modality_config"),
    ],
)
def test_settings_that_would_change_vectors_are_refused_by_name(bert_folder, tmp_path, settings, sentence):
    folder = saved(bert_folder, tmp_path / "theirs", lambda: [pooling()])
    (folder / "sentence_bert_config.json").write_text(json.dumps(settings))
    refused(folder, f"sentence_bert_config.json sets .*{sentence}")
