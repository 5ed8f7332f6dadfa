import math

import numpy as np
import pytest

from pipeline.training.pretraining.unigram import unigram_log_probabilities


def test_witten_bell_in_closed_form():
    # Ids 1 to 5 are ordinary: 6, 3 and 1 times seen, two never; N = 10, T = 3, Z = 2.
    found = np.exp(unigram_log_probabilities(np.array([99, 6, 3, 1, 0, 0]), np.arange(1, 6)))
    assert found[1:] == pytest.approx([6 / 13, 3 / 13, 1 / 13, 3 / 26, 3 / 26])
    assert found[0] == 0
    assert found.sum() == pytest.approx(1)


def test_where_all_were_seen_it_is_the_frequency_and_its_entropy_the_texts():
    counts = np.array([4, 2, 1, 1])
    logarithms = unigram_log_probabilities(counts, np.arange(4))
    # 1/2, 1/4, 1/8, 1/8: 7/4 bits.
    assert -(counts / 8 * logarithms).sum() == pytest.approx(7 / 4 * math.log(2))
