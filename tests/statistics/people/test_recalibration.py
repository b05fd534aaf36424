import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit
from sklearn.metrics import brier_score_loss, r2_score, roc_auc_score

from ukb_brain.errors import InputError
from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.people.recalibration import recalibrate, recalibration_effect


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
    np.testing.assert_allclose(recalibrate("binary", y, p, new), expected, atol=1e-7)
    y, p = case("continuous", 0)
    expected = sm.OLS(y, sm.add_constant(p)).fit().predict(sm.add_constant(new))
    np.testing.assert_allclose(recalibrate("continuous", y, p, new), expected, atol=1e-9)


@pytest.mark.parametrize(("kind", "better"), [("binary", -1), ("continuous", 1)])
def test_planted_miscalibration_is_repaired_on_people_it_was_not_fitted_on(kind, better):
    y_fit, fit_pred = case(kind, 1)
    y, p = case(kind, 2)
    weights = FamilyDraws(range(600), 300, 1).weights(range(600))
    after = recalibrate(kind, y_fit, fit_pred, p)
    row = recalibration_effect(kind, y, p, after, weights)
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
    right = recalibrate("binary", y_fit, fit_pred, p)
    right_again = recalibrate("binary", y_fit, fit_pred, again_pred)
    once_more = recalibrate("binary", y_again, right_again, right)
    assert np.abs(right - p).max() > 0.2
    assert np.abs(once_more - right).max() < 0.03


@pytest.mark.parametrize(("kind", "y"), [("binary", [1.0, 1, 1]), ("continuous", [1.0, 2, 3])])
def test_no_line_is_one_clear_error(kind, y):
    with pytest.raises(InputError, match="on 3 validation people has no line"):
        recalibrate(kind, np.array(y), np.full(3, 0.4), np.array([0.2]))
