"""The main table: one row a configuration, with intervals and what it is significantly better than."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.evaluation.report import LETTERS
from pipeline.evaluation.significance import Significance, compare
from pipeline.evaluation.training_words import MARKS
from pipeline.reporting.cells import Cells, Group
from pipeline.reporting.configurations import Configuration, configurations
from pipeline.reporting.estimates import interval_of
from pipeline.reporting.plurals import counted, counted_queries
from pipeline.reporting.quarters import rotations
from pipeline.reporting.section import Section, Table, interval_words
from pipeline.reporting.words import COVERS, Finding, basis, measure_words, most_telling, signed, strength

ALL_PAIRS = 10
"""Up to so many systems every two are compared; of more, all with a few, so that Holm's correction leaves something to be
seen; see `_references`."""

MOST_FINDINGS = 6
NARROW = "Questions on one paragraph count as independent here, which makes intervals somewhat narrow."
ROTATIONS = (
    "{count} of the tables are of withheld facts: each rotation tests other questions, and is a dataset of its own. What "
    "they say together is under “Withheld facts”; alone they are in no finding."
)


def section(cells: Cells) -> Section | None:
    """Tabulate every group of comparable cells."""
    groups = cells.groups()
    if not groups:
        return None
    apart = [group.title for group in rotations(cells)]
    made = [_table(group, number) for number, group in enumerate(groups, start=1)]
    findings = [
        said for group, (_, found) in zip(groups, made, strict=True) if group.title not in apart for said in found
    ]
    return Section(
        "Results",
        findings=most_telling(findings, MOST_FINDINGS),
        tables=[table for table, _ in made],
        notes=[COVERS, NARROW, *([ROTATIONS.format(count=len(apart))] if apart else [])],
    )


def _table(group: Group, number: int) -> tuple[Table, list[Finding]]:
    found = [*_lexical(group), *configurations(group)]
    references = _references(found, group.measures[0]) if len(found) > ALL_PAIRS else {}
    significance = _compared(found, group.measures[0], references)
    letters = {name: _letter(place) for place, name in enumerate(_keys(found))}
    rows = []
    for one, key in zip(found, letters, strict=True):
        beaten = significance.beaten_by(key, group.measures[0]) if significance else []
        rows.append(_row(one, group, letters[key], "".join(letters[other] for other in beaten), found))
    table = Table(
        f"results-{number}",
        group.title,
        rows,
        _note(significance, group, references),
        digits={"sd over seeds": 4, "recall of exact search": 4},
        best=[measure_words(measure) for measure in group.measures],
    )
    return table, _findings(found, group, significance, references)


def _lexical(group: Group) -> list[Configuration]:
    """Give BM25 once for each way in which it scored."""
    different: dict[bytes, Configuration] = {}
    for cell in group.cells:
        if "bm25" in cell.scores:
            values = cell.values("bm25", group.measures[0])
            different.setdefault(values.tobytes(), Configuration({}, [cell], "bm25"))
    return list(different.values())


def _keys(found: Sequence[Configuration]) -> list[str]:
    return [str(place) for place in range(len(found))]


def _letter(place: int) -> str:
    """Name a row: a to z without q, then aa, ab and so on."""
    first, second = divmod(place, len(LETTERS))
    return (LETTERS[first - 1] if first else "") + LETTERS[second]


def _references(found: Sequence[Configuration], measure: str) -> dict[int, str]:
    """Choose what all others are compared with where every pair would be too many.

    Returns:
        The places of the highest encoder, of BM25 and of the highest encoder without training, as far as there are any,
        and what they are called.
    """
    ranked = _ranked(found, measure)
    kinds = {
        "the highest encoder": [place for place in ranked if found[place].system != "bm25"],
        "BM25": [place for place in ranked if found[place].system == "bm25"],
        "the highest encoder without training": [place for place in ranked if _is_untrained(found[place])],
    }
    chosen: dict[int, str] = {}
    for words, places in kinds.items():
        if places:
            chosen.setdefault(places[0], words)
    return chosen


def _ranked(found: Sequence[Configuration], measure: str) -> list[int]:
    return sorted(range(len(found)), key=lambda place: -float(found[place].values(measure).mean()))


def _is_untrained(one: Configuration) -> bool:
    return one.system == "dense" and one.cells[0].training.get("steps") == 0


def _compared(found: Sequence[Configuration], measure: str, references: Mapping[int, str]) -> Significance | None:
    if len(found) < 2:
        return None
    scores = {key: one.scores([measure]) for key, one in zip(_keys(found), found, strict=True)}
    if not references:
        return compare(scores)
    pairs = dict.fromkeys(
        (str(min(one, other)), str(max(one, other)))
        for one in references
        for other in range(len(found))
        if other != one
    )
    return compare(scores, pairs=[*pairs])


def _row(one: Configuration, group: Group, letter: str, beaten: str, found: Sequence[Configuration]) -> dict[str, Any]:
    columns = dict.fromkeys(column for other in found for column in other.settings)
    row: dict[str, Any] = {"": letter}
    if "system" not in columns and any(other.system == "bm25" for other in found):
        row["system"] = one.system
    row |= {column: one.settings.get(column, one.system if column == "system" else "") for column in columns}
    if any(other.seeds > 1 for other in found):
        row["seeds"] = _seeds(one)
    for place, measure in enumerate(group.measures):
        row[measure_words(measure)] = one.interval(measure)
        if place == 0:
            row["better than"] = beaten
            row |= _spread(one, measure, found)
    return row | _beside(one, group.measures[0], found)


def _spread(one: Configuration, measure: str, found: Sequence[Configuration]) -> dict[str, float | None]:
    if all(other.seeds == 1 for other in found):
        return {}
    return {"sd over seeds": one.spread(measure)}


def _beside(one: Configuration, measure: str, found: Sequence[Configuration]) -> dict[str, Any]:
    """Give the hybrid's score, how much of exact search an approximate index found, and how many seeds ended ill."""
    row: dict[str, Any] = {}
    if any(other.system == "dense" and other.has("hybrid") for other in found):
        there = one.system == "dense" and one.has("hybrid")
        row[f"hybrid {measure_words(measure)}"] = one.interval(measure, "hybrid") if there else None
    if any(other.recall is not None for other in found):
        row["recall of exact search"] = one.recall
    for mark, words in MARKS.items():
        if any(other.ended(mark) for other in found):
            row[words] = f"{one.ended(mark)} of {one.seeds}" if one.ended(mark) else "no"
    return row


