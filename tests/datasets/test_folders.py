import json

import numpy as np
import pytest
from kedro.io import DatasetError

from ukb_brain.datasets.folders import (
    ModelFolderDataset,
    OwnedFolderDataset,
    RecordStoreDataset,
    SecretDataset,
)
from ukb_brain.errors import InputError
from ukb_brain.imaging.store import RecordStore
from ukb_brain.ledger.artifact import Model, ModelFolder, write_failure, write_model

MODEL = Model(
    {"weights": np.arange(6, dtype=np.float32).reshape(2, 3), "mean": np.array([1.5])},
    {"strategy": "linear", "counts": {"train": 12}},
)


def test_owned_folder_hands_out_its_path(tmp_path):
    dataset = OwnedFolderDataset(filepath=str(tmp_path / "raw"))
    assert dataset.load() == tmp_path / "raw"
    dataset.save(tmp_path / "raw")
    with pytest.raises(Exception, match="not the folder"):
        dataset.save(tmp_path / "other")


def test_a_secret_is_made_once_and_read_by_its_owner_only(tmp_path):
    dataset = SecretDataset(filepath=str(tmp_path / "a/key"))
    key = dataset.load()
    assert len(key) == 32
    assert SecretDataset(filepath=str(tmp_path / "a/key")).load() == key
    assert SecretDataset(filepath=str(tmp_path / "b/key")).load() != key
    assert (tmp_path / "a/key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(DatasetError):
        dataset.save(key)


def test_a_folder_of_models_exists_once_it_is_complete(tmp_path):
    models = ModelFolder(tmp_path / "models")
    dataset = ModelFolderDataset(filepath=str(models.path))
    with pytest.raises(DatasetError) as caught:
        dataset.load()
    assert isinstance(caught.value.__cause__, InputError)
    write_model(models.path / "a", Model(MODEL.arrays, {"status": "ok", "hash": "1"}))
    write_failure(models.path / "b", {"status": "failed", "hash": "2", "reason": "why"})
    assert not dataset.exists()
    # What is there can be read by the nodes that follow in the same run.
    dataset.save(models)
    assert not dataset.exists()
    assert dataset.load().names() == ["a"]
    write_model(models.path / "b", Model(MODEL.arrays, {"status": "ok", "hash": "2"}))
    dataset.save(dataset.load())
    assert dataset.exists()
    assert json.loads((models.path / "complete.json").read_text()) == {"a": "1", "b": "2"}


def test_another_folder_of_models_is_refused(tmp_path):
    dataset = ModelFolderDataset(filepath=str(tmp_path / "models"))
    with pytest.raises(DatasetError, match="is not the folder of this entry"):
        dataset.save(ModelFolder(tmp_path / "others"))


def test_the_store_of_an_entry_is_opened_where_it_says(tmp_path):
    dataset = RecordStoreDataset(filepath=str(tmp_path / "volumes.store"))
    store = dataset.load()
    assert store.path == tmp_path / "volumes.store"
    assert store.keys("t1") == []
    store.write("t1", (9000001, 2), np.ones((7, 8, 9)), {})
    dataset.save(store)
    assert dataset.load().keys("t1") == [(9000001, 2)]


def test_opening_writes_nothing(tmp_path):
    RecordStoreDataset(filepath=str(tmp_path / "volumes.store")).load()
    assert not list(tmp_path.iterdir())


def test_another_store_is_refused(tmp_path):
    dataset = RecordStoreDataset(filepath=str(tmp_path / "volumes.store"))
    with pytest.raises(Exception, match="not the store"):
        dataset.save(RecordStore(tmp_path / "other.store"))


def test_a_store_is_there_once_it_is_claimed(tmp_path):
    dataset = RecordStoreDataset(filepath=str(tmp_path / "volumes.store"))
    assert not dataset.exists()
    dataset.load().claim("synthetic")
    assert dataset.exists()


@pytest.mark.parametrize("kind", [OwnedFolderDataset, ModelFolderDataset, RecordStoreDataset])
def test_errors_and_kedro_viz_are_told_the_place(tmp_path, kind):
    dataset = kind(filepath=str(tmp_path), metadata={"kedro-viz": {"layer": "feature"}})
    assert dataset._describe() == {"filepath": str(tmp_path)}
