"""ConvNeXt against what was published of it, and against its own formulas."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ukb_brain.errors import InputError
from ukb_brain.networks.convnext import ConvNeXt, Patches, ResponseNorm
from ukb_brain.networks.cost import network_cost
from ukb_brain.networks.published import ResNet
from ukb_brain.training.bf16 import guard_convolutions

WIDTHS = (1, 2, 4, 8)


def counted(channels, outputs, *, stem, width, depths, kernel, space, version):
    """Parameters in closed form, of either version, in so many dimensions of space."""
    widths = [width * times for times in WIDTHS]
    total = channels * stem**space * width + width + 2 * width
    for n, blocks in zip(widths, depths, strict=True):
        depthwise, pointwise = kernel**space * n + n, 4 * n * n + 4 * n + 4 * n * n + n
        # A scale of each channel, or a weight and a bias of each expanded one.
        own = n if version == 1 else 2 * 4 * n
        total += blocks * (depthwise + 2 * n + pointwise + own)
    for before, after in pairwise(widths):
        total += 2 * before + before * 2**space * after + after
    return total + 2 * widths[-1] + widths[-1] * outputs + outputs


PUBLISHED = {"channels": 3, "outputs": 1000, "stem": 4, "kernel": 7, "space": 2}


def test_the_formula_has_the_parameters_that_torchvision_documents_for_the_tiny_one():
    tiny = counted(**PUBLISHED, width=96, depths=(3, 3, 9, 3), version=1)
    assert tiny == 28_589_128
    base = counted(**PUBLISHED, width=128, depths=(3, 3, 27, 3), version=1)
    assert base == 88_591_464


@pytest.mark.parametrize(
    ("width", "depths", "millions"),
    [
        (40, (2, 2, 6, 2), 3.7),
        (48, (2, 2, 6, 2), 5.2),
        (64, (2, 2, 6, 2), 9.1),
        (80, (2, 2, 8, 2), 15.6),
        (96, (3, 3, 9, 3), 28.6),
    ],
)
def test_the_formula_has_the_second_articles_parameters(width, depths, millions):
    found = counted(**PUBLISHED, width=width, depths=depths, version=2)
    assert round(found / 1e6, 1) == millions


@pytest.mark.parametrize(
    ("options", "depths"),
    [
        ({"stem": 4, "width": 96, "depth": 3, "kernel": 7}, (3, 3, 9, 3)),
        ({"stem": 2, "width": 8, "depth": 1, "kernel": 5}, (1, 1, 3, 1)),
    ],
)
def test_the_network_has_the_formulas_parameters_in_three_dimensions(options, depths):
    with torch.device("meta"):
        network = ConvNeXt((3, 64, 64, 64), 1000, 0.0, **options)
    given = {k: v for k, v in options.items() if k != "depth"}
    expected = counted(3, 1000, **given, depths=depths, space=3, version=2)
    assert sum(p.numel() for p in network.parameters()) == expected


def test_the_grid_is_a_quarter_and_then_halved_thrice_edges_rounded_up():
    with torch.device("meta"):
        network = ConvNeXt((2, 64, 65, 33), 5, 0.0, width=8)
        x, seen = torch.empty(2, 2, 64, 65, 33), []
        for layer in network.features:
            x = layer(x)
            if isinstance(layer, Patches):
                seen.append(tuple(x.shape[1:]))
    assert seen == [(8, 16, 17, 9), (16, 8, 9, 5), (32, 4, 5, 3), (64, 2, 3, 2)]
    assert network.last[0](x.mean((2, 3, 4))).shape == (2, 64)


def test_response_norm_is_the_articles_formula():
    torch.manual_seed(0)
    norm, x = ResponseNorm(5).double(), torch.randn(3, 2, 4, 3, 5, dtype=torch.float64)
    assert torch.equal(norm(x), x)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    for person, found in zip(x, norm(x), strict=True):
        lengths = torch.stack([person[..., c].norm() for c in range(5)])
        share = lengths / lengths.mean()
        expected = norm.weight * (person * share) + norm.bias + person
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_response_norm_takes_what_is_beyond_half_precision():
    x = torch.full((1, 16, 16, 16, 2), 30.0).half()
    norm = ResponseNorm(2).half()
    nn.init.ones_(norm.weight)
    torch.testing.assert_close(norm(x), 2 * x)


def small(**options):
    torch.manual_seed(0)
    return ConvNeXt((2, 18, 20, 17), 5, 0.3, **({"width": 4, "depth": 1} | options))


def test_cubes_of_the_stem_that_trade_places_leave_the_embedding_nearly_as_it_was():
    """With pointwise convolutions nothing but the last mean knows where a cube of 32 was."""
    network = small(kernel=1).eval()
    volume = torch.randn(1, 2, 64, 32, 32)
    turned = torch.cat([volume[:, :, 32:], volume[:, :, :32]], dim=2)
    torch.testing.assert_close(network(turned), network(volume), rtol=1e-4, atol=1e-5)
    wider = small(kernel=3).eval()
    assert not torch.allclose(wider(turned), wider(volume), rtol=1e-4, atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(stem=st.integers(1, 4), more=st.tuples(*[st.integers(0, 9)] * 3), kernel=st.integers(1, 4))
def test_any_edges_from_the_smallest_on_are_taken_and_kernels_keep_the_grid(stem, more, kernel):
    shape = (1, *(4 * stem + 1 + each for each in more))
    network = ConvNeXt(shape, 3, 0.3, stem, 2, 1, kernel)
    assert network(torch.randn(2, *shape)).shape == (2, 3)


def test_a_smaller_stem_takes_a_smaller_grid_and_the_error_says_so():
    with pytest.raises(InputError, match=r"at least 17 voxels.*14 × 16 × 14.*'stem' smaller"):
        ConvNeXt((1, 14, 16, 14), 3, 0.3)
    ConvNeXt((1, 14, 16, 14), 3, 0.3, stem=2)


def test_a_person_of_zeros_and_one_of_large_numbers_have_finite_gradients():
    network = small()
    x = torch.stack([torch.zeros(2, 18, 20, 17), 1e4 * torch.randn(2, 18, 20, 17)])
    x.requires_grad_()
    network(x).square().sum().backward()
    assert x.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("kernel", [3, 5])
def test_bf16_gives_about_the_same_embedding_and_gradients(kernel):
    found = []
    for mixed in (False, True):
        network = small(kernel=kernel, stem=2).eval().to(memory_format=torch.channels_last_3d)
        if mixed:
            guard_convolutions(network)
        torch.manual_seed(1)
        x = torch.randn(6, 2, 18, 20, 17).contiguous(memory_format=torch.channels_last_3d)
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            embedding = network(x).float()
        (embedding * torch.randn_like(embedding)).sum().backward()
        found.append([embedding, torch.cat([p.grad.ravel() for p in network.parameters()])])
    (plain, slopes), (half, half_slopes) = found
    assert half_slopes.dtype == torch.float32
    assert not torch.equal(plain, half)
    torch.testing.assert_close(half, plain, rtol=0.05, atol=0.05)
    assert torch.cosine_similarity(slopes, half_slopes, dim=0) > 0.99


def test_a_little_training_learns_what_a_mean_over_space_cannot_see():
    """The sign of neighbours' products: half of people have a texture that alternates."""
    torch.manual_seed(0)
    network, n = small(stem=2), 24
    yes = torch.arange(n) % 2
    x = torch.randn(n, 2, 18, 20, 17)
    x[:, :, 1::2] = torch.where(yes.view(n, 1, 1, 1, 1) > 0, 1, -1) * x[:, :, ::2]
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
    for _ in range(15):
        optimiser.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(network(x)[:, 0], yes.float())
        loss.backward()
        optimiser.step()
    assert ((network.eval()(x)[:, 0] > 0) == (yes > 0)).float().mean() > 0.9


def test_it_costs_a_seventh_of_the_residual_network_at_the_studys_grid():
    shape = (3, 64, 64, 64)
    with torch.device("meta"):
        costs = [network_cost(kind(shape, 64, 0.3), shape) for kind in (ConvNeXt, ResNet)]
    assert costs[0].parameters == 2_348_384
    assert costs[0].training_flops < costs[1].training_flops / 7
