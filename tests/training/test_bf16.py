import copy

import pytest
import torch
from torch import nn

from ukb_brain.networks.cost import network_cost
from ukb_brain.training.bf16 import guard_convolutions


def spoil_memory():
    """Leave large numbers where the next tensors will be."""
    for kind in (torch.bfloat16, torch.float32):
        held = [torch.full((n,), 1e4, dtype=kind) for n in (64, 256, 1024, 4096, 20_000, 60_000)]
        del held


def gradient(network, x, dy, dtype):
    for parameter in network.parameters():
        parameter.grad = None
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        y = network(x)
    y.backward(dy.to(y.dtype))
    return network[0].weight.grad.clone()


SIZES = ((1, 2, 2), (2, 2, 2), (2, 4, 3), (4, 2, 2), (3, 4, 4), (6, 5, 4), (5, 1, 4), (7, 1, 1))


@pytest.mark.parametrize("kernel", [2, 3, 5])
@pytest.mark.parametrize("groups", [1, 16])
@pytest.mark.parametrize("layout", [torch.channels_last_3d, torch.contiguous_format])
def test_gradients_in_bf16_are_those_in_float32_however_short_the_volume(kernel, groups, layout):
    torch.manual_seed(0)
    for size in SIZES:
        network = nn.Sequential(nn.Conv3d(16, 16, kernel, padding=kernel // 2, groups=groups))
        network = network.to(memory_format=layout)
        x = torch.randn(16, 16, *size).contiguous(memory_format=layout)
        dy = torch.randn_like(network(x))
        expected = gradient(network, x, dy, torch.float32)
        guard_convolutions(network)
        found = []
        for _ in range(4):
            spoil_memory()
            found.append(gradient(network, x, dy, torch.bfloat16))
        assert (found[0] - expected).abs().max() < 0.02 * expected.abs().max(), size
        assert all(torch.equal(each, found[0]) for each in found), size


def test_the_guard_keeps_weights_and_names_and_leaves_other_layers_alone():
    network = nn.Sequential(nn.Conv3d(1, 2, 3, padding=1), nn.BatchNorm3d(2), nn.Conv2d(1, 1, 1))
    before = copy.deepcopy(network.state_dict())
    kinds = [type(layer) for layer in network]
    guard_convolutions(network)
    after = network.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert [type(layer) is kind for layer, kind in zip(network, kinds, strict=True)] == [
        False, True, True,
    ]  # fmt: skip
    x = torch.randn(2, 1, 2, 2, 2)
    alone = nn.Conv3d(1, 2, 3, padding=1)
    alone.load_state_dict(network[0].state_dict())
    assert torch.equal(network[0](x), alone(x))
    assert torch.equal(copy.deepcopy(network)[0](x), alone(x))


def test_large_volumes_stay_in_bf16():
    network = nn.Sequential(nn.Conv3d(1, 2, 3, padding=1))
    guard_convolutions(network)
    with torch.autocast("cpu", torch.bfloat16):
        assert network(torch.randn(2, 1, 3, 4, 4)).dtype == torch.bfloat16
        assert network(torch.randn(2, 1, 2, 4, 4)).dtype == torch.float32


def test_what_a_guarded_network_costs_can_be_counted():
    plain = nn.Sequential(nn.Conv3d(1, 2, 3, padding=1), nn.Flatten())
    guarded = copy.deepcopy(plain)
    guard_convolutions(guarded)
    assert network_cost(guarded, (1, 2, 4, 4)) == network_cost(plain, (1, 2, 4, 4))
