import resource
from itertools import pairwise

import pytest
import torch
from torch import nn

from ukb_brain.networks.cost import network_cost
from ukb_brain.networks.fusion import FusedNetwork
from ukb_brain.networks.light import VectorEncoder, VolumeEncoder
from ukb_brain.networks.study import StudyCNN, study_table

SHAPE = (2, 8, 6, 10)


def test_a_network_of_two_matrices_costs_what_one_counts_by_hand():
    cost = network_cost(nn.Sequential(nn.Linear(7, 5), nn.GELU(), nn.Linear(5, 3)), (7,))
    assert cost.parameters == 7 * 5 + 5 + 5 * 3 + 3
    assert cost.forward_flops == 2 * (7 * 5 + 5 * 3)
    # Backward: gradients of both matrices, and of what comes into the second.
    assert cost.training_flops == cost.forward_flops + 2 * (7 * 5 + 5 * 3 + 5 * 3)
    # Saved: what comes into each of the three layers.
    assert cost.activation_bytes == 4 * (7 + 5 + 5)


def test_convolutions_cost_what_one_counts_by_hand():
    channels, *grid = SHAPE
    voxels = torch.tensor(grid).prod().item()
    network = nn.Sequential(nn.Conv3d(channels, 4, 3, padding=1), nn.Conv3d(4, 3, 1))
    cost = network_cost(network, SHAPE)
    first, second = 2 * 27 * channels * 4 * voxels, 2 * 4 * 3 * voxels
    assert cost.forward_flops == first + second
    assert cost.training_flops == 2 * first + 3 * second
    assert cost.activation_bytes == 4 * (channels + 4) * voxels


def test_channels_of_other_groups_cost_nothing():
    voxels = 8 * 6 * 10
    for groups in (1, 2, 4):
        network = nn.Sequential(nn.Conv3d(2, 4, 1), nn.Conv3d(4, 4, 3, padding=1, groups=groups))
        cost = network_cost(network, SHAPE)
        first, second = 2 * 2 * 4 * voxels, 2 * 27 * 4 * 4 // groups * voxels
        assert cost.forward_flops == first + second
        assert cost.training_flops == 2 * first + 3 * second


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(6, 4), nn.Linear(6, 4)

    def forward(self, x):
        return self.one(x) + self.other(x)


def test_what_two_layers_save_is_counted_once():
    assert network_cost(Twice(), (6,)).activation_bytes == 4 * 6


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (VolumeEncoder(SHAPE, 5, 0.3, 2, 3), SHAPE),
        (StudyCNN(SHAPE), SHAPE),
        (VectorEncoder((20,), 5, 0.3, 6), (20,)),
    ],
)
def test_memory_is_what_a_real_step_saves(network, shape):
    def held(n):
        saved = {}

        def pack(tensor):
            storage = tensor.untyped_storage()
            # The tensor is kept with it: an address must not be used twice.
            saved[storage.data_ptr()] = (storage.nbytes(), tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            network(torch.randn(n, *shape)).sum().backward()
        return sum(size for size, _ in saved.values())

    assert network_cost(network, shape).activation_bytes == (held(7) - held(4)) / 3


def test_a_network_of_several_inputs_costs_the_sum_of_its_parts():
    encoders = {"structural": StudyCNN(SHAPE), "traits": study_table((21,), 0, 0)}
    shapes = {"structural": SHAPE, "traits": (21,)}
    for network in (FusedNetwork(encoders, 2), FusedNetwork(encoders, 25, "light", 16)):
        parts = [network_cost(encoders[k], shapes[k]) for k in shapes]
        parts.append(network_cost(network.head, (128 + 32,)))
        whole = network_cost(network, shapes)
        for each in ("parameters", "forward_flops"):
            assert getattr(whole, each) == sum(getattr(part, each) for part in parts)
        # The head's input needs a gradient only where there are encoders below it.
        assert whole.training_flops > sum(part.training_flops for part in parts)


def test_counting_leaves_the_network_and_the_random_numbers_as_they_were():
    network = VolumeEncoder(SHAPE, 5, 0.3, 2, 3).eval()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    random = torch.get_rng_state()
    network_cost(network, SHAPE)
    assert torch.equal(torch.get_rng_state(), random)
    assert not network.training
    assert all(p.grad is None for p in network.parameters())
    after = network.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items())


def test_the_studys_network_at_128_is_counted_without_holding_it():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cost = network_cost(StudyCNN((3, 128, 128, 128)), (3, 128, 128, 128))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 700_000  # KiB
    assert cost.activation_bytes > 1.5e9
    # Each voxel of each level: the skip convolution and the two others, and the last layer.
    widths, voxels, expected = (3, 32, 64, 128, 256, 256, 256), 128**3, 2 * 2048 * 256
    for a, b in pairwise(widths):
        expected += 2 * voxels * (28 * a * b + 27 * b * b)
        voxels //= 8
    assert cost.forward_flops == expected
    assert 2.5 < cost.training_flops / cost.forward_flops < 3
