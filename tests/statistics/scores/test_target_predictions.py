import numpy as np
import pandas as pd
import pytest
from plain_scores import Predicted, score_folds
from reporting_cases import invented_folds, small_grid

from ukb_brain.errors import InputError
from ukb_brain.metrics import RECOMMENDED
from ukb_brain.statistics.certainty.cell_intervals import interval_table
from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.scores.performance import score_map, with_intervals
from ukb_brain.statistics.scores.target_predictions import gather_targets, people_in_test

INPUTS = "FLAIR + T1"


@pytest.fixture(scope="module")
def grid():
    return small_grid("sex", "age")


@pytest.fixture(scope="module")
def tables(grid):
    return invented_folds(grid, folds=3, seeds=2)


@pytest.fixture(scope="module")
def gathered(grid, tables):
    return gather_targets(*tables, grid, "amortised")


def scored(table, cell):
    """Score a column fold by fold, as the map does with the fits that it is made of."""
    folds, people = [], np.isfinite(table.predicted[:, cell])
    for label in table.folds:
        at = people & (table.fold == label)
        columns = (table.visit[at], table.family[at], table.y[at], table.predicted[at, cell])
        folds.append(Predicted(*columns))
    return score_folds(table.kind, folds, table.threshold[:, cell])


def test_columns_score_as_the_map_does(grid, tables, gathered):
    performance = score_map(*tables, grid, "amortised")
    assert list(gathered) == ["sex", "age"]
    for target, table in gathered.items():
        expected = performance[performance["target"] == target]
        assert list(table.inputs) == expected["inputs"].tolist()
        assert table.kind == grid.targets[target].kind
        for cell, row in enumerate(expected.to_dict("records")):
            found = scored(table, cell)
            assert list(found) == list(KINDS[table.kind].metrics)
            for metric, score in found.items():
                assert score == pytest.approx(row[metric], rel=1e-12), metric


def test_rows_are_people_in_order_with_their_families(tables, gathered):
    predictions, _, participants = tables
    table = gathered["age"]
    assert table.folds == (0, 1, 2)
    assert table.threshold.shape == (3, len(table.inputs))
    rows = pd.DataFrame(table.visit, columns=["eid", "instance"]).assign(fold=table.fold)
    assert len(rows) == 60
    pd.testing.assert_frame_equal(
        rows, rows.sort_values(["fold", "eid", "instance"]), check_like=True
    )
    known = rows.merge(participants, on=["eid", "instance"], how="left")
    np.testing.assert_array_equal(table.family, known["family"])
    mine = predictions[
        (predictions["target"] == "age")
        & (predictions["inputs"] == INPUTS)
        & (predictions["split"] == "test")
    ]
    mean = mine.groupby(["fold", "eid", "instance"])["y_pred"].mean()
    np.testing.assert_allclose(table.predicted[:, table.inputs.index(INPUTS)], mean, rtol=1e-12)


def test_what_a_cell_lacks_is_nan_and_what_failed_is_absent(grid, tables):
    predictions, fits, participants = tables
    mine = (predictions["target"] == "age") & (predictions["inputs"] == INPUTS)
    lost = predictions[~(mine & (predictions["eid"] == 9000001))]
    failed = fits.copy()
    failed.loc[(fits["target"] == "age") & (fits["inputs"] == "DWI"), "status"] = "no convergence"
    failed.loc[fits["target"] == "sex", "status"] = "no convergence"
    found = gather_targets(lost, failed, participants, grid, "amortised")
    assert list(found) == ["age"]
    table = found["age"]
    assert "DWI" not in table.inputs
    missing = np.argwhere(np.isnan(table.predicted))
    assert missing.tolist() == [[0, table.inputs.index(INPUTS)]]
    assert table.visit[0, 0] == 9000001
    assert np.isfinite(table.y).all()


def test_the_order_of_rows_changes_nothing(grid, tables, gathered):
    shuffled = [frame.sample(frac=1, random_state=3) for frame in tables]
    again = gather_targets(*shuffled, grid, "amortised")
    for target, table in gathered.items():
        for name in ("visit", "family", "fold", "y", "threshold"):
            np.testing.assert_array_equal(getattr(again[target], name), getattr(table, name))
        np.testing.assert_allclose(again[target].predicted, table.predicted, rtol=1e-12)


def test_tables_of_different_runs_are_refused_without_naming_anybody(grid, tables):
    predictions, fits, participants = tables
    with pytest.raises(InputError, match="no fits of strategy 'linear'"):
        gather_targets(*tables, grid, "linear")
    other = predictions.copy()
    mine = (other["target"] == "age") & (other["inputs"] == INPUTS)
    other.loc[mine & (other["eid"] == 9000001), "y_true"] += 1
    with pytest.raises(InputError, match="1 test people") as caught:
        gather_targets(other, fits, participants, grid, "amortised")
    assert "9000001" not in str(caught.value)


def test_people_are_those_tested_with_a_known_target():
    rows = pd.DataFrame({"eid": [3, 2, 1, 4, 5], "instance": 2, "target": "age"})
    rows["split"] = ["test", "test", "test", "validation", "test"]
    rows = rows.assign(y_true=[30.0, 20, 10, 40, np.nan], y_pred=[31.0, 21, 11, 41, 51])
    participants = pd.DataFrame({"eid": [1, 2, 3], "instance": 2, "family": [8, 9, 8]})
    tested = people_in_test(rows, participants)
    assert tested[["eid", "family"]].to_numpy().tolist() == [[3, 8], [2, 9], [1, 8]]


def test_names_may_be_categories(grid, tables, gathered):
    predictions, fits, participants = tables
    coded = dict.fromkeys(("target", "inputs", "strategy"), "category")
    again = gather_targets(predictions.astype(coded), fits, participants, grid, "amortised")
    assert list(again) == list(gathered)
    for target, table in gathered.items():
        np.testing.assert_array_equal(again[target].visit, table.visit)
        np.testing.assert_array_equal(again[target].predicted, table.predicted)


def test_the_map_has_the_intervals_that_are_recommended(grid, tables, gathered):
    bare = score_map(*tables, grid, "amortised")
    metrics = list(RECOMMENDED)
    assert bare[[f"{metric}_low" for metric in metrics]].isna().all(axis=None)
    intervals = interval_table(gathered, FamilyDraws(tables[2]["family"], 100, 1))
    filled = with_intervals(bare, intervals).set_index(["target", "inputs"])
    cells = filled["kind"].value_counts()
    assert len(intervals) == sum(len(KINDS[kind].metrics) * n for kind, n in cells.items())
    for row in intervals.to_dict("records"):
        found = filled.loc[(row["target"], row["inputs"])]
        for name, end in (("estimate", ""), ("low", "_low"), ("high", "_high")):
            expected = pytest.approx(row[name], rel=1e-9, abs=1e-12, nan_ok=True)
            assert found[row["metric"] + end] == expected
    other = intervals.assign(estimate=intervals["estimate"] + 0.01)
    with pytest.raises(InputError, match="different runs"):
        with_intervals(bare, other)
