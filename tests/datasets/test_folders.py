import json

import numpy as np
import pytest
from kedro.io import DatasetError

from ukb_brain.datasets.folders import (
    BulkFolderDataset,
    ModelFolderDataset,
    OwnedFolderDataset,
)
from ukb_brain.errors import InputError
from ukb_brain.ledger.artifact import Model, ModelFolder, write_failure, write_model

MODEL = Model(
    {"weights": np.arange(6, dtype=np.float32).reshape(2, 3), "mean": np.array([1.5])},
    {"strategy": "linear", "counts": {"train": 12}},
)


def bulk_folder(raw, folder=None):
    return BulkFolderDataset(path=str(raw), folder=folder and str(folder))


@pytest.mark.parametrize("place", ["Bulk/Brain MRI", "bulk", ""])
def test_the_bulk_folder_is_found_among_raw_files(tmp_path, place):
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    dataset = bulk_folder(tmp_path)
    assert dataset.exists()
    assert dataset.load() == tmp_path / place


def test_a_bulk_folder_of_its_own_is_taken_as_it_is(tmp_path):
    (tmp_path / "raw/bulk").mkdir(parents=True)
    (tmp_path / "scans").mkdir()
    assert bulk_folder(tmp_path / "raw", tmp_path / "scans").load() == tmp_path / "scans"


@pytest.mark.bad_input(given="a `bulk_folder` that is not there", says="which bulk_folder names")
def test_a_named_bulk_folder_must_be_there(tmp_path, says):
    dataset = bulk_folder(tmp_path, tmp_path / "scans")
    assert not dataset.exists()
    with pytest.raises(DatasetError) as caught:
        dataset.load()
    assert isinstance(caught.value.__cause__, InputError)
    assert says in str(caught.value.__cause__)
    assert str(tmp_path / "scans") in str(caught.value.__cause__)


def test_tables_may_come_without_any_bulk_folder(tmp_path):
    dataset = bulk_folder(tmp_path / "absent")
    assert not dataset.exists()
    assert dataset.load() == tmp_path / "absent"


def test_raw_files_are_never_written(tmp_path):
    with pytest.raises(Exception, match="only read"):
        bulk_folder(tmp_path).save(tmp_path)
    assert not list(tmp_path.iterdir())


def test_owned_folder_hands_out_its_path(tmp_path):
    dataset = OwnedFolderDataset(filepath=str(tmp_path / "raw"))
    assert dataset.load() == tmp_path / "raw"
    dataset.save(tmp_path / "raw")
    with pytest.raises(Exception, match="not the folder"):
        dataset.save(tmp_path / "other")


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
