"""Models as `probe.py` names them: what is said of unlike ones, and which tower serves whom."""

import pytest
from hydra import initialize_config_dir
from omegaconf import OmegaConf
from transformers import (
    BertConfig,
    BertModel,
    DPRConfig,
    DPRContextEncoder,
    DPRQuestionEncoder,
    LlamaConfig,
    LlamaModel,
)

from pipeline.entry import CONFIGS
from pipeline.errors import UserError
from pipeline.probing.models import open_models, require_alike
from tests.encoders.conftest import BERT, SMALL, edit_json, make, one_thread, save_tokenizer  # noqa: F401
from tests.evaluation.conftest import save_tiny_model


@pytest.fixture
def opened(tmp_path):
    """Open models made of configurations, by name: each a class, sizes, and what the command line says of it."""
    count = iter(range(99))

    def give(**entries):
        named = {}
        for name, (kind, sizes, more) in entries.items():
            folder = tmp_path / f"{name}{next(count)}"
            if kind == "llama":
                heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
                config = LlamaConfig(**SMALL, hidden_size=16, num_hidden_layers=4, intermediate_size=32, **heads)
                make(folder, LlamaModel, config)
            else:
                make(folder, BertModel, BertConfig(**{**BERT, **sizes}))
            if "lowercase" in sizes:
                save_tokenizer(folder, model_max_length=64)
                tokenizer = folder / "tokenizer.json"
                tokenizer.write_text(tokenizer.read_text().replace('"##stream"', '"##streak"'))
            settings = {"backbone": {"path": str(folder)}, **more.pop("settings", {})}
            named[name] = {"model": "local", "settings": settings, **more}
        with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
            return open_models(OmegaConf.create(named), trust_remote_code=False)

    return give


BASE = ("bert", {}, {})


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (("llama", {}, {}), "differ in architecture: bert and llama; choose a pair of one architecture"),
        (("bert", {"num_hidden_layers": 3}, {}), "differ in depth: 4 and 3; choose"),
        (("bert", {"hidden_size": 24}, {}), "differ in width: 16 and 24; choose"),
        (("bert", {"intermediate_size": 48}, {}), "differ in neurons: 32 and 48; choose"),
        (("bert", {"vocab_size": 40}, {}), "differ in vocabulary: 19 and 40; choose"),
        (("bert", {"lowercase": True}, {}), "differ in tokenizer: [0-9a-f]{8} and [0-9a-f]{8}; choose"),
        (("bert", {}, {"settings": {"encoder": {"max_length": 32}}}), "maximum length: 64 and 32; give both the same"),
        (("bert", {}, {"side": "query"}), "differ in side: both and query; give both the same side"),
    ],
)
def test_unlike_models_are_refused_with_what_differs(opened, other, sentence):
    models = opened(base=BASE, tuned=other)
    with pytest.raises(UserError, match=sentence) as refused:
        require_alike(models, "swap")
    assert str(refused.value).startswith("probe=swap compares models part by part, and base and tuned differ in ")


def test_like_models_pass_whatever_their_weights_and_pooling(opened):
    require_alike(opened(base=BASE, tuned=("bert", {}, {"pooling": "cls"}), third=BASE), "swap")


@pytest.fixture
def dpr(tmp_path):
    """DPR's two checkpoints."""
    for name, model_class in (("question", DPRQuestionEncoder), ("context", DPRContextEncoder)):
        model_class(DPRConfig(**BERT)).save_pretrained(tmp_path / name)
        save_tokenizer(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(("side", "name"), [("query", "question"), ("document", "context")])
def test_one_side_of_dpr_needs_only_its_own_checkpoint(dpr, side, name):
    entry = {"model": "dpr", "side": side, "settings": {"backbone": {f"{name}_path": str(dpr / name)}}}
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        (model,) = open_models(OmegaConf.create({"tuned": entry}), trust_remote_code=False).values()
    assert (model.kinds, model.depth, model.tower("query").pooling.name) == ([side], 4, "cls")
    assert model.tower("query") is model.tower("document")
    reader = DPRQuestionEncoder if name == "question" else DPRContextEncoder
    expected = reader.from_pretrained(dpr / name).base_model.bert_model.state_dict()
    assert all((value == expected[key]).all() for key, value in model.tower(side).backbone.state_dict().items())


def test_a_checkpoint_of_the_other_side_is_refused(dpr):
    entry = {"model": "dpr", "side": "document", "settings": {"backbone": {"context_path": str(dpr / "question")}}}
    with (
        initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)),
        pytest.raises(UserError, match="holds a DPRQuestionEncoder where the document tower needs a DPRContextEncoder"),
    ):
        open_models(OmegaConf.create({"tuned": entry}), trust_remote_code=False)


def test_weights_that_do_not_fit_their_class_are_refused(dpr):
    edit_json(dpr / "question" / "config.json", architectures=["DPRContextEncoder"])
    entry = {"model": "dpr", "side": "document", "settings": {"backbone": {"context_path": str(dpr / "question")}}}
    with (
        initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)),
        pytest.raises(UserError, match=r"does not hold the weights of the DPRContextEncoder .*missing are ctx_encoder"),
    ):
        open_models(OmegaConf.create({"tuned": entry}), trust_remote_code=False)


@pytest.mark.parametrize(
    ("models", "sentence"),
    [
        (None, "Name the models to look into"),
        ({}, "Name the models to look into"),
        ({"base": 3}, "models.base must be a folder"),
        ({"base": {"side": "query"}}, "models.base must be a folder"),
        ({"base": {"model": "minilm", "pooled": "cls"}}, "models.base.pooled is not a setting; did you mean pooling"),
        ({"base": {"model": "minilm", "side": "left"}}, "models.base.side=left is unknown"),
        ({"base": {"model": "minilm", "pooling": "first"}}, "There is no pooling 'first'"),
        ({"base": "minilmm"}, "minilmm is neither a folder nor a backbone; did you mean minilm"),
    ],
)
def test_what_is_no_model_is_refused(models, sentence):
    with (
        initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)),
        pytest.raises(UserError, match=sentence),
    ):
        open_models(OmegaConf.create({"models": models}).models, trust_remote_code=False)


def test_a_folder_is_taken_as_it_was_saved(tmp_path):
    folder = save_tiny_model(tmp_path / "model")
    with pytest.raises(UserError, match="is a folder, which is taken as it was saved; leave its settings out"):
        open_models(
            OmegaConf.create({"a": {"model": str(folder), "settings": {"backbone": {"layers": 1}}}}),
            trust_remote_code=False,
        )
    model = open_models(OmegaConf.create({"a": {"model": str(folder), "pooling": "last", "normalise": True}}), False)[
        "a"
    ]
    assert (model.tower("query").pooling.name, model.normalise, model.depth) == ("last", True, 1)


def test_settings_that_no_model_is_made_of_are_refused():
    with pytest.raises(UserError, match=r"models\.a\.settings\.stage would change nothing of a model"):
        open_models(OmegaConf.create({"a": {"model": "bert", "settings": {"stage": {"batch_size": 2}}}}), False)
