import json
from dataclasses import replace

from pipeline.data.withheld import QUARTERS
from pipeline.evaluation.results import QUARTERS_HEADER
from pipeline.files import write_csv
from pipeline.reporting import before_and_after, main_table
from pipeline.reporting.cells import Cells
from pipeline.reporting.reading import read_folders
from pipeline.reporting.section import interval_words
from pipeline.reporting.withheld import section
from tests.reporting.planted import plant_run
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


def test_too_few_articles_for_intervals_are_said_to_be(tmp_path):
    made = section(cells_of([planted_pair(tmp_path, 0, TRAINED, articles=12)]))
    assert all("no intervals, for which 5 are needed, so that nothing can be told" in said for said in made.findings)
    assert "at least 3 articles in a quarter" in made.findings[0] and "cannot be told" in made.findings[0]
    assert any("there are no intervals, because some quarter has 3 articles" in note for note in made.notes)
    assert all("Without intervals: fewer than 5 articles" in table.note for table in made.tables)
    enough = section(cells_of([planted_pair(tmp_path / "more", 0, TRAINED)]))
    assert "no interval" not in " ".join([*enough.findings, *enough.notes])


def test_which_weights_were_scored_is_said(tmp_path):
    assert "best on validation" in section(cells_of([planted_pair(tmp_path)])).notes[0]


def plant_rotation(folder, rotation):
    run = plant_run(folder / str(rotation), seed=rotation)
    metrics = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").write_text(json.dumps({**metrics, "fingerprint": f"rotation {rotation}"}))
    rows = [(f"q{number}", f"p{number}", QUARTERS[number % 4], f"a{number}") for number in range(40)]
    write_csv(run / "quarters.csv", QUARTERS_HEADER, rows)


def test_rotations_are_in_tables_but_in_no_finding_of_other_sections(tmp_path):
    plant_rotation(tmp_path, 0)
    alone = read_folders([tmp_path])
    assert main_table.section(alone).findings and before_and_after.section(alone).findings
    for rotation in (1, 2, 3):
        plant_rotation(tmp_path, rotation)
    cells = read_folders([tmp_path])
    results = main_table.section(cells)
    assert len(results.tables) == 4 and results.findings == []
    assert results.notes[-1].startswith("4 of the tables are of withheld facts")
    assert before_and_after.section(cells).findings == []


def test_findings_on_many_datasets_are_few(tmp_path):
    for number in range(9):
        plant_run(tmp_path / str(number), dataset=f"dataset {number}")
    findings = main_table.section(read_folders([tmp_path])).findings
    assert len(findings) == main_table.MOST_FINDINGS + 1
    assert findings[-1] == "3 more of this kind, less telling, are in the tables."
