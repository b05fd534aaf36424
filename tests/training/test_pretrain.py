from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ukb_brain.errors import InputError
from ukb_brain.networks.fusion import FusedNetwork
from ukb_brain.networks.light import VolumeEncoder
from ukb_brain.networks.registry import build_encoder, names
from ukb_brain.training.loop import train
from ukb_brain.training.pretrain import (
    HIDDEN,
    Decoder,
    Filling,
    HiddenVolumes,
    last_places,
    pretrain,
    require_cubes,
    spread,
)
from ukb_brain.training.settings import Encoders, Pretrain
from ukb_brain.training.tasks import Tasks
from ukb_brain.training.trainer import MASK, Trainer

N, SHAPE, CPU = 300, (1, 8, 8, 8), torch.device("cpu")
FITTED = np.arange(N) < 200
LABELLED = np.arange(N) < 24
HELD = ~FITTED


class Data:
    """Volumes of one group, and a vector that no pretraining asks for."""

    def __init__(self, volumes, has=None):
        self.held = torch.from_numpy(volumes).float()
        self.volumes, self.shapes = {"t1": None}, {"t1": volumes.shape[1:], "rest": (3,)}
        has = np.ones(len(volumes), dtype=bool) if has is None else has
        self.people = SimpleNamespace(has={"t1": has})

    def read(self, rows, rng):
        used = {MASK: torch.ones(len(rows), 1)}
        return {"t1": self.held[rows], "rest": torch.full((len(rows), 3), torch.nan)} | used


def cohort(seed):
    """One smooth pattern, weak beside the noise of voxels, and how much each person has of it."""
    rng = np.random.default_rng(seed)
    much = rng.normal(size=N)
    pattern = np.kron(rng.normal(size=(2, 2, 2)), np.ones((4, 4, 4)))
    volumes = 0.35 * much[:, None, None, None] * pattern + rng.normal(size=(N, 8, 8, 8))
    return volumes[:, None], much


def network_of(seed, shape=SHAPE):
    torch.manual_seed(seed)
    encoder = VolumeEncoder(shape, 8, 0.1, stem=2, width=8)
    return FusedNetwork({"t1": encoder}, 1, "linear", 8, 0.0)


def settings(epochs=2, **changes):
    own = {"epochs": epochs, "cube": 2, "learning_rate": 0.01} | changes
    loop = {"epochs": 30, "batch_size": 16, "learning_rate": 3e-3, "precision": "float32"}
    return Encoders(network={"embedding": 8}, loop=loop, pretrain=own)


def pretrained(network, data, folder, fitted=FITTED, held=HELD, seed=5, **changes):
    own = settings(**changes)
    return pretrain(network.encoders, data, fitted, held, own, CPU, seed, folder)


def weights_of(network):
    return {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}


def differ(one, two):
    return {name for name in one if one[name].tobytes() != two[name].tobytes()}


@pytest.mark.parametrize("seed", [1, 2])
def test_few_labels_are_read_better_where_many_scans_were_filled_in(seed, tmp_path):
    volumes, much = cohort(seed)
    data, losses = Data(volumes), []
    for epochs in (0, 10):
        network = network_of(seed)
        if epochs:
            card = pretrained(network, data, tmp_path, epochs=epochs)
            # Noise, of SD 1, is what nobody can know.
            assert 1 < card["validation"] < 1 + 0.7 * (card["of_mean"] - 1)
        loop = settings().loop
        tasks = Tasks({"y": much}, {"y": False}, LABELLED, loop)
        trainer = Trainer(network, data_of_t1(data), tasks, loop, CPU, seed)
        trained = train(trainer, np.flatnonzero(LABELLED), np.array([], dtype=int))
        network.load_state_dict(trained.state)
        losses.append(trainer.evaluate(np.flatnonzero(HELD)))
    assert losses[1] < 0.4 * losses[0], losses


def data_of_t1(data):
    return SimpleNamespace(
        read=lambda rows, rng: {name: data.read(rows, rng)[name] for name in ("t1", MASK)}
    )


