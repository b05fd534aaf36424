import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit, logit
from scipy.stats import norm

from ukb_brain.statistics.certainty.delong import (
    delong,
    logit_interval,
    newcombe_area_interval,
    paired_delong,
)


def people(rng, n, cells, digits=1):
    y = np.r_[0.0, 1, 0, 1, rng.integers(0, 2, n - 4)]
    return y, np.round(0.5 * y[:, None] + rng.normal(size=(n, cells)), digits)


def pairs(y, p):
    """Who wins each comparison of a positive with a negative; half where tied."""
    difference = p[y > 0][:, None] - p[y == 0][None]
    return (difference > 0) + 0.5 * (difference == 0)


def delong_over_pairs(y, predicted):
    """The definition: covariances of the row and column means of all comparisons."""
    won = np.array([pairs(y, p) for p in predicted.T])
    rows, columns = np.cov(won.mean(axis=2)), np.cov(won.mean(axis=1))
    return won.mean(axis=(1, 2)), rows / won.shape[1] + columns / won.shape[2]


def obuchowski_over_families(y, p, family):
    """Obuchowski's three sums, family by family."""
    won = pairs(y, p)
    auc, (m, n) = won.mean(), won.shape
    of_pos, of_neg = family[y > 0], family[y == 0]
    names = np.unique(family)
    x = np.array([(won.mean(axis=1) - auc)[of_pos == one].sum() for one in names])
    z = np.array([(won.mean(axis=0) - auc)[of_neg == one].sum() for one in names])
    i10, i01, i = len(np.unique(of_pos)), len(np.unique(of_neg)), len(names)
    s10 = i10 / ((i10 - 1) * m) * (x**2).sum()
    s01 = i01 / ((i01 - 1) * n) * (z**2).sum()
    s11 = i / (i - 1) * (x * z).sum()
    return s10 / m + s01 / n + 2 * s11 / (m * n)


@pytest.mark.parametrize("digits", [1, 9])
def test_areas_and_covariances_are_those_over_all_pairs(digits):
    y, predicted = people(np.random.default_rng(0), 70, 4, digits)
    found = delong(y, predicted, np.arange(70))
    auc, covariance = delong_over_pairs(y, predicted)
    np.testing.assert_allclose(found.auc, auc, rtol=1e-12)
    np.testing.assert_allclose(found.auc, [sk.roc_auc_score(y, p) for p in predicted.T])
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-10)
    np.testing.assert_allclose(found.se, np.sqrt(np.diag(covariance)), rtol=1e-10)


def test_families_are_obuchowskis_clusters():
    rng = np.random.default_rng(1)
    y, predicted = people(rng, 90, 2)
    family = rng.integers(0, 40, 90)
    found = delong(y, predicted, family)
    expected = [obuchowski_over_families(y, p, family) for p in predicted.T]
    np.testing.assert_allclose(np.diag(found.covariance), expected, rtol=1e-10)
    alone = delong(y, predicted, np.arange(90))
    assert np.abs(found.covariance / alone.covariance - 1).max() > 0.02


def test_the_standard_error_is_the_spread_of_simulated_families():
    """Pairs of relatives who resemble each other in the trait and in the score."""
    rng, areas, ses, naive = np.random.default_rng(2), [], [], []
    family = np.repeat(np.arange(60), 2)
    for _ in range(600):
        shared = rng.normal(size=(60, 2)).repeat(2, axis=0)
        own = rng.normal(size=(120, 2))
        trait, noise = (np.sqrt(0.8) * shared + np.sqrt(0.2) * own).T
        y = (trait > 0).astype(float)
        score = (0.5 * y + noise)[:, None]
        found = delong(y, score, family)
        areas.append(found.auc[0])
        ses.append(found.se[0])
        naive.append(delong(y, score, np.arange(120)).se[0])
    spread = np.std(areas)
    assert np.sqrt(np.mean(np.square(ses))) == pytest.approx(spread, rel=0.1)
    assert np.sqrt(np.mean(np.square(naive))) < 0.87 * spread


def test_folds_are_averaged_by_their_people():
    rng = np.random.default_rng(3)
    y, predicted = people(rng, 40, 3)
    more_y, more = people(rng, 80, 3)
    both = delong(
        np.r_[y, more_y], np.r_[predicted, more + 5], np.arange(120), np.repeat([3, 7], [40, 80])
    )
    one, other = delong(y, predicted, np.arange(40)), delong(more_y, more, np.arange(80))
    np.testing.assert_allclose(both.auc, (one.auc + 2 * other.auc) / 3)
    np.testing.assert_allclose(both.covariance, (one.covariance + 4 * other.covariance) / 9)


