"""What is published opens as published: the rows of `python -m benchmarks zoo`."""

import pytest

from benchmarks.zoo import checkpoints, collection_cases, folder_cases, run_files


def named(case):
    return case.name


@pytest.mark.parametrize("case", run_files.CASES, ids=named)
def test_run_files_and_judgements(case, tmp_path):
    _, expected, found, right = run_files.row(case, tmp_path)
    assert right, f"{expected}, but {found}"


@pytest.mark.parametrize("case", collection_cases.CASES, ids=named)
def test_collections(case, tmp_path):
    _, expected, found, right = collection_cases.row(case, tmp_path / "collection")
    assert right, f"{expected}, but {found}"


@pytest.mark.slow
@pytest.mark.parametrize("case", folder_cases.CASES, ids=named)
def test_checkpoints(case, tmp_path):
    _, expected, train, evaluate, right = checkpoints.row(case, tmp_path / "folder")
    assert right, f"{expected}, but {train}; {evaluate}"
