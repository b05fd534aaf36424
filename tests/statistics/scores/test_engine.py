from types import SimpleNamespace

import numpy as np
import plain_scores
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_scores import score_folds_with_interval, score_with_interval
from scipy.stats import pearsonr

from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.scores import areas
from ukb_brain.statistics.scores.engine import headline, score_draws

N = 37
DRAWS = 25


def engine(kind, name):
    """The engine's score of a single cell, called as the plain one is."""

    def score(y, p, weights, threshold=0.5):
        cut = np.array([[threshold]])
        return score_draws(kind, y, p, weights, threshold=cut, metrics=[name])[name]

    return score


ENGINE = SimpleNamespace(
    **{name: engine(kind.name, name) for kind in KINDS.values() for name in kind.metrics}
)
by_both = pytest.mark.parametrize("metrics", [plain_scores, ENGINE], ids=["plain", "engine"])


def draws(n=N, seed=1):
    return np.random.default_rng(seed).poisson(1.0, (DRAWS, n)).astype(float)


def resamples(weights, *columns):
    """Each draw written out, as the independent implementations need it."""
    for counts in weights.astype(int):
        yield tuple(np.repeat(column, counts) for column in columns)


def binary_case(ties):
    rng = np.random.default_rng(3)
    y = (rng.random(N) < 0.35).astype(float)
    p = np.clip(0.3 * y + rng.random(N) * 0.7, 0, 1)
    return y, np.round(p, 1) if ties else p


def continuous_case():
    rng = np.random.default_rng(4)
    y = rng.normal(594, 105, N)
    return y, 0.6 * y + rng.normal(240, 60, N)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("roc_auc", sk.roc_auc_score),
        ("average_precision", sk.average_precision_score),
        ("brier", sk.brier_score_loss),
        ("balanced_accuracy", lambda y, p: sk.balanced_accuracy_score(y, p > 0.4)),
    ],
)
@by_both
def test_binary_metrics_equal_scikit_learn_on_resamples(metrics, ours, theirs, ties):
    y, p = binary_case(ties)
    weights = draws()
    expected = [theirs(a, b) for a, b in resamples(weights, y, p)]
    assert np.ptp(expected) > 0
    at = {"balanced_accuracy": (0.4,), "median_split_accuracy": (590.0,)}.get(ours, ())
    found = getattr(metrics, ours)(y, p, weights, *at)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("r2", sk.r2_score),
        ("pearson_r", lambda y, p: pearsonr(y, p).statistic),
        ("mae", sk.mean_absolute_error),
        ("median_split_accuracy", lambda y, p: sk.balanced_accuracy_score(y > 590, p > 590)),
    ],
)
@by_both
def test_continuous_metrics_equal_independent_ones_on_resamples(metrics, ours, theirs):
    y, p = continuous_case()
    weights = draws()
    expected = [theirs(a, b) for a, b in resamples(weights, y, p)]
    at = {"balanced_accuracy": (0.4,), "median_split_accuracy": (590.0,)}.get(ours, ())
    found = getattr(metrics, ours)(y, p, weights, *at)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@by_both
def test_a_draw_of_one_class_is_undefined_and_others_are_not(metrics):
    y, p = np.array([0.0, 0, 1]), np.array([0.1, 0.4, 0.3])
    weights = np.array([[1.0, 1, 0], [1, 1, 1], [0, 0, 2]])
    for metric in (metrics.roc_auc, metrics.balanced_accuracy):
        assert np.isnan(metric(y, p, weights)).tolist() == [True, False, True]
    assert np.isnan(metrics.average_precision(y, p, weights)).tolist() == [True, False, False]
    assert metrics.roc_auc(y, p, weights)[1] == 0.5


@by_both
def test_a_constant_has_no_r2_and_no_correlation(metrics):
    y, p = np.array([0.1, 0.1, 0.7]), np.array([0.2, 0.5, 0.5])
    weights = np.array([[1.0, 2, 0], [0, 1, 1], [1, 1, 1]])
    assert np.isnan(metrics.r2(y, p, weights)).tolist() == [True, False, False]
    assert np.isnan(metrics.pearson_r(y, p, weights)).tolist() == [True, True, False]


@by_both
def test_r2_of_a_large_offset_keeps_its_digits(metrics):
    y, p = continuous_case()
    ours = metrics.r2(y + 1e6, p + 1e6, draws())
    np.testing.assert_allclose(ours, metrics.r2(y, p, draws()), atol=1e-8)


scores = st.lists(st.sampled_from([-2.0, -0.5, 0.0, 0.25, 1.0, 3.0]), min_size=N, max_size=N)


