from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from modelling_cases import GRID, scans_of
from sklearn.decomposition import PCA

from ukb_brain.training.components import (
    ComponentsJob,
    component_scores,
    components_of_group,
    fit_components,
)
from ukb_brain.training.scans import GroupScans


@dataclass(frozen=True)
class InMemory(GroupScans):
    rows: np.ndarray = None

    def read(self, keys):
        return self.rows[[eid - 9_000_001 for eid, _ in keys]]


def in_memory(rows):
    return InMemory(("t1",), Path("none"), Path("none"), 1, rows=rows.astype(np.float32))


@pytest.fixture
def scans(fold):
    """Four strong directions in thirty measures."""
    rng = np.random.default_rng(2)
    latent = rng.normal(size=(len(fold.eid), 4)) * [8, 5, 3, 2]
    return in_memory(latent @ rng.normal(size=(4, 30)) + 0.2 * rng.normal(size=(len(latent), 30)))


def everybody(people):
    return np.ones(len(people.eid), dtype=bool)


def scores_of(scans, people, number=4, batch_size=500, has=None):
    has = everybody(people) if has is None else has
    fitted = fit_components(scans, people, has, number, batch_size)
    return component_scores(fitted, scans, people, has, batch_size)


def same_sign(scores, like):
    return scores * np.sign((scores * like).sum(axis=0))


def test_one_batch_is_principal_component_analysis(fold, scans):
    pca = PCA(4, whiten=True, svd_solver="full").fit(scans.rows[fold.train].astype(np.float64))
    expected = pca.transform(scans.rows.astype(np.float64))
    np.testing.assert_allclose(same_sign(scores_of(scans, fold), expected), expected, atol=1e-4)


@pytest.mark.parametrize("batch_size", [10, 17, 32])
def test_batches_do_not_matter_much(fold, scans, batch_size):
    whole, batched = scores_of(scans, fold), scores_of(scans, fold, batch_size=batch_size)
    np.testing.assert_allclose(same_sign(batched, whole), whole, atol=0.05)


def test_scores_of_training_people_are_white(fold, scans):
    scores = scores_of(scans, fold)[fold.train]
    np.testing.assert_allclose(scores.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(np.cov(scores.T), np.eye(4), atol=1e-4)


def test_components_are_of_training_people_only(fold, scans):
    fitted = fit_components(scans, fold, everybody(fold), 4, 20)
    rows = scans.rows.copy()
    rows[~fold.train] = 1e4
    again = fit_components(replace(scans, rows=rows), fold, everybody(fold), 4, 20)
    assert fitted.mean.tobytes() == again.mean.tobytes()
    assert fitted.axes.tobytes() == again.axes.tobytes()
    rows[0] = 1e4
    other = fit_components(replace(scans, rows=rows), fold, everybody(fold), 4, 20)
    assert fitted.mean.tobytes() != other.mean.tobytes()


def test_people_without_the_group_are_not_read_and_score_zero(fold, scans):
    has = everybody(fold)
    has[[0, 70, 95]] = False
    rows = scans.rows.copy()
    rows[~has] = np.nan
    scores = scores_of(replace(scans, rows=rows), fold, has=has)
    assert (scores[~has] == 0).all()
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(scores, scores_of(scans, fold, has=has))


def test_fewer_than_three_training_people_give_none(fold, scans):
    has = ~fold.train
    has[np.flatnonzero(fold.train)[:2]] = True
    assert fit_components(scans, fold, has, 4, 10) is None
    has[np.flatnonzero(fold.train)[2]] = True
    assert len(fit_components(scans, fold, has, 4, 10).axes) == 2


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_scans_without_variation_have_no_components(fold):
    flat = in_memory(np.full((len(fold.eid), 12), 3.0))
    assert scores_of(flat, fold).shape == (len(fold.eid), 0)


def test_stored_scans_are_scored_whatever_the_batch(fold, stored):
    for group, scans in scans_of(stored).items():
        fitted = fit_components(scans, fold, fold.has[group], 5, 30)
        one, many = (
            component_scores(fitted, scans, fold, fold.has[group], size) for size in (1, 1000)
        )
        np.testing.assert_allclose(one, many, atol=1e-5)
        assert (one[~fold.has[group]] == 0).all()
    assert group in GRID.imaging


def model_of(scans, people, tmp_path, number=4):
    return components_of_group(ComponentsJob("diffusion", scans, people, number, 20), tmp_path)


def test_a_model_holds_the_axes_and_everybodys_scores(fold, scans, tmp_path):
    has = fold.has["diffusion"]
    assert not has.all()
    model = model_of(scans, fold, tmp_path)
    fitted = fit_components(scans, fold, has, 4, 20)
    np.testing.assert_array_equal(model.arrays["axes"], fitted.axes)
    np.testing.assert_array_equal(model.arrays["mean"], fitted.mean)
    scores = (scans.rows.astype(np.float64) - fitted.mean) @ fitted.axes.T
    np.testing.assert_allclose(model.arrays["scores"], np.where(has[:, None], scores, 0), atol=1e-4)
    assert model.card["components"] == 4
    assert model_of(scans, fold, tmp_path, 2).card["flops"] == model.card["flops"] / 2 > 0


def test_a_group_that_nobody_has_gives_a_model_without_components(fold, scans, tmp_path):
    nobody = replace(fold, has=fold.has | {"diffusion": ~fold.train})
    model = model_of(scans, nobody, tmp_path)
    assert model.arrays["scores"].shape == (len(fold.eid), 0)
    assert model.card["components"] == 0
