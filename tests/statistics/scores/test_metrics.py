import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr

from ukb_brain.statistics.scores import metrics

N = 37
DRAWS = 25


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
        (metrics.roc_auc, sk.roc_auc_score),
        (metrics.average_precision, sk.average_precision_score),
        (metrics.brier, sk.brier_score_loss),
        (
            lambda y, p, w: metrics.balanced_accuracy(y, p, w, 0.4),
            lambda y, p: sk.balanced_accuracy_score(y, p > 0.4),
        ),
    ],
)
def test_binary_metrics_equal_scikit_learn_on_resamples(ours, theirs, ties):
    y, p = binary_case(ties)
    weights = draws()
    expected = [theirs(a, b) for a, b in resamples(weights, y, p)]
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(ours(y, p, weights), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (metrics.r2, sk.r2_score),
        (metrics.pearson_r, lambda y, p: pearsonr(y, p).statistic),
        (metrics.mae, sk.mean_absolute_error),
        (
            lambda y, p, w: metrics.median_split_accuracy(y, p, w, 590.0),
            lambda y, p: sk.balanced_accuracy_score(y > 590, p > 590),
        ),
    ],
)
def test_continuous_metrics_equal_independent_ones_on_resamples(ours, theirs):
    y, p = continuous_case()
    weights = draws()
    expected = [theirs(a, b) for a, b in resamples(weights, y, p)]
    np.testing.assert_allclose(ours(y, p, weights), expected, rtol=0, atol=1e-9)


def test_a_draw_of_one_class_is_undefined_and_others_are_not():
    y, p = np.array([0.0, 0, 1]), np.array([0.1, 0.4, 0.3])
    weights = np.array([[1.0, 1, 0], [1, 1, 1], [0, 0, 2]])
    for metric in (metrics.roc_auc, metrics.balanced_accuracy):
        assert np.isnan(metric(y, p, weights)).tolist() == [True, False, True]
    assert np.isnan(metrics.average_precision(y, p, weights)).tolist() == [True, False, False]
    assert metrics.roc_auc(y, p, weights)[1] == 0.5


def test_a_constant_has_no_r2_and_no_correlation():
    y, p = np.array([0.1, 0.1, 0.7]), np.array([0.2, 0.5, 0.5])
    weights = np.array([[1.0, 2, 0], [0, 1, 1], [1, 1, 1]])
    assert np.isnan(metrics.r2(y, p, weights)).tolist() == [True, False, False]
    assert np.isnan(metrics.pearson_r(y, p, weights)).tolist() == [True, True, False]


def test_r2_of_a_large_offset_keeps_its_digits():
    y, p = continuous_case()
    ours = metrics.r2(y + 1e6, p + 1e6, draws())
    np.testing.assert_allclose(ours, metrics.r2(y, p, draws()), atol=1e-8)


scores = st.lists(st.sampled_from([-2.0, -0.5, 0.0, 0.25, 1.0, 3.0]), min_size=N, max_size=N)


@settings(max_examples=50, deadline=None)
@given(scores)
def test_auc_depends_on_ranks_only_and_turns_over_with_the_sign(values):
    y, _ = binary_case(False)
    p, weights = np.array(values), draws()
    auc = metrics.roc_auc(y, p, weights)
    np.testing.assert_allclose(metrics.roc_auc(y, np.exp(p), weights), auc, atol=1e-12)
    np.testing.assert_allclose(metrics.roc_auc(y, -p, weights), 1 - auc, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.permutations(range(N)), st.integers(2, 5))
def test_scores_ignore_the_order_of_people_and_the_scale_of_weights(order, factor):
    y, p = binary_case(True)
    order, weights = np.array(order), draws()
    for metric in metrics.scores_of("binary", 0.4).values():
        expected = metric(y, p, weights)
        np.testing.assert_allclose(
            metric(y[order], p[order], factor * weights[:, order]), expected, atol=1e-12
        )


def test_groups_are_averaged_by_their_people_and_those_without_a_score_left_out():
    rng = np.random.default_rng(0)
    scores, people = rng.normal(size=(4, 6, 3)), rng.integers(1, 9, (4, 6, 1)).astype(float)
    scores[1, 2] = scores[:, 4] = np.nan
    found = metrics.mean_by_people(scores, people)
    for draw, cell in np.ndindex(6, 3):
        known = np.isfinite(scores[:, draw, cell])
        if not known.any():
            assert np.isnan(found[draw, cell])
            continue
        expected = np.average(scores[known, draw, cell], weights=people[known, draw, 0])
        assert found[draw, cell] == pytest.approx(expected)
    assert np.isnan(metrics.mean_by_people(np.empty((0, 2)), np.empty((0, 2)))).all()
