"""Which split a query falls into, where the source does not say: by the hash of its group's name."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.data.lines import existing, unpacked
from pipeline.data.lookup import hash_of, id_of
from pipeline.data.normal_form import normal_form
from pipeline.data.writer import SPLITS, DatasetWriter
from pipeline.errors import UserError, nearest

SALT = b"split"
"""Keeps the split of an id independent of its place in the order that `limit` follows."""

TABLES = frozenset([".csv", ".tsv", ".parquet", ".arrow"])

Paths = str | Path | Sequence[str | Path] | None


@dataclass(frozen=True)
class Shares:
    """Shares of the splits, in the order train, validation, test.

    A group (an article, a package) always falls into the same split, whatever else the dataset holds.
    """

    shares: tuple[tuple[str, float], ...]
    setting: str | None = field(default=None, compare=False)
    """What sets them, for errors."""

    @classmethod
    def of(cls, split: Mapping[str, float]) -> "Shares":
        """Check shares such as `{train: 0.8, validation: 0.1, test: 0.1}`; a share of 0 leaves its split out.

        Raises:
            UserError: When a name is unknown, or the shares are no numbers from 0 that sum to 1.
        """
        for name, share in split.items():
            if name not in SPLITS:
                raise UserError(f"dataset.split names {name!r}; {nearest(str(name), SPLITS)}")
            if not isinstance(share, int | float) or not share >= 0:
                raise UserError(f"dataset.split.{name} is {share!r}; it must be a number from 0 to 1.")
        if abs(sum(split.values()) - 1) > 1e-6:
            listed = ", ".join(f"{name} {share:g}" for name, share in split.items())
            raise UserError(
                f"The shares in dataset.split sum to {sum(split.values()):g} ({listed}) and must sum to 1; "
                "a share that an override does not mention keeps its default, so set unwanted ones to 0."
            )
        return cls(tuple((name, float(split[name])) for name in SPLITS if split.get(name, 0) > 0), "dataset.split")

    @classmethod
    def all_in(cls, name: str) -> "Shares":
        """Put every group into one split."""
        return cls(((name, 1.0),))

    @classmethod
    def held_out(cls, validation_share: float) -> "Shares":
        """Hold a share of the training queries out for validation.

        Raises:
            UserError: When the share is not at least 0 and below 1.
        """
        if not isinstance(validation_share, int | float) or not 0 <= validation_share < 1:
            raise UserError(f"dataset.validation_share is {validation_share!r}; it must be from 0 to below 1.")
        shares = cls.of({"train": 1 - validation_share, "validation": validation_share})
        return cls(shares.shares, "dataset.validation_share")

    def __call__(self, group: str) -> str:
        """Name the split of a group."""
        point = hash_of(group, SALT) / 2**64
        for name, share in self.shares:
            point -= share
            if point < 0:
                return name
        return self.shares[-1][0]

    def of_query(self, text: object) -> str:
        """Name the split of a query by its text, so that equal ones, under whatever ids, never fall into two.

        Args:
            text: Of the query; what is no text is refused when it is written.
        """
        return self(id_of(normal_form(str(text))))

    def announce(self, writer: DatasetWriter) -> None:
        """Tell the writer which splits must not stay empty."""
        for name, _ in self.shares:
            writer.split(name, setting=self.setting)


def given_splits(names: Iterable[str], validation_share: float) -> dict[str, Shares]:
    """Decide what becomes of the splits that a source gives.

    Args:
        names: Those of `train`, `validation` and `test` that there are.
        validation_share: What is held out of `train` where there is no `validation`.

    Raises:
        UserError: When the share is not at least 0 and below 1.
    """
    shares = {name: Shares.all_in(name) for name in names}
    if "train" in shares and "validation" not in shares:
        shares["train"] = Shares.held_out(validation_share)
    return shares


def dealt(shares: Shares, queries: Iterable[tuple[str, str]]) -> Callable[[str], str]:
    """Deal queries by their ids, equal ones together: by the smallest of their ids.

    Args:
        shares: Of the splits.
        queries: Ids and texts; read only where there is more than one split.

    Returns:
        From a query's id to its split.
    """
    if len(shares.shares) == 1:
        return shares
    text_of: dict[str, int] = {}
    smallest: dict[int, str] = {}
    for id_, text in queries:
        text_of[id_] = hash_of(id_of(normal_form(str(text))))
        smallest[text_of[id_]] = min(id_, smallest.get(text_of[id_], id_))
    return lambda id_: shares(smallest[text_of[id_]] if id_ in text_of else id_)


class SplitFiles:
    """Files whose queries are shared out, or files that are given split by split.

    Args:
        path: One file or several, shared out by `split`.
        train_path: Training files; a share of their queries validates when there is no `validation_path`.
        validation_path: Validation files.
        test_path: Test files.
        split: Shares of the queries of `path`.
        validation_share: The share of training queries held out for validation.

    Raises:
        UserError: When the shares are wrong, or both `path` and another are given.
    """

    def __init__(
        self,
        path: Paths = None,
        train_path: Paths = None,
        validation_path: Paths = None,
        test_path: Paths = None,
        split: Mapping[str, float] | None = None,
        validation_share: float = 0.1,
    ) -> None:
        given = {"train": train_path, "validation": validation_path, "test": test_path}
        self._by_setting = {"dataset.path": paths(path)} | {f"dataset.{k}_path": paths(v) for k, v in given.items()}
        shares = Shares.of(split or {"test": 1.0})
        train = Shares.all_in("train") if paths(validation_path) else Shares.held_out(validation_share)
        self._shares = dict(
            zip(self._by_setting, (shares, train, Shares.all_in("validation"), Shares.all_in("test")), strict=True)
        )
        if paths(path) and any(map(paths, given.values())):
            raise UserError("dataset.path is given together with a path for one split; give either, not both.")

    def __repr__(self) -> str:
        return f"SplitFiles({self._by_setting}, {self._shares})"

    def __iter__(self) -> Iterator[tuple[Path, Shares]]:
        """Give every file with what decides the splits of its queries.

        Raises:
            UserError: When no file is given or one is missing.
        """
        if not any(self._by_setting.values()):
            existing(None, "dataset.path")
        for setting, files in self._by_setting.items():
            for file in files:
                yield _no_table(existing(file, setting)), self._shares[setting]

    def name(self) -> str | None:
        """Take a dataset's name from its first file: `dev-v1.1.json` is called `dev-v1.1`."""
        for files in self._by_setting.values():
            if files:
                return unpacked(Path(files[0]).name).rpartition(".")[0] or None
        return None

    def announce(self, writer: DatasetWriter) -> None:
        """Tell the writer which splits must not stay empty."""
        for setting, files in self._by_setting.items():
            if files:
                self._shares[setting].announce(writer)


def _no_table(path: Path) -> Path:
    """Refuse a table or a folder, and say what reads it."""
    if path.is_dir() or TABLES.intersection(path.suffixes):
        raise UserError(
            f"{path} is a {'folder' if path.is_dir() else 'table'}; read it with dataset=huggingface dataset.path={path} "
            "dataset.query=COLUMN dataset.document=COLUMN."
        )
    return path


def paths(given: Paths) -> list[str]:
    """Read a setting that may be one path, several, or none."""
    if given is None:
        return []
    return [str(given)] if isinstance(given, str | Path) else [str(path) for path in given]
