import numpy as np
import pytest
from scipy import stats

from ukb_brain.statistics.certainty.intervals import FamilyDraws, score_with_interval
from ukb_brain.statistics.scores import drawn, metrics


def mean(values):
    return lambda w: {"mean": w @ values / w.sum(axis=1)}


def test_percentile_bounds_are_those_of_the_map():
    rng = np.random.default_rng(0)
    y, p = rng.normal(size=(2, 50))
    weights = FamilyDraws(range(50), 300, 1).weights(range(50))
    row = drawn.measured(lambda w: {"r": metrics.pearson_r(y, p, w)}, weights)
    expected = score_with_interval(metrics.pearson_r, y, p, weights)
    np.testing.assert_allclose([row["r"], row["r_low"], row["r_high"]], expected, rtol=1e-12)


def test_basic_bounds_are_those_of_scipy():
    rng = np.random.default_rng(1)
    values = rng.exponential(size=200)
    weights = rng.multinomial(200, np.full(200, 1 / 200), size=4000).astype(float)
    row = drawn.measured(mean(values), weights, 0.9, "basic")
    found = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=4000,
        confidence_level=0.9,
        method="basic",
        rng=np.random.default_rng(2),
    ).confidence_interval
    assert [row["mean_low"], row["mean_high"]] == pytest.approx(list(found), abs=0.01)
    percentile = drawn.measured(mean(values), weights, 0.9)
    assert row["mean_low"] + percentile["mean_high"] == pytest.approx(2 * row["mean"])


def test_no_estimate_has_no_bounds():
    row = drawn.bounded("x", np.nan, np.ones(10), 0.95)
    assert np.isnan(list(row.values())).all()


def test_chunks_change_nothing(monkeypatch):
    values = np.random.default_rng(3).normal(size=40)
    weights = FamilyDraws(range(40), 100, 1).weights(range(40))
    whole = drawn.draws_of(mean(values), weights)["mean"]
    monkeypatch.setattr(drawn, "LARGEST_CHUNK", 400)
    np.testing.assert_allclose(drawn.draws_of(mean(values), weights)["mean"], whole, rtol=1e-12)
