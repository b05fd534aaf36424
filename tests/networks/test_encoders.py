import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ukb_brain.networks.encoders import JointNetwork, VectorEncoder, VolumeEncoder

GROUPS = ("structural", "diffusion", "functional")
SHAPE = (7, 8, 9)


def volume_encoder(channels=1, shape=SHAPE, stem=2, width=3, embedding=5):
    return VolumeEncoder(channels, shape, stem, width, embedding, 0.3)


@pytest.fixture
def network():
    torch.manual_seed(0)
    encoders = {
        "structural": volume_encoder(2),
        "diffusion": volume_encoder(1),
        "functional": VectorEncoder(10, 5, 6, 0.3),
    }
    return JointNetwork(encoders, 5, 4, 0.3).eval()


def scans(n=6):
    torch.manual_seed(1)
    return {
        "structural": torch.randn(n, 2, *SHAPE),
        "diffusion": torch.randn(n, 1, *SHAPE),
        "functional": torch.randn(n, 10),
    }


@settings(max_examples=40, deadline=None)
@given(
    stem=st.integers(1, 6),
    shape=st.tuples(*[st.integers(1, 12)] * 3),
    channels=st.integers(1, 3),
)
def test_any_stem_takes_any_shape(stem, shape, channels):
    encoder = volume_encoder(channels, shape, stem)
    assert encoder(torch.randn(2, channels, *shape)).shape == (2, 5)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("stem", [2, 3])
def test_every_voxel_up_to_the_far_end_counts(axis, stem):
    torch.manual_seed(0)
    encoder = volume_encoder(stem=stem).eval()
    volume = torch.randn(1, 1, *SHAPE)
    other = volume.clone()
    other.select(2 + axis, -1).add_(1)
    assert not torch.allclose(encoder(volume), encoder(other))


def test_swapped_axes_are_not_the_same_volume():
    torch.manual_seed(0)
    encoder = volume_encoder(shape=(8, 8, 8)).eval()
    volume = torch.randn(1, 1, 8, 8, 8)
    assert not torch.allclose(encoder(volume), encoder(volume.transpose(2, 4)))


def test_shapes_from_scans_to_targets(network):
    embeddings = network.embed(scans())
    assert embeddings.shape == (6, 3, 5)
    assert network.predict(embeddings, torch.ones(6, 3)).shape == (6, 4)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.booleans(), min_size=3, max_size=3), st.integers(0, 1000))
def test_groups_that_are_masked_out_do_not_influence_predictions(used, seed):
    torch.manual_seed(0)
    network = JointNetwork({g: VectorEncoder(4, 5, 6, 0.3) for g in GROUPS}, 5, 4, 0.3).eval()
    mask = torch.tensor(used).float().expand(6, 3)
    torch.manual_seed(seed)
    first, second = torch.randn(6, 3, 5), 100 * torch.randn(6, 3, 5)
    mixed = torch.where(torch.tensor(used)[None, :, None], first, second)
    assert torch.equal(network.predict(first, mask), network.predict(mixed, mask))
    if any(used):
        assert not torch.allclose(network.predict(first, mask), network.predict(second, mask))


def test_an_embedding_that_is_not_finite_can_be_masked_out(network):
    embeddings, used = network.embed(scans()), torch.tensor([1.0, 0.0, 1.0]).expand(6, 3)
    broken = embeddings.clone()
    broken[:, 1] = torch.inf
    assert torch.equal(network.predict(embeddings, used), network.predict(broken, used))


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_reaches_its_own_embedding_only(network, group):
    before = network.embed(scans())
    given = scans()
    given[group] += 1
    same = (network.embed(given) == before).all(dim=2).all(dim=0)
    assert same.tolist() == [name != group for name in GROUPS]


def test_people_of_a_batch_do_not_influence_each_other_once_trained(network):
    several = scans()
    other = {group: values.clone() for group, values in several.items()}
    for values in other.values():
        values[1:] = 50
    assert torch.equal(network.embed(several)[0], network.embed(other)[0])


def test_every_weight_learns(network):
    network.train()
    embeddings = network.embed(scans())
    network.predict(embeddings, torch.ones(6, 3)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
