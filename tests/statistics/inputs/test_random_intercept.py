from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM

from ukb_brain.statistics.inputs.mixed_models import design_matrix, terms_of
from ukb_brain.statistics.inputs.random_intercept import fit_random_intercept

NLME = Path(__file__).parent / "nlme"
VALUES = pd.read_csv(NLME / "values.csv")
RNG = np.random.default_rng


def invented(draws=6, sizes=(9, 14, 5, 20, 11), sd_group=0.5, seed=0):
    """Unbalanced groups, three fixed effects; every draw has levels and noise of its own."""
    rng = RNG(seed)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    n = len(groups)
    X = np.column_stack([np.ones(n), rng.integers(0, 2, n), rng.normal(size=n)])
    levels = rng.normal(0, sd_group, (draws, len(sizes)))
    outcomes = X @ [3.0, 0.4, -0.2] + levels[:, groups] + rng.normal(size=(draws, n))
    return X, outcomes, groups


def test_many_outcomes_agree_with_statsmodels():
    X, outcomes, groups = invented(draws=6, sd_group=1.0)
    fit = fit_random_intercept(X, outcomes, groups)
    assert (fit.sd_group > 0).all()
    # Its optimiser stops early: nowhere better than ours, and everywhere close.
    for at, y in enumerate(outcomes):
        theirs = MixedLM(y, X, groups=groups).fit(reml=True, method="powell")
        assert fit.log_likelihood[at] == pytest.approx(theirs.llf, abs=1e-5)
        assert fit.log_likelihood[at] > theirs.llf - 1e-9
        np.testing.assert_allclose(fit.estimate[at], theirs.fe_params, rtol=5e-4)
        assert fit.sd_group[at] ** 2 == pytest.approx(theirs.cov_re[0, 0], rel=5e-3)
        assert fit.sd_residual[at] ** 2 == pytest.approx(theirs.scale, rel=5e-4)
        # Its own standard errors add the uncertainty of the variances, which R's do not.
        same = np.equal.outer(groups, groups)
        variance = theirs.scale * np.eye(len(y)) + theirs.cov_re[0, 0] * same
        gls = np.sqrt(np.diag(np.linalg.inv(X.T @ np.linalg.solve(variance, X))))
        np.testing.assert_allclose(fit.std_error[at], gls, rtol=2e-3)
        assert (fit.std_error[at] <= theirs.bse_fe * (1 + 1e-4)).all()


@pytest.mark.parametrize("name", VALUES["table"].unique())
def test_weights_agree_with_nlme(name, study):
    tables = pd.read_csv(NLME / "tables.csv")
    cells = tables[tables["table"] == name]
    terms = terms_of(cells["domain"].iloc[0], study)
    fit = fit_random_intercept(
        design_matrix(cells, terms),
        cells["score"].to_numpy()[None],
        cells["target"],
        cells["weight"].to_numpy(),
    )
    theirs = VALUES.query("table == @name and weighting == 'precision'").set_index("term")
    theirs = theirs.loc[["intercept", *terms]]
    np.testing.assert_allclose(fit.estimate[0], theirs["estimate"], rtol=5e-4)
    np.testing.assert_allclose(fit.std_error[0], theirs["std_error"], rtol=5e-4)
    np.testing.assert_allclose(fit.sd_residual[0], theirs["sd_residual"], rtol=5e-4)
    np.testing.assert_allclose(fit.log_likelihood[0], theirs["log_likelihood"], rtol=5e-6)
    np.testing.assert_allclose(fit.sd_group[0], theirs["sd_target"], rtol=5e-4, atol=1e-6)


@pytest.fixture(scope="module")
def study():
    from reporting_cases import study_grid

    return study_grid()


def test_balanced_groups_give_the_estimates_of_anova():
    rng = RNG(3)
    groups = np.repeat(np.arange(8), 10)
    outcomes = rng.normal(0, 1, (40, 8))[:, groups] + rng.normal(size=(40, 80))
    fit = fit_random_intercept(np.ones((80, 1)), outcomes, groups)
    by_group = outcomes.reshape(40, 8, 10)
    within = by_group.var(axis=2, ddof=1).mean(axis=1)
    between = by_group.mean(axis=2).var(axis=1, ddof=1)
    assert (between > within / 10).all()
    np.testing.assert_allclose(fit.sd_residual**2, within, rtol=1e-6)
    np.testing.assert_allclose(fit.sd_group**2, between - within / 10, rtol=1e-5)
    np.testing.assert_allclose(fit.std_error[:, 0], np.sqrt(between / 8), rtol=1e-6)


