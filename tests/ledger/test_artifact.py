from pathlib import Path

import numpy as np
import pytest

from ukb_brain.errors import InputError
from ukb_brain.ledger import artifact
from ukb_brain.ledger.artifact import (
    Model,
    ModelFolder,
    read_card,
    read_model,
    write_failure,
    write_model,
)

ARRAYS = {
    "weights": np.arange(6, dtype=np.float32).reshape(2, 3),
    # Neither contiguous nor of the machine's order of bytes.
    "turned": np.arange(12.0).reshape(3, 4).T,
    "strided": np.arange(20)[::3],
    "swapped": np.arange(5, dtype=">i4"),
    "flags": np.array([True, False]),
    "half": np.array([0.5, -2], dtype=np.float16),
    "number": np.array(1.5),
    "nothing": np.zeros((0, 4)),
}
CARD = {"strategy": "linear", "curves": [0.1, 1e-300], "café": None}


def test_a_model_comes_back_whatever_its_arrays_are(tmp_path):
    write_model(tmp_path / "new" / "model", Model(ARRAYS, CARD))
    model = read_model(tmp_path / "new" / "model")
    assert model.card == CARD == read_card(tmp_path / "new" / "model")
    assert set(model.arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(model.arrays[name], array)
        assert model.arrays[name].dtype == array.dtype.newbyteorder("=")
        assert model.arrays[name].shape == array.shape


def test_the_same_model_is_the_same_bytes(tmp_path):
    for name in "ab":
        write_model(tmp_path / name, Model(ARRAYS, CARD))
    files = {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()}
    assert files == {p.name: p.read_bytes() for p in (tmp_path / "b").iterdir()}
    assert set(files) == {"model.safetensors", "card.json"}


def test_some_arrays_can_be_read_alone(tmp_path):
    write_model(tmp_path, Model(ARRAYS, CARD))
    model = read_model(tmp_path, keys=["half", "turned"])
    assert list(model.arrays) == ["half", "turned"]
    np.testing.assert_array_equal(model.arrays["turned"], ARRAYS["turned"])


def test_arrays_that_were_read_outlive_their_file(tmp_path):
    write_model(tmp_path, Model({"x": np.arange(1000.0)}))
    array = read_model(tmp_path, keys=["x"]).arrays["x"]
    write_model(tmp_path, Model({"x": np.zeros(1000)}))
    (tmp_path / "model.safetensors").unlink()
    np.testing.assert_array_equal(array, np.arange(1000.0))
    array += 1  # and are the reader's own


@pytest.mark.parametrize("stage", ["arrays", "card"])
def test_half_a_model_is_none(tmp_path, monkeypatch, stage):
    write_model(tmp_path, Model(ARRAYS, CARD))

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if stage == "arrays":
            patch.setattr(artifact, "save_file", full)
        else:
            patch.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="No space"):
            write_model(tmp_path, Model({"x": np.zeros(2)}, {"strategy": "new"}))
    assert read_card(tmp_path) is None
    with pytest.raises(InputError, match="no whole model"):
        read_model(tmp_path)
    assert not list(tmp_path.glob(".*"))
    write_model(tmp_path, Model(ARRAYS, CARD))
    assert read_card(tmp_path) == CARD


def test_a_damaged_card_is_none_so_that_the_model_is_made_anew(tmp_path, caplog):
    home = tmp_path / "one"
    write_model(home, Model(ARRAYS, CARD))
    (home / "card.json").write_text('{"status": ')
    assert read_card(home) is None
    assert "made anew" in caplog.text
    assert ModelFolder(tmp_path).cards() == {}


def test_a_failure_has_a_card_and_no_arrays(tmp_path):
    write_model(tmp_path, Model(ARRAYS, CARD))
    write_failure(tmp_path, {"status": "failed", "reason": "loss is not finite"})
    assert [p.name for p in tmp_path.iterdir()] == ["card.json"]
    with pytest.raises(InputError, match=r"could not be made \(loss is not finite\)"):
        read_model(tmp_path)


def test_a_folder_of_models_is_read_by_name(tmp_path):
    models = ModelFolder(tmp_path / "models")
    assert models.names() == []
    for number, name in enumerate(("fold1-structural", "fold0-structural")):
        write_model(models.path / name, Model({"x": np.full(2, number)}, {"hash": name}))
    write_failure(models.path / "fold0-diffusion", {"status": "failed", "reason": "why"})
    (models.path / "empty").mkdir()
    assert models.names() == ["fold0-structural", "fold1-structural"]
    assert list(models.cards()) == ["fold0-diffusion", "fold0-structural", "fold1-structural"]
    assert models.card("fold1-structural") == {"hash": "fold1-structural"}
    assert models.card("empty") is None
    np.testing.assert_array_equal(models.read("fold0-structural").arrays["x"], [1, 1])
    assert models.read("fold0-structural", keys=[]).arrays == {}
    for name in ("empty", "unknown", "fold0-diffusion"):
        with pytest.raises(InputError, match=name):
            models.read(name)
