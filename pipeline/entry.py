"""What the entry points share: a Hydra main whose bad input is answered in one sentence."""

import functools
import inspect
import multiprocessing
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.command_line import as_typed, comma_sentence, grammar_sentence
from pipeline.errors import UserError, nearest, sentence_of, user_sentence
from pipeline.files import digest_of
from pipeline.folder_names import UNNAMED, folder_name_of
from pipeline.store import sharing

CONFIGS = Path(__file__).resolve().parent.parent / "conf"
LAUNCHERS = {
    "joblib": "hydra-joblib-launcher",
    "submitit_slurm": "hydra-submitit-launcher",
    "ray": "hydra-ray-launcher",
}
"""Packages that Hydra's launchers are in, which few need all of."""
OURS = {
    "run.dir": (".", "the folder is folder=…"),
    "output_subdir": (None, "the folder holds the configuration by itself"),
    "job.chdir": (False, "relative paths are meant from where the command is given"),
}
"""Hydra's settings in whose place a command has its own, with the values that all of them have then."""
SECONDS_BETWEEN_LOOKS = 2.0
BAD_INPUT = 2
"""Exit status after input that the user can mend."""
COMMANDS = ("train", "evaluate", "probe")
"""Whose configurations `conf/` holds."""


def entry_point(
    config_name: str, advice: Callable[[str], str | None] = lambda key: None
) -> Callable[[Callable[[DictConfig], Any]], Callable[[], None]]:
    """Make a command of a function that takes a composed configuration.

    Mistakes in the command line, in the configuration and in the data end the command with one sentence on standard
    error and exit status 2; anything else is a defect and keeps its traceback.

    Args:
        config_name: The primary configuration in `conf/`.
        advice: Says of a setting that there is not what to give in its place, where more is known than the nearest words.
    """

    def decorate(main: Callable[[DictConfig], Any]) -> Callable[[], None]:
        @functools.wraps(main)
        def task(config: DictConfig) -> Any:
            # A launcher's worker may have started elsewhere, and relative paths are meant from where the command was given.
            os.chdir(HydraConfig.get().runtime.cwd)
            end_with_the_command()
            try:
                require_own_places(HydraConfig.get())
                with sharing(Path(config.tables) if config.tables else None):
                    return main(config)
            except Exception as error:
                if HydraConfig.get().mode == RunMode.MULTIRUN:
                    # The launcher must see the failure, and may have to carry it from one process to another.
                    raise UserError(sentence_of(error)) from error
                sentence = user_sentence(error)
                if sentence is None:
                    raise
                _refuse(sentence)

        command = hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=config_name)(task)

        @functools.wraps(main)
        def answered() -> None:
            # Hydra prints errors in its own form unless it is asked to raise them.
            os.environ["HYDRA_FULL_ERROR"] = "1"
            if {"-m", "--multirun"} & set(sys.argv) and {"-c", "--cfg", "--info"} & set(sys.argv):
                _refuse(
                    "--cfg and --info show one cell; leave -m out, or add preview=true to see the cells of a sweep."
                )
            sys.argv[1:] = map(as_typed, sys.argv[1:])
            sys.argv += _own_sweep(sys.argv[1:], config_name)
            _show_the_way_to_workers()
            try:
                command()
            except KeyboardInterrupt:
                sys.exit(130)
            except (HydraException, OmegaConfBaseException) as error:
                _refuse(user_sentence(error) or _composition_sentence(error, config_name, advice))
            except Exception as error:
                sentence = user_sentence(error)
                if sentence is None:
                    raise
                _refuse(sentence)

        return answered

    return decorate


def require_own_places(hydra_settings: Any) -> None:
    """Refuse settings of Hydra's that say where things go, as nothing goes there.

    Args:
        hydra_settings: Hydra's part of the composed configuration.

    Raises:
        UserError: Naming the setting, and what to use instead.
    """
    for key, (value, instead) in OURS.items():
        given = OmegaConf.select(hydra_settings, key)
        if given != value:
            raise UserError(f"hydra.{key}={given} would change nothing: {instead}; leave it out.")


def instantiate(config: DictConfig, /, *args: Any, **kwargs: Any) -> Any:
    """Build what a configuration's `_target_` names, with its mistakes said in one sentence.

    Raises:
        UserError: When the class refuses a value, or does not know a setting.
    """
    try:
        made = hydra.utils.instantiate(config, *args, **kwargs)
        if isinstance(made, functools.partial):
            inspect.signature(made.func).bind_partial(*made.args, **made.keywords)
        return made
    except TypeError as error:
        raise UserError(f"{config.get('_target_')} cannot be made of these settings: {error}.") from error
    except HydraException as error:
        sentence = user_sentence(error)
        if sentence is None and isinstance(error.__cause__, TypeError):
            sentence = f"{config.get('_target_')} cannot be made of these settings: {error.__cause__}."
        if sentence is None:
            raise
        raise UserError(sentence) from error


@functools.cache
def end_with_the_command() -> None:
    """Let a worker of joblib's end when the command that began it is killed; it would wait for another cell for ever."""
    if not multiprocessing.current_process().name.startswith("LokyProcess"):
        return
    command = os.getppid()

    def watch() -> None:
        while os.getppid() == command:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(1)  # a cell goes on from its checkpoint when the command is given again

    threading.Thread(target=watch, daemon=True).start()


