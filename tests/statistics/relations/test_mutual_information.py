import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression
from sklearn.metrics import mutual_info_score

from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.relations.mutual_information import (
    BINS,
    binned,
    information,
    mutual_information,
)
from ukb_brain.statistics.relations.relations import relation_table

KINDS = {"age": "continuous", "weight": "continuous", "sex": "binary", "asthma": "binary"}


def invented(n=600, seed=0, link=0.6):
    """Four targets that share one latent number; some values are not known."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=n)
    raw = link * shared[:, None] + np.sqrt(1 - link**2) * rng.normal(size=(n, 4))
    table = pd.DataFrame(raw, columns=list(KINDS))
    table["sex"], table["asthma"] = (table["sex"] > 0) * 1.0, (table["asthma"] > 1) * 1.0
    return table


def with_gaps(table, share=0.1, seed=1):
    return table.mask(np.random.default_rng(seed).random(table.shape) < share)


def alone(n, draws=100, seed=3):
    families = np.arange(n)
    return families, FamilyDraws(families, draws, seed).weights(families)


@given(
    arrays(np.int64, st.tuples(st.integers(1, 4), st.integers(1, 5)), elements=st.integers(0, 9))
)
def test_information_agrees_with_sklearn(counts):
    rows, columns = np.nonzero(counts)
    if not len(rows):
        assert np.isnan(information(counts.astype(float)))
        return
    times = counts[rows, columns]
    theirs = mutual_info_score(np.repeat(rows, times), np.repeat(columns, times))
    assert information(counts.astype(float)) == pytest.approx(max(theirs, 0), abs=1e-12)


@given(arrays(float, (3, 4), elements=st.floats(0.01, 9)), st.floats(0.01, 100))
def test_information_is_symmetric_free_of_scale_and_at_most_the_entropy(counts, factor):
    value = information(counts)
    assert information(counts.T) == pytest.approx(value, abs=1e-9)
    assert information(factor * counts) == pytest.approx(value, abs=1e-9)
    share = counts.sum(axis=1) / counts.sum()
    assert 0 <= value <= -(share * np.log(share)).sum() + 1e-9
    independent = np.outer(counts.sum(axis=1), counts.sum(axis=0))
    assert information(independent) == pytest.approx(0, abs=1e-9)


def test_bins_hold_as_many_people_and_gaps_stay_gaps():
    table = with_gaps(invented())
    codes = binned(table, KINDS)
    np.testing.assert_array_equal(codes < 0, table.isna())
    for at, kind in enumerate(KINDS.values()):
        sizes = np.bincount(codes[codes[:, at] >= 0, at])
        assert len(sizes) == (BINS if kind == "continuous" else 2)
        assert kind == "binary" or np.ptp(sizes) <= 1
    # Any rising change of unit leaves the bins as they are.
    np.testing.assert_array_equal(codes, binned(table.assign(age=np.exp(table["age"])), KINDS))


def test_every_pair_is_that_of_its_people_less_its_baseline():
    table = with_gaps(invented())
    families, weights = alone(len(table), draws=6)
    found = mutual_information(table, KINDS, families, weights, permutations=50)
    codes = binned(table, KINDS)
    for one in range(4):
        for two in set(range(4)) - {one}:
            both = (codes[:, [one, two]] >= 0).all(axis=1)
            assert found.n[one, two] == both.sum()
            observed = mutual_info_score(codes[both, one], codes[both, two])
            bias = observed - found.estimate[one, two]
            assert 0 < bias < 0.08
            for draw in range(6):
                times = weights[draw, both].astype(int)
                levels = [np.repeat(codes[both, at], times) for at in (one, two)]
                expected = max(mutual_info_score(*levels) - 2 * bias, 0)
                assert found.drawn[draw, one, two] == pytest.approx(expected, abs=1e-12)
    assert np.isnan(np.diag(found.estimate)).all()


def test_the_baseline_is_millers_bias():
    table = invented(n=1500, seed=2)
    families, weights = alone(len(table), draws=1)
    found = mutual_information(table, KINDS, families, weights, permutations=200)
    codes = binned(table, KINDS)
    for one, two in [(0, 1), (0, 2), (2, 3)]:
        levels = (codes.max(axis=0) + 1)[[one, two]]
        bias = mutual_info_score(codes[:, one], codes[:, two]) - found.estimate[one, two]
        assert bias == pytest.approx(np.prod(levels - 1) / (2 * len(table)), rel=0.25)


@pytest.mark.parametrize("link", [0.0, 0.5, 0.8])
def test_a_gaussian_pair_has_most_of_its_known_information(link):
    table = invented(n=4000, seed=5, link=np.sqrt(link))
    families, weights = alone(len(table), draws=1)
    kinds = dict(list(KINDS.items())[:3])
    found = mutual_information(table[list(kinds)], kinds, families, weights, permutations=40)
    known = -0.5 * np.log(1 - link**2)
    assert found.estimate[0, 1] == pytest.approx(0.87 * known, abs=0.02)
    # Nearest neighbours (Kraskov 2004, Ross 2014) lose nothing to bins.
    age, weight, sex = (table[key].to_numpy() for key in kinds)
    nearest = mutual_info_regression(age[:, None], weight, random_state=0)[0]
    mixed = mutual_info_classif(age[:, None], sex.astype(int), random_state=0)[0]
    assert found.estimate[0, 1] == pytest.approx(0.87 * nearest, abs=0.04)
    assert found.estimate[0, 2] == pytest.approx(mixed, abs=0.03)


def test_families_are_exchanged_whole():
    """Pairs of twins: information is common to a pair, so half as many people are independent."""
    rng = np.random.default_rng(8)
    hits = []
    for seed in range(60):
        twins = (rng.random((80, 2)) < 0.5).astype(float)
        table = pd.DataFrame(np.repeat(twins, 2, axis=0), columns=["sex", "asthma"])
        families, draws = np.repeat(np.arange(80), 2), np.ones((1, 160))
        found = mutual_information(table, KINDS, families, draws, 100, seed)
        hits.append(found.p[0, 1] <= 0.05)
    # As many as 9 of 60 has a chance of .003 at level .05; ignoring twins, 10 are expected.
    assert sum(hits) < 9


def test_what_cannot_be_measured_says_why():
    table = invented(n=50)
    table["sex"], table["asthma"] = 1.0, np.nan
    families, weights = alone(50, draws=5)
    rows = relation_table(mutual_information(table, KINDS, families, weights, 10))
    measured = rows["estimate"].notna()
    assert rows.loc[measured, ["target", "other"]].to_numpy().tolist() == [["age", "weight"]]
    assert rows.loc[~measured, "note"].str.contains("too few in common, or").all()
    assert rows.loc[~measured, ["low", "high", "p"]].isna().all(axis=None)
    assert set(rows.loc[rows["other"] == "asthma", "n"]) == {0}
    with pytest.raises(ValueError, match="50 people"):
        mutual_information(table, KINDS, families, weights[:, 1:])


@pytest.mark.slow
@pytest.mark.parametrize("pair", [("age", "weight"), ("age", "asthma"), ("sex", "asthma")])
def test_independent_targets_are_found_related_at_the_level(pair):
    n, hits, above = 400, 0, 0
    families, weights = alone(n, draws=100)
    for seed in range(400):
        table = invented(n, seed, link=0)[list(pair)]
        found = mutual_information(table, KINDS, families, weights, 99, seed)
        row = relation_table(found).iloc[0]
        hits += row["p"] <= 0.05
        above += row["low"] > 0
    # Binomial bounds of 400 at .05, three standard errors wide; the interval is conservative.
    assert 8 <= hits <= 33
    assert above <= 12


@pytest.mark.slow
@pytest.mark.parametrize("pair", [("age", "weight"), ("age", "asthma"), ("sex", "asthma")])
def test_intervals_of_information_cover(pair):
    large = invented(400_000, seed=1)[list(pair)]
    truth = mutual_info_score(*binned(large, KINDS).T)
    n, covered = 800, 0
    families, weights = alone(n, draws=200)
    for seed in range(200):
        found = mutual_information(
            invented(n, seed + 10)[list(pair)], KINDS, families, weights, 50, seed
        )
        row = relation_table(found).iloc[0]
        covered += row["low"] <= truth <= row["high"]
    assert covered >= 181
