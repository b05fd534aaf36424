import numpy as np
import plain_scores as metrics
import pytest
import sklearn.metrics as sk
from hypothesis import given
from hypothesis import strategies as st

from ukb_brain.statistics.scores.areas import DRAWS_AT_ONCE, areas

BOTH = ("roc_auc", "average_precision")


def ranked_areas(*given, **how):
    return tuple(areas(*given, BOTH, **how).values())


def simulated(rng, n=60, cells=4, decimals=None):
    y = (rng.random(n) < 0.3).astype(float)
    predicted = 0.8 * y[:, None] + rng.normal(size=(n, cells))
    return y, predicted if decimals is None else np.round(predicted, decimals)


def of_resample(score, y, predicted, counts):
    people = np.repeat(np.arange(len(y)), counts.astype(int))
    people = people[np.isfinite(predicted[people])]
    return score(y[people], predicted[people])


@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_both_areas_are_those_of_written_out_resamples(decimals, missing):
    rng = np.random.default_rng(0)
    y, predicted = simulated(rng, decimals=decimals)
    predicted[rng.random(predicted.shape) < missing] = np.nan
    weights = rng.poisson(1.0, (20, len(y))).astype(float)
    auc, precision = ranked_areas(y, predicted, weights)
    assert auc.shape == precision.shape == (20, 4)
    for cell in range(4):
        for draw in range(20):
            given = (y, predicted[:, cell], weights[draw])
            expected = of_resample(sk.roc_auc_score, *given)
            assert auc[draw, cell] == pytest.approx(expected, abs=1e-12)
            expected = of_resample(sk.average_precision_score, *given)
            assert precision[draw, cell] == pytest.approx(expected, abs=1e-12)


def test_weights_need_not_be_counts():
    rng = np.random.default_rng(1)
    y, predicted = simulated(rng, decimals=1)
    weights = rng.gamma(0.5, size=(10, len(y)))
    auc, precision = ranked_areas(y, predicted, weights)
    for cell, column in enumerate(predicted.T):
        for draw, each in enumerate(weights):
            expected = sk.roc_auc_score(y, column, sample_weight=each)
            assert auc[draw, cell] == pytest.approx(expected, abs=1e-10)
            expected = sk.average_precision_score(y, column, sample_weight=each)
            assert precision[draw, cell] == pytest.approx(expected, abs=1e-10)


def test_a_draw_without_a_class_has_no_area():
    y, predicted = np.array([0.0, 0, 1, 1]), np.array([[0.1, 0.4, 0.3, 0.9]]).T
    weights = np.array([[1.0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0], [1, 0, 0, 2]])
    auc, precision = ranked_areas(y, predicted, weights)
    np.testing.assert_array_equal(auc[:, 0], [np.nan, np.nan, np.nan, 1.0])
    # Nobody but positives: whoever is called is one.
    np.testing.assert_array_equal(precision[:, 0], [np.nan, 1.0, np.nan, 1.0])


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_a_sample_of_one_class_has_no_area(label):
    auc, _ = ranked_areas(np.full(3, label), np.arange(3.0)[:, None], np.ones((2, 3)))
    assert np.isnan(auc).all()


def test_a_cell_that_lacks_everybody_has_none_and_leaves_others_alone():
    rng = np.random.default_rng(2)
    y, predicted = simulated(rng)
    weights = rng.poisson(1.0, (10, len(y))).astype(float)
    lacking = np.column_stack([predicted, np.full(len(y), np.nan)])
    for alone, both in zip(
        ranked_areas(y, predicted, weights), ranked_areas(y, lacking, weights), strict=True
    ):
        assert np.isnan(both[:, 4]).all()
        np.testing.assert_array_equal(both[:, :4], alone)


def test_neither_threads_nor_the_number_of_draws_change_a_score():
    rng = np.random.default_rng(3)
    y, predicted = simulated(rng, decimals=1)
    weights = rng.poisson(1.0, (2 * DRAWS_AT_ONCE + 3, len(y))).astype(float)
    auc, precision = ranked_areas(y, predicted, weights)
    by_two = ranked_areas(y, predicted, weights, threads=2)
    np.testing.assert_array_equal(by_two, (auc, precision))
    alone = areas(y, predicted, weights, ["roc_auc", "brier"], threads=2)
    assert list(alone) == ["roc_auc"]
    np.testing.assert_array_equal(alone["roc_auc"], auc)
    # A draw by itself is summed in another order.
    last = ranked_areas(y, predicted, weights[-1:])
    np.testing.assert_allclose(last, (auc[-1:], precision[-1:]), rtol=1e-14)


people = st.lists(
    st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 3)), min_size=2, max_size=15
)


@given(people)
def test_areas_are_those_of_the_plain_metrics(rows):
    y, predicted, weights = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    auc, precision = ranked_areas(y, predicted[:, None], weights[None])
    for found, score in ((auc, metrics.roc_auc), (precision, metrics.average_precision)):
        np.testing.assert_allclose(found[0], score(y, predicted, weights[None]), atol=1e-12)


@given(people)
def test_a_monotone_scale_changes_nothing_and_a_reversed_one_mirrors_the_auc(rows):
    y, predicted, weights = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    cells = np.column_stack([predicted, np.exp(predicted), -predicted])
    (auc,), (precision,) = ranked_areas(y, cells, weights[None])
    assert precision[0] == pytest.approx(precision[1], nan_ok=True)
    assert auc[0] == pytest.approx(auc[1], nan_ok=True)
    assert auc[0] + auc[2] == pytest.approx(1 if np.isfinite(auc[0]) else np.nan, nan_ok=True)
