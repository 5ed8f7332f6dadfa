"""Query towers that cost less than the document tower."""

import numpy as np
import pytest
import torch

from pipeline.data.texts import Texts
from pipeline.encoders.backbones import Local
from pipeline.encoders.building import EncoderSettings, Twin, build_dual_encoder, build_tower
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import encode
from pipeline.encoders.pooling import AsSaved, Cls, Mean
from pipeline.encoders.query_towers import LayerSubset, Miniature, Other, Selective, SharedProjection, chosen_layers
from pipeline.encoders.selection import TokenSelection
from pipeline.errors import UserError
from tests.encoders.conftest import TEXTS, VOCABULARY

TRAINING = Texts.from_pairs([("a", "the wing of a wing"), ("b", "the heat"), ("c", "the flow of heat")])


def built(folder, query, settings=None, layers=None):
    return build_dual_encoder(Local(str(folder), layers=layers), Mean(), query, settings, texts=[TRAINING])


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        ("all", [0, 1, 2, 3]),
        ("ends 2", [0, 3]),
        ("ends 3", [0, 1, 3]),
        ("ends 4", [0, 1, 2, 3]),
        ("last 1", [3]),
        ("first 2", [0, 1]),
        ("last 1", [3]),
        ("alternate", [0, 2]),
        ([0, 3], [0, 3]),
    ],
)
def test_layers_are_named_by_words_or_numbers(words, numbers):
    assert chosen_layers(words, 4) == numbers


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("first 5", "query.layers=first 5 is out of range: there are 4 layers"),
        ("first 0", "out of range"),
        ("frist 2", "is not understood"),
        (2, "query.layers=2 is not understood"),
        ([True], "out of range"),
        ([0, 4], "the layers are numbered 0 to 3"),
        ([1, 1], "repeats a layer or is not in ascending order"),
        ([2, 0], "not in ascending order"),
        ([], "out of range"),
    ],
)
def test_layers_that_are_none_are_refused(words, sentence):
    with pytest.raises(UserError, match=sentence.replace(".", r"\.")):
        chosen_layers(words, 4)


def test_the_first_layers_are_those_of_a_shortened_backbone(any_folder):
    dual = built(any_folder, LayerSubset("first 1"))
    short = built(any_folder, Twin(), layers=1).query
    np.testing.assert_allclose(encode(dual.query, TEXTS, "query"), encode(short, TEXTS, "query"), atol=1e-6)
    assert dual.query.backbone.config.num_hidden_layers == 1
    assert dual.document.backbone.config.num_hidden_layers > 1


def test_a_subset_of_layers_is_saved_and_opened(bert_folder, tmp_path):
    dual = built(bert_folder, LayerSubset([1]))
    dual.save(tmp_path / "model", "the card")
    opened = DualEncoder.load(tmp_path / "model")
    np.testing.assert_allclose(encode(opened.query, TEXTS, "query"), encode(dual.query, TEXTS, "query"), atol=1e-6)


def test_selection_keeps_the_rarest_tokens_in_their_order(bert_folder):
    query = built(bert_folder, Selective(0.5, "all")).query
    batch = query.pad(query.token_ids(["the lift of the wing heat"], "query"))
    words = [VOCABULARY[token] for token in batch["input_ids"][0]]
    # Three of six: lift occurs in no training text, of and wing in fewer than the.
    assert words[0] == "[CLS]"
    assert words[-1] == "[SEP]"
    assert len(words) == 5
    assert "the" not in words
    assert words[1] == "lift"
    assert batch["position_ids"].tolist() == [[0, 2, 3, 5, 7]]


@pytest.mark.parametrize("renumbered", [False, True])
def test_kept_tokens_keep_their_positions_in_the_text(any_folder, tmp_path, renumbered):
    """The definition: the transformer over the kept ids, told where they stood; older folders counted them anew."""
    if any_folder.name == "t5":
        with pytest.raises(UserError, match=r"keeps the positions .* a t5 model cannot be told them"):
            built(any_folder, Selective(0.5, "all"))
        return
    dual = built(any_folder, Selective(0.5, "all"))
    query, texts = dual.query, ["the lift of the wing heat", "heat of the flow", "wing"]
    query.selection = TokenSelection(0.5, query.selection.scores, renumbered)
    first, plain = (1 if any_folder.name == "roberta" else 0), []  # its first position follows its padding's, here 0
    for ids in query.token_ids(texts, "query"):
        scores = query.selection.scores[ids]
        content = [place for place, score in enumerate(scores) if np.isfinite(score)]
        best = sorted(content, key=lambda place: -scores[place])[: max(1, round(0.5 * len(content)))]
        places = sorted({*range(len(ids))} - {*content} | {*best})
        positions = torch.tensor([range(len(places)) if renumbered else places]) + first
        kept = torch.tensor([[ids[place] for place in places]])
        states = query.backbone(kept, attention_mask=torch.ones_like(kept), position_ids=positions)
        plain.append(torch.nn.functional.normalize(states.last_hidden_state.mean(dim=1), dim=-1)[0].detach().numpy())
    np.testing.assert_allclose(encode(query, texts, "query"), plain, atol=1e-6)
    dual.save(tmp_path / "model", "the card")
    opened = DualEncoder.load(tmp_path / "model").query
    assert opened.selection.renumbered == renumbered
    assert opened.fingerprint("query") == query.fingerprint("query")
    np.testing.assert_allclose(encode(opened, texts, "query"), plain, atol=1e-6)


