from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ukb_brain.errors import InputError
from ukb_brain.networks.fusion import FusedNetwork
from ukb_brain.networks.light import VectorEncoder, VolumeEncoder
from ukb_brain.networks.registry import build_encoder, names
from ukb_brain.training.loop import train
from ukb_brain.training.refine import LowRank, adapted, refine, require_affordable
from ukb_brain.training.settings import Encoders
from ukb_brain.training.tasks import Tasks
from ukb_brain.training.trainer import MASK, Trainer

PART = np.repeat(["train", "validation", "test"], [400, 150, 150])
N, SHAPE, RANK, CPU = len(PART), (1, 8, 8, 8), 2, torch.device("cpu")
CROWD = tuple(f"many{k}" for k in range(12))
DOMAINS = {"crowd": CROWD, "lone": ("one",)}


def settings(**changes):
    own = {"rank": RANK, "epochs": 8} | changes
    loop = {"epochs": 10, "batch_size": 32, "learning_rate": 3e-3, "precision": "float32"}
    return Encoders(network={"embedding": 4}, loop=loop, refine=own)


class Data:
    def __init__(self, volumes):
        self.held, self.shapes = torch.from_numpy(volumes).float(), {"t1": SHAPE}

    def read(self, rows, rng):
        return {"t1": self.held[rows], MASK: torch.ones(len(rows), 1)}


def cohort(seed):
    """Twelve targets of four strong patterns, and one of a weak one, for which no room is left."""
    rng = np.random.default_rng(seed)
    much = rng.normal(size=(N, 5))
    patterns = np.stack([np.kron(rng.normal(size=(2, 2, 2)), np.ones((4, 4, 4))) for _ in much[0]])
    patterns[-1] *= 0.4
    volumes = np.tensordot(much, patterns, 1) + rng.normal(size=(N, *SHAPE[1:]))
    targets = {name: much[:, :4] @ rng.normal(size=4) for name in CROWD} | {"one": much[:, 4]}
    return volumes[:, None], targets


def job_of(targets):
    """What of a job refining asks for."""
    people = SimpleNamespace(targets=targets, part=PART)
    everybody = np.ones(N, dtype=bool)
    binary = dict.fromkeys(targets, False)
    return SimpleNamespace(people=people, binary=binary, fitted=PART == "train", usable=everybody)


def shared_of(volumes, targets, seed, epochs=10):
    torch.manual_seed(seed)
    encoders = {"t1": VolumeEncoder(SHAPE, 4, 0.0, stem=2, width=8)}
    network = FusedNetwork(encoders, len(targets), "light", 8, 0.0)
    job, loop = job_of(targets), settings().loop.model_copy(update={"epochs": epochs})
    tasks = Tasks(targets, job.binary, job.fitted, loop)
    trainer = Trainer(network, Data(volumes), tasks, loop, CPU, seed)
    trained = train(trainer, np.flatnonzero(job.fitted), np.flatnonzero(PART == "validation"))
    network.load_state_dict(trained.state)
    return trainer


def refined(shared, targets, folder, domains=DOMAINS, **changes):
    folder.mkdir(exist_ok=True)
    given = (job_of(targets), domains, settings(**changes), folder, "It")
    return {one.domain: one for one in refine(shared, *given)}


def loss_of_tested(trainer, targets, mine):
    """Loss of test people in some targets."""
    known = {t: y if t in mine else np.full(N, np.nan) for t, y in targets.items()}
    trainer.tasks = Tasks(known, dict.fromkeys(targets, False), PART == "train", trainer.settings)
    return trainer.evaluate(np.flatnonzero(PART == "test"))


@pytest.fixture(scope="module")
def short():
    """A shared network that was trained for an epoch, and of what."""
    volumes, targets = cohort(0)
    return shared_of(volumes, targets, 0, epochs=1), targets


def predictions(network, volumes):
    network.eval()
    with torch.no_grad():
        return network({"t1": volumes})


@pytest.mark.parametrize("seed", [0, 1])
def test_what_the_shared_network_has_no_room_for_is_read_by_a_domains_own(seed, tmp_path):
    volumes, targets = cohort(seed)
    shared = shared_of(volumes, targets, seed)
    lone = refined(shared, targets, tmp_path)["lone"]
    assert lone.card["kept"] and lone.card["refined"] < 0.4 * lone.card["shared"]
    own = loss_of_tested(lone.trainer, targets, DOMAINS["lone"])
    assert own < 0.4 * loss_of_tested(shared, targets, DOMAINS["lone"])