@by_both
@settings(max_examples=50, deadline=None)
@given(values=scores)
def test_auc_depends_on_ranks_only_and_turns_over_with_the_sign(metrics, values):
    y, _ = binary_case(False)
    p, weights = np.array(values), draws()
    auc = metrics.roc_auc(y, p, weights)
    np.testing.assert_allclose(metrics.roc_auc(y, np.exp(p), weights), auc, atol=1e-12)
    np.testing.assert_allclose(metrics.roc_auc(y, -p, weights), 1 - auc, atol=1e-12)


@by_both
@settings(max_examples=50, deadline=None)
@given(order=st.permutations(range(N)), factor=st.integers(2, 5))
def test_scores_ignore_the_order_of_people_and_the_scale_of_weights(metrics, order, factor):
    y, p = binary_case(True)
    order, weights = np.array(order), draws()
    for name in KINDS["binary"].metrics:
        metric = getattr(metrics, name)
        expected = metric(y, p, weights)
        np.testing.assert_allclose(
            metric(y[order], p[order], factor * weights[:, order]), expected, atol=1e-12
        )


def test_groups_are_averaged_by_their_people_and_those_without_a_score_left_out():
    rng = np.random.default_rng(0)
    scores, people = rng.normal(size=(4, 6, 3)), rng.integers(1, 9, (4, 6, 1)).astype(float)
    scores[1, 2] = scores[:, 4] = np.nan
    found = plain_scores.mean_by_people(scores, people)
    for draw, cell in np.ndindex(6, 3):
        known = np.isfinite(scores[:, draw, cell])
        if not known.any():
            assert np.isnan(found[draw, cell])
            continue
        expected = np.average(scores[known, draw, cell], weights=people[known, draw, 0])
        assert found[draw, cell] == pytest.approx(expected)
    assert np.isnan(plain_scores.mean_by_people(np.empty((0, 2)), np.empty((0, 2)))).all()


PEOPLE = 60


def case_of_folds(kind, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, PEOPLE).astype(float) if kind == "binary" else rng.normal(50, 9, PEOPLE)
    predicted = y[:, None] + rng.normal(size=(PEOPLE, 3)) * [1, 2, 4]
    weights = rng.poisson(1.0, (DRAWS, PEOPLE)).astype(float)
    return y, predicted, rng.integers(0, 3, PEOPLE), np.vstack([np.ones(PEOPLE), weights])


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_estimates_and_intervals_are_those_of_the_map(kind):
    y, predicted, fold, weights = case_of_folds(kind)
    found = KINDS[kind].skill(headline(kind, y, predicted, weights, fold))
    assert found.shape == (1 + DRAWS, 3)
    for cell, p in enumerate(predicted.T):
        if kind == "binary":
            of_fold = [fold == one for one in range(3)]
            expected = score_folds_with_interval(
                [plain_scores.roc_auc] * 3,
                [y[mine] for mine in of_fold],
                [p[mine] for mine in of_fold],
                [weights[1:, mine] for mine in of_fold],
            )
            expected = 2 * np.array(expected) - 1
        else:
            expected = score_with_interval(plain_scores.r2, y, p, weights[1:])
        bounds = np.nanquantile(found[1:, cell], [0.025, 0.975])
        np.testing.assert_allclose([found[0, cell], *bounds], expected, atol=1e-12)


def test_a_fold_of_one_class_in_a_draw_is_left_out():
    y, p = np.array([1.0, 0, 1, 0]), np.array([[0.9], [0.1], [0.2], [0.7]])
    weights = np.array([[1.0, 1, 1, 0], [1, 1, 1, 1], [1, 0, 1, 0]])
    found = headline("binary", y, p, weights, np.array([0, 0, 1, 1]))
    np.testing.assert_allclose(found[:, 0], [1, 0.5, np.nan])


def test_pieces_change_nothing(monkeypatch):
    y, predicted, fold, weights = case_of_folds("binary")
    whole = headline("binary", y, predicted, weights, fold)
    asked = []

    def scorer(*given):
        asked.append(len(given[2]))
        return areas.areas(*given)

    monkeypatch.setattr("ukb_brain.statistics.scores.engine.areas", scorer)
    monkeypatch.setattr("ukb_brain.statistics.draws.LARGEST_CHUNK", 10 * PEOPLE)
    pieces = headline("binary", y, predicted, weights, fold)
    np.testing.assert_array_equal(pieces, whole)
    assert max(asked) == 10


def test_an_accuracy_needs_its_threshold():
    y, p = binary_case(False)
    with pytest.raises(ValueError, match="balanced_accuracy without a threshold"):
        score_draws("binary", y, p, draws())
    with pytest.raises(ValueError, match="median_split_accuracy without a threshold"):
        score_draws("continuous", y, p, draws(), metrics=["r2", "median_split_accuracy"])
