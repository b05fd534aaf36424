import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit
from sklearn.metrics import r2_score, roc_auc_score

from ukb_brain.errors import InputError
from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.limits.beyond_confounds import (
    gain_beyond_confounds,
    stack,
    stack_on_confounds,
)
from ukb_brain.statistics.limits.confounds import confound_design, confounds_baseline


def gain(kind, seed, signal, n=(600, 200, 400), draws=300):
    """Plant a target of age and sex, and a cell that reads both and, if told, something more."""
    rng = np.random.default_rng(seed)
    total = sum(n)
    part = np.repeat(["train", "validation", "test"], n)
    table = pd.DataFrame(
        {
            "site": rng.choice([11025.0, 11026], total),
            "sex": (rng.random(total) < 0.5).astype(float),
            "age": rng.uniform(45, 82, total),
        }
    )
    carried = (table["age"].to_numpy() - 64) / 10 + table["sex"].to_numpy() - 0.5
    more = rng.normal(size=total)
    latent = carried + signal * more
    if kind == "binary":
        y = (rng.random(total) < expit(1.5 * latent)).astype(float)
    else:
        y = 50 + latent + rng.normal(size=total)
    read = carried + signal * more + 0.6 * rng.normal(size=total)
    cell = expit(read) if kind == "binary" else 50 + 0.8 * read
    train, val, test = (part == one for one in ("train", "validation", "test"))
    X, _ = confound_design(table, train, "weight")
    baseline = confounds_baseline(kind, np.where(train, y, np.nan), X, train, np.arange(total))
    alone, together = stack_on_confounds(
        kind, y[val], (baseline[val], cell[val]), (baseline[test], cell[test])
    )
    weights = FamilyDraws(range(n[2]), draws, seed).weights(range(n[2]))
    row = gain_beyond_confounds(kind, y[test], alone, together, weights)
    return row, (y[test], alone, together, cell[test])


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_stack_is_the_regression_of_statsmodels(kind):
    rng = np.random.default_rng(0)
    fit, new = rng.uniform(0.05, 0.95, (2, 150, 2))
    score = logit(fit) if kind == "binary" else fit
    if kind == "binary":
        y = (rng.random(150) < expit(score @ [0.8, 0.3])).astype(float)
        model = sm.GLM(y, sm.add_constant(score), family=sm.families.Binomial()).fit()
        expected = model.predict(sm.add_constant(logit(new)))
    else:
        y = score @ [0.8, 0.3] + rng.normal(size=150)
        expected = sm.OLS(y, sm.add_constant(score)).fit().predict(sm.add_constant(new))
    # The slight penalty of the logistic line moves probabilities by less than this.
    atol = 2e-4 if kind == "binary" else 1e-9
    np.testing.assert_allclose(stack(kind, y, fit, new), expected, atol=atol)


def test_one_class_in_validation_is_one_clear_error():
    fit = np.full((12, 2), 0.3)
    with pytest.raises(InputError, match="joined on 12 validation people of one class"):
        stack("binary", np.ones(12), fit, fit)


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_a_target_of_age_and_sex_gains_nothing(kind):
    row, (y, alone, _, cell) = gain(kind, 1, signal=0.0)
    score = roc_auc_score if kind == "binary" else r2_score
    chance = 0.5 if kind == "binary" else 0.0
    # The cell by itself looks well readable.
    assert score(y, cell) > chance + 0.2
    assert row["confounds"] == pytest.approx(score(y, alone))
    assert row["gain_low"] <= 0 <= row["gain_high"]
    assert abs(row["gain"]) < 0.01


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_a_true_signal_gains(kind):
    row, (y, alone, together, _) = gain(kind, 2, signal=1.0)
    score = roc_auc_score if kind == "binary" else r2_score
    assert row["together"] == pytest.approx(score(y, together))
    assert row["gain"] == pytest.approx(row["together"] - score(y, alone))
    assert row["gain_low"] > 0.03


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_false_gains_are_rare(kind):
    lows = [gain(kind, seed, 0.0, draws=299)[0]["gain_low"] for seed in range(200)]
    false = np.mean(np.array(lows) > 0)
    print(kind, false)
    assert false <= 0.05
