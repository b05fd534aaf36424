import numpy as np
import pandas as pd
import pytest
from reporting_cases import study_grid
from scipy.optimize import minimize_scalar

from ukb_brain.statistics.mixed_models import analysable, fit_domains, fit_random_intercept
from ukb_brain.tables import schemas

GRID = study_grid()


def invented_cells(sd_target=0.08, sd_residual=0.02, seed=0):
    rng = np.random.default_rng(seed)
    level = {key: 0.6 + rng.normal(0, sd_target) for key in GRID.targets}
    rows = []
    for cell in GRID.cells:
        flags = GRID.flags(cell.inputs)
        outcome = level[cell.target] + 0.03 * flags["t1"] - 0.01 * flags["rsfmri"]
        rows.append(
            {"target": cell.target, "domain": GRID.targets[cell.target].domain}
            | flags
            | {"balanced_accuracy": outcome + rng.normal(0, sd_residual)}
        )
    return pd.DataFrame(rows)


def profile(ratio, X, y, groups):
    """Restricted log-likelihood written out with dense matrices (Harville, 1974)."""
    n, p = X.shape
    inverse = np.linalg.inv(np.eye(n) + ratio * np.equal.outer(groups, groups))
    information = X.T @ inverse @ X
    beta = np.linalg.inv(information) @ X.T @ inverse @ y
    rest = y - X @ beta
    variance = rest @ inverse @ rest / (n - p)
    logdet = -np.linalg.slogdet(inverse)[1] + np.linalg.slogdet(information)[1]
    value = -0.5 * ((n - p) * np.log(2 * np.pi * variance) + logdet + n - p)
    return value, beta, np.sqrt(variance * np.diag(np.linalg.inv(information))), variance


def test_every_domain_agrees_with_a_direct_maximisation():
    cells = invented_cells()
    table = fit_domains(cells, GRID)
    schemas.MixedModels.validate(table)
    for domain, rows in table.groupby("domain"):
        mine = cells[cells["domain"] == domain]
        terms = rows["term"].tolist()[1:]
        X = np.column_stack(
            [np.ones(len(mine))] + [mine[t.split(":")].to_numpy(float).prod(axis=1) for t in terms]
        )
        y, groups = mine["balanced_accuracy"].to_numpy(), mine["target"].to_numpy()
        best = minimize_scalar(
            lambda log, X=X, y=y, g=groups: -profile(np.exp(log), X, y, g)[0],
            bounds=(-8, 8),
            method="bounded",
            options={"xatol": 1e-8},
        )
        value, beta, error, variance = profile(np.exp(best.x), X, y, groups)
        first = rows.iloc[0]
        np.testing.assert_allclose(rows["estimate"], beta, atol=1e-7)
        np.testing.assert_allclose(rows["std_error"], error, rtol=1e-3)
        assert first["log_likelihood"] == pytest.approx(value, abs=1e-5)
        assert first["sd_residual"] == pytest.approx(np.sqrt(variance), rel=1e-4)
        assert first["sd_target"] == pytest.approx(np.sqrt(np.exp(best.x) * variance), rel=2e-3)


def test_the_studys_terms_and_degrees_of_freedom():
    table = fit_domains(invented_cells(), GRID)
    terms = table.groupby("domain")["term"].apply(list).to_dict()
    assert terms == {
        "constitutional": ["intercept", "t1", "dwi", "rsfmri"],
        "psychology": ["intercept", "serology", "disease", "t1", "dwi", "rsfmri"],
        "disease": ["intercept", "serology", "psychology", "t1", "dwi", "rsfmri"],
        "serology": ["intercept", "disease", "psychology", "t1", "dwi", "t1:dwi", "rsfmri"],
    }
    first = table.groupby("domain")[["df", "n"]].first()
    assert first["n"].to_dict() == {
        "constitutional": 28, "disease": 160, "psychology": 384, "serology": 128,
    }  # fmt: skip
    assert first["df"].to_dict() == {
        "constitutional": 21, "disease": 150, "psychology": 367, "serology": 118,
    }  # fmt: skip
    assert ((table["low"] < table["estimate"]) & (table["estimate"] < table["high"])).all()


def test_effects_of_a_balanced_grid_are_differences_of_means():
    cells = invented_cells()
    table = fit_domains(cells, GRID).set_index(["domain", "term"])
    mine = cells[cells["domain"] == "psychology"]
    means = mine.groupby("t1")["balanced_accuracy"].mean()
    assert table.loc[("psychology", "t1"), "estimate"] == pytest.approx(means[True] - means[False])


def test_no_variance_between_targets_gives_least_squares():
    rng = np.random.default_rng(5)
    groups = np.repeat(np.arange(4), 8)
    X = np.column_stack([np.ones(32), np.tile([0, 1], 16)])
    y = 0.6 + 0.02 * X[:, 1] + rng.normal(0, 0.02, 32)
    for group in range(4):
        y[groups == group] -= (y[groups == group] - 0.61).mean()
    fit = fit_random_intercept(X, y, groups)
    assert fit.sd_target == 0
    np.testing.assert_allclose(fit.estimate, np.linalg.lstsq(X, y, rcond=None)[0], atol=1e-12)


@pytest.mark.parametrize(
    ("keep", "reason"),
    [
        (lambda c: c["target"] == "age", "1 target"),
        (lambda c: ~c["t1"], "do not tell the terms apart"),
        (lambda c: c["target"].eq("none"), "0 target"),
        (lambda c: c["target"].isin(["age", "sex"]) & ~c["dwi"] & ~c["t1"], "too few"),
    ],
)
def test_a_model_that_cannot_be_fitted_keeps_its_rows_and_says_why(keep, reason):
    cells = invented_cells()
    cells = cells[(cells["domain"] != "constitutional") | keep(cells)]
    table = fit_domains(cells, GRID)
    schemas.MixedModels.validate(table)
    rows = table[table["domain"] == "constitutional"]
    assert rows["term"].tolist() == ["intercept", "t1", "dwi", "rsfmri"]
    assert rows["model"].str.contains(reason).all()
    assert rows[["estimate", "p", "sd_target"]].isna().all(axis=None)
    assert table[table["domain"] != "constitutional"]["estimate"].notna().all()


def test_continuous_targets_bring_their_median_split():
    table = pd.DataFrame(
        {
            "kind": ["binary", "continuous", "binary"],
            "balanced_accuracy": [0.6, np.nan, np.nan],
            "median_split_accuracy": [np.nan, 0.7, 0.9],
        }
    )
    np.testing.assert_array_equal(analysable(table)["balanced_accuracy"], [0.6, 0.7, np.nan])