def _show_the_way_to_workers() -> None:
    """Let the processes that a launcher starts import this project, wherever they begin."""
    places = [str(CONFIGS.parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(place for place in places if place))


def _own_sweep(words: Sequence[str], config_name: str) -> list[str]:
    """Give a sweep that no file describes a folder of its own, named by its axes and by what all of its cells share.

    More values on the same axes are the same sweep, which goes on in its folder.
    """
    named = any(word.lstrip("+").startswith(("-cn", "--config-name", "hydra.sweep.dir=")) for word in words)
    if named or not {"-m", "--multirun"} & {*words}:
        return []
    try:
        given = OverridesParser.create().parse_overrides([word for word in words if "=" in word and word[0] != "-"])
    except HydraException:  # is refused in a moment
        return []
    axes = sorted(override.key_or_group for override in given if override.is_sweep_override())
    shared = [str(override.input_line) for override in given if override.key_or_group not in axes]
    shared = sorted(word for word in shared if re.split("[.=/]", word.lstrip("+~"))[0] not in UNNAMED)
    shared += [word for word in words if "=" not in word and word not in ("-m", "--multirun")]  # such as ~key, -cd DIR
    first = {"train": "multirun", "evaluate": "evaluations", "probe": "probes"}[config_name]
    return [f"hydra.sweep.dir=outputs/{folder_name_of(first, axes, digest_of([axes, shared])[:8])}"]


def _refuse(sentence: str) -> None:
    print(f"error: {sentence}", file=sys.stderr, flush=True)
    sys.exit(BAD_INPUT)


def _composition_sentence(error: Exception, config_name: str, advice: Callable[[str], str | None]) -> str:
    """Say in one sentence what Hydra found wrong with the command line, with the nearest right words."""
    message = str(error)
    if isinstance(error, OverrideParseException):
        return grammar_sentence(error.override)
    if found := re.search(r"Ambiguous value for argument '(.*)'", message):
        return comma_sentence(found.group(1))
    if found := re.search(r"Could not find '([^']*)/([^'/]*)'", message):
        group, choice = found.groups()
        if group == "hydra/launcher" and choice in LAUNCHERS:
            package = LAUNCHERS[choice]
            return f"This launcher needs {package}, which is not installed; install it with: pip install {package}"
        return f"{group}={choice} is not a configuration; {nearest(choice, _choices(group))}"
    if found := re.search(r"Could not override '([^'@]*)(?:@[^']*)?'", message):
        key = found.group(1)
        known = advice(key) or _of_another_command(key, config_name)
        return known or f"{key} is not a setting; {nearest(key, _settings(config_name))}"
    if isinstance(error, OmegaConfBaseException) and "Missing mandatory value" in message:
        return f"{error.full_key} is needed and has no default; give {error.full_key}=… on the command line."
    return " ".join(message.split()).rstrip(".") + "."


def _of_another_command(key: str, config_name: str) -> str | None:
    """Say whose group or setting a key is of, where it is of another command's."""
    group = key.split(".")[0]
    if config_name not in COMMANDS or group == "hydra":
        return None
    if not (CONFIGS / group).is_dir():
        having = [f"{name}.py" for name in COMMANDS if name != config_name and group in _settings(name)]
        return f"{group} is a setting of {' and '.join(having)}, not of {config_name}.py." if having else None
    groups = {name: _groups(name) for name in COMMANDS}
    others = " and ".join(f"{name}.py" for name in COMMANDS if group in groups[name])
    own = groups[config_name]
    return None if group in own else f"{group} is a group of {others}; {config_name}.py has {', '.join(own)}."


def _groups(config_name: str) -> list[str]:
    """List the groups that a command chooses from."""
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        return _own_groups(hydra.compose(config_name, return_hydra_config=True))


def _own_groups(config: Any) -> list[str]:
    found = {key.partition("@")[0] for key in config.hydra.runtime.choices}
    return sorted(group for group in found if not group.startswith("hydra/"))


def _choices_of_groups(*, _root_: Any) -> str:
    """Write the groups of a composed configuration, for `--help`."""
    choices = {group: ", ".join(sorted(_choices(group))) for group in _own_groups(_root_)}
    return "\n".join(f"{group}: {known}" for group, known in choices.items() if known)  # of a sweep's own, none


OmegaConf.register_new_resolver("choices_of_groups", _choices_of_groups, replace=True)


def _choices(group: str) -> list[str]:
    return [path.stem for path in (CONFIGS / group).glob("*.yaml")]


def _settings(config_name: str) -> list[str]:
    """List every key of the configuration with the groups that the command line chooses."""
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        try:
            config = hydra.compose(config_name, overrides=_chosen_groups())
        except HydraException:  # a group of the other command
            config = hydra.compose(config_name)
    return list(_keys(OmegaConf.to_container(config, resolve=False)))


def _chosen_groups() -> list[str]:
    """Those words of the command line that choose a configuration of a group."""
    words = [word.partition("=") for word in sys.argv[1:]]
    return [f"{group}={choice}" for group, _, choice in words if (CONFIGS / group / f"{choice}.yaml").is_file()]


def _keys(settings: Any, above: str = "") -> Iterator[str]:
    if isinstance(settings, dict):
        for key, value in settings.items():
            if str(key).startswith("_"):  # Hydra's own
                continue
            yield f"{above}{key}"
            yield from _keys(value, f"{above}{key}.")
