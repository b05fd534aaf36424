"""SFCN and ResNet against what was published of them."""

import torch
from torch import nn
from torch.nn import functional

from ukb_brain.networks.published import SFCN, ResNet


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def test_sfcn_computes_what_the_article_describes():
    torch.manual_seed(0)
    network = SFCN((1, 32, 32, 64), 40, 0.5).double()
    network(torch.randn(3, 1, 32, 32, 64, dtype=torch.float64) + 1)
    network.eval()
    x = torch.randn(2, 1, 32, 32, 64, dtype=torch.float64)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv3d)]
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm3d)]
    assert [c.out_channels for c in convolutions] == [32, 64, 128, 256, 256, 64]
    assert [c.kernel_size[0] for c in convolutions] == [3, 3, 3, 3, 3, 1]
    y = x
    for convolution, norm in zip(convolutions, norms, strict=True):
        y = norm(convolution(y))
        y = torch.relu(functional.max_pool3d(y, 2) if convolution.kernel_size[0] == 3 else y)
    y = functional.avg_pool3d(y, (1, 1, 2)).flatten(1)
    torch.testing.assert_close(network(x), network.last[1](y))


def test_sfcn_has_the_articles_3_million_parameters():
    assert round(parameters(SFCN((1, 32, 32, 64), 40, 0.5)) / 1e6, 1) == 3.0


def test_resnet_has_the_parameters_of_torchvisions_r3d_18():
    # Published as 33,371,472, with a stem of 3×7×7 in place of 7×7×7 and 400 classes.
    expected = 33_371_472 + 64 * 3 * (7 - 3) * 7 * 7
    with torch.device("meta"):
        assert parameters(ResNet((3, 112, 112, 112), 400, 0.0, 64)) == expected


def test_resnet_halves_the_grid_five_times_and_widens_fourfold():
    with torch.device("meta"):
        network = ResNet((2, 64, 96, 33), 5, 0.0, 8)
        x = network.stem(torch.empty(2, 2, 64, 96, 33))
        assert x.shape == (2, 8, 16, 24, 9)
        assert network.stages(x).shape == (2, 64, 2, 3, 2)
