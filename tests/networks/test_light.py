import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ukb_brain.networks.light import LinearEncoder, VectorEncoder, VolumeEncoder

SHAPE = (7, 8, 9)


def volume_encoder(channels=1, shape=SHAPE, stem=2, width=3, embedding=5):
    return VolumeEncoder((channels, *shape), embedding, 0.3, stem, width)


@settings(max_examples=40, deadline=None)
@given(
    stem=st.integers(1, 6),
    shape=st.tuples(*[st.integers(1, 12)] * 3),
    channels=st.integers(1, 3),
)
def test_any_stem_takes_any_shape(stem, shape, channels):
    encoder = VolumeEncoder((channels, *shape), 5, 0.3, stem, 3)
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


def test_the_linear_encoder_is_affine_in_each_number_whatever_its_scale():
    torch.manual_seed(0)
    encoder = LinearEncoder((6,), 3, 0.4).double()
    x = torch.randn(50, 6, dtype=torch.float64)
    scaled = x * torch.tensor([1.0, 10, 100, 3, 1, 2]).double() + 3
    # Running means are those of the last batch.
    encoder[0].momentum = 1.0
    encoder(x)
    encoder.eval()
    a, b = x[:25], x[25:]
    torch.testing.assert_close(encoder((a + b) / 2), (encoder(a) + encoder(b)) / 2)
    expected = encoder(x)
    encoder.train()(scaled)
    torch.testing.assert_close(encoder.eval()(scaled), expected, rtol=1e-4, atol=1e-4)


def test_dropout_of_the_linear_encoder_acts_on_the_numbers_that_come_in():
    torch.manual_seed(0)
    encoder = LinearEncoder((2000,), 4, 0.25)
    x = torch.randn(64, 2000)
    dropped = encoder[1](encoder[0](x))
    assert abs((dropped == 0).float().mean() - 0.25) < 0.01


def test_the_light_encoder_is_a_line_beside_a_network():
    torch.manual_seed(0)
    encoder = VectorEncoder((6,), 3, 0.3, 5).eval()
    x = torch.randn(4, 6)
    both = encoder(x)
    torch.nn.init.zeros_(encoder.network[-1].weight)
    torch.nn.init.zeros_(encoder.network[-1].bias)
    scaled = x / torch.sqrt(torch.tensor(1 + 1e-5))
    torch.testing.assert_close(encoder(x), encoder.line(scaled))
    assert not torch.allclose(both, encoder(x))