def test_a_selection_is_never_empty_and_is_saved(bert_folder, tmp_path):
    dual = built(bert_folder, Selective(0.01, "first 1"))
    assert np.isfinite(encode(dual.query, ["the", "", "zzz"], "query")).all()
    dual.save(tmp_path / "model", "the card")
    opened = DualEncoder.load(tmp_path / "model")
    assert opened.query.fingerprint("query") == dual.query.fingerprint("query")
    np.testing.assert_allclose(encode(opened.query, TEXTS, "query"), encode(dual.query, TEXTS, "query"), atol=1e-6)


def test_sentence_transformers_refuses_a_selection_by_its_name(bert_folder, tmp_path):
    """It has no such module, and the vectors of whole texts would be others."""
    from sentence_transformers import SentenceTransformer

    dual = built(bert_folder, Selective(0.5, "all"))
    dual.save(tmp_path / "model", "the card")
    for place in (tmp_path / "model", tmp_path / "model" / "query"):
        with pytest.raises((ImportError, ValueError), match="tandem"):
            SentenceTransformer(str(place), device="cpu")
    theirs = SentenceTransformer(str(tmp_path / "model" / "document"), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(encode(dual.document, TEXTS, "document"), theirs, atol=1e-6)


def test_a_selective_folder_selects_as_a_backbone_too(bert_folder, tmp_path):
    dual = built(bert_folder, Selective(0.5, "all"))
    dual.save(tmp_path / "model", "the card")
    place = tmp_path / "model" / "query"
    again = build_tower(Local(str(place)), AsSaved(), EncoderSettings(), "query", 0)
    np.testing.assert_allclose(encode(again, TEXTS, "query"), encode(dual.query, TEXTS, "query"), atol=1e-6)
    (place / "token_scores.safetensors").unlink()
    with pytest.raises(UserError, match=r"token_scores\.safetensors is missing, so .* is only half written"):
        DualEncoder.load(tmp_path / "model")


def test_older_selective_folders_still_select(bert_folder, tmp_path):
    """They called the transformer a plain one and had the scores beside it."""
    dual = built(bert_folder, Selective(0.5, "all"))
    dual.save(tmp_path / "model", "the card")
    path = tmp_path / "model" / "query" / "modules.json"
    path.write_text(path.read_text().replace("tandem.SelectiveTransformer", "sentence_transformers.models.Transformer"))
    opened = DualEncoder.load(tmp_path / "model").query
    np.testing.assert_allclose(encode(opened, TEXTS, "query"), encode(dual.query, TEXTS, "query"), atol=1e-6)


@pytest.mark.parametrize("delta", [0, -0.5, 1.1, True, "half"])
def test_a_share_that_is_none_is_refused(delta):
    with pytest.raises(UserError, match="must be above 0 and at most 1"):
        Selective(delta, "all")


def test_a_miniature_has_the_documents_tokenizer_and_its_own_shape(bert_folder):
    width = built(bert_folder, Twin()).document.dimension
    dual = built(bert_folder, Miniature(1, 64, "random", None, Cls(), width))
    assert (dual.query.backbone.config.num_hidden_layers, dual.query.width, dual.query.dimension) == (1, 64, width)
    again = built(bert_folder, Miniature(1, 64, "random", None, Cls(), width))
    assert dual.query.fingerprint("query") == again.query.fingerprint("query")


def test_a_pretrained_miniature_is_read_from_its_folder(bert_folder, tmp_path):
    width = built(bert_folder, Twin()).document.dimension
    made = built(bert_folder, Miniature(1, 64, "random", None, Cls(), width)).query
    made.backbone.save_pretrained(tmp_path / "mini")
    made.tokenizer.save(tmp_path / "mini")
    read = built(bert_folder, Miniature(1, 64, "pretrained", str(tmp_path / "mini"), Cls(), width)).query
    assert torch.equal(read.backbone.get_input_embeddings().weight, made.backbone.get_input_embeddings().weight)
    with pytest.raises(UserError, match="has 1 layers and is 64 wide"):
        built(bert_folder, Miniature(2, 64, "pretrained", str(tmp_path / "mini"), Cls(), width))


def test_towers_of_unlike_dimension_are_refused_with_both_named(bert_folder):
    width = built(bert_folder, Twin()).document.dimension
    with pytest.raises(
        UserError, match=rf"query tower gives vectors of 128 dimensions and the document tower of {width}"
    ):
        built(bert_folder, Miniature(1, 128, "random", None, Mean(), None))


def test_another_checkpoint_serves_the_queries(bert_folder, llama_folder):
    settings = EncoderSettings(query_prompt="query: ")
    width = built(bert_folder, Twin()).document.dimension
    dual = built(bert_folder, Other(Local(str(llama_folder)), Mean(), width), settings)
    assert dual.query.backbone.config.model_type == "llama"
    assert dual.document.backbone.config.model_type == "bert"
    assert dual.query.prompts["query"] == "query: "
    assert encode(dual.query, TEXTS, "query").shape == (len(TEXTS), width)


def test_a_shared_projection_is_one_layer_of_both(bert_folder, tmp_path):
    dual = built(bert_folder, SharedProjection(Twin(), 5))
    assert dual.query.projections[-1] is dual.document.projections[-1]
    assert dual.dimension == 5
    dual.save(tmp_path / "model", "the card")
    opened = DualEncoder.load(tmp_path / "model")
    np.testing.assert_allclose(encode(opened.query, TEXTS, "query"), encode(dual.query, TEXTS, "query"), atol=1e-6)
