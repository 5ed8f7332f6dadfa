"""One checkpoint means the same in every command: what its folder saved, or what it was published with, unless said."""

import json

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertModel,
    DPRConfig,
    DPRContextEncoder,
    DPRQuestionEncoder,
    LlamaConfig,
    LlamaModel,
    OPTConfig,
    OPTModel,
    T5Config,
    T5EncoderModel,
)

from pipeline.encoders.backbones import Bert, Llama, Local, SmolLM2
from pipeline.encoders.building import EncoderSettings, Shared, build_dual_encoder, build_tower
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import encode
from pipeline.encoders.loading import open_tower
from pipeline.encoders.own_settings import OwnSettings
from pipeline.encoders.pooling import Own
from pipeline.encoders.query_towers import Other
from pipeline.entry import CONFIGS, instantiate
from pipeline.errors import UserError
from pipeline.evaluation.models import find_models
from pipeline.probing.models import open_models
from tests.encoders.conftest import BERT, SMALL, TEXTS, edit_json, make

LONG = "the lift of a wing in the slipstream flow " * 90
SETTINGS = "config_sentence_transformers.json"


def published(folder, plain, pooling="cls", dense=True, normalize=False, **settings):
    """A folder that sentence-transformers itself writes, and its model; some texts are longer than it reads."""
    from sentence_transformers import SentenceTransformer, models

    torch.manual_seed(1)
    modules = [models.Transformer(str(plain), max_seq_length=8), models.Pooling(16, pooling)]
    modules += [models.Dense(16, 12)] if dense else []
    modules += [models.Normalize()] if normalize else []
    model = SentenceTransformer(modules=modules, device="cpu", **settings)
    model.save(str(folder))
    return model


PROMPTS = {"query": "query: ", "document": "passage: "}


@pytest.fixture
def full(tmp_path, bert_folder):
    """One with all that a folder saves: CLS, a Dense layer, prompts, a length, inner product."""
    return published(tmp_path / "full", bert_folder, prompts=PROMPTS, similarity_fn_name="dot")


def trained_from(*overrides):
    """What train.py begins from."""
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        config = compose("train", list(overrides))
        parts = [instantiate(config[part]) for part in ("backbone", "pooling", "query", "encoder")]
    return build_dual_encoder(*parts, config.seed)


def evaluated(entry):
    """What evaluate.py scores."""
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        (model,) = find_models(OmegaConf.create([entry]))
        return model.load()


def probed(entry):
    """What probe.py looks into."""
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        return open_models(OmegaConf.create({"a": entry}), False)["a"].encoder


def in_every_command(backbone, **paths):
    """Open one checkpoint in train.py, evaluate.py and probe.py."""
    entry = {"model": backbone, "settings": {"backbone": {name: str(path) for name, path in paths.items()}}}
    words = [f"backbone={backbone}", *(f"backbone.{name}={path}" for name, path in paths.items())]
    return [trained_from(*words), evaluated(entry), probed(entry)]


