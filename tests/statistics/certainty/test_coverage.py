import numpy as np
import pytest
import sklearn.metrics as sk
from scipy.special import expit
from scipy.stats import norm

from benchmarks.simulated_coverage import simulate_binary, simulate_continuous
from ukb_brain.metrics import RECOMMENDED
from ukb_brain.statistics.kinds import (
    BELOW_AUC,
    KINDS,
    LEAST_OF_CLASS,
    LEAST_PEOPLE,
)

REPLICATES, DRAWS = 2000, 600
# A true coverage of 93 or 97 % is seen as this much less or more, once in a thousand simulations.
CHANCE = 3.1 * np.sqrt(0.07 * 0.93 / REPLICATES)


def truths(found):
    return found.groupby("metric")["truth"].first()


@pytest.mark.parametrize("auc", [0.5, 0.9])
def test_the_binary_truth_is_that_of_a_very_large_sample(auc):
    rng = np.random.default_rng(0)
    y = (np.arange(400_000) < 100_000).astype(float)
    score = rng.normal(size=len(y)) + np.sqrt(2) * norm.ppf(auc) * (y - 0.5)
    found = truths(simulate_binary(10, 30, auc, 3, 20, 0))
    assert found["roc_auc"] == pytest.approx(sk.roc_auc_score(y, score), abs=0.004)
    assert found["average_precision"] == pytest.approx(
        sk.average_precision_score(y, score), abs=0.004
    )
    assert found["balanced_accuracy"] == pytest.approx(
        sk.balanced_accuracy_score(y, score > 0), abs=0.004
    )
    assert found["brier"] == pytest.approx(sk.brier_score_loss(y, expit(score)), abs=0.002)


@pytest.mark.parametrize("r", [0.0, 0.7])
def test_the_continuous_truth_is_that_of_a_very_large_sample(r):
    y, noise = np.random.default_rng(1).normal(size=(2, 400_000))
    p = (r or 0.1) * (r * y + np.sqrt(1 - r**2) * noise)
    found = truths(simulate_continuous(10, r, 3, 20, 0))
    assert found["r2"] == pytest.approx(sk.r2_score(y, p), abs=0.004)
    assert found["pearson_r"] == pytest.approx(np.corrcoef(y, p)[0, 1], abs=0.005)
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(y, p), abs=0.004)
    assert found["median_split_accuracy"] == pytest.approx(
        sk.balanced_accuracy_score(y > 0, p > 0), abs=0.004
    )


def test_every_interval_of_every_metric_is_measured():
    for kind, found in (
        ("binary", simulate_binary(8, 8, 0.8, 60, 60, 1)),
        ("continuous", simulate_continuous(16, 0.5, 60, 60, 1)),
    ):
        methods = found.groupby("metric", sort=False)["method"].agg(set)
        assert list(methods.index) == list(KINDS[kind].metrics)
        for metric, names in methods.items():
            assert names == {"percentile", "bca", RECOMMENDED[metric]}
        shares = found[["coverage", "below", "above"]]
        np.testing.assert_allclose(shares.sum(axis=1), 1)
        assert found["coverage"].between(0.6, 1).all()
        assert (found["width"] > 0).all()


def test_samples_too_small_for_an_interval_are_counted():
    found = simulate_binary(1, 40, 0.7, 80, 60, 2)
    assert (found["given"] <= 1).all()
    assert found["given"].min() > 0.5


def held(found):
    """Coverage of the recommended intervals, which nearly every sample has."""
    mine = found[found["method"] == found["metric"].map(RECOMMENDED)].set_index("metric")
    # An interval of width 0 is none: of 30 people nearly all ranked rightly, one sample in 200.
    assert (mine["given"] >= 0.99).all()
    return mine["coverage"]


@pytest.mark.slow
@pytest.mark.parametrize("auc", [0.5, 0.7, 0.9, BELOW_AUC - 0.01])
@pytest.mark.parametrize("classes", [(LEAST_OF_CLASS, LEAST_OF_CLASS), (100, 100), (30, 270)])
def test_recommended_intervals_of_binary_cells_cover_as_they_claim(classes, auc):
    coverage = held(simulate_binary(*classes, auc, REPLICATES, DRAWS, 1))
    assert coverage.between(0.93 - CHANCE, 0.97 + CHANCE).all(), coverage


@pytest.mark.slow
@pytest.mark.parametrize("r", [0.0, 0.3, 0.7, 0.95])
@pytest.mark.parametrize("n", [LEAST_PEOPLE, 200])
def test_recommended_intervals_of_continuous_cells_cover_as_they_claim(n, r):
    coverage = held(simulate_continuous(n, r, REPLICATES, DRAWS, 1))
    assert coverage.between(0.93 - CHANCE, 0.97 + CHANCE).all(), coverage