def test_one_class_or_a_class_of_one_family_has_no_error():
    y, p = np.array([0.0, 0, 0, 1]), np.array([[0.1], [0.3], [0.5], [0.4]])
    found = delong(y, p, np.arange(4))
    assert found.auc[0] == pytest.approx(2 / 3)
    assert np.isnan(found.se[0])
    assert np.isnan(delong(0 * y, p, np.arange(4)).auc[0])
    with pytest.raises(ValueError, match="common people"):
        delong(y, np.where(p > 0.4, np.nan, p), np.arange(4))


def test_the_interval_is_symmetric_on_the_logit_scale():
    low, high = logit_interval(0.8, 0.05, 30, 50)
    reach = norm.ppf(0.975) * 0.05 / (0.8 * 0.2)
    np.testing.assert_allclose(logit([low, high]), logit(0.8) + reach * np.array([-1, 1]))
    flipped = logit_interval(0.2, 0.05, 30, 50)
    np.testing.assert_allclose(flipped, [1 - high, 1 - low])
    # In the middle it is the plain one.
    np.testing.assert_allclose(logit_interval(0.5, 0.001, 9, 9), [0.49804, 0.50196], atol=1e-5)


def test_an_interval_needs_an_area_and_an_error():
    assert np.isnan(logit_interval(np.nan, 0.1, 5, 5)).all()
    assert np.isnan(logit_interval(0.7, np.nan, 5, 1)).all()


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 1), st.integers(1, 300), st.integers(1, 300), st.floats(0.5, 0.99))
def test_newcombes_bounds_solve_the_equation_that_defines_them(auc, n_pos, n_neg, level):
    low, high = newcombe_area_interval(auc, n_pos, n_neg, level)
    assert 0 <= low <= auc <= high <= 1
    size = (n_pos + n_neg) / 2
    for bound in {low, high} - {0.0, 1.0}:
        pairs = (1 - bound) / (2 - bound) + bound / (1 + bound)
        variance = bound * (1 - bound) * (1 + (size - 1) * pairs) / (n_pos * n_neg)
        reach = norm.ppf((1 + level) / 2) ** 2 * variance
        assert (auc - bound) ** 2 == pytest.approx(reach, rel=1e-6, abs=1e-9)


def test_a_perfect_area_has_a_lower_bound_that_rises_with_people():
    bounds = [logit_interval(1.0, 0.0, n, n) for n in (5, 30, 300)]
    lows = [low for low, _ in bounds]
    assert [high for _, high in bounds] == [1, 1, 1]
    assert 0.5 < lows[0] < lows[1] < lows[2] < 1
    low, high = logit_interval(0.0, 0.0, 30, 30)
    assert (low, high) == pytest.approx((0, 1 - lows[1]))


def test_the_paired_test_is_that_over_all_pairs():
    y, predicted = people(np.random.default_rng(4), 80, 2)
    found = paired_delong(y, *predicted.T, np.arange(80))
    auc, covariance = delong_over_pairs(y, predicted)
    se = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert found.difference == pytest.approx(auc[0] - auc[1])
    assert found.se == pytest.approx(se)
    assert found.z == pytest.approx((auc[0] - auc[1]) / se)
    assert found.p == pytest.approx(2 * norm.sf(abs(found.z)))
    turned = paired_delong(y, *predicted.T[::-1], np.arange(80))
    assert (turned.difference, turned.p) == pytest.approx((-found.difference, found.p))


def test_cells_of_the_same_order_do_not_differ():
    y, predicted = people(np.random.default_rng(5), 60, 1)
    p = predicted[:, 0]
    found = paired_delong(y, p, expit(3 * p), np.arange(60))
    assert (found.difference, found.z, found.p) == (0, 0, 1)
    assert found.se == pytest.approx(0, abs=1e-9)


def test_p_values_of_equally_good_cells_are_uniform():
    rng, p = np.random.default_rng(6), []
    family = np.repeat(np.arange(80), 2)
    for _ in range(500):
        shared = rng.normal(size=(80, 3)).repeat(2, axis=0)
        trait, one, other = (shared + rng.normal(size=(160, 3))).T
        y = (trait > 0).astype(float)
        p.append(paired_delong(y, y + one, y + other, family).p)
    # Three standard errors of a binomial share.
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(np.array(p) < 0.5) == pytest.approx(0.5, abs=0.067)


@pytest.mark.parametrize(("n_pos", "n_neg"), [(12, 90), (40, 40)])
def test_error_and_degrees_of_freedom_are_those_of_brunner_and_munzel(n_pos, n_neg):
    rng = np.random.default_rng(5)
    y = np.repeat([1.0, 0.0], [n_pos, n_neg])
    score = rng.normal(0.4 * y, 1)
    found = delong(y, score[:, None], np.arange(len(y)))
    theirs = stats.brunnermunzel(score[y == 0], score[y == 1], distribution="t")
    ours = (found.auc[0] - 0.5) / found.se[0]
    assert ours == pytest.approx(theirs.statistic)
    assert 2 * stats.t.sf(abs(ours), found.df[0]) == pytest.approx(theirs.pvalue)
