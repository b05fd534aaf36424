import pytest
import torch

from ukb_brain.training.augment import augment
from ukb_brain.training.settings import Augment

N = 200


@pytest.fixture
def volumes():
    """One bright voxel, off the middle; unequal axes."""
    made = torch.zeros(N, 2, 7, 8, 9)
    made[:, :, 2, 3, 5] = 1
    torch.manual_seed(0)
    return made


def places(volumes):
    return {tuple(place[2:]) for place in torch.nonzero(volumes).tolist()}


def test_nothing_is_the_default(volumes):
    assert Augment().nothing
    assert torch.equal(augment(volumes, Augment()), volumes)


def test_shifts_reach_every_place_within_reach_and_no_other(volumes):
    moved = augment(volumes, Augment(shift=1))
    assert moved.shape == volumes.shape
    expected = {(x, y, z) for x in (1, 2, 3) for y in (2, 3, 4) for z in (4, 5, 6)}
    assert places(moved) == expected
    # Channels move together, and what is moved in is background.
    assert torch.equal(moved[:, 0], moved[:, 1])
    assert (moved.sum((2, 3, 4)) == 1).all()


def test_what_is_shifted_out_does_not_come_in_again():
    corner = torch.zeros(N, 1, 3, 3, 3)
    corner[:, :, 0, 0, 0] = 1
    torch.manual_seed(0)
    sums = augment(corner, Augment(shift=1)).sum((1, 2, 3, 4))
    assert set(sums.tolist()) == {0.0, 1.0}


def test_mirroring_is_of_the_first_axis_for_half_of_the_people(volumes):
    mirrored = augment(volumes, Augment(flip=True))
    assert places(mirrored) == {(2, 3, 5), (4, 3, 5)}
    share = mirrored[:, 0, 4].amax((1, 2)).mean()
    assert 0.35 < share < 0.65


def test_intensity_is_a_factor_and_noise_is_added(volumes):
    bright = augment(volumes, Augment(intensity=0.2))
    assert places(bright) == {(2, 3, 5)}
    assert bright[:, 0, 2, 3, 5].std() == pytest.approx(0.2, rel=0.2)
    noisy = augment(volumes, Augment(noise=0.1)) - volumes
    assert noisy.std() == pytest.approx(0.1, rel=0.05)
    assert not torch.equal(noisy[:, 0], noisy[:, 1])
