import logging

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
from reporting_cases import SEED, family_draws, invented_folds, small_grid

from ukb_brain.errors import InputError
from ukb_brain.metrics import RECOMMENDED
from ukb_brain.statistics.scores.performance import performance_columns, score_all, score_map
from ukb_brain.statistics.scores.published import published_layout
from ukb_brain.statistics.scores.target_predictions import gather_targets
from ukb_brain.tables import reported

FOLDS, SEEDS = 3, 2
INPUTS = "FLAIR + T1"


@pytest.fixture(scope="module")
def grid():
    return small_grid("sex", "age")


@pytest.fixture(scope="module")
def tables(grid):
    return invented_folds(grid, folds=FOLDS, seeds=SEEDS)


@pytest.fixture(scope="module")
def table(grid, tables):
    return score_map(*tables, grid, "amortised", family_draws(tables, 150))


def cell_of(table, target, inputs=INPUTS):
    return table.set_index(["target", "inputs"]).loc[target, inputs]


def fitted(fits, target, **wanted):
    mine = (fits["target"] == target) & (fits["inputs"] == INPUTS)
    for name, value in wanted.items():
        mine &= fits[name] == value
    return mine


def averaged(predictions, target):
    mine = predictions[fitted(predictions, target, split="test")]
    return mine.groupby(["fold", "eid"])[["y_true", "y_pred"]].mean()


def test_tables_keep_their_contracts(grid, tables, table):
    every = score_all(*tables, grid, family_draws(tables))
    reported.performance.validate(table)
    reported.performance.validate(every)
    assert list(table.columns) == list(performance_columns(grid))
    assert len(every) == FOLDS * SEEDS * len(grid.cells)
    assert len(table) == len(grid.cells)
    assert set(table["status"]) == {"ok"}


def test_pooled_scores_are_those_of_all_people_with_seeds_averaged(tables, table):
    people = averaged(tables[0], "age")
    assert len(people) == 60
    cell, y, p = cell_of(table, "age"), people["y_true"], people["y_pred"]
    assert cell["r2"] == pytest.approx(sk.r2_score(y, p))
    assert cell["mae"] == pytest.approx(sk.mean_absolute_error(y, p))
    assert cell["pearson_r"] == pytest.approx(np.corrcoef(y, p)[0, 1])
    people = averaged(tables[0], "sex")
    brier = sk.mean_squared_error(people["y_true"], people["y_pred"])
    assert cell_of(table, "sex")["brier"] == pytest.approx(brier)
    assert cell["r2_low"] < cell["r2"] < cell["r2_high"]


def test_areas_and_accuracies_are_means_of_folds_at_their_own_thresholds(tables, table):
    by_fold = [fold for _, fold in averaged(tables[0], "sex").groupby("fold")]
    sizes = [len(fold) for fold in by_fold]
    assert sizes == [15, 15, 30]
    areas = [sk.roc_auc_score(fold["y_true"], fold["y_pred"]) for fold in by_fold]
    accuracies = [
        sk.balanced_accuracy_score(fold["y_true"], fold["y_pred"] > 0.4 + at / 10)
        for at, fold in enumerate(by_fold)
    ]
    cell = cell_of(table, "sex")
    assert cell["roc_auc"] == pytest.approx(np.average(areas, weights=sizes))
    assert cell["balanced_accuracy"] == pytest.approx(np.average(accuracies, weights=sizes))


def test_counts_are_of_all_folds(tables, table):
    cell = cell_of(table, "age")
    assert cell[["n_train", "n_test", "seed"]].tolist() == [101, 60, SEED]
    assert cell["train_seconds"] == pytest.approx(6.0 * FOLDS * SEEDS)


def test_the_spread_is_that_of_each_seed_s_own_map(grid, tables, table):
    predictions, fits, participants = tables
    alone = [
        score_map(
            predictions[predictions["seed"] == seed],
            fits[fits["seed"] == seed],
            participants,
            grid,
            "amortised",
            family_draws(tables),
        )
        for seed in (SEED, SEED + 1)
    ]
    for metric in RECOMMENDED:
        spread = np.std([one[metric] for one in alone], axis=0, ddof=1)
        np.testing.assert_allclose(table[f"{metric}_seed_sd"], spread, atol=1e-12, err_msg=metric)
    assert (table["mae_seed_sd"].dropna() > 0).all()
    assert alone[0]["mae_seed_sd"].isna().all()
    assert [one["seed"].unique().tolist() for one in alone] == [[SEED], [SEED + 1]]


