from itertools import combinations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from ukb_brain.training.ladder import own_share, refine

N = 600
CHOSEN = np.arange(N) < 500
PARTS = {
    "A": frozenset("a"),
    "B": frozenset("b"),
    "A + B": frozenset("ab"),
    "A + C": frozenset("ac"),
    "A + B + C": frozenset("abc"),
}


def example(seed=0, kind="continuous"):
    """Fitted scores of five cells, of which b adds to a and c adds only noise."""
    rng = np.random.default_rng(seed)
    a, b, rest = rng.normal(size=(3, N))
    y = 0.5 * a + 0.5 * b + rest
    y = np.where(y > 1, 1.0, -1.0) if kind == "binary" else y / y.std()
    slope = np.corrcoef(a, y)[0, 1]
    noise = {name: 0.15 * rng.normal(size=N) for name in "abc"}
    scores = {
        name: slope * (a * ("a" in parts) + b * ("b" in parts)) + sum(noise[k] for k in parts)
        for name, parts in PARTS.items()
    }
    weights = np.ones(N)
    if kind == "binary":
        share = (y > 0).mean()
        weights = np.where(y > 0, 0.5 / share, 0.5 / (1 - share))
    return scores, y, weights


def refined(scores, y, weights, chosen=CHOSEN):
    usable = {name: np.isfinite(score) for name, score in scores.items()}
    return refine(scores, y, weights, chosen, usable, PARTS)


def null_shares(draws=1500, n=800, effect=0.5, noise=0.25):
    """Share kept of a score that is its base and independent noise, over many cohorts."""
    rng = np.random.default_rng(1)
    kept = []
    for _ in range(draws):
        base, rest, extra = rng.normal(size=(3, n))
        base = effect * base
        kept.append(own_share(base + noise * extra, base, base + rest, np.ones(n)))
    return np.array(kept), n * noise**2


def test_a_useless_input_costs_what_theory_says():
    # z is a standard normal; it is kept beyond √2, and (z - 2/z)² is the cost in units of 1/n.
    kept, precision = null_shares()
    expected = quad(lambda z: (z - 2 / z) ** 2 * norm.pdf(z), np.sqrt(2), np.inf)[0]
    assert (kept == 0).mean() == pytest.approx(norm.cdf(np.sqrt(2)), abs=0.03)
    costs = precision * kept**2
    assert costs.mean() == pytest.approx(expected, abs=4 * costs.std() / np.sqrt(len(costs)))
    # The score as it was fitted costs `precision`, fifty times the unit.
    assert costs.mean() < 0.01 * precision


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_useless_inputs_leave_and_useful_ones_stay(kind):
    by_c, by_c_fitted, by_b, by_b_fitted, misled = [], [], [], [], []
    test = ~CHOSEN
    for seed in range(60):
        scores, y, weights = example(seed, kind)
        found = refined(scores, y, weights)

        def loss(score, y=y, weights=weights):
            return np.average((y - score)[test] ** 2, weights=weights[test])

        after = {name: loss(cell.scores) for name, cell in found.items()}
        fitted = {name: loss(score) for name, score in scores.items()}
        by_c.append(after["A + B + C"] - after["A + B"])
        by_c_fitted.append(fitted["A + B + C"] - after["A + B"])
        by_b.append(after["A"] - after["A + B"])
        by_b_fitted.append(fitted["A"] - fitted["A + B"])
        misled.append(found["A + B + C"].weights.get("A + C", 0))
    assert np.mean(by_c) < 0.1 * np.mean(by_c_fitted)
    assert np.mean(by_c_fitted) > 0.01
    assert np.mean(by_b) > 0.95 * np.mean(by_b_fitted)
    assert np.mean(by_b) > 0.03
    assert max(misled) < 0.01


def test_a_cell_without_a_simpler_one_stays_as_it_is():
    scores, y, weights = example()
    found = refined(scores, y, weights)["A"]
    assert found.scores.tobytes() == scores["A"].tobytes()
    assert (found.weights, found.own, found.gain) == ({"A": 1.0}, 1.0, 0.0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["binary", "continuous"]), st.floats(-2, 3))
def test_every_refined_score_is_a_mean_of_fitted_scores_of_subsets(seed, kind, stretch):
    scores, y, weights = example(seed, kind)
    scores["A + B"] = stretch * scores["A + B"]
    for inputs, cell in refined(scores, y, weights).items():
        assert 0 <= cell.own <= 1
        assert all(0 < weight <= 1 for weight in cell.weights.values())
        assert all(PARTS[source] <= PARTS[inputs] for source in cell.weights)
        assert sum(cell.weights.values()) == pytest.approx(1)
        mean = sum(weight * scores[source] for source, weight in cell.weights.items())
        np.testing.assert_allclose(cell.scores, mean, atol=1e-12)


