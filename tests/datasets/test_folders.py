import json

import numpy as np
import pytest
from kedro.io import DatasetError
from safetensors.numpy import load_file

from ukb_brain.datasets.folders import (
    BulkDataset,
    BulkFolderDataset,
    ModelDataset,
    ModelFolderDataset,
    OwnedFolderDataset,
)
from ukb_brain.errors import InputError
from ukb_brain.imaging.bulk import BulkFile
from ukb_brain.networks import artifact
from ukb_brain.networks.artifact import Model, ModelFolder, write_failure, write_model

MODEL = Model(
    {"weights": np.arange(6, dtype=np.float32).reshape(2, 3), "mean": np.array([1.5])},
    {"strategy": "linear", "counts": {"train": 12}},
)


def bulk_folder(path):
    return BulkFolderDataset(path=str(path), dataset="ukb_brain.datasets.BulkDataset")


def put(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content of " + name.encode())


def test_bulk_files_are_listed_by_field_and_opened_on_demand(tmp_path):
    names = ["20252/9000001_20252_2_0.zip", "25750/9000002_25750_3_0.txt"]
    put(tmp_path, *names)
    partitions = bulk_folder(tmp_path).load()
    assert set(partitions) == set(names)
    file = partitions[names[1]]()
    assert isinstance(file, BulkFile)
    assert file.path == tmp_path / names[1]
    assert file.path.read_bytes() == b"content of " + names[1].encode()


def test_other_files_are_no_bulk_files(tmp_path):
    put(
        tmp_path,
        "20252/9000001_20252_2_0.zip",
        "20252/.partial-9000002_20252_2_0.zip",
        "20252/readme.txt",
        "20252/9000003_20252_2_0.zip.part",
        "anatomy.npz",
    )
    assert set(bulk_folder(tmp_path).load()) == {"20252/9000001_20252_2_0.zip"}


@pytest.mark.parametrize("there", ["nothing", "an empty folder", "other files"])
def test_no_bulk_files_is_one_line_with_both_remedies(tmp_path, there):
    folder = tmp_path / "bulk"
    if there != "nothing":
        folder.mkdir()
    if there == "other files":
        put(folder, "readme.txt")
    with pytest.raises(DatasetError) as caught:
        bulk_folder(folder).load()
    assert isinstance(caught.value.__cause__, InputError)
    message = str(caught.value.__cause__)
    assert "\n" not in message
    assert "kedro run --pipeline synthetic_cohort" in message
    assert "kedro run --env ukb" in message


def test_raw_files_are_never_written(tmp_path):
    path = tmp_path / "scan.zip"
    with pytest.raises(Exception, match="read only"):
        BulkDataset(filepath=str(path)).save(BulkFile(path))
    assert not path.exists()


def test_owned_folder_hands_out_its_path(tmp_path):
    dataset = OwnedFolderDataset(filepath=str(tmp_path / "raw"))
    assert dataset.load() == tmp_path / "raw"
    dataset.save(tmp_path / "raw")
    with pytest.raises(Exception, match="not the folder"):
        dataset.save(tmp_path / "other")


def test_a_model_comes_back(tmp_path):
    dataset = ModelDataset(filepath=str(tmp_path / "model"))
    assert not dataset.exists()
    dataset.save(MODEL)
    assert dataset.exists()
    loaded = dataset.load()
    assert loaded.card == MODEL.card
    assert set(loaded.arrays) == set(MODEL.arrays)
    for name, array in MODEL.arrays.items():
        np.testing.assert_array_equal(loaded.arrays[name], array)
        assert loaded.arrays[name].dtype == array.dtype
    assert {p.name for p in (tmp_path / "model").iterdir()} == {"model.safetensors", "card.json"}
    assert set(load_file(tmp_path / "model" / "model.safetensors")) == {"weights", "mean"}


def test_half_a_model_does_not_count(tmp_path, monkeypatch):
    dataset = ModelDataset(filepath=str(tmp_path / "model"))
    dataset.save(MODEL)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(artifact, "save_file", full)
        with pytest.raises(DatasetError, match="No space"):
            dataset.save(Model({"weights": np.zeros(2)}, {"strategy": "new"}))
    assert not dataset.exists()
    dataset.save(MODEL)
    assert dataset.exists()


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
