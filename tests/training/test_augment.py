import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ukb_brain.training.augment import draw_change
from ukb_brain.training.settings import Augment

N, SHAPE, CPU = 200, (7, 8, 9), torch.device("cpu")
EVERYTHING = Augment(
    shift=1, flip=True, rotation=5, scaling=0.1, elastic=1, bias=0.2, intensity=0.1, noise=0.1
)
DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()


def augment(volumes, settings, seed=0):
    torch.manual_seed(seed)
    shape = tuple(volumes.shape[2:])
    return draw_change(len(volumes), shape, settings, volumes.device).applied(volumes)


@pytest.fixture
def volumes():
    """One bright voxel, off the middle; unequal axes."""
    made = torch.zeros(N, 2, *SHAPE)
    made[:, :, 2, 3, 5] = 1
    return made


def ramps(n, shape, background=0.0):
    """Volumes that say where each voxel was, in x, y and z from the middle."""
    axes = [torch.arange(size) - (size - 1) / 2 for size in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).expand(n, 3, *shape) + background


def places(volumes):
    return {tuple(place[2:]) for place in torch.nonzero(volumes).tolist()}


def test_nothing_is_the_default(volumes):
    assert Augment().nothing and not EVERYTHING.nothing
    assert torch.equal(augment(volumes, Augment()), volumes)


@pytest.mark.parametrize("name", Augment.model_fields)
def test_each_change_alone_changes_something_and_not_everybody_alike(name):
    volumes = torch.rand(4, 1, *SHAPE).expand(8, 4, 1, *SHAPE)[:, 0].clone()
    volumes[:, :, [0, -1]] = volumes[:, :, :, [0, -1]] = volumes[..., [0, -1]] = 0
    changed = augment(volumes, Augment(**{name: getattr(EVERYTHING, name)}))
    assert len({row.numpy().tobytes() for row in changed}) > 1


def test_a_seed_decides_everything(volumes):
    one, two, other = (augment(volumes[:5], EVERYTHING, seed) for seed in (1, 1, 2))
    assert torch.equal(one, two) and not torch.equal(one, other)


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
    sums = augment(corner, Augment(shift=1)).sum((1, 2, 3, 4))
    assert set(sums.tolist()) == {0.0, 1.0}


def test_mirroring_is_of_the_first_axis_for_half_of_the_people(volumes):
    mirrored = augment(volumes, Augment(flip=True))
    assert places(mirrored) == {(2, 3, 5), (4, 3, 5)}
    share = mirrored[:, 0, 4].amax((1, 2)).mean()
    assert 0.35 < share < 0.65


def test_intensity_is_a_factor_and_noise_is_added_to_the_brain():
    volumes = torch.zeros(N, 2, *SHAPE)
    volumes[:, :, 2:5, 2:5, 2:5] = 1
    brain = volumes != 0
    bright = augment(volumes, Augment(intensity=0.2))
    assert torch.equal(bright != 0, brain)
    assert bright[:, 0, 2, 3, 4].std() == pytest.approx(0.2, rel=0.2)
    noisy = augment(volumes, Augment(noise=0.1)) - volumes
    assert noisy[brain].std() == pytest.approx(0.1, rel=0.05)
    assert (noisy[~brain] == 0).all()
    assert not torch.equal(noisy[:, 0], noisy[:, 1])


@pytest.mark.parametrize("background", [0.0, -3.0])
def test_the_background_stays_and_is_what_moves_in(background):
    volumes = torch.zeros(20, 2, 16, 16, 16)
    # Far enough from the ends that nothing of it leaves, or reaches them.
    volumes[:, :, 6:10, 6:10, 6:10] = 2 + torch.rand(20, 2, 4, 4, 4)
    changed = augment(volumes + background, EVERYTHING)
    ends = torch.ones(16, 16, 16, dtype=torch.bool)
    ends[2:14, 2:14, 2:14] = False
    assert (changed[:, :, ends] == background).all()
    assert (changed[:, :, 7:9, 7:9, 7:9] > background + 0.5).all()
    # Whatever the background is on its scale, the brain above it changes alike.
    of_zero = augment(volumes, EVERYTHING)
    torch.testing.assert_close(changed - background, of_zero, atol=1e-5, rtol=0)


@given(
    shift=st.integers(0, 2),
    rotation=st.sampled_from([0.0, 2.0, 10.0]),
    scaling=st.sampled_from([0.0, 0.05]),
    elastic=st.sampled_from([0.0, 0.5, 1.5]),
    seed=st.integers(0, 5),
)
def test_no_voxel_moves_further_than_the_strengths_say(shift, rotation, scaling, elastic, seed):
    settings = Augment(shift=shift, rotation=rotation, scaling=scaling, elastic=elastic)
    shape = (10, 12, 14)
    # Of places that are read from within the volume; a ramp is interpolated exactly.
    inner = (slice(None), slice(None), slice(4, 6), slice(5, 7), slice(6, 8))
    moved = (_read(ramps(3, shape), settings, seed) - ramps(3, shape))[inner]
    radius = ramps(1, shape)[inner].norm(dim=1).max()
    turned = radius * (torch.deg2rad(torch.tensor(3**0.5 * rotation)) * (1 + scaling) + scaling)
    assert moved.abs().max() <= turned + shift + elastic + 1e-4


def _read(ramp, settings, seed):
    """Values without the background's share in them: as if a ramp had none."""
    return augment(ramp + 100, settings, seed) - 100


def test_a_turn_is_a_turn_and_sizes_stay():
    shape = (12, 12, 12)
    moved = augment(ramps(50, shape), Augment(rotation=20))[:, :, 4:8, 4:8, 4:8]
    lengths, before = moved.norm(dim=1), ramps(50, shape)[:, :, 4:8, 4:8, 4:8].norm(dim=1)
    torch.testing.assert_close(lengths, before, atol=1e-4, rtol=0)
    larger = augment(ramps(50, shape), Augment(scaling=0.1))[:, :, 4:8, 4:8, 4:8]
    ratios = (larger.norm(dim=1) / before).flatten(1)
    torch.testing.assert_close(ratios, ratios[:, :1].expand_as(ratios), atol=1e-4, rtol=0)
    assert 0.9 <= ratios.min() < 0.95 and 1.05 < ratios.max() <= 1.1


def test_a_bias_field_is_smooth_within_its_bounds_and_one_for_all_channels():
    volumes = torch.ones(20, 2, 16, 16, 16)
    volumes[:, :, [0, -1]] = volumes[:, :, :, [0, -1]] = volumes[..., [0, -1]] = 0
    changed = augment(volumes, Augment(bias=0.2))
    field = changed[:, 0, 1:-1, 1:-1, 1:-1].log()
    assert torch.equal(changed[:, 0], changed[:, 1])
    assert field.abs().max() <= 0.2 + 1e-6 and field.std() > 0.03
    # Three knots: from one to the next it changes by no more than .4 in 7.5 voxels.
    assert field.diff(dim=1).abs().max() <= 0.4 / 7.5 + 1e-6


def test_volumes_that_a_network_takes_together_move_together(volumes):
    change = draw_change(N, SHAPE, Augment(shift=1, elastic=0.5), CPU)
    assert torch.equal(change.applied(volumes), change.applied(volumes.clone()))


@pytest.mark.parametrize("device", DEVICES)
def test_every_device_gives_the_same(volumes, device):
    settings = EVERYTHING.model_copy(update={"noise": 0.0})
    here = augment(volumes[:6], settings)
    there = augment(volumes[:6].to(device), settings).cpu()
    torch.testing.assert_close(here, there, atol=1e-5, rtol=0)
