"""Products of scans, held to numpy on the same scans."""

from dataclasses import replace

import numpy as np
import pytest
from modelling_cases import N, scans_of

from ukb_brain.training.gram import GramJob, gram_of_group, landmarks_of, learnt_from
from ukb_brain.training.settings import Kernels

SETTINGS = Kernels(pooling=2, memory_gb=1.0)


@pytest.fixture
def jobs(fold, stored):
    return {g: GramJob(g, s, fold, SETTINGS, "cpu") for g, s in scans_of(stored).items()}


@pytest.mark.parametrize("group", ["structural", "diffusion", "functional"])
def test_products_are_of_scans_about_the_training_mean(jobs, fold, tmp_path, group):
    job = jobs[group]
    has = fold.has[group]
    X = job.scans.read(fold.keys(has)).reshape(has.sum(), -1).astype(np.float64)
    X -= X[fold.train[has]].mean(axis=0)
    found = gram_of_group(job, tmp_path).arrays
    expected = X @ X[learnt_from(fold)[has]].T
    np.testing.assert_array_equal(found["columns"], np.flatnonzero(has & learnt_from(fold)))
    size = np.abs(expected).max()
    np.testing.assert_allclose(found["gram"], expected, atol=1e-5 * size)
    np.testing.assert_allclose(found["norms"], (X**2).sum(axis=1), rtol=1e-4)


@pytest.mark.parametrize("people_a_tile", [1, 7, 1000])
def test_tiles_change_nothing(jobs, fold, tmp_path, people_a_tile):
    job = jobs["diffusion"]
    whole = gram_of_group(job, tmp_path).arrays
    features = job.scans.read(fold.keys(fold.has["diffusion"])[:1]).size
    memory = people_a_tile * 2 * 4 * features / 1e9
    small = SETTINGS.model_copy(update={"memory_gb": memory * 1.01})
    tiled = gram_of_group(replace(job, settings=small), tmp_path).arrays
    for name, array in whole.items():
        np.testing.assert_allclose(tiled[name], array, rtol=1e-4, atol=1e-3)


def test_a_group_that_nobody_has_gives_nothing(jobs, fold, tmp_path):
    nobody = replace(fold, has=fold.has | {"diffusion": np.zeros(N, dtype=bool)})
    found = gram_of_group(replace(jobs["diffusion"], people=nobody), tmp_path).arrays
    assert found["gram"].shape == (0, 0)


# Memory for the components of everybody, 40 of them each.
FEWER = SETTINGS.model_copy(update={"exact_people": 50, "memory_gb": 40.5 * 8 * N / 1e9})


def test_of_too_many_people_products_are_with_some_and_otherwise_the_same(jobs, fold, tmp_path):
    job = jobs["diffusion"]
    whole, some = (
        gram_of_group(replace(job, settings=s), tmp_path).arrays for s in (SETTINGS, FEWER)
    )
    columns = some["columns"]
    assert len(columns) < len(whole["columns"])
    assert (np.diff(columns) > 0).all() and learnt_from(fold)[columns].all()
    at = np.searchsorted(whole["columns"], columns)
    size = np.abs(whole["gram"]).max()
    np.testing.assert_allclose(some["gram"], whole["gram"][:, at], atol=1e-5 * size)
    np.testing.assert_allclose(some["norms"], whole["norms"], rtol=1e-4)


def test_whom_kernels_are_with_is_one_draw_whoever_has_the_group(fold):
    """Sets of groups share most of them: who is drawn for one is drawn for another who has it."""
    everybody = np.ones(N, dtype=bool)
    most = everybody.copy()
    most[np.random.default_rng(0).permutation(N)[:20]] = False
    of_all, of_most = (
        landmarks_of(fold, has, FEWER.model_copy(update={"memory_gb": 40.5 * 8 * has.sum() / 1e9}))
        for has in (everybody, most)
    )
    assert len(of_all) == len(of_most) == 40
    assert {*of_all[most[of_all]]} <= {*of_most}
    # The draw knows numbers of people, and neither their order nor anything else of them.
    turned = replace(fold, eid=fold.eid[::-1], part=fold.part[::-1], family=fold.family[::-1])
    assert {*fold.eid[landmarks_of(fold, everybody, FEWER)]} == {
        *turned.eid[landmarks_of(turned, everybody, FEWER)]
    }


def test_people_tested_are_never_among_those_whom_kernels_are_with(fold):
    drawn = landmarks_of(fold, np.ones(N, dtype=bool), FEWER)
    assert set(fold.part[drawn]) == {"train", "validation"}
    all_learnt = landmarks_of(fold, np.ones(N, dtype=bool), SETTINGS)
    np.testing.assert_array_equal(all_learnt, np.flatnonzero(learnt_from(fold)))
