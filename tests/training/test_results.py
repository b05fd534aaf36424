from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from modelling_cases import CONSTANT, GRID, PARTS, N
from sklearn.metrics import log_loss, mean_squared_error

from ukb_brain.ledger.artifact import read_model, write_model
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.tables import schemas
from ukb_brain.training.items import cells_by_target
from ukb_brain.training.results import (
    Result,
    predicted_rows,
    prediction_tables,
    results_as_model,
)

OUTSIDE = PARTS != "train"


def guesses(target, seed=0):
    """For everybody, finite even where something is missing."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0.05, 0.95, N) * (1 if GRID.targets[target].kind == "binary" else 80)


def results_of(target, strategy="linear", seed=0):
    status = "one class in training" if target in CONSTANT else "ok"
    return [
        Result(cell, strategy, seed, status, guesses(target, k), {"seconds": float(k)})
        if status == "ok"
        else Result(cell, strategy, seed, status)
        for k, cell in enumerate(cells_by_target(GRID)[target])
    ]


def model_of(fold, target, *results):
    results = results or (results_of(target),)
    every = [each for some in results for each in some]
    return results_as_model(every, fold, GRID.targets[target].kind, {"w": np.ones(3)}, {"a": 1})


@pytest.mark.parametrize("target", list(GRID.targets))
def test_predictions_are_of_usable_people_outside_training(fold, tmp_path, target):
    write_model(tmp_path, model_of(fold, target))
    tables = list(prediction_tables(read_model(tmp_path), fold, 5))
    cells = {} if target in CONSTANT else {c.inputs.name: c for c in cells_by_target(GRID)[target]}
    assert {table["inputs"].iloc[0] for table in tables} == set(cells)
    for rows in tables:
        name = rows["inputs"].iloc[0]
        expected = fold.usable(cells[name]) & OUTSIDE
        assert 0 < expected.sum() < OUTSIDE.sum() or not cells[name].inputs.groups
        np.testing.assert_array_equal(rows["eid"], fold.eid[expected])
        np.testing.assert_array_equal(rows["split"], fold.part[expected])
        np.testing.assert_array_equal(rows["y_true"], fold.targets[target][expected])
        predicted = guesses(target, list(cells).index(name))
        np.testing.assert_array_equal(rows["y_pred"], predicted[expected])
        assert (rows["target"] == target).all()
        assert rows[["strategy", "fold", "seed"]].drop_duplicates().to_numpy().tolist() == [
            ["linear", 0, 5]
        ]
    if tables:
        schemas.predictions.validate(pd.concat(tables))


def test_seeds_and_strategies_stay_apart(fold):
    model = model_of(
        fold, "age", results_of("age"), results_of("age", "amortised"),
        results_of("age", "amortised", 1),
    )  # fmt: skip
    table = pd.concat(prediction_tables(model, fold, 20))
    counts = table.groupby(["strategy", "seed"]).size()
    assert list(counts.index) == [("amortised", 20), ("amortised", 21), ("linear", 20)]
    assert len(set(counts)) == 1
    assert len(model.card["cells"]) == 3 * len(cells_by_target(GRID)["age"])


def test_nothing_of_training_people_is_kept(fold):
    model = model_of(fold, "age")
    rows = predicted_rows(fold)
    np.testing.assert_array_equal(rows, np.flatnonzero(OUTSIDE))
    for name, array in model.arrays.items():
        if name.startswith("predictions/"):
            assert len(array) == len(rows)


@pytest.mark.parametrize("target", list(GRID.targets))
def test_counts_and_marks_are_of_the_cells_own_people(fold, target):
    rows = model_of(fold, target).card["cells"]
    cells = cells_by_target(GRID)[target]
    assert [row["inputs"] for row in rows] == [cell.inputs.name for cell in cells]
    for cell, row in zip(cells, rows, strict=True):
        usable = fold.usable(cell)
        counts = [int((usable & (fold.part == p)).sum()) for p in ("train", "validation", "test")]
        assert [row["n_train"], row["n_val"], row["n_test"]] == counts
        known = fold.targets[target][usable & fold.train]
        if GRID.targets[target].kind == "binary":
            assert row["decision_threshold"] == known.mean()
            assert row["train_median"] is None
        else:
            assert row["train_median"] == np.median(known)
            assert row["decision_threshold"] is None
        assert (row["loss"] is None) == (row["status"] != "ok") == (target in CONSTANT)
        assert row["fold"] == 0


def test_losses_are_of_validation_people(fold):
    for target in ("smoking", "age"):
        for k, (cell, row) in enumerate(
            zip(cells_by_target(GRID)[target], model_of(fold, target).card["cells"], strict=True)
        ):
            rows = fold.usable(cell) & (fold.part == "validation")
            y, p = fold.targets[target][rows], guesses(target, k)[rows]
            score = log_loss if target == "smoking" else mean_squared_error
            assert row["loss"] == pytest.approx(score(y, p))


def test_answers_in_test_change_only_what_is_true_of_them(fold):
    tested = fold.part == "test"
    y = np.where(tested, -fold.targets["age"], fold.targets["age"])
    other = replace(fold, targets=fold.targets | {"age": y})
    before, after = model_of(fold, "age"), model_of(other, "age")
    assert before.card == after.card
    for name, array in before.arrays.items():
        assert array.tobytes() == after.arrays[name].tobytes()
    old, new = (
        pd.concat(prediction_tables(model, people, 0)).set_index(["eid", "inputs"])
        for model, people in ((before, fold), (after, other))
    )
    changed = old["y_true"] != new["y_true"]
    np.testing.assert_array_equal(changed, old["split"] == "test")


def test_what_else_is_kept_stays(fold):
    model = model_of(fold, "age")
    assert model.arrays["w"].tolist() == [1, 1, 1]
    assert model.card["a"] == 1
    assert [row["seconds"] for row in model.card["cells"]] == list(range(len(model.card["cells"])))
    assert not any(str(eid) in str(model.card) for eid in fold.eid)


def test_a_certain_mistake_has_a_finite_loss_and_nobody_has_none(fold):
    y, p = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    assert 27 < KINDS["binary"].loss(y, p) < 28
    nobody = replace(fold, part=np.where(fold.part == "validation", "test", fold.part))
    for target in ("smoking", "age"):
        assert {row["loss"] for row in model_of(nobody, target).card["cells"]} == {None}
