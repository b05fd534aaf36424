import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from ukb_brain.training.calibrate import EXPECTED, LEAST_SLOPE, balanced, calibrate, shrunk

N, UNSEEN = 150, np.arange(150) < 100
KINDS = pytest.mark.parametrize("kind", ["binary", "continuous"])


def example(kind, seed=0, signal=1.0, share=0.3):
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=N)
    scores = 0.4 * (signal * latent + rng.normal(size=N)) - 0.2
    y = (latent > np.quantile(latent[UNSEEN], 1 - share)).astype(float)
    return scores, y if kind == "binary" else 60 + 8 * latent


def with_correlation(r, n):
    """Scores and answers whose correlation is exactly r."""
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(n, 2))
    u, v = np.linalg.qr(columns - columns.mean(axis=0))[0].T
    return u, r * u + np.sqrt(1 - r**2) * v


def test_a_slope_is_drawn_to_what_is_expected_as_that_of_james_and_stein():
    # z² = 0.4² / 0.04 = 4, so that three quarters of the difference are kept.
    assert shrunk(1.4, 0.04, 1.0) == pytest.approx(1.3)
    assert shrunk(0.6, 0.04, 1.0) == pytest.approx(0.7)
    assert shrunk(2.5, 0.0, 1.0) == 2.5


@pytest.mark.parametrize("slope", [0.81, 1.0, 1.19])
def test_a_slope_within_a_standard_error_of_what_is_expected_is_that(slope):
    assert shrunk(slope, 0.04, 1.0) == 1.0


@KINDS
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_constant_scores_name_the_mean(kind, value):
    _, y = example(kind)
    predicted = calibrate(np.full(N, value), y, UNSEEN, kind)
    np.testing.assert_allclose(predicted, y[UNSEEN].mean(), rtol=1e-9)


@KINDS
def test_fifty_people_are_enough_for_a_score_that_means_what_it_says(kind):
    """Regression scores of weak signal: predictions do not collapse to the mean."""
    spreads = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        score = 0.4 * rng.normal(size=50)
        if kind == "binary":
            y = (rng.random(50) < expit(2 * score)).astype(float)
        else:
            y = score + np.sqrt(1 - 0.16) * rng.normal(size=50)
        spreads.append(calibrate(score, y, np.ones(50, dtype=bool), kind).std() / score.std())
    # As wide as what was drawn: a score of SD .4, or .2 as a probability.
    assert np.median(spreads) == pytest.approx(1.0 if kind == "continuous" else 0.48, abs=0.1)


@pytest.mark.parametrize("truth", [0.5, 1.3, 2.0])
def test_slopes_above_and_below_one_are_found(truth):
    rng = np.random.default_rng(0)
    score = rng.normal(size=4000) / 4
    y = 60 + 8 * (truth * score + rng.normal(size=4000) / 2)
    predicted = calibrate(score, y, np.ones(4000, dtype=bool), "continuous")
    assert np.polyfit(score, predicted, 1)[0] / 8 == pytest.approx(truth, abs=0.06)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(-1, 20), st.floats(0.02, 0.98), st.floats(0.01, 100))
def test_the_mean_probability_is_the_share_among_people_left_out(seed, signal, share, scale):
    scores, y = example("binary", seed, signal, share)
    p = calibrate(scale * scores, y, UNSEEN, "binary")
    assert p[UNSEEN].mean() == pytest.approx(y[UNSEEN].mean(), abs=1e-6)
    assert ((p >= 0) & (p <= 1)).all()


@KINDS
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(-1, 3))
def test_ranks_are_kept(kind, seed, signal):
    scores, y = example(kind, seed, signal)
    predicted = calibrate(scores, y, UNSEEN, kind)[np.argsort(scores)]
    assert (np.diff(predicted) >= 0).all()
    # Next to 0 and 1 probabilities that differ may be one floating-point number.
    apart = predicted if kind == "continuous" else predicted[np.abs(predicted - 0.5) < 0.49999]
    assert (np.diff(apart) > 0).all()


