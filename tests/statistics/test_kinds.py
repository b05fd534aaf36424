import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ukb_brain.metrics import METRICS
from ukb_brain.statistics.kinds import BINARY, CONTINUOUS, KINDS, smallest_skill
from ukb_brain.statistics.scores.engine import BY_FOLD, POOLED


def test_every_metric_is_of_one_kind_and_scored_by_one_rule():
    own = [metric for metrics in METRICS.values() for metric in metrics]
    assert sorted(own) == sorted([*POOLED, *BY_FOLD])
    for kind in KINDS.values():
        assert {kind.headline, kind.accuracy, kind.error, kind.published} <= set(kind.metrics)


def test_the_region_of_known_coverage():
    y = np.repeat([1.0, 0.0], [29, 400])
    assert BINARY.rarest(y) == BINARY.rarest(1 - y) == 29
    assert CONTINUOUS.rarest(y) == 429
    assert BINARY.validated(30, 0.9)
    assert not BINARY.validated(29, 0.9)
    assert not BINARY.validated(29, 0.9)
    assert not BINARY.validated(400, 0.97)
    assert BINARY.validated(38, 0.96)
    assert not BINARY.validated(37, 0.96)
    assert not BINARY.validated(400, 0.02)
    assert not BINARY.validated(400, np.nan)
    assert CONTINUOUS.validated(60, 0.5)
    assert not CONTINUOUS.validated(59, 0.5)


@given(st.integers(1, 59))
def test_classes_weigh_the_same(ones):
    y = np.array([1.0] * ones + [0.0] * (60 - ones))
    weights = BINARY.class_weights(y, y)
    assert weights[y == 1].sum() == pytest.approx(30)
    assert weights[y == 0].sum() == pytest.approx(30)
    np.testing.assert_array_equal(CONTINUOUS.class_weights(y, y), np.ones(60))


def test_people_outside_training_have_the_weight_of_their_class_in_training():
    y, others = np.array([1.0] * 10 + [0.0] * 30), np.array([0.0, 1.0, 1.0])
    np.testing.assert_allclose(BINARY.class_weights(y, others), [2 / 3, 2, 2])
    np.testing.assert_array_equal(CONTINUOUS.class_weights(y, others), np.ones(3))


@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=30).filter(lambda v: np.std(v) > 1e-3))
def test_a_target_can_be_put_back_on_its_own_scale(values):
    y = np.array(values)
    centre, spread = CONTINUOUS.centre_and_spread(y)
    scaled = (y - centre) / spread
    np.testing.assert_allclose(centre + spread * scaled, y, atol=1e-6)
    assert scaled.mean() == pytest.approx(0, abs=1e-6)
    assert scaled.std() == pytest.approx(1)
    centre, spread = BINARY.centre_and_spread(np.array([0.0, 1.0]))
    assert [(y - centre) / spread for y in (0.0, 1.0)] == [-1, 1]


@pytest.mark.parametrize(("n", "n_positive"), [(200, 100), (200, 40), (400, 200)])
def test_the_rank_sum_test_finds_the_smallest_area_in_four_of_five_samples(n, n_positive):
    """By scipy's Mann–Whitney test on normal scores whose area is as said."""
    rng, skill = np.random.default_rng(0), smallest_skill("binary", n, n_positive)
    shift = np.sqrt(2) * stats.norm.ppf((skill + 1) / 2)
    yes = rng.normal(shift, 1, (1500, n_positive))
    no = rng.normal(0, 1, (1500, n - n_positive))
    p = stats.mannwhitneyu(yes, no, axis=1, method="asymptotic").pvalue
    assert np.mean(p < 0.05) == pytest.approx(0.8, abs=0.04)


@pytest.mark.parametrize("n", [40, 200])
def test_the_test_of_correlation_finds_the_smallest_share_in_four_of_five_samples(n):
    rng, skill = np.random.default_rng(1), smallest_skill("continuous", n)
    predicted = rng.normal(0, np.sqrt(skill), (1500, n))
    y = predicted + rng.normal(0, np.sqrt(1 - skill), (1500, n))
    p = stats.pearsonr(y, predicted, axis=1).pvalue
    assert np.mean(p < 0.05) == pytest.approx(0.8, abs=0.04)


def test_more_people_balance_and_patience_find_less():
    for kind in ("binary", "continuous"):
        found = [smallest_skill(kind, n) for n in (50, 200, 2000)]
        assert found[0] > found[1] > found[2] > 0
        assert (
            smallest_skill(kind, 200, power=0.9)
            > smallest_skill(kind, 200)
            > smallest_skill(kind, 200, alpha=0.2)
        )
    assert smallest_skill("binary", 200, 20) > smallest_skill("binary", 200, 100)
    assert smallest_skill("binary", 200, 20) == smallest_skill("binary", 200, 180)
    assert smallest_skill("binary", 200, 100) == smallest_skill("binary", 200)


def test_too_few_people_could_have_seen_nothing():
    assert np.isnan(smallest_skill("binary", 20, 0))
    assert np.isnan(smallest_skill("continuous", 3))
    assert smallest_skill("binary", 4, 1) == 1
