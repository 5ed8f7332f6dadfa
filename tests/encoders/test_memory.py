"""A batch that does not fit into memory is divided, and said to be."""

import numpy as np

from pipeline.encoders.backbones import Local
from pipeline.encoders.building import EncoderSettings, Parts
from pipeline.encoders.encoding import Encoder, EncodingSettings
from pipeline.encoders.pooling import pooling_named
from tests.encoders.conftest import TEXTS


def test_a_batch_that_does_not_fit_is_encoded_in_halves(bert_folder, capsys):
    tower = Parts(Local(str(bert_folder)), pooling_named("mean"), EncoderSettings(), 0).tower("document")
    encoder = Encoder(tower, EncodingSettings(device="cpu"))
    expected = encoder.encode(TEXTS, "document")
    whole = encoder.vectors_of

    def small_device(batch):
        if len(batch["input_ids"]) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
        return whole(batch)

    encoder.vectors_of = small_device
    assert np.allclose(encoder.encode(TEXTS, "document"), expected, atol=1e-6)
    assert "Memory does not suffice" in capsys.readouterr().err
