import numpy as np
import pytest

from ukb_brain.statistics.certainty.intervals import score_folds_with_interval, score_with_interval
from ukb_brain.statistics.scores import metrics
from ukb_brain.statistics.scores.drawn_skill import drawn_skill, headline

N, DRAWS = 60, 40


def case(kind, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, N).astype(float) if kind == "binary" else rng.normal(50, 9, N)
    predicted = y[:, None] + rng.normal(size=(N, 3)) * [1, 2, 4]
    weights = rng.poisson(1.0, (DRAWS, N)).astype(float)
    return y, predicted, rng.integers(0, 3, N), np.vstack([np.ones(N), weights])


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_estimates_and_intervals_are_those_of_the_map(kind):
    y, predicted, fold, weights = case(kind)
    found = drawn_skill(kind, y, predicted, fold, weights)
    assert found.shape == (1 + DRAWS, 3)
    for cell, p in enumerate(predicted.T):
        if kind == "binary":
            of_fold = [fold == one for one in range(3)]
            expected = score_folds_with_interval(
                [metrics.roc_auc] * 3,
                [y[mine] for mine in of_fold],
                [p[mine] for mine in of_fold],
                [weights[1:, mine] for mine in of_fold],
            )
            expected = 2 * np.array(expected) - 1
        else:
            expected = score_with_interval(metrics.r2, y, p, weights[1:])
        bounds = np.nanquantile(found[1:, cell], [0.025, 0.975])
        np.testing.assert_allclose([found[0, cell], *bounds], expected, atol=1e-12)


def test_a_fold_of_one_class_in_a_draw_is_left_out():
    y, p = np.array([1.0, 0, 1, 0]), np.array([[0.9], [0.1], [0.2], [0.7]])
    weights = np.array([[1.0, 1, 1, 0], [1, 1, 1, 1], [1, 0, 1, 0]])
    found = drawn_skill("binary", y, p, np.array([0, 0, 1, 1]), weights)
    np.testing.assert_allclose(found[:, 0], [1, 0, np.nan])


def test_pieces_change_nothing_and_another_scorer_may_be_given(monkeypatch):
    y, predicted, fold, weights = case("binary")
    whole = drawn_skill("binary", y, predicted, fold, weights)
    asked = []

    def scorer(*given):
        asked.append(len(given[2]))
        return headline("binary")(*given)

    monkeypatch.setattr("ukb_brain.statistics.certainty.intervals.LARGEST_CHUNK", 10 * N)
    pieces = drawn_skill("binary", y, predicted, fold, weights, scorer)
    np.testing.assert_array_equal(pieces, whole)
    assert max(asked) == 10
