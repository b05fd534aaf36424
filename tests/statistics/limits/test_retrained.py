import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
from plain_scores import r2, roc_auc, score_with_interval
from reporting_cases import study_grid

from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.limits.retrained import (
    AS_IT_IS,
    SCORED,
    draw_skills,
    score_learning_curves,
    score_left_out_sites,
    score_model_scale,
)
from ukb_brain.tables import reported

GRID = study_grid()
INPUTS = GRID.inputs(tuple(GRID.imaging), ()).name
N, DRAWS, SEED = 160, 300, 3
SUBSETS = {10: (0.25, 0), 11: (0.25, 1), 20: (0.5, 0), 21: (0.5, 1), 0: (1.0, 0)}
CURVES = ["target", "inputs", "strategy"]


def people(folds, members=1, seed=0):
    """Predictions of age and sex that get better with the share of training people."""
    rng = np.random.default_rng(seed)
    y = {"age": rng.normal(60, 8, N), "sex": (rng.random(N) < 0.5).astype(float)}
    tables, fits = [], []
    for fold, (share, _) in folds.items():
        for member in range(members):
            for target, true in y.items():
                noise = rng.normal(0, 1, N) * true.std() * (1.2 - share)
                predicted = true + noise
                key = {"target": target, "inputs": INPUTS, "strategy": "linear", "fold": fold}
                key["seed"] = SEED + member
                tables.append(
                    pd.DataFrame({"eid": np.arange(N) + 1, "instance": 2, "split": "test"}).assign(
                        y_true=true, y_pred=predicted, **key
                    )
                )
                counts = {"n_train": int(800 * share), "n_val": 9, "n_test": N, "status": "ok"}
                marks = {"decision_threshold": 0.5, "train_median": 60.0, "train_seconds": 1.0}
                fits.append(key | counts | marks)
    everybody = pd.DataFrame({"eid": np.arange(N) + 1, "instance": 2, "family": np.arange(N) // 2})
    return pd.concat(tables, ignore_index=True), pd.DataFrame(fits), everybody


def skills_of(*given):
    return draw_skills(*given, GRID, DRAWS, 0.95, SEED)


def row_of(skills, target):
    (row,) = skills[skills["target"] == target].to_dict("records")
    return row


def test_skills_are_those_of_sklearn_and_intervals_those_of_the_map():
    predictions, fits, everybody = people({0: (1.0, 0)})
    skills = skills_of(predictions, fits, everybody)
    weights = FamilyDraws(range(N), DRAWS, SEED).weights(np.arange(N) // 2)
    for target, score, of_sklearn in (
        ("age", r2, sk.r2_score),
        ("sex", roc_auc, sk.roc_auc_score),
    ):
        mine = predictions[predictions["target"] == target]
        y, p = mine["y_true"].to_numpy(), mine["y_pred"].to_numpy()
        found = row_of(skills, target)
        scale = (lambda s: 2 * s - 1) if target == "sex" else (lambda s: s)
        assert found["skill"] == pytest.approx(scale(of_sklearn(y, p)))
        assert found["score"] == pytest.approx(of_sklearn(y, p))
        # Sex is read without fail: its area is 1 in every draw, which is no interval.
        _, low, high = score_with_interval(score, y, p, weights)
        assert np.isnan(low) == (target == "sex")
        expected = np.nan_to_num([scale(low), scale(high)], nan=1)
        np.testing.assert_allclose(np.quantile(found["draws"], [0.025, 0.975]), expected)


def test_seeds_are_an_ensemble():
    predictions, fits, everybody = people({0: (1.0, 0)}, members=2)
    found = row_of(skills_of(predictions, fits, everybody), "age")
    mine = predictions[predictions["target"] == "age"]
    mean = mine.groupby("eid")[["y_true", "y_pred"]].mean()
    assert found["skill"] == pytest.approx(sk.r2_score(mean["y_true"], mean["y_pred"]))


def test_curves_and_their_fits():
    predictions, fits, everybody = people(SUBSETS)
    lost = (fits["fold"] == 21) & (fits["target"] == "sex")
    fits.loc[lost, "status"] = "no solution"
    skills = skills_of(predictions, fits, everybody)
    curves, laws = score_learning_curves(skills, SUBSETS, GRID, 0.95, SEED)
    reported.learning_curves.validate(curves)
    reported.learning_curve_fits.validate(laws)
    assert curves["target"].tolist() == ["sex"] * 5 + ["age"] * 5
    age = curves[curves["target"] == "age"]
    assert age["share"].tolist() == [0.25, 0.25, 0.5, 0.5, 1.0]
    assert age["n_train"].tolist() == [200, 200, 400, 400, 800]
    assert curves["skill"].isna().sum() == 1
    sex, law = (laws[laws["target"] == t].iloc[0] for t in ("sex", "age"))
    assert law["shape"] == "rising"
    assert law["n_largest"] == 800
    assert law["rise"] == pytest.approx(age["skill"].iloc[4] - age["skill"].iloc[:2].mean())
    assert sex["n_sizes"] == 3
    assert law["training_sd"] > 0


def test_a_cell_without_scores_keeps_its_place():
    predictions, fits, everybody = people(SUBSETS)
    fits.loc[fits["target"] == "sex", "status"] = "one class"
    skills = skills_of(predictions, fits, everybody)
    curves, laws = score_learning_curves(skills, SUBSETS, GRID, 0.95, SEED)
    reported.learning_curves.validate(curves)
    reported.learning_curve_fits.validate(laws)
    assert laws.set_index("target").loc["sex", "shape"] == "too few sizes"
    assert set(curves.loc[curves["target"] == "sex", "status"]) == {"one class"}


def test_empty_tables_keep_their_schemas():
    curves, laws = score_learning_curves(pd.DataFrame(columns=SCORED), {}, GRID, 0.95, SEED)
    reported.learning_curves.validate(curves)
    reported.learning_curve_fits.validate(laws)
    reported.model_scale.validate(score_model_scale({}, {}, "", GRID, 0.95))
    assert len(curves) == len(laws) == 0


def test_sites_are_scored_alone_and_together():
    """Each person is tested by the model of the other sites."""
    predictions, fits, everybody = people({0: (1.0, 0), 1: (1.0, 0)})
    first = np.arange(N) < 60
    at = np.where(first, 0, 1)[predictions["eid"] - 1]
    predictions = predictions[predictions["fold"] == at]
    fits["n_test"] = np.where(fits["fold"] == 0, 60, N - 60)
    given = (predictions, fits, everybody, {0: "11025", 1: "11026"}, ["linear"], GRID)
    table = score_left_out_sites(*given, DRAWS, 0.95, SEED)
    reported.left_out_sites.validate(table)
    assert table["site"].tolist() == ["11025", "11026", "all"] * 2
    rows = table.set_index(["target", "site"])
    sex = predictions[predictions["target"] == "sex"]
    alone = [sk.roc_auc_score(s["y_true"], s["y_pred"]) for _, s in sex.groupby("fold")]
    for site, auc in zip(("11025", "11026"), alone, strict=True):
        assert rows.loc[("sex", site), "score"] == pytest.approx(auc)
    assert rows.loc[("sex", "all"), "score"] == pytest.approx(np.average(alone, weights=[60, 100]))
    age = predictions[predictions["target"] == "age"]
    together = sk.r2_score(age["y_true"], age["y_pred"])
    assert rows.loc[("age", "all"), "skill"] == pytest.approx(together)
    assert rows.loc[("age", "all"), "n_test"] == N


def drawn_of(skill, draws, status="ok", strategy="amortised"):
    names = {"target": "age", "inputs": INPUTS, "strategy": strategy, "fold": 0}
    names |= {"kind": "continuous", "metric": "R²", "n_train": 800, "n_test": N}
    return pd.DataFrame([names | {"status": status, "skill": skill, "draws": draws}])


def test_gains_of_models_are_paired():
    rng = np.random.default_rng(0)
    shared, own = rng.normal(0, 0.05, 20_000), rng.normal(0, 0.01, 20_000)
    base, wide = drawn_of(0.5, 0.5 + shared), drawn_of(0.53, 0.53 + shared + own)
    linear = drawn_of(0.45, 0.45 + shared, strategy="linear")
    skills = {
        AS_IT_IS: pd.concat([base, linear]),
        "wide": wide,
        "lost": drawn_of(np.nan, np.full(20_000, np.nan), "failed"),
    }
    counts = {AS_IT_IS: 100.0, "wide": 400.0, "lost": np.nan}
    table = score_model_scale(skills, counts, "amortised", GRID, 0.95)
    reported.model_scale.validate(table)
    rows = table.set_index(["variant", "strategy"])
    gain = rows.loc[("wide", "amortised")]
    assert gain["gain"] == pytest.approx(0.03)
    # What both share, five times as large, is gone.
    assert gain["gain_se"] == pytest.approx(0.01, rel=0.03)
    assert gain["gain_low"] == pytest.approx(0.03 - 1.96 * 0.01, abs=6e-4)
    assert rows.loc[(AS_IT_IS, "amortised"), "gain"] == 0
    assert rows.loc[(AS_IT_IS, "linear"), "gain"] == pytest.approx(-0.05)
    assert np.isnan(rows.loc[(AS_IT_IS, "linear"), "parameters"])
    assert np.isnan(rows.loc[("lost", "amortised"), "gain"])
