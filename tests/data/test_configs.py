import inspect

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

from pipeline.data import Source, open_dataset
from tests.conftest import ROOT
from tests.data.conftest import write_json_lines

NAMES = sorted(path.stem for path in (ROOT / "conf" / "dataset").glob("*.yaml"))
OVERRIDES = {
    "ir_datasets": ["test=beir/scifact/test"],
    "huggingface": ["path=json", "data_files={train: a.json, test: [b.json, c.json]}"],
    "huggingface_beir": ["path=BeIR/scifact"],
    "squad": ["path=[a.json,b.json]"],
}


def composed(name, overrides=()):
    with initialize_config_dir(str(ROOT / "conf"), version_base=None):
        return compose(overrides=[f"+dataset={name}", *(f"dataset.{override}" for override in overrides)]).dataset


@pytest.mark.parametrize("name", NAMES)
def test_every_dataset_composes_and_makes_a_source(name):
    source = instantiate(composed(name, OVERRIDES.get(name, ())))
    assert isinstance(source, Source)
    assert source.limit is None and source.relevant_from == 1 and source.remove_self_hits is None


@pytest.mark.parametrize("name", NAMES)
def test_every_value_is_explained_on_its_line(name):
    lines = (ROOT / "conf" / "dataset" / f"{name}.yaml").read_text().splitlines()
    assert lines[0].startswith("# ")
    for line in lines[1:]:
        if not line.startswith("_target_"):
            assert line.partition(" # ")[2], line


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"python_docs"}))
def test_every_argument_can_be_set(name):
    """A setting that the class knows and the file does not could not be overridden without a plus sign."""
    config = composed(name)
    known = set(inspect.signature(get_class(config._target_)).parameters) - {"settings"}
    assert set(config) - {"_target_"} == known | {"name", "limit", "relevant_from", "remove_self_hits"}


def test_settings_from_the_command_line_reach_the_dataset(tmp_path):
    records = [{"question": f"question {n}", "answer": f"answer {n}"} for n in range(40)]
    path = write_json_lines(tmp_path / "pairs.jsonl", records)
    overrides = [f"path={path}", "query=question", "document=answer", "limit=5", "split={train:0,validation:0,test:1}"]
    config = composed("jsonl", overrides)
    dataset = open_dataset(instantiate(config), tmp_path / "store")
    assert dataset.notes["queries"] == {"test": 5}
    as_plain = instantiate(OmegaConf.to_container(config, resolve=True))
    assert as_plain.key() == instantiate(config).key()
