from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import pdist, squareform

from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.relations import distance_correlation as module
from ukb_brain.statistics.relations.distance_correlation import (
    distance_correlations,
    squared_distance_correlation,
)
from ukb_brain.statistics.relations.relations import relation_table


def centred(x):
    """U-centred distances (Székely & Rizzo 2014, definition 2)."""
    a, n = squareform(pdist(x[:, None])), len(x)
    rows = a.sum(axis=0)
    found = a - rows / (n - 2) - rows[:, None] / (n - 2) + a.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(found, 0)
    return found


def by_definition(x, y):
    a, b = centred(x), centred(y)
    return (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())


def pair(n, seed, shape="line"):
    rng = np.random.default_rng(seed)
    x, noise = rng.normal(size=n), rng.normal(size=n)
    y = {"line": 0.5 * x + noise, "square": x**2 + noise, "none": noise}[shape]
    return x, y


@pytest.mark.parametrize("shape", ["line", "square", "none"])
@pytest.mark.parametrize("binary", [False, True])
def test_it_is_the_product_of_u_centred_distances(shape, binary):
    x, y = pair(60, 1, shape)
    y = (y > 0.4) * 1.0 if binary else y
    found = squared_distance_correlation(x, y, np.ones((1, 60)))[0]
    assert found == pytest.approx(by_definition(x, y), abs=1e-12)


def test_weights_count_different_people_only():
    rng = np.random.default_rng(2)
    n = 6
    x, y, w = rng.normal(size=n), rng.normal(size=n), rng.integers(0, 4, (3, n)).astype(float)
    w[:, :4] += 1

    def covariance(a, b, w):
        sums = {"pairs": [0.0, 0.0], "triples": [0.0, 0.0], "quadruples": [0.0, 0.0]}
        for i, j, k, m in permutations(range(n), 4):
            # Each tuple of fewer people occurs alike often among those of four.
            for name, people, value in [
                ("pairs", (i, j), a[i, j] * b[i, j]),
                ("triples", (i, j, k), a[i, j] * b[i, k]),
                ("quadruples", (i, j, k, m), a[i, j] * b[k, m]),
            ]:
                share = np.prod(w[list(people)])
                sums[name][0] += share * value
                sums[name][1] += share
        pairs, triples, quadruples = (above / below for above, below in sums.values())
        return pairs + quadruples - 2 * triples

    a, b = (squareform(pdist(v[:, None])) for v in (x, y))
    expected = [
        covariance(a, b, one) / np.sqrt(covariance(a, a, one) * covariance(b, b, one)) for one in w
    ]
    np.testing.assert_allclose(squared_distance_correlation(x, y, w), expected, atol=1e-10)


@given(st.integers(0, 10**6), st.floats(0.01, 100), st.floats(-100, 100))
def test_units_and_signs_do_not_matter_and_a_line_has_one(seed, factor, shift):
    x, y = pair(30, seed)
    once = np.ones((1, 30))
    found = squared_distance_correlation(x, y, once)[0]
    assert squared_distance_correlation(y, x, once)[0] == pytest.approx(found, abs=1e-9)
    moved = squared_distance_correlation(shift - factor * x, y, once)[0]
    assert moved == pytest.approx(found, abs=1e-7)
    line = squared_distance_correlation(x, shift - factor * x, once)[0]
    assert line == pytest.approx(1, abs=1e-7)


def test_binary_targets_give_about_their_correlation():
    rng = np.random.default_rng(3)
    x = (rng.random(900) < 0.3) * 1.0
    y = np.where(rng.random(900) < 0.4, x, rng.random(900) < 0.5) * 1.0
    found = distance_correlations(pd.DataFrame({"x": x, "y": y}), np.ones((1, 900)))
    assert found.estimate[0, 1] == pytest.approx(abs(stats.pearsonr(x, y).statistic), abs=0.01)


def test_it_is_centred_on_zero_without_dependence_in_samples_and_in_their_draws():
    n = 40
    people = np.arange(n)
    weights = FamilyDraws(people, 50, 1).weights(people)
    values, drawn = [], []
    for seed in range(150):
        x, y = pair(n, seed, "none")
        values.append(squared_distance_correlation(x, y, np.ones((1, n)))[0])
        drawn.append(squared_distance_correlation(x, y, weights).mean())
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 3 * error
    # The plain statistic has a bias of more than .02 here; so would copies of people.
    assert abs(np.mean(drawn)) < 0.01


def test_constants_and_few_people_have_none():
    x, y = pair(30, 4)
    few = np.zeros((2, 30))
    few[0, :3], few[1, :4] = 5, 1
    assert np.isfinite(squared_distance_correlation(x, y, few)).tolist() == [False, True]
    assert np.isnan(squared_distance_correlation(x, np.ones(30), np.ones((1, 30)))).all()


def test_a_table_of_pairs_uses_who_is_known_in_both_and_not_too_many(monkeypatch):
    monkeypatch.setattr(module, "MOST_PEOPLE", 40)
    x, y = pair(120, 5)
    z = np.full(120, np.nan)
    y += x
    z[:36], y[100:] = x[:36], np.nan
    table = pd.DataFrame({"x": x, "y": y, "z": z, "few": np.where(np.arange(120) < 8, x, np.nan)})
    weights = FamilyDraws(np.arange(120), 30, 6).weights(np.arange(120))
    found = distance_correlations(table, weights)
    assert found.n[0].tolist() == [0, 40, 36, 8]
    assert found.n[1, 2] == 36
    first = np.flatnonzero(table["z"].notna())
    assert found.estimate[1, 2] == pytest.approx(np.sqrt(by_definition(y[first], z[first])))
    rows = relation_table(found).set_index(["target", "other"])
    assert rows.loc[("x", "z"), "estimate"] == pytest.approx(1)
    assert rows.loc[("x", "few"), "note"].startswith("too few in common")
    np.testing.assert_array_equal(found.estimate, found.estimate.T)
    with pytest.raises(ValueError, match="120 people"):
        distance_correlations(table, weights[:, 1:])


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["line", "square"])
def test_intervals_of_distance_correlation_cover(shape):
    once = np.ones((1, 1500))
    many = [squared_distance_correlation(*pair(1500, s, shape), once)[0] for s in range(8)]
    truth = np.sqrt(np.mean(many))
    n, covered = 150, 0
    people = np.arange(n)
    weights = FamilyDraws(people, 200, 7).weights(people)
    for seed in range(200):
        table = pd.DataFrame(dict(zip("xy", pair(n, seed + 100, shape), strict=True)))
        row = relation_table(distance_correlations(table, weights)).iloc[0]
        covered += row["low"] <= truth <= row["high"]
    assert covered >= 179