def test_one_folder_gives_its_librarys_vectors_in_every_command(tmp_path, full):
    folder = tmp_path / "full"
    opened = [*in_every_command("local", path=folder), evaluated(str(folder)), probed(str(folder))]
    for dual in opened:
        for kind, theirs in (("query", full.encode_query(TEXTS)), ("document", full.encode_document(TEXTS))):
            np.testing.assert_allclose(encode(dual.tower(kind), TEXTS, kind), theirs, atol=1e-5)
        assert (dual.similarity, dual.document.max_length, dual.notes) == ("dot", 8, [])
    assert len({dual.document.fingerprint("document") for dual in opened}) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["pooling=mean"],
            "pooling=cls; instead of that is taken pooling=mean without the layers that were saved after",
        ),
        (["encoder.similarity=cosine"], "similarity=dot; instead of that is taken similarity=cosine."),
        (["encoder.max_length=6"], "max_length=8; instead of that is taken max_length=6."),
        (["encoder.query_prompt=''"], 'query_prompt="query: "; instead of that is taken query_prompt="".'),
        (["encoder.document_prompt=x"], 'document_prompt="passage: "; instead of that is taken document_prompt=x.'),
        (
            ["pooling=last", "encoder.max_length=6"],
            "max_length=8, pooling=cls; instead of that is taken max_length=6, pooling=last without the layers",
        ),
        (["pooling=cls", "encoder.similarity=dot", "encoder.max_length=8"], None),
        (["pooling=as_saved", "encoder.append_eos=false"], None),
    ],
)
def test_what_is_named_in_the_place_of_the_saved_is_said(tmp_path, full, words, said):
    folder = tmp_path / "full"
    notes = trained_from("backbone=local", f"backbone.path={folder}", *words).notes
    if said is None:
        assert notes == []
    else:
        (note,) = notes
        assert note.startswith(f"{folder} was saved with {said}")


def test_a_named_pooling_means_the_same_in_training_and_probing(tmp_path, full):
    folder = tmp_path / "full"
    named = trained_from("backbone=local", f"backbone.path={folder}", "pooling=mean")
    entry = {"model": "local", "pooling": "mean", "settings": {"backbone": {"path": str(folder)}}}
    for dual in (probed(entry), probed({"model": str(folder), "pooling": "mean"})):
        assert dual.notes == named.notes
        assert dual.document.fingerprint("document") == named.document.fingerprint("document")
    assert named.dimension == 16


def test_a_similarity_that_no_folder_names_is_said(tmp_path, bert_folder):
    folder = tmp_path / "unnamed"
    model = published(folder, bert_folder, pooling="mean", dense=False)
    settings = json.loads((folder / SETTINGS).read_text())
    del settings["similarity_fn_name"]  # which its versions before 3 do not write
    (folder / SETTINGS).write_text(json.dumps(settings))
    for dual in [*in_every_command("local", path=folder), evaluated(str(folder)), probed(str(folder))]:
        (note,) = dual.notes
        assert "names no similarity and does not end in Normalize: cosine is taken" in note
        assert "encoder.similarity=dot" in note
    entry = {"model": "local", "settings": {"backbone": {"path": str(folder)}, "encoder": {"similarity": "dot"}}}
    for dual in (evaluated(entry), probed(entry)):
        assert dual.notes == []
        np.testing.assert_allclose(encode(dual.document, TEXTS, "document"), model.encode(TEXTS), atol=1e-5)
    # A preset that was published for the inner product says what such a folder of it does not.
    assert (trained_from("backbone=contriever", f"backbone.path={folder}").similarity) == "dot"


@pytest.mark.parametrize("named", ["Normalize", "the settings"])
def test_a_similarity_that_a_folder_names_is_not(tmp_path, bert_folder, named):
    published(tmp_path / "named", bert_folder, normalize=named == "Normalize")
    settings = json.loads((tmp_path / "named" / SETTINGS).read_text())
    settings["similarity_fn_name"] = None if named == "Normalize" else "cosine"
    (tmp_path / "named" / SETTINGS).write_text(json.dumps(settings))
    dual = trained_from("backbone=local", f"backbone.path={tmp_path / 'named'}")
    assert (dual.similarity, dual.notes) == ("cosine", [])


def test_a_prompt_that_its_library_leaves_out_is_said(tmp_path, bert_folder):
    folder = tmp_path / "passages"
    prompts = {"query": "query: ", "passage": "passage: "}
    model = published(folder, bert_folder, prompts=prompts, similarity_fn_name="dot")
    for dual in [*in_every_command("local", path=folder), evaluated(str(folder))]:
        (note,) = dual.notes
        assert note.startswith(f'{folder} has "passage: " for passages: it is put before every document')
        theirs = model.encode(TEXTS, prompt_name="passage")
        np.testing.assert_allclose(encode(dual.document, TEXTS, "document"), theirs, atol=1e-5)
    without = trained_from("backbone=local", f"backbone.path={folder}", "encoder.document_prompt=''")
    np.testing.assert_allclose(encode(without.document, TEXTS, "document"), model.encode_document(TEXTS), atol=1e-5)


