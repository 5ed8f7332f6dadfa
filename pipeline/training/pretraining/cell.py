"""A cell that pre-trains: no queries, no index, a run folder that is a backbone for every other stage."""

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from pipeline.checks import text, whole_number
from pipeline.data.remarks import remarks
from pipeline.data.source import open_dataset
from pipeline.encoders.building import build_tower
from pipeline.entry import instantiate
from pipeline.errors import UserError
from pipeline.evaluation.loggers import flat_config, log_results
from pipeline.training.devices import process_rank, require_devices
from pipeline.training.pretraining.bench import Bench
from pipeline.training.pretraining.card import pretraining_card
from pipeline.training.pretraining.head import require_encoder
from pipeline.training.pretraining.results import finish
from pipeline.training.pretraining.run import Pretraining
from pipeline.training.pretraining.stage import MaskedLanguageModelling
from pipeline.training.run_folder import RunFolder
from pipeline.training.trainer import make_trainer, trainer_precision

NOT_DECIDING = ("_target_", "max_steps", "devices", "num_nodes", "strategy", "log_every_n_steps", "detect_anomaly")
"""Settings of the trainer that do not decide what comes out, or are said elsewhere."""


class PretrainingCell:
    """Masked language modelling in a run folder.

    Args:
        config: The composed configuration.
        folder: The run folder.
        stage: The settings of its stage.
        sweep: The sweep that it belongs to, if any.

    Raises:
        UserError: When a part refuses its settings.
    """

    def __init__(
        self, config: DictConfig, folder: RunFolder, stage: MaskedLanguageModelling, sweep: str | None
    ) -> None:
        self.config, self.folder, self.sweep = config, folder, sweep
        if config.pretraining is not None:
            raise UserError(
                f"stage={stage.name} is itself the pre-training that init=continued puts before other stages; leave one out."
            )
        self.seed = whole_number("seed", config.seed, least=0)
        self.make_logger = instantiate(config.logger, _partial_=True)
        ranks = require_devices(config.trainer)
        backbone, pooling = instantiate(config.backbone), instantiate(config.pooling)
        require_encoder(backbone)
        settings, encoding = instantiate(config.encoder), instantiate(config.encoding)
        trainer = make_trainer(config.trainer)
        max_steps = whole_number("trainer.max_steps", config.trainer.max_steps)
        store = Path(text("tables", config.tables))
        self.dataset = open_dataset(instantiate(config.dataset), store)
        bench = Bench(
            dataset=self.dataset,
            backbone=backbone,
            tower=build_tower(backbone, pooling, settings, "document", self.seed),
            trainer=trainer,
            trainer_settings=deciding_settings(config.trainer),
            max_steps=max_steps,
            encoding=encoding,
            say=folder.say,
            store=store,
            seed=self.seed,
            rank=process_rank(),
            ranks=ranks,
        )
        self.pretraining = Pretraining(stage, bench)
        _ = self.pretraining.division  # refused now where texts are too few, not after they were tokenised

    def inputs(self) -> dict[str, str]:
        """Fingerprint the data and the weights that the cell starts from."""
        tower = self.pretraining.bench.tower
        return {"dataset": self.dataset.fingerprint, "document tower": tower.fingerprint("document")}

    def run(self) -> None:
        """Train, measure and save."""
        split = self.dataset.split(self.pretraining.stage.split)
        texts = f"{len(split.documents):,} texts"
        self.folder.say(f"{self.folder.path}: masked language modelling on {self.dataset.label}, {texts}.")
        for remark in [*self.pretraining.bench.tower.notes, *remarks(self.dataset, split)]:
            self.folder.say(remark)
        composed: Any = OmegaConf.to_container(self.config, resolve=True)
        logger = self.make_logger(
            folder=self.folder.path,
            name=self.folder.path.name,
            config=flat_config(composed, HydraConfig.get().runtime.choices, self.dataset.name),
            sweep=self.sweep,
        )
        stage: Any = OmegaConf.to_container(self.config.stage, resolve=True)
        metrics = finish(
            self.pretraining,
            self.folder.path,
            self.pretraining.train(self.folder.path, logger),
            lambda found: pretraining_card(found, stage, self.seed, self.folder.path / "model"),
        )
        log_results(logger, metrics, self.folder.path)

    def join(self) -> None:
        """Take part in the training that rank 0 runs."""
        self.pretraining.train(self.folder.path, None)


def deciding_settings(trainer: DictConfig) -> dict[str, Any]:
    """Name the settings of a trainer that decide what comes out, with the precision that `auto` stands for."""
    settings: Any = OmegaConf.to_container(trainer, resolve=True)
    kept = {name: value for name, value in settings.items() if name not in NOT_DECIDING}
    return kept | {"precision": trainer_precision(trainer)}
