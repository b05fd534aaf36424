import numpy as np
import pytest

from ukb_brain.datasets.record_store import RecordStoreDataset
from ukb_brain.imaging.store import RecordStore


def test_the_store_of_an_entry_is_opened_where_it_says(tmp_path):
    dataset = RecordStoreDataset(filepath=str(tmp_path / "volumes.zarr"))
    store = dataset.load()
    assert store.path == tmp_path / "volumes.zarr"
    assert store.keys("t1") == []
    store.write("t1", (9000001, 2), np.ones((7, 8, 9)), {})
    dataset.save(store)
    assert dataset.load().keys("t1") == [(9000001, 2)]


def test_opening_writes_nothing(tmp_path):
    RecordStoreDataset(filepath=str(tmp_path / "volumes.zarr")).load()
    assert not list(tmp_path.iterdir())


def test_another_store_is_refused(tmp_path):
    dataset = RecordStoreDataset(filepath=str(tmp_path / "volumes.zarr"))
    with pytest.raises(Exception, match="not the store"):
        dataset.save(RecordStore(tmp_path / "other.zarr"))


def test_a_store_is_there_once_it_is_claimed(tmp_path):
    dataset = RecordStoreDataset(filepath=str(tmp_path / "volumes.zarr"))
    assert not dataset.exists()
    dataset.load().claim("synthetic")
    assert dataset.exists()
