import numpy as np
import pytest
import torch

from ukb_brain.training.settings import Loop
from ukb_brain.training.tasks import Tasks

RNG = np.random.default_rng(0)
N = 100
FITTED = np.arange(N) < 70
AGE = RNG.normal(60, 5, N)
SEX = (RNG.random(N) < 0.2).astype(float)
SMOKING = np.where(RNG.random(N) < 0.3, np.nan, (RNG.random(N) < 0.5).astype(float))
TARGETS = {"sex": SEX, "age": AGE, "smoking": SMOKING}
BINARY = {"sex": True, "age": False, "smoking": True}


def tasks(targets=TARGETS, binary=BINARY, **changes):
    settings = Loop(**({"epochs": 1, "batch_size": 8} | changes))
    return Tasks(targets, binary, FITTED, settings)


def test_scales_are_those_of_the_people_trained_on():
    made = tasks()
    age = made.y[:, 1].numpy()
    assert age[FITTED].mean() == pytest.approx(0, abs=1e-6)
    assert age[FITTED].std() == pytest.approx(1, abs=1e-6)
    far = {**TARGETS, "age": np.where(FITTED, AGE, 1e6)}
    np.testing.assert_array_equal(tasks(far).y[FITTED], made.y[FITTED])


def test_classes_weigh_alike_and_the_unknown_nothing():
    weights = tasks().weights.numpy()
    for column, target in ((0, SEX), (2, SMOKING)):
        ones = weights[FITTED & (target == 1), column].sum()
        noughts = weights[FITTED & (target == 0), column].sum()
        assert ones == pytest.approx(noughts, rel=1e-5)
    np.testing.assert_array_equal(weights[:, 2] == 0, np.isnan(SMOKING))
    assert set(np.unique(tasks(balance="none").weights)) == {0.0, 1.0}


def test_a_target_that_does_not_vary_weighs_nothing():
    flat = {**TARGETS, "sex": np.where(FITTED, 0.0, SEX), "age": np.where(FITTED, 3.0, AGE)}
    weights = tasks(flat).weights
    assert (weights[:, :2] == 0).all() and (weights[:, 2] > 0).any()


def test_the_loss_is_that_of_its_formulas():
    made = tasks(balance="none")
    predicted = torch.from_numpy(RNG.normal(size=(N, 3))).float()
    rows = torch.arange(N)
    used = torch.ones(N)
    used[0] = 0
    sums, weights = made.losses(predicted, rows, used)
    logit, value = predicted[1:, 0].double().numpy(), predicted[1:, 1].double().numpy()
    crossed = np.logaddexp(0, logit) - SEX[1:] * logit
    squared = (value - (AGE[1:] - AGE[FITTED].mean()) / AGE[FITTED].std()) ** 2
    assert sums[0].item() == pytest.approx(2 * crossed.sum(), rel=1e-5)
    assert sums[1].item() == pytest.approx(squared.sum(), rel=1e-5)
    assert weights.tolist() == [N - 1, N - 1, np.isfinite(SMOKING[1:]).sum()]


def test_undersampling_draws_the_larger_class_anew_in_each_epoch():
    made = tasks({"sex": SEX}, {"sex": True}, balance="undersample")
    rows = np.flatnonzero(FITTED)
    few = int(SEX[FITTED].sum())
    draws = [made.drawn(rows, np.random.default_rng(seed)) for seed in range(80)]
    for drawn in draws:
        assert len(np.unique(drawn)) == len(drawn) == 2 * few
        assert SEX[drawn].sum() == few
    # Everybody of the larger class has a turn.
    assert set(np.concatenate(draws)) == set(rows)


def test_without_undersampling_everybody_is_drawn_once():
    rows = np.flatnonzero(FITTED)
    drawn = tasks().drawn(rows, np.random.default_rng(0))
    assert sorted(drawn) == list(rows) and list(drawn) != list(rows)


def test_labels_reach_from_minus_1_to_1_in_the_people_trained_on_as_the_studys_do():
    made = tasks(clamp_percentiles=(10, 90), label_scale="range")
    clamped = tasks(clamp_percentiles=(10, 90)).labels[:, 1]
    known = FITTED & np.isfinite(clamped)
    low, high = clamped[known].min(), clamped[known].max()
    expected = 2 * (clamped[known] - low) / (high - low) - 1
    np.testing.assert_allclose(made.y[known, 1], expected, rtol=1e-5, atol=1e-6)
    assert (float(made.y[known, 1].min()), float(made.y[known, 1].max())) == (-1, 1)
    # Yes and no stay as they are, and so do their weights.
    np.testing.assert_array_equal(made.y[:, 0], tasks().y[:, 0])
    np.testing.assert_array_equal(made.weights[:, 0], tasks().weights[:, 0])


def test_labels_are_clamped_at_percentiles_of_the_people_trained_on():
    clamped = tasks(clamp_percentiles=(10, 90))
    low, high = np.percentile(AGE[FITTED], [10, 90])
    np.testing.assert_allclose(clamped.labels[:, 1], np.clip(AGE, low, high))
    np.testing.assert_array_equal(clamped.labels[:, 0], SEX)
