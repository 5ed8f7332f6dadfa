"""What a user names on the command line, and what it means."""

import pytest

from pipeline.errors import UserError
from pipeline.evaluation.models import find_models


def test_a_star_stands_for_all_folders_that_match(tmp_path):
    for name in ("static", "first_2"):
        (tmp_path / "sweep" / name / "model").mkdir(parents=True)
    (tmp_path / "sweep" / "cells.csv").touch()
    found = find_models([f"{tmp_path}/sweep/*", "minilm"])
    assert [model.name for model in found] == ["first_2", "static", "minilm"]
    assert found[0].folder == tmp_path / "sweep" / "first_2" / "model"


def test_a_star_that_matches_nothing_is_refused(tmp_path):
    with pytest.raises(UserError, match="no folder matches"):
        find_models([f"{tmp_path}/*"])
