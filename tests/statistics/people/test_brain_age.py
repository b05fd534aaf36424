import inspect

import numpy as np
import pytest
import statsmodels.api as sm

from ukb_brain.errors import InputError
from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.people import brain_age


def people(seed, n=500):
    """Predicted ages that regress to the mean."""
    rng = np.random.default_rng(seed)
    age = rng.uniform(45, 82, n)
    return age, 64 + 0.5 * (age - 64) + rng.normal(0, 4, n)


def test_gap_is_the_residual_of_statsmodels():
    age, predicted = people(0)
    line = brain_age.fit_age_line(age, predicted)
    fit = sm.OLS(predicted, sm.add_constant(age)).fit()
    assert line[::-1].tolist() == pytest.approx(list(fit.params))
    gap = brain_age.brain_age_gap(line, age, predicted)
    np.testing.assert_allclose(gap, fit.resid, atol=1e-9)


def test_gap_of_other_people_no_longer_depends_on_age():
    line = brain_age.fit_age_line(*people(1, 4000))
    age, predicted = people(2, 4000)
    gap = brain_age.brain_age_gap(line, age, predicted)
    weights = FamilyDraws(range(4000), 200, 1).weights(range(4000))
    row = brain_age.gap_dependence(age, predicted, gap, weights)
    assert row["raw_with_age"] == pytest.approx(np.corrcoef(age, predicted - age)[0, 1])
    assert row["raw_with_age_high"] < -0.7
    # The line and the correlation have a standard error of 0.016 each.
    assert abs(row["gap_with_age"]) < 0.07


def test_an_older_brain_has_a_larger_gap_by_as_much():
    line = brain_age.fit_age_line(*people(3))
    age, predicted = people(4)
    older = brain_age.brain_age_gap(line, age, predicted + 2.5)
    np.testing.assert_allclose(older - brain_age.brain_age_gap(line, age, predicted), 2.5)


def test_corrected_ages_of_noise_would_look_like_success():
    rng = np.random.default_rng(5)
    age = rng.uniform(45, 82, 1000)
    noise = 64 + rng.normal(0, 1, 1000)
    line = brain_age.fit_age_line(age[:500], noise[:500])
    gap = brain_age.brain_age_gap(line, age[500:], noise[500:])
    assert abs(np.corrcoef(age[500:], noise[500:])[0, 1]) < 0.1
    assert np.corrcoef(age[500:], age[500:] + gap)[0, 1] > 0.98


def test_no_function_gives_a_corrected_score():
    public = [
        one
        for name, one in inspect.getmembers(brain_age, inspect.isfunction)
        if one.__module__ == brain_age.__name__
    ]
    assert {one.__name__ for one in public} == {
        *("fit_age_line", "brain_age_gap", "gap_dependence", "gaps", "gap_table")
    }
    age, predicted = people(6, 60)
    gap = brain_age.brain_age_gap(brain_age.fit_age_line(age, predicted), age, predicted)
    row = brain_age.gap_dependence(age, predicted, gap, np.ones((2, 60)))
    assert {name.split("_with")[0] for name in row} == {"raw", "gap"}


@pytest.mark.parametrize("age", [np.full(20, 60.0), np.arange(9.0)])
def test_too_little_to_draw_a_line_through(age):
    with pytest.raises(InputError, match=f"line through {len(age)} validation people"):
        brain_age.fit_age_line(age, age)
