import hashlib
import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from ukb_brain.errors import InputError
from ukb_brain.ledger.artifact import Model, write_model
from ukb_brain.networks.light import VolumeEncoder
from ukb_brain.training.network import check_start
from ukb_brain.training.settings import Network
from ukb_brain.training.weights import export_encoder, read_header, start_encoders

SHAPE = (2, 4, 6, 4)
OPTIONS = {"volume": {"stem": 2, "width": 4}}


def encoder(seed, shape=SHAPE, embedding=8):
    torch.manual_seed(seed)
    return VolumeEncoder(shape, embedding, 0.0, stem=2, width=4)


def arrays_of(module, prefix=""):
    return {prefix + key: tensor.numpy() for key, tensor in module.state_dict().items()}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "brains.safetensors"
    save_file(arrays_of(encoder(1)), path, metadata={"from": "elsewhere"})
    return path


def start(own, path, name="structural"):
    return start_encoders(torch.nn.ModuleDict({name: own}), {name: str(path)})


def same(one, two):
    pairs = zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_an_encoder_becomes_the_one_in_the_file_and_says_where_it_is_from(file):
    own, other = encoder(2), encoder(1)
    assert not same(own, other)
    origin = start(own, file)["structural"]
    assert same(own, other)
    assert origin == {
        "file": "brains.safetensors",
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "metadata": {"from": "elsewhere"},
        "tensors": len(own.state_dict()),
        "of_tensors": len(own.state_dict()),
        "parameters": sum(p.numel() for p in own.parameters()),
        "of_parameters": sum(p.numel() for p in own.parameters()),
    }
    assert "/" not in json.dumps(origin)


def test_what_does_not_agree_by_shape_keeps_its_random_start(file):
    longer, untouched = encoder(2, embedding=9), encoder(2, embedding=9)
    origin = start(longer, file)["structural"]
    taken, kept, given = (m.state_dict() for m in (longer, untouched, encoder(1)))
    for key, tensor in taken.items():
        expected = kept[key] if key.startswith("layers.9.") else given[key]
        assert torch.equal(tensor, expected), key
    assert origin["tensors"] == origin["of_tensors"] - 2
    last = sum(p.numel() for key, p in longer.named_parameters() if key.startswith("layers.9."))
    assert origin["parameters"] == origin["of_parameters"] - last


def test_names_may_stand_behind_those_of_our_networks(tmp_path):
    given = arrays_of(encoder(1), "encoders.structural.") | arrays_of(
        encoder(3), "encoders.diffusion."
    )
    save_file(given, tmp_path / "both.safetensors")
    own = encoder(2)
    start(own, tmp_path / "both.safetensors")
    assert same(own, encoder(1))


def test_numbers_of_another_precision_are_taken(tmp_path):
    half = {
        k: a.astype(np.float16) if a.dtype == np.float32 else a
        for k, a in arrays_of(encoder(1)).items()
    }
    save_file(half, tmp_path / "half.safetensors")
    own = encoder(2)
    start(own, tmp_path / "half.safetensors")
    assert own.layers[0].weight.dtype == torch.float32
    torch.testing.assert_close(own.layers[0].weight, encoder(1).layers[0].weight, atol=1e-3, rtol=0)


def test_a_file_for_an_encoder_that_is_not_there_is_not_read():
    assert start_encoders(torch.nn.ModuleDict(), {"diffusion": "nowhere"}) == {}


def test_a_model_of_ours_is_written_for_others_to_start_from(tmp_path):
    arrays = arrays_of(encoder(1), "weights/encoders.structural.")
    arrays |= {"outputs": np.ones((1, 2)), "weights/head.line.bias": np.zeros(3)}
    about = {"name": "fold0-seed0-without0", "hash": "h", "training_people": "p", "n_train": 3}
    write_model(tmp_path / "model", Model(arrays, about))
    path = tmp_path / "structural.safetensors"
    export_encoder(tmp_path / "model", "structural", path)
    header = read_header(path, "here")
    assert {*header.shapes} == {*encoder(1).state_dict()}
    assert header.metadata == {
        "made_by": "ukb_brain",
        "encoder": "structural",
        "name": "fold0-seed0-without0",
        "hash": "h",
        "training_people": "p",
    }
    own = encoder(2)
    start(own, path)
    assert same(own, encoder(1))
    with pytest.raises(InputError, match=r"no encoder 'diffusion'; it has structural\."):
        export_encoder(tmp_path / "model", "diffusion", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def broken(name, path):
    """Files from which nothing can start, and what is said of each."""
    if name == "text":
        path.write_text("no tensors")
    elif name == "folder":
        path.mkdir()
    elif name == "another network":
        save_file({"conv.weight": np.zeros((5, 2), np.float32)}, path)
    elif name == "another grid":
        save_file({"layers.0.weight": np.zeros((4, 1, 2, 2, 2), np.float32)}, path)
    elif name == "empty":
        save_file({}, path)
    elif name == "counts alone":
        # Of a network that has nothing else in common.
        save_file({"layers.1.0.num_batches_tracked": np.zeros((), np.int64)}, path)
    elif name == "not finite":
        arrays = arrays_of(encoder(1))
        arrays["layers.0.bias"] = np.array([0, np.nan, 0, 0], np.float32)
        save_file(arrays, path)


BROKEN = {
    "absent": ["there is no such file"],
    "folder": ["there is no such file"],
    "text": ["is not in safetensors"],
    "another network": [
        "conv.weight (5 × 2)",
        "the encoder has layers.0.weight (4 × 2 × 2 × 2 × 2)",
    ],
    "another grid": ["the file has layers.0.weight (4 × 1 × 2 × 2 × 2);"],
    "empty": ["the file has nothing;"],
    "counts alone": ["layers.1.0.num_batches_tracked (one number)"],
    "not finite": ["whose layers.0.bias has numbers that are not finite"],
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_cannot_be_used_is_told_in_one_line_before_and_while_it_is_used(name, tmp_path):
    path = tmp_path / "given.safetensors"
    broken(name, path)
    network = Network(embedding=8, options=OPTIONS, start={"structural": str(path)})
    own, untouched = encoder(2), encoder(2)
    for setting, use in {
        "before": lambda: check_start(network, "structural", SHAPE, "before"),
        "network.start.structural": lambda: start(own, path),
    }.items():
        with pytest.raises(InputError) as caught:
            use()
        message = str(caught.value)
        assert message.startswith(f"{setting} names {path}")
        assert "\n" not in message and message.endswith("or take it out.")
        for words in BROKEN[name]:
            assert words in message
    assert same(own, untouched)


def test_only_what_is_taken_must_be_finite(tmp_path):
    arrays = arrays_of(encoder(1)) | {"head.bias": np.array([np.inf], np.float32)}
    save_file(arrays, tmp_path / "more.safetensors")
    own = encoder(2)
    start(own, tmp_path / "more.safetensors")
    assert same(own, encoder(1))


def test_of_vectors_whose_length_is_not_known_names_are_compared(tmp_path):
    path = tmp_path / "vectors.safetensors"
    save_file({"line.weight": np.zeros((64, 55), np.float32)}, path)
    network = Network(start={"functional": str(path)})
    check_start(network, "functional", None, "s")
    with pytest.raises(InputError, match="by name and shape"):
        check_start(network, "functional", (54,), "s")
    check_start(network, "functional", (55,), "s")


def test_files_are_named_by_whole_paths_and_null_takes_one_out(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    network = Network(start={"structural": "a.safetensors", "diffusion": None})
    assert network.start == {"structural": str(tmp_path / "a.safetensors")}
