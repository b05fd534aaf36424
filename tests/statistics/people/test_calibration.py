import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.metrics import brier_score_loss, r2_score, roc_auc_score

from ukb_brain.errors import InputError
from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.kinds import BINARY
from ukb_brain.statistics.people import calibration


def binary_case(n, slope=0.6, intercept=0.4, seed=0):
    """Labels whose log-odds are ``intercept + slope`` times those predicted."""
    rng = np.random.default_rng(seed)
    score = rng.normal(-0.5, 1.2, n)
    y = (rng.random(n) < expit(intercept + slope * score)).astype(float)
    return y, expit(score)


def counts(n, draws=12, seed=1):
    return np.random.default_rng(seed).poisson(1.0, (draws, n)).astype(float)


def test_logistic_line_is_the_glm_of_statsmodels():
    y, p = binary_case(150)
    weights = counts(150)
    intercept, slope = calibration.logistic_line(y, logit(p), weights)
    design = sm.add_constant(logit(p))
    expected = np.array(
        [
            sm.GLM(y, design, family=sm.families.Binomial(), freq_weights=draw).fit().params
            for draw in weights
        ]
    )
    np.testing.assert_allclose(intercept, expected[:, 0], atol=1e-6)
    np.testing.assert_allclose(slope, expected[:, 1], atol=1e-6)


def test_the_intercept_is_the_glm_with_an_offset():
    y, p = binary_case(150)
    once = np.ones((1, 150))
    row = calibration.score_calibration("binary", y, p, once)
    model = sm.GLM(y, np.ones(150), family=sm.families.Binomial(), offset=logit(p))
    assert row["calibration_intercept"] == pytest.approx(model.fit().params[0], abs=1e-6)


@pytest.mark.parametrize(
    ("y", "score"),
    [
        ([0.0, 0, 1, 1], [-1.0, -0.5, 0.5, 1.0]),
        ([1.0, 1, 1, 1], [-1.0, -0.5, 0.5, 1.0]),
        ([0.0, 1, 0, 1], [0.3, 0.3, 0.3, 0.3]),
        ([0.0, 1, 0, 1], [0.3, 0.30001, 0.30002, 0.3]),
    ],
    ids=["no overlap", "one class", "constant", "nearly constant"],
)
def test_where_there_is_no_line_there_is_no_number(y, score):
    found = calibration.logistic_line(np.array(y), np.array(score), np.ones((1, 4)))
    assert np.isnan(found).all()


def test_a_draw_without_a_line_leaves_the_others_alone():
    y, p = binary_case(40)
    weights = counts(40)
    with_one_class = np.vstack([weights, y])
    for alone, among in zip(
        calibration.logistic_line(y, logit(p), weights),
        calibration.logistic_line(y, logit(p), with_one_class),
        strict=True,
    ):
        np.testing.assert_allclose(among[:-1], alone, atol=1e-9)
        assert np.isnan(among[-1])


@given(st.floats(-3, 3), st.floats(0.2, 5))
def test_a_line_follows_a_change_of_scale(shift, scale):
    y, p = binary_case(200)
    intercept, slope = calibration.logistic_line(y, logit(p), np.ones((1, 200)))
    moved = calibration.logistic_line(y, shift + scale * logit(p), np.ones((1, 200)))
    assert moved[1][0] == pytest.approx(slope[0] / scale, rel=1e-6)
    assert moved[0][0] == pytest.approx(intercept[0] - shift * slope[0] / scale, abs=1e-5)


def test_lines_are_those_of_statsmodels():
    rng = np.random.default_rng(2)
    y = rng.normal(64, 8, 120)
    p = 40 + 0.4 * y + rng.normal(0, 3, 120)
    weights = counts(120)
    found = calibration.least_squares_line(y, p, weights)
    for i, draw in enumerate(weights):
        on_p = sm.WLS(y, sm.add_constant(p), weights=draw).fit().params[1]
        on_y = sm.WLS(p - y, sm.add_constant(y), weights=draw).fit().params[1]
        assert found["calibration_slope"][i] == pytest.approx(on_p, rel=1e-8)
        assert found["error_slope"][i] == pytest.approx(on_y, rel=1e-8)
        assert found["mean_error"][i] == pytest.approx(np.average(p - y, weights=draw))


