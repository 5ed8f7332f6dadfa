"""Poolings against the plain definition in float64, under padding on either side."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.encoders.pooling import POOLINGS, pooling_named
from pipeline.errors import UserError

NAIVE = {
    "cls": lambda states: states[0],
    "last": lambda states: states[-1],
    "mean": lambda states: states.mean(axis=0),
    "max": lambda states: states.max(axis=0),
    "weighted_mean": lambda states: np.average(states, axis=0, weights=range(1, len(states) + 1)),
    "mean_sqrt_len": lambda states: states.sum(axis=0) / len(states) ** 0.5,
}


def padded(texts: list[np.ndarray], side: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Put texts of unlike length into one batch, with rubbish where padding is."""
    longest = max(map(len, texts))
    states = torch.full((len(texts), longest, texts[0].shape[1]), 1e6, dtype=torch.float64)
    mask = torch.zeros(len(texts), longest, dtype=torch.long)
    for row, text in enumerate(texts):
        place = slice(longest - len(text), None) if side == "left" else slice(len(text))
        states[row, place] = torch.from_numpy(text)
        mask[row, place] = 1
    return states, mask


@pytest.mark.parametrize("name", sorted(POOLINGS))
@given(
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=5),
    side=st.sampled_from(["left", "right"]),
    seed=st.integers(0, 1000),
)
def test_pooling_is_its_definition(name, lengths, side, seed):
    generator = np.random.default_rng(seed)
    texts = [generator.normal(size=(length, 3)) - 2 for length in lengths]
    pooled = pooling_named(name)(*padded(texts, side)).numpy()
    np.testing.assert_allclose(pooled, [NAIVE[name](text) for text in texts], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", sorted(POOLINGS))
def test_half_precision_states_are_pooled_in_float32(name):
    text = np.random.default_rng(0).normal(size=(300, 4))
    states, mask = padded([text], "right")
    pooled = pooling_named(name)(states.bfloat16(), mask)
    assert pooled.dtype == torch.float32
    expected = NAIVE[name](states.bfloat16().double().numpy()[0])
    np.testing.assert_allclose(pooled[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", sorted(POOLINGS))
def test_padding_gets_no_gradient(name):
    states, mask = padded([np.ones((2, 3)), np.ones((4, 3))], "right")
    states.requires_grad_()
    pooling_named(name)(states, mask).sum().backward()
    assert states.grad[0, :2].abs().sum() > 0
    assert states.grad[0, 2:].abs().sum() == 0


def test_an_unknown_pooling_is_refused_with_the_nearest():
    with pytest.raises(UserError, match="did you mean mean"):
        pooling_named("maen")
