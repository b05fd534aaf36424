import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss
from statsmodels.stats.proportion import proportion_confint

from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.people.calibration_curve import (
    brier_decomposition,
    brier_parts,
    reliability_curve,
)

N = 200


def case(n=N, seed=0, ties=False, slope=1.0):
    rng = np.random.default_rng(seed)
    p = expit(rng.normal(-0.5, 1.2, n))
    y = (rng.random(n) < expit(slope * logit(p))).astype(float)
    return y, np.round(p, 1) if ties else p


def draws(n=N, number=200, seed=1):
    return FamilyDraws(range(n), number, seed).weights(range(n))


def test_curve_is_that_of_scikit_learn():
    y, p = case()
    curve = reliability_curve("binary", y, p, draws())
    observed, predicted = calibration_curve(y, p, n_bins=10, strategy="quantile")
    np.testing.assert_allclose(curve["observed"], observed, atol=1e-12)
    np.testing.assert_allclose(curve["predicted"], predicted, atol=1e-12)
    assert curve["n"].tolist() == [20] * 10
    assert (curve["events"] == curve["observed"] * 20).all()


def test_bounds_of_shares_are_wilsons_and_hold_where_nothing_happened():
    y, p = case()
    y[np.argsort(p)[:20]] = 0
    curve = reliability_curve("binary", y, p, draws(), level=0.9)
    low, high = proportion_confint(curve["events"].astype(int), 20, alpha=0.1, method="wilson")
    np.testing.assert_allclose(curve[["low", "high"]], np.c_[low, high])
    assert curve["high"][0] > 0.05


def test_tied_predictions_stay_together():
    y, p = case(ties=True)
    curve = reliability_curve("binary", y, p, draws())
    assert curve["n"].sum() == N
    assert curve["predicted"].is_monotonic_increasing
    one = reliability_curve("binary", y, np.full(N, 0.3), draws())
    assert one["n"].tolist() == [N]


def test_bounds_of_means_widen_with_relatives():
    rng = np.random.default_rng(2)
    y = np.repeat(rng.normal(size=50), 4)
    apart = reliability_curve("continuous", y, np.zeros(200), draws())
    together = FamilyDraws(range(50), 200, 1).weights(np.repeat(range(50), 4))
    wide = reliability_curve("continuous", y, np.zeros(200), together)
    assert apart["events"].isna().all()
    assert apart["observed"][0] == pytest.approx(y.mean())
    ratio = (wide["high"] - wide["low"]) / (apart["high"] - apart["low"])
    assert 1.5 < ratio[0] < 2.5


@pytest.mark.parametrize("ties", [False, True])
def test_parts_are_those_of_scikit_learns_isotonic_curve(ties):
    y, p = case(ties=ties, slope=0.5)
    weights = draws(number=8)
    found = brier_parts(y, p, weights)
    for i, draw in enumerate(weights):
        at = np.repeat(np.arange(N), draw.astype(int))
        curve = IsotonicRegression(y_min=0, y_max=1).fit_transform(p[at], y[at])
        raw, best = brier_score_loss(y[at], p[at]), brier_score_loss(y[at], curve)
        base = brier_score_loss(y[at], np.full(len(at), y[at].mean()))
        assert found["miscalibration"][i] == pytest.approx(raw - best, abs=1e-12)
        assert found["discrimination"][i] == pytest.approx(base - best, abs=1e-12)
        assert found["uncertainty"][i] == pytest.approx(base, abs=1e-12)


def test_an_empty_draw_has_no_parts():
    y, p = case()
    found = brier_parts(y, p, np.stack([np.zeros(N), np.ones(N)]))
    assert all(np.isnan(part).tolist() == [True, False] for part in found.values())


labels = st.lists(st.booleans(), min_size=30, max_size=30)
grid = st.lists(st.sampled_from([0.0, 0.1, 0.3, 0.35, 0.8, 1.0]), min_size=30, max_size=30)


@given(labels, grid)
def test_parts_add_up_and_none_is_negative(y, p):
    y, p = np.array(y, float), np.array(p)
    row = brier_decomposition(y, p, np.ones((1, 30)))
    parts = [row[name] for name in ("miscalibration", "discrimination", "uncertainty")]
    assert parts[0] - parts[1] + parts[2] == pytest.approx(np.mean((y - p) ** 2), abs=1e-12)
    assert min(parts) >= 0
    # A rising recalibration changes miscalibration only.
    squeezed = brier_decomposition(y, 0.2 + p / 3, np.ones((1, 30)))
    assert squeezed["discrimination"] == pytest.approx(parts[1], abs=1e-12)


def test_an_isotonic_prediction_is_calibrated():
    y, p = case()
    ideal = IsotonicRegression().fit_transform(p, y)
    assert brier_decomposition(y, ideal, draws())["miscalibration"] == pytest.approx(0, abs=1e-12)


@pytest.mark.slow
def test_intervals_of_the_decomposition_cover():
    """Against parts of a million people, for predictions that are twice too extreme."""
    y, p = case(1_000_000, seed=9, slope=0.5)
    truth = brier_decomposition(y, p, np.ones((1, len(y))))
    covered = {"miscalibration": [], "discrimination": []}
    for trial in range(300):
        y, p = case(800, seed=trial, slope=0.5)
        row = brier_decomposition(y, p, draws(800, 300, trial))
        for name, found in covered.items():
            found.append(row[f"{name}_low"] <= truth[name] <= row[f"{name}_high"])
    share = {name: float(np.mean(found)) for name, found in covered.items()}
    print(share)
    assert all(0.9 <= one <= 0.99 for one in share.values())
