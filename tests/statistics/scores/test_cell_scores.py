from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics as sk
from plain_scores import Predicted, r2, roc_auc, score_folds
from reporting_cases import study_grid

from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.scores.cell_scores import (
    common_scores,
    estimate_cells,
    jackknife_cells,
    score_cells,
)
from ukb_brain.statistics.scores.target_predictions import TargetPredictions

FOLDS, SIZES, CELLS = (2, 5, 9), (25, 40, 60), 4


def target_of(kind, seed=0, missing=0.2):
    """Three folds with scales and thresholds of their own, ties, and people whom cells lack."""
    rng = np.random.default_rng(seed)
    n = sum(SIZES)
    fold = np.repeat(FOLDS, SIZES)
    y = rng.integers(0, 2, n).astype(float) if kind == "binary" else rng.normal(5, 1, n)
    offset = 0.1 * np.searchsorted(FOLDS, fold)
    predicted = y.mean() + 0.3 * (y - y.mean()) + offset + 0.2 * rng.normal(size=(CELLS, n))
    predicted = np.round(predicted.T, 2)
    predicted[rng.random((n, CELLS)) < missing * np.arange(CELLS) / CELLS] = np.nan
    return TargetPredictions(
        target="t",
        kind=kind,
        inputs=tuple("abcd"),
        visit=np.column_stack([np.arange(n), np.full(n, 2)]),
        family=rng.integers(0, 70, n),
        fold=fold,
        y=y,
        predicted=predicted,
        threshold=np.nanmedian(predicted) + rng.normal(0, 0.05, (3, CELLS)),
        folds=FOLDS,
    )


def folds_of_cell(table, cell):
    found = []
    for fold in FOLDS:
        rows = np.flatnonzero((table.fold == fold) & np.isfinite(table.predicted[:, cell]))
        p = table.predicted[rows, cell]
        found.append(Predicted(table.visit[rows], table.family[rows], table.y[rows], p))
    return found


def by_sklearn(kind, y, p, fold, threshold):
    """Scores of one resample that is written out; NaN-mean of folds by their people."""

    def mean(score):
        parts = [(score(y[fold == f], p[fold == f], t), (fold == f).sum()) for f, t in threshold]
        parts = [(value, n) for value, n in parts if np.isfinite(value)]
        values, sizes = zip(*parts, strict=True) if parts else ([np.nan], [1])
        return np.average(values, weights=sizes)

    def of_two(score):
        return lambda y, p, t: score(y, p, t) if len(np.unique(y)) == 2 else np.nan

    if kind == "binary":
        return {
            "balanced_accuracy": mean(of_two(lambda y, p, t: sk.balanced_accuracy_score(y, p > t))),
            "roc_auc": mean(of_two(lambda y, p, t: sk.roc_auc_score(y, p))),
            "average_precision": mean(
                lambda y, p, t: sk.average_precision_score(y, p) if y.any() else np.nan
            ),
            "brier": sk.mean_squared_error(y, p),
        }

    def split(y, p, t):
        above = y > t
        return sk.balanced_accuracy_score(above, p > t) if 0 < above.mean() < 1 else np.nan

    return {
        "r2": sk.r2_score(y, p),
        "pearson_r": np.corrcoef(y, p)[0, 1],
        "mae": sk.mean_absolute_error(y, p),
        "median_split_accuracy": mean(split),
    }


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_every_draw_is_scikit_learns_on_the_resample(kind):
    table = target_of(kind)
    weights = FamilyDraws(range(70), 60, seed=3).weights(table.family)
    found = score_cells(table, weights)
    assert list(found) == list(KINDS[kind].metrics)
    for draw, counts in enumerate(weights.astype(int)):
        for cell in range(CELLS):
            p = table.predicted[:, cell]
            times = np.where(np.isfinite(p), counts, 0)
            written = (np.repeat(values, times) for values in (table.y, p, table.fold))
            threshold = list(zip(FOLDS, table.threshold[:, cell], strict=True))
            for name, expected in by_sklearn(kind, *written, threshold).items():
                np.testing.assert_allclose(
                    found[name][draw, cell], expected, rtol=1e-9, err_msg=name
                )


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_estimates_and_quantiles_are_those_of_score_folds(kind):
    table = target_of(kind, seed=1)
    draws = FamilyDraws(range(70), 300, seed=4)
    drawn = score_cells(table, draws.weights(table.family))
    estimate = estimate_cells(table)
    for cell in range(CELLS):
        folds = folds_of_cell(table, cell)
        expected = score_folds(kind, folds, table.threshold[:, cell], draws.weights)
        for name in KINDS[kind].metrics:
            ends = np.nanquantile(drawn[name][:, cell], [0.025, 0.975])
            found = [estimate[name][cell], *ends]
            row = [expected[name + end] for end in ("", "_low", "_high")]
            np.testing.assert_allclose(found, row, rtol=1e-9, err_msg=name)


