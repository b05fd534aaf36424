import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ukb_brain.networks.light import VolumeEncoder

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
