import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, precision_recall_fscore_support

from ukb_brain.statistics.scores.published_intervals import (
    NO_R2,
    NO_SIZES,
    class_size,
    published_intervals,
    skill_errors,
    standard_error,
)
from ukb_brain.statistics.settings import Published

N, SMALLER = 601, 83


def cells(kind="binary", seed=0, digits=9):
    """Four cells of a target, as a table of scores has them."""
    rng = np.random.default_rng(seed)
    truth = np.arange(N) < SMALLER
    rows = []
    for at, skill in enumerate((0.0, 0.3, 1.0, 2.0)):
        said = skill * truth + rng.normal(size=N) > 0.5
        said[:] = said if at else False
        p, _, f, _ = precision_recall_fscore_support(truth, said, average="macro", zero_division=0)
        accuracy = balanced_accuracy_score(truth, said)
        row = {"target": "asthma", "inputs": str(at), "kind": kind, "balanced_accuracy": accuracy}
        rows.append(row | {"precision": p, "f1": f, "pearson_r": 0.4, "r2": 0.15})
    return pd.DataFrame(rows).round(digits)


def test_class_sizes_are_read_off_precision_and_f1():
    assert class_size(cells(), N) == SMALLER
    assert class_size(cells(digits=7), N) == SMALLER
    # They are of these test people and of no others, and rough numbers tell nothing.
    assert class_size(cells(), N - 1) is None
    assert class_size(cells(digits=2), N) is None
    assert class_size(cells().assign(f1=np.nan), N) is None


def test_the_standard_error_is_that_of_a_mean_of_two_recalls():
    rng, true = np.random.default_rng(1), 0.7
    recalls = rng.binomial(SMALLER, true, 20_000) / SMALLER
    others = rng.binomial(N - SMALLER, true, 20_000) / (N - SMALLER)
    spread = ((recalls + others) / 2).std()
    assert standard_error(true, SMALLER, N) == pytest.approx(spread, rel=0.02)


def test_bounds_are_normal_for_accuracy_and_fishers_for_r():
    table = published_intervals(cells("continuous"), Published(test_people=N)).set_index(
        ["inputs", "metric"]
    )
    row = table.loc[("3", "balanced_accuracy")]
    reach = 1.959964 * standard_error(row["estimate"], SMALLER, N)
    np.testing.assert_allclose([row["low"], row["high"]], row["estimate"] + [-reach, reach])
    row = table.loc[("0", "pearson_r")]
    r = np.array([0.4] * 2)
    expected = np.tanh(np.arctanh(r) + stats.norm.ppf([0.025, 0.975]) / np.sqrt(N - 3))
    np.testing.assert_allclose([row["low"], row["high"]], expected)
    row = table.loc[("0", "r2")]
    assert np.isnan([row["low"], row["high"]]).all()
    assert row["note"] == NO_R2


def test_without_class_sizes_there_is_no_interval_and_a_reason():
    table = published_intervals(cells(), Published(test_people=N + 1))
    assert table[["low", "high"]].isna().all(axis=None)
    assert set(table["note"]) == {NO_SIZES}
    assert skill_errors(table).isna().all()


def test_errors_of_skill_are_those_of_binary_cells():
    two = pd.concat([cells(), cells("continuous").assign(target="age")])
    errors = skill_errors(published_intervals(two, Published(test_people=N)))
    assert {target for target, _ in errors.index} == {"asthma"}
    mine = cells().set_index("inputs")["balanced_accuracy"]
    expected = [2 * standard_error(value, SMALLER, N) for value in mine]
    np.testing.assert_allclose(errors.to_numpy(), expected)
