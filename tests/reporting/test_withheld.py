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
    assert "fine-tuning on questions about one article raises MRR@10 of other questions about it by +0." in trained
    assert interval_words(effects["trained on"], signed=True) in trained
    assert "576 test questions, at least 12 articles in a quarter, 4 seeds" in trained
    assert "having been read by the masked-LM step cannot be told to raise or lower MRR@10" in read
    assert interval_words(effects["read, after"], signed=True) in read
    assert "having been trained on is worth more than having been read (+0." in both
    assert "whether both together are worth more or less than their sum cannot be told" in both
    assert len(made.tables[0].rows) == 4 and made.charts[0].svg.startswith("<svg")
    notes = " ".join(made.notes)
    assert (
        "from 8.00 to 5.00 nats" in notes
        and "alone: 7.00), and ended at 4.00 on what it read" in notes
        and "rename_entities=true" in notes
    )
    assert "rotations;" not in notes and "did not learn" not in notes and "no twin" not in notes


def test_variants_are_apart_and_doubts_are_noted(tmp_path):
    pairs = [planted_pair(tmp_path, renamed=renamed, learned=not renamed) for renamed in (False, True)]
    alone = planted_pair(tmp_path / "more", rotation=1).after
    made = section(Cells([*cells_of(pairs), alone]))
    assert len(made.findings) == 6 and len(made.tables) == 4
    assert len({table.name for table in made.tables}) == 4
    assert {finding.split(":")[0] for finding in made.findings} == {"facts", "facts-renamed"}
    notes = " ".join(made.notes)
    assert "facts: 1 of 4 rotations" in notes
    assert "facts-renamed: in 1 of 1 seed the masked-LM step did not learn" in notes
    assert "after-1-False has no twin without the masked-LM step." in notes
    assert "one seed, another may differ" in made.findings[0]
    assert "read by" in made.findings[1] and "did not clearly learn more than word frequencies" in made.findings[4]


def test_runs_on_other_data_make_no_section(tmp_path):
    pair = planted_pair(tmp_path)
    for cell in (pair.without, pair.after):
        (cell.folder / "quarters.csv").unlink()
    assert section(cells_of([pair])) is None


def test_twins_alone_are_named(tmp_path):
    made = section(Cells([replace(planted_pair(tmp_path).without, name="lonely")]))
    assert made.findings == [] and made.charts == []
    assert made.notes == ["lonely has no twin with the masked-LM step."]
