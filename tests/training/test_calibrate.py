import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

from ukb_brain.training.calibrate import LEAST_SLOPE, calibrate, reliability

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


def test_reliability_is_the_estimate_of_james_and_stein():
    # z² = 0.36 · 25 / 0.64 = 14.0625, and 1 − 1 / 14.0625 = 0.92889.
    assert reliability(*with_correlation(0.6, 27)) == pytest.approx(1 - 0.64 / 9)


@pytest.mark.parametrize("r", [0.19, 0.0, -0.6])
def test_a_slope_within_a_standard_error_of_zero_is_worth_nothing(r):
    # z² = 0.0361 · 25 / 0.9639 = 0.94 for r = 0.19.
    assert reliability(*with_correlation(r, 27)) == 0


def test_constant_scores_or_answers_are_worth_nothing():
    some = np.arange(10.0)
    assert reliability(np.ones(10), some) == reliability(some, np.ones(10)) == 0
    assert reliability(some, some) == pytest.approx(1)


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


def test_a_slope_is_kept_as_far_as_it_is_reliable():
    scores, y = with_correlation(0.6, 27)
    everybody = np.ones(27, dtype=bool)
    # On scores of mean 0 and SD 1 the slope of standardised answers is r.
    scores = np.sqrt(27) * scores
    predicted = calibrate(scores, y, everybody, "continuous")
    np.testing.assert_allclose(predicted, y.mean() + y.std() * 0.6 * (1 - 0.64 / 9) * scores)


def test_a_log_odds_ratio_is_kept_as_far_as_it_is_reliable():
    scores, y = example("binary", signal=0.4)
    p = calibrate(scores, y, UNSEEN, "binary")
    known = scores[UNSEEN] / scores[UNSEEN].std()
    line = LogisticRegression(C=100.0).fit(known[:, None], y[UNSEEN])
    kept = reliability(scores[UNSEEN], y[UNSEEN])
    assert 0.1 < kept < 0.97
    ratio = np.ptp(logit(p)) / np.ptp(scores / scores[UNSEEN].std())
    assert ratio == pytest.approx(kept * line.coef_[0, 0], rel=1e-3)


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


@pytest.mark.parametrize("factor", [0.01, 0.3, 100.0])
def test_scores_are_shrunk_and_never_stretched(factor):
    scores, y = example("continuous", signal=3)
    predicted = calibrate(factor * scores, y, UNSEEN, "continuous")
    sd = y[UNSEEN].std()
    assert predicted.std() <= factor * scores.std() * sd * (1 + 1e-9)
    assert predicted[UNSEEN].std() <= sd * (1 + 1e-9)


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
