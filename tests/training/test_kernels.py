"""Kernels on invented people whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr

from ukb_brain.grid import Cell, Inputs
from ukb_brain.ledger.artifact import Model, write_model
from ukb_brain.training import kernels, solvers
from ukb_brain.training.gram import landmarks_of, learnt_from
from ukb_brain.training.kernel_ridge import invert
from ukb_brain.training.kernels import fit_kernels
from ukb_brain.training.learners import KernelsJob, Learners
from ukb_brain.training.people import People
from ukb_brain.training.settings import Kernels

N, FEATURES = 700, 300
GROUPS = ("structural", "functional")
KINDS = {
    "plain": "continuous", "by_sex": "continuous", "sex": "binary", "nothing": "continuous",
    "rare": "continuous", "traits": "continuous", "steep": "binary", "by_told": "continuous",
}  # fmt: skip
# What the table says of sex and age, and of nothing else.
TOLD = {"sex": ("base", 0), "age": ("base", 1)}
INPUTS = "structural+functional"
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
    age = rng.normal(size=N)
    # A log odds of eight for each standard deviation.
    steep = (rng.random(N) < 1 / (1 + np.exp(-8 * latent[:, 0]))).astype(float)
    part = np.repeat(["train", "validation", "test"], [450, 100, 150])
    return People(
        fold=0,
        eid=np.arange(N),
        instance=np.full(N, 2),
        family=np.arange(N) // 2,
        site=np.zeros(N, dtype=np.int64),
        phase=np.zeros(N, dtype=np.int64),
        part=part,
        targets={
            "plain": 50 + 9 * (latent[:, 0] + latent[:, 2] + 0.5 * noise[:, 0]),
            "by_sex": np.where(sex > 0, 1, -1) * latent[:, 0] + 0.5 * noise[:, 0],
            "sex": sex,
            "nothing": noise[:, 1],
            "rare": rare,
            "traits": latent[:, 0] + 2 * trait + 0.5 * noise[:, 0],
            "steep": steep,
            "by_told": age * latent[:, 0] + 0.5 * noise[:, 0],
        },
        blocks={
            "questions": np.column_stack([trait, np.zeros(N)]),
            "base": np.column_stack([2 * sex - 1, age, np.zeros((N, 2))]),
        },
        has={
            "structural": rng.random(N) < 0.97,
            "functional": rng.random(N) < 0.97,
        },
    )


def cell_of(target, groups, blocks=()):
    return Cell(target, Inputs(groups, blocks, "+".join([*groups, *blocks])))


def write_grams(images, people, folder, settings=SETTINGS):
    """Products with numpy."""
    paths = {}
    for group, X in images.items():
        has = people.has[group]
        columns = landmarks_of(people, has, settings)
        X = X - X[has & people.train].mean(0)
        gram, norms = X[has] @ X[columns].T, (X[has] ** 2).sum(1)
        paths[group] = folder / group
        arrays = {"gram": gram.astype(np.float32), "norms": norms.astype(np.float32)}
        write_model(paths[group], Model(arrays | {"columns": columns}))
    return paths


def job_of(
    images,
    people,
    folder,
    groups=GROUPS,
    blocks=((),),
    targets=tuple(KINDS),
    strategies=("linear", "kernels"),
    settings=SETTINGS,
    told=None,
):
    cells = tuple(cell_of(t, groups, b) for t in targets for b in blocks)
    grams = write_grams({g: images[g] for g in groups}, people, folder, settings)
    return KernelsJob(groups, cells, KINDS, people, grams, 3, strategies, settings, told or {})


QUESTIONS = ((), ("questions",))


@pytest.fixture(scope="module")
def fitted(images, people, tmp_path_factory):
    folder = tmp_path_factory.mktemp("grams")
    return fit_kernels(job_of(images, people, folder, blocks=QUESTIONS), folder)


def row(model, target, inputs=INPUTS, strategy="kernels"):
    names = (strategy, target, inputs)
    (found,) = [r for r in model.card["fits"] if (r["strategy"], r["target"], r["inputs"]) == names]
    return found


def scores_of(model, target, inputs=INPUTS, strategy="kernels"):
    like = row(model, target, inputs, strategy)["like"]
    return model.arrays[f"scores/{like}/{target}/{inputs}"]


def test_r(model, people, target, part, inputs=INPUTS, strategy="kernels"):
    scores = scores_of(model, target, inputs, strategy)
    rows = np.isfinite(scores) & np.isfinite(people.targets[target]) & (people.part == part)
    return pearsonr(scores[rows], people.targets[target][rows]).statistic


test_r.__test__ = False


def test_what_is_there_is_read_in_people_never_seen(fitted, people):
    # 2 of 2.25 parts of variance are latent; latents of 600 strong features are known nearly.
    for strategy in ("linear", "kernels"):
        for part in ("train", "validation", "test"):
            assert test_r(fitted, people, "plain", part, strategy=strategy) > 0.9, part
        assert test_r(fitted, people, "rare", "test", strategy=strategy) > 0.6
    assert row(fitted, "plain")["composition"].startswith("linear")


def test_what_both_strategies_chose_is_kept_once(fitted):
    for found in fitted.card["fits"]:
        name = f"{found['target']}/{found['inputs']}"
        linear = row(fitted, found["target"], found["inputs"], "linear")
        assert linear["like"] == "linear"
        assert linear["composition"].startswith("linear")
        if found["strategy"] == "kernels":
            same = found["composition"] == linear["composition"]
            assert found["like"] == ("linear" if same else "kernels")
            assert (f"scores/kernels/{name}" in fitted.arrays) != same
    assert {f["like"] for f in fitted.card["fits"]} == {"linear", "kernels"}


def test_the_linear_strategy_is_the_same_whatever_is_tried_beside_it(
    images, people, fitted, tmp_path
):
    job = job_of(images, people, tmp_path, blocks=QUESTIONS, strategies=("linear",))
    alone = fit_kernels(job, tmp_path)
    assert {r["strategy"] for r in alone.card["fits"]} == {"linear"}
    linear = [name for name in fitted.arrays if name.split("/")[1] == "linear"]
    assert set(alone.arrays) == set(linear)
    for name in linear:
        np.testing.assert_allclose(alone.arrays[name], fitted.arrays[name], atol=1e-9)


def test_an_effect_whose_sign_differs_by_sex_needs_a_product(fitted, people):
    assert row(fitted, "by_sex")["composition"] == "product sex"
    assert test_r(fitted, people, "by_sex", "test") > 0.5
    # By linear kernels nothing is read of it: the mean is as good.
    assert np.nanstd(scores_of(fitted, "by_sex", strategy="linear")) < 0.1


def test_nothing_is_read_from_nothing(fitted, people):
    for strategy in ("linear", "kernels"):
        assert np.nanstd(scores_of(fitted, "nothing", strategy=strategy)) < 0.1


def test_traits_are_read_beside_images(fitted, people):
    alone = test_r(fitted, people, "traits", "test")
    both = test_r(fitted, people, "traits", "test", "structural+functional+questions")
    assert alone < 0.6
    assert both > 0.95


def test_who_lacks_a_group_has_no_score(fitted, people):
    scores = scores_of(fitted, "plain")
    assert (np.isfinite(scores) == people.having(GROUPS)).all()


def test_test_people_move_nothing_but_their_own_scores(images, people, fitted, tmp_path):
    tested = people.part == "test"
    other = {group: np.where(tested[:, None], 5 - X, X) for group, X in images.items()}
    targets = {t: np.where(tested, 1 - y, y) for t, y in people.targets.items()}
    changed = replace(people, targets=targets)
    again = fit_kernels(job_of(other, changed, tmp_path, blocks=QUESTIONS), tmp_path)
    for name, array in fitted.arrays.items():
        rows = ~tested if name.startswith("scores/") else slice(None)
        np.testing.assert_allclose(again.arrays[name][rows], array[rows], atol=1e-5, err_msg=name)


def test_the_tables_sex_of_people_tested_moves_nothing(images, people, fitted, tmp_path):
    """What an effect differs by is read from the images."""
    tested = people.part == "test"
    sex = np.where(tested, 1 - people.targets["sex"], people.targets["sex"])
    changed = replace(people, targets=people.targets | {"sex": sex})
    again = fit_kernels(job_of(images, changed, tmp_path, blocks=QUESTIONS), tmp_path)
    for name, array in fitted.arrays.items():
        np.testing.assert_allclose(again.arrays[name], array, atol=1e-9, err_msg=name)


def test_smaller_penalties_are_tried_while_the_smallest_is_best(images, people, tmp_path):
    exact = replace(people, targets=people.targets | {"plain": images["structural"][:, 0]})
    job = job_of(images, exact, tmp_path, groups=("structural",), targets=("plain",))
    found = row(fit_kernels(job, tmp_path), "plain", "structural")
    assert found["image_penalty"] < min(SETTINGS.penalties)


def test_without_images_traits_are_a_ridge_regression(images, people, tmp_path):
    cells = (cell_of("traits", (), ("questions",)),)
    settings = SETTINGS.model_copy(update={"traits": (1e-9,)})
    job = KernelsJob((), cells, KINDS, people, {}, 3, ("linear",), settings)
    model = fit_kernels(job, tmp_path)
    learnt = learnt_from(people)
    y, X = people.targets["traits"], people.blocks["questions"][:, 0]
    slope, intercept = np.polyfit(X[learnt], y[learnt], 1)
    scores = scores_of(model, "traits", "questions", "linear")
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


@pytest.mark.parametrize("kept", [2, 9])
def test_too_few_people_in_training_are_recorded(images, people, tmp_path, kept):
    has = people.has["structural"] & ~people.train
    has[np.flatnonzero(people.train)[:kept]] = True
    few = replace(people, has=people.has | {"structural": has})
    model = fit_kernels(job_of(images, few, tmp_path, ("structural",)), tmp_path)
    assert {r["status"] for r in model.card["fits"]} == {"fewer than ten people in training"}
    assert not model.arrays


def test_scans_that_are_all_the_same_leave_the_mean_of_training(images, people, tmp_path):
    same = images | {"structural": np.ones((N, FEATURES))}
    job = job_of(same, people, tmp_path, ("structural",), targets=("plain", "steep"))
    model = fit_kernels(job, tmp_path)
    for strategy in ("linear", "kernels"):
        assert row(model, "plain", "structural", strategy)["status"] == "ok"
    scores = scores_of(model, "plain", "structural")
    tested = scores[(people.part == "test") & people.has["structural"]]
    assert np.ptp(tested) < 1e-6 and np.abs(tested).max() < 0.2


# ---- who is left out ----------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["train", "validation"])
def test_canary_labels_of_a_family_reach_no_score_of_theirs(images, people, tmp_path, part):
    """They are learnt from, and scored by fits that left their family out, given the choices."""
    one = SETTINGS.model_copy(update={"penalties": (1.0,), "widened": 0, "radial": ()})
    family = people.family[(people.part == part) & people.has["structural"]][0]
    held = people.family == family
    assert held.sum() == 2
    other = replace(
        people,
        targets=people.targets | {"plain": people.targets["plain"] + np.where(held, 30.0, 0.0)},
    )
    before, after = (
        fit_kernels(
            job_of(images, p, tmp_path, ("structural",), targets=("plain",), settings=one), tmp_path
        )
        for p in (people, other)
    )
    assert row(before, "plain", "structural") | {"loss": 0, "seconds": 0} == row(
        after, "plain", "structural"
    ) | {"loss": 0, "seconds": 0}
    has, found = people.has["structural"], []
    for model, known in ((before, people), (after, other)):
        y = known.targets["plain"][known.train & has]
        found.append(y.mean() + y.std() * scores_of(model, "plain", "structural"))
    apart = np.abs(found[1] - found[0])
    assert apart[held & has].max() < 1e-4
    assert np.median(apart[~held & has]) > 1e-2


# ---- logistic regression ------------------------------------------------------------------------


def test_a_steep_logistic_truth_is_read_by_logistic_regression(
    images, people, fitted, tmp_path, monkeypatch
):
    found = row(fitted, "steep", strategy="linear")
    assert found["logistic"]
    scores = scores_of(fitted, "steep", strategy="linear")
    # Expected values of -1 and 1.
    assert np.nanmax(np.abs(scores)) <= 1
    monkeypatch.setattr(kernels._Cells, "_try_logistic", lambda *_: None)
    job = job_of(images, people, tmp_path, targets=("steep",), strategies=("linear",))
    plain = fit_kernels(job, tmp_path)
    assert not row(plain, "steep", strategy="linear")["logistic"]
    assert found["loss"] < row(plain, "steep", strategy="linear")["loss"]
    tested = (people.part == "test") & people.having(GROUPS)
    y = 2 * people.targets["steep"][tested] - 1
    errors = [
        np.mean((s[tested] - y) ** 2)
        for s in (scores, scores_of(plain, "steep", strategy="linear"))
    ]
    assert errors[0] < 0.9 * errors[1]


def test_only_binary_targets_take_logistic_regressions(fitted):
    for found in fitted.card["fits"]:
        assert KINDS[found["target"]] == "binary" or not found["logistic"]


# ---- products with what the table says ----------------------------------------------------------

CELLS_OF_BLOCKS = ((), ("questions",), ("base",), ("base", "questions"))


@pytest.fixture(scope="module")
def told(images, people, tmp_path_factory):
    folder = tmp_path_factory.mktemp("told")
    return fit_kernels(told_job(images, people, folder), folder)


def told_job(images, people, folder):
    targets = ("by_told", "by_sex", "plain")
    return job_of(images, people, folder, blocks=CELLS_OF_BLOCKS, targets=targets, told=TOLD)


def test_an_effect_that_differs_by_what_is_told_is_read_where_it_is_told(told, people):
    for blocks in CELLS_OF_BLOCKS:
        inputs = "+".join([*GROUPS, *blocks])
        composition = row(told, "by_told", inputs)["composition"]
        assert (composition == "product age, as told") == ("base" in blocks), inputs
        # Its age cannot be read from the images.
        r = test_r(told, people, "by_told", "test", inputs)
        assert (r > 0.5) == ("base" in blocks), (inputs, r)
    for found in told.card["fits"]:
        if "as told" in found.get("composition", ""):
            assert "base" in found["inputs"].split("+")
            assert found["strategy"] == "kernels"


def test_canary_what_the_table_says_of_sex_and_age_reaches_no_cell_that_is_not_told(
    images, people, told, tmp_path
):
    order = np.random.default_rng(3).permutation(N)
    block = people.blocks["base"].copy()
    block[:, :2] = block[order, :2]
    swapped = replace(people, blocks=people.blocks | {"base": block})
    again = fit_kernels(told_job(images, swapped, tmp_path), tmp_path)
    moved = 0
    for found in told.card["fits"]:
        names = (found["target"], found["inputs"], found["strategy"])
        pair = [scores_of(model, *names) for model in (told, again)]
        if "base" in found["inputs"].split("+"):
            moved += not np.allclose(*pair, equal_nan=True)
        else:
            assert pair[0].tobytes() == pair[1].tobytes(), names
    # The swap is felt where it may be.
    assert moved > 3


def test_operations_of_all_inverses_are_counted(images, people, tmp_path, monkeypatch):
    sizes = []

    def counted(kernel, penalty):
        sizes.append(len(kernel))
        return invert(kernel, penalty)

    monkeypatch.setattr(solvers, "invert", counted)
    model = fit_kernels(job_of(images, people, tmp_path, targets=("plain", "sex")), tmp_path)
    assert len(sizes) > 10
    assert sum(r["flops"] for r in model.card["fits"]) == pytest.approx(sum(n**3 for n in sizes))


# ---- more people than are exact -----------------------------------------------------------------

LANDMARKS = 200
SOME = SETTINGS.model_copy(
    update={"exact_people": LANDMARKS, "memory_gb": (LANDMARKS + 0.5) * 8 * N * 0.97 / 1e9}
)


@pytest.fixture(scope="module")
def projected(images, people, tmp_path_factory):
    folder = tmp_path_factory.mktemp("some")
    return fit_kernels(job_of(images, people, folder, blocks=QUESTIONS, settings=SOME), folder)


def test_kernels_with_some_people_read_nearly_what_exact_ones_do(fitted, projected, people):
    for inputs in (INPUTS, f"{INPUTS}+questions"):
        for target in ("plain", "rare", "traits", "sex", "steep", "by_sex"):
            for strategy in ("kernels",) if target == "by_sex" else ("linear", "kernels"):
                found, exact = (
                    test_r(model, people, target, "test", inputs, strategy)
                    for model in (projected, fitted)
                )
                assert found > exact - 0.05, (target, inputs, strategy, found, exact)
    assert row(projected, "by_sex")["composition"] == "product sex"
    assert row(projected, "steep")["logistic"]
    assert np.nanstd(scores_of(projected, "nothing")) < 0.1
    weights = {len(a) for name, a in projected.arrays.items() if name.startswith("weights/")}
    assert len(weights) == 1 and 0.8 * LANDMARKS < weights.pop() <= LANDMARKS


def test_test_people_move_nothing_in_kernels_with_some_people(images, people, projected, tmp_path):
    tested = people.part == "test"
    other = {group: np.where(tested[:, None], 5 - X, X) for group, X in images.items()}
    targets = {t: np.where(tested, 1 - y, y) for t, y in people.targets.items()}
    job = job_of(other, replace(people, targets=targets), tmp_path, blocks=QUESTIONS, settings=SOME)
    again = fit_kernels(job, tmp_path)
    assert set(again.arrays) == set(projected.arrays)
    for name, array in projected.arrays.items():
        if name.startswith("scores/"):
            np.testing.assert_allclose(
                again.arrays[name][~tested], array[~tested], atol=1e-4, err_msg=name
            )


def test_groups_are_with_the_same_people_of_one_draw(images, people, tmp_path):
    job = job_of(images, people, tmp_path, settings=SOME)
    drawn = [set(landmarks_of(people, people.has[group], SOME)) for group in GROUPS]
    learners = Learners(job)
    shared = learners.rows[learners.landmarks.numpy()]
    assert set(shared) == drawn[0] & drawn[1]
    # But for those who lack a group, and those who take their places.
    both = people.having(GROUPS)
    assert all(len({k for k in each if both[k]} - set(shared)) <= 10 for each in drawn)
    assert not learners.exact
    assert Learners(job_of(images, people, tmp_path)).exact
    assert torch.isin(learners.landmarks, learners.learnt).all()