def test_a_fold_without_a_score_leaves_no_estimate_but_draws_average_the_others():
    table = target_of("binary", missing=0)
    table = replace(table, y=np.where(table.fold == FOLDS[0], 0.0, table.y))
    estimate = estimate_cells(table)
    for name in ("balanced_accuracy", "roc_auc", "average_precision"):
        assert np.isnan(estimate[name]).all()
    assert np.isfinite(estimate["brier"]).all()
    drawn = score_cells(table, np.ones((1, len(table.y))))
    others = table.fold != FOLDS[0]
    rest = replace(table.restricted(others), threshold=table.threshold[1:], folds=FOLDS[1:])
    np.testing.assert_allclose(drawn["roc_auc"][0], estimate_cells(rest)["roc_auc"])


def test_a_cell_with_nobody_in_a_fold_is_without_the_fold():
    table = target_of("binary", missing=0)
    predicted = table.predicted.copy()
    predicted[table.fold == FOLDS[0], 1] = np.nan
    estimate = estimate_cells(replace(table, predicted=predicted))
    found = folds_of_cell(table, 1)[1:]
    expected = score_folds("binary", found, table.threshold[1:, 1])
    for name, value in expected.items():
        assert estimate[name][1] == pytest.approx(value)


def test_a_cell_of_one_person_or_of_constants_has_no_score():
    table = target_of("continuous", missing=0)
    predicted = table.predicted.copy()
    predicted[1:, 0] = np.nan
    predicted[:, 1] = 0.1
    estimate = estimate_cells(replace(table, predicted=predicted))
    assert np.isnan([values[0] for values in estimate.values()]).all()
    assert np.isnan(estimate["pearson_r"][1])
    assert np.isfinite(estimate["r2"][1])
    nobody = score_cells(table, np.zeros((1, len(table.y))))
    assert all(np.isnan(values).all() for values in nobody.values())


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_chunks_and_threads_change_nothing(kind, monkeypatch):
    table = target_of(kind)
    weights = FamilyDraws(range(70), 300, seed=5).weights(table.family)
    whole = score_cells(table, weights)
    monkeypatch.setattr("ukb_brain.statistics.draws.LARGEST_CHUNK", 5000)
    monkeypatch.setattr("ukb_brain.statistics.scores.engine.processors", lambda: 3)
    for name, values in score_cells(table, weights).items():
        np.testing.assert_allclose(values, whole[name], rtol=1e-12)


def test_the_jackknife_leaves_out_whole_families():
    table = target_of("continuous")
    found = jackknife_cells(table)
    for at, family in enumerate(np.unique(table.family)[:5]):
        kept = table.family != family
        folds = [
            Predicted(f.visit[m], f.family[m], f.y_true[m], f.y_pred[m])
            for f in folds_of_cell(table, 2)
            for m in [np.isin(f.visit[:, 0], table.visit[kept, 0])]
        ]
        expected = score_folds("continuous", folds, table.threshold[:, 2])
        for name, value in expected.items():
            assert found[name][at, 2] == pytest.approx(value)


