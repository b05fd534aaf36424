import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import bootstrap, norm, t

from ukb_brain.statistics.draws import (
    acceleration_of,
    bca_interval,
    bias_correction,
    expanded_level,
)

FINITE = st.floats(-5, 5).map(lambda value: round(value, 3))


def variance(x, axis=-1):
    return np.var(x, axis=axis)


def left_out(x, statistic):
    return np.array([statistic(np.delete(x, at)) for at in range(len(x))])


@pytest.mark.parametrize("statistic", [np.mean, variance, np.median])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_the_interval_is_scipys_of_the_same_draws(statistic, level):
    x = np.random.default_rng(0).exponential(size=40)
    theirs = bootstrap(
        (x,), statistic, n_resamples=800, confidence_level=level, method="BCa", rng=1
    )
    drawn = theirs.bootstrap_distribution
    found = bca_interval(float(statistic(x)), drawn, left_out(x, statistic), level)
    np.testing.assert_allclose(found, theirs.confidence_interval, rtol=1e-9)
    plain = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    assert np.abs(np.subtract(found, plain)).max() > 1e-3


def test_the_acceleration_of_a_mean_is_a_sixth_of_its_skewness():
    x = np.random.default_rng(1).exponential(size=200)
    centred = x - x.mean()
    skewness = (centred**3).mean() / (centred**2).mean() ** 1.5
    expected = skewness / np.sqrt(len(x)) / 6
    assert acceleration_of(left_out(x, np.mean)) == pytest.approx(expected)


def test_blocks_have_nearly_the_acceleration_of_single_people():
    x = np.random.default_rng(2).exponential(size=4000)
    block = np.arange(4000) % 200
    of_blocks = np.array([x[block != one].mean() for one in range(200)])
    alone = acceleration_of((x.sum() - x) / (len(x) - 1))
    assert acceleration_of(of_blocks) == pytest.approx(alone, abs=0.006)


@settings(max_examples=40, deadline=None)
@given(arrays(float, 60, elements=FINITE), st.floats(0.5, 0.99))
def test_bounds_are_ordered_and_among_the_draws(drawn, level):
    assume(np.ptp(drawn) > 1e-9)
    low, high = bca_interval(float(np.median(drawn)), drawn, drawn[:9], level)
    assert drawn.min() <= low <= high <= drawn.max()


@settings(max_examples=40, deadline=None)
@given(arrays(float, 60, elements=FINITE), st.floats(-3, 3), st.floats(0.1, 9))
def test_bounds_move_and_stretch_with_the_scores(drawn, shift, scale):
    estimate = float(np.quantile(drawn, 0.4))
    here = bca_interval(estimate, drawn, drawn[:9])
    there = bca_interval(shift + scale * estimate, shift + scale * drawn, shift + scale * drawn[:9])
    np.testing.assert_allclose(there, shift + scale * np.array(here), atol=1e-6)


def test_draws_that_equal_the_estimate_count_half():
    assert bias_correction(1.0, np.array([0.0, 1.0, 1.0, 2.0])) == 0
    # The same score, summed in another order.
    assert bias_correction(0.3, np.array([0.1 + 0.2] * 5)) == 0


def test_draws_on_one_side_give_a_finite_correction():
    drawn = np.linspace(1, 2, 50)
    assert np.isfinite(bias_correction(0.0, drawn))
    low, high = bca_interval(0.0, drawn, drawn)
    assert 1 <= low <= high < 1.01


def test_a_score_that_never_varies_has_no_interval():
    """Neither a perfect score nor a constant prediction is certain for having no spread."""
    for score in (1.0, 0.5):
        found = bca_interval(score, np.full(100, score), np.full(20, score))
        assert np.isnan(found).all()


def test_draws_without_a_score_are_left_out_and_a_majority_of_them_gives_none():
    x = np.random.default_rng(3).exponential(size=30)
    drawn = np.random.default_rng(4).choice(x, (400, 30)).mean(axis=1)
    without = left_out(x, np.mean)
    expected = bca_interval(float(x.mean()), drawn, without)
    with_nan = bca_interval(float(x.mean()), np.r_[drawn, [np.nan] * 300], np.r_[without, np.nan])
    np.testing.assert_allclose(with_nan, expected)
    nearly_none = np.r_[drawn[:10], [np.nan] * 11]
    assert np.isnan(bca_interval(float(x.mean()), nearly_none, without)).all()
    assert np.isnan(bca_interval(np.nan, drawn, without)).all()


@pytest.mark.parametrize("n", [5, 30])
def test_the_expanded_level_makes_a_normal_interval_that_of_student(n):
    """Draws of a mean have the variance over n, and a t interval that over n - 1."""
    x = np.random.default_rng(5).normal(size=n)
    student = t.interval(0.95, n - 1, x.mean(), x.std(ddof=1) / np.sqrt(n))
    found = norm.interval(expanded_level(0.95, n), x.mean(), x.std() / np.sqrt(n))
    np.testing.assert_allclose(found, student)


def test_many_people_leave_the_level_and_one_has_none():
    assert expanded_level(0.9, 10**6) == pytest.approx(0.9, abs=1e-5)
    assert expanded_level(0.9, 30) > 0.9
    assert expanded_level(0.95, 2) == 0.9999
    assert np.isnan(expanded_level(0.95, 1))


@pytest.mark.parametrize("side", [-1, 1])
def test_an_extreme_acceleration_reaches_the_end_of_the_draws(side):
    """One family decides: the acceleration is a sixth of 1, and the level high."""
    drawn = side * np.linspace(-1, 9, 400)
    left_out = np.r_[np.zeros(5000), side * -1.0]
    low, high = bca_interval(side * 3.0, drawn, left_out, 1 - 1e-12)
    assert (low if side < 0 else high) == 9 * side
    assert low <= high
