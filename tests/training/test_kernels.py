"""Kernels on invented people whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import pearsonr

from ukb_brain.grid import Cell, Inputs
from ukb_brain.networks.artifact import Model, write_model
from ukb_brain.training.gram import learnt_from
from ukb_brain.training.kernels import KernelsJob, fit_kernels
from ukb_brain.training.people import People
from ukb_brain.training.settings import Kernels

N, FEATURES = 700, 300
GROUPS = ("structural", "functional")
KINDS = {
    "plain": "continuous", "by_sex": "continuous", "sex": "binary", "nothing": "continuous",
    "rare": "continuous", "traits": "continuous",
}  # fmt: skip
SETTINGS = Kernels(pooling=1, penalties=(0.1, 1.0, 10.0), radial=(1.0,))


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return {group: rng.normal(size=(N, FEATURES)) for group in GROUPS}


@pytest.fixture(scope="module")
def people(images):
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(N, 4))
    # Strong directions of a group, as real images have.
    latent = rng.normal(size=(N, 4))
    for k, group in enumerate(GROUPS):
        images[group] += 3 * latent[:, 2 * k : 2 * k + 2] @ rng.normal(size=(2, FEATURES))
    sex = (latent[:, 1] + 0.2 * noise[:, 3] > 0).astype(float)
    trait = rng.normal(size=N)
    rare = latent[:, 0] + noise[:, 1]
    rare[rng.random(N) < 0.3] = np.nan
    part = np.repeat(["train", "validation", "test"], [450, 100, 150])
    return People(
        fold=0,
        eid=np.arange(N),
        instance=np.full(N, 2),
        family=np.arange(N) // 2,
        part=part,
        targets={
            "plain": 50 + 9 * (latent[:, 0] + latent[:, 2] + 0.5 * noise[:, 0]),
            "by_sex": np.where(sex > 0, 1, -1) * latent[:, 0] + 0.5 * noise[:, 0],
            "sex": sex,
            "nothing": noise[:, 1],
            "rare": rare,
            "traits": latent[:, 0] + 2 * trait + 0.5 * noise[:, 0],
        },
        blocks={"questions": np.column_stack([trait, np.zeros(N)])},
        has={
            "structural": rng.random(N) < 0.97,
            "functional": rng.random(N) < 0.97,
        },
    )


def cell_of(target, groups, blocks=()):
    return Cell(target, Inputs(groups, blocks, "+".join([*groups, *blocks])))


def write_grams(images, people, folder):
    """Products with numpy."""
    paths = {}
    for group, X in images.items():
        has = people.has[group]
        learnt = learnt_from(people)[has]
        X = X[has] - X[has & people.train].mean(0)
        gram, norms = X @ X[learnt].T, (X**2).sum(1)
        paths[group] = folder / group
        arrays = {"gram": gram.astype(np.float32), "norms": norms.astype(np.float32)}
        write_model(paths[group], Model(arrays))
    return paths


def job_of(images, people, folder, groups=GROUPS, blocks=(), targets=tuple(KINDS)):
    cells = tuple(cell_of(t, groups, b) for t in targets for b in ((), *[(x,) for x in blocks]))
    grams = write_grams(images, people, folder)
    return KernelsJob(groups, cells, KINDS, people, grams, 3, (0.01, 1.0), SETTINGS)


@pytest.fixture(scope="module")
def fitted(images, people, tmp_path_factory):
    folder = tmp_path_factory.mktemp("grams")
    return fit_kernels(job_of(images, people, folder, blocks=("questions",)), folder)


def row(model, target, inputs="structural+functional"):
    (found,) = [r for r in model.card["fits"] if (r["target"], r["inputs"]) == (target, inputs)]
    return found


def test_r(model, people, target, part, inputs="structural+functional"):
    scores = model.arrays[f"scores/{target}/{inputs}"]
    rows = np.isfinite(scores) & np.isfinite(people.targets[target]) & (people.part == part)
    return pearsonr(scores[rows], people.targets[target][rows]).statistic


test_r.__test__ = False


def test_what_is_there_is_read_in_people_never_seen(fitted, people):
    # 2 of 2.25 parts of variance are latent; latents of 600 strong features are known nearly.
    for part in ("train", "validation", "test"):
        assert test_r(fitted, people, "plain", part) > 0.9, part
    assert test_r(fitted, people, "rare", "test") > 0.6
    assert row(fitted, "plain")["composition"].startswith("linear")


def test_an_effect_whose_sign_differs_by_sex_needs_a_product(fitted, people):
    assert row(fitted, "by_sex")["composition"] == "product sex"
    assert test_r(fitted, people, "by_sex", "test") > 0.5


def test_nothing_is_read_from_nothing(fitted, people):
    scores = fitted.arrays["scores/nothing/structural+functional"]
    assert np.nanstd(scores) < 0.1


def test_traits_are_read_beside_images(fitted, people):
    alone = test_r(fitted, people, "traits", "test")
    both = test_r(fitted, people, "traits", "test", "structural+functional+questions")
    assert alone < 0.6
    assert both > 0.95


def test_who_lacks_a_group_has_no_score(fitted, people):
    scores = fitted.arrays["scores/plain/structural+functional"]
    assert (np.isfinite(scores) == people.having(GROUPS)).all()


def test_test_people_move_nothing_but_their_own_scores(images, people, fitted, tmp_path):
    tested = people.part == "test"
    other = {group: np.where(tested[:, None], 5 - X, X) for group, X in images.items()}
    targets = {t: np.where(tested, 1 - y, y) for t, y in people.targets.items()}
    changed = replace(people, targets=targets)
    again = fit_kernels(job_of(other, changed, tmp_path, blocks=("questions",)), tmp_path)
    for name, array in fitted.arrays.items():
        rows = ~tested if name.startswith("scores/") else slice(None)
        np.testing.assert_allclose(again.arrays[name][rows], array[rows], atol=1e-5, err_msg=name)


def test_the_tables_sex_of_people_tested_moves_nothing(images, people, fitted, tmp_path):
    """What an effect differs by is read from the images."""
    tested = people.part == "test"
    sex = np.where(tested, 1 - people.targets["sex"], people.targets["sex"])
    changed = replace(people, targets=people.targets | {"sex": sex})
    again = fit_kernels(job_of(images, changed, tmp_path, blocks=("questions",)), tmp_path)
    for name, array in fitted.arrays.items():
        np.testing.assert_allclose(again.arrays[name], array, atol=1e-9, err_msg=name)


def test_smaller_penalties_are_tried_while_the_smallest_is_best(images, people, tmp_path):
    exact = replace(people, targets=people.targets | {"plain": images["structural"][:, 0]})
    job = job_of(images, exact, tmp_path, groups=("structural",), targets=("plain",))
    found = row(fit_kernels(job, tmp_path), "plain", "structural")
    assert found["image_penalty"] < min(SETTINGS.penalties)


def test_without_images_traits_are_a_ridge_regression(images, people, tmp_path):
    cells = (cell_of("traits", (), ("questions",)),)
    job = KernelsJob((), cells, KINDS, people, {}, 3, (1e-9,), SETTINGS)
    model = fit_kernels(job, tmp_path)
    learnt = learnt_from(people)
    y, X = people.targets["traits"], people.blocks["questions"][:, 0]
    slope, intercept = np.polyfit(X[learnt], y[learnt], 1)
    scores = model.arrays["scores/traits/questions"]
    training = y[people.train]
    expected = (slope * X + intercept - training.mean()) / training.std()
    tested = people.part == "test"
    np.testing.assert_allclose(scores[tested], expected[tested], atol=1e-6)


def test_a_cell_that_cannot_be_fitted_says_why(images, people, tmp_path):
    constant = replace(people, targets=people.targets | {"nothing": np.ones(N)})
    job = job_of(images, constant, tmp_path, targets=("nothing", "plain"))
    model = fit_kernels(job, tmp_path)
    assert row(model, "nothing")["status"] == "no variation in training"
    assert row(model, "plain")["status"] == "ok"
    lost = replace(job, grams={"structural": job.grams["structural"]})
    assert row(fit_kernels(lost, tmp_path), "plain")["status"] == "its kernels failed"
