"""Names: every path has one of its own, as every file has, on any file system."""

from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.evaluation.models import find_models
from pipeline.evaluation.names import HYBRID, RESERVED, distinct_names, file_labels, require_file_names, require_once


def named(*files: str) -> list[str]:
    return distinct_names(file_labels([Path(file) for file in files]))


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["a b.trec", "a_b.trec"], ["a_b_2", "a_b"]),
        (["a b", "a_b", "a_b_2"], ["a_b_3", "a_b", "a_b_2"]),
        (["a/r.trec", "b/r.trec", "a_r.trec"], ["a_r_2", "b_r", "a_r"]),
        (["x/a/r", "x/b/r", "y/b/r", "s"], ["a_r", "x_b_r", "y_b_r", "s"]),
        (["input.first", "input.second", "input.third.gz", "r.trec.xz"], ["first", "second", "third", "r"]),
        (["run.first", "run.second"], ["run.first", "run.second"]),
        (["r.trec", "r.run", "r.trec.gz"], ["r.trec", "r.run", "r.trec.gz"]),
        (["results.test"], ["results"]),
        (["input."], ["input."]),
        (["BM25.trec", "bm25.trec"], ["BM25", "bm25_2"]),
        (["e\u0301.trec", "\u00e9.trec"], ["e\u0301", "\u00e9_2"]),  # one letter, written in two ways
    ],
)
def test_every_file_has_a_name_of_its_own(files, names):
    assert named(*files) == names


def test_one_file_under_two_paths_is_refused(tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "plain.trec").touch()
    (tmp_path / "link.trec").symlink_to(tmp_path / "r" / "plain.trec")
    paths = [tmp_path / "r" / "plain.trec", tmp_path / "r" / ".." / "r" / "plain.trec", tmp_path / "link.trec"]
    for other in paths[1:]:
        with pytest.raises(UserError, match="again, by another path; name it once"):
            require_once([paths[0], other])
    require_once([paths[0], tmp_path / "r"])


def test_names_that_results_use_themselves_are_reserved():
    forms = ("{}", HYBRID)
    paths = [Path("sweep/bm25"), Path("Dense"), Path("x+bm25"), Path("x")]
    assert distinct_names(paths, RESERVED, forms) == ["sweep_bm25", "Dense_2", "x+bm25", "x_2"]
    assert distinct_names(paths[::-1], RESERVED, forms) == ["x", "x+bm25_2", "Dense_2", "sweep_bm25"]


def test_a_model_called_bm25_is_called_by_its_folder_too(tmp_path):
    (tmp_path / "sweep" / "bm25" / "model").mkdir(parents=True)
    renamed, kept = find_models([f"{tmp_path}/sweep/bm25", "minilm"])
    assert (renamed.name, renamed.keeps_its_name) == ("sweep_bm25", False)
    assert (kept.name, kept.keeps_its_name) == ("minilm", True)


def test_a_path_given_twice_is_refused():
    with pytest.raises(UserError, match=r"a/r\.trec is given twice; name it once"):
        named("a/r.trec", "b/r.trec", "a/r.trec")


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["a", "A"], "models.a and models.A would share files; give them other names."),
        (["../a"], "models.../a becomes a file's name; use letters, digits, - and _ in it."),
    ],
)
def test_names_that_share_a_file_or_have_none_are_refused(names, sentence):
    require_file_names("models", ["base", "tuned model", "b+c.d"])
    with pytest.raises(UserError) as refused:
        require_file_names("models", names)
    assert str(refused.value) == sentence
