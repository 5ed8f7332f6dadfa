"""Transfer: how a dual encoder does on datasets that it was not trained on, before and after its training."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger

from pipeline.data.dataset import Dataset
from pipeline.data.source import Source, open_dataset
from pipeline.encoders.dual_encoder import DualEncoder
from pipeline.entry import instantiate
from pipeline.errors import UserError
from pipeline.evaluation.approximation import recall_of
from pipeline.evaluation.names import require_file_names
from pipeline.evaluation.results import METRICS, SystemResult, write_results
from pipeline.evaluation.scoring import Retriever
from pipeline.evaluation.significance import compare
from pipeline.evaluation.training_words import marks_of
from pipeline.files import read_json, write_json

FOLDER = "transfer"
INPUTS = "inputs.json"


def transfer_sources(config: DictConfig) -> Iterator[tuple[str, Source]]:
    """Make the sources of a configuration's further datasets; nothing of them is read yet.

    Args:
        config: The composed configuration; `evaluation.transfer` has a dataset's configuration by name.

    Raises:
        UserError: When it names a dataset in a way that no folder can be called, or is no configuration of one.
    """
    chosen = config.evaluation.transfer
    if chosen is not None and not OmegaConf.is_dict(chosen):
        raise UserError(f"evaluation.transfer={chosen} must name datasets; {_how('NAME')}")
    require_file_names("evaluation.transfer", map(str, chosen or ()))
    for name, dataset in (chosen or {}).items():
        if not OmegaConf.is_dict(dataset) or "_target_" not in dataset:
            raise UserError(f"evaluation.transfer.{name}={dataset} is no dataset's configuration; {_how(name)}")
        yield str(name), instantiate(dataset)


def transfer_folders(folder: Path) -> list[Path]:
    """Find the results on further datasets in a run folder."""
    return sorted(path.parent for path in (folder / FOLDER).glob(f"*/{METRICS}"))


class Transfer:
    """One further dataset, whose results lie in `transfer/NAME/` of the run folder.

    Args:
        name: What the command calls the dataset.
        folder: The run folder.
        retriever: Scores systems on its split.
        made_from: Everything that determines the results, JSON-like.
    """

    def __init__(self, name: str, folder: Path, retriever: Retriever, made_from: dict[str, Any]) -> None:
        self.name, self.place, self.retriever = name, folder / FOLDER / name, retriever
        self.made_from = made_from | {"transfer dataset": retriever.dataset.fingerprint}
        self.systems: dict[str, SystemResult] = {}

    @property
    def finished(self) -> bool:
        """Whether an earlier attempt wrote these very results; `metrics.json` comes last."""
        written = (self.place / METRICS).exists() and (self.place / INPUTS).exists()
        return written and read_json(self.place / INPUTS) == self.made_from

    def metrics(self) -> dict[str, Any]:
        """Read what was written."""
        return read_json(self.place / METRICS)

    def score(self, dual_encoder: DualEncoder, name: str) -> None:
        """Score BM25, once, and the dual encoder as it is now; with BM25 as `dense`, when it is trained."""
        self.systems = self.systems or self.retriever.bm25()
        self.systems |= self.retriever.encoder(dual_encoder, name, "hybrid" if name == "dense" else None)

    def write(self, training: dict[str, Any]) -> None:
        """Write what was found.

        Args:
            training: What `metrics.json` says of the training.

        Raises:
            UserError: When the disk is full.
        """
        (self.place / METRICS).unlink(missing_ok=True)  # of other inputs
        write_json(self.place / INPUTS, self.made_from)
        scores = {name: system.scores for name, system in self.systems.items()}
        results = replace(self.retriever.results(self.systems), significance=compare(scores))
        write_results(results, self.place, training, with_runs=False)


class Transfers:
    """All further datasets of a run, opened at once, so that what is wrong with one is said before any work.

    Args:
        config: The composed configuration.
        folder: The run folder.
        made_from: What determines the run's results beside these datasets.
        retriever_of: Makes what scores systems on a dataset.

    Raises:
        UserError: When one cannot be opened or scored.
    """

    def __init__(
        self,
        config: DictConfig,
        folder: Path,
        made_from: dict[str, Any],
        retriever_of: Callable[[Dataset], Retriever],
    ) -> None:
        self.transfers = []
        for name, source in transfer_sources(config):
            try:
                retriever = retriever_of(open_dataset(source, Path(config.tables)))
            except UserError as error:
                raise UserError(f"evaluation.transfer.{name}: {error}") from error
            self.transfers.append(Transfer(name, folder, retriever, made_from))

    @property
    def fingerprints(self) -> dict[str, str]:
        """Say what was opened."""
        return {f"transfer dataset {each.name}": each.retriever.dataset.fingerprint for each in self.transfers}

    def score(self, dual_encoder: DualEncoder, name: str, say: Callable[[str], None]) -> None:
        """Score the dual encoder as it is now on all whose results are not there yet."""
        for transfer in self.transfers:
            if not transfer.finished:
                say(f"Scoring on {transfer.name}.")
                transfer.score(dual_encoder, name)

    def write(self, trained_on: str, trained: dict[str, Any], logger: Logger | None) -> None:
        """Write what was found, and log the means.

        Args:
            trained_on: The dataset of the training.
            trained: What the run folder says about the training.
            logger: Where figures go beside the run folder.

        Raises:
            UserError: When the disk is full.
        """
        said = {"trained_on": trained_on, "stage": trained["stage"], "steps": trained["steps"]}
        for transfer in self.transfers:
            if not transfer.finished:
                for name in ("dense", "hybrid"):
                    transfer.systems[name].details.update(marks_of(trained))
                transfer.write(said)
            if logger is not None:
                metrics = transfer.metrics()
                for system, means in metrics["systems"].items():
                    recall = recall_of(metrics.get("details", {}).get(system, {}))
                    figures = means | {f"{at} of exact search": share for at, share in recall.items()}
                    logger.log_metrics(
                        {f"transfer/{transfer.name}/{system}/{measure}": mean for measure, mean in figures.items()}
                    )


def _how(name: object) -> str:
    return f"write +dataset@evaluation.transfer.{name}=beir evaluation.transfer.{name}.path=…"