def test_many_families_are_left_out_in_blocks_of_which_each_is_in_one():
    table = target_of("continuous")
    assert len(jackknife_cells(table)["mae"]) == len(np.unique(table.family))
    found = jackknife_cells(table, blocks=6)["mae"]
    assert len(found) == 6
    place = np.unique(table.family, return_inverse=True)[1] % 6
    errors = np.abs(table.y - table.predicted[:, 0])
    np.testing.assert_allclose(found[:, 0], [errors[place != b].mean() for b in range(6)])


def test_weights_of_other_people_are_refused():
    with pytest.raises(ValueError, match="weights"):
        score_cells(target_of("binary"), np.ones((3, 7)))


GRID = study_grid()
N = 60


def a_target(key="age", lacking=7, seed=0):
    rng = np.random.default_rng(seed)
    kind = GRID.targets[key].kind
    names = tuple(c.inputs.name for c in GRID.cells if c.target == key)
    y = rng.normal(60, 8, N) if kind == "continuous" else (np.arange(N) % 3 == 0).astype(float)
    predicted = y[:, None] + rng.normal(0, 4 if kind == "continuous" else 0.8, (N, len(names)))
    predicted[:lacking, 1] = np.nan
    visit = np.column_stack([np.arange(N) + 1_000_000, np.full(N, 2)])
    fold = np.zeros(N, dtype=np.int64)
    threshold = np.full((1, len(names)), 60.0 if kind == "continuous" else 0.5)
    return TargetPredictions(
        key, kind, names, visit, np.arange(N) // 2, fold, y, predicted, threshold, (0,)
    )


@pytest.fixture(scope="module")
def draws():
    return FamilyDraws(np.arange(N // 2), 50, 1)


@pytest.mark.parametrize("key", ["age", "sex"])
def test_cells_are_scored_on_the_people_whom_all_of_them_have(key, draws):
    table = a_target(key)
    skill, accuracy = common_scores({key: table}, draws)
    kept = np.isfinite(table.predicted).all(axis=1)
    weights = draws.weights(table.family[kept])
    for cell, predicted in enumerate(table.predicted[kept].T):
        own = [np.ones((1, N - 7)), weights]
        if table.kind == "binary":
            expected = [2 * roc_auc(table.y[kept], predicted, w) - 1 for w in own]
        else:
            expected = [r2(table.y[kept], predicted, w) for w in own]
        np.testing.assert_allclose(skill.iloc[cell], np.concatenate(expected), atol=1e-12)
    assert accuracy.notna().all(axis=None)


def test_a_target_whose_cells_share_nobody_has_no_scores(draws):
    table = a_target(lacking=N)
    skill, accuracy = common_scores({"age": table}, draws)
    assert skill.shape == accuracy.shape == (7, 51)
    assert skill.isna().all(axis=None)
    assert accuracy.isna().all(axis=None)


def test_restricting_keeps_rows_together():
    table = a_target()
    rows = np.arange(N) % 4 == 1
    mine = table.restricted(rows)
    np.testing.assert_array_equal(mine.visit, table.visit[rows])
    np.testing.assert_array_equal(mine.predicted, table.predicted[rows])
    assert mine.inputs == table.inputs


def test_skill_is_arranged_by_target_and_inputs(draws):
    tables = {key: a_target(key) for key in ("age", "sex")}
    skill, accuracy = common_scores(tables, draws)
    assert skill.shape == accuracy.shape == (14, 51)
    name, alone = tables["sex"].inputs[3], common_scores({"sex": tables["sex"]}, draws)
    for found, expected in zip((skill, accuracy), alone, strict=True):
        np.testing.assert_array_equal(found.loc[("sex", name)], expected.iloc[3])
    assert common_scores({}, draws)[0].index.names == ["target", "inputs"]
