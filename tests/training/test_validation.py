import pytest

from pipeline.data.dataset import Dataset, Split
from pipeline.data.texts import Texts
from pipeline.encoders.encoding import EncodingSettings
from pipeline.errors import UserError
from pipeline.training.validation import Validation


def test_a_validation_split_without_relevance_is_refused_before_training(tmp_path):
    texts = Texts.from_pairs([(f"t{n}", f"text {n}") for n in range(4)])
    split = Split("validation", texts, texts, {f"t{n}": {"t0": 1} for n in range(4)}, {})
    dataset = Dataset("planted", {"validation": split}, 2, None, "f00d", {})
    with pytest.raises(UserError, match="split validation of planted has no document of grade 2 or more"):
        Validation(dataset, 4, 4, EncodingSettings(device="cpu"), tmp_path, False, 0)
