import numpy as np
import pytest

from ukb_brain.imaging import likeness
from ukb_brain.imaging.likeness import correlations, far_below, mean_record
from ukb_brain.imaging.store import RecordStore

KEYS = [(k, 2) for k in range(1, 8)]


@pytest.fixture
def stored(tmp_path):
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(4, 5, 6))
    records = [(shared + 0.5 * rng.normal(size=shared.shape)).astype(np.float16) for _ in KEYS]
    store = RecordStore(tmp_path / "volumes.store")
    for key, record in zip(KEYS, records, strict=True):
        store.write("t1", key, record, {})
    return store, np.array(records, dtype=np.float64)


@pytest.mark.parametrize("at_a_time", [1, 1000, 1 << 26])
def test_means_and_correlations_do_not_depend_on_how_many_are_read_at_a_time(
    stored, monkeypatch, at_a_time
):
    monkeypatch.setattr(likeness, "AT_A_TIME", at_a_time)
    store, records = stored
    mean = mean_record(store, "t1", KEYS)
    np.testing.assert_allclose(mean, records.mean(axis=0), atol=1e-6)
    expected = [np.corrcoef(one.ravel(), mean.ravel())[0, 1] for one in records]
    np.testing.assert_allclose(correlations(store, "t1", KEYS, mean), expected, atol=1e-5)


def test_only_chosen_voxels_are_compared(stored):
    store, records = stored
    where = np.zeros((4, 5, 6), dtype=bool)
    where[1:3] = True
    mean = records.mean(axis=0).astype(np.float32)
    mean[0] = np.nan
    expected = [np.corrcoef(one[where], mean[where])[0, 1] for one in records]
    np.testing.assert_allclose(correlations(store, "t1", KEYS, mean, where), expected, atol=1e-5)


def test_what_somebody_lacks_is_left_out_of_means_and_correlations(tmp_path):
    store = RecordStore(tmp_path / "vectors.store")
    a, b = np.array([1, 2, np.nan, 4, np.nan]), np.array([3, 2, 6, 5, np.nan])
    for key, vector in zip(KEYS, (a, b), strict=False):
        store.write("rsfmri", key, vector.astype(np.float32), {})
    mean = mean_record(store, "rsfmri", KEYS[:2])
    np.testing.assert_array_equal(mean, [2, 2, 6, 4.5, np.nan])
    found = correlations(store, "rsfmri", KEYS[:2], mean)
    expected = [
        np.corrcoef([1, 2, 4], [2, 2, 4.5])[0, 1],
        np.corrcoef([3, 2, 6, 5], [2, 2, 6, 4.5])[0, 1],
    ]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_what_does_not_vary_has_no_correlation(tmp_path):
    store = RecordStore(tmp_path / "volumes.store")
    store.write("t1", KEYS[0], np.ones((2, 2, 2), dtype=np.float16), {})
    assert np.isnan(correlations(store, "t1", KEYS[:1], np.arange(8.0).reshape(2, 2, 2))).all()


def test_far_below_is_three_ranges_of_the_middle_half_below_it():
    training = np.array([0.8, 0.82, 0.84, 0.86, 0.88])
    # Quartiles .82 and .86, so the fence is .70.
    found = far_below(np.array([0.69, 0.71, np.nan, 2.0]), training)
    assert found.tolist() == [True, False, False, False]
    assert not far_below(np.array([-1.0]), training[:3]).any()
