"""RepLLaMA: a decoder and the adapter that was trained over it, each in a folder of its own."""

from typing import Any

from transformers import PreTrainedModel

from pipeline.encoders.backbones import Kind, Llama, Loaded
from pipeline.encoders.folders import find_folder, package_folder
from pipeline.encoders.low_rank import INSTALL, adapter_config, with_adapter
from pipeline.encoders.projection import Projection


class RepLlama(Llama):
    """A causal decoder with a LoRA adapter that was trained for retrieval. Ma et al., RepLLaMA (2023).

    Pooling, normalisation, prompts and the token at the end are those of the adapter's model card and of its authors'
    code; the length is the one that they encode BEIR with.

    Args:
        path: The decoder that the adapter was trained over, as in `Backbone`.
        adapter: Folder or hub name of the adapter.
        settings: As in `Backbone`; `init: random` draws the decoder and leaves the adapter out.
    """

    family = "repllama"
    pooling = "last"
    similarity = "cosine"
    max_length = 512
    query_prompt = "query: "
    document_prompt = "passage: "
    append_eos = True
    title_separator = " "
    tuned_on = ("MS MARCO",)

    def __init__(self, path: str | None = None, *, adapter: str, **settings: Any) -> None:
        super().__init__(path, **settings)
        self.adapter = adapter

    def load(self, kind: Kind, seed: int, max_length: int | None = None) -> Loaded:
        """Load the decoder and merge the adapter; refuse an adapter that is none before billions of weights are read."""
        if self.init == "pretrained":
            package_folder("peft", "", INSTALL)
            adapter_config(find_folder(self.adapter))
        return super().load(kind, seed, max_length)

    def unwrapped(self, model: PreTrainedModel) -> tuple[PreTrainedModel, list[Projection]]:
        """Merge the adapter."""
        if self.init == "random":
            return model, []
        return with_adapter(model, find_folder(self.adapter), self.layers), []
