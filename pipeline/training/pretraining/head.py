"""A masked-language-model head on a tower's transformer, read from its checkpoint or made anew."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING

from pipeline.encoders.backbones import Backbone, Llama
from pipeline.encoders.checkpoints import fresh, read_config
from pipeline.encoders.folders import quiet_transformers
from pipeline.encoders.layout import read_layout
from pipeline.encoders.transformer_tower import TransformerTower
from pipeline.errors import UserError

LEAST_LOGIT = -30.0
"""What the logarithm of no probability counts as in a bias."""


@dataclass(frozen=True)
class Headed:
    """A masked language model around a tower's transformer.

    Attributes:
        model: The whole; its encoder is the tower's transformer itself.
        fresh: Whether the head was made anew.
    """

    model: PreTrainedModel
    fresh: bool


def require_encoder(backbone: Backbone) -> None:
    """Refuse what has no masked-language-model head, before weights are read.

    Raises:
        UserError: When the backbone is a decoder, or two checkpoints.
    """
    if backbone.twin_only:
        raise UserError(
            f"Masked language modelling trains one checkpoint, and backbone={backbone.name} has two; choose another."
        )
    if isinstance(backbone, Llama):
        raise _refusal(backbone, "decoder")


def with_head(tower: TransformerTower, backbone: Backbone, seed: int) -> Headed:
    """Put a head on a tower's transformer: its checkpoint's, where it has one whole, or one drawn from the seed.

    Output embeddings of a new head are the input embeddings, as in BERT.

    Args:
        tower: Its transformer becomes part of the model, and is trained with it.
        backbone: Where the transformer came from.
        seed: What a new head is drawn from.

    Raises:
        UserError: When the architecture has no such head, or the tokenizer no mask token.
    """
    config: Any = tower.backbone.config
    if type(config) not in MODEL_FOR_MASKED_LM_MAPPING or getattr(config, "is_decoder", False):
        raise _refusal(backbone, config.model_type)
    _ = tower.tokenizer.mask_id
    loader = MODEL_FOR_MASKED_LM_MAPPING[type(config)]
    model = _checkpoint(loader, backbone) if backbone.init == "pretrained" else None
    anew = model is None
    if model is None:
        config.tie_word_embeddings = True
        model = fresh(loader, config, seed)
    setattr(model, model.base_model_prefix, tower.backbone)
    model.config = config
    model.tie_weights()
    return Headed(model, anew)


def _checkpoint(loader: Any, backbone: Backbone) -> PreTrainedModel | None:
    """Read the masked language model of a checkpoint, or give nothing where it has an encoder alone."""
    folder = backbone.folder("document")
    layout = read_layout(folder, "document")
    place = layout.transformer if layout else folder
    config = read_config(place, backbone.trust_remote_code)
    with quiet_transformers():
        model, report = loader.from_pretrained(
            str(place), config=config, dtype=torch.float32, use_safetensors=True, output_loading_info=True
        )
    lacking = [name for name in report["missing_keys"] if not name.startswith(f"{model.base_model_prefix}.")]
    return None if lacking else model


def _refusal(backbone: Backbone, kind: str) -> UserError:
    return UserError(
        f"Masked language modelling needs an encoder with a masked-LM head, and backbone={backbone.name} is a {kind} "
        "without one; choose a BERT-like backbone, such as minilm, bert or local."
    )


def start_from_frequencies(model: PreTrainedModel, log_probabilities: np.ndarray) -> None:
    """Let a new head say each token as often as the text has it: its bias becomes the logarithm of the frequencies.

    What training would spend its first thousand steps on, counting, is so done before it.

    Args:
        model: The masked language model; a head without a bias stays as it is.
        log_probabilities: Of each id, float64 [vocabulary].
    """
    output: Any = model.get_output_embeddings()
    if getattr(output, "bias", None) is not None:
        with torch.no_grad():
            output.bias.copy_(torch.from_numpy(np.maximum(log_probabilities, LEAST_LOGIT)))


def logits_at(model: PreTrainedModel, shown: Tensor, attention: Tensor, chosen: Tensor) -> Tensor:
    """Compute what a masked language model says at chosen places alone.

    At all places, the logits over a vocabulary of 30,000 would take six times the memory and most of the time.

    Args:
        model: The masked language model, of any architecture: its encoder's states are narrowed on the way to the head.
        shown: Token ids, [rows, tokens].
        attention: 1 for tokens and 0 for padding, [rows, tokens].
        chosen: bool [rows, tokens].

    Returns:
        [chosen tokens, vocabulary], row by row.
    """

    def narrow(module: Any, inputs: Any, output: Any) -> BaseModelOutput:
        return BaseModelOutput(last_hidden_state=output[0][chosen][None])

    handle = model.base_model.register_forward_hook(narrow)
    try:
        return model(input_ids=shown, attention_mask=attention).logits[0]
    finally:
        handle.remove()
