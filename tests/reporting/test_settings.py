"""What tells runs apart, and what makes two runs the same but for their seed."""

from omegaconf import OmegaConf

from pipeline.entry import CONFIGS
from pipeline.evaluation import result_folder
from pipeline.reporting import settings
from pipeline.reporting.settings import chosen, identity, rank, setting, telling_columns


def test_seeds_and_places_are_no_part_of_what_a_run_is():
    one = {"seed": 0, "folder": "a", "stage": {"name": "dpr"}, "pretraining": {"seed": 0, "steps": 5}}
    other = {"seed": 1, "folder": "b", "stage": {"name": "dpr"}, "pretraining": {"seed": 1, "steps": 5}}
    assert settings.ELSEWHERE is result_folder.ELSEWHERE
    assert identity({**one, "threads": 1, "preview": True}) == identity({**other, "threads": 8, "preview": False})
    assert identity(one) == identity(other)
    assert identity(one) != identity({**other, "stage": {"name": "joint"}})
    assert identity({**one, "stage": {"name": "dpr", "weights": "best"}}) == identity(one)
    assert identity({**one, "stage": {"name": "dpr", "weights": "last"}}) != identity(one)
    assert identity(one, ["stage"]) == identity({**other, "stage": {"name": "joint"}}, ["stage"])
    assert identity(one, ["stag"]) != identity({**other, "stage": {"name": "joint"}}, ["stag"])


def test_what_the_command_line_varied_is_a_column_and_nothing_more_where_that_tells_all_apart():
    configs = [{"stage": {"name": name, "rate": rate}, "same": 1} for name, rate in (("dpr", 1), ("joint", 2))]
    assert telling_columns(configs, [{"stage": "dpr", "seed": "0"}, {"stage": "joint", "seed": "1"}]) == ["stage"]
    written = [{"stage": "dpr", "launcher": "slurm", "threads": "1"}, {"stage": "joint", "threads": "2"}]
    assert telling_columns(configs, written) == ["stage"]


def test_what_no_command_line_said_is_added_where_it_is_needed():
    configs = [{"trainer": {"max_steps": steps}, "stage": {"name": "dpr"}} for steps in (1, 2)]
    assert telling_columns(configs, [{}, {}]) == ["trainer.max_steps"]
    assert telling_columns(configs, [{"stage": "dpr"}, {}]) == ["trainer.max_steps"]


def test_a_choice_of_a_group_is_read_back_from_the_configuration():
    config = {"stage": {"name": "dpr"}, "pooling": {"_target_": "pipeline.encoders.pooling.Mean"}, "on": True}
    assert [chosen(config, key) for key in ("stage", "pooling", "on", "stage.none")] == ["dpr", "mean", "true", ""]
    assert setting(config, {"stage": "${other}"}, "stage") == "dpr"
    assert setting({}, {"backbone.path": "outputs/wiki/model"}, "backbone.path") == "wiki"


def test_a_default_is_called_by_its_choice_and_not_by_its_class():
    faiss = {
        "_target_": "pipeline.retrieval.faiss_index.FaissIndex",
        "factory": "Flat",
        "device": "auto",
        "fp16": False,
        "shard": False,
    }
    configs = [{"index": faiss}, {"index": {"_target_": "pipeline.retrieval.torch_index.TorchIndex"}}]
    assert telling_columns(configs, [{}, {"index": "torch"}]) == ["index"]
    assert [setting(config, {}, "index") for config in configs] == ["faiss", "torch"]
    # Every choice is known again with a setting changed.
    for path in (CONFIGS / "index").glob("*.yaml"):
        made = OmegaConf.to_container(OmegaConf.load(path))
        assert chosen({"index": made | {"device": "cpu"}}, "index") == path.stem
    assert chosen({"dataset": {"_target_": "pipeline.data.beir.Beir", "name": None}}, "dataset") == "beir"


def test_what_is_not_trained_has_no_steps():
    configs = [
        {"stage": {"name": name}, "trainer": {"max_steps": steps}} for name in ("zero_shot", "dpr") for steps in (1, 2)
    ]
    shown = [setting(config, {"trainer.max_steps": "7"}, "trainer.max_steps") for config in configs]
    assert shown == ["", "", "7", "7"]
    assert identity(configs[0]) == identity(configs[1]) and identity(configs[2]) != identity(configs[3])


def test_numbers_are_ranked_as_numbers():
    assert sorted(["100", "b", "20", "a", "3"], key=rank) == ["3", "20", "100", "a", "b"]
