"""Soft bins against scipy, and against the labels that they stand for."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy import stats

from ukb_brain.training.settings import Loop
from ukb_brain.training.soft_bins import SoftBins, outputs_for
from ukb_brain.training.tasks import Tasks

N, K = 400, 40
RNG = np.random.default_rng(0)
FITTED = np.arange(N) < 300
AGE = RNG.uniform(45, 80, N)
WEIGHT = np.where(RNG.random(N) < 0.2, np.nan, RNG.lognormal(4.3, 0.2, N))
SEX = (RNG.random(N) < 0.5).astype(float)
TARGETS = {"age": AGE, "sex": SEX, "weight": WEIGHT, "height": np.full(N, 1.7)}
# Binary ones are neither first nor last.
BINARY = {"age": False, "sex": True, "weight": False, "height": False}


def tasks(targets=TARGETS, **changes):
    settings = Loop(**({"epochs": 1, "batch_size": 8, "balance": "none", "bins": K} | changes))
    return Tasks(targets, BINARY, FITTED, settings)


def outputs(seed=0):
    torch.manual_seed(seed)
    return 2 * torch.randn(N, outputs_for(BINARY.values(), K))


ROWS, USED = torch.arange(N), torch.ones(N)


def test_a_network_has_an_output_for_each_bin_and_each_binary_target():
    assert outputs_for(BINARY.values(), K) == 1 + 3 * K
    assert outputs_for(BINARY.values(), 0) == 4


def test_the_loss_is_half_the_divergence_that_scipy_gives():
    made, given = tasks(), outputs()
    sums, weights = made.losses(given, ROWS, USED)
    logits = given.double().numpy()
    for column, place in ((0, 0), (2, 1)):
        y, known = made.y[:, column].double().numpy(), made.weights[:, column].numpy() > 0
        named = np.exp(logits[:, 1 + place * K : 1 + (place + 1) * K])
        centres, width = made.bins.centres[place].numpy(), float(made.bins.widths[place, 0])
        density = stats.norm.pdf(centres, y[:, None], width)
        expected = 0.5 * stats.entropy(density, named, axis=1)[known].sum()
        assert float(sums[column]) == pytest.approx(expected, rel=1e-4)
        assert int(weights[column]) == known.sum()
    crossed = np.logaddexp(0, logits[:, 0]) - SEX * logits[:, 0]
    assert float(sums[1]) == pytest.approx(2 * crossed.sum(), rel=1e-5)
    # A target that does not vary has no loss, and no gradient that is not finite.
    assert (float(sums[3]), float(weights[3])) == (0, 0)


def test_bins_reach_from_the_low_to_the_high_labels_of_training_people_and_three_beyond():
    bins = tasks().bins
    known = (AGE[FITTED] - AGE[FITTED].mean()) / AGE[FITTED].std()
    low, high = np.percentile(known, [0.5, 99.5])
    width = float(bins.widths[0, 0])
    np.testing.assert_allclose(np.diff(bins.centres[0].numpy()), width, rtol=1e-4)
    assert float(bins.centres[0, 0]) == pytest.approx(low - 2.5 * width, rel=1e-4)
    assert float(bins.centres[0, -1]) == pytest.approx(high + 2.5 * width, rel=1e-4)
    far = {**TARGETS, "age": np.where(FITTED, AGE, 1e6)}
    torch.testing.assert_close(tasks(far).bins.centres, bins.centres)
    absurd = {**TARGETS, "age": np.where(np.arange(N) == 0, 1e4, AGE)}
    scale = AGE[FITTED].std() / tasks(absurd).labels[FITTED, 0].std()
    assert float(tasks(absurd).bins.widths[0, 0]) == pytest.approx(width * scale, rel=0.02)


@pytest.mark.parametrize("label_scale", ["sd", "range"])
def test_the_mean_of_a_labels_own_bins_is_the_label(label_scale):
    made = tasks(label_scale=label_scale)
    best = outputs().requires_grad_()
    for column, place in ((0, 0), (2, 1)):
        apart = (made.y[:, column, None] - made.bins.centres[place]) / made.bins.widths[place]
        with torch.no_grad():
            best[:, 1 + place * K : 1 + (place + 1) * K] = -0.5 * apart**2 + 7
        width = float(made.bins.widths[place, 0])
        low, high = made.bins.centres[place, [3, -4]].tolist()
        inside = (made.y[:, column] > low) & (made.y[:, column] < high)
        wrong = (made.read(best).detach()[:, column] - made.y[:, column])[inside].abs()
        assert inside.float().mean() > 0.75
        assert float(wrong.max()) < 0.01 * width
    sums, _ = made.losses(best, ROWS, USED)
    assert sums[[0, 2]].abs().max() < 1e-4
    # No other outputs do better: the gradient is nothing, and all of it is finite.
    (slopes,) = torch.autograd.grad(sums.sum(), best)
    assert slopes.isfinite().all()
    assert slopes[:, 1 : 1 + 2 * K].abs().max() < 1e-5


def test_logits_of_binary_targets_are_read_as_they_are():
    given = outputs()
    read = tasks().read(given)
    assert read.shape == (N, 4)
    assert torch.equal(read[:, 1], given[:, 0])
    assert torch.equal(tasks(bins=0).read(given), given)


def test_gradients_are_those_of_finite_differences():
    made = tasks()
    made.y, made.weights = made.y.double()[:3], made.weights.double()[:3]
    made.bins.centres, made.bins.widths = made.bins.centres.double(), made.bins.widths.double()
    given = outputs()[:3].double().requires_grad_()
    rows, used = torch.arange(3), torch.tensor([1.0, 0.0, 1.0])
    assert torch.autograd.gradcheck(lambda x: made.losses(x, rows, used)[0], given)
    assert torch.autograd.gradcheck(made.read, given)
    made.losses(given, rows, used)[0].sum().backward()
    assert (given.grad[1] == 0).all()


def test_validation_people_judge_what_is_read_whatever_it_is_trained_by():
    made, given = tasks(), outputs()
    plain = tasks(bins=0)
    found = made.errors(made.read(given), ROWS, USED)
    expected = plain.losses(made.read(given), ROWS, USED)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


def test_at_chance_the_loss_is_about_a_squared_errors_size():
    normal = {t: RNG.normal(size=N) for t in TARGETS} | {"sex": SEX}
    made = tasks(normal)
    # What names the share of everybody in each bin.
    apart = (made.y[:, [0, 2, 3], None] - made.bins.centres) / made.bins.widths
    shares = (-0.5 * apart**2).softmax(-1).mean(0).log().flatten()
    given = torch.cat([torch.zeros(1), shares]).expand(N, -1)
    sums, weights = made.losses(given, ROWS, USED)
    assert 0.7 < float((sums / weights)[0]) < 1.3


def test_there_may_be_binary_targets_only():
    made = Tasks({"sex": SEX}, {"sex": True}, FITTED, Loop(epochs=1, batch_size=8, bins=K))
    given = torch.randn(N, 1, requires_grad=True)
    plain = Tasks({"sex": SEX}, {"sex": True}, FITTED, Loop(epochs=1, batch_size=8))
    assert torch.equal(made.read(given), given)
    assert torch.equal(made.losses(given, ROWS, USED)[0], plain.losses(given, ROWS, USED)[0])


def test_a_target_of_which_nearly_everybody_has_the_same_value_has_bins():
    labels = np.zeros(1000)
    labels[0] = 3.0
    bins = SoftBins([labels], np.array([False]), K)
    assert float(bins.widths[0, 0]) == pytest.approx(3 / (K - 6))


@pytest.mark.parametrize("few", [1, 9, -1])
def test_too_few_bins_are_refused(few):
    with pytest.raises(ValidationError, match="bins"):
        Loop(epochs=1, batch_size=8, bins=few)
    assert Loop(epochs=1, batch_size=8, bins=10).bins == 10
