"""An experiment on paragraphs: which of them are read in pre-training, trained on in fine-tuning, both, or neither."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.checks import number, one_of, whole_number
from pipeline.data.lines import existing
from pipeline.data.lookup import hash_of
from pipeline.data.normal_form import normal_form
from pipeline.data.renaming import Renaming
from pipeline.data.shares import Paths, paths
from pipeline.data.source import Source
from pipeline.data.squad import Paragraph, read_paragraphs
from pipeline.data.writer import READING, DatasetWriter
from pipeline.errors import UserError

QUARTERS = ("read", "trained", "both", "neither")
VALIDATION = "validation"
UNITS = ("article", "paragraph")
LEAST_UNITS = 5
"""In each quarter; fewer have no interval."""

SALT = b"withheld"
"""Keeps the quarter of an id independent of its place in other orders."""


class Withheld(Source):
    """Paragraphs in four quarters, and test questions of all of them.

    The paragraphs of `read` and `both` are the split `pretraining`, which masked-LM pre-training may read; the training
    questions of `trained` and `both` are the split `train`; the test questions of all four are the split `test`, each in
    the group of its quarter. A few paragraphs aside validate. Every split searches all paragraphs.

    What goes into a quarter is a whole article: its paragraphs share names and facts, so what is told of one would seep
    into another's quarter, and they are each other's hardest rivals in retrieval, so pulling one up pushes another down.
    Where every paragraph stands for itself (posts of a forum), the paragraph does.

    Args:
        path: One file in SQuAD's layout, or several.
        rotation: Moves every unit on by so many roles; over four in a row, each plays each role once.
        unit: What goes into a quarter as a whole: `article` or `paragraph`.
        paragraphs: At most so many, chosen by the hashes of their ids. None: all.
        least_questions: Paragraphs with fewer are left out.
        validation_share: The share of the paragraphs that validate.
        rename_entities: Whether names are replaced by invented ones, in paragraphs, titles and questions alike.
        **settings: Those of every source.

    Raises:
        UserError: When a setting cannot be meant.
    """

    def __init__(
        self,
        *,
        path: Paths = None,
        rotation: int = 0,
        unit: str = "article",
        paragraphs: int | None = None,
        least_questions: int = 4,
        validation_share: float = 0.1,
        rename_entities: bool = False,
        name: str | None = None,
        **settings: Any,
    ) -> None:
        self.files = paths(path)
        self.rotation = whole_number("dataset.rotation", rotation, least=0) % len(QUARTERS)
        self.unit = one_of("dataset.unit", unit, UNITS)
        self.paragraphs = None if paragraphs is None else whole_number("dataset.paragraphs", paragraphs)
        self.least_questions = whole_number("dataset.least_questions", least_questions, least=2)
        self.validation_share = number("dataset.validation_share", validation_share, above=True)
        if self.validation_share >= 1:
            raise UserError(f"dataset.validation_share={validation_share} must be below 1.")
        if not isinstance(rename_entities, bool):
            raise UserError(f"dataset.rename_entities={rename_entities} must be true or false.")
        self.rename_entities = rename_entities
        stem = Path(self.files[0]).stem if self.files else "withheld"
        super().__init__(name=name or stem + ("-renamed" if rename_entities else ""), **settings)

    def inputs(self) -> list[Path]:
        """Give the files."""
        if not self.files:
            existing(None, "dataset.path")
        return [existing(path, "dataset.path") for path in self.files]

    def write(self, writer: DatasetWriter) -> None:
        """Deal the paragraphs into quarters, and write what each quarter gives to each split."""
        everything = _merged(paragraph for path in self.inputs() for paragraph in read_paragraphs(path))
        chosen = self._chosen(everything, writer)
        units = {id_: paragraph.title if self.unit == "article" else id_ for id_, paragraph in chosen.items()}
        roles = self._roles(Counter(units.values()))
        if self.rename_entities:
            chosen = _renamed(chosen, everything, writer)
        writer.split(READING, READING, searched=False)
        for id_, paragraph in chosen.items():
            _write(id_, paragraph, roles[units[id_]], units[id_], writer)
        writer.note("paragraphs", dict(Counter(roles[unit] for unit in units.values())))
        writer.note(f"{self.unit}s", dict(Counter(roles.values())))
        writer.note("rotation", self.rotation)

    def _chosen(self, everything: dict[str, Paragraph], writer: DatasetWriter) -> dict[str, Paragraph]:
        """Leave out paragraphs with too few questions, and those beyond the number asked for."""
        enough = [id_ for id_, paragraph in everything.items() if len(paragraph.questions) >= self.least_questions]
        writer.count("paragraphs_with_too_few_questions", len(everything) - len(enough))
        kept = set(sorted(enough, key=_place)[: self.paragraphs])
        return {id_: everything[id_] for id_ in enough if id_ in kept}

    def _roles(self, sizes: Counter[str]) -> dict[str, str]:
        """Deal units, in the order of their hashes, first to validation, then to the quarter with fewest paragraphs.

        Args:
            sizes: Paragraphs of each unit.

        Returns:
            From unit to quarter, or to `validation`.

        Raises:
            UserError: When some quarter would have too few units.
        """
        roles: dict[str, str] = {}
        held = [0] * len(QUARTERS)
        aside = 0
        for unit in sorted(sizes, key=_place):
            if aside < self.validation_share * sizes.total():
                roles[unit] = VALIDATION
                aside += sizes[unit]
                continue
            place = held.index(min(held))
            held[place] += sizes[unit]
            roles[unit] = QUARTERS[(place + self.rotation) % len(QUARTERS)]
        fewest = min(list(roles.values()).count(quarter) for quarter in QUARTERS)
        if fewest < LEAST_UNITS:
            otherwise = ", or dataset.unit=paragraph where every paragraph stands for itself"
            raise UserError(
                f"The {self.unit}s of {self.name} ({len(sizes)}) leave {fewest} to a quarter, and {LEAST_UNITS} are the "
                f"least that can be compared; give more files or paragraphs{otherwise * (self.unit == 'article')}."
            )
        return roles


def _merged(paragraphs: Iterable[Paragraph]) -> dict[str, Paragraph]:
    """Put the questions of equal texts together by the first one's id; a question asked twice of a text is asked once.

    Raises:
        UserError: When a text is none.
    """
    found: dict[str, Paragraph] = {}
    ids: dict[str, str] = {}
    for paragraph in paragraphs:
        for text in (paragraph.text, *(question for _, question in paragraph.questions)):
            if not isinstance(text, str):
                raise UserError(f"{paragraph.where}: {text!r} stands where a text is expected; mend the file.")
        id_ = ids.setdefault(normal_form(paragraph.text), paragraph.id)
        before = found.get(id_, replace(paragraph, questions=[]))
        asked = {normal_form(question[1]): question for question in reversed(paragraph.questions)}
        known = {normal_form(question) for _, question in before.questions}
        new = [pair for words, pair in reversed(asked.items()) if words not in known]
        found[id_] = replace(before, questions=[*before.questions, *new])
    return found


def _renamed(
    chosen: dict[str, Paragraph], everything: dict[str, Paragraph], writer: DatasetWriter
) -> dict[str, Paragraph]:
    """Rename entities; all paragraphs say what is a name, so that a name is the same however many are chosen."""
    others = [text for one in everything.values() for text in (one.title, *(question for _, question in one.questions))]
    renaming = Renaming([paragraph.text for paragraph in everything.values()], others)
    writer.note("renamed_entities", len(renaming.names))
    return {
        id_: replace(
            paragraph,
            title=renaming(paragraph.title),
            text=renaming(paragraph.text),
            questions=[(question_id, renaming(question)) for question_id, question in paragraph.questions],
        )
        for id_, paragraph in chosen.items()
    }


def _write(id_: str, paragraph: Paragraph, role: str, unit: str, writer: DatasetWriter) -> None:
    """Write a paragraph and those of its questions that its role gives to some split."""
    where = paragraph.where
    writer.document(id_, paragraph.text, paragraph.title, where=where)
    if role in ("read", "both"):
        writer.document(id_, paragraph.text, paragraph.title, collection=READING, where=where)
    questions = sorted(paragraph.questions, key=lambda question: _place(question[0]))
    half = len(questions) // 2
    train, test = questions[:half], questions[half:]
    splits = {"validation": questions} if role == VALIDATION else {"test": test}
    if role in ("trained", "both"):
        splits["train"] = train
    for split, asked in splits.items():
        for question_id, question in asked:
            writer.query(split, question_id, question, where=where)
            writer.judge(split, question_id, id_, 1, where=where)
            if split == "test":
                writer.group(split, question_id, role, unit)


def _place(id_: str) -> int:
    return hash_of(id_, SALT)
