"""What we make of a folder, by the choices that a user would type."""

from pathlib import Path

import hydra
import numpy as np
from numpy.typing import NDArray

from pipeline.encoders.building import build_dual_encoder
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.encoders.encoding import EncodingSettings, encode
from pipeline.entry import CONFIGS, instantiate
from pipeline.evaluation.models import find_models

SETTINGS = EncodingSettings(precision="float32", device="cpu")


def by_train(words: str, folder: Path) -> DualEncoder:
    """As `python train.py stage=zero_shot …` builds it."""
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = hydra.compose("train", overrides=words.replace("{}", str(folder)).split())
    parts = (instantiate(config[part]) for part in ("backbone", "pooling", "query", "encoder"))
    return build_dual_encoder(*parts, config.seed)


def by_evaluate(folder: Path) -> DualEncoder:
    """As `python evaluate.py models=[FOLDER]` opens it."""
    return find_models([str(folder)])[0].load()


def vectors(encoder: DualEncoder, texts: list[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Encode texts as queries and as documents, [texts, dimension] each."""
    return encode(encoder.query, texts, "query", SETTINGS), encode(encoder.document, texts, "document", SETTINGS)
