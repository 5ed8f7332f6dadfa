from dataclasses import replace

from pipeline.reporting.cells import Cells
from pipeline.reporting.section import interval_words
from pipeline.reporting.withheld import section
from tests.reporting.planted_quarters import planted_pair

TRAINED = {("trained", "fine-tuned"): 0.3, ("trained", "masked-LM, fine-tuned"): 0.3}


def cells_of(pairs):
    return Cells([cell for pair in pairs for cell in (pair.without, pair.after)])


def test_findings_say_what_is_told_and_what_is_not(tmp_path):
    made = section(cells_of([planted_pair(tmp_path, rotation, TRAINED) for rotation in range(4)]))
    trained, read, both = made.findings
    effects = {row["effect"]: row["MRR@10"] for row in made.tables[1].rows}
    assert "questions raises other questions" in trained
    assert interval_words(effects["trained on"], signed=True) in trained
    assert "576 test questions, at least 12 articles in a quarter, 4 seeds" in trained
    assert "cannot be told to change a part's questions" in read
    assert interval_words(effects["read, after fine-tuning"], signed=True) in read
    assert "both together are" in both and "beyond the sum of each alone" in both
    assert len(made.tables[0].rows) == 4 and made.charts[0].svg.startswith("<svg")
    notes = " ".join(made.notes)
    assert "from 3.00 to 2.00 nats" in notes and "rename_entities=true" in notes
    assert "rotations;" not in notes and "word frequencies" not in notes and "no twin" not in notes


def test_variants_are_apart_and_doubts_are_noted(tmp_path):
    pairs = [planted_pair(tmp_path, renamed=renamed, learned=not renamed) for renamed in (False, True)]
    alone = planted_pair(tmp_path / "more", rotation=1).after
    made = section(Cells([*cells_of(pairs), alone]))
    assert len(made.findings) == 6 and len(made.tables) == 4
    assert len({table.name for table in made.tables}) == 4
    assert {finding.split(":")[0] for finding in made.findings} == {"facts", "facts-renamed"}
    notes = " ".join(made.notes)
    assert "facts: 1 of 4 rotations" in notes
    assert "facts-renamed: before after-0-True the masked-LM step did not learn" in notes
    assert "after-1-False has no twin without the masked-LM step." in notes
    assert "one seed, another may differ" in made.findings[0]


def test_runs_on_other_data_make_no_section(tmp_path):
    pair = planted_pair(tmp_path)
    for cell in (pair.without, pair.after):
        (cell.folder / "quarters.csv").unlink()
    assert section(cells_of([pair])) is None


def test_twins_alone_are_named(tmp_path):
    made = section(Cells([replace(planted_pair(tmp_path).without, name="lonely")]))
    assert made.findings == [] and made.charts == []
    assert made.notes == ["lonely has no twin with the masked-LM step."]
