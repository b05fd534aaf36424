"""Oracles of the texture's strength, on images whose strength is known."""

import numpy as np
import pytest

from benchmarks import depth_oracle
from benchmarks.depth_oracle import Readers
from ukb_brain.imaging.modalities import ImagingPreprocess
from ukb_brain.synthetic import brains
from ukb_brain.synthetic.anatomy import build_anatomy
from ukb_brain.synthetic.depth import COARSE_BAND, GATES, texture


@pytest.fixture(scope="module")
def readers():
    _, imaging = depth_oracle.cohort_and_grid()
    coarse = imaging.model_dump() | {"shape": (27, 32, 27), "voxel_mm": 6.0}
    return Readers(build_anatomy(8, GATES), ImagingPreprocess(**coarse))


def seen(readers, seed, band=COARSE_BAND):
    noise, affine = texture(np.random.default_rng(seed), band)
    return brains._sample(noise[..., None], affine, readers._world)[0].astype(float)


def test_energy_is_the_square_of_a_textures_strength(readers):
    one = seen(readers, 1)
    plain, twice = readers.energy(np.stack([one, 2 * one]))
    assert twice == pytest.approx(4 * plain)


def test_energy_hardly_depends_on_phases_and_counts_no_other_wavelengths(readers):
    mine = readers.energy(np.stack([seen(readers, seed) for seed in range(8)]))
    assert np.std(np.log(mine)) < 0.25
    smooth = np.stack([seen(readers, seed, (50.0, 80.0)) for seed in range(3)])
    assert readers.energy(smooth).max() < 0.2 * mine.min()


def test_texture_in_the_middle_of_the_brain_counts_for_nothing(readers):
    one = seen(readers, 1)
    middle = np.linalg.norm(readers._world - [0, -18, 8], axis=1) < 30
    assert readers.energy((one * middle)[None])[0] < 0.01 * readers.energy(one[None])[0]


def test_what_smooth_fields_do_is_taken_away_and_texture_is_left(readers):
    rng = np.random.default_rng(0)
    mean = brains.mean_brain(readers.anatomy)
    images, textures = [], []
    for k in range(6):
        mean.shapes[:] = 0.1 * rng.standard_normal(len(mean.shapes))
        mean.textures[:] = rng.standard_normal(len(mean.textures))
        textures.append(0.1 * seen(readers, k))
        images.append(brains.draw(readers.anatomy, mean, readers._world)["t1"] + textures[-1])
    left = readers.without_smooth_fields(np.stack(images).astype(float))
    for one, texture_alone in zip(left, textures, strict=True):
        assert np.corrcoef(one, texture_alone)[0, 1] > 0.9


@pytest.mark.slow
def test_the_told_oracle_reads_drawn_people_better_than_the_plain_one(tmp_path):
    cohort, imaging = depth_oracle.cohort_and_grid()
    read = depth_oracle.correlations(40, cohort, imaging, tmp_path)
    assert read["told"] > 0.85
    assert read["told"] > read["plain"]