def test_validation_people_are_told_of_and_teach_nothing(tmp_path):
    volumes, _ = cohort(0)
    other = volumes.copy()
    other[HELD] *= 3
    cards, weights = [], []
    for k, given in enumerate((volumes, other)):
        network, folder = network_of(0), tmp_path / str(k)
        folder.mkdir()
        cards.append(pretrained(network, Data(given), folder))
        weights.append(weights_of(network))
    assert differ(*weights) == set()
    assert cards[0]["curve"] == cards[1]["curve"] and len(cards[0]["curve"]) == 2
    assert cards[0]["validation"] != cards[1]["validation"]
    assert cards[0]["n_fitted"] == FITTED.sum()
    # Who learns matters.
    (tmp_path / "fewer").mkdir()
    network = network_of(0)
    pretrained(network, Data(volumes), tmp_path / "fewer", fitted=FITTED & (np.arange(N) != 3))
    assert differ(weights[0], weights_of(network))


def test_only_encoders_change(tmp_path):
    network = network_of(0)
    before = weights_of(network)
    pretrained(network, Data(cohort(0)[0]), tmp_path)
    changed = differ(before, weights_of(network))
    assert changed and all(name.startswith("encoders.t1.") for name in changed)


def test_whoever_lacks_a_volume_is_not_learnt_from(tmp_path):
    has = np.arange(N) % 3 > 0
    volumes, _ = cohort(0)
    weights = []
    for k, junk in enumerate((0.0, 9.0)):
        given = np.where(has[:, None, None, None, None], volumes, junk)
        network, folder = network_of(0), tmp_path / str(k)
        folder.mkdir()
        card = pretrained(network, Data(given, has), folder)
        weights.append(weights_of(network))
        assert card["n_fitted"] == (FITTED & has).sum()
    assert differ(*weights) == set()


def test_nothing_is_done_where_there_are_no_volumes(tmp_path):
    data = Data(cohort(0)[0])
    data.volumes = {}
    assert pretrained(network_of(0), data, tmp_path) == {}


def test_what_diverges_says_why(tmp_path):
    card = pretrained(network_of(0), Data(cohort(0)[0]), tmp_path, learning_rate=1e30)
    assert "not finite" in card["reason"] and "validation" not in card


def test_a_share_is_hidden_of_everybody_and_of_who_is_judged_always_the_same():
    data = Data(cohort(0)[0])
    volumes = HiddenVolumes(data, ["t1"], Pretrain(epochs=1, share=0.6, cube=4))
    name = HIDDEN.format("t1")
    assert volumes.cubes == {name: (2, 2, 2)}
    rng = np.random.default_rng(0)
    rows = np.arange(40)
    one, two = (volumes.read(rows, rng)[name] for _ in range(2))
    assert (one.flatten(1).sum(1) == 5).all() and (two.flatten(1).sum(1) == 5).all()
    assert not torch.equal(one, two)
    assert len({tuple(each.flatten().tolist()) for each in one}) > 20
    alone, among = volumes.read(rows[7:8], None)[name], volumes.read(rows, None)[name]
    assert torch.equal(alone[0], among[7])
    # Never nothing, never everything.
    for share, hidden in ((0.01, 1), (0.99, 7)):
        some = HiddenVolumes(data, ["t1"], Pretrain(share=share, cube=4)).read(rows, rng)[name]
        assert (some.flatten(1).sum(1) == hidden).all()


def filling(seed=0, shape=SHAPE, mean=0.0):
    network = network_of(seed, shape)
    means = {"t1": torch.full((1, *shape), mean)}
    whole = Filling(dict(network.encoders), {"t1": shape}, means).eval()
    for parameter in whole.decoders.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return whole


def test_hidden_voxels_are_what_is_compared_and_nothing_that_is_seen():
    whole, rng = filling(), np.random.default_rng(0)
    volumes = torch.from_numpy(rng.normal(size=(2, *SHAPE))).float()
    cubes = torch.zeros(2, 4, 4, 4)
    cubes[:, 1, 2, 3] = 1
    hidden = spread(cubes[:, None], SHAPE[1:]) > 0
    assert hidden[0].sum() == 8 and hidden[:, :, 2:4, 4:6, 6:8].all()

    def errors(given):
        with torch.no_grad():
            return whole({"t1": given, HIDDEN.format("t1"): cubes})[:, 0]

    # What is said of hidden voxels does not depend on them: errors are squares about it.
    said = torch.where(hidden, 1.0, volumes), torch.where(hidden, 0.0, volumes)
    further = torch.where(hidden, -1.0, volumes)
    plus, none, minus = errors(said[0]), errors(said[1]), errors(further)
    torch.testing.assert_close((plus + minus) / 2 - none, torch.ones(2))
    # What is seen is not compared, but told to the encoder.
    other = torch.where(hidden, volumes, volumes + 1)
    assert not torch.allclose(errors(volumes), errors(other))


