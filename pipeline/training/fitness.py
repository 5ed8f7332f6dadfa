"""Whether the choices of a cell go together, found out from the configuration alone: no weights and no texts are read."""

from omegaconf import DictConfig

from pipeline.checks import whole_number
from pipeline.data.source import Source
from pipeline.encoders.backbones import Backbone
from pipeline.encoders.building import QueryTower
from pipeline.entry import instantiate
from pipeline.errors import UserError
from pipeline.evaluation.measures import parse_measures
from pipeline.training.pretraining.head import require_encoder
from pipeline.training.pretraining.stage import MaskedLanguageModelling
from pipeline.training.stages import Stage
from pipeline.training.trainer import require_trainer
from pipeline.training.transfer import transfer_sources


def unfit(config: DictConfig) -> str | None:
    """Say why a cell cannot be run, or nothing when nothing speaks against it.

    Args:
        config: The composed configuration of `conf/train.yaml`.
    """
    try:
        stage: Stage | MaskedLanguageModelling = instantiate(config.stage)
        backbone: Backbone = instantiate(config.backbone)
        if config.pretraining is not None or isinstance(stage, MaskedLanguageModelling):
            require_encoder(backbone)
        if isinstance(stage, Stage):
            query: QueryTower = instantiate(config.query)
            query.require(backbone)
            stage.require(query, instantiate(config.negatives), backbone)
        for part in ("pooling", "encoder", "encoding", "index", "lexical"):
            instantiate(config[part])
        whole_number("seed", config.seed, least=0)
        require_trainer(config.trainer)
        whole_number("trainer.max_steps", config.trainer.max_steps)
        parse_measures(list(config.evaluation.measures))
    except UserError as error:
        return str(error)
    return None


def require_data(config: DictConfig) -> None:
    """Refuse data that is not there, for a cell that could be run otherwise.

    Raises:
        UserError: Naming what is missing.
    """
    source: Source = instantiate(config.dataset)
    source.inputs()
    for name, further in transfer_sources(config):
        try:
            further.inputs()
        except UserError as error:
            raise UserError(f"evaluation.transfer.{name}: {error}") from error
