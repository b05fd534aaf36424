import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

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