def test_no_variance_between_groups_gives_least_squares():
    rng = RNG(5)
    groups = np.repeat(np.arange(4), 8)
    X = np.column_stack([np.ones(32), np.tile([0, 1], 16)])
    y = 0.6 + 0.02 * X[:, 1] + rng.normal(0, 0.02, 32)
    for group in range(4):
        y[groups == group] -= (y[groups == group] - 0.61).mean()
    fit = fit_random_intercept(X, y[None], groups)
    assert fit.sd_group[0] == 0
    line = stats.linregress(X[:, 1], y)
    np.testing.assert_allclose(fit.estimate[0], [line.intercept, line.slope], atol=1e-12)
    np.testing.assert_allclose(fit.std_error[0], [line.intercept_stderr, line.stderr], rtol=1e-10)


def test_a_draw_is_fitted_by_itself_and_one_with_a_gap_is_empty():
    X, outcomes, groups = invented(draws=5)
    outcomes[2, 7] = np.nan
    together = fit_random_intercept(X, outcomes, groups)
    for name, values in vars(together).items():
        assert np.isnan(values[2]).all()
        for at in (0, 1, 3, 4):
            alone = getattr(fit_random_intercept(X, outcomes[[at]], groups), name)[0]
            np.testing.assert_allclose(values[at], alone, rtol=1e-6)
    assert np.isnan(fit_random_intercept(X, outcomes[[2]], groups).estimate).all()


@settings(max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    factor=st.floats(0.01, 100),
    shift=st.lists(st.floats(-50, 50), min_size=3, max_size=3),
    sd_group=st.sampled_from([0.0, 0.3, 30.0]),
)
def test_shifted_and_scaled_outcomes_shift_and_scale_the_fit(seed, factor, shift, sd_group):
    X, outcomes, groups = invented(draws=3, sd_group=sd_group, seed=seed)
    plain = fit_random_intercept(X, outcomes, groups)
    moved = fit_random_intercept(X, factor * outcomes + X @ shift, groups)
    close = {"rtol": 1e-4, "atol": 1e-5 * factor}
    np.testing.assert_allclose(moved.estimate, factor * plain.estimate + shift, **close)
    np.testing.assert_allclose(moved.std_error, factor * plain.std_error, **close)
    np.testing.assert_allclose(moved.sd_residual, factor * plain.sd_residual, **close)
    free = len(groups) - 3
    expected = plain.log_likelihood - free * np.log(factor)
    np.testing.assert_allclose(moved.log_likelihood, expected, atol=1e-6)


def test_equal_weights_change_only_the_scale_of_the_residual():
    X, outcomes, groups = invented()
    plain = fit_random_intercept(X, outcomes, groups)
    halved = fit_random_intercept(X, outcomes, groups, np.full(len(groups), 4.0))
    np.testing.assert_allclose(halved.estimate, plain.estimate, rtol=1e-6)
    np.testing.assert_allclose(halved.sd_group, plain.sd_group, rtol=1e-6)
    np.testing.assert_allclose(halved.sd_residual, 2 * plain.sd_residual, rtol=1e-6)
    np.testing.assert_allclose(halved.log_likelihood, plain.log_likelihood, atol=1e-6)


def test_estimates_are_unbiased_and_their_intervals_cover():
    X, outcomes, groups = invented(draws=4000, seed=9)
    fit = fit_random_intercept(X, outcomes, groups)
    np.testing.assert_allclose(fit.estimate.mean(axis=0), [3.0, 0.4, -0.2], atol=0.02)
    half = stats.t.ppf(0.975, len(groups) - 5 - 2) * fit.std_error[:, 1:]
    covered = (np.abs(fit.estimate[:, 1:] - [0.4, -0.2]) < half).mean(axis=0)
    assert ((covered > 0.94) & (covered < 0.96)).all()
    assert (fit.sd_residual**2).mean() == pytest.approx(1, abs=0.02)
    assert (fit.sd_group**2).mean() == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("weights", [[1.0, 0.0], [1.0, np.inf], [1.0]])
def test_weights_must_be_positive_numbers(weights):
    with pytest.raises(ValueError, match="weights"):
        fit_random_intercept(np.ones((2, 1)), np.ones((1, 2)), [0, 1], np.array(weights))
