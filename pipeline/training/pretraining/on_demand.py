"""Pre-training that goes before a cell's own stage: made once, in the folder that runs share, by whoever needs it first."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pipeline.checks import whole_number
from pipeline.data.dataset import Dataset
from pipeline.data.source import open_dataset
from pipeline.encoders.backbones import Backbone
from pipeline.encoders.building import EncoderSettings, build_tower
from pipeline.encoders.encoding import EncodingSettings
from pipeline.encoders.pooling import Own
from pipeline.entry import instantiate
from pipeline.evaluation.pretraining import pretraining_lines
from pipeline.evaluation.results import METRICS
from pipeline.files import locked, read_json
from pipeline.training.pretraining.bench import Bench
from pipeline.training.pretraining.card import pretraining_card
from pipeline.training.pretraining.cell import deciding_settings
from pipeline.training.pretraining.head import require_encoder
from pipeline.training.pretraining.results import finish
from pipeline.training.pretraining.run import Pretraining
from pipeline.training.trainer import make_trainer


@dataclass(frozen=True)
class Pretrained:
    """What a pre-training left.

    Attributes:
        backbone: The cell's backbone with the weights that came out.
        record: What is said of it, the form of `training.pretraining` in `metrics.json`.
        notes: How vectors were made of what it began from, in sentences; its own folder has saved that.
    """

    backbone: Backbone
    record: dict[str, Any]
    notes: list[str]


def pretrained(
    config: DictConfig,
    dataset: Dataset,
    settings: EncoderSettings,
    encoding: EncodingSettings,
    say: Callable[[str], None],
) -> Pretrained:
    """Pre-train a cell's backbone as `config.pretraining` says, or find that it was done.

    Every cell with the same weights, texts and settings finds the same folder. It is trained by one process on one
    device, and goes on from its checkpoint when it is killed. `backbone.freeze` holds for the cell's own stage.

    Args:
        config: The composed configuration of the cell.
        dataset: The cell's dataset, for its texts where no other text is named.
        settings: What holds for the cell's towers; of them the maximum length holds here.
        encoding: How texts are encoded.
        say: Tells the user where it stands.

    Raises:
        UserError: When the backbone has no masked-language-model head, or a setting cannot be meant.
    """
    store = Path(config.tables)
    run = _pretraining(config, dataset, settings, encoding, say, store)
    folder = store / "pretraining" / run.key()[:16]
    if not (folder / METRICS).exists():
        with locked(folder, f"the pre-training in {folder}"):
            if not (folder / METRICS).exists():
                _make(run, config, folder)
    metrics = read_json(folder / METRICS)
    backbone = instantiate(config.backbone, path=str(folder / "model"), init="pretrained", layers=None)
    return Pretrained(backbone, metrics["training"]["pretraining"], run.bench.tower.notes)


def _pretraining(
    config: DictConfig,
    dataset: Dataset,
    settings: EncoderSettings,
    encoding: EncodingSettings,
    say: Callable[[str], None],
    store: Path,
) -> Pretraining:
    """Put the pre-training together, with a tower that is pooled as its checkpoint says, or by the mean.

    How the cell pools is no matter here, so that cells that differ in it share one pre-training.
    """
    own = config.pretraining
    backbone = instantiate(config.backbone, freeze=[])
    require_encoder(backbone)
    tower = build_tower(backbone, Own(), EncoderSettings(max_length=settings.max_length), "document", config.seed)
    bench = Bench(
        dataset=dataset if own.dataset is None else open_dataset(instantiate(own.dataset), store),
        backbone=backbone,
        tower=tower,
        trainer=make_trainer(config.trainer, devices=1, num_nodes=1, strategy="auto"),
        trainer_settings=deciding_settings(config.trainer),
        max_steps=whole_number("pretraining.max_steps", own.max_steps),
        encoding=encoding,
        say=say,
        store=store,
        seed=config.seed,
    )
    return Pretraining(instantiate(own.stage), bench)


def _make(run: Pretraining, config: DictConfig, folder: Path) -> None:
    """Do what is missing of a pre-training."""
    say, name, _ = run.bench.say, run.bench.dataset.name, run.division
    say(f"Pre-training goes before: {run.bench.max_steps:,} steps of masked language modelling on {name}, in {folder}.")
    stage: Any = OmegaConf.to_container(config.pretraining.stage, resolve=True)
    trained = run.train(folder, None)
    finish(run, folder, trained, lambda found: pretraining_card(found, stage, run.bench.seed, folder / "model"))
    for line in pretraining_lines(trained["pretraining"]):
        say(line)