@pytest.mark.parametrize("backbone", ["local", "bert"])
def test_a_pooling_that_nobody_names_is_said(bert_folder, backbone):
    for dual in in_every_command(backbone, path=bert_folder):
        assert dual.document.pooling.name == "mean"
        assert dual.notes == [
            f"No pooling was named, and {bert_folder} has none of its own: the mean is taken; pooling=cls, last or max "
            "takes another."
        ]
    assert trained_from(f"backbone={backbone}", f"backbone.path={bert_folder}", "pooling=mean").notes == []


@pytest.mark.parametrize("backbone", [Bert("x"), Llama("x"), SmolLM2(), Local("x")], ids=lambda one: one.name)
def test_these_are_no_retrievers(backbone):
    (note,) = OwnSettings.of(backbone, None, None).notes(Own(), {}, 0)
    assert note.startswith("No pooling was named")


def test_contriever_brings_the_mean_and_the_inner_product(tmp_path):
    folder = make(tmp_path / "contriever", BertModel, BertConfig(**BERT))
    model = BertModel.from_pretrained(folder)
    for dual in in_every_command("contriever", path=folder):
        _check(dual.query, "query", lambda batch: model(**batch).last_hidden_state.mean(dim=1))
        assert (dual.similarity, dual.notes) == ("dot", [])


def test_dpr_brings_its_first_token_and_256_tokens(tmp_path):
    sizes = {**BERT, "max_position_embeddings": 512}
    for name, reader in (("question", DPRQuestionEncoder), ("context", DPRContextEncoder)):
        make(tmp_path / name, reader, DPRConfig(**sizes))
        edit_json(tmp_path / name / "tokenizer_config.json", model_max_length=512)
    paths = {"question_path": tmp_path / "question", "context_path": tmp_path / "context"}
    question, context = (
        reader.from_pretrained(tmp_path / name)
        for name, reader in (("question", DPRQuestionEncoder), ("context", DPRContextEncoder))
    )
    for dual in in_every_command("dpr", **paths):
        _check(dual.query, "query", lambda batch: question(**batch).pooler_output)
        _check(dual.document, "document", lambda batch: context(**batch).pooler_output)
        assert len(dual.document.token_ids([LONG], "document")[0]) == 256
        assert (dual.similarity, dual.document.title_separator, dual.notes) == ("dot", " [SEP] ", [])


