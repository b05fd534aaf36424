"""Products of scans, held to numpy on the same scans."""

from dataclasses import replace

import numpy as np
import pytest
from modelling_cases import N, scans_of

from ukb_brain.training.gram import GramJob, gram_of_group, learnt_from


@pytest.fixture
def jobs(fold, stored):
    return {g: GramJob(g, s, fold, 1.0, "cpu") for g, s in scans_of(stored).items()}


@pytest.mark.parametrize("group", ["structural", "diffusion", "functional"])
def test_products_are_of_scans_about_the_training_mean(jobs, fold, tmp_path, group):
    job = jobs[group]
    has = fold.has[group]
    X = job.scans.read(fold.keys(has)).reshape(has.sum(), -1).astype(np.float64)
    X -= X[fold.train[has]].mean(axis=0)
    found = gram_of_group(job, tmp_path).arrays
    expected = X @ X[learnt_from(fold)[has]].T
    size = np.abs(expected).max()
    np.testing.assert_allclose(found["gram"], expected, atol=1e-5 * size)
    np.testing.assert_allclose(found["norms"], (X**2).sum(axis=1), rtol=1e-4)


@pytest.mark.parametrize("people_a_tile", [1, 7, 1000])
def test_tiles_change_nothing(jobs, fold, tmp_path, people_a_tile):
    job = jobs["diffusion"]
    whole = gram_of_group(job, tmp_path).arrays
    features = job.scans.read(fold.keys(fold.has["diffusion"])[:1]).size
    memory = people_a_tile * 2 * 4 * features / 1e9
    tiled = gram_of_group(replace(job, memory_gb=memory * 1.01), tmp_path).arrays
    for name, array in whole.items():
        np.testing.assert_allclose(tiled[name], array, rtol=1e-4, atol=1e-3)


def test_a_group_that_nobody_has_gives_nothing(jobs, fold, tmp_path):
    nobody = replace(fold, has=fold.has | {"diffusion": np.zeros(N, dtype=bool)})
    found = gram_of_group(replace(jobs["diffusion"], people=nobody), tmp_path).arrays
    assert found["gram"].shape == (0, 0)
