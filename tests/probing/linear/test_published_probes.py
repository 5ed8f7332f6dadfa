"""The published curves come with the package."""

import csv

import pytest

from pipeline.errors import UserError
from pipeline.probing.linear.published_probes import published_curves, published_probes
from tests.conftest import ROOT


def test_all_sixty_four_curves_are_there():
    curves = published_probes()
    assert sum(len(by_count) for by_count in curves.values()) == 64
    assert published_curves("nq/cls/bert")[2][0] == 0.500919
    assert len(published_curves("msmarco/eos/repllama")[5]) == 33


def test_they_are_those_of_the_reference():
    reference = ROOT.parent / "shared" / "reference" / "linear_probe_published.csv"
    if not reference.exists():
        pytest.skip("the published figures are not beside this checkout")
    with open(reference, newline="") as file:
        for row in csv.DictReader(file):
            curve = published_curves(f"{row['dataset']}/{row['pooling']}/{row['model']}")[int(row["passages"])]
            assert curve[int(row["layer"])] == float(row["accuracy"])


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UserError, match="did you mean nq/cls/bert"):
        published_curves("nq/cls/brt")
