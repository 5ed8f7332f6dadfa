"""What a tuning may try: ranges and choices by override key, as Optuna's distributions."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipeline.checks import a_list, number
from pipeline.errors import UserError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

RANGE = {"low", "high", "log"}


def distributions(search: Mapping[str, Any]) -> dict[str, "BaseDistribution"]:
    """Read a search space.

    Args:
        search: By override key a range, `{low: …, high: …, log: true}`, of whole numbers where both ends are, or a list
            of choices.

    Raises:
        UserError: When a range or a list cannot be meant.
    """
    if not search:
        raise UserError(
            "hydra.sweeper.search is empty; name settings and their ranges, as multirun_sweeps/tune.yaml does."
        )
    return {key: _distribution(f"hydra.sweeper.search: {key}", value) for key, value in search.items()}


def _distribution(where: str, value: Any) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(value, Mapping):
        choices = a_list(where, value)
        if not choices or not all(isinstance(choice, str | int | float) for choice in choices):
            raise UserError(f"{where}={value} must be a list of one choice or more: words, numbers, true or false.")
        return CategoricalDistribution(choices)
    if not {"low", "high"} <= value.keys() <= RANGE:
        raise UserError(f"{where}={dict(value)} must be a list of choices, or a range {{low: …, high: …, log: true}}.")
    log = bool(value.get("log", False))
    low = number(f"{where}.low", value["low"], least=0.0 if log else -float("inf"), above=log)
    high = number(f"{where}.high", value["high"], least=low, above=True)
    if isinstance(value["low"], int) and isinstance(value["high"], int):
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(low, high, log=log)


def described(value: Any) -> str:
    """Say in words what may be tried of one setting."""
    if not isinstance(value, Mapping):
        return ", ".join(map(str, value))
    return f"{value['low']} to {value['high']}{', in equal factors' if value.get('log') else ''}"


def override(key: str, value: Any) -> str:
    """Write a proposed value as an override; three digits of a real number are enough, and can be read."""
    if isinstance(value, bool):
        value = str(value).lower()
    return f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={value}"