def test_a_slope_is_that_of_the_regression_line_drawn_to_one():
    scores, y = with_correlation(0.6, 27)
    everybody = np.ones(27, dtype=bool)
    # On scores of mean 0 and SD 1 the slope of standardised answers is r; 0.64 / 25 its variance.
    scores = np.sqrt(27) * scores
    predicted = calibrate(scores, y, everybody, "continuous")
    slope = 1 - 0.4 * (1 - 0.64 / 25 / 0.4**2)
    np.testing.assert_allclose(predicted, y.mean() + y.std() * slope * scores)


def test_a_log_odds_ratio_is_that_of_the_regression_drawn_to_two():
    scores, y = example("binary", signal=0.4)
    p = calibrate(scores, y, UNSEEN, "binary")
    known = sm.add_constant(scores[UNSEEN])
    fitted = sm.Logit(y[UNSEEN], known).fit(disp=False)
    expected = shrunk(fitted.params[1], fitted.bse[1] ** 2, EXPECTED["binary"])
    assert np.ptp(logit(p)) / np.ptp(scores) == pytest.approx(expected, rel=0.02)


@KINDS
def test_scores_without_signal_shrink_to_the_mean(kind):
    scores, y = example(kind)
    turned = calibrate(-scores, y, UNSEEN, kind)
    mean, sd = y[UNSEEN].mean(), y[UNSEEN].std()
    np.testing.assert_allclose(turned, mean, atol=5 * LEAST_SLOPE * sd)
    assert np.ptp(calibrate(scores, y, UNSEEN, kind)) > 0.5 * sd


@KINDS
def test_answers_of_test_people_have_no_influence(kind):
    scores, y = example(kind)
    unknown = np.where(UNSEEN, y, np.nan)
    before, after = (calibrate(scores, answers, UNSEEN, kind) for answers in (y, unknown))
    assert before.tobytes() == after.tobytes()


@KINDS
def test_scores_of_test_people_have_no_influence_on_others(kind):
    scores, y = example(kind)
    other = scores.copy()
    other[-1] = 50
    before, after = (calibrate(s, y, UNSEEN, kind) for s in (scores, other))
    assert before[:-1].tobytes() == after[:-1].tobytes()
    assert before[-1] != after[-1]


def test_scores_that_are_right_are_left_as_they_are():
    _, y = example("continuous")
    mean, sd = y[UNSEEN].mean(), y[UNSEEN].std()
    np.testing.assert_allclose(calibrate((y - mean) / sd, y, UNSEEN, "continuous"), y)


def test_scores_of_a_fit_without_weights_are_put_where_weights_would_have_put_them():
    """Of a rare class, by least squares without weights and with them."""
    rng = np.random.default_rng(0)
    n = 20_000
    y = np.where(rng.random(n) < 0.1, 1.0, -1.0)
    X = np.column_stack([np.ones(n), rng.normal(size=(n, 3)) + 0.4 * (y > 0)[:, None]])
    weights = np.where(y > 0, 0.5 / (y > 0).mean(), 0.5 / (y < 0).mean())
    plain = X @ np.linalg.lstsq(X, y, rcond=None)[0]
    root = np.sqrt(weights)
    weighted = X @ np.linalg.lstsq(X * root[:, None], y * root, rcond=None)[0]
    intercept, slope = balanced(plain, y, weights)
    np.testing.assert_allclose(intercept + slope * plain, weighted, atol=0.03)
    assert plain.mean() < -0.7
    # A few people are taken for a linear discriminant.
    few = rng.permutation(n)[:40]
    assert balanced(plain[few], y[few], weights[few])[1] == pytest.approx(
        1 / (4 * (y[few] > 0).mean() * (y[few] < 0).mean()), rel=0.6
    )


def test_a_score_that_does_not_vary_becomes_none():
    y = np.repeat([-1.0, 1.0], [30, 10])
    assert balanced(np.full(40, -0.5), y, np.ones(40)) == (0, 0)


def test_far_scores_stay_probabilities():
    scores, y = example("binary", signal=5)
    scores[-2:] = [-1e6, 1e6]
    p = calibrate(scores, y, UNSEEN, "binary")
    assert 0 < p[-2] < 1e-12
    assert 1 - 1e-12 < p[-1] < 1


def test_people_without_a_score_have_no_prediction():
    scores, y = example("continuous")
    scores[-3:] = np.nan
    predicted = calibrate(scores, y, UNSEEN, "continuous")
    assert np.flatnonzero(np.isnan(predicted)).tolist() == [147, 148, 149]
