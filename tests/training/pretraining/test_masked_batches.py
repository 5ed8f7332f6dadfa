import numpy as np
import pytest

from pipeline.data.texts import Texts
from pipeline.encoders.tokenization import TextTokenizer
from pipeline.errors import UserError
from pipeline.training.pretraining.batches import MaskedBatches
from pipeline.training.pretraining.masking import Masking
from pipeline.training.pretraining.tokens import Tokens, tokenised

WORDS = ["wing", "heat", "flow", "slip##stream", "a", "lift"]


@pytest.fixture
def tokenizer(tiny_tokenizer) -> TextTokenizer:
    return tiny_tokenizer.cut_to(12)


@pytest.fixture
def tokens(tokenizer, tmp_path) -> Tokens:
    texts = [(str(n), " ".join(["slipstream", "wing", "heat"][n % 3 :] * (1 + n % 4))) for n in range(25)]
    return Tokens.open(Texts.from_pairs(texts), " ", tokenizer, tmp_path)


def batches_of(tokens, tokenizer, seed=0, size=4) -> MaskedBatches:
    masking = Masking(0.15, True, tokenizer.mask_id, np.arange(5, 19))
    return MaskedBatches(tokens, tokenizer, masking, size, seed)


def test_words_begin_where_the_tokenizer_splits(tokenizer):
    ((ids, begins),) = tokenised(tokenizer, ["slipstream wing: a slip"], None)
    assert [tokenizer.backend.id_to_token(int(i)) for i in ids] == ["slip", "##stream", "wing", ":", "a", "slip"]
    assert begins.tolist() == [True, False, True, True, True, True]
    ((cut, _),) = tokenised(tokenizer, ["slipstream wing: a slip"], 3)
    assert cut.tolist() == ids[:3].tolist()


def test_tokens_are_the_texts_with_an_end_after_each_and_made_once(tokenizer, tmp_path, monkeypatch):
    texts = Texts.from_pairs([("1", "a wing"), ("2", "heat")])
    tokens = Tokens.open(texts, " ", tokenizer, tmp_path)
    names = [tokenizer.backend.id_to_token(int(i)) for i in tokens.ids]
    assert names == ["a", "wing", "[SEP]", "heat", "[SEP]"]
    monkeypatch.setattr("pipeline.training.pretraining.tokens._write", None)
    assert (Tokens.open(texts, " ", tokenizer, tmp_path).ids == tokens.ids).all()


def test_a_step_is_a_function_of_seed_and_number(tokens, tokenizer):
    first, again, other = (batches_of(tokens, tokenizer, seed) for seed in (0, 0, 1))
    later = [first.at(step) for step in range(8)][5]
    assert (again.at(5).shown == later.shown).all() and (again.at(5).targets == later.targets).all()
    assert not np.array_equal(other.at(5).shown, later.shown)


def test_an_epoch_reads_every_token_once(tokens, tokenizer):
    batches = batches_of(tokens, tokenizer, size=1)
    read = []
    for step in range(batches.blocks):
        batch = batches.at(step)
        whole = batch.shown.copy()
        whole[batch.chosen] = batch.targets
        assert whole[0, 0] == tokenizer.backend.token_to_id("[CLS]")
        read.append(whole[0, 1 : int(batch.attention.sum()) - 1])
    assert np.bincount(np.concatenate(read)).tolist() == np.bincount(tokens.ids).tolist()
    seen = [sum(batches.at(step).tokens for step in range(until)) for until in (3, batches.blocks, batches.blocks + 5)]
    assert [batches.tokens_until(until) for until in (3, batches.blocks, batches.blocks + 5)] == seen


def test_ranks_divide_a_batch(tokens, tokenizer):
    whole = batches_of(tokens, tokenizer).at(2)
    parts = [next(iter(batches_of(tokens, tokenizer).between(2, 3, rank, 2))) for rank in range(2)]
    assert np.concatenate([part.shown for part in parts]).tolist() == whole.shown.tolist()
    assert np.concatenate([part.targets for part in parts]).tolist() == whole.targets.tolist()
    assert {part.masked for part in parts} == {len(whole.targets)}
    with pytest.raises(UserError, match="cannot be divided among 3 processes"):
        batches_of(tokens, tokenizer).between(0, 1, 0, 3)
