from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional

from ukb_brain.networks.study import (
    FNN,
    StudyCNN,
    study_head,
    study_table,
    study_vector,
    study_volume,
)

WIDTHS = (32, 64, 128, 256, 256)


def on_shapes_alone(build, *arguments):
    with torch.device("meta"):
        return build(*arguments)


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def counted(channels, widths, places, dense):
    """Parameters, from the article's description: biases everywhere, and a scale and a shift."""
    total = 0
    for before, after in pairwise((channels, *widths)):
        skip = before * after + after
        convolutions = 27 * before * after + after + 27 * after * after + after
        total += skip + convolutions + 2 * after
    return total + widths[-1] * places * dense + dense + 2 * dense


@pytest.mark.parametrize(
    ("edge", "widths", "dense"), [(64, WIDTHS, 128), (128, (*WIDTHS, 256), 256)]
)
def test_layers_of_the_cnn_are_the_studys(edge, widths, dense):
    cnn = on_shapes_alone(study_volume, (3, edge, edge, edge), 7, 0.7)
    x = torch.empty(2, 3, edge, edge, edge, device="meta")
    for k, (level, width) in enumerate(zip(cnn.levels, widths, strict=True)):
        before = (3, *widths)[k]
        assert level.skip.weight.shape == (width, before, 1, 1, 1)
        assert level.first.weight.shape == (width, before, 3, 3, 3)
        assert level.second.weight.shape == (width, width, 3, 3, 3)
        x = level(x)
        assert x.shape == (2, width, *[edge // 2 ** (k + 1)] * 3)
        assert [m.p for m in level.modules() if isinstance(m, nn.Dropout)] == [0.1]
    assert x.shape == (2, 256, 2, 2, 2)
    assert cnn.dense[1].weight.shape == (dense, 2048)
    assert cnn.dense(x).shape == (2, dense)
    assert cnn.embedding == dense
    assert not cnn.reduced
    assert parameters(cnn) == counted(3, widths, 8, dense)


def test_the_cnn_has_7_4_million_parameters_at_64():
    assert parameters(on_shapes_alone(StudyCNN, (3, 64, 64, 64))) == 7_427_680
    assert parameters(on_shapes_alone(StudyCNN, (3, 128, 128, 128))) == 11_295_968


@pytest.mark.parametrize(
    ("shape", "levels", "embedding", "reduced"),
    [
        ((16, 16, 16), 3, 128, True),
        ((32, 40, 32), 4, 128, True),
        ((20, 24, 20), 4, 128, True),
        ((7, 8, 9), 2, 128, True),
        ((64, 64, 16), 3, 128, True),
        ((64, 80, 64), 5, 128, False),
        ((127, 140, 130), 5, 128, False),
        ((128, 150, 130), 6, 256, False),
        ((182, 218, 182), 6, 256, False),
    ],
)
def test_a_smaller_grid_has_fewer_levels_and_says_so(shape, levels, embedding, reduced):
    cnn = on_shapes_alone(StudyCNN, (2, *shape))
    assert (len(cnn.levels), cnn.embedding, cnn.reduced) == (levels, embedding, reduced)
    x = torch.empty(2, 2, *shape, device="meta")
    assert min(cnn.levels(x).shape[2:]) >= 2
    assert cnn(x).shape == (2, embedding)


def reference(state, x, levels):
    """The article's description in functions, without dropout, padded by hand."""

    def norm(x, key):
        keys = ("running_mean", "running_var", "weight", "bias")
        mean, variance, scale, shift = (
            state[f"{key}.{k}"].reshape(-1, *[1] * (x.dim() - 2)) for k in keys
        )
        return (x - mean) / torch.sqrt(variance + 1e-5) * scale + shift

    def convolve(x, key, pad):
        x = functional.pad(x, [pad] * 6)
        return functional.conv3d(x, state[f"{key}.weight"], state[f"{key}.bias"])

    for k in range(levels):
        skip = convolve(x, f"levels.{k}.skip", 0)
        x = functional.gelu(convolve(x, f"levels.{k}.first", 1))
        x = convolve(x, f"levels.{k}.second", 1) + skip
        x = functional.gelu(norm(x, f"levels.{k}.after.0"))
        n, c, *edges = x.shape
        x = x.reshape(n, c, edges[0] // 2, 2, edges[1] // 2, 2, edges[2] // 2, 2)
        x = x.amax(dim=(3, 5, 7))
    x = x.flatten(1) @ state["dense.1.weight"].T + state["dense.1.bias"]
    return functional.gelu(norm(x, "dense.2"))


def test_the_cnn_computes_what_the_article_describes():
    torch.manual_seed(0)
    cnn = StudyCNN((3, 16, 8, 16)).double()
    cnn(torch.randn(4, 3, 16, 8, 16, dtype=torch.float64) + 1)
    x = torch.randn(2, 3, 16, 8, 16, dtype=torch.float64)
    expected = reference(cnn.state_dict(), x, len(cnn.levels))
    torch.testing.assert_close(cnn.eval()(x), expected)


@pytest.mark.parametrize(
    ("network", "widths", "dropout"),
    [
        (on_shapes_alone(study_vector, (64_620,), 7, 0.7), (64_620, 128, 128), 0.5),
        (study_table((21,), 7, 0.7), (21, 128, 64, 32), 0.1),
    ],
)
def test_feed_forward_networks_are_the_studys(network, widths, dropout):
    for k, (before, after) in enumerate(pairwise(widths)):
        dense, norm, activation, drop = list(network)[4 * k : 4 * k + 4]
        assert dense.weight.shape == (after, before)
        assert norm.num_features == after
        assert isinstance(activation, nn.GELU)
        assert drop.p == dropout
    assert len(network) == 4 * (len(widths) - 1)
    assert network.embedding == widths[-1]


def test_the_head_ends_in_plain_numbers():
    head = study_head(288, 2)
    assert [m.weight.shape for m in head.modules() if isinstance(m, nn.Linear)] == [
        (256, 288), (256, 256), (2, 256),
    ]  # fmt: skip
    assert isinstance(head[0], FNN)
    assert isinstance(head[-1], nn.Linear)
    assert [m.p for m in head.modules() if isinstance(m, nn.Dropout)] == [0.1, 0.1]