@given(st.integers(0, 10_000))
def test_share_kept_follows_a_robust_regression(seed):
    rng = np.random.default_rng(seed)
    base, step, rest = rng.normal(size=(3, 80))
    weights = rng.uniform(0.2, 3, 80)
    y = base + rng.uniform(-0.5, 1.5) * step + rest * (1 + np.abs(step))
    fit = sm.WLS(y - base, step, weights=weights).fit(cov_type="HC0")
    slope, z = fit.params[0], fit.tvalues[0]
    expected = min(slope, 1) * (1 - 2 / z**2) if z > np.sqrt(2) else 0
    assert own_share(base + step, base, y, weights) == pytest.approx(expected, abs=1e-9)


def test_share_kept_is_none_where_a_score_equals_its_base():
    _, y, weights = example()
    assert own_share(0.3 * y, 0.3 * y, y, weights) == 0


def test_simpler_cells_have_akaike_weights():
    scores, y, weights = example(3)
    scores["B"] = 1.05 * scores["A"]
    # The worst of scores: nothing of it is kept, so the base is all there is.
    scores["A + B"] = -y
    cell = refined(scores, y, weights)["A + B"]
    losses = [np.mean((y - scores[name])[CHOSEN] ** 2) for name in "AB"]
    ratio = np.exp(-0.5 * CHOSEN.sum() * np.log(losses[0] / losses[1]))
    assert cell.own == 0
    assert 0.1 < ratio < 10
    assert cell.weights["A"] / cell.weights["B"] == pytest.approx(ratio)


def test_gain_is_the_error_that_refinement_took_away():
    scores, y, weights = example(kind="binary")
    cell = refined(scores, y, weights)["A + C"]
    before, after = (
        np.average((y - s)[CHOSEN] ** 2, weights=weights[CHOSEN])
        for s in (scores["A + C"], cell.scores)
    )
    assert cell.gain == pytest.approx(before - after)
    assert cell.gain > 0.01


def test_people_without_an_input_have_no_score():
    scores, y, weights = example()
    for name, parts in PARTS.items():
        if "c" in parts:
            scores[name][[4, 550]] = np.nan
    # Nothing of it is kept, and yet nobody without c gets a score with c among its inputs.
    scores["A + C"] = np.where(np.isnan(scores["A + C"]), np.nan, -y)
    found = refined(scores, y, weights)
    assert found["A + C"].own == 0
    for name, cell in found.items():
        expected = [4, 550] if "c" in PARTS[name] else []
        assert np.flatnonzero(np.isnan(cell.scores)).tolist() == expected


def test_a_cell_that_failed_is_as_if_it_were_not_there():
    scores, y, weights = example()
    without = {name: score for name, score in scores.items() if name != "A + B"}
    scores["A + B"] = np.full(N, np.nan)
    failed, absent = (refined(some, y, weights) for some in (scores, without))
    assert list(failed) == list(absent) == ["A", "B", "A + C", "A + B + C"]
    for name, cell in failed.items():
        assert cell.scores.tobytes() == absent[name].scores.tobytes()
        assert cell.weights == absent[name].weights
    # B is no part of A + C, so it still speaks for A + B + C now that A + B does not.
    only = {name: scores[name] for name in ("B", "A + C", "A + B + C")}
    only["A + B + C"] = -y
    assert set(refined(only, y, weights)["A + B + C"].weights) == {"B", "A + C"}


def test_a_target_whose_cells_all_failed_has_none():
    _, y, weights = example()
    assert refined({"A": np.full(N, np.nan)}, y, weights) == {}


LATTICE = ["".join(some) for n in (1, 2, 3, 4) for some in combinations("abcd", n)]


@given(st.permutations(LATTICE))
def test_order_of_cells_changes_nothing(order):
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(4, N))
    y = latents.mean(axis=0) + rng.normal(size=N)
    scores = {name: latents["abcd".index(name[0])] + rng.normal(size=N) for name in LATTICE}
    everybody = dict.fromkeys(LATTICE, np.ones(N, dtype=bool))
    parts = {name: frozenset(name) for name in LATTICE}
    one, other = (
        refine(
            {name: 0.1 * scores[name] for name in names}, y, np.ones(N), CHOSEN, everybody, parts
        )
        for names in (LATTICE, order)
    )
    for name, cell in one.items():
        assert cell.scores.tobytes() == other[name].scores.tobytes()
        assert cell.weights == other[name].weights


def test_people_on_whom_nothing_is_chosen_have_no_influence():
    scores, y, weights = example()
    before = refined(scores, y, weights)
    unknown = np.where(CHOSEN, y, np.nan)
    moved = {name: np.where(CHOSEN, score, 7 - score) for name, score in scores.items()}
    after = refined(moved, unknown, np.where(CHOSEN, weights, np.nan))
    for name, cell in before.items():
        assert cell.weights == after[name].weights
        assert cell.gain == after[name].gain
        assert cell.scores[CHOSEN].tobytes() == after[name].scores[CHOSEN].tobytes()
        assert not np.array_equal(cell.scores, after[name].scores)


def test_scores_that_are_right_are_kept():
    scores, y, weights = example()
    scores["A + B"] = y.copy()
    found = refined(scores, y, weights)
    np.testing.assert_allclose(found["A + B"].scores, y, atol=1e-9)
    assert found["A + B + C"].weights["A + B"] > 0.9
