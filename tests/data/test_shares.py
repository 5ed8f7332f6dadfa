from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.shares import Shares, SplitFiles, given_splits
from pipeline.errors import UserError

USUAL = {"train": 0.8, "validation": 0.1, "test": 0.1}


def test_shares_are_nearly_kept():
    counts = Counter(map(Shares.of(USUAL), map(str, range(20_000))))
    for name, share in USUAL.items():
        assert abs(counts[name] / 20_000 - share) < 0.01


def test_groups_never_move():
    """Whoever compares two runs trusts that they were tested on the same queries."""
    found = [n for n in range(12) if Shares.of(USUAL)(f"group {n}") == "validation"]
    assert found == [8, 9, 10]


@given(st.text())
def test_order_of_the_setting_does_not_matter(group):
    assert Shares.of(USUAL)(group) == Shares.of(dict(reversed(USUAL.items())))(group)


@given(st.text())
def test_no_group_falls_into_a_share_of_zero(group):
    assert Shares.of({"train": 0, "validation": 0.3, "test": 0.7})(group) != "train"
    assert Shares.all_in("test")(group) == "test"


@pytest.mark.parametrize(
    ("split", "part"),
    [
        ({"train": 0.8, "dev": 0.2}, "'dev'"),
        ({"train": 0.8, "test": 0.1}, "sum to 0.9"),
        ({"train": 1.2, "test": -0.2}, r"dataset\.split\.test is -0\.2"),
        ({"train": "all"}, "'all'"),
    ],
)
def test_bad_shares_are_refused(split, part):
    with pytest.raises(UserError, match=part):
        Shares.of(split)


@pytest.mark.parametrize("share", [1, -0.1, "some", None])
def test_bad_validation_shares_are_refused(share):
    with pytest.raises(UserError, match="validation_share"):
        Shares.held_out(share)


def test_validation_is_held_out_only_where_it_is_missing():
    names = {name: [part for part, _ in shares.shares] for name, shares in given_splits(["train", "test"], 0.2).items()}
    assert names == {"train": ["train", "validation"], "test": ["test"]}
    assert given_splits(["train", "validation"], 0.2)["train"] == Shares.all_in("train")
    assert given_splits(["train"], 0)["train"] == Shares.all_in("train")


def test_files_come_as_a_pool_or_by_split(tmp_path):
    for name in "abc":
        (tmp_path / name).touch()
    pool = SplitFiles(path=[str(tmp_path / "a"), str(tmp_path / "b")], split=USUAL)
    assert [(path.name, shares) for path, shares in pool] == [("a", Shares.of(USUAL)), ("b", Shares.of(USUAL))]
    files = SplitFiles(train_path=str(tmp_path / "a"), test_path=tmp_path / "c")
    assert [(path.name, dict(shares.shares).keys()) for path, shares in files] == [
        ("a", {"train", "validation"}),
        ("c", {"test"}),
    ]
    with pytest.raises(UserError, match="not both"):
        SplitFiles(path=str(tmp_path / "a"), test_path=str(tmp_path / "b"))
    with pytest.raises(UserError, match=r"dataset\.path is not set"):
        list(SplitFiles())
    with pytest.raises(UserError, match=r"\(dataset\.test_path\) does not exist"):
        list(SplitFiles(test_path=str(tmp_path / "d")))
