from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from plain_scores import Predicted, score_folds
from scipy.stats import bootstrap

from ukb_brain.metrics import RECOMMENDED
from ukb_brain.statistics.certainty.cell_intervals import ScoredCells, interval_table
from ukb_brain.statistics.certainty.delong import delong, logit_interval
from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.kinds import KINDS
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
