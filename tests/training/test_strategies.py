from dataclasses import replace

import numpy as np
import pytest
from modelling_cases import CONSTANT, GRID, N
from pydantic import ValidationError

from ukb_brain.cluster import Compute
from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.networks.artifact import Model
from ukb_brain.training.cells import CellFit
from ukb_brain.training.encode import subsets
from ukb_brain.training.settings import Components, Penalties
from ukb_brain.training.strategies import (
    about,
    blend,
    cells_as_model,
    check_people,
    check_settings,
    choose_blends,
    encodings_used,
    fit_cells,
    joined,
    scale_encodings,
    tabulate,
)

GROUPS = tuple(GRID.imaging)
PENALTIES = Penalties(images=(1.0, 100.0), traits=(0.1, 100.0))
ONE = Compute(workers=1)


def features_of(fold, seed=0, encoded=False):
    """Four columns a group, the first of which says something of the person."""
    rng = np.random.default_rng(seed)
    names = [joined(chosen) for chosen in subsets(GROUPS)] if encoded else GROUPS
    known = np.nan_to_num(fold.targets["body_fat"], nan=30.0)
    features = {name: rng.normal(size=(N, 4)) for name in names}
    for columns in features.values():
        columns[:, 0] += (known - 30) / 5
    return features


def fit(fold, features, encoded=False):
    return fit_cells(fold, GRID, features, PENALTIES, 3, ONE, "cells", encoded)


@pytest.fixture(scope="module")
def fits(fold):
    return fit(fold, features_of(fold))


@pytest.fixture(scope="module")
def tables(fold, fits):
    return tabulate(fits, fold, GRID, "linear", 5, {"structural": 30.0, "diffusion": 9.0})


def test_every_cell_is_fitted_or_says_why_not(fits):
    assert set(fits) == {(cell.target, cell.inputs.name) for cell in GRID.cells}
    for (target, inputs), each in fits.items():
        assert (each.target, each.inputs) == (target, inputs)
        assert (each.status == "ok") == (target not in CONSTANT)


@pytest.mark.parametrize("name", ["structural", "dwi"])
def test_a_domain_is_not_called_like_what_its_features_would_replace(name):
    settings = GRID.model_dump()
    settings["domains"][name] = {"letter": "X"}
    with pytest.raises(ValidationError, match="and domains must differ"):
        Grid(**settings)


def test_a_cell_has_a_coefficient_for_each_of_its_columns_and_no_other(fits):
    traits = {domain: 2 * len(GRID.targets_of(domain)) for domain in GRID.domains}
    for cell in GRID.cells:
        coefficients = fits[cell.target, cell.inputs.name].coefficients
        width = 4 * len(cell.inputs.groups) + sum(traits[b] for b in cell.inputs.blocks)
        assert len(coefficients) == (0 if cell.target in CONSTANT else 1 + width)


def test_encodings_of_a_cell_are_of_its_groups_and_of_all_of_them_together():
    assert encodings_used(()) == ()
    assert encodings_used(("dwi",)) == ("dwi",)
    assert encodings_used(("t1", "dwi")) == ("t1", "dwi", "t1+dwi")


@pytest.mark.parametrize("group", GROUPS)
def test_encodings_of_other_groups_reach_no_cell(fold, group):
    one = Penalties(images=(1.0,), traits=(0.1,))
    features = features_of(fold, encoded=True)
    other = {k: v[::-1] if group in k.split("+") else v for k, v in features.items()}
    before, after = (fit_cells(fold, GRID, f, one, 3, ONE, "", True) for f in (features, other))
    for cell in GRID.cells:
        key = (cell.target, cell.inputs.name)
        same = before[key].scores.tobytes() == after[key].scores.tobytes()
        assert same == (group not in cell.inputs.groups or cell.target in CONSTANT)


