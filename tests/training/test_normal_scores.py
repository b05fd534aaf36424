import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import load, save
from scipy.stats import norm, rankdata, skew

from ukb_brain.imaging.store import open_store
from ukb_brain.training import normal_scores
from ukb_brain.training.normal_scores import NormalScores
from ukb_brain.training.scans import GroupScans
from ukb_brain.training.steps import Zeros


class Held:
    """Numbers of people, read by key."""

    def __init__(self, values):
        self.values = np.asarray(values, dtype=np.float32)

    def read(self, keys):
        return self.values[list(keys)]


def fitted(values, training=None):
    scans = Held(values)
    return NormalScores().fit(scans, range(len(values)) if training is None else training)


def scored(step, values):
    return step.apply(np.asarray(values, dtype=np.float32), [])


MADE = (NormalScores(), Zeros())
NUMBERS = arrays(
    np.float32, (40, 3), elements=st.floats(-1e6, 1e6, width=32) | st.just(np.float32(np.nan))
)


@given(NUMBERS)
def test_scores_are_ordered_as_numbers_are_and_there_where_these_are(values):
    found = scored(fitted(values), values)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(values))
    for column, scores in zip(values.T, found.T, strict=True):
        known = ~np.isnan(column)
        order = np.argsort(column[known])
        assert (np.diff(scores[known][order]) >= -1e-6).all()


def test_scores_are_normal_whatever_the_unit_and_the_tails():
    rng = np.random.default_rng(0)
    plain = rng.normal(size=(800, 3))
    values = np.column_stack(
        [np.exp(2 * plain[:, 0]), 7e-4 + 3e-5 * plain[:, 1], 1e6 * plain[:, 2]]
    )
    found = scored(fitted(values), values)
    # Held against ranks, of which scikit-learn knows nothing.
    expected = norm.ppf((rankdata(values, axis=0) - 0.5) / len(values))
    assert np.abs(found - expected).max() < 0.2
    assert np.abs(found - expected)[(np.abs(expected) < 2.5)].max() < 0.04
    assert np.abs(skew(found)).max() < 0.05
    np.testing.assert_allclose(found.std(axis=0), 1, atol=0.03)


def test_test_people_touch_nothing():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(60, 4)).astype(np.float32)
    other = values.copy()
    other[40:] = 1e6
    first, second = fitted(values, range(40)), fitted(other, range(40))
    for name, array in first.arrays().items():
        np.testing.assert_array_equal(array, second.arrays()[name])


def test_who_is_beyond_everybody_in_training_is_as_far_out_as_the_outermost():
    values = np.random.default_rng(2).normal(size=(500, 1))
    step = fitted(values)
    low, high = scored(step, [[-1e6], [1e6]])[:, 0]
    assert high == -low == pytest.approx(norm.ppf(1 - 0.5 / 500), abs=1e-5)
    assert np.abs(scored(step, values)).max() <= high


def test_columns_that_tell_nothing_are_0():
    rng = np.random.default_rng(3)
    values = np.column_stack([np.full(50, 0.1), np.full(50, np.nan), rng.normal(size=50)])
    step = fitted(values)
    found = scored(step, [[5.0, 2.0, 0.0], [0.1, np.nan, np.nan]])
    np.testing.assert_array_equal(found[:, :2], [[0, 0], [0, np.nan]])
    assert np.isnan(found[1, 2])
    assert (scored(fitted(values[:, :2]), values[:, :2])[:, 0] == 0).all()


def test_equal_numbers_get_the_middle_of_their_ranks_at_the_ends_too():
    counts = np.repeat([0, 1, 2, 3], [300, 400, 200, 100])[:, None].astype(np.float32)
    found = scored(fitted(counts), [[0], [1], [2], [3]])[:, 0]
    np.testing.assert_allclose(found, norm.ppf([0.15, 0.5, 0.8, 0.95]), atol=0.01)


def test_a_step_is_the_same_after_it_was_kept():
    values = np.random.default_rng(4).gamma(2, size=(90, 5))
    values[3, 2] = np.nan
    step = fitted(values)
    kept = load(save(step.arrays()))
    again = NormalScores().restore(Held(values), kept)
    np.testing.assert_array_equal(scored(again, values), scored(step, values))
    assert NormalScores().restore(Held(values), {}) is None


def test_of_many_people_a_draw_that_is_the_same_each_time_is_enough(monkeypatch):
    values = np.random.default_rng(5).normal(size=(3000, 2))
    whole = scored(fitted(values), values)
    monkeypatch.setattr(normal_scores, "LEARNT", 1500)
    one, two = fitted(values), fitted(values)
    np.testing.assert_array_equal(one.quantiles, two.quantiles)
    inner = np.abs(whole) < 2
    assert np.abs(scored(one, values) - whole)[inner].max() < 0.25


def test_a_group_of_numbers_is_read_as_scores(tmp_path):
    rng = np.random.default_rng(6)
    keys = [(9000001 + k, 2) for k in range(30)]
    store = open_store(tmp_path / "vectors")
    values = rng.lognormal(size=(30, 4)).astype(np.float32)
    values[0, 1] = np.nan
    for key, row in zip(keys, values, strict=True):
        store.write("idps", key, row, {"measures": {}})
    plain = GroupScans(("idps",), tmp_path / "none", tmp_path / "vectors", makers=MADE)
    group = plain.fitted(keys[:20])
    found = group.read(keys)
    np.testing.assert_array_equal(found, np.nan_to_num(scored(fitted(values[:20]), values)))
    assert found[0, 1] == 0
    again = plain.restored(load(save(group.arrays())))
    np.testing.assert_array_equal(again.read(keys), found)
