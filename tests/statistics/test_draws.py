from types import SimpleNamespace

import numpy as np
import plain_scores
import pytest
import sklearn.metrics as sk
from scipy import stats
from score_cases import score_folds

from ukb_brain.statistics import draws as drawn
from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.kinds import BINARY
from ukb_brain.statistics.scores.engine import headline, pearson_r, score_draws


def score_with_interval(name, y, p, weights, level=0.95):
    """A cell's score with its bounds, as tables have it."""
    kind = "binary" if name in BINARY.metrics else "continuous"

    def estimates(w):
        return score_draws(kind, y, p, w, metrics=[name])

    return tuple(drawn.measured(estimates, weights, level).values())


def auc_of_folds(y, p, weights, level=0.95):
    """The same of a cell over folds, whose people and weights are given by fold."""
    ends = np.cumsum([len(of_fold) for of_fold in y])
    places = np.split(np.arange(ends[-1]), ends[:-1])
    folds = [
        plain_scores.Predicted(np.column_stack([at, at]), at, *of_fold)
        for at, *of_fold in zip(places, y, p, strict=True)
    ]
    every = np.concatenate(weights, axis=1)
    draws = SimpleNamespace(weights=lambda at: every[:, at])
    row = score_folds("binary", folds, [0.5] * len(y), draws, level, headline_only=True)
    return tuple(row[f"roc_auc{end}"] for end in ("", "_low", "_high"))


def mean(values):
    return lambda w: {"mean": w @ values / w.sum(axis=1)}


def test_percentile_bounds_are_those_of_the_map():
    rng = np.random.default_rng(0)
    y, p = rng.normal(size=(2, 50))
    weights = FamilyDraws(range(50), 300, 1).weights(range(50))
    row = drawn.measured(lambda w: {"r": pearson_r(y, p, w)}, weights)
    expected = plain_scores.score_with_interval(plain_scores.pearson_r, y, p, weights)
    np.testing.assert_allclose([row["r"], row["r_low"], row["r_high"]], expected, rtol=1e-12)


def test_basic_bounds_are_those_of_scipy():
    rng = np.random.default_rng(1)
    values = rng.exponential(size=200)
    weights = rng.multinomial(200, np.full(200, 1 / 200), size=4000).astype(float)
    row = drawn.measured(mean(values), weights, 0.9, "basic")
    found = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=4000,
        confidence_level=0.9,
        method="basic",
        rng=np.random.default_rng(2),
    ).confidence_interval
    assert [row["mean_low"], row["mean_high"]] == pytest.approx(list(found), abs=0.01)
    percentile = drawn.measured(mean(values), weights, 0.9)
    assert row["mean_low"] + percentile["mean_high"] == pytest.approx(2 * row["mean"])


def test_no_estimate_has_no_bounds():
    row = drawn.bounded("x", np.nan, np.ones(10), 0.95)
    assert np.isnan(list(row.values())).all()


def test_chunks_change_nothing(monkeypatch):
    values = np.random.default_rng(3).normal(size=40)
    weights = FamilyDraws(range(40), 100, 1).weights(range(40))
    whole = drawn.draws_of(mean(values), weights)["mean"]
    monkeypatch.setattr(drawn, "LARGEST_CHUNK", 400)
    np.testing.assert_allclose(drawn.draws_of(mean(values), weights)["mean"], whole, rtol=1e-12)


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
        _, low, high = score_with_interval("mae", errors, np.zeros(60), weights)
        covered.append(low <= np.sqrt(2 / np.pi) <= high)
    assert 0.90 <= np.mean(covered) <= 0.98


def test_relatives_widen_the_interval():
    rng = np.random.default_rng(1)
    y = np.repeat(rng.normal(size=40), 4)
    apart = FamilyDraws(range(160), 500, 1).weights(range(160))
    together = FamilyDraws(range(40), 500, 1).weights(np.repeat(range(40), 4))
    width = [
        np.subtract(*score_with_interval("mae", y, np.zeros(160), w)[:0:-1])
        for w in (apart, together)
    ]
    assert width[1] > 1.5 * width[0]


def test_degenerate_draws_are_ignored():
    y, p = np.array([1.0, 0, 0, 0, 0, 0]), np.array([0.9, 0.1, 0.2, 0.95, 0.4, 0.5])
    weights = FamilyDraws(range(6), 1000, 1).weights(range(6))
    assert np.isnan(headline("binary", y, p, weights)).mean() > 0.3
    score, low, high = score_with_interval("roc_auc", y, p, weights)
    assert score == pytest.approx(0.8)
    assert 0 <= low < 0.8 < high <= 1


@pytest.mark.parametrize("y", [[1.0], [1.0, 1.0, 1.0]])
def test_one_person_or_one_class_has_no_score(y):
    weights = FamilyDraws(range(3), 100, 1).weights(range(len(y)))
    found = score_with_interval("roc_auc", np.array(y), np.array(y) / 2, weights)
    assert np.isnan(found).all()


def test_an_interval_of_a_minority_of_draws_is_not_given():
    y, p = np.array([1.0, 0.0]), np.array([0.7, 0.2])
    weights = np.array([[1.0, 0.0]] * 3 + [[1.0, 1.0]] * 2)
    score, low, high = score_with_interval("roc_auc", y, p, weights)
    assert score == 1
    assert np.isnan([low, high]).all()


def test_chunks_of_draws_change_nothing(monkeypatch):
    rng = np.random.default_rng(2)
    y, p = rng.normal(size=(2, 50))
    weights = FamilyDraws(range(50), 300, 1).weights(range(50))
    whole = score_with_interval("r2", y, p, weights)
    monkeypatch.setattr("ukb_brain.statistics.draws.LARGEST_CHUNK", 1000)
    np.testing.assert_allclose(score_with_interval("r2", y, p, weights), whole, rtol=1e-12)


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
    alone = score_with_interval("roc_auc", y, p, weights)
    assert auc_of_folds([y], [p], [weights]) == alone


def test_folds_count_by_their_people():
    rng = np.random.default_rng(4)
    (small, small_p), (large, large_p) = fold_of(rng, 10), fold_of(rng, 90)
    ones = [np.ones((1, 10)), np.ones((1, 90))]
    score, _, _ = auc_of_folds([small, large], [small_p, large_p], ones)
    one, other = sk.roc_auc_score(small, small_p), sk.roc_auc_score(large, large_p)
    assert score == pytest.approx(0.1 * one + 0.9 * other)


def test_a_draw_without_a_class_in_one_fold_averages_the_others():
    y, p = np.array([1.0, 0, 0]), np.array([0.9, 0.95, 0.1])
    full = np.array([[1.0, 1, 1]] * 4 + [[1, 1, 3]])
    one_class = np.array([[0.0, 3, 4]] * 5)
    _, low, high = auc_of_folds([y, y], [p, p[::-1]], [full, one_class], 0.9)
    # Of the first fold alone: half of the comparisons are won, in the last draw three quarters.
    np.testing.assert_allclose([low, high], np.quantile([0.5] * 4 + [0.75], [0.05, 0.95]))
    same = [np.ones((5, 3)), one_class]
    assert np.isnan(auc_of_folds([y, y], [p, p[::-1]], same)[1:]).all()
    _, low, _ = auc_of_folds([y, y], [p, p], [one_class, one_class])
    assert np.isnan(low)


def test_a_fold_without_a_score_leaves_none():
    y, p = fold_of(np.random.default_rng(5), 8)
    ones = np.ones((4, 8))
    found = auc_of_folds([y, 0 * y], [p, p], [ones, ones])
    assert np.isnan(found).all()
