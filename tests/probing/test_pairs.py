"""The first paper's pairs, opened from local folders in the layouts of the real checkpoints, with tiny weights."""

import pytest
import torch
from hydra import compose, initialize_config_dir
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    DPRConfig,
    DPRContextEncoder,
    DPRQuestionEncoder,
    LlamaForCausalLM,
    LlamaModel,
)

from pipeline.encoders.encoding import encode
from pipeline.entry import CONFIGS
from pipeline.probing.models import open_models, require_alike
from tests.encoders.conftest import BERT, TEXTS, edit_json, llama_folder, make, one_thread  # noqa: F401
from tests.probing.commands import give, table
from tests.probing.planted_layer import save_pairs

LONG = {**BERT, "max_position_embeddings": 512}
PAIRS = sorted(path.stem for path in (CONFIGS / "pair").glob("*.yaml"))


@pytest.fixture
def folders(tmp_path, llama_folder):  # noqa: F811
    """Every checkpoint that a pair names, by the setting that names it."""
    peft = pytest.importorskip("peft")
    encoders = {
        "question": (DPRQuestionEncoder, DPRConfig),
        "context": (DPRContextEncoder, DPRConfig),
        "contriever": (BertModel, BertConfig),
        "bert": (BertForMaskedLM, BertConfig),  # a head, and no pooler, as BERT's own
    }
    places = {name: make(tmp_path / name, made, config(**LONG)) for name, (made, config) in encoders.items()}
    edit_json(llama_folder / "tokenizer_config.json", eos_token="[SEP]", model_max_length=int(1e30))
    edit_json(llama_folder / "config.json", max_position_embeddings=4096)
    model = peft.get_peft_model(
        LlamaModel.from_pretrained(llama_folder),
        peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False),
    )
    model.save_pretrained(tmp_path / "adapter")
    return {**places, "llama": llama_folder, "adapter": tmp_path / "adapter"}


def words(pair, folders):
    """The words of a command that open a pair from the folders."""
    bases = {"repllama": "llama"}
    tuned = {
        "contriever": {"path": "contriever"},
        "dpr_question": {"question_path": "question"},
        "dpr_context": {"context_path": "context"},
        "dpr_paired": {"question_path": "question", "context_path": "context"},
        "repllama": {"path": "llama", "adapter": "adapter"},
    }[pair]
    return [
        f"pair={pair}",
        f"models.base.settings.backbone.path={folders[bases.get(pair, 'bert')]}",
        *(f"models.tuned.settings.backbone.{name}={folders[place]}" for name, place in tuned.items()),
    ]


def opened(pair, folders):
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        config = compose("probe", ["probe=geometry", *words(pair, folders)])
        assert config.pair == pair
        models = open_models(config.models, trust_remote_code=False)
    require_alike(models, "swap")
    assert list(models) == ["base", "tuned"]
    return models


def test_these_are_the_pairs_of_the_paper():
    assert PAIRS == ["contriever", "dpr_context", "dpr_paired", "dpr_question", "repllama"]


@pytest.mark.parametrize(("pair", "sides"), [("dpr_question", "q"), ("dpr_context", "d"), ("dpr_paired", "qd")])
def test_dpr_is_what_its_own_classes_give(folders, pair, sides):
    models = opened(pair, folders)
    kinds = [kind for kind in ("query", "document") if kind[0] in sides]
    for kind in kinds:
        assert models["tuned"].kinds == models["base"].kinds == kinds
        reader, name = (DPRQuestionEncoder, "question") if kind == "query" else (DPRContextEncoder, "context")
        dpr = reader.from_pretrained(folders[name])
        check(models["tuned"], kind, lambda batch, of=dpr: of(**batch).pooler_output)
        bert = BertForMaskedLM.from_pretrained(folders["bert"]).bert
        check(models["base"], kind, lambda batch, of=bert: of(**batch).last_hidden_state[:, 0])
        assert models["base"].tower(kind).title_separator == " [SEP] "


def test_contriever_is_the_mean_of_real_tokens(folders):
    models = opened("contriever", folders)
    bert = BertForMaskedLM.from_pretrained(folders["bert"]).bert
    for name, model in (("base", bert), ("tuned", BertModel.from_pretrained(folders["contriever"]))):
        check(models[name], "query", lambda batch, of=model: of(**batch).last_hidden_state.mean(dim=1))


def test_repllama_is_the_state_of_the_last_token_at_length_one(folders):
    from peft import PeftModel

    models = opened("repllama", folders)
    plain = LlamaForCausalLM.from_pretrained(folders["llama"]).model
    merged = PeftModel.from_pretrained(LlamaModel.from_pretrained(folders["llama"]), folders["adapter"])
    tokenizer = AutoTokenizer.from_pretrained(folders["llama"])
    for name, model in (("base", plain), ("tuned", merged.merge_and_unload())):
        tower = models[name].tower("query")
        assert (models[name].normalise, tower.pooling.name, tower.max_length) == (True, "last", 512)
        for kind, prompt in (("query", "query: "), ("document", "passage: ")):
            assert tower.token_ids(["heat flow"], kind)[0] == [
                *tokenizer(f"{prompt}heat flow")["input_ids"][:-1],  # the tiny tokenizer puts a [SEP] of its own there
                tokenizer.convert_tokens_to_ids("[SEP]"),
            ]
        check(models[name], "query", lambda batch, of=model: at_length_one(of(**batch).last_hidden_state[:, -1]))


def at_length_one(states):
    return torch.nn.functional.normalize(states, dim=-1)


def check(model, kind, expected):
    """A tower's vectors are what the library's own class gives one text at a time."""
    tower = model.tower(kind)
    for text, found in zip(TEXTS, encode(tower, TEXTS, kind), strict=True):
        with torch.no_grad():
            vector = expected(tower.pad(tower.token_ids([text], kind)))[0]
        torch.testing.assert_close(torch.from_numpy(found), vector, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pair", ["contriever", "repllama"])
def test_a_pair_is_probed_by_the_command(monkeypatch, tmp_path, folders, pair):
    pairs = ["dataset=jsonl", f"dataset.path={save_pairs(tmp_path)}", "split=train", f"tables={tmp_path / 'tables'}"]
    command = [*words(pair, folders), *pairs, f"folder={tmp_path / 'out'}", "encoding.device=cpu", "probe.limit=25"]
    give(monkeypatch, "probe=geometry", *command)
    assert {row["texts"] for row in table(tmp_path / "out" / "similarity.csv")} == {"query", "document"}
