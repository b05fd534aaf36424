import numpy as np
import plain_scores as metrics
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ukb_brain.statistics.draws import FamilyDraws, draws_of, estimates_of
from ukb_brain.statistics.limits.ceiling import auc_ceiling, share_of_ceiling
from ukb_brain.statistics.limits.reliability import retest_estimator

NORMAL = np.random.default_rng(0).normal(size=2000)


@given(st.floats(0.02, 0.98), st.floats(0.0, 0.45))
def test_auc_ceiling_is_bayes_rule(prevalence, wrong):
    """From the model's probabilities, by Bayes' rule, without the derivation's covariances."""
    label = prevalence * (1 - wrong) + (1 - prevalence) * wrong
    sensitivity = prevalence * (1 - wrong) / label
    false_alarm = prevalence * wrong / (1 - label)
    disagreement = 2 * wrong * (1 - wrong)
    kappa = 1 - disagreement / (2 * label * (1 - label))
    found = auc_ceiling(np.array([kappa]), np.array([disagreement]))[0]
    assert found == pytest.approx((1 + sensitivity - false_alarm) / 2, abs=1e-9)


def test_ends_of_the_ceiling():
    found = auc_ceiling(np.array([1.0, 0, -0.2, 0.1]), np.array([0.0, 0.4, 0.45, 0.5]))
    assert found[:3].tolist() == [1, 0.5, 0.5]
    assert np.isnan(found[3])


def test_half_of_the_labels_ones_is_spearmans_attenuation():
    wrong = 0.1
    kappa, disagreement = (1 - 2 * wrong) ** 2, 2 * wrong * (1 - wrong)
    auc = auc_ceiling(np.array([kappa]), np.array([disagreement]))[0]
    assert 2 * auc - 1 == pytest.approx(np.sqrt(kappa))


def test_share_is_of_skill():
    same, little = np.full(100, 0.8), 1e-9 * np.arange(100)
    row = share_of_ceiling("binary", 0.7, 0.7 + little, 0.8, same)
    assert list(row.values()) == pytest.approx([2 / 3] * 3)
    row = share_of_ceiling("continuous", 0.2, 0.2 + little, 0.8, same)
    assert list(row.values()) == pytest.approx([0.25] * 3)
    # Draws that never differ are no interval.
    row = share_of_ceiling("continuous", 0.2, np.full(100, 0.2), 0.8, same)
    assert np.isnan([row["share_low"], row["share_high"]]).all()


def test_a_ceiling_that_may_be_chance_gives_no_bounds():
    row = share_of_ceiling("continuous", 0.1, 0.1 + NORMAL / 100, 0.2, 0.2 + NORMAL)
    assert row["share"] == pytest.approx(0.5)
    assert np.isnan([row["share_low"], row["share_high"]]).all()
    none = share_of_ceiling("binary", 0.6, 0.6 + NORMAL / 100, 0.5, 0.5 + NORMAL / 100)
    assert np.isnan(list(none.values())).all()


@pytest.mark.slow
def test_share_covers_the_planted_one():
    """300 people are tested, 120 of them measured twice; the truth is half read."""
    covered = []
    for trial in range(500):
        rng = np.random.default_rng(trial)
        truth = np.sqrt(0.7) * rng.normal(size=300)
        first, second = truth + np.sqrt(0.3) * rng.normal(size=(2, 300))
        # Regression of truth on a reading that explains half of it.
        predicted = 0.5 * truth + np.sqrt(0.7 * 0.25) * rng.normal(size=300)
        families = FamilyDraws(range(300), 399, trial)
        weights = families.weights(range(300))
        retest = retest_estimator("continuous", first[:120], second[:120])
        row = share_of_ceiling(
            "continuous",
            metrics.r2(first, predicted, np.ones((1, 300)))[0],
            metrics.r2(first, predicted, weights),
            estimates_of(retest, 120)["ceiling"],
            draws_of(retest, weights[:, :120])["ceiling"],
        )
        covered.append(row["share_low"] <= 0.5 <= row["share_high"])
    print(np.mean(covered))
    assert 0.92 <= np.mean(covered) <= 0.98
