from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_scores import Predicted, score_folds
from scipy.stats import bootstrap
from statsmodels.stats.proportion import confint_proportions_2indep

from ukb_brain.metrics import RECOMMENDED
from ukb_brain.statistics.certainty.cell_intervals import (
    ScoredCells,
    accuracy_intervals,
    interval_table,
    newcombe_interval,
)
from ukb_brain.statistics.certainty.delong import delong, logit_interval
from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.scores.cell_scores import estimate_cells
from ukb_brain.statistics.scores.target_predictions import TargetPredictions

FOLDS, N, CELLS = (0, 1), 120, 3


def target_of(kind, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=N)
    predicted = 0.5 * y[:, None] + 0.5 * rng.normal(size=(N, CELLS))
    predicted[:15, 2] = np.nan
    return TargetPredictions(
        target="t",
        kind=kind,
        inputs=("a", "b", "c"),
        visit=np.column_stack([np.arange(N), np.full(N, 2)]),
        family=np.arange(N) // 2,
        fold=np.repeat(FOLDS, [50, 70]),
        y=(y > 0).astype(float) if kind == "binary" else y,
        predicted=predicted,
        threshold=np.zeros((2, CELLS)),
        folds=FOLDS,
    )


def cell(found, inputs, metric):
    return found.set_index(["inputs", "metric"]).loc[(inputs, metric)]


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_percentile_intervals_are_those_of_score_folds(kind):
    table, draws = target_of(kind), FamilyDraws(range(N), 200, seed=1)
    scored = ScoredCells(table, draws.weights(table.family))
    for at in range(CELLS):
        rows = [
            np.flatnonzero((table.fold == f) & np.isfinite(table.predicted[:, at])) for f in FOLDS
        ]
        folds = [
            Predicted(table.visit[r], table.family[r], table.y[r], table.predicted[r, at])
            for r in rows
        ]
        expected = score_folds(kind, folds, table.threshold[:, at], draws.weights, 0.9)
        for metric in KINDS[kind].metrics:
            bounds = scored.bounds(metric, "percentile", 0.9)[:, at]
            row = [scored.estimate[metric][at], *bounds]
            wanted = [expected[metric + end] for end in ("", "_low", "_high")]
            np.testing.assert_allclose(row, wanted, rtol=1e-9, err_msg=metric)


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_every_metric_has_its_recommended_interval_about_the_estimate(kind):
    draws = FamilyDraws(range(N), 200, seed=1)
    found = interval_table({"t": target_of(kind)}, draws)
    assert list(found["metric"].unique()) == list(KINDS[kind].metrics)
    assert (found["method"] == found["metric"].map(RECOMMENDED)).all()
    assert ((found["low"] < found["estimate"]) & (found["estimate"] < found["high"])).all()
    assert not found[["low", "high"]].isna().any(axis=None)


def test_bca_intervals_are_scipys_within_simulation_error():
    """The same jackknife; scipy resamples a fixed number of people, we a Poisson number."""
    table = replace(target_of("continuous"), family=np.arange(N))
    draws = FamilyDraws(range(N), 4000, seed=2)
    found = ScoredCells(table, draws.weights(table.family)).bounds("mae", "bca", 0.95)
    errors = np.abs(table.y - table.predicted[:, 0])
    theirs = bootstrap((errors,), np.mean, n_resamples=4000, rng=3).confidence_interval
    width = theirs.high - theirs.low
    np.testing.assert_allclose(found[:, 0], theirs, rtol=0, atol=0.06 * width)


def test_areas_of_cells_that_lack_people_are_of_the_others():
    table = target_of("binary")
    found = interval_table({"t": table}, FamilyDraws(range(N), 50, seed=1))
    known = np.isfinite(table.predicted[:, 2])
    y, p = table.y[known], table.predicted[known, 2:]
    areas = delong(y, p, table.family[known], table.fold[known])
    n_pos = int(y.sum())
    sizes = n_pos, len(y) - n_pos
    expected = logit_interval(areas.auc[0], areas.se[0], *sizes, df=areas.df[0])
    row = cell(found, "c", "roc_auc")
    assert row["estimate"] == pytest.approx(areas.auc[0])
    np.testing.assert_allclose(row[["low", "high"]].to_numpy(float), expected)


def test_a_fold_of_one_class_leaves_no_area_and_no_interval():
    table = target_of("binary")
    table = replace(table, y=np.where(table.fold == 0, 0.0, table.y))
    draws = FamilyDraws(range(N), 50, 1)
    found = interval_table({"t": table}, draws)
    empty = found[found["metric"] != "brier"]
    assert empty[["estimate", "low", "high"]].isna().all(axis=None)
    assert found.loc[found["metric"] == "brier", "low"].notna().all()
    scored = ScoredCells(table, draws.weights(table.family))
    for method, metric in product(("percentile", "bca"), KINDS["binary"].metrics):
        missing = np.isnan(scored.bounds(metric, method, 0.95))
        assert (missing == (metric != "brier")).all()


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
