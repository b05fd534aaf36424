from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.linear_model import Ridge

from ukb_brain.training.ridge import Design, Moments, fit, penalty_losses
from ukb_brain.training.settings import Penalties

N, HELD = 60, 15


def design(seed=0, columns=7):
    """Training people, and validation people of the same kind."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N + HELD, columns)) * rng.uniform(0.5, 2, columns)
    y = X @ rng.normal(size=columns) + rng.normal(size=N + HELD) + 3
    weights = rng.uniform(0.2, 2, N + HELD)
    weights *= N / weights[:N].sum()
    parts = rng.integers(0, 4, N)
    return Design(X[:N], y[:N], weights[:N], parts, X[N:], y[N:], weights[N:])


def by_sklearn(design, rows, columns, penalties):
    """A penalty per column is the same as columns that are shrunk before."""
    shrunk = design.X[:, columns] / np.sqrt(penalties)
    model = Ridge(alpha=design.weights[rows].sum(), solver="cholesky")
    model.fit(shrunk[rows], design.y[rows], sample_weight=design.weights[rows])
    return model.coef_ / np.sqrt(penalties), model.intercept_, model.predict(shrunk)


CASES = {
    "images and traits": (np.array([0, 1, 2, 4, 6]), np.array([1, 1, 1, 0, 0], dtype=bool)),
    "images": (np.array([3, 1]), np.array([True, True])),
    "traits": (np.array([5]), np.array([False])),
}


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.001, 100), st.floats(0.001, 100))
def test_a_fit_is_ridge_regression_with_a_penalty_per_column(case, seed, image, trait):
    data, (columns, is_image) = design(seed), CASES[case]
    fitted = fit(Moments(data), columns, is_image, (image, trait))
    penalties = np.where(is_image, image, trait)
    coefficients, intercept, _ = by_sklearn(data, np.arange(N), columns, penalties)
    np.testing.assert_allclose(fitted.coefficients, coefficients, atol=1e-8)
    np.testing.assert_allclose(fitted.intercept, intercept, atol=1e-8)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.001, 100))
def test_scores_out_of_fold_are_those_of_explicit_refits(seed, penalty):
    data, (columns, is_image) = design(seed), CASES["images and traits"]
    fitted = fit(Moments(data), columns, is_image, (penalty, 0.5))
    penalties = np.where(is_image, penalty, 0.5)
    expected = np.empty(N)
    for part in np.unique(data.parts):
        mine = data.parts == part
        expected[mine] = by_sklearn(data, ~mine, columns, penalties)[2][mine]
    np.testing.assert_allclose(fitted.out_of_fold, expected, atol=1e-8)
    coefficients, intercept, _ = by_sklearn(data, np.arange(N), columns, penalties)
    held = data.held[:, columns] @ coefficients + intercept
    loss = np.average(
        np.concatenate([expected - data.y, held - data.held_y]) ** 2,
        weights=np.concatenate([data.weights, data.held_weights]),
    )
    assert fitted.loss == pytest.approx(loss)


@pytest.mark.parametrize("case", CASES)
def test_validation_people_weigh_in_the_loss_and_in_no_fit(case):
    data, (columns, is_image) = design(), CASES[case]
    other = replace(data, held_y=data.held_y - 7)
    before, after = (fit(Moments(d), columns, is_image, (1.0, 0.1)) for d in (data, other))
    assert before.coefficients.tobytes() == after.coefficients.tobytes()
    assert before.out_of_fold.tobytes() == after.out_of_fold.tobytes()
    assert before.intercept == after.intercept
    assert before.loss + 1 < after.loss


def test_without_validation_people_the_loss_is_of_parts_left_out():
    data, (columns, is_image) = design(), CASES["images and traits"]
    alone = replace(data, held=data.held[:0], held_y=data.held_y[:0], held_weights=np.empty(0))
    fitted = fit(Moments(alone), columns, is_image, (1.0, 0.1))
    errors = (fitted.out_of_fold - data.y) ** 2
    assert fitted.loss == pytest.approx(np.average(errors, weights=data.weights))


def test_a_part_that_is_left_out_has_no_influence_on_its_own_scores():
    data, (columns, is_image) = design(), CASES["images and traits"]
    mine = data.parts == 2
    y = np.where(mine, -50.0, data.y)
    other = replace(data, y=y)
    before, after = (fit(Moments(d), columns, is_image, (1.0, 0.1)) for d in (data, other))
    np.testing.assert_allclose(before.out_of_fold[mine], after.out_of_fold[mine], atol=1e-9)
    assert np.abs(before.out_of_fold - after.out_of_fold)[~mine].min() > 0.01


@settings(max_examples=15, deadline=None)
@given(st.floats(-1e3, 1e3))
def test_the_intercept_is_not_penalised(shift):
    data, (columns, is_image) = design(), CASES["images and traits"]
    moved = replace(data, y=data.y + shift)
    before, after = (fit(Moments(d), columns, is_image, (30.0, 30.0)) for d in (data, moved))
    np.testing.assert_allclose(after.coefficients, before.coefficients, atol=1e-8)
    assert after.intercept - before.intercept == pytest.approx(shift, abs=1e-8)


def test_a_huge_penalty_leaves_the_weighted_mean():
    data, (columns, is_image) = design(), CASES["images and traits"]
    fitted = fit(Moments(data), columns, is_image, (1e12, 1e12))
    mean = np.average(data.y, weights=data.weights)
    np.testing.assert_allclose(data.X[:, columns] @ fitted.coefficients, 0, atol=1e-8)
    assert fitted.intercept == pytest.approx(mean)


@pytest.mark.parametrize("case", CASES)
def test_losses_of_all_penalties_are_those_of_single_fits(case):
    moments, (columns, is_image) = Moments(design()), CASES[case]
    choices = Penalties(images=(0.01, 1.0, 100.0), traits=(0.1, 10.0))
    table = penalty_losses(moments, columns, is_image, choices)
    assert table.shape == (3, 2)
    for i, image in enumerate(choices.images):
        for t, trait in enumerate(choices.traits):
            single = fit(moments, columns, is_image, (image, trait))
            assert table[i, t] == pytest.approx(single.loss, rel=1e-4)


def test_parts_without_anybody_are_no_parts():
    data = design()
    gap = replace(data, parts=np.where(data.parts == 1, 9, data.parts))
    fits = [fit(Moments(d), *CASES["images"], (1.0, 1.0)) for d in (data, gap)]
    np.testing.assert_allclose(fits[0].out_of_fold, fits[1].out_of_fold, atol=1e-10)
    assert Moments(gap).parts.tolist() == [0, 2, 3, 9]


@pytest.mark.parametrize("wrong", [{"images": (0.0,)}, {"traits": (1.0, -1.0)}, {"images": ()}])
def test_penalties_are_positive(wrong):
    with pytest.raises(ValidationError):
        Penalties(**({"images": (1.0,), "traits": (1.0,)} | wrong))