def test_repllama_brings_its_last_token_its_prompts_and_length_one(tmp_path):
    peft = pytest.importorskip("peft")
    config = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32}
    folder = make(tmp_path / "llama", LlamaModel, LlamaConfig(**SMALL, **config, max_position_embeddings=4096))
    edit_json(folder / "tokenizer_config.json", eos_token="[MASK]", model_max_length=int(1e30))
    backend = Tokenizer.from_file(
        str(folder / "tokenizer.json")
    )  # as Llama's: a token before every text, none after it
    begin = ("[CLS]", backend.token_to_id("[CLS]"))
    backend.post_processor = TemplateProcessing(single="[CLS] $A", special_tokens=[begin])
    backend.save(str(folder / "tokenizer.json"))
    settings = peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    peft.get_peft_model(LlamaModel.from_pretrained(folder), settings).save_pretrained(tmp_path / "adapter")
    model = peft.PeftModel.from_pretrained(LlamaModel.from_pretrained(folder), tmp_path / "adapter")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    duals = in_every_command("repllama", path=folder, adapter=tmp_path / "adapter")
    for dual in duals:
        assert (dual.similarity, dual.document.title_separator, dual.notes) == ("cosine", " ", [])
        for kind, prompt in (("query", "query: "), ("document", "passage: ")):
            tower = dual.tower(kind)
            ids = tower.token_ids(["heat flow"], kind)[0]
            assert ids == [*tokenizer(f"{prompt}heat flow")["input_ids"], tokenizer.convert_tokens_to_ids("[MASK]")]
            assert len(tower.token_ids([LONG], kind)[0]) == 512
            last = lambda batch: torch.nn.functional.normalize(model(**batch).last_hidden_state[:, -1])  # noqa: E731
            _check(tower, kind, last)
    named = trained_from(
        "backbone=repllama",
        f"backbone.path={folder}",
        f"backbone.adapter={tmp_path / 'adapter'}",
        "encoder.append_eos=false",
    )
    assert named.notes == ["repllama was published with append_eos=true; instead of that is taken append_eos=false."]
    # Its run folder is a backbone that means the same, by itself.
    duals[0].save(tmp_path / "run" / "model", "")
    again = trained_from("backbone=local", f"backbone.path={tmp_path / 'run' / 'model'}")
    assert again.notes == []
    for kind in ("query", "document"):
        assert again.tower(kind).fingerprint(kind) == duals[0].tower(kind).fingerprint(kind)


def _check(tower, kind, expected):
    """A tower's vectors are what the library's own class gives, one text at a time."""
    for text, found in zip(TEXTS, encode(tower, TEXTS, kind), strict=True):
        with torch.no_grad():
            vector = expected(tower.pad(tower.token_ids([text], kind)))[0]
        torch.testing.assert_close(torch.from_numpy(found), vector, atol=1e-5, rtol=1e-5)


def test_a_query_tower_of_its_own_is_as_its_folder_saved_it(tmp_path, bert_folder, full):
    """A query encoder that was published for a document encoder, beside it."""
    folder = tmp_path / "queries"
    model = published(folder, bert_folder, pooling="lasttoken", prompts={"query": "heat: "}, similarity_fn_name="dot")
    documents = ["backbone=local", f"backbone.path={tmp_path / 'full'}"]
    words = [*documents, "query=local"]
    dual = trained_from(*words, f"query.backbone.path={folder}")
    np.testing.assert_allclose(encode(dual.query, TEXTS, "query"), model.encode_query(TEXTS), atol=1e-5)
    np.testing.assert_allclose(encode(dual.document, TEXTS, "document"), full.encode_document(TEXTS), atol=1e-5)
    assert dual.notes == []
    named = trained_from(*words, f"query.backbone.path={folder}", "encoder.query_prompt='a '")
    assert (named.query.prompts["query"], len(named.notes)) == ("a ", 2)
    # A plain transformer has no prompt of its own, and reads what the document tower's queries have before them.
    plain = trained_from(*words, f"query.backbone.path={bert_folder}", "query.projection=12")
    assert (plain.query.prompts["query"], plain.query.pooling.name) == ("query: ", "mean")
    assert plain.notes[0].startswith(f"No pooling was named, and {bert_folder}")


def test_two_normalised_towers_of_which_one_names_the_inner_product(tmp_path, bert_folder, full):
    """The document tower's similarity holds for both; that the query's own is another is said."""
    published(tmp_path / "cosine", bert_folder, normalize=True)
    settings = EncoderSettings()
    document = build_tower(Local(str(tmp_path / "full")), Own(), settings, "document", 0)
    assert document.similarity == "dot"
    dual = build_dual_encoder(
        Local(str(tmp_path / "full")), Own(), Other(Local(str(tmp_path / "cosine")), Own(), None), settings
    )
    assert dual.notes == [
        f"{tmp_path / 'cosine'} was saved with similarity=cosine; instead of that is taken similarity=dot."
    ]


