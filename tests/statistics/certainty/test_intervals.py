import numpy as np
import pytest
import sklearn.metrics as sk

from ukb_brain.statistics.certainty.intervals import (
    FamilyDraws,
    score_folds_with_interval,
    score_with_interval,
)
from ukb_brain.statistics.scores import metrics


def test_relatives_enter_and_leave_together():
    weights = FamilyDraws([4, 9, 2], 200, seed=1).weights([4, 9, 4, 2])
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    assert (weights[:, 0] != weights[:, 1]).any()


def test_draws_of_a_family_depend_on_seed_and_index_only():
    alone = FamilyDraws([7], 200, seed=1).weights([7])[:, 0]
    among = FamilyDraws([9, 7, 3, 1], 200, seed=1).weights([3, 7])[:, 1]
    other = FamilyDraws([7], 200, seed=2).weights([7])[:, 0]
    np.testing.assert_array_equal(alone, among)
    assert (alone != other).any()


def test_interval_of_a_mean_error_has_its_nominal_coverage():
    rng = np.random.default_rng(0)
    covered = []
    for trial in range(300):
        errors = rng.normal(0, 1, 60)
        weights = FamilyDraws(range(60), 300, seed=trial).weights(range(60))
        _, low, high = score_with_interval(metrics.mae, errors, np.zeros(60), weights)
        covered.append(low <= np.sqrt(2 / np.pi) <= high)
    assert 0.90 <= np.mean(covered) <= 0.98


def test_relatives_widen_the_interval():
    rng = np.random.default_rng(1)
    y = np.repeat(rng.normal(size=40), 4)
    apart = FamilyDraws(range(160), 500, 1).weights(range(160))
    together = FamilyDraws(range(40), 500, 1).weights(np.repeat(range(40), 4))
    width = [
        np.subtract(*score_with_interval(metrics.mae, y, np.zeros(160), w)[:0:-1])
        for w in (apart, together)
    ]
    assert width[1] > 1.5 * width[0]


def test_degenerate_draws_are_ignored():
    y, p = np.array([1.0, 0, 0, 0, 0, 0]), np.array([0.9, 0.1, 0.2, 0.95, 0.4, 0.5])
    weights = FamilyDraws(range(6), 1000, 1).weights(range(6))
    assert np.isnan(metrics.roc_auc(y, p, weights)).mean() > 0.3
    score, low, high = score_with_interval(metrics.roc_auc, y, p, weights)
    assert score == pytest.approx(0.8)
    assert 0 <= low < 0.8 < high <= 1


@pytest.mark.parametrize("y", [[1.0], [1.0, 1.0, 1.0]])
def test_one_person_or_one_class_has_no_score(y):
    weights = FamilyDraws(range(3), 100, 1).weights(range(len(y)))
    found = score_with_interval(metrics.roc_auc, np.array(y), np.array(y) / 2, weights)
    assert np.isnan(found).all()


def test_an_interval_of_a_minority_of_draws_is_not_given():
    y, p = np.array([1.0, 0.0]), np.array([0.7, 0.2])
    weights = np.array([[1.0, 0.0]] * 3 + [[1.0, 1.0]] * 2)
    score, low, high = score_with_interval(metrics.roc_auc, y, p, weights)
    assert score == 1
    assert np.isnan([low, high]).all()


def test_chunks_change_nothing(monkeypatch):
    rng = np.random.default_rng(2)
    y, p = rng.normal(size=(2, 50))
    weights = FamilyDraws(range(50), 300, 1).weights(range(50))
    whole = score_with_interval(metrics.r2, y, p, weights)
    monkeypatch.setattr("ukb_brain.statistics.certainty.intervals.LARGEST_CHUNK", 1000)
    np.testing.assert_allclose(score_with_interval(metrics.r2, y, p, weights), whole, rtol=1e-12)


def test_draws_of_an_unknown_family_are_refused():
    with pytest.raises(KeyError):
        FamilyDraws([2, 7], 10, seed=1).weights([2, 5])
    with pytest.raises(KeyError):
        FamilyDraws([2, 7], 10, seed=1).weights([8])


def fold_of(rng, n):
    y = np.r_[0.0, 1.0, rng.integers(0, 2, n - 2)]
    return y, y + rng.normal(size=n)


def test_one_fold_is_scored_as_it_is_alone():
    y, p = fold_of(np.random.default_rng(3), 40)
    weights = FamilyDraws(range(40), 300, 1).weights(range(40))
    alone = score_with_interval(metrics.roc_auc, y, p, weights)
    assert score_folds_with_interval([metrics.roc_auc], [y], [p], [weights]) == alone


def test_folds_count_by_their_people():
    rng = np.random.default_rng(4)
    (small, small_p), (large, large_p) = fold_of(rng, 10), fold_of(rng, 90)
    ones = [np.ones((1, 10)), np.ones((1, 90))]
    given = [metrics.roc_auc] * 2, [small, large], [small_p, large_p], ones
    score, _, _ = score_folds_with_interval(*given)
    one, other = sk.roc_auc_score(small, small_p), sk.roc_auc_score(large, large_p)
    assert score == pytest.approx(0.1 * one + 0.9 * other)


def test_a_draw_without_a_class_in_one_fold_averages_the_others():
    y, p = np.array([1.0, 0, 0]), np.array([0.9, 0.95, 0.1])
    full = np.array([[1.0, 1, 1]] * 4 + [[1, 1, 3]])
    one_class = np.array([[0.0, 3, 4]] * 5)
    scores = [metrics.roc_auc] * 2
    _, low, high = score_folds_with_interval(scores, [y, y], [p, p[::-1]], [full, one_class], 0.9)
    # Of the first fold alone: half of the comparisons are won, in the last draw three quarters.
    np.testing.assert_allclose([low, high], np.quantile([0.5] * 4 + [0.75], [0.05, 0.95]))
    same = [np.ones((5, 3)), one_class]
    assert np.isnan(score_folds_with_interval(scores, [y, y], [p, p[::-1]], same)[1:]).all()
    _, low, _ = score_folds_with_interval(scores, [y, y], [p, p], [one_class, one_class])
    assert np.isnan(low)


def test_a_fold_without_a_score_leaves_none():
    y, p = fold_of(np.random.default_rng(5), 8)
    ones = np.ones((4, 8))
    found = score_folds_with_interval([metrics.roc_auc] * 2, [y, 0 * y], [p, p], [ones, ones])
    assert np.isnan(found).all()
