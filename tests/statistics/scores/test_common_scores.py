import numpy as np
import pytest
from plain_scores import r2, roc_auc
from reporting_cases import study_grid

from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.scores.cell_scores import common_scores, skill_by_cell
from ukb_brain.statistics.scores.target_predictions import TargetPredictions

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
    found = common_scores({key: table}, draws)[key]
    assert found.n == N - 7
    kept = np.isfinite(table.predicted).all(axis=1)
    weights = draws.weights(table.family[kept])
    for cell, predicted in enumerate(table.predicted[kept].T):
        own = [np.ones((1, found.n)), weights]
        if table.kind == "binary":
            expected = [2 * roc_auc(table.y[kept], predicted, w) - 1 for w in own]
        else:
            expected = [r2(table.y[kept], predicted, w) for w in own]
        np.testing.assert_allclose(found.skill[:, cell], np.concatenate(expected), atol=1e-12)


def test_a_target_whose_cells_share_nobody_has_no_scores(draws):
    table = a_target(lacking=N)
    found = common_scores({"age": table}, draws)["age"]
    assert found.n == 0
    assert np.isnan(found.skill).all()
    assert found.skill.shape == (51, 7)


def test_restricting_keeps_rows_together():
    table = a_target()
    rows = np.arange(N) % 4 == 1
    mine = table.restricted(rows)
    np.testing.assert_array_equal(mine.visit, table.visit[rows])
    np.testing.assert_array_equal(mine.predicted, table.predicted[rows])
    assert mine.inputs == table.inputs


def test_skill_is_arranged_by_target_and_inputs(draws):
    tables = {key: a_target(key) for key in ("age", "sex")}
    scores = common_scores(tables, draws)
    frame = skill_by_cell(scores)
    assert frame.shape == (14, 51)
    name = tables["sex"].inputs[3]
    np.testing.assert_array_equal(frame.loc[("sex", name)], scores["sex"].skill[:, 3])
