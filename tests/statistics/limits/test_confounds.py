import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from pydantic import ValidationError
from scipy.special import expit, logit
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from ukb_brain.errors import InputError
from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.limits.confounds import (
    confound_design,
    confounds_baseline,
    gain_beyond_confounds,
    stack,
)
from ukb_brain.statistics.settings import Reporting


def cohort(n=300, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "site": rng.choice([11025.0, 11026, 11027], n),
            "sex": (rng.random(n) < 0.47).astype(float),
            "age": rng.uniform(45, 82, n),
            "head_size": rng.normal(1.3, 0.1, n),
        }
    )


def first(n, k):
    return np.arange(n) < k


def test_design_is_that_of_scikit_learn():
    table, train = cohort(), first(300, 200)
    X, names = confound_design(table, train, "weight")
    sites = OneHotEncoder(sparse_output=False).fit_transform(table[["site"]])
    squared = (table["age"] - table["age"][train].mean()) ** 2
    raw = np.column_stack([sites, table["sex"], table["age"], squared, table["head_size"]])
    expected = StandardScaler().fit(raw[train]).transform(raw)
    order = [*names[:5], "age squared", "head_size"]
    assert order[:5] == ["site 11025", "site 11026", "site 11027", "sex", "age"]
    np.testing.assert_allclose(X[:, [names.index(one) for one in order]], expected, atol=1e-9)


@pytest.mark.parametrize(
    ("target", "left_out"), [("age", {"age", "age squared"}), ("sex", {"sex"})]
)
def test_the_target_is_no_confound_of_itself(target, left_out):
    table, train = cohort(), first(300, 200)
    names = set(confound_design(table, train, "weight")[1])
    assert names - set(confound_design(table, train, target)[1]) == left_out


def test_covariates_enter_only_where_they_are_asked_for():
    table, train = cohort(), first(300, 200)
    rng = np.random.default_rng(1)
    table["deprivation"] = rng.normal(-1, 3, 300)
    # White, British, Irish, mixed, Indian; do not know.
    table["ethnic_background"] = rng.choice([1.0, 1001, 1002, 2001, 3001, -1], 300)
    _, without = confound_design(table, train, "weight")
    X, names = confound_design(table, train, "weight", ("deprivation", "ethnic_background"))
    ethnic = ["ethnic_background 1", "ethnic_background 2", "ethnic_background 3"]
    assert set(names) - set(without) == {"deprivation", *ethnic}
    white = X[:, names.index(ethnic[0])]
    known = table["ethnic_background"] > 0
    assert (np.abs(white[~known]) < 1e-12).all()
    np.testing.assert_array_equal(
        white[known] > 0, table.loc[known, "ethnic_background"].isin([1, 1001, 1002])
    )
    assert "deprivation" not in confound_design(table, train, "deprivation", ("deprivation",))[1]


def test_what_is_not_known_is_the_training_mean():
    table, train = cohort(), first(300, 200)
    table.loc[250, "head_size"] = np.nan
    table.loc[251, "site"] = np.nan
    table.loc[252, "site"] = 11028.0
    table["head_motion"] = np.nan
    X, names = confound_design(table, train, "weight")
    assert X[250, names.index("head_size")] == 0
    assert (X[[251, 252], :3] == 0).all()
    assert not any("11028" in name or "motion" in name for name in names)
    assert np.isfinite(X).all()


def test_people_outside_training_do_not_touch_the_design_of_others():
    table, train = cohort(), first(300, 200)
    changed = table.copy()
    changed.loc[200:, ["age", "head_size"]] *= 3
    np.testing.assert_array_equal(
        confound_design(table, train, "hb")[0][:200], confound_design(changed, train, "hb")[0][:200]
    )