def test_calibrated_predictions_regress_to_the_mean_by_what_they_leave():
    rng = np.random.default_rng(3)
    p = rng.normal(0, 1, 100_000)
    y = p + rng.normal(0, 2, 100_000)
    row = calibration.score_calibration("continuous", y, p, np.ones((1, len(y))))
    assert row["calibration_slope"] == pytest.approx(1, abs=0.03)
    assert row["error_slope"] == pytest.approx(1 / 5 - 1, abs=0.01)


@pytest.mark.parametrize("apart", [0.0, 1e-6])
def test_constant_predictions_have_a_mean_error_and_no_slope(apart):
    y = np.array([1.0, 2.0, 3.0])
    found = calibration.least_squares_line(y, 1.5 + apart * np.arange(-1, 2), np.ones((1, 3)))
    assert np.isnan(found["calibration_slope"][0])
    assert found["mean_error"][0] == pytest.approx(-0.5)


def test_what_is_no_probability_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        BINARY.link(np.array([0.5, 1.2]))
    assert np.isfinite(BINARY.link(np.array([0.0, 1.0]))).all()


@pytest.mark.slow
@pytest.mark.parametrize("n", [200, 800])
def test_intervals_of_the_line_cover(n):
    """Intercept at slope 1 is not planted here; the slope is."""
    covered = []
    for trial in range(500):
        y, p = binary_case(n, slope=0.6, intercept=0.0, seed=trial)
        weights = FamilyDraws(range(n), 400, trial).weights(range(n))
        row = calibration.score_calibration("binary", y, p, weights)
        covered.append(row["calibration_slope_low"] <= 0.6 <= row["calibration_slope_high"])
    print(n, np.mean(covered))
    assert 0.92 <= np.mean(covered) <= 0.98


def case(kind, seed, n=600):
    """Predictions that are twice too extreme, and too high."""
    rng = np.random.default_rng(seed)
    score = rng.normal(0, 2, n)
    if kind == "binary":
        y = (rng.random(n) < expit(0.5 * score - 0.7)).astype(float)
        return y, expit(score)
    return 0.5 * score - 0.7 + rng.normal(size=n), score


def test_recalibration_is_the_line_of_statsmodels():
    y, p = case("binary", 0)
    new = np.array([0.05, 0.4, 0.97])
    glm = sm.GLM(y, sm.add_constant(logit(p)), family=sm.families.Binomial()).fit()
    expected = glm.predict(sm.add_constant(logit(new)))
    np.testing.assert_allclose(calibration.recalibrate("binary", y, p, new), expected, atol=1e-7)
    y, p = case("continuous", 0)
    expected = sm.OLS(y, sm.add_constant(p)).fit().predict(sm.add_constant(new))
    np.testing.assert_allclose(
        calibration.recalibrate("continuous", y, p, new), expected, atol=1e-9
    )


@pytest.mark.parametrize(("kind", "better"), [("binary", -1), ("continuous", 1)])
def test_planted_miscalibration_is_repaired_on_people_it_was_not_fitted_on(kind, better):
    y_fit, fit_pred = case(kind, 1)
    y, p = case(kind, 2)
    weights = FamilyDraws(range(600), 300, 1).weights(range(600))
    after = calibration.recalibrate(kind, y_fit, fit_pred, p)
    row = calibration.recalibration_effect(kind, y, p, after, weights)
    score = brier_score_loss if kind == "binary" else r2_score
    assert row["before"] == pytest.approx(score(y, p))
    assert row["after"] == pytest.approx(score(y, after))
    assert row["change"] == pytest.approx(row["after"] - row["before"])
    assert min(better * row["change_low"], better * row["change_high"]) > 0
    if kind == "binary":
        assert roc_auc_score(y, after) == pytest.approx(roc_auc_score(y, p))


def test_what_is_calibrated_stays_about_as_it_is():
    y_fit, fit_pred = case("binary", 3, 40_000)
    y_again, again_pred = case("binary", 5, 40_000)
    _, p = case("binary", 4)
    right = calibration.recalibrate("binary", y_fit, fit_pred, p)
    right_again = calibration.recalibrate("binary", y_fit, fit_pred, again_pred)
    once_more = calibration.recalibrate("binary", y_again, right_again, right)
    assert np.abs(right - p).max() > 0.2
    assert np.abs(once_more - right).max() < 0.03


@pytest.mark.parametrize(("kind", "y"), [("binary", [1.0, 1, 1]), ("continuous", [1.0, 2, 3])])
def test_no_line_is_one_clear_error(kind, y):
    with pytest.raises(InputError, match="on 3 validation people has no line"):
        calibration.recalibrate(kind, np.array(y), np.full(3, 0.4), np.array([0.2]))
