from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ukb_brain.statistics.relations.relations import (
    blank_relation,
    profile_similarity,
    relation_table,
)
from ukb_brain.tables import reported

RNG = np.random.default_rng


def invented_profiles(draws=200, seed=0):
    """Skill of four targets over ten inputs; the last two share three inputs only."""
    rng = RNG(seed)
    skill = rng.normal(0.3, 0.1, (10, 1)) + rng.normal(0, 0.05, (10, 4))
    skill[:4, 2] = np.nan
    skill[7:, 3] = np.nan
    table = pd.DataFrame(skill, columns=["a", "b", "c", "d"])
    return table, skill + rng.normal(0, 0.02, (draws, 10, 4))


def test_profiles_agree_with_covariances_by_numpy():
    skill, drawn = invented_profiles()
    found = profile_similarity(skill, drawn)
    for one, two in [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3)]:
        rows = skill.iloc[:, [one, two]].notna().all(axis=1).to_numpy()
        assert found.n[one, two] == rows.sum()
        noise = np.mean(
            [np.cov((draw - drawn.mean(axis=0))[rows][:, [one, two]].T) for draw in drawn], axis=0
        )
        true = np.cov(skill[rows].iloc[:, [one, two]].T) - noise
        expected = true[0, 1] / np.sqrt(true[0, 0] * true[1, 1])
        assert found.estimate[one, two] == pytest.approx(min(expected, 1))
        for at in (0, 7):
            twice = np.cov(drawn[at, rows][:, [one, two]].T) - 2 * noise
            expected = twice[0, 1] / np.sqrt(twice[0, 0] * twice[1, 1])
            assert found.drawn[at, one, two] == pytest.approx(np.clip(expected, -1, 1))
        np.testing.assert_array_equal(found.drawn[:, two, one], found.drawn[:, one, two])
    np.testing.assert_array_equal(found.estimate, found.estimate.T)
    assert np.isnan(found.p).all()


def test_without_noise_it_is_the_plain_correlation():
    skill, _ = invented_profiles()
    found = profile_similarity(skill, skill.to_numpy()[None].repeat(3, axis=0))
    expected = skill.corr(min_periods=4).to_numpy(copy=True)
    np.fill_diagonal(expected, np.nan)
    np.testing.assert_allclose(found.estimate, expected)


def test_noise_that_targets_share_is_no_similarity():
    """The same people test both targets: what they have in common is not the targets'."""
    rng = RNG(3)
    shared = rng.normal(0, 0.03, (401, 400, 1))
    skill = rng.normal(0.3, 0.03, (400, 2)) + shared[0]
    drawn = skill + shared[1:]
    assert np.corrcoef(skill.T)[0, 1] == pytest.approx(0.5, abs=0.1)
    found = profile_similarity(pd.DataFrame(skill, columns=["a", "b"]), drawn)
    assert found.estimate[0, 1] == pytest.approx(0, abs=0.15)


def test_draws_without_a_score_are_left_out():
    skill, drawn = invented_profiles()
    gaps = drawn.copy()
    gaps[:60, 5, 0] = np.nan
    found = profile_similarity(skill, gaps)
    kept = profile_similarity(skill, drawn[60:])
    np.testing.assert_allclose(found.estimate[0], kept.estimate[0])
    np.testing.assert_allclose(found.drawn[60:, 0], kept.drawn[:, 0])
    assert np.isnan(found.drawn[:60, 0]).all()
    np.testing.assert_array_equal(
        found.drawn[:, 1, 2], profile_similarity(skill, drawn).drawn[:, 1, 2]
    )


def test_too_few_common_inputs_leave_a_pair_without_an_estimate():
    table = relation_table(profile_similarity(*invented_profiles()))
    row = table[(table["target"] == "c") & (table["other"] == "d")].iloc[0]
    assert row["n"] == 3
    assert row[["estimate", "low", "high"]].isna().all()
    assert "too few in common" in row["note"]
    assert (table["note"] != "").sum() == 1


def test_profiles_that_do_not_vary_have_no_similarity():
    skill, drawn = invented_profiles()
    skill["a"] = 0.25
    found = profile_similarity(skill, drawn)
    assert np.isnan(found.estimate[0]).all()
    assert relation_table(found).query("target == 'a'")["note"].str.contains("do not vary").all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("correlation", "noise"), [(0, 0.03), (0.8, 0.03), (0.8, 0.01), (0.95, 0.015)]
)
def test_intervals_of_similar_profiles_cover(correlation, noise):
    """Nominal 95 %, also where half of what profiles vary is noise."""
    rng = RNG(6)
    corrected, estimates, plain = [], [], []
    for _ in range(200):
        true = rng.normal(0, 0.03, (32, 2))
        true[:, 1] = correlation * true[:, 0] + np.sqrt(1 - correlation**2) * true[:, 1]
        skill = true + rng.normal(0, noise, true.shape)
        drawn = skill + rng.normal(0, noise, (200, *true.shape))
        truth = np.corrcoef(true.T)[0, 1]
        found = profile_similarity(pd.DataFrame(skill, columns=["a", "b"]), drawn)
        row = relation_table(found).iloc[0]
        corrected.append(row["low"] <= truth <= row["high"])
        estimates.append(row["estimate"] - truth)
        plain.append(np.corrcoef(skill.T)[0, 1] - truth)
    assert np.mean(corrected) > 0.9
    assert np.isnan(estimates).mean() < 0.02
    assert abs(np.nanmean(estimates)) < 0.04
    assert correlation == 0 or np.mean(plain) < np.nanmean(estimates) - 0.02


def test_the_table_lists_each_pair_once_with_quantiles_of_its_draws():
    found = blank_relation("invented", ["a", "b", "c"], 500)
    rng = RNG(1)
    p = {(0, 1): 0.01, (0, 2): 0.04, (1, 2): 0.5}
    for (one, two), value in p.items():
        places = ([one, two], [two, one])
        found.estimate[places], found.p[places], found.n[places] = 0.1 * one + 0.2, value, 40
        found.drawn[:, places[0], places[1]] = rng.normal(size=(500, 1))
    table = relation_table(found, level=0.9)
    assert table.columns.tolist() == [*reported.relations.columns]
    pairs = list(combinations("abc", 2))
    assert list(zip(table["target"], table["other"], strict=True)) == pairs
    for row, (one, two) in zip(table.itertuples(), p, strict=True):
        assert (row.estimate, row.p, row.n) == (0.1 * one + 0.2, p[one, two], 40)
        expected = np.quantile(found.drawn[:, one, two], [0.05, 0.95])
        np.testing.assert_allclose([row.low, row.high], expected)
    np.testing.assert_allclose(table["p_adjusted"], stats.false_discovery_control(list(p.values())))


def test_nothing_measured_gives_rows_that_say_so():
    table = relation_table(blank_relation("invented", ["a", "b"], 10))
    assert table[["estimate", "low", "high", "p", "p_adjusted"]].isna().all(axis=None)
    assert table["note"].tolist() == ["too few in common, or they do not vary"]


def test_draws_must_fit_the_profiles():
    skill, drawn = invented_profiles()
    with pytest.raises(ValueError, match="drawn"):
        profile_similarity(skill, drawn[:, 1:])