def test_encodings_are_scaled_by_training_people(fold):
    rng = np.random.default_rng(0)
    outputs = 5 + 3 * rng.normal(size=(len(subsets(GROUPS)), N, 4))
    outputs[..., 3] = 2.0
    scaled = scale_encodings(outputs, fold, GROUPS)
    other = outputs.copy()
    other[:, ~fold.train] = 1e6
    again = scale_encodings(other, fold, GROUPS)
    for chosen in subsets(GROUPS):
        mine = scaled[joined(chosen)][fold.train & fold.having(chosen)]
        np.testing.assert_allclose(mine.mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(mine.std(axis=0), [1, 1, 1, 0], atol=1e-12)
        now = again[joined(chosen)][fold.train & fold.having(chosen)]
        assert now.tobytes() == mine.tobytes()


def test_encodings_of_groups_that_nobody_in_training_has_stay_as_they_are(fold):
    nobody = replace(fold, has=fold.has | {"diffusion": ~fold.train})
    outputs = np.full((len(subsets(GROUPS)), N, 2), 3.0)
    assert (scale_encodings(outputs, nobody, GROUPS)["diffusion"] == 3).all()


def right_for(fold, cells, good):
    """Fits whose scores are right for training people where they are good, and noise elsewhere."""
    rng = np.random.default_rng(3)
    fits = {}
    for cell in cells:
        y = fold.targets[cell.target]
        known = fold.train & np.isfinite(y)
        if GRID.targets[cell.target].kind == "binary":
            right = 2 * y - 1
        else:
            right = (y - y[known].mean()) / y[known].std()
        scores = right if good else rng.normal(size=N)
        status = "one class in training" if cell.target in CONSTANT else "ok"
        fits[cell.target, cell.inputs.name] = CellFit(
            cell.target, cell.inputs.name, status, np.where(fold.train, scores, 0.0), loss=0.5
        )
    return fits


def test_the_better_strategy_gets_the_larger_share(fold):
    good, bad = (right_for(fold, GRID.cells, g) for g in (True, False))
    shares = (0.0, 0.25, 1.0)
    fitted = [target for target in GRID.targets if target not in CONSTANT]
    # Where nothing could be fitted, the first share is as good as any.
    none = dict.fromkeys(CONSTANT, 0.0)
    first = choose_blends(good, bad, fold, GRID, shares)
    assert first == dict.fromkeys(fitted, 1.0) | none
    assert choose_blends(bad, good, fold, GRID, shares) == dict.fromkeys(GRID.targets, 0.0)
    apart = {k: good[k] if k[0] == "worry" else bad[k] for k in good}
    rest = {k: bad[k] if k[0] == "worry" else good[k] for k in good}
    chosen = choose_blends(apart, rest, fold, GRID, shares)
    assert chosen == dict.fromkeys(GRID.targets, 0.0) | {"worry": 1.0}


def test_two_strategies_whose_errors_differ_are_mixed(fold):
    right = right_for(fold, GRID.cells, True)
    noise = np.random.default_rng(0).normal(size=N)
    first, second = (
        {k: replace(v, scores=v.scores + sign * noise) for k, v in right.items()}
        for sign in (1, -1)
    )
    chosen = choose_blends(first, second, fold, GRID, (1.0, 0.5, 0.0))
    assert chosen == {target: 1.0 if target in CONSTANT else 0.5 for target in GRID.targets}


def test_people_outside_training_do_not_choose_blends(fold):
    good, bad = (right_for(fold, GRID.cells, g) for g in (True, False))
    targets = {t: np.where(fold.train, y, -3 * y) for t, y in fold.targets.items()}
    scores = [
        {k: replace(v, scores=np.where(fold.train, v.scores, 1e5)) for k, v in some.items()}
        for some in (good, bad)
    ]
    other = replace(fold, targets=targets)
    before = choose_blends(good, bad, fold, GRID, (0.0, 0.3, 1.0))
    assert choose_blends(*scores, other, GRID, (0.0, 0.3, 1.0)) == before


def test_a_blend_is_an_average_and_needs_both():
    head = CellFit("y", "A", "ok", np.array([1.0, 2.0]), np.ones(3), 0.1, 0.2, loss=0.4, seconds=2)
    line = replace(head, scores=np.array([3.0, 0.0]), coefficients=np.ones(9), loss=0.8, seconds=1)
    mixed = blend(head, line, 0.25)
    np.testing.assert_allclose(mixed.scores, [2.5, 0.5])
    assert (mixed.loss, mixed.seconds, mixed.image_penalty) == (pytest.approx(0.7), 3, 0.1)
    assert blend(head, replace(line, status="broken"), 0.25) is head
    failed = replace(head, status="an encoder did not converge")
    assert blend(failed, line, 0.25) is failed


def test_predictions_are_of_usable_people_outside_training(fold, tables):
    predictions, _ = tables
    assert set(predictions["target"].unique()) == set(GRID.targets) - set(CONSTANT)
    for (target, inputs), rows in predictions.groupby(["target", "inputs"], observed=True):
        cell = next(c for c in GRID.cells if (c.target, c.inputs.name) == (target, inputs))
        expected = fold.usable(cell) & ~fold.train
        np.testing.assert_array_equal(rows["eid"], fold.eid[expected])
        np.testing.assert_array_equal(rows["split"], fold.part[expected])
        np.testing.assert_array_equal(rows["y_true"], fold.targets[target][expected])
        assert np.isfinite(rows["y_pred"]).all()
        if GRID.targets[target].kind == "binary":
            assert rows["y_pred"].between(0, 1).all()


def test_counts_and_marks_are_of_the_cells_own_people(fold, tables):
    _, rows = tables
    assert rows[["target", "inputs"]].to_numpy().tolist() == [
        [cell.target, cell.inputs.name] for cell in GRID.cells
    ]
    for cell, row in zip(GRID.cells, rows.to_dict("records"), strict=True):
        usable = fold.usable(cell)
        counts = [int((usable & (fold.part == p)).sum()) for p in ("train", "validation", "test")]
        assert [row["n_train"], row["n_val"], row["n_test"]] == counts
        known = fold.targets[cell.target][usable & fold.train]
        if GRID.targets[cell.target].kind == "binary":
            assert row["decision_threshold"] == known.mean()
            assert np.isnan(row["train_median"])
        else:
            assert row["train_median"] == np.median(known)
            assert np.isnan(row["decision_threshold"])


def test_losses_are_of_validation_people(tables):
    predictions, rows = tables
    validation = predictions[predictions["split"] == "validation"]
    for row in rows[rows["status"] == "ok"].to_dict("records"):
        mine = validation[
            (validation["target"] == row["target"]) & (validation["inputs"] == row["inputs"])
        ]
        y, p = mine["y_true"].to_numpy(), mine["y_pred"].to_numpy()
        if GRID.targets[row["target"]].kind == "binary":
            expected = -np.mean(np.log(np.where(y == 1, p, 1 - p)))
        else:
            expected = np.mean((p - y) ** 2)
        assert row["loss"] == pytest.approx(expected)


def test_shared_seconds_are_shared_among_the_cells_of_a_group(fits, tables):
    _, rows = tables
    own = sum(each.seconds for each in fits.values())
    assert rows["train_seconds"].sum() == pytest.approx(own + 30 + 9)


def test_a_grid_without_any_fit_stops_with_its_reasons(fold):
    empty = {
        (c.target, c.inputs.name): CellFit(c.target, c.inputs.name, "one class", np.full(N, np.nan))
        for c in GRID.cells
    }
    with pytest.raises(InputError, match=f"None of {len(GRID.cells)} cells.*one class"):
        tabulate(empty, fold, GRID, "linear", 5, {})


def test_a_model_says_on_whom_it_was_fitted(fold, fits):
    model = cells_as_model(fits, fold, {"strategy": "linear"})
    assert len(model.arrays) == sum(each.status == "ok" for each in fits.values())
    for key, each in fits.items():
        if each.status == "ok":
            np.testing.assert_array_equal(model.arrays["/".join(key)], each.coefficients)
    assert model.card == about(fold) | {"strategy": "linear"}
    assert model.card["n_train"] == 64
    assert model.card["restricted"]
    assert not any(str(eid) in str(model.card) for eid in fold.eid)


def test_a_model_of_other_training_people_is_refused(fold):
    check_people(Model({}, about(fold)), fold, "model.x")
    part = fold.part.copy()
    part[[0, -1]] = part[[-1, 0]]
    other = replace(fold, part=part)
    for model in (Model({}, about(other)), Model({}, {})):
        with pytest.raises(InputError, match=r"model\.x was fitted on .* another split"):
            check_people(model, fold, "model.x")


def test_a_model_of_other_settings_is_refused():
    model = Model({}, {"settings": Components(numbers={"structural": 3}, pooling=2).model_dump()})
    check_settings(model, Components(numbers={"structural": 3}, pooling=2), "x")
    with pytest.raises(InputError, match=r"x was made with other settings .*\(numbers\)"):
        check_settings(model, Components(numbers={"structural": 4}, pooling=2), "x")
