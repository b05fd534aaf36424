import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
from reporting_cases import SEED, family_draws, invented, study_grid

from ukb_brain.errors import InputError
from ukb_brain.metrics import RECOMMENDED
from ukb_brain.statistics.scores.performance import performance_columns, score_all, score_map
from ukb_brain.statistics.scores.published import COLUMNS, published_layout, read_published
from ukb_brain.statistics.scores.target_predictions import gather_targets
from ukb_brain.tables import reported


@pytest.fixture(scope="module")
def grid():
    return study_grid()


@pytest.fixture(scope="module")
def tables(grid):
    return invented(grid)


@pytest.fixture(scope="module")
def every(grid, tables):
    return score_all(*tables, grid, family_draws(tables, 120))


@pytest.fixture(scope="module")
def table(grid, tables):
    return score_map(*tables, grid, "amortised", family_draws(tables, 120))


def cell_of(table, target, inputs):
    return table.set_index(["target", "inputs"]).loc[target, inputs]


def test_tables_keep_their_contracts(grid, every, table):
    reported.performance.validate(every)
    reported.performance.validate(table)
    assert list(table.columns) == list(performance_columns(grid))
    assert list(every.columns) == list(performance_columns(grid, every=True))
    spreads = [f"{metric}_seed_sd" for metric in RECOMMENDED]
    assert list(table.columns)[-2 - len(spreads) :] == ["strategy", "seed", *spreads]
    assert (len(every), len(table)) == (1400, 700)
    assert [tuple(key) for key in table[["target", "inputs"]].to_numpy()] == [
        (cell.target, cell.inputs.name) for cell in grid.cells
    ]


def test_scores_are_of_test_people_at_the_cells_own_threshold(tables, table):
    predictions, _, _ = tables
    cell = cell_of(table, "sex", "FLAIR + T1")
    mine = predictions.query(
        "target == 'sex' and inputs == 'FLAIR + T1' and strategy == 'amortised' and split == 'test'"
    )
    y, p = mine["y_true"], mine["y_pred"]
    assert cell["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(y, p > 0.4))
    assert cell["roc_auc"] == pytest.approx(sk.roc_auc_score(y, p))
    assert cell["roc_auc_low"] < cell["roc_auc"] < cell["roc_auc_high"]
    assert pd.isna(cell["r2"])


def test_a_cell_that_failed_keeps_its_row_with_empty_metrics(table):
    guilty = table.query("target == 'guilty'")
    assert len(guilty) == 32
    assert set(guilty["status"]) == {"one class in test"}
    assert guilty.filter(regex="roc_auc|balanced|average|brier").isna().all(axis=None)


def test_cells_without_predictions_or_fits_say_so(grid, tables):
    predictions, fits, participants = tables
    age = (predictions["target"] == "age") & (predictions["inputs"] == "DWI")
    weight = (fits["target"] == "weight") & (fits["inputs"] == "DWI")
    given = predictions[~age], fits[~weight], participants, grid
    every = score_all(*given, family_draws(tables))
    table = score_map(*given, "amortised", family_draws(tables))
    assert cell_of(every, "age", "DWI")["status"].tolist() == ["no test predictions"] * 2
    assert len(table) == 700
    assert cell_of(table, "age", "DWI")["status"] == "no test predictions"
    assert cell_of(table, "weight", "DWI")["status"] == "not fitted"
    assert cell_of(table, "weight", "DWI")[["n_test", "seed"]].tolist() == [0, SEED]
    assert pd.isna(cell_of(table, "age", "DWI")["r2"])


def test_the_map_of_one_fold_and_seed_is_its_strategy_s_rows(every, table):
    rows = every.query("strategy == 'amortised'").drop(columns="fold").reset_index(drop=True)
    pd.testing.assert_frame_equal(table[rows.columns], rows, check_exact=True)
    assert table.filter(like="seed_sd").isna().all(axis=None)


def test_the_order_of_rows_changes_nothing(grid, tables, every):
    shuffled = [frame.sample(frac=1, random_state=3) for frame in tables]
    again = score_all(*shuffled, grid, family_draws(tables, 120))
    pd.testing.assert_frame_equal(again, every, check_exact=True)


def test_people_without_an_answer_are_left_out(grid, tables, every):
    predictions, fits, participants = tables
    more = predictions.query("target == 'age' and split == 'test'").assign(
        instance=3, y_true=np.nan, y_pred=0.0
    )
    visits = pd.concat([participants, participants.assign(instance=3)])
    again = score_all(pd.concat([predictions, more]), fits, visits, grid, family_draws(tables, 120))
    pd.testing.assert_frame_equal(again, every)


def test_errors_say_what_to_do_and_name_nobody(grid, tables):
    predictions, fits, participants = tables
    with pytest.raises(InputError, match=r"'dedicated'.*amortised.*linear"):
        score_map(*tables, grid, "dedicated", family_draws(tables))
    with pytest.raises(InputError, match="belong to nobody") as caught:
        score_all(predictions, fits, participants.iloc[1:], grid, family_draws(tables))
    assert "9000001" not in str(caught.value)


def test_published_layout(grid, tables, table):
    predictions, fits, _ = tables
    targets = gather_targets(*tables, grid, "amortised")
    published = published_layout(table, targets, fits, grid)
    assert list(published.columns) == COLUMNS
    assert published["Domain"].value_counts().to_dict() == {
        "Psychology": 384, "Disease": 160, "Serology": 128, "Constitutional": 28,
    }  # fmt: skip
    rows = published.set_index(["Target", "Inputs"])
    age = rows.loc["Age", "FLAIR + T1"]
    # Of a split at the training median.
    accuracy = cell_of(table, "age", "FLAIR + T1")["median_split_accuracy"]
    assert age["Balanced accuracy"] == age["Weighted recall"] == pytest.approx(accuracy)
    assert (age["Mode"], age["Metadata"], age["T1"], age["DWI"]) == ("Test", "No", "Yes", "No")
    name = "rsfMRI Connectivity + DWI + FLAIR + T1 + Non-imaging data (C + P + S)"
    smoking = rows.loc["Smoking", name]
    flags = ["Metadata", "Constitutional", "Psychology", "Serology", "Disease"]
    assert smoking[flags].tolist() == [
        "Yes", "Yes", "Yes", "Yes", "No",
    ]  # fmt: skip
    mine = predictions.query(
        "target == 'smoking' and inputs == @name and strategy == 'amortised' and split == 'test'"
    )
    report = sk.classification_report(
        mine["y_true"], mine["y_pred"] > 0.4, output_dict=True, zero_division=0
    )["macro avg"]
    assert smoking["Weighted precision"] == pytest.approx(report["precision"])
    assert smoking["Weighted recall"] == pytest.approx(report["recall"])
    assert smoking["Weighted F1"] == pytest.approx(report["f1-score"])
    assert smoking["Training time (mins)"] == pytest.approx(0.1)
    assert rows.loc["Guilty"]["AUC"].isna().all()
    assert (rows.loc["Guilty"]["r2"] == 0).all()


def test_published_layout_is_read_back(grid, tables, table, tmp_path):
    path = tmp_path / "metrics_comparison_test.csv"
    targets = gather_targets(*tables, grid, "amortised")
    published_layout(table, targets, tables[1], grid).to_csv(path)
    read = read_published(pd.read_csv(path, index_col=0), grid)
    flags = ["t1", "flair", "dwi", "rsfmri", *grid.domains]
    pd.testing.assert_frame_equal(
        read[["target", "domain", *flags]], table[["target", "domain", *flags]], check_dtype=False
    )
