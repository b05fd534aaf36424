import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ukb_brain.errors import InputError
from ukb_brain.networks.fusion import HEADS, FusedNetwork
from ukb_brain.networks.light import VectorEncoder, VolumeEncoder
from ukb_brain.networks.study import FNN, study_table, study_vector, study_volume

GROUPS = ("structural", "diffusion", "functional")
SHAPE = (7, 8, 9)
# Embeddings of unequal lengths.
LENGTHS = {"structural": 5, "diffusion": 3, "functional": 4}


def encoders(groups=GROUPS):
    built = {
        "structural": VolumeEncoder((2, *SHAPE), LENGTHS["structural"], 0.3, 2, 3),
        "diffusion": VolumeEncoder((1, *SHAPE), LENGTHS["diffusion"], 0.3, 2, 3),
        "functional": VectorEncoder((10,), LENGTHS["functional"], 0.3, 6),
    }
    return {group: built[group] for group in groups}


def joint():
    torch.manual_seed(0)
    return FusedNetwork(encoders(), 4, "light", 5, 0.3)


def cell(groups=GROUPS, head="study", outputs=1):
    torch.manual_seed(0)
    return FusedNetwork(encoders(groups), outputs, head, 5, 0.3)


def scans(n=6):
    torch.manual_seed(1)
    return {
        "structural": torch.randn(n, 2, *SHAPE),
        "diffusion": torch.randn(n, 1, *SHAPE),
        "functional": torch.randn(n, 10),
    }


NETWORKS = [joint, *(lambda head=head: cell(head=head) for head in HEADS)]
every_network = pytest.mark.parametrize("build", NETWORKS, ids=["joint", *HEADS])


@every_network
def test_shapes_from_scans_to_outputs(build):
    network = build().eval()
    outputs = 4 if build is joint else 1
    embeddings = network.embed(scans())
    assert embeddings.shape == (6, 12)
    assert network.predict(embeddings).shape == (6, outputs)
    assert network(scans()).shape == (6, outputs)


def part_of(network, name):
    """Which numbers of the embedding are of an encoder."""
    return network.owner == list(network.encoders).index(name)


@every_network
def test_all_at_once_is_embedding_and_then_predicting(build):
    network = build().eval()
    mask = torch.tensor([[1.0, 0, 1], [0, 1, 0], [1, 1, 1], [0, 0, 1], [1, 0, 0], [0, 1, 1]])
    expected = network.predict(network.embed(scans()), mask)
    assert torch.equal(network(scans(), mask), expected)
    assert torch.equal(network(scans()), network(scans(), torch.ones(6, 3)))
    assert not torch.allclose(network(scans()), expected)


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_reaches_its_own_part_of_the_embedding_only(group):
    network = joint().eval()
    before, given = network.embed(scans()), scans()
    given[group] += 1
    same = (network.embed(given) == before).all(dim=0)
    for name in GROUPS:
        part = same[part_of(network, name)]
        assert len(part) == LENGTHS[name]
        assert part.all() if name != group else not part.any()


def test_inputs_are_known_by_name_and_not_by_their_order():
    network = joint().eval()
    turned = dict(reversed(scans().items()))
    assert torch.equal(network(turned), network(scans()))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.booleans(), min_size=3, max_size=3), st.integers(0, 1000))
def test_groups_that_are_masked_out_do_not_influence_predictions(used, seed):
    network = joint().eval()
    mask = torch.tensor(used).float().expand(6, 3)
    torch.manual_seed(seed)
    first, second = torch.randn(6, 12), 100 * torch.randn(6, 12)
    mixed = second.clone()
    for group, kept in zip(GROUPS, used, strict=True):
        if kept:
            mixed[:, part_of(network, group)] = first[:, part_of(network, group)]
    assert torch.equal(network.predict(first, mask), network.predict(mixed, mask))
    if any(used):
        assert not torch.allclose(network.predict(first, mask), network.predict(second, mask))


@pytest.mark.parametrize("absurd", [torch.inf, torch.nan])
def test_an_embedding_that_is_not_finite_can_be_masked_out(absurd):
    network = joint().eval()
    embeddings, used = network.embed(scans()).detach(), torch.tensor([1.0, 0.0, 1.0]).expand(6, 3)
    broken = embeddings.clone()
    broken[:, part_of(network, "diffusion")] = absurd
    broken.requires_grad_()
    predicted = network.predict(broken, used)
    assert torch.equal(predicted, network.predict(embeddings, used))
    predicted.square().sum().backward()
    assert broken.grad.isfinite().all()
    assert (broken.grad[:, part_of(network, "diffusion")] == 0).all()