def test_outside_the_brain_nothing_is_to_be_filled_in():
    whole = filling()
    volumes = torch.full((1, *SHAPE), -3.0)
    volumes[..., 2:6, 2:6, 2:6] = 1.0
    inputs = {"t1": volumes, HIDDEN.format("t1"): torch.ones(1, 4, 4, 4)}
    for parameter in whole.decoders.parameters():
        torch.nn.init.zeros_(parameter)
    # A decoder of zeros says the mean, 0.
    assert whole(inputs).item() == pytest.approx(1.0)
    assert filling(mean=0.5)(inputs).item() != whole(inputs).item()


@pytest.mark.parametrize("name", names("volume"))
def test_every_encoder_of_volumes_can_fill_in(name):
    shape = (2, 18, 21, 19)
    torch.manual_seed(0)
    encoder = build_encoder("volume", name, shape, 8, 0.0, {})
    layer, places = last_places(encoder, shape)
    assert layer and len(places) == 4 and places[0] > 2
    # Of these only one ends in places enough for what is fine; the others fill in coarsely.
    assert (min(places[1:]) > 2) == (name == "light")
    whole = Filling({"t1": encoder}, {"t1": shape}, {"t1": torch.zeros(1, *shape)})
    for parameter in whole.decoders.parameters():
        torch.nn.init.normal_(parameter, std=0.01)
    errors = whole({"t1": torch.randn(3, *shape), HIDDEN.format("t1"): torch.ones(3, 5, 6, 5)})
    assert errors.shape == (3, 1)
    errors.sum().backward()
    lost = [k for k, p in encoder.named_parameters() if p.grad is None]
    assert lost == []


class Flat(torch.nn.Module):
    """An encoder that makes no volume of channels on its way."""

    def __init__(self):
        super().__init__()
        self.embedding = 3
        self.line = torch.nn.Linear(8**3, 3)

    def forward(self, x):
        return self.line(x.flatten(1))


def test_an_encoder_without_a_volume_of_channels_is_read_from_its_embedding():
    assert last_places(Flat(), SHAPE) == ("", ())
    whole = Filling({"t1": Flat()}, {"t1": SHAPE}, {"t1": torch.zeros(1, *SHAPE)})
    inputs = {"t1": torch.randn(2, *SHAPE), HIDDEN.format("t1"): torch.ones(2, 4, 4, 4)}
    assert whole(inputs).shape == (2, 1)


@pytest.mark.parametrize("voxels", [(8, 8, 8), (7, 9, 5)])
def test_each_place_of_features_says_its_own_voxels(voxels):
    decoder = Decoder((1, *voxels), SimpleNamespace(embedding=2), (1, 2, 3, 2))
    parts = decoder.parts
    with torch.no_grad():
        decoder.fine.bias.copy_(torch.arange(float(np.prod(parts))))
        decoder.fine.weight.fill_(100.0)
    features = torch.arange(12.0).reshape(1, 1, 2, 3, 2)
    filled = decoder(torch.zeros(1, 2), features).detach()[0, 0].numpy()
    assert filled.shape == voxels
    for at in np.ndindex(voxels):
        place = [k // part for k, part in zip(at, parts, strict=True)]
        within = [k % part for k, part in zip(at, parts, strict=True)]
        expected = np.ravel_multi_index(place, (2, 3, 2)) * 100
        assert filled[at] == expected + np.ravel_multi_index(within, parts)


def test_cubes_that_leave_nothing_to_see_are_refused():
    require_cubes((8, 8, 9), Pretrain(cube=8))
    with pytest.raises(InputError, match=r"cube is 8, .* volumes of 8 × 8 × 7 voxels"):
        require_cubes((8, 8, 7), Pretrain(cube=8))