def test_a_seed_that_failed_in_a_fold_counts_in_none(grid, tables, table, caplog):
    predictions, fits, participants = tables
    fits = fits.copy()
    fits.loc[fitted(fits, "age", fold=2, seed=SEED), "status"] = "did not converge"
    with caplog.at_level(logging.WARNING):
        found = score_map(
            predictions,
            fits,
            participants,
            grid,
            "amortised",
            family_draws(tables),
        )
    assert "1 cells average fewer seeds" in caplog.text
    mine = predictions[fitted(predictions, "age", split="test", seed=SEED + 1)]
    cell = cell_of(found, "age")
    assert cell["status"] == "ok"
    assert cell["r2"] == pytest.approx(sk.r2_score(mine["y_true"], mine["y_pred"]))
    assert np.isnan(cell["r2_seed_sd"])
    others = (found["target"] != "age") | (found["inputs"] != INPUTS)
    pd.testing.assert_series_equal(found.loc[others, "mae"], table.loc[others, "mae"])


def test_a_cell_whose_fold_has_no_score_is_empty_and_says_so(grid, tables):
    predictions, fits, participants = tables
    failed = fits.copy()
    failed.loc[fitted(failed, "age", fold=1), "status"] = "did not converge"
    failed = failed[~fitted(failed, "sex", fold=0)]
    found = score_map(
        predictions,
        failed,
        participants,
        grid,
        "amortised",
        family_draws(tables),
    )
    assert cell_of(found, "age")["status"] == "1 of 3 folds: did not converge"
    assert cell_of(found, "sex")["status"] == "1 of 3 folds: not fitted"
    assert cell_of(found, "age").filter(regex="r2|mae|pearson|median").isna().all()
    assert cell_of(found, "age")["n_test"] == 60
    every = score_all(predictions, failed, participants, grid, family_draws(tables))
    rest = every[fitted(every, "age", seed=SEED)].set_index("fold")["r2"]
    assert rest.notna().to_dict() == {0: True, 1: False, 2: True}
    targets = gather_targets(predictions, failed, participants, grid, "amortised")
    published = published_layout(found, targets, failed, grid).set_index(["Target", "Inputs"])
    assert published.loc[[("Age", INPUTS)], "r2"].isna().all()
    assert published.loc[[("Sex (Male)", INPUTS)], "Weighted F1"].isna().all()


def test_seeds_of_different_people_are_refused(grid, tables):
    predictions, fits, participants = tables
    lost = fitted(predictions, "age", seed=SEED, split="test") & (predictions["eid"] == 9000001)
    with pytest.raises(InputError, match="different test people") as caught:
        score_map(
            predictions[~lost],
            fits,
            participants,
            grid,
            "amortised",
            family_draws(tables),
        )
    assert "9000001" not in str(caught.value)


def test_the_order_of_rows_changes_nothing(grid, tables, table):
    shuffled = [frame.sample(frac=1, random_state=3) for frame in tables]
    again = score_map(*shuffled, grid, "amortised", family_draws(tables, 150))
    pd.testing.assert_frame_equal(again, table, rtol=1e-12)


def test_the_published_layout_sums_time_and_averages_the_rest(grid, tables, table):
    predictions, fits, _ = tables
    targets = gather_targets(*tables, grid, "amortised")
    published = published_layout(table, targets, fits, grid).set_index(["Target", "Inputs"])
    sex = published.loc[("Sex (Male)", INPUTS)]
    assert sex["Training time (mins)"] == pytest.approx(0.1 * FOLDS * SEEDS)
    assert sex["Loss"] == pytest.approx(1.5)
    reports = [
        sk.classification_report(
            fold["y_true"], fold["y_pred"] > 0.4 + at / 10, output_dict=True, zero_division=0
        )["macro avg"]
        for at, fold in averaged(predictions, "sex").groupby("fold")
    ]
    for column, name in {"precision": "precision", "recall": "recall", "F1": "f1-score"}.items():
        expected = np.average([r[name] for r in reports], weights=[r["support"] for r in reports])
        assert sex[f"Weighted {column}"] == pytest.approx(expected)
    # Folds are of different sizes, which all columns weigh alike.
    assert sex["Weighted recall"] == pytest.approx(cell_of(table, "sex")["balanced_accuracy"])