def test_what_is_saved_again_is_as_it_was_opened(tmp_path, full):
    dual = build_dual_encoder(Local(str(tmp_path / "full")), Own(), Shared())
    dual.save(tmp_path / "again", "")
    again = DualEncoder.load(tmp_path / "again")
    assert (again.document.fingerprint("document"), again.notes) == (dual.document.fingerprint("document"), [])


def test_code_of_a_named_path_may_run_where_the_command_allows_it(bare_bert_folder):
    edit_json(bare_bert_folder / "config.json", auto_map={"AutoModel": "own.Model"})
    (bare_bert_folder / "own.py").write_text(
        "from transformers import BertModel\n\n\nclass Model(BertModel):\n    pass\n"
    )
    entry = {"model": "local", "settings": {"backbone": {"path": str(bare_bert_folder)}}}
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        (model,) = find_models(OmegaConf.create([entry]))
        with pytest.raises(UserError, match="brings its own Python code"):
            model.load()
        assert model.load(trust_remote_code=True).dimension == 16


def in_both(folder):
    """Open a folder as training and as evaluation do."""
    settings = EncoderSettings()
    return (
        build_dual_encoder(Local(str(folder)), Own(), settings=settings, query=Shared(), seed=0).document,
        open_tower(folder),
    )


def test_a_width_that_the_config_does_not_name_is_that_of_the_vectors(tmp_path):
    """OPT-350m projects its states to half their width at its very end."""
    sizes = {"ffn_dim": 32, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    plain = make(tmp_path / "opt", OPTModel, OPTConfig(**SMALL, **sizes, word_embed_proj_dim=8))
    expected = published(tmp_path / "full", plain, "mean", dense=False).encode_document(
        TEXTS, normalize_embeddings=True
    )
    for tower in in_both(tmp_path / "full"):
        assert tower.dimension == 8
        np.testing.assert_allclose(encode(tower, TEXTS, "document"), expected, atol=1e-5)


def of_length(folder, file, **settings):
    """A folder whose length only one file names."""
    edit_json(folder / "sentence_bert_config.json", max_seq_length=None)
    edit_json(folder / "tokenizer_config.json", model_max_length=None)
    edit_json(folder / file, **settings)
    return folder


LENGTHS = (("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length"))


@pytest.mark.parametrize(("file", "name"), LENGTHS)
def test_a_length_is_a_whole_number_of_tokens(tmp_path, full, file, name):
    folder = tmp_path / "full"
    for value, length in ((None, 64), (12.0, 12), (12, 12), (1e30, 64)):
        assert [tower.max_length for tower in in_both(of_length(folder, file, **{name: value}))] == [length, length]
    for value in ("12", 0, -1, True, 1.5):
        with pytest.raises(UserError, match=f"{file} sets {name}={json.dumps(value)}, which is no number of tokens"):
            open_tower(of_length(folder, file, **{name: value}))


def test_a_length_that_nothing_names_is_said(tmp_path, bert_folder, full):
    config = T5Config(**SMALL, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    published(tmp_path / "t5", make(tmp_path / "plain", T5EncoderModel, config))
    for tower in in_both(of_length(tmp_path / "t5", "tokenizer_config.json")):
        assert any("names no maximum length: texts are cut to 512 tokens" in note for note in tower.notes)
    for tower in in_both(of_length(tmp_path / "full", "tokenizer_config.json")):
        assert not any("maximum length" in note for note in tower.notes)


def test_a_token_without_an_embedding_is_refused_where_a_text_has_it(tmp_path, full):
    path = tmp_path / "full" / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.add_tokens(["neurons"])
    tokenizer.save(str(path))
    for tower in in_both(tmp_path / "full"):
        np.testing.assert_allclose(encode(tower, TEXTS, "query"), full.encode_query(TEXTS), atol=1e-5)
        with pytest.raises(UserError, match=f"the token 'neurons', of the id {SMALL['vocab_size']}, of which"):
            encode(tower, ["the neurons of a wing"], "query")