@every_network
def test_people_of_a_batch_do_not_influence_each_other_once_trained(build):
    network, several = build(), scans()
    network(several)
    network.eval()
    other = {group: values.clone() for group, values in several.items()}
    for values in other.values():
        values[1:] = 50
    torch.testing.assert_close(network(several)[0], network(other)[0])
    assert torch.equal(network(several), network(several))


@every_network
def test_every_weight_learns(build):
    network = build()
    predicted = network(scans())
    torch.manual_seed(2)
    (predicted * torch.randn_like(predicted)).sum().backward()
    # A bias under batch norm has no gradient but rounding error.
    assert all(p.grad is not None for p in network.parameters())
    assert all(p.grad.abs().sum() > 0 for p in network.parameters() if p.dim() > 1)


@pytest.mark.parametrize("groups", [("structural",), ("functional", "diffusion"), GROUPS])
def test_encoders_of_unused_inputs_are_absent(groups):
    network = cell(groups)
    held = {key.split(".")[1] for key in network.state_dict() if key.startswith("encoders.")}
    assert held == set(groups)
    assert list(network.encoders) == list(groups)
    joined = sum(LENGTHS[g] for g in groups)
    assert network.embed({g: scans()[g] for g in groups}).shape == (6, joined)
    own = sum(p.numel() for e in encoders(groups).values() for p in e.parameters())
    head = sum(p.numel() for p in network.head.parameters())
    assert sum(p.numel() for p in network.parameters()) == own + head


def test_weights_of_all_parts_and_nothing_else_are_saved():
    network, other = joint(), joint()
    nn.init.zeros_(other.head.line.weight)
    other.load_state_dict(network.state_dict())
    assert torch.equal(other.eval()(scans()), network.eval()(scans()))
    assert {key.split(".")[0] for key in network.state_dict()} == {"encoders", "head"}


def test_the_studys_cell_is_as_wide_as_the_article_says():
    with torch.device("meta"):
        parts = {
            "volume": study_volume((3, 64, 64, 64), 0, 0),
            "functional": study_vector((64_620,), 0, 0),
            "traits": study_table((21,), 0, 0),
        }
        network = FusedNetwork(parts, 2)
    first, second, last = [m for m in network.head.modules() if isinstance(m, nn.Linear)]
    assert first.weight.shape == (256, 128 + 128 + 32)
    assert second.weight.shape == (256, 256)
    assert last.weight.shape == (2, 256)
    assert isinstance(network.head[0], FNN)


def test_volumes_may_share_one_encoder_of_all_their_channels():
    torch.manual_seed(0)
    shared = VolumeEncoder((3, *SHAPE), 5, 0.3, 2, 3)
    built = {"structural+diffusion": shared, "functional": encoders()["functional"]}
    network, given = FusedNetwork(built, 1, "light").eval(), scans()
    assert network.inputs == GROUPS
    assert network.owner.tolist() == 5 * [0] + 4 * [1]
    stacked = torch.cat([given["structural"], given["diffusion"]], dim=1)
    embeddings = network.embed(given)
    assert torch.equal(embeddings[:, :5], shared(stacked))
    # Without one of them, nothing of the shared encoder is used.
    gone = embeddings.clone()
    gone[:, :5] = 0
    for used in ([1.0, 0, 1], [0, 1.0, 1], [0, 0, 1.0]):
        mask = torch.tensor(used).expand(6, 3)
        assert torch.equal(network.predict(embeddings, mask), network.predict(gone))
    everything = network.predict(embeddings, torch.ones(6, 3))
    assert torch.equal(everything, network.predict(embeddings))
    assert not torch.allclose(everything, network.predict(gone))


def test_a_linear_head_is_linear():
    network = cell(head="linear").eval().double()
    a, b = torch.randn(2, 4, 12, dtype=torch.float64)
    torch.testing.assert_close(
        network.predict((a + b) / 2), (network.predict(a) + network.predict(b)) / 2
    )


def test_an_unknown_head_is_refused_with_what_there_is():
    with pytest.raises(InputError, match=r"'deep'.*study, light, linear"):
        cell(head="deep")
