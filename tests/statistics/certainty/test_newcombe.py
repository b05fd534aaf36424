from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep

from ukb_brain.statistics.certainty.cell_intervals import accuracy_intervals, newcombe_interval
from ukb_brain.statistics.scores.cell_scores import estimate_cells
from ukb_brain.statistics.scores.target_predictions import TargetPredictions


def simulated(kind, rng, n=90, cells=3, folds=1):
    y = (rng.random(n) < 0.4).astype(float) if kind == "binary" else rng.normal(size=n)
    everybody = np.arange(n)
    return TargetPredictions(
        target="invented",
        kind=kind,
        inputs=tuple("abcdefg"[:cells]),
        visit=np.column_stack([everybody, np.full(n, 2)]),
        family=everybody,
        fold=everybody * folds // n,
        y=y,
        predicted=0.5 * y[:, None] + 0.5 * rng.normal(size=(n, cells)),
        threshold=rng.normal(0.2, 0.2, (folds, cells)),
        folds=tuple(range(folds)),
    )


def counted(y, called):
    """True positives, positives, true negatives, negatives."""
    return (y & called).sum(), y.sum(), (~y & ~called).sum(), (~y).sum()


def of_counts(right_pos, n_pos, right_neg, n_neg, level=0.95):
    return newcombe_interval([right_pos, right_neg], [n_pos, n_neg], level)


COUNTS = [(17, 20, 9, 11), (0, 5, 40, 40), (5, 5, 7, 7), (56, 70, 32, 80), (1, 1, 1, 2)]


@pytest.mark.parametrize("counts", COUNTS)
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_it_is_the_interval_of_a_difference_halved(counts, level):
    """Balanced accuracy is (sensitivity - false positive rate + 1) / 2."""
    right_pos, n_pos, right_neg, n_neg = counts
    low, high = of_counts(*counts, level=level)
    expected = confint_proportions_2indep(
        right_pos, n_pos, n_neg - right_neg, n_neg, method="newcomb", alpha=1 - level
    )
    np.testing.assert_allclose((low, high), (np.array(expected) + 1) / 2, rtol=0, atol=1e-12)


def test_many_cells_at_once_are_each_alone_and_an_empty_class_has_none():
    together = of_counts(*np.transpose(COUNTS))
    for at, counts in enumerate(COUNTS):
        alone = of_counts(*counts)
        np.testing.assert_array_equal(alone, [bound[at] for bound in together])
    assert np.isnan(of_counts([0, 3], [0, 4], [5, 0], [6, 0])).all()


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_bounds_enclose_the_score_lie_within_its_range_and_mirror(n_pos, n_neg, data):
    right_pos, right_neg = (data.draw(st.integers(0, n)) for n in (n_pos, n_neg))
    low, high = of_counts(right_pos, n_pos, right_neg, n_neg)
    middle = (right_pos / n_pos + right_neg / n_neg) / 2
    assert -1e-12 <= low <= middle + 1e-12
    assert middle - 1e-12 <= high <= 1 + 1e-12
    assert high > low
    wrong = of_counts(n_pos - right_pos, n_pos, n_neg - right_neg, n_neg)
    np.testing.assert_allclose(wrong, (1 - high, 1 - low), atol=1e-12)


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_one_fold_is_the_interval_of_its_counts(kind):
    table = simulated(kind, np.random.default_rng(0))
    table.predicted[:20, 1] = np.nan
    metric = "balanced_accuracy" if kind == "binary" else "median_split_accuracy"
    found = accuracy_intervals(table, estimate_cells(table)[metric], 0.9)
    for cell, threshold in enumerate(table.threshold[0]):
        there = np.isfinite(table.predicted[:, cell])
        y = table.y[there] > (0 if kind == "binary" else threshold)
        called = table.predicted[there, cell] > threshold
        expected = of_counts(*counted(y, called), 0.9)
        np.testing.assert_allclose([bound[cell] for bound in found], expected, atol=1e-12)


def test_folds_keep_their_thresholds_and_the_interval_lies_about_their_mean():
    table = simulated("binary", np.random.default_rng(1), folds=3)
    estimate = estimate_cells(table)["balanced_accuracy"]
    low, high = accuracy_intervals(table, estimate)
    for cell in range(3):
        called = table.predicted[:, cell] > table.threshold[table.fold, cell]
        counts = counted(table.y > 0, called)
        expected = np.array(of_counts(*counts))
        pooled = (counts[0] / counts[1] + counts[2] / counts[3]) / 2
        assert abs(estimate[cell] - pooled) > 1e-6
        moved = expected + estimate[cell] - pooled
        np.testing.assert_allclose((low[cell], high[cell]), moved, atol=1e-12)


def test_without_a_score_there_is_no_interval_and_none_leaves_the_range():
    table = simulated("binary", np.random.default_rng(2), n=12)
    sure = replace(table, predicted=np.column_stack([table.y] * 3), threshold=np.full((1, 3), 0.5))
    low, high = accuracy_intervals(sure, np.array([1.0, np.nan, 1.0]))
    np.testing.assert_array_equal(np.isnan([low, high]), [[False, True, False]] * 2)
    assert high[0] == 1
    assert 0.5 < low[0] < 1
    # Folds may move the centre beyond what pooled counts allow.
    assert accuracy_intervals(sure, np.array([1.05, 1, 1]))[1][0] == 1