def test_a_table_without_age_is_one_clear_error():
    with pytest.raises(InputError, match="no column age, sex"):
        confound_design(cohort()[["site"]], first(300, 200), "hb")
    with pytest.raises(InputError, match="no training people"):
        confound_design(cohort(), first(300, 0), "hb")


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_baseline_recovers_planted_confounds(kind):
    n, rng = 3000, np.random.default_rng(1)
    table, train = cohort(n, 1), first(n, 2000)
    age = (table["age"].to_numpy() - 64) / 10
    signal = 0.8 * age + 1.0 * table["sex"].to_numpy() - 0.4 * age**2
    if kind == "binary":
        y = (rng.random(n) < expit(signal - 0.5)).astype(float)
        score = roc_auc_score
    else:
        y, score = 100 + signal + rng.normal(size=n), r2_score
    y_seen = np.where(train & (rng.random(n) < 0.95), y, np.nan)
    X, _ = confound_design(table, train, "weight")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predicted = confounds_baseline(kind, y_seen, X, train, np.arange(n))
    truth = signal + (100 if kind == "continuous" else 0)
    best = score(y[~train], truth[~train])
    assert score(y[~train], predicted[~train]) == pytest.approx(best, abs=0.015)
    assert best > (0.7 if kind == "binary" else 0.4)
    if kind == "binary":
        assert predicted[~train].mean() == pytest.approx(y[~train].mean(), abs=0.03)


def test_truth_outside_training_is_not_used():
    table, train = cohort(), first(300, 200)
    X, _ = confound_design(table, train, "weight")
    y = table["age"].to_numpy() + np.random.default_rng(2).normal(size=300)
    hidden = np.where(train, y, -1000.0)
    np.testing.assert_array_equal(
        confounds_baseline("continuous", y, X, train, np.arange(300)),
        confounds_baseline("continuous", hidden, X, train, np.arange(300)),
    )


def test_no_confounds_give_the_mean_and_one_class_an_error():
    train = first(40, 30)
    y = np.arange(40.0) % 2
    flat = confounds_baseline("binary", y, np.empty((40, 0)), train, np.arange(40))
    np.testing.assert_allclose(flat, 0.5)
    with pytest.raises(InputError, match="30 training people of 30 families with 1 distinct"):
        confounds_baseline("binary", np.ones(40), np.empty((40, 0)), train, np.arange(40))


def test_every_further_confound_can_be_asked_for_and_nothing_else():
    asked = Reporting(covariates="table_position+medication_insulin").covariates
    assert asked == ("table_position", "medication_insulin")
    with pytest.raises(ValidationError, match="nose: expected some of head_size"):
        Reporting(covariates=("nose",))


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
    both = np.column_stack([baseline, cell])
    alone = stack(kind, y[val], both[val, :1], both[test, :1])
    together = stack(kind, y[val], both[val], both[test])
    weights = FamilyDraws(range(n[2]), draws, seed).weights(range(n[2]))
    predicted = np.column_stack([alone, alone, together])
    row = gain_beyond_confounds(kind, y[test], predicted, weights)
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


def test_date_is_a_spline_over_the_days_of_training_people():
    table, train = cohort(), first(300, 200)
    table["date"] = np.random.default_rng(1).uniform(0, 3000, 300)
    table.loc[250, "date"] = np.nan
    X, names = confound_design(table, train, "weight")
    columns = [k for k, name in enumerate(names) if name.startswith("date ")]
    assert len(columns) == 5
    assert (X[250, columns] == 0).all()
    # A drift that bends is followed, and a date beyond those of training changes nothing more.
    drift = np.sin(table["date"] / 500)
    known = train & table["date"].notna()
    fit = sm.OLS(drift[known], sm.add_constant(X[known][:, columns])).fit()
    assert fit.rsquared > 0.6
    table.loc[[260, 261], "date"] = [5000, 9000]
    later = confound_design(table, train, "weight")[0]
    np.testing.assert_array_equal(later[260, columns], later[261, columns])
    # Without dates it is as it was.
    plain = confound_design(table.drop(columns="date"), train, "weight")
    assert plain[1] == [name for name in names if not name.startswith("date ")]


def test_phases_of_a_site_have_columns_of_their_own():
    table, train = cohort(), first(300, 200)
    table["phase"] = np.where(table["site"] == 11025, np.arange(300) % 2, 0)
    names = confound_design(table, train, "weight")[1]
    found = [name for name in names if name.startswith("site and phase")]
    assert found == [f"site and phase {code}" for code in (1102500, 1102501, 1102600, 1102700)]
