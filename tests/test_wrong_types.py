"""A value of a type that a setting cannot have is refused in one sentence, or is as good as another; it is no defect."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.entry import instantiate
from pipeline.errors import UserError, user_sentence
from pipeline.evaluation.command import _check, _prepared
from pipeline.probing.command import _subject
from tests.settings import settings_of
from tests.test_command_settings import PROBES, composed, place, write_runs  # noqa: F401
from tests.test_settings import CELLS, cells, configs, of_its_own, tiny_bert  # noqa: F401

WRONG: list[Any] = [{"a": 1}, float("nan")]
"""What next to no setting takes; others, such as texts and lists, are refused in the same places."""


def defects(config: DictConfig, keys: Iterable[str], put_together: Callable[[DictConfig], Any]) -> list[str]:
    """Give the settings, and values of them, that end in something else than a sentence for users."""
    found = []
    for key in keys:
        for value in WRONG:
            wrong = config.copy()
            OmegaConf.update(wrong, key, value, merge=False)
            try:
                put_together(wrong)
            except UserError:
                continue
            except (HydraException, OmegaConfBaseException) as error:
                if user_sentence(error) is None:
                    found.append(f"{key}={value}: {error}")
            except Exception as error:  # whatever it is, it is a defect
                found.append(f"{key}={value}: {type(error).__name__}: {error}")
    return found


@pytest.mark.parametrize("name", CELLS)
def test_no_setting_of_training_ends_in_a_traceback(cells, configs, name):  # noqa: F811
    assert defects(configs[name], of_its_own(configs, name), cells.made) == []


@pytest.mark.parametrize("name", ["geometry", "linear", "attribution", "intervention", "swap"])
def test_no_setting_of_a_probe_ends_in_a_traceback(place, name):  # noqa: F811
    both = f"{{base: {{model: '{place}/base', side: both}}, tuned: {{model: '{place}/tuned', normalise: false}}}}"
    config = composed(place, "probe", f"models={both}", *PROBES[name])
    first = name == "geometry"
    keys = [key for key in settings_of(config) if key.startswith("probe.") or (first and not key.startswith("hydra."))]

    def put_together(wrong: DictConfig) -> None:
        probe = instantiate(wrong.probe)
        probe.prepare(_subject(wrong, probe))

    assert defects(config, (key for key in keys if key != "folder"), put_together) == []


@pytest.mark.parametrize("mode", ["models", "run_files"])
def test_no_setting_of_an_evaluation_ends_in_a_traceback(place, mode):  # noqa: F811
    words = write_runs(place) if mode == "run_files" else [f"models=['{place}/base']", "measures=[mrr,ndcg@10]"]
    config = composed(place, "evaluate", *words)
    keys = [key for key in settings_of(config) if not key.startswith("hydra.") and key != "folder"]

    def put_together(wrong: DictConfig) -> None:
        _check(wrong)
        _prepared(wrong)

    assert defects(config, keys, put_together) == []
