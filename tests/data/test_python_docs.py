import gc
import os
import sysconfig
from collections import Counter

import pytest

from pipeline.data.python_docs import PythonDocs
from pipeline.errors import UserError
from tests.data.conftest import write_text

COLOURS = [
    "amber",
    "blue",
    "coral",
    "denim",
    "ebony",
    "fawn",
    "green",
    "hazel",
    "ivory",
    "jade",
    "khaki",
    "lilac",
    "mauve",
    "navy",
    "olive",
    "peach",
]


def function(subject, number):
    """Source of a function whose documentation shares few words with any other's."""
    words = [COLOURS[(number * step + len(subject)) % 16] + f"{subject}{number + step}" for step in range(1, 15)]
    return f'def f{number}():\n    """Handle the {subject} of case {number}. {" ".join(words).capitalize()}."""\n\n\n'


@pytest.fixture
def installation(tmp_path):
    library, packages = tmp_path / "library", tmp_path / "packages"
    write_text(library / "core.py", "".join(function("core", n) for n in range(20)))
    write_text(library / "test" / "test_core.py", function("hidden", 1))
    write_text(packages / "broken" / "bad.py", "def f(:\n")
    write_text(packages / "copied" / "core.py", function("core", 3))
    for package in range(12):
        for file in range(3):
            text = "".join(function(f"p{package}x{file}", n) for n in range(5))
            write_text(packages / f"package{package}" / "inner" / f"file{file}.py", text)
    return {"library": str(library), "packages": str(packages)}


def test_packages_never_cross_splits(opened, installation):
    dataset = opened(PythonDocs(**installation, validation_share=0.3))
    tops = {name: {id_.split("/")[0] for id_ in split.documents.ids()} for name, split in dataset.splits.items()}
    assert {top.split(":")[0] for top in tops["test"]} == {"core.py"}
    assert not tops["train"] & tops["validation"]
    assert len(tops["train"] | tops["validation"]) == 12
    assert dataset.notes["queries"]["test"] == 20
    assert dataset.notes["dropped_repeated_queries"] == 1
    assert dataset.notes["files_that_do_not_parse"] == 1
    split = dataset.split("test")
    for query, grades in split.judgements.items():
        assert query == "query:" + next(iter(grades))
    [query] = split.queries.take(split.queries.positions(["query:core.py:f7"]))
    assert query == "Handle the core of case 7."
    assert gc.isenabled()


def test_no_package_gives_more_than_its_share(opened, installation):
    whole = opened(PythonDocs(**installation, validation_share=0.3)).split("train")
    few = opened(PythonDocs(**installation, validation_share=0.3, pairs_per_package=6)).split("train")
    counts = Counter(id_.split("/")[0] for id_ in few.documents.ids())
    assert set(counts.values()) == {10}, "whole files are taken, until there are six"
    assert set(few.documents.ids()) < set(whole.documents.ids())


def test_the_same_installation_gives_the_same_dataset(tmp_path, opened, installation):
    first = opened(PythonDocs(**installation))
    moved = {}
    for what, folder in installation.items():
        moved[what] = str(tmp_path / f"moved-{what}")
        os.rename(folder, moved[what])  # noqa: PTH104
    second = opened(PythonDocs(**moved))
    assert second.fingerprint == first.fingerprint
    assert second.notes["sources_fingerprint"] == first.notes["sources_fingerprint"]


def test_a_changed_source_changes_the_fingerprint(opened, installation):
    first = opened(PythonDocs(**installation))
    with open(os.path.join(installation["library"], "core.py"), "a") as file:  # noqa: PTH118
        file.write(function("fresh", 40))
    second = opened(PythonDocs(**installation))
    assert second.notes["sources_fingerprint"] != first.notes["sources_fingerprint"]
    assert len(second.split("test").documents) == 21


def test_bad_settings_are_refused():
    with pytest.raises(UserError, match=r"pairs_per_package is .*0"):
        PythonDocs(pairs_per_package=0)
    with pytest.raises(UserError, match="validation_share"):
        PythonDocs(validation_share=1.5)


def test_the_real_standard_library(opened, installation):
    dataset = opened(PythonDocs(packages=installation["packages"], validation_share=0.3))
    test = dataset.split("test")
    assert 2000 < len(test.documents) < 6000
    ids = test.documents.ids()
    assert not [id_ for id_ in ids if id_.startswith(("test/", "idlelib/", "site-packages/"))]
    documents, queries = test.documents.take(slice(None)), test.queries.take(slice(None))
    assert not [n for n, query in enumerate(queries) if query in documents[n]]
    assert len({query.lower() for query in queries}) == len(queries)
    assert PythonDocs().library == sysconfig.get_path("stdlib")
