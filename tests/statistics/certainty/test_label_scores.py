import numpy as np
import pytest
import sklearn.metrics as sk
from plain_scores import Predicted, score_folds

from ukb_brain.statistics.certainty.permutation import auc_of_labels, r2_of_labels, skill_of_labels

N, CELLS, LABELLINGS = 60, 4, 20


def case(kind, missing=True, seed=0):
    """Labellings of people, and predictions with ties of whom some cells lack people."""
    rng = np.random.default_rng(seed)
    y = (rng.random(N) < 0.4).astype(float) if kind == "binary" else rng.normal(594, 105, N)
    predicted = np.round(y[:, None] / y.std() + rng.normal(size=(N, CELLS)), 1) * y.std()
    if missing:
        predicted[rng.random((N, CELLS)) < 0.2] = np.nan
    labels = np.stack([y, *(rng.permutation(y) for _ in range(LABELLINGS - 1))])
    return labels, predicted, rng.integers(0, 3, N)


@pytest.mark.parametrize(
    ("kind", "ours", "theirs"),
    [
        ("binary", auc_of_labels, sk.roc_auc_score),
        ("continuous", r2_of_labels, sk.r2_score),
    ],
)
def test_scores_equal_scikit_learn_on_permuted_labels(kind, ours, theirs):
    labels, predicted, _ = case(kind)
    found = ours(labels, predicted)
    for cell, p in enumerate(predicted.T):
        known = np.isfinite(p)
        expected = [theirs(y[known], p[known]) for y in labels]
        assert np.ptp(expected) > 0.1
        np.testing.assert_allclose(found[:, cell], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("kind", "metric"), [("binary", "roc_auc"), ("continuous", "r2")])
def test_folds_are_combined_as_in_the_map(kind, metric):
    labels, predicted, fold = case(kind, missing=False)
    found = skill_of_labels(kind, labels, predicted, fold)
    for at, y in enumerate(labels):
        for cell, p in enumerate(predicted.T):
            visit = np.column_stack([np.arange(N), np.full(N, 2)])
            folds = [
                Predicted(visit[mine], visit[mine, 0], y[mine], p[mine])
                for mine in (fold == one for one in range(3))
            ]
            score = score_folds(kind, folds, [0.5] * 3)[metric]
            expected = 2 * score - 1 if kind == "binary" else score
            assert found[at, cell] == pytest.approx(expected, abs=1e-9)


def test_what_has_no_score_is_empty():
    fold = np.array([0, 0, 1, 1])
    p = np.array([[0.1, np.nan], [0.4, np.nan], [0.2, np.nan], [0.3, np.nan]])
    labels = np.array([[0.0, 1, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0]])
    binary = skill_of_labels("binary", labels, p, fold)
    # Of the first labelling the second fold has one class, and the first alone counts.
    np.testing.assert_array_equal(binary[:, 0], [1, np.nan, np.nan])
    continuous = skill_of_labels("continuous", labels, p, fold)
    assert np.isnan(continuous[:, 0]).tolist() == [False, True, False]
    assert np.isnan(binary[:, 1]).all()
    assert np.isnan(continuous[:, 1]).all()
