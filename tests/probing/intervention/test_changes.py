"""Rows of changes are means with intervals over clusters, tested and corrected, and contrasts of the same queries."""

import numpy as np
import pytest

from pipeline.evaluation.significance import fisher, holm
from pipeline.probing.intervention.changes import AFFECTED, CONTROL, Change, change_rows, joined


@pytest.fixture
def changes():
    generator = np.random.default_rng(0)
    clusters = np.repeat(np.arange(8), 3)
    before = generator.random((24, 2))
    ids = [str(number) for number in range(24)]
    # One shift for each cluster: rows of a cluster say the same thing three times.
    shift = -0.3 + 0.05 * generator.standard_normal(8)[clusters][:, None]
    return {
        ("attributed", AFFECTED): Change(before, before + shift, ids, clusters),
        ("attributed", CONTROL): Change(before, before + 0.0, ids, clusters),
        ("random", AFFECTED): Change(before, before - 0.1, ids, clusters),
        ("random", CONTROL): Change(before, before - 0.1, ids, clusters),
    }


def test_rows_are_means_over_queries_tested_over_clusters(changes):
    rows = change_rows(changes, ["ndcg@10", "mrr@10"])
    assert [(row["selection"], row["group"]) for row in rows[:6]] == [
        *changes,
        ("attributed − random", AFFECTED),
        ("attributed − random", CONTROL),
    ]
    for row, (_, change) in zip(rows, changes.items(), strict=False):
        before, after = change.before[:, 0], change.after[:, 0]
        assert row["change"] == pytest.approx((after - before).mean())
        by_cluster = [values.reshape(8, 3).mean(axis=1) for values in (before, after)]
        assert row["p_value"] == pytest.approx(fisher(*by_cluster))
        assert (row["queries"], row["clusters"]) == (24, 8)
    contrast = rows[4]
    assert contrast["change"] == pytest.approx(rows[0]["change"] - rows[2]["change"])
    assert contrast["high"] < 0
    for start in (0, 6):
        block = rows[start : start + 6]
        assert [row["p_corrected"] for row in block] == holm([row["p_value"] for row in block])
    assert rows[0]["p_value"] == pytest.approx(2 / 2**8)  # eight clusters of one sign


def test_rows_of_one_cluster_do_not_make_an_interval_narrower(changes):
    change = changes["attributed", AFFECTED]
    alone = Change(change.before, change.after, change.queries, np.arange(24))
    widths = []
    for one in (change, alone):
        row = change_rows({("attributed", AFFECTED): one}, ["ndcg@10"])[0]
        widths.append(row["high"] - row["low"])
    assert widths[0] > 1.3 * widths[1]


def test_changes_are_put_after_each_other(changes):
    change = changes["attributed", AFFECTED]
    parts = [change.only(np.arange(10)), change.only(np.arange(10, 24))]
    whole = joined(parts)
    assert whole.queries == change.queries
    assert np.array_equal(whole.after, change.after) and np.array_equal(whole.clusters, change.clusters)
