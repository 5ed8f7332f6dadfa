import gc
import os
import platform
import sysconfig
from collections import Counter
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pipeline.data.python_docs import PythonDocs, read_list, versions_words
from pipeline.errors import UserError
from tests.conftest import ROOT
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


PACKAGES = [*list(read_list())[1:13]]
"""Twelve of the list, planted."""


def install(folder, package, version, files):
    """Lay a package's files and its record down as an installer does."""
    for place, text in files.items():
        write_text(folder / place, text)
    record = "".join(f"{place},,\n" for place in files)
    information = folder / f"{package.replace('-', '_')}-{version}.dist-info"
    write_text(information / "METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    write_text(information / "RECORD", record)


@pytest.fixture
def installation(tmp_path):
    library, packages = tmp_path / "library", tmp_path / "packages"
    write_text(library / "core.py", "".join(function("core", n) for n in range(20)))
    write_text(library / "test" / "test_core.py", function("hidden", 1))
    for number, package in enumerate(PACKAGES):
        files = {
            f"package{number}/inner/file{file}.py": "".join(function(f"p{number}x{file}", n) for n in range(5))
            for file in range(3)
        }
        if number == 0:
            files |= {"package0/bad.py": "def f(:\n", "package0/copied.py": function("core", 3)}
        install(packages, package, read_list()[package], files)
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


def test_the_list_is_of_what_a_plain_installation_requires():
    listed, plain, further = read_list(), required("requirements.txt"), required("requirements-dev.txt")
    assert next(iter(listed)) == "Python"
    names = {canonicalize_name(name) for name in listed} - {"python"}
    assert len(names) == len(listed) - 1 and names <= plain < further
    pinned = {one.name: str(one.specifier) for one in requirements("requirements.txt") if one.name in listed}
    assert len(pinned) > 15 and pinned == {name: f"=={listed[name]}" for name in pinned}


def test_what_else_is_installed_changes_nothing(opened, installation):
    first = opened(PythonDocs(**installation))
    shared = {"package0/inner/more.py": function("more", 50), "zebra/one.py": function("zebra", 60)}
    install(Path(installation["packages"]), "zebra", "1.0", shared)
    write_text(Path(installation["packages"]) / "package1" / "left_behind.py", function("stray", 70))
    assert opened(PythonDocs(**installation)).fingerprint == first.fingerprint


def test_other_versions_and_missing_packages_are_said(opened, installation):
    packages, listed = Path(installation["packages"]), read_list()
    (dataset, said) = (opened(PythonDocs(**installation)), platform.python_version())
    assert dataset.notes["versions"] == {"Python": said} | {name: listed[name] for name in PACKAGES}
    changed, gone = PACKAGES[2], PACKAGES[5]
    (packages / f"{changed.replace('-', '_')}-{listed[changed]}.dist-info" / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {changed}\nVersion: 0.0.7+local\n"
    )
    (packages / f"{gone.replace('-', '_')}-{listed[gone]}.dist-info" / "RECORD").unlink()
    dataset = opened(PythonDocs(**installation))
    (remark,) = dataset.notes["remarks"]
    assert remark.startswith(f"Docstrings of Python {said} and 11 packages, which the published figures were not made")
    assert f"{changed} 0.0.7 for {listed[changed]}" in remark
    missing = [name for name in listed if name not in PACKAGES or name == gone][1:]
    assert f"{len(missing)} missing ({', '.join(missing[:6])} and {len(missing) - 6} more)." in remark


def test_versions_are_said_those_that_give_most_texts_first():
    listed = {"Python": "3.11.7", "small": "1", "large": "1", "same": "1"}
    given = {"Python": 9, "small": 1, "large": 5, "same": 7}
    assert versions_words(listed, listed, given) == (
        "Docstrings of Python 3.11.7 and 3 packages, all in the versions that the published figures were made with."
    )
    assert versions_words(listed, listed | {"small": "2", "large": "0"}, given) == (
        "Docstrings of Python 3.11.7 and 3 packages, which the published figures were not made with: 2 in another version "
        "(large 0 for 1, small 2 for 1)."
    )


def requirements(file):
    """Read a requirements file and those that it includes."""
    for line in (ROOT / file).read_text().splitlines():
        if line.startswith("-r "):
            yield from requirements(line.removeprefix("-r "))
        elif line and not line.startswith("#"):
            yield Requirement(line)


def required(file):
    """Walk from a requirements file to all that its packages require, by what is installed."""
    waiting, seen = [(one.name, frozenset(one.extras)) for one in requirements(file)], set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        found = next(iter(distributions(name=name)), None)
        for one in map(Requirement, (found and found.requires) or []):
            if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in extras or {""}):
                waiting.append((one.name, frozenset(one.extras)))
    return {canonicalize_name(name) for name, _ in seen}


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