def _note(significance: Significance | None, group: Group, references: Mapping[int, str]) -> str:
    if significance is None:
        return f"{counted_queries(group.queries)}."
    named = ", ".join(f"{_letter(place)} ({words})" for place, words in references.items())
    caption = significance.caption(f"of all others with {named}" if named else None)
    return (
        f"{counted_queries(group.queries)}. Better than: rows that this one is significantly above in {measure_words(group.measures[0])}, "
        f"the seeds' mean by query ({caption})."
    )


def _findings(
    found: Sequence[Configuration], group: Group, significance: Significance | None, references: Mapping[int, str]
) -> list[Finding]:
    """Say which row is the highest and which others it can be told from; of encoders alone too, below BM25.

    Of many rows, too, how many are above and below the others that all were compared with.
    """
    if significance is None:
        return []
    ranked = _ranked(found, group.measures[0])
    encoders = [place for place in ranked if found[place].system != "bm25"]
    findings = [_highest(found, ranked, group, significance, "the highest")]
    if len(encoders) > 1 and ranked[0] != encoders[0]:
        findings.append(_highest(found, encoders, group, significance, "of the encoders the highest"))
    others = [place for place in references if place not in (ranked[0], *encoders[:1])]
    return [*findings, *(_set_against(found, encoders, group, significance, place) for place in others)]


def _set_against(
    found: Sequence[Configuration], encoders: Sequence[int], group: Group, significance: Significance, place: int
) -> Finding:
    """Say how many encoders are above and below one row, and by how much the highest of them is."""
    measure, one = group.measures[0], found[place]
    others = [other for other in encoders if other != place]
    above = sum(str(place) in significance.beaten_by(str(other), measure) for other in others)
    below = len({*significance.beaten_by(str(place), measure)} & {*map(str, others)})
    gap = interval_of(found[others[0]].values(measure) - one.values(measure))
    sentence = (
        f"{group.title}: of {counted(len(others), 'encoder')}, {above} {'is' if above == 1 else 'are'} significantly above "
        f"{_called(one)}, {measure_words(measure)} {interval_words(one.interval(measure))}, and {below} below (Holm); the highest is "
        f"{_called(found[others[0]])} ({signed(gap)})."
    )
    return Finding(sentence, strength(gap), place=1)


def _highest(
    found: Sequence[Configuration], ranked: Sequence[int], group: Group, significance: Significance, which: str
) -> Finding:
    measure = group.measures[0]
    first, second = found[ranked[0]], found[ranked[1]]
    gap = interval_of(first.values(measure) - second.values(measure))
    beaten = {*significance.beaten_by(str(ranked[0]), measure)} & {*map(str, ranked)}
    others = len(ranked) - 1
    many = "all" if len(beaten) == others else str(len(beaten) or "none")
    above = f"significantly above {many} of {others} others (Holm), " if others > 1 else ""
    apart = "" if str(ranked[1]) in beaten else "and not above the next, " if above else "not significantly above "
    next_one = apart or ("next " if above else "significantly above ")
    return Finding(
        f"{group.title}: {which} {measure_words(measure)} is that of {_called(first)}, "
        f"{interval_words(first.interval(measure))} ({basis(group, _seeds(first))}): {above}{next_one}{_called(second)} ({signed(gap)}).",
        strength(gap),
    )


def _called(one: Configuration) -> str:
    return "BM25" if one.system == "bm25" else one.name


def _seeds(one: Configuration) -> int | None:
    """Count seeds; BM25 draws nothing, and of an evaluation's models they are not known."""
    return one.seeds if one.system == "dense" and one.cells[0].training else None
