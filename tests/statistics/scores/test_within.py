import numpy as np
import plain_scores
import pytest
import sklearn.metrics as sk
import statsmodels.formula.api as smf
from hypothesis import given
from hypothesis import strategies as st

from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.scores import cell_scores
from ukb_brain.statistics.scores.engine import headline
from ukb_brain.statistics.scores.target_predictions import TargetPredictions

N = 90


def auc_within(y, p, weights, group):
    return headline("binary", y, p, weights, group)


def within_sites(kind, y, p, site, weights, fold=None):
    n = len(y)
    fold = np.zeros(n, dtype=int) if fold is None else fold
    visit = np.column_stack([np.arange(n), np.full(n, 2)])
    threshold = np.zeros((1 + fold.max(), 1))
    folds = tuple(range(1 + fold.max()))
    cell = TargetPredictions(
        "t", kind, ("a",), visit, visit[:, 0], fold, y, p[:, None], threshold, folds
    )
    return cell_scores.score_within_sites(cell, site, weights)


def people(seed=0, n=N):
    rng = np.random.default_rng(seed)
    site = rng.choice([11025, 11026, 11027], n, p=[0.5, 0.3, 0.2])
    weights = rng.poisson(1.0, (20, n)).astype(float)
    return rng, site, weights


def test_auc_within_is_the_mean_of_scikit_learn_by_group():
    rng, site, weights = people()
    y = (rng.random(N) < 0.4).astype(float)
    p = np.round(0.3 * y + rng.random(N), 1)
    expected = []
    for draw in weights:
        scores, counts = [], []
        for label in np.unique(site):
            at = np.repeat(np.flatnonzero(site == label), draw[site == label].astype(int))
            scores.append(sk.roc_auc_score(y[at], p[at]))
            counts.append(len(at))
        expected.append(np.average(scores, weights=counts))
    np.testing.assert_allclose(auc_within(y, p, weights, site), expected, atol=1e-12)


def test_r2_within_is_that_of_columns_centred_by_statsmodels():
    rng, site, weights = people(1)
    y = rng.normal(size=N) + site / 100
    p = 0.5 * y + rng.normal(size=N)
    expected = []
    for draw in weights:
        at = np.repeat(np.arange(N), draw.astype(int))
        data = {"y": y[at], "p": p[at], "s": site[at].astype(str)}
        centred = [smf.ols(f"{column} ~ C(s)", data).fit().resid for column in "yp"]
        expected.append(sk.r2_score(*centred))
    np.testing.assert_allclose(cell_scores.r2_within(y, p, weights, site), expected, atol=1e-9)


def test_a_group_of_one_class_is_left_out_and_all_of_them_give_nothing():
    y, p = np.array([0.0, 1, 1, 1]), np.array([0.1, 0.4, 0.3, 0.2])
    group, weights = np.array([0, 0, 1, 1]), np.array([[1.0, 1, 1, 1], [1, 0, 1, 1]])
    found = auc_within(y, p, weights, group)
    assert found[0] == 1
    assert np.isnan(found[1])
    assert np.isnan(cell_scores.r2_within(np.array([1.0, 1, 3, 3]), p, weights, group)).all()


@given(st.lists(st.floats(-50, 50), min_size=3, max_size=3))
def test_shifts_between_groups_change_nothing(shifts):
    rng, site, weights = people(2)
    y, p = rng.normal(size=(2, N))
    shift = np.array(shifts)[np.unique(site, return_inverse=True)[1]]
    for score, truth in ((auc_within, (y > 0).astype(float)), (cell_scores.r2_within, y)):
        expected = score(truth, p, weights, site)
        np.testing.assert_allclose(score(truth, p + shift, weights, site), expected, atol=1e-8)


def test_knowing_the_site_alone_explains_exactly_nothing_within():
    rng, site, weights = people(3)
    y = rng.normal(size=N) + site / 100
    np.testing.assert_allclose(cell_scores.r2_within(y, site / 7.0, weights, site), 0, atol=1e-9)
    ones = (rng.random(N) < 0.5).astype(float)
    np.testing.assert_allclose(auc_within(ones, site / 7.0, weights, site), 0.5)


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_headline_follows_the_rule_of_folds(kind):
    rng, _, _ = people(4)
    fold = np.repeat([0, 1], [60, 30])
    y = rng.normal(size=N) + fold
    p = y + rng.normal(size=N) - 3 * fold
    if kind == "binary":
        y = (y > 0).astype(float)
    parts = [
        plain_scores.Predicted(np.c_[at, at], at, y[at], p[at])
        for at in (np.flatnonzero(fold == f) for f in (0, 1))
    ]
    expected = plain_scores.score_folds(kind, parts, [0.0, 0.0])[
        "roc_auc" if kind == "binary" else "r2"
    ]
    assert headline(kind, y, p, np.ones((1, N)), fold)[0] == pytest.approx(expected)
    if kind == "binary":
        assert headline(kind, y, p, np.ones((1, N)))[0] != pytest.approx(expected)


@pytest.mark.parametrize("kind", ["binary", "continuous"])
@pytest.mark.parametrize("by_fold", [False, True])
def test_a_target_readable_only_through_site_is_at_chance_within(kind, by_fold):
    n, rng = 1200, np.random.default_rng(5)
    site = rng.integers(0, 4, n)
    latent = site - 1.5 + 0.5 * rng.normal(size=n)
    y = latent if kind == "continuous" else (latent + rng.logistic(size=n) > 0).astype(float)
    p = site - 1.5 + 0.02 * rng.normal(size=n)
    fold = rng.integers(0, 2, n) if by_fold else None
    weights = FamilyDraws(range(n), 400, 1).weights(range(n))
    chance = 0.5 if kind == "binary" else 0.0
    assert headline(kind, y, p, np.ones((1, n)))[0] > chance + 0.15
    row = within_sites(kind, y, p, site, weights, fold)
    # The prediction's noise within sites costs .02² / .5² of R², and no area.
    slack = 0.005 if kind == "continuous" else 0.0
    assert row["within_site_low"] - slack < chance < row["within_site_high"] + slack
    assert row["within_site_high"] < chance + 0.1


def test_signal_within_sites_is_found():
    n, rng = 600, np.random.default_rng(6)
    site, y = rng.integers(0, 3, n), rng.normal(size=n)
    weights = FamilyDraws(range(n), 200, 1).weights(range(n))
    read = 0.5 * y + 0.01 * rng.normal(size=n)
    row = within_sites("continuous", y + site, read, site, weights)
    assert row["within_site"] == pytest.approx(0.75, abs=0.002)
    assert row["within_site_low"] > 0.7