def test_what_is_shared_stays_and_nothing_but_low_rank_changes_is_learnt(short, tmp_path):
    shared, targets = short
    before = {k: v.clone() for k, v in shared.network.state_dict().items()}
    found = refined(shared, targets, tmp_path, epochs=2)
    after = shared.network.state_dict()
    assert set(before) == set(after) and all(torch.equal(after[k], v) for k, v in before.items())
    for one in found.values():
        own = one.trainer.network
        for name, weight in shared.network.encoders.named_parameters():
            layer, _, kind = name.rpartition(".")
            other = own.encoders.get_submodule(layer)
            if not isinstance(other, torch.nn.Linear | torch.nn.Conv3d) or kind == "bias":
                assert torch.equal(other.get_parameter(kind), weight)
                continue
            change = (other.weight - weight).detach().flatten(1)
            assert 1 <= torch.linalg.matrix_rank(change, rtol=1e-3) <= RANK, name
        # With the shared weights, what is kept of it is all there is to know.
        assert not any("original" in name for name in one.state)
        again = adapted(shared.network, RANK)
        assert not again.load_state_dict(one.state, strict=False).unexpected_keys
        some = shared.data.held[:5]
        assert torch.equal(predictions(again, some), predictions(own, some))


@pytest.mark.parametrize("name", names("volume"))
def test_every_encoder_is_at_first_what_it_was_and_learns_in_every_layer(name):
    shape = (2, 18, 21, 19)
    torch.manual_seed(0)
    encoders = {"t1": build_encoder("volume", name, shape, 8, 0.0, {})}
    encoders["rest"] = VectorEncoder((6,), 4, 0.0)
    network = FusedNetwork(encoders, 2, "light", 4, 0.0)
    own = adapted(network, 3)
    inputs = {"t1": torch.randn(2, *shape), "rest": torch.randn(2, 6)}
    assert torch.equal(own.eval()(inputs), network.eval()(inputs))
    own.train()(inputs).sum().backward()
    ups = [layer.up for layer in own.modules() if isinstance(layer, LowRank)]
    whole = [
        m for m in network.encoders.modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv3d)
    ]
    assert len(ups) == len(whole) > 3
    assert all(up.grad is not None for up in ups)
    frozen = [p for p in own.parameters() if not p.requires_grad]
    assert len(frozen) == len(list(network.encoders.parameters()))
    assert all(p.grad is None for p in frozen)


def test_a_domain_learns_from_its_own_targets_of_training_people_alone(short, tmp_path):
    shared, targets = short

    def state(folder, **others):
        found = refined(shared, targets | others, tmp_path / folder, epochs=2)["lone"]
        return found.card["curves"]["train"], found.state

    curve, weights = state("as it is")
    tests = np.where(PART == "test", -5.0, targets["one"])
    for folder, given in {"crowd": {"many3": -targets["many3"]}, "tested": {"one": tests}}.items():
        same_curve, same_weights = state(folder, **given)
        assert same_curve == curve
        assert all(torch.equal(same_weights[k], v) for k, v in weights.items())
    assert state("own", one=targets["one"][::-1].copy())[0] != curve


def test_a_domain_that_is_not_read_better_keeps_what_is_shared(short, tmp_path):
    shared, targets = short
    for folder, rate in (("worse", 3.0), ("diverges", 1e30)):
        found = refined(shared, targets, tmp_path / folder, learning_rate=rate, epochs=2)["lone"]
        assert found.trainer is None and found.state == {} and not found.card["kept"]
        assert bool(found.card["reason"]) == (folder == "diverges")
        assert found.card["shared"] == pytest.approx(
            refined(shared, targets, tmp_path / f"{folder} again", epochs=1)["lone"].card["shared"]
        )


def test_a_domain_by_which_nobody_can_be_judged_keeps_what_is_shared(short, tmp_path):
    shared, targets = short
    unknown = np.where(PART == "validation", np.nan, targets["one"])
    found = refined(shared, targets | {"one": unknown}, tmp_path)["lone"]
    assert found.trainer is None and found.card["flops"] == 0
    assert "not known of validation people" in found.card["reason"]


def test_patience_ends_it_and_the_best_epoch_is_kept(short, tmp_path):
    shared, targets = short
    found = refined(shared, targets, tmp_path, epochs=30, patience=1, learning_rate=0.05)
    for one in found.values():
        curve = one.card["curves"]["validation"]
        assert len(curve) < 30
        assert one.card["best_epoch"] == 1 + int(np.argmin(curve))
        assert one.card["refined"] == min(curve)


def test_more_than_five_times_the_shared_epochs_are_refused():
    require_affordable(settings(epochs=12), 4)
    require_affordable(settings(epochs=100, rank=0), 4)
    with pytest.raises(InputError, match=r"epochs is 13 for each of 4 domains.*at most 12"):
        require_affordable(settings(epochs=13), 4)
